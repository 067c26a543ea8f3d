"""The SYSTEM and SOFTWARE hives of a machine."""

from __future__ import annotations

import struct
import zlib
from datetime import datetime, timedelta

from tests.builders import hive, inf
from tests.builders.winbytes import filetime
from tests.scenarios import inbox, vendors
from tests.scenarios.inbox import Inbox
from tests.scenarios.machine import Driver, Machine, instances

DISK_PREFIX = "5&1d3a2f0c&0"  # of the boot disk, and ParentIdPrefix of its controller


def system(m: Machine) -> dict[str, hive.Tree]:
    """The whole SYSTEM hive."""
    arch = {"x64": "AMD64", "x86": "x86", "arm64": "ARM64"}[m.profile.machine]
    groups = hive.multi_sz(*inbox.GROUPS)
    manager: dict[str, hive.Tree | hive.Raw] = {
        "AutoChkTimeout": hive.dword(8),
        "BootExecute": hive.multi_sz("autocheck autochk *"),
        "CriticalSectionTimeout": hive.dword(2592000),
        "GlobalFlag": hive.dword(0),
        "ObjectDirectories": hive.multi_sz("\\Windows", "\\RPC Control"),
        "ProtectionMode": hive.dword(1),
        **m.session_manager,
        "Environment": {
            "PROCESSOR_ARCHITECTURE": hive.sz(arch),
            "OS": hive.sz("Windows_NT"),
            "Path": hive.expand_sz("%SystemRoot%\\system32;%SystemRoot%"),
            "windir": hive.expand_sz("%SystemRoot%"),
        },
        "Memory Management": {
            "ClearPageFileAtShutdown": hive.dword(0),
            "PagingFiles": hive.multi_sz("?:\\pagefile.sys"),
            **m.memory_management,
        },
    }
    crash = {
        "AutoReboot": hive.dword(1),
        "CrashDumpEnabled": hive.dword(2 if m.profile.generation == "7" else 7),
        "DumpFile": hive.expand_sz("%SystemRoot%\\MEMORY.DMP"),
        "LogEvent": hive.dword(1),
        "MinidumpDir": hive.expand_sz("%SystemRoot%\\Minidump"),
        "MinidumpsCount": hive.dword(50),
        "Overwrite": hive.dword(1),
        "DumpFilters": hive.multi_sz("dumpfve.sys"),
        **m.crash_control,
    }
    control: dict[str, hive.Tree | hive.Raw] = {
        "ServiceGroupOrder": {"List": groups},
        "GroupOrderList": _tags(),
        "Session Manager": manager,
        "CrashControl": crash,
        "TimeZoneInformation": _zone(m),
        "ComputerName": {"ComputerName": {"ComputerName": hive.sz(m.computer)}},
        "EarlyLaunch": {"BackupPath": hive.sz("C:\\Windows\\ELAMBKUP")},
        "Class": {
            guid: {name: hive.multi_sz(*names) for name, names in lists.items()}
            for guid, lists in m.class_filters.items()
        },
        "SafeBoot": {"Minimal": {"Base": {"": hive.sz("Driver Group")}}},
        "SystemInformation": {"SystemManufacturer": hive.sz("Micro-Star International")},
    }
    return {
        "ControlSet001": {
            "Control": control,
            "Enum": _enum(m),
            "Services": _services(m),
            "Hardware Profiles": {"0001": {}},
        },
        "DriverDatabase": {"DriverInfFiles": _packages(m)} if m.profile.generation != "7" else {},
        "HardwareConfig": {"LastId": hive.dword(0)},
        "MountedDevices": {
            "\\DosDevices\\C:": hive.binary(b"DMIO:ID:" + bytes(range(16))),
        },
        "Select": {name: hive.dword(number) for name, number in m.select.items()},
        "Setup": {
            "CmdLine": hive.sz(""),
            "OOBEInProgress": hive.dword(0),
            "SetupPhase": hive.dword(0),
            "SetupType": hive.dword(0),
            "SystemSetupInProgress": hive.dword(0),
            **m.setup,
        },
    }


