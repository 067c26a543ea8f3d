"""ntbtlog.txt, the list of drivers a Windows boot loaded and did not load.

No published specification: the shapes come from real logs (windows-boot-facts.md, section 1). Each
boot appends a banner, a date line in local time ("M D YYYY H:MM:SS.mmm") and one line a driver, in
UTF-16LE. Taken as they come: UTF-16BE, UTF-8 and ANSI copies, several encodings in one file, UTF-16
that an editor re-saved with a blank for every NUL, blocks without a banner, localised wording.
Refused: text without a single driver line, and blocks no Windows writes (too many drivers).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import log_text
from recoverykit.model import BootLogBlock, BootLogLine, Source

MAX_BLOCKS = 64  # the newest are kept: one to judge, the others to compare it with
MAX_LINES = 10_000  # in one boot; the noisiest real boot has 1,900
_MAX_LINE = 1024  # characters; anything longer is not a line Windows wrote

_WIDE = re.compile(rb"(?:[\t\r\n\x20-\x7e]\x00){8,}")
# An editor's idea of UTF-16 read as bytes: a blank where each NUL was.
_SPACED = re.compile(rb"(?:[\t\r\n\x21-\x7e] ){4}(?:[\t\r\n\x20-\x7e] ){12,}")
_NARROW = re.compile(rb"[\t\r\n\x20-\x7e]{24,}")  # twelve CJK characters never look like this
_MARK = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}

_DATE = re.compile(r"(?<!\d)(\d\d?) +(\d\d?) +(\d{4}) +(\d\d?):(\d\d):(\d\d)(?:\.(\d{1,3}))?\s*$")
_PATH = re.compile(r"\\|\b[A-Za-z]:\\")
_BANNER = re.compile(r"Microsoft|Windows|Service Pack", re.IGNORECASE)
_KERNEL = re.compile(r"\b(?:ntoskrnl|ntkrnl\w*)\.exe$", re.IGNORECASE)
# "Did not load driver" as older, localised Windows says it.
_NEGATIONS = frozenset(
    (
        "not",
        "nicht",
        "non",
        "pas",
        "no",
        "não",
        "niet",
        "inte",
        "ikke",
        "nie",
        "ne",
        "nem",
        "ei",
        "не",
    )
)


def parse(data: bytes, path: str = "ntbtlog.txt") -> tuple[BootLogBlock, ...]:
    """Every boot in the log, oldest first; at most the newest MAX_BLOCKS.

    Raises FormatError where there is text but no driver line in it. Lines are counted from 1.
    """
    lines = re.split(r"\r\n|\n|\r", _text(data))
    wording = _loaded_wording(lines)
    blocks: deque[BootLogBlock] = deque(maxlen=MAX_BLOCKS)
    for start, moment, entries in _blocks(lines, wording):
        if entries:
            blocks.append(BootLogBlock(Source(path, start), moment, tuple(entries)))
    if not blocks and data.strip(b"\0\r\n\t \xff\xfe"):
        raise FormatError("boot log", 0, "no driver line in it")
    return tuple(blocks)


# --- encodings ----------------------------------------------------------------------------


def _text(data: bytes) -> str:
    return "".join(_pieces(data))


def _pieces(data: bytes) -> Iterator[str]:
    """Decode runs of one encoding each; see _next_piece for how a change is noticed."""
    position = 0
    encoding = _first_encoding(data)
    while position < len(data):
        if data[position : position + 2] in _MARK:
            encoding = _MARK[data[position : position + 2]]
            position += 2
        end, following = _next_piece(data, position, encoding)
        yield _decode(data[position:end], encoding)
        position, encoding = end, following


def _first_encoding(data: bytes) -> str:
    if data[:2] in _MARK:
        return _MARK[data[:2]]
    if data[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if data[:1] == b"\0" else "narrow"


def _next_piece(data: bytes, start: int, encoding: str) -> tuple[int, str]:
    """Where this run ends, and the encoding that follows it."""
    if encoding == "spaced":
        match = _SPACED.match(data, start)
        return (match.end() if match else len(data)), "narrow"
    if encoding == "narrow":
        found = [
            (match.start(), name)
            for match, name in (
                (_WIDE.search(data, start), "utf-16-le"),
                (_SPACED.search(data, start), "spaced"),
            )
            if match
        ]
        end, name = min(found, default=(len(data), encoding))
        return _at_mark(data, start, end), name
    match = _NARROW.search(data, start)
    if match is None:
        return len(data), encoding
    end = match.start() + (match.start() - start) % 2  # a wide run has whole characters
    return end, "narrow"


def _at_mark(data: bytes, start: int, end: int) -> int:
    return end - 2 if end - 2 >= start and data[end - 2 : end] in _MARK else end


def _decode(piece: bytes, encoding: str) -> str:
    if encoding.startswith("utf-16"):
        return piece.decode(encoding, "replace").lstrip("\ufeff")
    if encoding == "spaced":
        return piece[::2].decode("ascii", "replace")
    try:
        return piece.decode("utf-8-sig")
    except UnicodeDecodeError:
        return piece.decode("cp1252", "replace")


# --- lines --------------------------------------------------------------------------------


def _loaded_wording(lines: list[str]) -> str:
    """What stands before the kernel's path: the kernel is always loaded, in every language."""
    for line in lines:
        match = _PATH.search(line[:_MAX_LINE])
        if match and _KERNEL.search(line[:_MAX_LINE].rstrip()):
            return line[: match.start()].strip().lower()
    return ""


