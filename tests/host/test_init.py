from __future__ import annotations

from pathlib import Path

import pytest

from recoverykit.host import init, medium_device, power

ISO_HEAD = b"\x01CD001\x01\x00"


def volume(path: Path, label: bytes, head: bytes = ISO_HEAD) -> Path:
    path.write_bytes(bytes(32768) + head + bytes(32) + label.ljust(32) + bytes(2048))
    return path


@pytest.mark.parametrize(
    ("label", "head", "expected"),
    [
        pytest.param(b"RECOVERYKIT", ISO_HEAD, True, id="ours"),
        pytest.param(b"RECOVERYKIT2", ISO_HEAD, False, id="another name"),
        pytest.param(b"Debian 12", ISO_HEAD, False, id="another medium"),
        pytest.param(b"RECOVERYKIT", bytes(8), False, id="no ISO 9660"),
    ],
)
def test_only_our_volumes_are_looked_into(
    label: bytes, head: bytes, expected: bool, tmp_path: Path
) -> None:
    assert medium_device.is_ours(volume(tmp_path / "d", label, head)) is expected


def test_a_device_that_is_short_or_gone_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(bytes(100))
    assert not medium_device.is_ours(tmp_path / "short")
    assert not medium_device.is_ours(tmp_path / "gone")


@pytest.fixture
def sys_folder(tmp_path: Path) -> Path:
    """/sys with a disk of two partitions, an empty drive and a loop device."""
    disk = tmp_path / "devices/usb/block/sdb"
    for name, number in (("sdb1", "1"), ("sdb2", "2")):
        (disk / name).mkdir(parents=True)
        (disk / name / "partition").write_text(number)
        (disk / name / "size").write_text("100\n")
    (disk / "size").write_text("1000\n")
    for name, size in (("sr0", "0"), ("loop0", "8")):
        (tmp_path / "devices" / name).mkdir()
        (tmp_path / "devices" / name / "size").write_text(size)
    links = tmp_path / "class/block"
    links.mkdir(parents=True)
    places = {"sdb": disk, "sdb1": disk / "sdb1", "sdb2": disk / "sdb2"}
    places |= {name: tmp_path / "devices" / name for name in ("sr0", "loop0")}
    for name, place in places.items():
        (links / name).symlink_to(place)
    return tmp_path


def test_whole_disks_are_tried_first_and_empty_drives_never(sys_folder: Path) -> None:
    assert list(medium_device.candidates(sys_folder)) == ["sdb", "sdb1", "sdb2"]


@pytest.mark.parametrize("name", ["sdb", "sdb1"])
def test_the_mediums_whole_disk_is_named(name: str, sys_folder: Path) -> None:
    assert medium_device.names_of(name, sys_folder) == {"sdb", "sdb1", "sdb2"}


@pytest.mark.parametrize("image_id", ["", "../../etc/passwd", "a b", "x" * 200])
def test_an_image_id_that_is_a_path_finds_nothing(image_id: str, tmp_path: Path) -> None:
    assert medium_device.find(image_id, tmp_path) is None


def test_kernel_words() -> None:
    found = init.words("quiet rk.mode=ask rk.mode=repair a=b=c console=tty0 =x\n")
    assert found == {"rk.mode": "repair", "a": "b=c", "console": "tty0", "": "x"}


def test_disk_mounts_newest_first_with_their_real_names() -> None:
    table = (
        "proc /proc proc rw 0 0\n/dev/sr0 /run/medium iso9660 ro 0 0\n"
        "/dev/sda3 /mnt/my\\040disk fuseblk rw 0 0\nbroken\n"
    )
    assert power.disk_mounts(table) == [Path("/mnt/my disk"), Path("/run/medium")]
