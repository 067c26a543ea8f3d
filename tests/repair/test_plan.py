"""What is planned, what is refused, and that a plan survives its own export."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.model import (
    EditHive,
    Evidence,
    FilterUse,
    Finding,
    KeyChange,
    Kind,
    Plan,
    QuarantineFile,
    Refusal,
    RegistryChange,
    RegistryData,
    RegistryKey,
    Source,
    Suspect,
    ValueChange,
    Verdict,
)
from recoverykit.repair import edits, hives, plan_json, registry_plan, transaction, undo
from recoverykit.repair import plan as planning
from tests.repair import target


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    target.build(tmp_path)
    return tmp_path


def make(mount: Path, *evidence: Evidence) -> Plan | Refusal:
    loaded, _ = hives.load(mount / target.SYSTEM)
    return planning.make(target.install(mount), target.suspect(), evidence, loaded)


def test_a_driver_is_disabled_before_its_file_is_moved(mount: Path) -> None:
    plan = target.plan(mount)
    first, second = plan.actions
    assert isinstance(first, EditHive)
    assert first.hive == target.SYSTEM
    assert [(change.key, getattr(change, "name", None)) for change in first.changes] == [
        (target.SERVICE, "Start"),
        (target.OVERRIDE, "0"),  # "1" is 4 already
    ]
    assert isinstance(second, QuarantineFile)
    assert {state.path.rpartition("/")[2]: bool(state.sha256) for state in plan.preconditions} == {
        "SYSTEM": True,
        "SYSTEM.LOG": False,  # that there is none is part of what was seen
        "SYSTEM.LOG1": True,
        "SYSTEM.LOG2": True,
        "acme filter.sys": True,
    }


def _header_is_damaged(mount: Path) -> None:
    target.soil(mount)
    hive = bytearray((mount / target.SYSTEM).read_bytes())
    hive[508] ^= 1
    (mount / target.SYSTEM).write_bytes(hive)


@pytest.mark.parametrize(
    ("scene", "copies"),
    [
        pytest.param(lambda _: None, 0, id="clean: a few sectors, within the margin"),
        pytest.param(target.soil, 4, id="dirty: at most what its logs hold"),
        pytest.param(partial(target.soil, grow=True), 4, id="grows"),
        pytest.param(_header_is_damaged, 4, id="header damaged"),
    ],
)
def test_the_room_that_is_needed(mount: Path, scene: Callable[[Path], None], copies: int) -> None:
    scene(mount)
    hive, driver = ((mount / name).stat().st_size for name in (target.SYSTEM, target.DRIVER))
    needed = target.plan(mount).space_needed
    pages = 8 * min(2 * 6 * 4096, 2 * hive)  # two values
    assert 0 <= needed - (edits.MARGIN + 2 * driver + copies * hive) - pages < 3000


def test_small_logs_need_little_room(mount: Path) -> None:
    target.soil(mount)
    log = mount / f"{target.SYSTEM}.LOG1"
    log.write_bytes(log.read_bytes().rstrip(b"\0").ljust(10240, b"\0"))
    driver = (mount / target.DRIVER).stat().st_size
    needed = target.plan(mount).space_needed
    assert 4 * 10240 < needed - edits.MARGIN - 2 * driver < 4 * 10240 + 500_000


def test_every_service_that_loads_the_file_is_disabled(mount: Path) -> None:
    plan = make(mount, target.service(), target.service("good"))
    assert isinstance(plan, Plan)
    edits = [action for action in plan.actions if isinstance(action, EditHive)]
    keys = [change.key for action in edits for change in action.changes]
    assert "ControlSet001\\Services\\good" in keys
    assert "also loaded by good" in plan.reason


def test_a_guard_of_any_of_them_refuses(mount: Path) -> None:
    used = FilterUse(Source(target.SYSTEM), "good", "class", "{guid}")
    made = make(mount, target.service(), target.service("good"), used)
    assert isinstance(made, Refusal)
    assert made.service == "good"


def test_a_critical_error_control_is_noted(mount: Path) -> None:
    plan = make(mount, target.service(error_control=3))
    assert isinstance(plan, Plan)
    assert "ErrorControl is 3" in plan.reason
    assert isinstance(plan.actions[0], EditHive)
    assert all(getattr(one, "name", "") != "ErrorControl" for one in plan.actions[0].changes)


def test_a_missing_file_is_no_obstacle(mount: Path) -> None:
    (mount / target.DRIVER).unlink()
    plan = make(mount, target.service(path=None))
    assert isinstance(plan, Plan)
    assert all(isinstance(action, EditHive) for action in plan.actions)


@pytest.mark.parametrize(
    ("name", "links", "moved"),
    [
        ("acme filter.sys", 1, True),
        ("acme filter.sys", 2, False),
        ("acme.sys", 1, True),
        ("acme.sys", 2, False),
    ],
)
def test_a_linked_file_stays(mount: Path, name: str, links: int, *, moved: bool) -> None:
    path = (mount / target.DRIVER).rename((mount / target.DRIVER).with_name(name))
    for number in range(1, links):
        os.link(path, mount / f"link{number}")
    plan = make(mount, target.service(path=path.relative_to(mount).as_posix()))
    assert isinstance(plan, Plan)
    assert any(isinstance(action, QuarantineFile) for action in plan.actions) is moved
    stays = [one for one in plan.decisions if "stays where it is" in one.reason]
    assert bool(stays) is not moved


def _unknown(mount: Path) -> Plan | Refusal:
    return make(mount)


def _disabled(mount: Path) -> Plan | Refusal:
    target.set_value(mount, target.SERVICE, "Start", 4)
    target.set_value(mount, target.OVERRIDE, "0", 4)
    return make(mount, target.service())


def _not_there(mount: Path) -> Plan | Refusal:
    suspect = replace(target.suspect(), service="ghost")
    loaded, _ = hives.load(mount / target.SYSTEM)
    ghost = target.service("ghost")
    return planning.make(target.install(mount), suspect, [ghost], loaded)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (_unknown, "no driver service"),
        (_disabled, "disabled already"),
        (_not_there, "missing or no number"),
    ],
)
def test_refused(mount: Path, made: object, reason: str) -> None:
    assert callable(made)
    refusal = made(mount)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    assert "acme" in refusal.driver


# --- identity and export ------------------------------------------------------------------


def test_export_and_import(mount: Path) -> None:
    plan = target.plan(mount)
    again = plan_json.from_json(plan_json.to_json(plan))
    assert again == plan
    assert plan_json.digest(again) == plan_json.digest(plan)


def test_the_digest_names_everything(mount: Path) -> None:
    plan = target.plan(mount)
    others = [
        replace(plan, driver="other.sys"),
        replace(plan, actions=plan.actions[:-1]),
        replace(plan, preconditions=plan.preconditions[1:]),
        replace(plan, reason="another"),
    ]
    digests = {plan_json.digest(one) for one in (plan, *others)}
    assert len(digests) == 5


def test_an_edited_plan_is_refused(mount: Path) -> None:
    fields = json.loads(plan_json.to_json(target.plan(mount)))
    fields["driver"] = "ntfs.sys"
    with pytest.raises(FormatError, match="edited"):
        plan_json.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"digest": ""}', "[" * 100_000, '{"actions": [{"do": "x"}]}']
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        plan_json.from_json(text)


def _keys(count: int, name: str) -> tuple[RegistryChange, ...]:
    key = f"{target.SERVICE}\\{name}"
    return tuple(KeyChange(f"{key}{number:05}", None, RegistryKey()) for number in range(count))


def _values(count: int, size: int) -> tuple[RegistryChange, ...]:
    data = RegistryData(3, bytes(size))
    return tuple(ValueChange(target.SERVICE, f"v{n}", None, data) for n in range(count))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(_keys(400, "k"), id="keys"),
        pytest.param(_keys(150, "\u00e4" * 200), id="keys of long names"),
        pytest.param(_values(300, 4), id="numbers"),
        pytest.param(_values(50, 9000), id="data"),
        pytest.param(_values(1, 500_000), id="much data"),
    ],
)
def test_no_more_room_is_taken(mount: Path, changes: tuple[RegistryChange, ...]) -> None:
    """By a repair and by its undo after Windows has run, without the margin."""
    wanted = {target.SYSTEM: changes}
    plan = registry_plan.make(target.install(mount), wanted, title="t", reason="r")
    assert plan is not None
    before = _used(mount)
    transaction.apply(target.install(mount), plan, now=target.NOW)
    since = _used(mount)
    target.set_value(mount, "ControlSet001\\Services\\good", "Start", 3)
    windows = _used(mount) - since
    undo.undo(mount)
    assert since < _used(mount) - windows
    assert _used(mount) - windows - before < plan.space_needed - edits.MARGIN + (64 << 10)


def _used(mount: Path) -> int:
    return sum(path.stat().st_size for path in mount.rglob("*") if path.is_file())


def content_suspect(path: str = "Windows/System32/drivers/acme/C-00000291.dat") -> Suspect:
    finding = Finding("C-00000291.dat", "content-changed", 50, "It was written then.", ())
    return Suspect(
        "C-00000291.dat",
        "acme",
        Verdict.CULPRIT,
        125,
        (finding,),
        path,
        kind=Kind.CONTENT,
    )


def test_a_data_file_is_moved_and_its_driver_stays(mount: Path) -> None:
    path = mount / "Windows/System32/drivers/acme/C-00000291.dat"
    path.parent.mkdir()
    path.write_bytes(b"\xaa" * 4096)
    loaded, _ = hives.load(mount / target.SYSTEM)
    before = target.state(mount)
    made = planning.make(target.install(mount), content_suspect(), [target.service()], loaded)
    assert isinstance(made, Plan), made
    (action,) = made.actions
    assert isinstance(action, QuarantineFile)
    assert action.path.endswith("C-00000291.dat")
    info = transaction.apply(target.install(mount), made, now=target.NOW)
    assert not path.exists()
    after = target.state(mount)
    assert set(before) - set(after) == {path.relative_to(mount).as_posix()}
    assert all(before[name] == after[name] for name in after)
    undo.undo(mount, info.id)
    assert target.state(mount) == before


def test_a_data_file_that_is_gone_or_linked_is_refused(mount: Path) -> None:
    loaded, _ = hives.load(mount / target.SYSTEM)
    gone = planning.make(target.install(mount), content_suspect(), [target.service()], loaded)
    assert isinstance(gone, Refusal)
    path = mount / "Windows/System32/drivers/acme/C-00000291.dat"
    path.parent.mkdir()
    path.write_bytes(b"\xaa" * 4096)
    (path.parent / "twin.dat").hardlink_to(path)
    (path.parent / "third.dat").hardlink_to(path)
    linked = planning.make(target.install(mount), content_suspect(), [target.service()], loaded)
    assert isinstance(linked, Refusal)
    assert "hard links" in linked.reason


@pytest.mark.parametrize("kind", [Kind.STORAGE, Kind.FILTER])
def test_what_disabling_would_not_mend_is_refused(mount: Path, kind: Kind) -> None:
    loaded, _ = hives.load(mount / target.SYSTEM)
    accused = replace(target.suspect(), kind=kind)
    made = planning.make(target.install(mount), accused, [target.service()], loaded)
    assert isinstance(made, Refusal)
