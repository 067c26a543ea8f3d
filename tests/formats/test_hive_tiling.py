"""Cells that fill their bins: every sound hive does, and damage shows."""

from __future__ import annotations

import random
import struct

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import hive, hive_tiling, regf
from tests.builders import hive as builder
from tests.formats.hives import hive_bytes, logs_of, samples

DAMAGED = {
    "ezreg_NotAHive",
    "ezreg_SAMBadHBinHeader",
    "regipy_corrupted_system_hive.xz",
    "yarp/TruncatedDirtyHive",
    "yarp/TruncatedHive",
}
SOUND = [name for name in samples() if name not in DAMAGED and "LOG" not in name]


def is_sound(image: bytes) -> bool:
    try:
        hive_tiling.check(image)
    except FormatError:
        return False
    return True


@pytest.mark.parametrize("name", SOUND)
def test_real_hives(name: str) -> None:
    assert is_sound(hive_bytes(name))


@pytest.mark.parametrize("name", sorted(DAMAGED & set(samples())))
def test_damaged_real_hives(name: str) -> None:
    assert not is_sound(hive_bytes(name))


def test_a_hive_made_whole_from_its_logs() -> None:
    name = "regipy_SYSTEM_B.xz"
    if name not in samples():
        pytest.skip(f"no {name}")
    _, recovery = hive.read(hive_bytes(name), logs_of(name))
    assert is_sound(bytes(recovery.data))


def built() -> bytes:
    tree: builder.Tree = {f"key{n}": {"value": builder.sz("x" * 40)} for n in range(200)}
    return builder.build(tree)


@pytest.mark.parametrize("size", [0, 4, -4, 12, 0x7FFF_FFF8, -0x8000_0000])
def test_a_size_that_breaks_the_chain(size: int) -> None:
    image = bytearray(built())
    at = 4096 + 32
    struct.pack_into("<i", image, at, size)
    with pytest.raises(FormatError) as caught:
        hive_tiling.check(image)
    assert caught.value.offset == at


def test_a_page_that_was_lost_shows() -> None:
    """Zeroed, anywhere: a bin's header is gone, or a cell begins in it, nearly always."""
    image = built()
    pages = range(4096, 4096 + regf.BaseBlock.parse(image).bins_size, 4096)
    noticed = [not is_sound(image[:at] + bytes(4096) + image[at + 4096 :]) for at in pages]
    assert len(noticed) > 4
    assert all(noticed)


def test_mutants_raise_nothing_else() -> None:
    image = built()
    for seed in range(300):
        rng = random.Random(f"tiling {seed}")
        changed = bytearray(image)
        for _ in range(rng.randint(1, 5)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        is_sound(bytes(changed[: rng.randrange(len(changed))] if seed % 3 == 0 else changed))
