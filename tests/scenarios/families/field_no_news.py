"""As met in the field: what looks like a change, or like a trace, and is neither."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind, NtfsState
from tests.builders import events, srttrail
from tests.scenarios import acts, profiles, stops, story, vendors, write
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario, Truth

FAMILY = "field-no-news"
DIRTY = NtfsState(dirty=True, log_unclean=True, hibernated=False)
_KERNEL_CODES = (0x139, 0x0A, 0x1E)


def _begin(rng: Random, folder: Path, **how: object) -> Life:
    given: dict[str, object] = {"recent": 0, "old_trouble": False, "among": profiles.X64}
    return story.begin(rng, folder, **{**given, **how})  # type: ignore[arg-type]


def _unknown(life: Life, why: str, ntfs: NtfsState | None = None) -> Built:
    return write.finish(life, Truth(Kind.UNKNOWN, frozenset(), why), ntfs=ntfs)


def scanner_between(rng: Random, folder: Path) -> Built:
    """The kernel alone on the dumps, before and after a scanner was tried in Safe Mode."""
    scanner = vendors.named("mbamswissarmy.sys")
    life = _begin(rng, folder, avoid=[scanner.name], without=["av", "edr"])
    m = life.m
    life.boot_logging = False
    on, off = acts.session_of(life, 10, 2)
    life.session(on, off)
    code = rng.choice(_KERNEL_CODES)
    start = off + timedelta(minutes=5)
    stop = stops.stop(m, start + timedelta(seconds=28), code, "")
    acts.failed_boots(life, start, 3, stop=stop, early=False)
    safe = start + timedelta(minutes=25)
    m.install(scanner, safe + timedelta(minutes=10))
    end = acts.safe_mode(life, safe, 45)
    again = end + timedelta(minutes=2)
    stop = stops.stop(m, again + timedelta(seconds=28), code, "")
    acts.failed_boots(life, again, 3, stop=stop, early=False)
    return _unknown(
        life, f"The same crash came before {scanner.name} did, and shows the kernel alone."
    )


def reinstalled_daily(rng: Random, folder: Path) -> Built:
    """A tool writes its driver anew and registers it at each start, for weeks: no news."""
    vendor = rng.choice([v for v in vendors.of("tool", "virtual") if v.start == 1])
    life = _begin(rng, folder, avoid=[vendor.name], without=[vendor.role], until=12, days=26)
    m = life.m
    for ago in range(11, 0, -1):
        on = m.now - timedelta(days=ago, hours=rng.uniform(2, 4))
        _register(life, vendor, on + timedelta(minutes=3))
        life.session(on, on + timedelta(hours=rng.uniform(2, 5)))
    on, off = acts.session_of(life, 9, 2)
    _register(life, vendor, on + timedelta(minutes=3))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    stop = stops.stop(m, start + timedelta(seconds=28), rng.choice(_KERNEL_CODES), "")
    acts.failed_boots(life, start, 3, stop=stop, early=False)
    return _unknown(
        life, f"{vendor.name} is set up anew every day, and the dump shows the kernel alone."
    )


def _register(life: Life, vendor: vendors.Vendor, when: datetime) -> None:
    m = life.m
    known = m.drivers.get(vendor.name)
    driver = m.install(vendor, when, version=vendor.version, quiet=True)
    if known is not None:
        driver.image = known.image
    path = f"C:\\Windows\\System32\\drivers\\{vendor.file}"
    m.log(events.service_installed(when, vendor.service, path, start="system start"))


def repaired_long_ago(rng: Random, folder: Path) -> Built:
    """Startup Repair's log has last year's session, which names a driver, and today's, which
    names nobody."""
    vendor = rng.choice([v for v in vendors.of("backup", "av", "edr") if v.start == 0])
    life = _begin(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    m.install(vendor, m.installed + timedelta(days=9))
    on, off = acts.session_of(life, 9, 2)
    life.session(on, off)
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    named = f"Boot critical file C:\\Windows\\System32\\drivers\\{vendor.file} is corrupt."
    sessions = [srttrail.Session((named,)), srttrail.Session((acts.NO_CAUSE,))]
    m.put(
        "System32/LogFiles/Srt/SrtTrail.txt", srttrail.build(sessions), end + timedelta(minutes=9)
    )
    return _unknown(life, f"{vendor.name} is whole; today's repair found no cause.")


def one_of_four(rng: Random, folder: Path) -> Built:
    """Four crashes in an hour; one lies in an old antivirus driver, three in the kernel."""
    vendor = rng.choice([v for v in vendors.of("av", "edr") if v.start < 2])
    life = _begin(rng, folder, avoid=[vendor.name], without=["av", "edr"])
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=9))
    on, off = acts.session_of(life, 9, 1)
    life.session(on, off)
    when, named = off + timedelta(minutes=5), False
    for code in rng.choice(((0x50, 0x0A, 0x50, 0x0A), (0x0A, 0x50, 0x0A, 0x0A))):
        at = when + timedelta(minutes=rng.uniform(1, 9))
        if code == 0x50 and not named:
            stop, named = acts.crash(life, at, code, driver, uptime=at - when), True
        else:
            stop = stops.stop(m, at, code, "", uptime=at - when)
        life.session(when, at, end="crash", stop=stop)
        when = at + timedelta(minutes=3)
    return _unknown(
        life,
        f"Three of four dumps show the kernel alone; {vendor.name} is months old.",
    )


def other_disk(rng: Random, folder: Path) -> Built:
    """The bad blocks are those of a stick, not of the boot disk; boots fail without a trace."""
    life = _begin(rng, folder)
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    for _ in range(25):
        when = on + timedelta(minutes=rng.uniform(2, 110))
        m.log(events.disk_bad_block(when, "\\Device\\Harddisk2\\DR7"))
        m.log(events.disk_retried(when, "\\Device\\Harddisk2\\DR7"))
    life.session(on, off, end="power")
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return _unknown(life, "Disk 2, a stick, is dying; nothing is said of the boot disk.", DIRTY)


def other_disk_and_driver(rng: Random, folder: Path) -> Built:
    """The same stick, and a driver that crashes every boot."""
    vendor = rng.choice([v for v in vendors.of("vpn", "tool", "backup") if v.start < 2])
    life = _begin(rng, folder, avoid=[vendor.name], without=[vendor.role])
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    for _ in range(25):
        when = on + timedelta(minutes=rng.uniform(2, 110))
        m.log(events.disk_bad_block(when, "\\Device\\Harddisk2\\DR7"))
    driver = m.install(vendor, on + timedelta(minutes=70))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    stop = acts.crash(life, start + timedelta(seconds=28), 0x7E, driver)
    acts.failed_boots(life, start, 3, stop=stop, early=False, last=vendor.name)
    why = f"The dump faults in {vendor.name}, which is new; the bad blocks are a stick's."
    return write.finish(life, Truth(Kind.DRIVER, frozenset([vendor.name]), why), ntfs=DIRTY)


def resumed_for_days(rng: Random, folder: Path) -> Built:
    """Fast Startup: the driver of three days ago meets its first real boot today, and crashes it;
    in between came another one, which nothing names."""
    one = rng.choice([v for v in vendors.of("vpn", "tool", "backup") if v.start < 2])
    two = rng.choice([v for v in vendors.of("usb", "input", "print") if v.role != one.role])
    life = _begin(
        *(rng, folder),
        among=profiles.CLIENTS,
        avoid=[one.name, two.name],
        without=[one.role],
        until=4,
    )
    m = life.m
    life.hybrid, life.asleep = True, False
    driver = None
    for ago in (78, 54, 30):
        on = m.now - timedelta(hours=ago)
        if driver is None:
            driver = m.install(one, on + timedelta(minutes=30))
        life.session(on, on + timedelta(hours=4), end="asleep")
    assert driver is not None
    on, off = acts.session_of(life, 9, 2)
    m.install(two, on + timedelta(minutes=20))
    life.session(on, off)
    start = off + timedelta(minutes=1)
    stop = acts.crash(life, start + timedelta(seconds=28), 0xD1, driver)
    acts.failed_boots(life, start, 3, stop=stop, early=False, last=one.name)
    why = f"{one.name} came three days ago, and this is the first full boot since: its dump."
    return write.finish(life, Truth(Kind.DRIVER, frozenset([one.name]), why))


def dump_of_old_windows(rng: Random, folder: Path) -> Built:
    """Windows was installed anew yesterday over the old one; MEMORY.DMP is the old one's."""
    gpu = story.pick(rng, "gpu")
    life = _begin(rng, folder, avoid=[gpu.name], without=["gpu"], among=profiles.CLIENTS)
    m = life.m
    driver = m.install(gpu, m.installed + timedelta(days=2))
    old = m.now - timedelta(days=2)
    stop = acts.crash(life, old, 0x116, driver)
    m.installed = m.now - timedelta(days=1)
    m.log_start = m.installed
    driver.installed = driver.changed = m.installed + timedelta(hours=1)
    m.put("../Windows.old/Windows/MEMORY.DMP", stop.whole(m), old)
    m.put("MEMORY.DMP", stop.whole(m), old)
    on, off = acts.session_of(life, 20, 3)
    life.session(on, off)
    on, off = acts.session_of(life, 9, 2)
    life.session(on, off)
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return _unknown(life, "The only dump is older than this Windows; its boots left no trace.")


SCENARIOS = tuple(
    Scenario(f"field-{name}", FAMILY, kind, build)
    for name, kind, build in (
        ("dump-of-old-windows", Kind.UNKNOWN, dump_of_old_windows),
        ("other-disk-and-driver", Kind.DRIVER, other_disk_and_driver),
        ("scanner-between", Kind.UNKNOWN, scanner_between),
        ("reinstalled-daily", Kind.UNKNOWN, reinstalled_daily),
        ("repaired-long-ago", Kind.UNKNOWN, repaired_long_ago),
        ("one-of-four", Kind.UNKNOWN, one_of_four),
        ("other-disk", Kind.UNKNOWN, other_disk),
        ("resumed-for-days", Kind.DRIVER, resumed_for_days),
    )
)
