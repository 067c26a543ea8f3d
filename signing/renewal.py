"""A new certificate before the old one runs out, so that neither old nor new media are refused.

Two ways, both into a new folder, as keys are never overwritten:
- for the same key: a new certificate (RFC 5280) with the same subject and another serial number.
  Everything the key could do it still can; a stolen key stays stolen.
- for a new key, while the old one is still good: the two then lie side by side.

Media already made stay valid either way: they hold the certificate they were signed under. What has
to learn of the new certificate are those who pinned the old one: `verify --trust`, and firmware (a
renewed certificate is another one to UEFI's db, even for the same key; OVMF refuses it until it is
enrolled). Until they have, both sign. The old certificates are kept beside the new key in
`previous.crt`, so that a new medium still takes packs that were signed under them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from signing import folder, keys
from signing.errors import KeyFileError
from signing.keys import SigningKey


def renew(
    old: SigningKey,
    directory: Path,
    *,
    previous: Sequence[x509.Certificate] = (),
    new_key: bool = False,
    passphrase: bytes | None = None,
    now: datetime | None = None,
) -> SigningKey:
    """Make the folder of the renewed key. `previous`: certificates that `old` itself replaced.

    `old` may have expired. Raises KeyFileError, having left nothing behind.
    """
    moment = now or datetime.now(UTC)
    certificate = old.certificate
    if certificate.issuer != certificate.subject:
        raise KeyFileError(
            f"the certificate was issued by a CA ({certificate.issuer.rfc4514_string()})",
            hint="ask that CA for a new one, and put it in place of the old one in a new folder",
        )
    if keys.is_development(certificate):
        raise KeyFileError("a development key is not renewed", hint="build_media.py keys new DIR")
    folder.refuse_occupied(directory)
    private = (
        rsa.generate_private_key(public_exponent=65537, key_size=keys.RSA_BITS)
        if new_key
        else old.private_key
    )
    made = SigningKey(private, keys.self_signed(private, certificate.subject, moment))
    kept = [certificate, *(each for each in previous if each != certificate)]
    keys.store(made, directory, passphrase, kept[: keys.MOST_CERTIFICATES])
    return made


def previous_of(directory: Path) -> tuple[x509.Certificate, ...]:
    """The certificates that the key in that folder replaced. Raises KeyFileError."""
    return keys.beside(directory, keys.PREVIOUS)
