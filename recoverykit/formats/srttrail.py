"""SrtTrail.txt, what Windows' Startup Repair tested, found and tried.

No published specification. Layout: real logs of Windows 7 to 11 (windows-boot-facts.md section 8;
ubuntuforums.org threads of 2010, 2011, 2013, 2015 and 2023; two whole files in ../shared/data, one
of them Spanish). The list of root causes: TechNet "Startup Repair" (dd744291).

The log is in the language of the recovery environment, so structure is read, not words: a title
stands above a row of dashes; what is tried is three lines (name, result with one hexadecimal
code, milliseconds); session details are "name = value". Sessions are appended and the last one
counts. Not handled: disklayout.txt beside it, and times of test steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from recoverykit.errors import FormatError
from recoverykit.formats import log_text

MAX_LINES = 400_000  # 1,500 sessions with a blank line after every line
_MAX_LINE = 2048  # characters; the rest of a longer one is not looked at
_MAX_TEXT = 500
_MAX_ITEMS = 100  # causes, files, actions, tests of one session
_OLDEST = datetime(2006, 1, 1, tzinfo=UTC)  # Windows Vista brought Startup Repair
_DAY = timedelta(days=1)

_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\0]")
_DASHES = re.compile(r"-{5,}")
_CODE = re.compile(r"0x([0-9a-f]{1,8})\s*\.?$", re.IGNORECASE)
_TOOK = re.compile(r"\d\s*[^\W\d_]{1,4}\.?$")  # "= 110 ms", "0ms"
_NUMBER = re.compile(r"[:\uff1a]\s*(\d{1,6})$")
_COLON = re.compile("[:\uff1a]")
_EQUALS = re.compile("[=\uff1d]")
_DIRECTORY = re.compile(r"[=\uff1d]\s*([a-z]:\\.*)$", re.IGNORECASE)
_FOUND = frozenset({"root cause found", "causa principal encontrada"})
_ENGLISH = "startup repair"


@dataclass(frozen=True, slots=True)
class Trail:
    """The last session of the log, and the head of the file."""

    line: int  # where the session begins, from 1
    sessions: int
    last_good: datetime | None  # UTC; None when not told, or when day and month cannot be told
    attempts: int | None
    directory: str
    causes: tuple[str, ...]
    files: tuple[str, ...]
    actions: tuple[tuple[str, int], ...]
    failed_tests: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Section:
    line: int
    title: str
    body: tuple[str, ...]

    @property
    def is_details(self) -> bool:
        """Session details: names and values alone, and nothing that was tried."""
        told = [text for text in self.body if _EQUALS.search(text)]
        return len(told) > 1 and bool(_EQUALS.search(self.body[0])) and not _steps(self.body)[1]

    @property
    def heading(self) -> str:
        return self.title.rstrip(": \uff1a").casefold()


def parse(data: bytes, written: datetime | None = None) -> Trail:
    """The last session. Raises FormatError where there is none.

    `written` is the time of the file (aware): the last good boot was not after it, which helps to
    tell day from month.
    """
    lines = _lines(_text(data))
    sections = _sections(lines)
    starts = [at for at, section in enumerate(sections) if section.is_details]
    if not starts:
        raise FormatError("Startup Repair log", 0, "no session in it")
    head = [text for section in sections[: starts[0]] for text in section.body]
    english = any(_ENGLISH in section.title.casefold() for section in sections[: starts[0]])
    details = sections[starts[-1]]
    causes, actions, failed = _session(sections[starts[-1] + 1 :])
    return Trail(
        line=details.line,
        sessions=len(starts),
        last_good=next(filter(None, (_moment(text, english, written) for text in head)), None),
        attempts=_first_number(head),
        directory=next((m.group(1) for m in map(_DIRECTORY.search, details.body) if m), ""),
        causes=tuple(causes[:_MAX_ITEMS]),
        files=tuple(dict.fromkeys(name for text in causes for name in named_files(text)))[
            :_MAX_ITEMS
        ],
        actions=tuple(actions[:_MAX_ITEMS]),
        failed_tests=tuple(failed[:_MAX_ITEMS]),
    )


# --- structure ----------------------------------------------------------------------------


def _text(data: bytes) -> str:
    """UTF-16LE with a mark as Windows writes it; anything an editor may have made of it."""
    if data[:1] == b"\0" != data[1:2]:
        return data.decode("utf-16-be", "replace")
    return log_text.decoded(data)


def _lines(text: str) -> list[tuple[int, str]]:
    """(number, text) of the lines that hold something. Some editors put a blank after each."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if number > MAX_LINES:
            raise FormatError("Startup Repair log", number, f"more than {MAX_LINES} lines")
        kept = _MARKS.sub("", line[:_MAX_LINE]).strip()
        if kept:
            lines.append((number, kept))
    return lines


