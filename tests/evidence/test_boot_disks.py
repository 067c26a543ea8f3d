"""Disks that start Windows though they look odd, and faults that are only perhaps one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from recoverykit.evidence import boot_files
from recoverykit.formats import bcd_device, bcd_edit, bcd_names
from recoverykit.formats.bcd import Store, object_key
from recoverykit.formats.bcd_device import (
    Boot,
    Device,
    File,
    GptPartition,
    Locate,
    MbrPartition,
    Ramdisk,
    VirtualDisk,
)
from recoverykit.formats.bcd_names import BOOTMGR, ObjectType
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    BootFault,
    BootProblem,
    BootStore,
    Disk,
    Evidence,
    FileSystem,
    Gap,
    Volume,
    WindowsInstall,
)
from tests.builders import boot_files as builder
from tests.builders import hive, pe
from tests.builders.boot_files import ENTRY, Scene
from tests.formats.bcd_samples import STORES, real_store
from tests.formats.hives import hive_bytes

DEVICE, PATH, ROOT, OS_DEVICE = 0x11000001, 0x12000002, 0x22000002, 0x21000001
SAFE_BOOT, DEFAULT, INHERIT = 0x25000080, 0x23000003, 0x14000006
COPY = builder.RESUME[:-3] + "77}"
GONE = GptPartition(builder.DISK_ID, "00000000-0000-4000-8000-0000000000aa")
Problem = tuple[BootFault, bool]


@dataclass(frozen=True, slots=True)
class Disks:
    """What a rescue system would hand over."""

    install: WindowsInstall
    opened: tuple[tuple[Volume, Path], ...]
    seen: tuple[Volume, ...]

    def collect(self) -> list[Evidence]:
        return list(boot_files.collect(self.install, self.opened, self.seen))

    def problems(self) -> list[Problem]:
        return [(i.fault, i.fatal) for i in self.collect() if isinstance(i, BootProblem)]


def disks(scene: Scene, *more: Volume) -> Disks:
    return Disks(scene.install, scene.boot_volumes, (scene.system, scene.windows, *more))


def another(scheme: str = "gpt", *, removable: bool = False) -> Disk:
    return Disk(Path("other.img"), 1 << 36, 512, scheme, removable=removable, identity="other")


def esp_of(disk: Disk) -> Volume:
    return replace(builder.volume(disk, 1), name="other.img#1", identity="gpt:other")


def edited(store: Store, values: Mapping[int, object], entry: str = ENTRY) -> Store:
    for element, value in values.items():
        store = bcd_edit.with_element(store, entry, element, value)  # type: ignore[arg-type]
    return store


# --- the real stores, each on the disk it was made for -------------------------------------


def homes() -> Iterator[tuple[str, str]]:
    """(store, loader) of every entry of a real store that starts a Windows from a partition."""
    for name in STORES:
        try:
            store = real_store(name)
        except pytest.skip.Exception:
            continue
        for one in store.objects:
            device = one.value(OS_DEVICE)
            is_loader = one.type == ObjectType.OS_LOADER and isinstance(device, Device)
            if is_loader and not isinstance(device.where, Ramdisk):  # type: ignore[union-attr]
                yield name, one.id


def at_home(folder: Path, name: str, entry: str) -> Scene:
    """The disk a real store speaks of, as far as one of its entries does, with stub programs."""
    one = real_store(name).find(entry)
    assert one is not None
    program, root = str(one.value(PATH)), str(one.value(ROOT))
    uefi = program.lower().endswith(".efi")
    machine = "arm64" if "arm64" in name else "x64"
    device = one.value(OS_DEVICE)
    assert isinstance(device, Device)
    # `boot` is the volume of the boot manager, so that Windows lies beside it.
    alone = isinstance(device.where, Boot)
    scene = builder.build(folder, uefi=uefi, machine=machine, alone=alone)
    identity = bcd_device.identity(device.where) or scene.windows.identity
    own = replace(scene.windows, identity=identity)
    scene = replace(scene, windows=own, system=own if alone else scene.system)
    shutil.rmtree(scene.root / "Windows")
    image = pe.driver(machine=machine)
    loader = scene.root / root.strip("\\") / "System32" / program.rpartition("\\")[2]
    loader.parent.mkdir(parents=True)
    loader.write_bytes(image)
    scene.store_path.write_bytes(hive_bytes(name))
    return scene


def home(scene: Scene, name: str, entry: str) -> Disks:
    one = real_store(name).find(entry)
    assert one is not None
    found = disks(scene)
    return replace(found, install=replace(found.install, folder=str(one.value(ROOT)).strip("\\")))


HOMES = list(homes())


def test_the_real_stores_have_homes() -> None:
    if not HOMES:
        pytest.skip("no real stores")
    assert {name for name, _ in HOMES} >= {
        *("bcd_arm64_phone", "bcd_asus/Boot_BCD", "bcd_win2go", "regipy_BCD.xz"),
        *("bcd_windeploy_bios", "bcd_windeploy_efi"),
    }


@pytest.mark.parametrize(("name", "entry"), HOMES)
def test_a_real_store_at_home_is_in_order(tmp_path: Path, name: str, entry: str) -> None:
    scene = at_home(tmp_path, name, entry)
    found = home(scene, name, entry)
    assert [problem for problem in found.problems() if problem[1]] == []
    (store,) = [item for item in found.collect() if isinstance(item, BootStore)]
    (loader,) = [one for one in store.loaders if one.identifier == entry]
    assert loader.ours is not False


@pytest.mark.parametrize(("name", "entry"), HOMES)
def test_faults_of_a_real_store_are_told_alone(tmp_path: Path, name: str, entry: str) -> None:
    scene = at_home(tmp_path, name, entry)
    found = home(scene, name, entry)
    usual = found.problems()
    scene.manager.unlink()
    assert found.problems() == [(BootFault.MANAGER_MISSING, True), *usual]
    scene.manager.write_bytes(b"")
    assert found.problems() == [(BootFault.MANAGER_DAMAGED, True), *usual]
    image = pe.driver(machine=scene.machine) if scene.uefi else b"\xeb\x3c" * 3000
    scene.manager.write_bytes(image)
    assert found.problems() == usual
    scene.store_path.write_bytes(scene.store_path.read_bytes()[:5000])
    assert found.problems() == [(BootFault.STORE_DAMAGED, True)]
    scene.store_path.unlink()
    assert found.problems() == [(BootFault.STORE_MISSING, True)]


@pytest.mark.parametrize("name", STORES)
def test_a_medium_has_no_entry_for_an_installed_windows(tmp_path: Path, name: str) -> None:
    """All that is wrong with any real store on a stranger's disk: it does not name this Windows."""
    scene = builder.build(tmp_path)
    scene.store_path.write_bytes(hive_bytes(name))
    fatal = {fault for fault, is_fatal in disks(scene).problems() if is_fatal}
    assert fatal <= {BootFault.NO_LOADER, BootFault.WRONG_DEVICE, BootFault.WRONG_FIRMWARE}


