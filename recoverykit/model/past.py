"""What happened to a machine, as its logs and dumps tell it.

Times are aware UTC unless a comment says local: those come with the minutes to add for UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from recoverykit.model.places import Source


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
    """A bug check recorded in an event log."""

    source: Source
    when: datetime  # when it was recorded: in the boot after it
    bugcheck: int
    parameters: tuple[int, ...] = ()
    dump: str = ""
    blamed: str = ""  # driver file name where the record names one


@dataclass(frozen=True, slots=True)
class Module:
    """A driver as a dump lists it."""

    name: str  # file name, lower case
    base: int
    size: int  # SizeOfImage
    stamp: int = 0  # TimeDateStamp; 0 for unloaded ones
    path: str = ""  # where the dump has the whole path


@dataclass(frozen=True, slots=True)
class StackHit:
    """A word of the crashing thread's stack that points into a module."""

    slot: int  # address of the word
    value: int
    module: str  # file name, lower case


@dataclass(frozen=True, slots=True)
class CrashDump:
    """A kernel dump, as far as it can be read without symbols."""

    source: Source
    when: datetime | None  # of the crash, by the dump's own clock
    bugcheck: int
    parameters: tuple[int, ...]  # four
    form: str  # "triage", "kernel", "bitmap", "full", "header"
    machine: str  # "x64", "x86", "arm64"
    build: int
    uptime: timedelta | None
    written: datetime  # of the file
    modules: tuple[Module, ...] = ()
    unloaded: tuple[Module, ...] = ()
    broken_driver: str = ""  # the kernel's own verdict, "" when it has none
    fault_address: int = 0  # instruction that faulted, 0 when unknown
    fault: str = ""  # module it lies in; "" when in none
    stack: tuple[StackHit, ...] = ()  # top of the stack first
    in_pagefile: bool = False  # not yet extracted by Windows


@dataclass(frozen=True, slots=True)
class WerReport:
    """A kernel crash in the Windows Error Reporting queue or archive."""

    source: Source
    when: datetime | None
    bugcheck: int
    bucket: str  # "AV_VRF_acme!unknown_function"; "" when not yet analysed
    module: str  # driver file name the bucket names, lower case; "" when none
    parameters: tuple[int, ...] = ()


LASTED = timedelta(minutes=15)  # a session alive this long came up


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
    safe_mode: bool = False  # of a start: BootMode of Kernel-General 12 is not 0


@dataclass(frozen=True, slots=True)
class KernelBoot:
    """What the loader told the kernel of a boot: Kernel-Boot 20, or 27; None is not told."""

    source: Source
    when: datetime
    boot_type: int | None = None  # 0 full, 1 fast startup, 2 out of hibernation
    last_shutdown_good: bool | None = None
    last_boot_good: bool | None = None  # of the boot before this one
    last_boot_id: int | None = None

    @property
    def resumed(self) -> bool:
        """Fast startup or hibernation: the kernel was never started anew."""
        return self.boot_type in (1, 2)


@dataclass(frozen=True, slots=True)
class ServiceInstalled:
    """Service Control Manager 7045 (or Security 4697): a service came onto the machine."""

    source: Source
    when: datetime
    service: str
    image_path: str


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    """Service Control Manager 7040: a start type was changed."""

    source: Source
    when: datetime
    service: str  # as logged: the display name, or the key name where the event has it
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DriverFailed:
    """An event that names a driver or service which failed to load or start.

    Service Control Manager 7000, 7001, 7026; Kernel-PnP 219 and 411.
    """

    source: Source
    when: datetime
    event: int
    name: str  # service key where the event has it, else the service's name as logged
    status: int = 0  # NTSTATUS (219, 411) or Win32 error (7000, 7001); 0 where none is told
    device: str = ""  # device instance (219, 411)


@dataclass(frozen=True, slots=True)
class DriverRefused:
    """Code integrity refused a file (3004, 3023, 3033, 3034, 3036, 3077...), or would have."""

    source: Source
    when: datetime
    event: int
    path: str  # as logged
    driver: str  # file name, lower case
    enforced: bool = True  # False: audit mode, it was let through


