"""The power goes after any write that ntfs-3g makes; a sample of what bench.power_cuts does."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import ntfs_folder, ntfs_volume
from recoverykit.formats.ntfs_volume import ROOT, NtfsVolume
from recoverykit.host import blocks, ntfs_device
from recoverykit.repair import folder_blocks, mend, transaction, undo
from tests.builders import tables
from tests.conftest import mounts, need
from tests.repair import allocation, cut_scenes, ntfs, recorded, target
from tests.repair.cut_scenes import Scene
from tests.repair.recorded import Recording

pytestmark = [mounts, need("mkntfs", "ntfs-3g", "strace"), pytest.mark.disk]
SAMPLE = 6  # cuts of each; the campaign makes them all
NAMES = ("rich, no logs", "replaced, linked", "inner node")
Recorded = tuple[Scene, Recording, object]


@pytest.fixture(scope="module", params=NAMES)
def scene(request: pytest.FixtureRequest) -> Scene:
    return next(one for one in cut_scenes.SCENES if one.name == request.param)


@pytest.fixture(scope="module")
def phases(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorded, Recorded]:
    """Every write of a repair, and of its undo."""
    folder = tmp_path_factory.mktemp("recorded")
    image = folder / "disk.img"
    scene.make(image)
    with ntfs.mounted(image) as volume:
        before = scene.look(volume.path)
    with recorded.recording(image, folder / "apply") as (volume, applied):
        scene.apply(volume.path)
    with recorded.recording(image, folder / "undo") as (volume, taken_back):
        undo.undo(volume.path)
    return (scene, applied(), before), (scene, taken_back(), before)


@pytest.mark.parametrize("undoing", [False, True], ids=["apply", "undo"])
def test_any_prefix_is_recovered_from(
    phases: tuple[Recorded, Recorded], tmp_path: Path, *, undoing: bool
) -> None:
    scene, recording, before = phases[undoing]
    assert recording.cuts > 60
    met: set[str] = set()
    for number in random.Random(20240719).sample(range(recording.cuts), SAMPLE):
        image = recording.build(tmp_path / "disk.img", recording.cut(number))
        met |= {*cut_scenes.recover(image, scene, before)}
    assert met & {"abandoned", "committed"}


def test_the_whole_recording_is_what_the_volume_holds(
    phases: tuple[Recorded, Recorded], tmp_path: Path
) -> None:
    """No write is missed: built from all of them, the image is that from which undo began."""
    (_, applied, _), (_, taken_back, _) = phases
    image = applied.build(tmp_path / "disk.img", applied.cut(applied.cuts - 1))
    assert image.read_bytes() == taken_back.base.read_bytes()


# --- what may be put back -----------------------------------------------------------------


@pytest.fixture
def moving(tmp_path: Path) -> tuple[Path, bytes]:
    """A volume, and the blocks kept before a file of it was moved."""
    image = tmp_path / "disk.img"
    ntfs.make(image)
    with ntfs.mounted(image) as volume:
        driver = volume.path / target.DRIVER
        assert ntfs_device.behind(volume.path) == image
        other = volume.path / "Windows"
        names = [driver.name, "ACMEFI~1.SYS"]
        kept = folder_blocks.take(volume.path, [driver], [driver.parent, other], names)
        driver.rename(other / driver.name)
    return image, kept


def wanted(image: Path, kept: bytes) -> ntfs_folder.Pieces:
    with blocks.reader(image) as (read, _):
        return folder_blocks.back(read, folder_blocks.unpack(kept))


def test_a_move_is_taken_back_below_the_file_system(moving: tuple[Path, bytes]) -> None:
    image, kept = moving
    pieces = wanted(image, kept)
    with image.open("r+b") as stream:
        for at, content in pieces.items():
            stream.seek(at)
            stream.write(content)
    assert wanted(image, kept) == {}
    with ntfs.mounted(image) as volume:
        assert (volume.path / target.DRIVER).read_bytes().startswith(b"MZ acme")
        assert not (volume.path / "Windows" / "acme filter.sys").exists()


def test_nothing_is_put_back_once_windows_had_the_volume(moving: tuple[Path, bytes]) -> None:
    image, kept = moving
    assert wanted(image, kept)
    with blocks.reader(image) as (read, _):
        volume = NtfsVolume.open(read)
        place, _ = next(ntfs_folder.spans(log_of(volume), 0, 512))
    with image.open("r+b") as stream:
        stream.seek(place + 8)
        stream.write(b"\1")  # a restart page is written whenever Windows opens a volume
    assert wanted(image, kept) == {}


def log_of(volume: NtfsVolume) -> ntfs_volume.Stream:
    found = ntfs_volume.stream(volume, ntfs_volume.LOG_FILE)
    assert found is not None
    return found


@pytest.mark.parametrize("what", ["a new name", "a deleted file"])
def test_nothing_is_put_back_over_what_others_did(moving: tuple[Path, bytes], what: str) -> None:
    image, kept = moving
    with ntfs.mounted(image) as volume:
        folder = (volume.path / target.DRIVER).parent
        if what == "a new name":
            (folder / "stranger.sys").touch()
        else:
            (folder / "good.sys").unlink()
    assert wanted(image, kept) == {}


def test_nothing_is_put_back_on_another_volume(moving: tuple[Path, bytes], tmp_path: Path) -> None:
    _, kept = moving
    ntfs.make(tmp_path / "other.img")
    with (tmp_path / "other.img").open("r+b") as stream:
        stream.seek(0x48)  # the serial number, which mkntfs takes from the clock
        stream.write(b"\1\2\3\4")
    assert wanted(tmp_path / "other.img", kept) == {}


def test_a_folder_that_is_no_mount_keeps_nothing(tmp_path: Path) -> None:
    target.build(tmp_path)
    driver = tmp_path / target.DRIVER
    assert folder_blocks.take(tmp_path, [driver], [driver.parent], [driver.name]) == b""


def test_a_whole_volume_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    ntfs.make(image)
    with ntfs.mounted(image) as volume:
        Scene("numbers").apply(volume.path)
    before = image.read_bytes()
    assert cut_scenes.mend(image) == ()
    assert image.read_bytes() == before
    names = ntfs_folder.names(NtfsVolume.open(tables.reader(before)), ROOT)
    assert "RecoveryKit" in names
    with ntfs.mounted(image) as volume:
        assert [seen.state for seen in transaction.history(volume.path)] == ["committed"]


@pytest.mark.parametrize("what", ["a record", "a cluster"])
def test_what_does_not_fit_together_is_seen(tmp_path: Path, what: str) -> None:
    """The check of every recovery, of what is allocated, can fail."""
    image = tmp_path / "disk.img"
    ntfs.make(image)
    assert allocation.problems(image) == ()
    kind, number = (0xB0, 0) if what == "a record" else (ntfs_volume.DATA, 6)
    with blocks.reader(image) as (read, _):
        bitmap = ntfs_volume.stream(NtfsVolume.open(read), number, kind)
    assert bitmap is not None
    place, _ = next(ntfs_folder.spans(bitmap, 0, 1))
    with image.open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\0")
    assert any("free in" in said for said in allocation.problems(image))


@pytest.mark.parametrize(
    "content",
    [b"", b"{}\n", b'{"pieces": [[0, 9]]}\nshort', b'{"pieces": [[-1, 1]]}\nx', b"[" * 9999],
)
def test_kept_blocks_that_nobody_wrote_are_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        folder_blocks.unpack(content)


def test_blocks_outside_the_volume_are_not_written(moving: tuple[Path, bytes]) -> None:
    image, kept = moving
    far = {**folder_blocks.unpack(kept).pieces, image.stat().st_size: b"beyond"}
    with blocks.reader(image) as (read, _):
        assert folder_blocks.back(read, replace(folder_blocks.unpack(kept), pieces=far)) == {}


def test_a_volume_that_never_had_our_folder_is_not_mended(tmp_path: Path) -> None:
    """Whoever tore its root: it was no repair of ours."""
    image = tmp_path / "disk.img"
    ntfs.make(image)
    with blocks.reader(image) as (read, _):
        place = ntfs_folder.places(NtfsVolume.open(read), ROOT)["$Secure"]
    with image.open("r+b") as stream:
        stream.seek(place.block + 510)
        stream.write(b"\0\0")  # the number at the end of its first sector
    before = image.read_bytes()

    def nobody() -> AbstractContextManager[Path]:
        raise AssertionError("it was mounted")

    assert mend.make_whole(image, nobody) == ()
    assert image.read_bytes() == before
