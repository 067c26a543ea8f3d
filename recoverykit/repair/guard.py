"""What must never be disabled: refuse a driver that the machine needs to start. Pure.

Facts: windows-boot-facts section 2; Microsoft, "Stop error 7B or Inaccessible_Boot_Device
troubleshooting" (a filter that is disabled while a class still names it gives 0x7B).

Refused, by the first role that fits: drivers every Windows starts from, early-launch anti-malware,
groups and device classes of the storage path, filters of a class or a device, and everything that
came with Windows. Deliberately wider than needed: roles are not yet derived from the machine's own
boot path, so a storage driver of a controller that is not used counts as one that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recoverykit.diagnosis import knowledge
from recoverykit.model import DeviceUse, DriverFile, Evidence, FilterUse, Refusal, Service

# Services (and driver files) without which no Windows finds its buses, its disk or its files.
_NEVER = {
    "the kernel and what it links to": (
        "ci clfs clipsp cng condrv crashdmp fltmgr hal hwpolicy ksecdd ksecpkg msrpc ndis netio "
        "ntoskrnl ntosext pcw pdc tcpip tm wdf01000 wdfldr werkernel wpprecorder"
    ),
    "a bus that the machine's devices hang on": (
        "acpi acpiex isapnp msisadrv pci sdbus swenum ucx01000 usbehci usbhub usbhub3 usbohci "
        "usbuhci usbxhci vdrvroot vmbus winhv hvservice"
    ),
    "a storage controller or its port driver": (
        "atapi ataport iastor iastora iastorac iastorav iastorv iastorvd intelide lsi_sas megasas "
        "msahci mpio pciide pciidex sdstor spaceport storahci storflt stornvme storport storufs "
        "storvsc uaspstor usbstor vhdmp vioscsi viostor vmd"
    ),
    "disks, volumes and what they are read through": (
        "cdrom classpnp disk dumpfve ehstorclass fileinfo fvevol iorate mountmgr partmgr rdyboost "
        "volmgr volmgrx volsnap volume wcifs wof"
    ),
    "a file system": "cdfs exfat fastfat fs_rec msfs mup npfs ntfs refs refsv1 udfs",
}
_VITAL = {name: role for role, names in _NEVER.items() for name in names.split()}

# Load groups (ServiceGroupOrder) whose members bring up buses, disks and file systems.
_GROUPS = {
    "boot bus extender": "the buses",
    "system bus extender": "the buses",
    "scsi miniport": "storage controllers",
    "port": "storage ports",
    "primary disk": "disks",
    "scsi class": "disks",
    "scsi cdrom class": "drives",
    "boot file system": "the boot file system",
    "fsfilter infrastructure": "file system filters",
    "fsfilter system": "file system filters",
    "fsfilter encryption": "encrypted files or volumes",
    "wdfloadgroup": "the driver framework",
    "core": "the kernel's core",
    "core platform extensions": "the kernel's core",
    "core security extensions": "the kernel's core",
}
_EARLY_LAUNCH = "early-launch"

# Device setup classes on the way to the boot disk.
_CLASSES = {
    "{4d36e96a-e325-11ce-bfc1-08002be10318}": "IDE and AHCI controllers (hdc)",
    "{4d36e97b-e325-11ce-bfc1-08002be10318}": "storage controllers (SCSIAdapter)",
    "{4d36e967-e325-11ce-bfc1-08002be10318}": "disks (DiskDrive)",
    "{71a27cdd-812a-11d0-bec7-08002be2092f}": "volumes (Volume)",
    "{533c5b84-ec70-11d2-9505-00c04f79deaf}": "volume snapshots (VolumeSnapshot)",
    "{4d36e97d-e325-11ce-bfc1-08002be10318}": "the system's buses and chipset (System)",
    "{4d36e966-e325-11ce-bfc1-08002be10318}": "the computer itself (Computer)",
    "{a0a588a4-c46f-4b37-b7ea-c82fe89870c6}": "SD and eMMC hosts (SDHost)",
    "{5099944a-f6b9-4057-a056-8c550228544c}": "memory cards and eMMC (Memory)",
    "{36fc9e60-c465-11cf-8056-444553540000}": "USB controllers and hubs (USB)",
}


def refuse(service: Service, evidence: Sequence[Evidence]) -> Refusal | None:
    """The role that forbids disabling `service`, as a sentence; None if there is none."""
    role = next(_roles(service, evidence), None)
    if role is None:
        return None
    return Refusal(service.driver, service.name, f"{service.driver} must not be disabled: {role}")


def _roles(service: Service, evidence: Sequence[Evidence]) -> Iterator[str]:
    stem = service.driver.removesuffix(".sys")
    group = service.group.casefold()
    vital = _VITAL.get(service.name.casefold()) or _VITAL.get(stem)
    if vital:
        yield f"it is part of {vital}; Windows cannot start without it."
    if group == _EARLY_LAUNCH:
        yield "it is an early-launch anti-malware driver (ELAM), which is replaced, not disabled."
    if group in _GROUPS:
        yield f"it loads in the group '{service.group}', which brings up {_GROUPS[group]}."
    yield from _uses(service.name.casefold(), evidence)
    if knowledge.is_inbox(service.driver, _file(service.driver, evidence)):
        yield "it came with Windows; a faulty copy is replaced, not disabled."


def _uses(name: str, evidence: Sequence[Evidence]) -> Iterator[str]:
    for item in evidence:
        if isinstance(item, FilterUse) and item.service.casefold() == name:
            yield (
                f"it is a filter of the {item.scope} {item.owner}; while it is named there, "
                "Windows would not start without it (0x7B)."
            )
        if isinstance(item, DeviceUse) and item.service.casefold() == name:
            kind = _CLASSES.get(item.class_guid.lower())
            if kind:
                yield f"it drives {item.device}, one of {kind}, on the way to the boot disk."


def _file(driver: str, evidence: Sequence[Evidence]) -> DriverFile | None:
    files = (item for item in evidence if isinstance(item, DriverFile) and item.driver == driver)
    return next(files, None)
