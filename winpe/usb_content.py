"""What lies on a stick now, in a few words: so that nobody overwrites the wrong one.

Kinds by recoverykit.formats.volume_id; labels from the boot sector of FAT (Microsoft FAT32 File
System Specification 1.03), the volume descriptor of ISO 9660 (ECMA-119, 8.4) and the superblock of
ext2 to ext4 (kernel.org, ext4 "super block"). Read-only; what cannot be read is not described.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recoverykit.formats import volume_id
from recoverykit.model import FileSystem
from winpe.usb_disks import Disk

_ISO_AT, _EXT_AT = 32768, 1024
_SPAN = _ISO_AT + 2048  # bytes looked at
_KINDS = {
    FileSystem.NTFS: "NTFS",
    FileSystem.FAT: "FAT",
    FileSystem.EXFAT: "exFAT",
    FileSystem.BITLOCKER: "BitLocker",
    FileSystem.LUKS: "LUKS",
    FileSystem.REFS: "ReFS",
}


@dataclass(frozen=True, slots=True)
class Content:
    """One file system."""

    name: str  # the device it lies on: "sdb1"
    kind: str  # "FAT", "ISO 9660", ...
    label: str = ""

    def __str__(self) -> str:
        called = f" {self.label!r}" if self.label else ""
        return f"{self.kind}{called}"


def content(disk: Disk, dev: Path = Path("/dev")) -> tuple[Content, ...] | None:
    """The file systems on a disk; None where it may not be read."""
    found = []
    for name in (disk.name, *(part.name for part in disk.parts)):
        try:
            start = _start(dev / name)
        except PermissionError:
            return None
        except OSError:
            continue  # an empty slot, or it cannot be read: nothing can be said
        one = identify(start)
        found += [Content(name, *one)] if one else []
    return tuple(found)


def identify(start: bytes) -> tuple[str, str] | None:
    """Kind and label of the file system that begins with these bytes."""
    if start[_ISO_AT : _ISO_AT + 6] == b"\x01CD001":
        return "ISO 9660", _label(start[_ISO_AT + 40 : _ISO_AT + 72])
    if start[_EXT_AT + 56 : _EXT_AT + 58] == b"\x53\xef":
        return "ext", _label(start[_EXT_AT + 120 : _EXT_AT + 136])
    kind = volume_id.identify(lambda at, size: start[at : at + size]).filesystem
    if kind is FileSystem.FAT:
        at = 71 if start[82:90] == b"FAT32   " else 43
        label = _label(start[at : at + 11])
        return "FAT", "" if label == "NO NAME" else label
    return (_KINDS[kind], "") if kind in _KINDS else None


def _start(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, _SPAN, 0)
    finally:
        os.close(descriptor)


def _label(raw: bytes) -> str:
    text = raw.split(b"\0")[0].decode("utf-8", "replace").strip()
    return "".join(each if each.isprintable() else "?" for each in text)
