"""The power goes at every durable operation, lost or torn, of apply and of undo."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import pytest

from recoverykit.formats.hive import Hive
from recoverykit.model import TransactionInfo
from recoverykit.repair import hives, transaction, undo
from tests.builders import hive as builder
from tests.independent import registry as hivex
from tests.repair import target
from tests.repair.power import PowerCut, cut, operations, splits_a_sector, tears

LATER = target.NOW + timedelta(days=1)
Registry = Mapping[str, Mapping[str, hivex.Value]]
Scene = Callable[[Path], None]
# A clean hive and one that its log makes whole are patched; one that grows is replaced.
SCENES = [
    pytest.param(lambda _: None, id="clean"),
    pytest.param(target.soil, id="dirty"),
    pytest.param(partial(target.soil, grow=True), id="dirty, grows"),
]


def apply(mount: Path) -> TransactionInfo:
    plan = target.plan(mount)
    return transaction.apply(target.install(mount), plan, now=LATER, report=b"{}")


def fresh(folder: Path, scene: Scene) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target.build(folder)
    scene(folder)
    return folder


def every_cut(names: list[str]) -> list[tuple[int, int | None]]:
    return [(at, tear) for at, name in enumerate(names) for tear in (None, *range(tears(name)))]


def bootable(mount: Path) -> bool:
    """Never: a service that is wanted, and its file gone. (No hive at all is undo's business.)"""
    if not (mount / target.SYSTEM).exists():
        return True
    return (mount / target.DRIVER).exists() or target.start(mount) == target.OFF


def state(mount: Path) -> tuple[target.State, int]:
    return target.state(mount), (mount / target.SYSTEM).stat().st_mtime_ns


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
        apply(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 60  # the table is not empty

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk", scene)
        before = state(mount)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            apply(mount)
        if not splits_a_sector(names[at], tear):
            assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert state(mount) == before, (at, tear, names[at])
        assert apply(mount).state == "committed"  # and the repair can be made after all


@pytest.mark.parametrize("scene", SCENES)
def test_any_cut_during_undo_can_be_undone(tmp_path: Path, scene: Scene) -> None:
    mount = fresh(tmp_path / "disk", scene)
    apply(mount)
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 15

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk", scene)
        before = state(mount)
        apply(mount)
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


@pytest.mark.parametrize("verb", [apply, undo.undo], ids=["apply", "undo"])
@pytest.mark.parametrize("scene", SCENES[:2])
def test_every_cut_leaves_a_hive_that_loads(
    tmp_path: Path, scene: Scene, verb: Callable[[Path], object]
) -> None:
    """At every moment: a clean hive is clean, a dirty one whole with its logs; and every value is
    the old or the new one where it was to change, and the old one everywhere else."""
    mount = fresh(tmp_path / "disk", scene)
    old = (mount / target.SYSTEM).read_bytes()
    before = registry_of(bytes(hives.load(mount / target.SYSTEM)[1].data), tmp_path)
    planned = repaired(before)
    if verb is not apply:
        apply(mount)
    with operations(lambda *_: None) as names:
        verb(mount)
    assert "patch" in names
    seen: set[bytes] = set()
    for moment, tear in every_cut(list(names)):
        if splits_a_sector(names[moment], tear):
            continue
        mount = fresh(tmp_path / "disk", scene)
        if verb is not apply:
            apply(mount)
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
    assert len(seen) > 6  # states in between were seen


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


@pytest.mark.parametrize(
    ("since", "how"),
    [
        (_windows_ran, "patch"),
        (_windows_was_cut, "patch"),
        (_windows_was_cut_and_the_hive_grew, "replace"),
    ],
)
def test_any_cut_during_an_undo_by_value(tmp_path: Path, since: Scene, how: str) -> None:
    """The hive is not what we left, and what Windows wrote must stay."""

    def scene(mount: Path) -> None:
        (mount / target.SYSTEM).write_bytes(target.spread_hive())

    mount = fresh(tmp_path / "disk", scene)
    apply(mount)
    since(mount)
    logs = [f"{target.SYSTEM}{suffix}" for suffix in ("", ".LOG1")]
    left = {name: (mount / name).read_bytes() for name in logs}
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    assert how in names
    wanted = values(mount)
    assert wanted == {"acme": target.BOOT, "good": b"\3\0\0\0"}
    cuts = every_cut(list(names))
    assert len(cuts) > 30

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk", scene)
        apply(mount)
        for name, content in left.items():
            (mount / name).write_bytes(content)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            undo.undo(mount)
        if not splits_a_sector(names[at], tear):
            assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert values(mount) == wanted, (at, tear, names[at])
        assert (mount / target.DRIVER).exists(), (at, tear, names[at])


def values(mount: Path) -> dict[str, bytes]:
    loaded, _ = hives.load(mount / target.SYSTEM)
    found = {}
    for name in ("acme", "good"):
        key = loaded.find(f"ControlSet001\\Services\\{name}")
        value = key.value("Start") if key else None
        assert value is not None
        found[name] = bytes(value.data)
    return found


@pytest.mark.parametrize("scene", SCENES)
def test_cut_upon_cut(tmp_path: Path, scene: Scene) -> None:
    """Apply is cut, then the undo of it is cut, then the undo of that."""
    mount = fresh(tmp_path / "disk", scene)
    with operations(lambda *_: None) as names:
        apply(mount)
    first_cuts = [
        [(at, tear) for tear in (None, *range(tears(name)))] for at, name in enumerate(names)
    ]
    rng = random.Random(20240719)
    interrupted = 0
    for _ in range(150):
        mount = fresh(tmp_path / "disk", scene)
        before = state(mount)
        with operations(cut(*rng.choice(rng.choice(first_cuts)))), pytest.raises(PowerCut):
            apply(mount)
        for _ in range(2):
            second = cut(rng.randrange(6), rng.choice((None, 0, 1, 2, 3, rng.randrange(44))))
            with operations(second):
                try:
                    recover(mount)
                except PowerCut:
                    interrupted += 1
        recover(mount)
        assert state(mount) == before
    assert interrupted > 50