def _tags() -> dict[str, hive.Raw]:
    return {
        group: hive.binary(struct.pack(f"<{count + 1}I", count, *range(1, count + 1)))
        for group, count in (("Base", 27), ("NDIS", 24), ("System Bus Extender", 25))
    }


def _zone(m: Machine) -> dict[str, hive.Raw]:
    name, minutes = m.zone
    return {
        "ActiveTimeBias": hive.dword(minutes & 0xFFFF_FFFF),
        "Bias": hive.dword(minutes & 0xFFFF_FFFF),
        "DaylightBias": hive.dword(0),
        "StandardBias": hive.dword(0),
        "TimeZoneKeyName": hive.sz(name),
    }


# --- services -----------------------------------------------------------------------------


def _services(m: Machine) -> dict[str, hive.Node | hive.Tree]:
    found: dict[str, hive.Node | hive.Tree] = {}
    for service in m.inbox.values():
        found[service.name] = _inbox_key(m, service)
    for driver in m.drivers.values():
        if driver.registered:
            found[driver.vendor.service] = _driver_key(m, driver)
    for name, title in _USER_MODE:
        values = {
            "Type": hive.dword(0x20),
            "Start": hive.dword(2),
            "ErrorControl": hive.dword(1),
            "DisplayName": hive.sz(title),
            "ImagePath": hive.expand_sz("%systemroot%\\system32\\svchost.exe -k netsvcs -p"),
            "ObjectName": hive.sz("LocalSystem"),
        }
        found[name] = hive.Node(values, _inbox_time(m, name))
    found.update(m.extra_services)
    return found


_USER_MODE = (
    ("BITS", "Background Intelligent Transfer Service"),
    ("Dhcp", "DHCP Client"),
    ("Dnscache", "DNS Client"),
    ("EventLog", "Windows Event Log"),
    ("LanmanServer", "Server"),
    ("LanmanWorkstation", "Workstation"),
    ("PlugPlay", "Plug and Play"),
    ("RpcSs", "Remote Procedure Call (RPC)"),
    ("Schedule", "Task Scheduler"),
    ("Spooler", "Print Spooler"),
    ("TrustedInstaller", "Windows Modules Installer"),
    ("W32Time", "Windows Time"),
    ("wuauserv", "Windows Update"),
)


def _inbox_key(m: Machine, service: Inbox) -> hive.Node:
    key = service.name.lower()
    start = m.starts.get(key, service.start)
    if key == m.controller.lower():
        start = m.starts.get(key, 0)
    values: dict[str, hive.Tree | hive.Raw] = {
        "DisplayName": hive.sz(f"@{key}.inf,%{key}.SVCDESC%;{service.name} driver"),
        "ErrorControl": hive.dword(service.error_control),
        "Start": hive.dword(start),
        "Type": hive.dword(service.type),
    }
    if service.image_path:
        values["ImagePath"] = hive.expand_sz(service.image_path)
    if service.group:
        values["Group"] = hive.sz(service.group)
    if service.tag is not None:
        values["Tag"] = hive.dword(service.tag)
    if service.boot_flags:
        values["BootFlags"] = hive.dword(service.boot_flags)
    if key in inbox.ALTITUDES:
        values["Instances"] = instances(service.name, inbox.ALTITUDES[key])
    unused = service.group.lower() == "scsi miniport" and key != m.controller.lower()
    if unused and service.start == 0 and m.profile.generation != "7":
        # Windows raises the Start of controllers it does not use after its first boots.
        values["StartOverride"] = {"0": hive.dword(3)}
    values.update(m.extra_values.get(key, {}))
    values.update(m.extra_subkeys.get(key, {}))
    return hive.Node(values, m.key_times.get(key, _inbox_time(m, key)))


