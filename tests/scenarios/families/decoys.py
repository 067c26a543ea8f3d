"""A driver is to blame, and something else looks worse: newer, on every stack, last in a log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from recoverykit.model import Kind
from tests.scenarios import acts, noise, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.tree import Built, Scenario
from tests.scenarios.vendors import Vendor

FAMILY = "driver-decoys"


def _two(rng: Random, culprit: tuple[str, ...], decoy: tuple[str, ...]) -> tuple[Vendor, Vendor]:
    one = story.pick(rng, *culprit, below=2)
    two = rng.choice([v for v in vendors.of(*decoy) if v.start < 2 and v.role != one.role])
    return one, two


def _crashes_since_today(life: Life, vendor: Vendor, code: int, **how: Any) -> Driver:
    """It came in the last good session; no boot since comes up but in Safe Mode."""
    on, off = acts.session_of(life, 9, 1)
    driver = life.m.install(vendor, on + timedelta(minutes=20))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 2, code, driver, **how)
    end = acts.safe_mode(life, start + timedelta(minutes=10))
    again = end + timedelta(minutes=1)
    acts.crashing_boots(life, again, 2, code, driver, **how)
    return driver


def newer_innocent(rng: Random, folder: Path) -> Built:
    """The first crash came before the newest driver did."""
    one, two = _two(rng, ("av", "edr", "backup"), ("tool", "virtual", "anticheat"))
    life = story.begin(rng, folder, avoid=[one.name, two.name], without=[one.role, two.role])
    m = life.m
    on, off = acts.session_of(life, 11, 1.5)
    driver = m.install(one, on + timedelta(minutes=20))
    life.session(on, off)
    first = off + timedelta(minutes=10)
    acts.crashing_boots(life, first, 1, 0x50, driver, after=25)
    on = first + timedelta(minutes=5)
    life.session(on, on + timedelta(minutes=50))  # this once it came up
    m.install(two, on + timedelta(minutes=30))
    start = on + timedelta(minutes=55)
    acts.crashing_boots(life, start, 3, 0x50, driver, after=25)
    acts.safe_mode(life, start + timedelta(minutes=20))
    again = start + timedelta(minutes=40)
    acts.crashing_boots(life, again, 2, 0x50, driver, after=26)
    return acts.blamed(life, driver.name, f"{one.name} crashed before {two.name} came, and since.")


def on_every_stack(rng: Random, folder: Path) -> Built:
    """An antivirus filter is below every file operation; the fault is another's."""
    one = rng.choice([v for v in vendors.of("backup", "virtual", "dlp") if v.type == 2])
    av = rng.choice([v for v in vendors.of("av", "edr") if v.type == 2 and v.start < 2])
    life = story.begin(rng, folder, avoid=[one.name, av.name], without=["av", "edr", one.role])
    m = life.m
    m.install(av, m.installed + timedelta(days=5))
    on, off = acts.session_of(life, 9, 2)
    driver = m.install(one, on + timedelta(minutes=20), start=min(one.start, 2))
    life.session(on, off)
    when = off + timedelta(minutes=5)
    for number in range(3):
        at = when + timedelta(minutes=2)
        code = (0x50, 0x3B, 0x50)[number]
        callers = ("fltmgr.sys", av.file, "fltmgr.sys", av.file, "Ntfs.sys")
        acts.crashing_session(life, when, at, code, driver, callers=callers, depth=1)
        when = at + timedelta(minutes=3)
    return acts.blamed(
        life, driver.name, f"{driver.name} faulted; {av.name} is on every stack anyway."
    )


def last_in_boot_log(rng: Random, folder: Path) -> Built:
    """The boot log always ends with the same late driver; the dumps tell of another."""
    one, two = _two(rng, ("edr", "av"), ("tool", "virtual"))
    life = story.begin(rng, folder, avoid=[one.name, two.name], without=["av", "edr"])
    m = life.m
    life.boot_logging = True
    m.install(two, m.installed + timedelta(days=8))
    on, off = acts.session_of(life, 9, 2)
    driver = m.install(one, on + timedelta(minutes=20))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 2, 0x7E, driver, after=33, last=two.name)
    end = acts.safe_mode(life, start + timedelta(minutes=10))
    again = end + timedelta(minutes=1)
    acts.crashing_boots(life, again, 2, 0x7E, driver, after=35, last=two.name)
    return acts.blamed(
        life, driver.name, f"Both dumps fault in {one.name}; {two.name} merely loads last."
    )


