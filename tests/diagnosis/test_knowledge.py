"""Facts about Windows: the files load, and say what they should of real drivers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.diagnosis import knowledge
from recoverykit.diagnosis.knowledge import Area
from recoverykit.formats.hive import Hive
from recoverykit.model import DriverFile, Source
from tests.conftest import read_real, real

NOW = datetime(2024, 7, 19, tzinfo=UTC)


def file(company: str, links: int = 1, folder: str = "drivers") -> DriverFile:
    path = f"Windows/System32/{folder}/x.sys"
    return DriverFile(Source(path), "x.sys", 1, NOW, links, "x64", company)


@pytest.mark.parametrize(
    ("driver", "found", "expected"),
    [
        pytest.param("disk.sys", None, True, id="by name, no file"),
        pytest.param("DISK.SYS", None, True, id="in any case"),
        pytest.param("disk.sys", file("Acme"), True, id="by name, whoever signed it"),
        pytest.param("acmeflt.sys", None, False, id="unknown, no file"),
        pytest.param("acmeflt.sys", file("Acme"), False, id="third party"),
        pytest.param("acmeflt.sys", file("Acme", links=4), False, id="links prove nothing"),
        pytest.param("newthing.sys", file("Microsoft Corporation"), True, id="Microsoft"),
        pytest.param("newthing.sys", file("", links=2), True, id="unnamed and linked"),
        pytest.param("newthing.sys", file(""), False, id="unnamed"),
        pytest.param(
            "newthing.sys", file("", 2, "DriverStore/FileRepository/oem1"), False, id="driver store"
        ),
        pytest.param("ntoskrnl.exe", None, True, id="the kernel"),
        pytest.param("hal.dll", None, True, id="the HAL"),
        pytest.param("wdf01000.sys", None, True, id="a container"),
        pytest.param("dump_storahci.sys", None, True, id="a copy that writes dumps"),
        pytest.param("hiber_storport.sys", None, True, id="a copy that hibernates"),
        pytest.param("dump_iastora.sys", None, False, id="a copy of a third party's"),
        pytest.param("MpKslB17392D7.sys", None, True, id="Defender's of the day"),
        pytest.param("mpkslacme.sys", None, False, id="only like Defender's"),
    ],
)
def test_is_inbox(driver: str, found: DriverFile | None, expected: bool) -> None:
    assert knowledge.is_inbox(driver, found) is expected


@pytest.mark.parametrize(
    "name",
    [
        "ntoskrnl.exe",
        "hal.dll",
        "wdf01000.sys",
        "ndis.sys",
        "storport.sys",
        "fltmgr.sys",
        "win32k.sys",
        "tcpip.sys",
        "spbcx.sys",
        "pci.sys",
        "intelppm.sys",
        "hvix64.exe",
    ],
)
def test_containers(name: str) -> None:
    assert knowledge.is_container(name)


@pytest.mark.parametrize("name", ["disk.sys", "storahci.sys", "mouclass.sys", "srv2.sys"])
def test_drivers_of_one_purpose_are_no_containers(name: str) -> None:
    assert knowledge.is_inbox(name, None)
    assert not knowledge.is_container(name)


@pytest.mark.parametrize(
    "name",
    [
        "acpi",
        "disk",
        "volmgr",
        "partmgr",
        "volsnap",
        "volume",
        "pci",
        "vmbus",
        "storvsc",
        "storahci",
        "stornvme",
        "mountmgr",
        "fvevol",
        "ntfs",
        "clfs",
        "fltmgr",
        "cng",
        "ksecdd",
        "wdf01000",
        "msrpc",
        "tcpip",
        "ndis",
        "ehstorclass",
        "iorate",
        "rdyboost",
        "fileinfo",
    ],
)
def test_what_must_never_be_disabled_is_inbox(name: str) -> None:
    """The list of windows-boot-facts.md, section 2."""
    assert knowledge.is_inbox(f"{name}.sys", None)


THIRD_PARTIES = [
    "csagent",
    "mfehidk",
    "vmci",
    "vsock",
    "vboxguest",
    "nvlddmkm",
    "igdkmd64",
    "iqvw64e",
    "acmeflt",
]


@pytest.mark.parametrize("name", THIRD_PARTIES)
def test_known_third_parties_are_not(name: str) -> None:
    assert not knowledge.is_inbox(f"{name}.sys", None)


@pytest.mark.parametrize(
    "sample",
    real(
        "hives/dissect_SYSTEM.gz",
        "hives/regipy_SYSTEM_B.xz",
        "hives/dfwinreg_win81_SYSTEM.xz",
        "hives/plaso_win7x86_SYSTEM.xz",
    ),
)
def test_no_driver_of_an_oem_inf_is_on_the_list(sample: Path) -> None:
    """Owners and DisplayName tell who installed a service: oemNN.inf is never Windows."""
    services = Hive(read_real(sample)).find("ControlSet001\\Services")
    assert services is not None
    seen = 0
    for key in services.subkeys():
        type_, name, owners = key.value("Type"), key.value("DisplayName"), key.value("Owners")
        if type_ is None or type_.dword not in (1, 2):
            continue
        seen += 1
        # A vendor's package may own a driver of Windows too; the display name is the driver's own.
        shown = ((name and name.string) or "").lower()
        infs = (owners.strings or ()) if owners else ()
        sole = bool(infs) and all(inf.startswith("oem") for inf in infs)
        if shown.startswith("@oem") or (sole and not shown.startswith("@")):
            assert not knowledge.is_inbox(f"{key.name}.sys", None), key.name
    assert seen > 200


@pytest.mark.parametrize(
    ("code", "name", "area"),
    [
        (0xD1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL", Area.DRIVER),
        (0x50, "PAGE_FAULT_IN_NONPAGED_AREA", Area.DRIVER),
        (0x1000007E, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M", Area.DRIVER),
        (0x7B, "INACCESSIBLE_BOOT_DEVICE", Area.STORAGE),
        (0x24, "NTFS_FILE_SYSTEM", Area.DISK),
        (0x124, "WHEA_UNCORRECTABLE_ERROR", Area.HARDWARE),
        (0x51, "REGISTRY_ERROR", Area.HIVE),
        (0xC000021A, "WINLOGON_FATAL_ERROR", Area.SYSTEM),
        (0xA0000001, "", Area.DRIVER),
        (0xE2, "MANUALLY_INITIATED_CRASH", Area.USER),
        (0x1C8, "MANUALLY_INITIATED_POWER_BUTTON_HOLD", Area.USER),
        (0x1A, "MEMORY_MANAGEMENT", Area.DRIVER),
        (0x101, "CLOCK_WATCHDOG_TIMEOUT", Area.HARDWARE),
        (0x5A, "CRITICAL_SERVICE_FAILED", Area.SYSTEM),
        (0x1DE, "BUGCODE_WIFIADAPTER_DRIVER", Area.DRIVER),
        (0x100000D1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL_M", Area.DRIVER),
        (0x1000007A, "KERNEL_DATA_INPAGE_ERROR_M", Area.DISK),
        (0x10001234, "", Area.DRIVER),
    ],
)
def test_stop_codes(code: int, name: str, area: Area) -> None:
    assert knowledge.stop_code(code) == knowledge.StopCode(code, name, area)


def test_the_table_of_stop_codes_is_in_order() -> None:
    codes = knowledge.stop_codes()
    assert len(codes) > 450
    assert [stop.code for stop in codes] == sorted({stop.code for stop in codes})
    names = [stop.name for stop in codes]
    assert len(set(names)) == len(names)
    assert not [name for name in names if not re.fullmatch("[A-Z0-9_]{5,}", name)]
    assert {stop.area for stop in codes} == set(Area)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(0x15E, True, id="LIVE_DUMP"),
        pytest.param(0x193, True, id="LIVEDUMP"),
        pytest.param(0x117, True, id="the display driver was restarted"),
        pytest.param(0x116, False, id="the display driver could not be restarted"),
        pytest.param(0x1C8, False, id="power button"),
        pytest.param(0xD1, False, id="a crash"),
    ],
)
def test_live_dumps_are_no_crashes(code: int, expected: bool) -> None:
    assert knowledge.is_live_dump(code) is expected


def test_lists_are_clean() -> None:
    names = knowledge.inbox_drivers()
    assert len(names) > 500
    assert not [name for name in names if name != name.lower() or name.endswith((".sys", "-"))]
