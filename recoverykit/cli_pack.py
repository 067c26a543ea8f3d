"""`recoverykit pack ...`: the command line of remediation packs. Parse, one call, print, exit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """
FILE is a remediation pack, NAME.toml, with its signature NAME.toml.p7s beside it (docs/packs.md).
To apply one: recoverykit repair TARGET --pack FILE.

Exit codes: 0 done, or it applies; 2 the pack has mistakes; 3 it applies nowhere, or no Windows;
5 whether it applies cannot be told; 10 the file is no TOML; 20 its signature was refused.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Remediation packs: signed files that say what is wrong, and what to do.",
    epilog=EPILOG,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The pack, NAME.toml.")]
Trust = Annotated[
    list[Path] | None,
    typer.Option("--trust", metavar="CERT", help="A certificate (PEM) you trust; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON (recoverykit.pack/1).")]


@app.command(epilog=EPILOG)
def show(file: File) -> None:
    """Say in words what a pack looks for and does. Its signature is not asked.

    Example: recoverykit pack show docs/examples/crowdstrike-2024-07-19.toml
    """
    from recoverykit import packs, remedy, terminal
    from recoverykit.packs import words

    pack = packs.check(remedy.content_of(file))
    _print(words.described(pack))
    terminal.remark(("the signature was not checked: recoverykit pack check FILE --trust CERT",))


@app.command(epilog=EPILOG)
def check(file: File, trust: Trust = None) -> None:
    """Find every mistake of a pack; with --trust, check its signature as well.

    Example: recoverykit pack check fix.toml --trust signing.crt
    """
    from recoverykit import packs, remedy

    try:
        pack = remedy.load(file, trust).pack if trust else packs.check(remedy.content_of(file))
    except packs.SchemaError as exc:
        _print(exc.mistakes)
        raise typer.Exit(exc.exit_code) from exc
    signed = f"signed by {pack.signer}" if pack.signer else "its signature was not checked"
    _print((f"{pack.id}: no mistakes; {signed}.",))


@app.command("test", epilog=EPILOG)
def try_on(
    file: File,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Disk, partition, raw image or mounted folder.")
    ],
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Say whether a pack applies to a Windows, and what was seen. Changes nothing.

    Example: recoverykit pack test fix.toml /dev/sda --trust signing.crt
    """
    from recoverykit import remedy, terminal

    pack = remedy.load(file, trust or ()).pack
    tried, gaps = remedy.try_on(target, pack, terminal.options(as_json=as_json))
    if as_json:
        typer.echo(remedy.to_json(pack, tried, gaps), nl=False)
    else:
        _print(remedy.lines(pack, tried, gaps))
    raise typer.Exit(remedy.exit_code(tried))


def _print(lines: Iterable[str]) -> None:
    from recoverykit import report

    for line in lines:
        typer.echo(report.printable(line))
