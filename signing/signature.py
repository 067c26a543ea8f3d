"""One signature of a file, judged: does it hold, whose is it, since when, who stands behind it?

A file may have several: embedded, nested in one of those, and by catalogs that list its digest.
Each is judged by the same steps (docs/signatures.md has them with their reasons):

(3) the content says which file: its digest is the file's, or the catalog lists it;
(4) the signed attributes say once each what was signed, and of which kind it is;
(5) the key of the certificate that the SignerInfo names made the signature over them;
(6) page hashes, where there are any, are those of the file;
(7) timestamps, believed or not, each with its reason;
(8) ways up to roots, each with what is wrong with it at the moment of signing.

Nothing is decided here: `kernel_policy` and `verify` do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from signing import path, signed_data, timestamp
from signing.certificate import CODE_SIGNING, STRONG, Certificate
from signing.errors import MalformedError
from signing.path import Chain, Fault, Flaw, Trust
from signing.signed_data import SignedData, SignerInfo
from signing.timestamp import Timestamp

NESTED = "1.3.6.1.4.1.311.2.4.1"
# szOID_KP_LIFETIME_SIGNING (wincrypt.h): what was signed ends with the certificate, whatever a
# timestamp says (Microsoft's documentation of Trusted Signing, its certificates for tests).
_LIFETIME = "1.3.6.1.4.1.311.10.3.13"
_TIME_FLAWS = (Flaw.EXPIRED, Flaw.NOT_YET_VALID)


class Origin(StrEnum):
    EMBEDDED = "embedded"
    NESTED = "nested"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True)
class Way:
    """A chain, and what is wrong with it at the moment of signing."""

    chain: Chain
    faults: tuple[Fault, ...]

    @property
    def is_good(self) -> bool:
        return not self.faults

    @property
    def lasting(self) -> tuple[Fault, ...]:
        """Faults that no clock changes, and that are more than an old digest."""
        passing = (*_TIME_FLAWS, Flaw.WEAK)
        return tuple(fault for fault in self.faults if fault.flaw not in passing)

    @property
    def passing(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in self.faults if fault.flaw in _TIME_FLAWS)


@dataclass(frozen=True, slots=True)
class Signature:
    """`problem` is one clause where it says nothing of this file; then `ways` is empty."""

    origin: Origin
    place: str  # name of the catalog
    algorithm: str  # of the file's digest that it names
    digest: bytes
    is_intact: bool  # that digest is the file's
    holds: bool  # and the signature was made with its signer's key
    signer: Certificate | None
    signer_algorithm: str
    timestamps: tuple[Timestamp, ...]
    ways: tuple[Way, ...]
    has_pages: bool
    pages_fit: bool  # True where it has none
    problem: str

    @property
    def timestamp(self) -> Timestamp | None:
        """The one that is believed."""
        return next((each for each in self.timestamps if each.is_good), None)

    @property
    def is_weak(self) -> bool:
        """It rests on SHA-1 or MD5 somewhere below its root, whichever way."""
        return not {self.algorithm, self.signer_algorithm} <= STRONG

    @property
    def is_tampered(self) -> bool:
        """It was made for other bytes, or its own were changed."""
        return not (self.is_intact and self.holds and self.pages_fit)


@dataclass(frozen=True, slots=True)
class Named:
    """What a message names of the file, and whether that is so."""

    algorithm: str
    digest: bytes
    is_intact: bool
    content_type: str
    has_pages: bool = False
    pages_fit: bool = True


def judge(
    message: SignedData,
    named: Named,
    trust: Trust,
    now: datetime,
    *,
    origin: Origin,
    place: str = "",
) -> tuple[Signature, ...]:
    """All signatures of one message. Raises MalformedError where it cannot be read."""
    if not message.signers:
        raise MalformedError("signature", 0, "nobody signed it")
    pool = path.readable(message.certificates)
    return tuple(
        _signature(message, signer, pool, named, trust, now, origin, place)
        for signer in message.signers
    )


def _signature(
    message: SignedData,
    made: SignerInfo,
    pool: Sequence[Certificate],
    named: Named,
    trust: Trust,
    now: datetime,
    origin: Origin,
    place: str,
) -> Signature:
    signer = path.certificate_of(made, pool)
    problem, holds = _problem(message, made, signer, named)
    stamps: tuple[Timestamp, ...] = ()
    ways: tuple[Way, ...] = ()
    if not problem and signer is not None:
        stamps = timestamp.of(made, pool, trust, now)
        moment = next((each.time for each in stamps if each.is_good), None) or now
        if _LIFETIME in (signer.purposes or ()):
            moment = now
        ways = tuple(
            Way(chain, path.flaws(chain, CODE_SIGNING, moment))
            for chain in path.chains(signer, pool, trust)
        )
    return Signature(
        origin=origin,
        place=place,
        algorithm=named.algorithm,
        digest=named.digest,
        is_intact=named.is_intact,
        holds=holds,
        signer=signer,
        signer_algorithm=made.digest,
        timestamps=stamps,
        ways=ways,
        has_pages=named.has_pages,
        pages_fit=named.pages_fit,
        problem=problem,
    )


def _problem(
    message: SignedData, made: SignerInfo, signer: Certificate | None, named: Named
) -> tuple[str, bool]:
    """(why it says nothing of the file, whether its signature holds)."""
    # (4) What was signed, and as what.
    kind = signed_data.identifier(made.value(signed_data.CONTENT_TYPE), "signature")
    if not made.signed or kind != named.content_type:
        return "it does not say plainly what was signed", False
    if not made.digest or not named.algorithm:
        return "it uses a digest that is not known here", False
    stated = signed_data.octets(made.value(signed_data.MESSAGE_DIGEST), "signature")
    if _digest_of(message.content, made.digest) != stated:
        return "its contents are not what was signed", False
    # (5) Who made it.
    if signer is None:
        return "the certificate of its signer is not in it, or cannot be read", False
    if not signer.made(made.signature, made.signed, made.digest, made.scheme):
        return f"the key of '{signer.name}' did not make it", False
    # (3), (6) Only now does it count what it says.
    if not named.is_intact:
        return "the file is not what was signed", True
    if not named.pages_fit:
        return "the pages of the file are not what was signed", True
    return "", True


def _digest_of(data: bytes, algorithm: str) -> bytes:
    found: bytes = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    return found
