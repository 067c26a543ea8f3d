"""A strict reader of the batch files we write: what cmd.exe would make of each line.

Written from the description of cmd.exe's phases (ss64.com "How does the Windows Command Interpreter
parse scripts", Microsoft Learn on `set`, `for`, `call`, `goto`), not from the writer. It knows only
the statements that are wanted, and refuses every other line: text outside of quotes that could mean
something, a variable that nobody set, a label that is not there, delayed expansion where it is off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 8191
_SPECIAL = set("&|<>()^")
_VARIABLE = re.compile(
    r"%(?:(?P<escape>%)|~(?P<argument>[a-z]*[0-9])|(?P<all>\*)|"
    r"(?P<name>[A-Za-z][A-Za-z0-9_]*)(?P<part>:~-?\d+(?:,-?\d+)?)?%)"
)
_REDIRECT = re.compile(r"(?:2?>(?:nul|Q)|\s)+$")
_SET = re.compile(r'set "(?P<name>[A-Z]+\d*)=(?P<value>.*)"$')
_COMMANDS = re.compile(
    r"(?:@echo off|setlocal EnableExtensions DisableDelayedExpansion"
    r"|setlocal EnableDelayedExpansion|pause|exit /b(?: (?:\d+|%[A-Za-z]+%))?|goto [a-z]+"
    r"|call :[a-z]+|set /a [A-Z]+(?:=|\+=|-=)[A-Z0-9]+|rem .*|echo\.|echo .*"
    r"|(?:Q|type|move|del|md|ren)(?: .*)?)$"
)
_PREFIX = re.compile(
    r"(?:if (?:/i )?(?:not )?(?:exist Q|defined [A-Z_]+\d*|errorlevel \d+|Q==Q"
    r"|%[A-Z]+% LEQ %[A-Z]+%) "
    r"|for (?:/d )?%%[A-Z] in \(Q\) do |for /f Q %%[A-Z] in \(Q\) do )"
)  # fmt: skip
_GIVEN = {"SystemRoot", "PROCESSOR_ARCHITEW6432", "errorlevel"}


def lines(raw: bytes) -> list[str]:
    """The lines of a batch file. Raises AssertionError, with the line, for what is not in order."""
    assert raw.endswith(b"\r\n"), "not a line of DOS"
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|[^\r\n -~]", raw), "not a line of DOS"
    found = raw.decode("ascii").split("\r\n")[:-1]
    labels = [line[1:] for line in found if line.startswith(":")]
    assert len(labels) == len(set(labels)), "a label twice"
    known = _GIVEN | {name for line in found for name in _assigned(line)}
    for number, line in enumerate(found):
        assert len(line) <= _LONGEST, line[:80]
        try:
            _line(line, set(labels), known, delayed="EnableDelayed" in "".join(found[:number][-3:]))
        except AssertionError as exc:
            raise AssertionError(f"line {number + 1}: {line}: {exc}") from exc
    return found


def _assigned(line: str) -> Iterator[str]:
    yield from re.findall(r'set "([A-Z]+\d*)=', line)
    yield from re.findall(r"set /a ([A-Z]+)", line)


def _line(line: str, labels: set[str], known: set[str], *, delayed: bool) -> None:
    if line.startswith(":"):
        assert re.fullmatch(r":[a-z]+", line)
        return
    if not line:
        return
    if line.startswith('"%SystemRoot%\\Sysnative\\cmd.exe" /d /c ""%~f0" %*"'):
        return  # the one line with quotes within quotes
    _variables(line, known)
    bare, quoted = _split(line)
    assert delayed or "!" not in bare
    if not delayed and not _SET.match(line):
        meant = any(re.search(r"![A-Z]+!", text) for text in quoted if "\\" not in text)
        assert not meant, "an exclamation mark that is no data"
    statement = _statement(bare, line)
    target = re.fullmatch(r"(?:goto |call :)([a-z]+)", statement)
    assert target is None or target[1] in labels, f"no such label: {statement}"


def _variables(line: str, known: set[str]) -> None:
    """Every % is one of a pair, or part of a variable that is set somewhere."""
    at = 0
    while (at := line.find("%", at)) >= 0:
        match = _VARIABLE.match(line, at)
        assert match, f"a loose % at {at}"
        assert match["name"] is None or match["name"] in known, f"nobody sets {match['name']}"
        at = match.end()


def _split(line: str) -> tuple[str, list[str]]:
    """The line with Q for everything quoted, and what that is."""
    parts = line.split('"')
    assert len(parts) % 2, "a quotation mark without its other half"
    if _SET.match(line):
        return f"{parts[0]}Q", parts[1::2]
    return "Q".join(parts[::2]), parts[1::2]


def _statement(bare: str, line: str) -> str:
    """What is left after every `if` and `for`: one command, without where its output goes."""
    rest = bare
    while match := _PREFIX.match(rest):
        rest = rest[match.end() :]
    whole = line[len(line) - len(line.lstrip()) :]
    if rest == "set Q":
        assert re.search(r'set "[A-Z]+\d*=[^"]*"$', whole)
        return rest
    rest = _REDIRECT.sub("", rest)
    assert _COMMANDS.fullmatch(rest), f"not a statement that is wanted: {rest}"
    if not rest.startswith("rem "):
        assert not _SPECIAL & set(rest), "something that means more than text"
    return rest


def assigned(found: list[str]) -> list[tuple[str, str]]:
    """(variable, value) of every `set "X=..."`, in order: % as cmd.exe reads it.

    Variables in a value stay as they are: "%ROOT%Windows".
    """
    matches = (_SET.fullmatch(line) for line in found)
    return [(one["name"], one["value"].replace("%%", "%")) for one in matches if one]
