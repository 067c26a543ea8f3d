"""The list of a key's values: found by name, added to, removed from.

Layout: msuhanov/regf, "Windows registry file format specification", section "Key values list". The
order is the one they were made in. Values are read only until the wanted one is met, so damage
behind it stays unseen. The list is changed in memory; `write` puts what became of it into the hive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recoverykit.errors import FormatError
from recoverykit.formats.hive_heap import LARGEST_CELL, Heap
from recoverykit.formats.hive_keys import KEY_VALUE_LIST, KEY_VALUES, PREDEFINED, KeyNode
from recoverykit.formats.hive_values import ValueNode, value_at
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE
from recoverykit.formats.upcase import upcase

MOST = (LARGEST_CELL - 4) // 4  # values of one key: as many as their list's cell can name
_WHAT = "value list"


class ValueList:
    """All values of one key."""

    __slots__ = ("_key", "_names", "_twins", "_unread", "cells", "changed", "where")

    def __init__(self, heap: Heap, key: KeyNode) -> None:
        self._key = key.cell
        self.where = key.value_list if key.values else NOWHERE  # cell of the list
        self.cells: dict[int, None] = dict.fromkeys(value_cells(heap, key))  # a set in order
        self.changed = False  # `write` is needed
        self._names: dict[str, int] = {}  # of those that were read so far: the first of each name
        self._twins: set[str] = set()  # names that were met twice
        self._unread: Iterator[int] = iter(tuple(self.cells))

    def __len__(self) -> int:
        return len(self.cells)

    def find(self, heap: Heap, name: str) -> ValueNode | None:
        """The first value of that name, in any case."""
        wanted = upcase(name)
        while wanted not in self._names:
            cell = next(self._unread, None)
            if cell is None:
                return None
            try:
                self._meet(value_at(heap, cell))
            except FormatError:
                self._restart()  # the next search fails there as well
                raise
        return value_at(heap, self._names[wanted])

    def _meet(self, value: ValueNode) -> None:
        name = upcase(value.name)
        if self._names.setdefault(name, value.cell) != value.cell:
            self._twins.add(name)

    def _restart(self) -> None:
        self._names.clear()
        self._twins.clear()
        self._unread = iter(tuple(self.cells))

    def require_room(self) -> None:
        """Raises FormatError where no value more can be added."""
        if len(self.cells) >= MOST:
            raise FormatError(_WHAT, BASE_BLOCK_SIZE + self.where, f"a key has {MOST} at most")

    def append(self, heap: Heap, cell: int, name: str) -> None:
        """Add a value whose name was looked for and not found."""
        self.cells[cell] = None
        self._names[upcase(name)] = cell
        self._note(heap)

    def remove(self, heap: Heap, value: ValueNode) -> None:
        """Take out a value that was found."""
        del self.cells[value.cell]
        name = upcase(value.name)
        del self._names[name]
        if name in self._twins:  # its twin is found from now on
            self._restart()
        self._note(heap)

    def _note(self, heap: Heap) -> None:
        self.changed = True
        heap.writes += 1

    def write(self, heap: Heap) -> None:
        """Put the list into the hive. Its cell, if there was one, must have been claimed."""
        if self.where != NOWHERE and not self.cells:
            heap.free(self.where)
            self.where = NOWHERE
        elif self.where != NOWHERE:
            self.where = heap.resize(self.where, 4 * len(self.cells))
        elif self.cells:
            self.where = heap.allocate(4 * len(self.cells), self._key)
        if self.cells:
            content = struct.pack(f"<{len(self.cells)}I", *self.cells)
            heap.put(heap.at(self.where, len(content), _WHAT), content)
        heap.put_u32(self._key, KEY_VALUE_LIST, self.where)
        heap.put_u32(self._key, KEY_VALUES, len(self.cells))
        self.changed = False


def value_cells(heap: Heap, key: KeyNode) -> tuple[int, ...]:
    """The cells of a key's values. A key that stands for a handle has none."""
    if key.values == 0:
        return ()
    if key.flags & PREDEFINED:
        raise FormatError("registry key", heap.at(key.cell, 0, "key") - 4, "stands for a handle")
    position = heap.at(key.value_list, 4 * key.values, _WHAT)
    cells = struct.unpack_from(f"<{key.values}I", heap.image, position)
    if len(set(cells)) != len(cells):
        raise FormatError(_WHAT, position - 4, "names a value twice")
    return cells
