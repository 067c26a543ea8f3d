"""What became of a machine after a repair of ours, on the second visit. Pure.

Two clocks are never compared where it can be helped. The repair's time is that of the medium, which
takes it from the machine's clock: local time, or long ago where the battery is dead. So a repair
keeps `marks`: the newest moment that Windows itself had recorded, and the number of its boot. Of
the evidence of the second visit, what is newer by Windows' own clock came after. Where there are no
marks, a record counts only if it lies further away from the repair than any time zone.

What a boot after the repair tells of the crash before it is no crash after it: a stop belongs to
the session that it ended. And silence is no success: without a session that came up, or a failure,
nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from recoverykit.diagnosis import blame, knowledge, sessions, timeline
from recoverykit.diagnosis.applied import ANY_ZONE, LAST, after, bounded, until
from recoverykit.diagnosis.applied import Applied as Applied
from recoverykit.diagnosis.applied import Marks as Marks
from recoverykit.diagnosis.sessions import Session
from recoverykit.diagnosis.stops import Stop
from recoverykit.diagnosis.timeline import Timeline
from recoverykit.model import (
    Aftermath,
    BootEvent,
    BootLogBlock,
    BootStatus,
    DriverFile,
    Evidence,
    KernelBoot,
    Service,
    ServiceInstalled,
    Since,
    Source,
    StartType,
    StartupRepair,
)


@dataclass(frozen=True, slots=True)
class _Window:
    """What came after one repair, and before the next."""

    applied: Applied
    newest: bool  # no other repair came after it
    sessions: tuple[Session, ...]
    good: Session | None  # the last that came up and did not crash
    cut: datetime  # its last sign, else the repair itself
    stops: tuple[Stop, ...]  # after that
    cut_short: BootLogBlock | None  # the newest boot log since, where it ends early
    hint: Source | None  # bootstat.dat says that a boot since came up, and ended cleanly

    @property
    def last_driver(self) -> str:
        return _end(self.cut_short) if self.cut_short else ""


def marks(evidence: Sequence[Evidence]) -> Marks:
    """What a repair has to remember of the evidence it was based on."""
    status = next((item for item in evidence if isinstance(item, BootStatus)), None)
    block = _newest_block(evidence)
    repairs = [item.written for item in evidence if isinstance(item, StartupRepair)]
    return Marks(
        max(_recorded(evidence), default=None),
        status.boot_id if status else None,
        _end(block) if block else "",
        max(repairs, default=None),
    )


def judge(applied: Sequence[Applied], evidence: Sequence[Evidence]) -> tuple[Aftermath, ...]:
    """What became of each repair that stands, in their order, oldest first."""
    if not any(one.standing for one in applied):
        return ()  # nearly always: a timeline costs time
    times = timeline.build(evidence)
    found: list[Aftermath] = []
    for at in range(len(applied) - 1, -1, -1):
        one, following = applied[at], applied[at + 1] if at + 1 < len(applied) else None
        if not one.standing:
            continue
        judged = _judge(_window(one, following, times, evidence), evidence)
        if judged.since is Since.NOT_STARTED and following and following.standing:
            judged = _as_one(judged, one, found[-1])
        found.append(judged)
    return tuple(reversed(found))


def _as_one(judged: Aftermath, one: Applied, later: Aftermath) -> Aftermath:
    """Windows was not started between two repairs: what came of them, came of both."""
    text = f"The repair ({_name(one)}) and the next one were made without a start in between."
    return replace(judged, since=later.since, text=f"{text} {later.text}", sources=later.sources)


# --- what came after ----------------------------------------------------------------------


def _recorded(evidence: Sequence[Evidence]) -> Iterator[datetime]:
    """Every moment that Windows recorded by its own clock."""
    for item in evidence:
        if isinstance(item, BootEvent | KernelBoot):
            yield item.when
        elif isinstance(item, BootStatus):
            yield item.written
    times = timeline.build(evidence)
    for stop in (*times.earlier_stops, *times.stops):
        yield stop.when


def _window(
    applied: Applied,
    following: Applied | None,
    times: Timeline,
    evidence: Sequence[Evidence],
) -> _Window:
    start = after(applied)
    end = until(following) if following else LAST
    since = tuple(item for item in times.sessions if start < item.start.when <= end)
    good = _good(since)
    cut = good.last_sign.when if good and good.last_sign else start
    seen = (
        _seen(stop, applied, [item for item in since if item.start.when > cut], end, times)
        for stop in (*times.earlier_stops, *times.stops)
    )
    stops = tuple(stop for stop in seen if stop is not None and stop.when > cut)
    block = None if following else _fresh_block(evidence, since, start, good)
    return _Window(
        applied,
        following is None,
        since,
        good,
        cut,
        stops,
        block if block and timeline.ends_early(block, _earlier(evidence, block)) else None,
        None if following or since else _came_up(applied, evidence),
    )


def _good(since: Sequence[Session]) -> Session | None:
    """The last session that came up; Safe Mode loads no driver of others and proves nothing."""
    found = sessions.good([item for item in since if not item.safe])
    return found if found is not None and not found.crashed else None


def _seen(
    stop: Stop, applied: Applied, since: Sequence[Session], end: datetime, times: Timeline
) -> Stop | None:
    """A stop with what tells of it after the repair; None if it was before.

    The boot after a repair is often the first that can record the crash before it: a record counts
    where the session that it ended began after the repair. Two crashes alike may be taken for one.
    """
    records = [item for item in stop.records if _ended(item.when, times) in since]
    dump = stop.dump if stop.dump and _is_new_dump(stop, applied, since, end, times) else None
    if dump is not None:
        return stop
    known = applied.marks.startup_repair if applied.marks else None
    repairs = [item for item in stop.repairs if known is not None and item.written > known]
    told = [*(item.when for item in records), *(item.written for item in repairs)]
    if not told:
        return None
    old = replace(stop, when=min(told), dump=None, reports=())
    return replace(old, records=tuple(records), repairs=tuple(repairs))


def _ended(when: datetime, times: Timeline) -> Session | None:
    """The session before the boot that recorded something; it may do so before its own start."""
    before = [item for item in times.sessions if item.start.when <= when + sessions.SAME_BOOT]
    return before[-2] if len(before) > 1 else None


def _is_new_dump(
    stop: Stop, applied: Applied, since: Sequence[Session], end: datetime, times: Timeline
) -> bool:
    """A dump knows when it happened. One that no recorded session can have written is of a boot too
    early to be recorded, before the repair or after: then the medium's clock decides, as far as it
    goes.
    """
    if not after(applied) < stop.when <= end:
        return False
    if any(item.start.when <= stop.when for item in since):
        return True
    return not _is_trusted(applied, times) or stop.when > bounded(applied.when) - ANY_ZONE


def _is_trusted(applied: Applied, times: Timeline) -> bool:
    """Whether the medium's clock does not contradict what Windows recorded before and since."""
    start, when = after(applied), bounded(applied.when)
    since = [item.start.when for item in times.sessions if item.start.when > start]
    return start - ANY_ZONE <= when and all(when - ANY_ZONE <= moment for moment in since)


