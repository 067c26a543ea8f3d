"""The blocks in which NTFS says which names a folder has and whose they are; and small repairs.

Layout: "NTFS Documentation" (Russon and Fledel), sections "File Record", "Index Record",
"$INDEX_ROOT" and "Fixup"; ntfs-3g's layout.h. Pure: bytes in, `Pieces` out, which somebody else
writes. Repaired are only a $MFTMirr that lags behind its $MFT by a write, a name in a leaf of a
folder's index that belongs to no file, blocks of which some sectors are one write behind, and
clusters of a file that are marked as free; whatever else is wrong is chkdsk's business.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from recoverykit.errors import FormatError
from recoverykit.formats import ntfs_volume
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_boot import NtfsBoot
from recoverykit.formats.ntfs_volume import NtfsVolume, Stream, contents, unprotect

Pieces = dict[int, bytes]  # offset in the volume -> what is, or shall be, there

_BITMAP = 0xB0
_MFT = 0
_BITMAP_FILE = 6  # the MFT record of $Bitmap
_MIRRORED = 4  # records of $MFT that $MFTMirr repeats
_SECTOR = 512
_RECORD_MOST = 4096
_HEADER = 24  # of an index block, before the header of its node
_MOST = 16 << 20  # of one folder: 80,000 names
_KEPT = {ntfs_volume.ATTRIBUTE_LIST: "", ntfs_volume.INDEX_ALLOCATION: "$I30", _BITMAP: "$I30"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name stands in a folder's index."""

    block: int  # its block's offset in the volume; -1: in the MFT record
    at: int  # in the block
    reference: int  # sequence number (16 bits) and MFT record (48) of the file
    leaf: bool  # nothing hangs below the name


def blocks(volume: NtfsVolume, number: int) -> Pieces:
    """Everything that changes when a name comes to, or goes from, a file or folder.

    Its MFT record and the extensions of that, and of a folder the index. Raises FormatError.
    """
    found: Pieces = {}
    for where, length in _extents(volume, number):
        found[where] = volume.read(where, length)
        if sum(map(len, found.values())) > _MOST:
            raise FormatError("directory index", 0, "too large to be kept")
    return found


def _extents(volume: NtfsVolume, number: int) -> Iterator[tuple[int, int]]:
    size = volume.boot.record_size
    for one in _records(volume, number):
        yield from spans(volume.mft, one * size, size)
        record, at = ntfs_volume.file_record(volume, one)
        for attribute in ntfs_volume.attributes(record, volume.boot, at):
            if _KEPT.get(attribute.type) == attribute.name:
                for where, length in attribute.stream.runs:
                    if where >= 0:
                        yield where, min(length, _MOST + 1)


def _records(volume: NtfsVolume, number: int) -> list[int]:
    """A base record and its extensions."""
    spread = ntfs_volume.stream(volume, number, ntfs_volume.ATTRIBUTE_LIST)
    if spread is None:
        return [number]
    listed = contents(volume, spread, 0, spread.size)
    return sorted({number, *(entry[3] for entry in ntfs_volume.list_entries(listed))})


