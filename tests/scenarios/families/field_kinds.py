"""As met in the field: which part of Windows it is."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events, hive, servicing
from tests.scenarios import acts, noise, story, write
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "field-kinds"
_LATE = "System32/drivers"


def _cut(life: Life, name: str, to: int) -> None:
    """A file of Windows, and its twin in WinSxS with it, is cut off on the disk."""
    path = life.m.path(f"{_LATE}/{name}")
    times = path.stat()
    with path.open("r+b") as stream:
        stream.truncate(to)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _seen_7b(life: Life, off: datetime) -> None:
    end = acts.failed_boots(life, off + timedelta(minutes=5), 3)
    acts.startup_repair(life, end + timedelta(minutes=6), (acts.SEEN_7B,))


def windows_own_filter(rng: Random, folder: Path) -> Built:
    """Somebody "removed" a part of Windows: its filter stands in the class, its file is gone."""
    name = rng.choice(("fvevol", "rdyboost", "volsnap", "iorate"))
    life = story.calm(rng, folder)
    m = life.m
    off = acts.session(life, 8, 1.5)
    m.missing.add(f"{name}.sys")
    _seen_7b(life, off)
    why = f"{name} filters every volume, and its file is gone."
    return acts.told(life, Kind.FILTER, why, allowed=[f"{name}.sys"])


def controller_cut_off(rng: Random, folder: Path) -> Built:
    """The driver of the boot disk's controller, Windows' own, is cut off in the middle."""
    life = story.calm(rng, folder)
    off = acts.session(life, 8, 1.5, end="power")
    acts.failed_boots(life, off + timedelta(minutes=5), 4)
    file = f"{life.m.controller}.sys"
    why = f"{file} starts the boot disk, and is cut off."
    built = acts.told(life, Kind.STORAGE, why, allowed=[file])
    _cut(life, file, 1024)
    return built


def port_driver_gone(rng: Random, folder: Path) -> Built:
    """Not a service, yet no disk starts without it: the library that controllers' drivers use."""
    life = story.calm(rng, folder)
    m = life.m
    name = rng.choice(("storport.sys", "classpnp.sys"))
    off = acts.session(life, 8, 1.5)
    m.missing.add(name)
    acts.failed_boots(life, off + timedelta(minutes=5), 3)
    why = f"{name} is gone, which the disk's drivers import."
    return acts.told(life, Kind.STORAGE, why, allowed=[name])


def critical_driver_gone(rng: Random, folder: Path) -> Built:
    """A cleaner deleted the file of a boot-start driver whose service says: critical."""
    vendor = story.pick(rng, "av", "edr", start=0)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr"])
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=9))
    driver.error_control = 3
    off = acts.session(life, 8, 1.5)
    driver.present = False
    end = acts.failed_boots(life, off + timedelta(minutes=5), 3)
    cause = f"Boot critical file C:\\Windows\\System32\\drivers\\{vendor.file} is corrupt."
    acts.startup_repair(life, end + timedelta(minutes=6), (cause,))
    why = f"{vendor.name} is gone, its service is critical, and Startup Repair names it."
    return acts.blamed(life, vendor.name, why)


def kernel_gone(rng: Random, folder: Path) -> Built:
    """The kernel itself is not there: no driver is to blame, and the boot files are whole."""
    life = story.calm(rng, folder)
    off = acts.session(life, 8, 1.5)
    life.m.missing.add(rng.choice(("ntoskrnl.exe", "hal.dll", "ci.dll")))
    acts.failed_boots(life, off + timedelta(minutes=5), 3)
    why = "A file of Windows' own kernel is gone; none of the kinds is that."
    return acts.unclear(life, why)


def disk_and_filter_on_stack(rng: Random, folder: Path) -> Built:
    """0x7A and 0xF4 with an encryption driver on every stack: it passes on what the disk says."""
    vendor = story.pick(rng, "encrypt", "volfilter", start=0)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["encrypt", "volfilter"])
    m = life.m
    m.install(vendor, m.installed + timedelta(days=9))
    when = m.now - timedelta(hours=7)
    m.install(vendor, when - timedelta(hours=1))
    life.session(when - timedelta(hours=2), when - timedelta(minutes=9))
    for code in (0x7A, 0x7A, 0xF4):
        at = when + timedelta(minutes=rng.uniform(5, 20))
        for _ in range(5):
            m.log(events.disk_bad_block(when + timedelta(seconds=rng.uniform(60, 200))))
        callers = ("volmgr.sys", vendor.file, "Ntfs.sys")
        acts.crashing_session(life, when, at, code, None, status=0xC000_009C, callers=callers)
        when = at + timedelta(minutes=4)
    why = f"Pages cannot be read and blocks are bad; {vendor.name} only stands in between."
    return acts.told(life, Kind.DISK, why, ntfs=acts.DIRTY)


