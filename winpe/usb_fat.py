"""FAT32 file systems for a stick, made by mkfs.vfat in sparse files.

Source: Microsoft "FAT32 File System Specification" 1.03 for the fields read here. Of an empty file
system only what mkfs.vfat wrote goes to the stick: the boot sectors, both tables and the root.
"""

from __future__ import annotations

import struct
from pathlib import Path

from winpe import tools
from winpe.errors import ContentError
from winpe.usb_device import SECTOR

REPORTS = "RK-REPORTS"
SMALLEST = 36 << 20  # bytes: FAT32 has at least 65,525 clusters, of one sector at the least
LARGEST = 32 << 30  # what Windows itself formats as FAT32, and tables that are quickly written
_PLENTY = 4 * 65_525  # clusters: below, smaller ones are taken, so that FAT32 is never in doubt


def make(image: Path, label: str, size: int, start: int, *, at: int = 0) -> int:
    """A file system of `size` bytes at `at` of a file; on the stick it will be at `start`.

    Returns how many bytes of it must be written: what lies behind them is free space. Raises
    ToolError, MissingToolError.
    """
    with image.open("ab") as file:
        file.truncate(max(file.tell(), at + size))
    clusters = (each for each in (64, 32, 16, 8, 4, 2) if size // SECTOR // each > _PLENTY)
    form = ["-F", "32", "-S", str(SECTOR), "-s", str(next(clusters, 1)), "-M", "0xF8", "-n", label]
    place = ["-h", str(start // SECTOR), f"--offset={at // SECTOR}"]
    tools.run(["mkfs.vfat", *form, *place, image, str(size // 1024)])
    return _used(image, at, size)


def _used(image: Path, at: int, size: int) -> int:
    with image.open("rb") as file:
        file.seek(at)
        sector = file.read(SECTOR)
    per_cluster, reserved, fats = struct.unpack_from("<BHB", sector, 13)
    (fat_size,) = struct.unpack_from("<I", sector, 36)
    used = int(reserved + fats * fat_size + per_cluster) * SECTOR  # the root: the first cluster
    if not 0 < used <= size:
        raise ContentError("mkfs.vfat made a file system that makes no sense")
    return used
