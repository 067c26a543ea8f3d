"""Where a memory dump keeps a page of physical memory.

Layouts: PHYSICAL_MEMORY_DESCRIPTOR (full dumps), SUMMARY_DUMP64/32 of ntiodump.h (kernel dumps up
to Windows 7), and the bitmap header since Windows 8 as volatility3 and kdmp-parser describe it. The
bitmap of a dump has one bit for every page of RAM; pages follow in its order. It is read up to the
page that is asked for and counted in blocks, the pages themselves are never walked. Not handled:
the RDMP bodies that debuggers write (types 8 to 10).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Protocol

from recoverykit.errors import FormatError
from recoverykit.formats.crashdump_header import STRUCTURE, Header
from recoverykit.formats.pe import Stream

PAGE = 4096

_BITMAPS = (b"SDMPDUMP", b"FDMPDUMP")
_BLOCK = 4096  # bytes of the bitmap counted at once: 128 MB of RAM
_MAX_FRAMES = 1 << 32  # 16 TB
_MAX_KEPT = 256  # blocks
_MAX_GAP = 1 << 30  # between the bitmap and the first page
_SUMMARY = struct.Struct("<8x5I")
_MODERN = struct.Struct("<32xQQQ")
_MODERN_BITS = 0x38


class Pages(Protocol):
    end: int  # file offset behind the last page, by what the dump says

    def offset(self, frame: int) -> int | None:
        """File offset of a page of memory; None where the dump does not have it."""


class Runs:
    """A full dump: runs of consecutive pages, one after the other."""

    def __init__(self, header: Header) -> None:
        code = "Q" if header.wide else "I"
        (count,) = struct.unpack_from("<I", header.runs)
        start, step = (16, 16) if header.wide else (8, 8)
        if not 0 < count <= (len(header.runs) - start) // step:
            raise FormatError(STRUCTURE, 0x88, "it does not say which memory it holds")
        place = header.size
        self._runs: list[tuple[int, int, int]] = []  # first frame, how many, file offset
        for number in range(count):
            first, length = struct.unpack_from(f"<2{code}", header.runs, start + number * step)
            if self._runs and first < sum(self._runs[-1][:2]):
                raise FormatError(STRUCTURE, 0x88, "its runs of memory overlap")
            self._runs.append((first, length, place))
            place += length * PAGE
        self.end = place

    def offset(self, frame: int) -> int | None:
        at = bisect_right(self._runs, (frame, 1 << 64, 0)) - 1
        if at < 0:
            return None
        first, length, place = self._runs[at]
        return place + (frame - first) * PAGE if frame - first < length else None


class Bitmap:
    """A dump with a bitmap: a page lies behind as many pages as there are bits before its own."""

    def __init__(self, stream: Stream, at: int, frames: int, first: int, present: int) -> None:
        self._stream, self._at, self._frames, self._first = stream, at, frames, first
        self.end = first + present * PAGE
        self._before = [0]  # bits in the blocks before each one
        self._blocks: dict[int, bytes] = {}

    def offset(self, frame: int) -> int | None:
        if not 0 <= frame < self._frames:
            return None
        number, bit = divmod(frame, _BLOCK * 8)
        while len(self._before) <= number:
            block = self._block(len(self._before) - 1)
            self._before.append(self._before[-1] + int.from_bytes(block, "little").bit_count())
        block = self._block(number)
        byte, inside = divmod(bit, 8)
        if byte >= len(block) or not block[byte] >> inside & 1:
            return None
        below = int.from_bytes(block[:byte], "little").bit_count()
        below += (block[byte] & (1 << inside) - 1).bit_count()
        return self._first + (self._before[number] + below) * PAGE

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            self._stream.seek(self._at + number * _BLOCK)
            wanted = min(_BLOCK, (self._frames + 7) // 8 - number * _BLOCK)
            block = self._stream.read(wanted) or b""
            if len(self._blocks) >= _MAX_KEPT:
                self._blocks.clear()
            self._blocks[number] = block
        return block


def find(stream: Stream, header: Header) -> Pages | None:
    """The pages of a dump; None for a body we do not know.

    Raises FormatError where the body contradicts itself. `end` may lie beyond the file's.
    """
    stream.seek(header.size)
    block = stream.read(64) or b""
    if block[:8] in _BITMAPS:
        return _bitmap(stream, header, block.ljust(64, b"\0"))
    return Runs(header) if header.type == 1 else None


def _bitmap(stream: Stream, header: Header, block: bytes) -> Bitmap:
    _, first, frames, present, again = _SUMMARY.unpack_from(block)
    fixed = 0x28 if header.wide else 0x20
    if not (frames and frames == again and _fits(header, fixed, frames, first, 4 * PAGE)):
        first, present, frames = _MODERN.unpack_from(block)
        fixed = _MODERN_BITS
        if not _fits(header, fixed, frames, first, _MAX_GAP):
            raise FormatError(STRUCTURE, header.size, "the bitmap of its pages makes no sense")
    if present > frames:
        raise FormatError(STRUCTURE, header.size, "it claims more pages than there are")
    return Bitmap(stream, header.size + fixed, frames, first, present)


def _fits(header: Header, fixed: int, frames: int, first: int, gap: int) -> bool:
    """Whether a bitmap of that many bits lies between its header and the first page.

    What Windows did not set says PAGE: a page that far away would pass for sense.
    """
    end = header.size + fixed + (frames + 7) // 8
    return 0 < frames <= _MAX_FRAMES and end <= first < end + gap
