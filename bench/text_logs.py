"""setupapi.dev.log of 50 MB: our parser against a loop over lines with a regex, in one run.

    .venv/bin/python -m bench.text_logs [--megabytes 50] [--rounds 5] [--json]

The log is generated (seeded) from sections in the shape and proportion of the real ones: installs
and imports of third-party packages, and servicing of Windows' own. The other contestant is what
most forensic tools do: decode, split into lines, match one pattern a line; it takes from each line
what we take and has to come to the same services, files, errors and states, or the run fails.
It is spared the search for a package's names. CPU time of one process, median of the rounds.
"""

from __future__ import annotations

import json
import random
import re
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Annotated

import typer

from recoverykit.formats import setupapi
from tests.builders import setupapi as builder

TARGET = 4  # times faster than the loop, docs/performance.md

_LINE = re.compile(
    r">>>  \[(?P<title>.*)\]$"
    r"|<<<  \[Exit status: (?P<status>.*)\]$"
    r"|!!!\s+(?P<error>.*)$"
    r"| +inf: +(?:"
    r"\{Add Service: (?P<added>(?!exit\()[^}]*)\}"
    r"|.* service '(?P<service>[^']*)'"
    r"|Service Name +[=] (?P<driving>.*)$)"
    r"|.*?(?P<file>[^\\' ]+\.sys)\b"
)


def generate(megabytes: int) -> bytes:
    """A log of about this size."""
    rng = random.Random(20240719)
    when, size, sections = datetime(2019, 1, 1, 9, 0, tzinfo=UTC), 0, []
    while size < megabytes << 20:
        when += timedelta(minutes=rng.randrange(1, 300))
        package = _package(rng)
        kind = rng.random()
        if kind < 0.04:  # some 300 KB each, as in the real logs
            text = builder.serviced([_package(rng) for _ in range(150)], when)
        elif kind < 0.4:
            text = builder.imported(package, when)
        else:
            text = builder.installed(package, when)
        sections.append(builder.boot(when) + text if rng.random() < 0.2 else text)
        size += len(sections[-1])
    return builder.build(sections)


def _package(rng: random.Random) -> builder.Package:
    number = rng.randrange(400)
    return builder.Package(
        f"oem{number}.inf", f"vendor{number}.inf", f"svc{number}", f"{rng.getrandbits(64):016x}"
    )


def by_lines(data: bytes) -> list[tuple[set[str], set[str], int, str]]:
    """(services, files, number of errors, status) of every section."""
    found: list[tuple[set[str], set[str], int, str]] = []
    services: set[str] = set()
    files: set[str] = set()
    errors = 0
    for line in data.decode("utf-8", "replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        kind, text = match.lastgroup, match.group(match.lastgroup or 0)
        if kind == "title":
            services, files, errors = set(), set(), 0
        elif kind == "error":
            errors += 1
        elif kind in ("added", "service", "driving"):
            services.add(text)
        elif kind == "file":
            files.add(text.lower())
        elif kind == "status":
            found.append((services, files, errors, text))
    return found


def ours(data: bytes) -> list[tuple[set[str], set[str], int, str]]:
    log = setupapi.parse(data)
    return [
        (set(item.services), set(item.files), len(item.errors), item.status)
        for item in log.installs
    ]


def main(
    megabytes: Annotated[int, typer.Option(help="Size of the generated log.")] = 50,
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.")] = 5,
    json_: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    data = generate(megabytes)
    kept = setupapi.MAX_INSTALLS
    if ours(data)[-kept:] != by_lines(data)[-kept:]:
        raise SystemExit("the two disagree about what the log says")
    times: dict[str, list[float]] = {"recoverykit": [], "loop over lines": []}
    for _ in range(rounds):
        for name, work in (("recoverykit", ours), ("loop over lines", by_lines)):
            begun = time.process_time()
            work(data)
            times[name].append(time.process_time() - begun)
    medians = {name: median(each) for name, each in times.items()}
    ratio = medians["loop over lines"] / medians["recoverykit"]
    if json_:
        typer.echo(json.dumps({"bytes": len(data), "seconds": medians, "ratio": ratio}))
        return
    typer.echo(f"{len(data) / 1e6:.0f} MB, {data.count(b'Section start')} sections")
    for name, seconds in medians.items():
        typer.echo(f"{name:18}{seconds:7.3f} s{len(data) / seconds / 1e6:8.0f} MB/s")
    typer.echo(f"{ratio:.1f} times faster (target {TARGET})")


if __name__ == "__main__":
    typer.run(main)
