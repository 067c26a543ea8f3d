"""Where in a TOML file each key stands: tomllib says what is there, not in which line.

A file that tomllib accepts is cut into statements (a header, or a key with its value, which may go
over several lines), and each is given to tomllib on its own: it needs no reader of our own, and
the two cannot disagree about quotes, comments and brackets. TOML 1.0.0, sections "Table" and
"Array of Tables".
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]  # keys, and the places of tables in arrays of tables, from 0

_LONGEST_STATEMENT = 400  # lines


def lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every key, table and table of an array in a valid document."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # part of a value longer than we look
        if statement.lstrip().startswith("["):
            table = _header(parsed, counts)
            found.setdefault(table, number)
        else:
            for path in _paths(parsed):
                found.setdefault((*table, *path), number)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the number of its first line."""
    rows = text.split("\n")
    at = 0
    while at < len(rows):
        if not rows[at].strip() or rows[at].lstrip().startswith("#"):
            at += 1
            continue
        length = _length(rows, at)
        yield at + 1, "\n".join(rows[at : at + length])
        at += length


def _length(rows: list[str], at: int) -> int:
    for length in range(1, min(_LONGEST_STATEMENT, len(rows) - at) + 1):
        try:
            tomllib.loads("\n".join(rows[at : at + length]))
        except tomllib.TOMLDecodeError:
            continue
        return length
    return 1


def _header(parsed: Mapping[str, Any], counts: dict[Path, int]) -> Path:
    """The table that `[a.b]` or `[[a.b]]` opens, with the place of each array it goes through."""
    path: Path = ()
    value: Any = parsed
    while isinstance(value, dict) and value:
        ((key, value),) = value.items()
        path = (*path, key)
        if isinstance(value, list):
            counts[path] = counts.get(path, -1) + 1
            value = value[0]
        if path in counts:  # also `[a.b.c]` below an array `a.b`
            path = (*path, counts[path])
    return path


def _paths(parsed: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """`a.b.c = 1` names three of them, an inline table those inside of it."""
    for key, value in parsed.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))
