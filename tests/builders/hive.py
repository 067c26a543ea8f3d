"""Small valid hives from nested dicts, and dirty ones with the logs Windows would have left.

Written to msuhanov's "Windows registry file format specification", without the reader under test
(only the Marvin32 hash is shared; real logs prove that one). hivex and python-registry accept what
comes out, see tests/formats/test_hive_differential.py.

    build({"Select": {"Current": dword(1)}, "ControlSet001": {"Services": {"acme": {...}}}})
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import xor

from recoverykit.formats.binary import to_filetime
from recoverykit.formats.marvin32 import marvin32

WHEN = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
MANAGER = bytes.fromhex("d0a0a64714a5e711a94eec0d9a05c860")  # RmId: one made-up machine
_NOWHERE = 0xFFFF_FFFF
_LEAF = 500  # keys in one list; more of them need an index root
_SEGMENT = 16344
_DESCRIPTOR = bytes.fromhex(  # owner and group Administrators; everything to them and to SYSTEM
    "01000480480000005800000000000000140000000200340002000000"
    "00021400 3f000f00 010100000000000512000000"
    "00021800 3f000f00 01020000000000052000000020020000"
    "01020000000000052000000020020000 01020000000000052000000020020000"
)


@dataclass(frozen=True, slots=True)
class Raw:
    """A value: its type and its bytes."""

    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """A key that needs more than its content: its own time, a class name or descriptor."""

    content: Tree = field(default_factory=dict)
    when: datetime | None = None
    class_name: str = ""
    security: bytes = b""  # b"": its parent's


Tree = Mapping[str, "Tree | Node | Raw"]


def dword(number: int) -> Raw:
    return Raw(4, struct.pack("<I", number))


def qword(number: int) -> Raw:
    return Raw(11, struct.pack("<Q", number))


def sz(text: str) -> Raw:
    return Raw(1, text.encode("utf-16-le") + b"\0\0")


def expand_sz(text: str) -> Raw:
    return Raw(2, text.encode("utf-16-le") + b"\0\0")


def multi_sz(*texts: str) -> Raw:
    return Raw(7, "".join(f"{text}\0" for text in texts).encode("utf-16-le") + b"\0\0")


def binary(data: bytes) -> Raw:
    return Raw(3, data)


def build(tree: Tree, *, name: str = "SYSTEM", minor: int = 5, when: datetime = WHEN) -> bytes:
    """A clean hive whose root holds `tree`; `name` goes into the header as the file's name."""
    cells = _Bins()
    root = cells.take(80 + len("ROOT"))
    security = cells.descriptor(_DESCRIPTOR)
    _key(cells, root, Node(tree), _Place("ROOT", root, security, 0x2C, minor, when))
    cells.put_descriptors()
    return _header(name, minor, when, root, cells.finish(to_filetime(when)))


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    parent: int
    security: int
    flags: int
    minor: int
    when: datetime


