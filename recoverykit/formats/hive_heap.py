"""The cells of a hive as memory: handed out, given back, grown; every access checked.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Hive bin" and "Cell".
Bins follow each other without a gap, cells fill a bin; both are trusted only after their chain was
followed from its start, so a cell is one that begins where its bin says, never the inside of
another. A bin's cells are looked at when one of them is needed. Free space is taken from bins
already looked at, then from the first bin that has it, then from a new bin at the end.

A cell is overwritten or freed only after `claim`: nothing else in the hive may point to it. After a
`survey`, nothing is put where something points to, whatever the cell says. Offsets count from the
first bin, as in the cells themselves. Refused with FormatError: damaged bins, cells that are not
allocated where they should be, cells over 1 MB (Windows has none), hives over 2 GB.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Container, Iterable, Mapping, Sequence

from recoverykit.errors import FormatError
from recoverykit.formats.hive_sharing import References, mentions, references
from recoverykit.formats.hive_space import FreeSpace
from recoverykit.formats.regf import BASE_BLOCK_SIZE, PAGE, checksum

BIN_HEADER = 32
LARGEST_CELL = 1 << 20  # bytes, its size field included
LARGEST_HIVE = (1 << 31) - PAGE  # bytes of bins: bit 31 of an offset means "volatile"
_SEARCHES = 4  # how often owners are searched for in all bytes; then everything is followed, once
_Page = struct.Struct("<4sII4084x")  # what a bin begins with: "hbin", its offset, its size
_BinHeader = struct.Struct("<4sII20x")
_Size = struct.Struct("<i")
_U32 = struct.Struct("<I")


class Heap:
    """The cells of one hive image, which it owns and changes."""

    __slots__ = (
        "_bins",
        "_cells",
        "_free",
        "_looked",
        "_mentions",
        "_owned",
        "_patches",
        "_references",
        "_searches",
        "image",
        "writes",
    )

    def __init__(self, image: bytes | bytearray) -> None:
        self.image = image  # copied when the first cell is made, freed or moved
        self._patches: dict[int, bytes] = {}  # what `exchange` wrote before that
        self.writes = 0  # how often the hive was changed
        self._bins: list[int] = []  # file offset of each bin, and of the end of the last one
        self._cells: dict[int, array[int]] = {}  # number of a bin -> file offsets of its cells
        self._free = FreeSpace()  # of the bins that were looked at
        self._looked = 0  # all bins before this one were
        self._owned: set[int] = set()  # cells that were claimed, or made here
        self._references: References | None = None
        self._searches = 0
        self._mentions: dict[int, list[int]] = {}  # what was found, while nothing is copied
        self._follow_bins()

    def _follow_bins(self) -> None:
        image, following = self.image, BASE_BLOCK_SIZE
        end = BASE_BLOCK_SIZE + _U32.unpack_from(image, 40)[0]
        if end > len(image):
            raise FormatError("hive", len(image), f"truncated: {end} bytes expected")
        with memoryview(image) as whole, whole[BASE_BLOCK_SIZE : end // PAGE * PAGE] as pages:
            # Every page is looked at, which is quicker than to be called for every bin.
            for position, header in enumerate(_Page.iter_unpack(pages), 1):
                if position * PAGE == following:
                    signature, offset, size = header
                    if (
                        signature != b"hbin"
                        or offset != following - BASE_BLOCK_SIZE
                        or not PAGE <= size <= end - following
                        or size % PAGE
                    ):
                        break
                    self._bins.append(following)
                    following += size
        if following != end:
            raise FormatError("hive bin", following, "damaged header")
        self._bins.append(end)

    @property
    def end(self) -> int:
        """File offset of the end of the last bin."""
        return self._bins[-1]

    # --- reading --------------------------------------------------------------------------

    def at(self, cell: int, least: int, what: str) -> int:
        """File offset of a cell's content. Raises FormatError unless `least` bytes are there."""
        position = BASE_BLOCK_SIZE + cell
        if not 0 <= cell < self.end - BASE_BLOCK_SIZE:
            raise FormatError(what, position, "not inside the hive")
        starts = self._starts(bisect_right(self._bins, position) - 1)
        index = bisect_left(starts, position)
        if index == len(starts) or starts[index] != position:
            raise FormatError(what, position, "no cell begins here")
        size = -_Size.unpack_from(self.image, position)[0]
        if size <= 0 or size - 4 < least:
            problem = "not an allocated cell" if size <= 0 else "its cell is too small"
            raise FormatError(what, position, problem)
        return position + 4

    def room(self, cell: int) -> int:
        """How many bytes the cell can hold; it is known to be an allocated one."""
        return int(-_Size.unpack_from(self.image, BASE_BLOCK_SIZE + cell)[0]) - 4

    def u32(self, cell: int, field: int, what: str) -> int:
        position = self.at(cell, field + 4, what) + field
        return int(_U32.unpack_from(self.image, position)[0])

    def _starts(self, number: int) -> array[int]:
        """File offsets of the cells of a bin, which is looked at the first time it is asked for."""
        starts = self._cells.get(number)
        if starts is None:
            starts = array("I", self._parse(number))
            self._cells[number] = starts
        return starts

    def _parse(self, number: int) -> list[int]:
        image, unpack = self.image, _Size.unpack_from
        position, end = self._bins[number] + BIN_HEADER, self._bins[number + 1]
        starts, free = [], []
        while position < end:
            size = unpack(image, position)[0]
            starts.append(position)
            if size > 0:
                free.append((position, size))
            size = abs(size)
            if size < 8 or size & 7 or position + size > end:
                raise FormatError("hive cell", position, "its size is wrong")
            position += size
        for position, size in free:
            self._free.add(position, size, number)
        return starts

    # --- writing --------------------------------------------------------------------------

    def put(self, position: int, content: bytes) -> None:
        """Write at a file offset inside a cell, which `at` or `allocate` gave."""
        self._mutable()[position : position + len(content)] = content
        self.writes += 1

    def exchange(self, position: int, content: bytes) -> None:
        """The same for what is never read here: data, times. Spares a copy of the whole image."""
        if isinstance(self.image, bytearray):
            self.put(position, content)
        else:
            self._patches.pop(position, None)  # the last one comes last
            self._patches[position] = content
            self.writes += 1

    def _mutable(self) -> bytearray:
        if not isinstance(self.image, bytearray):
            self.image = bytearray(self.image)
            for position, content in self._patches.items():
                self.image[position : position + len(content)] = content
            self._patches.clear()
        return self.image

    def whole(self, over: Mapping[int, bytes] | None = None) -> bytes:
        """The image with all that was written, and with `over` (file offset: bytes) over it."""
        pieces: list[bytes | memoryview] = []
        view, done = memoryview(self.image), 0
        for position, content in sorted({**self._patches, **(over or {})}.items()):
            if position < done:  # they overlap: only their order says who was last
                self._mutable()
                return self.whole(over)
            pieces += (view[done:position], content)
            done = position + len(content)
        return b"".join((*pieces, view[done:]))

    def exchanged(self) -> Mapping[int, bytes] | None:
        """All that was written, by file offset, in its order; None where cells were moved."""
        return None if isinstance(self.image, bytearray) else self._patches

    def put_u32(self, cell: int, field: int, number: int) -> None:
        self.put(BASE_BLOCK_SIZE + cell + 4 + field, _U32.pack(number))

    def new(self, content: bytes, near: int) -> int:
        """A new cell that holds `content`."""
        cell = self.allocate(len(content), near)
        self.put(BASE_BLOCK_SIZE + cell + 4, content)
        return cell

    def allocate(self, room: int, near: int) -> int:
        """A new cell of zeros for `room` bytes, in the bin of the cell `near` if it fits there."""
        need = _cell_size(room)
        if need > LARGEST_CELL:
            raise FormatError("hive cell", 0, f"{room} bytes do not fit in a cell of 1 MB")
        start = self._space(need, bisect_right(self._bins, BASE_BLOCK_SIZE + near) - 1)
        number = bisect_right(self._bins, start) - 1
        starts, size = self._starts(number), self._size(start)
        self._free.remove(start)
        if size > need:
            self.put(start + need, _Size.pack(size - need))
            insort(starts, start + need)
            self._free.add(start + need, size - need, number)
        self.put(start, _Size.pack(-need) + bytes(need - 4))
        self._owned.add(start - BASE_BLOCK_SIZE)
        return start - BASE_BLOCK_SIZE

    def free(self, cell: int) -> None:
        """Give back a cell that was claimed, or made here; joined with free neighbours."""
        start = self.at(cell, 0, "hive cell") - 4
        number = bisect_right(self._bins, start) - 1
        starts = self._starts(number)
        first = last = bisect_left(starts, start)
        size = self._size(start)
        if last + 1 < len(starts) and self._size(starts[last + 1]) > 0:
            last += 1
            size -= self._size(starts[last])
            self._free.remove(starts[last])
        if first > 0 and self._size(starts[first - 1]) > 0:
            first -= 1
            size -= self._size(starts[first])
            self._free.remove(starts[first])
        self.put(starts[first], _Size.pack(-size))
        self._free.add(starts[first], -size, number)
        del starts[first + 1 : last + 1]
        self._owned.discard(cell)
        if self._references is not None:
            self._references.reached.discard(cell)

    def resize(self, cell: int, room: int) -> int:
        """Room for `room` bytes: the cell itself where it fits, else a new one with its content."""
        have = self.room(cell)
        if room <= have and _cell_size(room) > (have + 4) // 2:
            return cell
        start = BASE_BLOCK_SIZE + cell + 4
        content = bytes(self.image[start : start + min(have, room)])
        self.free(cell)
        moved = self.allocate(room, cell)
        self.put(BASE_BLOCK_SIZE + moved + 4, content)
        return moved

    def _size(self, position: int) -> int:
        return int(_Size.unpack_from(self.image, position)[0])

    def _space(self, need: int, home: int) -> int:
        """File offset of a free cell of this size or larger, in the bin `home` if there is one."""
        while True:
            start = self._free.find(need, home)
            if start is not None:
                if self._is_unused(start, need):
                    return start
                self._free.remove(start)
            elif not self._look():
                return self._grow(need)

    def _look(self) -> bool:
        """Look for free cells in the next bin that nobody looked at; False where there is none."""
        while self._looked < len(self._bins) - 1:
            number, self._looked = self._looked, self._looked + 1
            if number not in self._cells:
                try:
                    self._parse(number)
                except FormatError:  # nothing is put into a damaged bin; reading it still fails
                    continue
                return True
        return False

    def _is_unused(self, start: int, length: int) -> bool:
        """Nothing points into what is marked free: in a damaged hive something may."""
        if self._references is None:
            return True
        cells = range(start - BASE_BLOCK_SIZE, start - BASE_BLOCK_SIZE + length, 8)
        return self._references.reached.isdisjoint(cells)

    def _grow(self, need: int) -> int:
        """Add a bin, or enlarge the last one if nothing at all is in it; as `_space`."""
        number = len(self._bins) - 1
        if number and self._is_empty(number - 1):
            number -= 1
        start = self._bins[number]
        size = -(-(BIN_HEADER + need) // PAGE) * PAGE
        end = start + size
        if end - BASE_BLOCK_SIZE > LARGEST_HIVE:
            raise FormatError("hive", self.end, "would grow beyond 2 GB")
        image = self._mutable()
        image.extend(bytes(max(end - len(image), 0)))
        header = _BinHeader.pack(b"hbin", start - BASE_BLOCK_SIZE, size)
        image[start:end] = header.ljust(size, b"\0")
        self.put(start + BIN_HEADER, _Size.pack(size - BIN_HEADER))
        self._bins[number:] = [start, end]
        self._cells[number] = array("I", [start + BIN_HEADER])
        self._free.remove(start + BIN_HEADER)
        self._free.add(start + BIN_HEADER, size - BIN_HEADER, number)
        _U32.pack_into(image, 40, end - BASE_BLOCK_SIZE)
        _U32.pack_into(image, 508, checksum(image))
        return start + BIN_HEADER

    def _is_empty(self, number: int) -> bool:
        start, room = self._bins[number] + BIN_HEADER, self._bins[number + 1] - self._bins[number]
        empty = number > 0 and self._size(start) == room - BIN_HEADER
        return empty and self._is_unused(start, room - BIN_HEADER)

    # --- who else? ------------------------------------------------------------------------

    def claim(self, cells: Iterable[int], what: str, besides: Container[int] = ()) -> None:
        """Make sure that each of these cells has one owner, before it is overwritten or freed.

        `besides`: file offsets that may name one of them without owning it. Raises FormatError
        where two structures of the hive point to one of them.
        """
        claimed = list(cells)
        if len(set(claimed)) != len(claimed):
            raise FormatError(what, 0, "uses one cell twice")
        wanted = [cell for cell in claimed if cell not in self._owned]
        if wanted and self._references is None and self._searches < _SEARCHES:
            self._searches += 1
            found = self.mentions(wanted)
            wanted = [
                cell
                for cell in wanted
                if found is None or sum(at not in besides for at in found[cell]) != 1
            ]
        for cell in wanted:
            if cell in self.survey().shared:
                raise FormatError(what, BASE_BLOCK_SIZE + cell, "its cell has another owner too")
        self._owned.update(claimed)

    def mentions(self, cells: Sequence[int]) -> dict[int, list[int]] | None:
        """Where in the image the offsets of these cells stand: see `hive_sharing.mentions`."""
        if isinstance(self.image, bytearray):
            return mentions(self.image, cells, self.end)
        missing = [cell for cell in cells if cell not in self._mentions]
        found = mentions(self.image, missing, self.end) if missing else {}
        if found is None:
            return None
        self._mentions.update(found)
        return {cell: self._mentions[cell] for cell in cells}

    @property
    def surveyed(self) -> bool:
        return self._references is not None

    def survey(self) -> References:
        """What points where, found by following everything from the root the first time.

        Asked for before the first step of a change that frees or allocates: half-way through one,
        the hive would not be what it was.
        """
        if self._references is None:
            self._references = references(self.image)
        return self._references

    def count_users(self, security: int, change: int) -> None:
        """A security descriptor got or lost keys."""
        if self._references is not None:
            self._references.users[security] += change


def _cell_size(room: int) -> int:
    return max(-(-(room + 4) // 8) * 8, 8)
