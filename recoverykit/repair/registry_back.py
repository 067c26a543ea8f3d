"""The way back of a plan's registry changes, for the tools that Windows itself has.

As `.reg` text: values as they were, keys that were made removed, keys that were removed made again.
As what `reg query` prints of a value: so a batch file can tell whose it is now. The form of those
lines is known from Wine's tests of reg.exe, which are run on Windows: four spaces, name, type,
data; numbers as 0x1f, bytes in capitals, strings of a list joined by `\\0`. Types are not
translated, the name of the default value is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recoverykit.formats.hive import (
    REG_BINARY,
    REG_DWORD,
    REG_EXPAND_SZ,
    REG_MULTI_SZ,
    REG_QWORD,
    REG_SZ,
    fold,
)
from recoverykit.formats.reg_text import RegKey, RegValue, quotable
from recoverykit.model import KeyChange, RegistryChange, RegistryData, ValueChange

GAP = "    "
ABSENT = "absent"

_UNTERMINATED = (REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ)


@dataclass(frozen=True, slots=True)
class Made:
    """A key that the repair made: it goes, if it holds no more than the repair put into it."""

    key: str
    values: int
    keys: int


def keys(net: Sequence[RegistryChange], root: str) -> Iterator[RegKey]:
    """The inverse of changes (`hive_edit.net`) below `root`, as a `.reg` file has it."""
    made = {fold(change.key) for change in net if _is_made(change)}
    for change in net:
        if _is_made(change) and not _below(change.key, made):
            yield RegKey(f"{root}\\{change.key}", deleted=True)
    found: dict[str, tuple[str, list[RegValue]]] = {}
    for change in _parents_first(net):
        if fold(change.key) in made or _below(change.key, made):
            continue
        if isinstance(change, KeyChange) and change.before is None:
            continue
        _, values = found.setdefault(fold(change.key), (change.key, []))
        if isinstance(change, ValueChange):
            values.append(RegValue(change.name, change.before))
    for path, values in found.values():
        yield RegKey(f"{root}\\{path}", tuple(values))


def _parents_first(net: Sequence[RegistryChange]) -> list[RegistryChange]:
    """A key that comes back does so before what it holds: the opposite of how it went."""
    return list(reversed(net))


def _is_made(change: RegistryChange) -> bool:
    return isinstance(change, KeyChange) and change.before is None and change.after is not None


def _below(key: str, made: set[str]) -> bool:
    parent = fold(key).rpartition("\\")[0]
    while parent:
        if parent in made:
            return True
        parent = parent.rpartition("\\")[0]
    return False


def made(net: Sequence[RegistryChange]) -> Iterator[Made]:
    """Every key that the repair made, and how much it put into it."""
    for change in net:
        if _is_made(change):
            own = fold(change.key)
            values = sum(
                isinstance(other, ValueChange)
                and other.after is not None
                and fold(other.key) == own
                for other in net
            )
            below = sum(
                _is_made(other) and fold(other.key).rpartition("\\")[0] == own for other in net
            )
            yield Made(change.key, values, below)


def limits(net: Sequence[RegistryChange]) -> Iterator[str]:
    """What `.reg` text cannot bring back exactly, in sentences."""
    for change in net:
        if isinstance(change, ValueChange):
            if change.before is not None and _would_grow(change.before):
                name = change.name or "(default)"
                yield f"The value {name} of {change.key} comes back with the end it had not."
        elif change.before is not None and change.after is None:
            lost = "its own permissions" if change.before.security else ""
            named = "its class name" if change.before.class_name else ""
            what = " and ".join(text for text in (lost, named) if text)
            if what:
                yield f"The key {change.key} comes back without {what}."


def _would_grow(data: RegistryData) -> bool:
    """regedit adds the terminator that a text should have."""
    end = b"\0\0\0\0" if data.type == REG_MULTI_SZ else b"\0\0"
    return data.type in _UNTERMINATED and not (
        len(data.data) % 2 == 0 and (data.data.endswith(end) or data.data == b"\0\0")
    )


def as_queried(data: RegistryData | None) -> str | None:
    """Type and data as `reg query` prints them; ABSENT for no value; None if that is not certain.

    Of data that is no ASCII text, or of an odd length or type, nobody knows how it is printed.
    """
    if data is None:
        return ABSENT
    if data.type == REG_DWORD and len(data.data) == 4:
        return f"REG_DWORD{GAP}{int.from_bytes(data.data, 'little'):#x}"
    if data.type == REG_QWORD and len(data.data) == 8:
        return f"REG_QWORD{GAP}{int.from_bytes(data.data, 'little'):#x}"
    if data.type == REG_BINARY and data.data:
        return f"REG_BINARY{GAP}{data.data.hex().upper()}"
    if data.type in (REG_SZ, REG_EXPAND_SZ):
        text = quotable(data.data)
        kind = "REG_SZ" if data.type == REG_SZ else "REG_EXPAND_SZ"
        return None if text is None or "\0" in text else f"{kind}{GAP}{text}"
    if data.type == REG_MULTI_SZ:
        return _list_as_queried(data.data)
    return None


def _list_as_queried(data: bytes) -> str | None:
    if len(data) < 4 or len(data) % 2 or not data.endswith(b"\0\0\0\0"):
        return None
    strings = data[:-4].decode("utf-16-le", "surrogatepass").split("\0")
    return None if "" in strings else f"REG_MULTI_SZ{GAP}" + "\\0".join(strings)
