"""Boot configuration data: the store that says what Windows starts, as plain values.

A store is a registry hive: `Description` says what it is, `Objects\\{guid}\\Description` holds an
object's type, `Objects\\{guid}\\Elements\\xxxxxxxx` one element each, in its value `Element`.
Sources: ReactOS boot/environ/include/bcd.h, phnt ntbcd.h, Microsoft's BCD reference, real stores.
An element's type is 4 bits class, 4 bits format, 24 bits which; the format says how it is stored.

One damaged element does not hide the rest: what cannot be read becomes a Gap, and a value that does
not follow its format is a `Raw`. What is no object or element stays as a `Stray`, so that a deleted
object takes everything with it. Refused with FormatError: a hive without `Objects`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from recoverykit.errors import FormatError
from recoverykit.formats import bcd_device
from recoverykit.formats.bcd_device import Device
from recoverykit.formats.hive import REG_BINARY, REG_DWORD, REG_MULTI_SZ, REG_SZ, Hive, Key, fold
from recoverykit.model import Gap, RegistryData, Source

OBJECTS, ELEMENTS, ELEMENT, DESCRIPTION, TYPE = (
    "Objects",
    "Elements",
    "Element",
    "Description",
    "Type",
)
MAX_OBJECTS = 4096  # in a store; real ones have dozens
MAX_ELEMENTS = 1024  # in an object
_MAX_STRAYS = 1024
_MAX_DEPTH = 8  # of keys below an object
_GUID = re.compile(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9a-f]{8}", re.IGNORECASE)
_WIDEST = 8  # bytes of an integer; Windows media have shorter ones


class Format(IntEnum):
    """How an element's value is stored: bits 24 to 27 of its type."""

    DEVICE = 1  # REG_BINARY, bcd_device
    STRING = 2  # REG_SZ
    OBJECT = 3  # REG_SZ, a GUID in braces
    OBJECT_LIST = 4  # REG_MULTI_SZ of them
    INTEGER = 5  # REG_BINARY, 8 bytes
    BOOLEAN = 6  # REG_BINARY, 1 byte
    INTEGER_LIST = 7  # REG_BINARY, 8 bytes each
    BINARY = 8


@dataclass(frozen=True, slots=True)
class Raw:
    """A value that does not follow its format, or has one that nobody has described."""

    stored: RegistryData


Value = Device | str | tuple[str, ...] | int | bool | tuple[int, ...] | bytes | Raw


@dataclass(frozen=True, slots=True)
class Element:
    """One setting of an object. What is stored is kept; `value` says what it means."""

    type: int
    stored: RegistryData

    @property
    def value(self) -> Value:
        return decode(self.type, self.stored)


@dataclass(frozen=True, slots=True)
class Stray:
    """Something below an object's key that belongs to no element."""

    key: str  # below the object's key, "" for itself
    name: str | None  # None: the key itself
    stored: RegistryData | None


@dataclass(frozen=True, slots=True)
class Object:
    """A boot application, a group of settings, or the options of a device."""

    id: str  # GUID in braces, lower case
    description: tuple[tuple[str, RegistryData], ...]  # Type, FirmwareVariable
    elements: tuple[Element, ...] = ()
    strays: tuple[Stray, ...] = ()

    @property
    def type(self) -> int:
        """The type word (bcd_names.ObjectType); 0 where it is missing or no DWORD."""
        stored = next((data for name, data in self.description if fold(name) == fold(TYPE)), None)
        sound = stored is not None and stored.type == REG_DWORD and len(stored.data) == 4
        return int.from_bytes(stored.data, "little") if stored is not None and sound else 0

    def find(self, element: int) -> Element | None:
        return next((own for own in self.elements if own.type == element), None)

    def value(self, element: int) -> Value | None:
        found = self.find(element)
        return None if found is None else found.value


@dataclass(frozen=True, slots=True)
class Store:
    """A whole store."""

    description: tuple[tuple[str, RegistryData], ...]  # KeyName, System, TreatAsSystem...
    objects: tuple[Object, ...] = ()
    gaps: tuple[Gap, ...] = ()  # what could not be read

    def find(self, identifier: str) -> Object | None:
        """The object of that GUID, in any case."""
        wanted = identifier.lower()
        return next((own for own in self.objects if own.id == wanted), None)


