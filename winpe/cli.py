"""`build_media.py`: parse, one call, print, exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from signing import keys
from signing.errors import KeyFileError, SigningError
from winpe import cli_keys, cli_media, cli_sign, packs, summary, verify
from winpe.errors import MediaError
from winpe.progress import Progress

_EXAMPLES = """\
Recovery media for Windows computers that do not start.

Examples:

  build_media.py iso -o recovery.iso\n
  build_media.py recipe new media.toml\n
  build_media.py build media.toml -o out --keys ./keys\n
  build_media.py keys new ./keys --organisation "Example Ltd"\n
  build_media.py iso -o recovery.iso --keys ./keys\n
  build_media.py iso -o fleet.iso --keys ./keys --unattended repair --end reboot\n
  build_media.py keys sign fix.toml --keys ./keys\n
  build_media.py iso -o fix.iso --keys ./keys --pack fix.toml\n
  build_media.py keys renew ./keys ./keys-2036\n
  build_media.py sign efi loader.efi -o loader-signed.efi --keys ./keys\n
  build_media.py verify recovery.iso --trust ./keys/signing.crt
"""

app = typer.Typer(
    help=_EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("build")(cli_media.build)
app.command("iso")(cli_media.iso)
app.add_typer(cli_media.recipe_app, name="recipe")
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_sign.app, name="sign")
pack_app = typer.Typer(help="Remediation packs (docs/packs.md).", no_args_is_help=True)
app.add_typer(pack_app, name="pack")

Trust = Annotated[Path | None, typer.Option(help="The certificate (PEM) you expect.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@pack_app.command("check")
def pack_check(
    pack: Annotated[Path, typer.Argument(help="A remediation pack, NAME.toml.")],
) -> None:
    """Find every mistake of a remediation pack. Needs no key and no signature."""
    found = packs.check(pack)
    typer.echo(f"{found.id}: no mistakes. It is not asked here whether somebody signed it.")


@app.command("verify")
def verify_command(
    image: Annotated[Path, typer.Argument(help="An ISO file, or the device of a stick.")],
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Check that an image is exactly what was signed, and by whom.

    Without --trust the image's own certificate is used: that finds damage, not a forger.
    """
    progress = Progress()
    try:
        progress.stage(f"Verifying {image.name}")
        expected = None if trust is None else [keys.load_certificate(trust)]
        state = verify.verify_image(image, expected, progress)
        progress.done()
    finally:
        progress.close()
    typer.echo(summary.verified_json(state) if as_json else summary.verified_text(image, state))


def main() -> None:
    try:
        app()
    except MediaError as exc:
        _fail(str(exc), exc.hint, exc.exit_code)
    except SigningError as exc:
        _fail(str(exc), exc.hint, 2 if isinstance(exc, KeyFileError) else 20)
    except KeyboardInterrupt:
        _fail("stopped; nothing was written", "", 130)


def _fail(message: str, hint: str, exit_code: int) -> NoReturn:
    told = f"error: {message}" + (f"\nhint: {hint}" if hint else "")
    # A name, or what a signing command says, must not steer the terminal.
    lines = (
        "".join(each if each.isprintable() else "?" for each in line) for line in told.split("\n")
    )
    typer.echo("\n".join(lines), err=True)
    raise SystemExit(exit_code)
