"""Free cells found by size, against looking through all of them."""

from __future__ import annotations

import random

import pytest

from recoverykit.formats import hive_space
from recoverykit.formats.hive_space import FreeSpace

SIZES = (8, 16, 24, 88, 240, 248, 256, 264, 272, 504, 512, 1000, 4064, 4096, 20_000, 1 << 20)


def test_what_is_found_is_free_and_fits() -> None:
    rng = random.Random(3)
    space, free = FreeSpace(), dict[int, int]()
    found_of_bin = 0
    for step in range(20_000):
        start, number = rng.randrange(400) * 8, rng.randrange(5)
        if rng.random() < 0.4:
            free[start] = rng.choice(SIZES)
            space.add(start, free[start], number)
        elif rng.random() < 0.5:
            free.pop(start, None)
            space.remove(start)
        else:
            need = rng.choice(SIZES)
            found = space.find(need, number)
            assert (found is not None) == (max(free.values(), default=0) >= need), step
            assert found is None or free[found] >= need
            found_of_bin += found is not None
    assert found_of_bin > 1000


def test_the_wanted_bin_comes_first_and_waste_last() -> None:
    space = FreeSpace()
    for start, size, number in ((0, 4000, 1), (8000, 64, 2), (16_000, 72, 3), (24_000, 400, 4)):
        space.add(start, size, number)
    assert space.find(64, 1) == 0  # much too large, but in the bin
    assert space.find(64, 9) == 8000
    assert space.find(72, 9) == 16_000
    assert space.find(80, 9) == 24_000
    assert space.find(408, 9) == 0
    assert space.find(4008, 9) is None


def test_classes_keep_the_order_of_sizes() -> None:
    kinds = [hive_space._class(size) for size in range(8, 1 << 17, 8)]
    assert kinds == sorted(kinds)
    assert hive_space._class(1 << 31) < 500  # bits of the mark of filled ones


def test_of_crumbs_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hive_space, "_REMEMBERED", 10)
    space = FreeSpace()
    for number in range(100):
        space.add(number * 8, 8, 0)
    space.add(8000, 4096, 0)
    assert space.find(16, 0) is None
    for number in range(100):
        space.remove(number * 8)
    space.add(8000, 4096, 0)
    assert space.find(16, 0) == 8000