def _silent(window: _Window, evidence: Sequence[Evidence]) -> tuple[Source, ...]:
    """Boots that never came up, as logs, WinRE or the loader's own status tell them.

    After a good session, one start without a sign of life may be somebody's power switch.
    """
    cut = window.cut
    found = [
        item.start.source
        for item in window.sessions
        if item.start.when > cut and item.last_sign is None and not item.safe
    ]
    if window.newest:
        found += [
            item.source
            for item in evidence
            if isinstance(item, StartupRepair | BootStatus) and _tells_of_failure(window, item)
        ]
    enough = len(found) > 1 or window.good is None
    return tuple(found) if enough else ()


def _tells_of_failure(window: _Window, item: StartupRepair | BootStatus) -> bool:
    if isinstance(item, StartupRepair):  # WinRE's clock is in a zone of its own: told by itself
        known = window.applied.marks.startup_repair if window.applied.marks else None
        return item.written > (window.cut + ANY_ZONE if known is None else known)
    begun = window.good is None and _boots_since(window.applied, item)
    return not item.succeeded and (begun or (item.written > window.cut and bool(item.attempts)))


def _boots_since(applied: Applied, status: BootStatus) -> bool:
    known = applied.marks.boot_id if applied.marks else None
    return known is not None and status.boot_id is not None and status.boot_id > known


def _came_up(applied: Applied, evidence: Sequence[Evidence]) -> Source | None:
    """Where no log tells of a session: the loader does not say which were in Safe Mode."""
    for item in evidence:
        if isinstance(item, BootStatus) and item.succeeded and item.shut_down:
            return item.source if _boots_since(applied, item) else None
    return None


# --- ntbtlog.txt --------------------------------------------------------------------------


def _blocks(evidence: Sequence[Evidence]) -> list[BootLogBlock]:
    return [item for item in evidence if isinstance(item, BootLogBlock)]


def _newest_block(evidence: Sequence[Evidence]) -> BootLogBlock | None:
    """Boots are appended in their order."""
    return next(reversed(_blocks(evidence)), None)


def _earlier(evidence: Sequence[Evidence], block: BootLogBlock) -> list[BootLogBlock]:
    return [item for item in _blocks(evidence) if item is not block]


