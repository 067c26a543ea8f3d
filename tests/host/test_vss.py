"""Snapshots of a volume that Windows made, opened with libvshadow; and volumes without any."""

from __future__ import annotations

import lzma
import os
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.host import disks, vss
from recoverykit.model import FileSystem, Volume
from tests.builders.tables import Entry, gpt
from tests.conftest import mounts as can_mount
from tests.conftest import need
from tests.host.conftest import FIRST, MakeVolume, digest
from tests.host.test_mounts import left_behind

SAMPLE = Path(__file__).with_name("snapshots") / "vss.raw.xz"
DAMAGED = int(os.environ.get("RECOVERYKIT_VSS_DAMAGED", "3"))
tools = need("vshadowmount", "vshadowinfo", "ntfs-3g", "losetup", "umount")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vss") / "vss.raw"
    path.write_bytes(lzma.decompress(SAMPLE.read_bytes()))
    return path


def on_disk(sample: Path) -> Volume:
    return disks.survey(sample).volumes[0]


def is_fuse_left(folder: Path) -> bool:
    return str(folder) in Path("/proc/self/mountinfo").read_text()


@can_mount
@tools
def test_the_volume_as_it_was(sample: Path, tmp_path: Path) -> None:
    before = digest(sample)
    with vss.opened(on_disk(sample)) as found:
        assert found.gaps == ()
        assert [item.name for item in found.snapshots] == [
            "snapshot of 2021-05-01 17:41 UTC",
            "snapshot of 2021-05-01 17:40 UTC",
        ]
        newest, oldest = found.snapshots
        assert oldest.created == datetime(2021, 5, 1, 17, 40, 3, tzinfo=UTC)
        assert (newest.mount / "vss1").is_file()
        assert not (oldest.mount / "vss1").exists()
        assert (oldest.mount / "passwords.txt").read_text().startswith("place,user,password")
        with pytest.raises(OSError, match="Read-only file system"):
            (newest.mount / "new.txt").write_text("x")
    assert digest(sample) == before
    assert left_behind(sample) == []
    assert not is_fuse_left(tmp_path)
    assert list(tmp_path.glob("recoverykit-*")) == []


@can_mount
@tools
def test_in_a_partition(sample: Path, tmp_path: Path) -> None:
    volume = sample.read_bytes()
    image = tmp_path / "disk.img"
    last = FIRST + len(volume)
    disk = gpt([Entry(FIRST // 512, last // 512 - 1)], sectors=last // 512 + 2048)
    disk[FIRST:last] = volume
    image.write_bytes(disk)
    (found,) = disks.survey(image).volumes
    assert found.offset == FIRST
    with vss.opened(found, most=1) as snapshots:
        (newest,) = snapshots.snapshots
        assert (newest.mount / "vss1").is_file()
        assert [gap.reason for gap in snapshots.gaps] == ["1 older snapshots were not looked at"]
    assert left_behind(image) == []


@can_mount
@tools
def test_a_damaged_catalog_makes_gaps_at_most(sample: Path, tmp_path: Path) -> None:
    whole = sample.read_bytes()
    catalog = int.from_bytes(whole[0x1E30:0x1E38], "little")
    rng = random.Random(20210501)
    image = tmp_path / "damaged.raw"
    told = 0
    for _ in range(DAMAGED):
        bad = bytearray(whole)
        for _ in range(8):
            bad[catalog + rng.randrange(0x200)] ^= 1 << rng.randrange(8)
        image.write_bytes(bad)
        with vss.opened(Volume("damaged", FileSystem.NTFS, image, size=len(bad))) as found:
            told += bool(found.gaps) or len(found.snapshots) == 2
        assert left_behind(image) == []
    assert told == DAMAGED


@can_mount
def test_without_the_tool(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", without_libvshadow(tmp_path))
    with vss.opened(Volume("sample", FileSystem.NTFS, sample)) as found:
        (gap,) = found.gaps
    assert "libvshadow (vshadowmount) is not installed" in gap.reason
    assert found.snapshots == ()
    assert left_behind(sample) == []


def without_libvshadow(folder: Path) -> str:
    """A PATH with every other program that opening a volume takes."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("losetup", "umount", "mount", "ntfs-3g"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    return str(programs)


@can_mount
@need("ntfs-3g", "mkntfs")
def test_an_ordinary_volume_has_none(volume: MakeVolume) -> None:
    plain = volume()
    assert not vss.has_snapshots(plain)
    with vss.opened(plain) as found:
        assert found == vss.Snapshots()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"filesystem": FileSystem.FAT}, id="FAT"),
        pytest.param({"offset": 512}, id="elsewhere"),
        pytest.param({"offset": 1 << 40}, id="beyond the end"),
    ],
)
def test_what_has_no_header(sample: Path, change: dict[str, object]) -> None:
    volume = Volume("sample", FileSystem.NTFS, sample)
    assert vss.has_snapshots(volume)
    assert not vss.has_snapshots(replace(volume, **change))  # type: ignore[arg-type]


def test_a_mounted_folder_does_not_show_them(tmp_path: Path) -> None:
    assert not vss.has_snapshots(Volume("folder", FileSystem.NTFS, tmp_path))


def test_a_volume_that_cannot_be_read(tmp_path: Path) -> None:
    gone = Volume("gone", FileSystem.NTFS, tmp_path / "gone.img")
    with vss.opened(gone) as found:
        (gap,) = found.gaps
    assert gap.reason == (
        "the snapshots of this volume cannot be opened: No such file or directory"
    )
