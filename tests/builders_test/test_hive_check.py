"""The structural checker: silent on what Windows wrote, loud on every kind of damage."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import problems
from tests.formats.hives import hive_bytes

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
LOST = "allocated cell that nobody owns"


@pytest.mark.parametrize(
    "name",
    [
        "bcd_win2go",
        "bcd_arm64_phone",
        "ezreg_BCD",
        "yarp/BigDataHive",
        "yarp/System_Delta",
        "yarp/OldDirtyHive__RecoveredHive_Windows7",
        "regipy_SYSTEM.xz",
        "plaso_win7x86_SYSTEM.xz",
    ],
)
def test_windows_own_hives_are_sound(name: str) -> None:
    """Its rules are Windows' rules: hashes, order, counts, records, no lost cell."""
    assert problems(hive_bytes(name)) == []


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("yarp/WrongOrderHive", {"subkeys not in order"}),
        ("yarp/BadSubkeyHive", {LOST, "wrong number of keys of a descriptor"}),
        ("yarp/TruncatedHive", {"truncated"}),
        ("ezreg_SAMBadHBinHeader", {"damaged bin"}),
    ],
)
def test_damaged_ones_are_not(name: str, kinds: set[str]) -> None:
    assert {found.kind for found in problems(hive_bytes(name))} == kinds


def sample() -> bytes:
    editor = Editor(create("x", when=WHEN), WHEN)
    editor.create_key("a\\b", class_name="class")
    editor.create_key("c")
    editor.set_value("a", "value", 3, b"data of it")
    editor.set_value("a", "big", 3, bytes(20_000))
    return editor.finish(1)


SAMPLE = sample()


def cell(path: str) -> int:
    key = Hive(SAMPLE).find(path)
    assert key is not None
    return key.offset + 4


def word(at: int) -> int:
    return int.from_bytes(SAMPLE[at : at + 4], "little")


ROOT, A = cell(""), cell("a")
LIST = 4100 + word(ROOT + 28)
VALUE = 4100 + word(4100 + word(A + 40))
SECURITY = 4100 + word(ROOT + 44)


@pytest.mark.parametrize(
    ("at", "number", "kind"),
    [
        (508, 0, "wrong checksum"),
        (4, 9, "not a clean primary file"),
        (40, 0x10_0000, "truncated"),
        (A + 16, 0, "wrong parent"),
        (A + 20, 2, "wrong number of subkeys"),
        (A + 44, 0x20, "descriptor outside the ring"),
        (A + 52, 0, "record of the largest name too small"),
        (A + 56, 0, "record of the largest class_name too small"),
        (A + 60, 2, "record of the largest value_name too small"),
        (A + 64, 5, "record of the largest value_data too small"),
        (LIST + 8, 1, "wrong hash or hint"),
        (VALUE + 4, 0x8000_0005, "too much data in a value"),
        (SECURITY + 12, 9, "wrong number of keys of a descriptor"),
        (SECURITY + 8, 0x20, "ring broken"),
        (4096 + 32, 0x10, "damaged cell"),
        (LIST + 4, 0x28, "no allocated cell"),
    ],
)
def test_each_kind_of_damage_is_named(at: int, number: int, kind: str) -> None:
    image = bytearray(SAMPLE)
    struct.pack_into("<I", image, at, number)
    assert kind in {found.kind for found in problems(bytes(image))}


def test_cells_shared_lost_or_left_apart() -> None:
    shared = bytearray(SAMPLE)
    shared[A + 40 : A + 44] = shared[cell("c") + 40 : cell("c") + 44] = SAMPLE[A + 40 : A + 44]
    shared[cell("c") + 36 : cell("c") + 40] = SAMPLE[A + 36 : A + 40]
    assert "shared cell" in {found.kind for found in problems(bytes(shared))}
    lost = bytearray(SAMPLE)
    struct.pack_into("<II", lost, A + 36, 0, 0xFFFF_FFFF)
    assert LOST in {found.kind for found in problems(bytes(lost))}
    apart = bytearray(SAMPLE)
    end = 4096 + word(4096 + 8)  # of the first bin
    free = next(at for at in range(end - 16, 4096, -8) if word(at) == end - at)
    struct.pack_into("<i", apart, free, 8)
    struct.pack_into("<i", apart, free + 8, end - free - 8)
    assert "free cells not joined" in {found.kind for found in problems(bytes(apart))}
