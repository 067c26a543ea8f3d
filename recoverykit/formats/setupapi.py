"""setupapi.dev.log: which driver packages came, changed and went, as SetupAPI logged it.

Format: Microsoft Learn, "Format of a Text Log Section" and the pages it leads to; wording of the
lines as the real logs of ../shared/data have it (Windows 10 1507, 10.0.19043, 11) and as Windows 7
wrote it (logs in the issues of pbatard/libwdi). Times are the machine's local ones. A log has
some 600,000 lines in 50 MB and few of them say anything, so nothing here goes line by line: words
are looked for in the bytes of a section, and only what is reported is decoded.

Not handled: setupapi.log of Windows XP and older, which has no sections; entries between sections;
the device of a section, beyond its title.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import log_text
from recoverykit.model import DriverInstall, Source

MAX_INSTALLS = 5_000  # the newest are kept; a machine of ten years has some hundreds
MAX_NAMES = 500  # services or files of one section; a feature update touches 200
MAX_ERRORS = 10
MAX_SECTIONS = 100_000  # in a log of 50 MB there are some 4,000
_MAX_HITS = 20_000  # of one word in one section
_MAX_LINE = 1024  # bytes; SetupAPI cuts its entries at 336 characters

_LOG = "SetupAPI log"
_DATE = re.compile(rb"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?")
_OLD = re.compile(rb"^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \d+\.\d+", re.MULTILINE)
_STATUS = re.compile(rb"\[Exit [Ss]tatus(?:: *|\()(.*?)\)?\]\s*$")
# Titles that are about drivers; "Enable Device Install" and the like are about permission to.
_ABOUT = re.compile(rb"Install|Import|Publish|Stage|Driver|OEMInf", re.IGNORECASE)
_NOT_ABOUT = re.compile(
    rb"(?:Enable|Disable|Delete) Device|Sysprep|Device Installation Restrictions", re.IGNORECASE
)
_MANY = re.compile(rb"Driver Updates|Cleanup", re.IGNORECASE)  # sections of many packages

_OEM = re.compile(rb"oem\d{1,5}\.inf\b", re.IGNORECASE)
_FOLDER = re.compile(
    rb"([^\\/:*?\"<>|'\s]{1,200}\.inf)_(?:amd64|x86|arm64|arm|ia64|ntarm)_", re.IGNORECASE
)
_ANY_INF = re.compile(rb"([^\\/:*?\"<>|'=\[\](]{1,200}\.inf)", re.IGNORECASE)
# What a line with a published name says of it, the most telling first.
_SAYS = (
    (b"Published Inf Path", b"Published '"),
    (b"Registered driver package", b"already imported as"),
    (b"Installing best driver", b"Strong Name", b"Configur", b"InfFile", b"Driver INF"),
    (b"Inf Name",),
    (b"",),
)
# What names the package of a section that has no published name: words, most telling first.
_NAMED_BY = (
    *(b"Configuring device (", b"InfFile ", b"Driver Store Path: ", b"Strong Name"),
    *(b"INF path: ", b"Driver Package = "),
)
_SEPARATORS = b"\\/'\"\n"


@dataclass(frozen=True, slots=True)
class Log:
    """What a log, or its end, holds."""

    sections: int  # of every kind
    first: datetime | None  # start of the first and the last of them, local time
    last: datetime | None
    installs: tuple[DriverInstall, ...]  # oldest first, at most the newest MAX_INSTALLS


@dataclass(frozen=True, slots=True)
class Section:
    """One section as it lies in the log."""

    line: int  # from 1
    title: bytes  # without the brackets
    when: datetime | None
    body: bytes  # between header and footer, and a line end before it
    status: bytes  # b"" when the log or the machine ended before the section did


def parse(data: bytes, path: str = "setupapi.dev.log", bias: int | None = None) -> Log:
    """The log, or any end of one: what precedes the first whole section is left out.

    `bias`: minutes from the machine's local time to UTC, handed through. Raises FormatError where
    there is text but no section, and for the format of Windows XP and older.
    """
    data = _narrow(data)
    if data.count(b"\n>>>  [") > MAX_SECTIONS:
        raise FormatError(_LOG, 0, f"more than {MAX_SECTIONS} sections")
    installs: deque[DriverInstall] = deque(maxlen=MAX_INSTALLS)
    count, first, last = 0, None, None
    for section in _sections(data):
        count += 1
        first, last = first or section.when, section.when or last
        if _is_about_drivers(section.title):
            install = _install(section, path, bias)
            if _says_something(install):
                installs.append(install)
    if not count:
        _refuse_other_text(data)
    return Log(count, first, last, tuple(installs))


def _narrow(data: bytes) -> bytes:
    """Somebody's copy in UTF-16 becomes what SetupAPI writes: one byte a letter."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data


