"""Machines with nothing wrong, however noisy."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events, servicing
from tests.scenarios import acts, noise, profiles, story, vendors, write
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "healthy"


def _today(life: Life, end: str = "clean") -> datetime:
    on, off = acts.session_of(life, life.m.rng.uniform(4, 8), 1.5)
    life.session(on, off, end=end)
    return on


def plain(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.EVERY)
    _today(life)
    return acts.well(life, "Every boot came up and was shut down.")


def recent_drivers(rng: Random, folder: Path) -> Built:
    """Three drivers came this week, one of them boot-start; all is well."""
    life = story.begin(rng, folder, recent=3)
    m = life.m
    vendor = story.pick(rng, "backup", "tool", "dlp", avoid=m.drivers)
    on, off = acts.session_of(life, 9, 1.2)
    m.install(vendor, on + timedelta(minutes=20))
    life.session(on, off)
    life.session(off + timedelta(minutes=5), off + timedelta(hours=3))
    return acts.well(life, f"{vendor.name} came today, and the machine has been started since.")


def old_dumps(rng: Random, folder: Path) -> Built:
    """Four crashes of a graphics driver a month ago; it was updated, none since."""
    gpu = story.pick(rng, "gpu")
    life = story.begin(rng, folder, days=40, avoid=[gpu.name], without=("gpu",))
    m = life.m
    m.log_start = m.now - timedelta(days=60)
    driver = m.install(gpu, m.installed + timedelta(days=3))
    start = m.now - timedelta(days=47)
    for number in range(4):
        on = start + timedelta(hours=7 * number)
        at = on + timedelta(hours=1)
        acts.crashing_session(life, on, at, 0x116, driver)
    life.session(start + timedelta(hours=29), start + timedelta(hours=33))
    m.install(gpu, start + timedelta(hours=30))
    _today(life)
    return acts.well(life, f"{gpu.name} was updated six weeks ago and has not crashed since.")


def power_cut(rng: Random, folder: Path) -> Built:
    """The power failed yesterday; the machine came up again."""
    life = story.begin(rng, folder)
    _today(life, "power")
    on = life.m.now - timedelta(hours=2)
    life.session(on, on + timedelta(hours=1))
    return acts.well(life, "The session after the power failure ended cleanly.")


def pulled_running(rng: Random, folder: Path) -> Built:
    """The disk of a running machine: the last session has no end."""
    life = story.begin(rng, folder)
    on = life.m.now - timedelta(hours=rng.uniform(1, 5))
    life.session(on, life.m.now, end="running")
    m = life.m
    m.hive_when = m.now
    return acts.well(
        life,
        "The last boot came up, somebody logged on, and it ran until the end.",
        ntfs=acts.IN_USE,
    )


def pending_reboot(rng: Random, folder: Path) -> Built:
    """An ordinary update waits for a restart, and a browser's updater wants a file deleted."""
    life = story.begin(rng, folder)
    m = life.m
    on = _today(life)
    noise.cumulative_update(m, on + timedelta(minutes=20))
    m.software["RebootPending"] = {}
    m.session_manager["PendingFileRenameOperations"] = servicing.renames(
        ("\\??\\C:\\Program Files (x86)\\Microsoft\\EdgeUpdate\\1.3.185.29\\psmachine.dll", ""),
        ("\\??\\C:\\Windows\\Temp\\~nsu.tmp\\Au_.exe", ""),
    )
    return acts.well(life, "An update waits for a restart; no boot has failed.")


def hibernated(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.CLIENTS)
    life.hybrid = True
    _today(life, "asleep")
    return acts.well(life, "It was shut down by Fast Startup and would resume.")


def boot_log_noise(rng: Random, folder: Path) -> Built:
    """Boot logging has been on for weeks: thousands of NOT_LOADED lines, as always."""
    life = story.begin(rng, folder)
    m = life.m
    life.boot_logging = True
    more = tuple(
        f"@oem{rng.randint(3, 40)}.inf,%{v.service.lower()}.svcdesc%;{v.product}"
        for v in rng.sample(vendors.everyone(), 14)
    )
    repeated = tuple(d.logged for d in m.drivers.values()) * 2
    life.noise_blocks = (*life.noise_blocks, *more, *repeated)
    for ago in (12, 9, 7):
        on = m.now - timedelta(hours=ago)
        life.session(on, on + timedelta(hours=1))
    return acts.well(life, "Drivers that are not loaded a second time are no fault.")


def audit_noise(rng: Random, folder: Path) -> Built:
    """Code integrity in audit mode complains about drivers it lets through."""
    life = story.begin(rng, folder, among=profiles.CLIENTS)
    m = life.m
    on = _today(life)
    for driver in list(m.drivers.values())[:5]:
        path = f"\\Device\\HarddiskVolume3\\Windows\\{driver.path}".replace("/", "\\")
        for number in (3076, 3076):
            m.log(events.code_integrity_refused(on + timedelta(seconds=40), path, number))
    for name in ("mbae64.dll", "hook64.dll"):
        path = f"\\Device\\HarddiskVolume3\\Program Files\\Vendor\\{name}"
        when = on + timedelta(minutes=3)
        process = "\\Device\\HarddiskVolume3\\Program Files\\Browser\\browser.exe"
        m.log(events.code_integrity_refused(when, path, 3033, process=process))
    return acts.well(life, "Code integrity only watched, or kept a DLL out of a browser.")


