"""What an expert asks for, as changes one by one: made, and taken back, they leave the old hive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from recoverykit.errors import NoCulpritError, RecoveryKitError, TargetRefusedError, UsageError
from recoverykit.formats import hive_edit
from recoverykit.formats.hive import Hive
from recoverykit.formats.reg_parse import parse
from recoverykit.model import (
    EditHive,
    FileSystem,
    KeyChange,
    RegistryChange,
    RegistryData,
    RegistryKey,
    ValueChange,
    Volume,
    WindowsInstall,
)
from recoverykit.repair import registry_draft, registry_plan
from recoverykit.repair.registry_draft import Draft
from recoverykit.repair.registry_plan import Changes
from tests.builders import hive as builder

SERVICES = "ControlSet001\\Services"
TREE: builder.Tree = {
    "Select": {"Current": builder.dword(1)},
    "ControlSet001": {
        "Services": {
            "Acme": {
                "Start": builder.dword(0),
                "ImagePath": builder.expand_sz("system32\\acme.sys"),
                "": builder.sz("default"),
                "Parameters": builder.Node({"One": builder.dword(1)}, class_name="Shell"),
                "Enum": {"Count": builder.dword(0), "Sub": {}},
            },
            "Empty": {},
        }
    },
}
FOUR = RegistryData(4, b"\4\0\0\0")
ZERO = RegistryData(4, bytes(4))


@pytest.fixture(scope="module")
def image() -> bytes:
    return builder.build(TREE)


@pytest.fixture
def hive(image: bytes) -> Hive:
    return Hive(image)


def text(change: RegistryChange) -> str:
    """One change, short: "+key k", "-value k n", "=value k n"."""
    sign = "+" if change.before is None else "-" if change.after is None else "="
    key = change.key.removeprefix(f"{SERVICES}\\")
    if isinstance(change, ValueChange):
        return f"{sign}value {key} {change.name}"
    return f"{sign}key {key}"


def texts(changes: Sequence[RegistryChange]) -> list[str]:
    return [text(change) for change in changes]


def made(image: bytes, changes: Changes) -> Hive:
    """The hive after these changes; taking them back leaves what was there before."""
    after = hive_edit.edit(image, changes, sequence=1, when=builder.WHEN).image
    back = hive_edit.edit(after, hive_edit.inverse(changes), sequence=2, when=builder.WHEN).image
    assert hive_edit.differences(Hive(image), Hive(back)) == []
    return Hive(after)


# --- set ----------------------------------------------------------------------------------


def test_one_value_is_set_in_the_spelling_of_the_hive(image: bytes, hive: Hive) -> None:
    changes = registry_plan.set_value(hive, "controlset001\\SERVICES\\acme", "START", FOUR)
    assert changes == (ValueChange(f"{SERVICES}\\Acme", "Start", ZERO, FOUR),)
    value = made(image, changes).find(f"{SERVICES}\\Acme")
    assert value is not None
    assert value.value("Start") is not None


def test_what_is_so_already_needs_no_change(hive: Hive) -> None:
    assert registry_plan.set_value(hive, f"{SERVICES}\\Acme", "Start", ZERO) == ()


def test_another_type_is_a_change(hive: Hive) -> None:
    data = RegistryData(3, bytes(4))
    (change,) = registry_plan.set_value(hive, f"{SERVICES}\\Acme", "Start", data)
    assert (change.before, change.after) == (ZERO, data)


def test_a_key_is_made_only_when_that_was_said(image: bytes, hive: Hive) -> None:
    with pytest.raises(NoCulpritError, match="no key") as caught:
        registry_plan.set_value(hive, f"{SERVICES}\\New\\Deep", "v", FOUR)
    assert "--create" in caught.value.hint
    changes = registry_plan.set_value(
        hive, f"{SERVICES.lower()}\\New\\Deep", "v", FOUR, create=True
    )
    assert texts(changes) == ["+key New", "+key New\\Deep", "+value New\\Deep v"]
    assert made(image, changes).find(f"{SERVICES}\\New\\Deep") is not None


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (f"{SERVICES}\\{'k' * 256}", "v"),
        ("\\".join("k" * 513), "v"),
        (f"{SERVICES}\\\\k", "v"),
        (f"{SERVICES}\\Acme", "v" * 16_384),
        (f"{SERVICES}\\{'𝄞' * 128}", "v"),
    ],
    ids=["long", "deep", "empty", "value", "pairs"],
)
def test_names_that_windows_cannot_have(hive: Hive, key: str, name: str) -> None:
    with pytest.raises(UsageError):
        registry_plan.set_value(hive, key, name, FOUR, create=True)


# --- delete -------------------------------------------------------------------------------


def test_one_value_is_deleted(image: bytes, hive: Hive) -> None:
    changes = registry_plan.delete_value(hive, f"{SERVICES}\\acme", "start")
    assert changes == (ValueChange(f"{SERVICES}\\Acme", "Start", ZERO, None),)
    made(image, changes)


def test_a_tree_goes_deepest_first_and_comes_back_in_order(image: bytes, hive: Hive) -> None:
    changes = registry_plan.delete_key(hive, f"{SERVICES}\\Acme", tree=True)
    assert texts(changes) == [
        "-value Acme\\Parameters One",
        "-key Acme\\Parameters",
        "-key Acme\\Enum\\Sub",
        "-value Acme\\Enum Count",
        "-key Acme\\Enum",
        "-value Acme ",
        "-value Acme ImagePath",
        "-value Acme Start",
        "-key Acme",
    ]
    parameters = changes[1]
    assert isinstance(parameters, KeyChange)
    assert parameters.before is not None
    assert parameters.before.class_name == "Shell"
    assert len(parameters.before.security) > 20
    assert made(image, changes).find(f"{SERVICES}\\Acme") is None
    draft = Draft(hive)
    draft.delete(f"{SERVICES}\\Acme")
    back = hive_edit.inverse(tuple(draft.changes))
    named = [one.name for one in back if isinstance(one, ValueChange) and one.key.endswith("Acme")]
    assert named == ["Start", "ImagePath", ""]


@pytest.mark.parametrize(
    ("ask", "error", "problem"),
    [
        (lambda h: registry_plan.delete_value(h, "Select", "x"), NoCulpritError, "no value x"),
        (lambda h: registry_plan.delete_value(h, "Select", ""), NoCulpritError, "default"),
        (lambda h: registry_plan.delete_value(h, "x", "y"), NoCulpritError, "no key x"),
        (lambda h: registry_plan.delete_key(h, "x"), NoCulpritError, "no key x"),
        (lambda h: registry_plan.delete_key(h, f"{SERVICES}\\Acme"), UsageError, "2 subkeys"),
        (lambda h: registry_plan.delete_key(h, "", tree=True), UsageError, "root"),
    ],
)
def test_what_cannot_be_deleted(
    hive: Hive, ask: Callable[[Hive], Changes], error: type[RecoveryKitError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        ask(hive)


def test_a_link_cannot_be_brought_back_and_stays(image: bytes) -> None:
    hive = Hive(image)
    key = hive.find(f"{SERVICES}\\Acme\\Enum")
    assert key is not None
    linked = bytearray(image)
    linked[key.offset + 6] |= 0x10
    with pytest.raises(TargetRefusedError, match="symbolic link"):
        registry_plan.delete_key(Hive(bytes(linked)), f"{SERVICES}\\Acme", tree=True)


@pytest.mark.parametrize("limit", ["MOST_CHANGES", "MOST_BYTES"])
def test_more_than_a_journal_should_hold(
    hive: Hive, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_draft, limit, 3)
    with pytest.raises(TargetRefusedError, match="more than one transaction takes"):
        registry_plan.delete_key(hive, f"{SERVICES}\\Acme", tree=True)


def test_the_limits_are_reached_in_no_time() -> None:
    """Ten thousand values of one key, five thousand subkeys: one lookup each."""
    many: builder.Tree = {f"v{number}": builder.dword(number) for number in range(10_000)}
    below: builder.Tree = {f"k{number}": {} for number in range(5_000)}
    hive = Hive(builder.build({"Many": {**many, **below}}))
    assert len(registry_plan.delete_key(hive, "Many", tree=True)) == 15_001


# --- import -------------------------------------------------------------------------------

HEAD = "Windows Registry Editor Version 5.00\n\n"


def merged(hive: Hive, body: str) -> Changes:
    body = body.replace("[", f"[{SERVICES}\\").replace(f"[{SERVICES}\\-", f"[-{SERVICES}\\")
    return registry_plan.merge(hive, parse((HEAD + body).encode()))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param('[acme]\n"start"=dword:4', ["=value Acme Start"], id="set"),
        pytest.param('[acme]\n"start"=dword:0', [], id="so already"),
        pytest.param("[empty]", [], id="key is there"),
        pytest.param("[a\\b]", ["+key a", "+key a\\b"], id="keys are made"),
        pytest.param('[acme]\n"start"=-\n"x"=-', ["-value Acme Start"], id="values go"),
        pytest.param("[-nothing]", [], id="what is not there need not go"),
        pytest.param("[-empty]", ["-key Empty"], id="key goes"),
        pytest.param(
            '[-empty]\n[empty]\n"a"="b"',
            ["-key Empty", "+key empty", "+value empty a"],
            id="goes and comes",
        ),
        pytest.param(
            '[-acme\\enum]\n[acme\\enum]\n"count"=dword:0\n[acme\\enum\\sub]',
            [
                "-key Acme\\Enum\\Sub",
                "-value Acme\\Enum Count",
                "-key Acme\\Enum",
                "+key Acme\\enum",
                "+value Acme\\enum count",
                "+key Acme\\enum\\sub",
            ],
            id="with all it held",
        ),
        pytest.param(
            '[n]\n"a"="1"\n"A"="2"\n[n\\k]\n[-n]',
            [
                "+key n",
                "+value n a",
                "=value n a",
                "+key n\\k",
                "-key n\\k",
                "-value n a",
                "-key n",
            ],
            id="comes and goes",
        ),
        pytest.param(
            '[acme]\n"start"=-\n"START"=dword:4',
            ["-value Acme Start", "+value Acme START"],
            id="a new spelling",
        ),
    ],
)
def test_a_file_is_merged_as_regedit_does(
    image: bytes, hive: Hive, body: str, expected: list[str]
) -> None:
    changes = merged(hive, body)
    assert texts(changes) == expected
    if changes:
        made(image, changes)


def test_a_made_key_has_its_parents_descriptor(hive: Hive) -> None:
    (change,) = merged(hive, "[new]")
    assert change == KeyChange(f"{SERVICES}\\new", None, RegistryKey())


# --- the plan -----------------------------------------------------------------------------


def install(mount: Path) -> WindowsInstall:
    return WindowsInstall(
        Volume("disk.img#3", FileSystem.NTFS, mount), mount, "Windows", "c/SYSTEM", "c/SOFTWARE"
    )


def test_the_plan_names_every_hive_and_its_logs(tmp_path: Path, image: bytes, hive: Hive) -> None:
    (tmp_path / "c").mkdir()
    for name in ("SYSTEM", "SOFTWARE"):
        (tmp_path / "c" / name).write_bytes(image)
    (tmp_path / "c/system.log1").write_bytes(b"log")
    changes = registry_plan.set_value(hive, f"{SERVICES}\\Acme", "Start", FOUR)
    edits = {"c/SYSTEM": changes, "c/SOFTWARE": changes, "c/SAM": ()}
    made_plan = registry_plan.make(install(tmp_path), edits, title="set it", reason="Why.")
    assert made_plan is not None
    assert made_plan.actions == (EditHive("c/SYSTEM", changes), EditHive("c/SOFTWARE", changes))
    assert [state.path for state in made_plan.preconditions] == [
        *("c/SYSTEM", "c/SYSTEM.LOG", "c/system.log1", "c/SYSTEM.LOG2"),
        *("c/SOFTWARE", "c/SOFTWARE.LOG", "c/SOFTWARE.LOG1", "c/SOFTWARE.LOG2"),
    ]
    assert made_plan.preconditions[2].size == 3
    assert made_plan.space_needed > 8 << 20
    assert (made_plan.title, made_plan.reason, made_plan.driver) == ("set it", "Why.", "")


def test_nothing_to_change_is_no_plan(tmp_path: Path) -> None:
    assert registry_plan.make(install(tmp_path), {"c/SYSTEM": ()}, title="", reason="") is None


def test_a_long_list_needs_no_more_room_than_the_whole_hive(tmp_path: Path, image: bytes) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/SYSTEM").write_bytes(image)
    changes = tuple(ValueChange("k", str(number), None, FOUR) for number in range(10_000))
    plan = registry_plan.make(install(tmp_path), {"c/SYSTEM": changes}, title="", reason="")
    assert plan is not None
    assert plan.space_needed < 18 << 20


def test_changes_are_counted_for_the_history() -> None:
    key = KeyChange("k", None, RegistryKey())
    changes: list[RegistryChange] = [
        key,
        ValueChange("k", "a", None, FOUR),
        ValueChange("k", "b", ZERO, FOUR),
        ValueChange("k", "c", ZERO, None),
    ]
    counted = ["2 values set", "1 value deleted", "1 key created"]
    assert list(registry_plan.described(changes)) == counted
