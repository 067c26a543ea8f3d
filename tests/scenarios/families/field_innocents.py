"""As met in the field: somebody stands beside the trouble, and is not the trouble."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events, hive
from tests.scenarios import acts, content, noise, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.stops import Stop
from tests.scenarios.tree import Built, Scenario

FAMILY = "field-innocents"
IN_PAGE = 0xC000_0006  # STATUS_IN_PAGE_ERROR: the code could not be read from the disk
_UNREADABLE = ("bad-block", "paging")
_BOOT_START = ("av", "edr", "backup", "volfilter", "encrypt", "dlp", "storage", "anticheat")


def _by_windows_update(life: Life, driver: Driver, when: datetime) -> None:
    title = f"{driver.vendor.company} - {driver.vendor.kind or 'System'} - {driver.version}"
    life.m.log(events.update_started(when - timedelta(minutes=2), title))
    life.m.log(events.update_installed(when + timedelta(seconds=30), title))


def in_page_errors(rng: Random, folder: Path) -> Built:
    """Exceptions in a driver that was updated today; each says that a page could not be read."""
    vendor = story.pick(rng, "gpu", "wifi", "audio")
    life = story.begin(rng, folder, avoid=[vendor.name], without=[vendor.role], old_trouble=False)
    m = life.m
    m.install(vendor, m.installed + timedelta(days=5))
    on, off = acts.session_of(life, 9, 1.5)
    driver = m.install(vendor, on + timedelta(minutes=30))
    _by_windows_update(life, driver, on + timedelta(minutes=30))
    acts.disk_trouble(life, on, 80, 6, *_UNREADABLE)
    life.session(on, off)
    when = off + timedelta(minutes=20)
    for code in (0x7E, 0x3B, 0x7E):
        at = when + timedelta(minutes=rng.uniform(2, 9))
        acts.disk_trouble(life, when, 2, 6, *_UNREADABLE)
        life.session(when, at, end="crash", stop=_unread(acts.crash(life, at, code, driver)))
        when = at + timedelta(minutes=3)
    why = f"{driver.name} raises 0xC0000006: its pages cannot be read, and blocks are bad."
    return acts.told(life, Kind.DISK, why, ntfs=acts.DIRTY)


def _unread(stop: Stop) -> Stop:
    status = IN_PAGE if stop.bugcheck == 0x3B else 0xFFFF_FFFF_0000_0000 | IN_PAGE
    return replace(stop, parameters=(status, *stop.parameters[1:]))


def disk_dies_after_update(rng: Random, folder: Path) -> Built:
    """Windows Update brought a boot-start driver, and in the same hours the disk began to die."""
    vendor = story.pick(rng, "backup", "volfilter", "av", "edr", start=0)
    life = story.begin(
        *(rng, folder), avoid=[vendor.name], without=["av", "edr", vendor.role], recent=0
    )
    m = life.m
    life.boot_logging = True
    m.install(vendor, m.installed + timedelta(days=5))
    on, off = acts.session_of(life, 9, 2)
    driver = m.install(vendor, on + timedelta(minutes=20))
    _by_windows_update(life, driver, on + timedelta(minutes=20))
    acts.disk_trouble(life, on, 110, 25, *_UNREADABLE)
    life.session(on, off, end="power")
    last = rng.choice(("volsnap.sys", "CLFS.SYS", "mup.sys"))
    names = {path.rsplit("\\", 1)[-1].lower() for path in m.load_order()}
    last = last if last.lower() in names else "ntfs.sys"
    acts.failed_boots(life, off + timedelta(minutes=4), 3, early=False, last=last)
    why = f"Dozens of bad blocks before boots began to hang; {driver.name} came that day by chance."
    return acts.told(life, Kind.DISK, why, ntfs=acts.DIRTY)


def technicians_scanner(rng: Random, folder: Path) -> Built:
    """Boots failed; in Safe Mode a scanner with a boot-start driver was tried; they fail on."""
    vendor = story.pick(rng, "vpn", "tool", "virtual", start=1)
    scanner = vendors.named("mbamswissarmy.sys")
    life = story.begin(
        *(rng, folder),
        avoid=[vendor.name, scanner.name],
        without=["av", "edr", vendor.role],
        recent=0,
    )
    m = life.m
    m.crash_control["CrashDumpEnabled"] = hive.dword(0)
    life.boot_logging = True
    on, off = acts.session_of(life, 10, 2)
    m.install(vendor, on + timedelta(minutes=45))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.failed_boots(life, start, 3, early=False, last=vendor.name)
    safe = start + timedelta(minutes=30)
    m.install(scanner, safe + timedelta(minutes=12))
    end = acts.safe_mode(life, safe, 40)
    acts.failed_boots(life, end + timedelta(minutes=2), 3, early=False, last=vendor.name)
    return acts.blamed(
        life, vendor.name, f"Boots ended at {vendor.name} before {scanner.name} came, and do after."
    )


def technicians_update(rng: Random, folder: Path) -> Built:
    """The same with dumps: between two rounds of crashes somebody updated the graphics driver."""
    vendor = story.pick(rng, "av", "edr", "backup", below=2)
    gpu = story.pick(rng, "gpu")
    life = story.begin(
        *(rng, folder),
        avoid=[vendor.name, gpu.name],
        without=["av", "edr", "gpu", vendor.role],
        recent=0,
    )
    m = life.m
    m.install(gpu, m.installed + timedelta(days=1))
    on, off = acts.session_of(life, 10, 2)
    driver = m.install(vendor, on + timedelta(minutes=45))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 3, 0x50, driver, after=25)
    safe = start + timedelta(minutes=30)
    m.install(gpu, safe + timedelta(minutes=12))
    end = acts.safe_mode(life, safe, 40)
    again = end + timedelta(minutes=2)
    acts.crashing_boots(life, again, 3, 0x50, driver, after=25)
    return acts.blamed(
        life, vendor.name, f"Both dumps name {vendor.name}; {gpu.name} was updated after the first."
    )


def two_in_one_session(rng: Random, folder: Path) -> Built:
    """A boot-start and a display driver came within minutes; the dumps show the kernel alone."""
    one = story.pick(rng, "av", "backup", "dlp", start=0)
    gpu = story.pick(rng, "gpu")
    life = story.calm(
        *(rng, folder),
        avoid=[one.name, gpu.name],
        without=["av", "edr", "gpu", one.role],
    )
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    m.install(one, on + timedelta(minutes=40))
    m.install(gpu, on + timedelta(minutes=44))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 4, rng.choice((0x139, 0x0A)), None)
    return acts.unclear(life, f"{one.name} or {gpu.name}: both came then, no dump names either.")


def already_disabled(rng: Random, folder: Path) -> Built:
    """All dumps fault in a driver that somebody has disabled since; below it stands the sensor."""
    vendor = story.pick(rng, "backup", "dlp", "volfilter", start=0)
    sensor = rng.choice([v for v in vendors.of("edr", "av") if v.type == 2 and v.start < 2])
    life = story.begin(
        *(rng, folder), avoid=[vendor.name, sensor.name], without=["av", "edr", vendor.role]
    )
    m = life.m
    m.install(sensor, m.installed + timedelta(days=20))
    on, off = acts.session_of(life, 10, 2)
    m.install(sensor, on + timedelta(minutes=10))
    driver = m.install(vendor, on + timedelta(minutes=50))
    life.session(on, off)
    when = off + timedelta(minutes=5)
    for _ in range(3):
        at = when + timedelta(minutes=rng.uniform(1, 4))
        stop = acts.crash(life, at, 0xD1, driver, callers=(sensor.file, "fltmgr.sys"))
        life.session(when, at, end="crash", stop=stop)
        when = at + timedelta(minutes=2)
    driver.start = 4
    m.class_filters = {
        guid: {
            side: [name for name in names if name != vendor.service]
            for side, names in lists.items()
        }
        for guid, lists in m.class_filters.items()
    }
    m.key_times[driver.name] = when + timedelta(minutes=40)
    m.hive_when = when + timedelta(minutes=41)
    return acts.blamed(
        life,
        vendor.name,
        f"Three dumps fault in {vendor.name}, disabled since; {sensor.name} only called it.",
    )


def weeks_of_crashes(rng: Random, folder: Path) -> Built:
    """An antivirus driver has crashed for two weeks, whatever definitions it had that day."""
    vendor = vendors.named(rng.choice(("klif.sys", "srtsp64.sys", "brightshield.sys")))
    life = story.begin(
        rng, folder, avoid=[vendor.name], without=["av", "edr"], until=13, days=25, recent=0
    )
    m = life.m
    driver = m.install(vendor, m.now - timedelta(days=13, hours=-2))
    for ago in (11, 8, 6, 3, 2):
        on = m.now - timedelta(days=ago, hours=2)
        at = on + timedelta(minutes=rng.uniform(20, 150))
        acts.crashing_session(life, on, at, 0xD1, driver)
        life.session(at + timedelta(minutes=4), at + timedelta(hours=5))
    on, off = acts.session_of(life, 9, 2)
    where, pattern = content.FOLDERS[vendor.file]
    content.series(m, where, pattern, on + timedelta(minutes=30), 5)
    m.put(f"{where}/{pattern.format(91)}", rng.randbytes(6000), on + timedelta(minutes=31))
    life.session(on, off)
    when = off + timedelta(minutes=5)
    for _ in range(2):
        at = when + timedelta(minutes=rng.uniform(1, 4))
        acts.crashing_session(life, when, at, 0xD1, driver)
        when = at + timedelta(minutes=2)
    return acts.blamed(
        life,
        vendor.name,
        f"{vendor.name} has crashed seven times since it came, with a week's definitions and all.",
    )


def machine_checks(rng: Random, folder: Path) -> Built:
    """It resets with fatal machine checks; one dump lies in the graphics driver of today."""
    gpu = story.pick(rng, "gpu")
    life = story.begin(
        rng, folder, among=profiles.CLIENTS, avoid=[gpu.name], without=["gpu"], old_trouble=False
    )
    m = life.m
    m.install(gpu, m.installed + timedelta(days=1))
    on, off = acts.session_of(life, 9, 1.5)
    driver = m.install(gpu, on + timedelta(minutes=30))
    _by_windows_update(life, driver, on + timedelta(minutes=30))
    life.session(on, off)
    when = off + timedelta(minutes=5)
    for number in range(5):
        at = when + timedelta(minutes=rng.uniform(2, 8))
        if number == 1:
            acts.crashing_session(life, when, at, 0x50, driver)
        else:
            life.session(when, at, end="power")
        m.log(events.whea(at + timedelta(minutes=3, seconds=20), fatal=True))
        when = at + timedelta(minutes=3)
    life.session(when, when + timedelta(minutes=3), end="power")
    return acts.told(
        life, Kind.HARDWARE, "Five fatal machine checks and resets; one of them hit a driver."
    )


def files_copied_back(rng: Random, folder: Path) -> Built:
    """A backup was copied back file by file: every file of Windows is of today."""
    vendor = story.pick(rng, "backup", "dlp", "av", start=0)
    life = story.calm(*(rng, folder), avoid=[vendor.name], without=_BOOT_START)
    m = life.m
    m.install(vendor, m.installed + timedelta(days=8))
    off = acts.session(life, 12, 1)
    copied = off + timedelta(hours=3)
    m.inbox_time = lambda name: copied + timedelta(seconds=len(name) * 9)  # type: ignore[method-assign]
    for driver in m.drivers.values():
        m.key_times.setdefault(driver.name, driver.changed + timedelta(seconds=2))
        driver.changed = copied + timedelta(seconds=rng.randint(0, 300))
    start = copied + timedelta(hours=1)
    acts.crashing_boots(life, start, 3, rng.choice((0x7E, 0x1E)), None, after=25)
    return acts.unclear(
        life, "All files carry the time of a copy; the dump shows the kernel alone."
    )


def makers_date(rng: Random, folder: Path) -> Built:
    """An installer that gives its file the maker's build date; only the service's key is new."""
    vendor = story.pick(rng, "tool", "av", "vpn", start=1)
    other = rng.choice([v for v in vendors.of("print", "usb", "input") if v.role != vendor.role])
    life = story.begin(
        *(rng, folder), avoid=[vendor.name, other.name], without=["av", "edr", vendor.role]
    )
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    driver = m.install(vendor, on + timedelta(minutes=30), quiet=True)
    m.key_times[driver.name] = driver.changed
    driver.changed = driver.changed - timedelta(days=rng.uniform(100, 500))
    m.install(other, on + timedelta(minutes=80))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 3, 0x7E, driver, after=25)
    return acts.blamed(
        life,
        vendor.name,
        f"The dump faults in {vendor.name}; its file has the maker's date, its key today's.",
    )


def update_of_windows(rng: Random, folder: Path) -> Built:
    """This month's update replaced the module that faults; the antivirus updated itself as well."""
    vendor = story.pick(rng, "av", "edr", start=0)
    life = story.calm(*(rng, folder), avoid=[vendor.name], without=["av", "edr"])
    m = life.m
    m.install(vendor, m.installed + timedelta(days=8))
    on, off = acts.session_of(life, 9, 2)
    m.install(vendor, on + timedelta(minutes=12))
    m.serviced = on + timedelta(minutes=70)
    noise.cumulative_update(m, on + timedelta(minutes=50))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(
        *(life, start, 3, 0x7E, None), after=25, fault="tcpip.sys", callers=("netio.sys",)
    )
    return acts.unclear(
        life,
        f"It faults in tcpip.sys, which the update replaced; {vendor.name} is not even on the "
        "stack, and the update is complete.",
    )


