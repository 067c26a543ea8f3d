"""Portable executables: the headers of a driver, and how to find its parts in the file.

Layout: Microsoft "PE Format", sections "COFF File Header", "Optional Header" and "Section Table".
Reads the file's first page: pefile reads and walks the whole file, 1.1 ms against 0.05 ms here, and
a machine has hundreds of drivers. Its parts have modules of their own: pe_resources (version),
pe_imports, pe_check (damage); signatures are the business of signing. Offsets in errors are file
offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from recoverykit.errors import FormatError

FILE = "PE file"  # what FormatErrors of the headers call it
MACHINES = {0x8664: "x64", 0x014C: "x86", 0xAA64: "arm64", 0x01C4: "arm", 0x0200: "ia64"}

EXPORTS, IMPORTS, RESOURCES, CERTIFICATES = 0, 1, 2, 4  # numbers of data directories
EXECUTABLE = 0x2000_0000  # IMAGE_SCN_MEM_EXECUTE

_DOS = struct.Struct("<2s58xI")
_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIII12xI")
_PAIR = struct.Struct("<II")
_WORD = struct.Struct("<I")

_HEAD = 4096  # headers and section table of every real driver lie in the first page
_MAX_PE_OFFSET = 0x10000
_MAX_SECTIONS = 96  # the loader's own limit
_DIRECTORIES = 16
_PAST = 0x2C000000  # 1993: a smaller stamp is a hash of a reproducible build, not a time


class Stream(Protocol):
    """An open file, buffered or not."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    address: int  # RVA
    size: int  # bytes mapped
    offset: int  # in the file
    stored: int  # bytes in the file
    flags: int


@dataclass(frozen=True, slots=True)
class Headers:
    machine: str  # "x64", "x86", "arm64"..., or the number in hex
    stamp: int  # TimeDateStamp as stored: part of the identity, not always a time
    built: datetime | None
    image_size: int  # SizeOfImage; with `stamp` it identifies a module in a dump
    checksum: int  # 0: none was stored
    checksum_at: int  # offset of that field
    subsystem: int  # 1 native
    wide: bool  # PE32+
    entry: int  # RVA of the first instruction, 0 when there is none
    sections: tuple[Section, ...]
    directories: tuple[tuple[int, int], ...]  # (RVA, bytes); of CERTIFICATES a file offset

    def directory(self, number: int) -> tuple[int, int]:
        """(0, 0) where the file does not have this one."""
        return self.directories[number] if number < len(self.directories) else (0, 0)


def headers(stream: Stream) -> Headers:
    """The headers of a PE file. Raises FormatError for anything else, OSError where unreadable."""
    head = read_at(stream, 0, _HEAD)
    if len(head) < _DOS.size:
        raise FormatError(FILE, 0, f"{len(head)} bytes are too few")
    magic, start = _DOS.unpack_from(head)
    if magic != b"MZ":
        raise FormatError(FILE, 0, "does not start with MZ")
    if start > _MAX_PE_OFFSET:
        raise FormatError(FILE, 0x3C, f"header offset {start:#x} is absurd")
    if start + 0x200 > len(head):
        head += read_at(stream, len(head), start + 0x2000 - len(head))
    signature, machine, count, stamp, _, _, optional_size, _ = unpack(_COFF, head, start)
    if signature != b"PE\0\0":
        raise FormatError(FILE, start, "has no PE signature")
    if count > _MAX_SECTIONS:
        raise FormatError(FILE, start + 6, f"{count} sections are too many")
    optional = start + _COFF.size
    (magic_number,) = unpack(struct.Struct("<H"), head, optional)
    if magic_number not in (0x10B, 0x20B):
        raise FormatError(FILE, optional, f"optional header magic {magic_number:#x}")
    wide = magic_number == 0x20B
    checksum, subsystem = unpack(struct.Struct("<IH"), head, optional + 64)
    return Headers(
        machine=MACHINES.get(machine, f"{machine:#x}"),
        stamp=stamp,
        built=_time(stamp),
        image_size=_word(head, optional + 56),
        checksum=checksum,
        checksum_at=optional + 64,
        subsystem=subsystem,
        wide=wide,
        entry=_word(head, optional + 16),
        sections=tuple(_sections(head, optional + optional_size, count)),
        directories=tuple(_directories(head, optional, optional_size, wide=wide)),
    )


def file_offset(image: Headers, address: int) -> int | None:
    """Where an RVA lies in the file; None when it lies in no section, or only in memory."""
    for section in image.sections:
        distance = address - section.address
        if 0 <= distance < max(section.size, section.stored):
            return section.offset + distance if distance < section.stored else None
    return None


def read_at(stream: Stream, offset: int, size: int) -> bytes:
    """Up to `size` bytes: fewer at the end of the file."""
    stream.seek(offset)
    return stream.read(size) or b""


def unpack(layout: struct.Struct, data: bytes, offset: int, base: int = 0) -> tuple[Any, ...]:
    """`layout` at `offset` of bytes that lie at `base` of the file. Raises FormatError."""
    try:
        return layout.unpack_from(data, offset)
    except struct.error as exc:
        raise FormatError(FILE, base + offset, "is cut off") from exc


def _word(head: bytes, offset: int) -> int:
    (number,) = unpack(_WORD, head, offset)
    return int(number)


def _time(stamp: int) -> datetime | None:
    """The stamp as a time, unless it cannot be one: reproducible builds store a hash there."""
    if not _PAST <= stamp < 0x80000000:
        return None
    return datetime.fromtimestamp(stamp, tz=UTC)


def _sections(head: bytes, start: int, count: int) -> Iterator[Section]:
    for number in range(count):
        name, size, address, stored, offset, flags = unpack(
            _SECTION, head, start + number * _SECTION.size
        )
        text = name.rstrip(b"\0").decode("latin-1")
        yield Section(text, address, size, offset, stored, flags)


def _directories(head: bytes, optional: int, size: int, *, wide: bool) -> Iterator[tuple[int, int]]:
    count_at = 108 if wide else 92
    if size < count_at + 4:
        return
    count = min(_word(head, optional + count_at), _DIRECTORIES, (size - count_at - 4) // 8)
    for number in range(count):
        address, length = unpack(_PAIR, head, optional + count_at + 4 + 8 * number)
        yield address, length
