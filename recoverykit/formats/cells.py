"""The cells of a hive: where keys, values, lists and data lie, every access checked.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Cell" to "Big data".
A cell is trusted only if it lies inside one sound hive bin (looked up lazily, page by page), is
marked as allocated and is large enough for what is read from it. What many keys claim at once is
charged to a budget, the size of the hive: cells that do not overlap cannot exceed it, so a hostile
hive cannot make a walk cost more than a large honest one. Offsets in cells count from the first
bin; everything here takes and gives such offsets unless it says "file offset".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Image
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE, bin_size

# Precompiled: a big hive has 50,000 keys and 100,000 values, and construct is 60 times slower.
# size, "nk", flags, last written, parent, subkeys, their list, values, their list, security,
# class name, length of name, length of class name; the rest is of no use on disk
NK = struct.Struct("<i2sHQ4xII4xI4xIIII20xHH")
VK = struct.Struct("<i2sHIIIH2x")  # size, "vk", length of name, data size, data, type, flags
NK_SIZE, VK_SIZE = NK.size, VK.size  # without the name; as constants, which cost nothing
_LIST = struct.Struct("<i2sH")  # size, signature, number of elements
_SIZE = struct.Struct("<i")
_OFFSET = struct.Struct("<I")
_FEW = 16  # elements of a list: what is not worth charging
_LISTS = tuple(struct.Struct(f"<i{count}I") for count in range(_FEW + 1))  # size, offsets

COMPRESSED = 0x0020  # flag of a key: its name is Latin-1, not UTF-16
PREDEFINED = 0x0040  # flag of a key: it has no values, their number is a handle
VALUE_COMPRESSED = 0x0001
INLINE = 0x8000_0000  # flag in a value's data size: the data lies in the offset field itself
SEGMENT = 16344  # the most that one cell of a big-data record holds
LONGEST_NAME = 512  # bytes, of a key: 256 characters
MAX_DEPTH = 512  # levels of keys: what Windows allows
_SMALL = 256  # bytes: what is not worth charging; cells that overlap cannot make much of it
Damaged = list[FormatError] | None  # collects what cannot be read; None: the first one is raised
NkFields = tuple[int, bytes, int, int, int, int, int, int, int, int, int, int, int]
VkFields = tuple[int, bytes, int, int, int, int, int]


class _Pages(dict[int, int]):
    """Page number -> file offset where the bin around that page ends, or 0 where there is none.

    A page that was not asked for yet is looked up by itself, so that the fast paths need no more
    than `pages[position >> 12]`.
    """

    __slots__ = ("_end", "_image")

    def __init__(self, image: Image, end: int) -> None:
        self._image = image
        self._end = end

    def __missing__(self, wanted: int) -> int:
        """Find the bin backwards from the page; remember all pages passed."""
        if not BASE_BLOCK_SIZE <= wanted << 12 < self._end:
            return 0
        page, passed, limit = wanted, [], 0
        while page > 0:
            passed.append(page)
            if self._image[page << 12 : (page << 12) + 4] == b"hbin":
                size = bin_size(self._image, page << 12, self._end)
                if size:
                    limit = (page << 12) + size
                    break
            page -= 1
            if page in self:
                limit = self[page]
                break
        for number in passed:
            self[number] = limit if number << 12 < limit else 0
        return self[wanted]


class Cells:
    """Checked access to the cells of one hive image."""

    __slots__ = ("_charged", "_spent", "end", "image", "minor", "pages")

    def __init__(self, image: Image, bins_size: int, minor: int) -> None:
        self.image = image
        self.end = BASE_BLOCK_SIZE + bins_size  # file offset
        self.minor = minor
        self.pages = _Pages(image, self.end)
        self._charged: set[tuple[str, int]] = set()
        self._spent = 0

    def charge(self, what: str, offset: int, amount: int) -> None:
        """Count the bytes that `what` of the cell at `offset` claims, once for each cell.

        What is refused is not counted: one damaged size does not use up the others' budget.
        """
        if (what, offset) in self._charged:
            return
        if self._spent + amount > self.end - BASE_BLOCK_SIZE:
            problem = "claims bytes that belong to other cells"
            raise FormatError(what, BASE_BLOCK_SIZE + offset, problem)
        self._charged.add((what, offset))
        self._spent += amount

    def locate(self, offset: int, least: int, what: str) -> tuple[int, int]:
        """(file offset of the cell, file offset of its end). It has `least` bytes or more."""
        position = BASE_BLOCK_SIZE + offset
        limit = self.pages[position >> 12]
        if not limit or position & 7:
            raise FormatError(what, position, "not inside a sound hive bin")
        size = -_SIZE.unpack_from(self.image, position)[0]
        if size < least or position + size > limit:
            problem = "not an allocated cell" if size <= 0 else "its size is wrong"
            raise FormatError(what, position, problem)
        return position, position + size

    def nk(self, offset: int) -> NkFields:
        """The fields of a key node."""
        position, end = self.locate(offset, NK_SIZE, "registry key")
        fields: NkFields = NK.unpack_from(self.image, position)
        length = fields[11]
        if fields[1] != b"nk" or length > LONGEST_NAME or position + NK_SIZE + length > end:
            problem = "no key here" if fields[1] != b"nk" else "its name does not fit"
            raise FormatError("registry key", position, problem)
        return fields

    def vk(self, offset: int) -> VkFields:
        """The fields of a value."""
        position, end = self.locate(offset, VK_SIZE, "registry value")
        fields: VkFields = VK.unpack_from(self.image, position)
        if fields[1] != b"vk" or position + VK_SIZE + fields[2] > end:
            problem = "no value here" if fields[1] != b"vk" else "its name does not fit"
            raise FormatError("registry value", position, problem)
        return fields

    # The next two are `nk` and `vk` for a whole list: half of all time goes here, so they look at
    # each cell once, in line, and leave every doubt to the careful version above. What that refuses
    # ends the list, or goes to `damaged`.

    def nks(self, offsets: tuple[int, ...], damaged: Damaged) -> Iterator[tuple[int, NkFields]]:
        """(offset, fields) of each key node."""
        image, pages, unpack = self.image, self.pages, NK.unpack_from
        for offset in offsets:
            position = BASE_BLOCK_SIZE + offset
            room = pages[position >> 12] - position
            if room >= NK_SIZE and not position & 7:
                fields: NkFields = unpack(image, position)
                size, length = -fields[0], fields[11]
                if (
                    fields[1] == b"nk"
                    and NK_SIZE + length <= size <= room
                    and length <= LONGEST_NAME
                ):
                    yield offset, fields
                    continue
            try:
                yield offset, self.nk(offset)
            except FormatError as error:
                if damaged is None:
                    raise
                damaged.append(error)

    def vks(
        self, offsets: tuple[int, ...], damaged: Damaged
    ) -> Iterator[tuple[int, VkFields, str]]:
        """(offset, fields, name) of each value."""
        image, pages, unpack = self.image, self.pages, VK.unpack_from
        for offset in offsets:
            position = BASE_BLOCK_SIZE + offset
            room = pages[position >> 12] - position
            if room >= VK_SIZE and not position & 7:
                fields: VkFields = unpack(image, position)
                length = fields[2]
                if (
                    fields[1] == b"vk"
                    and VK_SIZE + length <= -fields[0] <= room
                    and length <= _SMALL
                ):
                    start = position + VK_SIZE
                    if fields[6] & VALUE_COMPRESSED:
                        yield offset, fields, image[start : start + length].decode("latin-1")
                    else:
                        yield offset, fields, self.text(start, length, compressed=False)
                    continue
            try:
                yield self._doubtful(offset)
            except FormatError as error:
                if damaged is None:
                    raise
                damaged.append(error)

    def _doubtful(self, offset: int) -> tuple[int, VkFields, str]:
        fields = self.vk(offset)
        if fields[2] > _SMALL:
            self.charge("value name", offset, fields[2])
        start, compressed = BASE_BLOCK_SIZE + offset + VK_SIZE, bool(fields[6] & VALUE_COMPRESSED)
        return offset, fields, self.text(start, fields[2], compressed=compressed)

    def text(self, position: int, length: int, *, compressed: bool) -> str:
        """A name at a file offset. Lone surrogates, legal in names, survive."""
        raw = self.image[position : position + length]
        if compressed:
            return raw.decode("latin-1")
        return raw[: length & ~1].decode("utf-16-le", "surrogatepass")

    def offsets(self, offset: int, count: int, what: str, owner: int) -> tuple[int, ...]:
        """A plain list of `count` offsets, of values or of segments; `owner`: who points to it."""
        if count <= _FEW:  # the usual case, in line
            position = BASE_BLOCK_SIZE + offset
            room = self.pages[position >> 12] - position
            if room >= 4 + 4 * count and not position & 7:
                words = _LISTS[count].unpack_from(self.image, position)
                if 4 + 4 * count <= -words[0] <= room:
                    return words[1:]
        else:
            # Each element of a list of values needs a value, too: cells that lists share are few.
            self.charge(what, owner, count * (28 if what == "value list" else 4))
        position, _ = self.locate(offset, 4 + 4 * count, what)
        return struct.unpack_from(f"<{count}I", self.image, position + 4)

    def class_name(self, cell: int, nk: NkFields) -> str | None:
        """The class name of the key at `cell`."""
        where, length = nk[10], nk[12]
        if where == NOWHERE or length == 0:
            return None
        self.charge("class name", cell, length)
        position, _ = self.locate(where, 4 + length, "class name")
        return self.text(position + 4, length, compressed=False)

    def subkeys(self, cell: int, nk: NkFields) -> Iterator[tuple[int, ...]]:
        """The cells of the subkeys of the key at `cell`, leaf by leaf; none comes twice."""
        seen: set[int] = set()
        for signature, words in self.lists(cell, nk):
            offsets = words if signature == b"li" else words[::2]
            if len(set(offsets)) != len(offsets) or not seen.isdisjoint(offsets):
                raise FormatError("subkey list", BASE_BLOCK_SIZE + cell, "names one key twice")
            seen.update(offsets)
            yield offsets

    def lists(self, cell: int, nk: NkFields) -> Iterator[tuple[bytes, tuple[int, ...]]]:
        """The leaves of the subkey list of the key at `cell`, as `leaves` gives them."""
        count, where = nk[5], nk[6]
        if count == 0 or where == NOWHERE:
            return
        if count > _FEW:
            self.charge("subkey list", cell, 4 * count)
        for signature, words in self.leaves(where):
            count -= len(words) // (1 if signature == b"li" else 2)
            if count < 0:
                problem = "has more subkeys than it says"
                raise FormatError("registry key", BASE_BLOCK_SIZE + cell, problem)
            yield signature, words

    def leaves(self, offset: int) -> Iterator[tuple[bytes, tuple[int, ...]]]:
        """The leaves of a subkey list: (b"lf", b"lh" or b"li", its elements as stored)."""
        position, end = self.locate(offset, _LIST.size, "subkey list")
        _, signature, count = _LIST.unpack_from(self.image, position)
        if signature != b"ri":
            yield self._leaf(position, end, signature, count)
            return
        if position + 8 + 4 * count > end:
            raise FormatError("subkey list", position, "more elements than it has room for")
        # An index root never points to another one: the format has two levels, so have we.
        for leaf in struct.unpack_from(f"<{count}I", self.image, position + 8):
            start, stop = self.locate(leaf, _LIST.size, "subkey list")
            _, signature, number = _LIST.unpack_from(self.image, start)
            yield self._leaf(start, stop, signature, number)

    def _leaf(
        self, position: int, end: int, signature: bytes, count: int
    ) -> tuple[bytes, tuple[int, ...]]:
        words = {b"lf": 2, b"lh": 2, b"li": 1}.get(signature)
        if words is None:
            raise FormatError("subkey list", position, f"unknown kind {signature!r}")
        if position + 8 + 4 * words * count > end:
            raise FormatError("subkey list", position, "more elements than it has room for")
        return signature, struct.unpack_from(f"<{words * count}I", self.image, position + 8)

    def data(self, vk: VkFields, position: int) -> bytes:
        """A value's data; `position`: the file offset of its vk cell."""
        size, where = vk[3], vk[4]
        if 0 < size <= _SMALL:  # the usual case, in line
            start = BASE_BLOCK_SIZE + where
            end = 0 if start & 7 else self.pages[start >> 12]
            if end and 4 + size <= -_SIZE.unpack_from(self.image, start)[0] <= end - start:
                return self.image[start + 4 : start + 4 + size]
        pieces = self.extents(vk, position)
        return b"".join([self.image[start : start + length] for start, length in pieces])

    def extents(self, vk: VkFields, position: int) -> list[tuple[int, int]]:
        """(file offset, length) of the pieces of a value's data; `position`: its vk cell's."""
        size, where = vk[3], vk[4]
        if size & INLINE:
            size &= ~INLINE
            if size > _OFFSET.size:
                raise FormatError("registry value", position, f"{size} bytes inside an offset")
            return [(position + 12, size)] if size else []
        if size == 0 or where == NOWHERE:
            if size:
                raise FormatError("registry value", position, "has a size but no data")
            return []
        if size > _SMALL:
            self.charge("value data", position - BASE_BLOCK_SIZE, size)
        start, end = self.locate(where, 8, "value data")
        if size > SEGMENT and self.minor > 3 and self.image[start + 4 : start + 6] == b"db":
            return self._segments(start, size)
        if start + 4 + size > end:
            raise FormatError("value data", start, f"{size} bytes do not fit in the cell")
        return [(start + 4, size)]

    def _segments(self, start: int, size: int) -> list[tuple[int, int]]:
        """The pieces of a big-data record: all full but the last."""
        self.locate(start - BASE_BLOCK_SIZE, 12, "big data")
        count, where = struct.unpack_from("<HI", self.image, start + 6)
        if count != -(-size // SEGMENT):
            raise FormatError("big data", start, f"{count} segments for {size} bytes")
        pieces = []
        for segment in self.offsets(where, count, "big data list", start - BASE_BLOCK_SIZE):
            length = min(size, SEGMENT)
            position, _ = self.locate(segment, 4 + length, "big data segment")
            pieces.append((position + 4, length))
            size -= length
        return pieces
