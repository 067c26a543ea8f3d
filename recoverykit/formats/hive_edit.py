"""Changes of keys and values as a plan lists them: made, taken back, found between two hives.

Every change says what it expects to find, and nothing is done where that is not so. The image that
comes out is whole and clean, and was read again: it differs from the one before in these changes
and in nothing else. How cells are moved for it is `hive_editor`'s business, how it comes to the
disk `hive_save`'s. Refused: dirty hives, versions before 1.3, damage anywhere a change needs.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer
from recoverykit.formats.hive import Hive, Key, fold
from recoverykit.formats.hive_editor import Editor
from recoverykit.formats.hive_walk import WalkedValue
from recoverykit.formats.regf import BASE_BLOCK_SIZE, bins
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange

_SECURITY_FIELD: Final = 9  # of `cells.NkFields`
_INLINE = 4  # bytes of data that lie inside the value's own cell


State = RegistryData | RegistryKey | None  # of a value, of a key, or that it does not exist


@dataclass(frozen=True, slots=True)
class Edited:
    """A changed hive, whole."""

    image: bytes
    numbers_only: bool  # no cell was moved or resized, and each value lies within one sector


def edit(
    image: Buffer, changes: Sequence[RegistryChange], *, sequence: int, when: datetime
) -> Edited:
    """The whole new hive file: `image` with exactly these changes, made in their order.

    `image` is clean or recovered (`regf_log.Recovery.data`); `sequence` the highest sequence number
    known (`Recovery.sequence`); `when` the new last-write time of the keys touched. Raises
    FormatError if the hive is damaged, if something is not as planned, or if reading the result
    back shows anything but the plan.
    """
    original = bytes(image)
    old = Hive(original)
    _require_before(old, changes)
    editor = Editor(original, when)
    for change in _needed(changes):
        _make(editor, change)
    _require_sound(original, old.base.bins_size, cells=not editor.in_place)
    numbers = editor.in_place and all(_is_number(change) for change in changes)
    result = editor.finish((sequence + 1) & 0xFFFF_FFFF)
    if not is_exactly(original, result, changes):
        raise FormatError(
            "hive", BASE_BLOCK_SIZE, "the changed image does not read back as planned"
        )
    return Edited(result, numbers)


def inverse(changes: Sequence[RegistryChange]) -> tuple[RegistryChange, ...]:
    """The changes that take these back, in the opposite order."""
    return tuple(_between(change, change, reverse=True) for change in reversed(changes))


def net(changes: Sequence[RegistryChange]) -> tuple[RegistryChange, ...]:
    """The same in as few changes as there are keys and values concerned, without those that come
    back to what was."""
    last = {_place(change): change for change in changes}
    first = {_place(change): change for change in reversed(changes)}
    joined = (_between(change, last[place]) for place, change in reversed(first.items()))
    return tuple(change for change in joined if not agrees(change.before, change.after))


def _between(
    first: RegistryChange, last: RegistryChange, *, reverse: bool = False
) -> RegistryChange:
    """One change from the state before `first` to that after `last`, which are about one place."""
    if isinstance(first, ValueChange) and isinstance(last, ValueChange):
        was, now = (last.after, first.before) if reverse else (first.before, last.after)
        return ValueChange(first.key, first.name, was, now)
    if isinstance(first, KeyChange) and isinstance(last, KeyChange):
        old, new = (last.after, first.before) if reverse else (first.before, last.after)
        return KeyChange(first.key, old, new)
    raise ValueError("a key and a value are two places")


def label(change: RegistryChange) -> str:
    """What a change is about, for sentences."""
    if isinstance(change, ValueChange):
        return f"value {change.key}\\{change.name or '(default)'}"
    return f"key {change.key}"


def state(hive: Hive, change: RegistryChange) -> State:
    """What stands where a change would be made."""
    return _States(hive).of(change)


class _States:
    """What stands at many places of one hive: each key is looked up once."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive
        self._keys: dict[str, Key | None] = {}

    def of(self, change: RegistryChange) -> State:
        if change.key not in self._keys:
            self._keys[change.key] = self._hive.find(change.key)
        key = self._keys[change.key]
        if isinstance(change, KeyChange):
            return None if key is None else key_state(key)
        value = None if key is None else key.value(change.name)
        return None if value is None else RegistryData(value.type, bytes(value.data))


