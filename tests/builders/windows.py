"""A folder filled so that it looks like an offline Windows 10, as far as our tools look.

Hives are real ones from ../shared/data where present, else built. For every driver service the
SYSTEM hive names (read with hivex, not with our code) there is a stub image with the right
machine and a version resource; inbox ones are hard links into WinSxS, as on a real volume.
Security descriptors, attributes, DOS names and times are set where the file system has them.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.builders import bootlog, evtx, history, pe, registry, setupapi, small_system
from tests.builders.winbytes import HIVE, INBOX, INSTALLED, filetime
from tests.conftest import REAL_DATA, read_real
from tests.independent import registry as independent

CONFIG = "System32/config"
BOOT_LOG = "ntbtlog.txt"
EVENT_LOG = "System32/winevt/Logs/System.evtx"
HIDDEN_SYSTEM, ARCHIVE = 0x26, 0x20

_MICROSOFT = {
    "CompanyName": "Microsoft Corporation",
    "FileDescription": "Windows driver",
    "FileVersion": "10.0.19041.1 (WinBuild.160101.0800)",
    "InternalName": "driver",
    "LegalCopyright": "© Microsoft Corporation. All rights reserved.",
    "ProductName": "Microsoft® Windows® Operating System",
    "ProductVersion": "10.0.19041.1",
}
# Inbox drivers that other companies wrote: hard-linked into WinSxS all the same.
_INBOX_VENDORS = {
    "3ware.sys": "LSI",
    "adp80xx.sys": "PMC-Sierra",
    "amdsata.sys": "Advanced Micro Devices",
    "arcsas.sys": "PMC-Sierra, Inc.",
    "bxvbda.sys": "QLogic Corporation",
    "evbda.sys": "QLogic Corporation",
    "iastorav.sys": "Intel Corporation",
    "iastorv.sys": "Intel Corporation",
    "lsi_sas.sys": "LSI Corporation",
    "megasas.sys": "Avago Technologies",
    "mvumis.sys": "Marvell Semiconductor, Inc.",
    "nvraid.sys": "NVIDIA Corporation",
    "stexstor.sys": "Promise Technology, Inc.",
    "vsmraid.sys": "VIA Technologies Inc.,Ltd",
}
# Guest tools a person installed: third-party and innocent.
_VMWARE = (
    *("vmci", "vsock", "vmhgfs", "vmmemctl", "vmrawdsk", "vmusbmouse", "vmmouse"),
    *("vm3dmp", "vm3dmp_loader", "vm3dmp-debug", "vm3dmp-stats"),
)
# Loaded by every boot without being services, in front of and among the drivers.
_KERNEL = ("ntoskrnl.exe", "hal.dll", "kd.dll", "mcupdate_GenuineIntel.dll")
_LIBRARIES = ("storport.sys", "classpnp.sys", "wmilib.sys", "wdfldr.sys", "netio.sys", "tm.sys")
_LOADERS = ("winload.exe", "winload.efi", "ci.dll", "bootvid.dll", "pshed.dll", "clfs.sys")
_SESSION = (
    *("ntdll.dll", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe"),
    *("lsass.exe", "win32k.sys"),
)
# Boot-start drivers whose hardware this machine has: the others are not in the boot log.
_PRESENT_STORAGE = ("stornvme", "storahci", "atapi", "intelide", "pciide", "lsi_sas")
_STORAGE_GROUPS = ("scsi miniport",)


@dataclass(frozen=True, slots=True)
class Windows:
    """An installation on a mounted volume, and what its logs tell."""

    volume: Path
    folder: str
    control_set: str
    machine: str
    loaded: tuple[str, ...]  # a good boot's log
    past: history.History
    ntfs: bool

    @property
    def root(self) -> Path:
        return self.volume / self.folder

    @property
    def system(self) -> Path:
        return self.root / CONFIG / "SYSTEM"

    def write_logs(self, past: history.History) -> None:
        """Replace both logs; their time is that of the newest event."""
        newest = max(event.when for event in past.events)
        self.put(EVENT_LOG, evtx.build(past.events), newest, INSTALLED)
        self.put(BOOT_LOG, bootlog.build(past.boots), newest, INSTALLED)

    def put(
        self,
        name: str,
        content: bytes,
        when: datetime,
        descriptor: bytes = INBOX,
        attributes: int = ARCHIVE,
    ) -> Path:
        """A file below the Windows folder, with its time and (on NTFS) its security."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if self.ntfs:
            os.setxattr(path, "system.ntfs_acl", descriptor)
            os.setxattr(path, "system.ntfs_attrib_be", struct.pack(">I", attributes))
            stamp = filetime(when)
            os.setxattr(
                path, "system.ntfs_times_be", struct.pack(">4Q", stamp, stamp, stamp, stamp)
            )
        else:
            os.utime(path, (when.timestamp(), when.timestamp()))
        return path

    def driver(self, name: str, when: datetime, strings: Mapping[str, str], **kwargs: Any) -> Path:
        """A third-party driver in System32/drivers."""
        image = pe.driver(strings, machine=self.machine, built=when - timedelta(days=9))
        return self.put(f"System32/drivers/{name}", image, when, INSTALLED, **kwargs)


