"""Block devices as Linux describes them in /sys, and a bounded way to read one.

Source: Linux Documentation/ABI/stable/sysfs-block and sysfs-class-block. Sizes and starts are in
512-byte units there whatever the device's sector size. `root` stands in for "/" in tests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recoverykit.formats.extent import Read

ROOT = Path("/")
_UNIT = 512
# Disks a Windows may live on. Not: loop, ram, zram, sr, fd, mtd, nbd, and the boot and RPMB areas
# of an eMMC chip. md and the RAID mappings of dm are what members were assembled into.
_DISKS = re.compile(r"(sd[a-z]+|hd[a-z]|vd[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+|md\d+|dm-\d+)")
_ASSEMBLED = re.compile(r"md\d+|dm-\d+")


@dataclass(frozen=True, slots=True)
class Block:
    """One block device: a disk, or a partition when `parent` is set."""

    name: str  # "sda3"
    path: Path  # "/dev/sda3"
    size: int  # bytes
    sector_size: int  # logical, bytes
    start: int = 0  # bytes into the parent
    number: int = 0  # partition number
    parent: str = ""
    model: str = ""
    removable: bool = False
    read_only: bool = False
    held: bool = False  # part of an assembled md or dm device


def block(name: str, root: Path = ROOT) -> Block | None:
    """What sysfs says of one device; None when it has gone or never was."""
    home = root / "sys/class/block" / name
    if not home.exists():
        return None
    real = home.resolve()
    disk = real.parent if (real / "partition").exists() else real
    return Block(
        name=name,
        path=root / "dev" / name.replace("!", "/"),
        size=_number(real / "size") * _UNIT,
        sector_size=_number(disk / "queue/logical_block_size") or 512,
        start=_number(real / "start") * _UNIT,
        number=_number(real / "partition"),
        parent=disk.name if disk != real else "",
        model=_text(disk / "device/model"),
        removable=_number(disk / "removable") == 1 or _on_usb(disk),
        read_only=_number(real / "ro") == 1 or _number(disk / "ro") == 1,
        held=_held(real),
    )


def disks(root: Path = ROOT) -> tuple[Block, ...]:
    """Every disk with a medium in it, in the kernel's order of names."""
    home = root / "sys/block"
    names = sorted(entry.name for entry in home.iterdir()) if home.is_dir() else []
    found = (block(name, root) for name in names if _DISKS.fullmatch(name))
    return tuple(disk for disk in found if disk and disk.size and _is_disk(disk.name, root))


def partitions(disk: Block, root: Path = ROOT) -> tuple[Block, ...]:
    """The partitions the kernel knows of a disk (it may know fewer than its table has)."""
    home = root / "sys/class/block" / disk.name
    names = (entry.parent.name for entry in home.resolve().glob("*/partition"))
    found = (block(name, root) for name in names)
    return tuple(sorted((part for part in found if part), key=lambda part: part.number))


@contextmanager
def reader(path: Path) -> Iterator[tuple[Read, int]]:
    """Open a device or image read-only; yield its reader and its size in bytes."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)

        def read(offset: int, length: int) -> bytes:
            if offset < 0 or length <= 0 or offset >= size:
                return b""
            return _whole(handle, offset, min(length, size - offset))

        yield read, size
    finally:
        os.close(handle)


def _whole(handle: int, offset: int, length: int) -> bytes:
    """A read of a device may come back short; only the end of the device is an end."""
    parts: list[bytes] = []
    while length and (data := os.pread(handle, length, offset)):
        parts.append(data)
        offset, length = offset + len(data), length - len(data)
    return b"".join(parts)


def _is_disk(name: str, root: Path) -> bool:
    """Of the device mapper's devices only RAID sets are disks; others are somebody's volumes."""
    if not name.startswith("dm-"):
        return True
    return _text(root / "sys/block" / name / "dm/uuid").startswith("DMRAID-")


def _held(real: Path) -> bool:
    holders = real / "holders"
    return holders.is_dir() and any(_ASSEMBLED.fullmatch(entry.name) for entry in holders.iterdir())


def _on_usb(disk: Path) -> bool:
    return any(re.fullmatch(r"usb\d+", part) for part in disk.parts)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0
