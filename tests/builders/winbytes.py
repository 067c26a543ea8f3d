"""Moments and security descriptors as Windows stores them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)

TRUSTED_INSTALLER = (5, 80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464)
LOCAL_SYSTEM = (5, 18)
ADMINISTRATORS = (5, 32, 544)
USERS = (5, 32, 545)

FULL, READ_EXECUTE = 0x001F01FF, 0x001200A9


def filetime(when: datetime) -> int:
    """100 ns ticks since 1601."""
    return (when - _EPOCH) // timedelta(microseconds=1) * 10


def sid(authority: int, *parts: int) -> bytes:
    head = struct.pack(">BBHI", 1, len(parts), 0, authority)
    return head + struct.pack(f"<{len(parts)}I", *parts)


def security_descriptor(owner: tuple[int, ...], *entries: tuple[int, tuple[int, ...]]) -> bytes:
    """Self-relative, owner is also the group; `entries` are allow ACEs, (mask, who)."""
    who = sid(*owner)
    aces = b"".join(
        struct.pack("<BBHI", 0, 0, 8 + len(sid(*subject)), mask) + sid(*subject)
        for mask, subject in entries
    )
    dacl = struct.pack("<BBHHH", 2, 0, 8 + len(aces), len(entries), 0) + aces
    head = struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 20 + len(who), 0, 20 + 2 * len(who))
    return head + who + who + dacl


INBOX = security_descriptor(
    TRUSTED_INSTALLER,
    (FULL, TRUSTED_INSTALLER),
    (READ_EXECUTE, ADMINISTRATORS),
    (READ_EXECUTE, LOCAL_SYSTEM),
    (READ_EXECUTE, USERS),
)
INSTALLED = security_descriptor(
    ADMINISTRATORS, (FULL, LOCAL_SYSTEM), (FULL, ADMINISTRATORS), (READ_EXECUTE, USERS)
)
HIVE = security_descriptor(ADMINISTRATORS, (FULL, LOCAL_SYSTEM), (FULL, ADMINISTRATORS))
