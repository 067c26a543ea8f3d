"""Reading one table of a pack: every mistake is noted, none stops the reading. Pure.

A mistake is one sentence that begins with the key's path, "detect[2].modified-from: ...", counted
from 1. What is wrong reads as if it were not there, so the values may be used only where nothing
was noted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from recoverykit.errors import UsageError

LONGEST_TEXT = 200
MOST_ENTRIES = 64  # of one list
LARGEST_HEADER = 64  # bytes

_Found = TypeVar("_Found")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,99}")
_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}")
_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)


class Table:
    """One table of the document, and the keys of it that were asked for."""

    def __init__(self, data: Mapping[str, Any], where: str, mistakes: list[str]) -> None:
        self._data, self._where, self.mistakes = data, where, mistakes
        self._asked: set[str] = set()

    def wrong(self, key: str, problem: str) -> None:
        """Note a mistake; "" is the table itself."""
        where = ".".join(part for part in (self._where, key) if part)
        self.mistakes.append(f"{where}: {problem}" if where else problem)

    def has(self, key: str) -> bool:
        return key in self._data

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                self.wrong(_shown(key), "unknown key; a pack with one is refused whole")

    # --- values of one kind ---------------------------------------------------------------

    def text(self, key: str, *, required: bool = False, most: int = LONGEST_TEXT) -> str:
        found = self._get(key, str, "text in quotes", required=required)
        if found is None:
            return ""
        if not found or len(found) > most or not found.isprintable():
            self.wrong(key, f"it must have 1 to {most} printable characters")
            return ""
        return found

    def parsed(
        self, key: str, parse: Callable[[str], _Found], *, required: bool = False
    ) -> _Found | None:
        """A text in a grammar of its own; `parse` raises UsageError."""
        found = self._get(key, str, "text in quotes", required=required)
        if found is None:
            return None
        try:
            return parse(found)
        except UsageError as exc:
            self.wrong(key, str(exc))
            return None

    def flag(self, key: str) -> bool:
        return bool(self._get(key, bool, "true or false"))

    def number(self, key: str, low: int, high: int) -> int | None:
        found = self._get(key, int, f"a number from {low} to {high}")
        if found is not None and not low <= found <= high:
            self.wrong(key, f"it must be a number from {low} to {high}")
            return None
        return found

    def moment(self, key: str) -> datetime | None:
        """A time somewhere on earth; one without an offset would be another in every office."""
        what = "a date and time with its offset from UTC, such as 2024-07-19T05:27:00Z"
        found = self._get(key, datetime, what)
        if found is None:
            return None
        try:
            if found.tzinfo is not None and found.astimezone(UTC) >= _OLDEST:
                return found.astimezone(UTC)
        except OverflowError:
            pass
        self.wrong(key, f"it must be {what}")
        return None

    def header(self, key: str) -> bytes:
        what = f'1 to {LARGEST_HEADER} bytes in hexadecimal digits, such as "AA AA 01"'
        found = self._get(key, str, what)
        if found is None:
            return b""
        data = as_bytes(found)
        if not data or len(data) > LARGEST_HEADER:
            self.wrong(key, f"it must be {what}")
            return b""
        return data

    def version(self, key: str) -> tuple[int, ...] | None:
        what = 'one to four numbers with dots, in quotes, such as "7.11.18110.0"'
        found = self._get(key, str, what)
        if found is None:
            return None
        if not _VERSION.fullmatch(found) or not found.isascii():
            self.wrong(key, f"it must be {what}")
            return None
        return tuple(int(part) for part in found.split("."))

    def sha256(self, key: str, *, required: bool = False) -> str:
        found = self._get(key, str, "a SHA-256, 64 hexadecimal digits", required=required)
        if found is None:
            return ""
        if not _SHA256.fullmatch(found):
            self.wrong(key, "it must be a SHA-256, 64 hexadecimal digits")
            return ""
        return found.lower()

    def file_name(self, key: str, *, required: bool = False) -> str:
        what = "the plain name of a file beside the pack"
        found = self._get(key, str, what, required=required)
        if found is None:
            return ""
        if not _FILE_NAME.fullmatch(found) or found.endswith((".", " ")):
            self.wrong(key, f"it must be {what}")
            return ""
        return found

    def url(self, key: str) -> str:
        found = self._get(key, str, "an https address")
        if found is not None and not is_https(found):
            self.wrong(key, "it must be an https address")
            return ""
        return found or ""

    # --- lists ----------------------------------------------------------------------------

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text."""
        found = self._data.get(key)
        self._asked.add(key)
        if found is None:
            return ()
        entries = [found] if isinstance(found, str) else found
        good = isinstance(entries, list) and 1 <= len(entries) <= MOST_ENTRIES
        if not good or not all(_is_text(entry) for entry in entries):
            self.wrong(key, f"it must be a list of 1 to {MOST_ENTRIES} texts")
            return ()
        if len(set(entries)) < len(entries):
            self.wrong(key, "it names something twice")
            return ()
        return tuple(entries)

    def hashes(self, key: str) -> tuple[str, ...]:
        found = self.texts(key)
        if not all(_SHA256.fullmatch(each) for each in found):
            self.wrong(key, "each must be a SHA-256, 64 hexadecimal digits")
            return ()
        return tuple(each.lower() for each in found)

    def choices(self, key: str, allowed: tuple[str, ...]) -> frozenset[str]:
        found = self.texts(key)
        for each in found:
            if each not in allowed:
                self.wrong(key, f"{_shown(each)} is none of {', '.join(allowed)}")
        return frozenset(found) & frozenset(allowed)

    def tables(self, key: str, most: int) -> list[Table]:
        """[[key]], each entry a table; at least one."""
        found = self._data.get(key)
        self._asked.add(key)
        if not isinstance(found, list) or not 1 <= len(found) <= most:
            self.wrong(key, f"a pack has 1 to {most} sections [[{key}]]")
            return []
        tables = []
        for number, entry in enumerate(found, start=1):
            where = f"{key}[{number}]"
            if isinstance(entry, dict):
                tables.append(Table(entry, where, self.mistakes))
            else:
                self.mistakes.append(f"{where}: it must be a section [[{key}]]")
        return tables

    def table(self, key: str) -> Table | None:
        found = self._get(key, dict, f"a section [{key}]")
        return None if found is None else Table(found, key, self.mistakes)

    def raw(self, key: str) -> Any:
        """Whatever is there, for a check that depends on other keys."""
        self._asked.add(key)
        return self._data.get(key)

    def _get(
        self, key: str, kind: type[_Found], what: str, *, required: bool = False
    ) -> _Found | None:
        self._asked.add(key)
        if key not in self._data:
            if required:
                self.wrong(key, "it is missing")
            return None
        found = self._data[key]
        if type(found) is not kind:  # True is an int to isinstance
            self.wrong(key, f"it must be {what}")
            return None
        return found


def as_bytes(text: str) -> bytes | None:
    """Hexadecimal digits, with spaces between bytes if wanted; None for anything else."""
    try:
        return bytes.fromhex(text) if text.isascii() else None
    except ValueError:
        return None


def is_https(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > LONGEST_TEXT:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable()


def _shown(text: str) -> str:
    short = text if len(text) <= 40 else f"{text[:40]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in short) or '""'
