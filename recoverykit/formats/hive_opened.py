"""The keys an editor works on: their lists are read once, and written once, however much changes.

Twenty thousand values of one key would else be twenty thousand searches through, and rewrites of,
a list that long. Until `write`, the hive has the old lists still: whoever reads lists goes through
here, or has them written first. Bounded: between two changes, where more than so many elements are
held, all lists are written and let go.
"""

from __future__ import annotations

from collections.abc import Iterable

from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.hive_keys import key_at
from recoverykit.formats.hive_lists import Listing, listing
from recoverykit.formats.hive_value_list import ValueList

MOST = 100_000  # elements


class Opened:
    """Lists of subkeys and of values, by the cell of their key."""

    __slots__ = ("_heap", "_held", "_subkeys", "_values")

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._subkeys: dict[int, Listing] = {}
        self._values: dict[int, ValueList] = {}
        self._held = 0

    def subkeys(self, cell: int) -> Listing:
        """Those of the key there. Raises FormatError for a damaged list."""
        found = self._subkeys.get(cell)
        if found is None:
            found = self._subkeys[cell] = listing(self._heap, key_at(self._heap, cell))
            self._held += len(found)
        return found

    def values(self, cell: int) -> ValueList:
        """Those of the key there. Raises FormatError for a damaged list."""
        found = self._values.get(cell)
        if found is None:
            found = self._values[cell] = ValueList(self._heap, key_at(self._heap, cell))
            self._held += len(found)
        return found

    def write(self) -> None:
        """Put all that changed into the hive."""
        for cell in {**self._subkeys, **self._values}:
            self.write_key(cell)

    def write_key(self, cell: int) -> None:
        """Put what changed of one key's lists into the hive."""
        for found in (self._subkeys.get(cell), self._values.get(cell)):
            if found is not None and found.changed:
                counted = self._heap.writes
                found.write(self._heap)
                self._heap.writes = counted  # that was counted when the list changed

    def trim(self) -> None:
        """Before a change begins: make room where too much is held."""
        if self._held > MOST:
            self.write()
            self._subkeys.clear()
            self._values.clear()
            self._held = 0

    def forget(self, cells: Iterable[int]) -> None:
        """No keys are there any more, or others."""
        for cell in cells:
            self._subkeys.pop(cell, None)
            self._values.pop(cell, None)
