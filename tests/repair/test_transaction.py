"""Applying a plan: what must hold before, what is left after, and what a failing disk does."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recoverykit.errors import (
    FormatError,
    RecoveryKitError,
    RollbackError,
    TargetRefusedError,
)
from recoverykit.formats import hive_files
from recoverykit.host import lock
from recoverykit.model import (
    FileState,
    Plan,
    QuarantineFile,
    RegistryData,
    Service,
    TransactionInfo,
    ValueChange,
)
from recoverykit.repair import hives, journal, plan_json, transaction, undo
from recoverykit.repair import plan as planning
from recoverykit.repair.state import file_state
from tests.conftest import REPOSITORY, read_real, real
from tests.independent import registry as hivex
from tests.repair import target
from tests.repair.power import failing, operations


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    target.build(path)
    return path


def apply(mount: Path, plan: Plan | None = None, **options: Any) -> TransactionInfo:
    plan = plan or target.plan(mount)
    options.setdefault("now", target.NOW)
    return transaction.apply(target.install(mount), plan, **options)


# --- what is done -------------------------------------------------------------------------


def test_exactly_the_plan_is_done(mount: Path) -> None:
    before, registry_before = target.state(mount), hivex.registry(mount / target.SYSTEM)
    info = apply(mount, report=b'{"verb": "repair"}')

    after = target.state(mount)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {target.SYSTEM, target.DRIVER}
    found = hivex.changed_values(registry_before, hivex.registry(mount / target.SYSTEM))
    assert {name.casefold(): pair for name, pair in found.items()} == {
        f"{target.SERVICE}\\Start".casefold(): ((4, "00000000"), (4, "04000000")),
        f"{target.OVERRIDE}\\0".casefold(): ((4, "00000000"), (4, "04000000")),
    }
    kept = mount / info.folder
    assert (kept / "quarantine" / "acme filter.sys").read_bytes() == b"MZ acme" * 1000
    assert was(mount, kept / "0000.before") == target.system_hive()
    assert json.loads((kept / "report.json").read_text()) == {"verb": "repair"}
    assert info.state == "committed"
    assert info.changed == (target.SYSTEM, target.DRIVER)
    assert transaction.history(mount) == (info,)
    assert transaction.abandoned(mount) is None


def was(mount: Path, image: Path) -> bytes:
    """The hive with the sectors that its before-image kept; which are few."""
    found = hive_files.rewound(
        hives.files(mount / target.SYSTEM), hive_files.unpack(image.read_bytes()), forward=False
    )
    assert found is not None
    return found.hive


def test_the_order_of_every_change(mount: Path) -> None:
    assert steps(mount) == [
        *("make_folder", "protect") * 3,  # of the transaction, its quarantine and staging folders
        *("write", "write"),  # room for taking back; the journal's first line
        *("write", "write", "write", "write"),  # plan.json; undo.cmd and its two .reg files
        *("write", "write", "copy"),  # of the hive: its sectors, room for an undo; of the file
        *("patch", "append", "patch", "patch", "append"),  # the hive: bins, header
        *("append", "move", "append"),  # the file
        "append",  # commit
    ]


def test_the_plan_is_kept(mount: Path) -> None:
    plan = target.plan(mount)
    info = apply(mount, plan)
    assert plan_json.from_json((mount / info.folder / "plan.json").read_text()) == plan


def test_later_repairs_sort_later_though_the_clock_ran_backwards(mount: Path) -> None:
    first = apply(mount)
    undo.undo(mount)
    second = apply(mount, now=target.NOW - timedelta(days=400))
    assert [seen.id for seen in transaction.history(mount)] == [first.id, second.id]
    assert undo.undo(mount).id == second.id


def test_two_files_of_one_name_are_both_kept(mount: Path) -> None:
    plan = target.plan(mount)
    other = mount / "Windows/System32/acme filter.sys"
    other.write_bytes(b"another")
    state = file_state(mount, "Windows/System32/acme filter.sys")
    twice = (*plan.actions, QuarantineFile(state.path, state.sha256, state.size))
    before = target.state(mount)
    info = apply(mount, replace(plan, actions=twice, preconditions=(*plan.preconditions, state)))
    assert len(list((mount / info.folder / "quarantine").iterdir())) == 2
    undo.undo(mount)
    assert target.state(mount) == before


# --- what must hold before ----------------------------------------------------------------


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    def write(mount: Path) -> None:
        (mount / name).write_bytes(content)

    return write


def _link_on_the_way(mount: Path) -> None:
    drivers = (mount / target.DRIVER).parent
    drivers.rename(mount / "elsewhere")
    drivers.symlink_to(mount / "elsewhere")


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        pytest.param(_write(target.DRIVER, b"MZ other"), "acme filter.sys", id="driver changed"),
        pytest.param(_write(f"{target.SYSTEM}.LOG1", b"x"), "SYSTEM.LOG1", id="log written"),
        pytest.param(_write(f"{target.SYSTEM}.LOG", b""), None, id="empty log appeared"),
        pytest.param(_write(f"{target.SYSTEM}.LOG", b"x"), "SYSTEM.LOG", id="log appeared"),
        pytest.param(
            lambda mount: target.set_value(mount, target.SERVICE, "Type", 2), "SYSTEM", id="hive"
        ),
        pytest.param(
            lambda mount: (mount / target.DRIVER).unlink(), "acme filter.sys", id="driver gone"
        ),
        pytest.param(_link_on_the_way, "is a link", id="a link on the way"),
    ],
)
def test_a_disk_that_is_not_as_planned_is_refused(
    mount: Path, meanwhile: Callable[[Path], None], said: str | None
) -> None:
    plan = target.plan(mount)
    meanwhile(mount)
    before = target.state(mount)
    with pytest.raises(TargetRefusedError, match=said):
        apply(mount, plan)
    assert target.state(mount) == before
    assert not (mount / "RecoveryKit").exists()


def test_a_dirty_hive_without_logs_is_refused(mount: Path) -> None:
    plan = target.plan(mount)
    dirty = bytearray(target.system_hive())
    struct.pack_into("<I", dirty, 4, 99)
    (mount / target.SYSTEM).write_bytes(dirty)
    seen = tuple(file_state(mount, state.path) for state in plan.preconditions)
    with pytest.raises(FormatError):
        apply(mount, replace(plan, preconditions=seen))
    assert not (mount / "RecoveryKit").exists()


def test_a_full_volume_is_refused(mount: Path) -> None:
    plan = replace(target.plan(mount), space_needed=1 << 60)
    with pytest.raises(TargetRefusedError, match="volume full") as caught:
        apply(mount, plan)
    assert caught.value.exit_code == 5
    assert not (mount / "RecoveryKit").exists()


def test_an_abandoned_repair_blocks_the_next(mount: Path) -> None:
    before = target.state(mount)
    with operations(failing(10, errno.EIO, once=False)), pytest.raises(RollbackError):
        apply(mount)
    left = transaction.abandoned(mount)
    assert left is not None
    plan = replace(target.plan(mount), preconditions=())
    with pytest.raises(TargetRefusedError, match=f"{left.id}.*interrupted"):
        apply(mount, plan)
    undo.undo(mount, left.id)
    assert target.state(mount) == before
    assert apply(mount).state == "committed"


def test_an_altered_journal_blocks_the_next(mount: Path) -> None:
    plan = target.plan(mount)
    info = apply(mount, plan)
    journal = mount / info.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"0000.before"', b'"0001.before"'))
    assert transaction.history(mount)[0].state == "damaged"
    with pytest.raises(TargetRefusedError, match="chain of entries is broken"):
        apply(mount, plan)
    with pytest.raises(FormatError):
        undo.undo(mount)


def test_a_folder_that_is_a_link_is_refused(mount: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (mount / "RecoveryKit").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetRefusedError, match="link"):
        apply(mount)
    with pytest.raises(TargetRefusedError, match="link"):
        undo.undo(mount)
    assert list((tmp_path / "elsewhere").iterdir()) == []


HOLD = """
import sys
from pathlib import Path
from recoverykit.host import lock
with lock.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_instances_refuses(mount: Path) -> None:
    before = target.state(mount)
    argv = [sys.executable, "-c", HOLD, str(mount)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=REPOSITORY, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for verb in (apply, undo.undo):
            with pytest.raises(TargetRefusedError, match="another recoverykit"):
                verb(mount)
        other.communicate()
    assert target.state(mount) == before
    with lock.exclusive(mount):  # it ended, however: nothing stale is left
        pass
    assert apply(mount).state == "committed"


def steps(mount: Path) -> list[str]:
    """The durable operations of applying on a volume that has a RecoveryKit folder already."""
    for _ in range(2):
        with operations(lambda *_: None) as names:
            apply(mount)
        undo.undo(mount)
    return list(names)


# --- when it fails in the middle ----------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_one_failure_at_any_operation_is_rolled_back(mount: Path, code: int) -> None:
    before = target.state(mount)
    names = steps(mount)
    for at in range(len(names)):
        with operations(failing(at, code, once=True)), pytest.raises(RecoveryKitError) as caught:
            apply(mount)
        assert caught.value.exit_code in (1, 5), (at, names[at])
        assert target.state(mount) == before, (at, names[at])
        assert transaction.abandoned(mount) is None, (at, names[at])


@pytest.mark.parametrize("soiled", [False, True])
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_failure_within_a_patch_is_rolled_back(
    mount: Path, call: str, *, soiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each single write, and each sync of the patch, of apply; the way back is not disturbed."""
    if soiled:
        target.soil(mount)
    before = target.state(mount)
    real = getattr(os, call)

    def breaks(at: int) -> Callable[..., Any]:
        calls = iter(range(100))

        def function(descriptor: int, *arguments: Any) -> Any:
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            if name == "SYSTEM" and next(calls) == at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(descriptor, *arguments)

        return function

    for at in range(2 if call == "fsync" else 4 if soiled else 2):
        monkeypatch.setattr(os, call, breaks(at))
        with pytest.raises(RecoveryKitError) as caught:
            apply(mount)
        assert caught.value.exit_code == 1, at
        assert target.state(mount) == before, at
        assert transaction.abandoned(mount) is None


def test_a_disk_that_stays_broken_is_reported_exactly(mount: Path) -> None:
    before = target.state(mount)
    names = steps(mount)
    exits = []
    for at in range(len(names)):
        with (
            operations(failing(at, errno.EIO, once=False)),
            pytest.raises(RecoveryKitError) as caught,
        ):
            apply(mount)
        exits.append(caught.value.exit_code)
        if target.state(mount) != before:
            assert isinstance(caught.value, RollbackError)
        for seen in transaction.history(mount):  # the disk works again
            if seen.state != "undone":
                undo.undo(mount, seen.id)
        assert target.state(mount) == before, (at, names[at])
    assert exits[0] == 1
    assert exits[-1] == RollbackError.exit_code


def test_the_state_after_a_failed_rollback_is_told(mount: Path) -> None:
    apply(mount)
    with operations(failing(4, errno.EIO, once=False)), pytest.raises(RollbackError) as caught:
        undo.undo(mount)
    assert f"Restored: {target.DRIVER}. Not restored: {target.SYSTEM}" in str(caught.value)


def test_a_second_hive_too_many_for_the_journal_takes_the_first_back(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = target.state(mount)
    monkeypatch.setattr(journal, "_FULL", 3000)
    with pytest.raises(RecoveryKitError, match="taken back: one repair cannot keep"):
        apply(mount, target.rich_plan(mount))
    assert target.state(mount) == before
    assert [seen.state for seen in transaction.history(mount)] == ["undone"]


def test_a_plan_that_does_not_say_what_it_saw_is_refused(mount: Path) -> None:
    with pytest.raises(RecoveryKitError, match=r"does not say what .*SYSTEM held"):
        apply(mount, replace(target.plan(mount), preconditions=()))
    assert transaction.history(mount) == ()


def test_ctrl_c_puts_everything_back(mount: Path) -> None:
    before = target.state(mount)

    def interrupt(number: int, *_: object) -> None:
        if number == 17:
            raise KeyboardInterrupt

    with operations(interrupt), pytest.raises(KeyboardInterrupt):
        apply(mount)
    assert target.state(mount) == before
    assert transaction.abandoned(mount) is None


# --- reading it back ----------------------------------------------------------------------


def _another_value(recovery: Any, values: Any, when: Any) -> Any:
    zero, three = RegistryData(4, b"\0" * 4), RegistryData(4, b"\3\0\0\0")
    more = ValueChange("ControlSet001\\Services\\good", "Start", zero, three)
    return _changed(recovery, [*values, more], when)


_changed = hives.changed


def test_an_unplanned_value_is_noticed_and_rolled_back(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = target.state(mount)
    monkeypatch.setattr(hives, "changed", _another_value)
    with pytest.raises(RecoveryKitError, match="other values than planned"):
        apply(mount)
    assert target.state(mount) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Windows/System32/config/stranger", "stranger changed"),
        ("Windows/System32/drivers/good.sys", "good.sys changed"),
        (f"{target.SYSTEM}.LOG2", "SYSTEM.LOG2 changed"),
    ],
)
def test_an_unplanned_file_is_noticed(mount: Path, name: str, said: str) -> None:
    def meddle(number: int, *_: object) -> None:
        if number == 24:
            (mount / name).write_bytes(b"changed behind our back")

    with operations(meddle), pytest.raises(RecoveryKitError, match=said):
        apply(mount)
    assert target.start(mount) == target.BOOT
    assert (mount / target.DRIVER).exists()


# --- real hives ---------------------------------------------------------------------------


@pytest.mark.parametrize("hive", real("hives/regipy_SYSTEM_B.xz"))
def test_a_real_dirty_hive_with_its_logs(hive: Path, mount: Path) -> None:
    """Windows 10, dirty, whole only with LOG1 and LOG2: the repair sees through, undo goes back."""
    for suffix in ("", ".LOG1", ".LOG2"):
        beside = hive.with_name(f"regipy_SYSTEM_B{suffix}.xz")
        (mount / f"{target.SYSTEM}{suffix}").write_bytes(read_real(beside))
    before = target.state(mount)
    loaded, recovery = hives.load(mount / target.SYSTEM)
    assert recovery.recovered
    service: Service = target.service("HTTP")
    plan = planning.make(
        target.install(mount), replace(target.suspect(), service="HTTP"), [service], loaded
    )
    assert isinstance(plan, Plan)
    apply(mount, plan)
    again, now = hives.load(mount / target.SYSTEM)
    assert (now.dirty, now.recovered) == (False, False)
    key = again.find("ControlSet001\\Services\\HTTP")
    start = key.value("Start") if key else None
    assert start is not None
    assert start.data == target.OFF
    undo.undo(mount)
    assert target.state(mount) == before


def test_file_state_of_nothing(mount: Path) -> None:
    assert file_state(mount, "nothing") == FileState("nothing", "", 0)
