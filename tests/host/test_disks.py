"""The survey on images, on a made-up /sys, and on a loop device."""

from __future__ import annotations

from pathlib import Path

import pytest

from recoverykit.errors import UsageError
from recoverykit.formats import gpt, raid_member
from recoverykit.host import blocks, disks
from recoverykit.model import FileSystem, Survey
from tests.builders import ntfs, tables
from tests.builders.tables import Entry
from tests.conftest import need, read_real, real

SECTORS = 40960  # 20 MiB
VOLUME = 8 * ntfs.MIB
AT = 1 << 20


def partitioned(volume: bytes, *, second: bytes = b"", kind: str = gpt.BASIC_DATA) -> bytearray:
    """A GPT disk with `volume` in partition 1 and `second` in partition 2."""
    one, two = AT // 512, (AT + VOLUME) // 512
    entries = [Entry(one, two - 1, kind)]
    entries += [Entry(two, two + VOLUME // 512 - 1)] if second else []
    disk = tables.gpt(entries, sectors=SECTORS)
    disk[AT : AT + len(volume)] = volume
    disk[AT + VOLUME : AT + VOLUME + len(second)] = second
    return disk


def survey(tmp_path: Path, disk: bytes | bytearray, name: str = "disk.img") -> Survey:
    image = tmp_path / name
    image.write_bytes(disk)
    return disks.survey(image)


# --- images -------------------------------------------------------------------------------


@need("mkntfs")
def test_a_partitioned_image(tmp_path: Path) -> None:
    found = survey(tmp_path, partitioned(ntfs.volume()))
    (disk,), (volume,) = found.disks, found.volumes
    assert (disk.scheme, disk.identity, disk.size) == ("gpt", tables.DISK, SECTORS * 512)
    assert (volume.name, volume.filesystem) == ("disk.img#1", FileSystem.NTFS)
    assert (volume.path, volume.offset, volume.size) == (disk.path, AT, VOLUME)
    assert volume.identity.startswith("gpt:")
    assert volume.refusal == ""


@need("mkntfs")
def test_a_bare_volume(tmp_path: Path) -> None:
    found = survey(tmp_path, ntfs.volume())
    (disk,), (volume,) = found.disks, found.volumes
    assert disk.scheme == "none"
    assert (volume.name, volume.number, volume.offset) == ("disk.img", 0, 0)


@need("mkntfs")
def test_a_4k_sector_disk(tmp_path: Path) -> None:
    disk = tables.gpt([Entry(256, 256 + VOLUME // 4096 - 1)], sectors=5120, sector_size=4096)
    disk[AT : AT + VOLUME] = ntfs.volume()
    found = survey(tmp_path, disk)
    assert found.disks[0].sector_size == 4096
    assert found.volumes[0].filesystem is FileSystem.NTFS


@need("mkntfs")
def test_a_damaged_primary_table_is_a_note(tmp_path: Path) -> None:
    disk = partitioned(ntfs.volume())
    disk[600] ^= 0xFF
    found = survey(tmp_path, disk)
    assert found.volumes[0].filesystem is FileSystem.NTFS
    assert "backup was used" in found.gaps[0].reason


def test_two_damaged_tables_are_a_gap(tmp_path: Path) -> None:
    disk = partitioned(b"")
    disk[512:520] = disk[-512:-504] = b"EFI TRAP"
    found = survey(tmp_path, disk)
    assert found.volumes == ()
    assert "damaged in both copies" in found.gaps[0].reason


@need("mkntfs")
def test_a_hybrid_mbr_yields_to_the_gpt(tmp_path: Path) -> None:
    disk = partitioned(ntfs.volume())
    tables.put_mbr(disk, [(0, 0xEE, 1, 2047), (0x80, 7, 2048, 999)])
    found = survey(tmp_path, disk)
    assert [volume.offset for volume in found.volumes] == [AT]
    assert "hybrid MBR" in found.gaps[0].reason


def test_a_gpt_without_a_protective_mbr_is_read_and_noted(tmp_path: Path) -> None:
    disk = partitioned(b"")
    disk[:512] = bytes(512)
    found = survey(tmp_path, disk)
    assert found.disks[0].scheme == "gpt"
    assert "no protective MBR" in found.gaps[0].reason


@need("mkntfs")
def test_logical_partitions_are_volumes(tmp_path: Path) -> None:
    disk = bytearray(SECTORS * 512)
    tables.put_mbr(disk, [(0, 0x0F, 64, SECTORS - 64)])
    tables.put_mbr(disk, [(0, 7, 1984, VOLUME // 512)], at=64 * 512)
    disk[AT : AT + VOLUME] = ntfs.volume()
    (volume,) = survey(tmp_path, disk).volumes
    assert (volume.number, volume.filesystem) == (5, FileSystem.NTFS)
    assert volume.identity == f"mbr:4d2a6b11:{AT}"


def test_an_empty_disk_is_a_disk(tmp_path: Path) -> None:
    found = survey(tmp_path, bytes(1 << 20))
    assert found.volumes == ()
    assert found.gaps[0].reason == "There is no partition table on this disk."


@pytest.mark.parametrize("image", real("disk/ntfs-fixed.vhd.xz"))
def test_a_fixed_vhd_is_a_disk_without_its_footer(image: Path, tmp_path: Path) -> None:
    found = survey(tmp_path, read_real(image))
    assert found.disks[0].size == 4 << 20
    assert found.volumes[0].filesystem is FileSystem.NTFS


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (real("disk/ntfs-dynamic.vhd.xz")[0], "is a dynamic or differencing VHD image"),
        (real("disk/ntfs-dynamic.vhdx.xz")[0], "is a VHDX image"),
        (real("disk/windows_volume.qcow2.xz")[0], "is a QEMU qcow2 image"),
        (real("disk/wimlib_longpaths.wim")[0], "is a WIM image"),
        (real("INDEX.md")[0], "is not a disk image"),
    ],
    ids=["vhd", "vhdx", "qcow2", "wim", "text"],
)
def test_what_is_no_raw_image_is_named(image: object, sentence: str, tmp_path: Path) -> None:
    path = image.values[0]  # type: ignore[attr-defined]  # a pytest.param of one value
    if not path.is_file():
        pytest.skip(f"no {path}")
    with pytest.raises(UsageError, match=sentence) as caught:
        survey(tmp_path, read_real(path))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/nonexistent/disk.img", "cannot be opened: No such file"),
        ("/dev/null", "is neither a disk, nor an image file, nor a folder"),
    ],
)
def test_impossible_targets(target: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        disks.survey(Path(target))


def test_a_write_protected_image_is_read_only(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(partitioned(b""))
    image.chmod(0o444)
    assert disks.survey(image).disks[0].read_only


# --- refusals -----------------------------------------------------------------------------


@need("mkntfs")
@pytest.mark.parametrize(
    ("at", "magic", "member"),
    [
        pytest.param(-1024, b"Intel Raid ISM Cfg Sig. 1.0", raid_member.IMSM, id="IMSM"),
        pytest.param(-512, b"\xde\x11\xde\x11", raid_member.DDF, id="DDF"),
    ],
)
def test_half_a_mirror_is_refused(at: int, magic: bytes, member: str, tmp_path: Path) -> None:
    disk = bytearray(12 << 20)
    tables.put_mbr(disk, [(0x80, 7, AT // 512, VOLUME // 512)])
    disk[AT : AT + VOLUME] = ntfs.volume()
    disk[at : at + len(magic) or None] = magic
    found = survey(tmp_path, disk)
    assert found.disks[0].member_of == member
    assert member in found.volumes[0].refusal


@need("mkntfs")
@pytest.mark.parametrize(
    ("kind", "member"),
    [(gpt.LDM_DATA, raid_member.LDM), (gpt.STORAGE_SPACES, raid_member.SPACES)],
)
def test_dynamic_disks_and_pools_are_refused(kind: str, member: str, tmp_path: Path) -> None:
    found = survey(tmp_path, partitioned(ntfs.volume(), kind=kind))
    assert found.disks[0].member_of == member
    assert member in found.volumes[0].refusal


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        pytest.param(b"\xeb\x58\x90-FVE-FS-", "locked by BitLocker", id="BitLocker"),
        pytest.param(b"\0\0\0ReFS\0\0\0\0", "is ReFS", id="ReFS"),
        pytest.param(b"LUKS\xba\xbe", "encrypted by Linux", id="LUKS"),
        pytest.param(b"\xeb\x52\x90NTFS    ", "was NTFS, but is damaged", id="damaged NTFS"),
        pytest.param(bytes(4096) + b"SPACEDB ", "part of a set: Storage Spaces", id="SPACEDB"),
    ],
)
def test_unusable_volumes_are_refused(head: bytes, sentence: str, tmp_path: Path) -> None:
    (volume,) = survey(tmp_path, partitioned(head)).volumes
    assert sentence in volume.refusal


@need("mkntfs")
def test_a_truncated_volume_is_refused(tmp_path: Path) -> None:
    (volume,) = survey(tmp_path, ntfs.volume()[: 4 << 20]).volumes
    assert "is cut off" in volume.refusal


@need("mkntfs")
def test_both_twins_are_refused(tmp_path: Path) -> None:
    found = survey(tmp_path, partitioned(ntfs.volume(), second=ntfs.volume()))
    assert all("the same identity (NTFS serial" in volume.refusal for volume in found.volumes)
    apart = survey(tmp_path, partitioned(ntfs.volume(), second=ntfs.volume(serial_seed=1)))
    assert [volume.refusal for volume in apart.volumes] == ["", ""]


# --- folders ------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [".", "WINDOWS"])
def test_a_folder_or_the_windows_folder_itself(given: str, tmp_path: Path) -> None:
    (tmp_path / "WINDOWS" / "system32" / "config").mkdir(parents=True)
    found = disks.survey(tmp_path / given)
    (volume,) = found.volumes
    assert (volume.path, volume.name, volume.disk) == (tmp_path, str(tmp_path), None)


# --- all disks of a machine ---------------------------------------------------------------


class Machine:
    """A /sys and a /dev with image files for disks, as the kernel would show them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/block").mkdir(parents=True)
        (root / "sys/class/block").mkdir(parents=True)
        (root / "dev").mkdir()

    def disk(
        self, name: str, content: bytes | bytearray, *, bus: str = "pci0000:00", **facts: int
    ) -> Path:
        home = self.root / "sys/devices" / bus / "block" / name
        (home / "queue").mkdir(parents=True)
        (home / "holders").mkdir()
        (home / "size").write_text(f"{len(content) // 512}\n")
        (home / "queue/logical_block_size").write_text("512\n")
        for fact, value in facts.items():
            (home / fact).write_text(f"{value}\n")
        for place in ("sys/block", "sys/class/block"):
            (self.root / place / name).symlink_to(home)
        (self.root / "dev" / name).write_bytes(content)
        return home

    def partition(self, disk: Path, number: int, start: int, content: bytes) -> Path:
        home = disk / f"{disk.name}{number}"
        (home / "holders").mkdir(parents=True)
        for fact, value in (
            ("partition", number),
            ("start", start // 512),
            ("size", len(content) // 512),
        ):
            (home / fact).write_text(f"{value}\n")
        (self.root / "sys/class/block" / home.name).symlink_to(home)
        (self.root / "dev" / home.name).write_bytes(content)
        return home

    def survey(self, *exclude: str) -> Survey:
        return disks.survey(exclude=exclude, root=self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def names(found: Survey) -> list[str]:
    return [disk.path.name for disk in found.disks]


@pytest.mark.parametrize(
    ("name", "is_disk"),
    [
        *((name, True) for name in ("sda", "sdab", "nvme0n1", "vda", "hdb", "xvda", "mmcblk0")),
        *((name, False) for name in ("sr0", "loop0", "ram1", "zram0", "fd0", "mmcblk0boot0")),
        ("dm-0", False),  # a volume of somebody's, unless its uuid says RAID
        ("md126", True),
    ],
)
def test_which_devices_are_disks(name: str, is_disk: bool, machine: Machine) -> None:
    machine.disk(name, bytes(1 << 20))
    assert names(machine.survey()) == ([name] if is_disk else [])


@need("mkntfs")
def test_partitions_are_opened_through_their_own_devices(machine: Machine) -> None:
    disk = machine.disk("sda", partitioned(ntfs.volume()), ro=1)
    machine.partition(disk, 1, AT, ntfs.volume())
    (volume,) = machine.survey().volumes
    assert (volume.path, volume.offset) == (machine.root / "dev/sda1", 0)
    assert volume.disk is not None
    assert volume.disk.read_only


@need("mkntfs")
def test_partitions_the_kernel_does_not_know_are_reached_by_offset(machine: Machine) -> None:
    machine.disk("sda", partitioned(ntfs.volume()))
    (volume,) = machine.survey().volumes
    assert (volume.path, volume.offset) == (machine.root / "dev/sda", AT)


@pytest.mark.parametrize("exclude", ["sdb", "/dev/sdb", "sdb1", "/dev/sdb1"])
def test_the_medium_is_left_out(exclude: str, machine: Machine) -> None:
    machine.disk("sda", bytes(1 << 20))
    machine.partition(machine.disk("sdb", partitioned(b"")), 1, AT, bytes(512))
    assert names(machine.survey(exclude)) == ["sda"]


def test_usb_and_removable_disks_are_flagged(machine: Machine) -> None:
    machine.disk("sda", bytes(1 << 20), removable=0)
    machine.disk("sdb", bytes(1 << 20), removable=1)
    machine.disk("sdc", bytes(1 << 20), bus="pci0000:00/usb2/2-1", removable=0)
    assert [disk.removable for disk in machine.survey().disks] == [False, True, True]


def test_card_readers_without_a_card_are_no_disks(machine: Machine) -> None:
    machine.disk("sda", b"")
    assert machine.survey() == Survey((), ())


@need("mkntfs")
def test_members_of_an_assembled_set_are_skipped_for_the_set(machine: Machine) -> None:
    for name in ("sda", "sdb"):
        half = bytearray(12 << 20)
        half[:VOLUME] = ntfs.volume()
        half[-1024:-1000] = b"Intel Raid ISM Cfg Sig. "
        (machine.disk(name, half) / "holders" / "md126").mkdir()
    machine.disk("md126", ntfs.volume())
    found = machine.survey()
    assert names(found) == ["md126"]
    assert found.volumes[0].refusal == ""


@need("mkntfs")
def test_a_partition_held_by_a_set_is_skipped(machine: Machine) -> None:
    disk = machine.disk("sda", partitioned(ntfs.volume()))
    (machine.partition(disk, 1, AT, ntfs.volume()) / "holders" / "dm-0").mkdir()
    assert machine.survey().volumes == ()


@need("mkntfs")
def test_a_clone_on_another_disk_is_noticed(machine: Machine) -> None:
    for name in ("sda", "sdb"):
        machine.disk(name, partitioned(ntfs.volume()))
    found = machine.survey()
    assert len(found.volumes) == 2
    assert all("a clone is attached" in volume.refusal for volume in found.volumes)


def test_an_unreadable_disk_is_a_gap(machine: Machine) -> None:
    machine.disk("sda", bytes(1 << 20))
    (machine.root / "dev/sda").unlink()
    found = machine.survey()
    assert found.disks == ()
    assert "This disk cannot be read" in found.gaps[0].reason


def test_this_machine_can_be_surveyed() -> None:
    found = disks.survey()
    assert all(disk.size > 0 for disk in found.disks)
    assert all((Path("/sys/block") / disk.path.name).exists() for disk in found.disks)


def test_reading_stops_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with blocks.reader(path) as (read, size):
        assert size == 10
        assert (read(8, 100), read(10, 1), read(-1, 4), read(0, -1)) == (b"89", b"", b"", b"")
