"""Damaged and hostile hives under edits: FormatError or a right answer, never a lost neighbour."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import DEFAULT_SECURITY, create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import problems
from tests.formats.edit_run import built, edit_mutant
from tests.formats.hive_steps import SECURITY

NEW = datetime(2026, 5, 4, tzinfo=UTC)
SLOWEST = 5.0  # CPU seconds for a few edits of one small mutant
BUILT = built()


@pytest.mark.parametrize(
    ("name", "count"), [("built", 300), ("bcd_win2go", 120), ("yarp/System_Delta", 40)]
)
def test_mutated_hives_under_edits(name: str, count: int) -> None:
    outcomes = []
    for number in range(count):
        began = time.process_time()
        outcomes.append(edit_mutant(name, random.Random(f"{name} {number}")))
        assert time.process_time() - began < SLOWEST
    assert outcomes.count(None) < count // 2
    assert outcomes.count(True) < count - count // 20  # some were refused


# --- built by hand --------------------------------------------------------------------------


def cell_of(image: bytes, path: str) -> int:
    key = Hive(image).find(path)
    assert key is not None
    return key.cell


def field(image: bytes, cell: int, at: int) -> int:
    return int.from_bytes(image[4100 + cell + at :][:4], "little")


def with_field(image: bytes, cell: int, at: int, number: int) -> bytes:
    changed = bytearray(image)
    struct.pack_into("<I", changed, 4100 + cell + at, number)
    return bytes(changed)


def refuse(image: bytes, change: Callable[[Editor], None], message: str) -> None:
    editor = Editor(image, NEW)
    with pytest.raises(FormatError, match=message):
        change(editor)
    assert editor.finish(1)[4096:] == image[4096:]  # nothing was written


SUBKEYS, SUBKEY_LIST, VALUES, VALUE_LIST, SECURITY_CELL, PARENT = 20, 28, 36, 40, 44, 16


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.set_value("k5", "value", 3, b"y" * 200),  # the same size
        lambda e: e.set_value("k5", "value", 3, b"y"),
        lambda e: e.delete_value("k5", "value"),
        lambda e: e.delete_key("k5"),
    ],
)
def test_a_value_that_two_keys_name(change: Callable[[Editor], None]) -> None:
    (value,) = struct.unpack_from(
        "<I", BUILT, 4100 + field(BUILT, cell_of(BUILT, "k5"), VALUE_LIST)
    )
    image = with_field(BUILT, field(BUILT, cell_of(BUILT, "k7"), VALUE_LIST), 0, value)
    refuse(image, change, "another owner")


def value_cell(image: bytes, path: str) -> int:
    return field(image, field(image, cell_of(image, path), VALUE_LIST), 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.set_value("k5", "value", 3, b"y" * 200),
        lambda e: e.set_value("k5", "value", 3, b"y" * 100),
        lambda e: e.delete_key("k5"),
    ],
)
def test_data_that_two_values_name(change: Callable[[Editor], None]) -> None:
    data = field(BUILT, value_cell(BUILT, "k5"), 8)
    refuse(with_field(BUILT, value_cell(BUILT, "k7"), 8, data), change, "another owner|too small")
    refuse(with_field(BUILT, value_cell(BUILT, "k3"), 8, data), change, "another owner")


def test_a_list_that_two_keys_name() -> None:
    """Two keys claim the same subkeys; those name one of them as their parent."""
    listed = field(BUILT, cell_of(BUILT, "k5"), SUBKEY_LIST)
    image = with_field(BUILT, cell_of(BUILT, "k7"), SUBKEY_LIST, listed)
    refuse(image, lambda e: e.create_key("k5\\new"), "another owner")
    refuse(image, lambda e: e.delete_key("k5"), "another owner")
    refuse(image, lambda e: e.delete_key("k7"), "another parent")
    refuse(image, lambda e: e.create_key("k7\\new"), "another parent")


def test_a_key_that_is_below_itself() -> None:
    cell = cell_of(BUILT, "k5")
    listed = field(BUILT, cell_of(BUILT, "k5\\s5"), SUBKEY_LIST)
    assert listed == 0xFFFF_FFFF
    image = with_field(BUILT, cell_of(BUILT, "k5\\s5"), SUBKEYS, 1)
    image = with_field(
        image, cell_of(BUILT, "k5\\s5"), SUBKEY_LIST, field(image, cell, SUBKEY_LIST)
    )
    refuse(image, lambda e: e.delete_key("k5"), "shares a cell")
    refuse(image, lambda e: e.delete_key("k5\\s5"), "another parent|another owner")


def test_cells_that_begin_inside_others() -> None:
    """A fake key in the data of a value: no cell of its bin begins there."""
    editor = Editor(BUILT, NEW)
    at = cell_of(BUILT, "k9")
    raw = BUILT[4096 + at : 4096 + at + 88]
    editor.set_value("k9", "trap", 3, b"pad!" + raw + bytes(100))
    image = editor.finish(1)
    inside = image.index(b"pad!" + raw) - 4096 + 4
    assert inside % 8 == 0
    entry = image.index(struct.pack("<I", at), 4100 + field(image, cell_of(image, ""), SUBKEY_LIST))
    fake = image[:entry] + struct.pack("<I", inside) + image[entry + 4 :]
    assert Hive(fake).find("k9") is not None  # the reader would go there
    refuse(fake, lambda e: e.set_value("k9", "value", 3, b"y" * 360), "no cell begins here")
    refuse(fake, lambda e: e.delete_key("k9"), "no cell begins here")


def test_free_space_that_is_in_use() -> None:
    """A value's data is marked free, and still named: nothing new is put there."""
    data = field(BUILT, value_cell(BUILT, "k20"), 8)
    image = bytearray(BUILT)
    (size,) = struct.unpack_from("<i", image, 4096 + data)
    struct.pack_into("<i", image, 4096 + data, -size)
    editor = Editor(image, NEW)
    for number in range(200):
        editor.set_value("k2", f"v{number}", 3, bytes([number]) * number)
    result = editor.finish(1)
    assert result[4096 + data : 4096 + data - size] == bytes(
        image[4096 + data : 4096 + data - size]
    )


