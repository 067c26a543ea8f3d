"""A driver is to blame, but no dump survived: logs, file times and reports have to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events, hive, wer
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.tree import Built, Scenario

FAMILY = "driver-evidence-poor"


def _installed_today(
    rng: Random, folder: Path, *roles: str, quiet: bool = False, boot_log: bool = False
) -> tuple[Life, Driver]:
    """The only change for ten days: a boot- or system-start driver, in the last good session."""
    vendor = story.pick(rng, *roles, below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=[vendor.role])
    life.boot_logging = boot_log
    if boot_log:
        for ago in (26, 22):
            on = life.m.now - timedelta(hours=ago)
            life.session(on, on + timedelta(minutes=40))
    on, off = acts.session_of(life, rng.uniform(6, 9), 1.5)
    driver = life.m.install(vendor, on + timedelta(minutes=30), quiet=quiet)
    life.session(on, off)
    return life, driver


def only_boot_log(rng: Random, folder: Path) -> Built:
    """The boot log is on: earlier blocks go on, the last two end with the new driver."""
    life, driver = _installed_today(rng, folder, "av", "edr", "backup", "encrypt", boot_log=True)
    start = life.m.now - timedelta(hours=3)
    acts.failed_boots(life, start, 2, early=False, last=driver.name)
    life.m.crash_control["CrashDumpEnabled"] = hive.dword(0)
    return acts.blamed(
        life, driver.name, f"Both last boot logs end with {driver.name}, which is new."
    )


def only_change(rng: Random, folder: Path) -> Built:
    """Nothing at all was logged; but only one thing changed since the last good boot."""
    life, driver = _installed_today(rng, folder, "backup", "volfilter", "dlp", "encrypt")
    end = acts.failed_boots(life, life.m.now - timedelta(hours=3), 4)
    acts.startup_repair(life, end + timedelta(minutes=8))
    return acts.blamed(
        life, driver.name, f"{driver.name} is all that changed between good and failed boots."
    )


def error_reports(rng: Random, folder: Path) -> Built:
    """A cleaner removed the dumps; the error reports' buckets stayed."""
    vendor = story.pick(rng, "gpu", "wifi", "vpn", "audio")
    life = story.begin(rng, folder, avoid=[vendor.name], without=[vendor.role], old_trouble=False)
    m = life.m
    life.keep_dumps = life.report = life.keep_memory = False
    m.install(vendor, m.installed + timedelta(days=9))
    on, off = acts.session_of(life, 9, 1)
    driver = m.install(vendor, on + timedelta(minutes=15))
    life.session(on, off)
    when = off + timedelta(minutes=20)
    for number in range(3):
        at = when + timedelta(minutes=3)
        stop = acts.crash(life, at, 0xD1, driver, uptime=at - when)
        life.session(when, at, end="crash", stop=stop)
        bucket = f"AV_{driver.vendor.service}!unknown_function"
        name = f"Kernel_d1_{rng.getrandbits(80):020x}_00000000_{number}"
        content = wer.build(0xD1, stop.parameters, bucket, when=at + timedelta(minutes=2))
        path = f"../ProgramData/Microsoft/Windows/WER/ReportArchive/{name}/Report.wer"
        m.put(path, content, at + timedelta(minutes=2))
        when = at + timedelta(minutes=2)
    life.pending = None
    return acts.blamed(life, driver.name, f"Three error reports of today name {driver.name}.")


def repair_log(rng: Random, folder: Path) -> Built:
    """Startup Repair names a file; the file's header is damaged."""
    vendor = story.pick(rng, "backup", "encrypt", "storage", "av", "edr", start=0)
    life = story.begin(rng, folder, avoid=[vendor.name], without=[vendor.role], recent=0)
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=30))
    off = acts.session(life, 8, 1)
    driver.image = bytes(4096) + driver.image[4096:]
    driver.changed = off - timedelta(minutes=4)
    m.key_times[driver.name] = m.installed + timedelta(days=30)
    end = acts.failed_boots(life, off + timedelta(minutes=30), 3, error=0xC000_0221)
    path = f"c:\\windows\\system32\\drivers\\{vendor.name}"
    cause = f"Boot critical file {path} is corrupt."
    acts.startup_repair(life, end + timedelta(minutes=9), (cause,))
    return acts.blamed(
        life, driver.name, f"Startup Repair found {vendor.name} corrupt; its header is zeros."
    )


