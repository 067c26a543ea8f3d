"""A tree that boots, as far as an offline check can tell: a disk's boot files, hives and stubs.

`small` makes one of a few dozen services for tests that break it; `of_hive` one around a real
SYSTEM hive, with a stub for every driver service in it (read with hivex). Stubs import from each
other what drivers import, and are signed under a test root. Both are plain folders. What kernels
and libraries export here are a few real names, enough to be imported.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from recoverykit import evidence, installs
from recoverykit.boot import check
from recoverykit.model import CheckLine, WindowsInstall
from recoverykit.vouching import Judge
from tests.builders import authenticode, boot_files, history, pe, registry
from tests.builders.boot_files import Scene
from tests.independent import registry as independent

ROOM = 40 << 30  # bytes free on the volume
CONFIG = "Windows/system32/config"
SYSTEM32 = "Windows/system32"
CATALOGS = f"{SYSTEM32}/CatRoot/{{F750E6C3-38EE-11D1-85E5-00C04FC295EE}}"

# What each module exports, and what it imports itself.
_EXPORTS: dict[str, tuple[str, ...]] = {
    "ntoskrnl.exe": ("IoCreateDevice", "KeBugCheckEx", "RtlInitUnicodeString"),
    "hal.dll": ("HalMakeBeep", "KeQueryPerformanceCounter"),
    "ci.dll": ("CiInitialize",),
    "kdcom.dll": ("KdDebuggerInitialize0",),
    "bootvid.dll": ("VidInitialize",),
    "pshed.dll": ("PshedInitialize",),
    "clfs.sys": ("ClfsCreateLogFile",),
    "classpnp.sys": ("ClassInitialize",),
    "storport.sys": ("StorPortInitialize",),
    "wdfldr.sys": ("WdfVersionBind",),
    "fltmgr.sys": ("FltRegisterFilter",),
}
_KERNEL = {"ntoskrnl.exe": ("IoCreateDevice", "RtlInitUnicodeString")}
_IMPORTS: dict[str, dict[str, tuple[str, ...]]] = {
    "ntoskrnl.exe": {
        name: _EXPORTS[name]
        for name in ("hal.dll", "ci.dll", "kdcom.dll", "bootvid.dll", "pshed.dll", "clfs.sys")
    },
    "hal.dll": {"ntoskrnl.exe": ("KeBugCheckEx",), "kdcom.dll": ("KdDebuggerInitialize0",)},
    "disk.sys": {**_KERNEL, "classpnp.sys": ("ClassInitialize",)},
    "wdf01000.sys": {**_KERNEL, "wdfldr.sys": ("WdfVersionBind",)},
    "fileinfo.sys": {**_KERNEL, "fltmgr.sys": ("FltRegisterFilter",)},
    "volmgr.sys": {**_KERNEL, "hal.dll": ("KeQueryPerformanceCounter",)},
    **{
        name: {**_KERNEL, "storport.sys": ("StorPortInitialize",)}
        for name in ("storahci.sys", "stornvme.sys", "lsi_sas.sys", "iastorav.sys")
    },
}
_FILES = (
    *("ntoskrnl.exe", "hal.dll", "ci.dll", "kdcom.dll", "bootvid.dll", "pshed.dll"),
    *("ntdll.dll", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe"),
    *("lsass.exe", "win32k.sys"),
)
_LIBRARIES = ("clfs.sys", "classpnp.sys", "storport.sys", "wdfldr.sys", "fltmgr.sys")


# Lines that say "not checked" on a tree that boots, by machine.
UNCHECKED = {
    "x64": ["beyond-this-check"],
    "arm64": ["beyond-this-check"],
    "x86": ["driver-signatures", "beyond-this-check"],
}


def by_name(lines: Sequence[CheckLine]) -> dict[str, CheckLine]:
    found = {line.check: line for line in lines}
    assert len(found) == len(lines)
    return found


@cache
def stub(name: str, machine: str) -> bytes:
    """The signed stub of one file; those that import and export alike are the same."""
    return _signed(
        machine,
        tuple((dll, tuple(names)) for dll, names in _IMPORTS.get(name, _KERNEL).items()),
        _EXPORTS.get(name, ()),
    )


@cache
def _signed(
    machine: str, imports: tuple[tuple[str, tuple[str, ...]], ...], exports: tuple[str, ...]
) -> bytes:
    plain = pe.driver(None, machine=machine, imports=dict(imports), exports=exports)
    return authenticode.signed(plain, authenticode.publisher())


@dataclass(frozen=True, slots=True)
class Bootable:
    """A tree, and everything a check is told about it."""

    scene: Scene
    free: int = ROOM
    trust: Sequence[Any] = field(default_factory=authenticode.trusted)

    @property
    def root(self) -> Path:
        return self.scene.root

    @property
    def system(self) -> Path:
        return self.root / CONFIG / "SYSTEM"

    @property
    def install(self) -> WindowsInstall:
        found, _ = installs.find(self.scene.windows, self.root)
        assert len(found) == 1
        return found[0]

    def lines(self) -> tuple[CheckLine, ...]:
        """The evidence of the tree, and the boot check of it."""
        volumes = [self.scene.system, self.scene.windows]
        install, boot = self.install, self.scene.boot_volumes
        found = evidence.collect(install, boot, volumes)
        judge = Judge(install, boot, self.trust)
        return check.check(install, found, boot_volumes=boot, judge=judge, free=self.free)

    # --- what faults are made of

    def file(self, name: str) -> Path:
        """A file of System32, or of its drivers where its name ends so."""
        folder = (
            f"{SYSTEM32}/drivers" if name.endswith(".sys") and name != "win32k.sys" else SYSTEM32
        )
        return self.root / folder / name

    def put(self, path: Path, content: bytes) -> None:
        """Replace a file: copies of a tree share their files."""
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def edit(self, key: str, values: Mapping[str, registry.Entry]) -> None:
        """Values of the control set, through hivex."""
        self.edits([registry.change(f"ControlSet001\\{key}", values)])

    def edits(self, changes: Sequence[dict[str, Any]]) -> None:
        self.put(self.system, self.system.read_bytes())
        independent.edit(self.system, changes)

    def delete(self, key: str) -> None:
        self.edits([{"key": f"ControlSet001\\{key}", "delete": True}])

    def copy(self, folder: Path) -> Bootable:
        """The same tree elsewhere; files are shared until they are replaced."""
        for own in dict.fromkeys((self.scene.folder, self.scene.root)):
            shutil.copytree(own, folder / own.name, copy_function=os.link)
        scene = replace(
            self.scene,
            folder=folder / self.scene.folder.name,
            root=folder / self.scene.root.name,
        )
        return replace(self, scene=scene)


# --- a small one --------------------------------------------------------------------------

AHCI = "PCI\\VEN_8086&DEV_2922&SUBSYS_11001AF4&REV_02\\3&11583659&0&FA"
DISK = "SCSI\\Disk&Ven_QEMU&Prod_HARDDISK\\4&35424867&0&000000"
NIC = "PCI\\VEN_8086&DEV_10D3&SUBSYS_00008086&REV_00\\3&11583659&0&10"
DISK_CLASS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
HDC_CLASS = "{4d36e96a-e325-11ce-bfc1-08002be10318}"
SCSI_CLASS = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
SYSTEM_CLASS = "{4d36e97d-e325-11ce-bfc1-08002be10318}"
VOLUME_CLASS = "{71a27cdd-812a-11d0-bec7-08002be2092f}"
NET_CLASS = "{4d36e972-e325-11ce-bfc1-08002be10318}"
SNAPSHOT_CLASS = "{533c5b84-ec70-11d2-9505-00c04f79deaf}"

# name, type, start, ErrorControl, group, tag: as Windows 10 has them (dissect_SYSTEM).
_SERVICES: tuple[tuple[str, int, int, int, str, int], ...] = (
    ("Wdf01000", 1, 0, 1, "WdfLoadGroup", 0),
    ("ACPI", 1, 0, 3, "Core", 2),
    ("acpiex", 1, 0, 3, "Core", 1),
    ("pci", 1, 0, 3, "Boot Bus Extender", 3),
    ("partmgr", 1, 0, 3, "Boot Bus Extender", 6),
    ("vdrvroot", 1, 0, 3, "Boot Bus Extender", 9),
    ("volmgr", 1, 0, 3, "System Bus Extender", 8),
    ("mountmgr", 1, 0, 3, "System Bus Extender", 0),
    ("storahci", 1, 0, 3, "SCSI miniport", 64),
    ("stornvme", 1, 0, 3, "SCSI miniport", 65),
    ("LSI_SAS", 1, 0, 1, "SCSI miniport", 34),
    ("EhStorClass", 1, 0, 1, "SCSI Class", 0),
    ("disk", 1, 0, 1, "", 0),
    ("volsnap", 1, 0, 3, "", 0),
    ("volume", 1, 0, 3, "", 0),
    ("iorate", 1, 0, 3, "", 0),
    ("rdyboost", 1, 0, 3, "", 0),
    ("fvevol", 1, 0, 3, "", 0),
    ("FltMgr", 2, 0, 3, "FSFilter Infrastructure", 1),
    ("FileInfo", 2, 0, 1, "FSFilter Bottom", 0),
    ("CLFS", 1, 0, 3, "Filter", 0),
    ("CNG", 1, 0, 3, "Core", 0),
    ("KSecDD", 1, 0, 3, "Base", 0),
    ("NDIS", 1, 0, 3, "NDIS Wrapper", 0),
    ("Tcpip", 1, 0, 1, "PNP_TDI", 0),
    ("WindowsTrustedRT", 1, 0, 3, "", 0),
    ("scmbus", 1, 0, 1, "", 0),
    ("storufs", 1, 0, 1, "SCSI miniport", 0),
    ("vmci", 1, 0, 0, "System Bus Extender", 0),
    ("Ntfs", 2, 3, 1, "Boot File System", 0),
    ("AFD", 1, 1, 1, "PNP_TDI", 0),
    ("Beep", 1, 1, 1, "Base", 0),
    ("Null", 1, 1, 1, "Base", 0),
    ("Npfs", 2, 1, 1, "File system", 0),
    ("e1i65x64", 1, 3, 1, "NDIS", 0),
)
_USER = ("RpcSs", "DcomLaunch", "RpcEptMapper", "PlugPlay", "SamSs")
GROUPS = (
    *("System Reserved", "EMS", "WdfLoadGroup", "Boot Bus Extender", "System Bus Extender"),
    *("SCSI miniport", "Port", "Primary Disk", "SCSI Class", "SCSI CDROM Class"),
    *("FSFilter Infrastructure", "FSFilter System", "FSFilter Bottom", "Filter"),
    *("Boot File System", "Base", "File system", "Core", "NDIS Wrapper", "PNP_TDI", "NDIS"),
)
_DISK_GUID = "{62517160-f29b-11ec-85e0-806e6f6e6963}"
HARDWARE = "{67314d56-e237-5a9a-8c4e-664716661aa2}"
_ENUM: tuple[tuple[str, dict[str, registry.Entry]], ...] = (
    ("ACPI_HAL\\PNP0C08\\0", {"Service": "ACPI", "ClassGUID": SYSTEM_CLASS}),
    (
        "ACPI\\PNP0A08\\0",
        {"Service": "pci", "ClassGUID": SYSTEM_CLASS, "ParentIdPrefix": "3&11583659&0"},
    ),
    (
        AHCI,
        {"Service": "storahci", "ClassGUID": HDC_CLASS, "ParentIdPrefix": "4&35424867&0"},
    ),
    (DISK, {"Service": "disk", "ClassGUID": DISK_CLASS}),
    (f"{DISK}\\Device Parameters\\Partmgr", {"DiskId": _DISK_GUID}),
    (
        f"STORAGE\\Volume\\{_DISK_GUID}#00000000C0000000",  # where boot_files puts Windows
        {"Service": "volume", "ClassGUID": VOLUME_CLASS},
    ),
    (NIC, {"Service": "e1i65x64", "ClassGUID": NET_CLASS}),
)
CLASSES: tuple[tuple[str, dict[str, registry.Entry]], ...] = (
    (DISK_CLASS, {"UpperFilters": ["partmgr"], "LowerFilters": ["EhStorClass"]}),
    (
        VOLUME_CLASS,
        {"UpperFilters": ["volsnap"], "LowerFilters": ["fvevol", "iorate", "rdyboost"]},
    ),
    (HDC_CLASS, {"Class": "hdc"}),
    (SCSI_CLASS, {"Class": "SCSIAdapter"}),
    (SYSTEM_CLASS, {"Class": "System"}),
    (NET_CLASS, {"Class": "Net"}),
    (SNAPSHOT_CLASS, {"Class": "VolumeSnapshot"}),
)


def small(folder: Path, *, uefi: bool = True, machine: str = "x64") -> Bootable:
    """A small tree that boots, in an empty folder."""
    made = Bootable(boot_files.build(folder, uefi=uefi, machine=machine))
    made.system.parent.mkdir(parents=True)
    registry.write(made.system, _changes(machine), history.INSTALLED)
    _fill(made, machine, [f"System32\\drivers\\{row[0]}.sys" for row in _SERVICES])
    return made


def _changes(machine: str) -> list[dict[str, Any]]:
    current = "ControlSet001"
    names = {"x64": "AMD64", "x86": "x86", "arm64": "ARM64"}
    tags = sorted(row[5] for row in _SERVICES if row[4] == "SCSI miniport" and row[5])
    session = f"{current}\\Control\\Session Manager"
    change = registry.change
    changes = [
        change("Select", {"Current": 1, "Default": 1, "Failed": 0, "LastKnownGood": 1}),
        change(f"{current}\\Control\\ServiceGroupOrder", {"List": list(GROUPS)}),
        change(
            f"{current}\\Control\\GroupOrderList",
            {"SCSI miniport": struct.pack(f"<{len(tags) + 1}I", len(tags), *tags)},
        ),
        change(f"{current}\\Control\\TimeZoneInformation", {"ActiveTimeBias": 0}),
        change(f"{session}\\Environment", {"PROCESSOR_ARCHITECTURE": names[machine]}),
        change(
            f"{session}\\SubSystems",
            {
                "Windows": registry.expand(
                    "%SystemRoot%\\system32\\csrss.exe ObjectDirectory=\\Windows"
                )
            },
        ),
        change("HardwareConfig", {"LastConfig": HARDWARE, "LastId": 0}),
        change(f"HardwareConfig\\{HARDWARE}", {"Id": 0, "BootDriverFlags": 0}),
    ]
    changes += [change(f"{current}\\Enum\\{path}", values) for path, values in _ENUM]
    changes += [change(f"{current}\\Control\\Class\\{one}", values) for one, values in CLASSES]
    changes += [change(f"{current}\\Services\\{name}", {"Type": 32, "Start": 2}) for name in _USER]
    changes += [_service(current, *row) for row in _SERVICES]
    return changes


def _service(
    current: str, name: str, kind: int, start: int, error: int, group: str, tag: int
) -> dict[str, Any]:
    values: dict[str, registry.Entry] = {"Type": kind, "Start": start, "ErrorControl": error}
    values["ImagePath"] = registry.expand(f"System32\\drivers\\{name}.sys")
    if group:
        values["Group"] = group
    if tag:
        values["Tag"] = tag
    return registry.change(f"{current}\\Services\\{name}", values, history.INSTALLED)


# --- around a real hive -------------------------------------------------------------------


def of_hive(
    folder: Path,
    system: bytes,
    logs: Sequence[bytes] = (),
    *,
    machine: str,
    build: str,
    partition: str,
    start: int = 0,
) -> Bootable:
    """A tree around a SYSTEM hive; a dirty one without logs is made clean by hivex.

    `partition`: the identity of C: in its MountedDevices, as `Volume.identity` has it; `start`:
    where that partition begins, which the identity of one on a GPT disk does not say.
    """
    made = Bootable(_scene(folder, partition, machine, start))
    made.system.parent.mkdir(parents=True)
    made.system.write_bytes(system)
    if not logs:
        independent.edit(made.system, [])
    for number, log in enumerate(logs, start=1):
        made.system.with_name(f"SYSTEM.LOG{number}").write_bytes(log)
    services = independent.driver_services(made.system)["services"]
    images = [one["ImagePath"] or f"System32\\drivers\\{one['Name']}.sys" for one in services]
    _fill(made, machine, images, build=build)
    return made


def _scene(folder: Path, partition: str, machine: str, start: int) -> Scene:
    """The boot files of a disk whose second partition has that identity."""
    kind, _, rest = partition.partition(":")
    uefi = kind == "gpt"
    made = boot_files.build(folder, uefi=uefi, machine=machine)
    windows = replace(made.windows, identity=partition, offset=start)
    disk = made.windows.disk
    assert disk is not None
    if not uefi:
        signature, _, offset = rest.partition(":")
        disk = replace(disk, identity=signature)
        windows = replace(windows, disk=disk, offset=int(offset))
        system = replace(made.system, disk=disk, identity=f"mbr:{signature}:{1 << 20}")
        made = replace(made, system=system)
    made = replace(made, windows=windows)
    made.write_store(made.store())
    return made


# --- files --------------------------------------------------------------------------------


def _fill(made: Bootable, machine: str, images: Iterable[str], *, build: str = "19045") -> None:
    for name in _FILES:
        made.put(made.file(name), stub(name, machine))
    for name in _LIBRARIES:
        made.put(made.file(name), stub(name, machine))
    for image in images:
        path = made.root / _relative(image)
        if not path.is_file():
            made.put(path, stub(path.name.lower(), machine))
    made.put(made.scene.loader, stub("winload", machine))
    if made.scene.uefi:
        made.put(made.scene.manager, stub("bootmgfw", machine))
    made.put(made.root / CATALOGS / "nt5.cat", b"0\x82" + bytes(range(200)))
    made.put(made.root / f"{SYSTEM32}/CodeIntegrity/bootcat.cache", b"\x01" * 64)
    _software(made, build)


def _relative(image: str) -> str:
    """An ImagePath below the volume, all of it in the spelling of this tree."""
    path = image.replace("\\??\\C:\\", "\\").replace("\\", "/").strip("/")
    for prefix in ("SystemRoot/", "Windows/"):
        if path.lower().startswith(prefix.lower()):
            path = path[len(prefix) :]
    if not path.lower().startswith("system32/"):
        return f"Windows/{path}"
    rest = path[len("system32/") :]
    if rest.lower().startswith("drivers/"):
        rest = f"drivers/{rest[len('drivers/') :].lower()}"
    return f"{SYSTEM32}/{rest}"


def _software(made: Bootable, build: str) -> None:
    path = made.root / CONFIG / "SOFTWARE"
    values: dict[str, registry.Entry] = {"ProductName": "Windows", "CurrentBuild": build}
    change = registry.change("Microsoft\\Windows NT\\CurrentVersion", values)
    registry.write(path, [change], history.INSTALLED)
    for name in ("SAM", "SECURITY", "DEFAULT"):
        path.with_name(name).write_bytes(registry.empty(history.INSTALLED))
