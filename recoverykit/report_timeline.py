"""The story of a machine's last days, drawn: one inline SVG from the moments of a diagnosis.

A lane a kind, time to the right, in UTC. Time is not to scale, as the ticks of the axis show: a gap
between two moments is as wide as a power of its length, more of the width goes to the days that
matter, and stretches without a record for days are cut out and named. Texts are escaped, since
names come from the disk under examination. Two sizes are drawn, one for paper and desk and one for
a telephone: text that is scaled down would be too small to read there.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import MAXYEAR, UTC, datetime, timedelta

from recoverykit.model import Moment
from recoverykit.report import printable
from recoverykit.report_scale import CUT, Layout, Scale

# In this order from top to bottom: what, its name, what its mark looks like around (0, 0).
_CROSS = '<path class="line" d="M-5-5 5 5M5-5-5 5"/>'
_PLUS = '<path class="line" d="M0-6V6M-6 0H6"/>'
LANES: dict[str, tuple[str, str]] = {
    "boot": ("Boots", '<circle class="open" r="4.5"/>'),
    "good": ("Came up", '<circle r="5"/>'),
    "install": ("Installed", '<path d="M-5-5H5V5H-5z"/>'),
    "change": ("Changed", '<path d="M0-6 6 0 0 6-6 0z"/>'),
    "update": ("Updates", '<path d="M0-6 6 5H-6z"/>'),
    "trouble": ("Trouble", '<path d="M0 6-6-5H6z"/>'),
    "crash": ("Crashes", _CROSS),
    "repair": ("Repairs", _PLUS),
}
_OTHER = ("Other", '<circle r="3"/>')
# What is said so often that the drawing says it shorter; tooltips and the table have it in full.
_SHORT = {
    "A boot began": "boot",
    "Shut down cleanly": "clean end",
    "The session was alive": "alive",
    "A boot says that the session before it just stopped": "just stopped",
}
_STOPPED = "Windows stopped: "
MOST = 200  # moments that are drawn: the newest

_STEPS = [timedelta(minutes=step) for step in (720, 360, 180, 60, 30, 10, 5, 1)]
_MOST_TICKS = 500  # of one step that are considered
# Widths of characters at 11.5 px in the widest of the usual fonts, for the font is not known.
_CHAR, _LARGE, _WIDE = 7.4, 9.0, 12.0
_LARGE_ONES = frozenset("ABCDEFGHJKLMNOPQRSTUVWXYZmw@%+=<>×…_&#")
_LEAST_KEPT = 6  # characters of a text that is cut off
_APART = 10.0  # between labels
_GROUP = 84.0  # marks of a lane within that many pixels share a label
_ALIKE = 56.0  # between marks that say the same
_SHORTEST = 60.0  # label beside an earlier mark: else it may stand above that one


DESK = Layout(width=880, gutter=84, lane=40, label=420, css="desk")
PHONE = Layout(width=320, gutter=0, lane=54, label=210, css="phone")
_TOP = 36  # above the lanes: the last sign of life, and what was cut out
_BOTTOM = 42  # below them: times and dates


def draw(moments: Sequence[Moment], ident: str, layout: Layout = DESK) -> str:
    """The drawing as one <svg> element; "" where less than two times are known.

    `ident` makes its ids unique in the page.
    """
    possible = (moment for moment in moments if moment.when.year < MAXYEAR)  # a day more exists
    shown = sorted(possible, key=lambda moment: moment.when)[-MOST:]
    if len({moment.when for moment in shown}) < 2:
        return ""
    scale = Scale.of([moment.when for moment in shown], _last_good(shown), layout)
    lanes = _lanes(shown)
    height = _TOP + len(lanes) * layout.lane + _BOTTOM
    parts = [
        (
            f'<svg class="timeline {layout.css}" viewBox="0 0 {layout.width} {height}" '
            f'width="{layout.width}" height="{height}" role="img" aria-labelledby="{ident}">'
        ),
        f'<title id="{ident}">{_text(_summary(shown))}</title>',
        *_bands(scale, len(lanes), layout),
        *_last_sign(shown, scale, len(lanes), layout),
        *_cuts(scale, len(lanes), layout),
        *_axis(scale, len(lanes), layout),
    ]
    for number, (what, lane) in enumerate(lanes.items()):
        parts += _lane(what, lane, _TOP + number * layout.lane, scale, layout)
    return "\n".join([*parts, "</svg>"])


def lane_name(what: str) -> str:
    """What the lane of a kind of moment is called."""
    return LANES.get(what, _OTHER)[0]


def icon(what: str) -> str:
    """The mark of a kind of moment as a drawing of its own, for tables."""
    css = what if what in LANES else "other"
    return (
        f'<svg class="icon {css}" viewBox="-7 -7 14 14" width="12" height="12" '
        f'aria-hidden="true">{LANES.get(what, _OTHER)[1]}</svg>'
    )


def _lanes(shown: Sequence[Moment]) -> dict[str, list[Moment]]:
    lanes: dict[str, list[Moment]] = {what: [] for what in (*LANES, "")}
    for moment in shown:
        lanes[moment.what if moment.what in LANES else ""].append(moment)
    return {what: lane for what, lane in lanes.items() if lane}


def _last_good(shown: Sequence[Moment]) -> datetime | None:
    return next((moment.when for moment in reversed(shown) if moment.what == "good"), None)


def _summary(shown: Sequence[Moment]) -> str:
    counts = ", ".join(
        f"{LANES.get(what, _OTHER)[0].lower()} {len(lane)}" for what, lane in _lanes(shown).items()
    )
    first, last = shown[0].when, shown[-1].when
    return f"Timeline from {_stamp(first)} to {_stamp(last)} UTC: {counts}. Listed below."


# --- the ground ---------------------------------------------------------------------------


def _bands(scale: Scale, lanes: int, layout: Layout) -> Iterator[str]:
    """Every other day shaded, and a line below each lane."""
    bottom = _TOP + lanes * layout.lane
    for start, end in scale.stretches():
        for day in _days(start, end):
            x, right = scale.at(max(day, start)) - 4, scale.at(min(day + _DAY, end)) + 4
            if day.toordinal() % 2 and right > x:
                yield (
                    f'<rect class="day" x="{x:.1f}" y="{_TOP}" width="{right - x:.1f}" '
                    f'height="{bottom - _TOP}"/>'
                )
    for number in range(1, lanes + 1):
        y = _TOP + number * layout.lane
        yield f'<path class="rule" d="M0 {y}H{layout.width}"/>'


_DAY = timedelta(days=1)


def _days(start: datetime, end: datetime) -> Iterator[datetime]:
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= end:
        yield day
        day += _DAY


def _last_sign(shown: Sequence[Moment], scale: Scale, lanes: int, layout: Layout) -> Iterator[str]:
    """Where the machine came up for the last time, if something happened after that."""
    good = _last_good(shown)
    if good is None or all(m.when <= good for m in shown if m.what in ("boot", "crash", "repair")):
        return
    x, bottom = scale.at(good), _TOP + lanes * layout.lane
    yield (
        f'<rect class="after" x="{x:.1f}" y="{_TOP}" width="{layout.width - x:.1f}" '
        f'height="{bottom - _TOP}"/>'
    )
    yield f'<path class="good-line" d="M{x:.1f} 16V{bottom}"/>'
    text = "last sign that it came up"
    yield _label(text, x, 12, _anchor(x, text, layout), "good-text")


def _cuts(scale: Scale, lanes: int, layout: Layout) -> Iterator[str]:
    bottom = _TOP + lanes * layout.lane
    for index in scale.cuts:
        x = (scale.places[index] + scale.places[index + 1]) / 2
        days = round((scale.times[index + 1] - scale.times[index]) / _DAY)
        yield (
            f'<g class="cut"><title>Nothing recorded for {days} days</title>'
            f'<path d="M{x - 4:.1f} {_TOP}V{bottom}M{x + 4:.1f} {_TOP}V{bottom}"/></g>'
        )
        if scale.places[index + 1] - scale.places[index] >= CUT:
            yield _label(f"{days} days", x, _TOP - 7, "middle", "cut-text")


def _axis(scale: Scale, lanes: int, layout: Layout) -> Iterator[str]:
    bottom = _TOP + lanes * layout.lane
    for x, text in _ticks(scale, layout):
        yield f'<path class="tick" d="M{x:.1f} {bottom}v5"/>'
        yield _label(text, x, bottom + 17, "middle", "time")
    taken = layout.width + 0.0
    days = [(scale.at(max(d, a)), d) for a, b in scale.stretches() for d in _days(a, b)]
    for x, day in reversed(days):
        for text in (f"{day:%Y-%m-%d}", f"{day:%m-%d}"):
            right = x + len(text) * _CHAR
            if right <= taken:
                yield _label(text, x - 4, bottom + 34, "start", "date")
                taken = x - 6
                break
            if len(text) > 5 and right > layout.width - 2 and x - 4 > layout.width - 80:
                yield _label(text, layout.width - 2, bottom + 34, "end", "date")
                taken = layout.width - 2 - len(text) * _CHAR - 6
                break


def _ticks(scale: Scale, layout: Layout) -> list[tuple[float, str]]:
    """Round times, the roundest first, as many as have room."""
    room = 46.0
    placed: list[tuple[float, str]] = []
    for step in _STEPS:
        for start, end in scale.stretches():
            if (end - start) / step > _MOST_TICKS:
                continue
            when = _round_up(start, step)
            while when <= end:
                x = scale.at(when)
                if all(abs(x - other) >= room for other, _ in placed) and x > 18:
                    placed.append((min(x, layout.width - 18.0), f"{when:%H:%M}"))
                when += step
    return sorted(placed)


def _round_up(when: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + -((epoch - when) // step) * step


# --- the lanes ----------------------------------------------------------------------------


def _lane(
    what: str, lane: Sequence[Moment], top: float, scale: Scale, layout: Layout
) -> Iterator[str]:
    name, mark = LANES.get(what, _OTHER)
    y = top + layout.lane - 11
    if layout.gutter:
        yield _label(name, 2, y + 4, "start", "lane")
    else:
        yield _label(name, 2, top + 13, "start", "lane")
    yield f'<g class="mark {what or "other"}">'
    for moment in lane:
        told = _text(f"{_stamp(moment.when)} UTC: {moment.text}")
        where = f"translate({scale.at(moment.when):.1f} {y:.1f})"
        yield f'<g transform="{where}"><title>{told}</title>{mark}</g>'
    yield "</g>"
    yield from _labels(lane, y - 11, scale, layout)


def _labels(lane: Sequence[Moment], y: float, scale: Scale, layout: Layout) -> Iterator[str]:
    """One label a group of near marks, the newest first; what has no room has only its tooltip."""
    taken = layout.width + 0.0  # left end of the label placed last
    groups = list(_groups(lane, scale))
    for group, earlier in zip(groups, [*groups[1:], None], strict=True):
        first, end = scale.at(group[0].when), taken - _APART
        text, suffix = _named(group)
        whole = length(text + suffix)
        start = first - 4
        if start + whole > end:  # further left, but not above an earlier mark
            start = min(start, end - min(whole, layout.label))
            free = scale.at(earlier[-1].when) + 8 if earlier else 0.0
            start = max(start, min(free, end - _SHORTEST))
        start = max(start, layout.gutter + 2.0)
        fitted = _fit(text, suffix, end - start)
        if fitted and start + length(fitted) >= first - 4:
            yield _label(fitted, start, y, "start", "told")
            taken = start


def _groups(lane: Sequence[Moment], scale: Scale) -> Iterator[list[Moment]]:
    """Marks that stand near each other, the newest group first."""
    group: list[Moment] = []
    for moment in reversed(lane):
        if group and not _belongs(moment, group, scale):
            yield group
            group = []
        group.insert(0, moment)
    if group:
        yield group


def _belongs(moment: Moment, group: Sequence[Moment], scale: Scale) -> bool:
    """Whether a moment shares the label of those after it."""
    x, following = scale.at(moment.when), group[0]
    near = scale.at(group[-1].when) - x <= _GROUP
    alike = following.text == moment.text and scale.at(following.when) - x <= _ALIKE
    return (near or alike) and scale.same(moment.when, following.when)


def _named(group: Sequence[Moment]) -> tuple[str, str]:
    """What a group is called, and what is said of its further members."""
    texts = {moment.text for moment in group}
    newest = printable(_SHORT.get(group[-1].text, group[-1].text).removeprefix(_STOPPED))
    if len(group) == 1:
        return newest, ""
    if len(texts) == 1:
        return f"{len(group)} × {newest}", ""
    return newest, f" (+{len(group) - 1})"


def _fit(text: str, suffix: str, room: float) -> str:
    """Both, or as much of the text as has room; "" when too little of it has."""
    if length(text + suffix) <= room:
        return text + suffix
    kept, used = "", length(f"…{suffix}")
    for char in text:
        used += _width(char)
        if used > room:
            break
        kept += char
    return f"{kept.rstrip()}…{suffix}" if len(kept) >= _LEAST_KEPT else ""


def length(text: str) -> float:
    """How wide a label is at most, in pixels."""
    return sum(_width(char) for char in text)


def _width(char: str) -> float:
    if char in _LARGE_ONES:
        return _LARGE
    return _WIDE if unicodedata.east_asian_width(char) in "WF" else _CHAR


def _anchor(x: float, text: str, layout: Layout) -> str:
    if x + length(text) <= layout.width:
        return "start"
    return "end" if x >= length(text) else "middle"


def _label(text: str, x: float, y: float, anchor: str, css: str) -> str:
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}"{anchored}>{_text(text)}</text>'


def _stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"


def _text(text: str) -> str:
    return html.escape(printable(text))