def object_key(identifier: str) -> str:
    """Where an object lies in the hive."""
    return f"{OBJECTS}\\{identifier}"


def element_key(identifier: str, element: int) -> str:
    return f"{object_key(identifier)}\\{ELEMENTS}\\{element:08x}"


# --- values -------------------------------------------------------------------------------


def decode(element: int, stored: RegistryData) -> Value:
    """What the stored bytes of an element of this type mean; encoding it gives them back."""
    try:
        value = _decoded(element >> 24 & 0xF, stored.data)
    except (FormatError, UnicodeError, struct.error):
        value = None
    if value is None or encode(element, value, width=len(stored.data)) != stored:
        return Raw(stored)
    return value


def _decoded(format_: int, data: bytes) -> Value | None:
    match format_:
        case Format.DEVICE:
            return bcd_device.decode(data)
        case Format.STRING:
            text = _text(data)
            return None if "\0" in text else text
        case Format.OBJECT:
            text = _text(data)
            return text if _GUID.fullmatch(text) else None
        case Format.OBJECT_LIST:
            texts = tuple(_text(data).split("\0")) if data.strip(b"\0") else ()
            return texts if all(_GUID.fullmatch(text) for text in texts) else None
        case Format.INTEGER:
            return int.from_bytes(data, "little") if 0 < len(data) <= _WIDEST else None
        case Format.BOOLEAN:
            return {b"\0": False, b"\1": True}.get(data)
        case Format.INTEGER_LIST:
            return struct.unpack(f"<{len(data) // 8}Q", data)
        case Format.BINARY:
            return data
    return None


