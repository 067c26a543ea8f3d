"""Processor, memory, board: many stops, none of them a driver's doing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events
from tests.scenarios import acts, profiles, story
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "hardware"


def _truth(life: Life, why: str) -> Built:
    return acts.told(life, Kind.HARDWARE, why)


def _stops(life: Life, hits: Sequence[tuple[int, str]], *, whea: str = "") -> None:
    """One session each: (bug check, module the fault lies in; "": the kernel)."""
    m = life.m
    when = m.now - timedelta(hours=m.rng.uniform(16, 22))
    if life.written is not None:  # the last ordinary session may have ended later than that
        when = max(when, life.written + timedelta(minutes=20))
    for code, where in hits:
        at = when + timedelta(minutes=m.rng.uniform(5, 90))
        acts.crashing_session(life, when, at, code, None, fault=where)
        when = at + timedelta(minutes=3)
        if whea:
            m.log(events.whea(when + timedelta(seconds=20), fatal=whea == "fatal"))
    if m.rng.random() < 0.5:  # by now it does not even come up
        acts.failed_boots(life, when, m.rng.randint(2, 4))


def machine_check(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.X64)
    _stops(life, [(0x124, "")] * rng.randint(3, 5), whea="fatal")
    return _truth(life, "Machine checks: WHEA logs a fatal hardware error after each stop.")


def five_signatures(rng: Random, folder: Path) -> Built:
    """Bad memory: five stops in a day, five kinds, five places (see case_winerros)."""
    life = story.begin(rng, folder, among=profiles.EVERY)
    places = [(0x3B, "Ntfs.sys"), (0x1A, ""), (0x139, ""), (0x50, "fltmgr.sys"), (0x1E, "")]
    places += [(0x0A, ""), (0x4E, ""), (0xC5, ""), (0x19, "")]
    _stops(life, rng.sample(places, 5))
    return _truth(life, "Five stops of five kinds in a day, with no module in common.")


def five_with_a_driver(rng: Random, folder: Path) -> Built:
    """One of the six happened to hit the code of a third-party driver that had not changed."""
    life = story.begin(rng, folder, among=profiles.X64)
    hit = story.innocent(life, changed_before=life.m.now - timedelta(days=25))
    places = [(0x1A, ""), (0x4E, ""), (0x3B, "win32kfull.sys"), (0x139, ""), (0x50, "Ntfs.sys")]
    places.insert(rng.randint(0, 4), (0xD1 if hit else 0x0A, hit.name if hit else ""))
    _stops(life, places)
    return _truth(life, "Six stops of six kinds; only one of them lies in a driver.")


def clock_watchdog(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.X64)
    _stops(life, [(0x101, "")] * rng.randint(3, 4))
    return _truth(life, "A processor stopped answering, again and again (0x101).")


def machine_check_old(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=(profiles.WIN7, profiles.WIN81))
    _stops(life, [(0x124, ""), (0x101, ""), (0x124, "")], whea="fatal")
    return _truth(life, "0x124 and 0x101 on one machine, with WHEA's own word for it.")


def corrected_first(rng: Random, folder: Path) -> Built:
    """For a week the hardware corrected itself; then it could not."""
    life = story.begin(rng, folder, among=profiles.X64)
    m = life.m
    for ago in range(150, 20, -9):
        m.log(events.whea(m.now - timedelta(hours=ago), fatal=False))
    _stops(life, [(0x124, "")] * 2, whea="fatal")
    return _truth(life, "Corrected errors all week, then machine checks.")


SCENARIOS = tuple(
    Scenario(f"hardware-{name}", FAMILY, Kind.HARDWARE, build)
    for name, build in (
        ("machine-check", machine_check),
        ("five-signatures", five_signatures),
        ("five-with-a-driver", five_with_a_driver),
        ("clock-watchdog", clock_watchdog),
        ("machine-check-old", machine_check_old),
        ("corrected-first", corrected_first),
    )
)
