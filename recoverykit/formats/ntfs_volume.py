"""Just enough of NTFS to judge a volume before anything mounts it. Read-only.

Layout: "NTFS Documentation" (Russon and Fledel), sections "File Record", "Attributes", "Index
Record", "$Volume", and ntfs-3g's layout.h for the update sequence. Reads unnamed, uncompressed
streams of files in the root directory, nothing else: no sub-directories, no names beyond ASCII, and
of an attribute spread over several records only the part that holds its beginning. Every count is
bounded by the record it lies in; every run by the volume.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_boot import NtfsBoot

LOG_FILE = 2
VOLUME = 3
ROOT = 5

ATTRIBUTE_LIST = 0x20
DATA = 0x80
VOLUME_INFORMATION = 0x70
INDEX_ROOT = 0x90
INDEX_ALLOCATION = 0xA0
_END = 0xFFFF_FFFF
_IN_USE = 1
_MULTI = 512  # the update sequence protects the last two bytes of every 512, whatever the sector
_MAX_RUNS = 4096
_MAX_EXTENTS = 256  # entries of $MFT's own attribute list
_MAX_LIST = 256 << 10  # NTFS's own limit for an attribute list
_MAX_INDEX = 1024  # blocks of one directory's index that we are willing to walk: 20,000 names


@dataclass(frozen=True, slots=True)
class Stream:
    """The contents of an attribute: bytes in the record, or runs of clusters."""

    size: int
    resident: bytes = b""
    runs: tuple[tuple[int, int], ...] = ()  # (offset in the volume, length), bytes; -1: a hole


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A name in a node of a folder's index."""

    name: str
    reference: int  # sequence number (16 bits), MFT record
    at: int  # offset in the node
    leaf: bool  # no node lies below it


@dataclass(frozen=True, slots=True)
class Attribute:
    type: int
    name: str
    stream: Stream


@dataclass(frozen=True, slots=True)
class NtfsVolume:
    """An NTFS volume and the way to its bytes (offsets count from the volume's start)."""

    read: Read
    boot: NtfsBoot
    mft: Stream

    @classmethod
    def open(cls, read: Read) -> NtfsVolume:
        """Raises FormatError when this is no NTFS volume or $MFT itself cannot be read."""
        boot = NtfsBoot.parse(read(0, 512))
        first = unprotect(read(boot.mft, boot.record_size), b"FILE", boot.mft)
        mft = _one(attributes(first, boot, boot.mft), DATA, "")
        if mft is None or not mft.runs:
            raise FormatError("$MFT", boot.mft, "no data runs")
        beginning = cls(read, boot, mft)
        spread = _one(attributes(first, boot, boot.mft), ATTRIBUTE_LIST, "")
        return _with_all_extents(beginning, spread) if spread else beginning


def contents(volume: NtfsVolume, stream: Stream, offset: int, length: int) -> bytes:
    """Up to `length` bytes of a stream; holes read as zeros; short at its end."""
    length = max(0, min(length, stream.size - offset))
    if not stream.runs:
        return stream.resident[offset : offset + length]
    parts: list[bytes] = []
    start = 0
    for where, size in stream.runs:
        skip, take = max(offset - start, 0), min(offset + length, start + size)
        if start + skip < take:
            wanted = take - start - skip
            parts.append(bytes(wanted) if where < 0 else volume.read(where + skip, wanted))
        start += size
    return b"".join(parts)


def stream(volume: NtfsVolume, number: int, kind: int = DATA, name: str = "") -> Stream | None:
    """One attribute of an MFT record; None when the record has none such."""
    record, where = file_record(volume, number)
    found = _one(attributes(record, volume.boot, where), kind, name)
    if found is not None:
        return found
    spread = _one(attributes(record, volume.boot, where), ATTRIBUTE_LIST, "")
    if spread is None:
        return None
    elsewhere = _listed(contents(volume, spread, 0, _MAX_LIST), kind, name)
    if elsewhere is None or elsewhere == number:
        return None
    record, where = file_record(volume, elsewhere)
    return _one(attributes(record, volume.boot, where), kind, name)


