"""The data of a registry value, as a pack writes it. Pure.

Types and their layout: "Registry value types" on Microsoft Learn. Numbers are numbers, texts are
texts, a multi_sz is a list of texts and binary is a text of hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recoverykit.formats.hive import (
    REG_BINARY,
    REG_DWORD,
    REG_EXPAND_SZ,
    REG_MULTI_SZ,
    REG_QWORD,
    REG_SZ,
)
from recoverykit.model import RegistryData
from recoverykit.packs.fields import Table, as_bytes

LARGEST = 1024  # bytes of data

_Make = Callable[[object], bytes | None]


def encoded(table: Table, *, required: bool) -> RegistryData | None:
    """The keys `type` and `data` of a section; None where they are missing or wrong."""
    kind, data = table.raw("type"), table.raw("data")
    if kind is None and data is None and not required:
        return None
    if not isinstance(kind, str) or kind not in TYPES:
        table.wrong("type", f"it must be one of {', '.join(TYPES)}")
        return None
    number, make, what = TYPES[kind]
    made = make(data)
    if made is None or len(made) > LARGEST:
        table.wrong("data", f"of {kind} it must be {what}")
        return None
    return RegistryData(number, made)


def _number(size: int) -> _Make:
    def make(data: object) -> bytes | None:
        if type(data) is not int or not 0 <= data < 1 << 8 * size:
            return None
        return data.to_bytes(size, "little")

    return make


def _text(data: object) -> bytes | None:
    if not isinstance(data, str) or "\0" in data:
        return None
    return data.encode("utf-16-le") + b"\0\0"


def _texts(data: object) -> bytes | None:
    if not isinstance(data, list):
        return None
    parts = [_text(entry) if entry else None for entry in data]
    whole = [part for part in parts if part is not None]
    return b"".join(whole) + b"\0\0" if len(whole) == len(parts) else None


def _binary(data: object) -> bytes | None:
    return as_bytes(data) if isinstance(data, str) else None


TYPES: Mapping[str, tuple[int, _Make, str]] = {
    "dword": (REG_DWORD, _number(4), "a number from 0 to 4294967295"),
    "qword": (REG_QWORD, _number(8), "a number from 0 to 9223372036854775807"),
    "sz": (REG_SZ, _text, "a text in quotes"),
    "expand_sz": (REG_EXPAND_SZ, _text, "a text in quotes"),
    "multi_sz": (REG_MULTI_SZ, _texts, "a list of texts, none of them empty"),
    "binary": (REG_BINARY, _binary, f"hexadecimal digits, at most {LARGEST} bytes"),
}