def agrees(found: State, wanted: State) -> bool:
    """Whether they are the same; a key wanted without a descriptor may have any."""
    if isinstance(found, RegistryKey) and isinstance(wanted, RegistryKey) and not wanted.security:
        return found.class_name == wanted.class_name
    return found == wanted


def key_state(key: Key) -> RegistryKey:
    """A key by itself. Raises FormatError for a damaged class name or descriptor."""
    return RegistryKey(key.class_name or "", key.security or b"")


def _is_number(change: RegistryChange) -> bool:
    return (
        isinstance(change, ValueChange)
        and change.after is not None
        and len(change.after.data) <= _INLINE
    )


def _require_sound(image: bytes, bins_size: int, *, cells: bool) -> None:
    """The bins follow each other, and (where cells are moved) cells fill each of them."""
    unpack = struct.Struct("<i").unpack_from
    for start, length in bins(image, bins_size):
        position, end = start + 32, start + length if cells else 0
        while position < end:
            size = abs(unpack(image, position)[0])
            if size < 8 or size & 7 or position + size > end:
                raise FormatError("hive cell", position, "its size is wrong")
            position += size


def _require_before(hive: Hive, changes: Sequence[RegistryChange]) -> None:
    """Everything is as planned, followed change by change; and no key goes with more than that."""
    now: dict[tuple[str, str | None], State] = {}
    states = _States(hive)
    for change in changes:
        place = _place(change)
        found = now[place] if place in now else states.of(change)
        if not agrees(found, change.before):
            raise FormatError(label(change), 0, _surprise(found, change))
        now[place] = change.after
    for change in changes:
        if isinstance(change, KeyChange) and change.after is None:
            _require_listed(hive, change.key, now)


def _surprise(found: object, change: RegistryChange) -> str:
    if found is None:
        return "does not exist in this hive"
    if change.before is None:
        return "exists already"
    return "no longer holds what the plan saw"


def _require_listed(hive: Hive, path: str, places: Container[tuple[str, str | None]]) -> None:
    """What a key holds goes by changes of its own, so that it can be brought back."""
    key = hive.find(path)
    if key is None:
        return
    folded = fold(key.path)
    below = [(f"{folded}\\{fold(child.name)}", None) for child in key.subkeys()]
    if not all(
        place in places for place in (*below, *((folded, fold(v.name)) for v in key.values()))
    ):
        raise FormatError(f"key {path}", key.offset, "is not empty: it holds more than planned")


def _needed(changes: Sequence[RegistryChange]) -> Iterator[RegistryChange]:
    """Without what goes by itself when a key above it goes for good."""
    final = {_place(change): change for change in changes}
    gone = {
        place[0]
        for place, change in final.items()
        if isinstance(change, KeyChange) and change.after is None
    }
    for change in changes:
        key = fold(change.key)
        above = "" if key not in gone or isinstance(change, KeyChange) else key
        parent = key.rpartition("\\")[0]
        while parent and not above:
            above = parent if parent in gone else ""
            parent = parent.rpartition("\\")[0]
        if not above or change.after is not None:
            yield change


def _make(editor: Editor, change: RegistryChange) -> None:
    if isinstance(change, ValueChange):
        if change.after is None:
            editor.delete_value(change.key, change.name)
        else:
            editor.set_value(change.key, change.name, change.after.type, change.after.data)
    elif change.after is None:
        editor.delete_key(change.key)
    else:
        after = change.after
        editor.create_key(change.key, class_name=after.class_name, security=after.security or None)


# --- reading back -------------------------------------------------------------------------


def is_exactly(before: Buffer, after: Buffer, changes: Sequence[RegistryChange]) -> bool:
    """Whether `after` is `before` with these changes, and no other logical difference.

    Decided from the bytes where they allow it: everything outside the cells of the changed values
    is identical, and nothing else refers to those cells. Only where that cannot be shown are both
    hives walked. Raises FormatError where one of them cannot be read.
    """
    old, new = Hive(before), Hive(after)
    final = {_place(change): change for change in changes}  # the last of each place
    states = _States(new)
    if not all(agrees(states.of(change), change.after) for change in final.values()):
        return False
    numbers = [change for change in changes if isinstance(change, ValueChange)]
    if len(numbers) == len(changes) and _differ_only_in(bytes(before), bytes(after), old, numbers):
        return True
    first = {_place(change): change for change in reversed(changes)}
    found = {_place(change): change for change in differences(old, new)}
    return found.keys() <= first.keys() and all(
        agrees(found[place].before, change.before)
        and agrees(found[place].after, final[place].after)
        if place in found
        else agrees(change.before, final[place].after) or agrees(final[place].after, change.before)
        for place, change in first.items()
    )


