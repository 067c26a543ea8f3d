"""The power goes at every durable operation, lost or torn, of apply and of undo."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from recoverykit.model import TransactionInfo
from recoverykit.repair import hives, transaction, undo
from tests.repair import target
from tests.repair.power import PowerCut, cut, operations, tears


def apply(mount: Path) -> TransactionInfo:
    plan = target.plan(mount)
    return transaction.apply(target.install(mount), plan, now=target.NOW, report=b"{}")


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target.build(folder)
    return folder


def every_cut(names: list[str]) -> list[tuple[int, int | None]]:
    return [(at, tear) for at, name in enumerate(names) for tear in (None, *range(tears(name)))]


def bootable(mount: Path) -> bool:
    """Never: a service that is wanted, and its file gone. (No hive at all is undo's business.)"""
    if not (mount / target.SYSTEM).exists():
        return True
    return (mount / target.DRIVER).exists() or target.start(mount) == target.OFF


def recover(mount: Path) -> None:
    """The next boot of the recovery medium; a repair that was just committed is taken back too."""
    for seen in transaction.history(mount):
        assert seen.state in ("abandoned", "committed", "undone"), seen
        if seen.state != "undone":
            undo.undo(mount)
    assert transaction.abandoned(mount) is None


def test_any_cut_during_apply_can_be_undone(tmp_path: Path) -> None:
    mount = fresh(tmp_path / "disk")
    before = target.state(mount)
    with operations(lambda *_: None) as names:
        apply(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 60  # the table is not empty

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk")
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            apply(mount)
        assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert target.state(mount) == before, (at, tear, names[at])
        assert apply(mount).state == "committed"  # and the repair can be made after all


def test_any_cut_during_undo_can_be_undone(tmp_path: Path) -> None:
    mount = fresh(tmp_path / "disk")
    before = target.state(mount)
    apply(mount)
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 15

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk")
        apply(mount)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            undo.undo(mount)
        assert bootable(mount), (at, tear, names[at])
        recover(mount)
        assert target.state(mount) == before, (at, tear, names[at])


def test_any_cut_during_an_undo_by_value(tmp_path: Path) -> None:
    """Windows has run since: the hive is not what we left, and what it wrote must stay."""

    mount = fresh(tmp_path / "disk")
    apply(mount)
    target.set_value(mount, "ControlSet001\\Services\\good", "Start", 3)
    since = (mount / target.SYSTEM).read_bytes()
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    wanted = values(mount)
    cuts = every_cut(list(names))
    assert len(cuts) > 30

    for at, tear in cuts:
        mount = fresh(tmp_path / "disk")
        apply(mount)
        (mount / target.SYSTEM).write_bytes(since)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            undo.undo(mount)
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


def test_cut_upon_cut(tmp_path: Path) -> None:
    """Apply is cut, then the undo of it is cut, then the undo of that."""
    mount = fresh(tmp_path / "disk")
    before = target.state(mount)
    with operations(lambda *_: None) as names:
        apply(mount)
    first_cuts = every_cut(list(names))
    rng = random.Random(20240719)
    interrupted = 0
    for _ in range(150):
        mount = fresh(tmp_path / "disk")
        with operations(cut(*rng.choice(first_cuts))), pytest.raises(PowerCut):
            apply(mount)
        for _ in range(2):
            second = cut(rng.randrange(12), rng.choice((None, 0, 1, 2, 3)))
            with operations(second):
                try:
                    recover(mount)
                except PowerCut:
                    interrupted += 1
        recover(mount)
        assert target.state(mount) == before
    assert interrupted > 50
