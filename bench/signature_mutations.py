"""The campaign: signed files changed by the ten thousand, and none that is good for it.

    .venv/bin/python -m bench.signature_mutations [--count 20000] [--seeds 1] [--jobs 2] [--json]

Each case is one of tests/signing/mutation_run.py: a seeded change to one file or catalog. What is
good after it is told by the regions that were changed; a change of anything signed that is still
good is a failure, as are an exception and a judgement that takes too long. The work is shared out
to child processes whose address space is limited. Exit code 1 if anything failed.
"""

from __future__ import annotations

import json
import resource
import time
import traceback
import tracemalloc
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Annotated

import typer

from tests.signing import mutation_run
from tests.signing.regions import UNSIGNED

BATCH = 250
MEASURED = 50  # every so many-th case, Python's memory too, which costs time
MIB = 1 << 20
LIMIT = 2048 * MIB  # address space of a worker
MEMORY = 32 * MIB  # of Python's objects in one case, files of up to 1.5 MB


@dataclass(slots=True)
class Tally:
    cases: int = 0
    subjects: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    survivors: int = 0
    regions: Counter[str] = field(default_factory=Counter)  # of the survivors
    slowest: float = 0.0  # CPU seconds
    slowest_case: str = ""
    peak: int = 0  # bytes
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.survivors += other.survivors
        self.subjects += other.subjects
        self.kinds += other.kinds
        self.regions += other.regions
        self.failures += other.failures
        self.peak = max(self.peak, other.peak)
        if other.slowest > self.slowest:
            self.slowest, self.slowest_case = other.slowest, other.slowest_case


def batch(seed: int, first: int, count: int) -> Tally:
    """Some cases, the subjects in turn."""
    tally, names = Tally(), mutation_run.names()
    for number in range(first, first + count):
        name, case = names[number % len(names)], f"{seed}:{number}"
        mutation_run.baseline(name)  # once each, and not in anybody's time
        try:
            one_case(tally, name, case, measure=number % MEASURED == 0)
        except Exception:  # noqa: BLE001 - whatever it is, it is what the campaign looks for
            tally.failures.append(f"{name} {case}: {traceback.format_exc(limit=-2)}")
    return tally


def one_case(tally: Tally, name: str, case: str, *, measure: bool) -> None:
    tally.cases += 1
    tally.subjects[name] += 1
    if measure:
        tracemalloc.start()
    outcome = mutation_run.run(name, case)
    if measure:
        tally.peak = max(tally.peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    elif outcome.seconds > tally.slowest:
        tally.slowest, tally.slowest_case = outcome.seconds, f"{name} {case}"
    tally.kinds[outcome.kind] += 1
    tally.survivors += outcome.survived
    if outcome.survived:
        tally.regions.update(outcome.regions)


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def main(
    count: Annotated[int, typer.Option(help="Cases of each seed.", min=1)] = 20_000,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 1,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change signed files and judge them."""
    total, began = Tally(), time.monotonic()
    with ProcessPoolExecutor(jobs, initializer=_limited) as pool:
        shares = [
            pool.submit(batch, seed, first, min(BATCH, count - first))
            for seed in range(seeds)
            for first in range(0, count, BATCH)
        ]
        for share in shares:
            total.add(share.result())
    if total.slowest > mutation_run.SECONDS:
        total.failures.append(f"{total.slowest_case}: {total.slowest:.2f} s")
    if total.peak > MEMORY:
        total.failures.append(f"{total.peak / MIB:.0f} MiB of memory")
    wall = time.monotonic() - began
    typer.echo(json.dumps(asdict(total) | {"wall": wall}) if as_json else _shown(total, wall))
    raise typer.Exit(int(bool(total.failures)))


def _shown(total: Tally, wall: float) -> str:
    changes = f"{total.cases} changes to {len(total.subjects)} files in {wall:.0f} s"
    good = f"{total.survivors} good as before, {len(total.failures)} failures"
    slowest = f"slowest {total.slowest:.3f} s of CPU ({total.slowest_case})"
    lines = [f"{changes}: {good}", f"{slowest}; memory at most {total.peak / MIB:.1f} MiB"]
    for name, times in total.regions.most_common():
        lines.append(f"{times:7} {name}: {UNSIGNED[name]}")
    return "\n".join((*lines, *(f"FAILED {each}" for each in total.failures[:20])))


if __name__ == "__main__":
    typer.run(main)
