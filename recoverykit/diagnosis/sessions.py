"""Sessions: what the event log tells of each time Windows ran. Pure: events in, values out.

A boot writes its start twice (EventLog 6005, Kernel-General 12), and tells how the session before
it ended: that it just stopped (Kernel-Power 41, EventLog 6008), or with which stop code. A session
*came up* when it ended cleanly or lived for a quarter of an hour, and is good when it did not
crash. A logon proves it as well, except where sessions since the last good one crashed after
theirs: some drivers wait for a logon.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from recoverykit.model import LASTED, BootEvent, BootEventKind

SAME_BOOT = timedelta(minutes=2)  # between the records in which one boot tells its start
_LIFE = (BootEventKind.SHUT_DOWN, BootEventKind.LOGGED_ON)


@dataclass(slots=True)
class _Draft:
    """A session while its events are sorted into it."""

    start: BootEvent
    signs: list[BootEvent] = field(default_factory=list)
    crashed: bool = False
    stopped: bool = False
    safe: bool = False

    @property
    def ended(self) -> bool:
        """Cleanly: what a later boot tells of a crash was then a boot without a record."""
        return any(sign.kind is BootEventKind.SHUT_DOWN for sign in self.signs)


@dataclass(frozen=True, slots=True)
class Session:
    start: BootEvent
    last_sign: BootEvent | None  # the last thing only a machine that came up writes
    clean: bool  # it was shut down
    crashed: bool  # it ended with a bug check
    stopped: bool  # it just stopped, by what the next boot says: crash, power loss or hang
    safe: bool = False  # Safe Mode: that it came up says little of an ordinary start

    @property
    def lasted(self) -> bool:
        return self.last_sign is not None and self.last_sign.when - self.start.when >= LASTED


def split(
    events: Iterable[BootEvent],
    recorded: Iterable[datetime] = (),
    happened: Iterable[datetime] = (),
) -> tuple[Session, ...]:
    """Sessions, oldest first.

    `recorded`: when a boot told of a bug check before it; `happened`: when one hit, by its dump.
    """
    ordered = sorted(events, key=lambda event: (event.when, event.kind))
    drafts = _starts(ordered)
    for event in ordered:
        if event.kind in _LIFE:
            _sign(drafts, event)
        elif event.kind is BootEventKind.UNEXPECTED:
            ended = _before(drafts, event.when)
            if ended is not None:
                ended.stopped = True
    hit = [_before(drafts, when) for when in recorded]
    hit += [drafts[at] for at in (_index(drafts, when) for when in happened) if at is not None]
    for draft in hit:
        if draft is not None and not draft.ended:
            draft.crashed = draft.stopped = True
    return tuple(_finished(draft) for draft in drafts)


def good(sessions: Sequence[Session]) -> Session | None:
    """The last session that came up and did not crash; None where none is known.

    Safe Mode loads no third-party drivers and does not count, where another session is known.
    Where every known session crashed, the first that went on for long enough has to do.
    """
    ordinary = [session for session in sessions if not session.safe]
    found, crashed = _good(ordinary)
    return found or crashed or next(iter(_good(sessions)), None)


def _good(sessions: Sequence[Session]) -> tuple[Session | None, Session | None]:
    """(the last good one, the first that crashed after it had come up)"""
    treacherous = False  # whether a logon proves nothing here
    found: Session | None = None
    crashed: Session | None = None
    for session in sessions:
        if session.crashed:
            treacherous |= session.last_sign is not None
            crashed = crashed or (session if session.lasted else None)
        elif session.clean or session.lasted:
            found, treacherous = session, False
        elif session.last_sign is not None and not treacherous:
            found = session
    return found, crashed


def _starts(events: Iterable[BootEvent]) -> list[_Draft]:
    drafts: list[_Draft] = []
    for event in events:
        if event.kind is not BootEventKind.STARTED:
            continue
        if not drafts or event.when - drafts[-1].start.when > SAME_BOOT:
            drafts.append(_Draft(event))
        drafts[-1].safe |= event.safe_mode
    return drafts


def _sign(drafts: Sequence[_Draft], event: BootEvent) -> None:
    at = _index(drafts, event.when)
    if at is not None:
        drafts[at].signs.append(event)


def _index(drafts: Sequence[_Draft], when: datetime) -> int | None:
    """The session that ran at a moment."""
    found = [at for at, draft in enumerate(drafts) if draft.start.when <= when]
    return found[-1] if found else None


def _before(drafts: Sequence[_Draft], when: datetime) -> _Draft | None:
    """The session before the boot that recorded something at `when`."""
    at = _index(drafts, when + SAME_BOOT)  # a boot may tell of the past before its own start
    return drafts[at - 1] if at else None


def _finished(draft: _Draft) -> Session:
    signs = sorted(draft.signs, key=lambda sign: sign.when)
    return Session(
        draft.start,
        signs[-1] if signs else None,
        draft.ended,
        draft.crashed,
        draft.stopped,
        draft.safe,
    )
