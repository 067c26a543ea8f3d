"""Marvin32, the 64-bit hash that seals the entries of a registry transaction log.

Algorithm: Microsoft's Marvin32 as .NET publishes it (`System.Marvin`), with the registry's fixed
seed; see msuhanov/regf, "Log entries", notes 1 to 3. It detects torn writes, it is no signature.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from recoverykit.formats.binary import Buffer

_SEED_LOW, _SEED_HIGH = 0x7A4E_55C5, 0x82EF_4D88  # real logs: the spec's bytes, big-endian
_MASK = 0xFFFF_FFFF
_TWICE = 0x1_0000_0001  # times a 32-bit number: that number twice, so that a shift right rotates it
_CHUNK = 1 << 16  # bytes unpacked at once


def marvin32(data: Buffer) -> int:
    """The hash of `data`. About 9 MB/s: the caller bounds the size by the log's own."""
    whole = len(data) & ~3
    low, high = _SEED_LOW, _SEED_HIGH
    for start in range(0, whole, _CHUNK):
        piece = data[start : min(start + _CHUNK, whole)]
        low, high = _mixed(low, high, struct.unpack(f"<{len(piece) // 4}I", piece))
    tail = bytes(data[whole:]) + b"\x80"
    low, high = _mixed(low, high, (int.from_bytes(tail, "little"), 0))  # the pad, an empty round
    return high << 32 | low


def _mixed(low: int, high: int, words: Iterable[int]) -> tuple[int, int]:
    mask, twice = _MASK, _TWICE
    for word in words:
        low = (low + word) & mask
        high ^= low
        low = ((low * twice >> 12) + high) & mask
        high = high * twice >> 23 & mask ^ low
        low = ((low * twice >> 5) + high) & mask
        high = high * twice >> 13 & mask
    return low, high
