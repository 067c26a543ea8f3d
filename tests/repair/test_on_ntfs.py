"""The same on real NTFS: metadata, and the file system process killed in the middle."""

from __future__ import annotations

import contextlib
import random
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recoverykit.errors import RecoveryKitError
from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import Metadata
from recoverykit.model import Plan
from recoverykit.repair import transaction, undo
from tests.conftest import mounts, need
from tests.repair import cut_scenes, ntfs, target
from tests.repair.power import operations

pytestmark = [mounts, need("mkntfs", "ntfs-3g"), pytest.mark.disk]


Make = Callable[[Path], Plan]


def apply(mount: Path, make: Make = target.plan) -> None:
    transaction.apply(target.install(mount), make(mount), now=target.NOW, report=b"{}")


def times(path: Path) -> tuple[int, ...]:
    kept = ntfs_metadata.read(path).times
    assert kept is not None
    return struct.unpack(">4Q", kept)[:2]  # reading changes the others


def test_apply_and_undo_keep_everything(image: Path) -> None:
    with ntfs.mounted(image) as volume:
        before = target.state(volume.path)
        assert before[target.SYSTEM][1] == ntfs.HIVE_SECURITY
        assert before[target.DRIVER][3] == b"ACMEFI~1.SYS"
        apply(volume.path)

    with ntfs.mounted(image) as volume:
        after = target.state(volume.path)
        assert target.start(volume.path) == target.OFF
        assert after[target.SYSTEM][1:] == before[target.SYSTEM][1:]
        assert times(volume.path / target.SYSTEM)[0] == ntfs.CREATED
        assert after.keys() == before.keys() - {target.DRIVER}
        undo.undo(volume.path)

    with ntfs.mounted(image) as volume:
        assert target.state(volume.path) == before
        for name in (target.SYSTEM, target.DRIVER):
            assert times(volume.path / name) == (ntfs.CREATED, ntfs.CREATED + 10**12)


@pytest.mark.parametrize("attributes", [b"\0\0\0\x06", b"\0\0\0\x21"])
def test_what_writing_in_place_would_change(image: Path, attributes: bytes) -> None:
    """ntfs-3g sets the archive attribute of what it writes; and one name of two is not enough."""
    with ntfs.mounted(image) as volume:
        hive = volume.path / target.SYSTEM
        other = volume.path / "Windows" / "a second name"
        other.hardlink_to(hive)
        ntfs_metadata.write(
            hive, replace(ntfs_metadata.read(hive), attributes=attributes), times=True
        )
        before, number = target.state(volume.path), hive.stat().st_ino
        kept = times(hive)
        apply(volume.path)
        after = target.state(volume.path)
        assert after[target.SYSTEM][1:] == before[target.SYSTEM][1:]
        assert times(hive)[0] == kept[0]
        assert times(hive)[1] > kept[1]
    with ntfs.mounted(image) as volume:
        assert other.read_bytes() == hive.read_bytes()
        undo.undo(volume.path)
    with ntfs.mounted(image) as volume:
        assert target.state(volume.path) == before
        assert (hive.stat().st_ino, times(hive)) == (number, kept)
        assert hive.samefile(other)


def test_nobody_else_may_read_what_we_keep(image: Path) -> None:
    with ntfs.mounted(image) as volume:
        apply(volume.path)
        home = volume.path / "RecoveryKit"
        for path in (home, *home.rglob("*")):
            kept = ntfs_metadata.security(path)
            if path.parent.name == "quarantine":
                assert kept == ntfs.DRIVER_SECURITY  # moved, not changed
            else:
                assert kept is not None
                assert ntfs_metadata.is_private(kept), path


def test_a_volume_without_room_is_refused(image: Path) -> None:
    with ntfs.mounted(image) as volume:
        (volume.path / "memory.dmp").write_bytes(bytes(14 << 20))
        before = target.state(volume.path)
        with pytest.raises(RecoveryKitError, match="volume full") as caught:
            apply(volume.path)
        assert caught.value.exit_code == 5
        assert target.state(volume.path) == before
        assert not (volume.path / "RecoveryKit").exists()


