"""recoverykit at work on a crash dump, for bench/dumps.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bench.contestants.clock import Counts, main
from recoverykit.formats import crashdump


def dump(path: str) -> Counts:
    with Path(path).open("rb", buffering=0) as stream:
        written = datetime(2024, 7, 19, tzinfo=UTC)
        found = crashdump.parse(stream, Path(path).stat().st_size, path, written)
    return {
        "bugcheck": found.bugcheck,
        "parameters": list(found.parameters),
        "modules": len(found.modules),
        "stamps": sum(module.stamp for module in found.modules),
        "hits": len(found.stack),
    }


if __name__ == "__main__":
    main({"dump": dump})
