"""What bytes of a value mean, and names that no encoding can write."""

from __future__ import annotations

import json

import pytest

from recoverykit import registry_show
from recoverykit.formats.hive import Hive
from recoverykit.model import RegistryData
from recoverykit.registry import Reading
from recoverykit.registry_names import Place
from tests.builders import hive as builder


def wide(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        (RegistryData(4, b"\1\2\0\0"), 0x201),
        (RegistryData(5, b"\0\0\2\1"), 0x201),
        (RegistryData(11, b"\0\0\0\0\1\0\0\0"), 1 << 32),
        (RegistryData(4, b"\1"), None),
        (RegistryData(11, b"\1\0\0\0"), None),
        (RegistryData(1, wide("text\0")), "text"),
        (RegistryData(1, wide("text")), "text"),
        (RegistryData(1, wide("a\0b\0")), "a"),
        (RegistryData(1, b"a"), None),
        (RegistryData(2, wide("%x%\0")), "%x%"),
        (RegistryData(6, wide("\\Registry\\Machine")), "\\Registry\\Machine"),
        (RegistryData(1, wide("\ud800\0")), "\ud800"),
        (RegistryData(7, wide("a\0b\0\0")), ["a", "b"]),
        (RegistryData(7, wide("\0")), []),
        (RegistryData(7, b""), []),
        (RegistryData(7, wide("a\0b")), ["a", "b"]),
        (RegistryData(7, wide("a\0\0b\0\0")), ["a"]),
        (RegistryData(3, b"\1"), None),
        (RegistryData(0x12345, wide("a\0")), None),
    ],
)
def test_what_bytes_mean(data: RegistryData, meaning: object) -> None:
    assert registry_show.decoded(data) == meaning


def reading(tree: builder.Tree, key: str) -> Reading:
    hive = Hive(builder.build(tree, minor=3))
    found = hive.find(key)
    assert found is not None
    return Reading("/x:/Windows", Place("h", key, "HKEY_LOCAL_MACHINE\\T"), found, ())


def test_lone_surrogates_survive_json() -> None:
    tree: builder.Tree = {"k": {"\ud800v": builder.Raw(1, wide("\udc00\0")), "\udfff": {}}}
    shown = reading(tree, "k")
    text = registry_show.to_json(shown, registry_show.values(shown, None))
    assert text.isascii()
    found = json.loads(text)
    (value,) = found["values"]
    assert (value["name"], value["decoded"], value["data"]) == ("\ud800v", "\udc00", "00dc0000")
    assert found["subkeys"] == ["\udfff"]
    for_people = registry_show.to_text(shown, registry_show.values(shown, None))
    assert "\\ud800v" in for_people
    assert for_people.encode()


def test_a_listing_is_short_and_one_value_is_whole() -> None:
    shown = reading({"k": {"v": builder.binary(bytes(1000))}}, "k")
    values = registry_show.values(shown, None)
    assert "(2000 characters)" in registry_show.to_text(shown, values)
    assert "00" * 1000 in registry_show.to_text(shown, values, one=True)


def test_classes_links_and_unknown_types() -> None:
    tree: builder.Tree = {"k": builder.Node({"v": builder.Raw(0x2A, b"\1")}, class_name="Shell")}
    shown = reading(tree, "k")
    lines = registry_show.to_text(shown, registry_show.values(shown, None)).splitlines()
    assert lines[2:] == ["    class Shell", "    v  0x2a           01"]


def test_an_export_goes_down_the_tree() -> None:
    tree: builder.Tree = {"a": {"b": {"c": {}}, "d": {"v": builder.dword(1)}}, "e": {}}
    paths = [key.path for key in registry_show.exported(reading(tree, "a"))]
    root = "HKEY_LOCAL_MACHINE\\T\\a"
    assert paths == [root, f"{root}\\b", f"{root}\\b\\c", f"{root}\\d"]
