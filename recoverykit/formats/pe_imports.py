"""What a portable executable needs of other modules, and what it offers them.

Layout: Microsoft "PE Format", sections "The .idata Section" and "The .edata Section". The file is
read in blocks around the tables, each once. Delay-loaded imports are not listed: they are looked up
when first used, which keeps nothing from loading. Forwarders count as exports; exports without a
name cannot be told from the list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats import pe
from recoverykit.formats.pe import Headers, Stream, read_at

_BLOCK = 1 << 14
_MAX_BLOCKS = 256  # 4 MiB of tables; those of ntoskrnl.exe have 0.2
_MAX_DLLS = 256
_MAX_SYMBOLS = 20_000  # of all imports of a file, and of one module's exports (ntoskrnl: 3,500)
_MAX_NAME = 1024  # decorated C++ names are long

_DESCRIPTOR = struct.Struct("<IIIII")
_EXPORTS = struct.Struct("<20xIIIII")
_ORDINAL = {8: 1 << 63, 4: 1 << 31}


@dataclass(frozen=True, slots=True)
class Import:
    """What is taken from one module."""

    dll: str  # as spelled in the file: "ntoskrnl.exe"
    symbols: tuple[str, ...]  # names; "#12" for what is imported by its number


def imports(stream: Stream, image: Headers) -> tuple[Import, ...]:
    """Every import of the file `image` was read from. Raises FormatError, OSError."""
    address, _ = image.directory(pe.IMPORTS)
    if not address:
        return ()
    memory = _Memory(stream, image)
    found: list[Import] = []
    symbols = 0
    for number in range(_MAX_DLLS):
        raw = memory.read(address + number * _DESCRIPTOR.size, _DESCRIPTOR.size)
        lookup, _, _, name, bound = _DESCRIPTOR.unpack(raw)
        if not name or not bound:
            return tuple(found)
        taken = tuple(_symbols(memory, lookup or bound, 8 if image.wide else 4))
        symbols += len(taken)
        if symbols > _MAX_SYMBOLS:
            raise FormatError("PE imports", address, "more symbols than any driver has")
        found.append(Import(memory.text(name), taken))
    raise FormatError("PE imports", address, "the table has no end")


def exports(stream: Stream, image: Headers) -> frozenset[str]:
    """Names the file exports; none where it has no export table. Raises FormatError, OSError."""
    address, _ = image.directory(pe.EXPORTS)
    if not address:
        return frozenset()
    memory = _Memory(stream, image)
    _, count, _, names, _ = _EXPORTS.unpack(memory.read(address, _EXPORTS.size))
    if not count:
        return frozenset()
    if count > _MAX_SYMBOLS:
        raise FormatError("PE exports", address, f"{count} names are too many")
    table = struct.unpack(f"<{count}I", memory.read(names, 4 * count))
    return frozenset(memory.text(name) for name in table)


def _symbols(memory: _Memory, at: int, width: int) -> Iterator[str]:
    flag = _ORDINAL[width]
    for number in range(_MAX_SYMBOLS):
        value = int.from_bytes(memory.read(at + number * width, width), "little")
        if not value:
            return
        # A name lies behind its hint, a word that tells where it may be found faster.
        yield f"#{value & 0xFFFF}" if value & flag else memory.text((value & 0x7FFF_FFFF) + 2)
    raise FormatError("PE imports", at, "a list of symbols has no end")


class _Memory:
    """A file by the addresses it has in memory, read block by block."""

    def __init__(self, stream: Stream, image: Headers) -> None:
        self._stream, self._image = stream, image
        self._blocks: dict[int, bytes] = {}
        self._section: pe.Section | None = None

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes. Raises FormatError where the file has none."""
        at, stop = self._place(address)
        data = b""
        while len(data) < size:
            block, start = self._block(at + len(data))
            if start >= len(block):
                break
            data += block[start : start + size - len(data)]
        if len(data) < size or at + size > stop:
            raise FormatError(pe.FILE, at, "is cut off")
        return data

    def text(self, address: int) -> str:
        """The ASCII string that ends with a NUL."""
        at, stop = self._place(address)
        block, start = self._block(at)
        end = block.find(b"\0", start, start + _MAX_NAME)
        if end >= 0:
            return block[start:end].decode("latin-1")
        data = self.read(address, min(_MAX_NAME, stop - at))
        end = data.find(b"\0")
        if end < 0:
            raise FormatError(pe.FILE, at, "a name has no end")
        return data[:end].decode("latin-1")

    def _place(self, address: int) -> tuple[int, int]:
        """(file offset, end of what is stored there); neighbours lie in one section mostly."""
        section = self._section
        if section is None or not 0 <= address - section.address < section.stored:
            for section in self._image.sections:
                if 0 <= address - section.address < section.stored:
                    break
            else:
                raise FormatError(pe.FILE, 0, f"address {address:#x} is not in the file")
            self._section = section
        return section.offset + address - section.address, section.offset + section.stored

    def _block(self, at: int) -> tuple[bytes, int]:
        """The block around a file offset, and where in it that is."""
        number, start = divmod(at, _BLOCK)
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _MAX_BLOCKS:
                raise FormatError(pe.FILE, at, "its tables are scattered all over it")
            block = self._blocks[number] = read_at(self._stream, number * _BLOCK, _BLOCK)
        return block, start
