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

from recoverykit import __version__, cli_bcd, cli_pack, cli_reg
from recoverykit.errors import RecoveryKitError, UsageError

EPILOG = """
TARGET is a disk (/dev/sda), a partition, a raw disk image, or the folder where a Windows
volume is mounted. Without TARGET every disk of this computer is looked at.

Exit codes: 0 done, or nothing wrong; 1 failed, nothing changed; 2 usage; 3 no culprit found;
4 changed but not verified; 5 target refused (locked, hibernated, full, read-only, RAID member);
6 the boot check found faults; 10 damaged input; 20 signature refused; 30 rollback incomplete.
"""

VERIFY_EPILOG = """
TARGET is a disk (/dev/sda), a partition, a raw disk image, or the folder where a Windows
volume is mounted. FILE and DIR are files of this computer.

Exit codes: 0 all pass; 2 usage; 3 of some it cannot be told, or no Windows was found;
5 target refused; 20 some fail. docs/signatures.md has the steps and the words.
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
app.add_typer(cli_pack.app, name="pack")


class Policy(StrEnum):
    """What to do with an unclean $LogFile (a crash leaves one) before a change."""

    REPLAY = "replay"
    ASK = "ask"
    REFUSE = "refuse"


class Age(StrEnum):
    """Which copies of a driver may replace it."""

    ANY = "any"
    OLDER = "older"
    NEWER = "newer"


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
Trust = Annotated[
    list[Path] | None,
    typer.Option("--trust", metavar="CERT", help="A certificate (PEM) you trust; repeatable."),
]
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
        str,
        typer.Option("--plan", help="Apply only this plan: its digest, or the file of --export."),
    ] = "",
    export: Annotated[
        typer.FileBinaryWrite | None,
        typer.Option("--export", help="Write the plan to a file, and change nothing."),
    ] = None,
    driver: Annotated[
        str,
        typer.Option("--driver", help="Act on this driver or service, though it is no culprit."),
    ] = "",
    copies: Annotated[
        list[Path] | None,
        typer.Option("--from", help="A folder or file with good copies of drivers; repeatable."),
    ] = None,
    age: Annotated[
        Age, typer.Option("--age", help="Which versions may replace a driver.")
    ] = Age.ANY,
    pack: Annotated[
        Path | None, typer.Option("--pack", help="Apply a signed remediation pack instead.")
    ] = None,
    trust: Trust = None,
    ntfs_log: NtfsLog = Policy.ASK,
) -> None:
    """Quarantine the proven culprit as one transaction that can be undone.

    Only a culprit is ever acted on, never a suspect, unless --driver names it. What Windows needs
    to start is never disabled, but replaced by a good copy where one is found. The plan is shown
    and asked for first, unless --yes; the boot check runs before and after, and what it finds worse
    is taken back.

    Examples: recoverykit repair /dev/sda; recoverykit repair /dev/sda --driver acme.sys;
    recoverykit repair disk.img --pack fix.toml --trust signing.crt
    """
    from recoverykit import pipeline, proposal, remedy, replacement, terminal

    options = terminal.options(
        yes=yes,
        dry_run=dry_run or export is not None,
        ntfs_log=ntfs_log,
        as_json=as_json,
        plan=plan,
        choices=proposal.Choices(
            driver=driver,
            folders=tuple(copies or ()),
            trust=terminal.certificates(trust or ()) if pack is None else (),
            want=replacement.Want(age),
        ),
    )
    job = pipeline.Job()
    if pack is None:
        found = pipeline.diagnose(target, options)
    else:
        signed = remedy.load(pack, trust or ())
        found, job = remedy.plan(target, signed, options), remedy.job(signed)
    if export is not None:
        terminal.export(found, export)
    if not as_json and not options.dry_run:
        terminal.show(found)
        typer.echo()
    terminal.finish(pipeline.carry_out(found, options, job), as_json=as_json)


@app.command(epilog=EPILOG)
def undo(
    target: Target = None,
    transaction: Annotated[
        str | None,
        typer.Option("--transaction", help="Its id, from 'history'; the newest when left out."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Take back every repair, the newest first.")
    ] = False,
    as_json: Json = False,
    yes: Yes = False,
    ntfs_log: NtfsLog = Policy.ASK,
) -> None:
    """Take a repair back: every file as it was, today or after a week.

    Where Windows has changed something since, nothing is overwritten: it says what, and refuses.

    Examples: recoverykit undo /dev/sda; recoverykit undo /dev/sda --all
    """
    from recoverykit import pipeline, terminal

    options = terminal.options(yes=yes, ntfs_log=ntfs_log, as_json=as_json)
    if every and transaction is not None:
        raise UsageError("--all and --transaction contradict each other")
    done = (
        pipeline.undo_all(target, options) if every else pipeline.undo(target, transaction, options)
    )
    terminal.finish(done, as_json=as_json)


@app.command(epilog=EPILOG)
def check(target: Target = None, trust: Trust = None, as_json: Json = False) -> None:
    """Walk the jobs of the boot manager and the loader offline, line by line. Changes nothing.

    docs/boot-check.md says what each line looks at. Signatures are judged as this Windows would;
    --trust names signers that no kernel knows.

    Example: recoverykit check /dev/sda
    """
    from recoverykit import pipeline, proposal, terminal

    choices = proposal.Choices(trust=terminal.certificates(trust or ()))
    terminal.finish(
        pipeline.check(target, terminal.options(choices=choices)), as_json=as_json, details=True
    )


@app.command(epilog=VERIFY_EPILOG)
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE|DIR...", help="Files, or folders with all below them."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--target", help="Verify all drivers of the Windows on this disk or image."),
    ] = None,
    catalogs: Annotated[
        list[Path] | None,
        typer.Option("--catalogs", metavar="DIR", help="A folder of .cat files; repeatable."),
    ] = None,
    block_list: Annotated[
        list[Path] | None,
        typer.Option(
            "--block-list",
            metavar="FILE",
            help="A policy (.xml, .p7b, .cip) or hashes, one a line; repeatable.",
        ),
    ] = None,
    firmware: Annotated[
        Path | None,
        typer.Option(
            "--firmware",
            metavar="DIR|FILE",
            help="For EFI programs: efivars of the machine, or a dbx (DBXUpdate.bin).",
        ),
    ] = None,
    trust: Trust = None,
    details: Details = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON (recoverykit.signatures/1).")
    ] = False,
) -> None:
    """Say who vouches for files, and whether a kernel would load them. Changes nothing.

    Embedded and nested signatures, catalogs, timestamps, chains to Microsoft's roots, block lists:
    docs/signatures.md has the steps. With --target every driver of that Windows is judged as its
    own kernel would, by its build, its settings, its catalogs and its lists; FILE and DIR with
    --target are judged for that Windows as well. EFI programs are judged as Secure Boot would: db,
    dbx, SBAT, security version.

    Exit code 20 if any file fails, 3 if of some it cannot be told.

    Examples: recoverykit verify driver.sys; recoverykit verify --target /dev/sda;
    recoverykit verify package/ --target /dev/sda
    """
    from recoverykit import signature_show, terminal

    asked = terminal.Asked(paths, target, trust, catalogs, block_list, firmware)
    found, code = terminal.verified(asked)
    if as_json:
        typer.echo(signature_show.to_json(found, code), nl=False)
    else:
        width = terminal.width()
        typer.echo(signature_show.to_text(found, details=details, width=width), nl=False)
    raise typer.Exit(code)


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
    except OSError as exc:
        # A full disk behind ">": what the program itself reads and writes has its own errors.
        typer.echo(f"error: {exc.strerror or exc}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from exc
