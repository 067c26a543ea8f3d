"""Marvin32, the 64-bit hash that seals the entries of a registry transaction log.

Algorithm: Microsoft's Marvin32 as .NET publishes it (`System.Marvin`), with the registry's fixed
seed; see msuhanov/regf, "Log entries", notes 1 to 3. It detects torn writes, it is no signature.
"""

from __future__ import annotations

import struct

from recoverykit.formats.binary import Buffer

_SEED_LOW, _SEED_HIGH = 0x7A4E_55C5, 0x82EF_4D88  # real logs: the spec's bytes, big-endian
_MASK = 0xFFFF_FFFF


def marvin32(data: Buffer) -> int:
    """The hash of `data`. About 8 MB/s: the caller bounds the size by the log's own."""
    whole = len(data) & ~3
    tail = bytes(data[whole:]) + b"\x80"
    words = [word for (word,) in struct.iter_unpack("<I", data[:whole])]
    words += [int.from_bytes(tail, "little"), 0]  # the pad, then one more empty round
    low, high = _SEED_LOW, _SEED_HIGH
    for word in words:
        low = (low + word) & _MASK
        high ^= low
        low = ((low << 20 | low >> 12) + high) & _MASK
        high = (high << 9 | high >> 23) & _MASK ^ low
        low = ((low << 27 | low >> 5) + high) & _MASK
        high = (high << 19 | high >> 13) & _MASK
    return high << 32 | low