def find_in_root(volume: NtfsVolume, name: str) -> int | None:
    """The MFT record number of a file in the root directory, by ASCII name in any case."""
    for entry_name, number in _root_entries(volume):
        if entry_name.upper() == name.upper():
            return number
    return None


def unprotect(data: bytes, magic: bytes, where: int) -> bytes:
    """Check a record's signature and undo its update sequence (torn writes show here)."""
    what = f"{magic.decode('ascii', 'replace')} record"
    if len(data) < 48 or data[:4] != magic:
        raise FormatError(what, where, "signature missing")
    start, count = struct.unpack_from("<HH", data, 4)
    if count != len(data) // _MULTI + 1 or start + 2 * count > _MULTI - 2 or start < 6:
        raise FormatError(what, where, "impossible update sequence")
    whole = bytearray(data)
    for i in range(1, count):
        end = i * _MULTI
        if data[end - 2 : end] != data[start : start + 2]:
            raise FormatError(what, where + end - 2, "torn write")
        whole[end - 2 : end] = data[start + 2 * i : start + 2 * i + 2]
    return bytes(whole)


def file_record(volume: NtfsVolume, number: int) -> tuple[bytes, int]:
    """One record of $MFT, unprotected, and where in $MFT it lies. FormatError: not one in use."""
    size = volume.boot.record_size
    data = contents(volume, volume.mft, number * size, size)
    where = number * size
    if len(data) != size:
        raise FormatError("$MFT", where, f"no record {number}")
    record = unprotect(data, b"FILE", where)
    if not struct.unpack_from("<H", record, 22)[0] & _IN_USE:
        raise FormatError("$MFT", where, f"record {number} is not in use")
    return record, where


def attributes(record: bytes, boot: NtfsBoot, where: int) -> Iterator[Attribute]:
    """What a record holds, of which the runs of a later part begin with that part."""
    at = struct.unpack_from("<H", record, 20)[0]
    while at + 8 <= len(record):
        kind, length = struct.unpack_from("<II", record, at)
        if kind == _END:
            return
        if length < 24 or length % 8 or at + length > len(record):
            raise FormatError("FILE record", where + at, f"impossible attribute length {length}")
        yield _attribute(record[at : at + length], kind, boot, where + at)
        at += length
    raise FormatError("FILE record", where, "the attributes have no end")


def _attribute(data: bytes, kind: int, boot: NtfsBoot, where: int) -> Attribute:
    non_resident, name_length, name_at = struct.unpack_from("<BBH", data, 8)
    name = data[name_at : name_at + 2 * name_length].decode("utf-16-le", "replace")
    if not non_resident:
        size, start = struct.unpack_from("<IH", data, 16)
        if start + size > len(data):
            raise FormatError("FILE record", where, "resident value leaves its attribute")
        return Attribute(kind, name, Stream(size, data[start : start + size]))
    if len(data) < 64:
        raise FormatError("FILE record", where, "attribute header cut off")
    (runs_at,) = struct.unpack_from("<H", data, 32)
    (size,) = struct.unpack_from("<Q", data, 48)
    return Attribute(kind, name, Stream(size, b"", _runs(data[runs_at:], boot, where)))


def _runs(data: bytes, boot: NtfsBoot, where: int) -> tuple[tuple[int, int], ...]:
    """Decode mapping pairs: a nibble-coded length and a signed step from the run before."""
    runs: list[tuple[int, int]] = []
    at = cluster = 0
    while at < len(data) and data[at]:
        length_bytes, step_bytes = data[at] & 15, data[at] >> 4
        end = at + 1 + length_bytes + step_bytes
        if not 1 <= length_bytes <= 8 or step_bytes > 8 or end > len(data):
            raise FormatError("data runs", where + at, "impossible run")
        length = int.from_bytes(data[at + 1 : at + 1 + length_bytes], "little")
        step = int.from_bytes(data[at + 1 + length_bytes : end], "little", signed=True)
        cluster += step
        offset, size = cluster * boot.cluster_size, length * boot.cluster_size
        if not size or cluster < 0 or offset + size > boot.size + boot.cluster_size:
            raise FormatError("data runs", where + at, "run outside the volume")
        runs.append((offset if step_bytes else -1, size))
        if len(runs) > _MAX_RUNS:
            raise FormatError("data runs", where, "too many runs")
        at = end
    return tuple(runs)


