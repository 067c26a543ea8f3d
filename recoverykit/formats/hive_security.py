"""Security descriptors of a hive: shared by keys, counted, linked in a ring.

Layout: msuhanov/regf, "Windows registry file format specification", section "Key security"; of
the descriptors themselves [MS-DTYP] 2.4. Every descriptor is there once, with the number of its
keys; it leaves the ring when the last of them goes. Refused with FormatError: a descriptor Windows
would not load, a ring that does not close, a count that is smaller than the keys that were found.
"""

from __future__ import annotations

import struct
from collections import Counter

from recoverykit.errors import FormatError
from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.hive_keys import KEY_SECURITY
from recoverykit.formats.regf import BASE_BLOCK_SIZE

_Cell = struct.Struct("<2s2xIIII")  # signature, next, previous, keys, length
_Descriptor = struct.Struct("<BxHIIII")  # revision, control, owner, group, SACL, DACL
_NEXT, _PREVIOUS, _USERS, _TEXT = 4, 8, 12, 20
_SELF_RELATIVE = 0x8000
_WHAT = "key security"


def require_descriptor(data: bytes) -> None:
    """Raises FormatError unless `data` is a whole self-relative security descriptor."""
    if len(data) < _Descriptor.size:
        raise FormatError("security descriptor", 0, "shorter than its header")
    revision, control, owner, group, sacl, dacl = _Descriptor.unpack_from(data)
    if revision != 1 or not control & _SELF_RELATIVE:
        raise FormatError("security descriptor", 0, "not a self-relative one of revision 1")
    for offset in (owner, group):
        if offset:
            _require_sid(data, offset, len(data))
    for offset in (sacl, dacl):
        if offset:
            _require_acl(data, offset)


def _require_sid(data: bytes, offset: int, end: int) -> None:
    if not _Descriptor.size <= offset <= end - 8:
        raise FormatError("security descriptor", offset, "a SID lies outside")
    if data[offset] != 1 or data[offset + 1] > 15 or offset + 8 + 4 * data[offset + 1] > end:
        raise FormatError("security descriptor", offset, "a SID is damaged")


def _require_acl(data: bytes, offset: int) -> None:
    if not _Descriptor.size <= offset <= len(data) - 8:
        raise FormatError("security descriptor", offset, "an ACL lies outside")
    revision, size, count = struct.unpack_from("<BxHH", data, offset)
    position, end = offset + 8, offset + size
    if not 2 <= revision <= 4 or end > len(data):
        raise FormatError("security descriptor", offset, "an ACL is damaged")
    for _ in range(count):
        length = struct.unpack_from("<H", data, position + 2)[0] if position + 4 <= end else 0
        if length < 4 or length % 4 or position + length > end:
            raise FormatError("security descriptor", position, "an entry of an ACL is damaged")
        position += length


# --- the ring -----------------------------------------------------------------------------


def _fields(heap: Heap, cell: int) -> tuple[int, int, int, int]:
    """(next, previous, keys, length of the descriptor)."""
    position = heap.at(cell, _TEXT, _WHAT)
    signature, following, previous, users, length = _Cell.unpack_from(heap.image, position)
    if signature != b"sk" or _TEXT + length > heap.room(cell):
        raise FormatError(_WHAT, position - 4, "no security descriptor here")
    return following, previous, users, length


def _linked(heap: Heap, cell: int) -> tuple[int, int, int, int]:
    """The same of a cell whose neighbours in the ring agree that it is theirs."""
    fields = _fields(heap, cell)
    if _fields(heap, fields[0])[1] != cell or _fields(heap, fields[1])[0] != cell:
        raise FormatError(_WHAT, BASE_BLOCK_SIZE + cell, "its neighbours in the ring disagree")
    return fields


def descriptor_at(heap: Heap, cell: int) -> bytes:
    length = _fields(heap, cell)[3]
    start = BASE_BLOCK_SIZE + cell + 4 + _TEXT
    return bytes(heap.image[start : start + length])


def first(heap: Heap, descriptor: bytes) -> int:
    """The security cell of a hive that has none, with no user yet."""
    require_descriptor(descriptor)
    cell = heap.allocate(_TEXT + len(descriptor), 0)
    content = _Cell.pack(b"sk", cell, cell, 0, len(descriptor)) + descriptor
    heap.put(heap.at(cell, len(content), _WHAT), content)
    return cell


