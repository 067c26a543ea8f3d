"""What all command lines share: options of a person at a terminal, progress, questions, reports.

Imported when a verb runs, not before: `--help` answers without the engine behind it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from recoverykit import report, report_json
from recoverykit.console import Screen
from recoverykit.errors import FormatError, NoCulpritError, UsageError, why
from recoverykit.model import LogPolicy, Report
from recoverykit.proposal import NONE, Choices
from recoverykit.repair import plan_json
from recoverykit.visit import Options, worst
from signing import keys
from signing.errors import SigningError

if TYPE_CHECKING:
    from recoverykit.signature_check import Verification
    from recoverykit.vouching import Trust
    from signing.firmware import Firmware

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST = 64 << 20  # of an exported plan
_T = TypeVar("_T")


def options(
    *,
    yes: bool = False,
    dry_run: bool = False,
    ntfs_log: str = LogPolicy.ASK,
    as_json: bool = False,
    plan: str = "",
    choices: Choices = NONE,
) -> Options:
    """What the flags say, and who is there to ask: nobody where a script reads the output.

    `plan`: a digest, or a file that `--export` wrote. Raises UsageError.
    """
    watched = sys.stdin.isatty() and not as_json
    return Options(
        dry_run=dry_run,
        ntfs_log=LogPolicy(ntfs_log),
        expected_digest=_digest(plan),
        choices=choices,
        say=progress,
        ask=(lambda _: True) if yes else ask if watched else None,
    )


def _digest(plan: str) -> str:
    """Of a plan named by its digest or by the file it was exported to."""
    if not plan or _DIGEST.fullmatch(plan):
        return plan
    try:
        with Path(plan).open(encoding="ascii") as stream:
            return plan_json.digest(plan_json.from_json(stream.read(_LARGEST)))
    except (OSError, ValueError, FormatError) as exc:
        raise UsageError(
            f"{plan} is neither the digest of a plan nor an exported plan: {why(exc)}",
            hint="recoverykit repair --dry-run --export plan.json writes one.",
        ) from exc


def certificates(files: Iterable[Path]) -> Trust:
    """Those that a person trusts. Raises UsageError."""
    try:
        return tuple(keys.load_certificate(file) for file in files)
    except SigningError as exc:
        raise UsageError(str(exc), hint=exc.hint) from exc


def export(found: Report, file: typer.FileBinaryWrite) -> None:
    """Write the plan that was made, for --plan. Raises UsageError, NoCulpritError."""
    plans = [entry.plan for entry in found.installations if entry.plan is not None]
    if not plans:
        raise NoCulpritError("there is no plan to export")
    if len(plans) > 1:
        raise UsageError("there are plans for several installations: name one volume as TARGET")
    save(file, plan_json.to_json(plans[0]))


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


def tracked(items: Sequence[_T], label: str) -> Iterator[_T]:
    """The items, with a bar on a terminal that says how many are done."""
    if not sys.stderr.isatty():
        yield from items
        return
    with typer.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar


@dataclass(frozen=True, slots=True)
class Asked:
    """What `verify` was asked for."""

    paths: Sequence[Path] | None
    target: Path | None
    trust: Sequence[Path] | None
    catalogs: Sequence[Path] | None
    block_lists: Sequence[Path] | None
    firmware: Path | None


def verified(asked: Asked) -> tuple[tuple[Verification, ...], int]:
    """What `verify` was asked for, and its exit code. Raises RecoveryKitError."""
    from recoverykit import signature_check
    from recoverykit.code_integrity import lists

    if not asked.paths and asked.target is None:
        raise UsageError(
            "nothing was named to verify",
            hint="recoverykit verify FILE..., or recoverykit verify --target DISK",
        )
    for folder in asked.catalogs or ():
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder of catalogs")
    wanted = signature_check.Wanted(
        paths=tuple(asked.paths or ()),
        trust=certificates(asked.trust or ()),
        lists=(*lists.carried(), *lists.from_files(tuple(asked.block_lists or ()))),
        catalogs=tuple(asked.catalogs or ()),
        firmware=_firmware(asked.firmware) if asked.firmware else None,
    )
    if asked.target is None:
        found: tuple[Verification, ...] = (signature_check.of_files(wanted, tracked),)
    else:
        found = signature_check.of_target(asked.target, wanted, options(), tracked)
    return found, worst(each.exit_code for each in found)


def _firmware(path: Path) -> Firmware:
    """What a machine trusts: from a folder of efivarfs, or the usual with a dbx from a file."""
    from signing import efi_variables, firmware

    if path.is_dir():
        if not any((path / efi_variables.FILES[name]).exists() for name in ("db", "dbx")):
            raise UsageError(f"{path} holds neither db nor dbx", hint=str(firmware.EFIVARS))
        return firmware.read(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(efi_variables.LARGEST + 1)
        return replace(firmware.usual(), dbx=efi_variables.read(data))
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {why(exc)}") from exc
    except SigningError as exc:
        raise UsageError(f"{path} is no dbx: {exc}") from exc
