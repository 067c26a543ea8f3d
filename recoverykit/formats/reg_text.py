"""Registry keys as `.reg` text, as regedit and `reg export` write it (version 5.00).

The form follows what Windows writes: real exports, and the expectations of Wine's tests of reg.exe,
which are run on Windows. REG_SZ in quotes, four bytes of REG_DWORD as a number, all else as bytes
in hexadecimal, broken before column 80. One deviation: regedit drops what a quoted string cannot
hold (bytes behind the first NUL) and writes line breaks as they are; here such a string is written
as hex(1), so that whoever reads the text gets the same bytes. `reg_parse` reads it back.

Refused: names that no line of text can hold (NUL, CR, LF); Windows has no way to write them either.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.hive import REG_BINARY, REG_DWORD, REG_SZ
from recoverykit.model import RegistryData

VERSION_5 = "Windows Registry Editor Version 5.00"
EOL = "\r\n"

_FULL = 76  # a line that has grown beyond this many columns is broken after its comma
_PER_LINE = 25  # bytes on each line but the first
_UNWRITABLE = ("\0", "\r", "\n")


@dataclass(frozen=True, slots=True)
class RegValue:
    """One value of a key; `name` "" is the default value."""

    name: str
    data: RegistryData | None  # None: it is to be deleted


@dataclass(frozen=True, slots=True)
class RegKey:
    """One `[key]` of a file and the values that follow it."""

    path: str  # with its root: "HKEY_LOCAL_MACHINE\\SYSTEM\\Select"
    values: tuple[RegValue, ...] = ()
    deleted: bool = False  # it is to be deleted, with all below it
    line: int = 0  # where it was read; 0: nowhere


def blocks(keys: Iterable[RegKey], left_out: list[str] | None = None) -> Iterator[str]:
    """The text in pieces: the header, then one piece a key.

    Names that cannot be written go to `left_out`, if given, and leave a comment in the text.
    Raises FormatError for the first of them otherwise.
    """
    yield VERSION_5 + EOL + EOL
    for key in keys:
        if _unwritable(key.path):
            yield _comment(f"the key {key.path}", left_out) + EOL
        elif key.deleted:
            yield f"[-{key.path}]{EOL}{EOL}"
        else:
            lines = [f"[{key.path}]", *(_line(key, value, left_out) for value in key.values)]
            yield EOL.join([*lines, "", ""])


def render(keys: Iterable[RegKey]) -> str:
    """The whole text. Raises FormatError for names that cannot be written."""
    return "".join(blocks(keys))


def encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    """The pieces of a file as regedit saves it: UTF-16LE with a byte order mark."""
    yield codecs.BOM_UTF16_LE
    for piece in pieces:
        yield piece.encode("utf-16-le", "surrogatepass")


def _unwritable(name: str) -> bool:
    return any(char in name for char in _UNWRITABLE)


def _comment(what: str, left_out: list[str] | None) -> str:
    shown = what.encode("unicode_escape").decode("ascii")
    problem = f"{shown} cannot be written as text: its name holds a NUL or a line break"
    if left_out is None:
        raise FormatError(".reg text", 0, problem)
    left_out.append(problem)
    return f"; left out: {problem}{EOL}"


def _line(key: RegKey, value: RegValue, left_out: list[str] | None) -> str:
    if _unwritable(value.name):
        comment = _comment(f"the value {value.name} of {key.path}", left_out)
        return comment.removesuffix(EOL)
    name = f'"{_escaped(value.name)}"=' if value.name else "@="
    return name + _data(value.data, _columns(name))


def _data(data: RegistryData | None, column: int) -> str:
    """What follows the equals sign; `column` is where it begins."""
    if data is None:
        return "-"
    if data.type == REG_DWORD and len(data.data) == 4:
        return f"dword:{int.from_bytes(data.data, 'little'):08x}"
    text = quotable(data.data) if data.type == REG_SZ else None
    if text is not None:
        return f'"{_escaped(text)}"'
    kind = "hex:" if data.type == REG_BINARY else f"hex({data.type:x}):"
    return kind + _hex(data.data, column + len(kind))


def quotable(data: bytes) -> str | None:
    """The string that these bytes are, without its terminator; None if they are more or less."""
    if len(data) < 2 or len(data) % 2 or data[-2:] != b"\0\0":
        return None
    text = data[:-2].decode("utf-16-le", "surrogatepass")
    return None if _unwritable(text) else text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _columns(text: str) -> int:
    """UTF-16 units: how Windows counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _hex(data: bytes, column: int) -> str:
    first = max((_FULL - column) // 3 + 1, 1)
    starts = [0, *range(first, len(data), _PER_LINE)]
    ends = [*starts[1:], len(data)]
    lines = (data[start:end].hex(",") for start, end in zip(starts, ends, strict=True))
    return f",\\{EOL}  ".join(lines)