def third_party(company: str, description: str, version: str) -> dict[str, str]:
    return {
        "CompanyName": company,
        "FileDescription": description,
        "FileVersion": version,
        "LegalCopyright": f"(C) {company}",
        "ProductName": description,
        "ProductVersion": version,
    }


@dataclass(frozen=True, slots=True)
class Hives:
    """Where the SYSTEM hive comes from. `logs` are laid beside it as LOG1 and LOG2."""

    system: bytes
    logs: tuple[bytes, ...] = ()
    machine: str = "x64"
    dirty: bool = False


# A built hive of some dozen services: what matters is there, and QEMU reads it in no time.
BUILT = Hives(b"")


def clean_windows_10() -> Hives:
    """A real, clean hive where we have it, else a small built one."""
    path = REAL_DATA / "hives" / "dissect_SYSTEM.gz"
    return Hives(read_real(path)) if path.is_file() else BUILT


def dirty_windows_10() -> Hives:
    """A real hive whose newest pages are in its logs only."""
    names = ("regipy_SYSTEM_B.xz", "regipy_SYSTEM_B.LOG1.xz", "regipy_SYSTEM_B.LOG2.xz")
    system, *logs = (read_real(REAL_DATA / "hives" / name) for name in names)
    return Hives(system, tuple(logs), dirty=True)


def populate(
    volume: Path,
    *,
    folder: str = "Windows",
    hives: Hives | None = None,
    ntfs: bool = True,
    product: str = "Windows 10 Pro",
    computer: str = "DESKTOP-M3OSHQU",
) -> Windows:
    """Write an installation into `volume`. The disk letter in its paths is C:."""
    hives = hives or clean_windows_10()
    system = volume / folder / CONFIG / "SYSTEM"
    system.parent.mkdir(parents=True, exist_ok=True)
    if hives.system:
        system.write_bytes(hives.system)
    else:
        registry.write(system, small_system.changes(), history.INSTALLED)
    found = independent.driver_services(system)
    order = [name.lower() for name in found["groups"]]
    loaded = tuple(_boot_order(found["services"], order))
    past = history.healthy(loaded, timedelta(minutes=found["bias"]))
    made = Windows(volume, folder, found["control_set"], hives.machine, loaded, past, ntfs)
    _write_hives(made, system.read_bytes(), hives, product)
    _write_system_files(made)
    _write_drivers(made, found["services"])
    _write_people(made, computer)
    made.write_logs(past)
    return made


