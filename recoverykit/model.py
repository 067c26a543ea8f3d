"""Every value that flows through recoverykit. Frozen, without behaviour.

Paths inside a Windows volume are strings with forward slashes, relative to the volume's root,
in the spelling found on disk ("Windows/System32/drivers/acme.sys"). Times are aware UTC datetimes.
Driver names are file names in lower case ("acme.sys"); service names keep their spelling.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

# --- where a fact came from ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read, precisely enough for a person to look again."""

    path: str  # relative to the volume; for a registry fact "Windows/System32/config/SYSTEM"
    offset: int | None = None  # byte offset in that file; for text logs the line number
    key: str = ""  # registry key below the hive's root, where the fact is a registry value


@dataclass(frozen=True, slots=True)
class Gap:
    """Something we could not read or chose not to open. Reported, never dropped."""

    source: Source
    reason: str
    closed: bool = False  # a whole volume stayed shut: there may be a Windows behind it


# --- disks and volumes --------------------------------------------------------------------


class FileSystem(StrEnum):
    NTFS = "ntfs"
    FAT = "fat"
    EXFAT = "exfat"
    REFS = "refs"
    BITLOCKER = "bitlocker"
    LUKS = "luks"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk, or an image of one."""

    path: Path  # /dev/sda, or the image file
    size: int  # bytes
    sector_size: int  # logical, bytes
    scheme: str  # "gpt", "mbr" or "none" (the volume starts at sector 0)
    removable: bool = False  # USB or removable: unattended repair never writes to it
    read_only: bool = False
    member_of: str = ""  # "Intel RST RAID (IMSM)", "dynamic disk (LDM)"...; refused unless ""
    identity: str = ""  # GPT disk GUID or MBR signature, lower-case hex
    model: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """One partition, or a disk without partitions, or a folder somebody else has mounted."""

    name: str  # "/dev/sda3", "disk.img#3", or the folder's path: what reports call it
    filesystem: FileSystem
    path: Path  # what is opened: the block device, the image file, or the mounted folder
    offset: int = 0  # bytes into `path`
    size: int = 0
    number: int = 0  # partition number; 0 for a whole disk or a mounted folder
    identity: str = ""  # "gpt:<partition guid>" or "mbr:<signature>:<offset>", "" when mounted
    serial: str = ""  # the file system's serial number, hex
    disk: Disk | None = None  # None for a mounted folder
    refusal: str = ""  # one sentence why it must not be written; "" when it may
    type: str = ""  # of its partition: GPT type GUID or MBR "0x07", lower case


@dataclass(frozen=True, slots=True)
class NtfsState:
    """The three different things people call a dirty NTFS volume."""

    dirty: bool  # the $Volume dirty flag: Windows will run chkdsk
    log_unclean: bool  # $LogFile holds transactions that were not replayed (a crash)
    hibernated: bool  # hiberfil.sys holds a resumable image: hands off


class LogPolicy(StrEnum):
    """What to do with an unclean $LogFile when somebody asks for a change."""

    REPLAY = "replay"
    ASK = "ask"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen on the disks, before any file system was opened."""

    disks: tuple[Disk, ...]
    volumes: tuple[Volume, ...]
    gaps: tuple[Gap, ...] = ()


# --- an installation ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WindowsInstall:
    """One Windows on one mounted volume."""

    volume: Volume
    mount: Path  # the volume's root, as this host sees it
    folder: str  # top-level folder as spelled on disk, "Windows"
    system_hive: str  # "Windows/System32/config/SYSTEM"
    software_hive: str
    product: str = ""  # "Windows 10 Pro"
    build: str = ""  # "19045.4651"
    architecture: str = ""  # "x64", "x86", "arm64"
    control_set: int = 1  # N of ControlSetNNN that the next boot uses

    @property
    def root(self) -> str:
        """How reports name this installation: volume and folder."""
        return f"{self.volume.name}:/{self.folder}"


