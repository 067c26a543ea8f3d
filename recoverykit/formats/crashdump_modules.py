"""Drivers in a dump: names, ranges, who owns an address, and the kernel's lists in memory.

Layouts: KLDR_DATA_TABLE_ENTRY (Windows 10 keeps SizeOfImageNotRounded and TimeDateStamp at its end,
older Windows does not: there the stamp comes from the image's headers, where they are resident),
KDDEBUGGER_DATA64 of wdbgexts.h, UNLOADED_DRIVERS of ntiodump.h. Windows 8 and later scramble the
debugger data of a running kernel; a dump that still has it scrambled names no unloaded drivers.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from recoverykit.formats.crashdump_header import Header
from recoverykit.formats.crashdump_memory import Memory
from recoverykit.formats.log_text import file_name
from recoverykit.model import Module

MAX_MODULES = 2048  # ten times what a machine has
MAX_NAME = 520  # bytes
MAX_UNLOADED = 50  # MI_UNLOADED_DRIVERS

_WINDOWS_10 = 10240
_ENTRY = {  # links, DllBase, SizeOfImage, FullDllName, BaseDllName, TimeDateStamp
    True: (struct.Struct("<Q40xQ8xI4xH6xQH6xQ52xI"), 0xA0),
    False: (struct.Struct("<I20xI4xIH2xIH2xI36xI"), 0x5C),
}
_RING = {True: struct.Struct("<H6xQQQ8x"), False: struct.Struct("<H2xIII8x")}
_TAG, _TAG_AT = b"KDBG", 0x10
_UNLOADED_AT = 0x220  # MmUnloadedDrivers, MmLastUnloadedDriver: addresses of both variables


class Map:
    """Which module an address lies in."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self._modules = sorted((m for m in modules if m.size), key=lambda m: m.base)
        self._bases = [module.base for module in self._modules]
        self.low = self._bases[0] if self._bases else 0
        self.high = max((m.base + m.size for m in self._modules), default=0)

    def owner(self, address: int) -> Module | None:
        at = bisect_right(self._bases, address) - 1
        if at < 0:
            return None
        module = self._modules[at]
        return module if address - module.base < module.size else None


def text(data: bytes) -> str:
    """UTF-16 as far as its NUL, without what no name has."""
    decoded = data[: len(data) & ~1].decode("utf-16-le", "replace").split("\0", 1)[0]
    if decoded.isprintable():
        return decoded
    return "".join(char for char in decoded if char.isprintable())


def loaded(memory: Memory, header: Header) -> Iterator[Module]:
    """The list PsLoadedModuleList, in load order; it ends where it cannot be read any more."""
    layout, size = _ENTRY[header.wide]
    head = header.loaded_modules
    at = pointer(memory, head, header.word)
    seen = {head}
    while at and at not in seen and len(seen) <= MAX_MODULES:
        seen.add(at)
        entry = memory.read(at, size)
        if len(entry) < size:
            return
        at, base, length, *names, stamp = layout.unpack(entry)
        path = _string(memory, *names[0:2])
        name = file_name(_string(memory, *names[2:4]) or path)
        if base and name:
            if header.build < _WINDOWS_10:
                stamp = _stamp(memory, base)
            yield Module(name, base, length, stamp, path)


def pointer(memory: Memory, address: int, width: int) -> int:
    """What lies there; 0 where the dump does not have it."""
    data = memory.read(address, width)
    return int.from_bytes(data, "little") if len(data) == width else 0


def _string(memory: Memory, length: int, address: int) -> str:
    """A UNICODE_STRING; "" where its characters are not there."""
    if not 0 < length <= MAX_NAME:
        return ""
    data = memory.read(address, length)
    return text(data) if len(data) == length else ""


def _stamp(memory: Memory, base: int) -> int:
    """TimeDateStamp of the image at `base`; 0 where its headers are paged out."""
    head = memory.read(base, 0x400)
    if head[:2] != b"MZ" or len(head) < 0x40:
        return 0
    (start,) = struct.unpack_from("<I", head, 0x3C)
    if head[start : start + 4] != b"PE\0\0" or start + 12 > len(head):
        return 0
    return int(struct.unpack_from("<I", head, start + 8)[0])


def unloaded(memory: Memory, header: Header) -> Iterator[Module]:
    """The drivers that were unloaded, oldest first as far as the ring was not overwritten."""
    data = memory.read(header.debugger_data, _UNLOADED_AT + 16)
    if len(data) < _UNLOADED_AT + 16 or data[_TAG_AT : _TAG_AT + 4] != _TAG:
        return
    mask = (1 << 8 * header.word) - 1
    array, last = (value & mask for value in struct.unpack_from("<QQ", data, _UNLOADED_AT))
    array = pointer(memory, array, header.word)
    newest = pointer(memory, last, 4) % MAX_UNLOADED
    layout = _RING[header.wide]
    ring = memory.read(array, MAX_UNLOADED * layout.size)
    for number in range(MAX_UNLOADED):
        at = (newest + number) % MAX_UNLOADED * layout.size
        if at + layout.size > len(ring):
            continue
        length, name, start, end = layout.unpack_from(ring, at)
        if 0 < start < end:
            found = file_name(_string(memory, length, name))
            if found:
                yield Module(found, start, end - start)


def driver_name(memory: Memory, header: Header, address: int) -> str:
    """The name a pointer leads to: a UNICODE_STRING, or the characters themselves."""
    head = memory.read(address, 2 * header.word)
    if len(head) == 2 * header.word:
        length = int.from_bytes(head[:2], "little")
        name = _string(memory, length, int.from_bytes(head[header.word :], "little"))
        if name:
            return file_name(name)
    name = text(memory.read(address, MAX_NAME))
    return file_name(name) if 3 < len(name) < MAX_NAME // 2 and name.isascii() else ""