def reopen(
    volume: Path, *, folder: str = "Windows", ntfs: bool = True, machine: str = "x64"
) -> Windows:
    """The installation that `populate` wrote into a volume since mounted again."""
    found = independent.driver_services(volume / folder / CONFIG / "SYSTEM")
    order = [name.lower() for name in found["groups"]]
    loaded = tuple(_boot_order(found["services"], order))
    past = history.healthy(loaded, timedelta(minutes=found["bias"]))
    return Windows(volume, folder, found["control_set"], machine, loaded, past, ntfs)


# --- what a boot loads --------------------------------------------------------------------


def log_path(service: Mapping[str, Any]) -> str:
    """How the boot log spells a driver's path."""
    image = service["ImagePath"] or f"System32\\Drivers\\{service['Name']}.sys"
    return image if image.startswith("\\") else f"\\SystemRoot\\{image}"


def _boot_order(services: Iterable[Mapping[str, Any]], groups: list[str]) -> Iterable[str]:
    yield from (f"\\SystemRoot\\system32\\{name}" for name in _KERNEL)
    ranked = sorted(
        (service for service in services if service["Start"] in (0, 1) and _has_device(service)),
        key=lambda service: (service["Start"], _rank(service, groups)),
    )
    yield from (log_path(service) for service in ranked)


def _rank(service: Mapping[str, Any], groups: list[str]) -> int:
    group = (service["Group"] or "").lower()
    return groups.index(group) if group in groups else len(groups)


def _has_device(service: Mapping[str, Any]) -> bool:
    if (service["Group"] or "").lower() not in _STORAGE_GROUPS:
        return True
    return service["Name"].lower() in _PRESENT_STORAGE


# --- files --------------------------------------------------------------------------------


def _write_hives(windows: Windows, system: bytes, hives: Hives, product: str) -> None:
    settled = history.LAST_SHUTDOWN
    windows.put(f"{CONFIG}/SYSTEM", system, settled, HIVE)
    for number in (1, 2):
        log = hives.logs[number - 1] if hives.logs else b""
        windows.put(f"{CONFIG}/SYSTEM.LOG{number}", log, settled, HIVE, HIDDEN_SYSTEM)
        windows.put(f"{CONFIG}/SOFTWARE.LOG{number}", b"", settled, HIVE, HIDDEN_SYSTEM)
    changes = [
        registry.change(
            "Microsoft\\Windows NT\\CurrentVersion",
            {
                "ProductName": product,
                "CurrentBuild": "19045",
                "CurrentBuildNumber": "19045",
                "CurrentMajorVersionNumber": 10,
                "CurrentMinorVersionNumber": 0,
                "UBR": 4651,
                "EditionID": "Professional",
                "DisplayVersion": "22H2",
                "InstallDate": int(history.INSTALLED.timestamp()),
                "SystemRoot": f"C:\\{windows.folder}",
                "BuildLabEx": "19041.1.amd64fre.vb_release.191206-1406",
            },
        )
    ]
    software = windows.put(f"{CONFIG}/SOFTWARE", b"", settled, HIVE)
    registry.write(software, changes, history.INSTALLED)
    for name in ("SAM", "SECURITY", "DEFAULT"):
        windows.put(f"{CONFIG}/{name}", registry.empty(history.INSTALLED), settled, HIVE)
    _stamp_again(windows, software, settled)


def _stamp_again(windows: Windows, path: Path, when: datetime) -> None:
    if windows.ntfs:
        stamp = struct.pack(">4Q", *[filetime(when)] * 4)
        os.setxattr(path, "system.ntfs_times_be", stamp)
    else:
        os.utime(path, (when.timestamp(), when.timestamp()))


def _write_system_files(windows: Windows) -> None:
    for name in _SESSION:
        _inbox(windows, f"System32/{name}", _MICROSOFT)
    for name in (*_KERNEL, *_LOADERS):
        folder = "System32/drivers" if name.endswith(".sys") else "System32"
        _inbox(windows, f"{folder}/{name}", _MICROSOFT)
    for name in _LIBRARIES:
        _inbox(windows, f"System32/drivers/{name}", _MICROSOFT)
    for name in ("explorer.exe", "notepad.exe"):
        _inbox(windows, name, _MICROSOFT)


