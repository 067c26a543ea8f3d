"""INF files: what a driver package says of itself, its services and its files.

Syntax: Microsoft Learn, "General syntax rules for INF files", "INF Version section", "INF
AddService directive", "INF CopyFiles directive", "INF SourceDisksFiles section". Everything is
read for every architecture and Windows version at once: which of the decorated sections a machine
chose matters less here than which services the package can bring.

Not handled: Include and Needs, [Strings.<language>], registry sections, models and device ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats import log_text

MAX_BYTES = 4 << 20  # the INFs of graphics drivers come near to 2 MiB
MAX_LINES = 200_000
MAX_SERVICES = 200
MAX_FILES = 2_000

_INF = "INF file"
_ROOT = re.compile(r"HK(?:R|LM|CR|CU|U)\s*,", re.IGNORECASE)
_TOKEN = re.compile(r"%([^%]*)%")
_MAX_EXPANDED = 1024  # characters of one name
_DATE = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})$")
_GUID = re.compile(r"\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")


@dataclass(frozen=True, slots=True)
class Inf:
    """What is told; "" and () for what is not."""

    provider: str
    class_name: str
    class_guid: str  # lower case with braces
    catalog: str
    dated: str  # ISO, of DriverVer
    version: str  # of DriverVer
    services: tuple[str, ...]  # as spelled
    files: tuple[str, ...]  # lower case, without folders


# Section name in lower case -> its lines, as (key in lower case, value); "" where there is no "=".
Sections = dict[str, list[tuple[str, str]]]


def parse(data: bytes) -> Inf:
    """Raises FormatError where there is no [Version] section, or more than any INF holds."""
    sections = _sections(_text(data))
    if "version" not in sections:
        raise FormatError(_INF, 0, "it has no [Version] section")
    strings = {key: "".join(_fields(value)[:1]) for key, value in sections.get("strings", ())}
    version = dict(reversed(sections["version"]))  # the first of its kind counts

    def told(key: str, number: int = 0) -> str:
        fields = _fields(version.get(key, ""))
        return _expanded(fields[number], strings) if number < len(fields) else ""

    guid = told("classguid").lower()
    return Inf(
        provider=told("provider"),
        class_name=told("class"),
        class_guid=guid if _GUID.fullmatch(guid) else "",
        catalog=told("catalogfile"),
        dated=_iso(told("driverver")),
        version=told("driverver", 1),
        services=tuple(_services(sections, strings)),
        files=tuple(_files(sections, strings)),
    )


# --- text ---------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise FormatError(_INF, MAX_BYTES, f"{len(data)} bytes are more than an INF has")
    return log_text.decoded(data)


def _lines(text: str) -> Iterator[str]:
    """Logical lines: without comments, with what a backslash at the end continues."""
    raw = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(raw) > MAX_LINES:
        raise FormatError(_INF, 0, f"more than {MAX_LINES} lines")
    pieces: list[str] = []
    for line in raw:
        line = _without_comment(line).strip(" \t\0\x1a")
        if pieces and line.startswith("["):  # a folder's name ended in one
            yield from filter(None, ("".join(pieces).strip(),))
            pieces.clear()
        if line.endswith("\\") and line.count('"') % 2 == 0:
            pieces.append(line[:-1])
            continue
        if pieces:
            line = "".join([*pieces, line]).strip()
            pieces.clear()
        if line:
            yield line
    if any(pieces):
        yield "".join(pieces)


def _without_comment(line: str) -> str:
    if ";" not in line:
        return line
    if '"' not in line:
        return line.partition(";")[0]
    kept: list[str] = []
    for number, piece in enumerate(line.split('"')):
        before, found, _ = piece.partition(";")
        if number % 2 == 0 and found:  # outside of quotes
            return '"'.join([*kept, before])
        kept.append(piece)
    return line


def _sections(text: str) -> Sections:
    """Every section but what can only be registry values; sections of one name are one."""
    sections: Sections = {}
    current: list[tuple[str, str]] = []
    for line in _lines(text):
        if line[0] == "[":
            name = line[1:].partition("]")[0].strip().lower()
            current = sections.setdefault(name, [])
        elif _ROOT.match(line) is None:
            key, equals, value = line.partition("=")
            current.append((key.strip().strip('"').lower(), value) if equals else ("", line))
    return sections


def _fields(value: str) -> list[str]:
    """What commas outside of quotes separate, without the quotes; two of them inside are one."""
    if '"' not in value:
        return [field.strip() for field in value.split(",")]
    pieces = value.split('"')
    fields: list[str] = []
    field = ""
    for number, piece in enumerate(pieces):
        if number % 2:
            field += piece
            continue
        if not piece and 0 < number < len(pieces) - 1:  # two in a row, inside of quotes
            field += '"'
            continue
        first, *more = piece.split(",")
        field += first.strip(" \t")
        for each in more:
            fields.append(field)
            field = each.strip(" \t")
    return [*fields, field]


def _expanded(text: str, strings: dict[str, str]) -> str:
    """%key% by its string; what is no key (a folder's number: %12%) stays."""
    if "%" not in text:
        return text[:_MAX_EXPANDED]

    def replacement(match: re.Match[str]) -> str:
        key = match.group(1)
        return strings.get(key.strip().lower(), match.group()) if key else "%"

    return _TOKEN.sub(replacement, text[:_MAX_EXPANDED])[:_MAX_EXPANDED]


def _iso(date: str) -> str:
    match = _DATE.match(date)
    if match is None:
        return ""
    month, day, year = (int(part) for part in match.groups())
    return f"{year:04}-{month:02}-{day:02}" if month <= 12 and day <= 31 else ""


# --- what it installs ---------------------------------------------------------------------


def _services(sections: Sections, strings: dict[str, str]) -> Iterator[str]:
    """Names of AddService directives in any [<install section>.Services]."""
    seen: set[str] = set()
    for name, lines in sections.items():
        if not name.endswith(".services"):
            continue
        for key, value in lines:
            if key != "addservice":
                continue
            service = _expanded(_fields(value)[0], strings)
            if service and service.lower() not in seen and len(seen) < MAX_SERVICES:
                seen.add(service.lower())
                yield service


def _files(sections: Sections, strings: dict[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    for raw in _named_files(sections):
        name = log_text.file_name(_expanded(raw, strings)).strip()
        if name and name not in seen:
            seen.add(name)
            yield name
            if len(seen) == MAX_FILES:
                return


def _named_files(sections: Sections) -> Iterator[str]:
    """Files of ServiceBinary, CopyFiles (@file, and the sections it lists), SourceDisksFiles."""
    lists: dict[str, None] = {}
    for lines in sections.values():
        for key, value in lines:
            if key == "servicebinary":
                yield _fields(value)[0]
            elif key == "copyfiles":
                for field in _fields(value):
                    if field.startswith("@"):
                        yield field[1:]
                    else:
                        lists[field.lower()] = None
    for name in lists:
        for key, value in sections.get(name, ()):
            yield key or _fields(value)[0]
    for name, lines in sections.items():
        if name == "sourcedisksfiles" or name.startswith("sourcedisksfiles."):
            yield from (key for key, _ in lines if key)
