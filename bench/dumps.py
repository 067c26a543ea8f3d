"""recoverykit's crash dumps against the other readers: same dump, same work, same run.

    .venv/bin/python -m bench.dumps [--rounds 5] [--size 1024] [--json]

The dump is a sparse one of --size MB (full bitmap), 240 drivers and a whole stack. The work: bug
check, parameters, the list of drivers with names and stamps, and who owns each word of the stack.
kdmp-parser (C++) and volatility3's layers give virtual memory; what they lack is done for them in
bench/contestants/dump_walk.py. Processes in turns, one round before the first that counts; CPU of
the work alone, imports excluded. Targets: 5 ms, 20 times volatility3's layers, twice kdmp-parser.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from bench.contest import OURS, Contestant, Run, in_turns, table_row, usual_counts
from tests.builders import dump
from tests.builders.dump import Mod

CONTESTANTS = (
    Contestant(OURS, "dump_ours"),
    Contestant("kdmp-parser (C++)", "dump_kdmp"),
    Contestant("volatility3 layers", "dump_volatility"),
)
TARGETS = {"kdmp-parser (C++)": 2.0, "volatility3 layers": 20.0}
LIMIT = 0.005  # seconds of our own
DRIVERS = 240

_KERNEL = 0xFFFF_F807_5BC0_E000


@dataclass(frozen=True, slots=True)
class Result:
    contestant: str
    cpu: float  # medians, seconds
    lowest: float
    highest: float
    process: float
    peak: int
    agrees: bool
    ratio: float  # its CPU over ours
    met: bool


def write(path: Path, size: int) -> None:
    modules = [Mod("\\SystemRoot\\system32\\ntoskrnl.exe", _KERNEL, 0x104_6000, 0x5DEE2B07)]
    modules += [
        Mod(f"driver{n:03}.sys", 0xFFFF_F807_6000_0000 + n * 0x4_0000, 0x3_0000, n + 1)
        for n in range(1, DRIVERS)
    ]
    words = [0, 5, 0xFFFF_A704_EEB6_BEC0, 0, 1, 2, 3, 0xFFFF_D20B_0000_0000]
    frames = [module.base + 0x1234 for module in modules[:48]]
    stack = [word for frame in frames for word in (frame, *words[:7])] * 8
    dump.write_memory(
        path,
        "bitmap",
        size=size,
        bugcheck=0xD1,
        parameters=(0x28, 2, 0, modules[9].base + 0x1234),
        when=datetime(2024, 7, 19, 5, 9, tzinfo=UTC),
        modules=modules,
        stack=stack,
    )


def compete(path: Path, rounds: int) -> list[Result]:
    runs = in_turns(CONTESTANTS, "dump", rounds, lambda: [path])
    usual = usual_counts(runs)
    ours = median(run.cpu for run in runs[OURS])
    return [_result(each.name, runs[each.name], ours, usual) for each in CONTESTANTS]


def _result(name: str, runs: list[Run], ours: float, usual: dict[str, Any]) -> Result:
    cpu = median(run.cpu for run in runs)
    return Result(
        name,
        cpu,
        min(run.cpu for run in runs),
        max(run.cpu for run in runs),
        median(run.process for run in runs),
        max(run.peak for run in runs),
        agrees=runs[0].counts == usual,
        ratio=cpu / ours,
        met=cpu <= LIMIT if name == OURS else cpu / ours >= TARGETS[name],
    )


def show(results: list[Result]) -> None:
    head = ("contestant", "CPU ms (min-max)", "x ours", "target", "process s", "peak MiB")
    widths = (19, 26, 8, 15, 10, 8)
    typer.echo(table_row(head, widths))
    for one in results:
        target = "<=5 ms" if one.contestant == OURS else f">={TARGETS[one.contestant]:.0f}x"
        cells = (
            one.contestant,
            f"{one.cpu * 1e3:.2f} ({one.lowest * 1e3:.2f}-{one.highest * 1e3:.2f})",
            f"{one.ratio:.1f}",
            f"{target} {'met' if one.met else 'MISSED'}",
            f"{one.process:.3f}",
            f"{one.peak / (1 << 20):.0f}",
        )
        typer.echo(table_row(cells, widths) + ("" if one.agrees else "  OTHER COUNTS"))


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    size: Annotated[int, typer.Option(min=1, help="Megabytes of the dump.")] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare recoverykit with other readers of crash dumps."""
    with TemporaryDirectory(prefix="bench-dumps-") as folder:
        path = Path(folder) / "MEMORY.DMP"
        write(path, size << 20)
        results = compete(path, rounds)
    if as_json:
        typer.echo(json.dumps({"size": size, "results": [asdict(one) for one in results]}))
        return
    typer.echo(f"load {os.getloadavg()[0]:.1f}, medians of {rounds}, a dump of {size} MB")
    show(results)


if __name__ == "__main__":
    typer.run(main)
