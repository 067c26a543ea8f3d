"""The NTFS boot sector: where the volume's own structures lie.

Layout: "NTFS Documentation" (Russon and Fledel), section "$Boot"; Microsoft, "NTFS partition boot
sector". Little-endian. Refused: geometry that no NTFS has, and volumes whose MFT would lie outside.
Says nothing about the volume's health; `ntfs_volume` reads further.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError

OEM_ID = b"NTFS    "
SIZE = 512
_BPB = struct.Struct("<11sHB10xHHII4xQQQb3xb3xQ")  # up to the serial number


@dataclass(frozen=True, slots=True)
class NtfsBoot:
    """Geometry in bytes, checked against each other but not against the device."""

    sector_size: int
    cluster_size: int
    size: int  # of the volume, without the backup boot sector at its end
    hidden_sectors: int  # where the volume believes to start on its disk
    mft: int  # offset of $MFT
    mirror: int  # offset of $MFTMirr
    record_size: int  # of an MFT record
    index_size: int  # of a directory index block
    serial: str  # 16 hex digits

    @classmethod
    def parse(cls, data: bytes) -> NtfsBoot:
        if len(data) < SIZE or data[3:11] != OEM_ID:
            raise FormatError("NTFS boot sector", 0, "not an NTFS volume")
        _, sector, per_cluster, _, _, hidden, _, total, mft, mirror, record, index, serial = (
            _BPB.unpack_from(data)
        )
        if sector not in (256, 512, 1024, 2048, 4096):
            raise FormatError("NTFS boot sector", 11, f"impossible sector size {sector}")
        cluster = sector * _sectors_per_cluster(per_cluster)
        size = total * sector
        if not (0 < mft * cluster < size and 0 < mirror * cluster < size):
            raise FormatError("NTFS boot sector", 48, "the MFT lies outside the volume")
        return cls(
            sector_size=sector,
            cluster_size=cluster,
            size=size,
            hidden_sectors=hidden,
            mft=mft * cluster,
            mirror=mirror * cluster,
            record_size=_block_size(record, cluster, 64),
            index_size=_block_size(index, cluster, 68),
            serial=f"{serial:016x}",
        )


def _sectors_per_cluster(raw: int) -> int:
    """Powers of two up to 128; larger clusters (to 2 MiB) are stored as a negative exponent."""
    count = 1 << (256 - raw) if raw > 0x80 else raw
    if count.bit_count() != 1 or count > 4096:
        raise FormatError("NTFS boot sector", 13, f"impossible cluster size ({raw} sectors)")
    return count


def _block_size(raw: int, cluster: int, where: int) -> int:
    """Clusters when positive, otherwise the exponent of a number of bytes."""
    size = raw * cluster if raw > 0 else 1 << min(-raw, 31)
    if size.bit_count() != 1 or not 256 <= size <= 1 << 21:
        raise FormatError("NTFS boot sector", where, f"impossible record size {size}")
    return size