def require_ring(heap: Heap, cell: int) -> None:
    """Raises FormatError unless this is a descriptor whose neighbours know it."""
    _linked(heap, cell)


def add_user(heap: Heap, cell: int) -> None:
    users = _linked(heap, cell)[2]
    if users == 0xFFFF_FFFF:
        raise FormatError(_WHAT, BASE_BLOCK_SIZE + cell, "has too many keys")
    heap.put_u32(cell, _USERS, users + 1)
    heap.count_users(cell, 1)


def assign(heap: Heap, key: int, cell: int) -> None:
    """Give a key this descriptor, which gets a user more; the one before keeps its own."""
    add_user(heap, cell)
    heap.put_u32(key, KEY_SECURITY, cell)


def require_removable(heap: Heap, leaving: Counter[int]) -> None:
    """Raises FormatError where so many users cannot go: checked before anything is changed."""
    for cell, number in leaving.items():
        users = _linked(heap, cell)[2]
        if users < number:
            raise FormatError(_WHAT, BASE_BLOCK_SIZE + cell, "counts fewer keys than it has")
        if users == number:
            # Its cell will be freed: nobody else may need it, counted or not.
            if heap.survey().users[cell] > number:
                raise FormatError(_WHAT, BASE_BLOCK_SIZE + cell, "counts fewer keys than it has")
            if cell in heap.survey().shared:
                raise FormatError(_WHAT, BASE_BLOCK_SIZE + cell, "its cell has another owner too")


class Ring:
    """The descriptors of a hive by what they say. The ring is followed once; a damaged hive may
    have more than one of them, then it is the one that was asked about last."""

    __slots__ = ("_cells", "_heap", "_texts")

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._cells: set[int] = set()
        self._texts: dict[bytes, int] = {}  # descriptor -> cell, the first one where two are alike

    def equal(self, near: int, descriptor: bytes) -> int | None:
        """The cell in the ring of `near` that holds this descriptor."""
        require_ring(self._heap, near)
        if descriptor_at(self._heap, near) == descriptor:
            return near
        if near not in self._cells:
            self._follow(near)
        return self._texts.get(descriptor)

    def _follow(self, start: int) -> None:
        self._cells, self._texts = set(), {}
        cell, cells = start, set[int]()
        while cell not in cells:
            cells.add(cell)
            following = _linked(self._heap, cell)[0]
            self._texts.setdefault(descriptor_at(self._heap, cell), cell)
            cell = following
        if cell != start:
            at = BASE_BLOCK_SIZE + start
            raise FormatError(_WHAT, at, "the ring does not come back to it")
        self._cells = cells

    def equal_or_new(self, near: int, descriptor: bytes) -> int:
        """The same, or a new one that joins the ring after `near`."""
        found = self.equal(near, descriptor)
        if found is not None:
            return found
        heap, following = self._heap, _linked(self._heap, near)[0]
        cell = first(heap, descriptor)
        heap.put_u32(cell, _NEXT, following)
        heap.put_u32(cell, _PREVIOUS, near)
        heap.put_u32(near, _NEXT, cell)
        heap.put_u32(following, _PREVIOUS, cell)
        self._cells.add(cell)
        self._texts[descriptor] = cell
        return cell

    def remove_users(self, leaving: Counter[int]) -> None:
        """Take users away; who has none left leaves. `require_removable` has agreed."""
        heap = self._heap
        for cell, number in leaving.items():
            following, previous, users, _ = _linked(heap, cell)
            if users > number:
                heap.put_u32(cell, _USERS, users - number)
            else:
                self._lose(cell)
                heap.put_u32(previous, _NEXT, following)
                heap.put_u32(following, _PREVIOUS, previous)
                heap.free(cell)
            heap.count_users(cell, -number)

    def _lose(self, cell: int) -> None:
        if len(self._cells) != len(self._texts):
            self._cells, self._texts = set(), {}  # another one may say the same: look again
        elif cell in self._cells:
            self._cells.remove(cell)
            del self._texts[descriptor_at(self._heap, cell)]
