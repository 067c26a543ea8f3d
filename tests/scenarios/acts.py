"""Scenes that several families share: what people, updaters and Startup Repair do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tests.builders import srttrail
from tests.scenarios import stops
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.stops import Stop
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
NO_CAUSE = (
    "Startup Repair has tried several times but still cannot determine the cause of the problem."
)
UNSPECIFIED = "Unspecified changes to system configuration might have caused the problem."


def session_of(life: Life, hours_ago: float, lasted: float = 2.0) -> tuple[datetime, datetime]:
    """A session near the end: (on, off)."""
    on = life.m.now - timedelta(hours=hours_ago)
    return on, on + timedelta(hours=lasted)


def crash(life: Life, when: datetime, code: int, driver: Driver | Vendor, **how: object) -> Stop:
    """A crash of that driver, with the callers such a driver has."""
    vendor = driver.vendor if isinstance(driver, Driver) else driver
    given: dict[str, object] = {"callers": CALLERS.get(vendor.role, ())}
    given.update(how)
    return stops.stop(life.m, when, code, vendor.name, **given)  # type: ignore[arg-type]


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


def startup_repair(
    life: Life,
    when: datetime,
    causes: Sequence[str] = (NO_CAUSE,),
    *,
    actions: Sequence[tuple[str, int]] = (),
    attempts: int = 1,
    failed_tests: Sequence[tuple[str, int]] = (),
    words: srttrail.Words = srttrail.ENGLISH,
) -> None:
    """WinRE ran and wrote its log; it appends to what is there, the newest session last."""
    session = srttrail.Session(tuple(causes), tuple(actions), failed_tests=tuple(failed_tests))
    good = life.last_good
    mark = srttrail.LRM if life.m.profile.generation != "7" else ""
    text = ""
    if good is not None and life.m.rng.random() < 0.8:
        hour = good.hour % 12 or 12
        text = (
            f"{mark}{good.month}/{mark}{good.day}/{mark}{good.year} "
            f"{hour}:{good:%M:%S} {'AM' if good.hour < 12 else 'PM'}"
        )
    content = srttrail.build([session], attempts=attempts, last_good=text, words=words)
    life.m.put("System32/LogFiles/Srt/SrtTrail.txt", content, when)


def bugcheck_cause(code: int, parameters: Sequence[int]) -> str:
    """How Startup Repair words a stop it knows nothing about."""
    numbers = ", ".join(f"0x{value:x}" for value in parameters)
    return f"Unknown Bugcheck: Bugcheck {code:x}. Parameters = {numbers}."


def safe_mode(life: Life, on: datetime, minutes: float = 12) -> datetime:
    """Somebody starts Safe Mode, looks around and restarts."""
    off = on + timedelta(minutes=minutes)
    life.session(on, off, safe=True, log=True)
    return off
