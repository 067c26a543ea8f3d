"""SBAT: which generations of shim, GRUB and their kin may still start.

Source: https://github.com/rhboot/shim, SBAT.md (the format), sbat.c and csv.c (what shim makes of
it), SbatLevel_Variable.txt. An executable names its components in a section ".sbat"; the level in
force is a variable of the firmware, which shim writes and reads. Firmware itself knows nothing of
SBAT, nor does Windows: it binds shim, which checks itself, and what shim starts.

As shim does it: a generation that is no number counts as 0, only its lowest 16 bits count, and of
two lines for one component in a level the first. Lines with fewer columns than the format asks for,
or with an empty one, make the whole text unreadable; shim starts nothing then.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from signing.errors import MalformedError

SECTION, LEVEL_SECTION = ".sbat", ".sbatlevel"
SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
# In /sys/firmware/efi/efivars: shim's copy, as the variable itself is not shown to systems.
LEVEL_FILE = f"SbatLevelRT-{SHIM}"
LARGEST = 64 << 10  # of a section or a level; real ones have some hundred bytes

_DATE = 10  # letters of one
_COLUMNS = 6
_LEVEL_COLUMNS = 2
_MOST_LINES = 1024
_BOM = b"\xef\xbb\xbf"
_BREAKS = re.compile(rb"[\r\n]+")
_NUMBER = re.compile(rb"[ \t\v\f]*([+-]?[0-9]+)")  # as C's atoi has it
_LONGEST_NUMBER = 32
_OFFSETS = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Component:
    """A line of a section: what an executable says it is made of."""

    name: str
    generation: int
    vendor: str
    package: str
    version: str
    url: str


@dataclass(frozen=True, slots=True)
class Level:
    """The least generation of each component that may start."""

    date: str  # "2025051000"; "" where the level does not say
    minimum: Mapping[str, int]  # by component, "sbat" itself among them


NO_LEVEL = Level("", {})  # of a machine that no shim has run on


@dataclass(frozen=True, slots=True)
class Levels:
    """What a shim brings along: the level it sets by itself, and the latest it knows."""

    automatic: Level
    latest: Level


@dataclass(frozen=True, slots=True)
class Revoked:
    component: str
    generation: int
    minimum: int


def components(section: bytes) -> tuple[Component, ...]:
    """The contents of a section ".sbat". Raises MalformedError where shim could not read them."""
    found = []
    for fields in _rows(section, "SBAT section", _COLUMNS):
        name, number, *rest = fields[:_COLUMNS]
        vendor, package, version, url = map(_text, rest)
        found.append(Component(_text(name), _generation(number), vendor, package, version, url))
    return tuple(found)


def level(value: bytes) -> Level:
    """The value of the variable SbatLevel. Raises MalformedError where shim could not read it.

    No bytes are no level, and refused: that a variable is not there is for the caller to say.
    """
    minimum: dict[str, int] = {}
    date = ""
    for fields in _rows(value, "SBAT level", _LEVEL_COLUMNS):
        name = _text(fields[0])
        minimum.setdefault(name, _generation(fields[1]))
        if name == "sbat" and len(fields) > _LEVEL_COLUMNS and not date:
            date = _text(fields[2])
    if not minimum:
        raise MalformedError("SBAT level", 0, "it names no component")
    return Level(date, minimum)


def levels(section: bytes) -> Levels:
    """The contents of shim's section ".sbatlevel". Raises MalformedError.

    A version, which is 0, then where the two texts lie, counted from the first of the two numbers.
    """
    if len(section) < 12 or section[:4] != bytes(4):
        raise MalformedError("shim's SBAT levels", 0, "they are of another version")
    if len(section) > LARGEST:
        raise MalformedError("shim's SBAT levels", 0, f"{len(section):,} bytes are too many")
    found = []
    for offset in _OFFSETS.unpack_from(section, 4):
        if offset < _OFFSETS.size or 4 + offset >= len(section):
            raise MalformedError("shim's SBAT levels", 4, f"a text at {offset:#x}")
        found.append(level(section[4 + offset :]))
    return Levels(*found)


def later(one: Level, other: Level) -> Level:
    """Which of two levels shim keeps in force: the one of the later date, else the first."""
    return other if other.date[:_DATE] > one.date[:_DATE] else one


def revoked(named: tuple[Component, ...], least: Level) -> Revoked | None:
    """The first component of an executable that is too old for that level; None: none is."""
    for component in named:
        minimum = least.minimum.get(component.name, 0)
        if component.generation < minimum:
            return Revoked(component.name, component.generation, minimum)
    return None


def _rows(data: bytes, structure: str, columns: int) -> list[list[bytes]]:
    if len(data) > LARGEST:
        raise MalformedError(structure, 0, f"{len(data):,} bytes are more than shim's own have")
    text = data.partition(b"\0")[0].removeprefix(_BOM)
    lines = [line for line in _BREAKS.split(text) if line]
    if len(lines) > _MOST_LINES:
        raise MalformedError(structure, 0, f"{len(lines)} lines")
    rows = [line.split(b",") for line in lines]
    for number, row in enumerate(rows):
        if len(row) < columns or not all(row[:columns]):
            raise MalformedError(structure, 0, f"line {number + 1} lacks a column")
    return rows


def _generation(text: bytes) -> int:
    number = _NUMBER.match(text[:_LONGEST_NUMBER])
    return int(number[1]) & 0xFFFF if number else 0


def _text(field: bytes) -> str:
    return "".join(each if each.isprintable() else "?" for each in field.decode("utf-8", "replace"))
