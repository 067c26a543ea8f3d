"""Boot stores and boot files: sound disks of every kind, each fault by itself, hostile stores."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.evidence import boot_files
from recoverykit.formats import bcd_edit
from recoverykit.formats.bcd_device import Boot, Device, GptPartition, Locate
from recoverykit.formats.bcd_names import BOOTMGR
from recoverykit.model import (
    BootFault,
    BootProblem,
    BootStore,
    Evidence,
    Gap,
    Volume,
)
from tests.builders import boot_files as builder
from tests.builders import pe
from tests.builders.boot_files import ENTRY, Scene
from tests.evidence.mutation_run import damaged
from tests.formats.hives import hive_bytes, samples

MUTANTS = 100
_PATH, _OS_DEVICE, _DEVICE, _ROOT = 0x12000002, 0x21000001, 0x11000001, 0x22000002
OTHER_DISK = "0c0c0c0c-0000-4000-8000-00000000d15c"


def collect(scene: Scene) -> tuple[Evidence, ...]:
    volumes = (scene.system, scene.windows, *scene.others)
    return tuple(boot_files.collect(scene.install, scene.boot_volumes, volumes))


def problems(scene: Scene) -> list[tuple[BootFault, bool]]:
    found = [item for item in collect(scene) if isinstance(item, BootProblem)]
    assert all(problem.text.endswith(".") and problem.source.path for problem in found)
    return [(problem.fault, problem.fatal) for problem in found]


@pytest.mark.parametrize("machine", ["x64", "arm64"])
def test_a_sound_uefi_disk(tmp_path: Path, machine: str) -> None:
    scene = builder.build(tmp_path, machine=machine)
    assert problems(scene) == []
    (store,) = [item for item in collect(scene) if isinstance(item, BootStore)]
    assert (store.volume, store.firmware, store.role) == ("disk.img#1", "uefi", "system")
    (loader,) = store.loaders
    assert (loader.identifier, loader.ours, loader.default, loader.recovery) == (
        ENTRY,
        True,
        True,
        False,
    )
    assert loader.source.path == "disk.img#1:/EFI/Microsoft/Boot/BCD"


@pytest.mark.parametrize("alone", [False, True])
def test_a_sound_bios_disk(tmp_path: Path, *, alone: bool) -> None:
    assert problems(builder.build(tmp_path, uefi=False, alone=alone)) == []


Harm = Callable[[Scene], object]


def _edit(scene: Scene, element: int, value: object, *, entry: str = ENTRY) -> None:
    store = bcd_edit.with_element(scene.store(), entry, element, value)  # type: ignore[arg-type]
    scene.write_store(store)


def _elsewhere(scene: Scene) -> None:
    assert scene.windows.disk is not None
    scene.write_store(scene.store(builder.volume(scene.windows.disk, 7)))


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


FAULTS: list[tuple[str, Harm, BootFault, bool]] = [
    ("no store", lambda s: s.store_path.unlink(), BootFault.STORE_MISSING, True),
    ("store cut", lambda s: _half(s.store_path), BootFault.STORE_DAMAGED, True),
    ("store empty", lambda s: s.store_path.write_bytes(b""), BootFault.STORE_DAMAGED, True),
    (
        "no manager entry",
        lambda s: s.write_store(bcd_edit.without_object(s.store(), BOOTMGR)),
        BootFault.MANAGER_ENTRY_MISSING,
        True,
    ),
    (
        "no loader entry",
        lambda s: s.write_store(bcd_edit.without_object(s.store(), ENTRY)),
        BootFault.NO_LOADER,
        True,
    ),
    ("wrong device", _elsewhere, BootFault.WRONG_DEVICE, True),
    ("no loader file", lambda s: s.loader.unlink(), BootFault.LOADER_FILE_MISSING, True),
    ("loader cut", lambda s: _half(s.loader), BootFault.LOADER_FILE_MISSING, True),
    ("no manager", lambda s: s.manager.unlink(), BootFault.MANAGER_MISSING, True),
    (
        "manager zeroed",
        lambda s: s.manager.write_bytes(bytes(60_000)),
        BootFault.MANAGER_DAMAGED,
        True,
    ),
    ("manager empty", lambda s: s.manager.write_bytes(b""), BootFault.MANAGER_DAMAGED, True),
    ("Safe Mode", lambda s: _edit(s, 0x25000080, 0), BootFault.SAFE_BOOT, False),
    (
        "once",
        lambda s: _edit(s, 0x24000002, (ENTRY,), entry=BOOTMGR),
        BootFault.ONE_SHOT,
        False,
    ),
]


@pytest.mark.parametrize("uefi", [True, False], ids=["uefi", "bios"])
@pytest.mark.parametrize(
    ("harm", "fault", "fatal"), [pytest.param(*row[1:], id=row[0]) for row in FAULTS]
)
def test_each_fault_is_told_alone(
    tmp_path: Path, harm: Harm, fault: BootFault, *, fatal: bool, uefi: bool
) -> None:
    scene = builder.build(tmp_path, uefi=uefi)
    harm(scene)
    assert problems(scene) == [(fault, fatal)]


def test_a_loader_of_the_other_firmware(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    _edit(scene, _PATH, "\\Windows\\system32\\winload.exe")
    assert problems(scene) == [(BootFault.WRONG_FIRMWARE, True)]


def test_a_manager_for_another_processor(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    scene.manager.write_bytes(pe.driver(machine="arm64"))
    assert problems(scene) == [(BootFault.MANAGER_DAMAGED, True)]


def test_a_missing_fallback_alone_is_not_fatal(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    (scene.folder / "EFI/Boot/bootx64.efi").unlink()
    assert problems(scene) == [(BootFault.MANAGER_MISSING, False)]


# --- healthy, however it looks ------------------------------------------------------------


@pytest.mark.parametrize("root", ["\\windows", "\\WINDOWS\\", "Windows"])
def test_spellings_of_the_root(tmp_path: Path, root: str) -> None:
    scene = builder.build(tmp_path)
    _edit(scene, _ROOT, root)
    assert problems(scene) == []


def test_another_windows_beside_ours(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    there = GptPartition(OTHER_DISK, "00000000-0000-4000-8000-0000000000aa")
    store = bcd_edit.copied(scene.store(), ENTRY, builder.RESUME[:-3] + "77}", "Windows 10")
    for element in (_OS_DEVICE, _DEVICE):
        store = bcd_edit.with_element(store, builder.RESUME[:-3] + "77}", element, Device(there))
    scene.write_store(store)
    assert problems(scene) == []


def test_leftovers_of_bios_on_a_uefi_disk(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    (scene.root / "Boot").mkdir()
    (scene.root / "Boot/BCD").write_bytes(b"torn")
    (scene.root / "bootmgr").write_bytes(b"")
    assert problems(scene) == []


def test_an_entry_that_searches_for_its_device(tmp_path: Path) -> None:
    """Where it will be found cannot be told: then nothing is wrong with it."""
    scene = builder.build(tmp_path)
    for element in (_OS_DEVICE, _DEVICE):
        _edit(scene, element, Device(Locate(path="\\Windows\\system32\\winload.efi")))
    assert problems(scene) == []


def test_boot_means_the_volume_of_the_store(tmp_path: Path) -> None:
    scene = builder.build(tmp_path, uefi=False, alone=True)
    _edit(scene, _OS_DEVICE, Device(Boot()))
    assert problems(scene) == []


def test_a_folder_has_no_identity(tmp_path: Path) -> None:
    """Somebody mounted it: which partition an entry means cannot be told."""
    scene = builder.build(tmp_path, uefi=False, alone=True)
    plain = Volume(str(scene.root), scene.windows.filesystem, scene.root)
    scene = replace(scene, system=plain, windows=plain)
    found = list(boot_files.collect(scene.install))
    assert [item for item in found if isinstance(item, BootProblem)] == []
    (store,) = [item for item in found if isinstance(item, BootStore)]
    assert store.loaders[0].ours is None


def test_without_any_boot_volume_nothing_is_claimed(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    (gap,) = boot_files.collect(scene.install)
    assert isinstance(gap, Gap)
    assert "not opened" in gap.reason


def test_a_data_partition_with_an_old_boot_folder_is_no_system_volume(tmp_path: Path) -> None:
    """One volume that has everything is enough, whatever lies on the others."""
    scene = builder.build(tmp_path)
    other = tmp_path / "other"
    (other / "EFI/Microsoft/Boot").mkdir(parents=True)
    assert scene.windows.disk is not None
    more = (builder.volume(scene.windows.disk, 4), other)
    found = boot_files.collect(scene.install, (*scene.boot_volumes, more))
    assert [item for item in found if isinstance(item, BootProblem)] == []


# --- real and hostile stores --------------------------------------------------------------


REAL = [name for name in samples() if "bcd" in name.lower() and "LOG" not in name]


@pytest.mark.parametrize("uefi", [True, False], ids=["uefi", "bios"])
@pytest.mark.parametrize("name", REAL)
def test_real_stores(tmp_path: Path, name: str, *, uefi: bool) -> None:
    """They name other disks: no entry for this one, and nothing else is wrong with them."""
    scene = builder.build(tmp_path, uefi=uefi)
    scene.store_path.write_bytes(hive_bytes(name))
    fatal = {fault for fault, is_fatal in problems(scene) if is_fatal}
    assert fatal <= {BootFault.NO_LOADER, BootFault.WRONG_DEVICE, BootFault.WRONG_FIRMWARE}
    assert [item for item in collect(scene) if isinstance(item, BootStore)]


def test_mutated_stores_and_loaders_never_raise(tmp_path: Path) -> None:
    scene = builder.build(tmp_path)
    whole = {path: path.read_bytes() for path in (scene.store_path, scene.manager, scene.loader)}
    told = 0
    for seed in range(MUTANTS):
        rng = random.Random(f"boot files {seed}")
        path = rng.choice(list(whole))
        path.write_bytes(damaged(whole[path], rng))
        told += bool(problems(scene))
        path.write_bytes(whole[path])
    assert MUTANTS // 4 < told < MUTANTS
