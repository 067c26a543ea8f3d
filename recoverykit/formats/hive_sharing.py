"""Which cells of a hive have more than one owner: everything followed from the root, once.

Windows never lets two structures share a cell (but for security descriptors, which count their
users); a damaged or hostile hive may. What is freed or overwritten for one owner must then be
refused. Damage is stepped over, leniently: what looks like a reference counts as one. Bounded: what
hangs below a cell is followed at most twice, and all lists together cannot be longer than the hive.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

from recoverykit.errors import FormatError
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE

_Size = struct.Struct("<i")
# Offsets are within the cell's content: signature, flags, subkeys, their list, values, their list,
# security, class name, length of the class name
_Key = struct.Struct("<2sH16xI4xI4xIIII22xH")
_Value = struct.Struct("<2s2xII")
_List = struct.Struct("<2sH")
_BigData = struct.Struct("<2sHI")
_PREDEFINED = 0x0040
_INLINE = 0x8000_0000
_SEGMENT = 16344
_WORDS = {b"lf": 2, b"lh": 2, b"li": 1}


@dataclass(slots=True)
class References:
    """Who points where. The editor keeps the number of users true while it works."""

    shared: set[int] = field(default_factory=set)  # cells with more than one owner
    users: Counter[int] = field(default_factory=Counter)  # security cell -> keys that name it


class _Walk:
    """The state of one walk: what was visited, and what is still to be followed."""

    __slots__ = ("_budget", "_end", "_image", "_visits", "found", "pending")

    def __init__(self, image: bytearray) -> None:
        self._image = image
        (size,) = struct.unpack_from("<I", image, 40)
        self._end = min(BASE_BLOCK_SIZE + size, len(image))
        self._budget = 4 * size  # bytes of lists; each may be followed twice
        self._visits: Counter[int] = Counter()
        self.found = References()
        self.pending: list[int] = []

    def content(self, cell: int, least: int) -> tuple[int, int] | None:
        """(file offset, bytes) of what an allocated cell holds; None where there is none."""
        position = BASE_BLOCK_SIZE + cell
        if cell & 7 or position + 4 > self._end:
            return None
        size = -_Size.unpack_from(self._image, position)[0]
        if size < 4 + least or position + size > self._end:
            return None
        return position + 4, size - 4

    def visit(self, cell: int) -> bool:
        """Note a reference to a cell; False when there were two before."""
        self._visits[cell] += 1
        if self._visits[cell] > 1:
            self.found.shared.add(cell)
        return self._visits[cell] <= 2

    def visited(self, cell: int) -> bool:
        return cell in self._visits

    def words(self, position: int, count: int) -> tuple[int, ...]:
        self._budget -= 4 * count
        if self._budget < 0:
            raise FormatError("hive", position, "its lists claim more bytes than it has")
        return struct.unpack_from(f"<{count}I", self._image, position)

    def key(self, cell: int) -> None:
        place = self.content(cell, 76)
        if place is None or not self.visit(cell):
            return
        fields = _Key.unpack_from(self._image, place[0])
        signature, flags, subkeys, listed, values, value_list, security, class_cell, length = fields
        if signature != b"nk":
            return
        self.found.users[security] += 1
        if length and class_cell != NOWHERE:
            self.visit(class_cell)
        if subkeys:
            self.subkeys(listed, root=True)
        if values and not flags & _PREDEFINED:
            self.values(value_list, values)

    def subkeys(self, cell: int, *, root: bool) -> None:
        place = self.content(cell, 4)
        if place is None or not self.visit(cell):
            return
        position, room = place
        signature, count = _List.unpack_from(self._image, position)
        if signature == b"ri" and root:
            for leaf in self.words(position + 4, min(count, room // 4 - 1)):
                self.subkeys(leaf, root=False)
        elif signature in _WORDS:
            step = _WORDS[signature]
            self.pending += self.words(position + 4, min(count * step, room // 4 - 1))[::step]

    def values(self, cell: int, count: int) -> None:
        place = self.content(cell, 4)
        if place is None or not self.visit(cell):
            return
        for value in self.words(place[0], min(count, place[1] // 4)):
            self.value(value)

    def value(self, cell: int) -> None:
        place = self.content(cell, 20)
        if place is None or not self.visit(cell):
            return
        signature, size, data = _Value.unpack_from(self._image, place[0])
        if signature != b"vk" or size & _INLINE or not size or data == NOWHERE:
            return
        place = self.content(data, 4)
        if place is None or not self.visit(data) or size <= _SEGMENT or place[1] < 8:
            return
        signature, count, listed = _BigData.unpack_from(self._image, place[0])
        segments = self.content(listed, 4)
        if signature == b"db" and segments is not None and self.visit(listed):
            for segment in self.words(segments[0], min(count, segments[1] // 4)):
                self.visit(segment)


def references(image: bytearray) -> References:
    """Follow the hive in `image`. Raises FormatError where its lists claim more than it holds."""
    walk = _Walk(image)
    walk.pending.append(struct.unpack_from("<I", image, 36)[0])
    while walk.pending:
        walk.key(walk.pending.pop())
    found = walk.found
    # A security cell may have many keys, but nothing else may point to it.
    found.shared.update(cell for cell in found.users if walk.visited(cell))
    return found
