r"""Paths with wildcards, as a pack names files of the target. Pure.

A path begins with one of a few variables (%SystemRoot%\System32\...) or is relative to the volume's
root. `*` and `?` stand for letters of one name, in the last part and in one folder before it. What
could lead anywhere else is refused by its spelling alone, before a disk is looked at: Microsoft,
"Naming Files, Paths, and Namespaces" (reserved characters and names, trailing dots and spaces).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from recoverykit.errors import UsageError
from recoverykit.formats.hive import fold

LONGEST = 400
_DEEPEST = 32
_LONGEST_NAME = 255
_LITERAL = 3  # letters a wildcard name must have beside its wildcards

# Folders of every Windows. None: the folder of the installation, whatever it is called.
_VARIABLES: dict[str, str | None] = {
    "%SYSTEMROOT%": None,
    "%WINDIR%": None,
    "%SYSTEMDRIVE%": "",
    "%PROGRAMFILES%": "Program Files",
    "%PROGRAMFILES(X86)%": "Program Files (x86)",
    "%PROGRAMDATA%": "ProgramData",
    "%ALLUSERSPROFILE%": "ProgramData",
}
_DEVICES = re.compile(
    r"(CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)
_FORBIDDEN = re.compile(r'[<>:"|%$]')


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path whose last name, and one folder before it, may have wildcards."""

    text: str  # as the pack has it
    below_windows: bool  # relative to the Windows folder; else to the volume
    parts: tuple[str, ...]

    def path(self, windows: str) -> tuple[str, ...]:
        """Its parts from the volume's root; `windows` is the installation's folder."""
        return (windows, *self.parts) if self.below_windows else self.parts


def parse(text: str) -> Pattern:
    """A pattern. Raises UsageError with one clause that says what is wrong with it."""
    if not text or len(text) > LONGEST:
        raise UsageError(f"a path has 1 to {LONGEST} characters")
    if not text.isprintable():
        raise UsageError("it holds characters that cannot be printed")
    prefix, rest = _split(text.replace("/", "\\"))
    parts = tuple(rest.split("\\"))
    if len(parts) > _DEEPEST:
        raise UsageError(f"it is more than {_DEEPEST} folders deep")
    for part in parts:
        _require_name(part)
    _require_few_wildcards(parts)
    if prefix is None:
        return Pattern(text, below_windows=True, parts=parts)
    whole = (prefix, *parts) if prefix else parts
    if is_wild(whole[0]):
        raise UsageError("names in the volume's root may have no wildcards")
    return Pattern(text, below_windows=False, parts=whole)


def _split(path: str) -> tuple[str | None, str]:
    """(what a variable stands for, the rest); "" without a variable."""
    if not path.startswith("%"):
        return "", path
    name, _, rest = path.partition("\\")
    if name.upper() not in _VARIABLES:
        known = "%SystemRoot%, %SystemDrive%, %ProgramFiles%, %ProgramData%"
        raise UsageError(f"{name} is not known here; known are {known}")
    return _VARIABLES[name.upper()], rest


def _require_name(part: str) -> None:
    if not part:
        raise UsageError("it begins or ends with a separator, or has two in a row")
    if part.strip(".") == "" or part[-1] in ". " or part[0] == " ":
        raise UsageError(f"{part!r} is no name of a file: it would lead elsewhere on Windows")
    if len(part) > _LONGEST_NAME:
        raise UsageError(f"a name has at most {_LONGEST_NAME} characters")
    found = _FORBIDDEN.search(part)
    if found:
        raise UsageError(f"{found[0]!r} may not stand in it: no drives, streams or variables")
    if _DEVICES.fullmatch(part):
        raise UsageError(f"{part} is the name of a device")


def _require_few_wildcards(parts: tuple[str, ...]) -> None:
    folders = [part for part in parts[:-1] if is_wild(part)]
    if len(folders) > 1:
        raise UsageError("only the last name and one folder may have wildcards")
    for part in (*folders, parts[-1]):
        if is_wild(part) and len(part) - part.count("*") - part.count("?") < _LITERAL:
            raise UsageError(f"{part} fits nearly everything: give {_LITERAL} letters at least")


def is_wild(name: str) -> bool:
    return "*" in name or "?" in name


def fits(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern, in any case. Takes no longer than their lengths multiplied."""
    letters, wanted = fold(name), fold(pattern)
    at = here = 0
    star = mark = -1
    while at < len(letters):
        if here < len(wanted) and wanted[here] == "*":
            star, mark = here, at
            here += 1
        elif here < len(wanted) and wanted[here] in ("?", letters[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            mark += 1
            at, here = mark, star + 1
        else:
            return False
    return all(letter == "*" for letter in wanted[here:])
