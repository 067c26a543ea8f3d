"""Sessions: which of them came up, and what a logon proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from recoverykit.diagnosis import sessions
from recoverykit.model import BootEvent, BootEventKind
from tests.diagnosis.scene import GOOD, event, started

MINUTE = timedelta(minutes=1)


def at(minutes: float, kind: BootEventKind) -> BootEvent:
    return event(kind, GOOD + minutes * MINUTE)


def begins(minutes: float) -> BootEvent:
    return started(GOOD + minutes * MINUTE)


def logon(minutes: float) -> BootEvent:
    return at(minutes, BootEventKind.LOGGED_ON)


def off(minutes: float) -> BootEvent:
    return at(minutes, BootEventKind.SHUT_DOWN)


def moments(*minutes: float) -> list[datetime]:
    return [GOOD + one * MINUTE for one in minutes]


def test_both_records_of_a_start_are_one_session() -> None:
    found = sessions.split([begins(0), begins(0.3), begins(10)])
    assert [one.start.when for one in found] == moments(0, 10)


def test_how_sessions_end() -> None:
    stopped = at(60.1, BootEventKind.UNEXPECTED)
    events = [begins(0), off(30), begins(40), begins(60), stopped, begins(90), logon(92)]
    found = sessions.split(events, recorded=moments(90.2))
    assert [(one.clean, one.stopped, one.crashed) for one in found] == [
        (True, False, False),
        (False, True, False),
        (False, True, True),
        (False, False, False),
    ]


def test_a_dump_ends_the_session_it_fell_into() -> None:
    first, second = sessions.split([begins(0), begins(60)], happened=moments(10))
    assert (first.crashed, second.crashed) == (True, False)


def test_a_dump_after_a_clean_end_hit_a_boot_without_a_record() -> None:
    (only,) = sessions.split([begins(0), off(30)], happened=moments(40))
    assert not only.crashed


@pytest.mark.parametrize(
    ("events", "recorded", "expected"),
    [
        pytest.param([begins(0), off(5)], [], 0, id="clean"),
        pytest.param([begins(0), logon(20)], [20.5], 0, id="crashed, but lasted"),
        pytest.param([begins(0), logon(2)], [], 0, id="logged on"),
        pytest.param([begins(0)], [], None, id="no sign"),
        pytest.param([begins(0), off(5), begins(10), logon(12), begins(14)], [14], 0, id="crashed"),
        pytest.param(
            [begins(0), off(5), begins(10), logon(12), begins(14), logon(16)],
            [14],
            0,
            id="a logon proves nothing after one that crashed",
        ),
        pytest.param(
            [begins(0), off(5), begins(10), begins(14), logon(16)],
            [14],
            14,
            id="it does after a boot that did not even come to a logon",
        ),
        pytest.param(
            [begins(0), logon(2), begins(4), off(9), begins(10), logon(12)],
            [4],
            10,
            id="nor once a later session came up",
        ),
        pytest.param([], [], None, id="no events"),
    ],
)
def test_the_last_good_session(
    events: Sequence[BootEvent], recorded: Sequence[float], expected: float | None
) -> None:
    found = sessions.good(sessions.split(events, moments(*recorded)))
    assert (found.start.when if found else None) == (
        None if expected is None else moments(expected)[0]
    )


def test_the_order_of_events_does_not_matter() -> None:
    events = [begins(0), logon(2), off(30), begins(40), at(40.2, BootEventKind.UNEXPECTED)]
    assert sessions.split(events) == sessions.split(events[::-1])


def test_safe_mode_is_no_ordinary_start() -> None:
    """It came up, for hours even: of the drivers it leaves out that says nothing."""
    safe = replace(begins(60), safe_mode=True)
    found = sessions.split([begins(0), off(30), safe, off(300)])
    assert [one.safe for one in found] == [False, True]
    good = sessions.good(found)
    assert good is not None
    assert good.start == begins(0)
    (only,) = sessions.split([safe, off(300)])
    assert sessions.good([only]) is only
