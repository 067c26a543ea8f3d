"""Files that Windows compressed one by one (CompactOS, "compact /exe"), read chunk by chunk.

Such a file has a reparse point IO_REPARSE_TAG_WOF (0x80000017), a main stream that is one hole of
the file's size, and a stream WofCompressedData: a table of chunk offsets (all but the first,
counted from the table's end; 4 bytes each, 8 in files over 4 GiB), then the chunks. A chunk as long
as its contents is stored as it is. Sources: WOF_EXTERNAL_INFO and FILE_PROVIDER_EXTERNAL_INFO_V1 in
the WDK reference, [MS-FSCC] 2.1.2.1 for the tag, wimlib's documentation for the table. Only the
chunks asked for are read. Not here: files backed by a WIM image (WIMBoot, Windows 8.1), whose
contents lie in another file.
"""

from __future__ import annotations

import io
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats import lzx, xpress
from recoverykit.formats.extent import Read

TAG = 0x8000_0017
STREAM = "WofCompressedData"
LARGEST = 1 << 30  # of files that we read; no driver comes near

_REPARSE = struct.Struct("<IHxxIIII")  # tag, length; version, provider; version, algorithm
_VERSION, _PROVIDER_WIM, _PROVIDER_FILE = 1, 1, 2
_KEPT = 8  # decompressed chunks


@dataclass(frozen=True, slots=True)
class Packing:
    """One of the four ways: "XPRESS4K", "XPRESS8K", "XPRESS16K", "LZX"."""

    name: str
    chunk: int  # bytes of contents in each
    decompress: Callable[[bytes, int], bytes]


_PACKINGS = {
    0: Packing("XPRESS4K", 4096, xpress.decompress),
    1: Packing("LZX", lzx.LARGEST, lzx.decompress),
    2: Packing("XPRESS8K", 8192, xpress.decompress),
    3: Packing("XPRESS16K", 16384, xpress.decompress),
}


def packing(reparse: bytes) -> Packing:
    """How a file is compressed, by its reparse point. Raises FormatError for any other kind."""
    if len(reparse) < _REPARSE.size:
        raise FormatError("WOF reparse point", 0, f"{len(reparse)} bytes are too few")
    tag, _, version, provider, file_version, algorithm = _REPARSE.unpack_from(reparse)
    if tag != TAG:
        raise FormatError("WOF reparse point", 0, f"has the tag {tag:#x}")
    if provider == _PROVIDER_WIM:
        raise FormatError("WOF reparse point", 12, "the contents lie in a WIM image")
    if (version, provider, file_version) != (_VERSION, _PROVIDER_FILE, _VERSION):
        raise FormatError("WOF reparse point", 8, f"unknown provider {provider} or version")
    if algorithm not in _PACKINGS:
        raise FormatError("WOF reparse point", 20, f"unknown algorithm {algorithm}")
    return _PACKINGS[algorithm]


class Stream:
    """The contents of a compressed file, as an open file. Reading raises FormatError."""

    def __init__(self, read: Read, stored: int, size: int, packing: Packing) -> None:
        """`read` reads the WofCompressedData stream, which has `stored` bytes, `size` unpacked."""
        if not 0 <= size <= LARGEST:
            raise FormatError("WOF file", 0, f"{size} bytes are too many")
        self.size, self.packing = size, packing
        self._read, self._stored = read, stored
        self._chunks = -(-size // packing.chunk)
        self._table = max(self._chunks - 1, 0) * 4
        if self._table > stored:
            raise FormatError("WOF file", 0, "the table of chunks is cut off")
        self._at = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        end = self.size if size < 0 else min(self._at + size, self.size)
        parts: list[bytes] = []
        while self._at < end:
            number, skip = divmod(self._at, self.packing.chunk)
            part = self._chunk(number)[skip : skip + end - self._at]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def _chunk(self, number: int) -> bytes:
        """The contents of one chunk; never empty."""
        kept = self._kept.get(number)
        if kept is None:
            kept = self._kept[number] = self._unpack(number)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return kept

    def _unpack(self, number: int) -> bytes:
        start, end = self._place(number)
        size = min(self.packing.chunk, self.size - number * self.packing.chunk)
        if not 0 < end - start <= size or end > self._stored:
            raise FormatError("WOF file", start, f"impossible size {end - start} of chunk {number}")
        data = self._read(start, end - start)
        if len(data) != end - start:
            raise FormatError("WOF file", start, f"chunk {number} is cut off")
        return data if len(data) == size else self.packing.decompress(data, size)

    def _place(self, number: int) -> tuple[int, int]:
        """Where a chunk begins and ends in the stream."""
        first, last = max(number - 1, 0) * 4, min(number + 1, self._chunks - 1) * 4
        raw = self._read(first, last - first) if last > first else b""
        if len(raw) != last - first:
            raise FormatError("WOF file", first, "the table of chunks is cut off")
        offsets = list(struct.unpack(f"<{len(raw) // 4}I", raw))
        if number == 0:
            offsets.insert(0, 0)
        if number == self._chunks - 1:
            offsets.append(self._stored - self._table)
        return self._table + offsets[0], self._table + offsets[1]
