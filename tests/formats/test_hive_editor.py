"""The editor, change by change: what is written, what is refused, what space is used again."""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive import Hive, Key
from recoverykit.formats.hive_create import DEFAULT_SECURITY, create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive import Node, Tree, binary, build, dword, sz
from tests.builders.hive_check import problems
from tests.conftest import need
from tests.formats.hive_model import facts

OLD, NEW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 5, 4, tzinfo=UTC)
USERS = DEFAULT_SECURITY.replace(b"\x20\x02\0\0", b"\x21\x02\0\0")
TREE: Tree = {
    "Select": {"Current": dword(1), "": sz("default")},
    "Services": {
        "acme": Node({"Start": dword(0), "Parameters": {"a": {"b": {}}}}, class_name="class"),
        "disk": {"Start": dword(0)},
    },
    "big": {"big": binary(b"b" * 40_000), "middle": binary(b"m" * 500)},
}
BUILT = build(TREE, when=OLD)


def edited(change: Callable[[Editor], None], image: bytes = BUILT) -> bytes:
    editor = Editor(image, NEW)
    change(editor)
    result = editor.finish(7)
    assert kinds(result) <= kinds(image)
    return result


def kinds(image: bytes) -> set[str]:
    """The builder leaves the record of the longest class name zero; hivex joins no free cells."""
    found = {problem.kind for problem in problems(image)}
    assert found <= {"record of the largest class_name too small", "free cells not joined"}
    return found


def key_of(image: bytes, path: str) -> Key:
    key = Hive(image).find(path)
    assert key is not None
    return key


def extents(image: bytes) -> list[tuple[int, int]]:
    """Where the data of all values of two keys lies."""
    keys = [key_of(image, path) for path in ("Select", "big")]
    return [piece for key in keys for value in key.values() for piece in value.extents]


def touched(image: bytes) -> set[str]:
    return {path for path, found in facts(image).items() if found[0] == to_filetime(NEW)}


# --- which keys carry the new time ----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        (lambda e: e.set_value("Select", "Current", 4, b"\2\0\0\0"), {"Select"}),
        (lambda e: e.set_value("Select", "Default", 4, b"\2\0\0\0"), {"Select"}),
        (lambda e: e.delete_value("Select", ""), {"Select"}),
        (lambda e: e.create_key("Select\\a\\b"), {"Select", "Select\\a", "Select\\a\\b"}),
        (lambda e: e.create_key("services\\ACME"), set()),
        (lambda e: e.delete_key("Services\\acme"), {"Services"}),
        (lambda e: e.rename_key("Services\\acme", "zeta"), {"Services", "Services\\zeta"}),
        (lambda e: e.set_security("Services\\acme", USERS), {"Services\\acme"}),
    ],
)
def test_time_of_what_changed(change: Callable[[Editor], None], paths: set[str]) -> None:
    assert touched(edited(change)) == paths


# --- in place -------------------------------------------------------------------------------


def test_data_of_the_same_size_is_exchanged_in_place() -> None:
    editor = Editor(BUILT, NEW)
    editor.set_value("select", "CURRENT", 4, b"\7\0\0\0")
    editor.set_value("big", "big", 3, b"c" * 40_000)
    editor.create_key("Services")
    assert editor.in_place
    result = editor.finish(7)
    assert len(result) == len(BUILT)
    assert extents(result) == extents(BUILT)
    value = key_of(result, "Select").value("Current")
    assert value is not None
    assert (value.name, value.data) == ("Current", b"\7\0\0\0")


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.set_value("Select", "Current", 3, b"\1\0\0\0"),  # another type
        lambda e: e.set_value("Select", "Current", 4, b"\1\0"),
        lambda e: e.set_value("Select", "new", 4, b""),
        lambda e: e.delete_value("Select", "Current"),
        lambda e: e.create_key("new"),
        lambda e: e.delete_key("Select"),
        lambda e: e.rename_key("Select", "SELECT"),
        lambda e: e.set_security("Select", USERS),
    ],
)
def test_anything_else_is_not_in_place(change: Callable[[Editor], None]) -> None:
    editor = Editor(BUILT, NEW)
    change(editor)
    assert not editor.in_place


