from __future__ import annotations

import struct
from collections import Counter

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.key_security import security_at
from recoverykit.formats.regf import NOWHERE
from tests.builders.hive import build, dword
from tests.formats.hives import hive_bytes, walk

IMAGE = build({"a": {"v": dword(1)}, "b": {"c": {}}})


def test_a_key_has_a_security_descriptor() -> None:
    root = Hive(IMAGE).root
    assert root.security is not None
    assert root.security_cell is not None
    found = root.hive.security(root.security_cell)
    assert (found.cell, found.following, found.previous) == (root.security_cell,) * 3
    assert found.references == 4
    assert found.descriptor == root.security
    assert found.descriptor[:4] == b"\1\0\4\x80"  # revision 1; self-relative, with a DACL
    assert root.hive.security(root.security_cell) is found  # shared by all keys, read once


def test_a_key_may_have_none() -> None:
    image = bytearray(IMAGE)
    struct.pack_into("<I", image, Hive(IMAGE).root.offset + 48, NOWHERE)
    assert Hive(bytes(image)).root.security is None


@pytest.mark.parametrize(
    ("at", "damage", "problem"),
    [
        (4, b"ks", "no security here"),
        (0, b"\0\0\0\0", "not an allocated cell"),
        (20, b"\0\1\0\0", "its descriptor does not fit"),
        (20, b"\xff\xff\xff\xff", "its descriptor does not fit"),
    ],
)
def test_a_damaged_one_is_refused(at: int, damage: bytes, problem: str) -> None:
    image = bytearray(IMAGE)
    where = 4096 + (Hive(IMAGE).root.security_cell or 0) + at
    image[where : where + len(damage)] = damage
    with pytest.raises(FormatError, match=f"key security at 0x[0-9a-f]+: {problem}"):
        _ = Hive(bytes(image)).root.security


@pytest.mark.parametrize("cell", [0, 4, 0x20, 0x7FFF_FFF8])
def test_other_cells_are_none(cell: int) -> None:
    with pytest.raises(FormatError):
        security_at(Hive(IMAGE).cells, cell)


@pytest.mark.parametrize(
    "name",
    [
        "dissect_SYSTEM.gz",
        "plaso_win7_SOFTWARE.xz",
        "bcd_win2go",
        "yarp/System_Delta",
        "yarp/OldDirtyHive__RecoveredHive_Windows7",
    ],
)
def test_real_rings_close_and_count_right(name: str) -> None:
    hive = Hive(hive_bytes(name))
    users = Counter(key.security_cell for key in walk(hive))
    start = cell = hive.root.security_cell
    assert cell is not None
    seen: dict[int, int] = {}
    while cell not in seen:
        found = hive.security(cell)
        assert hive.security(found.following).previous == cell
        assert found.descriptor[0] == 1
        seen[cell] = found.references
        cell = found.following
    assert cell == start
    assert users.keys() <= seen.keys()
    wrong = {cell for cell, count in seen.items() if count != users[cell]}
    assert wrong == set()
