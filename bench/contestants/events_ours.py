"""recoverykit at work on a System.evtx, for bench/event_logs.py."""

from __future__ import annotations

from pathlib import Path

from bench.contestants.clock import Counts, main
from recoverykit.evidence import events


def log(path: str) -> Counts:
    with Path(path).open("rb") as stream:
        return {"found": sum(1 for _ in events.read(stream, "System.evtx"))}


if __name__ == "__main__":
    main({"log": log})
