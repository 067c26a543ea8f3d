"""What a hive refers to, and what has more than one owner: everything followed from the root once.

Windows never lets two structures share a cell (but for security descriptors, which count their
users), nor uses one that is marked free; a damaged or hostile hive may. What is freed, overwritten
or handed out anew must then be left alone. Damage is stepped over, leniently: what looks like a
reference counts as one. Bounded: what hangs below a cell is followed at most twice, and all lists
together cannot be longer than the hive (FormatError).

For a few cells it is quicker to search all bytes for their offsets (`mentions`): where an offset
does not stand there is no reference.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from recoverykit.errors import FormatError
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE

# Whole cells, their size first
# "nk", flags, subkeys, their list, values, their list, security, class name, length of class name
_Key = struct.Struct("<i2sH16xI4xI4xIIII22xH")
_Value = struct.Struct("<i2s2xII")  # "vk", data size, data
_List = struct.Struct("<i2sH")  # signature, number of elements
_BigData = struct.Struct("<i2sHI")  # "db", number of segments, their list
_Size = struct.Struct("<i")
_LEAST_KEY, _LEAST_VALUE = 80, 24  # bytes of a cell
_PREDEFINED = 0x0040
_INLINE = 0x8000_0000
_SEGMENT = 16344
_WORDS = {b"lf": 2, b"lh": 2, b"li": 1}
_STRIDE = 1 << 18  # bytes searched at once
_HITS = 20_000  # more of them, and following the hive is quicker
_COMMON = (0x00, 0xFF)  # bytes too frequent to search for
_Offset = struct.Struct("<I")


@dataclass(slots=True)
class References:
    """Who points where. The editor keeps it true while it works."""

    reached: set[int] = field(default_factory=set)  # all cells something points to
    shared: set[int] = field(default_factory=set)  # those with more than one owner
    users: Counter[int] = field(default_factory=Counter)  # security cell -> keys that name it


class _Walk:
    """The state of one walk: what was met, and which keys are still to be followed."""

    __slots__ = ("_budget", "_end", "_image", "found", "pending")

    def __init__(self, image: bytes | bytearray) -> None:
        self._image = image
        (root, size) = struct.unpack_from("<II", image, 36)
        self._end = min(BASE_BLOCK_SIZE + size, len(image))
        self._budget = 4 * size  # bytes of lists; each may be followed twice
        self.found = References()
        self.pending: list[int] = [root]

    def meet(self, cell: int) -> bool:
        """Note a reference to a cell; whether to follow it, as is done twice."""
        if cell not in self.found.reached:
            self.found.reached.add(cell)
            return True
        if cell not in self.found.shared:
            self.found.shared.add(cell)
            return True
        return False

    def room(self, cell: int, least: int) -> int:
        """Bytes of an allocated cell without its size; 0 where there are not `least`."""
        position = BASE_BLOCK_SIZE + cell
        if cell & 7 or position + 4 + least > self._end:
            return 0
        size = -int(_Size.unpack_from(self._image, position)[0])
        return size - 4 if size >= 4 + least and position + size <= self._end else 0

    def words(self, position: int, count: int) -> tuple[int, ...]:
        if count <= 0:
            return ()
        self._budget -= 4 * count
        if self._budget < 0:
            raise FormatError("hive", position, "its lists claim more bytes than it has")
        return struct.unpack_from(f"<{count}I", self._image, position)

    def keys(self) -> None:
        image, end, pending, users = self._image, self._end, self.pending, self.found.users
        while pending:
            cell = pending.pop()
            position = BASE_BLOCK_SIZE + cell
            if not self.meet(cell) or cell & 7 or position + _LEAST_KEY > end:
                continue
            size, signature, flags, subkeys, listed, values, value_list, security, named, length = (
                _Key.unpack_from(image, position)
            )
            if signature != b"nk" or size > -_LEAST_KEY:
                continue
            users[security] += 1
            if length and named != NOWHERE:
                self.meet(named)
            if subkeys and self.meet(listed):
                self.subkeys(listed, root=True)
            if values and not flags & _PREDEFINED and self.meet(value_list):
                room = self.room(value_list, 4)
                self.values(self.words(BASE_BLOCK_SIZE + value_list + 4, min(values, room // 4)))

    def subkeys(self, cell: int, *, root: bool) -> None:
        room = self.room(cell, 4)
        if not room:
            return
        position = BASE_BLOCK_SIZE + cell
        _, signature, count = _List.unpack_from(self._image, position)
        if signature == b"ri" and root:
            for leaf in self.words(position + 8, min(count, room // 4 - 1)):
                if self.meet(leaf):
                    self.subkeys(leaf, root=False)
        elif signature in _WORDS:
            step = _WORDS[signature]
            self.pending += self.words(position + 8, min(count * step, room // 4 - 1))[::step]

    def values(self, cells: tuple[int, ...]) -> None:
        image, end = self._image, self._end
        for cell in cells:
            position = BASE_BLOCK_SIZE + cell
            if not self.meet(cell) or cell & 7 or position + _LEAST_VALUE > end:
                continue
            size, signature, length, data = _Value.unpack_from(image, position)
            if signature != b"vk" or size > -_LEAST_VALUE or length & _INLINE or not length:
                continue
            if data != NOWHERE and self.meet(data) and length > _SEGMENT:
                self.big(data)

    def big(self, cell: int) -> None:
        if not self.room(cell, 8):
            return
        _, signature, count, listed = _BigData.unpack_from(self._image, BASE_BLOCK_SIZE + cell)
        if signature == b"db" and self.meet(listed):
            room = self.room(listed, 4)
            for segment in self.words(BASE_BLOCK_SIZE + listed + 4, min(count, room // 4)):
                self.meet(segment)


def references(image: bytes | bytearray) -> References:
    """Follow the hive in `image`. Raises FormatError where its lists claim more than it holds."""
    walk = _Walk(image)
    walk.keys()
    found = walk.found
    # A security cell may have many keys, but nothing else may point to it.
    found.shared.update(cell for cell in found.users if cell in found.reached)
    found.reached.update(found.users)
    return found


def mentions(
    image: bytes | bytearray, cells: Iterable[int], end: int
) -> dict[int, list[int]] | None:
    """Where in the bins, which end at `end`, the offsets of these cells stand, by file offset.

    All references of a hive stand at multiples of four. Of each four bytes one is searched for: one
    pass finds all cells, at the price of one search for one of them. None where it is so frequent
    that `references` is quicker.
    """
    found: dict[int, list[int]] = {cell: [] for cell in cells}
    shift = next(
        (by for by in (8, 16) if all(cell >> by & 0xFF not in _COMMON for cell in found)), 0
    )
    marks, left = {cell >> shift & 0xFF for cell in found}, _HITS
    for start in range(BASE_BLOCK_SIZE, end, _STRIDE):
        lane = image[start + shift // 8 : min(start + _STRIDE, end) : 4]
        for mark in marks:
            at = lane.find(mark)
            while at >= 0:
                (word,) = _Offset.unpack_from(image, start + 4 * at)
                if word in found:
                    found[word].append(start + 4 * at)
                left -= 1
                if left < 0:
                    return None
                at = lane.find(mark, at + 1)
    return found