def _sections(lines: Sequence[tuple[int, str]]) -> list[_Section]:
    """Titles with what stands below their dashes. Two rows of dashes end a session."""
    dashes = [bool(_DASHES.fullmatch(text)) for _, text in lines]

    def is_dashes(at: int) -> bool:
        return 0 <= at < len(dashes) and dashes[at]

    heads = [
        at - 1
        for at in range(1, len(lines))
        if dashes[at] and not is_dashes(at - 1) and not is_dashes(at + 1)
    ]
    sections = []
    for head, following in zip(heads, [*heads[1:], len(lines)], strict=False):
        end = head + 2
        while end < following and not dashes[end]:
            end += 1
        number, title = lines[head]
        sections.append(_Section(number, title, tuple(text for _, text in lines[head + 2 : end])))
    return sections


def _session(
    sections: Sequence[_Section],
) -> tuple[list[str], list[tuple[str, int]], list[tuple[str, int]]]:
    """Root causes, repair actions and tests that failed."""
    causes: list[str] = []
    actions: list[tuple[str, int]] = []
    failed: list[tuple[str, int]] = []
    test = _test_heading(sections)
    for section in sections:
        said, steps = _steps(section.body)
        if section.heading in _FOUND or (said and section.heading != test):
            causes += said
            actions += steps
        else:
            failed += [step for step in steps if step[1]]
    return causes, actions, failed


def _test_heading(sections: Sequence[_Section]) -> str:
    """How this log titles a test, which is what a session begins with."""
    for section in sections:
        said, steps = _steps(section.body)
        if steps and not said and section.heading not in _FOUND:
            return section.heading
    return ""


def _steps(body: Sequence[str]) -> tuple[list[str], list[tuple[str, int]]]:
    """(free text in front, what was tried with its result)."""
    steps: list[tuple[str, int]] = []
    first = len(body)
    for at in range(1, len(body)):
        code = _CODE.search(body[at])
        if code is None or body[at].lower().count("0x") != 1:  # a bug check tells four more
            continue
        if at + 1 < len(body) and not _TOOK.search(body[at + 1]):
            continue
        first = min(first, at - 1)
        steps.append((_value(body[at - 1]), int(code.group(1), 16)))
    return [text[:_MAX_TEXT] for text in body[:first]], steps


def _value(text: str) -> str:
    parts = _COLON.split(text, maxsplit=1)
    return parts[-1].strip()[:_MAX_TEXT]


def _first_number(head: Sequence[str]) -> int | None:
    """Attempts: the one number of the head that is no time."""
    for text in head:
        match = _NUMBER.search(text)
        if match and not _TIME.search(text):
            return int(match.group(1))
    return None


# --- the last good boot -------------------------------------------------------------------

_TIME = re.compile(r"\d[:.]\d\d[:.]\d\d")
_DATE = re.compile(
    r"(\d{1,4})\D{1,3}(\d{1,2})\D{1,3}(\d{4}|\d{1,2})(?!\d)(\D{0,12}?)"
    r"(\d{1,2})[:.](\d\d)[:.](\d\d)(.{0,20})"
)
_MORNING = frozenset({"am", "上午", "午前", "오전"})
_AFTERNOON = frozenset({"pm", "下午", "午後", "오후"})


def _moment(text: str, english: bool, written: datetime | None) -> datetime | None:
    """A time of the head, which Startup Repair tells in GMT; None when it is ambiguous."""
    match = _DATE.search(text.replace("?", ""))  # what an ANSI copy makes of U+200E
    if match is None:
        return None
    clock = _clock(match)
    if clock is None:
        return None
    hour, half = clock
    readings = [
        moment
        for order in _orders(match)
        if (moment := _reading(match, order, hour)) and _is_plausible(moment, written)
    ]
    if len(set(readings)) < 2:
        return readings[0] if readings else None
    order = _usual_order(match, english, half)
    return _reading(match, order, hour) if order else None


def _clock(match: re.Match[str]) -> tuple[int, bool] | None:
    """(hour of 24, whether morning or afternoon was told)."""
    hour = int(match.group(5))
    around = re.sub(r"\(.*", "", f"{match.group(4)} {match.group(8)}")
    half = "".join(character for character in around.lower() if character.isalpha())
    if not half:
        return hour, False
    if half not in _MORNING | _AFTERNOON or not 1 <= hour <= 12:
        return None  # of a language we do not know: twelve hours either way
    return hour % 12 + (12 if half in _AFTERNOON else 0), True


