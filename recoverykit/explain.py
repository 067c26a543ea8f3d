"""`recoverykit explain BUGCHECK`: what a stop code means, and how to read its numbers.

Takes what people have before them: "7b", "0x1000007E", a name, or the whole line of a blue screen,
of an event or of a debugger, parameters and all. Also statuses that the boot manager shows on a
screen of its own. Pure, from the data files of the diagnosis and from the same table by which dumps
are read: what is told here is what recoverykit does.
"""

from __future__ import annotations

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from recoverykit import __version__
from recoverykit.diagnosis import knowledge
from recoverykit.diagnosis.knowledge import Area, StopCode
from recoverykit.errors import NoCulpritError, UsageError
from recoverykit.explain_words import FIRST, KINDS, LOOKS
from recoverykit.formats import bugcheck_address
from recoverykit.formats.bugcheck_address import Kind

SCHEMA = "recoverykit.explain/1"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the four numbers behind a stop code."""

    number: int  # 1 to 4
    meaning: str  # "" when it says nothing
    values: tuple[tuple[int, str], ...] = ()  # some numbers and what they mean
    is_status: bool = False
    given: int | None = None  # where the caller had it
    told: str = ""  # what the given number means


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about a stop code, or about a status of the boot manager."""

    code: int
    name: str
    kind: str  # "stop-code", "boot-error", "status"
    area: str  # an Area, or "bcd"; "" where a status alone does not tell
    meaning: str
    first: str  # where to look first
    driver: str  # in which parameter the driver is named, if in any
    driver_parameters: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    note: str = ""
    looks: tuple[str, ...] = ()  # what recoverykit looks at for it
    decimal: str = ""  # another code that may be meant, where the number had only digits
    live: bool = False  # Windows went on running


def run(text: str, as_json: bool, width: int = 100) -> str:
    """What the command prints. Raises as `explain` does."""
    explanation = explain(text)
    return to_json(explanation) if as_json else to_text(explanation, width)


def explain(text: str) -> Explanation:
    """Explain a code or a name, with the parameters that follow it.

    Raises NoCulpritError for a code nobody documents, UsageError for what is neither.
    """
    code, given = _read(text)
    stop = knowledge.stop_code(code)
    if stop.name:
        return replace(_stop(stop, given), decimal=_decimal(text, code))
    if code in _statuses():
        return _status(code)
    raise NoCulpritError(
        f"{code:#x} is not among the {len(knowledge.stop_codes())} stop codes that Microsoft "
        "documents: drivers may stop Windows with codes of their own.",
        hint=_decimal(text, code),
    )


# --- what was typed -----------------------------------------------------------------------

