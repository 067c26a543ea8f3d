"""XPRESS Huffman, the compression of CompactOS' default: one chunk at a time.

Layout: [MS-XCA] section 2.2 (LZ77+Huffman). A chunk here has at most 64 KiB and its own code, so
that the format's new code every 64 KiB never comes. Bits come from 16-bit words, first bit highest;
the bytes of a long match lie between those words, at the place the reader has come to. Written here
because dissect.util 3.24 decodes bit by bit and gets some chunks of real files wrong.
"""

from __future__ import annotations

import struct

from recoverykit.errors import FormatError
from recoverykit.formats import huffman

_CODE_BYTES = 256  # lengths of 512 words, four bits each
_LONGEST = 65536  # output of one code
_SHORTEST_MATCH = 3
_WORD = struct.Struct("<H")
_BEYOND = bytes(16)  # a decoder reads a little ahead; input that is really short shows elsewhere


def decompress(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes (at most 64 KiB) out of a chunk. Raises FormatError."""
    if len(data) < _CODE_BYTES + 4 or size > _LONGEST:
        raise FormatError("XPRESS chunk", 0, f"{len(data)} bytes for {size}")
    lengths = [half for byte in data[:_CODE_BYTES] for half in (byte & 15, byte >> 4)]
    return _decode(data + _BEYOND, len(data), size, huffman.code(lengths))


def _decode(data: bytes, end: int, size: int, code: huffman.Code) -> bytes:
    """The loop every byte passes: written flat, because calls are what costs in it."""
    word = _WORD.unpack_from
    table, width = code.table, code.bits
    out = bytearray()
    high, low = struct.unpack_from("<HH", data, _CODE_BYTES)
    at, bits, left = _CODE_BYTES + 4, high << 16 | low, 32
    while len(out) < size:
        entry = table[bits >> left - width]
        left -= entry & huffman.LENGTH_MASK
        bits &= (1 << left) - 1
        if left < 16:
            bits, left, at = bits << 16 | word(data, at)[0], left + 16, at + 2
        symbol = entry >> huffman.LENGTH_BITS
        if symbol < 256:
            if not entry:
                raise FormatError("XPRESS chunk", at, "a word without a symbol")
            out.append(symbol)
        else:
            length, step = symbol & 15, symbol >> 4 & 15
            if length == 15:
                length, at = _long_match(data, at)
            left -= step
            distance = 1 << step | bits >> left
            bits &= (1 << left) - 1
            if left < 16:
                bits, left, at = bits << 16 | word(data, at)[0], left + 16, at + 2
            _copy(out, distance, min(length + _SHORTEST_MATCH, size - len(out)), at)
        if at > end + 8:
            raise FormatError("XPRESS chunk", at, "ends too early")
    return bytes(out)


def _long_match(data: bytes, at: int) -> tuple[int, int]:
    """A length that does not fit its symbol, less the shortest match, and where to read on."""
    if data[at] < 255:
        return data[at] + 15, at + 1
    (length,) = _WORD.unpack_from(data, at + 1)
    return int(length), at + 3


def _copy(out: bytearray, distance: int, length: int, at: int) -> None:
    start = len(out) - distance
    if start < 0:
        raise FormatError("XPRESS chunk", at, "a match begins before the data")
    if distance >= length:
        out += out[start : start + length]
    else:  # it repeats itself
        out += (bytes(out[start:]) * (length // distance + 1))[:length]
