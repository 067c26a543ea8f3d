"""What must never be disabled: refuse a driver that the machine needs to start. Pure.

Facts: windows-boot-facts section 2; Microsoft, "Stop error 7B or Inaccessible_Boot_Device
troubleshooting". docs/guard.md has the reasons. Derived from the machine's own boot path
(`diagnosis.boot_path`), where that is known; where it is not, every storage driver counts.

Refused, by the first role that fits: what every Windows starts from (the floor), what drives the
boot path, drivers of disk encryption, filters of the boot path where the volume was not read
without them, companions and libraries of the path, and everything that came with Windows. Not
refused any more: other controllers' drivers, filters that only watch, third-party early-launch
drivers; the plan takes their names out of every list in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from recoverykit.diagnosis import boot_path as paths
from recoverykit.diagnosis import knowledge
from recoverykit.model import (
    BootPath,
    DeviceUse,
    DriverFile,
    Evidence,
    FileSystem,
    FilterUse,
    Known,
    PathNode,
    Refusal,
    Service,
    StartType,
    WindowsInstall,
)

# The floor: services that no device names and no list leads to, so that no path tells of them, or
# without which there is no path. By name, because disabling the service `disk` stops Windows
# whatever file it names. All of them are Windows' own; `knowledge` knows their files as well.
_FLOOR = {
    "a part of the kernel and what it links to": (
        "ci clfs clipsp cng condrv crashdmp fltmgr hal hwpolicy ksecdd ksecpkg msrpc ndis netio "
        "ntoskrnl ntosext pcw pdc storport tcpip tm wdf01000 wdfldr werkernel wpprecorder"
    ),
    "a bus every device hangs on": (
        "acpi acpiex isapnp msisadrv pci sdbus swenum ucx01000 usbehci usbhub usbhub3 usbohci "
        "usbuhci usbxhci vdrvroot vmbus winhv hvservice"
    ),
    "a part of what disks and volumes are read through": (
        "cdrom classpnp disk dumpfve ehstorclass fileinfo iorate mountmgr partmgr rdyboost "
        "spaceport storflt vhdmp volmgr volmgrx volsnap volume wcifs wof"
    ),
    "the encryption of volumes (BitLocker)": "fvevol",
    "a file system": "cdfs exfat fastfat fs_rec msfs mup npfs ntfs refs refsv1 udfs",
    "a driver of keyboards and mice, without which nobody can log on": (
        "hidclass hidparse hidusb i8042prt kbdclass kbdhid mouclass mouhid"
    ),
}
_VITAL = {name: role for role, names in _FLOOR.items() for name in names.split()}
_FILE_SYSTEMS = {FileSystem.NTFS: "ntfs", FileSystem.REFS: "refs"}

# Where the path is not known. Load groups whose members bring up buses, disks and file systems:
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
    "wdfloadgroup": "the driver framework",
    "core": "the kernel's core",
    "core platform extensions": "the kernel's core",
    "core security extensions": "the kernel's core",
}
# and makers' storage drivers that Windows does not bring.
_CONTROLLERS = {"iastor", "iastora", "iastorac", "iastorvd", "vioscsi", "viostor", "vmd"}

_ENCRYPTION = "fsfilter encryption"
_INSTEAD = "Replace it or roll it back instead."


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is asked about, and what is known around it."""

    service: Service
    evidence: Sequence[Evidence]
    install: WindowsInstall | None
    path: BootPath
    file: DriverFile | None

    @property
    def names(self) -> tuple[str, str]:
        """Of the service and of its file, as lists of names have them."""
        return self.service.name.casefold(), self.service.driver.casefold().removesuffix(".sys")

    @property
    def group(self) -> str:
        return self.service.group.casefold()

    @property
    def is_readable(self) -> bool:
        """Whether we read the volume ourselves, off the disk, with no driver of this Windows."""
        volume = self.install.volume if self.install else None
        return (
            volume is not None
            and volume.filesystem is FileSystem.NTFS
            and volume.disk is not None
            and not volume.disk.member_of
        )


_Role = tuple[str, str]  # a noun phrase, and why that forbids it


def refuse(
    service: Service, evidence: Sequence[Evidence], *, install: WindowsInstall | None = None
) -> Refusal | None:
    """The role that forbids disabling `service`, as a sentence; None if there is none.

    Without `install` nothing is known of the volume, nor that a plan takes out the names of
    filters: then every filter is refused.
    """
    file = _file(service.driver, evidence)
    path = paths.boot_path(evidence, install)
    found = next(_roles(_Asked(service, evidence, install, path, file)), None)
    if found is None:
        return None
    role, why = found
    reason = f"{service.driver} must not be disabled: it is {role}; {why}. {_INSTEAD}"
    return Refusal(service.driver, service.name, reason, role)


def _roles(asked: _Asked) -> Iterator[_Role]:
    yield from _floor(asked)
    yield from _drives(asked)
    yield from _encrypts(asked)
    yield from _filters(asked)
    yield from _accompanies(asked)
    if asked.path.doubt:
        yield from _groups(asked)
    yield from _linked(asked)
    if knowledge.is_inbox(asked.service.driver, asked.file):
        yield "a part of Windows", "it came with Windows, which does not expect it to be off"


