"""Who signs, from what `--keys` names: a folder of `keys new`, a PKCS #12 file, a command.

One place for passphrases: from the environment, else asked for on a terminal, and only where the
key has one.
"""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from signing import keys, pkcs12, renewal
from signing.errors import KeyFileError
from signing.signer import Signer
from winpe import external_signer
from winpe.errors import MediaUsageError

PASSPHRASE = "RECOVERYKIT_PASSPHRASE"  # noqa: S105 - the name of a variable, not a secret


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs a medium, and whom it will trust."""

    all: tuple[Signer, ...]  # the medium shows the first
    previous: tuple[x509.Certificate, ...] = ()  # that they replaced: still good for packs

    @property
    def certificate(self) -> x509.Certificate:
        """Of the first."""
        return self.all[0].certificate

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        own = [signer.certificate for signer in self.all]
        return tuple(dict.fromkeys((*own, *self.previous)))

    def signing_time(self, made: datetime) -> datetime:
        """What a medium of that moment states: `made`, but no time before a certificate began.

        The moment may be one of long ago that SOURCE_DATE_EPOCH names.
        """
        return max(made, *(signer.certificate.not_valid_before_utc for signer in self.all))


def load(place: Path, second: Path | None = None) -> Signers:
    """Raises KeyFileError, MediaUsageError for a passphrase that nobody can be asked for."""
    places = [place] if second is None else [place, second]
    found = Signers(
        tuple(one(each) for each in places),
        tuple(old for each in places for old in renewal.previous_of(each)),
    )
    if len({signer.certificate for signer in found.all}) != len(found.all):
        raise MediaUsageError(f"{place} and {second} hold the same certificate")
    return found


def default(second: Path | None = None) -> Signers:
    """This user's development key. Raises KeyFileError, MediaUsageError."""
    if second is not None:
        raise MediaUsageError("--second needs --keys")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Signers((keys.development(home / "recoverykit"),))


def one(place: Path) -> Signer:
    """The signer in that folder or file. Raises KeyFileError, MediaUsageError."""
    if not place.is_dir():
        if place.suffix.lower() not in pkcs12.SUFFIXES:
            return keys.load(place)  # says what is wrong with it
        return pkcs12.load(place, passphrase(place, needed=pkcs12.needs_passphrase(place)))
    if (place / external_signer.FILE).exists():
        signer = external_signer.load(place)
        keys.refuse_expired(signer.certificate, datetime.now(UTC))
        return signer
    return keys.load(place, folder_passphrase(place))


def folder_passphrase(folder: Path) -> bytes | None:
    """The passphrase of the key in a folder; None where it has none."""
    try:
        needed = keys.needs_passphrase(folder)
    except KeyFileError:
        needed = False  # loading the key says better what is wrong with it
    return passphrase(folder, needed=needed)


def passphrase(place: Path, *, needed: bool) -> bytes | None:
    """Raises MediaUsageError where there is nobody to ask."""
    if not needed:
        return None
    if given := os.environ.get(PASSPHRASE):
        return given.encode()
    if not sys.stdin.isatty():
        hint = f"set {PASSPHRASE}, or run this on a terminal"
        raise MediaUsageError(f"the key in {place} has a passphrase", hint=hint)
    return getpass.getpass(f"Passphrase of the key in {place}: ").encode()


def new_passphrase() -> bytes:
    """Raises MediaUsageError."""
    if given := os.environ.get(PASSPHRASE):
        return given.encode()
    first = getpass.getpass("New passphrase: ")
    if not first or first != getpass.getpass("The same again: "):
        raise MediaUsageError("the two passphrases differ, or are empty")
    return first.encode()
