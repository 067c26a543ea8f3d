"""As met in the field: it looks ill, or was, and starts every day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind, NtfsState
from tests.builders import events, hive, servicing, srttrail
from tests.builders.evtx import Event, Provider, text
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "field-healthy"
_EVENTLOG = Provider("Microsoft-Windows-Eventlog", "{fc65ddd8-d6ef-4962-83d5-6e5cfe9ce148}")
_LOGGED_ON = 7001


def _log_cleared(when: datetime) -> Event:
    """104 of Microsoft-Windows-Eventlog: "The System log file was cleared"."""
    data = (
        ("SubjectUserName", text("user")),
        ("SubjectDomainName", text("DESKTOP")),
        ("Channel", text("System")),
        ("BackupPath", text("")),
    )
    return Event(when, _EVENTLOG, 104, data, task=104)


def _old_dumps(life: Life, days: int, count: int) -> str:
    """A series of crashes long ago."""
    m = life.m
    driver = story.innocent(life, changed_before=m.now - timedelta(days=days + 10))
    if driver is None:
        return "nobody"
    start = m.now - timedelta(days=days)
    for number in range(count):
        on = start + timedelta(hours=9 * number)
        at = on + timedelta(minutes=50)
        acts.crashing_session(life, on, at, 0xD1, driver)
    life.session(start + timedelta(hours=9 * count), start + timedelta(hours=9 * count + 3))
    return driver.name


def log_cleared(rng: Random, folder: Path) -> Built:
    """Five dumps of two months ago; the log was cleared yesterday and knows two sessions."""
    life = story.begin(rng, folder, old_trouble=False, until=2)
    m = life.m
    name = _old_dumps(life, 60, 5)
    on, off = acts.session_of(life, 30, 4)
    life.session(on, off)
    m.log_start = on + timedelta(hours=1)
    m.log(_log_cleared(m.log_start))
    acts.session(life, 7, 1.5)
    return acts.well(life, f"{name} crashed two months ago; today's session ended well.")


def log_cleared_running(rng: Random, folder: Path) -> Built:
    """The log was cleared in the session that still runs: nobody's start is left in it."""
    life = story.begin(rng, folder, old_trouble=False)
    m = life.m
    name = _old_dumps(life, 60, 5)
    on = m.now - timedelta(hours=8)
    life.session(on, m.now, end="running")
    m.log_start = on + timedelta(hours=1)
    m.log(_log_cleared(m.log_start))
    for minutes in range(70, 480, 7):
        m.log(events.service_state(on + timedelta(minutes=minutes), "Windows Update", "running"))
    m.hive_when = m.now
    return acts.well(
        life, f"{name} crashed two months ago; it ran for hours until now.", ntfs=acts.IN_USE
    )


def power_button(rng: Random, folder: Path) -> Built:
    """Its owner switches it off at the wall every evening."""
    life = story.begin(rng, folder, until=7, days=20, old_trouble=False)
    life.hybrid = False
    for ago in (150, 126, 102, 78, 54, 30, 7):
        acts.session(life, ago, rng.uniform(1, 6), end="power")
    return acts.well(
        life, "Every session lasts for hours and ends at the wall; none fails.", ntfs=acts.IN_USE
    )