# --- evidence -----------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class FilterUse:
    """A service named in UpperFilters or LowerFilters."""

    source: Source
    service: str
    scope: str  # "class" or "device"
    owner: str  # class GUID or device instance path


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A service that drives a device of the Enum tree."""

    source: Source
    service: str
    device: str  # instance path below Enum
    class_guid: str  # lower case with braces, "" when absent


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


@dataclass(frozen=True, slots=True)
class BootLogLine:
    line: int
    driver: str  # file name in lower case, or the device description of a NOT_LOADED line
    loaded: bool


@dataclass(frozen=True, slots=True)
class BootLogBlock:
    """One boot in ntbtlog.txt."""

    source: Source
    started: datetime | None  # local time of the machine, stored as if UTC
    lines: tuple[BootLogLine, ...]
    bias: int | None = None  # minutes to add for UTC, by the time zone in the SYSTEM hive


@dataclass(frozen=True, slots=True)
class Crash:
    """A bug check recorded in an event log (or, later, a dump)."""

    source: Source
    when: datetime
    bugcheck: int
    parameters: tuple[int, ...] = ()
    dump: str = ""
    blamed: str = ""  # driver file name where the record names one


class BootEventKind(StrEnum):
    STARTED = "started"  # Kernel-General 12, EventLog 6005
    SHUT_DOWN = "shut-down"  # Kernel-General 13, EventLog 6006: a clean end
    UNEXPECTED = "unexpected"  # Kernel-Power 41, EventLog 6008
    LOGGED_ON = "logged-on"  # something only a machine that came up writes


@dataclass(frozen=True, slots=True)
class BootEvent:
    source: Source
    when: datetime
    kind: BootEventKind


@dataclass(frozen=True, slots=True)
class ServiceInstalled:
    """Service Control Manager 7045 (or Security 4697): a service came onto the machine."""

    source: Source
    when: datetime
    service: str
    image_path: str


@dataclass(frozen=True, slots=True)
class DriverFailed:
    """An event that names a driver or service which failed to load or start (7026, 7000, 219)."""

    source: Source
    when: datetime
    event: int
    name: str  # service or driver file name as logged


Evidence = (
    Service
    | FilterUse
    | DeviceUse
    | DriverFile
    | BootLogBlock
    | Crash
    | BootEvent
    | ServiceInstalled
    | DriverFailed
    | Gap
    | NtfsState
)


# --- diagnosis ----------------------------------------------------------------------------


class Kind(StrEnum):
    """What keeps this Windows from starting."""

    DRIVER = "driver"
    CONTENT = "content"
    STORAGE = "storage"
    FILTER = "filter"
    HIVE = "hive"
    BCD = "bcd"
    SERVICING = "servicing"
    DISK = "disk"
    HARDWARE = "hardware"
    LOCKED = "locked"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    CULPRIT = "culprit"  # independent findings agree; repair may act on it
    SUSPECT = "suspect"  # a person should look; never acted on unattended
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's argument against one driver."""

    driver: str
    rule: str  # kebab-case id, documented in docs/diagnosis.md
    weight: int
    reason: str  # a sentence a person can check by hand
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    driver: str
    service: str
    verdict: Verdict
    weight: int
    findings: tuple[Finding, ...]
    path: str | None = None  # the driver's file relative to the volume
    company: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    kind: Kind
    summary: str  # one sentence
    suspects: tuple[Suspect, ...] = ()
    gaps: tuple[Gap, ...] = ()


# --- plan, transaction, outcome -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RegistryData:
    """What a registry value holds."""

    type: int  # REG_*, or any other 32 bits
    data: bytes


@dataclass(frozen=True, slots=True)
class RegistryKey:
    """What a registry key is beside its values and subkeys."""

    class_name: str = ""
    security: bytes = b""  # self-relative descriptor; b"": the one of its parent


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value, before and after; None where it does not exist."""

    key: str  # below the hive's root, backslashes: "ControlSet001\\Services\\acme"
    name: str
    before: RegistryData | None
    after: RegistryData | None


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key comes or goes; what it holds is changes of its own."""

    key: str
    before: RegistryKey | None
    after: RegistryKey | None


RegistryChange = ValueChange | KeyChange


@dataclass(frozen=True, slots=True)
class EditHive:
    """Change keys and values of one hive, in this order."""

    hive: str  # path relative to the volume
    changes: tuple[RegistryChange, ...]


@dataclass(frozen=True, slots=True)
class QuarantineFile:
    """Move a file into the transaction's folder."""

    path: str  # relative to the volume
    sha256: str
    size: int


Action = EditHive | QuarantineFile


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a driver must not be touched: which role it plays."""

    driver: str
    service: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileState:
    """What the plan saw: apply refuses if it is no longer so."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to one installation, and why. `repair.plan.digest` identifies it."""

    root: str  # WindowsInstall.root
    driver: str  # "" where the plan is about no driver
    service: str
    reason: str
    actions: tuple[Action, ...]
    preconditions: tuple[FileState, ...]
    space_needed: int  # bytes on the volume
    title: str = ""  # what the history says: "quarantine acme.sys (service acme)"


class Outcome(StrEnum):
    NOTHING_TO_DO = "nothing-to-do"
    PLANNED = "planned"  # a dry run
    REFUSED = "refused"
    APPLIED = "applied"  # and verified from disk
    UNVERIFIED = "changed-not-verified"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"  # nothing changed
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class TransactionInfo:
    """One line of `history`."""

    id: str
    state: str  # "committed", "undone", "abandoned"
    started: datetime | None
    summary: str
    folder: str  # relative to the volume
    changed: tuple[str, ...] = ()  # paths relative to the volume


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of the boot check."""

    check: str
    ok: bool | None  # None: not checked, `text` says why
    text: str
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class InstallReport:
    install: WindowsInstall
    diagnosis: Diagnosis | None = None
    plan: Plan | None = None
    plan_digest: str = ""
    refusals: tuple[Refusal, ...] = ()
    outcome: Outcome | None = None
    transaction: str = ""
    checks: tuple[CheckLine, ...] = ()
    history: tuple[TransactionInfo, ...] = ()
    error: str = ""
    exit_code: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What a verb found and did: rendered as text and as JSON (docs/report-schema.md)."""

    verb: str
    installations: tuple[InstallReport, ...] = ()
    gaps: tuple[Gap, ...] = ()
    exit_code: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)
