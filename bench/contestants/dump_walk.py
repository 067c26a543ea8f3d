"""What the peers do not do themselves: the list of drivers, and who owns a word of the stack.

Written as fast as Python lets it, for contestants that give no more than virtual memory.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence

WORDS = 24 * 1024 // 8  # a whole kernel stack, as recoverykit looks at
Module = tuple[str, int, int, int]

_ENTRY = struct.Struct("<Q40xQ8xI20xH6xQ52xI")


def modules(read: Callable[[int, int], bytes], head: int) -> list[Module]:
    """[(name, base, size, stamp)] of a 64-bit Windows 10."""
    (at,) = struct.unpack("<Q", read(head, 8))
    found = []
    while at != head:
        at, base, size, length, name, stamp = _ENTRY.unpack(read(at, _ENTRY.size))
        found.append((read(name, length).decode("utf-16-le").lower(), base, size, stamp))
    return found


def hits(listed: Sequence[Module], words: Sequence[int]) -> int:
    ranges = sorted((base, base + size) for _, base, size, _ in listed)
    bases = [base for base, _ in ranges]
    low, high = ranges[0][0], max(end for _, end in ranges)
    return sum(
        low <= word < high and word < ranges[bisect_right(bases, word) - 1][1] for word in words
    )
