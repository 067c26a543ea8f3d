"""Disk images and faults, looked at with the tools of other people."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest

from tests.builders import disk, faults, history, unclean, windows
from tests.builders.disk import DiskImage
from tests.builders.windows import Windows
from tests.conftest import can_mount, mounts, need, real
from tests.independent import registry, snapshot

pytestmark = [pytest.mark.disk, mounts, need("sgdisk", "mkntfs", "ntfs-3g", "mcopy")]

SYSTEM = "Windows/System32/config/SYSTEM"
PROBE_HIBERNATED, PROBE_UNCLEAN = 14, 15  # ntfs-3g.probe(8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiskImage:
    assert can_mount()
    image = disk.create(tmp_path_factory.mktemp("disk") / "base.img", bcd=b"a boot store")
    with disk.mounted(image.path, image.windows[0]) as root:
        windows.populate(root)
    return image


@pytest.fixture
def image(base: DiskImage, tmp_path: Path) -> DiskImage:
    return disk.clone(base, tmp_path / "disk.img")


def _files(image: DiskImage) -> dict[str, snapshot.Entry]:
    partition = image.windows[0]
    return snapshot.snapshot(image.path, partition.offset, partition.size)


def _inject(image: DiskImage, fault: Callable[[Windows], object]) -> None:
    with disk.mounted(image.path, image.windows[0]) as root:
        fault(windows.reopen(root))


def _hive(image: DiskImage) -> Path:
    partition = image.windows[0]
    target = image.path.with_suffix(".hive")
    return snapshot.extract(image.path, SYSTEM, target, partition.offset, partition.size)


def test_the_partition_table_is_sound(base: DiskImage) -> None:
    checked = subprocess.run(
        ["sgdisk", "-v", str(base.path)], capture_output=True, text=True, check=True
    )
    assert "No problems found" in checked.stdout
    store = subprocess.run(
        ["mtype", "-i", f"{base.path}@@{base.partitions[0].offset}", "::/EFI/Microsoft/Boot/BCD"],
        capture_output=True,
        check=True,
    )
    assert store.stdout == b"a boot store"


def test_an_mbr_disk_with_windows_on_fat(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    windows.populate(tree, ntfs=False)
    image = disk.create(tmp_path / "fat.img", scheme="mbr", filesystem="fat")
    disk.copy_tree(image.path, image.windows[0], tree)
    listed = subprocess.run(
        ["mdir", "-b", "-i", f"{image.path}@@{image.windows[0].offset}", "::/Windows"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "::/Windows/ntbtlog.txt" in listed.stdout
    table = subprocess.run(
        ["sfdisk", "-d", str(image.path)], capture_output=True, text=True, check=True
    )
    assert "type=c" in table.stdout


def test_every_driver_of_the_hive_has_a_signed_looking_file(base: DiskImage) -> None:
    services = registry.driver_services(_hive(base))["services"]
    files = {path.lower(): entry for path, entry in _files(base).items()}
    for service in services:
        logged = windows.log_path(service).lower().split("\\")
        if logged[1] == "systemroot":
            path = "/".join(["windows", *logged[2:]])
            assert path in files, service
    store = [path for path in files if path.startswith("windows/winsxs/") and path.endswith(".sys")]
    assert len(store) > 10
    assert all(files[path].links >= 2 for path in store)


def test_a_healthy_machine_has_no_file_younger_than_its_last_session(base: DiskImage) -> None:
    with disk.mounted(base.path, base.windows[0], read_only=True) as root:
        drivers = list((root / "Windows/System32/drivers").iterdir())
        assert max(path.stat().st_mtime for path in drivers) < history.LAST_GOOD.timestamp()
        companies = {_company(path) for path in drivers[:60]}
        assert "Microsoft Corporation" in companies
        newest = max(path.stat().st_mtime for path in root.rglob("*.evtx"))
        assert newest == pytest.approx(history.LAST_SHUTDOWN.timestamp(), abs=1)


def _company(path: Path) -> str:
    info = pefile.PE(data=path.read_bytes()).FileInfo[0]
    table = next(entry for entry in info if entry.Key == b"StringFileInfo").StringTable[0]
    return str(table.entries[b"CompanyName"].decode())


def test_a_crashing_driver_adds_a_file_a_key_and_log_entries(
    base: DiskImage, image: DiskImage
) -> None:
    _inject(image, faults.boot_start_driver_crashes)
    before, after = _files(base), _files(image)
    driver = "Windows/System32/drivers/acmeflt.sys"
    assert after.keys() - before.keys() == {driver}
    differing = {path for path in before if before[path] != after[path]}
    logs = {f"Windows/{windows.BOOT_LOG}", f"Windows/{windows.EVENT_LOG}"}
    assert differing - {"Windows/System32/drivers"} == {SYSTEM, *logs}
    key = registry.key(_hive(image), "ControlSet001\\Services\\acmeflt")
    assert {name: value for name, value in key.values.items() if value[0] == 4} == {
        "Type": (4, "01000000"),
        "Start": (4, "00000000"),
        "ErrorControl": (4, "01000000"),
    }
    assert after[driver].modified[8:] == key.written.to_bytes(8, "big")
    with disk.mounted(image.path, image.windows[0], read_only=True) as root:
        last = (root / "Windows/ntbtlog.txt").read_bytes().decode("utf-16").splitlines()[-1]
        assert last == "BOOTLOG_LOADED \\SystemRoot\\system32\\drivers\\acmeflt.sys"


def test_a_filter_driver_joins_the_disk_class(base: DiskImage, image: DiskImage) -> None:
    _inject(image, faults.driver_in_class_filter)
    before, after = (registry.registry(_hive(which)) for which in (base, image))
    changed = registry.changed_values(before, after)
    (name,) = (name for name in changed if "\\Control\\Class\\" in name)
    assert name.endswith("LowerFilters")
    was, now = changed[name]
    assert was is not None
    assert now is not None
    assert bytes.fromhex(now[1]).decode("utf-16-le") == "EhStorClass\0acmeflt\0\0"


def test_hibernation_and_an_unclean_log_are_what_ntfs_3g_says(image: DiskImage) -> None:
    partition = image.windows[0]
    assert _probe(image) == 0
    _inject(image, faults.hibernated)
    assert _probe(image) == PROBE_HIBERNATED
    disk.format_again(image, partition)
    unclean.make_log_unclean(image.path, partition.offset)
    assert _probe(image) == PROBE_UNCLEAN


def _probe(image: DiskImage) -> int:
    with disk.attached(image.path, image.windows[0]) as device:
        argv = ["ntfs-3g.probe", "--readwrite", device]
        return subprocess.run(argv, capture_output=True, check=False).returncode


def test_a_full_volume_takes_no_more(image: DiskImage) -> None:
    _inject(image, faults.full_volume)
    with disk.mounted(image.path, image.windows[0]) as root:
        assert os.statvfs(root).f_bavail == 0
        with pytest.raises(OSError, match="No space left"):
            (root / "more").write_bytes(bytes(8192))


def test_a_truncated_hive_ends_early(base: DiskImage, image: DiskImage) -> None:
    _inject(image, faults.truncated_hive)
    assert _files(image)[SYSTEM].size < _files(base)[SYSTEM].size / 2


def test_a_dirty_hive_differs_in_its_header_only(base: DiskImage, image: DiskImage) -> None:
    clean = _hive(base).read_bytes()
    _inject(image, faults.dirty_hive_without_logs)
    dirty = _hive(image).read_bytes()
    assert dirty[512:] == clean[512:]
    first, second = dirty[4:8], dirty[8:12]
    assert first != second


@pytest.mark.parametrize("archive", real("disk/bitlk-images.tar.xz"))
def test_a_bitlocker_volume_is_one(archive: Path, image: DiskImage) -> None:
    partition = image.windows[0]
    faults.bitlocker_volume(image, partition)
    with image.path.open("rb") as file:
        file.seek(partition.offset)
        assert file.read(11)[3:] == b"-FVE-FS-"


def test_twins_have_one_serial_number(tmp_path: Path) -> None:
    image = disk.create(tmp_path / "two.img", volumes=2, volume_mib=64)
    faults.same_identity(image, *image.windows)
    serials = set()
    with image.path.open("rb") as file:
        for partition in image.windows:
            file.seek(partition.offset + 0x48)
            serials.add(file.read(8))
    assert len(serials) == 1


def test_a_snapshot_sees_content_times_names_streams_and_security(image: DiskImage) -> None:
    before = _files(image)

    def touch(found: Windows) -> None:
        home = found.volume / "Users" / "desktop-m3oshqu"
        document = next(home.glob("Documents/*.txt"))
        with open(f"{document}:Zone.Identifier", "ab") as stream:  # noqa: PTH123  (an NTFS stream)
            stream.write(b"x")
        os.setxattr(home / "NTUSER.DAT", "system.ntfs_attrib_be", b"\0\0\0\x20")
        os.utime(found.root / "explorer.exe", (1, 1))

    _inject(image, touch)
    after = _files(image)
    names = {Path(path).name for path in before if before[path] != after[path]}
    assert {"NTUSER.DAT", "explorer.exe"} <= names
    assert any(name.startswith("Steuer") for name in names)
