"""Boots, ends, crashes, installs and trouble as the event logs record them.

System.evtx holds most; Setup.evtx what servicing did, Kernel-PnP's Configuration log the devices
whose drivers did not start. The newest chunks are read first. Of the System log reading stops when
the last good sessions are known, so that a log of any size costs the same. A boot that dies before
the event log service starts leaves no record here: silence after a clean end is no proof of health.

Fast startup: a hybrid shutdown hibernates the kernel. It logs neither a clean end (Kernel-General
13, EventLog 6006) nor the next start (12, 6005), but Kernel-Power 42 at its end and Kernel-Boot 27
with type 1 when it is back: one session, as the log tells it, that goes on for weeks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import BinaryIO

from recoverykit.evidence import event_logs, event_meaning, event_trouble
from recoverykit.formats import evtx
from recoverykit.model import (
    LASTED,
    BootEvent,
    BootEventKind,
    DiskTrouble,
    Evidence,
    Gap,
    HardwareError,
    KernelBoot,
    Source,
    WindowsInstall,
)

LOG = f"{event_logs.FOLDER}/System.evtx"
SETUP_LOG = f"{event_logs.FOLDER}/Setup.evtx"
DEVICES_LOG = f"{event_logs.FOLDER}/Microsoft-Windows-Kernel-PnP%4Configuration.evtx"
MAX_CHUNKS = 96  # 6 MiB: some fifteen thousand records, a hundred failed boots
MAX_OTHER = 32  # 2 MiB of a log that is 1 MiB by default
ENOUGH_GOOD = 4  # sessions that came up; older ones tell nothing about today
MAX_ALIKE = 100  # complaints kept of one kind; a dying disk logs thousands a day

_QUIET = timedelta(minutes=5)  # the most that silence between two records counts as life
_TICK = timedelta(microseconds=1)  # ten of a FILETIME


def collect(install: WindowsInstall) -> Iterator[Evidence]:
    """What the newest part of the logs records, in no particular order."""
    missing = "there is no System event log"
    yield from event_logs.collect(install, LOG, read, absent=missing)
    yield from event_logs.collect(install, SETUP_LOG, read_other)
    yield from event_logs.collect(install, DEVICES_LOG, read_other)


def read(stream: BinaryIO, path: str) -> Iterator[Evidence]:
    """A System log. Raises FormatError when the file is no event log."""
    stamps: list[evtx.Stamp] = []
    boundaries: set[int] = set()
    evidence: list[Evidence] = []
    progress = _Progress()
    for content in event_logs.newest(stream, path, wanted, MAX_CHUNKS, progress.is_enough):
        if isinstance(content, Gap):
            evidence.append(content)
            continue
        stamps += content.stamps
        for record in content.records:
            if _told(record) in event_meaning.FIRST:
                boundaries.add(record.offset)
            found = tuple(meaning(record, path))
            progress.note(found)
            evidence += found
    yield from _without_floods(evidence)
    yield from _lasting(boundaries, stamps, path)


def read_other(stream: BinaryIO, path: str) -> Iterator[Evidence]:
    """A log beside it. Raises FormatError when the file is no event log."""
    for content in event_logs.newest(stream, path, wanted, MAX_OTHER):
        if isinstance(content, Gap):
            yield content
        else:
            for record in content.records:
                yield from meaning(record, path)


@lru_cache(maxsize=4096)
def wanted(provider: str, event: int) -> bool:
    told = (provider, event)
    return (
        told in event_meaning.MEANINGS
        or told in event_meaning.FIRST
        or event_trouble.wanted(provider, event)
    )


def meaning(record: evtx.Record, path: str) -> Iterator[Evidence]:
    """What one record says; nothing where it says nothing."""
    source, told = Source(path, record.offset), _told(record)
    if told in event_meaning.MEANINGS:
        yield from event_meaning.MEANINGS[told](record, source)
    elif event_trouble.wanted(*told):
        yield from event_trouble.read(record, source)


def _told(record: evtx.Record) -> tuple[str, int]:
    return record.provider.lower(), record.event


class _Progress:
    """How much of the past is known, while reading towards it."""

    def __init__(self) -> None:
        self._clean = 0  # ends: two providers tell each
        self._resumed = 0
        self._started = False

    def note(self, evidence: tuple[Evidence, ...]) -> None:
        for item in evidence:
            if isinstance(item, BootEvent):
                self._clean += item.kind is BootEventKind.SHUT_DOWN
                self._started = self._started or item.kind is BootEventKind.STARTED
            elif isinstance(item, KernelBoot):
                self._resumed += bool(item.boot_type)

    def is_enough(self) -> bool:
        """With fast startup a machine may start anew once in months: its start must be seen."""
        return self._started and self._clean // 2 + self._resumed >= ENOUGH_GOOD


def _without_floods(evidence: list[Evidence]) -> Iterator[Evidence]:
    """Of complaints that are alike, the newest."""
    alike: Counter[tuple[str, int]] = Counter()
    complaints = [item for item in evidence if isinstance(item, DiskTrouble | HardwareError)]
    for item in sorted(complaints, key=lambda item: item.when, reverse=True):
        told = (item.provider if isinstance(item, DiskTrouble) else "", item.event)
        alike[told] += 1
        if alike[told] <= MAX_ALIKE:
            yield item
    yield from (item for item in evidence if not isinstance(item, DiskTrouble | HardwareError))


def _lasting(boundaries: set[int], stamps: list[evtx.Stamp], path: str) -> Iterator[BootEvent]:
    """The last sign of life of every session that went on long enough to have come up.

    Life is the sum of the gaps between records, none counting more than _QUIET, in the order of
    the records: a clock that jumps (a time sync after the boot) does not make a session long.
    `boundaries` are the offsets of the records that a boot begins with. A log that was cleared
    begins in the middle of a session, which came up no less.
    """
    quiet, lasted = _QUIET // _TICK * 10, LASTED // _TICK * 10
    lived, previous = 0, None
    stamps.sort(key=lambda stamp: stamp.number)
    for stamp in stamps:
        if stamp.offset in boundaries:
            if previous is not None and lived >= lasted:
                yield _came_up(previous, path)
            lived, previous = 0, None
        if previous is None:
            previous = stamp
        elif stamp.moment > previous.moment:
            lived += min(stamp.moment - previous.moment, quiet)
            previous = stamp
    if previous is not None and lived >= lasted:
        yield _came_up(previous, path)


def _came_up(stamp: evtx.Stamp, path: str) -> BootEvent:
    return BootEvent(Source(path, stamp.offset), stamp.when, BootEventKind.LOGGED_ON)
