"""When this Windows last came up, and what failed since. Pure: evidence in, values out.

Every judgement leans on one cut: the last sign that the machine came up. What happened before it
was survived; what changed during that last good session and never went through a good boot again
can be the cause. Clocks are compared in UTC only; ntbtlog.txt speaks local time, so a boot log is
believed only where the time zone is known or the distance is larger than any time zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from recoverykit.diagnosis import knowledge, sessions, stops
from recoverykit.diagnosis.sessions import Session
from recoverykit.diagnosis.stops import Stop
from recoverykit.model import (
    LASTED,
    BootEvent,
    BootEventKind,
    BootLogBlock,
    BootStatus,
    Evidence,
    KernelBoot,
    NtfsState,
    StartupRepair,
)

_SAME_BOOT = timedelta(minutes=5)  # between a boot's start in one log and in the other
_SUMMER_TIME = timedelta(hours=1)  # the time zone's offset at that moment may differ by it
_ANY_ZONE = timedelta(hours=15)
_FULL_PART = 0.9  # of the drivers that good boots load
_TAIL_PART = 0.5  # of the late drivers
_BEYOND = 5  # drivers: fewer may load while the one before them fails
_SERIES = timedelta(days=2)  # crashes that belong together
_FAILED_STARTS = 3  # sessions in a row that left no sign of coming up
_AFTER = timedelta(minutes=1)  # files are closed a moment after the last record
_MOMENT_ZERO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BootLog:
    """The newest boot in ntbtlog.txt, where it belongs to the time after the last good one."""

    block: BootLogBlock
    good: tuple[BootLogBlock, ...]  # earlier boots in the same file, oldest first
    ends_early: bool
    tried: tuple[BootLogBlock, ...] = ()  # boots between those and the newest

    def came_past(self, driver: str) -> bool:
        """Whether another failed boot loaded a driver and went well beyond it."""
        for block in self.tried:
            loaded = _loaded(block)
            if driver in loaded and len(loaded) - loaded.index(driver) > _BEYOND:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Timeline:
    last_good: BootEvent | None  # the last sign that a machine came up
    good_start: BootEvent | None  # when that session started
    failed_starts: tuple[BootEvent, ...]  # boots after it that never came up
    stops: tuple[Stop, ...]  # bug checks after it, oldest first
    earlier_stops: tuple[Stop, ...]  # those it survived
    unexpected: tuple[BootEvent, ...]  # recorded after it: sessions that just stopped
    cut_off: bool  # the file system was in use after the last recorded session ended
    boot_log: BootLog | None
    repair: StartupRepair | None  # Startup Repair ran since
    status: BootStatus | None  # bootstat.dat, where it was written since
    sessions: tuple[Session, ...] = ()
    told_failed: tuple[KernelBoot, ...] = ()  # boots after it which say that the one before failed

    @property
    def is_failing(self) -> bool:
        """Whether anything says that boots fail since the last good one."""
        return bool(
            len(self.stops) > 1
            or self.stopped_early
            or len(self.unexpected) > 1
            or len(self.failed_starts) >= _FAILED_STARTS
            or self.cut_off
            or self.told_failed
            or (self.boot_log and self.boot_log.ends_early)
            or self.repair
            or self.status_failing
        )

    @property
    def stopped_early(self) -> bool:
        """Whether a stop hit a boot, or a session too short to have come up.

        One crash after hours of work says nothing about whether Windows starts.
        """
        return any(not self._is_late(stop) for stop in self.stops)

    def _is_late(self, stop: Stop) -> bool:
        if stop.dump is not None and stop.dump.uptime is not None:
            return stop.dump.uptime >= LASTED
        told = min((record.when for record in stop.records), default=stop.when)
        before = [item for item in self.sessions if item.start.when < told - _AFTER * 10]
        ended = before[-1] if before else None
        return ended is not None and ended.crashed and ended.lasted

    @property
    def status_failing(self) -> bool:
        """Whether the loader's own status says that boots were tried and did not succeed."""
        status = self.status
        if status is None or status.succeeded:
            return False
        return (status.attempts or 0) > 1 or status.error_repeats > 0

    @property
    def is_healthy(self) -> bool:
        """Whether the newest thing known is a session that came up, or ended cleanly."""
        tried = self.status is not None and not self.status.succeeded
        return (
            self.last_good is not None
            and not self.failed_starts
            and not self.is_failing
            and not tried
        )

    @property
    def first_failure(self) -> datetime | None:
        """The earliest failure since the last good session.

        A boot that never came up failed when it began; one that did, when it stopped.
        """
        silent = {item.start for item in self.sessions if item.last_sign is None}
        moments = [start.when for start in self.failed_starts if start in silent][:1]
        moments += [stop.when for stop in self.stops[:1]]
        return min(moments, default=None)


def build(evidence: Iterable[Evidence]) -> Timeline:
    """Order what the logs recorded around the last good session."""
    items = tuple(evidence)
    events = [*(item for item in items if isinstance(item, BootEvent)), *_resumed(items)]
    all_stops = tuple(stop for stop in stops.gather(items) if _is_crash(stop))
    past = _sessions(events, all_stops)
    good = _good(past, all_stops)
    last_good = good.last_sign if good else _sign_without_start(events, past)
    cut = last_good.when if last_good else _MOMENT_ZERO
    failed = tuple(
        item.start for item in past if item.start.when > cut and not (item.safe and item.last_sign)
    )
    late = [item for item in events if item.kind is BootEventKind.UNEXPECTED and item.when > cut]
    return Timeline(
        last_good=last_good,
        good_start=good.start if good else None,
        failed_starts=failed,
        stops=tuple(stop for stop in all_stops if stop.when > cut),
        earlier_stops=tuple(stop for stop in all_stops if stop.when <= cut),
        unexpected=_distinct(late),
        cut_off=_is_cut_off(last_good, failed, items),
        boot_log=_boot_log(items, last_good, good.start if good else None, failed),
        repair=_repair(items, last_good),
        status=_status(items, last_good),
        sessions=past,
        told_failed=tuple(
            item
            for item in items
            if isinstance(item, KernelBoot) and item.when > cut and item.last_boot_good is False
        ),
    )


