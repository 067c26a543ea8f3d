"""Subkey lists: found in, added to, removed from, as Windows keeps them.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Index leaf" to "Index
root". How lists grow was taken from hives Windows wrote and from ReactOS (cmlib, cmindex.c):

    new list    `lh` (hash of the name) since minor version 5, `lf` (its first letters) before
    lf          holds 507 elements (one page); more of them turn it into `li`, which has no hints
    lh, li      hold 1012; one more, and an index root takes its place over two halves
    removal     an empty leaf is freed, an empty root too; leaves are never joined
    order       upper-case UTF-16 units, over all leaves

A list is changed only if it is sorted and its count is right; Windows would lose keys in any other.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass

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

    cell: int
    kind: bytes
    keys: list[int]
    marks: list[int]  # empty for `li`


@dataclass(slots=True)
class Listing:
    """All subkeys of one key."""

    root: int | None  # cell of the index root
    leaves: list[Leaf]

    @property
    def cells(self) -> list[int]:
        """The cells of the list itself."""
        own = [leaf.cell for leaf in self.leaves]
        return own if self.root is None else [self.root, *own]

    @property
    def keys(self) -> list[int]:
        return [key for leaf in self.leaves for key in leaf.keys]


def listing(heap: Heap, key: KeyNode) -> Listing:
    """Raises FormatError for a damaged list, or one that is not as long as the key says."""
    if key.subkeys == 0:
        return Listing(None, [])
    signature, words = _read(heap, key.subkey_list)
    if signature == b"ri":
        found = Listing(key.subkey_list, [_leaf(heap, cell) for cell in words])
    else:
        found = Listing(None, [_leaf(heap, key.subkey_list)])
    if sum(len(leaf.keys) for leaf in found.leaves) != key.subkeys:
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


def require_sorted(heap: Heap, key: KeyNode) -> None:
    """Raises FormatError where the order is wrong, a name is there twice, or a parent is wrong."""
    before = b""
    for cell in listing(heap, key).keys:
        child = key_at(heap, cell)
        if child.parent != key.cell:
            raise FormatError("registry key", heap.at(cell, 0, _WHAT) - 4, "has another parent")
        here = sort_key(child.name)
        if here <= before:
            raise FormatError(_WHAT, heap.at(key.cell, 0, _WHAT) - 4, "its keys are not in order")
        before = here


def find(heap: Heap, key: KeyNode, name: str, *, ordered: bool = False) -> KeyNode | None:
    """The subkey of that name, in any case. `ordered`: the list is known to be sorted."""
    found = listing(heap, key)
    if not found.leaves:
        return None
    wanted = sort_key(name)
    if ordered:
        number, index = _place(heap, found, name)
        candidates = found.leaves[number].keys[index : index + 1]
        if not candidates and number + 1 < len(found.leaves):
            candidates = found.leaves[number + 1].keys[:1]
    else:
        hashed = name_hash(name)
        candidates = [
            cell
            for leaf in found.leaves
            if leaf.kind == b"lh"
            for cell, mark in zip(leaf.keys, leaf.marks, strict=True)
            if mark == hashed
        ]
        # No hashes here, or one that is wrong: names decide, wherever they stand.
        candidates += found.keys
    for cell in candidates:
        child = _child(heap, key, cell)
        if sort_key(child.name) == wanted:
            return child
    return None


def _child(heap: Heap, key: KeyNode, cell: int) -> KeyNode:
    child = key_at(heap, cell)
    if child.parent != key.cell:
        raise FormatError("registry key", heap.at(cell, 0, _WHAT) - 4, "has another parent")
    return child


# --- changing -----------------------------------------------------------------------------


def claim(heap: Heap, key: KeyNode) -> None:
    """Make sure that a key's list is nobody else's, before it is changed."""
    heap.claim(listing(heap, key).cells, _WHAT)


def insert(heap: Heap, key: KeyNode, child: int, name: str, *, minor: int) -> None:
    """Put a key into its parent's sorted list. `key` is the parent as it is now."""
    found = listing(heap, key)
    heap.claim(found.cells, _WHAT)
    if not found.leaves:
        kind = b"lh" if minor >= HASHED_SINCE else b"lf"
        found.leaves.append(Leaf(heap.allocate(12, key.cell), kind, [], []))
    number, index = _place(heap, found, name)
    leaf = found.leaves[number]
    if leaf.kind == b"lf" and len(leaf.keys) >= LARGEST_FAST_LEAF:
        leaf.kind, leaf.marks = b"li", []
    leaf.keys.insert(index, child)
    if leaf.kind != b"li":
        leaf.marks.insert(index, _mark(leaf.kind, name))
    if len(leaf.keys) > LARGEST_LEAF:
        _split(heap, found, number)
    else:
        _write(heap, leaf)
    _relink(heap, key, found, key.subkeys + 1)