def _place(change: RegistryChange) -> tuple[str, str | None]:
    """What a change is about: (key, value), (key, None)."""
    name = fold(change.name) if isinstance(change, ValueChange) else None
    return fold(change.key), name


# What `regf.seal` and the editor write beside the values: sequence numbers and time stamp, the file
# type, the checksum, and the time stamp's copy in the first bin.
_BOOKKEEPING = ((4, 20), (28, 32), (508, 512), (BASE_BLOCK_SIZE + 20, BASE_BLOCK_SIZE + 28))


def _differ_only_in(
    before: bytes, after: bytes, hive: Hive, changes: Sequence[ValueChange]
) -> bool:
    """False does not mean that there is another difference, only that this cannot rule it out."""
    if len(before) != len(after):
        return False
    allowed = list(_BOOKKEEPING)
    for change in changes:
        key = hive.find(change.key)
        value = key.value(change.name) if key is not None else None
        if key is None or value is None:
            return False
        extents = value.extents
        # A small value lies inside its vk cell. Anything else may be shared; then walk.
        if len(extents) != 1 or extents[0][0] != value.offset + 12:
            return False
        # One value list names the vk cell; the nk cell is named by its parent and its children.
        children = sum(1 for _ in key.subkeys())
        if (
            _references(before, value.offset) != 1
            or _references(before, key.offset) != 1 + children
        ):
            return False
        allowed += [(key.offset + 8, key.offset + 16), (extents[0][0], sum(extents[0]))]
    position = 0
    for start, end in sorted(allowed):
        if before[position:start] != after[position:start]:
            return False
        position = max(position, end)
    return before[position:] == after[position:]


def _references(image: bytes, offset: int) -> int:
    """How often four bytes that could mean this cell stand anywhere; chance hits count as well."""
    return image.count(struct.pack("<I", offset - BASE_BLOCK_SIZE), BASE_BLOCK_SIZE)


def differences(before: Hive, after: Hive) -> list[RegistryChange]:
    """Every key, class name, descriptor, value, type and byte that differs; times are not compared.

    Raises FormatError where one of the hives cannot be read.
    """
    old, new = dict(_keys(before)), dict(_keys(after))
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


class _Walked(NamedTuple):
    """A key of one of the two hives."""

    path: str
    state: RegistryKey
    values: list[WalkedValue]


_NO_KEY = _Walked("", RegistryKey(), [])


def _keys(hive: Hive) -> Iterator[tuple[tuple[str, int], _Walked]]:
    """Every key by its folded path. Two of one name, which only a damaged hive has, in order."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for key in hive.walk():
        del names[max(key.depth - 1, 0) :]
        if key.depth:
            names.append(key.name)
        path = "\\".join(names)
        security = hive.security(hive.cells.nk(key.cell)[_SECURITY_FIELD]).descriptor
        folded = fold(path)
        yield (
            (folded, seen[folded]),
            _Walked(path, RegistryKey(key.class_name or "", security), key.values),
        )
        seen[folded] += 1


def _value_differences(path: str, old: _Walked, new: _Walked) -> Iterator[ValueChange]:
    if old.values == new.values:
        return
    rest: dict[str, list[WalkedValue]] = {}
    for value in new.values:
        rest.setdefault(fold(value[0]), []).append(value)
    for name, kind, data in old.values:
        same = rest.get(fold(name))
        was = RegistryData(kind, data)
        now = _data(same.pop(0)) if same else None
        if was != now:
            yield ValueChange(path, name, was, now)
    for values in rest.values():
        for value in values:
            yield ValueChange(path, value[0], None, _data(value))


def _data(value: WalkedValue) -> RegistryData:
    return RegistryData(value[1], value[2])
