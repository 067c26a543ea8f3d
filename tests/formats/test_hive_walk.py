"""The fast walk against `Key`, which is careful: the same facts, the same refusals."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import hive_walk
from recoverykit.formats.hive import Hive, Key, read
from recoverykit.formats.hive_walk import WalkedKey, WalkedValue
from tests.builders.hive import Node, Tree, binary, build, dword, multi_sz, sealed, sz
from tests.formats.hives import hive_bytes, logs_of, samples, walk

TREE: Tree = {
    "": sz("default"),
    "Select": {"Current": dword(1)},
    "Services": {f"driver{n}": {"Start": dword(n), "ключ": sz(f"{n}.sys")} for n in range(40)},
    "big": {"a": binary(b"a" * 40_000), "b": binary(b"b" * 16_345), "c": binary(b"c" * 16_344)},
    "many": {f"k{number}": {} for number in range(1_100)},
    "class": Node({"ключ": {"Ärger": {"": multi_sz("a")}}}, class_name="name"),
}
IMAGE = build(TREE)
Walked = tuple[int, int, str, int, int, str | None, list[WalkedValue]]


def carefully(top: Key, damaged: list[FormatError] | None) -> Iterator[Walked]:
    """What a walk must give, from `Key` alone."""
    pending = [(top, 0)]
    while pending:
        key, depth = pending.pop()
        values, name, children = [], None, []
        try:
            for value in key.values(damaged):
                try:
                    values.append((value.name, value.type, value.data))
                except FormatError as error:
                    if damaged is None:
                        raise
                    damaged.append(error)
        except FormatError as error:
            if damaged is None:
                raise
            damaged.append(error)
        try:
            name = key.class_name
        except FormatError as error:
            if damaged is None:
                raise
            damaged.append(error)
        yield depth, key.cell, key.name, key.last_written_ticks, key.flags, name, values
        try:
            for child in key.subkeys(damaged):
                children.append((child, depth + 1))  # noqa: PERF401 - what came first is kept
        except FormatError as error:
            if damaged is None:
                raise
            damaged.append(error)
        pending += reversed(children)


def mutants(data: bytes, seed: str, count: int) -> Iterator[bytes]:
    """Cells with a few fields overwritten: by bytes, by offsets that mean something, by numbers."""
    rng = random.Random(seed)
    numbers = (0, 1, 0x20, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0005, 0xFFFF_FFFF)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            kind = rng.choice([b"nk", b"nk", b"vk", b"vk", b"lh", b"lf", b"ri", b"db"])
            found = data.find(kind, rng.randrange(4_096, len(data)))
            at = found if found >= 0 else rng.randrange(4_096, len(data) - 100)
            field = min(at - 4 + 2 * rng.randint(0, 40), len(data) - 4)
            other = rng.randrange(4_096, len(data) - 4) & ~3
            copied = struct.unpack_from("<I", data, other)[0]
            struct.pack_into("<I", mutant, field, rng.choice([*numbers, copied, copied, other]))
            mutant[field + rng.randrange(4)] = rng.randrange(256)
        yield bytes(mutant)


def told(damaged: list[FormatError]) -> list[str]:
    return sorted(str(error) for error in damaged)


# --- the same as `Key` --------------------------------------------------------------------


@pytest.mark.parametrize("name", samples())
def test_a_real_hive_is_walked_as_key_reads_it(name: str) -> None:
    """Dirty, damaged and truncated ones too, as far as they open at all."""
    try:
        hive = Hive(hive_bytes(name))
    except FormatError:
        assert name in {"ezreg_NotAHive", "yarp/TruncatedHive", "yarp/TruncatedDirtyHive"}
        return
    ours: list[FormatError] = []
    theirs: list[FormatError] = []
    for walked, expected in zip(hive.walk(ours), carefully(hive.root, theirs), strict=True):
        assert walked == expected
    assert told(ours) == told(theirs)


def test_a_recovered_hive_is_walked() -> None:
    name = "yarp/NewDirtyHive1__NewDirtyHive"
    hive, _ = read(hive_bytes(name), logs_of(name))
    assert list(hive.walk()) == list(carefully(hive.root, None))


@pytest.mark.parametrize("minor", [2, 3, 4, 5, 6])
def test_every_version_is_walked(minor: int) -> None:
    hive = Hive(build(TREE, minor=minor))
    assert list(hive.walk()) == list(carefully(hive.root, None))


def test_a_key_comes_before_its_children_in_the_lists_order() -> None:
    keys = list(Hive(IMAGE).walk())
    assert [(key.depth, key.name) for key in keys if key.depth < 2] == [
        (0, "ROOT"),
        *((1, name) for name in ("big", "class", "many", "Select", "Services")),
    ]
    assert [key.name for key in keys[keys.index(_named(keys, "class")) :][:3]] == [
        "class",
        "ключ",
        "Ärger",
    ]
    assert _named(keys, "class").class_name == "name"
    assert _named(keys, "Select").values == [("Current", 4, b"\1\0\0\0")]


def _named(keys: list[WalkedKey], name: str) -> WalkedKey:
    return next(key for key in keys if key.name == name)


def test_a_walk_can_begin_at_any_key() -> None:
    top = Hive(IMAGE).find("class\\ключ")
    assert top is not None
    assert [(key.depth, key.name, len(key.values)) for key in top.walk()] == [
        (0, "ключ", 0),
        (1, "Ärger", 1),
    ]


@pytest.mark.parametrize(
    ("name", "count"),
    [("built", 300), ("bcd_win10iso_efi", 300), ("yarp/System_Delta", 60), ("yarp/HealedHive", 60)],
)
def test_mutated_hives_are_walked_as_key_reads_them(name: str, count: int) -> None:
    data = IMAGE if name == "built" else hive_bytes(name)
    compared = 0
    for mutant in mutants(data, f"walk {name}", count):
        try:
            fast, slow = Hive(mutant), Hive(mutant)
        except FormatError:
            continue
        ours: list[FormatError] = []
        theirs: list[FormatError] = []
        walked = list(fast.walk(ours))
        expected = list(carefully(slow.root, theirs))
        if any("claims bytes" in str(error) for error in (*ours, *theirs)):
            continue  # both give up, at different points: the walk counts small things as well
        assert walked == expected
        assert told(ours) == told(theirs)
        compared += 1
    assert compared > count // 3


@pytest.mark.parametrize("name", ["bcd_win10iso_efi", "yarp/System_Delta"])
def test_all_a_mutated_key_can_be_asked_ends_in_an_answer_or_one_kind_of_error(name: str) -> None:
    questions: list[Callable[[Key], object]] = [
        lambda key: key.security,
        lambda key: key.link_target,
        lambda key: (key.layer, key.inherits_class, key.predefined_handle, key.flags),
        lambda key: key.values_of("Element", "", "ключ"),
        lambda key: [value.is_tombstone for value in key.values()],
    ]
    refused = answered = 0
    for mutant in mutants(hive_bytes(name), f"asked {name}", 60):
        with suppress(FormatError):
            for key in walk(Hive(mutant)):
                for question in questions:
                    try:
                        question(key)
                        answered += 1
                    except FormatError:
                        refused += 1
    assert refused
    assert answered > refused


# --- hostile hives ------------------------------------------------------------------------


def changed(path: str, at: int, form: str, *numbers: int | bytes) -> bytes:
    """IMAGE with fields of one key's cell overwritten."""
    key = Hive(IMAGE).find(path)
    assert key is not None
    image = bytearray(IMAGE)
    struct.pack_into(form, image, key.offset + at, *numbers)
    return bytes(image)


