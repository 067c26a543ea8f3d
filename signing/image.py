"""A Windows executable as its signature sees it: what is hashed, and where the table lies.

Sources: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008), "Calculating
the PE Image Hash"; "PE Format", "The Attribute Certificate Table". Only what signatures need is
read, with struct: pefile takes 1.1 ms for what takes 0.03 here, a thousand times a machine.

The whole file is hashed but the checksum, the directory entry of the table and the table. That is
the document's procedure wherever sections lie one behind the other, as linkers lay them. Where they
overlap or lie outside the file the document is silent, and no program would agree with another:
such a file is refused. Bytes between sections or behind the table are told in `oddities`.

Page hashes: of each 4,096 bytes as they will lie in memory, zeros behind the last ones of a section
(known from files; osslsigncode has the same reading).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from signing.errors import MalformedError

LARGEST_TABLE = 4 << 20  # page hashes of the largest drivers take a few hundred KiB
PAGE = 4096
MACHINES = {0x14C: "x86", 0x8664: "x64", 0xAA64: "arm64", 0x1C4: "arm", 0x200: "ia64"}
NATIVE = 1  # subsystem of drivers
PKCS_SIGNED_DATA = 2  # wCertificateType

_CHUNK = 1 << 17  # larger ones are new memory each time, and cost a tenth of the hashing
_HEAD = 4096
_MAX_PE_OFFSET = 0x10000
_LARGEST_HEADERS = 1 << 20  # they are read whole, for their page hash
_MAX_SECTIONS = 96  # the loader's own limit
_MOST_ODDITIES = 8
_MAX_ENTRIES = 16  # of the table; more are free work for us
_SECTION = struct.Struct("<8s8xII12xI")
_ENTRY = struct.Struct("<IHH")
_EXECUTABLE, _WRITABLE = 0x2000_0000, 0x8000_0000  # IMAGE_SCN_MEM_EXECUTE, _WRITE
_STRUCTURE = "executable"


class Stream(Protocol):
    """An open file, buffered or not."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    start: int  # in the file
    size: int  # in the file


@dataclass(frozen=True, slots=True)
class Image:
    """Where things lie in an executable; offsets in the file, sizes in bytes."""

    machine: str  # "x64"; hex for one that Windows does not run on
    subsystem: int
    checksum_at: int
    directory_at: int  # entry of the certificate table in the optional header; 0: there is none
    headers_size: int
    sections: tuple[Section, ...]
    table_at: int  # 0: there is no table
    table_size: int
    size: int  # of the file
    oddities: tuple[str, ...]  # clauses
    section_alignment: int = PAGE  # in memory
    writable_code: str = ""  # the first section that is both writable and executable

    @property
    def is_signed(self) -> bool:
        return self.table_size > 0

    def hashed(self) -> Iterator[tuple[int, int]]:
        """(start, end) of what is hashed: all but the two fields and the table itself."""
        end = self.table_at if self.is_signed else self.size
        yield 0, self.checksum_at
        if self.directory_at:
            yield self.checksum_at + 4, self.directory_at
            yield self.directory_at + 8, end
        else:
            yield self.checksum_at + 4, end
        if self.is_signed:
            yield self.table_at + self.table_size, self.size


def read(stream: Stream) -> Image:
    """Raises MalformedError for what is no executable or lies about its own extent, OSError."""
    size = stream.seek(0, 2)
    head = read_at(stream, 0, _HEAD)
    if len(head) < 64 or head[:2] != b"MZ":
        raise MalformedError(_STRUCTURE, 0, "it does not begin like one")
    (start,) = struct.unpack_from("<I", head, 60)
    if start > _MAX_PE_OFFSET:
        raise MalformedError(_STRUCTURE, 60, "its header lies too far away")
    headers = head[start:]
    if len(headers) < 24 + 240 + 40 * _MAX_SECTIONS:
        headers = read_at(stream, start, 24 + 240 + 40 * _MAX_SECTIONS)
    try:
        return _image(headers, start, size)
    except struct.error:
        raise MalformedError(_STRUCTURE, start, "its headers end too early") from None


def _image(headers: bytes, start: int, size: int) -> Image:
    signature, machine, count, optional_size = struct.unpack_from("<4sHH12xH2x", headers)
    kind, alignment, headers_size, subsystem = struct.unpack_from("<H30xI24xI4xH", headers, 24)
    if signature != b"PE\0\0" or kind not in (0x10B, 0x20B):
        raise MalformedError(_STRUCTURE, start, "it has no header that Windows reads")
    if count > _MAX_SECTIONS:
        raise MalformedError(_STRUCTURE, start + 6, f"{count} sections are more than can be")
    directories = 24 + (112 if kind == 0x20B else 96)
    (known,) = struct.unpack_from("<I", headers, directories - 4)
    entry = directories + 4 * 8
    has_entry = known > 4 and entry + 8 <= 24 + optional_size
    at, length = struct.unpack_from("<II", headers, entry) if has_entry else (0, 0)
    if not at or not length:
        at = length = 0
    sections, writable_code = _sections(headers, 24 + optional_size, count)
    made = Image(
        machine=MACHINES.get(machine, f"{machine:#06x}"),
        subsystem=subsystem,
        checksum_at=start + 24 + 64,
        directory_at=start + entry if has_entry else 0,
        headers_size=headers_size,
        sections=sections,
        table_at=at,
        table_size=length,
        size=size,
        oddities=_oddities(sections, headers_size, at, length, size),
        section_alignment=alignment,
        writable_code=writable_code,
    )
    _check_extent(made, start + 24 + optional_size + 40 * count)
    return made


