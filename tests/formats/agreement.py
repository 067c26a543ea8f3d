"""Do other readers say of a hive what we say? Every difference is theirs and predicted, or fails.

Everybody walks a hive in the same order, so what they print is compared line by line; only a line
that differs is taken apart, and each of its differences must be exactly the wrong answer that a
fault in tests/independent/reader_faults.py predicts from the bytes.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key
from tests.independent.reader_faults import (
    FAULTS,
    NameFault,
    ValueFault,
    Wrong,
    stored_key_name,
    stored_values,
)

Answers = dict[str, list[Any]]  # key path -> [time, values]


class Line(NamedTuple):
    """One key as we read it, as a line of the other readers."""

    depth: int
    cell: int  # file offset of the nk cell
    path: str
    text: str


@dataclass(slots=True)
class Agreement:
    """How one reader's lines compare with ours."""

    keys: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # name of the fault -> times it struck
    unexplained: list[str] = field(default_factory=list)


def lines(hive: Hive) -> Iterator[Line]:
    """Every key of an undamaged hive. Raises FormatError for a damaged one."""
    paths: list[str] = []
    for key in hive.walk():
        above = paths[key.depth - 1] if key.depth else ""
        path = (f"{above}\\{key.name}" if above else key.name) if key.depth else ""
        paths[key.depth :] = [path]
        values = [[name, kind, data.hex()] for name, kind, data in key.values]
        text = json.dumps({"key": path, "mtime": key.ticks, "values": values})
        yield Line(key.depth, 4096 + key.cell, path, text)


def opens(reader: str, image: bytes) -> bool:
    return not any(fault(image) for fault in FAULTS[reader].hives)


def agree(reader: str, image: bytes, ours: Sequence[Line], theirs: Sequence[str]) -> Agreement:
    """Compare one reader's lines of an undamaged hive with ours."""
    found = Agreement()
    names: list[str | None] = []  # the path it gives to the last key of each depth, if it can
    answered = iter(
        line for line in theirs if '"error"' not in line or "error" not in json.loads(line)
    )
    for mine in ours:
        path = _path(reader, image, mine, names, found.faults)
        names[mine.depth :] = [path]
        if path is None:
            continue  # it cannot name this key, so it never comes to it
        found.keys += 1
        line = next(answered, None)
        if line == mine.text:
            continue
        if line is None:
            found.unexplained.append(f"{mine.path}: missing")
            break
        expected = predicted(reader, image, mine, path, found.faults)
        if json.loads(line) != expected:
            found.unexplained.append(f"{line[:300]} is not {json.dumps(expected)[:300]}")
    found.unexplained += [f"{line[:300]} is not in the hive" for line in answered]
    return found


def _path(
    reader: str, image: bytes, mine: Line, names: Sequence[str | None], counted: Counter[str]
) -> str | None:
    """The path a reader gives to a key; None where it cannot name it or a key above it."""
    if mine.depth == 0:
        return ""
    above = names[mine.depth - 1]
    name: Any = mine.path.rpartition("\\")[2]
    if above is None:
        return None
    if not name.isascii():
        stored = stored_key_name(image, mine.cell)
        name = _answer(FAULTS[reader].key_names, stored, name, counted)
        if name is None:
            return None
    return f"{above}\\{name}" if above else name


def predicted(
    reader: str, image: bytes, mine: Line, path: str, counted: Counter[str]
) -> dict[str, Any]:
    """What a reader must say of one key, its faults being what they are."""
    faults, row = FAULTS[reader], json.loads(mine.text)
    values = []
    for stored, right in zip(stored_values(image, mine.cell), row["values"], strict=True):
        name, kind, data = right
        values.append(
            [
                _answer(faults.value_names, stored.name, name, counted),
                _answer(faults.types, stored, kind, counted),
                _answer(faults.data, stored, data, counted),
            ]
        )
    if any(name is None for name, _, _ in values):
        values = []  # one value that it cannot name, and it gives none of this key
    return {"key": path, "mtime": row["mtime"], "values": values}


