"""What a machine's disk holds today: services, filters, drivers, packages, boot files.

Driver names are file names in lower case ("acme.sys"); service names keep their spelling.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from recoverykit.model.places import Source


class StartType(StrEnum):
    BOOT = "boot"
    SYSTEM = "system"
    AUTO = "auto"
    DEMAND = "demand"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Service:
    """One kernel or file-system driver service of the control set in use."""

    source: Source
    name: str
    start: StartType
    type: int  # 1 kernel driver, 2 file-system driver
    error_control: int
    driver: str  # file name, lower case: "acme.sys"
    path: str | None  # resolved file relative to the volume; None: the file is missing
    image_path: str  # as the registry has it; "" when absent
    group: str = ""
    last_written: datetime | None = None  # of the service's key
    start_override: tuple[tuple[str, int], ...] = ()  # StartOverride values, (name, dword)
    tag: int | None = None  # order within the group
    boot_flags: int = 0  # promotes a demand-start driver where Windows boots from such a device
    depends_on: tuple[str, ...] = ()  # services; groups carry a leading "+"
    owners: tuple[str, ...] = ()  # INFs it came with, published names: "oem12.inf"


@dataclass(frozen=True, slots=True)
class FilterUse:
    """A service named in UpperFilters or LowerFilters."""

    source: Source
    service: str
    scope: str  # "class" or "device"
    owner: str  # class GUID or device instance path
    upper: bool = True
    class_guid: str = ""  # of a device, lower case with braces
    written: datetime | None = None  # of the key that holds the list


@dataclass(frozen=True, slots=True)
class MinifilterInstance:
    """One attachment of a file-system minifilter, from Services\\<name>\\Instances."""

    source: Source
    service: str
    instance: str
    altitude: str  # decimal, may have a fraction; "" when absent


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A service that drives a device of the Enum tree."""

    source: Source
    service: str
    device: str  # instance path below Enum
    class_guid: str  # lower case with braces, "" when absent
    problem: int = 0  # ConfigFlags: bit 0 disabled


class NodeKind(StrEnum):
    """What a device is on the way from Windows to its disk."""

    VOLUME = "volume"
    DISK = "disk"
    CONTROLLER = "controller"
    OTHER = "other"


class Known(StrEnum):
    """How the device is known that another one hangs on."""

    PARENT = "parent"  # recorded by Windows
    PREFIX = "prefix"  # the instance's name begins as those of its parent's children do
    TOP = "top"  # nothing above it matters: firmware, or the root of the device tree
    GUESS = "guess"  # not recorded


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A disk, a volume, a storage controller, or a device that one of them hangs on."""

    source: Source
    device: str  # instance path below Enum: "SCSI\\Disk&Ven_A&Prod_B\\4&1&0&000000"
    kind: NodeKind
    service: str = ""  # that drives it; "" where none does
    class_guid: str = ""  # lower case with braces, "" when absent
    parent: str = ""  # instance path of the device it hangs on; "" where not known
    known: Known = Known.GUESS
    disk: str = ""  # GUID by which Windows tells disks apart; of a volume: that of its disk
    start: int | None = None  # of a volume: where it begins on the disk, bytes
    partitions: tuple[str, ...] = ()  # of a disk whose table Windows kept: as Volume.identity
    problem: int = 0  # ConfigFlags: bit 0 disabled
    removed: bool = False  # it was taken away and did not come back


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """A name that Windows gave to a partition, from MountedDevices."""

    source: Source
    name: str  # "\\DosDevices\\C:"
    identity: str  # as Volume.identity


@dataclass(frozen=True, slots=True)
class PathNode:
    """One device between the volume Windows boots from and the root of the device tree."""

    source: Source
    device: str
    service: str  # that drives it; "" where none does
    class_guid: str
    role: str  # short noun phrase: "the storage controller of the boot disk"
    known: Known
    filters: tuple[str, ...] = ()  # services that filter it or its class


@dataclass(frozen=True, slots=True)
class BootPath:
    """What lies between Windows and its disk, as its own registry tells it."""

    disks: tuple[str, ...] = ()  # instance paths; several where it could not be told which
    nodes: tuple[PathNode, ...] = ()  # volumes first, then disk by disk upwards
    doubt: str = ""  # one clause why it may not be the whole path; "" when every step is known


class SettingName(StrEnum):
    """Registry settings that change what a boot does, or what a crash leaves behind."""

    VERIFIER = "driver-verifier"  # text: "drivers, level"
    CRASH_DUMP = "crash-dump"  # text: CrashDumpEnabled
    DUMP_FILE = "dump-file"
    MINIDUMP_FOLDER = "minidump-folder"
    DEDICATED_DUMP = "dedicated-dump-file"
    LAST_KNOWN_GOOD = "last-known-good"  # text: Select\\LastKnownGood, where it differs
    FAILED_CONTROL_SET = "failed-control-set"  # text: Select\\Failed, not 0
    ELAM_POLICY = "elam-policy"  # text: DriverLoadPolicy
    ELAM_BACKUP = "elam-backup"  # text: folder
    BOOT_EXECUTE = "boot-execute"  # text: entries beyond Windows' own autocheck
    SETUP_IN_PROGRESS = "setup-in-progress"  # text: Setup\\SystemSetupInProgress or CmdLine


@dataclass(frozen=True, slots=True)
class Setting:
    """One such setting where it is not what a plain Windows has."""

    source: Source
    name: SettingName
    text: str
    number: int | None = None


class Vouching(StrEnum):
    """What a driver file says of its own signature. Who vouches for it `verify` says."""

    NOT_LOOKED = "not-looked-at"
    EMBEDDED = "embedded"  # the signed digest is that of the file
    NONE = "none"  # nothing embedded: a catalog may vouch for it
    TAMPERED = "tampered"  # the signed digest is another one
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class DriverFile:
    """A driver's file, as its headers and version resource describe it."""

    source: Source
    driver: str
    size: int
    modified: datetime
    links: int  # hard links; inbox drivers have more than one (WinSxS)
    machine: str = ""  # "x64", "x86", "arm64", "" when not a PE file
    company: str = ""
    product: str = ""
    description: str = ""
    version: str = ""
    built: datetime | None = None  # PE time stamp, where it is one
    stamp: int = 0  # TimeDateStamp and SizeOfImage identify the module in a dump
    image_size: int = 0
    damage: str = ""  # one clause: "its section .text ends beyond the file"
    vouching: Vouching = Vouching.NOT_LOOKED
    signer: str = ""  # as the signature claims
    unresolved: tuple[str, ...] = ()  # imports nobody exports here: "ntoskrnl.exe!KeNew"
    packed: str = ""  # "XPRESS4K", ...: compressed by CompactOS (WOF)
    libraries: tuple[str, ...] = ()  # modules it links to, lower case; () when not looked at


