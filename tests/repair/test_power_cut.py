"""The power goes at every durable operation, lost or torn, of apply and of undo."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import pytest

from recoverykit.formats.hive import Hive
from recoverykit.model import Plan, TransactionInfo
from recoverykit.repair import hives, transaction, undo
from tests.builders import hive as builder
from tests.formats.hives import content as hives_content
from tests.independent import registry as hivex
from tests.repair import target
from tests.repair.power import PowerCut, cut, operations, splits_a_sector, tears

SAMPLE = 60
LATER = target.NOW + timedelta(days=1)
Registry = Mapping[str, Mapping[str, hivex.Value]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A hive, and what a plan does to it."""

    prepare: Callable[[Path], None] = lambda _: None
    plan: Callable[[Path], Plan] = target.plan

    def apply(self, mount: Path) -> TransactionInfo:
        install = target.install(mount)
        return transaction.apply(install, self.plan(mount), now=LATER, report=b"{}")


grows = partial(target.soil, grow=True)
# Only numbers change: written in place, unless the log of a dirty hive made it grow.
NUMBERS = [
    pytest.param(Scene(), id="clean"),
    pytest.param(Scene(target.soil), id="dirty"),
    pytest.param(Scene(grows), id="dirty, grows"),
]
# Keys and values come and go: written through the log.
RICH = [
    pytest.param(Scene(plan=target.rich_plan), id="rich"),
    pytest.param(Scene(grows, target.rich_plan), id="rich, dirty, grows"),
]
SCENES = [*NUMBERS, *RICH]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is durable is decided by the cuts, not by the disk under the tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def fresh(folder: Path, scene: Scene) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target.build(folder)
    scene.prepare(folder)
    return folder


def every_cut(names: list[str]) -> list[tuple[int, int | None]]:
    """Each operation lost, and torn in every way; of many ways a sample, or all of them where the
    environment asks for it (RECOVERYKIT_ALL_CUTS=1, some minutes)."""
    lost: list[tuple[int, int | None]] = [(at, None) for at in range(len(names))]
    torn = [(at, tear) for at, name in enumerate(names) for tear in range(tears(name))]
    if len(torn) > SAMPLE and not os.environ.get("RECOVERYKIT_ALL_CUTS"):
        torn = random.Random(20240719).sample(torn, SAMPLE)
    return [*lost, *torn]


def bootable(mount: Path) -> bool:
    """Never: a service that is wanted, and its file gone. (No hive at all is undo's business.)"""
    if not (mount / target.SYSTEM).exists():
        return True
    return (mount / target.DRIVER).exists() or target.start(mount) == target.OFF


def state(mount: Path) -> tuple[target.State, list[int]]:
    files = [mount / f"{target.SYSTEM}{suffix}" for suffix in ("", ".LOG1", ".LOG2")]
    return target.state(mount), [file.stat().st_mtime_ns for file in files]


def recover(mount: Path) -> None:
    """The next boot of the recovery medium; a repair that was just committed is taken back too."""
    for seen in transaction.history(mount):
        assert seen.state in ("abandoned", "committed", "undone"), seen
        if seen.state != "undone":
            undo.undo(mount)
    assert transaction.abandoned(mount) is None


