"""What lies in an initramfs: its segments, and the files in each. Nothing is unpacked to disk.

Formats: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst), Zstandard frames
(RFC 8878, 3.1.1). A frame's end is found by its block headers alone, so each segment's compressed
size is exact. Not handled: other compressions, which our media do not use.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from winpe import tools
from winpe.errors import ImageRefusedError, MissingToolError

LARGEST = 1 << 30  # bytes of one segment, unpacked
_ZSTD, _CPIO, _TRAILER = b"\x28\xb5\x2f\xfd", b"070701", "TRAILER!!!"
_HEADER, _MOST_ENTRIES, _LONGEST_NAME = 110, 200_000, 4096
_RAW_RLE = 1  # the block type whose size is of what it becomes


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    mode: int
    content: memoryview


@dataclass(frozen=True, slots=True)
class Segment:
    offset: int
    stored: int  # bytes in the initramfs
    unpacked: bytes

    def items(self) -> Iterator[Item]:
        """Every entry. Raises ImageRefusedError."""
        return _items(self.unpacked)


def segments(initrd: bytes) -> Iterator[Segment]:
    """One after the other, as the kernel unpacks them. Raises ImageRefusedError, ToolError."""
    offset = 0
    while offset < len(initrd):
        if initrd[offset] == 0:
            offset += 1
        elif initrd.startswith(_ZSTD, offset):
            end = _frame_end(initrd, offset)
            yield Segment(offset, end - offset, _unpacked(initrd[offset:end]))
            offset = end
        elif initrd.startswith(_CPIO, offset):
            end = _cpio_end(initrd, offset)
            yield Segment(offset, end - offset, initrd[offset:end])
            offset = end
        else:
            raise ImageRefusedError(f"the initramfs is damaged at byte {offset:,}")


def _frame_end(data: bytes, start: int) -> int:
    descriptor = _number(data, start + 4, 1)
    single = descriptor >> 5 & 1
    sizes = (single, 2, 4, 8)[descriptor >> 6]
    offset = start + 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + sizes
    while True:
        block = _number(data, offset, 3)
        offset += 3 + (1 if block >> 1 & 3 == _RAW_RLE else block >> 3)
        if block & 1:
            break
    end = offset + 4 * (descriptor >> 2 & 1)
    if end > len(data):
        raise ImageRefusedError("the initramfs is cut off")
    return end


def _number(data: bytes, offset: int, size: int) -> int:
    if offset + size > len(data):
        raise ImageRefusedError("the initramfs is cut off")
    return int.from_bytes(data[offset : offset + size], "little")


def _unpacked(frame: bytes) -> bytes:
    """By the host's zstd, and no more than a segment may have."""
    argv = ["zstd", "-dc", "--quiet", "--memory=256MB"]
    with tempfile.TemporaryFile() as feed:
        feed.write(frame)
        feed.seek(0)
        try:
            process = subprocess.Popen(
                argv,
                stdin=feed,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=tools.environment(),
            )
        except FileNotFoundError as exc:
            raise MissingToolError("zstd") from exc
        with process:
            content = process.stdout.read(LARGEST + 1) if process.stdout else b""
            if len(content) > LARGEST:
                process.kill()
                raise ImageRefusedError("a segment of the initramfs is larger than any of ours")
    if process.returncode:
        raise ImageRefusedError("a segment of the initramfs cannot be decompressed")
    return content


def _cpio_end(data: bytes, start: int) -> int:
    offset = start
    for _ in range(_MOST_ENTRIES):
        name, _, _, offset = _entry(data, offset)
        if name == _TRAILER:
            return offset
    raise ImageRefusedError("the initramfs has too many files")


def _items(data: bytes) -> Iterator[Item]:
    offset, view = 0, memoryview(data)
    for _ in range(_MOST_ENTRIES):
        name, mode, (begin, size), offset = _entry(data, offset)
        if name == _TRAILER:
            return
        yield Item(name, mode, view[begin : begin + size])
    raise ImageRefusedError("the initramfs has too many files")


def _entry(data: bytes, offset: int) -> tuple[str, int, tuple[int, int], int]:
    """Name, mode, where its content lies, and where the next one starts."""
    head = data[offset : offset + _HEADER]
    if len(head) < _HEADER or not head.startswith(_CPIO):
        raise ImageRefusedError(f"an archive in the initramfs is damaged at byte {offset:,}")
    try:
        mode, size, length = (int(head[at : at + 8], 16) for at in (14, 54, 94))
    except ValueError as exc:
        raise ImageRefusedError("an archive in the initramfs has a damaged header") from exc
    end_of_name = offset + _HEADER + length
    begin = end_of_name + -end_of_name % 4
    end = begin + size
    if not 0 < length <= _LONGEST_NAME or size < 0 or end > len(data):
        raise ImageRefusedError("an archive in the initramfs is cut off")
    name = data[offset + _HEADER : end_of_name - 1].decode(errors="surrogateescape")
    return name, mode, (begin, size), end + -end % 4