def triggered_by_update(rng: Random, folder: Path) -> Built:
    """Nothing of the driver changed for a year; Windows was updated, and it cannot cope."""
    one = story.pick(rng, "gpu", "audio", "vpn", "usb", "tool")
    life = story.begin(rng, folder, avoid=[one.name], without=[one.role], recent=1)
    m = life.m
    driver = m.install(one, m.installed + timedelta(days=2), start=max(one.start, 2))
    on, off = acts.session_of(life, 9, 1)
    noise.cumulative_update(m, on + timedelta(minutes=10))
    life.session(on, off)
    when = off + timedelta(minutes=6)
    for code in (0x3B, 0x50, 0xD1, 0x3B):
        at = when + timedelta(minutes=2)
        acts.crashing_session(life, when, at, code, driver)
        when = at + timedelta(minutes=3)
    return acts.blamed(life, driver.name, f"All four dumps fault in {one.name}, old as it is.")


def many_old_dumps(rng: Random, folder: Path) -> Built:
    """Six dumps of last month blame the graphics driver, two of today another one."""
    gpu = story.pick(rng, "gpu")
    one = story.pick(rng, "av", "edr", "backup", "anticheat", below=2)
    life = story.begin(
        *(rng, folder),
        days=20,
        avoid=[gpu.name, one.name],
        without=["gpu", one.role],
        old_trouble=False,
    )
    m = life.m
    m.log_start = m.now - timedelta(days=70)
    old = m.install(gpu, m.installed + timedelta(days=9))
    start = m.now - timedelta(days=40)
    for number in range(6):
        on = start + timedelta(hours=9 * number)
        at = on + timedelta(minutes=50)
        acts.crashing_session(life, on, at, 0x116, old)
    on = start + timedelta(hours=55)
    life.session(on, on + timedelta(hours=2))
    m.install(gpu, on + timedelta(hours=1))
    driver = _crashes_since_today(life, one, 0xD1)
    return acts.blamed(
        life, driver.name, f"{gpu.name}'s crashes are a month old; today's are {one.name}'s."
    )


def leftovers(rng: Random, folder: Path) -> Built:
    """Two services point to files that are gone (demand-start leftovers): nobody needs them."""
    one = story.pick(rng, "edr", "av", "anticheat", "backup", below=2)
    life = story.begin(rng, folder, avoid=[one.name], without=[one.role])
    m = life.m
    gone = [v for v in vendors.of("tool", "virtual") if v.start > 1 and v.name not in m.drivers]
    for vendor in rng.sample(gone, 2):
        left = m.install(vendor, m.installed + timedelta(days=20))
        left.present = left.loaded = False
    driver = _crashes_since_today(life, one, 0x139)
    return acts.blamed(life, driver.name, f"{one.name} crashes; the leftovers are never loaded.")


def stale_boot_log(rng: Random, folder: Path) -> Built:
    """The boot log is of last spring and ends with somebody else."""
    one, two = _two(rng, ("backup", "volfilter"), ("tool", "virtual", "av"))
    life = story.begin(rng, folder, avoid=[one.name, two.name], without=[one.role, two.role])
    m = life.m
    life.boot_logging = False
    m.boots.clear()
    m.install(two, m.installed + timedelta(days=8))
    m.install(one, m.installed + timedelta(days=3))
    old = Life(m, boot_logging=True)
    old._boot_log(m.installed + timedelta(days=30), last=two.name)  # a boot of then
    on, off = acts.session_of(life, 9, 1)
    driver = m.install(one, on + timedelta(minutes=20))
    life.session(on, off)
    start = off + timedelta(minutes=5)
    acts.crashing_boots(life, start, 3, 0x7E, driver)
    return acts.blamed(
        life, driver.name, f"The dump in the pagefile is {one.name}'s; the log is stale."
    )


