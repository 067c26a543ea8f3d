"""Several plans as one: each key and value once, contradictions refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import UsageError
from recoverykit.formats.hive import REG_DWORD, REG_MULTI_SZ, REG_SZ
from recoverykit.model import (
    EditHive,
    FileState,
    InstallFile,
    KeyChange,
    Plan,
    QuarantineFile,
    RegistryChange,
    RegistryData,
    RegistryKey,
    ValueChange,
)
from recoverykit.packs.merging import merged, one_each
from recoverykit.repair.edits import MARGIN

ON, OFF = (RegistryData(REG_DWORD, bytes([number, 0, 0, 0])) for number in (0, 4))


def value(name: str, after: RegistryData | None, before: RegistryData | None = ON) -> ValueChange:
    return ValueChange("ControlSet001\\Services\\acme", name, before, after)


def filters(*names: str) -> RegistryData | None:
    """As Windows has them; a list without entries is not there."""
    text = "".join(f"{name}\0" for name in names) + "\0"
    return RegistryData(REG_MULTI_SZ, text.encode("utf-16-le")) if names else None


def leaves(before: list[str], *gone: str) -> ValueChange:
    after = filters(*(name for name in before if name not in gone))
    return value("UpperFilters", after, filters(*before))


def plan(*changes: RegistryChange, path: str = "", state: str = "a" * 64) -> Plan:
    actions = (
        *((EditHive("SYSTEM", changes),) if changes else ()),
        *((QuarantineFile(path, state, 1),) if path else ()),
    )
    states = (FileState("SYSTEM", "b" * 64, 1), *((FileState(path, state, 1),) if path else ()))
    return Plan("disk:/Windows", "x.sys", "x", "", actions, states, MARGIN + 10)


def test_hives_are_edited_once_and_files_moved_once() -> None:
    other = value("0", OFF)
    made = merged(
        [plan(value("Start", OFF), path="a"), plan(value("start", OFF), other, path="b")],
        "title",
        "reason",
    )
    assert made.actions == (
        EditHive("SYSTEM", (value("Start", OFF), value("0", OFF))),
        QuarantineFile("a", "a" * 64, 1),
        QuarantineFile("b", "a" * 64, 1),
    )
    assert [state.path for state in made.preconditions] == ["SYSTEM", "a", "b"]
    assert made.space_needed == MARGIN + 20
    assert (made.driver, made.service) == ("", "")


@pytest.mark.parametrize(
    "changes",
    [
        (value("Start", OFF), value("START", ON, ON)),
        (value("Start", OFF), value("Start", None)),
        (KeyChange("a", None, RegistryKey()), KeyChange("A", None, RegistryKey("class"))),
        (leaves(["a", "b"], "a"), value("UpperFilters", filters("a", "c"), filters("a", "b"))),
        (leaves(["a", "b"], "a"), leaves(["a", "c"], "a")),
        (leaves(["a", "a"], "a"), leaves(["a", "a"])),
        (leaves(["a", "b"], "a"), value("UpperFilters", RegistryData(REG_SZ, b"a\0"), None)),
    ],
)
def test_contradictions(changes: tuple[RegistryChange, ...]) -> None:
    with pytest.raises(UsageError, match="contradict each other"):
        one_each(changes)


def test_a_file_has_one_fate() -> None:
    one = plan(path="a")
    with pytest.raises(UsageError, match="two acts are about a, and not the same"):
        merged([one, plan(path="a", state="c" * 64)], "", "")
    assert merged([one, one], "", "").actions == one.actions
    new = InstallFile("A", "a" * 64, "c" * 64, 1, "")
    other = Plan("r", "", "", "", (new,), (), MARGIN)
    with pytest.raises(UsageError, match="and not the same"):
        merged([one, other], "", "")


def test_the_disk_was_looked_at_once() -> None:
    one, other = plan(path="a"), plan(path="a", state="c" * 64)
    without = Plan("r", "", "", "", (), other.preconditions, MARGIN)
    with pytest.raises(UsageError, match="changed while it was looked at"):
        merged([one, without], "", "")


NAMES = ["alpha", "beta", "gamma", "delta"]


@given(st.lists(st.sampled_from(NAMES), unique=True, min_size=1), st.sets(st.sampled_from(NAMES)))
def test_drivers_leave_a_list_together(before: list[str], gone: set[str]) -> None:
    """As if all had been taken out at once."""
    steps = [leaves(before, name) for name in sorted(gone) if name in before]
    if not steps:
        return
    assert one_each(steps) == (leaves(before, *gone),)
