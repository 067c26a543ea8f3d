"""When this Windows last came up, and what failed since. Pure: evidence in, values out.

Every judgement leans on one cut: the last sign that the machine came up. What happened before it
was survived; what changed during that last good session and never went through a good boot again
can be the cause. Clocks are compared in UTC only; ntbtlog.txt speaks local time, so a boot log is
believed only where the time zone is known or the distance is larger than any time zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from recoverykit.diagnosis import knowledge
from recoverykit.model import BootEvent, BootEventKind, BootLogBlock, Crash, Evidence, NtfsState

_SAME_BOOT = timedelta(minutes=5)  # between a boot's start in one log and in the other
_SUMMER_TIME = timedelta(hours=1)  # the time zone's offset at that moment may differ by it
_ANY_ZONE = timedelta(hours=15)
_SAME_CRASH = timedelta(minutes=10)  # Kernel-Power 41 and WER 1001 tell of one crash
_GOOD = (BootEventKind.SHUT_DOWN, BootEventKind.LOGGED_ON)
_FULL_PART = 0.9  # of the drivers that good boots load
_TAIL_PART = 0.5  # of the late drivers
_MOMENT_ZERO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BootLog:
    """The newest boot in ntbtlog.txt, where it belongs to the time after the last good one."""

    block: BootLogBlock
    good: tuple[BootLogBlock, ...]  # earlier boots in the same file, oldest first
    ends_early: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    last_good: BootEvent | None  # the last sign that a machine came up
    good_start: BootEvent | None  # when that session started
    failed_starts: tuple[BootEvent, ...]  # boots after it that never came up
    crashes: tuple[Crash, ...]  # recorded after it, one for each crash, oldest first
    unexpected: tuple[BootEvent, ...]  # recorded after it: sessions that just stopped
    cut_off: bool  # the file system was in use after the last recorded session ended
    boot_log: BootLog | None

    @property
    def is_failing(self) -> bool:
        """Whether anything says that boots fail since the last good one."""
        return bool(
            self.crashes
            or len(self.unexpected) > 1
            or self.cut_off
            or (self.boot_log and self.boot_log.ends_early)
        )

    @property
    def is_healthy(self) -> bool:
        """Whether the newest thing known is a session that came up, or ended cleanly."""
        return self.last_good is not None and not self.failed_starts and not self.is_failing


def build(evidence: Iterable[Evidence]) -> Timeline:
    """Order what the logs recorded around the last good session."""
    items = tuple(evidence)
    events = sorted((i for i in items if isinstance(i, BootEvent)), key=lambda i: i.when)
    last_good = next((i for i in reversed(events) if i.kind in _GOOD), None)
    cut = last_good.when if last_good else _MOMENT_ZERO
    starts = [i for i in events if i.kind is BootEventKind.STARTED]
    good_start = next((i for i in reversed(starts) if i.when <= cut), None)
    unexpected = [i for i in events if i.kind is BootEventKind.UNEXPECTED and i.when > cut]
    failed = _distinct([i for i in starts if i.when > cut])
    states = [i for i in items if isinstance(i, NtfsState)]
    return Timeline(
        last_good=last_good,
        good_start=good_start,
        failed_starts=failed,
        crashes=_crashes(items, cut),
        unexpected=_distinct(unexpected),
        cut_off=_is_cut_off(last_good, failed, states),
        boot_log=_boot_log(items, last_good, failed),
    )


def _distinct(events: Sequence[BootEvent]) -> tuple[BootEvent, ...]:
    """Two providers record each start and each unexpected end: keep one for each."""
    kept: list[BootEvent] = []
    for event in events:
        if not kept or event.when - kept[-1].when > timedelta(minutes=2):
            kept.append(event)
    return tuple(kept)


def _crashes(items: Iterable[Evidence], cut: datetime) -> tuple[Crash, ...]:
    found = [i for i in items if isinstance(i, Crash) and i.when > cut]
    kept: list[Crash] = []
    for crash in sorted(found, key=lambda i: i.when):
        same = kept and (
            kept[-1].bugcheck == crash.bugcheck
            and kept[-1].parameters == crash.parameters
            and not kept[-1].dump
            and bool(crash.dump)
            and crash.when - kept[-1].when < _SAME_CRASH
        )
        if same:
            kept.pop()  # the later record names the dump
        kept.append(crash)
    return tuple(kept)


def _is_cut_off(
    last_good: BootEvent | None, failed: Sequence[BootEvent], states: Sequence[NtfsState]
) -> bool:
    """A clean end is the last record, yet somebody mounted the volume and did not unmount it."""
    ended = last_good is not None and last_good.kind is BootEventKind.SHUT_DOWN and not failed
    return ended and any(state.log_unclean and not state.hibernated for state in states)


# --- ntbtlog.txt --------------------------------------------------------------------------


def _boot_log(
    items: Iterable[Evidence], last_good: BootEvent | None, failed: Sequence[BootEvent]
) -> BootLog | None:
    blocks = [i for i in items if isinstance(i, BootLogBlock)]
    if not blocks or last_good is None or not _is_fresh(blocks[-1], last_good, failed):
        return None
    good = tuple(block for block in blocks[:-1] if not _is_fresh(block, last_good, failed))
    return BootLog(blocks[-1], good, ends_early(blocks[-1], good))


def _is_fresh(block: BootLogBlock, last_good: BootEvent, failed: Sequence[BootEvent]) -> bool:
    """Whether a block was written by a boot after the last good session."""
    if block.started is None:
        return False
    if block.bias is None:
        return block.started - last_good.when > _ANY_ZONE
    started = block.started + timedelta(minutes=block.bias)
    if any(abs(started - start.when) < _SAME_BOOT for start in failed):
        return True
    return started - last_good.when > _SUMMER_TIME + _SAME_BOOT


def ends_early(block: BootLogBlock, good: Sequence[BootLogBlock]) -> bool:
    """Whether a boot's log stops before the drivers that complete boots load at their end."""
    loaded = _loaded(block)
    complete = [_loaded(other) for other in good[-5:]]
    if not complete:
        return not any(knowledge.is_late(driver) for driver in loaded)
    if len(loaded) >= _FULL_PART * median(len(other) for other in complete):
        return False
    tail = set.intersection(*(set(other[len(other) // 2 :]) for other in complete))
    return len(tail.intersection(loaded)) <= _TAIL_PART * len(tail)


def _loaded(block: BootLogBlock) -> list[str]:
    """Distinct loaded drivers in load order: repeats are retries, and their number varies."""
    return list(dict.fromkeys(line.driver for line in block.lines if line.loaded))
