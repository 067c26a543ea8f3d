"""Where a time stands in the drawn timeline: from moments to pixels.

Not to scale: straight between two moments, a gap as wide as a power of its length, wider where it
matters; what lies idle for days is cut out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

_IDLE = timedelta(days=2)  # without a record: cut out
CUT = 46.0  # what is drawn instead
_POWER = 0.35  # a day is drawn 13 times as wide as a minute
_LEAST = 3.0  # of any gap, in the same unit
_RECENT = timedelta(days=2)  # before the newest moment: drawn wider
_FOCUS = 3.0  # so many times


@dataclass(frozen=True, slots=True)
class Layout:
    """How large, in CSS pixels."""

    width: int
    gutter: int  # left of the lanes, for their names; 0: names stand above the marks
    lane: int  # height
    label: float  # of a label, before a mark further left loses its own
    css: str  # class of the drawing

    @property
    def left(self) -> float:
        return self.gutter + 12.0

    @property
    def right(self) -> float:
        return self.width - 14.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a time stands: straight between two moments, each gap with a width of its own."""

    times: tuple[datetime, ...]
    places: tuple[float, ...]
    cuts: tuple[int, ...]  # gaps that were cut out: after times[i]
    focus: datetime | None = None  # from here on it matters

    @classmethod
    def of(cls, when: Sequence[datetime], focus: datetime | None, layout: Layout) -> Scale:
        times = tuple(sorted(set(when)))
        gaps = [later - earlier for earlier, later in pairwise(times)]
        cuts = tuple(index for index, gap in enumerate(gaps) if gap >= _IDLE)
        cut = min(CUT, (layout.right - layout.left) / 2 / (len(cuts) or 1))
        units = [
            0.0
            if index in cuts
            else _unit(gap) * (_FOCUS if _matters(late, times[-1], focus) else 1)
            for index, (gap, late) in enumerate(zip(gaps, times[1:], strict=False))
        ]
        free = layout.right - layout.left - len(cuts) * cut
        each = free / (sum(units) or 1)
        places = [layout.left if any(units) else layout.left + free / 2]
        for index, unit in enumerate(units):
            places.append(places[-1] + (cut if index in cuts else unit * each))
        return cls(times, tuple(places), cuts, focus)

    def at(self, when: datetime) -> float:
        """Pixels from the left."""
        if when <= self.times[0]:
            return self.places[0]
        if when >= self.times[-1]:
            return self.places[-1]
        index = bisect_right(self.times, when) - 1
        part = (when - self.times[index]) / (self.times[index + 1] - self.times[index])
        return self.places[index] + part * (self.places[index + 1] - self.places[index])

    def same(self, early: datetime, late: datetime) -> bool:
        """Whether neither a cut nor the last sign of life lies between two neighbours of a lane."""
        crossed = self.focus is not None and early <= self.focus < late
        return not crossed and late - early < _IDLE

    def stretches(self) -> list[tuple[datetime, datetime]]:
        """What lies between the cuts."""
        starts = [0, *(index + 1 for index in self.cuts)]
        ends = [*self.cuts, len(self.times) - 1]
        return [(self.times[a], self.times[b]) for a, b in zip(starts, ends, strict=True)]


def _unit(gap: timedelta) -> float:
    return _LEAST + float(min(gap, _IDLE * 2).total_seconds() ** _POWER)


def _matters(when: datetime, last: datetime, focus: datetime | None) -> bool:
    # A difference is within range even where a day less than the first would not be.
    return last - when < _RECENT or (focus is not None and when > focus)
