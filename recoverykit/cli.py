"""The command line of the runtime: parse, one call, print, exit code.

The verbs' own modules are imported when a verb runs: `--help` costs a quarter of a second less.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recoverykit import __version__, cli_bcd, cli_reg
from recoverykit.errors import RecoveryKitError

EPILOG = """
TARGET is a disk (/dev/sda), a partition, a raw disk image, or the folder where a Windows
volume is mounted. Without TARGET every disk of this computer is looked at.

Exit codes: 0 done, or nothing wrong; 1 failed, nothing changed; 2 usage; 3 no culprit found;
4 changed but not verified; 5 target refused (locked, hibernated, full, read-only, RAID member);
6 the boot check found faults; 10 damaged input; 20 signature refused; 30 rollback incomplete.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # with the next line: no rich in the boot payload
    rich_markup_mode=None,
    help="Find, explain, quarantine and undo what keeps an offline Windows from starting.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_reg.app, name="reg")
app.add_typer(cli_bcd.app, name="bcd")


class Policy(StrEnum):
    """What to do with an unclean $LogFile (a crash leaves one) before a change."""

    REPLAY = "replay"
    ASK = "ask"
    REFUSE = "refuse"


Target = Annotated[
    Path | None,
    typer.Argument(help="Disk, partition, raw image or mounted folder; all disks when left out."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the report as JSON (recoverykit.report/1).")
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do it without asking (for scripts and images).")
]
Details = Annotated[bool, typer.Option("--details", help="Show every suspect and finding.")]
NtfsLog = Annotated[
    Policy,
    typer.Option(
        "--ntfs-log",
        help="An unclean NTFS journal: replay it first, ask, or refuse the volume.",
    ),
]


@app.command(epilog=EPILOG)
def find(target: Target = None, as_json: Json = False) -> None:
    """List every Windows installation, on every disk. Changes nothing."""
    from recoverykit import pipeline, terminal

    terminal.finish(pipeline.find(target, terminal.options()), as_json=as_json)


@app.command(epilog=EPILOG)
def diagnose(
    target: Target = None,
    as_json: Json = False,
    details: Details = False,
    html: Annotated[
        typer.FileBinaryWrite | None,
        typer.Option("--html", lazy=False, help="Also write the report as one HTML file."),
    ] = None,
) -> None:
    """Say what keeps Windows from starting, and why we think so. Changes nothing.

    Reads what the disk holds about its last boots: registry, drivers, event logs, crash dumps,
    boot files... docs/diagnosis.md lists every rule.

    Example: recoverykit diagnose /dev/sda --html report.html
    """
    from recoverykit import pipeline, report_html, terminal

    found = pipeline.diagnose(target, terminal.options())
    if html is not None:
        terminal.save(html, report_html.to_html(found))
    terminal.finish(found, as_json=as_json, details=details)


@app.command(epilog=EPILOG)
def explain(
    bugcheck: Annotated[
        list[str],
        typer.Argument(help="A stop code, its name, or a line with its parameters."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON (recoverykit.explain/1).")
    ] = False,
) -> None:
    """Say what a blue screen's stop code means and where to look. Needs no disk.

    Examples: recoverykit explain 0x7B; recoverykit explain DRIVER_IRQL_NOT_LESS_OR_EQUAL;
    recoverykit explain '0x0000003b (0xc0000005, 0xfffff8057aaaec45, 0, 0)'
    """
    from recoverykit import explain as explaining
    from recoverykit import terminal

    width = terminal.width()
    typer.echo(explaining.run(" ".join(bugcheck), as_json=as_json, width=width), nl=False)


@app.command(epilog=EPILOG)
def repair(
    target: Target = None,
    as_json: Json = False,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; change nothing.")
    ] = False,
    plan: Annotated[
        str, typer.Option("--plan", help="Apply only the plan with this digest (from --dry-run).")
    ] = "",
    ntfs_log: NtfsLog = Policy.ASK,
) -> None:
    """Quarantine the proven culprit as one transaction that can be undone.

    Only a culprit is ever acted on, never a suspect; boot-critical drivers are refused. The
    plan is shown and asked for first, unless --yes.
    """
    from recoverykit import pipeline, terminal

    options = terminal.options(
        yes=yes, dry_run=dry_run, ntfs_log=ntfs_log, as_json=as_json, plan=plan
    )
    found = pipeline.diagnose(target, options)
    if not as_json and not dry_run:
        terminal.show(found)
        typer.echo()
    terminal.finish(pipeline.carry_out(found, options), as_json=as_json)


@app.command(epilog=EPILOG)
def undo(
    target: Target = None,
    transaction: Annotated[
        str | None,
        typer.Option("--transaction", help="Its id, from 'history'; the newest when left out."),
    ] = None,
    as_json: Json = False,
    yes: Yes = False,
    ntfs_log: NtfsLog = Policy.ASK,
) -> None:
    """Take a repair back: every file as it was, today or after a week."""
    from recoverykit import pipeline, terminal

    options = terminal.options(yes=yes, ntfs_log=ntfs_log, as_json=as_json)
    terminal.finish(pipeline.undo(target, transaction, options), as_json=as_json)


@app.command(epilog=EPILOG)
def check(target: Target = None, as_json: Json = False) -> None:
    """Walk the Windows loader's job offline, line by line. Changes nothing."""
    from recoverykit import pipeline, terminal

    terminal.finish(pipeline.check(target, terminal.options()), as_json=as_json)


@app.command(epilog=EPILOG)
def history(target: Target = None, as_json: Json = False) -> None:
    """List the repairs made on this target and whether they can be undone. Changes nothing."""
    from recoverykit import pipeline, terminal

    terminal.finish(pipeline.history(target, terminal.options()), as_json=as_json)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"recoverykit {__version__}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Global options."""


def main() -> None:
    """Console script: every error we raise on purpose becomes one sentence and its code."""
    try:
        app()
    except RecoveryKitError as exc:
        from recoverykit.report import printable

        hint = f"\nhint: {printable(exc.hint)}" if exc.hint else ""
        typer.echo(f"error: {printable(str(exc))}{hint}", err=True)
        raise SystemExit(exc.exit_code) from exc
    except BrokenPipeError:
        # "recoverykit ... | head": not our failure; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
