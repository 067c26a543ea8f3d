"""Instance paths of Plug and Play devices: "<enumerator>\\<device>\\<instance>".

Sources: Microsoft Learn, "Device instance IDs" and "Instance IDs" (MAX_DEVICE_ID_LEN); names of
volumes as volmgr makes them since Windows 7, seen in real hives: the GUID of the disk, "#", and
the offset in 16 hex digits. A parent whose children's instances are not unique by themselves puts
its ParentIdPrefix ("4&1a2b3c&0") in front of theirs. Names of Windows XP are not handled.
"""

from __future__ import annotations

import re

MAX_LENGTH = 200  # MAX_DEVICE_ID_LEN, with its NUL

_PARTS = 3  # of a prefix: depth, hash of the parent, number
_VOLUME = re.compile(r"storage\\volume\\(\{[0-9a-f-]{36}\})#([0-9a-f]{16})", re.IGNORECASE)


def enumerator(device: str) -> str:
    """The bus that found it, lower case: "scsi", "pci", "root"."""
    return device.partition("\\")[0].casefold()


def instance(device: str) -> str:
    return device.rpartition("\\")[2]


def prefixes(device: str) -> tuple[str, ...]:
    """Every ParentIdPrefix its parent might have, the longest first, case-folded."""
    if len(device) >= MAX_LENGTH:
        return ()
    parts = instance(device).casefold().split("&")
    return tuple("&".join(parts[:size]) for size in range(len(parts), _PARTS - 1, -1))


def volume(device: str) -> tuple[str, int] | None:
    """(GUID of the disk, offset in bytes) that a volume's instance names; None for others."""
    found = _VOLUME.fullmatch(device)
    return (found[1].lower(), int(found[2], 16)) if found else None
