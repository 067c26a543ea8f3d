"""Which file system, or which lock, begins at a place on a disk.

Sources: Microsoft "FAT32 File System Specification" 1.03 (the cluster count decides the FAT kind),
"exFAT file system specification", section 3.1; "NTFS Documentation", section "$Boot"; libyal
"BitLocker Drive Encryption (BDE) format", section "Volume header" (also To Go); LUKS on-disk
formats 1.2.3 and 2; libyal "Resilient File System (ReFS)", section "Volume header". Looks at
signatures and geometry in the first sectors only; never guesses: what is not recognised is OTHER.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_boot import NtfsBoot
from recoverykit.model import FileSystem

_BDE_SIGNATURE = b"-FVE-FS-"
_TO_GO_SIGNATURE = b"MSWIN4.1"  # also that of FAT: the GUID below decides
_BDE_GUIDS = (  # as stored; the second marks volumes where only used space is encrypted
    bytes.fromhex("3bd66749292ed84a8399f6a339e3d001"),
    bytes.fromhex("3b4da89280dd0e4d9e4eb1e3284eaed8"),
)
_TO_GO_GUID_AT = 424
_BDE_GUID_AT = 160
_FAT_JUMPS = (0xEB, 0xE9)


@dataclass(frozen=True, slots=True)
class VolumeId:
    filesystem: FileSystem
    serial: str = ""  # hex as Windows shows it, without a dash
    note: str = ""  # one sentence where the name alone does not say enough
    size: int = 0  # bytes the file system needs; 0 where we did not look


UNKNOWN = VolumeId(FileSystem.OTHER)


def identify(read: Read) -> VolumeId:
    """Name what begins at offset 0 of `read`. Never raises: damaged is OTHER with a note."""
    sector = read(0, 512)
    if len(sector) < 512:
        return UNKNOWN
    if _is_bitlocker(sector):
        return VolumeId(FileSystem.BITLOCKER)
    if sector.startswith(b"LUKS\xba\xbe"):
        return VolumeId(FileSystem.LUKS)
    if sector[3:11] == b"ReFS\0\0\0\0":
        return VolumeId(FileSystem.REFS)
    if sector[3:11] == b"EXFAT   ":
        return VolumeId(FileSystem.EXFAT, f"{struct.unpack_from('<I', sector, 100)[0]:08x}")
    if sector[3:11] == b"NTFS    ":
        return _ntfs(sector)
    return _fat(sector)


def _is_bitlocker(sector: bytes) -> bool:
    """All but To Go write over NTFS's OEM name; To Go pretends to be FAT."""
    if sector[3:11] == _BDE_SIGNATURE:
        return True
    if sector[3:11] != _TO_GO_SIGNATURE:
        return False
    return any(sector[at : at + 16] in _BDE_GUIDS for at in (_TO_GO_GUID_AT, _BDE_GUID_AT))


def _ntfs(sector: bytes) -> VolumeId:
    try:
        boot = NtfsBoot.parse(sector)
    except FormatError as exc:
        return VolumeId(FileSystem.OTHER, note=f"It was NTFS, but is damaged: {exc}.")
    return VolumeId(FileSystem.NTFS, boot.serial, size=boot.size)


def _fat(sector: bytes) -> VolumeId:
    """FAT has no signature worth the name: every field must make sense together."""
    size, per_cluster, reserved, fats, root, small, media, fat16, *_, large, fat32 = (
        struct.unpack_from("<HBHBHHBHHHIII", sector, 11)
    )
    total, fat_size = small or large, fat16 or fat32
    plausible = (
        sector[0] in _FAT_JUMPS
        and sector[510:512] == b"\x55\xaa"
        and size in (512, 1024, 2048, 4096)
        and per_cluster in (1, 2, 4, 8, 16, 32, 64, 128)
        and reserved
        and fats in (1, 2)
        and (media == 0xF0 or media >= 0xF8)
        and fat_size
        and total > reserved + fats * fat_size
    )
    if not plausible:
        return UNKNOWN
    root_sectors = -(-root * 32 // size)
    clusters = (total - reserved - fats * fat_size - root_sectors) // per_cluster
    serial_at = 39 if clusters < 65525 else 67
    return VolumeId(FileSystem.FAT, f"{struct.unpack_from('<I', sector, serial_at)[0]:08x}")
