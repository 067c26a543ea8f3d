"""As met in the field: what looks like a change, or like a trace, and is neither."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events, srttrail
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "field-no-news"


def scanner_between(rng: Random, folder: Path) -> Built:
    """The kernel alone on the dumps, before and after a scanner was tried in Safe Mode."""
    scanner = vendors.named("mbamswissarmy.sys")
    life = story.calm(rng, folder, avoid=[scanner.name], without=["av", "edr"])
    m = life.m
    life.boot_logging = False
    off = acts.session(life, 10, 2)
    code = rng.choice(acts.KERNEL_CODES)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 3, code, None, after=28)
    safe = start + timedelta(minutes=25)
    m.install(scanner, safe + timedelta(minutes=10))
    end = acts.safe_mode(life, safe, 45)
    again = end + timedelta(minutes=2)
    acts.crashing_boots(life, again, 3, code, None, after=28)
    return acts.unclear(
        life, f"The same crash came before {scanner.name} did, and shows the kernel alone."
    )


def reinstalled_daily(rng: Random, folder: Path) -> Built:
    """A tool writes its driver anew and registers it at each start, for weeks: no news."""
    vendor = story.pick(rng, "tool", "virtual", start=1)
    life = story.calm(rng, folder, avoid=[vendor.name], without=[vendor.role], until=12, days=26)
    m = life.m
    for ago in range(11, 0, -1):
        on = m.now - timedelta(days=ago, hours=rng.uniform(2, 4))
        _register(life, vendor, on + timedelta(minutes=3))
        life.session(on, on + timedelta(hours=rng.uniform(2, 5)))
    on, off = acts.session_of(life, 9, 2)
    _register(life, vendor, on + timedelta(minutes=3))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.kernel_alone(life, start)
    return acts.unclear(
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
    vendor = story.pick(rng, "backup", "av", "edr", start=0)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    m.install(vendor, m.installed + timedelta(days=9))
    off = acts.session(life, 9, 2)
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    named = f"Boot critical file C:\\Windows\\System32\\drivers\\{vendor.file} is corrupt."
    sessions = [srttrail.Session((named,)), srttrail.Session((acts.NO_CAUSE,))]
    m.put(
        "System32/LogFiles/Srt/SrtTrail.txt", srttrail.build(sessions), end + timedelta(minutes=9)
    )
    return acts.unclear(life, f"{vendor.name} is whole; today's repair found no cause.")


def one_of_four(rng: Random, folder: Path) -> Built:
    """Four crashes in an hour; one lies in an old antivirus driver, three in the kernel."""
    vendor = story.pick(rng, "av", "edr", below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr"])
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=9))
    off = acts.session(life, 9, 1)
    when, named = off + timedelta(minutes=5), False
    for code in rng.choice(((0x50, 0x0A, 0x50, 0x0A), (0x0A, 0x50, 0x0A, 0x0A))):
        at = when + timedelta(minutes=rng.uniform(1, 9))
        who = driver if code == 0x50 and not named else None
        named = named or who is not None
        acts.crashing_session(life, when, at, code, who)
        when = at + timedelta(minutes=3)
    return acts.unclear(
        life, f"Three of four dumps show the kernel alone; {vendor.name} is months old."
    )


def other_disk(rng: Random, folder: Path) -> Built:
    """The bad blocks are those of a stick, not of the boot disk; boots fail without a trace."""
    life = story.calm(rng, folder)
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    for _ in range(25):
        when = on + timedelta(minutes=rng.uniform(2, 110))
        m.log(events.disk_bad_block(when, "\\Device\\Harddisk2\\DR7"))
        m.log(events.disk_retried(when, "\\Device\\Harddisk2\\DR7"))
    life.session(on, off, end="power")
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(
        life, "Disk 2, a stick, is dying; nothing is said of the boot disk.", ntfs=acts.DIRTY
    )


def other_disk_and_driver(rng: Random, folder: Path) -> Built:
    """The same stick, and a driver that crashes every boot."""
    vendor = story.pick(rng, "vpn", "tool", "backup", below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=[vendor.role])
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    for _ in range(25):
        when = on + timedelta(minutes=rng.uniform(2, 110))
        m.log(events.disk_bad_block(when, "\\Device\\Harddisk2\\DR7"))
    driver = m.install(vendor, on + timedelta(minutes=70))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 3, 0x7E, driver, after=28)
    why = f"The dump faults in {vendor.name}, which is new; the bad blocks are a stick's."
    return acts.told(life, Kind.DRIVER, why, vendor.name, ntfs=acts.DIRTY)


def resumed_for_days(rng: Random, folder: Path) -> Built:
    """Fast Startup: the driver of three days ago meets its first real boot today, and crashes it;
    in between came another one, which nothing names."""
    one = story.pick(rng, "vpn", "tool", "backup", below=2)
    two = rng.choice([v for v in vendors.of("usb", "input", "print") if v.role != one.role])
    life = story.calm(
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
    acts.crashing_boots(life, start, 3, 0xD1, driver, after=28)
    why = f"{one.name} came three days ago, and this is the first full boot since: its dump."
    return acts.blamed(life, one.name, why)


def dump_of_old_windows(rng: Random, folder: Path) -> Built:
    """Windows was installed anew yesterday over the old one; MEMORY.DMP is the old one's."""
    gpu = story.pick(rng, "gpu")
    life = story.calm(rng, folder, avoid=[gpu.name], without=["gpu"], among=profiles.CLIENTS)
    m = life.m
    driver = m.install(gpu, m.installed + timedelta(days=2))
    old = m.now - timedelta(days=2)
    stop = acts.crash(life, old, 0x116, driver)
    m.installed = m.now - timedelta(days=1)
    m.log_start = m.installed
    driver.installed = driver.changed = m.installed + timedelta(hours=1)
    m.put("../Windows.old/Windows/MEMORY.DMP", stop.whole(m), old)
    m.put("MEMORY.DMP", stop.whole(m), old)
    acts.session(life, 20, 3)
    off = acts.session(life, 9, 2)
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(life, "The only dump is older than this Windows; its boots left no trace.")


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
