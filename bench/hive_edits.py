"""The campaign: random edits by the thousand, of sound hives and of damaged ones.

    .venv/bin/python -m bench.hive_edits [--count 4000] [--seed 1] [--jobs 2]

Each case is one of tests/formats/edit_run.py: either a hive is edited together with a model of it,
and checked in every structure; or a mutant is edited, and nothing that was readable may be lost.
Exit code 1 if anything else came out.
"""

from __future__ import annotations

import random
import resource
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Annotated

import typer

from tests.formats.edit_run import edit_by_model, edit_mutant

MUTANTS = {"built": 50, "bcd_win2go": 25, "yarp/System_Delta": 10}  # of each hundred
MODELS = {"built": 8, "bcd_win2go": 4, "yarp/OffHive": 2, "dissect_SYSTEM.gz": 1}
STEPS = 80  # of one case with a model
BATCH = 50
LIMIT = 3 << 30  # bytes of address space of a worker
Work = tuple[str, str, int]  # what is done, to which sample, first number


def batch(seed: str, work: Work) -> tuple[Counter[str], list[str]]:
    """What became of some cases, and what escaped."""
    kind, name, first = work
    tally, escaped = Counter[str](), list[str]()
    for number in range(first, first + (BATCH if kind == "mutant" else 1)):
        rng = random.Random(f"{seed}:{kind}:{name}:{number}")
        try:
            if kind == "mutant":
                made = edit_mutant(name, rng)
                tally[{None: "hive refused", True: "edited", False: "some refused"}[made]] += 1
            else:
                tally["edits like the model's"] += edit_by_model(name, rng, STEPS)
        except Exception:  # noqa: BLE001 - whatever it is, it is what the campaign looks for
            escaped.append(f"{kind} {name} {seed}:{number}: {traceback.format_exc(limit=-2)}")
    return tally, escaped


def works(count: int) -> list[Work]:
    """They add up to `count` cases or a little more."""
    mutants = [
        ("mutant", name, first)
        for name, share in MUTANTS.items()
        for first in range(0, count * share // 100 + 1, BATCH)
    ]
    models = [
        ("model", name, number)
        for name, share in MODELS.items()
        for number in range(count * share // 100 + 1)
    ]
    return mutants + models


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def campaign(
    count: Annotated[int, typer.Option(help="How many cases at least.")] = 4000,
    seed: Annotated[str, typer.Option(help="Another seed, other edits and damage.")] = "1",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Edit hives at random; print what became of it, and what escaped."""
    total, escaped, began = Counter[str](), list[str](), time.monotonic()
    with ProcessPoolExecutor(jobs, initializer=_limited) as pool:
        for tally, failures in pool.map(partial(batch, seed), works(count)):
            total += tally
            escaped += failures
    said = ", ".join(f"{number} {what}" for what, number in sorted(total.items()))
    typer.echo(f"{said}; {len(escaped)} failures, {time.monotonic() - began:.0f} s")
    for failure in escaped[:20]:
        typer.echo(f"FAILED {failure}")
    raise typer.Exit(1 if escaped else 0)


if __name__ == "__main__":
    typer.run(campaign)