def events_and_install(rng: Random, folder: Path) -> Built:
    """Dumps are off; the stop events began minutes after the service was installed (7045)."""
    vendor = rng.choice([v for v in vendors.of("tool", "anticheat", "virtual") if not v.inf])
    life = story.calm(rng, folder, avoid=[vendor.name])
    m = life.m
    m.crash_control["CrashDumpEnabled"] = hive.dword(0)
    life.keep_dumps = life.report = life.keep_memory = False
    on, off = acts.session_of(life, 7, 1)
    driver = m.install(vendor, on + timedelta(minutes=40), start=2)
    life.session(on, off)
    when = off + timedelta(minutes=5)
    for _ in range(5):
        at = when + timedelta(minutes=1.5)
        acts.crashing_session(life, when, at, 0x3B, driver)
        when = at + timedelta(minutes=2)
    life.pending = None
    return acts.blamed(
        life, driver.name, f"{driver.name} was installed just before, and nothing else was."
    )


def file_times(rng: Random, folder: Path) -> Built:
    """No log tells of it: an updater replaced the file and its key, then no boot came up."""
    vendor = story.pick(rng, "av", "edr", "backup", start=0)
    life = story.calm(rng, folder, avoid=[vendor.name], without=[vendor.role])
    m = life.m
    m.install(vendor, m.installed + timedelta(days=12))
    on, off = acts.session_of(life, 7, 1.4)
    driver = m.install(vendor, on + timedelta(minutes=50), quiet=True)
    life.session(on, off)
    end = acts.failed_boots(life, off + timedelta(minutes=10), 3)
    acts.startup_repair(life, end + timedelta(minutes=7), (acts.UNSPECIFIED,))
    return acts.blamed(
        life, driver.name, f"{driver.name} was replaced minutes before the last shutdown."
    )


def not_loaded_since(rng: Random, folder: Path) -> Built:
    """Code integrity refuses a new version of a disk encryption driver; the boot needs it."""
    vendor = story.pick(rng, "encrypt")
    life = story.begin(rng, folder, avoid=[vendor.name], without=[vendor.role], recent=1)
    m = life.m
    m.install(vendor, m.installed + timedelta(days=2))
    on, off = acts.session_of(life, 8, 1)
    driver = m.install(vendor, on + timedelta(minutes=25))
    driver.error_control = 3
    life.session(on, off)
    path = f"\\Device\\HarddiskVolume3\\Windows\\{driver.path}".replace("/", "\\")
    m.log(events.code_integrity_refused(off - timedelta(minutes=20), path, 3004))
    end = acts.failed_boots(life, off + timedelta(minutes=9), 3, error=0xC000_0428)
    cause = f"A boot driver is not signed: c:\\windows\\system32\\drivers\\{vendor.name}"
    acts.startup_repair(life, end + timedelta(minutes=4), (cause,))
    return acts.blamed(
        life, driver.name, f"{driver.name}'s new version is refused, and boots fail since."
    )


def windows7(rng: Random, folder: Path) -> Built:
    """Windows 7, no dump, boot log of the last boot and a 7045."""
    vendor = story.pick(rng, "av", "backup", "virtual", below=2)
    life = story.begin(
        *(rng, folder),
        among=(profiles.WIN7, profiles.WIN7_X86, profiles.WIN81),
        avoid=[vendor.name],
        without=[vendor.role],
        recent=0,
    )
    life.boot_logging = True
    m = life.m
    for ago in (30, 20):
        start = m.now - timedelta(hours=ago)
        life.session(start, start + timedelta(hours=1))
    on, off = acts.session_of(life, 8, 1)
    driver = m.install(vendor, on + timedelta(minutes=25))
    life.session(on, off)
    acts.failed_boots(life, off + timedelta(minutes=12), 3, early=False, last=driver.name)
    return acts.blamed(life, driver.name, f"{driver.name} is new, and the boot log ends with it.")


SCENARIOS = tuple(
    Scenario(f"poor-{name}", FAMILY, Kind.DRIVER, build)
    for name, build in (
        ("only-boot-log", only_boot_log),
        ("only-change", only_change),
        ("error-reports", error_reports),
        ("repair-log", repair_log),
        ("events-and-install", events_and_install),
        ("file-times", file_times),
        ("refused", not_loaded_since),
        ("windows-7", windows7),
    )
)