@pytest.mark.parametrize("scene", SCENES)
def test_any_cut_during_apply_can_be_undone(tmp_path: Path, scene: Scene) -> None:
    mount = fresh(tmp_path / "disk", scene)
    with operations(lambda *_: None) as names:
        scene.apply(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 60  # the table is not empty

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk", scene)
        before = state(mount)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            scene.apply(mount)
        if not splits_a_sector(names[at], tear):
            assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert state(mount) == before, (at, tear, names[at])
        assert scene.apply(mount).state == "committed"  # and the repair can be made after all


@pytest.mark.parametrize("scene", SCENES)
def test_any_cut_during_undo_can_be_undone(tmp_path: Path, scene: Scene) -> None:
    mount = fresh(tmp_path / "disk", scene)
    scene.apply(mount)
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 15

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk", scene)
        before = state(mount)
        scene.apply(mount)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            undo.undo(mount)
        if not splits_a_sector(names[at], tear):
            assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert state(mount) == before, (at, tear, names[at])


# --- what Windows would find --------------------------------------------------------------


@cache
def registry_of(image: bytes, scratch: Path) -> Registry:
    """Every value as hivex reads it."""
    path = scratch / hashlib.sha256(image).hexdigest()
    path.write_bytes(image)
    return {key: dict(entry.values) for key, entry in hivex.registry(path).items()}


def repaired(
    before: Registry,
) -> dict[tuple[str, str], tuple[hivex.Value, hivex.Value]]:
    """The values the plan changes, as they were and as they will be."""
    off = (4, target.OFF.hex())
    return {
        (key, name): (before[key][name], off)
        for key, name in ((target.SERVICE, "Start"), (target.OVERRIDE, "0"))
    }


@pytest.mark.parametrize("undoing", [False, True], ids=["apply", "undo"])
@pytest.mark.parametrize("scene", NUMBERS[:2])
def test_every_cut_leaves_a_hive_that_loads(tmp_path: Path, scene: Scene, *, undoing: bool) -> None:
    """At every moment: a clean hive is clean, a dirty one whole with its logs; and every value is
    the old or the new one where it was to change, and the old one everywhere else."""
    mount = fresh(tmp_path / "disk", scene)
    old = (mount / target.SYSTEM).read_bytes()
    before = registry_of(bytes(hives.load(mount / target.SYSTEM)[1].data), tmp_path)
    planned = repaired(before)
    if undoing:
        scene.apply(mount)
    verb = undo.undo if undoing else scene.apply
    with operations(lambda *_: None) as names:
        verb(mount)
    assert "patch" in names
    seen: set[bytes] = set()
    for moment, tear in every_cut(list(names)):
        if splits_a_sector(names[moment], tear):
            continue
        mount = fresh(tmp_path / "disk", scene)
        if undoing:
            scene.apply(mount)
        with operations(cut(moment, tear)), pytest.raises(PowerCut):
            verb(mount)
        content = (mount / target.SYSTEM).read_bytes()
        seen.add(content)
        assert Hive(content).base.clean or not Hive(old).base.clean
        _, recovery = hives.load(mount / target.SYSTEM)
        found = registry_of(bytes(recovery.data), tmp_path)
        for (key, name), allowed in planned.items():
            assert found[key][name] in allowed, (moment, tear)
        assert without(found, planned) == without(before, planned), (moment, tear)
    assert len(seen) > 4  # states in between were seen


@pytest.mark.parametrize("undoing", [False, True], ids=["apply", "undo"])
@pytest.mark.parametrize("scene", [*RICH, NUMBERS[2]])
def test_every_cut_leaves_the_old_hive_or_the_new_one(
    tmp_path: Path, scene: Scene, *, undoing: bool
) -> None:
    """Through the log: not a mixture of values, but one of two hives."""
    mount = fresh(tmp_path / "disk", scene)
    whole = [bytes(hives.load(mount / target.SYSTEM)[1].data)]
    scene.apply(mount)
    whole.append(bytes(hives.load(mount / target.SYSTEM)[1].data))
    old, new = (registry_of(image, tmp_path) for image in whole)
    assert old != new
    if not undoing:
        mount = fresh(tmp_path / "disk", scene)
    verb = undo.undo if undoing else scene.apply
    with operations(lambda *_: None) as names:
        verb(mount)
    seen = []
    for moment, tear in every_cut(list(names)):
        if splits_a_sector(names[moment], tear):
            continue
        mount = fresh(tmp_path / "disk", scene)
        if undoing:
            scene.apply(mount)
        with operations(cut(moment, tear)), pytest.raises(PowerCut):
            verb(mount)
        found = registry_of(bytes(hives.load(mount / target.SYSTEM)[1].data), tmp_path)
        assert found in (old, new), (moment, tear)
        seen.append(found == new)
    assert any(seen)
    assert not all(seen)


def without(
    found: Registry, planned: Mapping[tuple[str, str], object]
) -> dict[tuple[str, str], hivex.Value]:
    return {
        (key, name): value
        for key, values in found.items()
        for name, value in values.items()
        if (key, name) not in planned
    }


# --- Windows has run since ----------------------------------------------------------------


def _windows_ran(mount: Path) -> None:
    target.set_value(mount, "ControlSet001\\Services\\good", "Start", 3)


def _windows_was_cut(mount: Path) -> None:
    """It ran, and its last changes are in the log only."""
    whole = (mount / target.SYSTEM).read_bytes()
    _dirty(mount, whole, target.poked(whole, "ControlSet001\\Services\\good", "Start", 3))


def _windows_was_cut_and_the_hive_grew(mount: Path) -> None:
    whole = (mount / target.SYSTEM).read_bytes()
    _windows_ran(mount)
    changed = (mount / target.SYSTEM).read_bytes()
    assert len(changed) > len(whole)
    _dirty(mount, whole, changed)


def _dirty(mount: Path, whole: bytes, changed: bytes) -> None:
    primary, log = builder.dirty_with_log(whole, changed)
    (mount / target.SYSTEM).write_bytes(primary)
    (mount / f"{target.SYSTEM}.LOG1").write_bytes(log)


def _spread(mount: Path) -> None:
    (mount / target.SYSTEM).write_bytes(target.spread_hive())


@pytest.mark.parametrize("plan", [target.plan, target.rich_plan], ids=["numbers", "rich"])
@pytest.mark.parametrize(
    "since", [_windows_ran, _windows_was_cut, _windows_was_cut_and_the_hive_grew]
)
def test_any_cut_during_an_undo_by_value(
    tmp_path: Path, since: Callable[[Path], None], plan: Callable[[Path], Plan]
) -> None:
    """The hive is not what we left, and what Windows wrote must stay."""
    scene = Scene(_spread, plan)
    untouched = fresh(tmp_path / "untouched", scene)
    since(untouched)
    expected = said(untouched)
    mount = fresh(tmp_path / "disk", scene)
    scene.apply(mount)
    since(mount)
    logs = [f"{target.SYSTEM}{suffix}" for suffix in ("", ".LOG1")]
    left = {name: (mount / name).read_bytes() for name in logs}
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 30

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk", scene)
        scene.apply(mount)
        for name, content in left.items():
            (mount / name).write_bytes(content)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            undo.undo(mount)
        if not splits_a_sector(names[at], tear):
            assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert said(mount) == expected, (at, tear, names[at])
        assert (mount / target.DRIVER).exists(), (at, tear, names[at])


def said(mount: Path) -> dict[str, object]:
    """Every key and value, without times, as we read them: one of them was just written."""
    loaded, _ = hives.load(mount / target.SYSTEM)
    return {key: sorted(values) for key, (_, values) in hives_content(loaded).items()}


@pytest.mark.parametrize("scene", SCENES)
def test_cut_upon_cut(tmp_path: Path, scene: Scene) -> None:
    """Apply is cut, then the undo of it is cut, then the undo of that."""
    mount = fresh(tmp_path / "disk", scene)
    with operations(lambda *_: None) as names:
        scene.apply(mount)
    first_cuts = [
        [(at, tear) for tear in (None, *range(tears(name)))] for at, name in enumerate(names)
    ]
    rng = random.Random(20240719)
    interrupted = 0
    for _ in range(60):
        mount = fresh(tmp_path / "disk", scene)
        before = state(mount)
        with operations(cut(*rng.choice(rng.choice(first_cuts)))), pytest.raises(PowerCut):
            scene.apply(mount)
        for _ in range(2):
            second = cut(rng.randrange(6), rng.choice((None, 0, 1, 2, 3, rng.randrange(44))))
            with operations(second):
                try:
                    recover(mount)
                except PowerCut:
                    interrupted += 1
        recover(mount)
        assert state(mount) == before
    assert interrupted > 20
