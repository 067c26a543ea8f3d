"""`build_media.py sign`: programs for firmware, and files for others to verify."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from signing import cms, ipxe, keys, sign_image, sign_timestamp
from signing.path import Trust
from signing.sign_image import Existing
from signing.sign_message import Stamp
from winpe import files, signers, timestamp_service
from winpe.errors import MediaUsageError
from winpe.signers import Signers

app = typer.Typer(
    help="Sign programs for Secure Boot, and files of other kinds.", no_args_is_help=True
)

_LARGEST_CONTENT = 1 << 31

File = Annotated[Path, typer.Argument(help="The file to sign.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The file to make.")]
Keys = Annotated[
    Path,
    typer.Option("--keys", help="Folder of `keys new`, a PKCS #12 file, or a signer.toml folder."),
]
Second = Annotated[
    Path | None, typer.Option("--second", help="A second key, whose signature goes beside.")
]


@app.command("efi")
def sign_efi(
    file: File,
    output: Output,
    key: Keys,
    second: Second = None,
    append: Annotated[bool, typer.Option("--append", help="Keep signatures it has.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Drop signatures it has.")] = False,
    timestamp: Annotated[str, typer.Option(help="Address of a timestamp service.")] = "",
    timestamp_trust: Annotated[
        Path | None, typer.Option(help="Its CA's certificate (PEM). Default: as Windows trusts.")
    ] = None,
) -> None:
    """Sign a boot loader, a unified kernel image or another EFI program for Secure Boot.

    The same file and keys give the same bytes, unless a timestamp is asked for.
    """
    if append and replace:
        raise MediaUsageError("--append keeps the signatures that --replace drops")
    existing = Existing.APPEND if append else Existing.REPLACE if replace else Existing.REFUSE
    files.refuse_place(output)
    content = files.read(file, sign_image.LARGEST)
    who = signers.load(key, second)
    how = sign_image.How(existing=existing, stamp=_stamp(timestamp, timestamp_trust))
    with files.named(file):
        sign_image.refuse_other_programs(content)
        made = sign_image.sign(content, who.all, how)
    files.write(output, made)
    _tell(output, who)
    if sign_image.is_seldom_verified([signer.certificate for signer in who.all]):
        typer.echo("Note: most firmware verifies RSA only, and would refuse an ECDSA signature.")


@app.command("cms")
def sign_cms(
    file: File,
    key: Keys,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: FILE.p7s, or FILE.sig.")
    ] = None,
    second: Second = None,
    for_ipxe: Annotated[
        bool, typer.Option("--ipxe", help="The form that iPXE's imgverify takes.")
    ] = False,
) -> None:
    """Sign any file with a detached CMS signature (RFC 5652, DER)."""
    target = output or file.with_name(file.name + (ipxe.SUFFIX if for_ipxe else ".p7s"))
    files.refuse_place(target)
    content = files.read(file, _LARGEST_CONTENT)
    who = signers.load(key, second)
    made = ipxe.sign(content, who.all) if for_ipxe else cms.sign_detached(content, *who.all)
    files.write(target, made)
    _tell(target, who)


def _stamp(url: str, trust: Path | None) -> Stamp | None:
    if not url:
        if trust is not None:
            raise MediaUsageError("--timestamp-trust needs --timestamp")
        return None
    known = (
        Trust() if trust is None else sign_timestamp.organisation([keys.load_certificate(trust)])
    )
    return sign_timestamp.stamp(url, timestamp_service.post, known, datetime.now(UTC))


def _tell(made: Path, who: Signers) -> None:
    typer.echo(f"Made {made}.")
    for signer in who.all:
        fingerprint = keys.grouped(keys.fingerprint(signer.certificate))
        typer.echo(f"Signed by {keys.organisation(signer.certificate)}, key {fingerprint}")