def nk_of(path: str) -> tuple[int, ...]:
    key = Hive(IMAGE).find(path)
    assert key is not None
    return struct.unpack_from("<13I", IMAGE, key.offset + 16)  # from access bits to class name


@pytest.mark.parametrize(
    ("image", "problem", "lost"),
    [
        (changed("Select", 4, "<2s", b"kn"), "no key here", {"Select"}),
        (changed("class", 20, "<I", 0x28), "has another parent", {"class", "ключ", "Ärger"}),
        (changed("class\\ключ", 76, "<H", 600), "its name does not fit", {"ключ", "Ärger"}),
        (changed("class", 32, "<I", 0x7FFF_FFF8), "not inside a sound hive bin", {"ключ", "Ärger"}),
        (changed("class", 24, "<I", 0x7FFF_FFFF), "claims bytes", {"ключ", "Ärger"}),
        (changed("Select", 40, "<I", 0x7FFF_FFFF), "claims bytes", set()),
        (changed("Select", 44, "<I", 0x24), "not inside a sound hive bin", set()),
        (changed("class", 52, "<I", 0x7FFF_FFF8), "class name", set()),
    ],
)
def test_what_is_damaged_is_recorded_and_the_rest_is_read(
    image: bytes, problem: str, lost: set[str]
) -> None:
    damaged: list[FormatError] = []
    names = {key.name for key in Hive(image).walk(damaged)}
    assert {key.name for key in Hive(IMAGE).walk()} - names == lost
    assert [problem in str(error) for error in damaged] == [True]
    assert damaged[0].__traceback__ is None
    with pytest.raises(FormatError, match=problem):
        list(Hive(image).walk())


