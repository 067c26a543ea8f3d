"""Only a number changed: what the bytes alone can prove, and what they must not."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key
from recoverykit.formats.hive_edit import differences, edit
from recoverykit.formats.hive_files import Patched, difference, overlaid
from recoverykit.formats.hive_proof import differ_only_in_numbers
from recoverykit.formats.hive_sharing import mentions
from recoverykit.model import RegistryChange, RegistryData, ValueChange
from tests.builders.hive import Tree, binary, build, dword, sealed
from tests.formats.hives import hive_bytes

NOW = datetime(2026, 11, 22, 10, 11, 12, tzinfo=UTC)
TREE: Tree = {
    "a": {"Start": dword(1), "Type": dword(2), "sub": {}, "sub2": {"x": dword(1)}},
    "b": {"Start": dword(1), "big": binary(b"x" * 400)},
    "": {},
}
IMAGE = build({"": dword(1), **{name: tree for name, tree in TREE.items() if name}})
ONE, FOUR = (RegistryData(4, struct.pack("<I", number)) for number in (1, 4))
START = ValueChange("a", "Start", ONE, FOUR)


def key_of(image: bytes, path: str) -> Key:
    key = Hive(image).find(path)
    assert key is not None
    return key


def vk(image: bytes, path: str, name: str) -> int:
    """File offset of a value's cell."""
    value = key_of(image, path).value(name)
    assert value is not None
    return value.offset


def proven(before: bytes, after: bytes, *changes: RegistryChange) -> bool:
    search = partial(mentions, before, end=len(before))
    patched = Patched(before, difference(before, after))
    return differ_only_in_numbers(Hive(before), patched, changes, search)


def with_u32(image: bytes, at: int, number: int) -> bytes:
    return image[:at] + struct.pack("<I", number) + image[at + 4 :]


def changed(image: bytes) -> bytes:
    """Start of `a` is 4, the header has other numbers."""
    data = bytearray(with_u32(image, vk(image, "a", "Start") + 12, 4))
    struct.pack_into("<II", data, 4, 7, 7)
    return bytes(sealed(data))


def test_a_number_is_proven_in_place() -> None:
    assert proven(IMAGE, changed(IMAGE), START)
    edited = edit(IMAGE, [START], sequence=6, when=NOW)
    assert isinstance(edited.content, Patched)
    assert edited.numbers_only
    assert [piece.offset for piece in edited.content.pieces] == [0, 4096]
    assert proven(IMAGE, edited.image, START)


def test_of_a_large_hive_the_same_without_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    path = "ControlSet001\\Services\\Tcpip"
    start = key_of(image, path).value("Start")
    assert start is not None
    change = ValueChange(path, "start", RegistryData(4, start.data), FOUR)
    with monkeypatch.context() as patch:
        patch.setattr(Hive, "walk", None)
        edited = edit(image, [change], sequence=6, when=NOW)
    assert isinstance(edited.content, Patched)
    assert sum(len(piece.after) for piece in edited.content.pieces) <= 5 * 512
    assert differences(Hive(image), Hive(edited.image)) == [
        ValueChange(path, "Start", change.before, change.after)
    ]


@pytest.mark.parametrize(
    ("at", "number"),
    [
        pytest.param(vk(IMAGE, "b", "Start") + 12, 4, id="another key's value"),
        pytest.param(vk(IMAGE, "a", "Type") + 12, 4, id="another value"),
        pytest.param(vk(IMAGE, "a", "Start") + 12, 3, id="another number"),
        pytest.param(vk(IMAGE, "a", "Start") + 16, 3, id="its type"),
        pytest.param(vk(IMAGE, "a", "Start") + 8, 0x8000_0003, id="its size"),
        pytest.param(vk(IMAGE, "a", "Start") + 24, 0x5858_5858, id="its name"),
        pytest.param(key_of(IMAGE, "a").offset + 40, 1, id="how many values there are"),
        pytest.param(key_of(IMAGE, "a").offset + 80, 0x58, id="the key's name"),
        pytest.param(8, 6, id="not clean"),
        pytest.param(36, 0x40, id="another root"),
        pytest.param(4096 + 28, 1, id="the header of a bin"),
        pytest.param(len(IMAGE) - 4, 1, id="free space"),
    ],
)
def test_anything_else_is_not_proven(at: int, number: int) -> None:
    assert not proven(IMAGE, with_u32(changed(IMAGE), at, number), START)


