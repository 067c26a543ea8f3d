"""PFRO.log, the session manager's log of pending renames it could not do.

No published specification. Lines: real logs quoted in public (Logstash and Yara collections),
"6/28/2016 9:57:40 - PFRO Error: <old>, <new or |delete operation|>, 0xc000003a", month first
whatever the language, ended by "- 5 Successful PFRO operations" and an empty line; an older
spelling tells "Could not delete file '<path>'. Error code=32". UTF-16LE with or without a mark.
The time is that of the machine. Only the newest block counts: each boot that has renames to do
appends one.

Most failures are harmless: a browser's updater asks to delete what is gone already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import log_text

MAX_FAILURES = 200
_MAX_LINE = 2048
_STAMP = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{1,2}):(\d{1,2}) - ")
_ERROR = re.compile(r"PFRO Error: (.+), 0x([0-9a-f]{1,8})\s*$", re.IGNORECASE)
_OLD_ERROR = re.compile(r"'([^']{1,1024})'.{0,80}?error code\s*=\s*(\d{1,10})", re.IGNORECASE)
_END = re.compile(r"\d+ Successful PFRO operations", re.IGNORECASE)
_TARGET = re.compile(r", (?=\|delete operation\||[!*@]{0,2}\d?\\)")
_PREFIX = re.compile(r"^[!*@]{0,2}\d?(?:\\\?\?\\)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """One rename or deletion that failed."""

    line: int  # from 1, of what was parsed
    when: datetime | None  # local time of the machine, stored as if UTC
    old: str  # without prefixes
    new: str  # "": it was to be deleted
    code: int  # NTSTATUS; a Win32 error in the older spelling


def parse(data: bytes) -> tuple[Failure, ...]:
    """The failures of the newest block, in order; at most the last MAX_FAILURES.

    Raises FormatError where there is text but no line of such a log.
    """
    blocks = list(_blocks(data))
    if not blocks:
        if data.strip(b"\0\r\n\t \xff\xfe"):
            raise FormatError("PFRO log", 0, "no line about a rename in it")
        return ()
    return tuple(blocks[-1][-MAX_FAILURES:])


def without_prefix(name: str) -> str:
    """A name of a pending rename without the marks and the \\??\\ that stand before it."""
    return _PREFIX.sub("", name)


def _blocks(data: bytes) -> Iterator[list[Failure]]:
    """A block ends with its count, or where the time leaps."""
    failures: list[Failure] = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", log_text.decoded(data)), start=1):
        failure = _failure(number, line[:_MAX_LINE])
        if failure is not None:
            if failures and failures[-1].when != failure.when and _is_far(failures[-1], failure):
                yield failures
                failures = []
            failures.append(failure)
        elif _END.search(line[:_MAX_LINE]):
            yield failures
            failures = []
    if failures:
        yield failures


def _is_far(one: Failure, other: Failure) -> bool:
    """All renames of a boot are done within seconds."""
    if one.when is None or other.when is None:
        return False
    return abs((other.when - one.when).total_seconds()) > 300


def _failure(number: int, line: str) -> Failure | None:
    match = _ERROR.search(line)
    if match:
        old, new = _split(match.group(1))
        return Failure(number, _moment(line), old, new, int(match.group(2), 16))
    match = _OLD_ERROR.search(line)
    if match:
        code = int(match.group(2)) & 0xFFFF_FFFF
        return Failure(number, _moment(line), without_prefix(match.group(1)), "", code)
    return None


def _split(names: str) -> tuple[str, str]:
    """Old and new name. A comma may stand in either, what begins the new one may not."""
    old, new = names, ""
    parts = _TARGET.split(names, maxsplit=1)
    if len(parts) == 2:
        old, new = parts
    if new.startswith("|"):
        new = ""
    return without_prefix(old.strip()), without_prefix(new.strip())


def _moment(line: str) -> datetime | None:
    match = _STAMP.search(line)
    if match is None:
        return None
    month, day, year, hour, minute, second = (int(part) for part in match.groups())
    return log_text.moment(year, month, day, hour, minute, second)
