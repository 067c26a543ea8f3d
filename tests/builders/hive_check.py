"""Is a hive sound in every structure? Found out with none of the code under test.

Written to msuhanov's "Windows registry file format specification". Every cell of every bin must be
free, or be reached from the root exactly once; lists sorted, hashed and counted; descriptors in one
ring with the number of their keys; the records of longest names and largest data large enough; free
neighbours joined. `problems` names each place where that is not so, by kind and file offset.
"""

from __future__ import annotations

import struct
from collections import Counter
from functools import reduce
from itertools import pairwise
from operator import xor
from typing import NamedTuple

_NOWHERE = 0xFFFF_FFFF
_SEGMENT = 16344
_LONGEST_LEAF = {b"lf": 507, b"li": 1013, b"lh": 1013}


class Problem(NamedTuple):
    kind: str
    at: int  # file offset


class _Bad(Exception):  # noqa: N818 - a finding, not an error of the test
    def __init__(self, kind: str, cell: int) -> None:
        super().__init__(kind)
        self.problem = Problem(kind, 4096 + cell)


class _Largest(NamedTuple):
    """What a key's four records of its largest content must reach."""

    name: int
    class_name: int
    value_name: int
    value_data: int


class _Check:
    def __init__(self, image: bytes) -> None:
        self.image = image
        self.found: list[Problem] = []
        self.cells: dict[int, int] = {}  # offset -> size; negative: allocated
        self.owned: Counter[int] = Counter()
        self.users: Counter[int] = Counter()
        self.end = 4096 + self.u32(40)
        (self.minor,) = struct.unpack_from("<I", image, 24)

    def u32(self, at: int) -> int:
        return int.from_bytes(self.image[at : at + 4], "little")

    def note(self, kind: str, cell: int) -> None:
        self.found.append(Problem(kind, 4096 + cell))

    # --- frame ----------------------------------------------------------------------------

    def frame(self) -> None:
        image = self.image
        value = reduce(xor, struct.unpack_from("<127I", image))
        if {0: 1, _NOWHERE: _NOWHERE - 1}.get(value, value) != self.u32(508):
            self.note("wrong checksum", -4096)
        if image[4:8] != image[8:12] or self.u32(28) != 0:
            self.note("not a clean primary file", -4096)
        if self.end > len(image):
            raise _Bad("truncated", 0)
        start = 4096
        while start < self.end:
            signature, offset, size = struct.unpack_from("<4sII", image, start)
            if (signature, offset) != (b"hbin", start - 4096) or size % 4096 or not size:
                raise _Bad("damaged bin", start - 4096)
            self.bin(start + 32, start + size)
            start += size
        if start != self.end:
            raise _Bad("bins and header disagree", start - 4096)

    def bin(self, position: int, end: int) -> None:
        free_before = False
        while position < end:
            (size,) = struct.unpack_from("<i", self.image, position)
            if abs(size) < 8 or size % 8 or position + abs(size) > end:
                raise _Bad("damaged cell", position - 4096)
            self.cells[position - 4096] = size
            if size > 0 and free_before:
                self.note("free cells not joined", position - 4096)
            free_before = size > 0
            position += abs(size)

    # --- cells ----------------------------------------------------------------------------

    def take(self, cell: int, least: int) -> int:
        """File offset of the content of a cell that has one owner more now."""
        size = -self.cells.get(cell, 0)
        if size <= 0:
            raise _Bad("no allocated cell", cell)
        if size - 4 < least:
            raise _Bad("cell too small", cell)
        self.owned[cell] += 1
        if self.owned[cell] > 1:
            self.note("shared cell", cell)
        return 4100 + cell

    def words(self, cell: int, skip: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}I", self.image, 4100 + cell + skip)

    def name(self, at: int, length: int, *, latin: bool) -> str:
        raw = self.image[at : at + length]
        return raw.decode("latin-1") if latin else raw.decode("utf-16-le", "surrogatepass")

    # --- keys -----------------------------------------------------------------------------

    def keys(self) -> None:
        root = self.u32(36)
        pending = [(root, -1)]
        seen: set[int] = set()
        while pending:
            cell, parent = pending.pop()
            if cell in seen:
                continue
            seen.add(cell)
            try:
                pending += [(child, cell) for child in self.key(cell, parent)]
            except _Bad as bad:
                self.found.append(bad.problem)

    def key(self, cell: int, parent: int) -> list[int]:
        at = self.take(cell, 76)
        fields = struct.unpack_from("<2sHQIIIIIIIIIIIIIIIHH", self.image, at)
        subkeys, listed, values, value_list = fields[5], fields[7], fields[9], fields[10]
        if fields[0] != b"nk":
            raise _Bad("no key", cell)
        if parent >= 0 and fields[4] != parent:
            self.note("wrong parent", cell)
        if -self.cells[cell] < 80 + fields[18]:
            self.note("name longer than its cell", cell)
        self.users[fields[11]] += 1
        if fields[19]:
            self.take(fields[12], fields[19])
        elif fields[12] != _NOWHERE:
            self.note("class name without length", cell)
        children = self.subkeys(cell, listed, subkeys)
        names = [self.key_name(child) for child in children]
        folded = [fold(name) for name in names]
        if any(before >= after for before, after in pairwise(folded)):
            self.note("subkeys not in order", cell)
        value_name = value_data = 0
        if values:
            self.take(value_list, 4 * values)
            sizes = [self.value(value) for value in self.words(value_list, 0, values)]
            value_name = max(name for name, _ in sizes)
            value_data = max(data for _, data in sizes)
        elif value_list != _NOWHERE:
            self.note("value list without values", cell)
        needed = _Largest(
            max((len(name.encode("utf-16-le", "surrogatepass")) for name in names), default=0),
            max((self.class_length(child) for child in children), default=0),
            value_name,
            value_data,
        )
        recorded = (fields[13] & 0xFFFF, fields[14], fields[15], fields[16])
        for label, have, need in zip(_Largest._fields, recorded, needed, strict=True):
            if have < need:
                self.note(f"record of the largest {label} too small", cell)
        return children

    def key_name(self, cell: int) -> str:
        if self.cells.get(cell, 0) > -80:
            raise _Bad("no allocated cell", cell)
        (flags,) = struct.unpack_from("<H", self.image, 4100 + cell + 2)
        (length,) = struct.unpack_from("<H", self.image, 4100 + cell + 72)
        return self.name(4100 + cell + 76, length, latin=bool(flags & 0x20))

    def class_length(self, cell: int) -> int:
        (length,) = struct.unpack_from("<H", self.image, 4100 + cell + 74)
        return int(length)

    def subkeys(self, key: int, cell: int, count: int) -> list[int]:
        if not count:
            if cell != _NOWHERE:
                self.note("subkey list without subkeys", key)
            return []
        at = self.take(cell, 4)
        signature, number = struct.unpack_from("<2sH", self.image, at)
        leaves = [cell]
        if signature == b"ri":
            self.room(cell, 4 + 4 * number)
            leaves = list(self.words(cell, 4, number))
            for leaf in leaves:
                self.take(leaf, 4)
            if not leaves:
                self.note("empty index root", cell)
        children = [child for leaf in leaves for child in self.leaf(leaf)]
        if len(children) != count:
            self.note("wrong number of subkeys", key)
        return children

    def room(self, cell: int, least: int) -> None:
        if -self.cells[cell] - 4 < least:
            raise _Bad("cell too small", cell)

    def leaf(self, cell: int) -> list[int]:
        signature, number = struct.unpack_from("<2sH", self.image, 4100 + cell)
        if signature not in _LONGEST_LEAF:
            raise _Bad("unknown kind of list", cell)
        if signature == b"lh" and self.minor < 5:
            self.note("hashes in an old hive", cell)
        if not 0 < number < _LONGEST_LEAF[signature] + 1:
            self.note("length of a leaf", cell)
        words = number * (1 if signature == b"li" else 2)
        self.room(cell, 4 + 4 * words)
        numbers = self.words(cell, 4, words)
        if signature == b"li":
            return list(numbers)
        for child, mark in zip(numbers[::2], numbers[1::2], strict=True):
            if mark not in _marks(signature, self.key_name(child)):
                self.note("wrong hash or hint", child)
        return list(numbers[::2])

    # --- values ---------------------------------------------------------------------------

    def value(self, cell: int) -> tuple[int, int]:
        """(length of its name in UTF-16, size of its data)."""
        at = self.take(cell, 20)
        signature, length, size, where, _, flags = struct.unpack_from("<2sHIIIH", self.image, at)
        if signature != b"vk":
            raise _Bad("no value", cell)
        self.room(cell, 20 + length)
        name = 2 * length if flags & 1 else length
        if size & 0x8000_0000:
            if size & 0x7FFF_FFFF > 4:
                self.note("too much data in a value", cell)
            return name, size & 0x7FFF_FFFF
        if size == 0:
            if where != _NOWHERE:
                self.note("data without size", cell)
        elif size > _SEGMENT and self.minor > 3:
            self.big(where, size)
        else:
            self.take(where, size)
        return name, size

    def big(self, cell: int, size: int) -> None:
        at = self.take(cell, 8)
        signature, number, listed = struct.unpack_from("<2sHI", self.image, at)
        if signature != b"db" or number != -(-size // _SEGMENT):
            raise _Bad("damaged big data", cell)
        self.take(listed, 4 * number)
        for segment in self.words(listed, 0, number):
            self.take(segment, _SEGMENT)

    # --- security -------------------------------------------------------------------------

    def securities(self) -> None:
        start = self.u32(4100 + self.u32(36) + 44)
        cell, ring = start, set[int]()
        while cell not in ring:
            ring.add(cell)
            at = self.take(cell, 20)
            signature, following, _, users, size = struct.unpack_from("<2s2xIIII", self.image, at)
            if signature != b"sk":
                raise _Bad("no security descriptor", cell)
            self.room(cell, 20 + size)
            if users != self.users[cell]:
                self.note("wrong number of keys of a descriptor", cell)
            if self.u32(4100 + following + 8) != cell:
                self.note("ring broken", cell)
            cell = following
        if cell != start:
            self.note("ring not closed", start)
        for cell in self.users.keys() - ring:
            self.note("descriptor outside the ring", cell)

    def leaks(self) -> None:
        for cell, size in self.cells.items():
            if size < 0 and not self.owned[cell]:
                self.note("allocated cell that nobody owns", cell)


def fold(name: str) -> bytes:
    """Upper-case UTF-16 units; of letters only those that Windows has known since 2009 matter."""
    if name.isascii():
        return name.upper().encode("utf-16-be")
    upper = [c if len(c.upper()) != 1 or c.upper().lower() != c else c.upper() for c in name]
    units = "".join(up if ord(up) < 0x10000 else c for up, c in zip(upper, name, strict=True))
    return units.encode("utf-16-be", "surrogatepass")


def _marks(signature: bytes, name: str) -> set[int]:
    """The marks a key may have in a list of this kind."""
    if signature == b"lh":
        units = struct.unpack(f">{len(fold(name)) // 2}H", fold(name))
        return {reduce(lambda value, unit: (value * 37 + unit) & 0xFFFF_FFFF, units, 0)}
    raw = [ord(char) if ord(char) < 256 else 0 for char in name[:4]]
    hint = int.from_bytes(bytes(raw).ljust(4, b"\0"), "little")
    return {hint} if all(ord(char) < 256 for char in name[:4]) else {0, hint & ~0xFF}


def problems(image: bytes) -> list[Problem]:
    """All that is wrong with a hive, in no particular order; [] for a sound one."""
    check = _Check(image)
    try:
        check.frame()
        check.keys()
        check.securities()
        check.leaks()
    except _Bad as bad:
        check.found.append(bad.problem)
    return check.found