def _orders(match: re.Match[str]) -> tuple[str, ...]:
    """Which of year, month and day the three numbers may be."""
    if len(match.group(1)) == 4:
        return ("ymd",)
    between = _between(match)
    return ("dmy",) if "." in between else ("mdy", "dmy")


def _between(match: re.Match[str]) -> str:
    """What separates the first two numbers of a date."""
    return match.string[match.end(1) : match.start(2)]


def _reading(match: re.Match[str], order: str, hour: int) -> datetime | None:
    told = dict(zip(order, (int(match.group(n)) for n in (1, 2, 3)), strict=True))
    year = told["y"] + (2000 if told["y"] < 100 else 0)
    minute, second = int(match.group(6)), int(match.group(7))
    return log_text.moment(year, told["m"], told["d"], hour, minute, second)


def _is_plausible(moment: datetime, written: datetime | None) -> bool:
    return moment >= _OLDEST and (written is None or moment - _DAY <= written)


def _usual_order(match: re.Match[str], english: bool, half: bool) -> str:
    """The order by custom where both are possible; "" when no custom decides.

    Only the United States write the month first. They tell AM and PM and fill up nothing with
    zeros; Australia tells AM and PM too, but fills up the month.
    """
    if not english or not half:
        return "dmy"
    first, second = match.group(1), match.group(2)
    if first[0] == "0" or second[0] == "0":
        return "" if first[0] == "0" else "dmy"
    return "mdy" if len(first) == 1 or len(second) == 1 else ""


# --- causes -------------------------------------------------------------------------------

_PATH = re.compile(
    r"(?:[a-z]:|\\systemroot|\\\?\?\\[a-z]:)\\(?:[^\\/:*?\"<>|]{1,255}\\)*[^\\/:*?\"<>|\s]{1,255}",
    re.IGNORECASE,
)
_DRIVER = re.compile(r"[\w.$@~-]{1,80}\.sys\b", re.IGNORECASE)
_HIVE = re.compile(r"\\config\\(?:system|software|sam|security|default|drivers)$", re.IGNORECASE)

# As public logs have it: Unknown Bugcheck: Bugcheck 7b. Parameters = 0xfffff880009a97e8, ...
_BUGCHECK = re.compile(r"bug ?check:?\s+(?:0x)?([0-9a-f]{1,8})\b(.{0,200})", re.IGNORECASE)

# English: TechNet dd744291 and real logs. Spanish: the real log of ../shared/data.
_AREAS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("update", ("patch is preventing", "recently serviced")),
    ("driver", ("driver installation", "driver upgrade", "bad driver")),
    ("registry", ("registry",)),
    ("bcd", ("boot configuration", "os loader", "cargador del so")),
    ("volume", ("system volume", "boot sector", "file system")),
    ("disk", ("partition table", "mbr is corrupt", "hard disk")),
    ("file", ("boot-critical file", "boot critical file", "acls on file")),
)


def cause_area(text: str) -> str:
    """What a root cause is about.

    One of "bcd", "file", "disk", "volume", "registry", "driver", "update", "unknown". Words are
    known for English and, as far as real logs prove them, Spanish; in any other language what
    names a hive is "registry" and what names another file is "file".
    """
    folded = text.casefold()
    if folded.startswith("driver ") and "preventing" in folded:
        return "driver"
    for area, phrases in _AREAS:
        if any(phrase in folded for phrase in phrases):
            return area
    files = named_files(text)
    if any(_HIVE.search(name) for name in files):
        return "registry"
    if files:
        return "file"
    return "disk" if "\\device\\harddisk" in folded else "unknown"


def bugcheck(text: str) -> tuple[int, tuple[int, ...]] | None:
    """(stop code, parameters) where a root cause tells of one: "Bugcheck 7b. Parameters = ..."."""
    match = _BUGCHECK.search(text[:_MAX_LINE])
    if match is None:
        return None
    numbers = re.findall(r"0x([0-9a-f]{1,16})\b", match.group(2), re.IGNORECASE)
    return int(match.group(1), 16), tuple(int(number, 16) for number in numbers[:4])


def named_files(text: str) -> tuple[str, ...]:
    """Paths in a root cause as logged, and names of drivers that stand there without one."""
    paths = [match.group().rstrip(".,;:!)'") for match in _PATH.finditer(text[:_MAX_LINE])]
    rest = _PATH.sub(" ", text[:_MAX_LINE])
    return (*paths, *(match.group() for match in _DRIVER.finditer(rest)))