def test_a_key_that_is_its_own_child_is_met_once() -> None:
    """The root is its own parent in this hive: only the rule about roots stops it."""
    (where,) = struct.unpack_from("<I", IMAGE, Hive(IMAGE).root.offset + 32)
    image = bytearray(IMAGE)
    struct.pack_into("<I", image, 4096 + where + 8, Hive(IMAGE).base.root_cell)
    assert Hive(bytes(image)).root._nk[4] == Hive(IMAGE).base.root_cell
    with pytest.raises(FormatError, match="has another parent"):
        list(Hive(bytes(image)).walk())


def test_a_list_that_names_a_key_twice_is_refused() -> None:
    (where,) = struct.unpack_from("<I", IMAGE, Hive(IMAGE).root.offset + 32)
    image = bytearray(IMAGE)
    image[4096 + where + 16 : 4096 + where + 20] = image[4096 + where + 8 : 4096 + where + 12]
    damaged: list[FormatError] = []
    assert [key.name for key in Hive(bytes(image)).walk(damaged)] == ["ROOT"]
    assert told(damaged) == ["subkey list at 0x1020: names one key twice"]


def test_512_levels_are_walked_and_no_more() -> None:
    def nested(levels: int) -> Hive:
        tree: Tree = {}
        for _ in range(levels):
            tree = {"l": tree}
        return Hive(build(tree))

    assert max(key.depth for key in nested(512).walk()) == 512
    with pytest.raises(FormatError, match="deeper than 512 levels"):
        list(nested(513).walk())
    deep = nested(513).find("\\".join("l" * 500))
    assert deep is not None
    damaged: list[FormatError] = []
    assert max(key.depth for key in deep.walk(damaged)) == 12  # counted from the root all the same
    assert len(damaged) == 1


def test_handles_are_no_values() -> None:
    """A predefined key holds a handle where others have the number of their values."""
    image = bytearray(changed("Select", 40, "<I", 0x8000_0002))
    key = Hive(IMAGE).find("Select")
    assert key is not None
    image[key.offset + 6] |= 0x40
    assert _named(list(Hive(bytes(image)).walk()), "Select").values == []


def shared_values() -> bytes:
    """1,000 keys that all claim one list of 16 values of 1,000 bytes: 16 MB from 200 KB."""
    tree: Tree = {f"k{n:04}": {"v": dword(n)} for n in range(1_000)}
    owner: Tree = {f"v{n}": binary(bytes(1_000)) for n in range(16)}
    image = bytearray(build({"keys": tree, "owner": owner}))
    keys, shared = Hive(bytes(image)).find("keys"), Hive(bytes(image)).find("owner")
    assert keys is not None
    assert shared is not None
    claim = struct.unpack_from("<II", image, shared.offset + 40)
    for each in list(keys.subkeys()):
        struct.pack_into("<II", image, each.offset + 40, *claim)
    return bytes(image)


