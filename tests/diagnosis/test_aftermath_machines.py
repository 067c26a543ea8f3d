"""Whole machines that are repaired and visited again: a tree before, the same tree later."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from recoverykit import installs
from recoverykit.diagnosis import aftermath, timeline
from recoverykit.diagnosis.aftermath import Applied
from recoverykit.evidence import collect
from recoverykit.model import Evidence, Since
from tests.scenarios import acts
from tests.scenarios.families import driver_boot
from tests.scenarios.life import Life

SEEDS = range(int(os.environ.get("RECOVERYKIT_AFTERMATH_SEEDS", "1")))
SOON = timedelta(minutes=25)

Later = Callable[[Life, Sequence[int]], None]  # what happens after the repair; stop codes before


def nothing(_life: Life, _codes: Sequence[int]) -> None:
    """Nobody starts it."""


def works(life: Life, _codes: Sequence[int]) -> None:
    life.session(life.m.now + SOON, life.m.now + SOON * 4)


def works_and_runs(life: Life, _codes: Sequence[int]) -> None:
    life.session(life.m.now + SOON, life.m.now + SOON * 4, end="power")


def same_stop(life: Life, codes: Sequence[int]) -> None:
    """Somebody else's crash with that code: the driver was innocent."""
    acts.crashing_boots(life, life.m.now + SOON, 2, codes[-1], None, after=22)


def same_driver(life: Life, _codes: Sequence[int]) -> None:
    """Its updater brought it back."""
    driver = next(one for one in life.m.drivers.values() if one.start == 4 and not one.present)
    driver.start, driver.present, driver.loaded = 1, True, True
    acts.crashing_boots(life, life.m.now + SOON, 2, 0x3B, driver, after=22)


def another_stop(life: Life, codes: Sequence[int]) -> None:
    code = 0x109 if 0x109 not in codes else 0x18
    acts.crashing_boots(life, life.m.now + SOON, 2, code, None, after=22)


def crashes_after_work(life: Life, codes: Sequence[int]) -> None:
    """It comes up, and days later it is the old story."""
    on = life.m.now + SOON
    life.session(on, on + SOON * 4)
    acts.crashing_boots(life, on + SOON * 9, 2, codes[-1], None, after=22)


def dies_at_once(life: Life, _codes: Sequence[int]) -> None:
    """Before anything can be written but the loader's own count."""
    acts.failed_boots(life, life.m.now + SOON, 3)


def safe_mode(life: Life, _codes: Sequence[int]) -> None:
    """Says nothing about an ordinary start."""
    acts.safe_mode(life, life.m.now + SOON)


CASES = [
    (nothing, Since.NOT_STARTED),
    (works, Since.WORKED),
    (works_and_runs, Since.WORKED),
    (same_stop, Since.SAME),
    (same_driver, Since.SAME),
    (another_stop, Since.OTHER),
    (crashes_after_work, Since.SAME),
    (dies_at_once, Since.OTHER),
    (safe_mode, Since.NOT_STARTED),
]


def visit(
    seed: int, folder: Path, later: Callable[[Life], None] | None = None
) -> tuple[list[Evidence], str]:
    """The evidence on a machine, as it broke or, with `later`, repaired since; and its culprit."""
    life, name = driver_boot.loop(Random(f"aftermath {seed}"), folder, ("av", "edr"))
    if later is not None:
        driver = life.m.drivers[name]
        driver.start, driver.present, driver.loaded = 4, False, False
        later(life)
    built = acts.blamed(life, name, "")
    ((install,), _) = installs.find(built.volume, built.root)
    evidence = collect(install, boot_volumes=built.boot_volumes, volumes=built.volumes)
    return [*evidence, *([built.ntfs] if built.ntfs else [])], name


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("later", "since"), CASES)
def test_the_second_visit(seed: int, later: Later, since: Since, tmp_path: Path) -> None:
    before, name = visit(seed, tmp_path / "before")
    times = timeline.build(before)
    codes = tuple(stop.code for stop in times.stops)
    one = Applied(
        "20240719T100000Z-aaaa",
        times.stops[-1].when + SOON / 2,
        name,
        name.removesuffix(".sys"),
        f"quarantine {name}",
        stops=codes,
        suspects=(name,),
        marks=aftermath.marks(before),
        disabled=True,
    )
    after, _ = visit(seed, tmp_path / "after", lambda life: later(life, codes))
    (found,) = aftermath.judge((one,), after)
    assert found.since is since, found.text
    (again,) = aftermath.judge((one,), before)  # the very same disk
    assert again.since is Since.NOT_STARTED, again.text