def headless(rng: Random, folder: Path) -> Built:
    """A server nobody logs on to, in a cupboard with bad power."""
    life = story.begin(
        rng, folder, among=(profiles.SERVER_2019, profiles.SERVER_2022), until=9, days=24
    )
    m = life.m
    when = m.now - timedelta(days=8)
    for number in range(4):
        off = m.now if number == 3 else when + timedelta(hours=rng.uniform(20, 40))
        life.session(when, off, end="running" if number == 3 else "power")
        hours = int((off - when).total_seconds() // 3600)
        for hour in range(1, hours, 2):
            for minute in (0, 2, 4, 6, 9):
                at = when + timedelta(hours=hour, minutes=minute)
                m.log(events.service_state(at, "Windows Update", "running"))
        when = off + timedelta(minutes=rng.uniform(4, 90))
    m.logs["System"] = [pair for pair in m.logs["System"] if pair[1].id != _LOGGED_ON]
    m.hive_when = m.now
    return acts.well(
        life, "It lost power three times in a week and ran for days each time.", ntfs=acts.IN_USE
    )


def weekly_crash(rng: Random, folder: Path) -> Built:
    """Once a week a driver crashes after hours of work; the last time was four days ago."""
    gpu = story.pick(rng, "gpu")
    life = story.begin(
        rng, folder, avoid=[gpu.name], without=["gpu"], until=19, days=30, old_trouble=False
    )
    m = life.m
    driver = m.install(gpu, m.installed + timedelta(days=2))
    for ago in range(18, 0, -1):
        on = m.now - timedelta(days=ago, hours=3)
        off = on + timedelta(hours=rng.uniform(2, 5))
        if ago in (18, 11, 4):
            acts.crashing_session(life, on, off, 0x116, driver)
            life.session(off + timedelta(minutes=3), off + timedelta(hours=2))
        else:
            life.session(on, off)
    acts.session(life, 6, 1.5)
    return acts.well(life, f"{gpu.name} crashes now and then, after hours; every boot comes up.")


def uninstalled(rng: Random, folder: Path) -> Built:
    """A driver crashed three boots yesterday; it was uninstalled in Safe Mode; all is well."""
    vendor = story.pick(rng, "tool", "vpn", "virtual", start=1)
    life = story.begin(
        rng, folder, avoid=[vendor.name], without=[vendor.role], until=2, old_trouble=False
    )
    m = life.m
    on = m.now - timedelta(hours=30)
    driver = m.install(vendor, on + timedelta(minutes=20))
    life.session(on, on + timedelta(hours=1))
    when = on + timedelta(hours=1, minutes=5)
    for _ in range(3):
        at = when + timedelta(minutes=1)
        acts.crashing_session(life, when, at, 0xD1, driver)
        when = at + timedelta(minutes=2)
    end = acts.safe_mode(life, when, 20)
    driver.present = driver.registered = False
    life.session(end + timedelta(minutes=2), end + timedelta(hours=4))
    acts.session(life, 7, 1.5)
    return acts.well(life, f"{vendor.name} crashed yesterday and is gone; all is well since.")


def laboratory(rng: Random, folder: Path) -> Built:
    """A developer's machine: test signing, leftovers, filters of keyboards and CD drives."""
    life = story.begin(rng, folder, among=profiles.CLIENTS)
    m = life.m
    m.boot_entries["16000049"] = b"\x01"
    m.boot_entries["16000048"] = b"\x01"
    m.filter("keyboard", "oldkbflt")
    m.filter("mouse", "oldmouflt")
    m.filter("cdrom", "GEARAspiWDM")
    m.memory_management["VerifyDrivers"] = hive.sz("mydrv.sys otherdrv.sys")
    m.memory_management["VerifyDriverLevel"] = hive.dword(0x209BB)
    old = m.installed + timedelta(days=9)
    for name, start in (("oldprobe", 0), ("oldtrace", 1)):
        values = {
            "Type": hive.dword(1),
            "Start": hive.dword(start),
            "ErrorControl": hive.dword(1),
            "ImagePath": hive.expand_sz(f"System32\\drivers\\{name}.sys"),
        }
        m.extra_services[name] = hive.Node(values, old)
    acts.session(life, 30, 3)
    acts.session(life, 7, 1.5)
    return acts.well(life, "Odd, and started twice since yesterday.")


def phantom_controllers(rng: Random, folder: Path) -> Built:
    """Controllers of earlier mainboards are still registered; their drivers went today."""
    life = story.begin(rng, folder, without=["storage"], recent=0)
    m = life.m
    on, off = acts.session_of(life, 8, 2)
    gone, off_ = rng.sample(vendors.of("storage"), 2)
    for vendor in (gone, off_):
        driver = m.install(vendor, m.installed + timedelta(hours=3))
        driver.loaded = False
        if vendor is gone:
            driver.present = driver.registered = False
        else:
            driver.start = 4
            m.key_times[driver.name] = on + timedelta(minutes=20)
    life.session(on, off)
    if rng.random() < 0.5:
        life.session(off + timedelta(minutes=9), off + timedelta(hours=2))
    return acts.well(life, f"{m.controller} starts the disk; the other controllers are not there.")


def hibernated(rng: Random, folder: Path) -> Built:
    """Not Fast Startup: it was hibernated in the middle of work, three times in a row."""
    life = story.begin(rng, folder, among=profiles.CLIENTS)
    m = life.m
    life.hybrid = True
    off = acts.session(life, 9, 1, end="running")
    m.log(events.entering_sleep(off, 5, 5))
    for hours in (7, 5):
        when = m.now - timedelta(hours=hours)
        m.log(events.boot_type(when, 2))
        m.log(events.service_state(when + timedelta(minutes=1), "Windows Update", "running"))
        m.log(events.entering_sleep(when + timedelta(minutes=50), 5, 5))
        off = when + timedelta(minutes=50)
    m.hive_when = life.written = off
    life.asleep, life.log_open = True, False
    ntfs = NtfsState(dirty=False, log_unclean=True, hibernated=True)
    return acts.well(life, "It is hibernated, and came out of hibernation twice today.", ntfs=ntfs)


def pending_for_months(rng: Random, folder: Path) -> Built:
    """RebootPending and renames that nobody cleans up; Startup Repair's log of three weeks ago."""
    life = story.begin(rng, folder)
    m = life.m
    m.software["RebootPending"] = {}
    m.software["PackagesPending"] = {}
    old = "\\??\\C:\\Windows\\WinSxS\\Temp\\PendingDeletes\\$$DeleteMe.ntdll.dll.01d9"
    m.session_manager["PendingFileRenameOperations"] = servicing.renames((old, ""))
    session = srttrail.Session(("A recently serviced boot binary is corrupt.",))
    when = m.log_start + timedelta(days=2)
    m.put("System32/LogFiles/Srt/SrtTrail.txt", srttrail.build([session]), when)
    m.put("WinSxS/pending.xml.bad", servicing.queue(["<x/>"]), when)
    acts.session(life, 30, 3)
    acts.session(life, 7, 1.5)
    return acts.well(life, "All of it is old, and every boot comes up.")


def rolled_back(rng: Random, folder: Path) -> Built:
    """Yesterday an update failed at 30 percent and was taken back in two boots; all is well."""
    life = story.begin(rng, folder, until=2, recent=0)
    m = life.m
    on = m.now - timedelta(hours=32)
    off = on + timedelta(hours=1)
    title = "2025-05 Cumulative Update for Windows (KB5058379)"
    m.log(events.update_started(off - timedelta(minutes=30), title))
    life.session(on, off)
    boots = [off + timedelta(minutes=7 * number) for number in range(2)]
    for when in boots:
        life.dead(when, early=False)
    life.pending = None
    lines = [servicing.startup(m.local(boots[0]), failed=True)]
    lines += [servicing.startup(m.local(boots[1] + timedelta(minutes=2)), complete=True)]
    m.put("Logs/CBS/CBS.log", "".join(lines).encode(), boots[1])
    start = boots[1] + timedelta(minutes=9)
    m.log(events.update_failed(start + timedelta(minutes=2), title, 0x800F_0922))
    life.session(start, start + timedelta(hours=2))
    acts.session(life, 7, 1.5)
    return acts.well(life, "The update failed and was taken back; two sessions ended well since.")


def short_names(rng: Random, folder: Path) -> Built:
    """A disk filter's service spells its path with 8.3 names, as old installers did."""
    vendor = story.pick(rng, "backup", "volfilter", start=0)
    life = story.begin(rng, folder, without=("backup", "volfilter", "encrypt", "dlp"))
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=5))
    driver.start = 1
    driver.folder = "../Program Files/Disk Tools Suite/Driver"
    path = f"\\??\\C:\\PROGRA~1\\DISKTO~1\\Driver\\{vendor.file}"
    driver.values["ImagePath"] = hive.expand_sz(path)
    acts.session(life, 30, 3)
    acts.session(life, 7, 1.5)
    return acts.well(life, f"{vendor.name} is where its service says, by its short name.")