def _fresh_block(
    evidence: Sequence[Evidence],
    since: Sequence[Session],
    start: datetime,
    good: Session | None,
) -> BootLogBlock | None:
    """The newest boot's log, where it is of a boot after the repair that did not come up."""
    block = _newest_block(evidence)
    if block is None or block.started is None or (good is not None and good is since[-1]):
        return None
    slack = ANY_ZONE if block.bias is None else timedelta(hours=1)  # summer time
    local = block.started + timedelta(minutes=block.bias or 0)
    return block if local - slack > start else None


def _end(block: BootLogBlock) -> str:
    """The last driver that a boot loaded."""
    return next((line.driver for line in reversed(block.lines) if line.loaded), "")


# --- the judgement ------------------------------------------------------------------------


def _judge(window: _Window, evidence: Sequence[Evidence]) -> Aftermath:
    one = window.applied
    back = _back(one, evidence)
    silent = _silent(window, evidence)
    if not (window.stops or silent or window.cut_short):
        good = window.good.start.source if window.good else window.hint
        since = Since.WORKED if good else Since.NOT_STARTED
        text = _worked(one) if good else _nothing_known(one)
        return Aftermath(one.id, since, one.driver, _with(text, back), (good,) if good else ())
    same = _same(window)
    since = Since.SAME if same else Since.OTHER
    text = _failed_again(one, same) if same else _failed_otherwise(window)
    sources = [stop.sources[0] for stop in window.stops if stop.sources]
    sources += [window.cut_short.source] if window.cut_short else []
    return Aftermath(one.id, since, one.driver, _with(text, back), (*sources, *silent)[:5])


def _same(window: _Window) -> str:
    """In which way it is the failure from before, as a clause; "" where it is another."""
    one = window.applied
    for stop in reversed(window.stops):
        if one.driver and blame.of(stop, one.driver.__eq__):
            return f"a crash names {one.driver} again"
        if stop.dump and any(module.name == one.driver for module in stop.dump.modules):
            return f"{one.driver} was loaded when it crashed"
    before = {knowledge.base_code(code) for code in one.stops}
    for stop in reversed(window.stops):
        if knowledge.base_code(stop.code) in before:
            return f"it stops with {stop.code:#010x} again"
    if window.stops:
        return ""
    place = one.marks.last_driver if one.marks else ""
    if window.last_driver and window.last_driver in (place, one.driver):
        return f"the boot ends after {window.last_driver} again"
    if window.last_driver or one.stops:
        return ""
    return "it does not come up, as before, and leaves no trace that differs"


def _back(one: Applied, evidence: Sequence[Evidence]) -> str:
    """A sentence where somebody has undone a part of the repair: Windows Update, an installer."""
    found = [item for item in evidence if isinstance(item, Service)]
    own = next((item for item in found if item.name.casefold() == one.service.casefold()), None)
    enabled = one.disabled and own is not None and own.start is not StartType.DISABLED
    moved = one.moved.casefold()
    file = bool(moved) and any(
        item.source.path.casefold() == moved for item in evidence if isinstance(item, DriverFile)
    )
    installed = any(
        isinstance(item, ServiceInstalled)
        and item.service.casefold() == one.service.casefold()
        and item.when > after(one)
        for item in evidence
    )
    if not one.service or not (enabled or file):
        return ""
    state = "enabled again" if enabled else "there again, disabled"
    what = f"{one.service} is {state}{', and its file is back' if file else ''}"
    who = "its installer ran" if installed else "by Windows Update, an installer or a person"
    return f"Since the repair, {what} ({who})."


def _with(text: str, more: str) -> str:
    return f"{text} {more}" if more else text


def _name(one: Applied) -> str:
    return one.title or one.id


def _worked(one: Applied) -> str:
    return (
        f"Windows has started since the repair ({_name(one)}) and stayed up: it worked. "
        "Nothing is left to do."
    )


def _nothing_known(one: Applied) -> str:
    if one.hive_written:
        return (
            f"Windows was begun since the repair ({_name(one)}), but nothing tells whether it came "
            "up. Start it again before anything else is changed."
        )
    return (
        f"Nothing says that Windows was started since the repair ({_name(one)}). "
        "Start it before anything else is changed."
    )


def _failed_again(one: Applied, same: str) -> str:
    about = f"{one.driver} was not the cause, or not alone" if one.driver else "it did not help"
    return (
        f"Windows failed the same way after the repair ({_name(one)}): {same}. "
        f"So {about}; look at the next suspect."
    )


def _failed_otherwise(window: _Window) -> str:
    one = window.applied
    if window.stops:
        how = f"it stops with {window.stops[-1].code:#010x}, which it did not before"
    elif window.last_driver:
        how = f"the boot ends after {window.last_driver}, which it did not before"
    else:
        how = "it does not come up any more, and leaves no crash as it did before"
    return (
        f"Windows failed otherwise after the repair ({_name(one)}): {how}. "
        f"Consider taking it back: recoverykit undo --transaction {one.id}."
    )