def _resumed(items: Iterable[Evidence]) -> Iterator[BootEvent]:
    """Fast Startup and hibernation begin a session in which the kernel does not start anew."""
    for item in items:
        if isinstance(item, KernelBoot) and item.resumed:
            yield BootEvent(item.source, item.when, BootEventKind.STARTED)


def _is_crash(stop: Stop) -> bool:
    """Not so where somebody asked for it, or where Windows went on running."""
    asked_for = knowledge.area(stop.code, stop.parameters) is knowledge.Area.USER
    return not asked_for and not knowledge.is_live_dump(stop.code)


def _sessions(events: Sequence[BootEvent], found: Sequence[Stop]) -> tuple[Session, ...]:
    happened = [stop.when for stop in found if stop.dump]
    recorded = [record.when for stop in found for record in stop.records]
    return sessions.split(events, recorded, happened)


def _good(past: tuple[Session, ...], found: Sequence[Stop]) -> Session | None:
    """The last session that came up, but none that only interrupted a series of crashes.

    A short session between two stops of one code (Safe Mode, or a boot that went a little better)
    is no sign that the trouble was over.
    """
    good = sessions.good(past)
    while good is not None and not good.lasted and _interrupts(good, found):
        earlier = sessions.good([item for item in past if item.start.when < good.start.when])
        if earlier is None:
            break
        good = earlier
    return good


def _interrupts(session: Session, found: Sequence[Stop]) -> bool:
    since = session.start.when - _SERIES
    before = {
        knowledge.base_code(stop.code) for stop in found if since < stop.when < session.start.when
    }
    end = session.last_sign.when if session.last_sign else session.start.when
    return any(knowledge.base_code(stop.code) in before for stop in found if stop.when > end)


def _sign_without_start(events: Sequence[BootEvent], past: Sequence[Session]) -> BootEvent | None:
    """A log that begins in the middle of a session knows its end, not its start."""
    signs = [
        event
        for event in events
        if event.kind in (BootEventKind.SHUT_DOWN, BootEventKind.LOGGED_ON)
        and (not past or event.when < past[0].start.when)
    ]
    return max(signs, key=lambda event: event.when, default=None)


def _distinct(events: Sequence[BootEvent]) -> tuple[BootEvent, ...]:
    """Two providers record each unexpected end: keep one for each."""
    kept: list[BootEvent] = []
    for event in sorted(events, key=lambda item: item.when):
        if not kept or event.when - kept[-1].when > sessions.SAME_BOOT:
            kept.append(event)
    return tuple(kept)


def _is_cut_off(
    last_good: BootEvent | None, failed: Sequence[BootEvent], items: Sequence[Evidence]
) -> bool:
    """A clean end is the last record, yet somebody mounted the volume and did not unmount it."""
    ended = last_good is not None and last_good.kind is BootEventKind.SHUT_DOWN and not failed
    states = (item for item in items if isinstance(item, NtfsState))
    return ended and any(state.log_unclean and not state.hibernated for state in states)


def _repair(items: Sequence[Evidence], last_good: BootEvent | None) -> StartupRepair | None:
    """Startup Repair, where it ran after the last good session."""
    found = [item for item in items if isinstance(item, StartupRepair)]
    if last_good is None:
        return None
    fresh = [item for item in found if item.written > last_good.when + _AFTER]
    return max(fresh, key=lambda item: item.written, default=None)


def _status(items: Sequence[Evidence], last_good: BootEvent | None) -> BootStatus | None:
    found = next((item for item in items if isinstance(item, BootStatus)), None)
    if found is None or last_good is None:
        return None
    return found if found.written > last_good.when + _AFTER else None


# --- ntbtlog.txt --------------------------------------------------------------------------


def _boot_log(
    items: Iterable[Evidence],
    last_good: BootEvent | None,
    good_start: BootEvent | None,
    failed: Sequence[BootEvent],
) -> BootLog | None:
    blocks = [item for item in items if isinstance(item, BootLogBlock)]
    if not blocks or last_good is None:
        return None
    own = _block_of(blocks, good_start)
    if own is not None and own < len(blocks) - 1:
        good = tuple(blocks[: own + 1])  # what follows it was written by boots after that one
        tried = tuple(blocks[own + 1 : -1])
    elif _is_fresh(blocks[-1], last_good, failed):
        tried = tuple(block for block in blocks[:-1] if _is_fresh(block, last_good, failed))
        good = tuple(block for block in blocks[:-1] if block not in tried)
    else:
        return None
    return BootLog(blocks[-1], good, ends_early(blocks[-1], good), tried)


def _block_of(blocks: Sequence[BootLogBlock], start: BootEvent | None) -> int | None:
    """The block that the last good session itself wrote; boots are appended in their order."""
    for at in range(len(blocks) - 1, -1, -1):
        started, bias = blocks[at].started, blocks[at].bias
        if start is None or started is None or bias is None:
            continue
        if abs(started + timedelta(minutes=bias) - start.when) < _SAME_BOOT:
            return at
    return None


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
