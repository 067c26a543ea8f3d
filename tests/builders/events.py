"""The events by which event logs tell of boots, crashes, drivers, disks, hardware and updates.

Providers, levels and field names are those of the real logs in ../shared/data/evtx where those
hold such an event (boots, services, disk 51 and 153, Ntfs 98, Kernel-PnP, Windows Update); of the
others those of the manifests as public dumps of the providers list them: jdu2600/Windows10EtwEvents
and nasbench/EVTX-ETW-Resources (Ntfs, WHEA-Logger, CodeIntegrity, Servicing), and the message files
in libyal/winevt-kb and iologmsg.h for the sources without a manifest (disk, ports, volmgr).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.builders.evtx import (
    NULL,
    Event,
    Provider,
    binary,
    boolean,
    guid,
    hex32,
    hex64,
    moment,
    strings,
    text,
    u8,
    u16,
    u32,
    u64,
)

_EVENTLOG = Provider("EventLog", qualifiers=0x8000)
_KERNEL_GENERAL = Provider(
    "Microsoft-Windows-Kernel-General", "{A68CA8B7-004F-D7B6-A698-07E2DE0F1F5D}"
)
_KERNEL_POWER = Provider("Microsoft-Windows-Kernel-Power", "{331C3B3A-2005-44C2-AC5E-77220C37D6B4}")
_ERROR_REPORTING = Provider(
    "Microsoft-Windows-WER-SystemErrorReporting",
    "{ABCE23E7-DE45-4366-8631-84FA6C525952}",
    "BugCheck",
    0x4000,
)
_SERVICES_GUID = "{555908D1-A6D7-4695-8E1E-26931D2012F4}"
_SERVICES = Provider("Service Control Manager", _SERVICES_GUID, "Service Control Manager", 0x4000)
_SERVICES_ERROR = Provider(
    "Service Control Manager", _SERVICES_GUID, "Service Control Manager", 0xC000
)
_KERNEL_BOOT = Provider("Microsoft-Windows-Kernel-Boot", "{15CA44FF-4D7A-4BAA-BBA5-0998955E531E}")
_PLUG_AND_PLAY = Provider("Microsoft-Windows-Kernel-PnP", "{9C205A39-1250-487D-ABD7-E831C6290539}")
_VOLUMES = Provider("Microsoft-Windows-Ntfs", "{3FF37A1C-A68D-4D6E-8C9B-F79E8B16C482}")
_NTFS = Provider("Ntfs", "{DD70BC80-EF44-421B-8AC3-CD31DA613A4E}")
_HARDWARE = Provider("Microsoft-Windows-WHEA-Logger", "{C26C4F3C-3F66-4E99-8F8A-39405CFED220}")
_UPDATES = Provider(
    "Microsoft-Windows-WindowsUpdateClient", "{945A8954-C147-4ACD-923F-40C45405A658}"
)
_SERVICING = Provider("Microsoft-Windows-Servicing", "{BD12F3B8-FC40-4A61-A307-B7A013A069C1}")
_INTEGRITY = Provider("Microsoft-Windows-CodeIntegrity", "{4EE76BD8-3CF4-44A0-A0AC-3937643E37A3}")
_INTEGRITY_LOG = "Microsoft-Windows-CodeIntegrity/Operational"
_CONFIGURATION_LOG = "Microsoft-Windows-Kernel-PnP/Configuration"
_SETUP_SPACE = "http://manifests.microsoft.com/win/2004/08/windows/setup_provider"
_UPDATE_SERVICE = "{9482F4B4-E343-43B6-B170-9A65BC822C77}"  # Windows Update itself
_UPDATE = "{25ACAE93-40D4-4E62-814C-EFB2F29F1BCA}"
INSTALLED, ABSENT, STAGED = 5112, 5000, 5064  # states of a package
_CLASSIC = 0x0080_0000_0000_0000
_SERVICE_KEYWORDS = 0x8080_0000_0000_0000


def _eventlog(
    when: datetime, number: int, data: Sequence[str], blob: bytes, level: int = 4
) -> Event:
    pairs = (("", strings(data) if data else NULL),)
    return Event(
        when,
        _EVENTLOG,
        number,
        pairs,
        blob,
        level,
        version=None,
        keywords=_CLASSIC,
        process=None,
    )


def kernel_started(when: datetime, build_number: int = 19045, *, boot_mode: int = 0) -> Event:
    """12; `boot_mode`: 1 Safe Mode, 2 with networking."""
    data = (
        ("MajorVersion", u32(10)),
        ("MinorVersion", u32(0)),
        ("BuildVersion", u32(build_number)),
        ("QfeVersion", u32(4651)),
        ("ServiceVersion", u32(0)),
        ("BootMode", u32(boot_mode)),
        ("StartTime", moment(when)),
    )
    return Event(
        when, _KERNEL_GENERAL, 12, data, task=1, keywords=0x8000_0000_0000_0080, as_system=True
    )


def kernel_stopped(when: datetime) -> Event:
    data = (("StopTime", moment(when)),)
    return Event(when, _KERNEL_GENERAL, 13, data, task=2, keywords=0x8000_0000_0000_0080)


def version_logged(when: datetime, build_number: int = 19045) -> Event:
    return _eventlog(when, 6009, ["10.00.", str(build_number), "", "Multiprocessor Free", "0"], b"")


def log_started(when: datetime) -> Event:
    return _eventlog(when, 6005, [], _systemtime(when) + bytes(8))


def log_stopped(when: datetime) -> Event:
    return _eventlog(when, 6006, [], bytes.fromhex("0100000000000000"))


def unexpected_shutdown(when: datetime, last_alive: datetime, bias: timedelta) -> Event:
    """6008: the moment is given as local text, with the marks Windows puts into its dates."""
    local = last_alive - bias
    clock = f"{local:%I:%M:%S %p}".lstrip("0")
    date = f"\u200e{local.month}/\u200e{local.day}/\u200e{local.year}"
    blob = _systemtime(local) + _systemtime(last_alive) + bytes(32)
    return _eventlog(when, 6008, [clock, date, "", "", "934", "", ""], blob, level=2)


def power_lost(when: datetime, bugcheck: int, parameters: Sequence[int]) -> Event:
    """41: the last session did not end cleanly; the bug check is decimal, its parameters hex."""
    numbers = tuple(
        (f"BugcheckParameter{index}", hex64(value)) for index, value in enumerate(parameters, 1)
    )
    data = (
        ("BugcheckCode", u32(bugcheck)),
        *numbers,
        ("SleepInProgress", boolean(value=False)),
        ("PowerButtonTimestamp", u64(0)),
    )
    return Event(
        when,
        _KERNEL_POWER,
        41,
        data,
        level=1,
        version=2,
        task=63,
        keywords=0x8000_0000_0000_0002,
        as_system=True,
    )


def bugcheck_reported(
    when: datetime, bugcheck: int, parameters: Sequence[int], dump: str, report: str
) -> Event:
    numbers = ", ".join(f"{value:#018x}" for value in parameters)
    data = (
        ("param1", text(f"{bugcheck:#010x} ({numbers})")),
        ("param2", text(dump)),
        ("param3", text(report)),
    )
    return Event(when, _ERROR_REPORTING, 1001, data, level=2, keywords=_CLASSIC, process=(0, 0))


def service_installed(
    when: datetime,
    name: str,
    image_path: str,
    *,
    start: str = "boot start",
    kind: str = "kernel mode driver",
) -> Event:
    """7045; the words are those of an English Windows."""
    data = (
        ("ServiceName", text(name)),
        ("ImagePath", text(image_path)),
        ("ServiceType", text(kind)),
        ("StartType", text(start)),
        ("AccountName", text("")),
    )
    return Event(
        when,
        _SERVICES,
        7045,
        data,
        keywords=_SERVICE_KEYWORDS,
        process=(620, 1796),
        as_system=True,
    )


def drivers_failed(when: datetime, names: Sequence[str]) -> Event:
    """7026: boot- or system-start drivers that did not load; a healthy machine logs it too."""
    data = (("param1", text("".join(f"\r\n{name}" for name in names))),)
    return Event(when, _SERVICES_ERROR, 7026, data, keywords=_SERVICE_KEYWORDS, process=(620, 624))


def service_state(when: datetime, name: str, state: str) -> Event:
    data = (("param1", text(name)), ("param2", text(state)))
    blob = (name.replace(" ", "") + "/4\0").encode("utf-16-le")
    return Event(when, _SERVICES, 7036, data, blob, keywords=_SERVICE_KEYWORDS, process=(620, 700))


def service_failed(when: datetime, name: str, error: int, key: str = "") -> Event:
    """7000: a service or driver, by its display name, and the Win32 error; the key in binary."""
    data = (("param1", text(name)), ("param2", text(f"%%{error}")))
    return Event(
        when,
        _SERVICES_ERROR,
        7000,
        data,
        ((key or name) + "\0").encode("utf-16-le"),
        level=2,
        keywords=_SERVICE_KEYWORDS,
        process=(620, 1132),
    )


def service_changed(
    when: datetime, name: str, before: str, after: str, key: str | None = None
) -> Event:
    """7040; the key is told since Windows 7."""
    data = [("param1", text(name)), ("param2", text(before)), ("param3", text(after))]
    if key is not None:
        data.append(("param4", text(key)))
    return Event(
        when,
        _SERVICES,
        7040,
        tuple(data),
        keywords=_SERVICE_KEYWORDS,
        process=(616, 1608),
        as_system=True,
    )


def logged_on(when: datetime) -> Event:
    provider = Provider("Microsoft-Windows-Winlogon", "{DBE9B383-7CF3-4331-91CC-A3CB16A3B538}")
    data = (("TSId", u32(1)), ("UserSid", text("S-1-5-21-1-2-3-1001")))
    return Event(when, provider, 7001, data, task=1101, process=(540, 992), as_system=True)


# --- the boot as the loader saw it --------------------------------------------------------


def last_boot_status(when: datetime, *, shut_down: bool, succeeded: bool, boot: int = 7) -> Event:
    """Kernel-Boot 20, as version 1 tells it."""
    data = (
        ("LastShutdownGood", boolean(value=shut_down)),
        ("LastBootGood", boolean(value=succeeded)),
        ("LastBootId", u32(boot)),
        ("BootStatusPolicy", u32(2)),
    )
    return Event(when, _KERNEL_BOOT, 20, data, version=1, task=31, as_system=True)


def boot_type(when: datetime, kind: int) -> Event:
    """Kernel-Boot 27: 0 full, 1 after a hybrid shutdown (fast startup), 2 out of hibernation."""
    return Event(when, _KERNEL_BOOT, 27, (("BootType", u32(kind)),), task=33, as_system=True)


def entering_sleep(when: datetime, target: int = 4, effective: int = 4) -> Event:
    """Kernel-Power 42. A hybrid shutdown has target 6 (off) and effective 5 (hibernate)."""
    data = (
        ("TargetState", u32(target)),
        ("EffectiveState", u32(effective)),
        ("Reason", u32(7)),
        ("Flags", u32(0)),
        ("TransitionsToOn", u32(1)),
    )
    return Event(when, _KERNEL_POWER, 42, data, version=3, task=64)


# --- drivers that were not loaded ---------------------------------------------------------


def driver_failed(when: datetime, device: str, driver: str, status: int = 0xC000_0365) -> Event:
    """Kernel-PnP 219: `driver` is a driver object, "\\Driver\\acme"."""
    data = (
        ("DriverNameLength", u32(len(device))),
        ("DriverName", text(device)),
        ("Status", u32(status)),
        ("FailureNameLength", u32(len(driver))),
        ("FailureName", text(driver)),
        ("Version", u32(0)),
    )
    return Event(when, _PLUG_AND_PLAY, 219, data, level=3, task=212, as_system=True)


def pnp_driver_failed(
    when: datetime, device: str, driver: str, problem: int = 0x27, status: int = 0xC000_026C
) -> Event:
    """Kernel-PnP 411, of the Configuration log: `driver` is a service."""
    return _configured(when, 411, device, driver, problem, status)


def pnp_started(when: datetime, device: str, driver: str) -> Event:
    return _configured(when, 410, device, driver, 0, 0)


def _configured(
    when: datetime, number: int, device: str, driver: str, problem: int, status: int
) -> Event:
    data = (
        ("DeviceInstanceId", text(device)),
        ("DriverName", text("oem12.inf")),
        ("ClassGuid", guid("{4D36E97D-E325-11CE-BFC1-08002BE10318}")),
        ("ServiceName", text(driver)),
        ("LowerFilters", text("")),
        ("UpperFilters", text("")),
        ("Problem", hex32(problem)),
        ("Status", hex32(status)),
    )
    return Event(
        when,
        _PLUG_AND_PLAY,
        number,
        data,
        level=2 if problem else 4,
        keywords=0x4000_0000_0000_0000,
        as_system=True,
        channel=_CONFIGURATION_LOG,
    )


def driver_blocked(when: datetime, path: str, number: int = 1060) -> Event:
    """875, 876, 1060: the low word of the status with which the kernel refused the driver."""
    provider = Provider("Application Popup", qualifiers=0xC000)
    return _classic(when, provider, number, ["", path], level=2)


def code_integrity_refused(
    when: datetime,
    path: str,
    event: int = 3004,
    *,
    process: str = "System",
    scenario: int = 0,
    old: bool = False,
) -> Event:
    """An event of the code integrity log about a file; `scenario` 0 is kernel mode.

    3076 to 3081 spell the names of their fields apart and tell the scenario; `old` is how Windows
    Vista to 8 log the others, without the process.
    """
    parted = 3076 <= event <= 3081
    file, by = ("File Name", "Process Name") if parted else ("FileNameBuffer", "ProcessNameBuffer")
    data = [("FileNameLength", u16(len(path))), (file, text(path))]
    if not old:
        data += [("ProcessNameLength", u16(len(process))), (by, text(process))]
    if parted:
        data += [
            ("Requested Signing Level", u8(2)),
            ("Validated Signing Level", u8(1)),
            ("Status", hex32(0xC0E9_0002)),
            ("SI Signing Scenario", u32(scenario)),
        ]
    return Event(
        when,
        _INTEGRITY,
        event,
        tuple(data),
        level=2,
        version=0 if old else 1,
        task=18,
        as_system=True,
        channel=_INTEGRITY_LOG,
    )


# --- disks, file systems, hardware --------------------------------------------------------


def _classic(
    when: datetime, provider: Provider, number: int, data: Sequence[str], level: int = 2
) -> Event:
    """What a driver logs through IoWriteErrorLogEntry: the device first."""
    pairs = (("", strings(data)),)
    blob = struct.pack("<HHHHII", 0x0F, 0x10, 1, 0, 0, 0xC004_0000 | number) + bytes(28)
    return Event(
        when, provider, number, pairs, blob, level, version=None, keywords=_CLASSIC, process=None
    )


def disk_event(
    when: datetime, number: int, device: str = "\\Device\\Harddisk0\\DR0", *more: str
) -> Event:
    """disk 7, 11, 15, 51, 52, 153, 154, 157: the device, and what else the message needs."""
    return _classic(when, Provider("disk", qualifiers=0xC004), number, [device, *more])


def disk_bad_block(when: datetime, device: str = "\\Device\\Harddisk0\\DR0") -> Event:
    return disk_event(when, 7, device)


def disk_retried(when: datetime, device: str = "\\Device\\Harddisk0\\DR0") -> Event:
    """153: an operation was retried; a machine may log many of these and live."""
    return disk_event(when, 153, device, "0x416e32", "0", "\\Device\\00000024")


def port_reset(
    when: datetime, driver: str = "storahci", device: str = "\\Device\\RaidPort0"
) -> Event:
    return _classic(when, Provider(driver, qualifiers=0x8004), 129, [device], level=3)


def no_dump(when: datetime, number: int = 161) -> Event:
    """volmgr 46 at a boot, 161 after a crash: no dump could be written."""
    provider = Provider("volmgr", qualifiers=0xC004)
    return _classic(when, provider, number, ["\\Device\\HarddiskVolume3"])


def ntfs_corrupt(when: datetime, volume: str = "C:") -> Event:
    """Ntfs 55 since Windows 8."""
    data = (
        ("DriveName", text(volume)),
        ("DeviceName", text("\\Device\\HarddiskVolume3")),
        ("CorruptionState", hex32(0)),
        ("HeaderFlags", hex32(0x922)),
        ("Severity", text("Critical")),
        ("Origin", text("File System Driver")),
        ("Verb", text("Bad FRS")),
        ("Description", text("The Master File Table (MFT) contains a corrupted file record.")),
        ("Signature", hex32(0x5DD5_2DF8)),
        ("Outcome", text("Read Only Volume")),
        ("SampleLength", u16(0)),
        ("SampleData", binary(b"")),
    )
    return Event(when, _NTFS, 55, data, level=2, as_system=True)


def ntfs_corrupt_old(when: datetime, volume: str = "C:") -> Event:
    """Ntfs 55 up to Windows 7."""
    return _classic(when, Provider("Ntfs", qualifiers=0xC004), 55, ["", volume])


def ntfs_state(when: datetime, volume: str = "C:", action: int = 0) -> Event:
    """Ntfs 98, at every mount: 0 healthy, 1 to scan, 2 to fix on the spot, 3 to check offline."""
    data = (
        ("DriveName", text(volume)),
        ("DeviceName", text("\\Device\\HarddiskVolume2")),
        ("CorruptionActionState", u32(action)),
    )
    return Event(when, _VOLUMES, 98, data, keywords=0x8000_0000_0000_0002, as_system=True)


def whea(when: datetime, *, fatal: bool, number: int | None = None) -> Event:
    """18 and 19, a machine check; the other numbers have more fields before the last two."""
    data = (
        ("ErrorSource", u32(3)),
        ("ApicId", u32(0)),
        ("MCABank", u32(5)),
        ("Length", u32(4)),
        ("RawData", binary(b"CPER")),
    )
    number = number or (18 if fatal else 19)
    return Event(when, _HARDWARE, number, data, level=2 if fatal else 3)


# --- updates ------------------------------------------------------------------------------


def update_installed(when: datetime, title: str, service: str = _UPDATE_SERVICE) -> Event:
    return _update(when, 19, title, service, 0x8000_0000_0000_0018)


def update_started(when: datetime, title: str) -> Event:
    return _update(when, 43, title, "", 0x8000_0000_0000_2008)


def update_failed(when: datetime, title: str, code: int = 0x8024_8007) -> Event:
    return _update(when, 20, title, _UPDATE_SERVICE, 0x8000_0000_0000_0028, code)


def _update(
    when: datetime, number: int, title: str, service: str, keywords: int, code: int = 0
) -> Event:
    data = [
        ("updateTitle", text(title)),
        ("updateGuid", guid(_UPDATE)),
        ("updateRevisionNumber", u32(200)),
    ]
    if code:
        data.insert(0, ("errorCode", hex32(code)))
    if service:
        data.append(("serviceGuid", guid(service)))
    return Event(
        when,
        _UPDATES,
        number,
        tuple(data),
        level=2 if code else 4,
        version=1,
        task=1,
        keywords=keywords,
        process=(436, 7072),
        as_system=True,
    )


_STATES = {INSTALLED: "Installed", ABSENT: "Absent", STAGED: "Staged"}


def package_changed(
    when: datetime, package: str, number: int = 2, state: int = INSTALLED, code: int = 0
) -> Event:
    """Servicing, of the Setup log: 1 begun, 2 done, 3 failed, 4 a restart is needed."""
    data = [("PackageIdentifier", text(package))]
    if number == 1:
        data += [("InitialPackageState", u32(STAGED)), ("InitialPackageStateTextized", text("x"))]
    data += [
        ("IntendedPackageState", u32(state)),
        ("IntendedPackageStateTextized", text(_STATES[state])),
    ]
    if number != 1:
        data.append(("ErrorCode", text(f"{code:#x}")))
    data.append(("Client", text("WindowsUpdateAgent")))
    element = "CbsPackageInitiateChanges" if number == 1 else "CbsPackageChangeState"
    return Event(
        when,
        _SERVICING,
        number,
        tuple(data),
        level=0,
        task=1,
        process=(5140, 5984),
        as_system=True,
        channel="Setup",
        user_data=(element, _SETUP_SPACE),
    )


def _systemtime(when: datetime) -> bytes:
    when = when.astimezone(UTC)
    return struct.pack(
        "<8H",
        when.year,
        when.month,
        when.isoweekday() % 7,
        when.day,
        when.hour,
        when.minute,
        when.second,
        when.microsecond // 1000,
    )
