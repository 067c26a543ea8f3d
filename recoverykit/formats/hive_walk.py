"""A whole hive, or all below one of its keys, as plain tuples: what comparing and exporting need.

Layout: see `cells`. `Key` gives the same facts one by one at nearly twice the price: here two loops
read each cell once, in line, and leave every doubt to the careful code in `Cells`, which decides.
What a hostile hive could multiply is counted: no more keys, values and bytes come out than it has
room for in cells that do not overlap; levels are bounded, and a key is met once, below its parent.
Refused with FormatError, or collected in `damaged` and left out: all that `Key` would refuse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from recoverykit.errors import FormatError
from recoverykit.formats.cells import (
    COMPRESSED,
    INLINE,
    LONGEST_NAME,
    MAX_DEPTH,
    NK,
    NK_SIZE,
    PREDEFINED,
    SEGMENT,
    VALUE_COMPRESSED,
    VK,
    VK_SIZE,
    Cells,
    Damaged,
    NkFields,
    VkFields,
)
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE

MOST_DAMAGE = 100_000  # errors that are collected before a walk gives up
_UP = -1  # among the pending cells: here end the children of one key
_NO_KEY: NkFields = (0, b"", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_NO_VALUE: VkFields = (0, b"", 0, 0, 0, 0, 0)
_SIZE = struct.Struct("<i")
_FEW = 32
_LISTS = tuple(struct.Struct(f"<i{count}I") for count in range(_FEW + 1))
_LEAVES = tuple(struct.Struct(f"<iI{2 * count}I") for count in range(_FEW + 1))
_HASHED = (int.from_bytes(b"lh", "little"), int.from_bytes(b"lf", "little"))
_T = TypeVar("_T")
WalkedValue = tuple[str, int, bytes]  # name ("": the default value), type, data


class WalkedKey(NamedTuple):
    """A key met on a walk. Its path is its name behind those of the last key of each depth."""

    depth: int  # 0: the key the walk began at
    cell: int  # offset from the first bin
    name: str
    ticks: int  # last written, FILETIME
    flags: int
    class_name: str | None
    values: list[WalkedValue]  # in the list's order


_walked = partial(tuple.__new__, WalkedKey)  # half the price of its constructor


class _Names(dict[bytes, str]):
    """Latin-1 names as text: those of values repeat, so each is decoded once."""

    def __missing__(self, raw: bytes) -> str:
        return self.setdefault(raw, raw.decode("latin-1"))


class _ExhaustedError(FormatError):
    """Nothing more is read: the hive gave what it has room for, or too much of it is damaged."""


def walk(
    cells: Cells, root: int, top: int, level: int = 0, damaged: Damaged = None
) -> Iterator[WalkedKey]:
    """The key at `top` and every key below it, parents before children, in the lists' order.

    `root` is the hive's root cell, `level` the depth of `top` below it. What cannot be read goes
    to `damaged` if given, and what hangs below it is left out.
    """
    state = _Walk(cells, root, damaged)
    try:
        yield from state.keys(top, level)
    except _ExhaustedError as error:
        if damaged is None:
            raise
        damaged.append(error.with_traceback(None))


class _Walk:
    """What one walk has met so far."""

    __slots__ = ("_cells", "_damaged", "_image", "_names", "_pages", "_room", "_root")

    def __init__(self, cells: Cells, root: int, damaged: Damaged) -> None:
        self._cells, self._root, self._damaged = cells, root, damaged
        self._image, self._pages = cells.image, cells.pages
        self._names = _Names()
        self._room = cells.end - BASE_BLOCK_SIZE  # bytes that may still come out

    def keys(self, top: int, level: int) -> Iterator[WalkedKey]:
        cells, image, pages, unpack = self._cells, self._image, self._pages, NK.unpack_from
        pending, parents = [top], [cells.nk(top)[4]]
        while pending:
            cell = pending.pop()
            if cell == _UP:
                parents.pop()
                continue
            position = BASE_BLOCK_SIZE + cell
            start, limit = position + NK_SIZE, pages[position >> 12]
            nk = unpack(image, position) if start <= limit and not position & 7 else _NO_KEY
            size, signature, flags, ticks, parent, below, _, count, _, _, _, length, extra = nk
            if (
                signature != b"nk"
                or length > LONGEST_NAME
                or not start + length <= position - size <= limit
                or parent != parents[-1]
                or (cell == self._root and len(parents) > 1)
            ):
                self._refuse(cells.nk, cell, "registry key", "has another parent")
                continue
            if flags & COMPRESSED:
                name = image[start : start + length].decode("latin-1")
            else:
                name = cells.text(start, length, compressed=False)
            values = self._values(cell, nk) if count and not flags & PREDEFINED else []
            class_name = self._class_name(cell, nk) if extra else None
            depth = len(parents) - 1
            yield _walked((depth, cell, name, ticks, flags, class_name, values))
            if below and (children := self._children(cell, nk, level + depth)):
                self._spend(NK_SIZE * len(children), cell)
                pending.append(_UP)
                pending.extend(children)
                parents.append(cell)

    def _values(self, cell: int, nk: NkFields) -> list[WalkedValue]:
        """All values of the key at `cell`: half of all time goes here."""
        found: list[WalkedValue] = []
        left, image, pages, names = self._room, self._image, self._pages, self._names
        unpack, size_of = VK.unpack_from, _SIZE.unpack_from
        for offset in self._value_cells(cell, nk[7], nk[8]):
            position = BASE_BLOCK_SIZE + offset
            start, limit = position + VK_SIZE, pages[position >> 12]
            vk = unpack(image, position) if start <= limit and not position & 7 else _NO_VALUE
            size, signature, length, claimed, target, kind, flags = vk
            stop = start + length
            if signature != b"vk" or not stop <= position - size <= limit:
                self._refuse(self._cells.vk, offset, "registry value", "no value here")
                continue
            left += size
            if left < 0:
                break
            if flags & VALUE_COMPRESSED:
                name = names[image[start:stop]]
            else:
                name = self._cells.text(start, length, compressed=False) if length else ""
            data = None
            if INLINE <= claimed <= INLINE + 4:
                data = image[position + 12 : position + 12 + (claimed & 7)]
            elif 0 < claimed <= SEGMENT:
                at = BASE_BLOCK_SIZE + target
                limit = pages[at >> 12]
                if limit and not at & 7 and at + 4 + claimed <= at - size_of(image, at)[0] <= limit:
                    data = image[at + 4 : at + 4 + claimed]
                    left -= claimed
            if data is None:
                data = self._careful(self._cells.data, vk, position)
                if data is None:
                    continue
                left -= len(data)
            found.append((name, kind, data))
        self._spend(self._room - left, cell)
        return found

    def _value_cells(self, cell: int, count: int, where: int) -> tuple[int, ...]:
        position = BASE_BLOCK_SIZE + where
        if count <= _FEW and not position & 7:
            room = self._pages[position >> 12] - position
            if room >= 4 + 4 * count:
                words = _LISTS[count].unpack_from(self._image, position)
                if 4 + 4 * count <= -words[0] <= room:
                    return words[1:]
        if where == NOWHERE:
            return ()
        return self._careful(self._cells.offsets, where, count, "value list", cell) or ()

    def _class_name(self, cell: int, nk: NkFields) -> str | None:
        name = self._careful(self._cells.class_name, cell, nk)
        if name is not None:
            self._spend(nk[12], cell)
        return name

    def _children(self, cell: int, nk: NkFields, level: int) -> tuple[int, ...]:
        """The cells of the subkeys, the last one first."""
        count, position = nk[5], BASE_BLOCK_SIZE + nk[6]
        if count <= _FEW and level < MAX_DEPTH and not position & 7:
            room = self._pages[position >> 12] - position
            if room >= 8 + 8 * count:
                words = _LEAVES[count].unpack_from(self._image, position)
                kind, number = words[1] & 0xFFFF, words[1] >> 16
                if kind in _HASHED and number == count and 8 + 8 * count <= -words[0] <= room:
                    found: tuple[int, ...] = words[-2:0:-2]
                    if count == 1 or len(set(found)) == count:
                        return found
        return tuple(reversed(self._listed(cell, nk, level)))

    def _listed(self, cell: int, nk: NkFields, level: int) -> list[int]:
        """The same with care, in the list's order: all that comes before the first error."""
        found: list[int] = []
        try:
            for offsets in self._cells.subkeys(cell, nk):
                found += offsets
        except FormatError as error:
            self._note(error)
        if found and level >= MAX_DEPTH:
            problem = f"deeper than {MAX_DEPTH} levels"
            self._note(FormatError("registry key", BASE_BLOCK_SIZE + cell, problem))
            return []
        return found

    def _careful(self, read: Callable[..., _T], *where: object) -> _T | None:
        """What the careful code reads; None where it refuses and errors are collected."""
        try:
            return read(*where)
        except FormatError as error:
            self._note(error)
            return None

    def _refuse(self, read: Callable[[int], object], cell: int, what: str, problem: str) -> None:
        """Leave out a cell that `read` refuses; where it does not, this is the problem."""
        if self._careful(read, cell) is not None:
            self._note(FormatError(what, BASE_BLOCK_SIZE + cell, problem))

    def _note(self, error: FormatError) -> None:
        if self._damaged is None or isinstance(error, _ExhaustedError):
            raise error
        if len(self._damaged) >= MOST_DAMAGE:
            raise _ExhaustedError("hive", error.offset, f"more than {MOST_DAMAGE} errors")
        self._damaged.append(error.with_traceback(None))  # it would keep all these frames alive

    def _spend(self, amount: int, cell: int) -> None:
        self._room -= amount
        if self._room < 0:
            problem = "claims bytes that belong to other cells"
            raise _ExhaustedError("registry key", BASE_BLOCK_SIZE + cell, problem)
