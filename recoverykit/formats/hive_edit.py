"""Changes of keys and values as a plan lists them: made, taken back, found between two hives.

Every change says what it expects to find, and nothing is done where that is not so. The image that
comes out is whole and clean, and was read again: it differs from the one before in these changes
and in nothing else. How cells are moved for it is `hive_editor`'s business, how it comes to the
disk `hive_save`'s. Refused: dirty hives, versions before 1.3, damage anywhere a change needs.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer
from recoverykit.formats.hive import Hive, fold
from recoverykit.formats.hive_difference import differences as differences
from recoverykit.formats.hive_editor import Editor
from recoverykit.formats.hive_files import Patched, difference
from recoverykit.formats.hive_proof import differ_only_in_numbers
from recoverykit.formats.hive_sharing import mentions
from recoverykit.formats.hive_states import Place, State, States, place
from recoverykit.formats.hive_states import agrees as agrees
from recoverykit.formats.hive_states import key_state as key_state
from recoverykit.formats.regf import BASE_BLOCK_SIZE, bins
from recoverykit.model import KeyChange, RegistryChange, ValueChange

_INLINE = 4  # bytes of data that lie inside the value's own cell


@dataclass(frozen=True, slots=True)
class Edited:
    """A changed hive."""

    content: bytes | Patched = field(repr=False)  # what `hive_save.save` takes
    numbers_only: bool  # no cell was moved or resized, and each value lies within one sector

    @property
    def image(self) -> bytes:
        """The whole of it; made anew each time where only its sectors are known."""
        return self.content if isinstance(self.content, bytes) else self.content.whole()


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
    old, following = Hive(original), (sequence + 1) & 0xFFFF_FFFF
    _require_before(old, changes)
    editor = Editor(original, when)
    for change in _needed(changes):
        _make(editor, change)
    numbers = editor.in_place and all(_is_number(change) for change in changes)
    patched = editor.patched(following) if numbers else None
    if patched is not None and differ_only_in_numbers(old, patched, changes, editor.mentions):
        return Edited(patched, numbers)
    result = editor.finish(following)
    _require_sound(result, cells=not editor.in_place)
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
    last = {place(change): change for change in changes}
    first = {place(change): change for change in reversed(changes)}
    joined = (_between(change, last[here]) for here, change in reversed(first.items()))
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


def _is_number(change: RegistryChange) -> bool:
    return (
        isinstance(change, ValueChange)
        and change.after is not None
        and len(change.after.data) <= _INLINE
    )


def _require_sound(image: bytes, *, cells: bool) -> None:
    """The bins follow each other, and (where cells are moved) cells fill each of them."""
    unpack = struct.Struct("<i").unpack_from
    for start, length in bins(image, int.from_bytes(image[40:44], "little")):
        position, end = start + 32, start + length if cells else 0
        while position < end:
            size = abs(unpack(image, position)[0])
            if size < 8 or size & 7 or position + size > end:
                raise FormatError("hive cell", position, "its size is wrong")
            position += size


def _require_before(hive: Hive, changes: Sequence[RegistryChange]) -> None:
    """Everything is as planned, followed change by change; and no key goes with more than that."""
    now: dict[Place, State] = {}
    states = States(hive)
    for change in changes:
        here = place(change)
        found = now[here] if here in now else states.of(change)
        if not agrees(found, change.before):
            raise FormatError(label(change), 0, _surprise(found, change))
        now[here] = change.after
    for change in changes:
        if isinstance(change, KeyChange) and change.after is None:
            _require_listed(states, change.key, now)


def _surprise(found: object, change: RegistryChange) -> str:
    if found is None:
        return "does not exist in this hive"
    if change.before is None:
        return "exists already"
    return "no longer holds what the plan saw"


def _require_listed(states: States, path: str, places: Container[Place]) -> None:
    """What a key holds goes by changes of its own, so that it can be brought back."""
    key = states.key(path)
    if key is None:
        return
    folded = fold(key.path)
    below = [(f"{folded}\\{fold(child.name)}", None) for child in key.subkeys()]
    values = [(folded, fold(value.name)) for value in key.values()]
    if not all(held in places for held in (*below, *values)):
        raise FormatError(f"key {path}", key.offset, "is not empty: it holds more than planned")


def _needed(changes: Sequence[RegistryChange]) -> Iterator[RegistryChange]:
    """Without what goes by itself when a key above it goes for good."""
    final = {place(change): change for change in changes}
    gone = {
        here[0]
        for here, change in final.items()
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
    elif change.before is not None and change.before.class_name == change.after.class_name:
        if change.after.security:
            editor.set_security(change.key, change.after.security)
    else:
        after = change.after
        editor.create_key(change.key, class_name=after.class_name, security=after.security or None)


# --- reading back -------------------------------------------------------------------------


def is_exactly(before: Buffer, after: Buffer, changes: Sequence[RegistryChange]) -> bool:
    """Whether `after` is `before` with these changes, and no other logical difference.

    Raises FormatError where one of them cannot be read.
    """
    image, changed = bytes(before), bytes(after)
    old, new = Hive(image), Hive(changed)
    if len(image) == len(changed) and all(_is_number(change) for change in changes):
        patched = Patched(image, difference(image, changed))
        search = partial(mentions, image, end=BASE_BLOCK_SIZE + old.base.bins_size)
        if differ_only_in_numbers(old, patched, changes, search):
            return True
    first = {place(change): change for change in reversed(changes)}
    final = {place(change): change for change in changes}  # the last of each place
    states = States(new)
    if not all(agrees(states.of(change), change.after) for change in final.values()):
        return False
    found = {place(change): change for change in differences(old, new)}
    return found.keys() <= first.keys() and all(
        agrees(found[here].before, change.before) and agrees(found[here].after, final[here].after)
        if here in found
        else agrees(change.before, final[here].after) or agrees(final[here].after, change.before)
        for here, change in first.items()
    )
