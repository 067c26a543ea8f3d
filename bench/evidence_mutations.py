"""The campaign: a machine with one damaged artifact, diagnosed, by the ten thousand.

    .venv/bin/python -m bench.evidence_mutations [--count 10000] [--seed 0] [--jobs 2] [--json]

Each case is one of tests/evidence/mutation_run.py: a seeded damage to one file of a machine that
has something for every collector. The work is shared out to child processes whose address space is
limited. Exit code 1 if anything was raised, or a case took longer than its bound.
"""

from __future__ import annotations

import json
import resource
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tests.evidence import mutation_run

BATCH = 50
LIMIT = 2 << 30  # address space of a worker


@dataclass(slots=True)
class Tally:
    cases: int = 0
    slowest: float = 0.0  # seconds of CPU
    slowest_case: str = ""
    damaged: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.damaged += other.damaged
        self.kinds += other.kinds
        self.faults += other.faults
        if other.slowest > self.slowest:
            self.slowest, self.slowest_case = other.slowest, other.slowest_case


def work(first: int, count: int) -> Tally:
    """A share of the cases, on a machine of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    tally = Tally()
    with TemporaryDirectory() as folder:
        root = mutation_run.machine(Path(folder))
        for seed in range(first, first + count):
            tally.cases += 1
            try:
                outcome = mutation_run.run(root, seed)
            except Exception:  # noqa: BLE001  (whatever it is, it is a fault to report)
                tally.faults.append(f"seed {seed}: {traceback.format_exc(limit=-3)}")
                continue
            tally.damaged[outcome.name.rsplit("/", 1)[-1]] += 1
            tally.kinds[outcome.kind] += 1
            if outcome.seconds > tally.slowest:
                tally.slowest, tally.slowest_case = outcome.seconds, f"{seed}: {outcome.name}"
    return tally


def main(
    count: Annotated[int, typer.Option(help="Cases.", min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Damage artifacts and diagnose."""
    total = Tally()
    starts = range(seed, seed + count, BATCH)
    with ProcessPoolExecutor(jobs) as pool:
        shares = [pool.submit(work, start, min(BATCH, seed + count - start)) for start in starts]
        for share in shares:
            total.add(share.result())
    if as_json:
        typer.echo(json.dumps(asdict(total), indent=2))
    else:
        typer.echo(f"{total.cases} cases, slowest {total.slowest:.2f} s ({total.slowest_case})")
        typer.echo(f"kinds: {dict(total.kinds)}")
        typer.echo(f"files: {len(total.damaged)}; faults: {len(total.faults)}")
        for fault in total.faults[:20]:
            typer.echo(fault)
    raise typer.Exit(int(bool(total.faults) or total.slowest > mutation_run.SECONDS))


if __name__ == "__main__":
    typer.run(main)