@pytest.mark.parametrize("when", ["0000.before", "0001.before"])
def test_a_volume_that_fills_up_meanwhile_is_rolled_back(image: Path, when: str) -> None:
    """Another writer takes the room after it was checked: the real ENOSPC of ntfs-3g."""
    with ntfs.mounted(image) as volume:
        before = target.state(volume.path)

        def fill(_: int, name: str, arguments: tuple[Any, ...]) -> None:
            if name in ("write", "copy") and when in str(arguments):
                fill_up(volume.path / "full")

        with operations(fill, sync=True), pytest.raises(RecoveryKitError, match="No space"):
            apply(volume.path)
        (volume.path / "full").unlink()
        assert target.state(volume.path) == before  # what was done is back without any room
    # Mounted anew: ntfs-3g remembers a name it had no room for as one that exists.
    with ntfs.mounted(image) as volume:
        for seen in transaction.history(volume.path):
            if seen.state != "undone":
                undo.undo(volume.path)
        assert target.state(volume.path) == before


@pytest.mark.parametrize("name", [target.SYSTEM, f"{target.SYSTEM}.LOG1"])
def test_a_hive_that_ntfs_compresses_is_refused(image: Path, name: str) -> None:
    """Killed while it writes one sector of such a file, ntfs-3g loses up to 64 KiB of it."""
    with ntfs.mounted(image, ",compression") as volume:
        path = volume.path / name
        content = path.read_bytes()
        path.unlink()
        compressed = Metadata(attributes=b"\0\0\x08\x10")
        ntfs_metadata.write(path.parent, compressed, times=False)  # new files inherit it
        path.write_bytes(content)
    with ntfs.mounted(image) as volume:
        before = target.state(volume.path)
        with pytest.raises(RecoveryKitError, match="compressed by NTFS") as caught:
            apply(volume.path)
        assert caught.value.exit_code == 5
        assert target.state(volume.path) == before
        assert not (volume.path / "RecoveryKit").exists()


def fill_up(path: Path) -> None:
    with path.open("wb") as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(1 << 16))
            stream.flush()


# From the first change on. The second plan creates and resizes: it goes through the log.
@pytest.mark.parametrize(
    ("make", "at"),
    [
        *((target.plan, at) for at in range(17, 29)),
        *((target.rich_plan, at) for at in range(19, 32)),
    ],
)
def test_killed_before_an_operation(make: Make, at: int, image: Path) -> None:
    with ntfs.mounted(image) as volume:
        before = target.state(volume.path)

        def kill(number: int, *_: object) -> None:
            if number == at:
                volume.kill()

        with operations(kill, sync=True), pytest.raises(RecoveryKitError):
            apply(volume.path, make)
    recovered(image, before)


@pytest.mark.parametrize("seed", range(8))
def test_killed_in_the_middle_of_something(seed: int, image: Path) -> None:
    with ntfs.mounted(image) as volume:
        before = target.state(volume.path)
        plan, installed = target.plan(volume.path), target.install(volume.path)
        delay = random.Random(seed).uniform(0.001, 0.05)

        def kill() -> None:
            time.sleep(delay)
            volume.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        with contextlib.suppress(OSError, RecoveryKitError):
            transaction.apply(installed, plan, now=target.NOW)
        thread.join()
    recovered(image, before)


UNDO = (
    *("append", "patch", "append", "move", "name_short", "append"),  # the file
    *("patch", "patch", "stamp", "append"),  # the hive
)


@pytest.mark.parametrize("at", range(len(UNDO)))
def test_killed_during_undo(at: int, image: Path) -> None:
    with ntfs.mounted(image) as volume:
        before, kept = target.state(volume.path), times(volume.path / target.SYSTEM)
        apply(volume.path)

        def kill(number: int, *_: object) -> None:
            if number == at:
                volume.kill()

        with operations(kill, sync=True) as names, pytest.raises(RecoveryKitError):
            undo.undo(volume.path)
        assert names[-1] == UNDO[at]
    recovered(image, before)
    with ntfs.mounted(image) as volume:
        assert times(volume.path / target.SYSTEM) == kept


def recovered(image: Path, before: target.State) -> None:
    """Opened again by another process, whatever stands is taken back, and all is as it was."""
    cut_scenes.mend(image)
    with ntfs.mounted(image) as volume:
        cut_scenes.take_back(volume.path)
        assert target.state(volume.path) == before
    checked = subprocess.run(["ntfsfix", "-n", image], check=False, capture_output=True)
    assert checked.returncode == 0, checked.stdout
