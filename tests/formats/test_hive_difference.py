"""Differences found while two hives are walked, against putting both into words first."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from recoverykit.formats.hive import Hive, fold
from recoverykit.formats.hive_create import create
from recoverykit.formats.hive_difference import differences
from recoverykit.formats.hive_editor import Editor
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange
from tests.builders.hive import Raw, Tree, build, dword
from tests.formats.hive_steps import SECURITY, Seeded, steps

NEW = datetime(2026, 5, 4, tzinfo=UTC)
State = tuple[RegistryKey, dict[str, tuple[str, RegistryData]]]


def said(image: bytes) -> dict[str, tuple[str, State]]:
    """A hive in words: by folded path its path, the key, its values by folded name."""
    return {fold(path): (path, found) for path, found in _said(Hive(image))}


def _said(hive: Hive) -> Iterator[tuple[str, State]]:
    keys = [hive.root]
    for key in keys:
        values = {fold(v.name): (v.name, RegistryData(v.type, bytes(v.data))) for v in key.values()}
        yield key.path, (RegistryKey(key.class_name or "", key.security or b""), values)
        keys += key.subkeys()


def slowly(before: bytes, after: bytes) -> set[RegistryChange]:
    old, new = said(before), said(after)
    found = set[RegistryChange]()
    for folded in old.keys() | new.keys():
        path = (old.get(folded) or new[folded])[0]
        left, lefts = old[folded][1] if folded in old else (None, {})
        right, rights = new[folded][1] if folded in new else (None, {})
        if left != right:
            found.add(KeyChange(path, left, right))
        for name in lefts.keys() | rights.keys():
            spelt = (lefts.get(name) or rights[name])[0]
            was = lefts[name][1] if name in lefts else None
            now = rights[name][1] if name in rights else None
            if was != now:
                found.add(ValueChange(path, spelt, was, now))
    return found


def edited(image: bytes, rng: random.Random, count: int) -> bytes:
    editor = Editor(image, NEW)
    paths = [path for path, _ in said(image).values()]
    made = sum(step.done(editor) for step in steps(Seeded(rng), lambda: paths, count))
    assert made or count < 5
    return editor.finish(9)


@pytest.mark.parametrize("minor", [3, 5])
def test_after_random_edits(minor: int) -> None:
    rng = random.Random(minor)
    image, most = create("x", when=NEW, minor=minor), 0
    for round_ in range(60):
        other = edited(image, rng, 1 + round_ % 12)
        for left, right in ((image, other), (other, image), (image, image)):
            found = differences(Hive(left), Hive(right))
            assert len(found) == len(set(found))
            assert set(found) == slowly(left, right)
            most = max(most, len(found))
        image = other if round_ % 10 else create("x", when=NEW, minor=minor)
    assert most > 10


def test_of_trees_that_have_little_in_common() -> None:
    rng = random.Random(2)
    names = ["a", "B", "b b", "c", "ключ", "z", "_"]

    def tree(depth: int) -> Tree:
        content: dict[str, Tree | Raw] = {
            name: dword(rng.randrange(3)) for name in rng.sample(names, rng.randrange(4))
        }
        for name in rng.sample(names, rng.randrange(5)) if depth else ():
            content[f"{name}{name.upper()}"] = tree(depth - 1)
        return content

    for _ in range(60):
        left, right = build(tree(3)), build(tree(3))
        assert set(differences(Hive(left), Hive(right))) == slowly(left, right)


def swapped(image: bytes, path: str) -> bytes:
    """The list of a key in reverse order: nothing that Windows would write."""
    key = Hive(image).find(path)
    assert key is not None
    children = list(key.subkeys())
    (listed,) = struct.unpack_from("<I", image, key.offset + 4 + 28)
    at, data = 4096 + listed + 8, bytearray(image)
    entries = [image[at + 8 * index : at + 8 * index + 8] for index in range(len(children))]
    data[at : at + 8 * len(children)] = b"".join(reversed(entries))
    return bytes(data)


def test_lists_out_of_order() -> None:
    left = build({"p": {"a": {"x": {}}, "b": {"v": dword(1)}, "c": {}, "d": {}}})
    right = build({"p": {"a": {"x": {}}, "b": {"v": dword(2)}, "d": {"y": {}}, "e": {}}})
    wanted = slowly(left, right)
    assert len(wanted) == 4
    assert differences(Hive(left), Hive(swapped(left, "p"))) == []
    for one in (left, swapped(left, "p")):
        for other in (right, swapped(right, "p")):
            assert set(differences(Hive(one), Hive(other))) == wanted


def test_two_keys_of_one_name() -> None:
    """Only in damaged hives: what is alike at one place is not missed at the other."""
    image = bytearray(build({"a": {"v": dword(1)}, "b": {"v": dword(2)}, "c": {}}))
    twin = Hive(bytes(image)).find("b")
    assert twin is not None
    image[twin.offset + 80] = ord("A")
    other = bytearray(image)
    value = twin.value("v")
    assert value is not None
    other[value.data_offset] = 3
    assert differences(Hive(bytes(image)), Hive(bytes(image))) == []
    (found,) = differences(Hive(bytes(image)), Hive(bytes(other)))
    assert (found.key.upper(), found.after) == ("A", RegistryData(4, b"\3\0\0\0"))


def test_a_descriptor_alone() -> None:
    editor = Editor(create("x", when=NEW, security=SECURITY[0]), NEW)
    editor.create_key("a\\b")
    before = editor.finish(2)
    editor.set_security("a", SECURITY[1])
    after = editor.finish(3)
    old, new = RegistryKey("", SECURITY[0]), RegistryKey("", SECURITY[1])
    assert differences(Hive(before), Hive(after)) == [KeyChange("a", old, new)]