def test_the_sectors_of_what_was_exchanged_are_the_whole_change() -> None:
    editor = Editor(BUILT, NEW)
    changes: tuple[Callable[[Editor], None], ...] = (
        lambda e: e.create_key("Select"),
        lambda e: e.set_value("select", "CURRENT", 4, b"\7\0\0\0"),
        lambda e: e.set_value("select", "Current", 4, b"\6\0\0\0"),
        lambda e: e.set_value("big", "big", 3, b"c" * 40_000),
        lambda e: e.set_value("Services\\disk", "Start", 4, b"\4\0\0\0"),
    )
    for change in changes:
        change(editor)
        patched = editor.patched(7)
        assert patched is not None
        assert patched.whole() == editor.finish(7)
    editor.set_value("big", "new", 4, b"1234")
    assert editor.patched(7) is None


def test_finish_writes_the_time_into_header_and_first_bin() -> None:
    result = edited(lambda e: e.delete_value("Select", ""))
    assert struct.unpack_from("<Q", result, 12) == (to_filetime(NEW),)
    assert struct.unpack_from("<Q", result, 4096 + 20) == (to_filetime(NEW),)
    assert Hive(result).base.primary_sequence == 7


def test_finishing_twice_and_going_on() -> None:
    editor = Editor(BUILT, NEW)
    assert editor.finish(7) == editor.finish(7)
    editor.set_value("Select", "Current", 4, b"\7\0\0\0")
    first = editor.finish(8)
    assert editor.finish(8) == first
    editor.create_key("new")
    assert facts(editor.finish(9)).keys() == facts(first).keys() | {"new"}
    assert editor.find("new") is not None


# --- space ----------------------------------------------------------------------------------


def test_the_padding_of_a_file_is_used_before_it_grows() -> None:
    padded = BUILT + b"\xaa" * 20_000
    image = edited(lambda e: e.set_value("Select", "x", 3, b"x" * 10_000), padded)
    assert len(image) == len(padded)
    image = edited(lambda e: e.set_value("Select", "x", 3, b"x" * 50_000), padded)
    assert len(image) == 4096 + Hive(image).base.bins_size > len(padded)


def test_what_is_freed_is_used_again() -> None:
    def change(editor: Editor) -> None:
        for number in range(50):
            editor.set_value("Select", "x", 3, bytes([number]) * (5000 + 1000 * (number % 7)))
            editor.create_key(f"temporary\\{number}")
            editor.delete_key("temporary")
        editor.delete_value("Select", "x")

    assert len(edited(change)) < len(BUILT) + 40_000


def test_a_last_bin_that_is_empty_grows() -> None:
    def change(editor: Editor) -> None:
        for size in range(20_000, 200_000, 20_000):
            editor.set_value("Select", "x", 3, b"x" * size)
            editor.delete_value("Select", "x")

    image = edited(change, build(TREE, when=OLD, minor=3))
    assert len(image) < len(BUILT) + 200_000


@pytest.mark.parametrize(
    ("minor", "size", "fits"),
    [
        (3, (1 << 20) - 4, True),
        (3, (1 << 20) - 3, False),
        (5, (1 << 20) - 3, True),
        (5, 3_000_000, True),
    ],
)
def test_the_largest_data(minor: int, size: int, fits: bool) -> None:
    image = create("x", when=OLD, minor=minor)
    if fits:
        found = edited(lambda e: e.set_value("", "x", 3, bytes(size)), image)
        assert facts(found)[""][3] == (("x", 3, bytes(size)),)
    else:
        with pytest.raises(FormatError, match="has 1048572"):
            edited(lambda e: e.set_value("", "x", 3, bytes(size)), image)


# --- lists ----------------------------------------------------------------------------------


