"""A SYSTEM hive of some dozen services: what matters is there, and QEMU reads it in no time."""

from __future__ import annotations

from typing import Any

from tests.builders import history, registry

_SMALL = (  # name, type, start, group
    ("ACPI", 1, 0, "Core"),
    ("pci", 1, 0, "Boot Bus Extender"),
    ("volmgr", 1, 0, "System Bus Extender"),
    ("partmgr", 1, 0, "Boot Bus Extender"),
    ("mountmgr", 1, 0, "System Bus Extender"),
    ("storahci", 1, 0, "SCSI miniport"),
    ("stornvme", 1, 0, "SCSI miniport"),
    ("EhStorClass", 1, 0, "SCSI Class"),
    ("FltMgr", 2, 0, "FSFilter Infrastructure"),
    ("Wdf01000", 1, 0, "WdfLoadGroup"),
    ("disk", 1, 0, ""),
    ("volsnap", 1, 0, ""),
    ("volume", 1, 0, ""),
    ("Ntfs", 2, 0, "Boot File System"),
    ("vmci", 1, 0, "System Bus Extender"),
    ("AFD", 1, 1, "PNP_TDI"),
    ("Beep", 1, 1, "Base"),
    ("HidUsb", 1, 3, ""),
)
_DISK_CLASS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
# The way to the boot disk: controller, disk, volume manager, and what drives each.
_DEVICES: tuple[tuple[str, dict[str, registry.Entry]], ...] = (
    (
        "PCI\\VEN_8086&DEV_2922&SUBSYS_11001AF4&REV_02\\3&11583659&0&FA",
        {"Service": "storahci", "ClassGUID": "{4d36e96a-e325-11ce-bfc1-08002be10318}"},
    ),
    (
        "SCSI\\Disk&Ven_QEMU&Prod_HARDDISK\\4&35424867&0&000000",
        {"Service": "disk", "ClassGUID": _DISK_CLASS},
    ),
    (
        "ROOT\\volmgr\\0000",
        {"Service": "volmgr", "ClassGUID": "{4d36e97d-e325-11ce-bfc1-08002be10318}"},
    ),
)


def changes() -> list[dict[str, Any]]:
    current = "ControlSet001"
    groups = ["System Reserved", "WdfLoadGroup", "Boot Bus Extender", "System Bus Extender"]
    groups += ["SCSI miniport", "SCSI Class", "FSFilter Infrastructure", "Core"]
    groups += ["Boot File System", "Base", "PNP_TDI", "Extended Base"]
    changes = [
        registry.change("Select", {"Current": 1, "Default": 1, "Failed": 0, "LastKnownGood": 1}),
        registry.change(f"{current}\\Control\\ServiceGroupOrder", {"List": groups}),
        registry.change(
            f"{current}\\Control\\TimeZoneInformation", {"ActiveTimeBias": 0x1_0000_0000 - 120}
        ),
        registry.change(
            f"{current}\\Control\\Class\\{_DISK_CLASS}",
            {"UpperFilters": ["partmgr"], "LowerFilters": ["EhStorClass"]},
        ),
        registry.change(
            f"{current}\\Control\\Session Manager\\Environment",
            {"PROCESSOR_ARCHITECTURE": "AMD64", "OS": "Windows_NT"},
        ),
        *(registry.change(f"{current}\\Enum\\{path}", values) for path, values in _DEVICES),
    ]
    for name, kind, start, group in _SMALL:
        values: dict[str, registry.Entry] = {"Type": kind, "Start": start, "ErrorControl": 1}
        values["ImagePath"] = registry.expand(f"System32\\drivers\\{name}.sys")
        if group:
            values["Group"] = group
        changes.append(registry.change(f"{current}\\Services\\{name}", values, history.INSTALLED))
    return changes