def remove(heap: Heap, key: KeyNode, child: int) -> None:
    """Take a key out of its parent's list. `key` is the parent as it is now."""
    found = listing(heap, key)
    heap.claim(found.cells, _WHAT)
    for leaf in found.leaves:
        if child in leaf.keys:
            break
    else:
        raise FormatError(_WHAT, heap.at(key.cell, 0, _WHAT) - 4, "does not name the key")
    index = leaf.keys.index(child)
    del leaf.keys[index], leaf.marks[index : index + 1]
    if leaf.keys:
        _write(heap, leaf)
    else:
        heap.free(leaf.cell)
        found.leaves.remove(leaf)
    _relink(heap, key, found, key.subkeys - 1)


def _place(heap: Heap, found: Listing, name: str) -> tuple[int, int]:
    """(leaf, index in it) where a name belongs; at the end of a leaf rather than before a next."""
    wanted = sort_key(name)

    def order(cell: int) -> bytes:
        return sort_key(key_at(heap, cell).name)

    firsts = [leaf.keys[0] for leaf in found.leaves if leaf.keys]
    number = max(bisect_left(firsts, wanted, key=order) - 1, 0)
    return number, bisect_left(found.leaves[number].keys, wanted, key=order)


def _mark(kind: bytes, name: str) -> int:
    if kind == b"lh":
        return name_hash(name)
    raw, compressed = encoded(name[:4])
    return int.from_bytes(raw.ljust(4, b"\0"), "little") if compressed else 0


def _split(heap: Heap, found: Listing, number: int) -> None:
    """Halve a leaf that has one element too many."""
    leaf = found.leaves[number]
    half = len(leaf.keys) // 2
    upper = Leaf(heap.allocate(12, leaf.cell), leaf.kind, leaf.keys[half:], leaf.marks[half:])
    del leaf.keys[half:], leaf.marks[half:]
    _write(heap, leaf)
    _write(heap, upper)
    found.leaves.insert(number + 1, upper)


def _write(heap: Heap, leaf: Leaf) -> None:
    """Write a leaf into its cell, which may move to one with room for half as much again."""
    words = leaf.keys
    if leaf.marks:
        words = [word for pair in zip(leaf.keys, leaf.marks, strict=True) for word in pair]
    content = _HEAD.pack(leaf.kind, len(leaf.keys)) + struct.pack(f"<{len(words)}I", *words)
    leaf.cell = _fitted(heap, leaf.cell, len(content))
    heap.put(heap.at(leaf.cell, len(content), _WHAT), content)


def _fitted(heap: Heap, cell: int, room: int) -> int:
    have = heap.room(cell)
    return cell if room <= have else heap.resize(cell, max(room, have + have // 2))


def _relink(heap: Heap, key: KeyNode, found: Listing, count: int) -> None:
    """Let the key point to its list as it is now, through an index root where it needs one."""
    if found.root is None and len(found.leaves) > 1:
        found.root = heap.allocate(4 + 4 * len(found.leaves), key.cell)
    if found.root is not None and not found.leaves:
        heap.free(found.root)
        found.root = None
    where = found.leaves[0].cell if found.leaves else NOWHERE
    if found.root is not None:
        leaves = [leaf.cell for leaf in found.leaves]
        content = _HEAD.pack(b"ri", len(leaves)) + struct.pack(f"<{len(leaves)}I", *leaves)
        where = found.root = _fitted(heap, found.root, len(content))
        heap.put(heap.at(where, len(content), _WHAT), content)
    heap.put_u32(key.cell, KEY_SUBKEY_LIST, where)
    heap.put_u32(key.cell, KEY_SUBKEYS, count)