def fixed_then_other(rng: Random, folder: Path) -> Built:
    """Last week's crashes were one driver's, which was updated; today's are another's."""
    one = story.pick(rng, "backup", "dlp", "volfilter", start=0)
    two = story.pick(rng, "tool", "virtual", start=1)
    life = story.begin(
        *(rng, folder),
        avoid=[one.name, two.name],
        without=[one.role, two.role],
        until=7,
        days=22,
        old_trouble=False,
    )
    m = life.m
    old = m.install(one, m.installed + timedelta(days=8))
    when = m.now - timedelta(days=5)
    for _ in range(4):
        at = when + timedelta(minutes=rng.uniform(1, 4))
        acts.crashing_session(life, when, at, 0xD1, old)
        when = at + timedelta(minutes=2)
    m.install(one, when + timedelta(minutes=20))
    life.session(when, when + timedelta(hours=3))
    on, off = acts.session_of(life, 9, 2)
    driver = m.install(two, on + timedelta(minutes=30))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 3, 0xD1, driver, after=25)
    return acts.blamed(
        life,
        two.name,
        f"{one.name} was fixed days ago; today's dump names {two.name}, which is new.",
    )


SCENARIOS = tuple(
    Scenario(f"field-{name}", FAMILY, kind, build)
    for name, kind, build in (
        ("makers-date", Kind.DRIVER, makers_date),
        ("in-page-errors", Kind.DISK, in_page_errors),
        ("disk-dies-after-update", Kind.DISK, disk_dies_after_update),
        ("technicians-scanner", Kind.DRIVER, technicians_scanner),
        ("technicians-update", Kind.DRIVER, technicians_update),
        ("two-in-one-session", Kind.UNKNOWN, two_in_one_session),
        ("already-disabled", Kind.DRIVER, already_disabled),
        ("weeks-of-crashes", Kind.DRIVER, weeks_of_crashes),
        ("machine-checks", Kind.HARDWARE, machine_checks),
        ("files-copied-back", Kind.UNKNOWN, files_copied_back),
        ("update-of-windows", Kind.UNKNOWN, update_of_windows),
        ("fixed-then-other", Kind.DRIVER, fixed_then_other),
    )
)
