"""What names a driver in a SYSTEM hive: found in every form, and the rest left byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.formats import hive_edit
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_edit import inverse
from recoverykit.model import KeyChange, ValueChange
from recoverykit.repair import naming
from recoverykit.repair.naming import Names
from recoverykit.repair.registry_draft import Draft
from tests.builders import hive as builder
from tests.builders.hive import Node, Raw, binary, dword, expand_sz, multi_sz, sz
from tests.repair.target import NOW

GUID = "{4d36e967-e325-11ce-bfc1-08002be10318}"
CLASS = f"ControlSet001\\Control\\Class\\{GUID}"
MANAGER = "ControlSet001\\Control\\Session Manager"
FILE = "Windows/System32/drivers/acme.sys"
PLACE = "Windows\\System32\\drivers\\acme.sys"
EXAMPLES = settings(max_examples=60, deadline=None)


def loaded(path: str, content: Mapping[str, Any]) -> Hive:
    tree: Mapping[str, Any] = content
    for name in reversed(path.split("\\")):
        tree = {name: tree}
    return Hive(builder.build(tree))


def after(hive: Hive, change: Callable[[Names], object]) -> tuple[Hive, Names]:
    """The hive as the changes make it; they can be taken back exactly."""
    found = Names(Draft(hive))
    change(found)
    image, changes = bytes(hive.cells.image), tuple(found.draft.changes)
    if not changes:
        return hive, found
    edited = hive_edit.edit(image, changes, sequence=1, when=NOW).image
    back = hive_edit.edit(edited, inverse(changes), sequence=2, when=NOW).image
    assert hive_edit.is_exactly(image, back, ())
    return Hive(edited), found


def data(hive: Hive, key: str, name: str) -> tuple[int, bytes] | None:
    stands = hive.find(key)
    assert stands is not None
    value = stands.value(name)
    return None if value is None else (value.type, bytes(value.data))


# --- filter lists -------------------------------------------------------------------------


def _leave(hive: Hive, *services: str) -> tuple[Hive, Names]:
    return after(hive, lambda found: naming.leave_filter_lists(found, hive, 1, services))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (multi_sz("acme"), None),
        (multi_sz("ACME", "partmgr"), multi_sz("partmgr")),
        (multi_sz("a", "acme", "b", "Acme"), multi_sz("a", "b")),
        (multi_sz("acmeflt", "acm", "acme.sys"), multi_sz("acmeflt", "acm", "acme.sys")),
        (sz("acme"), None),
        (expand_sz("AcMe"), None),
        (sz("acme2"), sz("acme2")),
        (Raw(7, "acme".encode("utf-16-le")), None),  # no NUL ends it
        (Raw(7, "b\0acme".encode("utf-16-le")), Raw(7, "b\0".encode("utf-16-le"))),
        (Raw(7, "b\0\0acme\0\0".encode("utf-16-le")), Raw(7, "b\0\0acme\0\0".encode("utf-16-le"))),
        (Raw(7, "acme\0b\0\0".encode("utf-16-le") + b"x"), Raw(7, b"b\0\0\0\0\0x")),
        (binary("acme\0".encode("utf-16-le")), binary("acme\0".encode("utf-16-le"))),
        (multi_sz(), multi_sz()),
        (Raw(7, b""), Raw(7, b"")),
        (dword(4), dword(4)),
    ],
)
@pytest.mark.parametrize("name", ["UpperFilters", "LowerFilters", "upperfilters"])
def test_a_filter_list(name: str, was: Raw, becomes: Raw | None) -> None:
    hive, found = _leave(loaded(CLASS, {name: was, "Class": sz("acme")}), "acme")
    assert data(hive, CLASS, name) == (becomes and (becomes.type, becomes.data))
    assert len(found.decisions) == (was != becomes)
    assert data(hive, CLASS, "Class") == (1, "acme\0".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("key", "looked_at"),
    [
        (CLASS, True),
        ("ControlSet001\\Enum\\USB\\VID_1234\\6&1a2b3c4d&0&1", True),
        ("ControlSet001\\Control\\CriticalDeviceDatabase\\*PNP0F03", True),
        (f"{CLASS}\\0000", False),
        ("ControlSet001\\Enum\\USB\\VID_1234", False),
        ("ControlSet001\\Enum\\USB\\VID_1234\\6&1a2b3c4d&0&1\\Device Parameters", False),
        ("ControlSet002\\Control\\Class\\x", False),
        ("ControlSet001\\Services\\acme\\Parameters", False),
    ],
)
def test_where_filters_are(key: str, *, looked_at: bool) -> None:
    hive, _ = _leave(loaded(key, {"UpperFilters": multi_sz("acme")}), "acme")
    assert (data(hive, key, "UpperFilters") is None) is looked_at


TARGET = st.sampled_from(["acme", "ACME", "aCmE"])
WORD = st.text(
    st.characters(codec=None, exclude_characters="\0", categories=("L", "N", "P", "Cs", "So")),
    min_size=1,
    max_size=12,
)
OTHER = WORD.filter(lambda text: text.upper() not in ("ACME", "WINDOWS\\SYSTEM32\\DRIVERS"))
TAIL = st.sampled_from([b"\0\0", b"", b"\0\0left over\0\0", b"\0\0\0"])


def raw(*strings: str) -> bytes:
    return b"".join(text.encode("utf-16-le", "surrogatepass") + b"\0\0" for text in strings)


@EXAMPLES
@given(listed=st.lists(st.one_of(TARGET, OTHER), max_size=8), tail=TAIL)
def test_what_is_left_of_a_list_is_exactly_the_others(listed: list[str], tail: bytes) -> None:
    value = Raw(7, raw(*listed) + tail)
    kept = [one for one in listed if one.lower() != "acme"]
    hive, found = _leave(loaded(CLASS, {"UpperFilters": value}), "acme")
    expected = (7, raw(*kept) + tail) if kept or len(kept) == len(listed) else None
    assert data(hive, CLASS, "UpperFilters") == expected
    for decision in found.decisions:
        decision.reason.encode()  # half a pair of surrogates can be told nowhere


def test_more_devices_than_a_machine_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list that names the driver may be one that was not looked at."""
    devices: dict[str, Any] = {f"{number}": {"0": {}} for number in range(4)}
    hive = loaded("ControlSet001\\Enum\\USB", devices)
    naming.leave_filter_lists(Names(Draft(hive)), hive, 1, ["acme"])
    monkeypatch.setattr(naming, "_MOST_DEVICES", 6)
    with pytest.raises(FormatError, match="more than 6 keys"):
        naming.leave_filter_lists(Names(Draft(hive)), hive, 1, ["acme"])


