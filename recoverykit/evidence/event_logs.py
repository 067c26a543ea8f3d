"""Reading the newest part of an event log: chunk by chunk, newest first, and never too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.formats import evtx
from recoverykit.model import Evidence, Gap, Source, WindowsInstall

FOLDER = "System32/winevt/Logs"  # in the Windows folder
_MAX_PROBLEMS = 5

Reader = Callable[[BinaryIO, str], Iterator[Evidence]]


def collect(
    install: WindowsInstall, log: str, read: Reader, *, absent: str = ""
) -> Iterator[Evidence]:
    """What `read` makes of a log; `absent` is what a missing log is worth saying, if anything."""
    name = f"{install.folder}/{log}"
    try:
        found = installs.locate(install.mount, name)
        if found is None:
            if absent:
                yield Gap(Source(name), absent)
            return
        with installs.on_disk(install.mount, found).open("rb") as stream:
            yield from read(stream, found)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(name), str(exc))


def newest(
    stream: BinaryIO,
    path: str,
    wanted: evtx.Wanted,
    limit: int,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[evtx.ChunkContent | Gap]:
    """The newest chunks until `enough`, and last of all what could not be read in them.

    Raises as `evtx.chunks`.
    """
    problems: list[Gap] = []
    listed = evtx.chunks(stream)
    if not listed:
        yield Gap(Source(path), "the event log holds no records")
    for chunk in listed[:limit]:
        if enough():
            break
        content = evtx.read(stream, chunk, wanted)
        problems += (Gap(Source(path, chunk.offset), problem) for problem in content.problems)
        yield content
    yield from problems[:_MAX_PROBLEMS]
    if len(problems) > _MAX_PROBLEMS:
        yield Gap(Source(path), f"{len(problems) - _MAX_PROBLEMS} more records could not be read")
