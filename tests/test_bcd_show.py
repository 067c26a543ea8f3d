"""`recoverykit bcd show`: files, folders and disks, as text and as JSON."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recoverykit import bcd_show, cli_bcd
from recoverykit.boot.store import Found, Role
from recoverykit.errors import RecoveryKitError, UsageError
from recoverykit.formats import bcd_build, bcd_device, bcd_entries
from recoverykit.formats.bcd_device import GptPartition, MbrPartition
from recoverykit.formats.bcd_entries import Firmware
from recoverykit.host import disks, mounts
from recoverykit.model import Disk, FileSystem, Volume
from recoverykit.visit import DEFAULT
from tests.builders import disk as disk_builder
from tests.conftest import mounts as can_mount
from tests.conftest import need
from tests.formats.bcd_samples import STORES
from tests.formats.hives import HIVES, hive_bytes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTRY = "{01234567-89ab-cdef-0123-456789abcdef}"
RESUME = "{11234567-89ab-cdef-0123-456789abcdef}"
SAMPLE = "bcd_windeploy_bios"


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    path = tmp_path / "BCD"
    path.write_bytes(hive_bytes(SAMPLE))
    return path


# --- files --------------------------------------------------------------------------------


def test_a_file_is_shown_alone(store_file: Path) -> None:
    listing = bcd_show.look(store_file)
    assert (listing.exit_code, listing.gaps) == (0, ())
    text = bcd_show.to_text(listing)
    assert text.startswith(
        "Windows Boot Manager\n--------------------\nidentifier              {9d"
    )
    assert "partition=mbr:ddba6bbb:1048576\n" in text
    assert "{bootmgr}" not in text
    assert "identifier              {bootmgr}\n" in bcd_show.to_text(listing, aliases=True)


def test_a_link_to_a_file_is_the_caller_s_own_wish(store_file: Path) -> None:
    link = store_file.with_name("link")
    link.symlink_to(store_file)
    assert bcd_show.look(link).exit_code == 0


def test_a_damaged_file_is_said_to_be_one(store_file: Path) -> None:
    store_file.write_bytes(hive_bytes(SAMPLE)[:9000])
    listing = bcd_show.look(store_file)
    assert listing.exit_code == 10
    assert "This boot store cannot be used: " in bcd_show.to_text(listing)
    document = json.loads(bcd_show.to_json(listing))
    assert document["stores"][0]["error"]
    assert document["stores"][0]["objects"] == []


@pytest.mark.parametrize("name", [name for name in STORES if not name.endswith(".xz")])
def test_json_holds_every_element(name: str) -> None:
    hive_bytes(name)  # skips where it is absent
    document = json.loads(bcd_show.to_json(bcd_show.look(HIVES / name)))
    assert document["schema"] == "recoverykit.bcd/1"
    assert document["exit_code"] == 0
    (store,) = document["stores"]
    found = [element for item in store["objects"] for element in item["elements"]]
    assert (len(store["objects"]), len(found)) == STORES[name]
    assert all(element["value"] is not None and element["text"] for element in found)
    assert store["description"]["KeyName"]["type"] == 1


def test_json_of_one_object(store_file: Path) -> None:
    (store,) = json.loads(bcd_show.to_json(bcd_show.look(store_file)))["stores"]
    items = {item["alias"] or item["identifier"]: item for item in store["objects"]}
    tester = items["{memdiag}"]
    assert (tester["type"], tester["title"]) == ("10200005", "Windows Memory Tester")
    elements = {element["name"]: element for element in tester["elements"]}
    assert elements["device"]["value"] == {
        "kind": "partition",
        "signature": "ddba6bbb",
        "offset": 1048576,
        "volume": None,
        "options": None,
    }
    assert elements["badmemoryaccess"]["value"] is True
    assert elements["inherit"]["value"] == ["{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"]
    assert elements["path"] == {
        "type": "12000002",
        "name": "path",
        "value": "\\boot\\memtest.exe",
        "text": ["\\boot\\memtest.exe"],
        "stored": {"type": 1, "raw": "\\boot\\memtest.exe\0".encode("utf-16-le").hex()},
    }
    assert items["{default}"]["title"] == "Windows Boot Loader"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (
            bcd_device.Locate("", 0x1200_0002, bcd_device.VirtualDisk(bcd_device.Boot())),
            {
                "kind": "locate",
                "path": None,
                "element": "12000002",
                "parent": {"kind": "vhd", "parent": {"kind": "boot"}},
            },
        ),
        (
            bcd_device.File("\\x", bcd_device.Boot()),
            {"kind": "file", "path": "\\x", "parent": {"kind": "boot"}},
        ),
        (
            bcd_device.Opaque(b"\7\0\0\0"),
            {"kind": "unknown", "number": 7, "raw": "07000000"},
        ),
    ],
)
def test_json_of_devices(where: bcd_device.Where, expected: dict[str, object]) -> None:
    assert bcd_show._where(where, bcd_show.Listing((), (), {}, 0)) == expected


# --- folders and disks --------------------------------------------------------------------


def test_a_mounted_folder(tmp_path: Path) -> None:
    for place in ("EFI/Microsoft/Boot/BCD", "Windows/System32/config/BCD-Template"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(hive_bytes(SAMPLE))
    listing = bcd_show.look(tmp_path)
    assert listing.exit_code == 0
    assert [item.found.role for item in listing.stores] == [Role.SYSTEM, Role.TEMPLATE]
    text = bcd_show.to_text(listing)
    assert f"=== {tmp_path}:/EFI/Microsoft/Boot/BCD (what this disk starts from)\n" in text
    assert "BCD-Template (template for new stores)\n" in text


def test_nothing_there(tmp_path: Path) -> None:
    listing = bcd_show.look(tmp_path)
    assert listing.exit_code == 3
    assert bcd_show.to_text(listing) == "No boot store was found.\n"
    with pytest.raises(UsageError):
        bcd_show.look(tmp_path / "absent")


def test_partitions_are_named_where_they_are_known() -> None:
    system = GptPartition(str(uuid.UUID(int=1)), str(uuid.UUID(int=2)))
    windows = GptPartition(str(uuid.UUID(int=1)), str(uuid.UUID(int=3)))
    store = bcd_entries.windows_store(
        Firmware.UEFI, system, windows, entry=ENTRY, resume=RESUME, description="Windows 11"
    )
    shown = bcd_show.Shown(Found("EFI/Microsoft/Boot/BCD", Role.SYSTEM, store), None)
    listing = bcd_show.Listing((shown,), (), {bcd_device.identity(system): "/dev/sda1"}, 0)
    text = bcd_show.to_text(listing)
    assert f"partition={bcd_device.identity(system)} (/dev/sda1)\n" in text
    assert f"partition={bcd_device.identity(windows)}\n" in text
    document = json.loads(bcd_show.to_json(listing))
    volumes = {
        element["value"]["volume"]
        for item in document["stores"][0]["objects"]
        for element in item["elements"]
        if element["name"] in ("device", "osdevice")
    }
    assert volumes == {"/dev/sda1", None}


@can_mount
@need("ntfs-3g", "mkntfs", "sfdisk", "losetup", "umount")
@pytest.mark.disk
def test_a_bios_disk(tmp_path: Path) -> None:
    """Its store lies on the active NTFS partition and names both partitions of the disk."""
    image = disk_builder.create(tmp_path / "disk.img", scheme="mbr", volume_mib=16)
    volumes = {volume.number: volume for volume in disks.survey(image.path).volumes}
    disk = volumes[1].disk
    assert disk is not None
    boot, windows = (
        bcd_device.partition(volumes[number].identity, disk.identity) for number in (1, 2)
    )
    assert isinstance(boot, MbrPartition)
    store = bcd_entries.windows_store(
        Firmware.BIOS, boot, windows, entry=ENTRY, resume=RESUME, description="Windows 10"
    )
    with mounts.opened(volumes[1], writable=True) as mount:
        (mount / "Boot").mkdir()
        (mount / "Boot/BCD").write_bytes(bcd_build.build(store, when=NOW))
    listing = bcd_show.look(image.path)
    assert (listing.exit_code, listing.gaps) == (0, ())
    text = bcd_show.to_text(listing)
    assert text.startswith("=== disk.img#1:/Boot/BCD (what this disk starts from)\n")
    assert f"partition={volumes[2].identity} (disk.img#2)\n" in text
    assert f"partition={volumes[1].identity} (disk.img#1)\n" in text


@can_mount
@need("mkfs.fat", "mkntfs", "sgdisk", "mcopy", "ntfs-3g", "losetup", "umount")
@pytest.mark.disk
def test_a_uefi_disk(tmp_path: Path) -> None:
    """Its store lies on the ESP: shown where the kernel reads FAT, else said to be closed."""
    image = disk_builder.create(
        tmp_path / "disk.img", volume_mib=16, bcd=hive_bytes("bcd_windeploy_efi")
    )
    listing = bcd_show.look(image.path)
    text = bcd_show.to_text(listing)
    if "vfat" in Path("/proc/filesystems").read_text("ascii").split():
        assert listing.exit_code == 0
        assert "=== disk.img#1:/EFI/Microsoft/Boot/BCD (what this disk starts from)\n" in text
        assert "description             Windows 10 Pro\n" in text
    else:
        assert listing.exit_code == 5
        assert "No boot store was found.\nNot looked at: disk.img#1: disk.img#1 is FAT" in text


def member() -> Volume:
    disk = Disk(Path("/dev/sdz"), 1 << 30, 512, "mbr", member_of="Intel RST RAID (IMSM)")
    return Volume(
        "/dev/sdz1", FileSystem.NTFS, Path("/dev/sdz1"), disk=disk, refusal="part of a set"
    )


def test_half_of_a_set_is_not_opened() -> None:
    with pytest.raises(RecoveryKitError, match="part of a set"):
        bcd_show._of_volume(member(), DEFAULT)


# --- the command line ---------------------------------------------------------------------


def test_the_command(store_file: Path) -> None:
    runner = CliRunner()
    plain = runner.invoke(cli_bcd.app, ["show", str(store_file)])
    assert (plain.exit_code, plain.output) == (0, bcd_show.to_text(bcd_show.look(store_file)))
    document = json.loads(runner.invoke(cli_bcd.app, ["show", str(store_file), "--json"]).output)
    assert document["schema"] == bcd_show.SCHEMA
    named = runner.invoke(cli_bcd.app, ["show", "--names", str(store_file)])
    assert "{bootmgr}" in named.output
    store_file.write_bytes(b"regf")
    assert runner.invoke(cli_bcd.app, ["show", str(store_file)]).exit_code == 10


def test_the_help_has_an_example() -> None:
    for arguments in (["--help"], ["show", "--help"]):
        shown = CliRunner().invoke(cli_bcd.app, arguments)
        assert shown.exit_code == 0
        assert "recoverykit bcd show /dev/sda" in shown.output
