"""Drivers that crash after the desktop is there: demand-start devices, services, tools.

The event log runs by then, so every crash is told by the boot after it; the machine may run for
minutes each time, and the culprit is not always what was installed last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import wer
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.profiles import Profile
from tests.scenarios.tree import Built, Scenario

FAMILY = "driver-late"


def crashing(
    rng: Random,
    folder: Path,
    roles: Sequence[str],
    codes: Sequence[int],
    *,
    among: Sequence[Profile] = profiles.X64,
    age: float = 0,
    crashes: int = 4,
    minutes: float = 3,
    later: int = 0,
    **how: object,
) -> tuple[Life, Driver]:
    """A driver is updated, and from then on every session ends in a crash.

    `age`: days since the update (0: in the last good session). `later`: so many innocent drivers
    come after it, before the first crash. The machine keeps coming up for a few minutes.
    """
    vendor = rng.choice([v for v in vendors.of(*roles) if v.start >= 2])
    life = story.begin(
        *(rng, folder), among=among, avoid=[vendor.name], without=[vendor.role], until=2
    )
    m = life.m
    m.install(vendor, m.installed + timedelta(days=rng.uniform(1, 40)))
    on, off = acts.session_of(life, 24 + rng.uniform(1, 4), 2)
    driver = m.install(vendor, on - timedelta(days=age) + timedelta(minutes=20))
    life.session(on, off)
    when = m.now - timedelta(hours=rng.uniform(6, 9))
    strangers = list(vendors.of("tool", "virtual", "print", "input", "vpn", "backup"))
    for other in rng.sample([v for v in strangers if v.name not in m.drivers], later):
        m.install(other, on + timedelta(minutes=rng.uniform(40, 110)))
    for _ in range(crashes):
        at = when + timedelta(minutes=rng.uniform(0.8, minutes))
        acts.crashing_session(life, when, at, rng.choice(codes), driver, **how)
        when = at + timedelta(minutes=rng.uniform(1, 6))
    return life, driver


def graphics_timeout(rng: Random, folder: Path) -> Built:
    life, driver = crashing(rng, folder, ("gpu",), (0x116,), fault="", depth=1)
    return acts.blamed(
        life, driver.name, f"The display timed out in {driver.name} four times since its update."
    )


def graphics_stuck(rng: Random, folder: Path) -> Built:
    life, driver = crashing(
        rng, folder, ("gpu",), (0xEA, 0x116, 0x3B), fault="dxgkrnl.sys", later=1
    )
    return acts.blamed(
        life, driver.name, f"dxgkrnl faulted below {driver.name}, updated before the first crash."
    )


def wireless(rng: Random, folder: Path) -> Built:
    life, driver = crashing(rng, folder, ("wifi", "net"), (0xD1,), later=2)
    return acts.blamed(
        life, driver.name, f"Every dump faults in {driver.name}; what came after it is innocent."
    )


def vpn(rng: Random, folder: Path) -> Built:
    life, driver = crashing(rng, folder, ("vpn",), (0x50, 0x7E, 0xD1), fault="", later=1)
    return acts.blamed(
        life, driver.name, f"Every dump faults in {driver.name}, updated the day before."
    )


def audio_watchdog(rng: Random, folder: Path) -> Built:
    life, driver = crashing(rng, folder, ("audio",), (0x133,), fault="ntoskrnl.exe", depth=4)
    return acts.blamed(
        life, driver.name, f"The watchdog's stack is {driver.name}'s in each of four dumps."
    )


def power_state(rng: Random, folder: Path) -> Built:
    """0x9F names no driver in the small dump's parameters; the error report does."""
    life, driver = crashing(
        *(rng, folder, ("wifi", "usb", "chipset"), (0x9F,)),
        fault="ntoskrnl.exe",
        depth=1,
        crashes=3,
    )
    m = life.m
    for number in range(2):
        when = m.now - timedelta(hours=5 - number)
        name = f"Kernel_9f_{m.rng.getrandbits(80):020x}_00000000_cab_{number}"
        content = wer.build(
            0x9F,
            (3, 0xFFFF8A0D1C2B3060, 0xFFFFF8070C46F7B0, 0xFFFF8A0D2A7B9010),
            f"0x9F_3_{driver.vendor.service}_IMAGE_{driver.vendor.file}",
            when=when,
        )
        folder_name = f"../ProgramData/Microsoft/Windows/WER/ReportArchive/{name}/Report.wer"
        m.put(folder_name, content, when)
    return acts.blamed(
        life, driver.name, f"Microsoft's analysis put both reports into {driver.name}'s bucket."
    )


def tool(rng: Random, folder: Path) -> Built:
    life, driver = crashing(rng, folder, ("tool", "virtual"), (0x1E, 0x3B, 0x50), minutes=6)
    return acts.blamed(
        life, driver.name, f"Each session dies in {driver.name}, which was updated yesterday."
    )


def weeks_old(rng: Random, folder: Path) -> Built:
    """Updated ten days ago; it first crashed now, and since then always."""
    life, driver = crashing(
        *(rng, folder, ("audio", "wifi", "usb"), (0xD1, 0x7E)), age=10, later=2, crashes=5
    )
    return acts.blamed(
        life, driver.name, f"Five dumps agree on {driver.name}, though it is not the newest."
    )


def now_and_then(rng: Random, folder: Path) -> Built:
    """It still boots sometimes: crashes and short good sessions take turns."""
    life, driver = crashing(rng, folder, ("gpu", "net", "wifi"), (0xD1, 0x1E), crashes=2)
    m = life.m
    when = m.now - timedelta(hours=4)
    for number in range(4):
        at = when + timedelta(minutes=rng.uniform(4, 15))
        if number in (0, 2):
            life.session(when, at)
        else:
            acts.crashing_session(life, when, at, 0xD1, driver)
        when = at + timedelta(minutes=5)
    return acts.blamed(life, driver.name, f"All four dumps of two days fault in {driver.name}.")


def unsteady_stacks(rng: Random, folder: Path) -> Built:
    """Four bug checks, one driver on all stacks: twice it had only corrupted pool."""
    life, driver = crashing(rng, folder, ("chipset", "input", "usb"), (0xD1,), crashes=2)
    m = life.m
    when = m.now - timedelta(hours=4)
    for code in (0x19, 0xC2):
        at = when + timedelta(minutes=9)
        acts.crashing_session(life, when, at, code, driver, fault="ntoskrnl.exe")
        when = at + timedelta(minutes=4)
    return acts.blamed(
        life, driver.name, f"{driver.name} is on all four stacks, and faulted itself twice."
    )


SCENARIOS = tuple(
    Scenario(f"late-{name}", FAMILY, Kind.DRIVER, build)
    for name, build in (
        ("graphics-timeout", graphics_timeout),
        ("graphics-stuck", graphics_stuck),
        ("wireless", wireless),
        ("vpn", vpn),
        ("audio-watchdog", audio_watchdog),
        ("power-state", power_state),
        ("tool", tool),
        ("weeks-old", weeks_old),
        ("now-and-then", now_and_then),
        ("unsteady-stacks", unsteady_stacks),
    )
)
