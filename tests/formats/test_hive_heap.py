"""Cells handed out and given back, against the checker's view of the bins."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive_create import create
from recoverykit.formats.hive_heap import Heap

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NEW = create("x", when=WHEN)


def cells(image: bytes) -> Iterator[tuple[int, int]]:
    """(offset, size) of every cell; negative: allocated."""
    position, end = 4096, 4096 + int.from_bytes(image[40:44], "little")
    while position < end:
        stop = position + int.from_bytes(image[position + 8 : position + 12], "little")
        position += 32
        while position < stop:
            (size,) = struct.unpack_from("<i", image, position)
            yield position - 4096, size
            position += abs(size)
        assert position == stop


def test_random_cells_keep_their_content_and_leave_nothing_behind() -> None:
    rng = random.Random(5)
    heap = Heap(NEW)
    held: dict[int, bytes] = {}
    for _ in range(3000):
        if held and rng.random() < 0.5:
            cell = rng.choice(list(held))
            if rng.random() < 0.5:
                heap.free(cell)
                del held[cell]
            else:
                room = rng.choice([1, 12, 300, 5000, 20_000])
                kept = held.pop(cell)[:room]
                moved = heap.resize(cell, room)
                held[moved] = kept
        else:
            content = rng.randbytes(rng.choice([0, 1, 4, 5, 60, 700, 4100, 16_344]))
            held[heap.new(content, rng.choice([0, *held]))] = content
    image = heap.whole()
    allocated = {cell for cell, size in cells(image) if size < 0}
    assert allocated == held.keys() | {32, 120}
    for cell, content in held.items():
        assert image[4100 + cell : 4100 + cell + len(content)] == content
    for cell in list(held):
        heap.free(cell)
    assert [size for _, size in cells(heap.whole()) if size < 0] == [-88, -128]


def test_a_new_cell_is_zero_wherever_it_was_taken() -> None:
    heap = Heap(NEW + b"\xaa" * 8192)
    first = heap.new(b"\xff" * 2000, 0)
    heap.free(first)
    for room in (1000, 6000):
        cell = heap.allocate(room, 0)
        assert not any(heap.image[4100 + cell : 4100 + cell + room])


def test_what_was_exchanged_is_there_at_the_end() -> None:
    heap = Heap(NEW)
    heap.exchange(5000, b"12345678")
    heap.exchange(5000, b"abcdefgh")
    heap.exchange(6000, b"x")
    assert heap.image is NEW  # not copied yet
    expected = bytearray(NEW)
    expected[5000:5008], expected[6000:6001] = b"abcdefgh", b"x"
    assert heap.whole() == expected
    heap.exchange(5004, b"overlap")  # later, and over what is there
    expected[5004:5011] = b"overlap"
    assert heap.whole() == expected
    expected[0:4] = b"head"
    assert heap.whole({0: b"head"}) == expected
    heap.allocate(8, 0)
    assert heap.whole()[5000:5011] == b"abcdoverlap"


def test_cells_are_where_their_bin_says() -> None:
    heap = Heap(NEW)
    assert heap.at(32, 76, "root") == 4096 + 36
    for cell, message in (
        (40, "no cell begins"),
        (36, "no cell begins"),
        (4096, "not inside"),
        (0xFFFF_FFFF, "not inside"),
        (248, "not an allocated"),
    ):
        with pytest.raises(FormatError, match=message):
            heap.at(cell, 1, "cell")
    with pytest.raises(FormatError, match="too small"):
        heap.at(32, 85, "root")


@pytest.mark.parametrize("room", [(1 << 20) - 4, (1 << 20) - 3])
def test_the_largest_cell(room: int) -> None:
    heap = Heap(NEW)
    if room > (1 << 20) - 4:
        with pytest.raises(FormatError, match="1 MB"):
            heap.allocate(room, 0)
    else:
        assert heap.room(heap.allocate(room, 0)) == room


@pytest.mark.parametrize(
    ("at", "number"),
    [(4096, 0), (4100, 4096), (4104, 0), (4104, 4095), (4104, 8192), (40, 4095), (40, 8191)],
)
def test_damaged_bins(at: int, number: int) -> None:
    image = bytearray(NEW) + bytes(4096)
    struct.pack_into("<I", image, at, number)
    with pytest.raises(FormatError, match="damaged header"):
        Heap(bytes(image))


def test_a_bin_that_ends_behind_the_file() -> None:
    image = bytearray(NEW)
    struct.pack_into("<I", image, 40, 1 << 20)
    with pytest.raises(FormatError, match="truncated"):
        Heap(image)