def test_filters_of_crash_dumps() -> None:
    key = "ControlSet001\\Control\\CrashControl"
    hive = loaded(key, {"DumpFilters": multi_sz("dumpfve.sys", "ACME.sys")})
    changed, found = after(
        hive, lambda found: naming.leave_dump_filters(found, hive, 1, ["acme.sys"])
    )
    assert data(changed, key, "DumpFilters") == (7, raw("dumpfve.sys") + b"\0\0")
    assert [one.what for one in found.decisions] == ["crash dump filter"]


# --- pending renames ----------------------------------------------------------------------


def _stop(hive: Hive, *files: str) -> tuple[Hive, Names]:
    return after(hive, lambda found: naming.stop_renames(found, hive, 1, files or (FILE,)))


@pytest.mark.parametrize(
    ("goal", "hit"),
    [
        (f"\\??\\C:\\{PLACE}", True),
        (f"!\\??\\C:\\{PLACE}", True),
        (f"*1\\??\\C:\\{PLACE}", True),
        (f"!\\??\\d:\\{PLACE.upper()}", True),
        (f"\\??\\C:\\\\{PLACE}", True),
        (f"\\\\?\\C:\\{PLACE}", True),
        (f"\\DosDevices\\C:\\{PLACE}", True),
        (f"\\GLOBAL??\\C:\\{PLACE}", True),
        (f"\\??\\Volume{{6b2b9cc7-0000-0000-0000-100000000000}}\\{PLACE}", True),
        (f"\\Device\\HarddiskVolume3\\{PLACE}", True),
        (f"\\??\\GLOBALROOT\\Device\\HarddiskVolume3\\{PLACE}", True),
        ("\\SystemRoot\\system32\\DRIVERS\\acme.sys", True),
        ("", False),
        ("!", False),
        (f"\\??\\C:\\Old\\{PLACE}", False),
        (f"\\??\\C:\\{PLACE}.old", False),
        ("\\??\\C:\\acme.sys", False),
        (f"\\??\\UNC\\server\\{PLACE}", False),
        (f"\\??\\C:\\x\\??\\C:\\{PLACE}", False),
    ],
)
def test_the_goal_of_a_rename(goal: str, *, hit: bool) -> None:
    value = Raw(7, raw("\\??\\C:\\new.tmp", goal) + b"\0\0")
    hive, found = _stop(loaded(MANAGER, {"PendingFileRenameOperations": value}))
    kept = data(hive, MANAGER, "PendingFileRenameOperations")
    assert kept == (None if hit else (7, value.data))
    assert len(found.decisions) == hit


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (raw("a", f"\\??\\C:\\{PLACE}", "b", ""), raw("b", "")),  # a deletion is the last
        (raw("b", "", "a", f"\\??\\C:\\{PLACE}"), raw("b", "")),
        (raw("", "", "a", f"\\??\\C:\\{PLACE}"), raw("", "")),
        (raw("a", f"\\??\\C:\\{PLACE}", "half"), raw("half")),
        (raw(f"\\??\\C:\\{PLACE}", ""), raw(f"\\??\\C:\\{PLACE}", "")),
        (raw(f"\\??\\C:\\{PLACE}", "b"), raw(f"\\??\\C:\\{PLACE}", "b")),
    ],
)
def test_what_is_left_of_renames(was: bytes, becomes: bytes) -> None:
    value = {"PendingFileRenameOperations2": Raw(7, was + b"\0\0")}
    hive, _ = _stop(loaded(MANAGER, value))
    left = data(hive, MANAGER, "PendingFileRenameOperations2")
    assert left == ((7, becomes + b"\0\0") if becomes.strip(b"\0") else None)