# --- entries ------------------------------------------------------------------------------

VHD = VirtualDisk(File("\\a.vhdx", GONE))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({ROOT: "\\WINDOWS\\"}, [], id="slash"),
        pytest.param({PATH: "\\Windows\\SYSTEM32\\WINLOAD.EFI"}, [], id="case"),
        pytest.param(
            {OS_DEVICE: Device(Locate(element=ROOT)), DEVICE: Device(Locate(element=PATH))},
            [],
            id="to go",
        ),
        pytest.param({OS_DEVICE: Device(VHD)}, [(BootFault.NO_LOADER, True)], id="vhd"),
        pytest.param(
            {OS_DEVICE: Device(Locate(element=ROOT, parent=VHD))},
            [(BootFault.NO_LOADER, True)],
            id="in a vhd",
        ),
        pytest.param({OS_DEVICE: Device(Boot())}, [(BootFault.NO_LOADER, True)], id="the ESP"),
        pytest.param({ROOT: "\\Other"}, [(BootFault.NO_LOADER, True)], id="folder"),
        pytest.param({DEVICE: Device(GONE)}, [(BootFault.WRONG_DEVICE, True)], id="loader gone"),
        pytest.param({PATH: "\\Windows\\other"}, [(BootFault.LOADER_FILE_MISSING, True)], id="p"),
        pytest.param({PATH: "\\..\\winload.efi"}, [], id="hostile"),
    ],
)
def test_what_an_entry_may_say(
    tmp_path: Path, values: dict[int, object], expected: list[Problem]
) -> None:
    scene = builder.build(tmp_path)
    scene.write_store(edited(scene.store(), values))
    assert disks(scene).problems() == expected