def safe_mode_last_week(rng: Random, folder: Path) -> Built:
    """Somebody cleaned up in Safe Mode a week ago; the boot log is of that day."""
    life = story.begin(rng, folder, until=3)
    m = life.m
    life.boot_logging = False
    acts.safe_mode(life, m.now - timedelta(days=2, hours=6), 40)
    for ago in (46, 22, 7):
        on = m.now - timedelta(hours=ago)
        life.session(on, on + timedelta(hours=2))
    return acts.well(life, "Safe Mode came and went; three normal sessions followed.")


def recovered_hive(rng: Random, folder: Path) -> Built:
    """The power failed in the last session and its registry is dirty, with whole logs: normal."""
    life = story.begin(rng, folder, among=profiles.CLIENTS)
    on = life.m.now - timedelta(hours=5)
    life.session(on, on + timedelta(hours=2), end="power")
    life.session(on + timedelta(hours=3), life.m.now, end="running")
    return acts.told(
        *(life, Kind.HEALTHY, "The hive is dirty as that of any running machine is."),
        damage=write.Damage(dirty=True),
        ntfs=acts.IN_USE,
    )


def cdrom_filter(rng: Random, folder: Path) -> Built:
    """A burning program left its name in the filters of CD drives: no boot cares."""
    life = story.begin(rng, folder)
    life.m.filter("cdrom", "GEARAspiWDM")
    _today(life)
    return acts.well(
        life, "A filter of CD drives whose driver is gone keeps no Windows from starting."
    )


def dead_clock(rng: Random, folder: Path) -> Built:
    """The battery of the clock is empty: sessions begin in 2009 until the network corrects it."""
    life = story.begin(rng, folder, old_trouble=False)
    m = life.m
    true = m.now - timedelta(hours=6)
    life.clock = m.profile.released.replace(month=1, day=1) - true
    life.session(true, true + timedelta(minutes=30))
    life.clock = timedelta(0)
    life.session(true + timedelta(hours=1), true + timedelta(hours=3))
    return acts.well(life, "Its clock was wrong for one session; all sessions ended well.")


def survived_crash(rng: Random, folder: Path) -> Built:
    """One crash two days ago; since then it has been started and shut down four times."""
    life = story.begin(rng, folder, until=3, old_trouble=False)
    m = life.m
    on = m.now - timedelta(hours=50)
    at = on + timedelta(hours=1)
    driver = story.innocent(life)
    code = rng.choice((0xD1, 0x133))
    acts.crashing_session(life, on, at, code if driver else 0x0A, driver)
    for ago in (48, 30, 24, 7):
        start = m.now - timedelta(hours=ago)
        life.session(start, start + timedelta(hours=3))
    return acts.well(life, "It crashed once, and has been well for four sessions since.")


def disk_filters(rng: Random, folder: Path) -> Built:
    """Backup, encryption and cache drivers stand in the way of every disk, as they should."""
    life = story.begin(rng, folder, without=("backup", "encrypt", "volfilter", "dlp"))
    m = life.m
    for role in ("backup", "encrypt", "volfilter"):
        vendor = rng.choice([v for v in vendors.of(role) if v.type == 1])
        m.install(vendor, m.installed + timedelta(days=rng.uniform(1, 90)))
    _today(life)
    return acts.well(life, "Third-party filters of the boot disk are there, and load.")


def raid_controller(rng: Random, folder: Path) -> Built:
    """The boot disk hangs on a vendor's RAID driver; Windows' own ones are overridden."""
    vendor = story.pick(rng, "storage")
    life = story.begin(rng, folder, without=("storage",), controller=vendor.service)
    acts.boot_controller(life, vendor, life.m.installed + timedelta(hours=2))
    _today(life)
    return acts.well(life, f"{vendor.name} starts the disk, as it always has.")


SCENARIOS = tuple(
    Scenario(f"healthy-{name}", FAMILY, Kind.HEALTHY, build)
    for name, build in (
        ("plain", plain),
        ("recent-drivers", recent_drivers),
        ("old-dumps", old_dumps),
        ("power-cut", power_cut),
        ("pulled-running", pulled_running),
        ("pending-reboot", pending_reboot),
        ("hibernated", hibernated),
        ("boot-log-noise", boot_log_noise),
        ("audit-noise", audit_noise),
        ("safe-mode-last-week", safe_mode_last_week),
        ("dirty-hive-with-logs", recovered_hive),
        ("cdrom-filter", cdrom_filter),
        ("dead-clock", dead_clock),
        ("survived-crash", survived_crash),
        ("disk-filters", disk_filters),
        ("raid-controller", raid_controller),
    )
)
