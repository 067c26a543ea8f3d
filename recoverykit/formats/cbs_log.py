"""The end of CBS.log: does servicing get an update finished when Windows starts?

Lines "2023-05-17 09:01:58, Info                  CBS    Startup: ...", UTF-8, local time; shapes
of the real log in ../shared/data (Windows 11 22H2) and of Microsoft's support article on
0x800f0922. What counts is what servicing does at a start ("Startup:") after the last start it
finished: failures, installers whose failure is not ignored, a transaction log that is full
(0x800719e4, see Azure's win-fix-pending-servicing). Everything else in this log is noise:
errors of a healthy machine fill pages. Older generations (CbsPersist_*.log) are not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from recoverykit.formats import log_text

MAX_FAILURES = 20
_MAX_LINE = 1024
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d), ")
_CODE = re.compile(r"HRESULT\s*=?\s*(0x[0-9a-f]{8})", re.IGNORECASE)
_BEGUN = "Startup: current ExecuteState is"
_FINISHED = "Startup: Processing complete. [HRESULT = 0x00000000"
_PASSED = ("Failure will be ignored", "Startup: Processing complete")
_LINES = re.compile(
    rb"^[^\n]*?(?:Startup: current ExecuteState is|Startup: Processing complete\. |Startup: Failed"
    rb"|Failed execution of queue item|0x800719e4|ERROR_LOG_FULL)[^\n]*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A line that tells why an update was not finished."""

    offset: int  # of the line, in what was parsed
    when: datetime | None  # local time of the machine, stored as if UTC
    text: str  # without its time
    code: int  # HRESULT, 0 when it tells none


@dataclass(frozen=True, slots=True)
class Startups:
    """What happened since servicing last finished its work at a start."""

    begun: int  # starts at which it had work to do
    failures: tuple[Failure, ...]  # oldest first, at most the last MAX_FAILURES


def parse(data: bytes) -> Startups:
    """Read the end of a log. Never raises: what is no such line is passed over."""
    begun, failures = 0, list[Failure]()
    for match in _LINES.finditer(data):
        text = match.group()[:_MAX_LINE].decode("utf-8", "replace").strip()
        if _FINISHED in text:
            begun, failures = 0, []
        elif _BEGUN in text:
            begun += 1
        elif not any(word in text for word in _PASSED):
            failures = [*failures[1 - MAX_FAILURES :], _failure(match.start(), text)]
    return Startups(begun, tuple(failures))


def _failure(offset: int, text: str) -> Failure:
    stamp = _STAMP.match(text)
    code = _CODE.search(text)
    return Failure(
        offset=offset,
        when=_moment(stamp) if stamp else None,
        text=re.sub(r"\s+", " ", text[stamp.end() if stamp else 0 :]),
        code=int(code.group(1), 16) if code else 0,
    )


def _moment(stamp: re.Match[str]) -> datetime | None:
    year, month, day, hour, minute, second = (int(part) for part in stamp.groups())
    return log_text.moment(year, month, day, hour, minute, second)
