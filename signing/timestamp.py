"""When was it signed? What a timestamp service said, and whether it is to be believed.

Two kinds, both unsigned attributes of the signature they are about:
- PKCS #9 countersignature (RFC 2985, 5.3.6): a SignerInfo over the octets of the signature;
- RFC 3161 token (section 2.4.2), in Microsoft's attribute 1.3.6.1.4.1.311.3.3.1: a message of its
  own that names the digest of those octets.

What has to hold, in this order:
1. it is about this signature: digest and kind of content;
2. its signer's key made it. Countersignatures of VeriSign and Symantec, until 2019 at least, hold
   the digest bare, without the DigestInfo of PKCS #1: 31 % of old drivers. That form is accepted
   here, for RSA countersignatures, and nowhere else;
3. its signer's certificate is in the file and leads to a root trusted for timestamps, at the time
   that it states (RFC 3161, 4: a service whose certificate has run out later was good then).

A moment in the future of `now` is not believed. Not looked at: accuracy, order, policies of tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from signing import certificate, der, path, signed_data
from signing.certificate import DIGESTS, STRONG, TIME_STAMPING, Certificate
from signing.der import Cursor
from signing.errors import MalformedError
from signing.path import Chain, Fault, Flaw, Trust
from signing.signed_data import SignerInfo

COUNTERSIGNATURE = "1.2.840.113549.1.9.6"
TOKEN = "1.3.6.1.4.1.311.3.3.1"  # noqa: S105  (an identifier)
_STANDARD_TOKEN = "1.2.840.113549.1.9.16.2.14"  # noqa: S105  (RFC 3161's own attribute)
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_2 = "1.2.840.113549.1.9.16.2.47"
_MOST = 3  # of one signature; real ones have one, seldom one of each kind
_SKEW = timedelta(days=1)


class Kind(StrEnum):
    COUNTERSIGNATURE = "pkcs9"
    TOKEN = "rfc3161"  # noqa: S105


_KINDS = {
    COUNTERSIGNATURE: Kind.COUNTERSIGNATURE,
    TOKEN: Kind.TOKEN,
    _STANDARD_TOKEN: Kind.TOKEN,
}


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What one says, and why it is not to be believed."""

    kind: Kind
    time: datetime | None  # UTC, as it states it; None: it states none that can be read
    signer: str = ""
    digest: str = ""  # weakest that it rests on
    chain: Chain | None = None
    reason: str = ""  # one clause; "" where it is to be believed
    is_weak: bool = False  # it rests on SHA-1, in itself or on the way up

    @property
    def is_good(self) -> bool:
        return not self.reason and self.time is not None


def of(
    signer: SignerInfo, pool: Sequence[Certificate], trust: Trust, now: datetime
) -> tuple[Timestamp, ...]:
    """All timestamps of a signature: the believable ones first, of these the strong ones, of these
    the earliest.

    `pool`: certificates of the message the signature is in. Raises nothing: one that cannot be
    read has its reason.
    """
    stated = [
        (kind, value) for oid, kind in _KINDS.items() for value in signer.unsigned.get(oid, ())
    ]
    found = [_guarded(kind, value, signer, pool, trust) for kind, value in stated[:_MOST]]
    return tuple(sorted((_in_the_past(each, now) for each in found), key=_order))


def _order(found: Timestamp) -> tuple[bool, bool, float]:
    moment = found.time.timestamp() if found.time else 0.0
    return not found.is_good, found.is_weak, moment


def _in_the_past(found: Timestamp, now: datetime) -> Timestamp:
    if found.is_good and found.time and found.time > now + _SKEW:
        return Timestamp(
            found.kind,
            found.time,
            found.signer,
            found.digest,
            found.chain,
            f"it is of {found.time.date()}, which has not come yet",
        )
    return found


def _guarded(
    kind: Kind, value: bytes, about: SignerInfo, pool: Sequence[Certificate], trust: Trust
) -> Timestamp:
    read = _countersignature if kind is Kind.COUNTERSIGNATURE else _token
    try:
        return read(value, about, pool, trust)
    except MalformedError as exc:
        return Timestamp(kind, None, reason=f"it cannot be read: {exc}")


# --- PKCS #9 ------------------------------------------------------------------------------


def _countersignature(
    value: bytes, about: SignerInfo, pool: Sequence[Certificate], trust: Trust
) -> Timestamp:
    made = signed_data.signer(value, "countersignature")
    stated = made.value(signed_data.SIGNING_TIME)
    when = Cursor(stated, "countersignature").time() if stated else None
    signer = path.certificate_of(made, pool)
    basis = Timestamp(Kind.COUNTERSIGNATURE, when, signer.name if signer else "", made.digest)
    kind = signed_data.identifier(made.value(signed_data.CONTENT_TYPE), "countersignature")
    if kind != signed_data.DATA or not made.digest:
        return _refused(basis, "it does not say plainly what was signed")
    if _digest_of(about.signature, made.digest) != _message_digest(made):
        return _refused(basis, "it is about another signature")
    return _judged(basis, made, signer, pool, trust, bare=True)


