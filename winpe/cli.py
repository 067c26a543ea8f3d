"""`build_media.py`: parse, one call, print, exit code."""

from __future__ import annotations

import getpass
import os
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from signing import keys
from signing.errors import KeyFileError, SigningError
from winpe import cache, iso, packs, summary, verify
from winpe.errors import MediaError, MediaUsageError
from winpe.progress import Progress

_PASSPHRASE = "RECOVERYKIT_PASSPHRASE"  # noqa: S105 - the name of a variable, not a secret
_EXAMPLES = """\
Recovery media for Windows computers that do not start.

Examples:

  build_media.py iso -o recovery.iso\n
  build_media.py keys new ./keys --organisation "Example Ltd"\n
  build_media.py iso -o recovery.iso --keys ./keys\n
  build_media.py iso -o fleet.iso --keys ./keys --unattended repair --end reboot\n
  build_media.py keys sign fix.toml --keys ./keys\n
  build_media.py iso -o fix.iso --keys ./keys --pack fix.toml\n
  build_media.py verify recovery.iso --trust ./keys/signing.crt
"""

app = typer.Typer(
    help=_EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys_app = typer.Typer(help="The organisation's signing key.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
pack_app = typer.Typer(help="Remediation packs (docs/packs.md).", no_args_is_help=True)
app.add_typer(pack_app, name="pack")

Output = Annotated[Path, typer.Option("-o", "--output", help="The ISO file to make.")]
Keys = Annotated[
    Path | None, typer.Option("--keys", help="Folder of `keys new`. Default: a test key.")
]
Unattended = Annotated[str, typer.Option(help="What starts by itself: repair or diagnose.")]
End = Annotated[str, typer.Option(help="When the session is over: reboot or poweroff.")]
NtfsLog = Annotated[str, typer.Option(help="An unclean NTFS journal: replay or refuse.")]
KernelArgs = Annotated[str, typer.Option(help="More arguments for the kernel.")]
Release = Annotated[bool, typer.Option("--release", help="Compress harder (about 2 minutes).")]
Mirror = Annotated[str, typer.Option(help="Debian mirror. Default: the one this host uses.")]
Security = Annotated[str, typer.Option(help="Mirror of Debian's security updates.")]
CacheFolder = Annotated[Path | None, typer.Option("--cache", help="Where downloads are kept.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Look for newer Debian packages.")]
Packs = Annotated[
    list[Path] | None,
    typer.Option("--pack", help="A remediation pack to carry, signed; may be repeated."),
]
Trust = Annotated[Path | None, typer.Option(help="The certificate (PEM) you expect.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("iso")
def iso_command(
    output: Output,
    key_folder: Keys = None,
    unattended: Unattended = "ask",
    end: End = "",
    ntfs_log: NtfsLog = "",
    kernel_args: KernelArgs = "",
    pack: Packs = None,
    release: Release = False,
    mirror: Mirror = "",
    security_mirror: Security = "",
    cache_folder: CacheFolder = None,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Build the bootable image: for CD and USB stick, BIOS and UEFI."""
    began = time.monotonic()
    iso.check_choices(unattended, end, ntfs_log)
    iso.refuse_output(output)
    signer = _signer(key_folder)
    options = iso.Options(
        output=output,
        signer=signer,
        packs=packs.carried(pack or (), signer.certificate),
        cache=(cache_folder or cache.default()).absolute(),
        mirror=mirror,
        security_mirror=security_mirror,
        refresh=refresh,
        release=release,
        default=unattended,
        end=end,
        ntfs_log=ntfs_log,
        kernel_arguments=tuple(kernel_args.split()),
    )
    progress = Progress()
    try:
        built = iso.build(options, progress)
        progress.done()
    finally:
        progress.close()
    seconds = time.monotonic() - began
    typer.echo(summary.as_json(built, seconds) if as_json else summary.as_text(built, seconds))


@keys_app.command("new")
def keys_new(
    directory: Annotated[Path, typer.Argument(help="A new folder for the key.")],
    organisation: Annotated[str, typer.Option(help="Shown when the medium starts.")] = "",
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for one.")] = False,
) -> None:
    """Make the organisation's signing key. Never overwrites one."""
    secret = _new_passphrase() if passphrase else os.environ.get(_PASSPHRASE, "").encode()
    key = keys.new(directory, organisation or "unnamed organisation", passphrase=secret or None)
    typer.echo(f"Made {directory / keys.PRIVATE_KEY} and {directory / keys.CERTIFICATE}.")
    typer.echo(f"Fingerprint  {keys.grouped(keys.fingerprint(key.certificate))}")
    typer.echo("Keep the private key secret and backed up; give the certificate to everybody.")


@keys_app.command("sign")
def keys_sign(
    pack: Annotated[Path, typer.Argument(help="A remediation pack, NAME.toml.")],
    key_folder: Annotated[Path, typer.Option("--keys", help="Folder of `keys new`.")],
) -> None:
    """Check a remediation pack and sign it: NAME.toml.p7s beside it."""
    packs.check(pack)  # before anybody is asked for a passphrase
    signer = keys.load(key_folder, _passphrase(key_folder))
    typer.echo(f"Made {packs.sign(pack, signer)}.")
    typer.echo(f"Fingerprint  {keys.grouped(keys.fingerprint(signer.certificate))}")


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


def _signer(folder: Path | None) -> keys.SigningKey:
    if folder is None:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return keys.development(home / "recoverykit")
    return keys.load(folder, _passphrase(folder))


def _passphrase(folder: Path) -> bytes | None:
    """The key's passphrase, asked for only if the key has one."""
    try:
        encrypted = b"ENCRYPTED" in (folder / keys.PRIVATE_KEY).read_bytes()
    except OSError:
        encrypted = False  # loading the key says better what is wrong with it
    if not encrypted:
        return None
    if given := os.environ.get(_PASSPHRASE):
        return given.encode()
    if not sys.stdin.isatty():
        hint = f"set {_PASSPHRASE}, or run this on a terminal"
        raise MediaUsageError(f"the key in {folder} has a passphrase", hint=hint)
    return getpass.getpass(f"Passphrase of the key in {folder}: ").encode()


def _new_passphrase() -> bytes:
    if given := os.environ.get(_PASSPHRASE):
        return given.encode()
    first = getpass.getpass("New passphrase: ")
    if not first or first != getpass.getpass("The same again: "):
        raise MediaUsageError("the two passphrases differ, or are empty")
    return first.encode()


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
    typer.echo(f"error: {message}" + (f"\nhint: {hint}" if hint else ""), err=True)
    raise SystemExit(exit_code)