def _inbox_time(m: Machine, name: str) -> datetime:
    """In bunches: the image's release, the day of setup, the last cumulative update."""
    bunch = zlib.crc32(name.encode()) % 100
    if bunch < 55:
        return m.profile.released + timedelta(minutes=6 + bunch % 3)
    if bunch < 85:
        return m.installed + timedelta(minutes=bunch % 4, seconds=bunch)
    if bunch < 97:
        return m.serviced + timedelta(seconds=bunch)
    return m.hive_when - timedelta(minutes=40)  # rewritten by each boot


def _driver_key(m: Machine, driver: Driver) -> hive.Node:
    vendor = driver.vendor
    values: dict[str, hive.Tree | hive.Raw] = {
        "Type": hive.dword(vendor.type),
        "Start": hive.dword(driver.start),
        "ErrorControl": hive.dword(driver.error_control),
        "ImagePath": hive.expand_sz(driver.image_path),
        "DisplayName": hive.sz(vendor.product),
    }
    if vendor.group:
        values["Group"] = hive.sz(vendor.group)
    if vendor.type == 2:
        values["DependOnService"] = hive.multi_sz("FltMgr")
    if driver.published:
        values["Owners"] = hive.multi_sz(driver.published)
    values.update(driver.values)
    values.update(driver.subkeys)
    when = m.key_times.get(driver.name, driver.changed + timedelta(seconds=2))
    return hive.Node(values, when)


# --- devices ------------------------------------------------------------------------------


def _enum(m: Machine) -> dict[str, hive.Tree]:
    tree: dict[str, dict[str, dict[str, hive.Tree]]] = {}
    for path, values in {**boot_chain(m), **m.devices}.items():
        bus, device, instance = path.split("\\", 2)
        tree.setdefault(bus, {}).setdefault(device, {})[instance] = values
    return dict(tree)


CONTROLLER_IDS = {
    "storahci": "PCI\\VEN_8086&DEV_A102&SUBSYS_79711462&REV_31\\3&11583659&0&B8",
    "msahci": "PCI\\VEN_8086&DEV_1C02&SUBSYS_04A41028&REV_04\\3&11583659&0&FA",
    "stornvme": "PCI\\VEN_144D&DEV_A808&SUBSYS_A801144D&REV_00\\4&37a5b0fb&0&00E4",
    "vmbus": "ACPI\\VMBUS\\0",
    "pvscsi": "PCI\\VEN_15AD&DEV_07C0&SUBSYS_07C015AD&REV_02\\4&b70f118&0&00A8",
}


def boot_chain(m: Machine) -> dict[str, dict[str, hive.Raw]]:
    """Controller, disk, volume, and what every machine has."""
    scsi, disk, volume = (vendors.CLASSES[kind] for kind in ("scsi", "disk", "volume"))
    kind = vendors.CLASSES["hdc"] if m.controller in ("storahci", "msahci") else scsi
    devices = {
        f"SCSI\\Disk&Ven_Samsung&Prod_SSD_980\\{DISK_PREFIX}&000000": ("disk", disk),
        "STORAGE\\Volume\\{62517160-f29b-11ec-85e0-806e6f6e6963}#000000000C900000": (
            "volume",
            volume,
        ),
        "ROOT\\volmgr\\0000": ("volmgr", vendors.CLASSES["system"]),
        "ROOT\\vdrvroot\\0000": ("vdrvroot", vendors.CLASSES["system"]),
        "ROOT\\mssmbios\\0000": ("mssmbios", vendors.CLASSES["system"]),
        "ACPI_HAL\\PNP0C08\\0": ("ACPI", vendors.CLASSES["system"]),
        "ACPI\\PNP0A08\\0": ("pci", vendors.CLASSES["system"]),
        "ACPI\\PNP0303\\4&1bd7f811&0": ("i8042prt", vendors.CLASSES["keyboard"]),
        "USB\\ROOT_HUB30\\4&2d6ecf48&0&0": ("USBHUB3", vendors.CLASSES["usb"]),
    }
    if m.controller in CONTROLLER_IDS:
        devices[CONTROLLER_IDS[m.controller]] = (m.controller, kind)
    made = {
        path: {
            "ClassGUID": hive.sz(guid),
            "ConfigFlags": hive.dword(0),
            "DeviceDesc": hive.sz(f"@{service.lower()}.inf,%dev%;{service} device"),
            "Driver": hive.sz(f"{guid}\\{number:04}"),
            "HardwareID": hive.multi_sz(path.rsplit("\\", 1)[0]),
            "Service": hive.sz(service),
        }
        for number, (path, (service, guid)) in enumerate(devices.items())
    }
    if m.controller in CONTROLLER_IDS:
        made[CONTROLLER_IDS[m.controller]]["ParentIdPrefix"] = hive.sz(DISK_PREFIX)
    made[next(iter(made))].update(m.disk_values)
    return made


