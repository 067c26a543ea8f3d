"""Portable executables: the headers of a driver, and the strings of its version resource.

Layout: Microsoft "PE Format", sections "COFF File Header", "Optional Header", "Section Table" and
"The .rsrc Section"; VS_VERSIONINFO from the Windows SDK reference. Reads a few kilobytes around
what is asked for: pefile reads and walks the whole file, 1.1 ms against 0.05 ms here, and a machine
has hundreds of drivers. Not looked at: imports, relocations, signatures (signing does those).
Offsets in errors are file offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from recoverykit.errors import FormatError

MACHINES = {0x8664: "x64", 0x014C: "x86", 0xAA64: "arm64", 0x01C4: "arm", 0x0200: "ia64"}

_DOS = struct.Struct("<2s58xI")
_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIII16x")
_DIRECTORY = struct.Struct("<12xHH")
_ENTRY = struct.Struct("<II")
_DATA_ENTRY = struct.Struct("<II8x")
_NODE = struct.Struct("<HHH")

_HEAD = 4096  # headers and section table of every real driver lie in the first page
_MAX_PE_OFFSET = 0x10000
_MAX_SECTIONS = 96  # the loader's own limit
_MAX_ENTRIES = 1024  # of one resource directory; drivers have a handful
_MAX_VERSION = 0x10000
_MAX_STRINGS = 64
_RT_VERSION = 16
_PAST = 0x2C000000  # 1993: a smaller stamp is a hash of a reproducible build, not a time
_FIXED_SIGNATURE = 0xFEEF04BD


class Stream(Protocol):
    """An open file, buffered or not."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Section:
    address: int  # RVA
    size: int  # bytes mapped
    offset: int  # in the file
    stored: int  # bytes in the file


@dataclass(frozen=True, slots=True)
class Headers:
    machine: str  # "x64", "x86", "arm64"..., or the number in hex
    stamp: int  # TimeDateStamp as stored: part of the identity, not always a time
    built: datetime | None
    image_size: int  # SizeOfImage; with `stamp` it identifies a module in a dump
    checksum: int
    subsystem: int  # 1 native
    sections: tuple[Section, ...]
    resources: int  # RVA of the resource directory, 0 when there is none


@dataclass(frozen=True, slots=True)
class Version:
    """What the version resource says; "" for what it does not."""

    company: str = ""
    product: str = ""
    description: str = ""
    version: str = ""
    original_name: str = ""


def headers(stream: Stream) -> Headers:
    """The headers of a PE file. Raises FormatError for anything else, OSError where unreadable."""
    head = _read(stream, 0, _HEAD)
    if len(head) < _DOS.size:
        raise FormatError("PE file", 0, f"{len(head)} bytes are too few")
    magic, start = _DOS.unpack_from(head)
    if magic != b"MZ":
        raise FormatError("PE file", 0, "does not start with MZ")
    if start > _MAX_PE_OFFSET:
        raise FormatError("PE file", 0x3C, f"header offset {start:#x} is absurd")
    if start + 0x200 > len(head):
        head += _read(stream, len(head), start + 0x2000 - len(head))
    signature, machine, count, stamp, _, _, optional_size, _ = _unpack(_COFF, head, start)
    if signature != b"PE\0\0":
        raise FormatError("PE file", start, "has no PE signature")
    if count > _MAX_SECTIONS:
        raise FormatError("PE file", start + 6, f"{count} sections are too many")
    optional = start + _COFF.size
    (magic_number,) = _unpack(struct.Struct("<H"), head, optional)
    if magic_number not in (0x10B, 0x20B):
        raise FormatError("PE file", optional, f"optional header magic {magic_number:#x}")
    (image_size,) = _unpack(struct.Struct("<I"), head, optional + 56)
    checksum, subsystem = _unpack(struct.Struct("<IH"), head, optional + 64)
    return Headers(
        machine=MACHINES.get(machine, f"{machine:#x}"),
        stamp=stamp,
        built=_time(stamp),
        image_size=image_size,
        checksum=checksum,
        subsystem=subsystem,
        sections=tuple(_sections(head, optional + optional_size, count)),
        resources=_resources(head, optional, optional_size, wide=magic_number == 0x20B),
    )


def version(stream: Stream, image: Headers) -> Version:
    """The version resource of the file `image` was read from; empty where it has none.

    Raises FormatError where the resource tree or the resource is damaged.
    """
    found = _version_resource(stream, image)
    if found is None:
        return Version()
    data, at = found
    strings, fixed = _version_strings(data, at)
    return Version(
        company=strings.get("companyname", ""),
        product=strings.get("productname", ""),
        description=strings.get("filedescription", ""),
        version=fixed or strings.get("fileversion", "").split(" ")[0],
        original_name=strings.get("originalfilename", ""),
    )


# --- headers ------------------------------------------------------------------------------


def _read(stream: Stream, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size) or b""


def _unpack(layout: struct.Struct, data: bytes, offset: int, base: int = 0) -> tuple[Any, ...]:
    try:
        return layout.unpack_from(data, offset)
    except struct.error as exc:
        raise FormatError("PE file", base + offset, "is cut off") from exc


