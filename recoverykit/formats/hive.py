"""Registry hives, read-only: keys and values over bytes or an mmap.

Layout: msuhanov/regf, "Windows registry file format specification". Versions 1.3 to 1.6 (NT 4 to
Windows 11) are read fully, and 1.2 (NT 3.5), which only lacks a kind of list. Lazy: reading one key
reads that key's cells and nothing else. Bounded: 512 levels, a key has one parent, a list names a
key once, so that a hostile hive can neither loop nor multiply. Refused with FormatError: versions
1.0 and 1.1 (NT 3.1), whose cells have another layout, a hive that is shorter than its header says,
and every cell that is not where and what it should be.
A dirty hive is readable (`Hive`), but only `read` makes it whole first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache

from recoverykit.errors import FormatError
from recoverykit.formats import hive_layer, regf_log
from recoverykit.formats.binary import Buffer, as_image, from_filetime
from recoverykit.formats.cells import (
    COMPRESSED,
    INLINE,
    MAX_DEPTH,
    NK_SIZE,
    PREDEFINED,
    VALUE_COMPRESSED,
    VK,
    VK_SIZE,
    Cells,
    Damaged,
    NkFields,
    VkFields,
)
from recoverykit.formats.hive_walk import WalkedKey, walk
from recoverykit.formats.key_security import Security, security_at
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE, BaseBlock
from recoverykit.formats.upcase import name_hash, upcase

REG_NONE = 0
REG_SZ = 1
REG_EXPAND_SZ = 2
REG_BINARY = 3
REG_DWORD = 4
REG_DWORD_BIG_ENDIAN = 5
REG_LINK = 6
REG_MULTI_SZ = 7
REG_RESOURCE_LIST = 8
REG_FULL_RESOURCE_DESCRIPTOR = 9
REG_RESOURCE_REQUIREMENTS_LIST = 10
REG_QWORD = 11

_VK_HEAD = struct.Struct("<i2sH12xH")  # of a value: size, "vk", length of name, flags
_VOLATILE, _LINK = 0x0001, 0x0010  # key flags


fold = upcase  # a name as Windows compares it


@lru_cache(maxsize=64)
def _labels(names: tuple[str, ...]) -> tuple[list[str], dict[bytes, str]]:
    """These names folded, and the ASCII ones among them as they would stand on disk."""
    folded = [fold(name) for name in names]
    return folded, {label.encode("ascii"): label for label in folded if label.isascii()}


class Hive:
    """One hive image. Raises FormatError if it is no hive, truncated, or has no root key."""

    __slots__ = ("_securities", "base", "cells", "root")

    def __init__(self, image: Buffer) -> None:
        data = as_image(image)
        self.base = BaseBlock.parse(data)
        version = f"{self.base.major}.{self.base.minor}"
        # In a damaged header this number means nothing either: then the cells decide.
        if self.base.major == 1 and self.base.minor < 2 and self.base.checksum_ok:
            problem = f"version {version}, of Windows NT 3.1, has cells of another layout"
            raise FormatError("hive header", 24, problem)
        if self.base.major != 1 or self.base.minor > 6:
            raise FormatError("hive header", 20, f"version {version} is not known")
        if self.base.file_type != 0:
            raise FormatError("hive header", 28, "this is a transaction log, not a hive")
        wanted = BASE_BLOCK_SIZE + self.base.bins_size
        if wanted > len(data):
            raise FormatError(
                "hive", len(data), f"truncated: {len(data)} of {wanted} bytes are there"
            )
        self.cells = Cells(data, self.base.bins_size, self.base.minor)
        self._securities: dict[int, Security] = {}
        self.root = Key(self, self.base.root_cell, self.cells.nk(self.base.root_cell), None)

    def find(self, path: str) -> Key | None:
        """The key at `path` below the root, backslashes between names, in any case."""
        key: Key | None = self.root
        for name in path.split("\\"):
            if key is None:
                return None
            if name:
                key = key.subkey(name)
        return key

    def security(self, cell: int) -> Security:
        """The security cell there, read once. Raises FormatError where there is none."""
        found = self._securities.get(cell)
        if found is None:
            found = self._securities[cell] = security_at(self.cells, cell)
        return found

    def walk(self, damaged: Damaged = None) -> Iterator[WalkedKey]:
        """Every key with its values as plain tuples, parents first: see `hive_walk`."""
        return walk(self.cells, self.root.cell, self.root.cell, 0, damaged)


class Key:
    """A key node. Not a dataclass: made by the ten thousand, from one unpacked tuple."""

    __slots__ = ("_by_name", "_nk", "cell", "depth", "hive", "name", "parent")

    def __init__(self, hive: Hive, cell: int, nk: NkFields, parent: Key | None) -> None:
        self.hive = hive
        self.cell = cell  # offset from the first bin
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self._nk = nk
        self._by_name: dict[str, tuple[int, VkFields, str]] | None = None
        start = BASE_BLOCK_SIZE + cell + NK_SIZE
        if nk[2] & COMPRESSED:
            self.name = hive.cells.image[start : start + nk[11]].decode("latin-1")
        else:
            self.name = hive.cells.text(start, nk[11], compressed=False)

    def __repr__(self) -> str:
        return f"Key({self.path!r})"

    @property
    def offset(self) -> int:
        """File offset of the key's cell."""
        return BASE_BLOCK_SIZE + self.cell

    @property
    def path(self) -> str:
        """Below the hive's root, backslashes between names; "" for the root itself."""
        names = []
        key = self
        while key.parent is not None:
            names.append(key.name)
            key = key.parent
        return "\\".join(reversed(names))

    @property
    def last_written(self) -> datetime | None:
        return from_filetime(self._nk[3])

    @property
    def last_written_ticks(self) -> int:
        """The same as the FILETIME on disk, which is finer than a datetime."""
        return self._nk[3]

    @property
    def flags(self) -> int:
        """The 16 flags on disk."""
        return self._nk[2]

    @property
    def is_link(self) -> bool:
        return bool(self._nk[2] & _LINK)

    @property
    def is_volatile(self) -> bool:
        """Marked as one that should never have come to disk."""
        return bool(self._nk[2] & _VOLATILE)

    @property
    def link_target(self) -> str | None:
        """Where a symbolic link leads: "\\Registry\\Machine\\..."; None for other keys."""
        value = self.value("SymbolicLinkValue") if self.is_link else None
        return value.string if value is not None and value.type == REG_LINK else None

    @property
    def predefined_handle(self) -> int | None:
        """The handle a predefined key stands for; it has no values of its own."""
        return self._nk[7] if self._nk[2] & PREDEFINED else None

    @property
    def layer(self) -> hive_layer.Layer:
        """Of a layered hive; MERGED in all others."""
        return hive_layer.layer(self._layer_bits)

    @property
    def inherits_class(self) -> bool:
        """Of a layered hive: the class name is that of the key this one covers."""
        return hive_layer.inherits_class(self._layer_bits)

    @property
    def _layer_bits(self) -> int:
        layered = self.hive.base.flags & hive_layer.LAYERED and self.hive.base.minor == 6
        return self.hive.cells.image[self.offset + 17] if layered else 0

    @property
    def security(self) -> bytes | None:
        """The security descriptor; `Hive.security` has the cell. Raises FormatError if damaged."""
        cell = self.security_cell
        return None if cell is None else self.hive.security(cell).descriptor

    @property
    def security_cell(self) -> int | None:
        """Offset of the security cell from the first bin."""
        return None if self._nk[9] == NOWHERE else self._nk[9]

    @property
    def class_name(self) -> str | None:
        return self.hive.cells.class_name(self.cell, self._nk)

    def subkeys(self, damaged: Damaged = None) -> Iterator[Key]:
        """The subkeys, in the list's order. Those that cannot be read go to `damaged` if given."""
        for offsets in self.hive.cells.subkeys(self.cell, self._nk):
            for cell, nk in self.hive.cells.nks(offsets, damaged):
                try:
                    child = self._child(cell, nk)
                except FormatError as error:
                    if damaged is None:
                        raise
                    damaged.append(error)
                    continue
                yield child

    def subkey(self, name: str) -> Key | None:
        """The subkey of that name, in any case."""
        wanted = fold(name)
        hashed = name_hash(wanted)
        for signature, words in self.hive.cells.lists(self.cell, self._nk):
            if signature == b"lh":
                for index, value in enumerate(words[1::2]):
                    if value == hashed:
                        cell = words[2 * index]
                        child = self._child(cell, self.hive.cells.nk(cell))
                        if fold(child.name) == wanted:
                            return child
        # No hashes here, or one that is wrong: names decide.
        return next((child for child in self.subkeys() if fold(child.name) == wanted), None)

    def _child(self, cell: int, nk: NkFields) -> Key:
        if nk[4] != self.cell or cell == self.hive.base.root_cell:
            raise FormatError("registry key", BASE_BLOCK_SIZE + cell, "has another parent")
        if self.depth >= MAX_DEPTH:
            raise FormatError("registry key", self.offset, f"deeper than {MAX_DEPTH} levels")
        return Key(self.hive, cell, nk, self)

    def walk(self, damaged: Damaged = None) -> Iterator[WalkedKey]:
        """This key and all below it: see `hive_walk`."""
        return walk(self.hive.cells, self.hive.base.root_cell, self.cell, self.depth, damaged)

    def values(self, damaged: Damaged = None) -> Iterator[Value]:
        """The values, in the list's order; the default value has the name "".

        Those that cannot be read go to `damaged` if given.
        """
        cells = self.hive.cells
        for cell, vk, name in self._vks(damaged):
            yield Value(cells, BASE_BLOCK_SIZE + cell, vk, name)

    def value(self, name: str) -> Value | None:
        """The value of that name, in any case; "" is the default value."""
        if self._by_name is None:
            self._by_name = {}
            for found in self._vks(None):
                self._by_name.setdefault(fold(found[2]), found)
        item = self._by_name.get(fold(name))
        if item is None:
            return None
        return Value(self.hive.cells, BASE_BLOCK_SIZE + item[0], item[1], item[2])

    def values_of(self, *names: str) -> list[Value | None]:
        """The values of these names, in their order, in any case; None where there is none.

        For a few of many: the names on disk are compared as they are, nothing else is read.
        """
        wanted, labels = _labels(names)
        cells = self.hive.cells
        image, pages, head = cells.image, cells.pages, _VK_HEAD.unpack_from
        found: dict[str, Value] = {}
        for cell in self._value_cells():
            position = BASE_BLOCK_SIZE + cell
            room = pages[position >> 12] - position
            if room >= VK_SIZE and not position & 7:
                size, signature, length, flags = head(image, position)
                if signature == b"vk" and VK_SIZE + length <= -size <= room:
                    raw = image[position + VK_SIZE : position + VK_SIZE + length]
                    if raw.isascii() and (flags & VALUE_COMPRESSED or not length):
                        label = labels.get(raw.upper())
                        if label is not None and label not in found:
                            vk = VK.unpack_from(image, position)
                            found[label] = Value(cells, position, vk, raw.decode("ascii"))
                        continue
            for _, vk, name in cells.vks((cell,), None):
                if (label := fold(name)) in wanted and label not in found:
                    found[label] = Value(cells, position, vk, name)
        return [found.get(label) for label in wanted]

    def _value_cells(self) -> tuple[int, ...]:
        nk = self._nk
        if nk[7] == 0 or nk[8] == NOWHERE or nk[2] & PREDEFINED:
            return ()
        return self.hive.cells.offsets(nk[8], nk[7], "value list", self.cell)

    def _vks(self, damaged: Damaged) -> Iterator[tuple[int, VkFields, str]]:
        return self.hive.cells.vks(self._value_cells(), damaged)


