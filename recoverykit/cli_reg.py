"""`recoverykit reg ...`: the command line of the registry. Parse, one call, print, exit code."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from recoverykit.errors import FormatError
from recoverykit.model import LogPolicy
from recoverykit.registry_data import ValueType

if TYPE_CHECKING:
    from recoverykit.registry import Ask
    from recoverykit.visit import Options

_MOST_LOST = 20  # damaged places that are named one by one

EPILOG = """
KEY begins with the name of its hive: HKLM\\SYSTEM\\CurrentControlSet\\Services\\acme, SOFTWARE,
HKU\\.DEFAULT, HKU\\<folder of a profile>. CurrentControlSet is the control set of the next boot.
Put KEY into single quotes: a shell eats backslashes.

Exit codes: 0 done; 1 failed, nothing changed; 2 usage; 3 no such key or value, or no Windows;
4 changed but not verified; 5 refused; 10 a damaged hive or .reg file; 30 rollback incomplete.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The registry of a Windows that does not run: read it, change it, take it back.",
    epilog=EPILOG,
)

Readable = Annotated[
    Path,
    typer.Argument(
        metavar="TARGET", help="Disk, partition, raw image, mounted folder, or a hive file."
    ),
]
Target = Annotated[
    Path, typer.Argument(metavar="TARGET", help="Disk, partition, raw image or mounted folder.")
]
KeyName = Annotated[str, typer.Argument(metavar="KEY", help="Such as 'HKLM\\SYSTEM\\Select'.")]
Install = Annotated[
    str,
    typer.Option("--install", metavar="ROOT", help="Which Windows, if the target has several."),
]
AsIs = Annotated[
    bool, typer.Option("--as-is", help="Read a dirty hive file without its logs: may be stale.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the report as JSON (recoverykit.report/1).")
]
Digest = Annotated[
    str,
    typer.Option(
        "--plan", metavar="DIGEST", help="Apply only the plan with this digest (from --dry-run)."
    ),
]
NtfsLog = Annotated[
    LogPolicy,
    typer.Option(
        "--ntfs-log",
        help="An unclean NTFS journal: replay it first, ask, or refuse the volume.",
    ),
]


@app.command(epilog=EPILOG)
def get(
    target: Readable,
    key: KeyName,
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="[VALUE]", help="One value; '' is the default value. All when left out."
        ),
    ] = None,
    install: Install = "",
    as_is: AsIs = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it as JSON (recoverykit.registry/1).")
    ] = False,
) -> None:
    """Show a key: its values, its subkeys, when it was written. Changes nothing.

    Example: recoverykit reg get /dev/sda 'HKLM\\SYSTEM\\CurrentControlSet\\Services\\disk' Start
    """
    from recoverykit import registry, registry_show, terminal

    reading = registry.read(target, key, terminal.options(), wanted=install, as_is=as_is)
    shown, one = registry_show.values(reading, value), value is not None
    if as_json:
        typer.echo(registry_show.to_json(reading, shown, one=one), nl=False)
        return
    terminal.remark(reading.notes)
    typer.echo(registry_show.to_text(reading, shown, one=one), nl=False)


@app.command("export", epilog=EPILOG)
def export_key(
    target: Readable,
    key: KeyName,
    output: Annotated[
        typer.FileBinaryWrite | None,
        typer.Option("--output", "-o", lazy=True, help="The .reg file to write."),
    ] = None,
    install: Install = "",
    as_is: AsIs = False,
) -> None:
    """Write a key and all below it as .reg text, as regedit would. Changes nothing.

    Into a file it is UTF-16, as regedit writes it; into a pipe UTF-8; a terminal gets it readable.
    Of a damaged hive everything is written that can be read, and the exit code is 10.

    Example: recoverykit reg export /dev/sda 'HKLM\\SYSTEM\\Select' -o select.reg
    """
    from recoverykit import registry, registry_show, report, terminal
    from recoverykit.formats import reg_text

    reading = registry.read(target, key, terminal.options(), wanted=install, as_is=as_is)
    left_out: list[str] = []
    damaged: list[FormatError] = []
    pieces = reg_text.blocks(registry_show.exported(reading, damaged), left_out)
    if output is not None:
        for data in reg_text.encoded(pieces):
            output.write(data)
    elif sys.stdout.isatty():
        for piece in pieces:
            typer.echo("\n".join(map(report.printable, piece.split(reg_text.EOL))), nl=False)
    else:
        encoded = reg_text.encoded(pieces) if _is_file(sys.stdout.fileno()) else map(_utf8, pieces)
        for data in encoded:
            sys.stdout.buffer.write(data)
        sys.stdout.flush()
    lost = (f"left out, because it is damaged: {error}" for error in damaged[:_MOST_LOST])
    terminal.remark((*reading.notes, *left_out, *lost))
    if damaged:
        places = f"{len(damaged)} place{'s' if len(damaged) > 1 else ''}"
        terminal.remark((f"the hive is damaged in {places}; what lies there is not in the export",))
        raise typer.Exit(FormatError.exit_code)