_WORDS = {"stop", "code", "bugcheck", "bug", "check", "bugcheckcode", "the", "was"}
_NUMBER = re.compile(r"(?:0x)?[0-9a-f]{1,8}`?[0-9a-f]{0,8}", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", re.IGNORECASE)


def _read(text: str) -> tuple[int, tuple[int, ...]]:
    words = [word for word in re.split(r"[\s,;:()\[\]]+", text) if word]
    words = [word for word in words if word.lower() not in _WORDS]
    if not words:
        raise UsageError(
            "no stop code was named", hint="for example: explain 0x7B, explain 7b, explain 0x50"
        )
    first, *rest = words
    numbers = tuple(_number(word) for word in rest)
    if _NAME.fullmatch(first):
        code = _by_name(first.upper())
        if numbers and numbers[0] in (code, bugcheck_address.base_code(code)):
            numbers = numbers[1:]  # a debugger's "PAGE_FAULT_IN_NONPAGED_AREA (50)"
    else:
        code = _number(first)
        code = code & 0xFFFF_FFFF if code >> 32 == 0xFFFF_FFFF else code
    if code > 0xFFFF_FFFF or len(numbers) > 4:
        raise UsageError(f"'{text}' is no stop code with at most four parameters")
    return code, numbers


def _number(word: str) -> int:
    if not _NUMBER.fullmatch(word):
        raise UsageError(
            f"'{word}' is neither a hexadecimal number nor the name of a stop code",
            hint="for example: explain 0x7B, or explain INACCESSIBLE_BOOT_DEVICE",
        )
    return int(word.replace("`", ""), 16)


def _by_name(name: str) -> int:
    for stop in knowledge.stop_codes():
        if stop.name == name:
            return stop.code
    for code, (own, _) in _statuses().items():
        if own == name:
            return code
    base = name.removesuffix("_M")
    if base != name:
        return _by_name(base)
    names = [stop.name for stop in knowledge.stop_codes()]
    near = difflib.get_close_matches(name, names, n=3)
    raise NoCulpritError(
        f"{name} is not the name of a stop code that Microsoft documents",
        hint=f"near to it: {', '.join(near)}" if near else "",
    )


def _decimal(text: str, code: int) -> str:
    """Event 41 of Kernel-Power writes its BugcheckCode in decimal, and people copy it as it is."""
    digits = f"{code:x}"
    if not digits.isdecimal() or "0x" in text.lower() or not re.search(rf"\b{digits}\b", text):
        return ""
    meant = knowledge.stop_code(int(digits))
    if not meant.name or meant.code == code:
        return ""
    return f"{digits} was taken as hexadecimal. In decimal it is {meant.code:#x} {meant.name}."


# --- what is known ------------------------------------------------------------------------


def _stop(stop: StopCode, given: tuple[int, ...]) -> Explanation:
    about = _about(bugcheck_address.base_code(stop.code))
    where, numbers = _driver(stop, about)
    live = knowledge.is_live_dump(stop.code)
    meaning = str(about.get("meaning", "")) or _UNEXPLAINED
    if live and "went on running" not in meaning:
        meaning += " It is the report of a Windows that went on running, no crash."
    return Explanation(
        code=stop.code,
        name=stop.name,
        kind="stop-code",
        area=stop.area,
        meaning=meaning,
        first=FIRST[stop.area],
        driver=where,
        driver_parameters=numbers,
        parameters=tuple(_parameters(about, given)),
        note=str(about.get("note", "")),
        looks=LOOKS[stop.area],
        live=live,
    )


def _status(code: int) -> Explanation:
    name, told = _statuses()[code]
    about = _tables("boot-errors.toml").get(code)
    if about is None:
        return Explanation(
            code,
            name,
            "status",
            "",
            f"A status, no stop code: {told}.",
            "Which stop code or which program showed it decides where to look.",
            "A status names no driver.",
        )
    area = str(about["area"])
    return Explanation(
        code,
        name,
        "boot-error",
        area,
        f"{about['meaning']} It is shown by the boot manager or the loader, before Windows runs.",
        FIRST[area],
        "It names no driver; where it names a file, the screen does.",
        looks=LOOKS[area],
    )


def _about(code: int) -> Mapping[str, Any]:
    tables = _tables("bugchecks.toml")
    about = tables.get(code, {})
    like = about.get("like")
    return {**tables[int(like, 16)], **about} if like else about


def _parameters(about: Mapping[str, Any], given: tuple[int, ...]) -> Iterator[Parameter]:
    meanings = list(about.get("parameters", ()))
    for number in range(1, max(len(meanings), len(given)) + 1):
        meaning = meanings[number - 1] if number <= len(meanings) else ""
        named = about.get("values", {}).get(str(number), {})
        values = tuple((int(value, 16), told) for value, told in named.items())
        is_status = number in about.get("status", ())
        if is_status:
            values += tuple(_seen(about))
        own = given[number - 1] if number <= len(given) else None
        told = "" if own is None else _told(own, values, is_status)
        yield Parameter(number, meaning, values, is_status, own, told)


def _seen(about: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Statuses a code often comes with."""
    for status in about.get("seen", ()):
        name, told = _statuses()[int(status, 16)]
        yield int(status, 16), f"{name}: {told}"


def _told(own: int, values: tuple[tuple[int, str], ...], is_status: bool) -> str:
    if is_status:
        name, told = _statuses().get(own & 0xFFFF_FFFF, ("", ""))
        return f"{name}: {told}" if name else dict(values).get(own, "")
    return dict(values).get(own, "")


_LISTED = " The driver is the module of the dump that the address lies in."


def _driver(stop: StopCode, about: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Where the driver is named, as a sentence, and in which parameters."""
    places = bugcheck_address.PLACES.get(bugcheck_address.base_code(stop.code), ())
    if places:
        told = [f"parameter {place.parameter} {KINDS[place.kind]}" for place in places]
        text = f"{'; failing that, '.join(told)}."
        listed = _LISTED if any(place.kind is not Kind.NAME for place in places) else ""
        return text[0].upper() + text[1:] + listed, tuple(place.parameter for place in places)
    if about.get("where") == "screen":
        return "It names no driver; the screen, or SrtTrail.txt, names the file.", ()
    if stop.area is Area.DRIVER:
        return "No parameter names it; the stack and the module list of a dump may.", ()
    return "It names no driver.", ()


_UNEXPLAINED = "Microsoft documents this code; recoverykit has no more to say about it."

# --- data ---------------------------------------------------------------------------------


@cache
def _tables(name: str) -> dict[int, dict[str, Any]]:
    return {int(code, 16): about for code, about in tomllib.loads(knowledge.data(name)).items()}


@cache
def _statuses() -> dict[int, tuple[str, str]]:
    split = (row.split(",", 2) for row in knowledge.lines("ntstatus.csv"))
    return {int(code, 16): (name, told) for code, name, told in split}


# --- for people and for scripts -----------------------------------------------------------


def to_text(explanation: Explanation, width: int = 100) -> str:
    """The explanation for people, ending in a newline."""
    shown = (
        wrapped
        for line, indent in _lines(explanation)
        for wrapped in textwrap.wrap(
            line, width, subsequent_indent=" " * indent, break_on_hyphens=False
        )
        or [""]
    )
    return "\n".join(shown) + "\n"


def _lines(explanation: Explanation) -> Iterator[tuple[str, int]]:
    """Lines, and how far what they continue with is indented."""
    yield f"{explanation.code:#x}  {explanation.name}", 0
    yield "", 0
    yield explanation.meaning, 0
    yield "", 0
    yield f"Where to look first: {explanation.first}", 0
    yield f"The driver: {explanation.driver}", 0
    yield from _parameter_lines(explanation.parameters)
    for note in filter(None, (explanation.note, explanation.decimal)):
        yield "", 0
        yield f"Note: {note}", 0
    if explanation.looks:
        yield "", 0
        yield "What recoverykit looks at:", 0
        yield from ((f"  - {look}", 4) for look in explanation.looks)


def _parameter_lines(parameters: tuple[Parameter, ...]) -> Iterator[tuple[str, int]]:
    told = [one for one in parameters if one.meaning or one.given is not None]
    if not told:
        return
    yield "", 0
    yield "Parameters:", 0
    for one in told:
        status = " (a status)" if one.is_status else ""
        given = "" if one.given is None else f" = {one.given:#x}"
        yield f"  {one.number}{given}  {one.meaning or 'says nothing'}{status}", 5
        if one.told:
            yield f"       {one.told}", 7
        else:
            yield from ((f"       {value:#x}  {meaning}", 12) for value, meaning in one.values)


def to_json(explanation: Explanation) -> str:
    """The explanation as indented JSON (schema recoverykit.explain/1), ending in a newline."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "exit_code": 0,
        "code": f"0x{explanation.code:08x}",
        "name": explanation.name,
        "kind": explanation.kind,
        "area": explanation.area or None,
        "live": explanation.live,
        "meaning": explanation.meaning,
        "look_first": explanation.first,
        "driver": {
            "parameters": list(explanation.driver_parameters),
            "text": explanation.driver,
        },
        "parameters": [_parameter(one) for one in explanation.parameters],
        "note": explanation.note or None,
        "decimal": explanation.decimal or None,
        "looks_at": list(explanation.looks),
    }
    return json.dumps(document, indent=2) + "\n"


def _parameter(one: Parameter) -> dict[str, Any]:
    return {
        "number": one.number,
        "meaning": one.meaning or None,
        "is_status": one.is_status,
        "values": [{"value": f"{value:#x}", "meaning": told} for value, told in one.values],
        "given": None if one.given is None else f"{one.given:#x}",
        "told": one.told or None,
    }
