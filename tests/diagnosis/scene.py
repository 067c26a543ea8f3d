"""Small machines as evidence: a good session, then whatever a test adds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recoverykit.diagnosis.verdict import judge
from recoverykit.model import (
    BootEvent,
    BootEventKind,
    BootLogBlock,
    BootLogLine,
    ContentFile,
    Crash,
    CrashDump,
    Diagnosis,
    DriverFailed,
    DriverFile,
    Evidence,
    FileSystem,
    Module,
    Service,
    ServiceInstalled,
    Source,
    StackHit,
    StartType,
    Verdict,
    Volume,
    WindowsInstall,
)

SYSTEM = "Windows/System32/config/SYSTEM"
SYSTEM_LOG = "Windows/System32/winevt/Logs/System.evtx"
BOOT_LOG = "Windows/ntbtlog.txt"
INSTALL = WindowsInstall(
    Volume("disk.img#3", FileSystem.NTFS, Path("disk.img")),
    Path("/mnt"),
    "Windows",
    SYSTEM,
    "Windows/System32/config/SOFTWARE",
)

OLD = datetime(2023, 2, 3, 10, tzinfo=UTC)  # long before anything that matters
GOOD = datetime(2024, 7, 18, 6, tzinfo=UTC)  # the last good session starts
FRESH = GOOD + timedelta(hours=8)  # something is installed during it
OFF = GOOD + timedelta(hours=9)  # and ends
FIRST_CRASH = GOOD + timedelta(days=1)
D1 = 0xD1  # DRIVER_IRQL_NOT_LESS_OR_EQUAL
INBOX = ("disk", "ntfs", "tcpip", "volsnap")
COMPLETE = (
    "ntoskrnl.exe", "hal.dll", "disk.sys", "ntfs.sys", "volsnap.sys", "oldguard.sys", "ndis.sys",
    "tcpip.sys", "afd.sys", "http.sys", "mpsdrv.sys", "srv2.sys", "tcpipreg.sys", "condrv.sys",
)  # fmt: skip


def event(kind: BootEventKind, when: datetime) -> BootEvent:
    return BootEvent(Source(SYSTEM_LOG, 4096), when, kind)


def started(when: datetime) -> BootEvent:
    return event(BootEventKind.STARTED, when)


def session(start: datetime, end: datetime) -> list[Evidence]:
    return [started(start), event(BootEventKind.SHUT_DOWN, end)]


def crash(when: datetime, bugcheck: int = D1, *, blamed: str = "") -> list[Evidence]:
    """What the boot after a crash records: its own start, and both tellers of the crash."""
    source = Source(SYSTEM_LOG, 8192)
    parameters = (1, 2, 3, 4)
    dump = "C:\\Windows\\MEMORY.DMP"
    return [
        started(when),
        event(BootEventKind.UNEXPECTED, when + timedelta(seconds=2)),
        Crash(source, when + timedelta(seconds=2), bugcheck, parameters, blamed=blamed),
        Crash(source, when + timedelta(seconds=40), bugcheck, parameters, dump, blamed),
    ]


def crashes(count: int = 3, bugcheck: int = D1) -> list[Evidence]:
    return [
        item
        for number in range(count)
        for item in crash(FIRST_CRASH + timedelta(minutes=5 * number), bugcheck)
    ]


def driver(
    name: str,
    *,
    company: str = "Acme Security GmbH",
    changed: datetime = OLD,
    start: StartType = StartType.BOOT,
    links: int = 1,
    written: datetime | None = None,
) -> list[Evidence]:
    """A service and its file, both written at `changed`."""
    path = f"Windows/System32/drivers/{name}.sys"
    key = f"ControlSet001\\Services\\{name}"
    return [
        Service(
            Source(SYSTEM, 0x1000, key),
            name,
            start,
            1,
            1,
            f"{name}.sys",
            path,
            f"system32\\drivers\\{name}.sys",
            last_written=written or changed,
        ),
        DriverFile(
            Source(path), f"{name}.sys", 40_960, changed, links, "x64", company, version="3.1"
        ),
    ]


def boot_log(
    when: datetime, loaded: Sequence[str] = COMPLETE, *, bias: int | None = 0, line: int = 1
) -> BootLogBlock:
    lines = tuple(BootLogLine(line + 2 + n, name, loaded=True) for n, name in enumerate(loaded))
    local = when - timedelta(minutes=bias or 0)
    return BootLogBlock(Source(BOOT_LOG, line), local, lines, bias)


def up_to(last: str) -> tuple[str, ...]:
    """The loaded drivers of a boot that ends with `last`."""
    return (*COMPLETE[: COMPLETE.index("volsnap.sys") + 1], last)


def installed(name: str, when: datetime = FRESH) -> ServiceInstalled:
    return ServiceInstalled(
        Source(SYSTEM_LOG, 5000), when, name, f"\\SystemRoot\\system32\\drivers\\{name}.sys"
    )


def failed(name: str, when: datetime, number: int = 7026) -> DriverFailed:
    return DriverFailed(Source(SYSTEM_LOG, 6000), when, number, name)


def machine(*more: Sequence[Evidence] | Evidence) -> list[Evidence]:
    """A healthy machine with an old third-party driver, and more."""
    evidence: list[Evidence] = [*session(OLD, OLD + timedelta(hours=2)), *session(GOOD, OFF)]
    for name in INBOX:
        evidence += driver(name, company="Microsoft Corporation")
    evidence += driver("oldguard", company="Oldguard Ltd")
    for item in more:
        evidence += item if isinstance(item, Sequence) else [item]
    return evidence


def judged(*more: Sequence[Evidence] | Evidence) -> Diagnosis:
    return judge(INSTALL, machine(*more))


def culprits(diagnosis: Diagnosis) -> list[str]:
    return [one.driver for one in diagnosis.suspects if one.verdict is Verdict.CULPRIT]


# --- what crashes leave -------------------------------------------------------------------

NT, ACME_BASE, GUARD_BASE = 0xFFFFF800_0A000000, 0xFFFFF800_0C000000, 0xFFFFF800_0D000000
SIZE = 0x40000


def module(name: str, base: int) -> Module:
    return Module(name, base, SIZE, 0x6000_0000)


def dump(
    when: datetime = FIRST_CRASH,
    bugcheck: int = D1,
    *,
    fault: str = "",
    stack: Sequence[str] = (),
    broken: str = "",
    unloaded: Sequence[Module] = (),
    address: int = 0,
    parameters: tuple[int, ...] = (1, 2, 3, 4),
    name: str = "",
) -> CrashDump:
    """A small dump; `stack` names the modules its words point into, top first."""
    modules = (
        module("ntoskrnl.exe", NT),
        module("acmeflt.sys", ACME_BASE),
        module("oldguard.sys", GUARD_BASE),
        module("fltmgr.sys", 0xFFFFF800_0E000000),
    )
    bases = {one.name: one.base for one in modules}
    hits = tuple(
        StackHit(0xFFFF_F000 + 8 * at, bases.get(one, NT) + 0x123, one)
        for at, one in enumerate(stack)
    )
    path = f"Windows/Minidump/{name or f'{when:%m%d%y-%H%M%S}-01.dmp'}"
    return CrashDump(
        Source(path, 0),
        when,
        bugcheck,
        parameters,
        "triage",
        "x64",
        19045,
        timedelta(seconds=9),
        when + timedelta(minutes=1),
        modules=modules,
        unloaded=tuple(unloaded),
        broken_driver=broken,
        fault_address=address or (bases[fault] + 0x11C4 if fault in bases else 0),
        fault=fault,
        stack=hits,
    )


def content(name: str, *, changed: datetime = FRESH) -> ContentFile:
    """A data file of acmeflt.sys."""
    path = f"Windows/System32/drivers/acmeflt/{name}"
    return ContentFile(Source(path), "acmeflt.sys", 40_960, changed, blank=False)