def shape(image: bytes, path: str) -> list[tuple[bytes, int]]:
    """(kind, length) of a key's list: of its leaves, behind the root if there is one."""
    at = key_of(image, path).offset + 4

    def head(cell: int) -> tuple[bytes, int]:
        kind, count = struct.unpack_from("<2sH", image, 4100 + cell)
        return kind, count

    (count,) = struct.unpack_from("<I", image, at + 20)
    (listed,) = struct.unpack_from("<I", image, at + 28)
    if not count:
        assert listed == 0xFFFF_FFFF
        return []
    kind, number = head(listed)
    if kind != b"ri":
        return [(kind, number)]
    return [(kind, number)] + [
        head(leaf) for leaf in struct.unpack_from(f"<{number}I", image, 4104 + listed)
    ]


@pytest.mark.parametrize(
    ("minor", "count", "expected"),
    [
        (3, 1, [(b"lf", 1)]),
        (4, 507, [(b"lf", 507)]),
        (3, 508, [(b"li", 508)]),
        (3, 1012, [(b"li", 1012)]),
        (3, 1013, [(b"ri", 2), (b"li", 506), (b"li", 507)]),
        (5, 508, [(b"lh", 508)]),
        (5, 1012, [(b"lh", 1012)]),
        (6, 1013, [(b"ri", 2), (b"lh", 506), (b"lh", 507)]),
        (5, 1600, [(b"ri", 3), (b"lh", 506), (b"lh", 506), (b"lh", 588)]),
    ],
)
def test_lists_grow_as_in_windows(
    minor: int, count: int, expected: list[tuple[bytes, int]]
) -> None:
    """Windows did so: [506, 792] in dfwinreg_win81_SYSTEM, `li` of 506 to 951 in OldDirtyHive."""

    def change(editor: Editor) -> None:
        for number in range(count):
            editor.create_key(f"many\\k{number:05}")

    image = edited(change, create("x", when=OLD, minor=minor))
    assert shape(image, "many") == expected


def test_lists_shrink_and_vanish() -> None:
    def fill(editor: Editor) -> None:
        for number in range(1013):
            editor.create_key(f"many\\k{number:05}")

    def drain(editor: Editor, numbers: range) -> None:
        for number in numbers:
            editor.delete_key(f"many\\K{number:05}")

    image = edited(fill, create("x", when=OLD))
    image = edited(lambda e: drain(e, range(506)), image)
    assert shape(image, "many") == [(b"ri", 1), (b"lh", 507)]
    image = edited(lambda e: drain(e, range(506, 1013)), image)
    assert shape(image, "many") == []


def test_names_in_any_case_and_order() -> None:
    names = ["zeta", "Alpha", "_under", "beta", "ÄRGER", "ключ", "А", "alpha2", "\ud801", "z"]

    def change(editor: Editor) -> None:
        for name in names:
            editor.create_key(name)
            editor.create_key(name.upper())

    image = edited(change, create("x", when=OLD))
    found = [key.name for key in Hive(image).root.subkeys()]
    expected = ["Alpha", "alpha2", "beta", "z", "zeta", "_under", "ÄRGER", "А", "ключ", "\ud801"]
    assert found == expected


# --- many changes of one key ----------------------------------------------------------------

MANY = 4000
LONGEST = 6.0  # CPU seconds; a search through the list for each change took 30


def in_time(change: Callable[[Editor], None], image: bytes) -> bytes:
    began = time.process_time()
    editor = Editor(image, NEW)
    change(editor)
    result = editor.finish(7)
    assert time.process_time() - began < LONGEST
    assert problems(result) == []
    return result


def test_many_values_come_and_change_and_go() -> None:
    names = [f"Value {number * 1237 % MANY}" for number in range(MANY)]
    image = create("x", when=OLD)

    def make(editor: Editor) -> None:
        for number, name in enumerate(names):
            editor.set_value("", name, 3, struct.pack("<Q", number))

    def alter(editor: Editor) -> None:
        for number, name in enumerate(names):
            editor.set_value("", name.upper(), 3, struct.pack("<Q", number + 1) * (number % 3))

    def drop(editor: Editor) -> None:
        for name in names[::-2]:
            editor.delete_value("", name)

    made = in_time(make, image)
    assert [value[0] for value in facts(made)[""][3]] == names
    dropped = in_time(drop, in_time(alter, made))
    assert [value[0] for value in facts(dropped)[""][3]] == names[::2]


