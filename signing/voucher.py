"""A manifest with its signature: who vouches for which files?

The one way in which both the runtime (recoverykit.medium) and the build host (winpe.verify) come
to believe a manifest: first the signature, and only then is a byte of the manifest interpreted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from signing import cms, manifest
from signing.errors import SigningError, TamperedError
from signing.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Paper:
    """One of the two files, as it was read; errors call it by its path."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Voucher:
    """A manifest that somebody trusted has signed."""

    manifest: Manifest
    signer: x509.Certificate


def read(
    signed: Paper,
    signature: Paper,
    trusted: Sequence[x509.Certificate],
    *,
    now: datetime | None = None,
) -> Voucher:
    """`now` as in `cms.verify_detached`. Raises SigningError naming the file that is at fault."""
    try:
        found = cms.verify_detached(
            signed.content, signature.content, trusted, now=now, name=signed.path
        )
    except TamperedError:
        raise
    except SigningError as exc:
        raise type(exc)(f"{signature.path}: {exc}", hint=exc.hint) from exc
    try:
        return Voucher(manifest.from_bytes(signed.content), found.certificate)
    except SigningError as exc:
        raise SigningError(f"{signed.path}: {exc}", hint=exc.hint) from exc
