"""Whose word stands for a file: the one place that asks the signatures, until issue E.

Windows' own roots, its catalogs and its block lists are not known here yet. So only a file that was
signed under a certificate handed in is vouched for; another sound signature is `not checked`, and a
file without one may still be in a catalog. `signing.authenticode_proof` has the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from recoverykit.formats.pe import Stream

if TYPE_CHECKING:
    from cryptography import x509

    from signing.authenticode_proof import Proof

    Trust = Sequence[x509.Certificate]


class Standing(StrEnum):
    """What a file's signature is worth to us."""

    VOUCHED = "vouched"  # intact, by one of the trusted certificates or a signer of theirs
    NOT_CHECKED = "not-checked"  # intact, but nobody trusted here stands behind it
    CATALOG = "catalog"  # nothing embedded: only a catalog may vouch for it
    TAMPERED = "tampered"  # it was made for other bytes
    UNREADABLE = "unreadable"  # no executable, or a signature that cannot be read


def standing(stream: Stream, trust: Trust, at: datetime) -> tuple[Standing, str]:
    """How a file stands, and one clause that says why.

    `trust`: certificates of signers, or of the CAs behind them; `at`: aware, the moment they must
    be valid at. Reads the whole file. Raises OSError where it cannot be read, and nothing else.
    """
    from signing import authenticode_proof  # here, because cryptography takes 50 ms to load
    from signing.authenticode import Vouching

    proof = authenticode_proof.prove(stream, trust, at)
    claimed = proof.claim.vouching
    if claimed is Vouching.NONE:
        return Standing.CATALOG, "it has no signature of its own"
    if claimed is Vouching.TAMPERED:
        return Standing.TAMPERED, "it is not what was signed"
    if claimed is not Vouching.EMBEDDED:
        return Standing.UNREADABLE, "its signature cannot be read"
    return _embedded(proof)


def _embedded(proof: Proof) -> tuple[Standing, str]:
    signer = proof.claim.signer or "somebody unnamed"
    if proof.trusted and proof.holds:
        return Standing.VOUCHED, f"signed by {signer}"
    if proof.holds is False:
        return Standing.TAMPERED, proof.reason
    return Standing.NOT_CHECKED, f"signed by {signer}, but {proof.reason}"