@pytest.mark.parametrize("minor", [3, 5])
def test_many_keys_come_and_are_renamed_and_go(minor: int) -> None:
    paths = [f"many\\k{number * 1237 % MANY:04}" for number in range(MANY)]

    def make(editor: Editor) -> None:
        for number, path in enumerate(paths):
            editor.create_key(path, security=USERS if number % 3 else None)
            editor.set_value(path, "v", 3, b"x" * 20)

    def rename(editor: Editor) -> None:
        for path in paths:
            editor.rename_key(path, "r" + path.rpartition("\\")[2])

    def drop(editor: Editor) -> None:
        for path in paths[: MANY // 2]:
            editor.delete_key(path.replace("k", "rk"))

    made = in_time(make, create("x", when=OLD, minor=minor))
    assert facts(made).keys() == {"", "many", *paths}
    left = in_time(drop, in_time(rename, made))
    kept = {path.replace("k", "rk") for path in paths[MANY // 2 :]}
    assert facts(left).keys() == {"", "many", *kept}


def test_many_descriptors() -> None:
    texts = [USERS + struct.pack("<Q", number) for number in range(MANY // 2)]

    def make(editor: Editor) -> None:
        for number, text in enumerate(texts):
            editor.create_key(f"{number % 7}\\{number}", security=text)
            editor.create_key(f"again\\{number}", security=text)

    def drop(editor: Editor) -> None:
        for number in range(0, len(texts), 2):
            editor.delete_key(f"again\\{number}")
            editor.set_security(f"{number % 7}\\{number}", texts[1])

    image = in_time(make, create("x", when=OLD))
    assert {text: number for text, number in descriptors(image).items() if number == 2} == (
        dict.fromkeys(texts, 2)
    )
    left = descriptors(in_time(drop, image))
    assert left == {DEFAULT_SECURITY: 9, texts[1]: 2 + len(texts) // 2} | dict.fromkeys(
        texts[3::2], 2
    )


def test_changes_that_go_back_and_forth_between_keys() -> None:
    def change(editor: Editor) -> None:
        for number in range(MANY // 4):
            for path in ("Select", "services", "big"):
                editor.set_value(path, f"v{number}", 4, b"1234")
                editor.create_key(f"{path}\\new {number}")
        editor.rename_key("services", "drivers")
        for number in range(MANY // 4):
            editor.delete_value("DRIVERS", f"V{number}")
            editor.delete_key(f"Drivers\\new {number}")
        editor.delete_key("big")

    image = edited(change)
    assert {path.partition("\\")[0] for path in facts(image)} == {"", "Select", "drivers"}
    assert facts(image)["drivers"][3] == ()
    assert len(facts(image)["Select"][3]) == 2 + MANY // 4


# --- keys -----------------------------------------------------------------------------------


def test_rename_keeps_all_below() -> None:
    before = facts(BUILT)
    after = facts(edited(lambda e: e.rename_key("Services\\acme", "much longer than before" * 5)))
    new = "Services\\" + "much longer than before" * 5
    moved = {path.replace("Services\\acme", new): found for path, found in before.items()}
    assert after.keys() == moved.keys()
    assert {path for path in after if after[path] != moved[path]} == {"Services", new}
    assert after[new][1:] == before["Services\\acme"][1:]


@pytest.mark.parametrize("name", ["ACME", "Acme", "a", "ключ", "\u0100"])
def test_rename_to_other_spellings(name: str) -> None:
    image = edited(lambda e: e.rename_key("Services\\acme", name))
    assert key_of(image, f"Services\\{name}").name == name
    assert len(list(key_of(image, "Services").subkeys())) == 2


def test_records_of_the_largest_grow_and_are_cleared() -> None:
    def maxima(image: bytes) -> tuple[int, ...]:
        return struct.unpack_from("<4I", image, key_of(image, "Select").offset + 4 + 52)

    def fill(editor: Editor) -> None:
        editor.create_key("Select\\subkey", class_name="classes")
        editor.set_value("Select", "long value", 3, b"x" * 77)

    def clear(editor: Editor) -> None:
        editor.delete_key("Select\\subkey")
        for name in ("", "Current", "long value"):
            editor.delete_value("Select", name)

    image = edited(fill)
    assert maxima(image) == (12, 14, 20, 77)
    assert maxima(edited(clear, image)) == (0, 0, 0, 0)


def test_flags_beside_the_longest_name_stay() -> None:
    image = bytearray(BUILT)
    at = key_of(BUILT, "Services").offset + 4 + 52
    struct.pack_into("<I", image, at, 0x00A1_0008)
    result = edited(lambda e: e.create_key("Services\\longer name"), bytes(image))
    assert struct.unpack_from("<I", result, at) == (0x00A1_0016,)
    one_left = edited(lambda e: e.delete_key("Services\\acme"), bytes(image))
    cleared = edited(lambda e: e.delete_key("Services\\disk"), one_left)
    assert struct.unpack_from("<I", cleared, at) == (0x00A1_0000,)


# --- security -------------------------------------------------------------------------------


def descriptors(image: bytes) -> dict[bytes, int]:
    """Descriptor -> number of its keys, by the ring."""
    found: dict[bytes, int] = {}
    (start,) = struct.unpack_from("<I", image, Hive(image).root.offset + 4 + 44)
    cell = start
    while not found or cell != start:
        cell_at = 4100 + cell
        cell, _, users, size = struct.unpack_from("<IIII", image, cell_at + 4)
        found[image[cell_at + 20 : cell_at + 20 + size]] = users
    return found


def test_descriptors_are_shared_counted_and_removed() -> None:
    image = create("x", when=OLD)
    image = edited(lambda e: e.create_key("a\\b\\c"), image)
    assert descriptors(image) == {DEFAULT_SECURITY: 4}
    image = edited(lambda e: e.create_key("a\\x\\y", security=USERS), image)
    assert descriptors(image) == {DEFAULT_SECURITY: 5, USERS: 1}
    image = edited(lambda e: e.create_key("a\\x\\y\\z"), image)
    assert descriptors(image) == {DEFAULT_SECURITY: 5, USERS: 2}
    image = edited(lambda e: e.set_security("", USERS), image)
    assert descriptors(image) == {DEFAULT_SECURITY: 4, USERS: 3}
    image = edited(lambda e: e.delete_key("a"), image)
    assert descriptors(image) == {USERS: 1}


@pytest.mark.parametrize(
    "descriptor",
    [
        b"",
        DEFAULT_SECURITY[:19],
        b"\2" + DEFAULT_SECURITY[1:],
        DEFAULT_SECURITY[:3] + b"\0" + DEFAULT_SECURITY[4:],  # not self-relative
        DEFAULT_SECURITY[:-1],  # the group's SID is cut
        DEFAULT_SECURITY[:4] + b"\xff" + DEFAULT_SECURITY[5:],  # the owner lies outside
        DEFAULT_SECURITY[:16] + b"\x60" + DEFAULT_SECURITY[17:],  # the DACL too
        DEFAULT_SECURITY[:22] + b"\xff" + DEFAULT_SECURITY[23:],  # its size
        DEFAULT_SECURITY[:24] + b"\x09" + DEFAULT_SECURITY[25:],  # its number of entries
        DEFAULT_SECURITY[:20] + b"\x07" + DEFAULT_SECURITY[21:],  # its revision
    ],
)
def test_descriptors_windows_would_not_load(descriptor: bytes) -> None:
    editor = Editor(BUILT, NEW)
    with pytest.raises(FormatError, match="security descriptor"):
        editor.set_security("Select", descriptor)
    with pytest.raises(FormatError, match="security descriptor"):
        editor.create_key("new", security=descriptor)
    assert editor.in_place


# --- refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.create_key("a\\\\b"), "empty"),
        (lambda e: e.create_key("\\a"), "empty"),
        (lambda e: e.create_key("a\\"), "empty"),
        (lambda e: e.create_key("a\0b"), "NUL"),
        (lambda e: e.create_key("a" * 256), "at most 255"),
        (lambda e: e.create_key("\U0001f511" * 128), "at most 255"),
        (lambda e: e.create_key("x", class_name="c" * 32768), "class name is too long"),
        (lambda e: e.create_key("\\".join("d" * 513)), "deeper than 512"),
        (lambda e: e.delete_key(""), "root"),
        (lambda e: e.delete_key("nothing"), "does not exist"),
        (lambda e: e.delete_key("nothing\\below"), "does not exist"),
        (lambda e: e.rename_key("", "x"), "root"),
        (lambda e: e.rename_key("Select", "services"), "exists already"),
        (lambda e: e.rename_key("Select", "a\\b"), "backslash"),
        (lambda e: e.rename_key("Select", ""), "empty"),
        (lambda e: e.rename_key("nothing", "x"), "does not exist"),
        (lambda e: e.set_value("nothing", "x", 4, b""), "does not exist"),
        (lambda e: e.set_value("Select", "v" * 16384, 4, b""), "too long"),
        (lambda e: e.set_value("Select", "v", 1 << 32, b""), "no type"),
        (lambda e: e.set_value("Select", "v", -1, b""), "no type"),
        (lambda e: e.delete_value("Select", "nothing"), "does not exist"),
        (lambda e: e.delete_value("nothing", "x"), "does not exist"),
        (lambda e: e.set_security("nothing", USERS), "does not exist"),
    ],
)
def test_refused_before_anything_is_written(change: Callable[[Editor], None], message: str) -> None:
    editor = Editor(BUILT, NEW)
    with pytest.raises(FormatError, match=message):
        change(editor)
    assert editor.finish(1)[4096:] == BUILT[4096:]


def test_the_longest_names_fit() -> None:
    def change(editor: Editor) -> None:
        editor.create_key("\\".join(["д" * 255] * 12))
        editor.set_value("Select", "ж" * 16383, 4, b"")
        editor.create_key("x", class_name="c" * 32767)
        editor.create_key("\\".join("d" * 512))

    assert len(facts(edited(change))["x"][1]) == 32767


def test_a_change_that_fails_half_way_ends_the_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    editor = Editor(BUILT, NEW)
    with monkeypatch.context() as patch:
        patch.setattr("recoverykit.formats.hive_heap.LARGEST_HIVE", len(BUILT))
        with pytest.raises(FormatError, match="2 GB"):
            editor.set_value("Select", "x", 3, b"x" * 100_000)
    with pytest.raises(FormatError, match="half-way"):
        editor.finish(1)
    with pytest.raises(FormatError, match="half-way"):
        editor.find("Select")
    with pytest.raises(FormatError, match="half-way"):
        editor.create_key("x")


def test_versions_and_states_that_are_not_written() -> None:
    with pytest.raises(FormatError, match=r"version 1\.2"):
        Editor(build(TREE, minor=2), NEW)
    with pytest.raises(FormatError, match="dirty"):
        Editor(BUILT[:4] + b"\x09" + BUILT[5:], NEW)
    with pytest.raises(ValueError, match="aware"):
        Editor(BUILT, datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


# --- others ---------------------------------------------------------------------------------


@need("hivexsh", "hivexml")
def test_hivex_edits_and_reads_what_we_wrote(tmp_path: Path) -> None:
    path = tmp_path / "hive"
    path.write_bytes(edited(lambda e: e.create_key("Services\\ours", class_name="class")))
    script = "cd \\Services\nadd theirs\ncd theirs\nsetval 1\nx\nstring:y\ncommit\n"
    subprocess.run(["hivexsh", "-w", path], input=script.encode(), check=True, capture_output=True)
    shown = subprocess.run(["hivexml", path], check=True, capture_output=True).stdout
    assert shown.count(b"<node") == len(facts(BUILT)) + 2
    image = edited(lambda e: e.delete_value("Services\\theirs", "x"), path.read_bytes())
    assert {"Services\\theirs", "Services\\ours"} <= facts(image).keys()
