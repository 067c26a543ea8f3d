"""Reading one table of a recipe: every mistake is noted with its line, none stops the reading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from winpe import toml_lines
from winpe.errors import MediaError

_Kind = TypeVar("_Kind")
_Word = TypeVar("_Word", bound=StrEnum)
LONGEST_TEXT = 200
MOST_ENTRIES = 64  # of one list
_MISSING = object()
Check = Callable[[Path], object]


def _nothing(_: Path) -> None:
    return None


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One sentence about one key."""

    line: int  # from 1; 0 where the file as a whole is meant
    key: str
    problem: str


@dataclass(slots=True)
class Document:
    """The recipe as tomllib read it, where its keys stand, and what is wrong with it so far."""

    data: Mapping[str, Any]
    lines: Mapping[toml_lines.Path, int]
    folder: Path  # relative paths start here
    mistakes: list[Mistake] = field(default_factory=list)

    def top(self) -> Table:
        return Table(self, self.data, ())


@dataclass(slots=True)
class Table:
    """One table, and the keys of it that were asked for."""

    document: Document
    data: Mapping[str, Any]
    at: toml_lines.Path
    _asked: set[str] = field(default_factory=set)

    def wrong(self, key: str, problem: str) -> None:
        """Note a mistake; "" is the table itself."""
        path = (*self.at, key) if key else self.at
        lines = self.document.lines
        line = next(
            (lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0
        )
        self.document.mistakes.append(Mistake(line, _dotted(path), problem))

    def close(self) -> None:
        """Note every key that nobody asked for, with the one that was probably meant."""
        for key in self.data:
            if key not in self._asked:
                near = get_close_matches(key, self._asked, 1)
                self.wrong(key, "unknown key" + (f"; {near[0]} is meant?" if near else ""))

    def has(self, key: str) -> bool:
        return key in self.data

    # --- values of one kind ---------------------------------------------------------------

    def table(self, key: str) -> Table:
        found = self._get(key, dict, "a table", {})
        return Table(self.document, found, (*self.at, key))

    def tables(self, key: str) -> list[Table]:
        """`[[key]]`, or a list of inline tables."""
        found = self._get(key, list, "a list of tables", [])
        if not all(isinstance(item, dict) for item in found):
            self.wrong(key, "it must be a list of tables")
            return []
        return [
            Table(self.document, item, (*self.at, key, number))
            for number, item in enumerate(found[:MOST_ENTRIES])
        ]

    def flag(self, key: str) -> bool:
        return self._get(key, bool, "true or false", default=False)

    def text(self, key: str, default: str = "", most: int = LONGEST_TEXT) -> str:
        found = self._get(key, str, "text in quotes", default)
        given = isinstance(self.data.get(key), str)
        if given and (not found or len(found) > most or not found.isprintable()):
            self.wrong(key, f"it must have 1 to {most} printable characters")
            return default
        return found

    def rows(self, key: str) -> tuple[str, ...]:
        """The lines of a text, without empty ones around it."""
        found = self._get(key, str, "text in quotes", "").strip("\n")
        return tuple(line.rstrip() for line in found.split("\n")) if found else ()

    def parsed(self, key: str, parse: Callable[[str], _Kind], default: _Kind) -> _Kind:
        """A text in a grammar of its own; `parse` raises ValueError with what it must be."""
        if not (found := self.text(key)):
            return default
        try:
            return parse(found)
        except ValueError as exc:
            self.wrong(key, f"it must be {exc}, not {found!r}")
            return default

    def word(self, key: str, words: Collection[str], default: str) -> str:
        found = self.text(key, default)
        if found not in words:
            self.wrong(key, f"it must be {choice(words)}, not {found!r}")
            return default
        return found

    def texts(self, key: str, what: str = "a list of texts in quotes") -> tuple[str, ...]:
        found = self._get(key, list, what, [])
        good = [item for item in found if isinstance(item, str) and item and item.isprintable()]
        if len(good) != len(found) or len(found) > MOST_ENTRIES:
            self.wrong(key, f"it must be {what}, at most {MOST_ENTRIES}")
            return ()
        return tuple(good)

    def path(self, key: str, check: Check = _nothing) -> Path | None:
        """A file or folder that is there, relative to the recipe, and that `check` does not mind.

        `check` raises MediaError.
        """
        name = self.text(key, most=4096)
        return self._existing(key, name, check) if name else None

    def paths(self, key: str, check: Check = _nothing) -> tuple[Path, ...]:
        names = self.texts(key, "a list of paths in quotes")
        found = [self._existing(key, name, check) for name in names]
        return tuple(path for path in found if path is not None)

    def _existing(self, key: str, name: str, check: Check) -> Path | None:
        path = (self.document.folder / Path(name).expanduser()).absolute()
        try:
            there = path.is_file() or path.is_dir()
        except OSError:
            there = False
        if not there:
            self.wrong(key, f"{path} does not exist, or may not be read")
            return None
        try:
            check(path)
        except MediaError as exc:
            self.wrong(key, str(exc))
            return None
        return path

    def _get(self, key: str, kind: type[_Kind], what: str, default: _Kind) -> _Kind:
        self._asked.add(key)
        found = self.data.get(key, _MISSING)
        if found is _MISSING:
            return default
        if not isinstance(found, kind):
            self.wrong(key, f"it must be {what}")
            return default
        return found


def choice(words: Collection[str]) -> str:
    """'"a", "b" or "c"'."""
    *first, last = (f'"{word}"' for word in words)
    return f"{', '.join(first)} or {last}" if first else last


def _dotted(path: toml_lines.Path) -> str:
    """`network.wifi[2].ssid`, counted from 1 as people do."""
    name = ""
    for part in path:
        name += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if name else part
    return name
