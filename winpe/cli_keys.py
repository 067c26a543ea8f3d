"""`build_media.py keys`: the organisation's signing key, made, shown, used and renewed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from signing import keys, pkcs12, renewal
from signing.signer import Signer
from winpe import external_signer, packs, signers
from winpe.errors import MediaUsageError

app = typer.Typer(help="The organisation's signing key.", no_args_is_help=True)

_SOON = 180  # days before the end in which a renewal is spoken of

Place = Annotated[
    Path,
    typer.Argument(help="Folder of `keys new`, a PKCS #12 file, or a folder with signer.toml."),
]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="Ask for one.")]


@app.command("new")
def keys_new(
    directory: Annotated[Path, typer.Argument(help="A new folder for the key.")],
    organisation: Annotated[str, typer.Option(help="Shown when the medium starts.")] = "",
    passphrase: Passphrase = False,
) -> None:
    """Make the organisation's signing key. Never overwrites one."""
    secret = _secret(asked=passphrase)
    key = keys.new(directory, organisation or "unnamed organisation", passphrase=secret)
    typer.echo(f"Made {directory / keys.PRIVATE_KEY} and {directory / keys.CERTIFICATE}.")
    _tell_fingerprint(key.certificate)
    typer.echo("Keep the private key secret and backed up; give the certificate to everybody.")


@app.command("sign")
def keys_sign(
    pack: Annotated[Path, typer.Argument(help="A remediation pack, NAME.toml.")],
    key: Annotated[Path, typer.Option("--keys", help="Folder of `keys new`, or a PKCS #12 file.")],
    second: Annotated[Path | None, typer.Option("--second", help="A second key.")] = None,
) -> None:
    """Check a remediation pack and sign it: NAME.toml.p7s beside it."""
    packs.check(pack)  # before anybody is asked for a passphrase
    who = signers.load(key, second)
    typer.echo(f"Made {packs.sign(pack, *who.all)}.")
    for signer in who.all:
        _tell_fingerprint(signer.certificate)


@app.command("renew")
def keys_renew(
    old: Annotated[Path, typer.Argument(help="The folder of the key that is to be renewed.")],
    directory: Annotated[Path, typer.Argument(help="A new folder.")],
    new_key: Annotated[
        bool, typer.Option("--new-key", help="A new private key, not only a new certificate.")
    ] = False,
    passphrase: Passphrase = False,
) -> None:
    """Make a new certificate, for the same key or with a new one, in a folder of its own.

    Media already made stay valid. New ones also take packs that were signed under the old one.
    """
    given = signers.folder_passphrase(old)
    found = keys.pair(old, given)
    secret = _secret(asked=passphrase) or given  # a protected key stays protected
    before = renewal.previous_of(old)
    made = renewal.renew(found, directory, previous=before, new_key=new_key, passphrase=secret)
    typer.echo(f"Made {directory / keys.CERTIFICATE}, good until {_day(made.certificate)}.")
    _tell_fingerprint(made.certificate)
    typer.echo(
        "Give it to everybody who verifies with the old one, and enrol it in firmware that knows"
        f"\nthe old one. Until all have it, sign with both: --keys {directory} --second {old}"
    )


@app.command("show")
def keys_show(
    place: Place,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what a key is: whose, which kind, how long it is good, what lies beside it."""
    shown = _shown(place)
    if as_json:
        typer.echo(json.dumps({"schema": "recoverykit.key/1", **shown}, indent=2))
        return
    rows = {**shown, "fingerprint": keys.grouped(shown["fingerprint"])}
    days, expired = rows.pop("days"), rows.pop("expired")
    typer.echo("\n".join(f"{name:>12}  {_text(value)}" for name, value in rows.items() if value))
    if expired:
        typer.echo(f"It expired {-days} days ago and signs nothing: build_media.py keys renew")
    elif days < _SOON:
        typer.echo(f"It is good for {days} more days: build_media.py keys renew {place} NEW")


def _shown(place: Path) -> dict[str, Any]:
    signer, where = _found(place)
    certificate = signer.certificate
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    own = certificate.issuer == certificate.subject
    return {
        "organisation": keys.organisation(certificate),
        "kind": _kind(certificate),
        "private": where,
        "since": f"{certificate.not_valid_before_utc:%Y-%m-%d}",
        "until": _day(certificate),
        "days": int(left.total_seconds() / 86400),  # whole ones; negative behind the end
        "expired": left.total_seconds() < 0,
        "fingerprint": keys.fingerprint(certificate),
        "issuer": "itself" if own else certificate.issuer.rfc4514_string(),
        "chain": [each.subject.rfc4514_string() for each in signer.others],
        "previous": [
            keys.fingerprint(each)
            for each in (renewal.previous_of(place) if place.is_dir() else ())
        ],
    }


def _found(place: Path) -> tuple[Signer, str]:
    """The signer, even one that has expired, and where its private key is."""
    if not place.is_dir():
        if place.suffix.lower() not in pkcs12.SUFFIXES:
            raise MediaUsageError(f"{place} is neither a folder nor a .p12 or .pfx file")
        secret = signers.passphrase(place, needed=pkcs12.needs_passphrase(place))
        return pkcs12.read(keys.read_file(place), str(place), secret), f"in {place}"
    if (place / external_signer.FILE).exists():
        signer = external_signer.load(place)
        return signer, f"elsewhere; {signer.command.argv[0]} signs"
    secret = signers.folder_passphrase(place)
    where = f"in {place / keys.PRIVATE_KEY}, {'with' if secret else 'without'} a passphrase"
    return keys.pair(place, secret), where


def _kind(certificate: x509.Certificate) -> str:
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA {public.key_size}"
    assert isinstance(public, ec.EllipticCurvePublicKey)  # noqa: S101 - no other kind is loaded
    return f"ECDSA {public.curve.name}"


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _day(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


def _secret(*, asked: bool) -> bytes | None:
    if asked:
        return signers.new_passphrase()
    return os.environ.get(signers.PASSPHRASE, "").encode() or None


def _tell_fingerprint(certificate: x509.Certificate) -> None:
    typer.echo(f"Fingerprint  {keys.grouped(keys.fingerprint(certificate))}")
