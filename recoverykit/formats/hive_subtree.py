"""A key and everything below it as the cells they take: collected before any of them is freed.

Stricter than the reader: every list must be as long as its key says, every key must name its
parent, no cell may be met twice. Otherwise nothing is deleted (FormatError).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from recoverykit.errors import FormatError
from recoverykit.formats import hive_lists
from recoverykit.formats.cells import MAX_DEPTH
from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.hive_keys import KeyNode, class_cells, key_at
from recoverykit.formats.hive_value_list import value_cells
from recoverykit.formats.hive_values import data_cells, value_at
from recoverykit.formats.regf import BASE_BLOCK_SIZE


@dataclass(frozen=True, slots=True)
class Subtree:
    """What a key owns."""

    cells: list[int] = field(default_factory=list)
    securities: Counter[int] = field(default_factory=Counter)  # not owned: cell -> keys with it


def collect(
    heap: Heap, top: int, *, minor: int, depth: int, settle: Callable[[int], None]
) -> Subtree:
    """All of the key at `top`, which lies `depth` levels below the root.

    `settle` is called with the cell of each key before its lists are read.
    """
    found, seen = Subtree(), set[int]()
    pending = [(top, depth)]
    while pending:
        cell, level = pending.pop()
        settle(cell)
        key = key_at(heap, cell)
        if level > MAX_DEPTH:
            raise FormatError("registry key", BASE_BLOCK_SIZE + key.cell, "lies too deep")
        own = _own(heap, key, minor)
        if len(set(own)) != len(own) or not seen.isdisjoint(own):
            raise FormatError("registry key", BASE_BLOCK_SIZE + key.cell, "shares a cell")
        seen.update(own)
        found.cells.extend(own)
        found.securities[key.security] += 1
        for cell in hive_lists.listing(heap, key).keys:
            if key_at(heap, cell).parent != key.cell:
                raise FormatError("registry key", BASE_BLOCK_SIZE + cell, "has another parent")
            pending.append((cell, level + 1))
    return found


def _own(heap: Heap, key: KeyNode, minor: int) -> list[int]:
    """The cells of one key by itself."""
    cells = [key.cell, *class_cells(heap, key), *hive_lists.listing(heap, key).cells]
    values = value_cells(heap, key)
    if values:
        cells.append(key.value_list)
    for value in values:
        cells += [value, *data_cells(heap, value_at(heap, value), minor=minor)]
    return cells