def device_path(rng: Random, folder: Path) -> Built:
    """A volume filter's service names the volume by its device, or the drive without \\??\\."""
    vendor = story.pick(rng, "backup", "volfilter", start=0)
    life = story.begin(rng, folder, without=("backup", "volfilter", "encrypt", "dlp"))
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=5))
    form = rng.choice(
        (
            "\\Device\\HarddiskVolume3\\Windows\\System32\\drivers\\{0}",
            "C:\\Windows\\System32\\drivers\\{0}",
            "\\??\\C:\\Windows\\system32\\DRIVERS\\{0}",
            "%SystemRoot%\\system32\\drivers\\{0}",
            "\\SystemRoot\\System32\\Drivers\\{0}",
        )
    )
    driver.values["ImagePath"] = hive.expand_sz(form.format(vendor.file))
    acts.session(life, 30, 3)
    acts.session(life, 7, 1.5)
    return acts.well(life, f"{vendor.name} is where its service says, spelled another way.")


def other_loaders(rng: Random, folder: Path) -> Built:
    """Another system is installed beside it: its loader took the place of the fallback."""
    life = story.begin(rng, folder, among=profiles.CLIENTS, uefi=True)
    acts.session(life, 7, 1.5)
    built = acts.well(life, "Another system's loader lies beside Windows' own, which is whole.")
    root = life.m.folder / "system/EFI"
    ours = next((root / "Boot").glob("boot*.efi"))
    image = ours.read_bytes()
    for name in ("ubuntu/shimx64.efi", "ubuntu/grubx64.efi", "HP/SystemDiags.efi"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(image[:-512] + bytes(512))
    ours.write_bytes(image[:-1024] + bytes(range(256)) * 4)
    return built


def no_fallback(rng: Random, folder: Path) -> Built:
    """Only EFI\\Boot is gone: the firmware's entry for Windows' own boot manager does not care."""
    life = story.begin(rng, folder, among=profiles.CLIENTS, uefi=True)
    acts.session(life, 30, 3)
    acts.session(life, 7, 1.5)
    built = acts.well(life, "The fallback loader is missing; Windows' own boot manager is whole.")
    for path in (life.m.folder / "system/EFI/Boot").iterdir():
        path.unlink()
    return built


def driver_today_running(rng: Random, folder: Path) -> Built:
    """The disk of a running machine; a boot-start driver came an hour ago, and is untried."""
    vendor = story.pick(rng, "av", "edr", "backup", start=0)
    life = story.begin(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    on = m.now - timedelta(hours=5)
    m.install(vendor, m.now - timedelta(hours=1))
    life.session(on, m.now, end="running")
    m.hive_when = m.now
    return acts.well(
        life, f"{vendor.name} came an hour ago; no boot has been tried since.", ntfs=acts.IN_USE
    )


def forced_by_button(rng: Random, folder: Path) -> Built:
    """Somebody held the power button for a hang in a game twice today; a dump says so."""
    life = story.begin(rng, folder, among=(profiles.WIN11, profiles.WIN11_24H2), old_trouble=False)
    m = life.m
    when = m.now - timedelta(hours=9)
    for _ in range(2):
        at = when + timedelta(minutes=rng.uniform(30, 90))
        stop = acts.crash(life, at, 0xD1, next(iter(m.drivers.values())), uptime=at - when)
        asked = replace(stop, bugcheck=0x1C8, parameters=(0x1B58, stop.parameters[3], 0, 0))
        life.session(when, at, end="crash", stop=replace(asked, exception_address=None))
        when = at + timedelta(minutes=3)
    life.session(when, when + timedelta(hours=1))
    return acts.well(life, "Both stops were asked for by the power button; it came up each time.")


SCENARIOS = tuple(
    Scenario(f"field-{name}", FAMILY, Kind.HEALTHY, build)
    for name, build in (
        ("weekly-crash", weekly_crash),
        ("log-cleared", log_cleared),
        ("log-cleared-running", log_cleared_running),
        ("power-button", power_button),
        ("headless", headless),
        ("uninstalled", uninstalled),
        ("laboratory", laboratory),
        ("phantom-controllers", phantom_controllers),
        ("hibernated-at-work", hibernated),
        ("pending-for-months", pending_for_months),
        ("rolled-back", rolled_back),
        ("short-names", short_names),
        ("device-path", device_path),
        ("other-loaders", other_loaders),
        ("no-fallback", no_fallback),
        ("driver-today-running", driver_today_running),
        ("forced-by-button", forced_by_button),
    )
)
