"""What differs between two hives: every key, class name, descriptor, value, type and byte of data.

Both are walked side by side; two keys are put into words only where something differs. Times are
not compared, nor the case of names. Memory: no more than one key of each hive, and what differs.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from recoverykit.formats.hive import Hive, fold
from recoverykit.formats.hive_keys import KEY_SECURITY
from recoverykit.formats.hive_walk import WalkedKey, WalkedValue
from recoverykit.formats.regf import BASE_BLOCK_SIZE
from recoverykit.formats.upcase import sort_key
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange

_SECURITY = BASE_BLOCK_SIZE + 4 + KEY_SECURITY  # of a key at 0: where its descriptor's cell stands
_Offset = struct.Struct("<I")


class _Found(NamedTuple):
    """A key of one of the two hives that may differ."""

    path: str
    state: RegistryKey
    values: list[WalkedValue]


_NO_KEY = _Found("", RegistryKey(), [])


def differences(before: Hive, after: Hive) -> list[RegistryChange]:
    """Raises FormatError where one of the hives cannot be read."""
    doubts = _Doubts(before, after)
    old, new = _by_place(doubts.old), _by_place(doubts.new)
    found: list[RegistryChange] = []
    for place in (*old, *(place for place in new if place not in old)):
        left, right = old.get(place), new.get(place)
        path = (left or right or _NO_KEY).path
        was = None if left is None else left.state
        now = None if right is None else right.state
        if was != now:
            found.append(KeyChange(path, was, now))
        found += _value_differences(path, left or _NO_KEY, right or _NO_KEY)
    return found


class _Doubts:
    """The keys of two hives without those that are alike, and have the same path.

    As long as the walks are at keys of one name and depth, all above them have the same names.
    Where they are not, one hive has a key more, with all below it: the one that is deeper, or whose
    name comes first. Where lists are not sorted that is a guess; it only makes the doubts longer.
    """

    __slots__ = ("_after", "_before", "_names", "new", "old")

    def __init__(self, before: Hive, after: Hive) -> None:
        self._before, self._after = before, after
        self._names: list[str] = []  # of the keys on the way to the last one; [0] is the root's
        self.old: list[_Found] = []
        self.new: list[_Found] = []
        self._compare(before.walk(), after.walk())

    def _compare(self, lefts: Iterator[WalkedKey], rights: Iterator[WalkedKey]) -> None:
        images, unpack = (self._before.cells.image, self._after.cells.image), _Offset.unpack_from
        names, same = self._names, set[tuple[int, int]]()  # security cells that say the same
        left, right = next(lefts, None), next(rights, None)
        while left is not None and right is not None:
            depth, cell, name, _, _, class_name, values = left
            if depth != right[0] or (name != right[2] and depth and fold(name) != fold(right[2])):
                if depth > right[0] or (depth == right[0] and sort_key(name) < sort_key(right[2])):
                    left = self._subtree(left, lefts, self._before, self.old)
                else:
                    right = self._subtree(right, rights, self._after, self.new)
                continue
            names[depth:] = (name,)
            pair = (
                unpack(images[0], _SECURITY + cell)[0],
                unpack(images[1], _SECURITY + right[1])[0],
            )
            if pair not in same and self._descriptors(*pair):
                same.add(pair)
            if class_name != right[5] or values != right[6] or pair not in same:
                self.old.append(_found(self._before, names, left))
                self.new.append(_found(self._after, names, right))
            left, right = next(lefts, None), next(rights, None)
        while left is not None:
            left = self._subtree(left, lefts, self._before, self.old)
        while right is not None:
            right = self._subtree(right, rights, self._after, self.new)

    def _descriptors(self, old: int, new: int) -> bool:
        """Whether these security cells say the same."""
        return self._before.security(old).descriptor == self._after.security(new).descriptor

    def _subtree(
        self, top: WalkedKey, walk: Iterator[WalkedKey], hive: Hive, found: list[_Found]
    ) -> WalkedKey | None:
        """Take a key and all below it for different; the one that follows."""
        key: WalkedKey | None = top
        names = self._names[: top.depth]
        while key is not None and (key is top or key.depth > top.depth):
            names[key.depth :] = (key.name,)
            found.append(_found(hive, names, key))
            key = next(walk, None)
        return key


def _found(hive: Hive, names: list[str], key: WalkedKey) -> _Found:
    (cell,) = _Offset.unpack_from(hive.cells.image, _SECURITY + key.cell)
    state = RegistryKey(key.class_name or "", hive.security(cell).descriptor)
    return _Found("\\".join(names[1:]), state, key.values)


def _by_place(keys: Iterable[_Found]) -> dict[tuple[str, int], _Found]:
    """Every key by its folded path. Two of one name, which only a damaged hive has, in order."""
    found: dict[tuple[str, int], _Found] = {}
    seen: Counter[str] = Counter()
    for key in keys:
        folded = fold(key.path)
        found[folded, seen[folded]] = key
        seen[folded] += 1
    return found


def _value_differences(path: str, old: _Found, new: _Found) -> Iterator[ValueChange]:
    if old.values == new.values:
        return
    rest: dict[str, list[WalkedValue]] = {}
    for value in reversed(new.values):
        rest.setdefault(fold(value[0]), []).append(value)
    for name, kind, data in old.values:
        same = rest.get(fold(name))
        was = RegistryData(kind, data)
        now = _data(same.pop()) if same else None
        if was != now:
            yield ValueChange(path, name, was, now)
    for value in new.values:
        same = rest.get(fold(value[0]))
        if same and same[-1] is value:
            yield ValueChange(path, value[0], None, _data(same.pop()))


def _data(value: WalkedValue) -> RegistryData:
    return RegistryData(value[1], value[2])
