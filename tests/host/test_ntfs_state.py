"""What state a volume is in, cross-checked with ntfs-3g, and replaying a journal for real."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.errors import TargetRefusedError
from recoverykit.host import disks, mounts, ntfs
from recoverykit.model import FileSystem, LogPolicy, NtfsState, Volume
from tests.builders import hibernated, unclean
from tests.builders import ntfs as built
from tests.builders.tables import Entry, gpt
from tests.conftest import mounts as can_mount
from tests.conftest import need, read_real, real
from tests.host.conftest import MakeVolume, digest

pytestmark = [can_mount, need("ntfs-3g", "mkntfs", "ntfsrecover", "ntfs-3g.probe", "ntfsinfo")]

CLEAN = NtfsState(dirty=False, log_unclean=False, hibernated=False)
EXPECTED = {
    "clean": (CLEAN, 0),
    "dirty": (replace(CLEAN, dirty=True), 0),
    "unclean": (replace(CLEAN, log_unclean=True), 15),
    "unclean-2.0": (replace(CLEAN, log_unclean=True), 14),  # ntfs-3g takes it for hibernation
    "hibernated": (replace(CLEAN, hibernated=True), 14),
}


def probe(image: Path) -> int:
    argv = ["ntfs-3g.probe", "--readwrite", str(image)]
    return subprocess.run(argv, capture_output=True, check=False).returncode


def is_hidden(image: Path) -> bool:
    """Whether hello.txt has the attribute that the unreplayed transaction would set."""
    argv = ["ntfsinfo", "-f", "-F", "hello.txt", str(image)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return "HIDDEN" in next(line for line in said.splitlines() if "File attributes:" in line)


@pytest.mark.parametrize("state", EXPECTED)
def test_states_are_told_apart(state: str, volume: MakeVolume) -> None:
    opened = volume(state)
    expected, code = EXPECTED[state]
    assert ntfs.state(opened) == expected
    assert probe(opened.path) == code


@pytest.mark.parametrize("state", EXPECTED)
def test_states_inside_a_partition(state: str, volume: MakeVolume) -> None:
    assert ntfs.state(volume(state, partitioned=True)) == EXPECTED[state][0]


@pytest.mark.parametrize(
    ("magic", "resumable"),
    [(b"hibr", True), (b"HIBR", True), (b"wake", False), (b"WAKE", False), (b"", False)],
)
def test_hibernation_images(magic: bytes, resumable: bool, volume: MakeVolume) -> None:
    opened = volume()
    with mounts.opened(opened, writable=True) as mount:
        hibernated.hibernate(mount, magic)
    assert ntfs.state(opened).hibernated is resumable
    assert (probe(opened.path) == 14) is resumable


def test_a_hibernation_file_too_short_to_tell_counts(volume: MakeVolume) -> None:
    opened = volume()
    with mounts.opened(opened, writable=True) as mount:
        (mount / "HIBERFIL.SYS").write_bytes(b"")
    assert ntfs.state(opened).hibernated


@pytest.mark.parametrize("image", real("disk/ntfs-fixed.vhd.xz", "disk/ntfs-parent.vhd.xz"))
def test_volumes_windows_made_are_clean(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "disk.img"
    copy.write_bytes(read_real(image)[:-512])
    assert ntfs.state(disks.survey(copy).volumes[0]) == CLEAN


# --- replaying ----------------------------------------------------------------------------


@pytest.mark.parametrize("partitioned", [False, True], ids=["bare", "partition"])
@pytest.mark.parametrize("state", ["unclean", "unclean-2.0"])
def test_replay_completes_the_transaction(
    state: str, partitioned: bool, volume: MakeVolume, tmp_path: Path
) -> None:
    opened = volume(state, partitioned=partitioned)
    assert ntfs.replay_log(opened) == (
        "The journal of disk.img#1 was replayed: 3 interrupted changes were completed."
        if partitioned
        else "The journal of disk.img was replayed: 3 interrupted changes were completed.",
    )
    assert ntfs.state(opened) == CLEAN
    bare = tmp_path / "bare.img"
    bare.write_bytes(opened.path.read_bytes()[opened.offset : opened.offset + opened.size])
    assert is_hidden(bare)
    assert probe(bare) == 0
    with mounts.opened(opened, writable=True) as mount:
        assert (mount / "hello.txt").read_text() == "hello"


def test_without_replay_the_transaction_is_lost(volume: MakeVolume) -> None:
    """The reason for all this: what ntfs-3g does of its own accord."""
    opened = volume("unclean")
    mount = opened.path.parent / "mount"
    mount.mkdir()
    subprocess.run(["ntfs-3g", opened.path, mount], check=True, capture_output=True)
    subprocess.run(["umount", mount], check=True)
    assert probe(opened.path) == 0
    assert not is_hidden(opened.path)


def test_a_clean_volume_is_left_alone(volume: MakeVolume) -> None:
    opened = volume()
    before = digest(opened.path)
    assert ntfs.replay_log(opened) == ()
    assert digest(opened.path) == before


_UPDATE = 0x40 + 0xA0  # the second record of the newest page


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(0x40 + 24, 0x99, id="length of the checkpoint"),
        pytest.param(_UPDATE + 24, 0x99, id="length of a record: ntfsrecover calls it a success"),
        pytest.param(_UPDATE + 0x30, 99, id="operation that does not exist"),
        pytest.param(_UPDATE + 0x30, 24, id="operation ntfsrecover cannot do"),
        pytest.param(_UPDATE + 0x50, 0xFF, id="cluster that is no MFT"),
        pytest.param(0, 0, id="no record page"),
        pytest.param(510, 0xFF, id="torn page without a twin"),
    ],
)
def test_a_journal_that_cannot_be_replayed_is_not_touched(
    at: int, value: int, volume: MakeVolume
) -> None:
    opened = volume("unclean")
    data = bytearray(opened.path.read_bytes())
    data[data.index(b"RCRD\x28\0") + at] = value
    opened.path.write_bytes(data)
    before = digest(opened.path)
    with pytest.raises(TargetRefusedError, match="cannot be replayed safely") as caught:
        ntfs.replay_log(opened)
    assert "chkdsk" in caught.value.hint
    assert digest(opened.path) == before


def test_a_hibernated_neighbour_forbids_replaying_version_2(tmp_path: Path) -> None:
    """Another Windows on the disk sleeps and may hold this volume in its memory."""
    start, size = 1 << 20, 8 * built.MIB
    entries = [Entry(at // 512, (at + size) // 512 - 1) for at in (start, start + size)]
    disk = gpt(entries, sectors=40960)
    disk[start : start + size] = built.volume()
    disk[start + size : start + 2 * size] = built.volume(serial_seed=1)
    image = tmp_path / "disk.img"
    image.write_bytes(disk)
    first, second = disks.survey(image).volumes
    with mounts.opened(second, writable=True) as mount:
        hibernated.hibernate(mount)
    unclean.make_log_unclean(image, first.offset, version=(2, 0))
    before = digest(image)
    with pytest.raises(TargetRefusedError, match=r"hibernated on disk\.img#2"):
        ntfs.replay_log(first)
    assert digest(image) == before
    unclean.make_log_unclean(image, first.offset, version=(1, 1))
    assert len(ntfs.replay_log(first)) == 1


# --- the gate -----------------------------------------------------------------------------


def yes(_: str) -> bool:
    return True


def no(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("policy", "ask", "allowed"),
    [
        pytest.param(LogPolicy.REPLAY, None, True, id="replay"),
        pytest.param(LogPolicy.ASK, yes, True, id="ask, yes"),
        pytest.param(LogPolicy.ASK, no, False, id="ask, no"),
        pytest.param(LogPolicy.ASK, None, False, id="ask, nobody there"),
        pytest.param(LogPolicy.REFUSE, yes, False, id="refuse"),
    ],
)
def test_policy(
    policy: LogPolicy, ask: Callable[[str], bool] | None, allowed: bool, volume: MakeVolume
) -> None:
    opened = volume("unclean")
    before = digest(opened.path)
    if allowed:
        assert "was replayed" in ntfs.make_ready(opened, policy=policy, ask=ask)[0]
        assert ntfs.state(opened) == CLEAN
        return
    with pytest.raises(TargetRefusedError, match="was not closed") as caught:
        ntfs.make_ready(opened, policy=policy, ask=ask)
    assert caught.value.exit_code == 5
    assert digest(opened.path) == before


def test_hibernation_is_refused_whatever_the_policy(volume: MakeVolume) -> None:
    opened = volume("hibernated")
    with pytest.raises(TargetRefusedError, match="Windows is hibernated") as caught:
        ntfs.make_ready(opened, policy=LogPolicy.REPLAY, ask=yes)
    assert caught.value.exit_code == 5


def test_the_dirty_flag_alone_is_a_note(volume: MakeVolume) -> None:
    opened = volume("dirty")
    (note,) = ntfs.make_ready(opened, policy=LogPolicy.REFUSE, ask=None)
    assert "marked dirty" in note
    with mounts.opened(opened, writable=True) as mount:
        assert (mount / "hello.txt").exists()


def test_folders_and_fat_pass(volume: MakeVolume, tmp_path: Path) -> None:
    folder = Volume(str(tmp_path), FileSystem.NTFS, tmp_path)
    fat = replace(volume(), filesystem=FileSystem.FAT)
    assert ntfs.make_ready(folder, policy=LogPolicy.REFUSE, ask=None) == ()
    assert ntfs.make_ready(fat, policy=LogPolicy.REFUSE, ask=None) == ()


def test_read_only_and_refused_volumes_are_stopped(volume: MakeVolume) -> None:
    opened = volume("unclean")
    opened.path.chmod(0o444)
    with pytest.raises(TargetRefusedError, match="read-only"):
        ntfs.make_ready(opened, policy=LogPolicy.REPLAY, ask=None)
    with pytest.raises(TargetRefusedError, match="a twin"):
        ntfs.make_ready(replace(opened, refusal="a twin"), policy=LogPolicy.REPLAY, ask=None)