GOAL = st.sampled_from([f"!\\??\\C:\\{PLACE}", f"\\??\\c:\\{PLACE.lower()}"])
PAIR = st.tuples(OTHER, st.one_of(GOAL, GOAL, OTHER, st.just("")))


@EXAMPLES
@given(pairs=st.lists(PAIR, max_size=6), tail=st.sampled_from([b"\0\0", b"", b"\0"]))
def test_what_is_left_of_renames_is_exactly_the_others(
    pairs: list[tuple[str, str]], tail: bytes
) -> None:
    value = Raw(7, raw(*(text for pair in pairs for text in pair)) + tail)
    kept = [pair for pair in pairs if not pair[1].lower().endswith("\\acme.sys")]
    hive, found = _stop(loaded(MANAGER, {"PendingFileRenameOperations": value}))
    left = raw(*(text for pair in kept for text in pair)) + tail
    expected = (7, left) if kept or len(kept) == len(pairs) else None
    assert data(hive, MANAGER, "PendingFileRenameOperations") == expected
    assert len(found.decisions) == len(pairs) - len(kept)


# --- services, sets, safe mode ------------------------------------------------------------


@pytest.mark.parametrize(
    ("select", "sets", "used", "expected"),
    [
        ({"Current": 1, "Default": 1, "LastKnownGood": 1}, (1, 2), 1, (1,)),
        ({"Current": 1, "Default": 1, "LastKnownGood": 2}, (1, 2), 1, (1, 2)),
        ({"Current": 2, "Default": 2, "LastKnownGood": 1, "Failed": 3}, (1, 2, 3), 2, (2, 1)),
        ({"Current": 1, "Default": 3, "LastKnownGood": 2}, (1, 2, 3), 1, (1, 3, 2)),
        ({"Current": 1, "Default": 1, "LastKnownGood": 2}, (1,), 1, (1,)),
        ({"Current": 0, "Default": 5000, "LastKnownGood": 0xFFFF_FFFF}, (1,), 1, (1,)),
        ({}, (1,), 1, (1,)),
    ],
)
def test_which_control_sets(
    select: Mapping[str, int], sets: Sequence[int], used: int, expected: tuple[int, ...]
) -> None:
    tree: dict[str, Any] = {f"ControlSet{number:03}": {} for number in sets}
    tree |= {"Select": {name: dword(number) for name, number in select.items()}}
    assert naming.control_sets(Hive(builder.build(tree)), used) == expected


def test_no_select_key() -> None:
    assert naming.control_sets(Hive(builder.build({"ControlSet001": {}})), 1) == (1,)