@dataclass(frozen=True, slots=True)
class ContentFile:
    """A data file that belongs to a driver: definitions, rules, channel files."""

    source: Source
    driver: str  # whose it is: file name of the driver
    size: int
    modified: datetime
    blank: bool = False  # its beginning is nothing but zeros


@dataclass(frozen=True, slots=True)
class DriverPackage:
    """An INF in Windows\\INF or the DriverStore, and what it installs."""

    source: Source  # the INF
    published: str  # "oem12.inf"; "" for inbox packages
    original: str  # "acme.inf"
    provider: str
    class_guid: str  # lower case with braces
    version: str  # of DriverVer
    dated: str  # of DriverVer, ISO "2024-07-19"; "" when absent
    services: tuple[str, ...]  # names of AddService directives
    files: tuple[str, ...]  # file names in lower case
    folder: str  # FileRepository folder relative to the volume, "" when not found
    written: datetime | None = None  # of the DriverStore folder, or the published INF


class HiveHealth(StrEnum):
    CLEAN = "clean"
    RECOVERED = "recovered"  # dirty, and whole with its logs
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class HiveState:
    """In which state one of the hives a boot needs is."""

    source: Source
    hive: str  # "SYSTEM", "SOFTWARE"
    health: HiveHealth
    text: str = ""  # one sentence where it is not clean


@dataclass(frozen=True, slots=True)
class BootLoader:
    """One osloader entry of a boot store."""

    source: Source
    identifier: str  # GUID with braces
    description: str
    path: str  # as the store has it: "\\Windows\\system32\\winload.efi"
    root: str  # systemroot: "\\Windows"
    ours: bool | None  # whether its osdevice is this volume; None: cannot be told
    default: bool = False
    recovery: bool = False  # boots WinRE, a RAM disk, Setup


@dataclass(frozen=True, slots=True)
class BootStore:
    """A boot store of this disk that was read."""

    source: Source
    volume: str  # name of the volume it lies on
    role: str  # boot.store.Role: "system", "recovery", "template"
    firmware: str  # "uefi" or "bios", by the place it lies in
    loaders: tuple[BootLoader, ...] = ()


class BootFault(StrEnum):
    """What can be wrong between the firmware and winload."""

    STORE_MISSING = "store-missing"
    STORE_DAMAGED = "store-damaged"
    MANAGER_ENTRY_MISSING = "boot-manager-entry-missing"
    NO_LOADER = "no-loader"  # no entry for this installation
    WRONG_DEVICE = "wrong-device"  # the entry names a partition that does not exist
    LOADER_FILE_MISSING = "loader-file-missing"
    WRONG_FIRMWARE = "wrong-firmware"  # winload.exe on UEFI, or the other way round
    MANAGER_MISSING = "boot-manager-missing"
    MANAGER_DAMAGED = "boot-manager-damaged"
    ESP_UNREADABLE = "esp-unreadable"
    NOT_ACTIVE = "no-active-partition"
    SAFE_BOOT = "safe-boot-left-on"  # boots, but only into Safe Mode
    ONE_SHOT = "boot-sequence-left"


@dataclass(frozen=True, slots=True)
class BootProblem:
    """Something wrong with boot stores or boot files of this disk."""

    source: Source
    fault: BootFault
    text: str  # one sentence
    fatal: bool  # whether Windows cannot start as long as it is so
