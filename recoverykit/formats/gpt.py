"""GUID partition tables, read-only.

Layout: UEFI Specification 2.10, chapter 5.3 ("GUID Partition Table (GPT) Disk Layout"). Both
copies are known: where the primary is damaged the backup in the disk's last sector is used, and
that is said in `notes`. Refused (`FormatError`): two damaged copies, tables larger than any real
one. Entries that lie outside the disk or over another entry are left out and named in `notes`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.extent import Partition, Read, guid

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
MICROSOFT_RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
BASIC_DATA = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
RECOVERY = "de94bba4-06d1-4d40-a16a-bfd50179d6ac"
LDM_METADATA = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"
LDM_DATA = "af9b60a0-1431-4f62-bc68-3311714a69ad"
STORAGE_SPACES = "e75caf8f-f680-4cee-afa3-b001e56efc2d"

SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")  # 92 bytes
_ENTRY = struct.Struct("<16s16sQQQ72s")  # 128 bytes
_MAX_ARRAY = 1 << 20  # 8192 entries; Windows makes 128
_UNUSED = bytes(16)


@dataclass(frozen=True, slots=True)
class Gpt:
    """A checked table: every partition lies inside the disk and over no other."""

    disk_guid: str
    sector_size: int
    partitions: tuple[Partition, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Header:
    disk_guid: str
    first_usable: int
    last_usable: int
    entries_lba: int
    count: int
    entry_size: int
    entries_crc: int
    backup_lba: int


def present(read: Read, size: int, sector_size: int) -> bool:
    """Whether either copy announces itself, intact or not."""
    return any(
        read(lba * sector_size, len(SIGNATURE)) == SIGNATURE
        for lba in (1, size // sector_size - 1)
        if lba > 0
    )


def parse(read: Read, size: int, sector_size: int) -> Gpt:
    """The table of a disk of `size` bytes. Raises FormatError when neither copy is intact."""
    last = size // sector_size - 1
    try:
        return _copy(read, size, sector_size, 1)
    except FormatError as primary:
        try:
            backup = _copy(read, size, sector_size, last)
        except FormatError:
            raise primary from None
        note = f"The primary partition table is damaged ({primary}); the backup was used."
        return Gpt(backup.disk_guid, sector_size, backup.partitions, notes=(note, *backup.notes))


def _copy(read: Read, size: int, sector_size: int, lba: int) -> Gpt:
    header = _header(read, sector_size, lba)
    array = _array(read, size, sector_size, header)
    partitions, notes = _entries(array, header, size, sector_size)
    return Gpt(header.disk_guid, sector_size, partitions, notes)


def _header(read: Read, sector_size: int, lba: int) -> _Header:
    where = lba * sector_size
    data = read(where, sector_size)
    if len(data) < _HEADER.size or not data.startswith(SIGNATURE):
        raise FormatError("GPT header", max(where, 0), "no 'EFI PART' signature")
    (_, _, length, crc, _, my_lba, other_lba, first, last, disk, entries, count, entry_size,
     entries_crc) = _HEADER.unpack_from(data)  # fmt: skip
    if not _HEADER.size <= length <= len(data):
        raise FormatError("GPT header", where, f"impossible header size {length}")
    if zlib.crc32(data[:16] + bytes(4) + data[20:length]) != crc:
        raise FormatError("GPT header", where, "checksum does not match")
    if my_lba != lba:
        raise FormatError("GPT header", where, f"says it lies in sector {my_lba}")
    if entry_size < _ENTRY.size or entry_size % 8 or count * entry_size > _MAX_ARRAY:
        raise FormatError("GPT header", where, f"impossible table: {count} x {entry_size} bytes")
    return _Header(guid(disk), first, last, entries, count, entry_size, entries_crc, other_lba)


def _array(read: Read, size: int, sector_size: int, header: _Header) -> bytes:
    where, length = header.entries_lba * sector_size, header.count * header.entry_size
    if where + length > size:
        raise FormatError("GPT entries", where, "outside the disk")
    data = read(where, length)
    if len(data) != length or zlib.crc32(data) != header.entries_crc:
        raise FormatError("GPT entries", where, "checksum does not match")
    return data


def _entries(
    array: bytes, header: _Header, size: int, sector_size: int
) -> tuple[tuple[Partition, ...], tuple[str, ...]]:
    found: list[Partition] = []
    notes: list[str] = []
    for slot in range(header.count):
        raw = _ENTRY.unpack_from(array, slot * header.entry_size)
        type_guid, own_guid, first, last, _, name = raw
        if type_guid == _UNUSED:
            continue
        if not 0 < first <= last or (last + 1) * sector_size > size:
            notes.append(f"Partition {slot + 1} lies outside the disk and was left out.")
            continue
        found.append(
            Partition(
                number=slot + 1,
                offset=first * sector_size,
                size=(last - first + 1) * sector_size,
                type=guid(type_guid),
                identity=f"gpt:{guid(own_guid)}",
                name=name.decode("utf-16-le", "replace").split("\0")[0],
            )
        )
    kept, overlapping = without_overlaps(found)
    return kept, (*notes, *overlapping)


def without_overlaps(
    found: list[Partition],
) -> tuple[tuple[Partition, ...], tuple[str, ...]]:
    """Both partners of an overlap are left out: nobody can say which of them is real."""
    bad: set[int] = set()
    widest: Partition | None = None  # the one so far that reaches furthest
    for part in sorted(found, key=lambda p: (p.offset, p.number)):
        if widest and part.offset < widest.offset + widest.size:
            bad |= {widest.number, part.number}
        if widest is None or part.offset + part.size > widest.offset + widest.size:
            widest = part
    note = f"Partitions {', '.join(map(str, sorted(bad)))} overlap and were left out."
    return tuple(p for p in found if p.number not in bad), (note,) if bad else ()