def _answer(
    faults: Sequence[NameFault] | Sequence[ValueFault],
    stored: Any,
    right: Any,
    counted: Counter[str],
) -> Any:
    for fault in faults:
        wrong: Wrong | None = fault(stored)
        if wrong is not None:
            if wrong.answer != right:
                counted[fault.__name__] += 1
            return wrong.answer
    return right


# --- damaged hives ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """One key of a damaged hive."""

    line: Line
    refused: tuple[FormatError, ...]  # what in this key, or just below it, we could not read


def read(hive: Hive) -> Iterator[Read]:
    """Every key that can be read, by `Key` and `Value`, in the order of `lines`."""
    pending = [(hive.root, "")]
    while pending:
        key, path = pending.pop()
        values, refused = _values(key)
        above, below = f"{path}\\" if path else "", []
        try:
            below += [(child, above + child.name) for child in key.subkeys(refused)]
        except FormatError as error:
            refused.append(error)
        pending += reversed(below)
        text = json.dumps({"key": path, "mtime": key.last_written_ticks, "values": values})
        yield Read(Line(key.depth, key.offset, path, text), tuple(refused))


def _values(key: Key) -> tuple[list[list[Any]], list[FormatError]]:
    refused: list[FormatError] = []
    shown: list[list[Any]] = []
    try:
        for value in key.values(refused):
            try:
                shown.append([value.name, value.type, value.data.hex()])
            except FormatError as error:
                refused.append(error)
    except FormatError as error:
        refused.append(error)
    return shown, refused


def answers(theirs: Sequence[str]) -> tuple[Answers, set[str]]:
    """Path -> [time, values] of the keys a reader gives, and the paths where it failed."""
    rows: Answers = {}
    failed: set[str] = set()
    for row in map(json.loads, theirs):
        if "error" in row:
            failed.add(row["key"])
        else:
            rows[row["key"]] = [row["mtime"], row["values"]]
    return rows, failed


def proved(image: bytes, key: Line, error: FormatError) -> bool:
    """Whether the bytes themselves, read without our reader, justify a refusal in `key`."""
    at = error.offset
    if not _in_a_bin(image, at):
        return error.problem == "not inside a sound hive bin"
    (size,) = struct.unpack_from("<i", image, at)
    if size >= 0:
        return error.problem == "not an allocated cell"
    assert image[at + 4 : at + 6] == b"nk"
    (parent,) = struct.unpack_from("<I", image, at + 20)
    (length,) = struct.unpack_from("<H", image, at + 76)
    if 80 + length > -size:
        return error.problem == "its name does not fit"
    assert 4096 + parent != key.cell
    return error.problem == "has another parent"


def _in_a_bin(image: bytes, at: int) -> bool:
    """Whether the nearest bin that begins at or before `at` is sound and reaches it."""
    if at >= 4096 + struct.unpack_from("<I", image, 40)[0]:
        return False
    for start in range(at & ~0xFFF, 0, -4096):
        signature, offset, size = struct.unpack_from("<4sII", image, start)
        if signature == b"hbin":
            return bool(offset == start - 4096 and size % 4096 == 0 and at < start + size)
    return False


def beside_damage(
    reader: str, image: bytes, ours: Sequence[Read], theirs: Answers, failed: set[str]
) -> list[str]:
    """Differences that neither a refusal of ours nor a failure of theirs accounts for."""
    odd = []
    known = {mine.line.path for mine in ours}
    damaged = {mine.line.path for mine in ours if mine.refused}
    for mine in ours:
        path = mine.line.path
        if path not in theirs:  # they gave up one list as a whole, here or above
            odd += [] if failed & _and_above(path) else [f"{path}: only ours"]
        elif path not in damaged | failed:
            row = predicted(reader, image, mine.line, path, Counter())
            if theirs[path] != [row["mtime"], row["values"]]:
                odd.append(f"{path}: {theirs[path]}")
    strays = [path for path in theirs if path not in known and not damaged & _and_above(path)]
    return odd + [f"{path}: only theirs" for path in strays]


def _and_above(path: str) -> set[str]:
    parts = path.split("\\")
    return {"", *("\\".join(parts[:count]) for count in range(1, len(parts) + 1))}
