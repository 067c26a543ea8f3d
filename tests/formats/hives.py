"""Real hives, unpacked once for all tests of this room, and hives as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from recoverykit.formats.hive import Hive, Key
from tests.conftest import REAL_DATA, read_real

HIVES = REAL_DATA / "hives"
Values = tuple[tuple[str, int, str], ...]  # (name, type, data as hex), in the list's order


@cache
def hive_bytes(name: str) -> bytes:
    """A file of shared/data/hives, decompressed; skips the test where it is absent."""
    path = HIVES / name
    if not path.is_file():
        pytest.skip(f"no {name} under {HIVES}")
    return read_real(path)


def samples() -> list[str]:
    """Every file of shared/data/hives that is not a log, relative to it."""
    files = (path for path in HIVES.rglob("*") if path.is_file() and ".LOG" not in path.name)
    return sorted(str(path.relative_to(HIVES)) for path in files)


def logs_of(name: str) -> list[tuple[str, bytes]]:
    """(name, content) of the logs that lie beside a sample."""
    stem = name.removesuffix(".xz")
    paths = sorted(HIVES.glob(f"{stem}.LOG*"))
    return [(Path(path.name.removesuffix(".xz")).name, read_real(path)) for path in paths]


def walk(hive: Hive) -> Iterator[Key]:
    pending = [hive.root]
    while pending:
        key = pending.pop()
        yield key
        pending += key.subkeys()


def content(hive: Hive) -> dict[str, tuple[int, Values]]:
    """All a hive says: for each key's path its time (FILETIME) and its values."""
    return {
        key.path: (
            key.last_written_ticks,
            tuple((value.name, value.type, value.data.hex()) for value in key.values()),
        )
        for key in walk(hive)
    }
