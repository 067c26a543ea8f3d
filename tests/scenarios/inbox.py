"""The driver services a fresh Windows has: a table of public names, kept beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("inbox.txt")
_HASH = "1a2b3c4d5e6f7081"  # of FileRepository folders


@dataclass(frozen=True, slots=True)
class Inbox:
    """One service of the table."""

    name: str
    type: int
    start: int
    error_control: int
    group: str
    tag: int | None
    boot_flags: int
    image_path: str  # as the registry has it, "" when absent

    @property
    def file(self) -> str:
        """Below the Windows folder, with forward slashes."""
        path = self.image_path or f"System32\\drivers\\{self.name}.sys"
        parts = path.removeprefix("\\SystemRoot\\").split("\\")
        parts[0] = "System32"
        if parts[1].lower() == "drivers":
            parts[1] = "drivers"
        return "/".join(parts)

    @property
    def logged(self) -> str:
        """How ntbtlog.txt spells it."""
        path = self.image_path or f"System32\\Drivers\\{self.name}.sys"
        return path if path.startswith("\\") else f"\\SystemRoot\\{path}"


@cache
def services(generation: str, suffix: str = "amd64") -> tuple[Inbox, ...]:
    """Those of "7", "8" (8.1) or "10" (10, 11 and their servers)."""
    found = {}
    for line in _TABLE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, kind, start, control, group, tag, flags, path, versions = line.split("|")
        if generation not in versions.split("+") or name.lower() in found:
            continue
        found[name.lower()] = Inbox(
            name,
            int(kind),
            int(start),
            int(control),
            group,
            int(tag) if tag else None,
            int(flags) if flags else 0,
            _spelled(name, path, suffix),
        )
    return tuple(found.values())


def _spelled(name: str, path: str, suffix: str) -> str:
    plain = f"System32\\drivers\\{name}.sys"
    if path == "=":
        return plain
    if path == "+":
        return f"\\SystemRoot\\{plain}"
    return path.replace("%H", _HASH).replace("_amd64_", f"_{suffix}_")


# Loaded by every boot without being services.
KERNEL = ("ntoskrnl.exe", "hal.dll", "kdcom.dll", "PSHED.dll", "BOOTVID.dll", "CI.dll")
MICROCODE = "mcupdate_GenuineIntel.dll"
LIBRARIES = (
    *("storport.sys", "classpnp.sys", "wmilib.sys", "wdfldr.sys", "netio.sys", "tm.sys"),
    *("fwpkclnt.sys", "usbport.sys", "usbd.sys", "hidclass.sys", "hidparse.sys", "ks.sys"),
    *("portcls.sys", "drmk.sys", "dxgmms2.sys", "watchdog.sys", "crashdmp.sys", "dump_dumpfve.sys"),
    *(
        "cmimcext.sys",
        "ntosext.sys",
        "WppRecorder.sys",
        "werkernel.sys",
        "clipsp.sys",
        "bthport.sys",
    ),
)
WIN32K = ("win32k.sys", "win32kbase.sys", "win32kfull.sys", "cdd.dll")

# Inbox drivers that other companies wrote: hard-linked into WinSxS all the same.
VENDORS = {
    "3ware.sys": "LSI",
    "adp80xx.sys": "PMC-Sierra",
    "amdsata.sys": "Advanced Micro Devices",
    "amdsbs.sys": "AMD Technologies Inc.",
    "amdxata.sys": "Advanced Micro Devices",
    "arcsas.sys": "PMC-Sierra, Inc.",
    "bxvbda.sys": "QLogic Corporation",
    "evbda.sys": "QLogic Corporation",
    "cht4vx64.sys": "Chelsio Communications",
    "e1i65x64.sys": "Intel Corporation",
    "hpsamd.sys": "Hewlett-Packard Company",
    "ialpss2i_i2c.sys": "Intel Corporation",
    "ialpssi_gpio.sys": "Intel Corporation",
    "iastoravc.sys": "Intel Corporation",
    "iastorav.sys": "Intel Corporation",
    "iastorv.sys": "Intel Corporation",
    "ibbus.sys": "Mellanox",
    "itsas35i.sys": "Avago Technologies",
    "lsi_sas.sys": "LSI Corporation",
    "lsi_sas2i.sys": "LSI Corporation",
    "lsi_sas3i.sys": "Avago Technologies",
    "megasas.sys": "Avago Technologies",
    "megasas2i.sys": "Avago Technologies",
    "megasas35i.sys": "Avago Technologies",
    "megasr.sys": "LSI Corporation, Inc.",
    "mlx4_bus.sys": "Mellanox",
    "mvumis.sys": "Marvell Semiconductor, Inc.",
    "nvraid.sys": "NVIDIA Corporation",
    "nvstor.sys": "NVIDIA Corporation",
    "percsas2i.sys": "Avago Technologies",
    "percsas3i.sys": "Avago Technologies",
    "sisraid2.sys": "Silicon Integrated Systems Corp.",
    "smartsamd.sys": "Microsemi Corportation",
    "stexstor.sys": "Promise Technology, Inc.",
    "vsmraid.sys": "VIA Technologies Inc.,Ltd",
    "vstxraid.sys": "VIA Corporation",
}

# Start-up groups, in the order ServiceGroupOrder has them.
GROUPS = (
    *("System Reserved", "EMS", "WdfLoadGroup", "Boot Bus Extender", "System Bus Extender"),
    *("SCSI miniport", "Port", "Primary Disk", "SCSI Class", "SCSI CDROM Class"),
    *("FSFilter Infrastructure", "FSFilter System", "FSFilter Bottom"),
    *("FSFilter Copy Protection", "FSFilter Security Enhancer", "FSFilter Open File"),
    *("FSFilter Physical Quota Management", "FSFilter Virtualization", "FSFilter Encryption"),
    *("FSFilter Compression", "FSFilter Imaging", "FSFilter HSM", "FSFilter Cluster File System"),
    *("FSFilter System Recovery", "FSFilter Quota Management", "FSFilter Content Screener"),
    *("FSFilter Continuous Backup", "FSFilter Replication", "FSFilter Anti-Virus"),
    *("FSFilter Undelete", "FSFilter Activity Monitor", "FSFilter Top", "Filter"),
    *("Boot File System", "Base", "Pointer Port", "Keyboard Port", "Pointer Class"),
    *("Keyboard Class", "Video Init", "Video", "Video Save", "File System", "Streams Drivers"),
    *("NDIS Wrapper", "COM Infrastructure", "Event Log", "PerceptionGroup", "ProfSvc_Group"),
    *("AudioGroup", "UIGroup", "MS_WindowsLocalValidation", "PlugPlay", "Cryptography", "PNP_TDI"),
    *("NDIS", "TDI", "iSCSI", "NetBIOSGroup", "ShellSvcGroup", "SchedulerGroup", "SpoolerGroup"),
    *("SmartCardGroup", "NetworkProvider", "MS_WindowsRemoteValidation", "NetDDEGroup"),
    *("Parallel arbitrator", "Extended Base", "PCI Configuration", "MS Transactions"),
)

ALTITUDES = {
    "wof": "40700",
    "fileinfo": "40500",
    "wdfilter": "328010",
    "luafv": "135000",
    "npsvctrig": "46000",
    "filecrypt": "141100",
    "cldflt": "180451",
    "storqosflt": "244000",
    "wcifs": "189900",
    "bindflt": "409800",
    "fsdepends": "407000",
    "mssecflt": "385600",
}

# Demand-start drivers and storage drivers whose devices every machine has.
_DEVICES = (
    "hdaudbus usbxhci ucx01000 usbhub3 usbhub usbehci usbccgp hidusb kbdhid mouhid"
    " kbdclass mouclass intelppm cdrom monitor umbus compositebus swenum ndisvirtualbus"
    " rdpbus mssmbios i8042prt"
    " dxgkrnl ks wmiacpi acpi pci cmbatt battc ndiswan rasl2tp raspppoe rassstp rasagilevpn"
    " ndistapi srv2 srvnet mrxsmb mrxsmb20 bowser mpsdrv http lltdio rspndr ndisuio luafv peauth"
    " nativewifip vwififlt wdnisdrv condrv tcpipreg msgpiowin32 volmgr disk partmgr"
)
PRESENT = frozenset(_DEVICES.split())
_ABSENT_GROUPS = ("scsi miniport", "pnp filter")


def always(service: Inbox) -> bool:
    """A boot- or system-start service that needs no hardware of its own."""
    absent = ("b06bdrv", "ebdrv", "ibbus", "mlx4_bus", "cht4vbd", "nvraid", "pcmcia", "isapnp")
    others = ("vmbus", "storvsc", "storflt", "vpci", "hvservice", "bttflt", "pmem", "nvdimm")
    name = service.name.lower()
    return service.group.lower() not in _ABSENT_GROUPS and name not in (*absent, *others)
