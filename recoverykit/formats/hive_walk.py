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
from itertools import repeat
from typing import NamedTuple, TypeVar

from recoverykit.errors import FormatError
from recoverykit.formats.cells import (
    COMPRESSED,
    INLINE,
    LONGEST_NAME,
    MAX_DEPTH,
    NK_SIZE,
    PREDEFINED,
    SEGMENT,
    VALUE_COMPRESSED,
    VK_SIZE,
    Cells,
    Damaged,
    NkFields,
)
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE, bin_size

MOST_DAMAGE = 100_000  # errors that are collected before a walk gives up
_UP = -1  # among the pending cells: here end the children of one key
# As in `cells`, but the signature as a number, and without what a walk does not need.
_NK = struct.Struct("<iHHQ4xII4xI4xII28xHH")
_VK = struct.Struct("<iHHIIIH2x")
_IS_KEY, _IS_VALUE = (int.from_bytes(name, "little") for name in (b"nk", b"vk"))
_NO_KEY = (0,) * 11
_NO_VALUE = (0,) * 7
_SIZE = struct.Struct("<i")
_FEW = 32
_LONG = 64  # bytes of a value's name
_INLINE_WHOLE = INLINE + 4
# Lists of up to _FEW elements: their cell's size, then (leaves) kind and number, then the elements.
_LISTS = [struct.Struct(f"<i{count}I").unpack_from for count in range(_FEW + 1)]
_LEAVES = [struct.Struct(f"<iI{2 * count}I").unpack_from for count in range(_FEW + 1)]
_LEAF_HEADS = [
    tuple(int.from_bytes(kind, "little") | count << 16 for kind in (b"lh", b"lf"))
    for count in range(_FEW + 1)
]
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

    __slots__ = ("_cells", "_damaged", "_limits", "_root")

    def __init__(self, cells: Cells, root: int, damaged: Damaged) -> None:
        self._cells, self._root, self._damaged = cells, root, damaged
        self._limits = list(_limits(cells))

    # Long on purpose, and in line: at 50,000 keys and 100,000 values each call and each look at an
    # attribute is felt. In the order in which a key is read:
    #   1. its node, which must be one, name the key above it as its parent, and hold its name
    #   2. its values: the list of their cells, each cell, its name, its data
    #   3. its class name, then it is given out
    #   4. the cells of its subkeys, which come next, the first one first
    # `room` is what may still come out, in bytes; what is doubtful goes to the careful code.
    def keys(self, top: int, level: int) -> Iterator[WalkedKey]:  # noqa: C901 - says the comment
        cells, limits, root = self._cells, self._limits, self._root
        image, names, room = cells.image, dict[bytes, str](), cells.end - BASE_BLOCK_SIZE
        unpack_nk, unpack_vk, size_of = _NK.unpack_from, _VK.unpack_from, _SIZE.unpack_from
        pending, parents, above, depth = [top], list[int](), cells.nk(top)[4], 0
        while pending:
            # 1. the node
            cell = pending.pop()
            if cell == _UP:
                above = parents.pop()
                depth -= 1
                continue
            position = BASE_BLOCK_SIZE + cell
            try:
                nk, limit = unpack_nk(image, position), limits[position >> 12]
            except (struct.error, IndexError):
                nk, limit = _NO_KEY, 0
            size, signature, flags, ticks, parent, below, lists, count, where, length, extra = nk
            start = position + NK_SIZE
            stop = start + length
            if (
                signature != _IS_KEY
                or parent != above
                or position & 7
                or length > LONGEST_NAME
                or not stop <= position - size <= limit
                or (cell == root and depth)
            ):
                self._refuse(cells.nk, cell, "registry key", "has another parent")
                continue
            if flags & COMPRESSED:
                name = image[start:stop].decode("latin-1")
            else:
                name = cells.text(start, length, compressed=False)
            # 2. the values
            values: list[WalkedValue] = []
            offsets: tuple[int, ...] = ()
            if count and not flags & PREDEFINED:
                at = BASE_BLOCK_SIZE + where
                try:
                    offsets = _LISTS[count](image, at)
                    if not 4 + 4 * count <= -offsets[0] <= limits[at >> 12] - at or at & 7:
                        offsets = self._value_cells(cell, where, count)
                except (struct.error, IndexError):
                    offsets = self._value_cells(cell, where, count)
                room -= (VK_SIZE + 4) * len(offsets)
                if room < 0:
                    raise _exhausted(cell)
            for offset in offsets[1:]:
                position = BASE_BLOCK_SIZE + offset
                try:
                    vk, limit = unpack_vk(image, position), limits[position >> 12]
                except (struct.error, IndexError):
                    vk, limit = _NO_VALUE, 0
                size, signature, length, claimed, target, kind, flags = vk
                start = position + VK_SIZE
                stop = start + length
                if signature != _IS_VALUE or position & 7 or not stop <= position - size <= limit:
                    self._refuse(cells.vk, offset, "registry value", "no value here")
                    continue
                if length > _LONG:  # such cells may lie over each other
                    room -= length
                    if room < 0:
                        raise _exhausted(cell)
                if flags & VALUE_COMPRESSED:
                    raw = image[start:stop]
                    try:  # names of values repeat, so each is decoded once
                        label = names[raw]
                    except KeyError:
                        label = names[raw] = raw.decode("latin-1")
                else:
                    label = cells.text(start, length, compressed=False) if length else ""
                if claimed == _INLINE_WHOLE:
                    values.append((label, kind, image[position + 12 : position + 16]))
                    continue
                data: bytes | None = None
                if INLINE <= claimed < _INLINE_WHOLE:
                    data = image[position + 12 : position + 12 + claimed - INLINE]
                elif 0 < claimed <= SEGMENT:
                    at = BASE_BLOCK_SIZE + target
                    stop = at + 4 + claimed
                    try:
                        if stop <= at - size_of(image, at)[0] <= limits[at >> 12] and not at & 7:
                            data = image[at + 4 : stop]
                    except (struct.error, IndexError):
                        pass  # the careful code says what is wrong
                if data is None:
                    data = self._careful(cells.data, cells.vk(offset), position)
                    if data is None:
                        continue
                room -= len(data)
                if room < 0:
                    raise _exhausted(cell)
                values.append((label, kind, data))
            # 3. the key
            class_name = None
            if extra:
                class_name = self._careful(cells.class_name, cell, cells.nk(cell))
                room -= extra
            yield _walked((depth, cell, name, ticks, nk[2], class_name, values))
            # 4. the subkeys
            if below:
                children: tuple[int, ...] = ()
                at = BASE_BLOCK_SIZE + lists
                try:
                    words = _LEAVES[below](image, at)
                    if (
                        words[1] in _LEAF_HEADS[below]
                        and 8 + 8 * below <= -words[0] <= limits[at >> 12] - at
                        and not at & 7
                        and level + depth < MAX_DEPTH
                    ):
                        children = words[-2:0:-2]
                        if below > 1 and len(set(children)) != below:
                            children = ()
                except (struct.error, IndexError):
                    pass
                if not children:
                    children = tuple(reversed(self._listed(cell, cells.nk(cell), level + depth)))
                room -= NK_SIZE * len(children)
                if room < 0:
                    raise _exhausted(cell)
                if children:
                    pending.append(_UP)
                    pending += children
                    parents.append(above)
                    above = cell
                    depth += 1

    def _value_cells(self, cell: int, where: int, count: int) -> tuple[int, ...]:
        """The cells of the values behind one number, as the list's own cell has it."""
        if where == NOWHERE:
            return ()
        return (0, *(self._careful(self._cells.offsets, where, count, "value list", cell) or ()))

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


def _limits(cells: Cells) -> Iterator[int]:
    """By page: where its bin ends. A list is asked faster than `Cells.pages`."""
    yield 0
    page, last = 1, cells.end >> 12
    while page < last:
        size = bin_size(cells.image, page << 12, cells.end)
        count, limit = (size >> 12, (page << 12) + size) if size else (1, cells.pages[page])
        yield from repeat(limit, count)
        page += count


def _exhausted(cell: int) -> _ExhaustedError:
    problem = "claims bytes that belong to other cells"
    return _ExhaustedError("registry key", BASE_BLOCK_SIZE + cell, problem)