def _text(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass").rstrip("\0")


def encode(element: int, value: Value, *, width: int | None = None) -> RegistryData:
    """How a value is stored; `width` in bytes where it is not the usual one: old media have
    shorter integers, and Windows leaves more than one NUL after a text.

    Raises ValueError when the value does not fit the element's format.
    """
    match element >> 24 & 0xF, value:
        case _, Raw(stored):
            return stored
        case Format.DEVICE, Device():
            return RegistryData(REG_BINARY, bcd_device.encode(value))
        case Format.STRING, str():
            return RegistryData(REG_SZ, _utf16(value, 1, width))
        case Format.OBJECT, str():
            return RegistryData(REG_SZ, _utf16(_checked(value), 1, width))
        case Format.OBJECT_LIST, tuple():
            text = "\0".join(_checked(item) for item in value)
            return RegistryData(REG_MULTI_SZ, _utf16(text, 2 if text else 1, width))
        case Format.BOOLEAN, bool():
            return RegistryData(REG_BINARY, bytes([value]))
        case Format.INTEGER, int() if not isinstance(value, bool):
            return RegistryData(REG_BINARY, _integer(value, _WIDEST if width is None else width))
        case Format.INTEGER_LIST, tuple():
            numbers = [item if isinstance(item, int) else -1 for item in value]
            return RegistryData(REG_BINARY, b"".join(_integer(item, 8) for item in numbers))
        case Format.BINARY, bytes():
            return RegistryData(REG_BINARY, value)
    raise ValueError(f"element {element:08x} cannot hold {value!r}")


def _utf16(text: str, ends: int, width: int | None) -> bytes:
    data = text.encode("utf-16-le", "surrogatepass")
    return data.ljust(len(data) + 2 * ends if width is None else width, b"\0")


def _checked(identifier: str | int) -> str:
    if not isinstance(identifier, str) or not _GUID.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no GUID in braces")
    return identifier


def _integer(value: int, width: int) -> bytes:
    try:
        return value.to_bytes(width, "little")
    except OverflowError as error:
        raise ValueError(f"{value} does not fit into {width} bytes") from error


# --- from a hive --------------------------------------------------------------------------


def parse(hive: Hive, path: str = "") -> Store:
    """Read a store whole; `path` is what gaps call the file. Raises FormatError if it is none."""
    objects = hive.find(OBJECTS)
    if objects is None:
        raise FormatError("boot store", hive.root.offset, "it has no Objects: this is no BCD")
    gaps: list[Gap] = []
    reader = _Reader(path, gaps)
    about = hive.find(DESCRIPTION)
    found = []
    for number, key in enumerate(reader.subkeys(objects)):
        if number == MAX_OBJECTS:
            reader.miss(objects, f"There are more than {MAX_OBJECTS} objects; the rest was left.")
            break
        if _GUID.fullmatch(key.name):
            found.append(_object(reader, key))
        else:
            reader.miss(key, "This key is no object: its name is no GUID.")
    description = tuple(reader.values(about)) if about is not None else ()
    return Store(description, tuple(found), tuple(gaps))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what can be read and notes the rest."""

    path: str
    gaps: list[Gap]

    def miss(self, key: Key, reason: str) -> None:
        self.gaps.append(Gap(Source(self.path, key.offset, key.path), reason))

    def subkeys(self, key: Key) -> Iterator[Key]:
        damaged: list[FormatError] = []
        try:
            yield from key.subkeys(damaged)
        except FormatError as error:
            damaged.append(error)
        for problem in damaged:
            self.miss(key, f"A key below cannot be read: {problem}.")

    def values(self, key: Key) -> Iterator[tuple[str, RegistryData]]:
        damaged: list[FormatError] = []
        try:
            for value in key.values(damaged):
                try:
                    yield value.name, RegistryData(value.type, bytes(value.data))
                except FormatError as error:
                    damaged.append(error)
        except FormatError as error:
            damaged.append(error)
        for problem in damaged:
            self.miss(key, f"A value cannot be read: {problem}.")


def _object(reader: _Reader, key: Key) -> Object:
    description: tuple[tuple[str, RegistryData], ...] = ()
    elements: list[Element] = []
    strays = [Stray("", name, stored) for name, stored in reader.values(key)]
    for below in reader.subkeys(key):
        if fold(below.name) == fold(DESCRIPTION):
            description = tuple(reader.values(below))
            strays += _below(reader, below)
        elif fold(below.name) == fold(ELEMENTS):
            elements, left = _elements(reader, below)
            strays += left
        else:
            strays += _tree(reader, below, below.name, 0)
    if not any(fold(name) == fold(TYPE) for name, _ in description):
        reader.miss(key, "This object does not say of which type it is.")
    if len(strays) > _MAX_STRAYS:
        reader.miss(key, f"More than {_MAX_STRAYS} things below it belong to no element.")
        del strays[_MAX_STRAYS:]
    return Object(key.name.lower(), description, tuple(elements), tuple(strays))


def _elements(reader: _Reader, parent: Key) -> tuple[list[Element], list[Stray]]:
    found: list[Element] = []
    strays = [Stray(ELEMENTS, name, stored) for name, stored in reader.values(parent)]
    for number, key in enumerate(reader.subkeys(parent)):
        if number == MAX_ELEMENTS:
            reader.miss(parent, f"More than {MAX_ELEMENTS} elements; the rest was left.")
            break
        values = list(reader.values(key))
        stored = next((data for name, data in values if fold(name) == fold(ELEMENT)), None)
        path = f"{ELEMENTS}\\{key.name}"
        if stored is None or not _NUMBER.fullmatch(key.name):
            reader.miss(key, "This key is no element: it has no number or no value 'Element'.")
            strays += _tree(reader, key, path, 0)
            continue
        found.append(Element(int(key.name, 16), stored))
        strays += [Stray(path, name, data) for name, data in values if data is not stored]
        strays += _below(reader, key, path)
    return found, strays


def _below(reader: _Reader, key: Key, path: str = DESCRIPTION) -> list[Stray]:
    return [
        stray
        for child in reader.subkeys(key)
        for stray in _tree(reader, child, f"{path}\\{child.name}", 0)
    ]


def _tree(reader: _Reader, key: Key, path: str, depth: int) -> Iterator[Stray]:
    yield Stray(path, None, None)
    for name, stored in reader.values(key):
        yield Stray(path, name, stored)
    if depth == _MAX_DEPTH:
        reader.miss(key, "What lies below was not looked at: the keys are too deep.")
        return
    for child in reader.subkeys(key):
        yield from _tree(reader, child, f"{path}\\{child.name}", depth + 1)
