"""An earlier repair of ours, and what it remembers of the machine as it was then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ANY_ZONE = timedelta(hours=15)
_FIRST = datetime.min.replace(tzinfo=UTC) + 2 * ANY_ZONE
LAST = datetime.max.replace(tzinfo=UTC) - 2 * ANY_ZONE


@dataclass(frozen=True, slots=True)
class Marks:
    """How far a machine had come when it was repaired, by its own clock and count."""

    newest: datetime | None = None  # what Windows recorded last
    boot_id: int | None = None  # of bootstat.dat
    last_driver: str = ""  # where the newest boot in ntbtlog.txt ended
    startup_repair: datetime | None = None  # when it wrote its log, by the clock of WinRE


@dataclass(frozen=True, slots=True)
class Applied:
    """A repair that was made here."""

    id: str
    when: datetime  # by the medium's clock, UTC
    driver: str  # file name in lower case; "" where it was about no driver
    service: str
    title: str
    stops: tuple[int, ...] = ()  # stop codes seen before it
    suspects: tuple[str, ...] = ()  # drivers suspected then, heaviest first
    marks: Marks | None = None
    hive_written: bool | None = None  # by Windows since: the SYSTEM hive is not what we left
    disabled: bool = False  # its service was disabled
    moved: str = ""  # path of the driver's file, where it was moved away
    standing: bool = True  # False: taken back since


def after(applied: Applied) -> datetime:
    """The moment after which everything came later than a repair, by Windows' clock."""
    known = applied.marks.newest if applied.marks else None
    return known if known is not None else bounded(applied.when) + ANY_ZONE


def until(following: Applied) -> datetime:
    """The moment before which everything came earlier than a later repair."""
    known = following.marks.newest if following.marks else None
    return known if known is not None else bounded(following.when)


def bounded(when: datetime) -> datetime:
    """A moment that hours can be added to and taken from."""
    return min(max(when, _FIRST), LAST)