def _one(attributes: Iterator[Attribute], kind: int, name: str) -> Stream | None:
    for attribute in attributes:
        if attribute.type == kind and attribute.name == name:
            return attribute.stream
    return None


def _with_all_extents(volume: NtfsVolume, spread: Stream) -> NtfsVolume:
    """A fragmented $MFT keeps the rest of its runs in other records of its own."""
    listed = list(list_entries(contents(volume, spread, 0, _MAX_LIST)))
    for kind, name, lowest, number in sorted(listed, key=lambda entry: entry[2])[:_MAX_EXTENTS]:
        if kind != DATA or name or not lowest:
            continue
        record, where = file_record(volume, number)
        more = _one(attributes(record, volume.boot, where), DATA, "")
        if more is None or lowest * volume.boot.cluster_size != sum(n for _, n in volume.mft.runs):
            raise FormatError("$MFT", where, "an extent is missing")
        whole = Stream(volume.mft.size, b"", volume.mft.runs + more.runs)
        volume = NtfsVolume(volume.read, volume.boot, whole)
    return volume


def _listed(data: bytes, kind: int, name: str) -> int | None:
    """The record that holds the beginning of an attribute, from an attribute list."""
    for *entry, number in list_entries(data):
        if entry == [kind, name, 0]:
            return number
    return None


def list_entries(data: bytes) -> Iterator[tuple[int, str, int, int]]:
    """(attribute type, name, first cluster, MFT record number) of an attribute list."""
    at = 0
    while at + 26 <= len(data):
        kind, length, characters, name_at, lowest, reference = struct.unpack_from(
            "<IHBBQQ", data, at
        )
        if length < 26:
            raise FormatError("attribute list", at, f"impossible entry length {length}")
        start = at + name_at
        name = data[start : start + 2 * characters].decode("utf-16-le", "replace")
        yield kind, name, lowest, reference & 0xFFFF_FFFF_FFFF
        at += length


def _root_entries(volume: NtfsVolume) -> Iterator[tuple[str, int]]:
    root = stream(volume, ROOT, INDEX_ROOT, "$I30")
    if root is None:
        raise FormatError("root directory", 0, "no index")
    yield from _names(root.resident, 16)
    rest = stream(volume, ROOT, INDEX_ALLOCATION, "$I30")
    if rest is None:
        return
    step = volume.boot.index_size
    for at in range(0, min(rest.size, _MAX_INDEX * step), step):
        block = contents(volume, rest, at, step)
        if block[:4] == b"INDX":  # freed blocks may hold anything
            yield from _names(unprotect(block, b"INDX", at), 24)


def _names(node: bytes, header: int) -> Iterator[tuple[str, int]]:
    for entry in index_entries(node, header):
        yield entry.name, entry.reference & 0xFFFF_FFFF_FFFF


def index_entries(node: bytes, header: int) -> Iterator[IndexEntry]:
    """The names in one index node; its header (16 bytes at `header`) counts from itself.

    Raises FormatError.
    """
    if len(node) < header + 16:
        raise FormatError("directory index", header, "cut off")
    first, used = struct.unpack_from("<II", node, header)
    at, end = header + first, min(header + used, len(node))
    while at + 16 <= end:
        reference, length, key, flags = struct.unpack_from("<QHHH", node, at)
        if flags & 2:  # the node's last entry carries no name
            return
        if length < 16 or length % 8 or at + length > end:
            raise FormatError("directory index", at, f"impossible entry length {length}")
        if key >= 66 and length >= 16 + key:
            name = node[at + 82 : at + 82 + 2 * node[at + 80]]
            yield IndexEntry(name.decode("utf-16-le", "replace"), reference, at, not flags & 1)
        at += length