def test_no_more_comes_out_than_the_hive_has_room_for() -> None:
    image = shared_values()
    damaged: list[FormatError] = []
    size = sum(len(data) for key in Hive(image).walk(damaged) for _, _, data in key.values)
    assert len(image) // 3 < size <= len(image)
    assert [error.problem for error in damaged] == ["claims bytes that belong to other cells"]
    with pytest.raises(FormatError, match="claims bytes that belong to other cells"):
        list(Hive(image).walk())


def test_one_value_named_many_times_does_not_multiply() -> None:
    """A list of 60,000 times the same value of 1,000 bytes: 60 MB from 300 KB."""
    image = bytearray(build({"v": binary(bytes(1_000)), "space": binary(bytes(240_000))}, minor=3))
    value, space = Hive(bytes(image)).root.values()
    struct.pack_into("<60000I", image, space.data_offset, *[value.offset - 4096] * 60_000)
    where = space.data_offset - 4 - 4096
    struct.pack_into("<II", image, Hive(bytes(image)).root.offset + 40, 60_000, where)
    with pytest.raises(FormatError, match="claims bytes that belong to other cells"):
        list(Hive(bytes(image)).walk())


def test_names_of_overlapping_values_do_not_pile_up() -> None:
    """3,000 values in 72 KB, each with a name of 20 KB that lies over the next ones."""
    image = bytearray(build({"v": binary(bytes(110_000))}, minor=3))
    start = (
        next(Hive(bytes(image)).root.values()).data_offset + 4
    )  # a cell begins at multiples of 8
    list_at, cells = start + 92_000, [start + 24 * number - 4_096 for number in range(3_000)]
    for cell in cells:
        head = (-21_000, b"vk", 20_000, 5, 0xFFFF_FFFF, 3, 1)
        struct.pack_into("<i2sHIIIH", image, 4_096 + cell, *head)
    struct.pack_into("<i3000I", image, list_at, -12_008, *cells)
    claim = (3_000, list_at - 4_096)
    struct.pack_into("<II", image, Hive(bytes(image)).root.offset + 40, *claim)
    hive, damaged = Hive(bytes(image)), list[FormatError]()
    tracemalloc.start()
    assert len(list(hive.walk(damaged))) <= 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1 < len(damaged) < 20
    assert damaged[-1].problem == "claims bytes that belong to other cells"
    assert peak < 10 * len(image)


def test_a_walk_gives_up_where_nothing_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hive_walk, "MOST_DAMAGE", 50)
    image = bytearray(IMAGE)
    for key in Hive(IMAGE).walk():
        if key.depth == 2:
            image[4096 + key.cell + 4] ^= 1
    damaged: list[FormatError] = []
    list(Hive(bytes(image)).walk(damaged))
    assert [error.problem for error in damaged[-2:]] == ["no key here", "more than 50 errors"]
    assert len(damaged) == 51


def test_a_hive_of_nothing_but_lies_is_walked_in_bounded_time() -> None:
    """Every key of a flat list claims the list of all: quickly refused, one by one."""
    image = bytearray(build({f"k{n:05}": {} for n in range(20_000)}))
    root = Hive(bytes(image)).root
    claim = struct.unpack_from("<I4xI", image, root.offset + 24)
    for key in list(root.subkeys()):
        struct.pack_into("<I4xI", image, key.offset + 24, *claim)
    damaged: list[FormatError] = []
    began = time.process_time()
    keys = sum(1 for _ in Hive(bytes(image)).walk(damaged))
    assert keys <= 20_001
    assert damaged
    assert time.process_time() - began < 5


def test_the_header_alone_decides_where_bins_end() -> None:
    """Keys behind the size that the header gives are not read, though the file holds them."""
    head = bytearray(IMAGE)
    struct.pack_into("<I", head, 40, 4096)
    damaged: list[FormatError] = []
    keys = list(Hive(bytes(sealed(head))).walk(damaged))
    assert 1 <= len(keys) < 1_100
    assert damaged
