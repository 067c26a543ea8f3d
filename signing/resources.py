"""One resource of an executable, by type and name, and its sections by name.

Layout: Microsoft "PE Format", "Section Table" and "The .rsrc Section". Just the way to what boot
managers keep there; version resources are the business of others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from signing.errors import MalformedError
from signing.image import Image, Stream, read_at

RCDATA = 10

_STRUCTURE = "resources"
_PE_TO_CHECKSUM = 24 + 64
_DIRECTORY = struct.Struct("<12xHH")
_ENTRY = struct.Struct("<II")
_DATA = struct.Struct("<II8x")
_SECTION = struct.Struct("<8sIIII16x")
_MOST_ENTRIES = 4096  # of one directory
_MOST_SECTIONS = 96
_SYMBOL = 18  # bytes of one in COFF's table
_LONGEST_NAME = 64
_DOWN = 0x8000_0000


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    memory_size: int
    address: int  # when loaded
    size: int  # in the file
    start: int  # in the file


def sections(stream: Stream, image: Image) -> tuple[Section, ...]:
    """All sections, in the order of the headers. Raises MalformedError, OSError."""
    start = image.checksum_at - _PE_TO_CHECKSUM
    head = read_at(stream, start, 24)
    if len(head) < 24:
        raise MalformedError("executable", start, "it became shorter while it was read")
    count, symbols, known, optional = struct.unpack_from("<6xH4xIIH", head)
    if count > _MOST_SECTIONS:
        raise MalformedError("executable", start, f"{count} sections")
    at = start + 24 + optional
    table = read_at(stream, at, _SECTION.size * count)
    if len(table) < _SECTION.size * count:
        raise MalformedError("executable", at, "its table of sections is cut")
    found = []
    for name, memory_size, address, size, where in _SECTION.iter_unpack(table):
        text = name.partition(b"\0")[0].decode("latin-1")
        if symbols and (number := text.removeprefix("/")) != text and number.isdecimal():
            text = _long_name(stream, symbols + _SYMBOL * known + int(number)) or text
        found.append(Section(text, memory_size, address, size, where))
    return tuple(found)


def _long_name(stream: Stream, at: int) -> str:
    """A name of more than eight bytes, which binutils keep in the table of symbols' names.

    Windows reads none of these; shim's ".sbatlevel" is one.
    """
    return read_at(stream, at, _LONGEST_NAME).partition(b"\0")[0].decode("latin-1")


def section(stream: Stream, image: Image, name: str, most: int) -> bytes | None:
    """The contents of the first section of that name; None where there is none.

    What lies in the file only to fill it up is left out. Raises MalformedError for more than
    `most` bytes, or where the file has not all of them; OSError.
    """
    for each in sections(stream, image):
        if each.name != name:
            continue
        size = min(each.size, each.memory_size) if each.memory_size else each.size
        if size > most:
            raise MalformedError(f"section {name}", each.start, f"{size:,} bytes are too many")
        data = read_at(stream, each.start, size)
        if len(data) != size:
            raise MalformedError(f"section {name}", each.start, "the file ends before it does")
        return data
    return None


def find(stream: Stream, image: Image, kind: int, name: str, most: int) -> bytes | None:
    """The resource of that type and name, in the first of its languages; None: there is none.

    Raises MalformedError where the tree is damaged or the resource has more than `most` bytes.
    """
    at = image.checksum_at - _PE_TO_CHECKSUM
    head = read_at(stream, at, 24 + 136)
    (magic,) = struct.unpack_from("<H", head.ljust(26, b"\0"), 24)
    directories = 24 + (112 if magic == 0x20B else 96)
    if len(head) < directories + 24:
        return None
    (known,) = struct.unpack_from("<I", head, directories - 4)
    address, _ = struct.unpack_from("<II", head, directories + 2 * 8) if known > 2 else (0, 0)
    if not address:
        return None
    tree = _Tree(stream, sections(stream, image))
    root = tree.offset(address)
    below = tree.child(root, root, kind)
    named = tree.child(root, below, name) if below is not None else None
    leaf = tree.child(root, named, None) if named is not None else None
    return None if leaf is None else tree.contents(leaf, most)


@dataclass(frozen=True, slots=True)
class _Tree:
    stream: Stream
    parts: tuple[Section, ...]

    def offset(self, address: int) -> int:
        """Where in the file that lies which is at `address` when loaded."""
        for part in self.parts:
            if part.address <= address < part.address + part.size:
                return part.start + address - part.address
        raise MalformedError(_STRUCTURE, 0, f"nothing in the file lies at {address:#x}")

    def read(self, at: int, size: int) -> bytes:
        data = read_at(self.stream, at, size)
        if len(data) != size:
            raise MalformedError(_STRUCTURE, at, "the file ends before they do")
        return data

    def child(self, root: int, at: int, wanted: int | str | None) -> int | None:
        """Where that entry of the directory at `at` leads; None: any, the first."""
        named, numbered = _DIRECTORY.unpack(self.read(at, _DIRECTORY.size))
        count = named + numbered
        if count > _MOST_ENTRIES:
            raise MalformedError(_STRUCTURE, at, f"{count} entries")
        table = self.read(at + _DIRECTORY.size, _ENTRY.size * count)
        for identity, target in _ENTRY.iter_unpack(table):
            if wanted is None:
                if target & _DOWN:
                    raise MalformedError(_STRUCTURE, at, "more than three levels")
                return root + int(target)
            if self._is(root, identity, wanted):
                if not target & _DOWN:
                    raise MalformedError(_STRUCTURE, at, "fewer than three levels")
                return root + (int(target) & ~_DOWN)
        return None

    def _is(self, root: int, identity: int, wanted: int | str) -> bool:
        if isinstance(wanted, int) or not identity & _DOWN:
            return identity == wanted
        at = root + (identity & ~_DOWN)
        (length,) = struct.unpack("<H", self.read(at, 2))
        if length != len(wanted):
            return False
        return self.read(at + 2, 2 * length) == wanted.encode("utf-16-le")

    def contents(self, leaf: int, most: int) -> bytes:
        address, size = _DATA.unpack(self.read(leaf, _DATA.size))
        if size > most:
            raise MalformedError(_STRUCTURE, leaf, f"a resource of {size:,} bytes")
        return self.read(self.offset(address), size)