def memory_bad_two_codes(rng: Random, folder: Path) -> Built:
    """Corrupted pages by 0x1A and 0x12B, again and again; one more stop lies in a new driver."""
    vendor = story.pick(rng, "gpu", "wifi", "audio")
    life = story.calm(rng, folder, avoid=[vendor.name], without=[vendor.role])
    m = life.m
    on, off = acts.session_of(life, 9, 1)
    driver = m.install(vendor, on + timedelta(minutes=20))
    life.session(on, off)
    when = off + timedelta(minutes=5)
    for code in (0x12B, 0x1A, 0x50, 0x12B, 0x1A):
        at = when + timedelta(minutes=rng.uniform(2, 14))
        who = driver if code == 0x50 else None
        stop = acts.crash(life, at, code, who, uptime=at - when)
        if code == 0x1A:  # a page table entry with one bit flipped
            stop = replace(stop, parameters=(0x41792, *stop.parameters[1:]))
        life.session(when, at, end="crash", stop=stop)
        when = at + timedelta(minutes=3)
    why = "Four stops tell of flipped bits in memory, one lies in a driver that just came."
    return acts.told(life, Kind.HARDWARE, why)


def hive_torn_after_install(rng: Random, folder: Path) -> Built:
    """A driver was installed, the power failed, and SOFTWARE is cut off in the middle."""
    vendor = story.pick(rng, "backup", "av", "edr", start=0)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    on, off = acts.session_of(life, 9, 1)
    m.install(vendor, on + timedelta(minutes=20))
    life.session(on, off, end="power")
    m.hive_when = off
    acts.failed_boots(life, off + timedelta(minutes=5), 3)
    damage = write.Damage({"SOFTWARE": lambda data: data[: len(data) // 3]})
    why = f"SOFTWARE ends in the middle; {vendor.name} came before the power failed."
    return acts.told(life, Kind.HIVE, why, damage=damage)


def update_and_driver(rng: Random, folder: Path) -> Built:
    """A queue of this month's update fails at each start; Windows Update also brought a driver."""
    vendor = story.pick(rng, "backup", "av", "edr", start=0)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    m.install(vendor, m.installed + timedelta(days=9))
    on, off = acts.session_of(life, 9, 2)
    m.install(vendor, on + timedelta(minutes=20))
    noise.cumulative_update(m, on + timedelta(minutes=50))
    life.session(on, off)
    _queue(life, off)
    starts = [off + timedelta(minutes=6 * number) for number in range(4)]
    for when in starts:
        life.dead(when, early=False)
    life.pending = None
    lines = [servicing.startup(m.local(when), failed=True) for when in starts]
    m.put("Logs/CBS/CBS.log", "".join(lines).encode(), starts[-1])
    acts.startup_repair(life, starts[-1] + timedelta(minutes=9), (acts.PATCH,))
    why = f"Servicing fails at four starts, Startup Repair blames it; {vendor.name} is a bystander."
    return acts.told(life, Kind.SERVICING, why)


def _queue(life: Life, when: datetime) -> None:
    m = life.m
    lines = [
        servicing.hardlink(
            f"\\SystemRoot\\WinSxS\\{m.profile.suffix}_a_31bf3856ad364e35_{number}\\acpi.sys",
            f"C:\\Windows\\System32\\drivers\\file{number}.sys",
        )
        for number in range(20)
    ]
    m.put("WinSxS/pending.xml", servicing.queue(lines), when)
    m.session_manager["SetupExecute"] = hive.multi_sz(servicing.QUEUE_COMMAND)
    m.software["RebootPending"] = {}
    m.components["PendingXmlIdentifier"] = hive.binary(servicing.IDENTIFIER.encode())


def no_event_log(rng: Random, folder: Path) -> Built:
    """The System log is gone; five dumps of the last hour fault in one driver, which is new."""
    vendor = story.pick(rng, "av", "edr", "tool", "vpn", below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    on, off = acts.session_of(life, 6, 1)
    driver = m.install(vendor, on + timedelta(minutes=20))
    life.session(on, off)
    when = off + timedelta(minutes=3)
    for _ in range(5):
        at = when + timedelta(minutes=rng.uniform(1, 3))
        acts.crashing_session(life, when, at, 0xD1, driver)
        when = at + timedelta(minutes=2)
    m.logs["System"] = []
    why = f"Five dumps within minutes fault in {vendor.name}, an hour after it came."
    return acts.blamed(life, vendor.name, why)


SCENARIOS = tuple(
    Scenario(f"field-{name}", FAMILY, kind, build)
    for name, kind, build in (
        ("no-event-log", Kind.DRIVER, no_event_log),
        ("disk-under-filter", Kind.DISK, disk_and_filter_on_stack),
        ("windows-own-filter", Kind.FILTER, windows_own_filter),
        ("controller-cut-off", Kind.STORAGE, controller_cut_off),
        ("port-driver-gone", Kind.STORAGE, port_driver_gone),
        ("critical-driver-gone", Kind.DRIVER, critical_driver_gone),
        ("kernel-gone", Kind.UNKNOWN, kernel_gone),
        ("memory-bad", Kind.HARDWARE, memory_bad_two_codes),
        ("hive-torn-after-install", Kind.HIVE, hive_torn_after_install),
        ("update-and-driver", Kind.SERVICING, update_and_driver),
    )
)
