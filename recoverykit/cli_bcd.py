"""`recoverykit bcd ...`: the command line of boot stores. Parse, one call, print, exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """
Examples: recoverykit bcd show /dev/sda; recoverykit bcd show E:/EFI/Microsoft/Boot/BCD --json

Exit codes: 0 shown; 1 cannot be read; 2 usage; 3 no boot store there; 5 every volume that could
hold one is closed; 10 a damaged store.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Boot stores (BCD): what Windows' boot manager will start, and from where.",
    epilog=EPILOG,
)


@app.callback()
def callback() -> None:
    """Options of all verbs here: none so far. Keeps `show` a command of its own."""


@app.command(epilog=EPILOG)
def show(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="Disk, partition, image, mounted folder or a BCD file; all disks when left out."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it as JSON (recoverykit.bcd/1).")
    ] = False,
    names: Annotated[
        bool,
        typer.Option("--names", help="Well-known identifiers as names, as bcdedit without /v."),
    ] = False,
) -> None:
    """Print every boot store as "bcdedit /enum all /v" would. Changes nothing.

    Partitions are named by their GUID, or by disk signature and offset, with the volume's name
    behind where this target has it: offline there are no drive letters.
    """
    from recoverykit import bcd_show, terminal

    listing = bcd_show.look(target, terminal.options())
    text = bcd_show.to_json(listing) if as_json else bcd_show.to_text(listing, aliases=names)
    typer.echo(text, nl=False)
    raise typer.Exit(listing.exit_code)
