"""Subkeys and values found by name in lists that Windows would not have written."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from itertools import product

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import create
from recoverykit.formats.hive_editor import Editor
from recoverykit.formats.upcase import name_hash
from tests.builders.hive_check import problems

NEW = datetime(2026, 5, 4, tzinfo=UTC)


def made(names: list[str], *, minor: int = 5, values: bool = False) -> bytes:
    editor = Editor(create("x", when=NEW, minor=minor), NEW)
    editor.create_key("p")
    for name in names:
        if values:
            editor.set_value("p", name, 4, b"1234")
        else:
            editor.create_key(f"p\\{name}")
    return editor.finish(2)


def cell_of(image: bytes, path: str) -> int:
    key = Hive(image).find(path)
    assert key is not None
    return key.cell


def leaf(image: bytes, path: str) -> int:
    """File offset of the first element of a key's list."""
    (cell,) = struct.unpack_from("<I", image, 4100 + cell_of(image, path) + 28)
    return int(4104 + cell)


def alike() -> list[str]:
    """Names of one hash: 'b' x 37 + 'a' is as much as 'a' x 37 + 'a' + 37."""
    found: dict[int, list[str]] = {}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+%&!{}()[]~^"
    for chars in product(letters, repeat=2):
        found.setdefault(name_hash("".join(chars)), []).append("".join(chars))
    return max(found.values(), key=len)


def test_names_of_one_hash() -> None:
    names = alike()
    assert len(names) > 1
    image = made(names)
    editor = Editor(image, NEW)
    for number, name in enumerate(names):
        editor.set_value(f"p\\{name.lower()}", "v", 4, struct.pack("<I", number))
    result = editor.finish(3)
    for number, name in enumerate(names):
        key = Hive(result).find(f"p\\{name}")
        assert key is not None
        assert [value.dword for value in key.values()] == [number]


@pytest.mark.parametrize("minor", [3, 5])
def test_hashes_and_hints_that_are_wrong(minor: int) -> None:
    image = bytearray(made(["a", "b", "c"], minor=minor))
    at = leaf(bytes(image), "p")
    for index in range(3):
        struct.pack_into("<I", image, at + 8 * index + 4, 0x1234)
    editor = Editor(bytes(image), NEW)
    for name in "bca":
        editor.set_value(f"p\\{name}", name, 4, b"1234")
    with pytest.raises(FormatError, match="does not exist"):
        editor.set_value("p\\d", "x", 4, b"1234")
    keys = Hive(editor.finish(3)).find("p")
    assert keys is not None
    assert [[v.name for v in key.values()] for key in keys.subkeys()] == [["a"], ["b"], ["c"]]


def test_a_subkey_behind_the_wanted_one_may_be_damaged() -> None:
    image = bytearray(made(["a", "b", "c"], minor=3))
    struct.pack_into("<2s", image, 4100 + cell_of(bytes(image), "p\\b"), b"xx")
    editor = Editor(bytes(image), NEW)
    editor.set_value("p\\a", "v", 4, b"1234")
    for _ in range(2):
        for name in ("b", "c", "d"):
            with pytest.raises(FormatError, match="no key here"):
                editor.set_value(f"p\\{name}", "v", 4, b"1234")
        editor.set_value("p\\a", "v", 4, b"4321")


def value_cell(image: bytes, index: int) -> int:
    (listed,) = struct.unpack_from("<I", image, 4100 + cell_of(image, "p") + 40)
    (cell,) = struct.unpack_from("<I", image, 4100 + listed + 4 * index)
    return int(cell)


def test_a_value_behind_the_wanted_one_may_be_damaged() -> None:
    image = bytearray(made(["a", "b", "c"], values=True))
    struct.pack_into("<2s", image, 4100 + value_cell(bytes(image), 1), b"xx")
    editor = Editor(bytes(image), NEW)
    editor.set_value("p", "A", 4, b"4321")
    for _ in range(2):
        for name in ("b", "c", "d"):
            with pytest.raises(FormatError, match="no value here"):
                editor.set_value("p", name, 4, b"1234")
    editor.delete_value("p", "a")


def test_values_of_one_name_go_one_after_the_other() -> None:
    image = bytearray(made(["a", "b", "c", "d"], values=True))
    for index in (2, 3):  # c and d are called b as well
        image[4100 + value_cell(bytes(image), index) + 20] = ord("B")
    editor = Editor(bytes(image), NEW)
    editor.set_value("p", "b", 4, b"1111")
    editor.delete_value("p", "b")
    editor.set_value("p", "b", 4, b"3333")
    editor.set_value("p", "new", 4, b"new!")
    editor.delete_value("p", "b")
    editor.set_value("p", "b", 4, b"4444")
    key = Hive(editor.finish(3)).find("p")
    assert key is not None
    assert [(v.name, v.data) for v in key.values()] == [
        ("a", b"1234"),
        ("B", b"4444"),
        ("new", b"new!"),
    ]
    editor.delete_value("p", "b")
    with pytest.raises(FormatError, match="does not exist"):
        editor.delete_value("p", "b")
    assert problems(editor.finish(4)) == []


def test_a_list_that_is_full_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recoverykit.formats.hive_value_list.MOST", 3)
    image = made(["a", "b", "c"], values=True)
    editor = Editor(image, NEW)
    with pytest.raises(FormatError, match="3 at most"):
        editor.set_value("p", "d", 4, b"1234")
    editor.set_value("p", "c", 4, b"12345678")
    editor.delete_value("p", "c")
    editor.set_value("p", "d", 4, b"1234")
    assert problems(editor.finish(3)) == []
