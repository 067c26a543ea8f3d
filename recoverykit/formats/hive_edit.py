"""Change values of a hive without moving a cell, and tell two hives apart.

Only data of the same size and type is exchanged, so no cell, list or security record is touched;
creating, deleting and resizing come with issue B. The image that comes out is whole and clean, with
a sequence number beyond every log, so that Windows cannot replay old pages over it.
Refused: hives older than version 1.3, damaged cells anywhere, a value that is not as planned.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer, to_filetime
from recoverykit.formats.hive import Hive, Key, Value, fold
from recoverykit.formats.regf import BASE_BLOCK_SIZE, bins, seal

_T = TypeVar("_T", Key, Value)


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value, before and after. The shape of `model.SetValue` without the hive's path."""

    key: str  # below the hive's root
    name: str
    before: bytes
    after: bytes
    type: int  # REG_*


class Difference(NamedTuple):
    """One logical difference. `name` is None where the key itself was added or removed."""

    key: str
    name: str | None
    before: bytes | None  # None: it was not there
    after: bytes | None  # None: it is gone; equal to `before`: the type changed


def edit(image: Buffer, changes: Sequence[ValueChange], *, sequence: int, when: datetime) -> bytes:
    """The whole new hive file: `image` with exactly these changes.

    `image` is clean or recovered (`regf_log.Recovery.data`); `sequence` the highest sequence number
    known (`Recovery.sequence`); `when` the new last-write time of the keys touched. Raises
    FormatError if the hive is damaged, if a value is not as planned, or if reading the result back
    shows anything but the plan.
    """
    original = bytes(image)
    before = Hive(original)
    if not before.base.clean:
        raise FormatError("hive", 0, "dirty: its logs must be applied before it is changed")
    if before.base.minor < 3:
        raise FormatError("hive header", 24, f"version 1.{before.base.minor} is not written")
    allocated = _allocated(original, before.base.bins_size)
    output = bytearray(original)
    ticks = to_filetime(when)
    for change in changes:
        _exchange(output, before, change, allocated)
        key = before.find(change.key)
        if key is not None:
            struct.pack_into("<Q", output, key.offset + 8, ticks)
    struct.pack_into("<Q", output, 12, ticks)  # last written, and its copy in the first bin:
    struct.pack_into("<Q", output, BASE_BLOCK_SIZE + 20, ticks)  # old logs must match them
    seal(output, (sequence + 1) & 0xFFFF_FFFF, before.base.bins_size)
    result = bytes(output)
    if not is_exactly(original, result, changes):
        raise FormatError(
            "hive", BASE_BLOCK_SIZE, "the changed image does not read back as planned"
        )
    return result


def _exchange(output: bytearray, hive: Hive, change: ValueChange, allocated: set[int]) -> None:
    key = hive.find(change.key)
    value = key.value(change.name) if key is not None else None
    label = f"value {change.key}\\{change.name}"
    if key is None or value is None:
        raise FormatError(label, 0, "does not exist in this hive")
    if value.type != change.type:
        raise FormatError(label, value.offset, f"has type {value.type}, not {change.type}")
    if value.data != change.before:
        raise FormatError(label, value.offset, "no longer holds what the plan saw")
    if len(change.after) != len(change.before):
        raise FormatError(label, value.offset, "cannot change its size in place")
    if key.offset not in allocated or value.offset not in allocated:
        raise FormatError(label, value.offset, "overlaps another cell")
    position = 0
    for start, length in value.extents:
        if start != value.offset + 12 and start - 4 not in allocated:
            raise FormatError(label, start, "its data overlaps another cell")
        output[start : start + length] = change.after[position : position + length]
        position += length


def _allocated(image: bytes, bins_size: int) -> set[int]:
    """File offsets of all allocated cells. Raises FormatError where cells do not fill their bin."""
    allocated = set()
    unpack = struct.Struct("<i").unpack_from
    for start, length in bins(image, bins_size):
        position, end = start + 32, start + length
        while position < end:
            size = unpack(image, position)[0]
            if size < 0:
                allocated.add(position)
                size = -size
            if size < 8 or size & 7 or position + size > end:
                raise FormatError("hive cell", position, "its size is wrong")
            position += size
    return allocated


def is_exactly(before: Buffer, after: Buffer, changes: Sequence[ValueChange]) -> bool:
    """Whether `after` is `before` with these changes of values, and no other logical difference.

    Decided from the bytes where they allow it: everything outside the cells of the changed values
    is identical, and nothing else refers to those cells. Only where that cannot be shown are both
    hives walked. Raises FormatError where one of them cannot be read.
    """
    old, new = Hive(before), Hive(after)
    if any(_read_back(new, change) != (change.type, change.after) for change in changes):
        return False
    if _differ_only_in(bytes(before), bytes(after), old, changes):
        return True
    planned = {
        (fold(c.key), fold(c.name)): (c.before, c.after) for c in changes if c.before != c.after
    }
    found = {
        (fold(d.key), None if d.name is None else fold(d.name)): (d.before, d.after)
        for d in differences(old, new)
    }
    return found == planned


def _read_back(hive: Hive, change: ValueChange) -> tuple[int, bytes] | None:
    key = hive.find(change.key)
    value = key.value(change.name) if key is not None else None
    return None if value is None else (value.type, bytes(value.data))


# What `regf.seal` and `edit` write beside the values: sequence numbers and time stamp, the file
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


def differences(before: Hive, after: Hive) -> list[Difference]:
    """Every key, class name, value, type and byte of data that differs; times are not compared.

    Raises FormatError where one of the hives cannot be read.
    """
    found: list[Difference] = []
    pending: list[tuple[Key | None, Key | None]] = [(before.root, after.root)]
    while pending:
        old, new = pending.pop()
        if _named(old) != _named(new):
            found.append(Difference(_path(old, new), None, _named(old), _named(new)))
        found += _value_differences(old, new)
        pending += _paired(
            old.subkeys() if old is not None else (), new.subkeys() if new is not None else ()
        )
    return found


def _path(old: Key | None, new: Key | None) -> str:
    return old.path if old is not None else new.path if new is not None else ""


def _named(key: Key | None) -> bytes | None:
    """A key by itself: its class name, or None where it does not exist."""
    return None if key is None else (key.class_name or "").encode("utf-16-le", "surrogatepass")


def _value_differences(old: Key | None, new: Key | None) -> Iterator[Difference]:
    for left, right in _paired(
        old.values() if old is not None else (), new.values() if new is not None else ()
    ):
        before = left.data if left is not None else None
        after = right.data if right is not None else None
        same_type = left is not None and right is not None and left.type == right.type
        if before != after or not same_type:
            shown = left if left is not None else right
            yield Difference(
                _path(old, new), shown.name if shown is not None else "", before, after
            )


def _paired(old: Iterable[_T], new: Iterable[_T]) -> list[tuple[_T | None, _T | None]]:
    """Match by name. Two of one name, which only a damaged hive has, are matched in order."""
    rest: dict[str, list[_T]] = {}
    for item in new:
        rest.setdefault(fold(item.name), []).append(item)
    pairs: list[tuple[_T | None, _T | None]] = []
    for item in old:
        same = rest.get(fold(item.name))
        pairs.append((item, same.pop(0) if same else None))
    pairs += [(None, item) for items in rest.values() for item in items]
    return pairs
