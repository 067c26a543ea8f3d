"""The version resource of a portable executable: who made it, what it is, which version.

Layout: Microsoft "PE Format", section "The .rsrc Section"; VS_VERSIONINFO from the Windows SDK
reference. Reads only the way through the resource tree and the resource. Offsets in errors are
file offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.pe import RESOURCES, Headers, Stream, file_offset, read_at, unpack

_DIRECTORY = struct.Struct("<12xHH")
_ENTRY = struct.Struct("<II")
_DATA_ENTRY = struct.Struct("<II8x")
_NODE = struct.Struct("<HHH")

_MAX_ENTRIES = 1024  # of one resource directory; drivers have a handful
_MAX_VERSION = 0x10000
_MAX_STRINGS = 64
_RT_VERSION = 16
_FIXED_SIGNATURE = 0xFEEF04BD


@dataclass(frozen=True, slots=True)
class Version:
    """What the version resource says; "" for what it does not."""

    company: str = ""
    product: str = ""
    description: str = ""
    version: str = ""
    original_name: str = ""
    internal_name: str = ""


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
        internal_name=strings.get("internalname", ""),
    )


# --- resources ----------------------------------------------------------------------------


def _version_resource(stream: Stream, image: Headers) -> tuple[bytes, int] | None:
    """(bytes, file offset) of the first version resource: type, then name, then language."""
    address, _ = image.directory(RESOURCES)
    root = file_offset(image, address) if address else None
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
            address, size = unpack(_DATA_ENTRY, read_at(stream, at, _DATA_ENTRY.size), 0, at)
            return _version_bytes(stream, image, address, size)
    raise FormatError("PE resources", at, "the tree has more than three levels")


def _child(stream: Stream, at: int, wanted: int | None) -> int | None:
    """The entry with the wanted id, or the first one, of the directory at a file offset."""
    named, numbered = unpack(_DIRECTORY, read_at(stream, at, _DIRECTORY.size), 0, at)
    count = named + numbered
    if count > _MAX_ENTRIES:
        raise FormatError("PE resources", at, f"{count} entries in one directory")
    table = read_at(stream, at + _DIRECTORY.size, count * _ENTRY.size)
    for number in range(len(table) // _ENTRY.size):
        identity, child = _ENTRY.unpack_from(table, number * _ENTRY.size)
        if wanted is None or identity == wanted:
            return int(child)
    return None


def _version_bytes(
    stream: Stream, image: Headers, address: int, size: int
) -> tuple[bytes, int] | None:
    offset = file_offset(image, address)
    if offset is None:
        raise FormatError("PE resources", 0, f"version resource at {address:#x} is not in the file")
    return read_at(stream, offset, min(size, _MAX_VERSION)), offset


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
