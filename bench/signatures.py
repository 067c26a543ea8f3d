"""recoverykit's signatures against the other verifiers: same files, same work, same run.

    .venv/bin/python -m bench.signatures [--rounds 5] [--only verify] [--json]

The files are those of bench/signature_corpus.py: 400 signed executables (87 MB), 2,000 catalogs.
Each contestant (bench/contestants/signed_*.py) runs as a process of its own, in turns, one round
before the first that counts. CPU of the work alone, imports excluded; osslsigncode's is that of its
400 processes. Reading our own roots is work. Medians; the machine may be busy, ratios stay. Five
minutes, most of them signify's.

What they do differs, and is told beside the times: LIEF builds no chains and has no roots, signify
and osslsigncode know no classes. "good" is what each lets pass: osslsigncode refuses VeriSign's old
timestamps, LIEF accepts unknown roots (who is right: tests/independent/test_signature_peers.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from bench import signature_corpus
from bench.contest import OURS, Contestant, Run, in_turns, table_row
from tests.independent.signature_agreement import write_roots

SIGNIFY, LIEF, OSSLSIGNCODE = "signify", "LIEF", "osslsigncode"
PEFILE, HASHLIB = "pefile (fast)", "hashlib"
CONTESTANTS = {
    each.name: each
    for each in (
        Contestant(OURS, "signed_ours"),
        Contestant(SIGNIFY, "signed_signify"),
        Contestant(LIEF, "signed_lief"),
        Contestant(OSSLSIGNCODE, "signed_osslsigncode"),
        Contestant(PEFILE, "signed_pefile"),
        Contestant(HASHLIB, "signed_hashlib"),
    )
}


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. `targets`: contestant -> its CPU over ours, at least."""

    name: str
    work: str  # what the contestants call it
    targets: Mapping[str, float | None]  # of all that take part
    most: int = 100  # rounds


_VERIFIERS = {SIGNIFY: 60.0, LIEF: 1.5, OSSLSIGNCODE: 15.0}
ROWS = (
    Row("400 files verified", "verify", _VERIFIERS),
    Row("2,000 catalogs too", "installation", {SIGNIFY: None}, most=1),
    Row("100 catalogs indexed", "catalogs", {SIGNIFY: None}),
    Row("headers read", "headers", {PEFILE: 10.0, LIEF: None}),
    Row("hashed (SHA-256)", "digests", {HASHLIB: 0.9}),
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
    ratio: float  # its CPU over ours
    target: float | None
    met: bool | None


def compete(row: Row, files: Sequence[Path], rounds: int) -> list[Result]:
    names = (OURS, *row.targets)
    contestants = [CONTESTANTS[name] for name in names]
    runs = in_turns(contestants, row.work, min(rounds, row.most), lambda: files)
    ours = median(run.cpu for run in runs[OURS])
    return [_result(row, name, runs[name], ours) for name in names]


def _result(row: Row, name: str, runs: Sequence[Run], ours: float) -> Result:
    cpu = median(run.cpu for run in runs)
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
        ratio=cpu / ours,
        target=target,
        met=None if target is None else cpu / ours >= target,
    )


def given(row: Row, folder: Path) -> list[Path]:
    """What its contestants are given."""
    files = signature_corpus.installation()
    if row.work == "catalogs":
        return signature_corpus.catalogs()[:100]
    if row.work == "installation":
        return [signature_corpus.catalogs()[0].parent, *files]
    if row.work != "verify":
        return files
    roots = folder / "roots.pem"
    if not roots.exists():
        write_roots(roots, files)
    return [roots, *files]


def show(results: Sequence[Result]) -> None:
    head = ("work", "contestant", "CPU s (min-max)", "x ours", "target", "process s", "peak MiB")
    widths = (20, 14, 24, 7, 14, 9, 8, 0)
    typer.echo(table_row((*head, ""), widths))
    for one in results:
        cells = (
            one.row,
            one.contestant,
            f"{one.cpu:.4f} ({one.lowest:.4f}-{one.highest:.4f})",
            f"{one.ratio:.2f}",
            "" if one.target is None else f">={one.target:.1f} {'met' if one.met else 'MISSED'}",
            f"{one.process:.3f}",
            f"{one.peak / (1 << 20):.0f}",
            " ".join(f"{name}={value}" for name, value in one.counts.items()),
        )
        typer.echo(table_row(cells, widths))


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    only: Annotated[str, typer.Option(help="One work: verify, catalogs, headers...")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare recoverykit with other verifiers of signed files."""
    results: list[Result] = []
    with TemporaryDirectory(prefix="bench-signatures-") as folder:
        for row in ROWS:
            if only in ("", row.work):
                results += compete(row, given(row, Path(folder)), rounds)
    if as_json:
        rows = [asdict(one) for one in results]
        typer.echo(json.dumps({"load": os.getloadavg(), "results": rows}, indent=1))
        return
    typer.echo(f"load {os.getloadavg()[0]:.1f}, medians of {rounds}")
    show(results)


if __name__ == "__main__":
    typer.run(main)
