"""A bounded part of one file of the target: its beginning or its end. Reads only."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import FormatError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of a file."""

    path: str  # relative to the volume, as spelled on disk
    data: bytes
    size: int  # of the whole file
    written: datetime
    skipped: int = 0  # bytes in front of `data`


def modified(status: os.stat_result) -> datetime:
    """When a file was last written."""
    return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)


def plain(text: str, limit: int = 300) -> str:
    """Text of the target for a sentence of ours: one line, no control characters, not too long."""
    return "".join(character if character.isprintable() else " " for character in text[:limit])


def beginning(mount: Path, name: str, limit: int) -> Content | None:
    """The first `limit` bytes; None where there is no such file. Raises as `end`."""
    return _read(mount, name, limit, from_end=False)


def end(mount: Path, name: str, limit: int) -> Content | None:
    """The last `limit` bytes, from an even offset on; None where there is no such file.

    Raises OSError, TargetRefusedError for a path through a link, FormatError for no regular file.
    """
    return _read(mount, name, limit, from_end=True)


def _read(mount: Path, name: str, limit: int, *, from_end: bool) -> Content | None:
    found = installs.locate(mount, name)
    if found is None:
        return None
    with installs.on_disk(mount, found).open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("file", 0, "not a regular file")
        skipped = max(0, status.st_size - limit) & ~1 if from_end else 0  # UTF-16: whole characters
        stream.seek(skipped)
        data = _all(stream.fileno(), limit + 1 if skipped else limit)
    return Content(found, data, status.st_size, modified(status), skipped)


def _all(descriptor: int, limit: int) -> bytes:
    """Until the limit or the end: one read may give less."""
    pieces = []
    while limit > 0 and (piece := os.read(descriptor, limit)):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