def _floor(asked: _Asked) -> Iterator[_Role]:
    kind = asked.install.volume.filesystem if asked.install else FileSystem.NTFS
    if _FILE_SYSTEMS.get(kind) in asked.names:
        yield "the file system of the boot volume", "Windows cannot start without it"
    for name in asked.names:
        if name in _VITAL:
            yield _VITAL[name], "Windows cannot start or be used without it"


def _drives(asked: _Asked) -> Iterator[_Role]:
    for node in asked.path.nodes:
        if node.service and node.service.casefold() == asked.names[0]:
            yield node.role, _because(asked.path, f"it drives {node.device}", node)


def _because(path: BootPath, fact: str, node: PathNode) -> str:
    """Sure steps need no more words."""
    doubtful = path.doubt and node.known is Known.GUESS
    return f"{fact}, and which disk is whose is not known ({path.doubt})" if doubtful else fact


# --- filters ------------------------------------------------------------------------------


def _encrypts(asked: _Asked) -> Iterator[_Role]:
    """Names are enough where the driver loads before the disk is read, or filters it.

    A disk that is half encrypted may be readable where we looked.
    """
    if asked.group == _ENCRYPTION:
        yield "a filter that encrypts files or volumes", "what it encrypted is lost without it"
    product = next((_encryption()[name] for name in asked.names if name in _encryption()), "")
    early = asked.service.start is StartType.BOOT
    if product and (early or not asked.is_readable or any(_owners(asked, storage=True))):
        yield f"the disk encryption of {product}", "an encrypted disk cannot be read without it"


def _filters(asked: _Asked) -> Iterator[_Role]:
    """Forbidden only where nobody proved that the volume is readable without them."""
    if asked.is_readable:
        return
    sure = asked.install is not None and not asked.path.doubt
    for scope, owner in _owners(asked, storage=sure):
        why = "whether Windows can read its disk without it is not known"
        if asked.install is None:
            why = "while it is named there, Windows would not start without it (0x7B)"
        yield f"a filter of the {scope} {owner}", why


def _owners(asked: _Asked, *, storage: bool) -> Iterator[tuple[str, str]]:
    """(scope, whom it filters); with `storage`, only what lies or may lie on the boot path."""
    on_path = {node.device.casefold() for node in asked.path.nodes}
    classes = {node.class_guid.casefold() for node in asked.path.nodes if node.class_guid}
    for item in asked.evidence:
        if isinstance(item, FilterUse) and item.service.casefold() == asked.names[0]:
            guid = (item.owner if item.scope == "class" else item.class_guid).casefold()
            on = item.owner.casefold() in on_path or (item.scope == "class" and guid in classes)
            if on or not storage or paths.is_storage_class(guid):
                yield item.scope, item.owner


def _accompanies(asked: _Asked) -> Iterator[_Role]:
    """What came in one package with a driver of the path, and works on disks too, may be half of
    it: RAID drivers have a bottom, a bus and a filter."""
    brought = set(asked.service.owners)
    if not brought or not (any(_owners(asked, storage=True)) or _drives_storage(asked)):
        return
    drivers = {node.service.casefold() for node in asked.path.nodes}
    for item in asked.evidence:
        if not isinstance(item, Service) or item.name.casefold() not in drivers:
            continue
        if brought & set(item.owners):
            why = f"it came in one package with {item.driver}, which the boot disk needs"
            yield "a companion of a driver of the boot disk", why


def _drives_storage(asked: _Asked) -> bool:
    return any(
        paths.is_storage_class(item.class_guid)
        for item in asked.evidence
        if isinstance(item, DeviceUse) and item.service.casefold() == asked.names[0]
    )


# --- everything else ----------------------------------------------------------------------


def _groups(asked: _Asked) -> Iterator[_Role]:
    doubt = f"which drivers this machine starts from is not known ({asked.path.doubt})"
    if asked.group in _GROUPS:
        brings = _GROUPS[asked.group]
        yield f"a driver of the group '{asked.service.group}', which brings up {brings}", doubt
    if _CONTROLLERS & set(asked.names):
        yield "a driver of storage controllers", doubt


def _linked(asked: _Asked) -> Iterator[_Role]:
    """A driver that loads at boot does not load without the modules it links to.

    Drivers of one maker may go together: only what the boot path needs keeps them.
    """
    path = {node.service.casefold() for node in asked.path.nodes}
    needed = {
        item.driver
        for item in asked.evidence
        if isinstance(item, Service) and item.name.casefold() in path
    }
    early = {
        item.driver
        for item in asked.evidence
        if isinstance(item, Service) and item.start is StartType.BOOT
    } - {asked.service.driver}
    users = [
        item.driver
        for item in asked.evidence
        if isinstance(item, DriverFile)
        and item.driver in early
        and asked.service.driver in item.libraries
        and (item.driver in needed or not _is_of_one_maker(item, asked.file))
    ]
    if users:
        names = ", ".join(users[:3]) + (", ..." if len(users) > 3 else "")
        yield "a library of drivers that start with Windows", f"without it {names} cannot load"


def _is_of_one_maker(one: DriverFile, other: DriverFile | None) -> bool:
    return other is not None and bool(one.company) and one.company == other.company


def _file(driver: str, evidence: Sequence[Evidence]) -> DriverFile | None:
    files = (item for item in evidence if isinstance(item, DriverFile) and item.driver == driver)
    return next(files, None)


@cache
def _encryption() -> dict[str, str]:
    rows = (line.split(" ", 1) for line in knowledge.lines("disk-encryption.txt"))
    return {row[0]: row[1] for row in rows}
