"""The kernel's virtual memory in a dump: through page tables, or the blocks a small dump saved.

Page tables: Intel SDM volume 3 (4-level, PAE and 32-bit paging), "VMSAv8-64 translation table
format" of the Arm Architecture Reference Manual (4 KB granule), and Windows' transition entries
(bit 11 set, bits 0 and 10 clear: the page is still there). Not handled: five levels (LA57), memory
that was paged out, other processes than the one that crashed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

from recoverykit.formats.crashdump_header import Header
from recoverykit.formats.crashdump_pages import PAGE, Pages
from recoverykit.formats.pe import Stream

_FRAME = 0x0000_FFFF_FFFF_F000
_MAX_READ = 1 << 16
_MAX_PAGES = 2048  # kept: 8 MB
_PRESENT, _LARGE, _TRANSITION, _STATES = 1, 0x80, 0x800, 0xC00


class Memory(Protocol):
    def read(self, address: int, size: int) -> bytes:
        """What lies there, up to the first byte that the dump does not have."""


class Saved:
    """Pieces of `data` (address, offset, size); where two overlap the first one given counts."""

    def __init__(self, data: bytes = b"", pieces: Sequence[tuple[int, int, int]] = ()) -> None:
        self._data, self._pieces = data, pieces

    def read(self, address: int, size: int) -> bytes:
        for start, offset, length in self._pieces:
            inside = address - start
            if 0 <= inside < length:
                return self._data[offset + inside : offset + min(length, inside + size)]
        return b""


def _levels(header: Header) -> tuple[tuple[int, ...], int]:
    """By how much to shift an address for each level's index, top first, and the index's mask."""
    if header.wide:
        return (39, 30, 21, 12), 511
    return ((30, 21, 12), 511) if header.pae else ((22, 12), 1023)


class Paged:
    """Virtual memory over the pages of a dump."""

    def __init__(self, stream: Stream, pages: Pages, header: Header) -> None:
        self._stream, self._pages = stream, pages
        self._arm = header.machine == "arm64"
        self._wide = header.wide
        self._entry = struct.Struct("<Q" if header.wide or header.pae else "<I")
        self._shifts, self._mask = _levels(header)
        self._root = header.directory & (
            _FRAME if header.wide else ~(0x1F if header.pae else 0xFFF)
        )
        self._kept: dict[int, bytes] = {}  # frame -> page
        self._tables: dict[int, tuple[int, bool]] = {}  # address >> shift -> frame, large

    def read(self, address: int, size: int) -> bytes:
        found: list[bytes] = []
        size = min(size, _MAX_READ)
        while size > 0:
            page = self._page(address)
            start = address & (PAGE - 1)
            piece = page[start : start + size]
            if not piece:
                break
            found.append(piece)
            if len(piece) < size and start + len(piece) < PAGE:
                break  # a page that the dump has not whole
            address, size = address + len(piece), size - len(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def _page(self, address: int) -> bytes:
        frame = self._frame(address)
        return b"" if frame is None else self._physical(frame)

    def _physical(self, frame: int) -> bytes:
        page = self._kept.get(frame)
        if page is None:
            offset = self._pages.offset(frame)
            page = b""
            if offset is not None:
                self._stream.seek(offset)
                page = self._stream.read(PAGE) or b""
            if len(self._kept) >= _MAX_PAGES:
                self._kept.clear()
            self._kept[frame] = page
        return page

    def _frame(self, address: int) -> int | None:
        """The page frame an address lies in."""
        if self._wide and address >> 47 != 0x1_FFFF:
            return None  # not the kernel's
        last = self._shifts[-2]
        found = self._tables.get(address >> last)
        if found is None:
            found = self._walk(address)
            if found is None:
                return None
            self._tables[address >> last] = found
        frame, large = found
        number = address >> 12 & self._mask
        if large:
            return frame + number
        entry = self._at(frame * PAGE + number * self._entry.size)
        if entry & _PRESENT or (not self._arm and entry & _STATES == _TRANSITION):
            return (entry & _FRAME) >> 12
        return None

    def _walk(self, address: int) -> tuple[int, bool] | None:
        """The last table on the way to an address, or the large page that ends it."""
        table = self._root
        for depth, shift in enumerate(self._shifts[:-1]):
            number = address >> shift & (self._mask if shift != 30 or self._wide else 3)
            entry = self._at(table + number * self._entry.size)
            if not entry & _PRESENT:
                return None
            table = entry & _FRAME
            if self._ends(entry, depth):
                frame = (table >> shift << shift) >> 12
                if self._entry.size == 4:  # PSE-36: address bits 32 to 39 lie in 13 to 20
                    frame |= (entry >> 13 & 0xFF) << 20
                return frame | (address & (1 << shift) - 1) >> 12 & ~self._mask, True
        return table >> 12, False

    def _ends(self, entry: int, depth: int) -> bool:
        """Whether an entry above the last table maps a large page."""
        if depth == 0 and len(self._shifts) > 2:  # the top level never does
            return False
        return not entry & 2 if self._arm else bool(entry & _LARGE)

    def _at(self, physical: int) -> int:
        page = self._physical(physical >> 12)
        start = physical & (PAGE - 1)
        if start + self._entry.size > len(page):
            return 0
        return int(self._entry.unpack_from(page, start)[0])
