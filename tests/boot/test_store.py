"""Finding boot stores on a volume: every place, in any case, with the logs beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recoverykit.boot import store as stores
from recoverykit.boot.store import Role
from recoverykit.errors import FormatError
from recoverykit.formats.bcd_device import Boot, GptPartition, Locate, MbrPartition, Ramdisk, Where
from recoverykit.formats.bcd_names import BOOTMGR
from recoverykit.model import FileSystem, Volume
from tests.builders.hive import build, dirty_with_log, dword, soiled, sz
from tests.formats.hives import hive_bytes

SAMPLE = "bcd_windeploy_bios"


def put(root: Path, path: str, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def found(root: Path) -> list[tuple[str, Role]]:
    return [(item.path, item.role) for item in stores.find(root)]


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("EFI/Microsoft/Boot/BCD", Role.SYSTEM),
        ("efi/microsoft/boot/bcd", Role.SYSTEM),
        ("Boot/BCD", Role.SYSTEM),
        ("BOOT/bcd", Role.SYSTEM),
        ("EFI/Microsoft/Recovery/BCD", Role.RECOVERY),
        ("Windows/System32/config/BCD-Template", Role.TEMPLATE),
        ("WINNT2/system32/CONFIG/bcd-template", Role.TEMPLATE),
    ],
)
def test_every_place(path: str, role: Role, tmp_path: Path) -> None:
    put(tmp_path, path, hive_bytes(SAMPLE))
    (only,) = stores.find(tmp_path)
    assert (only.path, only.role, only.problem) == (path, role, "")
    assert only.store is not None
    assert only.store.find(BOOTMGR) is not None


def test_several_on_one_volume(tmp_path: Path) -> None:
    for path in ("Windows/System32/config/BCD-Template", "Boot/BCD", "EFI/Microsoft/Boot/BCD"):
        put(tmp_path, path, hive_bytes(SAMPLE))
    assert found(tmp_path) == [
        ("EFI/Microsoft/Boot/BCD", Role.SYSTEM),
        ("Boot/BCD", Role.SYSTEM),
        ("Windows/System32/config/BCD-Template", Role.TEMPLATE),
    ]


def test_what_is_no_store_file(tmp_path: Path) -> None:
    (tmp_path / "Boot/BCD").mkdir(parents=True)
    put(tmp_path, "BCD", hive_bytes(SAMPLE))
    assert found(tmp_path) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere", hive_bytes(SAMPLE))
    (tmp_path / "Boot").mkdir()
    (tmp_path / "Boot/BCD").symlink_to("../elsewhere")
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "problem", "code"),
    [
        (b"", "no regf signature", FormatError.exit_code),
        (b"\0" * 9000, "no regf signature", FormatError.exit_code),
        (build({"Select": {}}), "no BCD", FormatError.exit_code),
        (soiled(build({"Objects": {}})), "no usable log", FormatError.exit_code),
    ],
)
def test_a_store_that_cannot_be_used_is_named(
    content: bytes, problem: str, code: int, tmp_path: Path
) -> None:
    put(tmp_path, "Boot/BCD", content)
    (only,) = stores.find(tmp_path)
    assert only.store is None
    assert problem in only.problem
    assert only.exit_code == code


@pytest.mark.parametrize("suffix", [".LOG1", ".log1"])
def test_a_dirty_store_is_read_with_its_log(suffix: str, tmp_path: Path) -> None:
    def store(timeout: int) -> bytes:
        element = {"Elements": {"25000004": {"Element": dword(timeout)}}}
        return build({"Description": {"KeyName": sz("BCD")}, "Objects": {BOOTMGR: element}})

    primary, log = dirty_with_log(store(1), store(2))
    put(tmp_path, "Boot/BCD", primary)
    put(tmp_path, f"Boot/BCD{suffix}", log)
    (only,) = stores.find(tmp_path)
    assert only.problem == ""
    assert only.store is not None
    assert only.store.objects[0].elements[0].stored.data == b"\2\0\0\0"
    assert only.notes


def test_reading_raises_for_who_wants_to_change_it(tmp_path: Path) -> None:
    put(tmp_path, "Boot/BCD", b"\0" * 9000)
    with pytest.raises(FormatError):
        stores.read(tmp_path, "Boot/BCD")
    put(tmp_path, "Boot/BCD", hive_bytes(SAMPLE))
    store, hive, recovery = stores.read(tmp_path, "boot/bcd")
    assert store.find(BOOTMGR) is not None
    assert hive.root.name == "NewStoreRoot"
    assert recovery.recovered is False


DISK, ESP, WINDOWS = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))
VOLUMES = tuple(
    Volume(name, FileSystem.NTFS, Path("disk.img"), identity=identity)
    for name, identity in [
        ("folder", ""),
        ("disk.img#1", f"gpt:{ESP}"),
        ("disk.img#2", f"gpt:{WINDOWS}"),
        ("old.img#1", "mbr:ddba6bbb:1048576"),
    ]
)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (GptPartition(DISK, WINDOWS), "disk.img#2"),
        (MbrPartition(0xDDBA6BBB, 1 << 20), "old.img#1"),
        (Ramdisk("\\winre.wim", GptPartition(DISK, ESP)), "disk.img#1"),
        (MbrPartition(0xDDBA6BBB, 1 << 21), None),
        (Boot(), None),
        (Locate("\\Windows"), None),
    ],
)
def test_which_volume_a_device_is(where: Where, name: str | None) -> None:
    found = stores.volume_of(where, VOLUMES)
    assert (found.name if found else None) == name
