"""Where the real machines of shared/data boot from, as a careful reader of their hives sees it.

Of each: the partition that holds Windows (from MountedDevices, `Control\\SystemBootDevice` and the
names of the volumes), and what lies between the disk and the firmware, disk first. Read by eye from
`Enum`; independent of the code that walks it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from recoverykit.evidence import devices, services
from recoverykit.model import Disk, Evidence, Known, WindowsInstall
from tests.evidence import registry_case


@dataclass(frozen=True, slots=True)
class Machine:
    identity: str  # of the Windows partition
    start: int  # where it begins on its disk
    path: tuple[tuple[str, str], ...]  # (device without its instance, service)
    known: Known = Known.PARENT
    harmless: tuple[str, ...] = ()  # services of third parties that a boot does not need


_VIRTUALBOX = (
    ("SCSI\\Disk&Ven_VBOX&Prod_HARDDISK", "disk"),
    ("PCI\\VEN_8086&DEV_2829&SUBSYS_00000000&REV_02", "storahci"),
    ("ACPI\\PNP0A03", "pci"),
    ("ACPI_HAL\\PNP0C08", "ACPI"),
    ("ROOT\\ACPI_HAL", "\\Driver\\ACPI_HAL"),
)
_VMWARE_PCI = (
    ("ACPI\\PNP0A03", "pci"),
    ("ACPI_HAL\\PNP0C08", "ACPI"),
    ("ROOT\\ACPI_HAL", "\\Driver\\ACPI_HAL"),
)
_VMWARE_TOOLS = ("vm3dmp", "vmci", "vmhgfs", "VMMemCtl", "vmmouse", "vmrawdsk", "vsock")
_VIRTUALBOX_TOOLS = ("VBoxGuest", "VBoxMouse", "VBoxSF", "VBoxVideoW8")

MACHINES = {
    "dfwinreg_win81_SYSTEM.xz": Machine(
        "mbr:d1cecf67:368050176", 368050176, _VIRTUALBOX, harmless=_VIRTUALBOX_TOOLS
    ),
    "dissect_SYSTEM.gz": Machine(
        "gpt:1e178d94-4f79-41e9-865d-2e5b4328cd23",
        344981504,
        (
            ("SCSI\\Disk&Ven_NVMe&Prod_VMware_Virtual_N", "disk"),
            ("PCI\\VEN_15AD&DEV_07F0&SUBSYS_07F015AD&REV_00", "stornvme"),
            ("PCI\\VEN_15AD&DEV_07A0&SUBSYS_07A015AD&REV_01", "pci"),
            *_VMWARE_PCI,
        ),
        harmless=_VMWARE_TOOLS,
    ),
    "plaso_win7x86_SYSTEM.xz": Machine(
        "mbr:5cbea03e:1048576",
        1048576,
        (  # two disks it may be, one of them long gone, on the same controller
            ("SCSI\\Disk&Ven_VMware&Prod_Virtual_disk", "disk"),
            ("SCSI\\Disk&Ven_VMware_&Prod_VMware_Virtual_S", "disk"),
            ("PCI\\VEN_1000&DEV_0054&SUBSYS_197615AD&REV_01", "LSI_SAS"),
            ("PCI\\VEN_15AD&DEV_07A0&SUBSYS_07A015AD&REV_01", "pci"),
            ("ACPI\\PNP0A03", "pci"),
            ("ACPI_HAL\\PNP0C08", "ACPI"),
        ),
        Known.PREFIX,
        ("mfehidk", "mfewfpk", "mfeavfk", "HipShieldK", "vm3dmp", "vmmouse"),
    ),
    "regipy_SYSTEM_2.xz": Machine(
        "mbr:273e4cfe:368050176", 368050176, _VIRTUALBOX, harmless=_VIRTUALBOX_TOOLS
    ),
    "regipy_SYSTEM_B.xz": Machine(
        "gpt:09931f21-7faf-44a9-81d8-1e73c14b9eaf",
        0x26700000,
        (
            ("SCSI\\Disk&Ven_Samsung&Prod_SSD_850_PRO_512G", "disk"),
            ("PCI\\VEN_8086&DEV_282A&SUBSYS_05341028&REV_04", "iaStorAV"),
            ("ACPI\\PNP0A08", "pci"),
            ("ACPI_HAL\\PNP0C08", "ACPI"),
            ("ROOT\\ACPI_HAL", "\\Driver\\ACPI_HAL"),
        ),
        # The first filters a PCI port that leads to the graphics card; the second, the free-fall
        # sensor's, every disk: it only watches.
        harmless=("nvpciflt", "stdcfltn", "nvlddmkm", "igfx", "ApfiltrService", "MEIx64"),
    ),
    "regipy_SYSTEM_WIN_10_1709.xz": Machine(
        "mbr:df4546ae:525336576",
        525336576,
        (
            ("SCSI\\Disk&Ven_VMware_&Prod_VMware_Virtual_S", "disk"),
            ("PCI\\VEN_1000&DEV_0054&SUBSYS_197615AD&REV_01", "LSI_SAS"),
            ("PCI\\VEN_15AD&DEV_07A0&SUBSYS_07A015AD&REV_01", "pci"),
            *_VMWARE_PCI,
        ),
        harmless=(*_VMWARE_TOOLS, "ampa", "ddmdrv"),
    ),
}


def installed(machine: Machine) -> WindowsInstall:
    """This Windows on a partition of a disk that we looked at ourselves."""
    made = registry_case.install()
    disk = Disk(Path("/dev/sda"), 1 << 40, 512, machine.identity[:3])
    own = replace(made.volume, identity=machine.identity, start=machine.start, disk=disk)
    return replace(made, volume=own)


@cache
def evidence(name: str) -> tuple[Evidence, ...]:
    """What devices and services of a real hive say; skips where the hive is absent."""
    install, hive = installed(MACHINES[name]), registry_case.real_hive(name)
    return (*services.collect(install, hive), *devices.collect(install, hive))
