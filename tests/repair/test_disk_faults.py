"""Disks that fail and fill up in the middle, volumes that become read-only, and two at once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from recoverykit import durable
from recoverykit.errors import RecoveryKitError, RollbackError, TargetRefusedError
from recoverykit.host import ntfs_metadata
from recoverykit.repair import transaction, undo
from tests.conftest import mounts, need
from tests.repair import cut_scenes, ntfs, target
from tests.repair.cut_scenes import Scene
from tests.repair.power import operations

# The calls by which anything reaches a disk, in `recoverykit.durable` and below it.
CALLS = ("open", "write", "pwrite", "ftruncate", "fsync", "mkdir", "rename", "unlink")
CODES = (errno.EIO, errno.ENOSPC, errno.EROFS)
RICH = Scene("rich", target.rich_plan)
ALL = bool(os.environ.get("RECOVERYKIT_ALL_CUTS"))
ENOUGH = 200  # clusters that are room for all of it
on_ntfs = [mounts, need("mkntfs", "ntfs-3g"), pytest.mark.disk]


@contextmanager
def faults(at: int, code: int, *, once: bool) -> Iterator[list[str]]:
    """The `at`-th call that changes anything fails, and unless `once` every later one does too."""
    done: list[str] = []
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def broken(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & changing:
                return real(*arguments, **options)
            done.append(name)
            if len(done) - 1 == at or (len(done) - 1 > at and not once):
                raise OSError(code, os.strerror(code), str(arguments[0]))
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, broken(name, getattr(os, name)))
        patch.setattr(ntfs_metadata, "_set", broken("setxattr", ntfs_metadata._set))
        yield done


def settle(mount: Path) -> None:
    """The next run, on a disk that is well again."""
    for seen in transaction.history(mount):
        assert seen.state in ("abandoned", "committed", "undone"), seen
        if seen.state != "undone":
            undo.undo(mount, seen.id)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target.build(folder)
    return folder


@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
@pytest.mark.parametrize("code", CODES)
def test_a_fault_at_any_call_of_apply(tmp_path: Path, code: int, *, once: bool) -> None:
    """Rolled back by itself, or said with exit code 30 and put back when the disk is well again."""
    mount = fresh(tmp_path / "disk")
    with faults(10**6, code, once=True) as calls:
        RICH.apply(mount)
    assert len(calls) > 90
    told: set[int] = set()
    for at in range(0, len(calls), 1 if code == errno.EIO or ALL else 3):
        mount = fresh(tmp_path / "disk")
        before = target.state(mount)
        with faults(at, code, once=once), pytest.raises(RecoveryKitError) as caught:
            RICH.apply(mount)
        told.add(caught.value.exit_code)
        if caught.value.exit_code != RollbackError.exit_code:
            assert target.state(mount) == before, (at, calls[at])
        settle(mount)
        assert target.state(mount) == before, (at, calls[at])
    assert told <= {1, TargetRefusedError.exit_code, RollbackError.exit_code}
    assert (RollbackError.exit_code in told) is not once


@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
def test_a_fault_at_any_call_of_undo(tmp_path: Path, *, once: bool) -> None:
    def applied() -> tuple[Path, target.State]:
        mount = fresh(tmp_path / "disk")
        before = target.state(mount)
        RICH.apply(mount)
        return mount, before

    mount, _ = applied()
    with faults(10**6, errno.EIO, once=True) as calls:
        undo.undo(mount)
    assert len(calls) > 25
    for at in range(len(calls)):
        mount, before = applied()
        with faults(at, errno.EIO, once=once), pytest.raises(RecoveryKitError):
            undo.undo(mount)
        for seen in transaction.history(mount):
            if seen.state != "undone":
                undo.undo(mount, seen.id)
        assert target.state(mount) == before, (at, calls[at])


class TestOnNtfs:
    pytestmark = on_ntfs

    @pytest.mark.parametrize("left", [*range(0, 90, 3 if ALL else 8), ENOUGH])
    def test_a_volume_with_room_for_a_part_of_it(self, image: Path, left: int) -> None:
        """Another writer leaves so many clusters when the room was checked: the real ENOSPC."""
        with ntfs.mounted(image) as volume:
            before = target.state(volume.path)

            def fill(number: int, *_: object) -> None:
                if not number:
                    fill_up(volume.path, left * 4096)

            problem: RecoveryKitError | None = None
            with operations(fill, sync=True):
                try:
                    RICH.apply(volume.path)
                except RecoveryKitError as exc:
                    problem = exc
            for name in ("full", "more"):
                (volume.path / "Windows" / name).unlink()
            assert (problem is None) is (left >= ENOUGH)
            if problem is not None:
                assert problem.exit_code in (1, TargetRefusedError.exit_code), problem
                assert target.state(volume.path) == before
        # Mounted anew: ntfs-3g remembers a name it had no room for as one that exists.
        with ntfs.mounted(image) as volume:
            cut_scenes.take_back(volume.path)
            assert target.state(volume.path) == before

    @pytest.mark.parametrize("at", range(0, 28, 1 if ALL else 4))
    def test_a_volume_that_becomes_read_only(self, image: Path, at: int) -> None:
        """As the kernel does it when a disk fails: exit code 30, and what stands where."""
        with ntfs.mounted(image) as volume:
            before = target.state(volume.path)

            def lock(number: int, *_: object) -> None:
                if number == at:
                    remount(volume.path, "ro")

            with operations(lock, sync=True), pytest.raises(RecoveryKitError) as caught:
                RICH.apply(volume.path)
            begun = (volume.path / "RecoveryKit").exists() and transaction.history(volume.path)
            assert (caught.value.exit_code == RollbackError.exit_code) is bool(begun)
            if begun:
                assert "undo" in f"{caught.value} {caught.value.hint}"
        with ntfs.mounted(image) as volume:
            cut_scenes.take_back(volume.path)
            assert target.state(volume.path) == before


def fill_up(mount: Path, left: int) -> None:
    """All room but `left` bytes, however the volume is fragmented."""
    room = os.statvfs(mount)
    size = max(room.f_bavail * room.f_frsize - left - (64 << 10), 0)
    with (mount / "Windows" / "full").open("wb") as stream:
        for _ in range(size >> 16):
            stream.write(bytes(1 << 16))
    with (mount / "Windows" / "more").open("wb", buffering=0) as stream:
        while os.statvfs(mount).f_bavail * room.f_frsize > left:
            stream.write(bytes(4096))


def remount(mount: Path, how: str) -> None:
    """Past the helper of FUSE, which would start ntfs-3g anew."""
    subprocess.run(["mount", "-i", "-o", f"remount,{how}", mount], check=True, capture_output=True)


# --- two at once --------------------------------------------------------------------------

_HOLDER = """
import sys
from pathlib import Path
from recoverykit.host import lock
with lock.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_instance_refuses(tmp_path: Path) -> None:
    mount = fresh(tmp_path / "disk")
    before = target.state(mount)
    command = [sys.executable, "-c", _HOLDER, str(mount)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        for action in (lambda: RICH.apply(mount), lambda: undo.undo(mount)):
            with pytest.raises(TargetRefusedError, match="another recoverykit") as caught:
                action()
            assert caught.value.exit_code == 5
        assert target.state(mount) == before
        assert not (mount / "RecoveryKit").exists()
        other.kill()  # it dies with its lock
    RICH.apply(mount)
    undo.undo(mount)
    assert target.state(mount) == before


def test_every_way_to_a_disk_is_one_that_fails_here() -> None:
    """The table of calls is that of the seam."""
    text = Path(durable.__file__).read_text()
    used = {name for name in dir(os) if f"os.{name}(" in text}
    assert used <= {*CALLS, "close", "fstat"}
