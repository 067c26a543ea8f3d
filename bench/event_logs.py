"""recoverykit's event log against evtx-rs with json.loads of everything, on a 20 MB System.evtx.

    .venv/bin/python -m bench.event_logs [--rounds 5] [--json]

The log is made of the sound chunks of real System.evtx, repeated, their record numbers running on,
as docs/performance.md describes it. Each contestant runs in a process of its own, in turns, one
round before the first that counts; CPU is process_time() of the work alone, imports excluded.
Medians; the machine may be busy, ratios stay. Ours is timed twice: as it reads a machine's log,
where it stops once it knows enough, and on a log without one good session, where it never does.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tests.conftest import REAL_DATA, REPOSITORY

SAMPLES = ("win10_1703_System.evtx", "srv2008r2_DC1_System.evtx", "win7_System_bugcheck.evtx")
SIZE = 20_910_080  # bytes: 319 chunks
TARGET = 0.4  # of the CPU of evtx-rs with json.loads
CHUNK, HEADER = 0x10000, 4096

_THEIRS = """
import json, sys, time, warnings
from evtx import PyEvtxParser
warnings.simplefilter("ignore")
begun, count = time.process_time(), 0
for record in PyEvtxParser(sys.argv[1], 1, skip_errors=True).records_json():
    json.loads(record["data"])
    count += 1
cpu = time.process_time() - begun
"""
_OURS = """
import sys, time
from pathlib import Path
from recoverykit.evidence import events
begun = time.process_time()
with Path(sys.argv[1]).open("rb") as stream:
    count = sum(1 for _ in events.read(stream, "System.evtx"))
cpu = time.process_time() - begun
"""
_ANSWER = """
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(f'{{"cpu": {cpu}, "count": {count}, "peak": {peak}}}')
"""


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    script: str
    endless: bool  # the log without a good session


CONTESTANTS = (
    Contestant("evtx-rs + json.loads", _THEIRS, endless=True),
    Contestant("recoverykit", _OURS, endless=False),
    Contestant("recoverykit, no good session", _OURS, endless=True),
)


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    cpu: float  # seconds, median
    lowest: float
    highest: float
    count: int  # records, or pieces of evidence
    peak: int  # KiB
    ratio: float  # to evtx-rs


def build(*, endless: bool) -> bytes:
    """About 20 MB of real chunks; `endless` leaves out those with a clean end of a session."""
    chunks = [chunk for name in SAMPLES for chunk in _sound(REAL_DATA / "evtx" / name)]
    if endless:
        chunks = [chunk for chunk in chunks if not _ends_a_session(chunk)]
    body, number = bytearray(), 1
    while len(body) < SIZE - HEADER:
        chunk, number = _renumbered(chunks[len(body) // CHUNK % len(chunks)], number)
        body += chunk
    head = struct.pack(
        "<8sQQQIHHHH", b"ElfFile\0", 0, len(body) // CHUNK - 1, number, 128, 1, 3, HEADER, 0
    ).ljust(120, b"\0")
    return (head + struct.pack("<II", 0, zlib.crc32(head))).ljust(HEADER, b"\0") + bytes(body)


def _sound(path: Path) -> list[bytes]:
    data = path.read_bytes()
    parts = [data[at : at + CHUNK] for at in range(HEADER, len(data) - CHUNK + 1, CHUNK)]
    return [part for part in parts if part.startswith(b"ElfChnk\0") and _is_sound(part)]


def _is_sound(chunk: bytes) -> bool:
    end, checksum = struct.unpack_from("<II", chunk, 48)
    return 512 < end <= CHUNK and zlib.crc32(chunk[512:end]) == int(checksum)


def _ends_a_session(chunk: bytes) -> bool:
    stop = "StopTime".encode("utf-16-le")  # Kernel-General 13
    return stop in chunk


def _renumbered(chunk: bytes, number: int) -> tuple[bytes, int]:
    """The chunk with record numbers from `number`, and the number after its last."""
    data, at, first = bytearray(chunk), 512, number
    end = struct.unpack_from("<I", data, 48)[0]
    while at < end and data[at : at + 4] == b"**\0\0":
        struct.pack_into("<Q", data, at + 8, number)
        number += 1
        at += struct.unpack_from("<I", data, at + 4)[0]
    struct.pack_into("<QQQQ", data, 8, first, number - 1, first, number - 1)
    struct.pack_into("<I", data, 52, zlib.crc32(data[512:end]))
    struct.pack_into("<I", data, 124, zlib.crc32(data[:120] + data[128:512]))
    return bytes(data), number


def measure(contestant: Contestant, log: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", contestant.script + _ANSWER, str(log)],
        check=True,
        capture_output=True,
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def compete(rounds: int, folder: Path) -> list[Result]:
    logs = {endless: folder / f"{endless}.evtx" for endless in (False, True)}
    for endless, path in logs.items():
        path.write_bytes(build(endless=endless))
    runs: dict[str, list[dict[str, float]]] = {each.name: [] for each in CONTESTANTS}
    for turn in range(rounds + 1):
        for each in CONTESTANTS:
            run = measure(each, logs[each.endless])
            if turn:  # the first one warms the caches
                runs[each.name].append(run)
    theirs = median(run["cpu"] for run in runs[CONTESTANTS[0].name])
    return [_result(each.name, runs[each.name], theirs) for each in CONTESTANTS]


def _result(name: str, runs: list[dict[str, float]], theirs: float) -> Result:
    times = [run["cpu"] for run in runs]
    return Result(
        name,
        median(times),
        min(times),
        max(times),
        int(runs[0]["count"]),
        int(max(run["peak"] for run in runs)),
        median(times) / theirs,
    )


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the reading of System.evtx with evtx-rs and json.loads."""
    with TemporaryDirectory(prefix="bench-event-logs-") as folder:
        results = compete(rounds, Path(folder))
    if as_json:
        fields = Result.__dataclass_fields__
        rows = [{name: getattr(one, name) for name in fields} for one in results]
        typer.echo(json.dumps({"load": os.getloadavg(), "results": rows}, indent=1))
        return
    typer.echo(f"load {os.getloadavg()[0]:.1f}, medians of {rounds}; target {TARGET} of evtx-rs")
    for one in results:
        verdict = "" if one is results[0] else ("met" if one.ratio <= TARGET else "MISSED")
        typer.echo(
            f"{one.name:30} {one.cpu:.4f} s ({one.lowest:.4f}-{one.highest:.4f})  "
            f"{one.ratio:.2f}x {verdict:7} {one.count:6} {'records' if not verdict else 'found'}"
            f"  {one.peak >> 10} MiB"
        )


if __name__ == "__main__":
    typer.run(main)
