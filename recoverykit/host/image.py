"""Targets that are files: raw disk images, containers we do not read, and mounted folders.

The fixed VHD is a raw image with a footer (Microsoft, "Virtual Hard Disk Image Format
Specification" 1.0): the footer is cut off and the rest is a disk. Other containers are named and
refused; every one of them can be converted to a raw image.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NoReturn

from recoverykit.errors import UsageError
from recoverykit.formats.extent import Read
from recoverykit.model import FileSystem, Volume

_VHD = b"conectix"
_VHD_FIXED = 2
_CONTAINERS = (
    (0, b"QFI\xfb", "QEMU qcow2 image"),
    (0, b"vhdxfile", "VHDX image"),
    (0, _VHD, "dynamic or differencing VHD image"),
    (0, b"KDMV", "VMware disk image"),
    (0, b"# Disk Des", "VMware disk description"),
    (64, b"\x7f\x10\xda\xbe", "VirtualBox disk image"),
    (0, b"EVF\x09", "EnCase image"),
    (0, b"MSWIM\0\0\0", "WIM image"),
    (32769, b"CD001", "CD image"),
)
_KINDS = {
    "fuseblk": FileSystem.NTFS,
    "ntfs": FileSystem.NTFS,
    "ntfs3": FileSystem.NTFS,
    "vfat": FileSystem.FAT,
    "msdos": FileSystem.FAT,
    "exfat": FileSystem.EXFAT,
}


def data_size(read: Read, size: int) -> int:
    """The size of the disk inside an image file: without the footer of a fixed VHD."""
    footer = read(size - 512, 512)
    if footer.startswith(_VHD) and struct.unpack_from(">I", footer, 60)[0] == _VHD_FIXED:
        return size - 512
    return size


def explain(path: Path, read: Read, size: int) -> None:
    """Raise UsageError saying what this file is instead of a disk; an empty disk is a disk."""
    for at, magic, kind in _CONTAINERS:
        if read(at, len(magic)) == magic:
            raise UsageError(
                f"{path} is a {kind}; recoverykit reads raw disk images.",
                hint=f"convert a copy: qemu-img convert -O raw {path.name} disk.img",
            )
    if size < 512 or read(0, 512).strip(b"\0"):
        _not_a_disk(path)


def _not_a_disk(path: Path) -> NoReturn:
    raise UsageError(
        f"{path} is not a disk image: it has neither a partition table nor a file system we know.",
        hint="give a raw image of a disk or of a partition",
    )


def is_read_only(path: Path) -> bool:
    """No write permission for anybody means 'keep this': root would write to it all the same."""
    locked = not path.stat().st_mode & 0o222
    return locked or bool(os.statvfs(path).f_flag & os.ST_RDONLY) or not os.access(path, os.W_OK)


def folder(path: Path) -> Volume:
    """A mounted volume's root; given the Windows folder itself, its parent."""
    path = path.resolve()
    if _child(path, "System32", "config") and not _child(path, "Windows", "System32"):
        path = path.parent
    return Volume(name=str(path), filesystem=_KINDS.get(kind(path), FileSystem.OTHER), path=path)


def kind(path: Path) -> str:
    """The type of the file system that holds `path`, as /proc/self/mountinfo names it."""
    wanted = path.resolve()
    best = (Path(), "")
    for point, fstype, _ in mounts():
        if (point == wanted or point in wanted.parents) and len(point.parts) >= len(best[0].parts):
            best = (point, fstype)
    return best[1]


def mounts() -> tuple[tuple[Path, str, str], ...]:
    """Every mount of this process: (mount point, type, options), oldest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        point, options = before.split(" ")[4:6]
        found.append((Path(_unescape(point)), after.split(" ")[0], options))
    return tuple(found)


def _unescape(text: str) -> str:
    """Spaces and the like are written as three octal digits."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])


def _child(path: Path, *names: str) -> bool:
    """Whether a folder is there, in any case."""
    for name in names:
        try:
            match = [entry for entry in path.iterdir() if entry.name.lower() == name.lower()]
        except OSError:
            return False
        if not match:
            return False
        path = match[0]
    return path.is_dir()
