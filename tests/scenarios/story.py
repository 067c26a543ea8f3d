"""How every scenario begins: a machine with a past."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from tests.builders import srttrail
from tests.scenarios import content, noise, profiles, stops, vendors
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver, Machine
from tests.scenarios.profiles import Profile
from tests.scenarios.vendors import Vendor

_ONE_EACH = ("gpu", "wifi", "net", "edr", "av", "storage", "encrypt", "dlp", "volfilter")
_ROLES = (
    *("gpu", "gpu", "net", "wifi", "audio", "audio", "input", "chipset", "chipset", "chipset"),
    *("usb", "tool", "tool", "anticheat", "virtual", "virtual", "vpn", "vpn", "backup", "print"),
    *("av", "edr"),
)


def begin(
    rng: Random,
    folder: Path,
    *,
    among: Sequence[Profile] = profiles.X64,
    avoid: Sequence[str] = (),
    without: Sequence[str] = (),
    days: int = 0,
    until: int = 1,
    uefi: bool | None = None,
    controller: str = "",
    old_trouble: bool = True,
    recent: int | None = None,
) -> Life:
    """A machine that has worked until `until` days before `m.now`; the scenario goes on there.

    `avoid`: drivers it does not have; `without`: roles. `recent`: how many innocent drivers came
    or were updated in the last ten days (by default none to two).
    """
    profile = rng.choice(among)
    m = Machine(rng, folder, profile, _today(rng, profile), uefi=uefi, controller=controller)
    life = Life(m)
    life.boot_logging = rng.random() < 0.3
    life.hybrid = profile.generation == "10" and not profile.server and rng.random() < 0.3
    life.keep_memory = rng.random() < 0.25
    life.boot_id = rng.randint(30, 400)
    calendar = _schedule(m, days or until + rng.randint(14, 30), until)
    _innocents(m, calendar, avoid, without, rng.randint(0, 2) if recent is None else recent)
    _past(life, calendar, old_trouble=old_trouble)
    content.everyday(m, max(on for on, _off in calendar.values()))
    return life


calm = partial(begin, recent=0, old_trouble=False)  # nothing has happened lately

Days = dict[int, tuple[datetime, datetime]]  # days ago -> when it was on, and off


def _schedule(m: Machine, days: int, until: int) -> Days:
    """When the machine was on, oldest day first. The last day is never skipped."""
    found: Days = {}
    for ago in range(days, until - 1, -1):
        if ago == until or m.rng.random() > 0.25:
            on = _morning(m, ago)
            found[ago] = (on, on + timedelta(hours=m.rng.uniform(1.6, 9)))
    return found


def _today(rng: Random, profile: Profile) -> datetime:
    first, last = {
        "7": (datetime(2014, 3, 1, tzinfo=UTC), datetime(2019, 12, 1, tzinfo=UTC)),
        "8": (datetime(2017, 3, 1, tzinfo=UTC), datetime(2022, 12, 1, tzinfo=UTC)),
    }.get(
        profile.generation,
        (datetime(2024, 2, 1, tzinfo=UTC), datetime(2025, 9, 1, tzinfo=UTC)),
    )
    if profile.build >= 26000:
        first, last = datetime(2025, 6, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
    day = first + timedelta(days=rng.randrange((last - first).days))
    return day + timedelta(hours=rng.randint(7, 18), seconds=rng.randrange(3600))


def _innocents(
    m: Machine, days: Days, avoid: Sequence[str], without: Sequence[str], recent: int
) -> None:
    rng = m.rng
    taken: list[Vendor] = []
    for role in rng.sample(_ROLES, rng.randint(8, min(20, len(_ROLES)))):
        if role in without or (role in ("anticheat", "input", "audio") and m.profile.server):
            continue
        if role in _ONE_EACH and any(vendor.role == role for vendor in taken):
            continue
        choice = [v for v in vendors.of(role) if v.name not in avoid and v not in taken]
        if choice:
            taken.append(rng.choice(choice))
    rng.shuffle(taken)
    for at, vendor in enumerate(taken):
        when = _some_time(m, days, late=at < recent)
        if rng.random() < 0.3 and when - m.installed > timedelta(days=20):
            m.install(vendor, m.installed + timedelta(days=rng.uniform(0.1, 15)))
        driver = m.install(vendor, when)
        driver.loaded = driver.start < 3 or rng.random() < 0.8


def _some_time(m: Machine, days: Days, *, late: bool) -> datetime:
    """While the machine was on. `late`: in its last ten days, though not on the last one."""
    rng = m.rng
    newest = min(days)
    ages = [ago for ago in days if newest < ago <= newest + 10]
    if late and ages:
        return days[rng.choice(ages)][0] + timedelta(minutes=rng.uniform(15, 90))
    span = (m.now - m.installed).total_seconds() - 12 * 86400
    when = m.installed + timedelta(seconds=rng.uniform(3600, span))
    if when < m.log_start:
        return when
    ages = [ago for ago in days if ago > newest + 10] or list(days)
    return days[rng.choice(ages)][0] + timedelta(minutes=rng.uniform(15, 90))


def _past(life: Life, days: Days, *, old_trouble: bool = True) -> None:
    """Sessions of ordinary weeks; one update; perhaps an old crash, or a power failure."""
    m = life.m
    rng = m.rng
    oldest, newest = max(days), min(days)
    crash_at = oldest - rng.randint(1, 4) if old_trouble and rng.random() < 0.4 else None
    power_at = rng.randint(newest + 3, oldest) if rng.random() < 0.3 else None
    for ago, (on, off) in days.items():
        if ago == crash_at and old_crash(life, on):
            continue
        sleeps = life.hybrid and ago != newest and rng.random() < 0.7
        usual = "asleep" if sleeps else "clean"
        life.session(on, off, end="power" if ago == power_at else usual)
    if m.serviced > m.log_start:
        noise.cumulative_update(m, m.serviced - timedelta(minutes=30))
    if rng.random() < 0.3:
        _stale_files(life)


def _morning(m: Machine, ago: int) -> datetime:
    day = m.now - timedelta(days=ago)
    rng = m.rng
    return day.replace(hour=rng.randint(5, 9), minute=rng.randint(0, 59), second=rng.randint(0, 59))


def old_crash(life: Life, on: datetime) -> bool:
    """Weeks ago another driver crashed once; it was updated the same day, and that was that."""
    m = life.m
    choices = [d for d in m.drivers.values() if d.vendor.role in ("gpu", "wifi", "audio", "net")]
    choices = [d for d in choices if d.changed < on - timedelta(days=3)]
    if not choices:
        return False
    driver = m.rng.choice(choices)
    at = on + timedelta(hours=m.rng.uniform(0.5, 3))
    code = 0x116 if driver.vendor.role == "gpu" else 0xD1
    callers = ("dxgkrnl.sys",) if driver.vendor.role == "gpu" else ("ndis.sys",)
    stop = stops.stop(m, at, code, driver.name, callers=callers, uptime=at - on)
    life.session(on, at, end="crash", stop=stop)
    life.session(at + timedelta(minutes=3), at + timedelta(hours=2))
    if m.rng.random() < 0.6:
        m.install(driver.vendor, at + timedelta(hours=1))
    return True


def _stale_files(life: Life) -> None:
    """A repair log of last year's trouble."""
    m = life.m
    when = m.installed + timedelta(days=20)
    content = srttrail.build([srttrail.Session(("A recently serviced boot binary is corrupt.",))])
    m.put("System32/LogFiles/Srt/SrtTrail.txt", content, when)


def pick(
    rng: Random,
    *roles: str,
    start: int | None = None,
    below: int = 4,
    avoid: Container[str] = (),
) -> Vendor:
    """A driver of one of these roles. `start`: exactly; `below`: of an earlier start."""
    choice = [v for v in vendors.of(*roles) if v.start < below and v.name not in avoid]
    return rng.choice([v for v in choice if start is None or v.start == start])


def innocent(life: Life, *, changed_before: datetime | None = None) -> Driver | None:
    """Somebody to be a bystander."""
    found = [d for d in life.m.drivers.values() if d.loaded and d.present]
    if changed_before is not None:
        found = [d for d in found if d.changed < changed_before]
    return life.m.rng.choice(found) if found else None