# --- packages -----------------------------------------------------------------------------


def _packages(m: Machine) -> dict[str, hive.Tree]:
    return {
        driver.published: {"": hive.multi_sz(m.package_name(driver))}
        for driver in m.drivers.values()
        if driver.published
    }


def inf_file(driver: Driver) -> bytes:
    vendor = driver.vendor
    made = inf.Driver(
        service=vendor.service,
        provider=vendor.company,
        dated=f"{driver.changed - timedelta(days=20):%m/%d/%Y}",
        version=driver.version,
        class_guid=vendors.CLASSES.get(vendor.kind or "system", "").upper(),
    )
    text = inf.text(made).replace("PCI\\VEN_1234&DEV_5678", vendor.hardware or "root\\none")
    text = text.replace("StartType      = 3", f"StartType      = {driver.start}")
    text = text.replace("ServiceType    = 1", f"ServiceType    = {vendor.type}")
    text = text.replace("Acme Adapter", vendor.product)
    return text.replace(f"{vendor.service}.sys", vendor.file).encode()


# --- SOFTWARE -----------------------------------------------------------------------------


def software(m: Machine) -> dict[str, hive.Tree]:
    p = m.profile
    branch = "winblue_ltsb" if p.generation == "8" else "vb_release"
    current = {
        "ProductName": hive.sz(p.product),
        "EditionID": hive.sz(p.edition),
        "CurrentBuild": hive.sz(str(p.build)),
        "CurrentBuildNumber": hive.sz(str(p.build)),
        "CurrentVersion": hive.sz("6.1" if p.generation == "7" else "6.3"),
        "BuildLabEx": hive.sz(f"{p.build}.1.{p.suffix}fre.{branch}.191206-1406"),
        "InstallDate": hive.dword(int(m.installed.timestamp())),
        "SystemRoot": hive.sz("C:\\Windows"),
        "RegisteredOwner": hive.sz("user"),
    }
    if p.generation == "10":
        current |= {
            "CurrentMajorVersionNumber": hive.dword(10),
            "CurrentMinorVersionNumber": hive.dword(0),
            "UBR": hive.dword(p.revision),
            "DisplayVersion": hive.sz(p.display),
            "InstallTime": hive.qword(filetime(m.installed)),
        }
    cbs: dict[str, hive.Tree] = {
        "Packages": {
            f"Package_for_RollupFix~31bf3856ad364e35~{p.suffix}~~{p.build}.{p.revision}.1.3": {
                "CurrentState": hive.dword(112),
                "InstallClient": hive.sz("UpdateAgentLCU"),
            }
        }
    }
    cbs.update(m.software)
    version: hive.Tree = {
        "Component Based Servicing": cbs,
        "SideBySide": {"Configuration": {}},
        "Uninstall": {
            driver.vendor.product: {
                "DisplayName": hive.sz(driver.vendor.product),
                "Publisher": hive.sz(driver.vendor.company),
                "InstallDate": hive.sz(f"{driver.installed:%Y%m%d}"),
            }
            for driver in m.drivers.values()
        },
    }
    return {
        "Microsoft": {
            "Windows": {"CurrentVersion": version},
            "Windows NT": {"CurrentVersion": current},
        }
    }
