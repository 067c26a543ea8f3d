"""Disks that are only a part of something: firmware RAID, dynamic disks, Storage Spaces.

One such disk looks like a whole one (a mirror half even holds a readable Windows), and writing to
it alone tears the set apart. Signatures: Linux mdadm, super-intel.c (IMSM: anchor in the second
last sector) and super-ddf.c (SNIA "Common RAID Disk Data Format" 2.0, section 5: anchor header in
the last sector); Russon, "LDM Documentation", section "PRIVHEAD" (sector 6, or the LDM metadata
partition); Linux md superblocks (include/uapi/linux/raid/md_p.h). Only recognises; never assembles.
"""

from __future__ import annotations

from collections.abc import Iterable

from recoverykit.formats import gpt, mbr
from recoverykit.formats.extent import Partition, Read

IMSM = "Intel RST RAID (IMSM)"
DDF = "firmware RAID (DDF)"
LDM = "dynamic disk (LDM)"
SPACES = "Storage Spaces pool"
LINUX_MD = "Linux software RAID (md)"

_IMSM_SIGNATURE = b"Intel Raid ISM Cfg Sig. "
_DDF_MAGIC = bytes.fromhex("de11de11")
_PRIVHEAD = b"PRIVHEAD"
_SPACEDB = b"SPACEDB "
_MD_MAGIC = bytes.fromhex("fc4e2ba9")
_LDM_TYPES = (gpt.LDM_METADATA, gpt.LDM_DATA)


def by_signature(read: Read, size: int, sector_size: int) -> str:
    """What the disk is a member of by its last and first sectors; "" for an ordinary disk."""
    for sector in {512, sector_size}:
        if read(size - 2 * sector, len(_IMSM_SIGNATURE)) == _IMSM_SIGNATURE:
            return IMSM
        if read(size - sector, 4) in (_DDF_MAGIC, _DDF_MAGIC[::-1]):
            return DDF
    if _MD_MAGIC in (read(0, 4), read(4096, 4), read(_md_1_0(size), 4), read(_md_0_90(size), 4)):
        return LINUX_MD
    return ""


def by_partitions(partitions: Iterable[Partition], read: Read) -> str:
    """What the disk is a member of by its partition types; "" for an ordinary disk."""
    kinds = {part.type for part in partitions}
    if gpt.STORAGE_SPACES in kinds:
        return SPACES
    if kinds & set(_LDM_TYPES):
        return LDM
    # An MBR type byte alone may be anything: 0x42 was also used by others.
    if mbr.LDM in kinds and read(6 * 512, len(_PRIVHEAD)) == _PRIVHEAD:
        return LDM
    return ""


def is_space(read: Read) -> bool:
    """Whether a partition (offsets count from its start) belongs to a Storage Spaces pool."""
    return read(4096, len(_SPACEDB)) == _SPACEDB or read(0, len(_SPACEDB)) == _SPACEDB


def _md_0_90(size: int) -> int:
    """Version 0.90: the last whole 64 KiB block but one."""
    return (size & ~0xFFFF) - 0x10000


def _md_1_0(size: int) -> int:
    """Version 1.0: at least 8 KiB from the end, on a 4 KiB boundary."""
    return (size - 0x2000) & ~0xFFF
