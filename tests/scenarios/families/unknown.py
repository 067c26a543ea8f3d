"""Boots fail, and an honest person with these files says: I cannot tell from here.

Accusing anybody is wrong, whoever it would be.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import hive
from tests.scenarios import acts, profiles, stops, story, vendors
from tests.scenarios.tree import Built, Scenario

FAMILY = "unknown"


def no_trace(rng: Random, folder: Path) -> Built:
    """Nothing changed, nothing was logged; the boots just do not come up."""
    life = story.calm(rng, folder, among=profiles.EVERY)
    off = acts.session(life, 9, 2)
    end = acts.failed_boots(life, off + timedelta(minutes=20), rng.randint(3, 6))
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(life, "Boots fail before anything is logged, and nothing had changed.")


def two_installed(rng: Random, folder: Path) -> Built:
    """Two boot-start drivers came in the same session; then no boot came up, without a trace."""
    pool = [v for v in vendors.of("av", "edr", "backup", "encrypt", "dlp") if v.start == 0]
    one = rng.choice(pool)
    two = rng.choice([v for v in pool if v.role != one.role])
    life = story.calm(
        *(rng, folder),
        avoid=[one.name, two.name],
        without=[one.role, two.role],
    )
    on, off = acts.session_of(life, 9, 2)
    life.m.install(one, on + timedelta(minutes=20))
    life.m.install(two, on + timedelta(minutes=26))
    life.session(on, off)
    end = acts.failed_boots(life, off + timedelta(minutes=4), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(life, f"{one.name} and {two.name} came together; nothing tells them apart.")


def kernel_only(rng: Random, folder: Path) -> Built:
    """One dump with nothing but the kernel on its stack; nothing had changed."""
    life = story.calm(rng, folder, among=profiles.X64)
    off = acts.session(life, 9, 2)
    start = off + timedelta(minutes=9)
    code = rng.choice((0x0A, 0x139, 0x1E))
    acts.crashing_boots(life, start, 3, code, None, after=31)
    return acts.unclear(life, "The only dump shows the kernel alone, and nothing had changed.")


def contradiction(rng: Random, folder: Path) -> Built:
    """Two dumps, two third-party drivers, each once; neither is new."""
    pool = vendors.of("gpu", "audio", "usb", "vpn", "tool", "chipset")
    one, two = rng.sample(pool, 2)
    life = story.calm(
        *(rng, folder),
        avoid=[one.name, two.name],
        without=[one.role, two.role],
    )
    m = life.m
    drivers = [m.install(v, m.installed + timedelta(days=rng.uniform(1, 80))) for v in (one, two)]
    off = acts.session(life, 9, 1)
    when = off + timedelta(minutes=5)
    for driver, code in zip(drivers, (0x50, 0xD1), strict=True):
        driver.loaded = True
        at = when + timedelta(minutes=4)
        acts.crashing_session(life, when, at, code, driver)
        when = at + timedelta(minutes=3)
    acts.failed_boots(life, when, 2)
    return acts.unclear(life, f"One dump blames {one.name}, one {two.name}; neither had changed.")


def power_losses(rng: Random, folder: Path) -> Built:
    """It goes off, again and again, with no bug check: a power supply, heat, a person."""
    life = story.calm(rng, folder, among=profiles.X64)
    m = life.m
    when = m.now - timedelta(hours=8)
    for _ in range(5):
        off = when + timedelta(minutes=rng.uniform(1, 12))
        life.session(when, off, end="power")
        when = off + timedelta(minutes=3)
    acts.failed_boots(life, when, 2)
    return acts.unclear(
        life, "It lost power five times without a bug check: nothing on disk says why."
    )


def stale_only(rng: Random, folder: Path) -> Built:
    """All evidence is three months old and was survived; today's failures left none."""
    gpu = story.pick(rng, "gpu")
    life = story.calm(rng, folder, avoid=[gpu.name], without=["gpu"])
    m = life.m
    driver = m.install(gpu, m.installed + timedelta(days=1))
    start = m.now - timedelta(days=95)
    m.log_start = start - timedelta(days=1)
    for number in range(3):
        on = start + timedelta(hours=8 * number)
        stop = acts.crash(life, on + timedelta(minutes=40), 0x116, driver)
        life.session(on, on + timedelta(minutes=40), end="crash", stop=stop)
    life.session(start + timedelta(hours=30), start + timedelta(hours=33))
    off = acts.session(life, 9, 2)
    end = acts.failed_boots(life, off + timedelta(minutes=20), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(life, f"{gpu.name}'s crashes are three months old; today's left no trace.")


def user_mode(rng: Random, folder: Path) -> Built:
    """0xEF: a critical process died; no dump tells which, and nothing had changed."""
    life = story.calm(rng, folder, among=profiles.X64)
    m = life.m
    m.crash_control["CrashDumpEnabled"] = hive.dword(0)
    life.keep_dumps = life.report = life.keep_memory = False
    off = acts.session(life, 9, 1)
    when = off + timedelta(minutes=3)
    for _ in range(3):
        at = when + timedelta(minutes=1)
        stop = stops.stop(m, at, 0xEF, "")
        life.session(when, at, end="crash", stop=stop)
        when = at + timedelta(minutes=2)
    life.pending = None
    return acts.unclear(life, "A critical process dies, and the disk does not say which or why.")


SCENARIOS = tuple(
    Scenario(f"unknown-{name}", FAMILY, Kind.UNKNOWN, build)
    for name, build in (
        ("no-trace", no_trace),
        ("two-installed", two_installed),
        ("kernel-only", kernel_only),
        ("contradiction", contradiction),
        ("power-losses", power_losses),
        ("stale-only", stale_only),
        ("critical-process", user_mode),
    )
)