def _sections(headers: bytes, at: int, count: int) -> tuple[tuple[Section, ...], str]:
    """(those that lie in the file, by where they lie; the first that is writable code)."""
    found: list[Section] = []
    writable_code = ""
    for index in range(count):
        encoded, size, start, flags = _SECTION.unpack_from(headers, at + 40 * index)
        name = encoded.rstrip(b"\0").decode("latin-1")
        if flags & _EXECUTABLE and flags & _WRITABLE:
            writable_code = writable_code or printable(name)
        if size and start:  # without a place it is not in the file, whatever its size
            found.append(Section(name, start, size))
    return tuple(sorted(found, key=lambda section: section.start)), writable_code


def printable(text: str) -> str:
    """What a file calls things must not steer a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text) or "?"


def _check_extent(made: Image, headers_end: int) -> None:
    end = made.headers_size
    for section in made.sections:
        if section.start < end:
            raise MalformedError(_STRUCTURE, section.start, "its sections overlap")
        end = section.start + section.size
    if made.headers_size > _LARGEST_HEADERS:
        raise MalformedError(_STRUCTURE, 0, f"headers of {made.headers_size:,} bytes")
    if not headers_end <= made.headers_size <= made.size or end > made.size:
        raise MalformedError(_STRUCTURE, made.size, "it ends before its own contents do")
    if made.is_signed:
        if made.table_size > LARGEST_TABLE:
            raise MalformedError(_STRUCTURE, made.directory_at + 4, "its signature is too large")
        if made.table_at < end or made.table_at + made.table_size > made.size:
            raise MalformedError(_STRUCTURE, made.directory_at, "its signature lies elsewhere")


def _oddities(
    sections: Sequence[Section], headers_size: int, at: int, length: int, size: int
) -> tuple[str, ...]:
    told = []
    end = headers_size
    for section in sections:
        if section.start != end:
            told.append(f"bytes before {section.start:#x} belong to no section")
        end = section.start + section.size
    if at % 8:
        told.append("its signature does not begin at a multiple of 8 bytes")
    if length and at + length != size:
        told.append(f"{size - at - length} bytes lie behind its signature")
    return tuple(told[:_MOST_ODDITIES])


# --- digests ------------------------------------------------------------------------------


def digests(stream: Stream, image: Image, algorithms: Sequence[str]) -> dict[str, bytes]:
    """The Authenticode digests of a file, in one pass. Raises MalformedError, OSError."""
    totals: list[Any] = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    for start, end in image.hashed():
        stream.seek(start)
        left = end - start
        while left > 0:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise MalformedError(_STRUCTURE, end - left, "it became shorter while it was read")
            for total in totals:
                total.update(data)
            left -= len(data)
    return {name: total.digest() for name, total in zip(algorithms, totals, strict=True)}


def first_page(stream: Stream, image: Image, algorithm: str) -> bytes:
    """The digest of the headers as the first page of page hashes has it. Raises OSError."""
    data = read_at(stream, 0, image.headers_size)
    kept = [data[: image.checksum_at]]
    if image.directory_at:
        kept += data[image.checksum_at + 4 : image.directory_at], data[image.directory_at + 8 :]
    else:
        kept.append(data[image.checksum_at + 4 :])
    kept.append(bytes(-len(data) % PAGE))  # what was left out is not made up for
    return _digest(b"".join(kept), algorithm)


def page_hashes(stream: Stream, image: Image, algorithm: str) -> bytes:
    """The table of (offset, digest) that a file of these bytes must have. Raises OSError."""
    made = [struct.pack("<I", 0), first_page(stream, image, algorithm)]
    end = 0
    for section in image.sections:
        end = section.start + section.size
        for start in range(section.start, end, PAGE):
            data = read_at(stream, start, min(PAGE, end - start))
            made += struct.pack("<I", start), _digest(data.ljust(PAGE, b"\0"), algorithm)
    size: int = hashlib.new(algorithm, usedforsecurity=False).digest_size
    made += struct.pack("<I", end), bytes(size)
    return b"".join(made)


def _digest(data: bytes, algorithm: str) -> bytes:
    found: bytes = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    return found


# --- the table ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One WIN_CERTIFICATE."""

    at: int  # in the table
    revision: int
    kind: int
    content: bytes  # without its header, with what fills it up


def entries(stream: Stream, image: Image) -> tuple[Entry, ...]:
    """The entries of the certificate table. Raises MalformedError, OSError."""
    table = read_at(stream, image.table_at, image.table_size)
    if len(table) != image.table_size:
        raise MalformedError(_STRUCTURE, image.table_at, "it became shorter while it was read")
    found: list[Entry] = []
    at = 0
    while at < len(table):
        if not any(table[at:]):  # filled up
            break
        if len(found) == _MAX_ENTRIES or at + 8 > len(table):
            raise MalformedError("certificate table", at, "it does not end where it should")
        length, revision, kind = _ENTRY.unpack_from(table, at)
        if not 8 < length <= len(table) - at:
            raise MalformedError("certificate table", at, f"an entry of {length} bytes")
        end = at + length + -length % 8  # what fills it up is not signed either
        found.append(Entry(at, revision, kind, table[at + 8 : end]))
        at = end
    return tuple(found)


def read_at(stream: Stream, offset: int, size: int) -> bytes:
    """What is there of it. Raises OSError."""
    stream.seek(offset)
    parts: list[bytes] = []
    while size > 0 and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
