"""Ways to change a file at a place; each tells from where to where it touched what was there."""

from __future__ import annotations

import random
from collections.abc import Callable

Change = Callable[[bytearray, int, random.Random], tuple[int, int]]  # what was touched


def bit(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    data[at] ^= 1 << rng.randrange(8)
    return at, at + 1


def byte(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return at, at + 1


def number(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    """A field of two or four bytes: off by little, or absurd."""
    size = rng.choice((2, 4))
    at = min(at, len(data) - size)
    old = int.from_bytes(data[at : at + size], "little")
    other = rng.choice((old + 1, old - 1, old + 8, old - 8, old * 2, 0, 1 << 8 * size - 1, -1))
    data[at : at + size] = (other % (1 << 8 * size)).to_bytes(size, "little")
    return at, at + size


def length(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    """The next length of DER, or what looks like one."""
    for place in range(at, min(at + 64, len(data) - 3)):
        if data[place] in (0x30, 0x31, 0x04, 0xA0, 0xA1):
            data[place + 1] = rng.choice((0x80, 0x81, 0x82, 0x84, 0xFF, data[place + 1] ^ 1))
            return place + 1, place + 2
    return bit(data, at, rng)


def insert(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    data[at:at] = rng.randbytes(rng.choice((1, 2, 7, 8, 16, 200)))
    return max(at - 1, 0), at + 1


def delete(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    count = min(rng.choice((1, 2, 8, 64)), len(data) - at)
    del data[at : at + count]
    return at, at + count


def truncate(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    end = len(data)
    del data[at:]
    return at, end


def append(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    end = len(data)
    data += rng.choice((bytes(8), rng.randbytes(8), rng.randbytes(1), bytes(512)))
    return end - 1, end


def zero(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    end = min(at + rng.choice((2, 4, 16, 64)), len(data))
    data[at:end] = bytes(end - at)
    return at, end


def several(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    """Bits not far from each other."""
    places = [at, *(min(max(at + rng.randint(-900, 900), 0), len(data) - 1) for _ in range(3))]
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    return min(places), max(places) + 1


def swap(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    """Two slices change places."""
    size = rng.choice((1, 2, 8, 32))
    other = min(max(at + rng.choice((-1, 1)) * rng.randint(size, 400), 0), len(data) - size)
    first, second = sorted((at, other))
    if second < first + size or second + size > len(data):
        return bit(data, at, rng)
    one, two = data[first : first + size], data[second : second + size]
    data[first : first + size], data[second : second + size] = two, one
    return first, second + size
