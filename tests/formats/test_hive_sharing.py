"""Where offsets of cells stand, found by one pass over one byte of four."""

from __future__ import annotations

import random
import struct

import pytest

from recoverykit.formats import hive_sharing
from recoverykit.formats.hive import Hive, Key
from recoverykit.formats.hive_sharing import mentions, references
from tests.formats.hives import hive_bytes


def slowly(image: bytes, cell: int, end: int) -> list[int]:
    return [at for at in range(4096, end, 4) if struct.unpack_from("<I", image, at)[0] == cell]


@pytest.mark.parametrize(
    "cells",
    [
        (0x1230,),
        (0x1230, 0x4530, 0x12_4538),
        (0x12_0000, 0x12_FF08),  # the second byte is too frequent
        (0x20,),  # and the third
        (0xFFFF_FFF8,),
    ],
)
def test_mentions(cells: tuple[int, ...]) -> None:
    rng = random.Random(1)
    image = bytearray(rng.choices((0, 0x12, 0x30, 0x38, 0x45, 0xFF, *range(64, 90)), k=4096 * 80))
    for at in (4096, 4100, (1 << 18) + 4092, (1 << 18) + 4096, len(image) - 4096 - 4):
        struct.pack_into("<I", image, at, rng.choice(cells))
    struct.pack_into("<I", image, len(image) - 4, cells[0])  # behind the end
    found = mentions(bytes(image), cells, len(image) - 4096)
    wanted = {cell: slowly(bytes(image), cell, len(image) - 4096) for cell in cells}
    assert found is not None
    assert {cell: sorted(places) for cell, places in found.items()} == wanted
    assert any(wanted.values())


def test_a_search_gives_up_where_following_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    image = bytes(4096) + struct.pack("<I", 0x1230) * 100 + bytes(4096 - 400)
    assert mentions(image, [0x1230], len(image)) == {0x1230: list(range(4096, 4496, 4))}
    monkeypatch.setattr(hive_sharing, "_HITS", 99)
    assert mentions(image, [0x1230], len(image)) is None


@pytest.mark.parametrize("name", ["yarp/System_Delta", "bcd_win2go"])
def test_of_a_real_hive_both_ways_agree(name: str) -> None:
    """Each value has one owner: its offset stands once, and who follows the hive says so too."""
    image = hive_bytes(name)
    values = [v.offset - 4096 for key in walked(image) for v in key.values()]
    followed = references(image)
    assert followed.shared.isdisjoint(values)
    assert followed.reached.issuperset(values)
    single = 0
    for cell in values:
        found = mentions(image, [cell], len(image))
        assert found is None or found[cell]
        single += found is not None and len(found[cell]) == 1
    assert single > len(values) * 0.75


def walked(image: bytes) -> list[Key]:
    keys = [Hive(image).root]
    for key in keys:
        keys += key.subkeys()
    return keys