# --- RFC 3161 -----------------------------------------------------------------------------


def _token(value: bytes, about: SignerInfo, pool: Sequence[Certificate], trust: Trust) -> Timestamp:
    message = signed_data.read(value, "timestamp token")
    if message.content_type != _TST_INFO or message.content_tag != der.OCTETS:
        return Timestamp(Kind.TOKEN, None, reason="it is another kind of message")
    when, imprint, digest = info(message.content)
    if len(message.signers) != 1:
        return Timestamp(Kind.TOKEN, when, reason="it does not have one signer")
    made = message.signers[0]
    own = (*path.readable(message.certificates), *pool)
    signer = path.certificate_of(made, own)
    weakest = digest if digest not in STRONG else made.digest
    basis = Timestamp(Kind.TOKEN, when, signer.name if signer else "", weakest)
    if not digest or _digest_of(about.signature, digest) != imprint:
        return _refused(basis, "it is about another signature")
    kind = signed_data.identifier(made.value(signed_data.CONTENT_TYPE), "timestamp token")
    if kind != _TST_INFO or not made.digest:
        return _refused(basis, "it does not say plainly what was signed")
    if _digest_of(message.content, made.digest) != _message_digest(made):
        return _refused(basis, "its contents are not what was signed")
    if signer is not None and not _names(made, signer):
        return _refused(basis, "it was made under another certificate than it names")
    return _judged(basis, made, signer, own, trust, bare=False)


def info(content: bytes) -> tuple[datetime, bytes, str]:
    """(time, digest of what was stamped, its algorithm) of a TSTInfo (RFC 3161, 2.4.2).

    Raises MalformedError.
    """
    cursor = Cursor(content, "timestamp token").enter()
    cursor.integer()
    cursor.oid()
    imprint = cursor.enter()
    algorithm, _ = imprint.algorithm()
    digest = imprint.contents(der.OCTETS)
    cursor.integer()  # serial number
    return cursor.time(), digest, DIGESTS.get(algorithm, "")


def _names(made: SignerInfo, signer: Certificate) -> bool:
    """Whether the attribute that names the service's certificate names this one (RFC 5816).

    RFC 3161 wants it there; where it is not, nothing else binds the name, and nothing contradicts.
    """
    for oid, default in ((_SIGNING_CERTIFICATE_2, "sha256"), (_SIGNING_CERTIFICATE, "sha1")):
        if value := made.value(oid):
            cursor = Cursor(value, "timestamp token").enter().enter().enter()
            algorithm = default
            if cursor.peek() == der.SEQUENCE:
                algorithm = DIGESTS.get(cursor.algorithm()[0], "")
            named = cursor.contents(der.OCTETS)
            return bool(algorithm) and _digest_of(signer.der, algorithm) == named
    return True


# --- both ---------------------------------------------------------------------------------


def _judged(
    basis: Timestamp,
    made: SignerInfo,
    signer: Certificate | None,
    pool: Sequence[Certificate],
    trust: Trust,
    *,
    bare: bool,
) -> Timestamp:
    if basis.time is None:
        return _refused(basis, "it states no time")
    if signer is None:
        return _refused(basis, "the certificate of its service is not in the file")
    if not _holds(made, signer, bare=bare):
        return _refused(basis, "its service did not make it")
    ways = path.chains(signer, pool, trust)
    if not ways:
        return _refused(basis, f"no root trusted here stands behind '{signer.name}'")
    judged = [(chain, path.flaws(chain, TIME_STAMPING, basis.time)) for chain in ways]
    chain, faults = min(judged, key=lambda each: _badness(each[1]))
    serious = [fault for fault in faults if fault.flaw is not Flaw.WEAK]
    return Timestamp(
        basis.kind,
        basis.time,
        basis.signer,
        basis.digest,
        chain,
        serious[0].clause if serious else "",
        is_weak=chain.is_weak or not {basis.digest, made.digest} <= STRONG,
    )


def _badness(faults: Sequence[Fault]) -> tuple[int, int]:
    weak = sum(fault.flaw is Flaw.WEAK for fault in faults)
    return len(faults) - weak, weak


def _refused(basis: Timestamp, reason: str) -> Timestamp:
    return Timestamp(basis.kind, basis.time, basis.signer, basis.digest, None, reason)


def _holds(made: SignerInfo, signer: Certificate, *, bare: bool) -> bool:
    if not made.signed:
        return False
    if signer.made(made.signature, made.signed, made.digest, made.scheme):
        return True
    expected = _digest_of(made.signed, made.digest)
    return bare and certificate.bare_digest(signer.key, made.signature, expected)


def _message_digest(made: SignerInfo) -> bytes:
    return signed_data.octets(made.value(signed_data.MESSAGE_DIGEST), "timestamp")


def _digest_of(data: bytes, algorithm: str) -> bytes:
    found: bytes = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    return found
