"""recoverykit's hives against the other readers: same files, same work, same run.

    .venv/bin/python -m bench.registry [--rounds 5] [--only walk] [--json]

Each contestant (bench/contestants/) runs as a process of its own, in turns A B C A B C, one round
before the first that counts. CPU is process_time() of the work alone, imports excluded, and that
of the whole process from wait4(); memory is the process's own peak. Medians; the machine may be
busy, ratios stay. A contestant whose counts are not the others' is marked: it is fast at something
else. Times as each reader gives them: a
datetime by the Python peers, the number on disk by hivex and by us.

regipy takes part in recovery only. Elsewhere one bug holds it up (its read_value() copies the rest
of the hive for every value that lies inside its own cell: 13 s for the services, 138 s for the walk
of the SYSTEM hive used here, where 0.1 s and 2.3 s are work), and a ratio to that says nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from bench.contest import OURS, Contestant, Run, in_turns, table_row, usual_counts
from tests.conftest import REAL_DATA, read_real

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-hivex is
SYSTEM, SOFTWARE = "regipy_SYSTEM_WIN_10_1709.xz", "plaso_win7_SOFTWARE.xz"
CLEAN = "dissect_SYSTEM.gz"
DIRTY = ("regipy_SYSTEM_B.xz", "regipy_SYSTEM_B.LOG1.xz", "regipy_SYSTEM_B.LOG2.xz")


CONTESTANTS = {
    each.name: each
    for each in (
        Contestant(OURS, "ours"),
        Contestant("python-registry", "python_registry"),
        Contestant("dissect.regf", "dissect_regf"),
        Contestant("hivex (C)", "hivex_c", SYSTEM_PYTHON),
        Contestant("regipy", "regipy_fast"),
    )
}


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. `targets` (docs/performance.md): contestant -> its CPU over ours, at
    least; below 1 it says how much slower than that one we may be."""

    name: str
    work: str  # what the contestants call it
    files: tuple[str, ...]  # of shared/data/hives
    names: tuple[str, ...]  # of contestants
    targets: dict[str, float]
    writes: bool = False  # each run gets copies of its own


FOUR = (OURS, "python-registry", "dissect.regf", "hivex (C)")
ROWS = (
    Row("services", "services", (SYSTEM,), FOUR, {"python-registry": 6, "hivex (C)": 1 / 1.5}),
    Row(
        "walk of SYSTEM",
        "walk",
        (SYSTEM,),
        FOUR,
        {"python-registry": 9, "dissect.regf": 15, "hivex (C)": 1 / 2.7},
    ),
    Row(
        "walk of SOFTWARE",
        "walk",
        (SOFTWARE,),
        FOUR,
        {"python-registry": 9, "dissect.regf": 15, "hivex (C)": 1 / 2.7},
    ),
    Row(
        "recovery",
        "recovery",
        DIRTY,
        (OURS, "python-registry", "regipy"),
        {"python-registry": 2},
        writes=True,
    ),
    Row("one value saved", "edit", (CLEAN,), (OURS, "hivex (C)"), {"hivex (C)": 1}, writes=True),
    # With everything a repair proves, which hivex does not: shown beside it, without a target.
    Row("the same, proven", "proven", (CLEAN,), (OURS,), {}, writes=True),
)


@dataclass(frozen=True, slots=True)
class Result:
    row: str
    contestant: str
    cpu: float  # medians
    lowest: float
    highest: float
    process: float
    peak: int
    counts: dict[str, Any]
    agrees: bool  # with what most of them counted
    ratio: float | None  # its CPU over ours
    target: float | None
    met: bool | None


def compete(row: Row, folder: Path, rounds: int) -> list[Result]:
    files = [_staged(name, folder) for name in row.files]

    def fresh() -> Sequence[Path]:
        return [_copy(file, folder / "fresh") for file in files] if row.writes else files

    runs = in_turns([CONTESTANTS[name] for name in row.names], row.work, rounds, fresh)
    usual = usual_counts(runs)
    ours = median(run.cpu for run in runs[OURS]) if OURS in runs else None
    return [_result(row, name, runs[name], ours, usual) for name in row.names]


def _staged(name: str, folder: Path) -> Path:
    path = folder / name.removesuffix(".xz").removesuffix(".gz")
    if not path.exists():
        path.write_bytes(read_real(REAL_DATA / "hives" / name))
    return path


def _copy(file: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copyfile(file, folder / file.name))


def _result(
    row: Row, name: str, runs: Sequence[Run], ours: float | None, usual: dict[str, Any]
) -> Result:
    cpu = median(run.cpu for run in runs)
    ratio = cpu / ours if ours else None
    target = row.targets.get(name)
    return Result(
        row.name,
        name,
        cpu,
        min(run.cpu for run in runs),
        max(run.cpu for run in runs),
        median(run.process for run in runs),
        max(run.peak for run in runs),
        runs[0].counts,
        agrees=runs[0].counts == usual,
        ratio=ratio,
        target=target,
        met=None if ratio is None or target is None else ratio >= target,
    )


def show(results: Sequence[Result]) -> None:
    head = ("work", "contestant", "CPU s (min-max)", "x ours", "target", "process s", "peak MiB")
    widths = (17, 16, 24, 7, 14, 9, 8)
    typer.echo(table_row(head, widths))
    for one in results:
        cells = (
            one.row,
            one.contestant,
            f"{one.cpu:.4f} ({one.lowest:.4f}-{one.highest:.4f})",
            "" if one.ratio is None else f"{one.ratio:.2f}",
            "" if one.target is None else f">={one.target:.2f} {_verdict(one)}",
            f"{one.process:.3f}",
            f"{one.peak / (1 << 20):.0f}",
        )
        line = table_row(cells, widths)
        typer.echo(line + ("" if one.agrees else f"  OTHER COUNTS {one.counts}"))


def _verdict(one: Result) -> str:
    return {None: "", True: "met", False: "MISSED"}[one.met]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    only: Annotated[str, typer.Option(help="Part of a row's name.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare recoverykit with other readers of registry hives."""
    results: list[Result] = []
    with TemporaryDirectory(prefix="bench-registry-") as folder:
        for row in ROWS:
            if only in row.name:
                results += compete(row, Path(folder), rounds)
    if as_json:
        fields = Result.__dataclass_fields__
        rows = [{name: getattr(one, name) for name in fields} for one in results]
        typer.echo(json.dumps({"load": os.getloadavg(), "results": rows}, indent=1))
        return
    typer.echo(f"load {os.getloadavg()[0]:.1f}, medians of {rounds}")
    show(results)


if __name__ == "__main__":
    typer.run(main)
