"""A key that was found, as text for people, as JSON for scripts, as `.reg` text for regedit.

Pure: values in, strings out. The JSON is promised to scripts (schema recoverykit.registry/1,
docs/registry.md): names are added, never renamed or removed, while the schema's number stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from recoverykit import __version__
from recoverykit.errors import FormatError, NoCulpritError
from recoverykit.formats.hive import (
    REG_BINARY,
    REG_DWORD,
    REG_DWORD_BIG_ENDIAN,
    REG_EXPAND_SZ,
    REG_FULL_RESOURCE_DESCRIPTOR,
    REG_LINK,
    REG_MULTI_SZ,
    REG_NONE,
    REG_QWORD,
    REG_RESOURCE_LIST,
    REG_RESOURCE_REQUIREMENTS_LIST,
    REG_SZ,
    Key,
)
from recoverykit.formats.reg_text import RegKey, RegValue
from recoverykit.model import RegistryData
from recoverykit.registry import Reading
from recoverykit.registry_names import full
from recoverykit.report import printable

SCHEMA = "recoverykit.registry/1"
TYPE_NAMES = {
    REG_NONE: "REG_NONE",
    REG_SZ: "REG_SZ",
    REG_EXPAND_SZ: "REG_EXPAND_SZ",
    REG_BINARY: "REG_BINARY",
    REG_DWORD: "REG_DWORD",
    REG_DWORD_BIG_ENDIAN: "REG_DWORD_BIG_ENDIAN",
    REG_LINK: "REG_LINK",
    REG_MULTI_SZ: "REG_MULTI_SZ",
    REG_RESOURCE_LIST: "REG_RESOURCE_LIST",
    REG_FULL_RESOURCE_DESCRIPTOR: "REG_FULL_RESOURCE_DESCRIPTOR",
    REG_RESOURCE_REQUIREMENTS_LIST: "REG_RESOURCE_REQUIREMENTS_LIST",
    REG_QWORD: "REG_QWORD",
}

_DEFAULT = "(default)"
_SIZES = {REG_DWORD: 4, REG_DWORD_BIG_ENDIAN: 4, REG_QWORD: 8}
_LONG = 200  # characters of one value in the listing of a key


def values(reading: Reading, name: str | None) -> tuple[RegValue, ...]:
    """All values of the key, or the one of that name. Raises NoCulpritError without it."""
    if name is None:
        return _values(reading.key)
    value = reading.key.value(name)
    if value is None:
        raise NoCulpritError(f"{reading.place.name} has no value {name or _DEFAULT}")
    return (RegValue(value.name, RegistryData(value.type, bytes(value.data))),)


def _values(key: Key) -> tuple[RegValue, ...]:
    return tuple(
        RegValue(value.name, RegistryData(value.type, bytes(value.data))) for value in key.values()
    )


def exported(reading: Reading, damaged: list[FormatError] | None = None) -> Iterator[RegKey]:
    """The key and all below it, in the order of regedit.

    What cannot be read goes to `damaged`, if given, and is left out; else FormatError is raised.
    """
    parents: list[str] = []
    for walked in reading.key.walk(damaged):
        del parents[walked.depth :]
        path = f"{parents[-1]}\\{walked.name}" if parents else _path(reading)
        parents.append(path)
        found = (RegValue(name, RegistryData(kind, data)) for name, kind, data in walked.values)
        yield RegKey(path, tuple(found))


def _path(reading: Reading) -> str:
    return full(reading.place.root, reading.key.path)


# --- what bytes mean ----------------------------------------------------------------------


def type_name(kind: int) -> str:
    """ "REG_DWORD", or the number of a type that has no name."""
    return TYPE_NAMES.get(kind, f"{kind:#x}")


def decoded(data: RegistryData) -> int | str | list[str] | None:
    """Numbers and strings as such; None where the bytes are not what their type says.

    A string ends before its terminator, a list before its empty string; lone surrogates stay.
    """
    raw = data.data
    if data.type in _SIZES:
        if len(raw) != _SIZES[data.type]:
            return None
        return int.from_bytes(raw, "big" if data.type == REG_DWORD_BIG_ENDIAN else "little")
    if data.type not in (REG_SZ, REG_EXPAND_SZ, REG_LINK, REG_MULTI_SZ) or len(raw) % 2:
        return None
    text = raw.decode("utf-16-le", "surrogatepass")
    if data.type == REG_MULTI_SZ:
        parts = text.split("\0")
        return parts[: parts.index("")] if "" in parts else parts
    return text.partition("\0")[0]


# --- JSON ---------------------------------------------------------------------------------


def to_json(reading: Reading, shown: Sequence[RegValue], *, one: bool = False) -> str:
    """The key as indented JSON, ending in a newline; `one`: a single value was asked for."""
    key = reading.key
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "root": reading.owner,
        "hive": reading.place.hive,
        "key": _path(reading),
        "path": key.path,
        "class": key.class_name,
        "last_written": key.last_written.isoformat() if key.last_written else None,
        "last_written_filetime": key.last_written_ticks,
        "link": key.is_link,
        "values": [_value(value) for value in shown],
        "subkeys": None if one else [child.name for child in key.subkeys()],
        "notes": list(reading.notes),
    }
    # ASCII: names from a hive may hold lone surrogates, which no encoding can write.
    return json.dumps(document, indent=2) + "\n"


def _value(value: RegValue) -> dict[str, Any]:
    data = value.data or RegistryData(REG_NONE, b"")
    return {
        "name": value.name,
        "type": data.type,
        "type_name": type_name(data.type),
        "data": data.data.hex(),
        "decoded": decoded(data),
    }


# --- text ---------------------------------------------------------------------------------


def to_text(reading: Reading, shown: Sequence[RegValue], *, one: bool = False) -> str:
    """The key for people; what the registry calls things is escaped where it could do harm."""
    lines = _one(shown[0]) if one else _listing(reading, shown)
    return "".join(f"{printable(line)}\n" for line in lines)


def _one(value: RegValue) -> Iterator[str]:
    """One value, whole."""
    data = value.data or RegistryData(REG_NONE, b"")
    yield f"{value.name or _DEFAULT}  {type_name(data.type)}  {_text(data)}"


def _listing(reading: Reading, shown: Sequence[RegValue]) -> Iterator[str]:
    key = reading.key
    when = key.last_written
    written = when.strftime("%Y-%m-%d %H:%M:%S UTC") if when else "at an unknown time"
    yield _path(reading)
    yield f"    last written {written}, in {reading.place.hive} of {reading.owner}"
    if key.class_name:
        yield f"    class {key.class_name}"
    if key.is_link:
        yield "    a symbolic link: its target is in SymbolicLinkValue"
    width = max((len(printable(value.name or _DEFAULT)) for value in shown), default=0)
    for value in shown:
        data = value.data or RegistryData(REG_NONE, b"")
        name = printable(value.name or _DEFAULT)
        yield f"    {name:<{min(width, 40)}}  {type_name(data.type):<13}  {_brief(_text(data))}"
    children = [child.name for child in key.subkeys()]
    if children:
        yield f"    {len(children)} subkey{'s' if len(children) > 1 else ''}:"
    yield from (f"      {name}" for name in children)


def _brief(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}... ({len(text)} characters)"


def _text(data: RegistryData) -> str:
    """Numbers both ways, strings as they are, lists as reg.exe separates them, the rest as hex."""
    meaning = decoded(data)
    if isinstance(meaning, int):
        digits = 2 * _SIZES[data.type]
        return f"0x{meaning:0{digits}x} ({meaning})"
    if isinstance(meaning, list):
        return "\\0".join(meaning)
    if isinstance(meaning, str):
        return meaning
    return data.data.hex()
