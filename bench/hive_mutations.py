"""The campaign: damaged hives and logs by the ten thousand, read, recovered and edited.

    .venv/bin/python -m bench.hive_mutations [--count 20000] [--seed 1] [--jobs 2] [--json]

Each case is one of tests/formats/mutation_run.py, with its bounds of time and memory. The work is
shared out to child processes whose address space is limited, so that a runaway fails instead of
taking the machine down. Exit code 1 if anything but an answer or FormatError came out.
"""

from __future__ import annotations

import json
import resource
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from typing import Annotated

import typer

from tests.formats.mutation_run import (
    MIB,
    bytes_allowed,
    edit_something,
    run,
    seconds_allowed,
    subject,
)

SHARES = {  # sample: how many of each hundred; the large ones take seconds a case
    "built": 16,
    "built HvLE": 14,
    "built DIRT": 10,
    "bcd_win10iso_efi": 8,
    "bcd_win2go": 6,
    "bcd_asus/Boot_BCD": 6,
    "yarp/BigDataHive": 10,
    "yarp/HealedHive": 10,
    "yarp/System_Delta": 5,
    "yarp/NewDirtyHive1__NewDirtyHive": 10,
    "yarp/OldDirtyHive__OldDirtyHive": 2,
    "yarp/BadBaseBlockHive__BadBaseBlockHive": 2,
    "regipy_corrupted_system_hive.xz": 1,
}
LARGE = {"regipy_SYSTEM_B.xz": 60, "dissect_SYSTEM.gz": 40}  # of any count from 10,000 up
EDITED = 5  # every so many-th case is edited instead of only read
MEASURED = 25  # every so many-th case, Python's memory too, which costs time
BATCH = 100
LIMIT = 2048 * MIB  # address space of a worker


@dataclass(slots=True)
class Tally:
    cases: int = 0
    edited: int = 0
    opened: int = 0
    refused: int = 0
    measured: int = 0
    slowest: float = 0.0  # CPU seconds
    slowest_case: str = ""
    slowest_share: float = 0.0  # of what is allowed
    peak: int = 0  # bytes of Python's memory in one case
    peak_case: str = ""
    peak_share: float = 0.0
    peak_rss: int = 0  # bytes, of a worker with its samples
    failures: list[str] = field(default_factory=list)


def batch(seed: str, name: str, first: int, count: int) -> Tally:
    """Some cases of one sample."""
    tally, what = Tally(), subject(name)
    for number in range(first, first + count):
        case = f"{name} {seed}:{number}"
        edited, measure = number % EDITED == 0, number % MEASURED == 1
        try:
            outcome = run(
                what, seed, number, measure=measure, exercise=edit_something if edited else None
            )
        except Exception:  # noqa: BLE001 - whatever it is, it is what the campaign looks for
            tally.failures.append(f"{case}: {traceback.format_exc(limit=-2)}")
            continue
        tally.cases += 1
        tally.edited += edited
        tally.opened += outcome.opened
        tally.refused += not outcome.opened
        tally.measured += measure
        if measure:
            note_memory(tally, case, outcome.peak, bytes_allowed(what.size))
        else:
            note_time(tally, case, outcome.seconds, seconds_allowed(what.size))
    tally.peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return tally


def note_time(tally: Tally, case: str, seconds: float, allowed: float) -> None:
    if seconds > tally.slowest:
        tally.slowest, tally.slowest_case = seconds, case
    tally.slowest_share = max(tally.slowest_share, seconds / allowed)
    if seconds > allowed:
        tally.failures.append(f"{case}: {seconds:.2f} s, allowed {allowed:.2f}")


def note_memory(tally: Tally, case: str, peak: int, allowed: int) -> None:
    if peak > tally.peak:
        tally.peak, tally.peak_case = peak, case
    tally.peak_share = max(tally.peak_share, peak / allowed)
    if peak > allowed:
        tally.failures.append(f"{case}: {peak} bytes, allowed {allowed}")


def add(total: Tally, part: Tally) -> None:
    for name in ("cases", "edited", "opened", "refused", "measured"):
        setattr(total, name, getattr(total, name) + getattr(part, name))
    if part.slowest > total.slowest:
        total.slowest, total.slowest_case = part.slowest, part.slowest_case
    if part.peak > total.peak:
        total.peak, total.peak_case = part.peak, part.peak_case
    for name in ("slowest_share", "peak_share", "peak_rss"):
        setattr(total, name, max(getattr(total, name), getattr(part, name)))
    total.failures += part.failures


def batches(count: int) -> list[tuple[str, int, int]]:
    """(sample, first number, how many), so that they add up to `count` or a little more."""
    wanted = {name: -(-count * share // 100) for name, share in SHARES.items()}
    if count >= 10_000:
        wanted |= LARGE
    found = []
    for name, number in wanted.items():
        size = 5 if name in LARGE else BATCH
        numbers = iter(range(number))
        while some := list(islice(numbers, size)):
            found.append((name, some[0], len(some)))
    return found


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def campaign(
    count: Annotated[int, typer.Option(help="How many cases at least.")] = 20_000,
    seed: Annotated[str, typer.Option(help="Another seed, other damage.")] = "1",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Mutate hives and logs; print how many opened, the slowest, and what escaped."""
    total, began = Tally(), time.monotonic()
    work = batches(count)
    with ProcessPoolExecutor(jobs, initializer=_limited) as pool:
        names, firsts, counts = zip(*work, strict=True)
        for part in pool.map(partial(batch, seed), names, firsts, counts):
            add(total, part)
    if as_json:
        typer.echo(json.dumps(asdict(total) | {"wall": time.monotonic() - began}))
    else:
        _show(total, time.monotonic() - began)
    raise typer.Exit(1 if total.failures else 0)


def _show(total: Tally, wall: float) -> None:
    typer.echo(
        f"{total.cases} cases ({total.edited} edited) in {wall:.0f} s: {total.opened} opened, "
        f"{total.refused} refused with FormatError, {len(total.failures)} failures"
    )
    typer.echo(
        f"slowest {total.slowest:.3f} s CPU ({total.slowest_case}); nearest to its bound "
        f"{total.slowest_share:.0%}"
    )
    typer.echo(
        f"memory measured in {total.measured}: at most {total.peak / MIB:.1f} MiB "
        f"({total.peak_case}); nearest to its bound {total.peak_share:.0%}; "
        f"a worker's RSS {total.peak_rss / MIB:.0f} MiB of {LIMIT / MIB:.0f}"
    )
    for failure in total.failures[:20]:
        typer.echo(f"FAILED {failure}")


if __name__ == "__main__":
    typer.run(campaign)