class Value:
    """A value. Its data is read when asked for."""

    __slots__ = ("_cells", "_vk", "name", "offset", "type")

    def __init__(self, cells: Cells, offset: int, vk: VkFields, name: str) -> None:
        self._cells = cells
        self._vk = vk
        self.offset = offset  # file offset of the vk cell
        self.type: int = vk[5]  # one of REG_*, or any other 32 bits
        self.name = name

    def __repr__(self) -> str:
        return f"Value({self.name!r}, type={self.type:#x})"

    @property
    def is_tombstone(self) -> bool:
        """Of a layered hive: marks a value of the key below it as deleted."""
        return bool(self._vk[6] & 0x0002)

    @property
    def extents(self) -> list[tuple[int, int]]:
        """(file offset, length) of each piece of the data; more than one only for big data."""
        return self._cells.extents(self._vk, self.offset)

    @property
    def data_offset(self) -> int:
        """File offset of the data's first byte; of the vk cell where there is no data."""
        pieces = self.extents
        return pieces[0][0] if pieces else self.offset

    @property
    def data(self) -> bytes:
        return self._cells.data(self._vk, self.offset)

    @property
    def dword(self) -> int | None:
        """A 32-bit number of either byte order; None for other types and sizes."""
        if self._vk[3] == INLINE | 4 and self.type == REG_DWORD:  # nearly always
            return self._vk[4]
        data = self.data
        if len(data) != 4 or self.type not in (REG_DWORD, REG_DWORD_BIG_ENDIAN):
            return None
        return int.from_bytes(data, "little" if self.type == REG_DWORD else "big")

    @property
    def qword(self) -> int | None:
        data = self.data
        return int.from_bytes(data, "little") if self.type == REG_QWORD and len(data) == 8 else None

    @property
    def string(self) -> str | None:
        """REG_SZ, REG_EXPAND_SZ and REG_LINK up to the first NUL; odd bytes are dropped."""
        if self.type not in (REG_SZ, REG_EXPAND_SZ, REG_LINK):
            return None
        return _text(self.data).partition("\0")[0]

    @property
    def strings(self) -> tuple[str, ...] | None:
        """REG_MULTI_SZ up to the first empty string, which ends the list."""
        if self.type != REG_MULTI_SZ:
            return None
        parts = _text(self.data).split("\0")
        return tuple(parts[: parts.index("")] if "" in parts else parts)


def _text(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "replace")


def read(
    primary: Buffer, logs: Sequence[tuple[str, Buffer]] = ()
) -> tuple[Hive, regf_log.Recovery]:
    """Recover a hive from its logs if it is dirty, then open it.

    `logs` are (name, content) of .LOG1 and .LOG2, or of .LOG. Raises FormatError if the hive is
    dirty and no log can make it whole, or if it is no hive.
    """
    recovery = regf_log.recover(primary, logs)
    return Hive(recovery.data), recovery
