"""A good file in the place of a bad one, or of none: applied, refused, cut, taken back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.errors import RecoveryKitError, RollbackError, TargetRefusedError
from recoverykit.host import ntfs_metadata
from recoverykit.model import FileState, InstallFile, Plan, TransactionInfo
from recoverykit.repair import plan as planning
from recoverykit.repair import state, transaction, undo
from tests.conftest import mounts, need
from tests.golden import volume
from tests.repair import target
from tests.repair.power import PowerCut, cut, failing, operations, tears

GOOD = b"MZ a good driver" * 700
SUPPLY = {hashlib.sha256(GOOD).hexdigest(): GOOD}
LOST = "Windows/System32/drivers/lost.sys"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is durable is decided by the cuts, not by the disk under the tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    return fresh(tmp_path / "disk")


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target.build(folder)
    return folder


def replacing(mount: Path, path: str = target.DRIVER) -> Plan:
    (digest,) = SUPPLY
    new = FileState(path, digest, len(GOOD))
    return planning.replacing(target.install(mount), target.suspect(), path, new, "DriverStore")


def apply(
    mount: Path, plan: Plan | None = None, supply: Mapping[str, bytes] | None = None
) -> TransactionInfo:
    return transaction.apply(
        target.install(mount),
        plan or replacing(mount),
        now=target.NOW,
        supply=SUPPLY if supply is None else supply,
    )


def kept(mount: Path, info: TransactionInfo) -> Path:
    """Where the old file is."""
    return mount / info.folder / "quarantine" / "acme filter.sys"


# --- done and undone ----------------------------------------------------------------------


def test_the_old_file_is_kept_and_comes_back(mount: Path) -> None:
    before, number = target.state(mount), (mount / target.DRIVER).stat().st_ino
    info = apply(mount)
    assert (mount / target.DRIVER).read_bytes() == GOOD
    assert kept(mount, info).stat().st_ino == number  # moved, never written to
    assert info.changed == (target.DRIVER,)
    after = target.state(mount)
    assert {name for name in before if before[name] != after[name]} == {target.DRIVER}
    undo.undo(mount)
    assert target.state(mount) == before
    assert (mount / target.DRIVER).stat().st_ino == number


def test_a_missing_file_is_made_and_taken_away_again(mount: Path) -> None:
    before = target.state(mount)
    plan = replacing(mount, LOST)
    assert isinstance(plan.actions[0], InstallFile)
    assert plan.actions[0].before == ""
    assert "put back" in plan.title
    apply(mount, plan)
    assert (mount / LOST).read_bytes() == GOOD
    undo.undo(mount)
    assert target.state(mount) == before


def test_a_replacement_of_a_replacement(mount: Path) -> None:
    before = target.state(mount)
    first = apply(mount)
    newer = GOOD + b"newer"
    digest = hashlib.sha256(newer).hexdigest()
    new = FileState(target.DRIVER, digest, len(newer))
    plan = planning.replacing(
        target.install(mount), target.suspect(), target.DRIVER, new, "a folder"
    )
    second = apply(mount, plan, {digest: newer})
    with pytest.raises(TargetRefusedError, match="another file stands"):
        undo.undo(mount, first.id)
    undo.undo(mount, second.id)
    assert (mount / target.DRIVER).read_bytes() == GOOD
    undo.undo(mount, first.id)
    assert target.state(mount) == before


def test_links_keep_the_old_bytes_and_come_together_again(mount: Path) -> None:
    twin = mount / "Windows" / "twin.sys"
    twin.hardlink_to(mount / target.DRIVER)
    before, old = target.state(mount), twin.read_bytes()
    plan = replacing(mount)
    assert [(one.what, one.changed) for one in plan.decisions] == [
        ("driver file", True),
        ("hard link", False),
    ]
    apply(mount, plan)
    assert (twin.read_bytes(), (mount / target.DRIVER).read_bytes()) == (old, GOOD)
    undo.undo(mount)
    assert target.state(mount) == before
    assert twin.samefile(mount / target.DRIVER)


def test_a_hive_that_cannot_be_read_forbids_nothing(mount: Path) -> None:
    (mount / target.SYSTEM).write_bytes(b"no hive")
    before, plan = target.state(mount), replacing(mount)
    assert "is not known" in plan.decisions[0].reason
    apply(mount, plan)
    undo.undo(mount)
    assert target.state(mount) == before


# --- refused ------------------------------------------------------------------------------


def _nothing(_: Path) -> None:
    pass


def _changed(mount: Path) -> None:
    (mount / target.DRIVER).write_bytes(b"MZ another")


def _gone(mount: Path) -> None:
    (mount / target.DRIVER).unlink()


def _appeared(mount: Path) -> None:
    (mount / LOST).write_bytes(b"MZ another")


@pytest.mark.parametrize(
    ("path", "between", "supply", "said"),
    [
        (target.DRIVER, _nothing, {}, "not at hand"),
        (target.DRIVER, _nothing, {next(iter(SUPPLY)): b"MZ other"}, "not at hand"),
        (target.DRIVER, _changed, SUPPLY, "no longer what the plan saw"),
        (target.DRIVER, _gone, SUPPLY, "no longer what the plan saw"),
        (LOST, _appeared, SUPPLY, "no longer what the plan saw"),
    ],
)
def test_refused_with_nothing_changed(
    mount: Path,
    path: str,
    between: Callable[[Path], None],
    supply: Mapping[str, bytes],
    said: str,
) -> None:
    plan = replacing(mount, path)
    between(mount)
    before = target.state(mount)
    with pytest.raises(RecoveryKitError, match=said):
        apply(mount, plan, supply)
    assert target.state(mount) == before
    assert not (mount / "RecoveryKit").exists()


def test_the_same_bytes_are_no_replacement(mount: Path) -> None:
    (mount / target.DRIVER).write_bytes(GOOD)
    with pytest.raises(RecoveryKitError, match="not at hand"):
        apply(mount)


@pytest.mark.parametrize(
    "path", ["../outside.sys", "Windows/../../x.sys", "/etc/x.sys", "Windows/System32/drivers:x"]
)
def test_a_place_outside_the_volume_is_refused(mount: Path, path: str) -> None:
    plan = replacing(mount, LOST)
    (action,) = plan.actions
    assert isinstance(action, InstallFile)
    state_of = replace(plan.preconditions[0], path=path)
    hostile = replace(plan, actions=(replace(action, path=path),), preconditions=(state_of,))
    before = target.state(mount)
    with pytest.raises(RecoveryKitError):
        apply(mount, hostile)
    assert target.state(mount) == before
    assert not (mount.parent / "outside.sys").exists()


def test_a_junction_on_the_way_is_refused(mount: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (mount / "Windows" / "link").symlink_to(elsewhere)
    with pytest.raises(RecoveryKitError):
        apply(mount, replacing(mount, "Windows/link/acme.sys"))
    assert not list(elsewhere.iterdir())


# --- undo, after somebody else was at work ------------------------------------------------


def _updated(mount: Path, _: TransactionInfo) -> None:
    (mount / target.DRIVER).write_bytes(b"MZ of Windows Update")


def _emptied_and_damaged(mount: Path, info: TransactionInfo) -> None:
    kept(mount, info).unlink()
    (mount / info.folder / "0000.before").write_bytes(b"zeros")


@pytest.mark.parametrize(
    ("since", "said"),
    [(_updated, "another file stands"), (_emptied_and_damaged, "neither")],
)
def test_undo_refuses_what_it_cannot_know(
    mount: Path, since: Callable[[Path, TransactionInfo], None], said: str
) -> None:
    since(mount, apply(mount))
    before = target.state(mount)
    with pytest.raises(TargetRefusedError, match=said):
        undo.undo(mount)
    assert target.state(mount) == before


def test_undo_of_a_file_that_was_deleted_since(mount: Path) -> None:
    before = target.state(mount)
    apply(mount)
    (mount / target.DRIVER).unlink()
    undo.undo(mount)
    assert target.state(mount) == before


def _emptied(_: Path, quarantined: Path) -> None:
    quarantined.unlink()


def _removed(_: Path, quarantined: Path) -> None:
    shutil.rmtree(quarantined.parent)


def _altered(_: Path, quarantined: Path) -> None:
    quarantined.write_bytes(b"MZ something else")


def _deleted_as_well(new: Path, quarantined: Path) -> None:
    quarantined.unlink()
    new.unlink()


@pytest.mark.parametrize("since", [_emptied, _removed, _altered, _deleted_as_well])
def test_undo_from_the_copy(mount: Path, since: Callable[[Path, Path], None]) -> None:
    before = target.state(mount)
    since(mount / target.DRIVER, kept(mount, apply(mount)))
    undo.undo(mount)
    assert target.state(mount) == before


@pytest.mark.parametrize("since", [_emptied, _altered])
def test_any_cut_of_undo_from_the_copy(tmp_path: Path, since: Callable[[Path, Path], None]) -> None:
    mount = fresh(tmp_path / "disk")
    before = target.state(mount)
    since(mount / target.DRIVER, kept(mount, apply(mount)))
    _require_any_cut_of_undo(mount, before)


def test_undo_of_a_made_file_that_is_gone(mount: Path) -> None:
    before = target.state(mount)
    apply(mount, replacing(mount, LOST))
    (mount / LOST).unlink()
    undo.undo(mount)
    assert target.state(mount) == before


# --- the plug is pulled -------------------------------------------------------------------

PATHS = pytest.mark.parametrize("path", [target.DRIVER, LOST])


def _every_cut(names: list[str]) -> list[tuple[int, int | None]]:
    lost: list[tuple[int, int | None]] = [(at, None) for at in range(len(names))]
    return lost + [(at, tear) for at, name in enumerate(names) for tear in range(tears(name))]


@PATHS
def test_any_cut_of_apply_is_taken_back(tmp_path: Path, path: str) -> None:
    with operations(lambda *_: None) as names:
        apply(fresh(tmp_path / "disk"), replacing(tmp_path / "disk", path))
    cuts = _every_cut(list(names))
    assert len(cuts) > 30
    for at, tear in cuts:
        mount = fresh(tmp_path / "disk")
        before, plan = target.state(mount), replacing(mount, path)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            apply(mount, plan)
        for seen in transaction.history(mount):
            if seen.state != "undone":
                undo.undo(mount)
        assert target.state(mount) == before, (at, tear)


@PATHS
def test_any_cut_of_undo_can_go_on(tmp_path: Path, path: str) -> None:
    mount = fresh(tmp_path / "disk")
    before = target.state(mount)
    apply(mount, replacing(mount, path))
    _require_any_cut_of_undo(mount, before)


def _require_any_cut_of_undo(mount: Path, before: target.State) -> None:
    applied = mount.with_name("applied")
    shutil.copytree(mount, applied, symlinks=True)
    with operations(lambda *_: None) as names:
        undo.undo(mount)
    for at, tear in _every_cut(list(names)):
        shutil.rmtree(mount)
        shutil.copytree(applied, mount, symlinks=True)
        with operations(cut(at, tear)), pytest.raises(PowerCut):
            undo.undo(mount)
        if transaction.history(mount)[0].state != "undone":
            undo.undo(mount)
        assert target.state(mount) == before, (at, tear)


@PATHS
@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
def test_any_failure_is_rolled_back_or_told(tmp_path: Path, path: str, *, once: bool) -> None:
    with operations(lambda *_: None) as names:
        apply(fresh(tmp_path / "disk"), replacing(tmp_path / "disk", path))
    for at in range(len(names)):
        mount = fresh(tmp_path / "disk")
        before, plan = target.state(mount), replacing(mount, path)
        with operations(failing(at, 5, once=once)), pytest.raises(RecoveryKitError) as caught:
            apply(mount, plan)
        if isinstance(caught.value, RollbackError):
            assert not once
            undo.undo(mount)
        assert target.state(mount) == before, at


# --- on NTFS ------------------------------------------------------------------------------


@mounts
@need("mkntfs", "ntfs-3g")
@pytest.mark.disk
@pytest.mark.parametrize(
    ("name", "short", "links", "linked", "keeps"),
    [
        ("acme.sys", b"ACME.SYS", 1, False, True),
        ("acme.sys", None, 1, False, True),
        ("acme.sys", b"ACME.SYS", 2, True, True),
        ("acme filter.sys", b"ACMEFI~1.SYS", 1, False, True),
        ("acme filter.sys", b"ACMEFI~1.SYS", 2, True, False),
        ("acme filter.sys", None, 2, True, True),
        ("acme+b.sys", b"ACME_B~1.SYS", 1, False, True),
        ("äcme.sys", b"CME~1.SYS", 1, False, True),
        ("äcme.sys", b"CME~1.SYS", 2, True, False),
    ],
)
def test_links_and_short_names(
    tmp_path: Path, name: str, short: bytes | None, links: int, *, linked: bool, keeps: bool
) -> None:
    """A short name apart from the long one is a link to ntfs-3g, and is lost with others."""
    image = tmp_path / "disk.img"
    volume.make(image)
    with volume.mounted(image, write=True) as root:
        path = root / name
        path.write_bytes(b"MZ")
        if short is not None:
            ntfs_metadata.set_short_name(path, short)
        if links > 1:
            (root / "another name of it").hardlink_to(path)
        assert state.is_linked(path) is linked
        assert state.can_be_put_back(path) is not linked
        assert state.keeps_short_name(path) is keeps
        path.rename(root / "away")
        (root / "away").rename(path)
        came_back = ntfs_metadata.read(path).short_name is None
        assert came_back  # it is gone, whatever it was; undo sets it anew where it can
        if short is not None and links == 1:
            ntfs_metadata.set_short_name(path, short)
            assert ntfs_metadata.read(path).short_name == short