@pytest.mark.parametrize(
    "change",
    [
        ValueChange("a", "Start", ONE, None),
        ValueChange("a", "new", None, ONE),
        ValueChange("nothing", "Start", ONE, FOUR),
        ValueChange("a", "Start", ONE, RegistryData(3, FOUR.data)),
        ValueChange("a", "Start", ONE, RegistryData(4, b"\4\0")),
        ValueChange("b", "big", RegistryData(3, b"x" * 400), RegistryData(3, b"y" * 400)),
    ],
)
def test_other_kinds_of_changes_are_not_proven(change: ValueChange) -> None:
    assert not proven(IMAGE, changed(IMAGE), change)


def test_the_root_has_no_owner_that_could_be_found() -> None:
    """Its values are proven by walking, and can be edited like others."""
    change = ValueChange("", "", ONE, FOUR)
    edited = edit(IMAGE, [change], sequence=6, when=NOW)
    assert edited.numbers_only
    assert not proven(IMAGE, edited.image, change)
    assert differences(Hive(IMAGE), Hive(edited.image)) == [change]


def test_many_numbers_are_proven_by_walking() -> None:
    tree: Tree = {f"k{number}": {"v": dword(1)} for number in range(40)}
    image = build(tree)
    changes = [ValueChange(f"k{number}", "v", ONE, FOUR) for number in range(40)]
    edited = edit(image, changes, sequence=6, when=NOW)
    assert edited.numbers_only
    assert not proven(image, edited.image, *changes)
    assert set(differences(Hive(image), Hive(edited.image))) == set(changes)
    few = edit(image, changes[:5], sequence=6, when=NOW)
    assert isinstance(few.content, Patched)


# --- hives where one change would be two ------------------------------------------------------


def value_list(image: bytes, path: str) -> int:
    """File offset of where a key names its list of values."""
    return key_of(image, path).offset + 4 + 40


def shared_list(image: bytes) -> bytes:
    (listed,) = struct.unpack_from("<I", image, value_list(image, "a"))
    return with_u32(image, value_list(image, "b"), listed)


def shared_value(image: bytes) -> bytes:
    (listed,) = struct.unpack_from("<I", image, value_list(image, "b"))
    return with_u32(image, 4100 + listed, vk(image, "a", "Start") - 4096)


def value_as_data(image: bytes) -> bytes:
    """The data of another value is the cell of this one."""
    return with_u32(image, vk(image, "b", "big") + 12, vk(image, "a", "Start") - 4096)


def key_as_data(image: bytes) -> bytes:
    """The data of another value is the key's cell: its time is part of that."""
    data = with_u32(image, vk(image, "b", "big") + 12, key_of(image, "a").cell)
    return with_u32(data, vk(image, "b", "big") + 8, 40)


def key_as_data_without_a_child(image: bytes) -> bytes:
    """The same, and one of the key's children names another parent: the sum is right."""
    return with_u32(key_as_data(image), key_of(image, "a\\sub").offset + 20, 0x20)


@pytest.mark.parametrize(
    "damage",
    [shared_list, shared_value, value_as_data, key_as_data, key_as_data_without_a_child],
)
def test_what_has_two_owners_is_neither_proven_nor_changed(
    damage: Callable[[bytes], bytes],
) -> None:
    image = damage(IMAGE)
    try:
        assert not proven(image, changed(image), START)
    except FormatError as error:
        assert "another parent" in str(error)  # noqa: PT017 - the last one may be refused so
    with pytest.raises(FormatError, match=r"another owner|another parent"):
        edit(image, [START], sequence=6, when=NOW)


# --- sectors ----------------------------------------------------------------------------------


def test_sectors_make_the_image() -> None:
    rng = random.Random(4)
    before = rng.randbytes(20_000)
    for _ in range(300):
        after, written = bytearray(before), dict[int, bytes]()
        for _ in range(rng.randrange(6)):
            at = rng.choice([0, 500, 4090, 4096, 9000, rng.randrange(19_000)])
            length = rng.randrange(1, min(600, 4096 - at) if at < 4096 else 600)
            written.pop(at, None)
            written[at] = rng.choice([rng.randbytes(length), before[at : at + length]])
            after[at : at + length] = written[at]
        expected = bytearray(before)
        for at, data in written.items():
            expected[at : at + len(data)] = data
        patched = overlaid(before, written)
        assert patched.whole() == expected
        assert [piece.before != piece.after for piece in patched.pieces] == [True] * len(
            patched.pieces
        )
        assert all(piece.offset % 512 == 0 for piece in patched.pieces)
        for _ in range(10):
            at, length = rng.randrange(20_000), rng.randrange(3000)
            assert patched.at(at, length) == expected[at : at + length]
