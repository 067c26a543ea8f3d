"""Whether what an NTFS volume says of its records and clusters fits together.

A block that is put back must not bring back a record or a cluster that something else may be given:
each record in use has its bit in $MFT's bitmap, each cluster of each run its bit in $Bitmap, and no
cluster two owners. Bits without an owner are only lost room, and not looked for. Every attribute is
read, through `recoverykit.formats.ntfs_volume`; the bitmaps by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recoverykit.errors import FormatError
from recoverykit.formats import ntfs_volume
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.host import blocks

_MFT, _BITMAP_FILE, _BITMAP, _BAD = 0, 6, 0xB0, 8


def problems(image: Path) -> tuple[str, ...]:
    """One sentence for each thing that does not fit; empty: all does."""
    with blocks.reader(image) as (read, _):
        volume = NtfsVolume.open(read)
        records = _bits(volume, _MFT, _BITMAP)
        clusters = _bits(volume, _BITMAP_FILE, ntfs_volume.DATA)
        return tuple(_problems(volume, records, clusters))


def _problems(volume: NtfsVolume, records: bytes, clusters: bytes) -> Iterator[str]:
    owners: dict[int, int] = {}
    for number in range(volume.mft.size // volume.boot.record_size):
        try:
            record, where = ntfs_volume.file_record(volume, number)
        except FormatError:
            continue
        if not _set(records, number):
            yield f"record {number} is in use, and free in $MFT's bitmap"
        for attribute in ntfs_volume.attributes(record, volume.boot, where):
            if number == _BAD or attribute.stream.resident:
                continue
            for cluster in _clusters(volume, attribute.stream):
                if not _set(clusters, cluster):
                    yield f"cluster {cluster} of record {number} is free in $Bitmap"
                if owners.setdefault(cluster, number) != number:
                    yield f"cluster {cluster} is of records {owners[cluster]} and {number}"


def _clusters(volume: NtfsVolume, stream: ntfs_volume.Stream) -> Iterator[int]:
    for offset, size in stream.runs:
        if offset >= 0:
            first = offset // volume.boot.cluster_size
            yield from range(first, first + size // volume.boot.cluster_size)


def _bits(volume: NtfsVolume, number: int, kind: int) -> bytes:
    stream = ntfs_volume.stream(volume, number, kind)
    assert stream is not None
    return ntfs_volume.contents(volume, stream, 0, stream.size)


def _set(bits: bytes, number: int) -> bool:
    return number // 8 < len(bits) and bool(bits[number // 8] >> number % 8 & 1)
