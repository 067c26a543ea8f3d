"""Opening real NTFS volumes: nothing changes unless asked, nothing stays behind."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.errors import RecoveryKitError, TargetRefusedError
from recoverykit.host import disks, image, loops, mounts
from recoverykit.model import FileSystem, Volume
from tests.builders import ntfs
from tests.conftest import mounts as can_mount
from tests.conftest import need
from tests.host.conftest import STATES, MakeVolume, digest

pytestmark = [can_mount, need("ntfs-3g", "mkntfs", "losetup", "umount")]


def left_behind(disk: Path) -> list[str]:
    """Mounts and loop devices that still use an image."""
    loops_now = [
        backing.read_text().strip()
        for backing in Path("/sys/block").glob("loop*/loop/backing_file")
    ]
    ours = [str(point) for point, _, _ in image.mounts() if disk.parent in point.parents]
    return [used for used in loops_now if used == str(disk)] + ours


@pytest.mark.parametrize("partitioned", [False, True], ids=["bare", "partition"])
@pytest.mark.parametrize("state", STATES)
def test_reading_changes_no_byte(state: str, partitioned: bool, volume: MakeVolume) -> None:
    opened = volume(state, partitioned=partitioned)
    before = digest(opened.path)
    with mounts.opened(opened) as mount:
        assert (mount / "hello.txt").read_text() == "hello"
        with pytest.raises(OSError, match="Read-only file system"):
            (mount / "new.txt").write_text("x")
    assert digest(opened.path) == before
    assert left_behind(opened.path) == []


@pytest.mark.parametrize("partitioned", [False, True], ids=["bare", "partition"])
def test_writing_is_on_disk_when_the_block_ends(partitioned: bool, volume: MakeVolume) -> None:
    opened = volume(partitioned=partitioned)
    content = os.urandom(1 << 20)
    with mounts.opened(opened, writable=True) as mount:
        (mount / "new.bin").write_bytes(content)
    assert left_behind(opened.path) == []
    with mounts.opened(opened) as mount:
        assert (mount / "new.bin").read_bytes() == content


@pytest.mark.parametrize("state", ["unclean", "unclean-2.0", "hibernated"])
def test_unsafe_volumes_are_not_opened_for_writing(state: str, volume: MakeVolume) -> None:
    opened = volume(state)
    before = digest(opened.path)
    with (
        pytest.raises(TargetRefusedError, match="can only be opened read-only"),
        mounts.opened(opened, writable=True),
    ):
        pytest.fail("it was opened")
    assert digest(opened.path) == before
    assert left_behind(opened.path) == []


@pytest.mark.parametrize("writable", [False, True])
def test_an_exception_inside_leaves_nothing_mounted(writable: bool, volume: MakeVolume) -> None:
    opened = volume()
    with pytest.raises(KeyError), mounts.opened(opened, writable=writable):
        raise KeyError
    assert left_behind(opened.path) == []


def test_a_volume_in_use_cannot_be_closed_and_says_so(volume: MakeVolume) -> None:
    opened = volume()
    closing = pytest.raises(RecoveryKitError, match="could not be closed")
    with closing as caught, mounts.opened(opened) as mount:
        held = (mount / "hello.txt").open("rb")
    held.close()
    assert str(mount) in caught.value.hint
    _clean_up(mount, opened.path)
    assert left_behind(opened.path) == []


def _clean_up(mount: Path, disk: Path) -> None:
    subprocess.run(["umount", mount], check=True)
    mount.rmdir()
    done = subprocess.run(
        ["losetup", "-j", disk, "-O", "NAME", "-n"], capture_output=True, text=True, check=True
    )
    for loop in done.stdout.split():
        subprocess.run(["losetup", "-d", loop], check=True)


@pytest.mark.parametrize("what", ["mode", "disk"])
def test_read_only_targets_are_refused_for_writing(what: str, volume: MakeVolume) -> None:
    opened = volume()
    if what == "mode":
        opened.path.chmod(stat.S_IRUSR)
    else:
        assert opened.disk is not None
        opened = replace(opened, disk=replace(opened.disk, read_only=True))
    for attempt in (mounts.opened(opened, writable=True), mounts.write_check(opened)):
        with pytest.raises(TargetRefusedError, match=r"disk\.img is read-only") as caught, attempt:
            pytest.fail("it was opened")
        assert caught.value.exit_code == 5


def test_refused_volumes_are_not_opened_for_writing(volume: MakeVolume) -> None:
    opened = replace(volume(), refusal="This volume is a twin.")
    for attempt in (mounts.opened(opened, writable=True), mounts.write_check(opened)):
        with pytest.raises(TargetRefusedError, match="is a twin"), attempt:
            pytest.fail("it was opened")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (FileSystem.BITLOCKER, "locked by BitLocker"),
        (FileSystem.REFS, "ReFS, which recoverykit cannot read"),
        (FileSystem.OTHER, "not a file system that Windows uses"),
    ],
)
def test_other_file_systems_are_named(kind: FileSystem, sentence: str, volume: MakeVolume) -> None:
    with (
        pytest.raises(TargetRefusedError, match=sentence),
        mounts.opened(replace(volume(), filesystem=kind)),
    ):
        pytest.fail("it was opened")


@pytest.mark.skipif(
    "vfat" in Path("/proc/filesystems").read_text(), reason="this kernel can read FAT"
)
def test_fat_without_vfat_is_a_sentence(volume: MakeVolume) -> None:
    with (
        pytest.raises(TargetRefusedError, match="kernel cannot read FAT"),
        mounts.opened(replace(volume(), filesystem=FileSystem.FAT)),
    ):
        pytest.fail("it was opened")


def test_a_folder_is_itself(tmp_path: Path) -> None:
    folder = disks.survey(tmp_path).volumes[0]
    with mounts.opened(folder, writable=True) as mount:
        assert mount == tmp_path
    with mounts.write_check(folder):
        assert tmp_path.is_dir()


def test_a_folder_mounted_read_only_is_refused(volume: MakeVolume) -> None:
    with mounts.opened(volume()) as mount:
        folder = disks.survey(mount).volumes[0]
        assert folder.filesystem is FileSystem.NTFS
        for attempt in (mounts.opened(folder, writable=True), mounts.write_check(folder)):
            with pytest.raises(TargetRefusedError, match="mounted read-only"), attempt:
                pytest.fail("it was opened")


def test_block_devices_whole_and_mounted(volume: MakeVolume) -> None:
    plain = volume()
    with loops.device(plain, writable=True) as device:
        surveyed = disks.survey(device).volumes[0]
        assert surveyed.name == str(device)
        with mounts.write_check(surveyed):
            pass
        with mounts.opened(surveyed) as mount:
            assert (mount / "hello.txt").read_text() == "hello"
            with (
                pytest.raises(TargetRefusedError, match="is in use on this system"),
                mounts.write_check(surveyed),
            ):
                pytest.fail("it is mounted")
    assert left_behind(plain.path) == []


def test_a_read_only_device_is_refused(volume: MakeVolume) -> None:
    with loops.device(volume()) as device:
        surveyed = disks.survey(device).volumes[0]
        with (
            pytest.raises(TargetRefusedError, match="is read-only"),
            mounts.opened(surveyed, writable=True),
        ):
            pytest.fail("it was opened")


def test_what_is_no_ntfs_inside_is_a_sentence(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(ntfs.volume()[:512].ljust(8 * ntfs.MIB, b"\0"))
    with (
        pytest.raises(TargetRefusedError, match=r"disk\.img cannot be opened: "),
        mounts.opened(disks.survey(image).volumes[0]),
    ):
        pytest.fail("it was opened")
    assert left_behind(image) == []


def test_a_missing_image_is_a_sentence(tmp_path: Path) -> None:
    gone = Volume("gone.img", FileSystem.NTFS, tmp_path / "gone.img", size=4096)
    with (
        pytest.raises(TargetRefusedError, match=r"gone\.img cannot be attached"),
        mounts.opened(gone),
    ):
        pytest.fail("it was opened")
