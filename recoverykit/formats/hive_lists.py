"""Subkey lists: found in, added to, removed from, as Windows keeps them.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Index leaf" to "Index
root". How lists grow was taken from hives Windows wrote and from ReactOS (cmlib, cmindex.c):

    new list    `lh` (hash of the name) since minor version 5, `lf` (its first letters) before
    lf          holds 507 elements (one page); more of them turn it into `li`, which has no hints
    lh, li      hold 1012; one more, and an index root takes its place over two halves
    removal     an empty leaf is freed, an empty root too; leaves are never joined
    order       upper-case UTF-16 units, over all leaves

A list is changed only if it is sorted and its count is right; Windows would lose keys in any other.
It is changed in memory; `write` puts what became of it into the hive.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from recoverykit.errors import FormatError
from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.hive_keys import (
    KEY_SUBKEY_LIST,
    KEY_SUBKEYS,
    KeyNode,
    encoded,
    key_at,
)
from recoverykit.formats.regf import NOWHERE
from recoverykit.formats.upcase import name_hash, sort_key

LARGEST_FAST_LEAF = 507
LARGEST_LEAF = 1012
HASHED_SINCE = 5  # minor version
_HEAD = struct.Struct("<2sH")
_WORDS = {b"lf": 2, b"lh": 2, b"li": 1}
_WHAT = "subkey list"


@dataclass(slots=True)
class Leaf:
    """A list of keys: their cells, and beside each its hash or hint."""

    cell: int | None  # None: it has none yet
    kind: bytes
    keys: list[int]
    marks: list[int]  # empty for `li`
    names: list[bytes] = field(default_factory=list)  # what they are sorted by, once that was read
    changed: bool = False


@dataclass(slots=True)
class Listing:
    """All subkeys of one key."""

    key: int  # cell of that key
    root: int | None  # cell of the index root
    leaves: list[Leaf]
    ordered: bool = False  # it was found sorted, and the names are known
    changed: bool = False  # `write` is needed
    _hashes: dict[int, int] | None = None  # hash -> first cell that has it, while nothing changes
    _names: dict[bytes, int] = field(default_factory=dict)  # of those that were read so far
    _unread: Iterator[int] | None = None

    @property
    def cells(self) -> list[int]:
        """The cells of the list itself."""
        own = [leaf.cell for leaf in self.leaves if leaf.cell is not None]
        return own if self.root is None else [self.root, *own]

    @property
    def keys(self) -> list[int]:
        return [key for leaf in self.leaves for key in leaf.keys]

    def __len__(self) -> int:
        return sum(len(leaf.keys) for leaf in self.leaves)

    # --- finding --------------------------------------------------------------------------

    def find(self, heap: Heap, name: str) -> KeyNode | None:
        """The subkey of that name, in any case."""
        wanted = sort_key(name)
        if self.ordered:
            return self._in_order(heap, wanted)
        if self._hashes is None:
            self._hashes = {}
            for leaf in reversed(self.leaves):
                if leaf.kind == b"lh":
                    self._hashes.update(zip(reversed(leaf.marks), reversed(leaf.keys), strict=True))
        cell = self._hashes.get(name_hash(name))
        if cell is not None:
            child = self._child(heap, cell)
            if sort_key(child.name) == wanted:
                return child
        # No hashes here, two that are alike, or one that is wrong: names decide.
        return self._by_name(heap, wanted)

    def _in_order(self, heap: Heap, wanted: bytes) -> KeyNode | None:
        if not self.leaves:
            return None
        number, index = self._place(wanted)
        leaf = self.leaves[number]
        if index == len(leaf.keys) and number + 1 < len(self.leaves):
            leaf, index = self.leaves[number + 1], 0
        if index == len(leaf.keys) or leaf.names[index] != wanted:
            return None
        return self._child(heap, leaf.keys[index])

    def _by_name(self, heap: Heap, wanted: bytes) -> KeyNode | None:
        """The first one of that name, reading no more of them than that takes."""
        if self._unread is None:
            self._unread = iter(self.keys)
        while wanted not in self._names:
            cell = next(self._unread, None)
            if cell is None:
                return None
            try:
                name = sort_key(self._child(heap, cell).name)
            except FormatError:
                self._unread = None  # the next search fails there as well
                self._names.clear()
                raise
            self._names.setdefault(name, cell)
        return self._child(heap, self._names[wanted])

    def _child(self, heap: Heap, cell: int) -> KeyNode:
        child = key_at(heap, cell)
        if child.parent != self.key:
            raise FormatError("registry key", heap.at(cell, 0, _WHAT) - 4, "has another parent")
        return child

    def _place(self, wanted: bytes) -> tuple[int, int]:
        """(leaf, index in it) where a name belongs; at the end of a leaf rather than before a
        next one."""
        firsts = [leaf.names[0] for leaf in self.leaves if leaf.names]
        number = max(bisect_left(firsts, wanted) - 1, 0)
        return number, bisect_left(self.leaves[number].names, wanted)

    # --- changing -------------------------------------------------------------------------

    def require_sorted(self, heap: Heap) -> None:
        """Raises FormatError where the order is wrong, a name is there twice, or a parent is
        wrong. Looked at once."""
        if self.ordered:
            return
        before = b""
        for leaf in self.leaves:
            names = [sort_key(self._child(heap, cell).name) for cell in leaf.keys]
            for here in names:
                if here <= before:
                    at = heap.at(self.key, 0, _WHAT) - 4
                    raise FormatError(_WHAT, at, "its keys are not in order")
                before = here
            leaf.names = names
        self.ordered = True
        self._hashes, self._names, self._unread = None, {}, None

    def insert(self, heap: Heap, child: int, name: str, *, minor: int) -> None:
        """Put a key into the list, which is known to be sorted and nobody else's."""
        if not self.leaves:
            self.leaves.append(Leaf(None, b"lh" if minor >= HASHED_SINCE else b"lf", [], []))
        wanted = sort_key(name)
        number, index = self._place(wanted)
        leaf = self.leaves[number]
        if leaf.kind == b"lf" and len(leaf.keys) >= LARGEST_FAST_LEAF:
            leaf.kind, leaf.marks = b"li", []
        leaf.keys.insert(index, child)
        leaf.names.insert(index, wanted)
        if leaf.kind != b"li":
            leaf.marks.insert(index, _mark(leaf.kind, name))
        if len(leaf.keys) > LARGEST_LEAF:
            self._split(number)
        leaf.changed = self.changed = True
        heap.writes += 1

    def _split(self, number: int) -> None:
        """Halve a leaf that has one element too many."""
        leaf = self.leaves[number]
        half = len(leaf.keys) // 2
        parts = (leaf.keys[half:], leaf.marks[half:], leaf.names[half:])
        self.leaves.insert(number + 1, Leaf(None, leaf.kind, *parts, changed=True))
        del leaf.keys[half:], leaf.marks[half:], leaf.names[half:]

    def remove(self, heap: Heap, key: KeyNode) -> None:
        """Take a key out of the list, which is known to be sorted and nobody else's."""
        number, index = self._place(sort_key(key.name)) if self.leaves else (0, 0)
        for leaf in self.leaves[number : number + 2]:
            if leaf.keys[index : index + 1] == [key.cell]:
                break
            index = 0
        else:
            raise FormatError(_WHAT, heap.at(self.key, 0, _WHAT) - 4, "does not name the key")
        del leaf.keys[index], leaf.names[index], leaf.marks[index : index + 1]
        leaf.changed = self.changed = True
        heap.writes += 1
        if not leaf.keys:
            self.leaves.remove(leaf)
            if leaf.cell is not None:
                heap.free(leaf.cell)

    def write(self, heap: Heap) -> None:
        """Put what changed into the hive, through an index root where it needs one."""
        leaves = [_written(heap, leaf, self.key) for leaf in self.leaves]
        if self.root is not None and not leaves:
            heap.free(self.root)
            self.root = None
        where = leaves[0] if leaves else NOWHERE
        if self.root is not None or len(leaves) > 1:
            content = _HEAD.pack(b"ri", len(leaves)) + struct.pack(f"<{len(leaves)}I", *leaves)
            where = self.root = _put(heap, self.root, content, self.key)
        heap.put_u32(self.key, KEY_SUBKEY_LIST, where)
        heap.put_u32(self.key, KEY_SUBKEYS, len(self))
        self.changed = False


