"""Files as CompactOS leaves them: the reparse point, and the stream with the compressed chunks.

Layout: WOF_EXTERNAL_INFO and FILE_PROVIDER_EXTERNAL_INFO_V1 (Windows Driver Kit), [MS-FSCC] 2.1.2,
and wimlib's documentation of the chunk table. The chunks are compressed by wimlib, whose public C
interface takes one chunk at a time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

CHUNKS = {"XPRESS4K": 4096, "LZX": 32768, "XPRESS8K": 8192, "XPRESS16K": 16384}
_ALGORITHMS = {"XPRESS4K": 0, "LZX": 1, "XPRESS8K": 2, "XPRESS16K": 3}
_XPRESS, _LZX = 1, 2  # enum wimlib_compression_type


@cache
def _library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("wim")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.wimlib_compress.restype = ctypes.c_size_t
    return library


needs_wimlib = pytest.mark.skipif(_library() is None, reason="not installed: libwim15")


def reparse(packing: str) -> bytes:
    """Tag, length; the overlay's version and provider (files); the file's version and algorithm."""
    value = struct.pack("<IIII", 1, 2, 1, _ALGORITHMS[packing])
    return struct.pack("<IHH", 0x8000_0017, len(value), 0) + value


@cache
def _compressor(packing: str) -> ctypes.c_void_p:
    library = _library()
    assert library is not None
    made = ctypes.c_void_p()
    kind = _LZX if packing == "LZX" else _XPRESS
    size = ctypes.c_size_t(CHUNKS[packing])
    assert library.wimlib_create_compressor(kind, size, 50, ctypes.byref(made)) == 0
    return made


def compress(packing: str, chunk: bytes) -> bytes:
    """One chunk; as it is where it does not get smaller."""
    library = _library()
    assert library is not None
    room = ctypes.create_string_buffer(len(chunk))
    sizes = ctypes.c_size_t(len(chunk)), ctypes.c_size_t(len(chunk) - 1)
    used = library.wimlib_compress(chunk, sizes[0], room, sizes[1], _compressor(packing))
    return room.raw[:used] if used else chunk


def stream(packing: str, contents: bytes, chunk: Callable[[str, bytes], bytes] = compress) -> bytes:
    """What WofCompressedData holds for these contents."""
    step = CHUNKS[packing]
    chunks = [chunk(packing, contents[at : at + step]) for at in range(0, len(contents), step)]
    offsets: list[int] = []
    for piece in chunks[:-1]:
        offsets.append(len(piece) + (offsets[-1] if offsets else 0))
    return struct.pack(f"<{len(offsets)}I", *offsets) + b"".join(chunks)


def write(path: Path, packing: str, contents: bytes, stored: bytes | None = None) -> None:
    """Make `path`, on a volume that ntfs-3g has mounted, a compressed file with these contents.

    `stored` takes the place of what they would be compressed to.
    """
    path.write_bytes(b"")
    os.truncate(path, len(contents))
    data = stream(packing, contents) if stored is None else stored
    Path(f"{path}:WofCompressedData").write_bytes(data)
    os.setxattr(path, "system.ntfs_reparse_data", reparse(packing), follow_symlinks=False)