def _refuse_other_text(data: bytes) -> None:
    head = data[:4096]
    if b"[Device Install Log]" in head or b"[BeginLog]" in head or not data.strip(b"\0\r\n\t "):
        return
    if _OLD.search(head):
        problem = "it is in the format of Windows XP and older, which is not read"
        raise FormatError(_LOG, 0, problem)
    raise FormatError(_LOG, 0, "no section in it")


# --- sections -----------------------------------------------------------------------------


def _sections(data: bytes) -> Iterator[Section]:
    line, counted = 1, 0
    start = _next_header(data, 0)
    while start >= 0:
        following = _next_header(data, start + 1)
        line += data.count(b"\n", counted, start)
        counted = start
        yield _section(data, start, following if following >= 0 else len(data), line)
        start = following


def _next_header(data: bytes, start: int) -> int:
    """Where the next ">>>  [title]" begins, or -1; the header's second line has no bracket."""
    at = 0 if start == 0 and data.startswith(b">>>") else data.find(b"\n>>>", start) + 1
    while at > 0 or (at == 0 and start == 0 and data.startswith(b">>>")):
        if data[at + 3 : at + 8].lstrip(b" ").startswith(b"["):
            return at
        start = at + 1
        at = data.find(b"\n>>>", start) + 1
    return -1


def _section(data: bytes, start: int, limit: int, line: int) -> Section:
    end = data.find(b"\n", start, limit)
    end = limit if end < 0 else end
    title = data[start + 3 : min(end, start + _MAX_LINE)].strip(b" \t\r\n\0")
    footer = data.find(b"\n<<<", end, limit)
    body = end
    if data.startswith(b">>>", end + 1):  # the header's second line
        body = data.find(b"\n", end + 1, limit)
        body = limit if body < 0 else body
    stop = limit if footer < 0 else footer
    return Section(
        line,
        title.removeprefix(b"[").removesuffix(b"]"),
        _moment(data[end : min(body, end + _MAX_LINE)]),
        data[body:stop],
        _status(data, footer, limit) if footer >= 0 else b"",
    )


def _moment(line: bytes) -> datetime | None:
    match = _DATE.search(line)
    if match is None:
        return None
    year, month, day, hour, minute, second, milli = (int(part or b"0") for part in match.groups())
    return log_text.moment(year, month, day, hour, minute, second, milli * 1000)


def _status(data: bytes, footer: int, limit: int) -> bytes:
    """What the second line of the footer says; the status of an old log is a bare number."""
    for line in data[footer : min(footer + _MAX_LINE, limit)].split(b"\n")[1:4]:
        match = _STATUS.search(line) if line.startswith(b"<<<") else None
        if match:
            status = match.group(1)
            return status + b")" if b"(" in status else status
    return b""


# --- one section --------------------------------------------------------------------------


def _is_about_drivers(title: bytes) -> bool:
    return _ABOUT.search(title) is not None and _NOT_ABOUT.match(title) is None


def _install(section: Section, path: str, bias: int | None) -> DriverInstall:
    inf, original = _package(section)
    return DriverInstall(
        source=Source(path, section.line),
        when=section.when,
        bias=bias,
        title=_text(section.title),
        inf=inf,
        original=original,
        services=_services(section.body),
        files=_drivers(section.body),
        status=_text(section.status),
        errors=_errors(section.body),
    )


def _says_something(install: DriverInstall) -> bool:
    """Servicing logs scores of sections in which nothing had to be done."""
    return bool(
        install.inf or install.services or install.files or install.errors or not install.status
    )