class _Bins:
    """Hands out cells one after the other, opening a new bin whenever one is full."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.position = self.end = 0
        self.descriptors: dict[bytes, int] = {}  # to their cells, in the order of their ring
        self.users: Counter[int] = Counter()  # of each such cell

    def take(self, size: int) -> int:
        """The offset of a new allocated cell with room for `size` bytes, its own four included."""
        size = max(-(-size // 8) * 8, 8)
        if self.position + size > self.end:
            self._open(size)
        offset = self.position
        struct.pack_into("<i", self.data, offset, -size)
        self.position += size
        return offset

    def put(self, offset: int, payload: bytes) -> None:
        self.data[offset + 4 : offset + 4 + len(payload)] = payload

    def add(self, payload: bytes) -> int:
        offset = self.take(4 + len(payload))
        self.put(offset, payload)
        return offset

    def descriptor(self, security: bytes) -> int:
        """The cell of a security descriptor, which keys share."""
        if security not in self.descriptors:
            self.descriptors[security] = self.take(24 + len(security))
        return self.descriptors[security]

    def put_descriptors(self) -> None:
        ring = list(self.descriptors.items())
        for at, (security, cell) in enumerate(ring):
            after, before = ring[(at + 1) % len(ring)][1], ring[at - 1][1]
            link = (after, before, self.users[cell], len(security))
            self.put(cell, b"sk\0\0" + struct.pack("<IIII", *link) + security)

    def _open(self, size: int) -> None:
        self._close()
        start, length = len(self.data), -(-(size + 32) // 4096) * 4096
        self.data += struct.pack("<4sII20x", b"hbin", start, length) + bytes(length - 32)
        self.position, self.end = start + 32, start + length

    def _close(self) -> None:
        if self.position < self.end:
            struct.pack_into("<i", self.data, self.position, self.end - self.position)

    def finish(self, ticks: int) -> bytes:
        self._close()
        struct.pack_into("<Q", self.data, 20, ticks)
        return bytes(self.data)


def _name(text: str) -> tuple[bytes, bool]:
    try:
        return text.encode("latin-1"), True
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass"), False


def _units(text: str) -> int:
    """What a name takes in the record of the largest one."""
    return len(text.encode("utf-16-le", "surrogatepass"))


def _key(cells: _Bins, cell: int, node: Node, place: _Place) -> None:
    """Fill the key cell that was taken for `node`, and everything below it."""
    subkeys = {n: c for n, c in node.content.items() if not isinstance(c, Raw)}
    values = {n: c for n, c in node.content.items() if isinstance(c, Raw)}
    children = []
    cells.users[place.security] += 1
    for name in sorted(subkeys, key=str.upper):
        content = subkeys[name]
        child = content if isinstance(content, Node) else Node(content)
        raw, compressed = _name(name)
        offset = cells.take(80 + len(raw))
        flags = 0x20 if compressed else 0
        security = cells.descriptor(child.security) if child.security else place.security
        below = _Place(name, cell, security, flags, place.minor, place.when)
        _key(cells, offset, child, below)
        children.append((name, offset))
    raw, _ = _name(place.name)
    class_raw = node.class_name.encode("utf-16-le")
    nk = struct.pack(
        "<2sHQIIIIIIIIIIIIIIIHH",
        b"nk",
        place.flags,
        to_filetime(node.when or place.when),
        0,
        place.parent,
        len(children),
        0,
        _subkey_list(cells, children, place.minor),
        _NOWHERE,
        len(values),
        _value_list(cells, values, place.minor),
        place.security,
        cells.add(class_raw) if class_raw else _NOWHERE,
        max((_units(n) for n in subkeys), default=0),
        0,
        max((_units(n) for n in values), default=0),
        max((len(v.data) for v in values.values()), default=0),
        0,
        len(raw),
        len(class_raw),
    )
    cells.put(cell, nk + raw)


def _subkey_list(cells: _Bins, children: Sequence[tuple[str, int]], minor: int) -> int:
    if not children:
        return _NOWHERE
    leaves = [children[i : i + _LEAF] for i in range(0, len(children), _LEAF)]
    offsets = [cells.add(_leaf(leaf, minor)) for leaf in leaves]
    if len(offsets) == 1:
        return offsets[0]
    return cells.add(struct.pack(f"<2sH{len(offsets)}I", b"ri", len(offsets), *offsets))


def _leaf(children: Sequence[tuple[str, int]], minor: int) -> bytes:
    data = struct.pack("<2sH", b"lh" if minor >= 5 else b"lf", len(children))
    for name, offset in children:
        hint = name.encode("latin-1", "replace")[:4].ljust(4, b"\0")
        if minor >= 5:
            raw = name.upper().encode("utf-16-le", "surrogatepass")
            units = struct.unpack(f"<{len(raw) // 2}H", raw)
            hint = struct.pack("<I", reduce(lambda h, u: (h * 37 + u) & 0xFFFF_FFFF, units, 0))
        data += struct.pack("<I", offset) + hint
    return data


def _value_list(cells: _Bins, values: Mapping[str, Raw], minor: int) -> int:
    if not values:
        return _NOWHERE
    offsets = [cells.add(_value(cells, name, value, minor)) for name, value in values.items()]
    return cells.add(struct.pack(f"<{len(offsets)}I", *offsets))


def _value(cells: _Bins, name: str, value: Raw, minor: int) -> bytes:
    raw, compressed = _name(name)
    size, data = len(value.data), value.data
    if size <= 4:
        where = int.from_bytes(data.ljust(4, b"\0"), "little")
        size |= 0x8000_0000
    elif size > _SEGMENT and minor > 3:
        pieces = [  # Windows gives each of them the largest cell, the last one too
            cells.add(data[i : i + _SEGMENT].ljust(_SEGMENT + 4, b"\0"))
            for i in range(0, size, _SEGMENT)
        ]
        listed = cells.add(struct.pack(f"<{len(pieces)}I", *pieces))
        where = cells.add(struct.pack("<2sHII", b"db", len(pieces), listed, 0))
    else:
        where = cells.add(data)
    flags = 1 if compressed else 0
    return struct.pack("<2sHIIIHH", b"vk", len(raw), size, where, value.type, flags, 0) + raw


def _header(name: str, minor: int, when: datetime, root: int, bins: bytes) -> bytes:
    title = name.encode("utf-16-le")[-64:].ljust(64, b"\0")
    fields = (1, 1, to_filetime(when), 1, minor, 0, 1, root, len(bins), 1)
    head = bytearray(struct.pack("<4sIIQIIIIIII64s", b"regf", *fields, title).ljust(4096, b"\0"))
    head[112:128] = head[128:144] = head[148:164] = MANAGER
    head[164:168] = b"rmtm"
    return bytes(sealed(head)) + bins


def sealed(head: bytes | bytearray) -> bytearray:
    """A header with its checksum set right."""
    head = bytearray(head)
    value = reduce(xor, struct.unpack_from("<127I", head))
    struct.pack_into("<I", head, 508, {0: 1, 0xFFFF_FFFF: 0xFFFF_FFFE}.get(value, value))
    return head


# --- dirty hives --------------------------------------------------------------------------


def soiled(clean: bytes) -> bytes:
    """The hive as it looks while Windows has changes only in its log: primary sequence ahead."""
    (sequence,) = struct.unpack_from("<I", clean, 8)
    head = bytearray(clean)
    struct.pack_into("<II", head, 4, sequence + 1, sequence)
    return bytes(sealed(head))


def log_entry(sequence: int, before: bytes, after: bytes) -> bytes:
    """An HvLE entry that turns the bins of hive `before` into those of hive `after`."""
    size = len(after) - 4096
    pages = [
        (offset - 4096, after[offset : offset + 4096])
        for offset in range(4096, len(after), 4096)
        if before[offset : offset + 4096] != after[offset : offset + 4096]
    ]
    body = b"".join(struct.pack("<II", offset, len(page)) for offset, page in pages)
    body += b"".join(page for _, page in pages)
    total = -(-(40 + len(body)) // 512) * 512
    body = body.ljust(total - 40, b"\0")
    head = struct.pack("<4sIIIII", b"HvLE", total, 0, sequence, size, len(pages))
    head += struct.pack("<Q", marvin32(body))
    return head + struct.pack("<Q", marvin32(head)) + body


def log(hive: bytes, sequence: int, entries: Sequence[bytes], *, size: int = 65536) -> bytes:
    """A log of the newer kind that belongs to `hive`; `sequence` is its first entry's."""
    head = bytearray(hive[:512])
    struct.pack_into("<II", head, 4, sequence, sequence)
    struct.pack_into("<I", head, 28, 6)
    return (bytes(sealed(head)) + b"".join(entries)).ljust(size, b"\0")