def spans(stream: Stream, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Where a part of a non-resident stream lies: (offset in the volume, length)."""
    start = 0
    for where, size in stream.runs:
        skip, end = max(offset - start, 0), min(offset + length - start, size)
        if skip < end and where >= 0:
            yield where + skip, end - skip
        start += size


# --- the mirror ---------------------------------------------------------------------------


def mirror(read: Read) -> Pieces:
    """What makes the first records of $MFT and their copies the same again; nothing: they are.

    Of two that differ the whole one counts, and $MFT's if both are. Raises FormatError.
    """
    boot = NtfsBoot.parse(read(0, _SECTOR))
    wanted: Pieces = {}
    for at in range(0, _MIRRORED * boot.record_size, boot.record_size):
        first, second = (read(where + at, boot.record_size) for where in (boot.mft, boot.mirror))
        if first == second:
            continue
        if _whole(first):
            wanted[boot.mirror + at] = first
        elif _whole(second):
            wanted[boot.mft + at] = second
    return wanted


def _whole(record: bytes) -> bool:
    try:
        unprotect(record, b"FILE", 0)
    except FormatError:
        return False
    return True


# --- torn writes --------------------------------------------------------------------------


def healed(volume: NtfsVolume, number: int) -> Pieces:
    """The record of a file or folder, and the blocks of its index, made whole where the power went
    between their sectors. Raises FormatError where that record is no record.

    ntfs-3g writes a block whenever a time or size in it changes: sectors of before and after then
    say the same, but for the numbers at their ends. Of others the order of names tells.
    """
    found: Pieces = {}
    for where, length in spans(volume.mft, number * volume.boot.record_size, _RECORD_MOST):
        record = volume.read(where, min(length, volume.boot.record_size))
        whole = _healed(record, b"FILE")
        if whole is not None and _is_record(whole, volume.boot):
            found[where] = whole
        break
    mended = NtfsVolume(overlaid(volume.read, found), volume.boot, volume.mft)
    for where, block in _blocks(mended, number):
        whole = _healed(block, b"INDX")
        if whole is not None and _is_node(whole):
            found[where] = whole
    return found


def _healed(block: bytes, magic: bytes) -> bytes | None:
    """None: it is whole, or sectors of it are older than the write before."""
    if block[:4] != magic or len(block) < _SECTOR:
        return None
    start, count = struct.unpack_from("<HH", block, 4)
    if count != len(block) // _SECTOR + 1 or start + 2 * count > _SECTOR - 2:
        return None
    (number,) = struct.unpack_from("<H", block, start)
    tails = [struct.unpack_from("<H", block, i * _SECTOR - 2)[0] for i in range(1, count)]
    if all(tail == number for tail in tails):
        return None
    if any(tail not in (number, number - 1 or 0xFFFE) for tail in tails):
        return None
    made = bytearray(block)
    for i in range(1, count):
        struct.pack_into("<H", made, i * _SECTOR - 2, number)
    return bytes(made)


def _is_record(block: bytes, boot: NtfsBoot) -> bool:
    try:
        kinds = [one.type for one in ntfs_volume.attributes(unprotect(block, b"FILE", 0), boot, 0)]
    except FormatError:
        return False
    return kinds == sorted(kinds)


def _is_node(block: bytes) -> bool:
    try:
        names = [name.upper() for name, _ in _entries(unprotect(block, b"INDX", 0), _HEADER, 0)]
    except FormatError:
        return False
    return all(first < second for first, second in pairwise(names))


# --- clusters -----------------------------------------------------------------------------


def claimed(volume: NtfsVolume, number: int) -> Pieces:
    """What marks the record and the clusters of a file as used where the bitmaps have them free.

    ntfs-3g shortens a file by freeing its clusters first, and says so in its record one write
    later; in between, they would be given to another file as well. Raises FormatError.
    """
    bitmap = ntfs_volume.stream(volume, _BITMAP_FILE)
    records = ntfs_volume.stream(volume, _MFT, _BITMAP)
    if bitmap is None or records is None:
        raise FormatError("$Bitmap", 0, "no data")
    record, at = ntfs_volume.file_record(volume, number)
    found = _marked(volume, records, number, 1)
    for attribute in ntfs_volume.attributes(record, volume.boot, at):
        for where, size in attribute.stream.runs:
            if where >= 0:
                first = where // volume.boot.cluster_size
                found |= _marked(volume, bitmap, first, size // volume.boot.cluster_size)
    return found


def _marked(volume: NtfsVolume, bitmap: Stream, first: int, count: int) -> Pieces:
    begin = first // 8
    bits = bytearray(contents(volume, bitmap, begin, (first + count - 1) // 8 - begin + 1))
    was = bytes(bits)
    for cluster in range(first, min(first + count, 8 * (begin + len(bits)))):
        bits[cluster // 8 - begin] |= 1 << cluster % 8
    if bits == was:
        return {}
    found: Pieces = {}
    at = 0
    for where, length in spans(bitmap, begin, len(bits)):
        found[where], at = bytes(bits[at : at + length]), at + length
    return found


# --- names --------------------------------------------------------------------------------


def names(volume: NtfsVolume, number: int) -> dict[str, int]:
    """The names a folder lists, with the reference (sequence number, record) of each.

    Blocks that a cut has torn are passed over. Raises FormatError.
    """
    return {name: place.reference for name, place in places(volume, number).items()}


def places(volume: NtfsVolume, number: int) -> dict[str, Place]:
    """The same, and where in the index each name stands."""
    return dict(_listed(volume, number))


def mentions(volume: NtfsVolume, number: int, name: str) -> bool:
    """Whether a name stands anywhere in a folder's index, also in a block that a cut has torn.

    Raises FormatError where the folder's record cannot be read.
    """
    sought = name.encode("utf-16-le")
    root = ntfs_volume.stream(volume, number, ntfs_volume.INDEX_ROOT, "$I30")
    if root is not None and sought in root.resident:
        return True
    return any(sought in block for _, block in _blocks(volume, number))


def overlaid(read: Read, pieces: Pieces) -> Read:
    """The bytes as they would be with the pieces written."""

    def inside(offset: int, length: int) -> bytes:
        found = bytearray(read(offset, length))
        for at, content in pieces.items():
            first, last = max(at, offset), min(at + len(content), offset + len(found))
            if first < last:
                found[first - offset : last - offset] = content[first - at : last - at]
        return bytes(found)

    return inside


def is_dead(volume: NtfsVolume, reference: int) -> bool:
    """Whether a name leads nowhere: its record is free, or of another file by now."""
    try:
        record, _ = ntfs_volume.file_record(volume, reference & 0xFFFF_FFFF_FFFF)
    except FormatError:
        return True
    return bool(struct.unpack_from("<H", record, 16)[0] != reference >> 48)


def without_dead(volume: NtfsVolume, number: int, name: str) -> Pieces:
    """The block of a folder's index without a name that leads nowhere; nothing: it has none.

    Only from a leaf: that is where ntfs-3g adds them. Raises FormatError.
    """
    for found, place in _listed(volume, number):
        same = found.upper() == name.upper() and place.leaf and place.block >= 0
        if same and is_dead(volume, place.reference):
            block = volume.read(place.block, volume.boot.index_size)
            return {place.block: _cut_out(block, place.at)}
    return {}


def _cut_out(block: bytes, at: int) -> bytes:
    node = bytearray(unprotect(block, b"INDX", 0))
    (length,) = struct.unpack_from("<H", node, at + 8)
    (used,) = struct.unpack_from("<I", node, _HEADER + 4)
    end = _HEADER + used
    node[at:end] = node[at + length : end] + bytes(length)
    struct.pack_into("<I", node, _HEADER + 4, used - length)
    return _protected(node)


def _protected(node: bytearray) -> bytes:
    """With the next update sequence number at the end of every sector."""
    start, count = struct.unpack_from("<HH", node, 4)
    (number,) = struct.unpack_from("<H", node, start)
    number = number % 0xFFFE + 1  # never 0 nor 0xFFFF
    struct.pack_into("<H", node, start, number)
    for i in range(1, count):
        end = i * _SECTOR
        node[start + 2 * i : start + 2 * i + 2] = node[end - 2 : end]
        struct.pack_into("<H", node, end - 2, number)
    return bytes(node)


def _listed(volume: NtfsVolume, number: int) -> Iterator[tuple[str, Place]]:
    root = ntfs_volume.stream(volume, number, ntfs_volume.INDEX_ROOT, "$I30")
    if root is None:
        raise FormatError("directory index", 0, f"record {number} has none")
    yield from _entries(root.resident, 16, -1)
    for where, node in _nodes(volume, number):
        yield from _entries(node, _HEADER, where)


def _nodes(volume: NtfsVolume, number: int) -> Iterator[tuple[int, bytes]]:
    """The index blocks in use, unprotected, and where each lies in the volume."""
    for where, block in _blocks(volume, number):
        with suppress(FormatError):
            yield where, unprotect(block, b"INDX", where)


def _blocks(volume: NtfsVolume, number: int) -> Iterator[tuple[int, bytes]]:
    rest = ntfs_volume.stream(volume, number, ntfs_volume.INDEX_ALLOCATION, "$I30")
    used = ntfs_volume.stream(volume, number, _BITMAP, "$I30")
    if rest is None or used is None:
        return
    step = volume.boot.index_size
    bits = contents(volume, used, 0, _MOST // step // 8)
    for one in range(min(rest.size // step, 8 * len(bits))):
        if bits[one // 8] >> one % 8 & 1:
            for where, length in spans(rest, one * step, step):
                yield where, volume.read(where, length)


def _entries(node: bytes, header: int, block: int) -> Iterator[tuple[str, Place]]:
    for entry in ntfs_volume.index_entries(node, header):
        yield entry.name, Place(block, entry.at, entry.reference, entry.leaf)