def noisy_neighbour(rng: Random, folder: Path) -> Built:
    """Another driver fails to start in each session (7000, 219): it always did."""
    one = story.pick(rng, "wifi", "audio", "gpu")
    life = story.begin(rng, folder, avoid=[one.name], without=[one.role], until=2)
    m = life.m
    other = story.pick(rng, "tool", "input", "print", avoid=m.drivers)
    m.install(other, m.installed + timedelta(days=6))
    m.install(one, m.installed + timedelta(days=9))
    for ago in (40, 33, 28):
        on = m.now - timedelta(hours=ago)
        noise.driver_trouble(m, on + timedelta(seconds=50), other.service)
        life.session(on, on + timedelta(hours=2))
    driver = m.install(one, m.now - timedelta(hours=27))
    when = m.now - timedelta(hours=8)
    for _ in range(4):
        at = when + timedelta(minutes=rng.uniform(1, 8))
        noise.driver_trouble(m, when + timedelta(seconds=50), other.service)
        acts.crashing_session(life, when, at, 0xD1, driver)
        when = at + timedelta(minutes=2)
    return acts.blamed(
        life, driver.name, f"{other.service} failed before, too; the dumps are {one.name}'s."
    )


def top_is_innocent(rng: Random, folder: Path) -> Built:
    """Words left over from earlier calls stand above the culprit on each stack."""
    one, two = _two(rng, ("backup", "volfilter", "tool"), ("av", "edr"))
    life = story.begin(rng, folder, avoid=[one.name, two.name], without=["av", "edr", one.role])
    m = life.m
    m.install(two, m.installed + timedelta(days=4))
    driver = _crashes_since_today(life, one, 0x1E, stale=("WdFilter.sys", two.file, "fltmgr.sys"))
    return acts.blamed(
        life, driver.name, f"The fault lies in {one.name}; {two.name} is a leftover above it."
    )


def memory_dump_only(rng: Random, folder: Path) -> Built:
    """Small dumps are off, MEMORY.DMP is there; a tool was installed after the first crash."""
    one = story.pick(rng, "vpn", "net", "wifi")
    life = story.begin(
        rng, folder, avoid=[one.name], without=[one.role], until=2, old_trouble=False
    )
    m = life.m
    life.keep_dumps, life.keep_memory = False, True
    m.install(one, m.installed + timedelta(days=9))
    driver = m.install(one, m.now - timedelta(hours=29), start=max(one.start, 2))
    on = m.now - timedelta(hours=30)
    life.session(on, on + timedelta(hours=3))
    when = m.now - timedelta(hours=8)
    other = story.pick(rng, "tool", "virtual", avoid=m.drivers)
    for number in range(3):
        at = when + timedelta(minutes=20 if number == 0 else 2)
        if number == 1:
            m.install(other, when - timedelta(minutes=12))
        acts.crashing_session(life, when, at, 0xD1, driver)
        when = at + timedelta(minutes=3)
    last = acts.crash(life, when, 0xD1, driver, callers=("ndis.sys",))
    life.dead(when - timedelta(seconds=40), stop=last, early=False)
    return acts.blamed(
        life, driver.name, f"The memory dump faults in {one.name}, before {other.name} came."
    )


SCENARIOS = tuple(
    Scenario(f"decoy-{name}", FAMILY, Kind.DRIVER, build)
    for name, build in (
        ("newer-innocent", newer_innocent),
        ("on-every-stack", on_every_stack),
        ("last-in-boot-log", last_in_boot_log),
        ("triggered-by-update", triggered_by_update),
        ("many-old-dumps", many_old_dumps),
        ("leftovers", leftovers),
        ("stale-boot-log", stale_boot_log),
        ("noisy-neighbour", noisy_neighbour),
        ("top-is-innocent", top_is_innocent),
        ("memory-dump-only", memory_dump_only),
    )
)