def test_a_path_that_leads_out_is_a_gap(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    scene.write_store(edited(scene.store(), {PATH: "\\..\\winload.efi"}))
    (gap,) = [item for item in disks(scene).collect() if isinstance(item, Gap)]
    assert "..\\winload.efi" in gap.reason


def test_without_a_systemroot_the_loader_names_the_folder(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    scene.write_store(bcd_edit.without_element(scene.store(), ENTRY, ROOT))
    assert disks(scene).problems() == []


def test_a_sound_entry_beside_a_broken_one_is_enough(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    store = bcd_edit.copied(scene.store(), ENTRY, COPY, "from before MBR2GPT")
    scene.write_store(edited(store, {PATH: "\\Windows\\system32\\winload.exe"}, COPY))
    assert disks(scene).problems() == [(BootFault.WRONG_FIRMWARE, False)]
    store = edited(scene.store(), {PATH: "\\Windows\\system32\\winload.exe"})
    scene.write_store(store)
    assert disks(scene).problems() == [(BootFault.WRONG_FIRMWARE, True)]


def test_an_entry_for_safe_mode_in_the_menu_is_no_fault(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    store = bcd_edit.copied(scene.store(), ENTRY, COPY, "Windows 11 (Safe Mode)")
    store = edited(store, {SAFE_BOOT: 0}, COPY)
    scene.write_store(store)
    assert disks(scene).problems() == []
    scene.write_store(edited(store, {DEFAULT: COPY}, BOOTMGR))
    assert disks(scene).problems() == [(BootFault.SAFE_BOOT, False)]


@pytest.mark.parametrize("settings", [bcd_names.GLOBAL_SETTINGS, bcd_names.LOADER_SETTINGS])
def test_safe_mode_can_be_inherited(tmp_path: Path, settings: str) -> None:
    scene = builder.build(tmp_path)
    store = scene.store()
    assert store.find(settings) is not None
    scene.write_store(edited(store, {SAFE_BOOT: 1}, settings))
    assert disks(scene).problems() == [(BootFault.SAFE_BOOT, False)]


def test_what_inherits_from_itself_ends(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    ring = edited(scene.store(), {INHERIT: (bcd_names.GLOBAL_SETTINGS,)}, bcd_names.GLOBAL_SETTINGS)
    scene.write_store(ring)
    assert disks(scene).problems() == []


# --- volumes ------------------------------------------------------------------------------


def test_what_converting_from_bios_left_is_not_looked_at(tmp_path: Path) -> None:
    """MBR2GPT keeps the "System Reserved" volume: no firmware of a GPT disk starts it."""
    scene = builder.build(tmp_path)
    old = tmp_path / "old"
    (old / "Boot").mkdir(parents=True)
    (old / "Boot/BCD").write_bytes(hive_bytes("bcd_windeploy_bios"))
    assert scene.windows.disk is not None
    reserved = replace(builder.volume(scene.windows.disk, 2), filesystem=FileSystem.NTFS)
    scene.store_path.unlink()
    found = replace(disks(scene), opened=((reserved, old), *scene.boot_volumes))
    assert found.problems() == [(BootFault.STORE_MISSING, True)]
    alone = replace(disks(scene), opened=((reserved, old),))
    assert alone.problems() == []


def test_boot_files_kept_on_the_volume_of_windows_start_nothing(tmp_path: Path) -> None:
    """A copy of an ESP on C: while the ESP itself was not opened."""
    scene = builder.build(tmp_path)
    (scene.root / "EFI/Microsoft/Boot").mkdir(parents=True)
    (scene.root / "EFI/Microsoft/Boot/BCD").write_bytes(b"torn")
    found = replace(disks(scene), opened=())
    assert found.problems() == []
    assert [item for item in found.collect() if isinstance(item, Gap)]


def _both(tmp_path: Path) -> Scene:
    """Windows To Go: an MBR disk whose FAT volume starts with either firmware."""
    scene = builder.build(tmp_path, uefi=False)
    assert scene.windows.disk is not None
    disk = replace(scene.windows.disk, removable=True)
    system = replace(scene.system, filesystem=FileSystem.FAT, type="0x0c", disk=disk)
    scene = replace(scene, system=system, windows=replace(scene.windows, disk=disk))
    image = pe.driver()
    for name in ("EFI/Boot/bootx64.efi", "EFI/Microsoft/Boot/bootmgfw.efi"):
        path = scene.folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(image)
    values = {PATH: "\\Windows\\system32\\winload.efi"}
    (scene.root / "Windows/system32/winload.efi").write_bytes(image)
    store = scene.folder / "EFI/Microsoft/Boot/BCD"
    bios = scene.store_path.read_bytes()
    scene.write_store(edited(scene.store(), values))
    scene.store_path.rename(store)
    scene.store_path.write_bytes(bios)
    return scene


@pytest.mark.parametrize("gone", ["Boot", "EFI"])
def test_either_firmware_is_enough(tmp_path: Path, gone: str) -> None:
    scene = _both(tmp_path)
    assert disks(scene).problems() == []
    assert {i.firmware for i in disks(scene).collect() if isinstance(i, BootStore)} == {
        "uefi",
        "bios",
    }
    for path in (scene.folder / gone).rglob("BCD"):
        path.write_bytes(b"")
    assert disks(scene).problems() == []


def test_a_removable_disk_starts_its_fallback(tmp_path: Path) -> None:
    scene = _both(tmp_path)
    shutil.rmtree(scene.folder / "Boot")
    (scene.folder / "bootmgr").unlink()
    (scene.folder / "EFI/Microsoft/Boot/bootmgfw.efi").unlink()
    assert disks(scene).problems() == [(BootFault.MANAGER_MISSING, False)]
    (scene.folder / "EFI/Boot/bootx64.efi").write_bytes(bytes(9000))
    assert disks(scene).problems() == [(BootFault.MANAGER_MISSING, True)]


def test_another_loader_in_the_place_of_the_boot_manager(tmp_path: Path) -> None:
    """A shim or GRUB there starts the real one by another name."""
    scene = builder.build(tmp_path)
    scene.manager.rename(scene.manager.with_name("bootmgfw.efi.orig"))
    scene.manager.write_bytes(pe.driver({"CompanyName": "GRUB"}, padding=b"\x90" * 5000))
    assert disks(scene).problems() == []


@pytest.mark.parametrize("system", [FileSystem.OTHER, FileSystem.EXFAT])
def test_an_esp_that_firmware_cannot_read(tmp_path: Path, system: FileSystem) -> None:
    scene = builder.build(tmp_path)
    lost = replace(scene.system, filesystem=system)
    found = Disks(scene.install, (), (lost, scene.windows))
    assert found.problems() == [(BootFault.ESP_UNREADABLE, True)]
    spare = replace(scene.system, number=9, name="disk.img#9")
    both = Disks(scene.install, ((spare, scene.folder),), (lost, spare, scene.windows))
    assert both.problems() == []


@pytest.mark.parametrize(
    ("removable", "fatal"), [(False, False), (True, True)], ids=["second disk", "our stick"]
)
def test_an_esp_on_another_disk_may_be_the_one(
    tmp_path: Path, *, removable: bool, fatal: bool
) -> None:
    """An old ESP beside Windows, which is started from the first disk's."""
    scene = builder.build(tmp_path)
    scene.write_store(bcd_edit.without_object(scene.store(), ENTRY))
    found = disks(scene, esp_of(another(removable=removable)))
    assert found.problems() == [(BootFault.NO_LOADER, fatal)]


def test_a_store_that_names_this_windows_is_the_one(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    scene.manager.unlink()
    found = disks(scene, esp_of(another()))
    assert found.problems() == [(BootFault.MANAGER_MISSING, True)]


def test_bios_files_on_windows_own_volume_may_be_old(tmp_path: Path) -> None:
    scene = builder.build(tmp_path, uefi=False, alone=True)
    scene.store_path.write_bytes(b"")
    assert disks(scene).problems() == [(BootFault.STORE_DAMAGED, True)]
    other = replace(builder.volume(another("mbr"), 1), name="other.img#1")
    assert disks(scene, other).problems() == [(BootFault.STORE_DAMAGED, False)]


def test_nothing_is_certain_in_a_folder(tmp_path: Path) -> None:
    scene = builder.build(tmp_path, uefi=False, alone=True)
    scene.store_path.unlink()
    plain = Volume(str(scene.root), FileSystem.NTFS, scene.root)
    install = replace(scene.install, volume=plain)
    found = Disks(install, (), ())
    assert found.problems() == [(BootFault.STORE_MISSING, False)]


def test_a_link_in_the_way_is_a_gap(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    scene.manager.rename(tmp_path / "elsewhere.efi")
    scene.manager.symlink_to(tmp_path / "elsewhere.efi")
    found = disks(scene).collect()
    assert [item for item in found if isinstance(item, BootProblem)] == []
    assert any(isinstance(item, Gap) and "link" in item.reason for item in found)


@pytest.mark.parametrize(("machine", "told"), [("", []), ("arm64", [BootFault.MANAGER_DAMAGED])])
def test_an_unknown_processor_accuses_nobody(
    tmp_path: Path, machine: str, told: list[BootFault]
) -> None:
    scene = replace(builder.build(tmp_path, machine="x64"), machine=machine)
    assert [fault for fault, fatal in disks(scene).problems() if fatal][: len(told) or None] == told


# --- dirty stores -------------------------------------------------------------------------


def test_a_dirty_store_that_is_sound_as_it_lies_is_not_fatal(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    scene.store_path.write_bytes(hive.soiled(scene.store_path.read_bytes()))
    found = disks(scene)
    assert found.problems() == [(BootFault.STORE_DAMAGED, False)]
    assert [item.loaders[0].ours for item in found.collect() if isinstance(item, BootStore)] == [
        True
    ]


def test_a_dirty_store_with_its_log_is_whole(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    after = scene.store_path.read_bytes()
    scene.write_store(bcd_edit.without_object(scene.store(), ENTRY))
    before = scene.store_path.read_bytes()
    assert before != after
    primary, log = hive.dirty_with_log(before.ljust(len(after), b"\0"), after)
    scene.store_path.write_bytes(primary)
    scene.store_path.with_name("BCD.LOG1").write_bytes(log)
    assert disks(scene).problems() == []


# --- places -------------------------------------------------------------------------------


def test_places_can_be_looked_up(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    store = edited(scene.store(), {SAFE_BOOT: 0})
    scene.write_store(store)
    scene.loader.unlink()
    found = disks(scene).collect()
    keys = [(i.source.path, i.source.key) for i in found if isinstance(i, BootProblem)]
    path = "disk.img#1:/EFI/Microsoft/Boot/BCD"
    assert keys == [
        ("Windows/system32/winload.efi", ""),
        (path, object_key(ENTRY)),
    ]
    image = Hive(scene.store_path.read_bytes())
    assert image.find(object_key(ENTRY)) is not None


def test_mbr_identities_are_those_of_the_table(tmp_path: Path) -> None:
    scene = builder.build(tmp_path, uefi=False)
    own = MbrPartition(0x0BADCAFE, 3 << 30)
    scene.write_store(edited(scene.store(), {OS_DEVICE: Device(own)}))
    assert disks(scene).problems() == []
    other = MbrPartition(0x0BADCAFE, 7 << 30)
    scene.write_store(edited(scene.store(), {OS_DEVICE: Device(other)}))
    assert disks(scene).problems() == [(BootFault.WRONG_DEVICE, True)]