def test_a_descriptor_that_counts_too_few_keys() -> None:
    security = field(BUILT, cell_of(BUILT, "k1\\s1"), SECURITY_CELL)
    assert field(BUILT, security, 12) == 10
    image = with_field(BUILT, security, 12, 1)
    refuse(image, lambda e: e.delete_key("k1"), "counts fewer keys")
    refuse(image, lambda e: e.set_security("k1\\s1", DEFAULT_SECURITY), "counts fewer keys")
    image = with_field(BUILT, security, 12, 0)
    refuse(image, lambda e: e.delete_key("k1"), "counts fewer keys")


@pytest.mark.parametrize("link", [4, 8])
def test_a_ring_that_is_broken(link: int) -> None:
    security = field(BUILT, cell_of(BUILT, "k1\\s1"), SECURITY_CELL)
    image = with_field(BUILT, security, link, security)
    refuse(image, lambda e: e.create_key("k1\\s1\\new"), "ring")
    refuse(image, lambda e: e.delete_key("k1"), "ring")
    refuse(image, lambda e: e.set_security("k1\\s1", SECURITY[2]), "ring")


@pytest.mark.parametrize(
    ("at", "number", "message"),
    [
        (SUBKEYS, 2, "not as long"),
        (SUBKEYS, 0xFFFF_FFFF, "not as long"),
        (SUBKEY_LIST, 0xFFFF_FFF8, "not inside"),
        (SUBKEY_LIST, 0x24, "no cell begins"),
        (VALUES, 0xFFFF_FFFF, "too small"),
        (VALUES, 2, "not inside|named|cell"),
        (VALUE_LIST, 0x7FFF_FFF8, "not inside"),
        (SECURITY_CELL, 0x20, "no security|another owner"),
    ],
)
def test_damage_in_what_is_deleted(at: int, number: int, message: str) -> None:
    image = with_field(BUILT, cell_of(BUILT, "k5"), at, number)
    refuse(image, lambda e: e.delete_key("k5"), message)
    if at != SECURITY_CELL:
        editor = Editor(image, NEW)
        editor.create_key("elsewhere")  # damage below a neighbour does not matter here
        assert editor.find("elsewhere") is not None


def test_too_many_elements_are_not_followed_for_ever() -> None:
    """Every key claims one long list of keys: followed twice, not thirty times."""
    editor = Editor(create("x", when=NEW), NEW)
    for number in range(900):
        editor.create_key(f"long\\k{number}")
    image = bytearray(editor.finish(1))
    listed = field(bytes(image), cell_of(bytes(image), "long"), SUBKEY_LIST)
    for key in list(Hive(bytes(image)).walk()):
        struct.pack_into("<I", image, 4100 + key.cell + SUBKEYS, 900)
        struct.pack_into("<I", image, 4100 + key.cell + SUBKEY_LIST, listed)
    began = time.perf_counter()
    editor = Editor(bytes(image), NEW)
    with pytest.raises(FormatError):
        editor.create_key("k1\\x")
    with pytest.raises(FormatError):
        editor.delete_key("k1")
    assert time.perf_counter() - began < SLOWEST


def test_what_is_made_of_a_damaged_hive_has_no_new_damage() -> None:
    image = with_field(BUILT, cell_of(BUILT, "k5"), VALUE_LIST, 0x7FFF_FFF8)
    editor = Editor(image, NEW)
    for number in range(30):
        if number != 5:
            editor.delete_key(f"k{number}")
    editor.create_key("new\\key")
    before, after = ({found.kind for found in problems(data)} for data in (image, editor.finish(1)))
    assert after <= before