@dataclass(frozen=True, slots=True)
class DiskTrouble:
    """The disk, its controller or the file system complained."""

    source: Source
    when: datetime
    event: int
    provider: str
    text: str  # device or volume as logged
    severe: bool  # bad block, lost device, corruption; not a mere retry


@dataclass(frozen=True, slots=True)
class HardwareError:
    """WHEA reported an error the hardware could not correct, or corrected (fatal False)."""

    source: Source
    when: datetime
    event: int
    fatal: bool


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """Windows Update or servicing installed, failed to install, or began to install something."""

    source: Source
    when: datetime
    event: int
    title: str
    failed: bool = False
    driver: bool = False  # a driver from Windows Update


@dataclass(frozen=True, slots=True)
class StartupRepair:
    """The last session in SrtTrail.txt."""

    source: Source
    written: datetime  # of the file
    last_good: datetime | None  # "Last successful boot time", UTC
    attempts: int | None  # "Number of repair attempts"
    directory: str  # Windows directory as logged, "" when it found none
    causes: tuple[str, ...] = ()  # root causes, as logged
    files: tuple[str, ...] = ()  # paths the root causes name, as logged
    actions: tuple[tuple[str, int], ...] = ()  # repair action, its error code
    failed_tests: tuple[tuple[str, int], ...] = ()  # test that did not complete, error code
    areas: tuple[str, ...] = ()  # of each cause: formats.srttrail.cause_area
    sessions: int = 1  # how many the log holds
    bugcheck: int = 0  # stop code a root cause tells of, 0 when none does
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BootStatus:
    """bootstat.dat of the Windows folder: what the loader and the kernel leave for each other."""

    source: Source
    written: datetime  # of the file
    succeeded: bool  # LastBootSucceeded
    shut_down: bool  # LastBootShutdown
    attempts: int | None = None  # BootAttemptCount
    checkpoint: int | None = None
    boot_id: int | None = None
    error_boot: int | None = None  # ErrorInfo.BootId
    error_code: int = 0  # ErrorInfo.Code: NTSTATUS; 0 when none
    error_repeats: int = 0


@dataclass(frozen=True, slots=True)
class BootManagerEvent:
    """An entry in the log of the boot manager or of Windows' loader (BOOTSTAT.DAT)."""

    source: Source
    when: datetime | None  # by the firmware's clock, which is local time; stored as if UTC
    # "started": the log's owner began; "launched", "launched-recovery", "returned": what it did
    # to an application; "load-failed", "store-failed", "no-entry", "failed": what went wrong;
    # "kernel": the loader handed over to the kernel
    what: str
    application: str  # path of what it is about; GUID for "returned"; else the log's owner
    status: int = 0  # NTSTATUS of what went wrong


@dataclass(frozen=True, slots=True)
class DriverInstall:
    """One section of setupapi.dev.log that installed, updated or removed a driver."""

    source: Source
    when: datetime | None  # local time of the machine, stored as if UTC
    bias: int | None
    title: str  # "Device Install (Hardware initiated) - PCI\\VEN_..."
    inf: str  # lower case, as published where known: "oem12.inf"
    original: str  # "acme.inf", "" when not told
    services: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # file names in lower case
    status: str = ""  # of its "[Exit status: ...]"
    errors: tuple[str, ...] = ()  # its "!!!" lines


@dataclass(frozen=True, slots=True)
class PendingServicing:
    """Something of an update that waits for the next boot."""

    source: Source
    what: str  # "pending.xml", "SetupExecute", "RebootPending", "PackagesPending", ...
    text: str
    when: datetime | None = None
    active: bool = True  # False: a leftover that no boot will act on


@dataclass(frozen=True, slots=True)
class PendingRename:
    """One pair of PendingFileRenameOperations."""

    source: Source
    old: str  # as in the registry, without the \\??\\
    new: str  # "": deleted
    driver: str  # file name in lower case where it is a .sys, else ""


@dataclass(frozen=True, slots=True)
class RenameFailed:
    """A line of PFRO.log: a pending rename the last boots could not do."""

    source: Source
    when: datetime | None  # local time of the machine, stored as if UTC
    path: str
    code: int