def _blocks(
    lines: list[str], wording: str
) -> Iterator[tuple[int, datetime | None, list[BootLogLine]]]:
    start, moment, entries = 1, None, list[BootLogLine]()
    names: dict[str, str] = {}  # one string object for each name, however often it repeats
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace() or len(line) > _MAX_LINE:
            continue
        entry = _entry(line, wording)
        if entry is not None:
            driver, loaded = entry
            if len(entries) == MAX_LINES:
                raise FormatError("boot log", number, f"more than {MAX_LINES} drivers in one boot")
            if driver:
                entries.append(BootLogLine(number, names.setdefault(driver, driver), loaded))
            continue
        dated = _moment(line)
        if dated is None and not _BANNER.search(line):
            continue  # a damaged line is no reason to cut a boot in two
        if entries or (moment and dated):
            yield start, moment, entries
            start, moment, entries = number, None, []
        if dated is None:
            start = number
        moment = dated or moment
    yield start, moment, entries


def _entry(line: str, wording: str) -> tuple[str, bool] | None:
    """(driver, loaded) of a driver line; the name is "" where Windows logged none."""
    text = line.strip()
    keyword, _, rest = text.partition(" ")
    if keyword.endswith(("LOG_LOADED", "LOG_NOT_LOADED")):
        return _name(rest), "NOT_LOADED" not in keyword
    match = _PATH.search(text)
    if match is None:
        return None
    said = text[: match.start()].strip().lower()
    return _name(text[match.start() :]), _is_loaded(said, wording)


def _is_loaded(said: str, wording: str) -> bool:
    if wording and said == wording:
        return True
    if "not_loaded" in said:
        return False
    return not _NEGATIONS.intersection(re.split(r"[^\w]+", said))


def _name(text: str) -> str:
    text = text.strip()
    if _PATH.match(text):
        return text.rsplit("\\", 1)[-1].strip().lower()
    return text


def _moment(line: str) -> datetime | None:
    match = _DATE.search(line)
    if match is None or "\\" in line:
        return None
    month, day, year, hour, minute, second = (int(part) for part in match.groups()[:6])
    micro = int((match.group(7) or "0").ljust(6, "0"))
    return log_text.moment(year, month, day, hour, minute, second, micro)
