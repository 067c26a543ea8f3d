"""The body of a small dump (Windows\\Minidump): drivers, stack, and a few pieces of memory.

Layouts: TRIAGE_DUMP64/32, DUMP_DRIVER_ENTRY64/32, DUMP_UNLOADED_DRIVERS64/32, TRIAGE_DATA_BLOCK and
DUMP_STRING of the WDK's ntiodump.h. Its comment says that a string's length counts bytes; in real
dumps it counts characters. BrokenDriverOffset is 0 in every real dump at hand: it is read as a
string, or as an entry of the driver list. Not read: processor, process and thread blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.crashdump_header import STRUCTURE, Header
from recoverykit.formats.crashdump_modules import MAX_MODULES, MAX_NAME, text
from recoverykit.formats.log_text import file_name
from recoverykit.formats.pe import Stream
from recoverykit.model import Module

MAX_STACK = 24 << 10  # bytes: a kernel stack

_LARGEST = 16 << 20  # real ones have 0.25 to 1.8 MB
_VALID = b"TRGD"
_FIELDS = struct.Struct("<18I")
_TAIL = {True: struct.Struct("<Q16xQIIIIII"), False: struct.Struct("<IIIIIIII")}
_DRIVER = {  # name offset, DllBase, SizeOfImage, TimeDateStamp
    True: (struct.Struct("<I52xQ8xI60xI4x"), 0x90),
    False: (struct.Struct("<I24xI4xI32xI4x"), 0x4C),
}
_UNLOADED = {True: (struct.Struct("<H14x24sQQ"), 8), False: (struct.Struct("<H6x24sII"), 4)}
_BLOCK = struct.Struct("<QII")
_MAX_BLOCKS = 1 << 14
_MAX_UNLOADED = 64


@dataclass(frozen=True, slots=True)
class Triage:
    modules: tuple[Module, ...]
    unloaded: tuple[Module, ...]
    broken_driver: str
    stack_at: int  # address of the stack's top
    stack: bytes
    data: bytes  # the dump
    pieces: tuple[tuple[int, int, int], ...]  # memory it saved: address, offset, size


def read(stream: Stream, header: Header) -> Triage:
    """The body of a small dump.

    Raises FormatError where it is cut off or its parts lie outside of it.
    """
    stream.seek(0)
    start = stream.read(header.size + _FIELDS.size) or b""
    fields = _unpack(_FIELDS, start, header.size)
    data = _whole(stream, start, fields[2])
    return Triage(
        data=data,
        modules=tuple(_modules(data, header, fields[12], fields[13])),
        unloaded=tuple(_unloaded(data, header, fields[6])),
        broken_driver=_broken(data, header, fields[16], fields[12], fields[13]),
        stack_at=_tail(data, header)[0],
        stack=_part(data, fields[10], min(fields[11], MAX_STACK)),
        pieces=tuple(_pieces(data, header, fields[10], fields[11])),
    )


def _unpack(layout: struct.Struct, data: bytes, offset: int) -> tuple[int, ...]:
    if offset + layout.size > len(data):
        raise FormatError(STRUCTURE, offset, "is cut off")
    return layout.unpack_from(data, offset)


def _whole(stream: Stream, start: bytes, valid: int) -> bytes:
    """The dump up to the mark at its end, which Windows writes last."""
    end = valid + len(_VALID)
    if end > _LARGEST:
        raise FormatError(STRUCTURE, len(start), f"a small dump does not end at {end:#x}")
    data = start + (stream.read(max(0, end - len(start))) or b"")
    if end > len(data):
        raise FormatError(STRUCTURE, len(data), f"is cut off: it ends at {end:#x}")
    if data[valid:end] != _VALID:
        raise FormatError(STRUCTURE, valid, "has no mark of a complete dump")
    return data


def _part(data: bytes, offset: int, size: int) -> bytes:
    if not offset or not size:
        return b""
    if offset + size > len(data):
        raise FormatError(STRUCTURE, offset, f"{size} bytes of it lie beyond the end")
    return data[offset : offset + size]


def _tail(data: bytes, header: Header) -> tuple[int, ...]:
    return _unpack(_TAIL[header.wide], data, header.size + 0x48)


def _modules(data: bytes, header: Header, start: int, count: int) -> Iterator[Module]:
    if count > MAX_MODULES:
        raise FormatError(STRUCTURE, header.size + 0x34, f"{count} drivers are too many")
    layout, step = _DRIVER[header.wide]
    for number in range(count):
        name, base, size, stamp = _unpack(layout, data, start + number * step)
        path = _string(data, name)
        if path and base:
            yield Module(file_name(path), base, size, stamp, path if "\\" in path else "")


def _string(data: bytes, offset: int) -> str:
    """A DUMP_STRING; "" where there is none."""
    (length,) = _unpack(struct.Struct("<I"), data, offset)
    end = offset + 4 + 2 * length
    if 2 * length > MAX_NAME or end > len(data):
        raise FormatError(STRUCTURE, offset, f"the name of a driver has {length} characters")
    return text(data[offset + 4 : end])


def _unloaded(data: bytes, header: Header, start: int) -> Iterator[Module]:
    """Names are cut after twelve characters by Windows."""
    if not start:
        return
    layout, skipped = _UNLOADED[header.wide]
    (count,) = _unpack(struct.Struct("<I"), data, start)
    if count > _MAX_UNLOADED:
        raise FormatError(STRUCTURE, start, f"{count} unloaded drivers are too many")
    for number in range(count):
        at = start + skipped + number * layout.size
        if at + layout.size > len(data):
            raise FormatError(STRUCTURE, at, "is cut off")
        length, name, first, last = layout.unpack_from(data, at)
        found = file_name(text(name[: min(length, len(name))]))
        if found and first < last:
            yield Module(found, first, last - first)


def _broken(data: bytes, header: Header, offset: int, start: int, count: int) -> str:
    if not offset:
        return ""
    layout, step = _DRIVER[header.wide]
    if start <= offset < start + count * step and (offset - start) % step == 0:
        offset = _unpack(layout, data, offset)[0]
    return file_name(_string(data, offset))


def _pieces(data: bytes, header: Header, stack: int, length: int) -> Iterator[tuple[int, int, int]]:
    """The stack, then the data page, then the blocks other parts of Windows added."""
    top, page, page_at, page_size, _, _, blocks, count = _tail(data, header)
    yield top, stack, min(length, MAX_STACK)
    if page_at:
        yield page, page_at, page_size
    count = min(count, _MAX_BLOCKS, max(0, len(data) - blocks) // _BLOCK.size)
    yield from _BLOCK.iter_unpack(data[blocks : blocks + count * _BLOCK.size])
