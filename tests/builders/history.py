"""The life of a test machine: when it was installed, booted, shut down, and what logs hold of it.

Times are UTC; ntbtlog.txt speaks local time, so the time zone comes from the SYSTEM hive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tests.builders import bootlog, events, evtx

RELEASED = datetime(2021, 4, 9, 13, 51, 30, tzinfo=UTC)  # inbox files
INSTALLED = datetime(2022, 6, 22, 7, 12, 44, tzinfo=UTC)
_FIRST_BOOT = datetime(2026, 9, 7, 5, 58, 12, 345000, tzinfo=UTC)
GOOD_BOOTS = 6
LAST_GOOD = _FIRST_BOOT + timedelta(days=7 * (GOOD_BOOTS - 1))
FAULT_INSTALLED = LAST_GOOD + timedelta(hours=8, minutes=21)  # during the last good session
LAST_SHUTDOWN = LAST_GOOD + timedelta(hours=9, minutes=3)
_CRASHES = (
    timedelta(hours=23, minutes=58),
    timedelta(days=1, minutes=2),
    timedelta(days=1, minutes=7),
)
CRASHES = tuple(LAST_GOOD + after for after in _CRASHES)


@dataclass(frozen=True, slots=True)
class History:
    """What the logs say, oldest first."""

    events: tuple[evtx.Event, ...]
    boots: tuple[bootlog.Block, ...]
    bias: timedelta  # UTC = local + bias

    def then(
        self, events: Iterable[evtx.Event] = (), boots: Iterable[bootlog.Block] = ()
    ) -> History:
        return replace(self, events=(*self.events, *events), boots=(*self.boots, *boots))

    def local(self, when: datetime) -> datetime:
        return when - self.bias


def healthy(loaded: Sequence[str], bias: timedelta) -> History:
    """Six weeks of starting on Monday and shutting down in the evening."""
    history = History((), (), bias)
    for week in range(GOOD_BOOTS):
        on = _FIRST_BOOT + timedelta(days=7 * week)
        block = bootlog.Block(history.local(on), tuple(loaded))
        history = history.then(_session(on, on + timedelta(hours=9, minutes=3)), [block])
    return history


def started(on: datetime) -> tuple[evtx.Event, ...]:
    """What a boot that came up logs, in the order of real logs: the event log first."""
    later = on + timedelta(seconds=23)
    return (
        events.version_logged(later),
        events.log_started(later),
        events.kernel_started(on),
        events.drivers_failed(later + timedelta(seconds=1), ["CSC", "dam"]),
        *(
            events.service_state(later + timedelta(seconds=2 + n), name, "running")
            for n, name in enumerate(("Windows Update", "Windows Time", "Print Spooler"))
        ),
    )


def _session(on: datetime, off: datetime) -> tuple[evtx.Event, ...]:
    return (
        *started(on),
        events.service_state(off - timedelta(seconds=5), "Windows Update", "stopped"),
        events.log_stopped(off - timedelta(seconds=1)),
        events.kernel_stopped(off),
    )


def crashed(
    history: History, on: datetime, died: datetime, bugcheck: int, parameters: Sequence[int]
) -> tuple[evtx.Event, ...]:
    """What Windows logs when it comes up after a bug check at `died`."""
    later = on + timedelta(seconds=21)
    report = f"{died:%m%d%y}-8015-01"
    return (
        events.unexpected_shutdown(later, died, history.bias),
        events.version_logged(later),
        events.log_started(later),
        events.kernel_started(on),
        events.power_lost(on + timedelta(seconds=2), bugcheck, parameters),
        events.bugcheck_reported(
            later + timedelta(seconds=4), bugcheck, parameters, "C:\\Windows\\MEMORY.DMP", report
        ),
    )