def _write_drivers(windows: Windows, services: Iterable[Mapping[str, Any]]) -> None:
    done = {path.name.lower() for path in (windows.root / "System32/drivers").iterdir()}
    for service in services:
        name = _below_root(log_path(service))
        if name is None or name.rsplit("/", 1)[-1].lower() in done:
            continue
        base = name.rsplit("/", 1)[-1].lower()
        done.add(base)
        if base.removesuffix(".sys") in _VMWARE:
            strings = third_party("VMware, Inc.", "VMware guest driver", "9.8.18.0")
            image = pe.driver(strings, machine=windows.machine)
            windows.put(name, image, history.INSTALLED, INSTALLED)
        else:
            company = _INBOX_VENDORS.get(base, _MICROSOFT["CompanyName"])
            _inbox(windows, name, {**_MICROSOFT, "CompanyName": company})


def _below_root(logged: str) -> str | None:
    """The file below the Windows folder, in the spelling the volume has; None if elsewhere."""
    parts = logged.split("\\")
    if len(parts) < 3 or parts[1].lower() != "systemroot":
        return None
    names = ["System32" if part.lower() == "system32" else part for part in parts[2:]]
    if [part.lower() for part in names[:2]] == ["system32", "drivers"]:
        names[1] = "drivers"
    return "/".join(names)


def _inbox(windows: Windows, name: str, strings: Mapping[str, str]) -> None:
    base = name.rsplit("/", 1)[-1]
    named = {**strings, "InternalName": base, "OriginalFilename": base}
    path = windows.put(name, pe.driver(named, machine=windows.machine), history.RELEASED)
    if windows.ntfs:
        stem = base.lower().rsplit(".", 1)[0]
        number = zlib.crc32(name.encode())
        store = f"amd64_{stem}_31bf3856ad364e35_10.0.19041.1_none_{number:016x}"
        twin = windows.root / "WinSxS" / store / base
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.hardlink_to(path)


def _write_people(windows: Windows, computer: str) -> None:
    """What must come through a repair untouched: documents, streams, long names, attributes."""
    home = f"../Users/{computer.lower()}"
    old = datetime(2023, 5, 1, 12, 0, tzinfo=UTC)
    windows.put(
        f"{home}/Documents/Steuer 2025 – geheim.txt", b"do not read me\r\n" * 700, old, INSTALLED
    )
    windows.put(f"{home}/NTUSER.DAT", registry.empty(old), old, INSTALLED, HIDDEN_SYSTEM)
    windows.put("../Program Files/Acme/readme.txt", b"Acme\r\n", old, INSTALLED)
    windows.put("../pagefile.sys", bytes(1 << 20), history.LAST_SHUTDOWN, HIVE, HIDDEN_SYSTEM)
    installs = [
        setupapi.imported(setupapi.Package("oem3.inf", "vmware.inf", "vmci"), history.INSTALLED),
        setupapi.installed(setupapi.Package("oem3.inf", "vmware.inf", "vmci"), history.INSTALLED),
    ]
    windows.put("INF/setupapi.dev.log", setupapi.build(installs), history.INSTALLED, INSTALLED)
    if windows.ntfs:
        document = windows.root / f"{home}/Documents/Steuer 2025 – geheim.txt"
        Path(f"{document}:Zone.Identifier").write_bytes(b"[ZoneTransfer]\r\nZoneId=3\r\n")
        os.setxattr(document, "system.ntfs_dos_name", b"STEUER~1.TXT")
        os.setxattr(windows.system, "system.ntfs_dos_name", b"SYSTEM")
        _stamp_again(windows, document, old)