def _written(heap: Heap, leaf: Leaf, near: int) -> int:
    """The cell that holds what the leaf holds."""
    if leaf.cell is not None and not leaf.changed:
        return leaf.cell
    words = leaf.keys
    if leaf.marks:
        words = [word for pair in zip(leaf.keys, leaf.marks, strict=True) for word in pair]
    content = _HEAD.pack(leaf.kind, len(leaf.keys)) + struct.pack(f"<{len(words)}I", *words)
    leaf.cell, leaf.changed = _put(heap, leaf.cell, content, near), False
    return leaf.cell


def _put(heap: Heap, cell: int | None, content: bytes, near: int) -> int:
    """Write a list into its cell, which may move to one with room for half as much again."""
    if cell is None:
        return heap.new(content, near)
    have = heap.room(cell)
    if len(content) > have:
        cell = heap.resize(cell, max(len(content), have + have // 2))
    heap.put(heap.at(cell, len(content), _WHAT), content)
    return cell


def _mark(kind: bytes, name: str) -> int:
    if kind == b"lh":
        return name_hash(name)
    raw, compressed = encoded(name[:4])
    return int.from_bytes(raw.ljust(4, b"\0"), "little") if compressed else 0


# --- reading ------------------------------------------------------------------------------


def listing(heap: Heap, key: KeyNode) -> Listing:
    """Raises FormatError for a damaged list, or one that is not as long as the key says."""
    if key.subkeys == 0:
        return Listing(key.cell, None, [])
    signature, words = _read(heap, key.subkey_list)
    if signature == b"ri":
        found = Listing(key.cell, key.subkey_list, [_leaf(heap, cell) for cell in words])
    else:
        found = Listing(key.cell, None, [_leaf(heap, key.subkey_list)])
    if len(found) != key.subkeys:
        raise FormatError(_WHAT, heap.at(key.cell, 0, _WHAT) - 4, "not as long as its key says")
    return found


def _read(heap: Heap, cell: int) -> tuple[bytes, tuple[int, ...]]:
    position = heap.at(cell, 4, _WHAT)
    signature, count = _HEAD.unpack_from(heap.image, position)
    words = count * _WORDS.get(signature, 1)
    heap.at(cell, 4 + 4 * words, _WHAT)
    return signature, struct.unpack_from(f"<{words}I", heap.image, position + 4)


def _leaf(heap: Heap, cell: int) -> Leaf:
    signature, words = _read(heap, cell)
    if signature not in _WORDS:
        raise FormatError(_WHAT, heap.at(cell, 0, _WHAT) - 4, f"unknown kind {signature!r}")
    if not words:
        raise FormatError(_WHAT, heap.at(cell, 0, _WHAT) - 4, "is empty")
    step = _WORDS[signature]
    return Leaf(cell, signature, list(words[::step]), list(words[1::2]) if step == 2 else [])