@app.command("set", epilog=EPILOG)
def set_value(
    target: Target,
    key: KeyName,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="Its name; '' is the default value.")
    ],
    kind: Annotated[ValueType, typer.Option("--type", "-t", help="What the value is.")],
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA]...",
            help="A number, a text, several texts (multi_sz), or hexadecimal digits.",
        ),
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the key if need be.")] = False,
    install: Install = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    plan: Digest = "",
    ntfs_log: NtfsLog = LogPolicy.ASK,
    as_json: Json = False,
) -> None:
    """Set one value, as a transaction that 'recoverykit undo' takes back.

    Example: recoverykit reg set /dev/sda 'HKLM\\SYSTEM\\CurrentControlSet\\Services\\acme' Start
    --type dword 4
    """
    from recoverykit import registry, registry_data

    ask = registry.setting(key, value, registry_data.encode(kind, data or []), create=create)
    options = _options(yes, dry_run, plan, ntfs_log, as_json)
    _change(target, "reg set", ask, options, install, as_json=as_json)


@app.command(epilog=EPILOG)
def delete(
    target: Target,
    key: KeyName,
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="[VALUE]", help="One value; '' is the default value. The key when left out."
        ),
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="The key with all below it.")] = False,
    install: Install = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    plan: Digest = "",
    ntfs_log: NtfsLog = LogPolicy.ASK,
    as_json: Json = False,
) -> None:
    """Delete a value or a key, as a transaction that 'recoverykit undo' takes back.

    Example: recoverykit reg delete /dev/sda 'HKLM\\SOFTWARE\\Acme' --tree
    """
    from recoverykit import registry

    ask = registry.deleting(key, value, tree=tree)
    options = _options(yes, dry_run, plan, ntfs_log, as_json)
    _change(target, "reg delete", ask, options, install, as_json=as_json)


@app.command("import", epilog=EPILOG)
def import_file(
    target: Target,
    file: Annotated[Path, typer.Argument(metavar="FILE.reg", help="What regedit would import.")],
    install: Install = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    plan: Digest = "",
    ntfs_log: NtfsLog = LogPolicy.ASK,
    as_json: Json = False,
) -> None:
    """Make every change of a .reg file, all of them or none, as one transaction.

    Example: recoverykit reg import /dev/sda fix.reg --dry-run
    """
    from recoverykit import registry

    ask = registry.importing(file)
    options = _options(yes, dry_run, plan, ntfs_log, as_json)
    _change(target, "reg import", ask, options, install, as_json=as_json)


# --- what they share ----------------------------------------------------------------------


def _options(yes: bool, dry_run: bool, plan: str, ntfs_log: LogPolicy, as_json: bool) -> Options:
    from recoverykit import terminal

    return terminal.options(yes=yes, dry_run=dry_run, plan=plan, ntfs_log=ntfs_log, as_json=as_json)


def _change(
    target: Path, verb: str, ask: Ask, options: Options, install: str, *, as_json: bool
) -> NoReturn:
    from recoverykit import registry, terminal

    found = registry.plan(target, verb, ask, options, wanted=install)
    if not as_json and not options.dry_run and any(entry.plan for entry in found.installations):
        terminal.show(found)
        typer.echo()
    terminal.finish(registry.carry_out(found, ask, options), as_json=as_json)


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _utf8(piece: str) -> bytes:
    return piece.encode("utf-8", "surrogatepass")
