"""Contestants: processes of their own that do the same work in turns (bench/contestants/)."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

OURS = "recoverykit"


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    script: str
    python: str = sys.executable


@dataclass(frozen=True, slots=True)
class Run:
    cpu: float  # seconds, of the work
    process: float  # seconds, of the whole process
    peak: int  # bytes
    counts: dict[str, Any]


def process(
    argv: Sequence[str], env: Mapping[str, str] | None = None
) -> tuple[str, int, resource.struct_rusage]:
    """What a process printed, its exit code, and what it cost."""
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env=env, cwd=REPOSITORY
    ) as child:
        assert child.stdout is not None
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return printed, child.returncode, usage


def measure(contestant: Contestant, work: str, files: Sequence[Path]) -> Run:
    """Raises RuntimeError where the contestant fails."""
    script = REPOSITORY / "bench" / "contestants" / f"{contestant.script}.py"
    printed, code, usage = process(
        [contestant.python, str(script), work, *map(str, files)],
        {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
    )
    if code:
        raise RuntimeError(f"{contestant.name} failed at {work}")
    answer = json.loads(printed)
    whole = usage.ru_utime + usage.ru_stime
    return Run(answer["cpu"], whole, answer["peak"], answer["counts"])


def in_turns(
    contestants: Sequence[Contestant], work: str, rounds: int, files: Callable[[], Sequence[Path]]
) -> dict[str, list[Run]]:
    """So many runs of each, A B C A B C, on what `files` lays out for the run."""
    runs: dict[str, list[Run]] = {each.name: [] for each in contestants}
    for turn in range(rounds + 1):
        for each in contestants:
            run = measure(each, work, files())
            if turn:  # the first one warms the caches
                runs[each.name].append(run)
    return runs


def usual_counts(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """What most of them counted."""
    usual, _ = Counter(json.dumps(each[0].counts) for each in runs.values()).most_common(1)[0]
    counts: dict[str, Any] = json.loads(usual)
    return counts


def table_row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()
