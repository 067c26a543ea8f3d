"""Key nodes as the editor sees them: their fields, checked, and new ones.

Layout: msuhanov/regf, "Windows registry file format specification", section "Key node". Stricter
than the reader: a cell is used only where it begins as its bin says. Names are Latin-1 where that
will do, else UTF-16, as Windows stores them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.regf import NOWHERE

# Fields of a key node, counted from the content of its cell
KEY_FLAGS = 2
KEY_TIME = 4
KEY_PARENT = 16
KEY_SUBKEYS = 20
KEY_SUBKEY_LIST = 28
KEY_VALUES = 36
KEY_VALUE_LIST = 40
KEY_SECURITY = 44
KEY_MAX_NAME = 52  # lower half; the upper one holds flags since Vista
KEY_MAX_CLASS = 56
KEY_MAX_VALUE_NAME = 60
KEY_MAX_VALUE_DATA = 64
KEY_NAME_LENGTH = 72
KEY_NAME = 76

COMPRESSED, PREDEFINED = 0x0020, 0x0040  # flags
ROOT_FLAGS = 0x000C  # entry of a hive, not to be deleted
LONGEST_NAME = 255  # UTF-16 units
LONGEST_CLASS = 32767

# signature, flags, time, spare, parent, subkeys, volatile ones, list, volatile list, values, list,
# security, class name, the four maxima, unknown, length of name, length of class name
_Key = struct.Struct("<2sHQIIIIIIIIIIIIIIIHH")


@dataclass(frozen=True, slots=True)
class KeyNode:
    """A key's cell, as it was when it was read."""

    cell: int
    flags: int
    parent: int
    subkeys: int
    subkey_list: int
    values: int
    value_list: int
    security: int
    class_cell: int
    class_length: int
    name: str


# --- names --------------------------------------------------------------------------------


def encoded(name: str) -> tuple[bytes, bool]:
    """(bytes, compressed): Latin-1 where it will do, as Windows does, else UTF-16."""
    try:
        return name.encode("latin-1"), True
    except UnicodeEncodeError:
        return utf16(name), False


def utf16(text: str) -> bytes:
    """Lone surrogates are legal in names."""
    return text.encode("utf-16-le", "surrogatepass")


def decoded(raw: bytes, *, compressed: bool) -> str:
    if compressed:
        return raw.decode("latin-1")
    return raw[: len(raw) & ~1].decode("utf-16-le", "surrogatepass")


def require_key_name(name: str) -> None:
    """Raises FormatError for a name that Windows gives no key."""
    problem = ""
    if not name:
        problem = "a key's name cannot be empty"
    elif "\\" in name or "\0" in name:
        problem = "a key's name holds neither backslash nor NUL"
    elif len(utf16(name)) > 2 * LONGEST_NAME:
        problem = f"a key's name has at most {LONGEST_NAME} characters"
    if problem:
        raise FormatError(f"key name {name[:40]!r}", 0, problem)


# --- keys ---------------------------------------------------------------------------------


def key_at(heap: Heap, cell: int) -> KeyNode:
    position = heap.at(cell, KEY_NAME, "registry key")
    fields = _Key.unpack_from(heap.image, position)
    length = fields[-2]
    if fields[0] != b"nk":
        raise FormatError("registry key", position - 4, "no key here")
    if KEY_NAME + length > heap.room(cell):
        raise FormatError("registry key", position - 4, "its name does not fit")
    raw = bytes(heap.image[position + KEY_NAME : position + KEY_NAME + length])
    return KeyNode(
        cell=cell,
        flags=fields[1],
        parent=fields[4],
        subkeys=fields[5],
        subkey_list=fields[7],
        values=fields[9],
        value_list=fields[10],
        security=fields[11],
        class_cell=fields[12],
        class_length=fields[-1],
        name=decoded(raw, compressed=bool(fields[1] & COMPRESSED)),
    )


def new_key(
    heap: Heap,
    name: str,
    *,
    parent: int,
    ticks: int,
    security: int,
    class_name: str,
    flags: int = 0,
) -> int:
    """The cell of a new key without subkeys and values; nothing names it yet."""
    raw, compressed = encoded(name)
    cell = heap.allocate(KEY_NAME + len(raw), max(parent, 0))
    text = utf16(class_name)
    content = _Key.pack(
        b"nk",
        flags | (COMPRESSED if compressed else 0),
        ticks,
        0,
        parent,
        0,
        0,
        NOWHERE,
        NOWHERE,
        0,
        NOWHERE,
        security,
        heap.new(text, cell) if text else NOWHERE,
        0,
        0,
        0,
        0,
        0,
        len(raw),
        len(text),
    )
    heap.put(heap.at(cell, KEY_NAME, "registry key"), content + raw)
    return cell


def class_cells(heap: Heap, key: KeyNode) -> list[int]:
    """The cell of a key's class name, if it has one."""
    if key.class_cell == NOWHERE or key.class_length == 0:
        return []
    heap.at(key.class_cell, key.class_length, "class name")
    return [key.class_cell]


def write_name(heap: Heap, key: KeyNode, name: str) -> int:
    """Write another name into a key's cell, which moves if it is too small; where it is then."""
    raw, compressed = encoded(name)
    cell = heap.resize(key.cell, KEY_NAME + len(raw))
    position = heap.at(cell, KEY_NAME + len(raw), "registry key")
    heap.put(position + KEY_NAME, raw.ljust(heap.room(cell) - KEY_NAME, b"\0"))
    flags = key.flags & ~COMPRESSED | (COMPRESSED if compressed else 0)
    heap.put(position + KEY_FLAGS, struct.pack("<H", flags))
    heap.put(position + KEY_NAME_LENGTH, struct.pack("<H", len(raw)))
    return cell


def grow_maximum(heap: Heap, cell: int, field: int, wanted: int) -> None:
    """A key's record of the longest name or data below it must never be too small."""
    found = heap.u32(cell, field, "registry key")
    mask = 0xFFFF if field == KEY_MAX_NAME else 0xFFFF_FFFF
    if found & mask < wanted:
        heap.put_u32(cell, field, found & ~mask | wanted)


def clear_maximum(heap: Heap, cell: int, field: int) -> None:
    """Where nothing is left; what the field holds beside it stays."""
    mask = 0xFFFF if field == KEY_MAX_NAME else 0xFFFF_FFFF
    heap.put_u32(cell, field, heap.u32(cell, field, "registry key") & ~mask)