def _time(stamp: int) -> datetime | None:
    """The stamp as a time, unless it cannot be one: reproducible builds store a hash there."""
    if not _PAST <= stamp < 0x80000000:
        return None
    return datetime.fromtimestamp(stamp, tz=UTC)


def _sections(head: bytes, start: int, count: int) -> Iterator[Section]:
    for number in range(count):
        _, size, address, stored, offset = _unpack(_SECTION, head, start + number * _SECTION.size)
        yield Section(address, size, offset, stored)


def _resources(head: bytes, optional: int, size: int, *, wide: bool) -> int:
    count_at = 108 if wide else 92
    if size < count_at + 4 + 24:
        return 0
    (count,) = _unpack(struct.Struct("<I"), head, optional + count_at)
    if count < 3:
        return 0
    (address,) = _unpack(struct.Struct("<I"), head, optional + count_at + 4 + 16)
    return int(address)


def _file_offset(image: Headers, address: int) -> int | None:
    for section in image.sections:
        distance = address - section.address
        if 0 <= distance < max(section.size, section.stored):
            return section.offset + distance if distance < section.stored else None
    return None


# --- resources ----------------------------------------------------------------------------


def _version_resource(stream: Stream, image: Headers) -> tuple[bytes, int] | None:
    """(bytes, file offset) of the first version resource: type, then name, then language."""
    root = _file_offset(image, image.resources) if image.resources else None
    if root is None:
        return None
    wanted: int | None = _RT_VERSION
    at = root
    for _ in range(3):
        child = _child(stream, at, wanted)
        if child is None:
            return None
        at, wanted = root + (child & 0x7FFFFFFF), None
        if not child & 0x80000000:  # a leaf: the data entry
            address, size = _unpack(_DATA_ENTRY, _read(stream, at, _DATA_ENTRY.size), 0, at)
            return _version_bytes(stream, image, address, size)
    raise FormatError("PE resources", at, "the tree has more than three levels")


def _child(stream: Stream, at: int, wanted: int | None) -> int | None:
    """The entry with the wanted id, or the first one, of the directory at a file offset."""
    named, numbered = _unpack(_DIRECTORY, _read(stream, at, _DIRECTORY.size), 0, at)
    count = named + numbered
    if count > _MAX_ENTRIES:
        raise FormatError("PE resources", at, f"{count} entries in one directory")
    table = _read(stream, at + _DIRECTORY.size, count * _ENTRY.size)
    for number in range(len(table) // _ENTRY.size):
        identity, child = _ENTRY.unpack_from(table, number * _ENTRY.size)
        if wanted is None or identity == wanted:
            return int(child)
    return None


def _version_bytes(
    stream: Stream, image: Headers, address: int, size: int
) -> tuple[bytes, int] | None:
    offset = _file_offset(image, address)
    if offset is None:
        raise FormatError("PE resources", 0, f"version resource at {address:#x} is not in the file")
    return _read(stream, offset, min(size, _MAX_VERSION)), offset


# --- VS_VERSIONINFO -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    key: str
    value: int  # offset of the value
    children: int
    end: int
    words: int  # wValueLength


def _version_strings(data: bytes, base: int) -> tuple[dict[str, str], str]:
    """Strings of the first string table (keys in lower case), and the fixed file version."""
    root = _node(data, 0, len(data), base)
    if root is None or root.key != "VS_VERSION_INFO":
        raise FormatError("version resource", base, "has no VS_VERSION_INFO")
    for info in _nodes(data, root.children, root.end, base):
        if info.key != "StringFileInfo":
            continue
        for table in _nodes(data, info.value, info.end, base):
            strings = {
                node.key.lower(): _string(data, node)
                for node in _nodes(data, table.value, table.end, base)
            }
            return strings, _fixed_version(data, root)
    return {}, _fixed_version(data, root)


def _nodes(data: bytes, start: int, end: int, base: int) -> Iterator[_Node]:
    for _ in range(_MAX_STRINGS):
        node = _node(data, start, end, base)
        if node is None:
            return
        yield node
        start = _aligned(node.end)


def _node(data: bytes, start: int, end: int, base: int) -> _Node | None:
    if start + _NODE.size > end:
        return None
    length, words, _ = _NODE.unpack_from(data, start)
    if length < _NODE.size:
        return None  # padding after the last child
    stop = min(start + length, end)
    key_at = start + _NODE.size
    key_end = key_at
    while key_end + 2 <= stop and data[key_end : key_end + 2] != b"\0\0":
        key_end += 2
        if key_end - key_at > 256:
            raise FormatError("version resource", base + start, "a key has no end")
    key = data[key_at:key_end].decode("utf-16-le", "replace")
    value = _aligned(key_end + 2)
    return _Node(key, value, min(_aligned(value + words), stop), stop, words)


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3


def _string(data: bytes, node: _Node) -> str:
    # wValueLength counts characters, or bytes in resources of some compilers: go by the NUL.
    text = data[node.value : node.end].decode("utf-16-le", "replace")
    return text.split("\0", 1)[0].strip()


def _fixed_version(data: bytes, root: _Node) -> str:
    if root.words < 16 or root.value + 16 > len(data):
        return ""
    signature, _, high, low = struct.unpack_from("<IIII", data, root.value)
    if signature != _FIXED_SIGNATURE or not (high or low):
        return ""
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"
