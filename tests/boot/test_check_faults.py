"""One fault each on a tree that boots: found by exactly the line that is about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.formats import bcd_edit
from recoverykit.model import CheckLine
from tests.boot import bootable
from tests.boot.bootable import Bootable, stub
from tests.boot.broken import (
    Break,
    at,
    bare,
    bare_of_signature,
    cut,
    deleted,
    dirty,
    empty,
    fallback,
    filtered,
    filtered_device,
    flipped,
    foreign,
    gone,
    grouped,
    half,
    hive,
    hive_gone,
    importing,
    loader,
    manager,
    other_partition,
    overridden,
    policy,
    rotten,
    start,
    store_file,
    stored,
    tampered,
    winload,
    without_catalogs,
    without_entry,
    without_manager,
    zeroed,
)
from tests.builders import registry
from tests.builders.boot_files import ENTRY


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bootable:
    return bootable.small(tmp_path_factory.mktemp("bootable"))


@pytest.fixture(scope="module")
def bios(tmp_path_factory: pytest.TempPathFactory) -> Bootable:
    return bootable.small(tmp_path_factory.mktemp("bootable"), uefi=False)


def failing(lines: Sequence[CheckLine]) -> list[str]:
    return [line.check for line in lines if line.ok is False]


def warning(lines: Sequence[CheckLine]) -> list[str]:
    return [line.check for line in lines if line.warning]


FAULTS: tuple[tuple[str, str, Break], ...] = (
    # kernel and what it is linked to
    ("no kernel", "kernel", gone("ntoskrnl.exe")),
    ("kernel zeroed", "kernel", zeroed("ntoskrnl.exe")),
    ("kernel cut", "kernel", cut("ntoskrnl.exe")),
    ("kernel of x86", "kernel", foreign("ntoskrnl.exe")),
    ("no HAL", "hal", gone("hal.dll")),
    ("HAL empty", "hal", empty("hal.dll")),
    ("HAL of arm64", "hal", foreign("hal.dll", "arm64")),
    ("no ci.dll", "kernel-modules", gone("ci.dll")),
    ("bootvid.dll cut", "kernel-modules", cut("bootvid.dll")),
    ("no kdcom.dll", "kernel-modules", gone("kdcom.dll")),
    ("pshed.dll of x86", "kernel-modules", foreign("pshed.dll")),
    ("ci.dll of another build", "kernel-modules", bare("ci.dll", ["CiOther"])),
    ("no smss.exe", "session-files", gone("smss.exe")),
    ("csrss.exe zeroed", "session-files", zeroed("csrss.exe")),
    ("no winlogon.exe", "session-files", gone("winlogon.exe")),
    ("ntdll.dll cut", "session-files", cut("ntdll.dll")),
    ("win32k.sys of x86", "session-files", foreign("win32k.sys")),
    # driver files
    ("no disk.sys", "boot-drivers", gone("disk.sys")),
    ("no controller driver", "boot-drivers", gone("storahci.sys")),
    ("no ntfs.sys", "boot-drivers", gone("ntfs.sys")),
    ("no filter of the disk class", "boot-drivers", gone("ehstorclass.sys")),
    ("no critical driver", "boot-drivers", gone("ndis.sys")),
    ("partmgr.sys zeroed", "driver-images", zeroed("partmgr.sys")),
    ("ntfs.sys empty", "driver-images", empty("ntfs.sys")),
    ("volsnap.sys of x86", "driver-images", foreign("volsnap.sys")),
    ("fltmgr.sys cut", "driver-images", cut("fltmgr.sys")),
    ("acpi.sys rotten", "driver-images", rotten("acpi.sys")),
    ("storport.sys zeroed", "driver-images", zeroed("storport.sys")),
    ("no classpnp.sys", "driver-imports", gone("classpnp.sys")),
    ("no wdfldr.sys", "driver-imports", gone("wdfldr.sys")),
    ("disk.sys of a newer Windows", "driver-imports", importing("disk.sys", "hal.dll", "HalNew")),
    ("volmgr.sys needs a stranger", "driver-imports", importing("volmgr.sys", "acme.sys", "Go")),
    ("controller driver tampered with", "driver-signatures", flipped("storahci.sys")),
    ("third-party boot driver tampered with", "driver-signatures", flipped("vmci.sys")),
    ("kernel tampered with", "driver-signatures", flipped("ntoskrnl.exe")),
    ("loader tampered with", "driver-signatures", flipped("winload.efi")),
    # the registry
    ("filter of the disk class", "filters", filtered(bootable.DISK_CLASS, "acme")),
    ("filter of hdc", "filters", filtered(bootable.HDC_CLASS, "acme", "LowerFilters")),
    ("filter of SCSIAdapter", "filters", filtered(bootable.SCSI_CLASS, "acme")),
    ("filter of Volume", "filters", filtered(bootable.VOLUME_CLASS, "acme")),
    ("filter of System", "filters", filtered(bootable.SYSTEM_CLASS, "acme")),
    ("filter of VolumeSnapshot", "filters", filtered(bootable.SNAPSHOT_CLASS, "acme")),
    ("filter of the boot disk", "filters", filtered_device(bootable.DISK, "acme")),
    ("filter of its controller", "filters", filtered_device(bootable.AHCI, "acme")),
    ("filter disabled", "filters", start("EhStorClass", 4)),
    ("encryption filter disabled", "filters", start("fvevol", 4)),
    ("StartOverride of the controller", "storage-chain", overridden("storahci", 3)),
    ("StartOverride of partmgr", "storage-chain", overridden("partmgr", 4)),
    ("controller driver disabled", "storage-chain", start("storahci", 4)),
    ("controller driver on demand", "storage-chain", start("storahci", 3)),
    ("controller driver unknown", "storage-chain", deleted("Services\\storahci")),
    ("volmgr on demand", "storage-chain", start("volmgr", 3)),
    ("pci disabled", "storage-chain", start("pci", 4)),
    ("NTFS disabled", "storage-chain", start("Ntfs", 4)),
    ("no ACPI service", "essential-services", deleted("Services\\ACPI")),
    ("no mountmgr service", "essential-services", deleted("Services\\mountmgr")),
    ("no RPC service", "essential-services", deleted("Services\\RpcSs")),
    ("no group order", "load-order", deleted("Control\\ServiceGroupOrder")),
    ("a group lost", "load-order", grouped("SCSI miniport")),
    ("no subsystem", "session-manager", deleted("Control\\Session Manager\\SubSystems")),
    (
        "a control set that is not there",
        "control-set",
        lambda tree: tree.edits([registry.change("Select", {"Default": 7})]),
    ),
    ("no services at all", "control-set", deleted("Services")),
    ("SYSTEM dirty beyond recovery", "system-hive", dirty),
    ("SYSTEM cut", "system-hive", half("SYSTEM")),
    ("no SYSTEM", "system-hive", hive_gone("SYSTEM")),
    ("no SOFTWARE", "software-hive", hive_gone("SOFTWARE")),
    ("SOFTWARE zeroed", "software-hive", at(hive("SOFTWARE"), bytes(8192))),
    ("SAM zeroed", "other-hives", at(hive("SAM"), bytes(8192))),
    ("no SECURITY", "other-hives", hive_gone("SECURITY")),
    # boot files
    ("no boot store", "boot-store", at(store_file, None)),
    ("boot store zeroed", "boot-store", at(store_file, bytes(16384))),
    ("store without a boot manager", "boot-store", stored(without_manager)),
    ("store without an entry", "boot-entry", stored(without_entry)),
    ("entry for a partition that is gone", "boot-entry", other_partition),
    ("entry for the other firmware", "boot-entry", winload("\\Windows\\system32\\winload.exe")),
    ("entry for a loader that is not there", "boot-loader", winload("\\Windows\\x.efi")),
    ("no loader", "boot-loader", at(loader, None)),
    ("loader zeroed", "boot-loader", at(loader, bytes(4096))),
    ("loader of x86", "boot-loader", at(loader, stub("winload", "x86"))),
    ("no boot manager", "boot-manager", at(manager, None)),
    ("boot manager zeroed", "boot-manager", at(manager, bytes(4096))),
    ("boot manager cut", "boot-manager", at(manager, stub("bootmgfw", "x64")[:0x500])),
    ("boot manager tampered with", "boot-manager", at(manager, tampered(stub("x", "x64")))),
    # policy and room
    ("policy empty", "code-integrity", policy("SiPolicy.p7b", b"")),
    ("policy zeroed", "code-integrity", policy("CiPolicies/Active/{1}.cip", bytes(900))),
)


@pytest.mark.parametrize(
    ("line", "fault"), [pytest.param(line, fault, id=name) for name, line, fault in FAULTS]
)
def test_one_fault_is_found_by_its_line(
    line: str, fault: Break, sound: Bootable, tmp_path: Path
) -> None:
    tree = sound.copy(tmp_path)
    fault(tree)
    found = tree.lines()
    assert failing(found) == [line], [one for one in found if one.ok is False]
    (named,) = (one for one in found if one.check == line)
    assert named.text
    assert named.sources


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 45
    assert len({name for name, *_ in FAULTS}) == len(FAULTS)


def test_a_full_volume(sound: Bootable) -> None:
    assert failing(replace(sound, free=1 << 20).lines()) == ["free-space"]


BIOS_FAULTS: tuple[tuple[str, str, Break], ...] = (
    ("no bootmgr", "boot-manager", at(manager, None)),
    ("bootmgr zeroed", "boot-manager", at(manager, bytes(8192))),
    ("entry for UEFI", "boot-entry", winload("\\Windows\\system32\\winload.efi")),
    ("no winload.exe", "boot-loader", at(loader, None)),
    ("no boot store", "boot-store", at(store_file, None)),
)


@pytest.mark.parametrize(
    ("line", "fault"), [pytest.param(line, fault, id=name) for name, line, fault in BIOS_FAULTS]
)
def test_one_fault_of_a_bios_machine(
    line: str, fault: Break, bios: Bootable, tmp_path: Path
) -> None:
    tree = bios.copy(tmp_path)
    fault(tree)
    assert failing(tree.lines()) == [line]


# What no boot fails for, and is said all the same.
WARNINGS: tuple[tuple[str, str, Break], ...] = (
    ("no file for a third-party boot driver", "boot-drivers", gone("vmci.sys")),
    ("no file for a system-start driver", "system-drivers", gone("beep.sys")),
    ("system-start driver zeroed", "driver-images", zeroed("afd.sys")),
    ("boot driver without a signature", "driver-signatures", bare_of_signature("storahci.sys")),
    ("filter of network cards", "filters", filtered(bootable.NET_CLASS, "acme")),
    ("filter of a network card", "filters", filtered_device(bootable.NIC, "acme")),
    ("filter on demand", "filters", filtered(bootable.DISK_CLASS, "e1i65x64")),
    ("no tags", "load-order", deleted("Control\\GroupOrderList")),
    ("no catalogs", "code-integrity", without_catalogs),
    ("block list empty", "code-integrity", policy("driversipolicy.p7b", b"")),
    (
        "another control set next",
        "control-set",
        lambda tree: tree.edits(
            [registry.change("Select", {"Default": 2}), registry.change("ControlSet002", {})]
        ),
    ),
    (
        "Safe Mode left on",
        "boot-options",
        stored(lambda store: bcd_edit.with_element(store, ENTRY, 0x25000080, 0)),
    ),
    ("no fallback loader", "boot-manager", at(fallback, None)),
)


@pytest.mark.parametrize(
    ("line", "fault"), [pytest.param(line, fault, id=name) for name, line, fault in WARNINGS]
)
def test_what_the_boot_does_not_need_is_a_warning(
    line: str, fault: Break, sound: Bootable, tmp_path: Path
) -> None:
    tree = sound.copy(tmp_path)
    fault(tree)
    found = tree.lines()
    assert failing(found) == []
    assert warning(found) == [line]


def test_little_room(sound: Bootable) -> None:
    assert warning(replace(sound, free=100 << 20).lines()) == ["free-space"]
