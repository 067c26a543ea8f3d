"""Security descriptors of a hive: shared by keys, counted, linked in a ring.

Layout: msuhanov/regf, "Windows registry file format specification", section "Key security"; of
the descriptors themselves [MS-DTYP] 2.4. Every descriptor is there once, with the number of its
keys; it leaves the ring when the last of them goes. Refused with FormatError: a descriptor Windows
would not load, a ring that does not close, a count that is smaller than the keys that were found.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

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


def _fields(heap: Heap, cell: int) -> tuple[int, int, int, bytes]:
    """(next, previous, keys, descriptor)."""
    position = heap.at(cell, _TEXT, _WHAT)
    signature, following, previous, users, length = _Cell.unpack_from(heap.image, position)
    if signature != b"sk" or _TEXT + length > heap.room(cell):
        raise FormatError(_WHAT, position - 4, "no security descriptor here")
    start = position + _TEXT
    return following, previous, users, bytes(heap.image[start : start + length])


def _linked(heap: Heap, cell: int) -> tuple[int, int, int, bytes]:
    """The same of a cell whose neighbours in the ring agree that it is theirs."""
    fields = _fields(heap, cell)
    if _fields(heap, fields[0])[1] != cell or _fields(heap, fields[1])[0] != cell:
        raise FormatError(_WHAT, BASE_BLOCK_SIZE + cell, "its neighbours in the ring disagree")
    return fields


def _ring(heap: Heap, start: int) -> Iterator[tuple[int, bytes]]:
    """(cell, descriptor) of all, `start` first."""
    cell, seen = start, set[int]()
    while cell not in seen:
        seen.add(cell)
        following, _, _, descriptor = _linked(heap, cell)
        yield cell, descriptor
        cell = following
    if cell != start:
        raise FormatError(_WHAT, BASE_BLOCK_SIZE + start, "the ring does not come back to it")


def descriptor_at(heap: Heap, cell: int) -> bytes:
    return _fields(heap, cell)[3]


def first(heap: Heap, descriptor: bytes) -> int:
    """The security cell of a hive that has none, with no user yet."""
    require_descriptor(descriptor)
    cell = heap.allocate(_TEXT + len(descriptor), 0)
    content = _Cell.pack(b"sk", cell, cell, 0, len(descriptor)) + descriptor
    heap.put(heap.at(cell, len(content), _WHAT), content)
    return cell


def equal(heap: Heap, near: int, descriptor: bytes) -> int | None:
    """The cell in the ring of `near` that holds this descriptor."""
    return next((cell for cell, found in _ring(heap, near) if found == descriptor), None)


def equal_or_new(heap: Heap, near: int, descriptor: bytes) -> int:
    """The same, or a new one that joins the ring after `near`."""
    found = equal(heap, near, descriptor)
    if found is not None:
        return found
    following = _linked(heap, near)[0]
    cell = first(heap, descriptor)
    heap.put_u32(cell, _NEXT, following)
    heap.put_u32(cell, _PREVIOUS, near)
    heap.put_u32(near, _NEXT, cell)
    heap.put_u32(following, _PREVIOUS, cell)
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


def remove_users(heap: Heap, leaving: Counter[int]) -> None:
    """Take users away; who has none left leaves the ring. `require_removable` has agreed."""
    for cell, number in leaving.items():
        following, previous, users, _ = _linked(heap, cell)
        if users > number:
            heap.put_u32(cell, _USERS, users - number)
        else:
            heap.put_u32(previous, _NEXT, following)
            heap.put_u32(following, _PREVIOUS, previous)
            heap.free(cell)
        heap.count_users(cell, -number)
