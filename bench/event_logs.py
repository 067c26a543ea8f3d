"""recoverykit's event log against evtx-rs with json.loads of everything, on System.evtx of 20 MB.

    .venv/bin/python -m bench.event_logs [--rounds 5] [--json]

Three logs. "lived in": the sound chunks of three real System.evtx, repeated, their record numbers
running on; reading stops once enough is known. "no end": the same without those that hold a clean
end of a session. "boot loop": built, a crash every ten minutes and never a good session; a quarter
of its records matter. Of the last two the newest chunks are read, up to the limit.

Each contestant runs in a process of its own, in turns, one round before the first that counts; CPU
is process_time() of the work alone, imports excluded. Medians; the machine may be busy, ratios
stay.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench.contest import OURS, Contestant, Run, in_turns
from recoverykit.formats import evtx as reader
from tests.builders import events, evtx, history
from tests.conftest import REAL_DATA

SAMPLES = ("win10_1703_System.evtx", "srv2008r2_DC1_System.evtx", "win7_System_bugcheck.evtx")
SIZE = 20_910_080  # bytes: 319 chunks
TARGET = 0.4  # of the CPU of evtx-rs with json.loads
CHUNK, HEADER = 0x10000, 4096

THEIRS = "evtx-rs + json.loads"
CONTESTANTS = (Contestant(THEIRS, "events_evtx_rs"), Contestant(OURS, "events_ours"))
LOGS = ("lived in", "no end", "boot loop")


@dataclass(frozen=True, slots=True)
class Result:
    log: str
    theirs: float  # CPU seconds, medians
    ours: float
    lowest: float
    highest: float
    records: int
    found: int
    peak: int  # KiB, ours
    ratio: float
    met: bool


def build(kind: str) -> bytes:
    """A log of about 20 MB."""
    if kind == "boot loop":
        chunks = _chunks(_boot_loop())
    else:
        found = [_chunks((REAL_DATA / "evtx" / name).read_bytes()) for name in SAMPLES]
        chunks = [chunk for part in found for chunk in part if _is_sound(chunk)]
        chunks = [chunk for chunk in chunks if kind == "lived in" or not _ends_a_session(chunk)]
    body, number = bytearray(), 1
    while len(body) < SIZE - HEADER:
        chunk, number = _renumbered(chunks[len(body) // CHUNK % len(chunks)], number)
        body += chunk
    head = struct.pack(
        "<8sQQQIHHHH", b"ElfFile\0", 0, len(body) // CHUNK - 1, number, 128, 1, 3, HEADER, 0
    ).ljust(120, b"\0")
    return (head + struct.pack("<II", 0, zlib.crc32(head))).ljust(HEADER, b"\0") + bytes(body)


def _boot_loop() -> bytes:
    log: list[evtx.Event] = []
    for number in range(130):
        on = datetime(2024, 7, 19, tzinfo=UTC) + timedelta(minutes=10 * number)
        past = history.History((), (), timedelta(0))
        log += history.crashed(past, on, on - timedelta(minutes=5), 0xD1, (1, 2, 3, 4))
        log += [
            events.last_boot_status(on, shut_down=False, succeeded=False),
            events.boot_type(on, 0),
            events.drivers_failed(on, ["dam"]),
            events.driver_failed(on, "HID\\VID_0E0F", "\\Driver\\WudfRd"),
            events.service_failed(on, "CldFlt", 50),
        ]
        later = [on + timedelta(seconds=second) for second in range(45)]
        log += [events.service_state(moment, "Spooler", "running") for moment in later]
    return evtx.build(log)


def _chunks(data: bytes) -> list[bytes]:
    parts = [data[at : at + CHUNK] for at in range(HEADER, len(data) - CHUNK + 1, CHUNK)]
    return [part for part in parts if part.startswith(b"ElfChnk\0")]


def _is_sound(chunk: bytes) -> bool:
    end, checksum = struct.unpack_from("<II", chunk, 48)
    return 512 < end <= CHUNK and zlib.crc32(chunk[512:end]) == int(checksum)


def _ends_a_session(chunk: bytes) -> bool:
    """Whether Kernel-General 13 or EventLog 6006 is in it."""
    ends = {("microsoft-windows-kernel-general", 13), ("eventlog", 6006)}
    found = reader.read(
        io.BytesIO(chunk), reader.Chunk(0, 0, 0), lambda provider, event: (provider, event) in ends
    )
    return bool(found.records)


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


def compete(kind: str, rounds: int, folder: Path) -> Result:
    path = folder / f"{kind}.evtx"
    path.write_bytes(build(kind))
    runs = in_turns(CONTESTANTS, "log", rounds, lambda: [path])
    return _result(kind, runs[THEIRS], runs[OURS])


def _result(kind: str, theirs: Sequence[Run], ours: Sequence[Run]) -> Result:
    times = [run.cpu for run in ours]
    reference = median(run.cpu for run in theirs)
    ratio = median(times) / reference
    return Result(
        kind,
        reference,
        median(times),
        min(times),
        max(times),
        theirs[0].counts["found"],
        ours[0].counts["found"],
        max(run.peak for run in ours) >> 10,
        ratio,
        ratio <= TARGET,
    )


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the reading of System.evtx with evtx-rs and json.loads."""
    with TemporaryDirectory(prefix="bench-event-logs-") as folder:
        results = [compete(kind, rounds, Path(folder)) for kind in LOGS]
    if as_json:
        rows = [{name: getattr(one, name) for name in Result.__slots__} for one in results]
        typer.echo(json.dumps({"load": os.getloadavg(), "results": rows}, indent=1))
        return
    typer.echo(f"load {os.getloadavg()[0]:.1f}, medians of {rounds}, CPU seconds")
    typer.echo("log        evtx-rs  ours (min-max)            ratio  target       found   peak MiB")
    for one in results:
        typer.echo(
            f"{one.log:10} {one.theirs:.4f}   {one.ours:.4f} ({one.lowest:.4f}-{one.highest:.4f})"
            f"   {one.ratio:.2f}   <={TARGET} {'met' if one.met else 'MISSED':6}"
            f"  {one.found:6}  {one.peak >> 10}"
        )


if __name__ == "__main__":
    typer.run(main)