def _text(raw: bytes) -> str:
    """Windows 10 writes UTF-8; before that it was the machine's code page, mostly this one."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _found(body: bytes, words: bytes) -> Iterator[int]:
    """Where the words begin, each time."""
    at = -len(words)
    for _ in range(_MAX_HITS):
        at = body.find(words, at + len(words))
        if at < 0:
            return
        yield at


def _line(body: bytes, at: int) -> bytes:
    start = max(body.rfind(b"\n", max(0, at - _MAX_LINE), at) + 1, at - _MAX_LINE, 0)
    end = body.find(b"\n", at, at + _MAX_LINE)
    return body[start : end if end >= 0 else at + _MAX_LINE]


def _drivers(body: bytes) -> tuple[str, ...]:
    """File names that end in .sys, wherever the section names them."""
    names: dict[bytes, None] = {}
    for words in (b".sys", b".SYS", b".Sys"):
        for at in _found(body, words):
            if body[at + 4 : at + 6].strip(b".")[:1].isalnum():  # or a section "acme.sys.NT"
                continue
            before = body[max(0, at - 128) : at]
            start = max(before.rfind(separator) for separator in _SEPARATORS) + 1
            name = before[start:].lower()
            if before[start - 1 : start] in (b"", b"\n"):  # no path: the line's last word
                name = name.replace(b"=", b" ").rsplit(b" ", 1)[-1]
            if name and len(names) < MAX_NAMES:
                names[name] = None
    return tuple(_text(name) + ".sys" for name in names)


def _services(body: bytes) -> tuple[str, ...]:
    """Services that were added or changed, or that drive the section's device."""
    names: dict[bytes, bytes] = {}
    for raw in _named_services(body):
        name = raw.strip()
        if 0 < len(name) <= 256 and name[:1] not in b"<%" and len(names) < MAX_NAMES:
            names.setdefault(name.lower(), name)
    return tuple(_text(name) for name in names.values())


def _named_services(body: bytes) -> Iterator[bytes]:
    for at in _found(body, b"{Add Service: "):
        name = body[at + 14 : at + 14 + 260].partition(b"}")[0]
        if not name.startswith(b"exit("):
            yield name
    for at in _found(body, b" service '"):
        if not _line(body, at).startswith(b"!"):  # warnings about a service nobody installs
            yield body[at + 10 : at + 10 + 260].partition(b"'")[0]
    for at in _found(body, b"AddService="):
        yield body[at + 11 : at + 11 + 260].partition(b",")[0].partition(b"\n")[0]
    for at in _found(body, b"Service Name "):
        yield body[at + 13 : at + 13 + 260].partition(b"\n")[0].partition(b"= ")[2]


def _errors(body: bytes) -> tuple[str, ...]:
    errors: list[str] = []
    for at in _found(body, b"\n!!!"):
        if len(errors) == MAX_ERRORS:
            break
        line = body[at + 4 : at + 4 + _MAX_LINE].partition(b"\n")[0]
        errors.append(" ".join(_text(line).split()))
    return tuple(error for error in errors if error)


# --- the package --------------------------------------------------------------------------


def _package(section: Section) -> tuple[str, str]:
    """(name in Windows\\INF where it is told, its maker's name), lower case; "" for many."""
    if _MANY.search(section.title):
        return "", ""
    published, line = _published(section.body)
    original = _original(section, line)
    return _text(published or original).lower(), _text(original).lower()


def _published(body: bytes) -> tuple[bytes, bytes]:
    """The oemNN.inf that the most telling line names, and that line; later ones win."""
    best, rank, said = b"", len(_SAYS), b""
    for at in _found(body, b"oem"):
        match = _OEM.match(body, at)
        if match is None:
            continue
        line = _line(body, at)
        here = next(rank for rank, words in enumerate(_SAYS) if any(word in line for word in words))
        better = here < rank or (here == rank and match.group() != best)
        if better or (match.group() == best and not _FOLDER.search(said)):
            best, rank, said = match.group(), min(here, rank), line
    return best, said


def _original(section: Section, line: bytes) -> bytes:
    """The package's own name: from that line, its title, or what else the section says."""
    for pattern, text in ((_FOLDER, line), (_ANY_INF, line), (_ANY_INF, section.title)):
        for match in pattern.finditer(text):
            name = match.group(1).rsplit(b" ", 1)[-1]
            if not _OEM.fullmatch(name):
                return name
    for words in _NAMED_BY:
        at = section.body.rfind(words)
        if at >= 0:
            named = _ANY_INF.search(section.body[at + len(words) : at + len(words) + _MAX_LINE])
            if named is not None:
                name = named.group(1).rsplit(b" ", 1)[-1]
                return b"" if _OEM.fullmatch(name) else name
    return b""