@pytest.mark.parametrize(
    ("values", "overrides", "expected"),
    [
        ({"Start": dword(0)}, {}, ["Start"]),
        ({"Start": dword(4)}, {}, []),
        ({"Start": dword(3)}, {"0": dword(0), "1": dword(4), "x": sz("0")}, ["Start", "0"]),
        ({"Start": dword(4)}, {"0": dword(3)}, ["0"]),
        ({}, {"0": dword(3)}, None),
        ({"Start": sz("0")}, {}, None),
        ({"Start": binary(b"\0\0\0\0")}, {}, None),
        ({"Start": Raw(4, b"\0")}, {}, None),
    ],
)
def test_a_service_is_disabled(
    values: Mapping[str, Raw], overrides: Mapping[str, Raw], expected: list[str] | None
) -> None:
    key = "ControlSet001\\Services\\acme"
    hive = loaded(key, {**values, "StartOverride": overrides})
    done: list[bool] = []
    _, found = after(hive, lambda names: done.append(naming.disable(names, hive, 1, "ACME")))
    changes = found.draft.changes
    assert all(isinstance(one, ValueChange) and one.after == naming.DISABLED for one in changes)
    assert done == [expected is not None]
    assert [getattr(one, "name", "") for one in changes] == (expected or [])


def test_safe_mode_entries_go_with_all_below() -> None:
    key = "ControlSet001\\Control\\SafeBoot"
    content = {
        "Minimal": {"Acme": {"a": {"b": {"v": dword(1)}}}, "acmesvc": {}, "good.sys": {}},
        "Network": {"ACME.SYS": Node({}, class_name="x"), "Option": {"acme": {}}},
        "Other": {"acme": {}},
    }
    hive = loaded(key, content)
    changed, found = after(
        hive, lambda names: naming.leave_safe_mode(names, hive, 1, ["acme", "acme.sys"])
    )
    gone = {one.key for one in found.draft.changes if isinstance(one, KeyChange)}
    minimal, network = f"{key}\\Minimal\\Acme", f"{key}\\Network\\ACME.SYS"
    assert gone == {minimal, f"{minimal}\\a", f"{minimal}\\a\\b", network}
    assert changed.find(f"{key}\\Network\\Option\\acme") is not None
    assert changed.find(f"{key}\\Other\\acme") is not None
    assert [one.where for one in found.decisions] == [minimal, network]


def test_an_entry_that_cannot_come_back_is_not_taken() -> None:
    """A symbolic link (flag 0x10 of the key): nobody can make it again."""
    key = "ControlSet001\\Control\\SafeBoot\\Minimal\\acme"
    image = bytearray(loaded(key, {}).cells.image)
    entry = Hive(bytes(image)).find(key)
    assert entry is not None
    at = image.index(b"nk", entry.offset) + 2
    image[at] |= 0x10
    hive = Hive(bytes(image))
    with pytest.raises(TargetRefusedError, match="symbolic link"):
        naming.leave_safe_mode(Names(Draft(hive)), hive, 1, ["acme"])


# --- what stays ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "group", "needs"),
    [
        ({"DependOnService": multi_sz("RpcSs", "ACME")}, "", "ACME"),
        ({"DependOnService": sz("acme")}, "", "acme"),
        ({"DependOnService": multi_sz("acme2")}, "", None),
        ({"DependOnGroup": multi_sz("Acme Group")}, "acme group", "Acme Group"),
        ({"DependOnGroup": multi_sz("Shared")}, "Shared", None),
        ({"DependOnGroup": multi_sz("Idle")}, "Idle", "Idle"),
        ({"DependOnGroup": multi_sz("Acme Group")}, "", None),
    ],
)
def test_dependents(values: Mapping[str, Raw], group: str, needs: str | None) -> None:
    """A group is missed only where nobody else of it starts."""
    services = {
        "acme": {"Group": sz(group), "Start": dword(0)},
        "one": {"Group": sz("Shared"), "Start": dword(1)},
        "off": {"Group": sz("Idle"), "Start": dword(4)},
        "needy": {**values, "Start": dword(2), "Type": dword(16)},
    }
    hive = loaded("ControlSet001\\Services", services)
    found = [one for one in naming.dependents(hive, 1, ["acme"], group) if one.name == "needy"]
    assert [one.needs for one in found] == ([needs] if needs else [])
    assert all((one.start, one.type) == (2, 16) for one in found)


def test_most_dependents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_MOST_DEPENDENTS", 3)
    services = {f"s{number}": {"DependOnService": multi_sz("acme")} for number in range(9)}
    hive = loaded("ControlSet001\\Services", services)
    assert len(list(naming.dependents(hive, 1, ["acme"], ""))) == 3
