"""Upper case against the table that NTFS carries, and against hashes that Windows wrote."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from recoverykit.formats.hive import Hive
from recoverykit.formats.upcase import name_hash, sort_key, upcase
from tests.conftest import need
from tests.formats.hives import hive_bytes, walk

SURROGATES = range(0xD800, 0xE000)


@need("mkntfs", "ntfscat")
def test_every_character_is_what_the_volume_says(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    with volume.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkntfs", "-F", "-q", volume], check=True, capture_output=True)
    table = subprocess.run(["ntfscat", "-i", "10", volume], check=True, capture_output=True).stdout
    units = struct.unpack("<65536H", table[:131072])
    different = [
        hex(unit)
        for unit in range(65536)
        if unit not in SURROGATES and upcase(chr(unit)) != chr(units[unit])
    ]
    assert different == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Start", "START"),
        ("straße", "STRAßE"),
        ("ı ſ µ ς", "ı ſ µ ς"),  # look-alikes in capitals, but other names
        ("ключ ärger ÿ", "КЛЮЧ ÄRGER Ÿ"),
        ("\U00010428", "\U00010428"),  # a pair of surrogates has no capital
        ("\ud801x", "\ud801X"),
    ],
)
def test_upcase(name: str, expected: str) -> None:
    assert upcase(name) == expected


def test_order_is_that_of_units_not_of_characters() -> None:
    assert sort_key("\U0001f511") < sort_key("\uff5a")
    assert sort_key("b") < sort_key("_")


@pytest.mark.parametrize("name", ["dissect_SYSTEM.gz", "plaso_win7x86_SYSTEM.xz"])
def test_hashes_are_those_windows_wrote(name: str) -> None:
    hive = Hive(hive_bytes(name))
    checked = 0
    for key in walk(hive):
        count, listed = struct.unpack_from("<I4xI", hive.cells.image, key.offset + 24)
        if not count:
            continue
        for signature, words in hive.cells.leaves(listed):
            assert signature == b"lh"
            children = {child.cell: child.name for child in key.subkeys()}
            for cell, mark in zip(words[::2], words[1::2], strict=True):
                assert name_hash(children[cell]) == mark
                checked += 1
    assert checked > 30000
