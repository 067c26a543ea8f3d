"""bootstat.dat and BOOTSTAT.DAT, from the structures' public definitions.

RTL_BSD_DATA: ReactOS sdk/include/ndk/rtltypes.h (field by field below). Logs: Geoff Chappell,
"The Boot Status Data Log"; PSBits Extract-BootTimes.ps1 for the ring of version 4 and the loader.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

LOG_SIZE = 0x10000
WINDOWS_8, WINDOWS_10_1507, WINDOWS_10, WINDOWS_11 = 0x38, 0x40, 0xB0, 0xC8
BOOT_MANAGER, LOADER = 2, 3
BOOTMGR = uuid.UUID("9dea862c-5cdd-4e70-acc1-f32b344d4795")
OS = uuid.UUID("b4462c64-5b64-11ea-95a8-fa55bfc2661a")
INFORMATION, ERROR = 1, 3


@dataclass(frozen=True, slots=True)
class Status:
    version: int = WINDOWS_10
    product: int = 1
    succeeded: bool = True
    shut_down: bool = True
    attempts: int = 1
    checkpoint: int = 1
    boot_id: int = 7
    error: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


def status(made: Status) -> bytes:
    """The structure, padded to what the file keeps for it."""
    raw = bytearray(0x800)
    flags = (made.succeeded, made.shut_down)
    struct.pack_into("<IIBBBB", raw, 0, made.version, made.product, 0, 30, *flags)
    fields = (
        ("<B", 0x30, made.attempts),
        ("<B", 0x31, made.checkpoint),
        ("<I", 0x34, made.boot_id),
        *(("<I", 0x40 + 4 * at, number) for at, number in enumerate(made.error)),
    )
    for layout, offset, number in fields:
        if offset + struct.calcsize(layout) <= made.version:
            struct.pack_into(layout, raw, offset, number)
    if made.version > WINDOWS_10_1507:
        raw[0x32] = -sum(raw[: made.version]) % 256  # measured on real files
    return bytes(raw)


# --- logs ---------------------------------------------------------------------------------


def entry(
    event: int,
    data: bytes,
    *,
    seconds: int = 100,
    owner: int = BOOT_MANAGER,
    severity: int = INFORMATION,
) -> bytes:
    head = struct.pack("<Q16s4I", seconds, BOOTMGR.bytes_le, 40 + len(data), severity, owner, event)
    return head + data


def started(when: datetime, *, seconds: int = 100, owner: int = BOOT_MANAGER) -> bytes:
    clock = (when.year, when.month, when.day, when.hour, when.minute, when.second, 0, 7)
    return entry(1, struct.pack("<8HII", *clock, 1, 0), seconds=seconds, owner=owner)


def launched(path: str, *, seconds: int = 100, kind: int = 0) -> bytes:
    return entry(0x11, OS.bytes_le + struct.pack("<I", kind) + _wide(path), seconds=seconds)


def returned(*, seconds: int = 100) -> bytes:
    return entry(0x12, OS.bytes_le + bytes(4), seconds=seconds)


def failed(event: int, status_code: int, path: str = "", *, seconds: int = 100) -> bytes:
    data = struct.pack("<I", status_code) + (_wide(path) if path else b"")
    return entry(event, data, seconds=seconds, severity=ERROR)


def kernel(*, seconds: int = 100) -> bytes:
    return entry(0x31, b"", seconds=seconds, owner=LOADER)


def _wide(path: str) -> bytes:
    return f"{path}\0".encode("utf-16-le")


def log(entries: Sequence[bytes], version: int = 4) -> bytes:
    """A log that was never full."""
    content = b"".join(entries)
    head = _header(version, content_end=_start(version) + len(content), first=_start(version))
    return (head + content).ljust(LOG_SIZE, b"\0")


def ring(entries: Sequence[bytes], split: int) -> bytes:
    """A version 4 log that went round: the first `split` entries lie at its end."""
    oldest, newest = b"".join(entries[:split]), b"".join(entries[split:])
    first = LOG_SIZE - len(oldest)
    return (_header(4, content_end=24 + len(newest), first=first) + newest).ljust(
        first, b"\0"
    ) + oldest


def _start(version: int) -> int:
    return 24 if version == 4 else 16


def _header(version: int, content_end: int, first: int) -> bytes:
    head = struct.pack("<4I", version, _start(version), LOG_SIZE, content_end)
    return head + struct.pack("<II", first, 0) if version == 4 else head
