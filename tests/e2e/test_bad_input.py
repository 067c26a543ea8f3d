"""Disks that must not be touched, through the command line, on real images.

Each ends with one clear sentence and the documented exit code, and not one byte has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import disk, faults
from tests.builders.disk import DiskImage
from tests.builders.windows import Windows
from tests.conftest import REAL_DATA, mounts
from tests.e2e import scenes
from tests.e2e.command import Done, recoverykit
from tests.independent.snapshot import sha256

pytestmark = [pytest.mark.disk, mounts]

NOTHING_FOUND, REFUSED, DAMAGED = 3, 5, 10


def _crashing_and(
    more: Callable[[Windows], object],
) -> Callable[[DiskImage], None]:
    def broken(image: DiskImage) -> None:
        with scenes.opened(image) as found:
            faults.boot_start_driver_crashes(found, scenes.SERVICE)
            more(found)

    return broken


def _in_windows(fault: Callable[[Windows], object]) -> Callable[[DiskImage], None]:
    def broken(image: DiskImage) -> None:
        with scenes.opened(image) as found:
            fault(found)

    return broken


def _without_windows(image: DiskImage) -> None:
    disk.format_again(image, image.windows[0])


def _bitlocker(image: DiskImage) -> None:
    if not (REAL_DATA / "disk" / "bitlk-images.tar.xz").is_file():
        pytest.skip("no BitLocker images in the shared data")
    faults.bitlocker_volume(image, image.windows[0])


@dataclass(frozen=True, slots=True)
class Case:
    spoil: Callable[[DiskImage], None]
    exit_code: int
    says: str  # what the sentence must mention, in lower case
    base: str = "small_windows"  # which fixture's disk is spoilt


CASES = {
    "no Windows": Case(_without_windows, NOTHING_FOUND, "windows"),
    "truncated hive": Case(_in_windows(faults.truncated_hive), DAMAGED, "system", "one_windows"),
    "dirty hive without logs": Case(_crashing_and(faults.dirty_hive_without_logs), DAMAGED, "log"),
    "full volume": Case(_crashing_and(faults.full_volume), REFUSED, "space"),
    "hibernated": Case(_crashing_and(faults.hibernated), REFUSED, "hibernat"),
    "BitLocker": Case(_bitlocker, REFUSED, "bitlocker"),
    "inbox driver": Case(
        _in_windows(faults.inbox_driver_crashes), NOTHING_FOUND, "nothing", "one_windows"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused_in_one_sentence_and_left_as_it_was(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    case = CASES[name]
    base: DiskImage = request.getfixturevalue(case.base)
    image = disk.clone(base, tmp_path / "disk.img")
    case.spoil(image)
    before = sha256(image.path)

    done = recoverykit("repair", image.path, "--yes", "--ntfs-log", "replay")

    assert sha256(image.path) == before
    assert done.exit_code == case.exit_code, done
    _speaks_plainly(done, case.says)


def test_two_volumes_with_one_identity(two_windows: DiskImage, tmp_path: Path) -> None:
    image = disk.clone(two_windows, tmp_path / "disk.img")
    with scenes.opened(image) as found:
        faults.boot_start_driver_crashes(found, scenes.SERVICE)
    faults.same_identity(image, *image.windows)
    before = sha256(image.path)

    done = recoverykit("repair", image.path, "--yes")

    assert sha256(image.path) == before
    assert done.exit_code == REFUSED, done
    _speaks_plainly(done, "same identity")


def test_a_read_only_image(small_windows: DiskImage, tmp_path: Path) -> None:
    image = scenes.stage(small_windows, "broken", tmp_path / "disk.img").disk
    image.path.chmod(0o444)
    before = sha256(image.path)

    done = recoverykit("repair", image.path, "--yes")

    assert sha256(image.path) == before
    assert done.exit_code == REFUSED, done
    _speaks_plainly(done, "read-only")


def test_a_read_only_device(small_windows: DiskImage, tmp_path: Path) -> None:
    image = scenes.stage(small_windows, "broken", tmp_path / "disk.img").disk
    before = sha256(image.path)

    with disk.attached(image.path, image.windows[0], read_only=True) as device:
        done = recoverykit("repair", device, "--yes")

    assert sha256(image.path) == before
    assert done.exit_code == REFUSED, done
    _speaks_plainly(done, "read-only")


def _speaks_plainly(done: Done, word: str) -> None:
    said = done.out + done.err
    assert word in said.lower(), said
    assert "Traceback" not in said
