"""Scenes that several families share: what people, updaters and Startup Repair do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from recoverykit.model import Kind, NtfsState
from tests.builders import events, hive, srttrail
from tests.scenarios import registry, stops, write
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.stops import Stop
from tests.scenarios.tree import Built, Truth
from tests.scenarios.vendors import Vendor

EARLIER = timedelta(minutes=4)
# The stack below a driver of each kind: who had called it.
CALLERS = {
    "av": ("fltmgr.sys", "Ntfs.sys"),
    "edr": ("fltmgr.sys",),
    "vpn": ("ndis.sys", "tcpip.sys"),
    "net": ("ndis.sys",),
    "wifi": ("wdiwifi.sys", "ndis.sys"),
    "gpu": ("dxgkrnl.sys", "dxgmms2.sys"),
    "audio": ("portcls.sys", "ks.sys"),
    "storage": ("storport.sys",),
    "backup": ("volmgr.sys", "Ntfs.sys"),
    "volfilter": ("volsnap.sys",),
    "encrypt": ("volmgr.sys",),
    "usb": ("Wdf01000.sys",),
    "input": ("Wdf01000.sys",),
    "chipset": ("Wdf01000.sys",),
    "dlp": ("fltmgr.sys",),
}
KERNEL_CODES = (0x139, 0x0A, 0x1E)  # in which no driver need be seen
NO_CAUSE = (
    "Startup Repair has tried several times but still cannot determine the cause of the problem."
)
UNSPECIFIED = "Unspecified changes to system configuration might have caused the problem."
PATCH = "A patch is preventing the system from starting."
DIRTY = NtfsState(dirty=True, log_unclean=True, hibernated=False)
IN_USE = NtfsState(dirty=False, log_unclean=True, hibernated=False)


def told(
    life: Life,
    kind: Kind,
    why: str,
    *culprits: str,
    allowed: Sequence[str] = (),
    ntfs: NtfsState | None = None,
    damage: write.Damage | None = None,
) -> Built:
    """The end of a story: everything to disk, with its truth."""
    truth = Truth(kind, frozenset(culprits), why, frozenset(allowed))
    return write.finish(life, truth, ntfs=ntfs, damage=damage)


def blamed(life: Life, name: str, why: str) -> Built:
    """The end of a story of one driver."""
    return told(life, Kind.DRIVER, why, name)


def unclear(life: Life, why: str, *, ntfs: NtfsState | None = None) -> Built:
    """The end of a story whose files do not tell the cause."""
    return told(life, Kind.UNKNOWN, why, ntfs=ntfs)


def well(life: Life, why: str, *, ntfs: NtfsState | None = None) -> Built:
    """The end of a story in which nothing is wrong."""
    return told(life, Kind.HEALTHY, why, ntfs=ntfs)


def session_of(life: Life, hours_ago: float, lasted: float = 2.0) -> tuple[datetime, datetime]:
    """A session near the end: (on, off)."""
    on = life.m.now - timedelta(hours=hours_ago)
    return on, on + timedelta(hours=lasted)


def session(life: Life, hours_ago: float, lasted: float = 2.0, *, end: str = "clean") -> datetime:
    """A session near the end in which nothing happens; when it ended."""
    on, off = session_of(life, hours_ago, lasted)
    life.session(on, off, end=end)
    return off


def crash(
    life: Life, when: datetime, code: int, driver: Driver | Vendor | None, **how: object
) -> Stop:
    """A crash of that driver, with the callers such a driver has; None: of the kernel alone."""
    if driver is None:
        return stops.stop(life.m, when, code, "", **how)  # type: ignore[arg-type]
    vendor = driver.vendor if isinstance(driver, Driver) else driver
    given: dict[str, object] = {"callers": CALLERS.get(vendor.role, ())}
    given.update(how)
    return stops.stop(life.m, when, code, vendor.name, **given)  # type: ignore[arg-type]


def crashing_session(
    life: Life,
    on: datetime,
    at: datetime,
    code: int,
    driver: Driver | Vendor | None,
    **how: object,
) -> None:
    """A session that ends in such a crash."""
    stop = crash(life, at, code, driver, uptime=at - on, **how)
    life.session(on, at, end="crash", stop=stop)


def crashing_boots(
    life: Life,
    start: datetime,
    count: int,
    code: int,
    driver: Driver | Vendor | None,
    *,
    after: float = 30,
    last: str | None = None,
    **how: object,
) -> datetime:
    """`count` boots in a row that crash so, the first one `after` seconds; when the last began.

    The boot log, where it is on, ends with `last`: by default with that driver.
    """
    stop = crash(life, start + timedelta(seconds=after), code, driver, **how)
    if last is None:
        last = driver.name if driver else ""
    return failed_boots(life, start, count, stop=stop, early=False, last=last)


def failed_boots(
    life: Life,
    start: datetime,
    count: int,
    *,
    stop: Stop | None = None,
    early: bool = True,
    last: str = "",
    error: int = 0,
    gap: timedelta = EARLIER,
) -> datetime:
    """`count` boots in a row that do not come up; when the last of them began."""
    when = start
    for number in range(count):
        when = start + gap * number
        life.dead(when, stop=stop, early=early, last=last, error=error)
    return when


def kernel_alone(life: Life, start: datetime) -> None:
    """Boots that stop with nothing but the kernel in the dump."""
    crashing_boots(life, start, 3, life.m.rng.choice(KERNEL_CODES), None, after=28)


def startup_repair(
    life: Life,
    when: datetime,
    causes: Sequence[str] = (NO_CAUSE,),
    *,
    actions: Sequence[tuple[str, int]] = (),
    failed_tests: Sequence[tuple[str, int]] = (),
) -> None:
    """WinRE ran and wrote its log."""
    run = srttrail.Session(tuple(causes), tuple(actions), failed_tests=tuple(failed_tests))
    good = life.last_good
    mark = srttrail.LRM if life.m.profile.generation != "7" else ""
    text = ""
    if good is not None and life.m.rng.random() < 0.8:
        hour = good.hour % 12 or 12
        text = (
            f"{mark}{good.month}/{mark}{good.day}/{mark}{good.year} "
            f"{hour}:{good:%M:%S} {'AM' if good.hour < 12 else 'PM'}"
        )
    content = srttrail.build([run], last_good=text)
    life.m.put("System32/LogFiles/Srt/SrtTrail.txt", content, when)


def bugcheck_cause(code: int, parameters: Sequence[int]) -> str:
    """How Startup Repair words a stop it knows nothing about."""
    numbers = ", ".join(f"0x{value:x}" for value in parameters)
    return f"Unknown Bugcheck: Bugcheck {code:x}. Parameters = {numbers}."


# How Startup Repair words a disk that was not found.
SEEN_7B = bugcheck_cause(0x7B, (0xFFFFF880009A97E8, 0xFFFFFFFFC0000034, 0, 0))


def safe_mode(life: Life, on: datetime, minutes: float = 12) -> datetime:
    """Somebody starts Safe Mode, looks around and restarts."""
    off = on + timedelta(minutes=minutes)
    life.session(on, off, safe=True, log=True)
    return off


def boot_controller(life: Life, vendor: Vendor, when: datetime) -> Driver:
    """Its driver comes onto the machine, and the boot disk hangs on its device."""
    driver = life.m.install(vendor, when)
    for path, values in life.m.devices.items():
        if path.startswith(vendor.hardware):
            values["ParentIdPrefix"] = hive.sz(registry.DISK_PREFIX)
    return driver


def disk_trouble(life: Life, start: datetime, minutes: float, count: int, *kinds: str) -> None:
    """Complaints of the disk's driver, the port driver and NTFS while the machine is on."""
    m = life.m
    for _ in range(count):
        when = start + timedelta(minutes=m.rng.uniform(1, minutes))
        kind = m.rng.choice(kinds)
        if kind == "bad-block":
            m.log(events.disk_bad_block(when))
        elif kind == "retry":
            m.log(events.disk_retried(when))
        elif kind == "reset":
            m.log(events.port_reset(when, m.controller))
        elif kind == "gone":
            m.log(events.disk_event(when, 157, "\\Device\\Harddisk0\\DR0"))
        elif kind == "paging":
            m.log(events.disk_event(when, 51))
        elif kind == "controller":
            m.log(events.disk_event(when, 11))
        else:
            old = m.profile.generation == "7"
            m.log(events.ntfs_corrupt_old(when) if old else events.ntfs_corrupt(when))
