"""Values as the editor sees them: their fields, their data, and new ones.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Key value" and "Big
data". A value's data lies in the value itself (up to 4 bytes), in one cell,
or, above 16344 bytes in hives newer than version 1.3, in segments that are all as large as they can
be, the last one too: Windows counts on that when it overwrites them. Refused: what a version before
1.4 cannot hold in one cell of 1 MB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.hive_heap import LARGEST_CELL, Heap
from recoverykit.formats.hive_keys import decoded, encoded
from recoverykit.formats.regf import NOWHERE

# Fields of a value, counted from the content of its cell
VALUE_SIZE = 4
VALUE_DATA = 8
VALUE_TYPE = 12
VALUE_NAME = 20

COMPRESSED, TOMBSTONE = 0x0001, 0x0002  # flags
INLINE = 0x8000_0000  # in the size: the data lies where its offset would
SEGMENT = 16344  # bytes
BIG_DATA_SINCE = 4  # minor version
LONGEST_NAME = 16383  # UTF-16 units

_Value = struct.Struct("<2sHIIIHH")  # signature, length of name, size, data, type, flags
_BigData = struct.Struct("<2sHI")  # signature, number of segments, their list


@dataclass(frozen=True, slots=True)
class ValueNode:
    """A value's cell, as it was when it was read."""

    cell: int
    size: int  # of its data, without the flag
    inline: bool
    data: int  # offset of the cell of its data; meaningless where `inline`
    type: int
    flags: int
    name: str


# --- values and their data ----------------------------------------------------------------


def value_at(heap: Heap, cell: int) -> ValueNode:
    position = heap.at(cell, VALUE_NAME, "registry value")
    signature, length, size, data, kind, flags, _ = _Value.unpack_from(heap.image, position)
    if signature != b"vk":
        raise FormatError("registry value", position - 4, "no value here")
    if VALUE_NAME + length > heap.room(cell):
        raise FormatError("registry value", position - 4, "its name does not fit")
    if size & INLINE and size & ~INLINE > 4:
        raise FormatError("registry value", position - 4, "too much data for where it lies")
    raw = bytes(heap.image[position + VALUE_NAME : position + VALUE_NAME + length])
    return ValueNode(
        cell=cell,
        size=size & ~INLINE,
        inline=bool(size & INLINE),
        data=data,
        type=kind,
        flags=flags,
        name=decoded(raw, compressed=bool(flags & COMPRESSED)),
    )


def new_value(heap: Heap, name: str, kind: int, data: bytes, *, minor: int, near: int) -> int:
    """The cell of a new value with its data; nothing names it yet."""
    raw, compressed = encoded(name)
    cell = heap.allocate(VALUE_NAME + len(raw), near)
    flags = COMPRESSED if compressed and raw else 0
    size, where = store(heap, data, minor=minor, near=cell)
    content = _Value.pack(b"vk", len(raw), size, where, kind, flags, 0) + raw
    heap.put(heap.at(cell, VALUE_NAME, "registry value"), content)
    return cell


def data_cells(heap: Heap, value: ValueNode, *, minor: int) -> list[int]:
    """The cells that hold a value's data and nothing else: none, one, or those of big data."""
    if value.inline or value.size == 0 or value.data == NOWHERE:
        return []
    position = heap.at(value.data, 4, "value data")
    if not _is_big(heap, value, minor):
        heap.at(value.data, value.size, "value data")
        return [value.data]
    _, count, listed = _BigData.unpack_from(heap.image, position)
    if count != -(-value.size // SEGMENT):
        raise FormatError("big data", position - 4, f"{count} segments for {value.size} bytes")
    start = heap.at(listed, 4 * count, "big data list")
    segments = struct.unpack_from(f"<{count}I", heap.image, start)
    for number, segment in enumerate(segments):
        heap.at(segment, min(SEGMENT, value.size - number * SEGMENT), "big data segment")
    return [value.data, listed, *segments]


def _is_big(heap: Heap, value: ValueNode, minor: int) -> bool:
    if value.size <= SEGMENT or minor < BIG_DATA_SINCE:
        return False
    position = heap.at(value.data, 4, "value data")
    return bytes(heap.image[position : position + 2]) == b"db" and heap.room(value.data) >= 8


def extents(heap: Heap, value: ValueNode, *, minor: int) -> list[tuple[int, int]]:
    """(file offset, length) of the pieces of a value's data."""
    if value.inline:
        start = heap.at(value.cell, VALUE_NAME, "registry value") + VALUE_DATA
        return [(start, value.size)]
    cells = data_cells(heap, value, minor=minor)
    if len(cells) <= 1:
        return [(heap.at(cell, value.size, "value data"), value.size) for cell in cells]
    return [
        (heap.at(cell, 0, "big data segment"), min(SEGMENT, value.size - number * SEGMENT))
        for number, cell in enumerate(cells[2:])
    ]


def require_storable(data: bytes, *, minor: int) -> None:
    """Raises FormatError for more data than a value of this version can hold."""
    longest = LARGEST_CELL - 4 if minor < BIG_DATA_SINCE else 0xFFFF * SEGMENT
    if len(data) > longest:
        raise FormatError("value data", 0, f"{len(data)} bytes: version 1.{minor} has {longest}")


def store(heap: Heap, data: bytes, *, minor: int, near: int) -> tuple[int, int]:
    """Put data into new cells; the size and the offset that its value must have."""
    require_storable(data, minor=minor)
    if len(data) <= 4:
        return len(data) | INLINE, int.from_bytes(data.ljust(4, b"\0"), "little")
    if len(data) <= SEGMENT or minor < BIG_DATA_SINCE:
        return len(data), heap.new(data, near)
    segments = [
        heap.new(data[start : start + SEGMENT].ljust(SEGMENT, b"\0"), near)
        for start in range(0, len(data), SEGMENT)
    ]
    listed = heap.new(struct.pack(f"<{len(segments)}I", *segments), near)
    return len(data), heap.new(_BigData.pack(b"db", len(segments), listed), near)


def exchange(heap: Heap, value: ValueNode, kind: int, data: bytes, *, minor: int) -> bool:
    """Give a value another type and data; True where no cell had to be freed or made.

    Its cells must have been claimed.
    """
    position = heap.at(value.cell, VALUE_NAME, "registry value")
    kept = len(data) == value.size and not value.flags & TOMBSTONE
    if kept:
        done = 0
        for start, length in extents(heap, value, minor=minor):
            heap.exchange(start, data[done : done + length])
            done += length
        kept = done == len(data)
    if not kept:
        for cell in data_cells(heap, value, minor=minor):
            heap.free(cell)
        size, where = store(heap, data, minor=minor, near=value.cell)
        heap.put(position + VALUE_SIZE, struct.pack("<II", size, where))
    flags = value.flags & ~TOMBSTONE
    if (kind, flags) != (value.type, value.flags):
        heap.put(position + VALUE_TYPE, struct.pack("<IH", kind, flags))
    return kept