def dirty_with_log(clean: bytes, changed: bytes) -> tuple[bytes, bytes]:
    """(primary, LOG1): a dirty `clean` whose log carries everything that makes it `changed`."""
    (sequence,) = struct.unpack_from("<I", clean, 8)
    return soiled(clean), log(clean, sequence, [log_entry(sequence, clean, changed)])


def dirty_with_bitmap_log(clean: bytes, changed: bytes) -> tuple[bytes, bytes]:
    """The same as Windows 7 would have left it: a bitmap of dirty 512-byte pages."""
    primary = soiled(clean)
    head = bytearray(changed[:512])
    head[4:8] = head[8:12] = primary[4:8]
    struct.pack_into("<I", head, 28, 1)
    count = (len(changed) - 4096) // 512
    bitmap, pages = bytearray(count // 8), []
    for block in range(0, count, 8):  # Windows tracks blocks of 4096 bytes
        start = 4096 + block * 512
        if clean[start : start + 4096] != changed[start : start + 4096]:
            bitmap[block // 8] = 0xFF
            pages.append(changed[start : start + 4096])
    vector = b"DIRT" + bytes(bitmap)
    vector = vector.ljust(-(-len(vector) // 512) * 512, b"\0")
    return primary, bytes(sealed(head)) + vector + b"".join(pages)
