"""What an expert types on a command line, as the bytes of a registry value.

Layout of each type: "Registry value types" on Microsoft Learn. Refused with UsageError: numbers
that do not fit, and strings that the type cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from recoverykit.errors import UsageError
from recoverykit.formats.hive import (
    REG_BINARY,
    REG_DWORD,
    REG_EXPAND_SZ,
    REG_MULTI_SZ,
    REG_NONE,
    REG_QWORD,
    REG_SZ,
)
from recoverykit.model import RegistryData


class ValueType(StrEnum):
    """What a value can be set to."""

    DWORD = "dword"
    QWORD = "qword"
    SZ = "sz"
    EXPAND_SZ = "expand_sz"
    MULTI_SZ = "multi_sz"
    BINARY = "binary"
    NONE = "none"


def encode(kind: ValueType, words: Sequence[str]) -> RegistryData:
    """The words after VALUE on the command line as data of a type. Raises UsageError."""
    number, make = _TYPES[kind]
    return RegistryData(number, make(kind, words))


def _dword(kind: ValueType, words: Sequence[str]) -> bytes:
    return _number(kind, words, 4)


def _qword(kind: ValueType, words: Sequence[str]) -> bytes:
    return _number(kind, words, 8)


def _number(kind: ValueType, words: Sequence[str], size: int) -> bytes:
    text = _one(kind, words)
    try:
        return int(text, 0).to_bytes(size, "little")
    except (ValueError, OverflowError) as exc:
        raise UsageError(
            f"{text!r} is no {kind.value}",
            hint=f"A number from 0 to {(1 << 8 * size) - 1}, such as 4 or 0x1f.",
        ) from exc


def _string(kind: ValueType, words: Sequence[str]) -> bytes:
    return _utf16(_one(kind, words)) + b"\0\0"


def _strings(_: ValueType, words: Sequence[str]) -> bytes:
    if "" in words:
        raise UsageError("a multi_sz cannot hold an empty string: that is how it ends")
    return b"".join(_utf16(word) + b"\0\0" for word in words) + b"\0\0"


def _bytes(kind: ValueType, words: Sequence[str]) -> bytes:
    try:
        return bytes.fromhex(" ".join(words).replace(",", " "))
    except ValueError as exc:
        raise UsageError(
            f"the data of {kind.value} is given in hexadecimal digits",
            hint="Such as 00ff10 or 00,ff,10; nothing at all for no bytes.",
        ) from exc


def _one(kind: ValueType, words: Sequence[str]) -> str:
    if len(words) != 1:
        raise UsageError(
            f"a {kind.value} takes one DATA, not {len(words)}",
            hint="Put text with spaces into quotes.",
        )
    return words[0]


def _utf16(text: str) -> bytes:
    try:
        return text.encode("utf-16-le")
    except UnicodeEncodeError as exc:
        raise UsageError("the text on the command line is not in this terminal's encoding") from exc


_TYPES: Mapping[ValueType, tuple[int, Callable[[ValueType, Sequence[str]], bytes]]] = {
    ValueType.DWORD: (REG_DWORD, _dword),
    ValueType.QWORD: (REG_QWORD, _qword),
    ValueType.SZ: (REG_SZ, _string),
    ValueType.EXPAND_SZ: (REG_EXPAND_SZ, _string),
    ValueType.MULTI_SZ: (REG_MULTI_SZ, _strings),
    ValueType.BINARY: (REG_BINARY, _bytes),
    ValueType.NONE: (REG_NONE, _bytes),
}
