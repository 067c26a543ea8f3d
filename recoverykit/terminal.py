"""What all command lines share: options of a person at a terminal, progress, questions, reports.

Imported when a verb runs, not before: `--help` answers without the engine behind it.
"""

from __future__ import annotations

import shutil
import sys
from typing import NoReturn

import typer

from recoverykit import report, report_json
from recoverykit.console import Screen
from recoverykit.errors import UsageError
from recoverykit.model import LogPolicy, Report
from recoverykit.visit import Options


def options(
    *,
    yes: bool = False,
    dry_run: bool = False,
    ntfs_log: str = LogPolicy.ASK,
    as_json: bool = False,
    plan: str = "",
) -> Options:
    """What the flags say, and who is there to ask: nobody where a script reads the output."""
    watched = sys.stdin.isatty() and not as_json
    return Options(
        dry_run=dry_run,
        ntfs_log=LogPolicy(ntfs_log),
        expected_digest=plan,
        say=progress,
        ask=(lambda _: True) if yes else ask if watched else None,
    )


def ask(question: str) -> bool:
    """Only a typed yes is a yes."""
    screen = Screen(lambda text: typer.echo(text, nl=False), _read_line)
    return screen.confirm(report.printable(question))


def _read_line() -> str | None:
    line = sys.stdin.readline()
    return line.strip() if line else None


def progress(text: str) -> None:
    """One line of what is being done, for a person who waits."""
    if sys.stderr.isatty():
        typer.echo(f"... {report.printable(text)}", err=True)


def remark(notes: tuple[str, ...]) -> None:
    """Beside the result, not in it."""
    for note in notes:
        typer.echo(f"note: {report.printable(note)}", err=True)


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size((100, 24)).columns


def save(file: typer.FileBinaryWrite, text: str) -> None:
    """Write a file of the host that was asked for by name. Raises UsageError when that fails."""
    try:
        file.write(text.encode())
        file.close()
    except OSError as exc:
        raise UsageError(f"{file.name} cannot be written: {exc.strerror or exc}") from exc


def show(found: Report, *, details: bool = False) -> None:
    """A report as text, as wide as the terminal."""
    typer.echo(report.to_text(found, details=details, width=width()), nl=False)


def finish(found: Report, *, as_json: bool, details: bool = False) -> NoReturn:
    """A report in the form that was asked for, and its exit code."""
    if as_json:
        typer.echo(report_json.to_json(found), nl=False)
    else:
        show(found, details=details)
    raise typer.Exit(found.exit_code)
