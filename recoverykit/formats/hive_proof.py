"""Proof from the bytes alone that nothing but some numbers of a hive changed.

To walk a hive of ten megabytes twice, which always tells, takes forty times as long as to change a
Start value. Here the sectors that will be written are compared instead: but for the values' own
bytes, the times, and the header's numbers they are what they were. Nothing else in the hive names
the cells that changed, and no other key has the same list of values; so whatever else is read is
read from the same bytes as before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from recoverykit.formats.hive import Hive, Key, Value
from recoverykit.formats.hive_files import Patched
from recoverykit.formats.hive_keys import KEY_PARENT, KEY_TIME, KEY_VALUE_LIST
from recoverykit.formats.hive_states import States, place
from recoverykit.formats.regf import BASE_BLOCK_SIZE, SECTOR, BaseBlock
from recoverykit.model import RegistryChange, RegistryData, ValueChange

_FEW = 8  # changes; of more of them the walks are the quicker proof
_SIZE_FIELD = 4  # what a cell begins with
_DATA_FIELD = 12  # of a value's cell: where data of up to four bytes lies
# What `regf.seal` and the editor write beside the values: sequence numbers and time stamp, the file
# type, the checksum, and the time stamp's copy in the first bin.
_BOOKKEEPING = ((4, 20), (28, 32), (508, 512), (BASE_BLOCK_SIZE + 20, BASE_BLOCK_SIZE + 28))

Mentions = Callable[[Sequence[int]], dict[int, list[int]] | None]  # as `hive_sharing.mentions`


def differ_only_in_numbers(
    old: Hive, new: Patched, changes: Sequence[RegistryChange], mentions: Mentions
) -> bool:
    """Whether `new`, made of the image of `old`, has these changes and no other logical difference.

    `mentions` searches the image of `old`. False does not mean that there is another difference,
    only that this cannot rule it out. Raises FormatError for damage where it looks.
    """
    final = list({place(change): change for change in changes}.values())
    if len(final) > _FEW or new.before is not old.cells.image:
        return False
    states, allowed = States(old), list(_BOOKKEEPING)
    cells, besides = set[int](), set[int]()
    for change in final:
        found = _number(states, change)
        if found is None:
            return False
        key, value, wanted = found
        data = value.offset + _DATA_FIELD
        if new.at(data, len(wanted)) != wanted:
            return False
        time = key.offset + _SIZE_FIELD + KEY_TIME
        allowed += [(time, time + 8), (data, data + len(wanted))]
        cells |= {key.cell, _value_list(key), value.offset - BASE_BLOCK_SIZE}
        besides |= {child.offset + _SIZE_FIELD + KEY_PARENT for child in key.subkeys()}
    named = mentions(sorted(cells))
    return (
        named is not None
        and all(sum(at not in besides for at in places) == 1 for places in named.values())
        and _same_but_for(allowed, new)
        and BaseBlock.parse(new.at(0, SECTOR)).clean
    )


def _number(states: States, change: RegistryChange) -> tuple[Key, Value, bytes] | None:
    """The value that a change gives other data, where that is all: the same type and size, and
    inside the value's cell."""
    after = change.after
    if not isinstance(change, ValueChange) or not isinstance(after, RegistryData):
        return None
    key = states.key(change.key)
    value = None if key is None else key.value(change.name)
    if key is None or value is None or value.type != after.type:
        return None
    inside = [(value.offset + _DATA_FIELD, len(after.data))]
    return (key, value, after.data) if value.extents == inside else None


def _value_list(key: Key) -> int:
    """The cell of a key's list of values."""
    at = key.offset + _SIZE_FIELD + KEY_VALUE_LIST
    return int(struct.unpack_from("<I", key.hive.cells.image, at)[0])


def _same_but_for(allowed: Sequence[tuple[int, int]], new: Patched) -> bool:
    """Whether the bytes outside these ranges (start, end) are what they were."""
    for piece in new.pieces:
        expected, end = bytearray(piece.before), piece.offset + len(piece.before)
        for start, stop in allowed:
            low, high = max(start, piece.offset), min(stop, end)
            if low < high:
                part = slice(low - piece.offset, high - piece.offset)
                expected[part] = piece.after[part]
        if expected != piece.after:
            return False
    return True
