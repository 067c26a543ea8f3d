"""Having a signature dated by a timestamp service (RFC 3161).

`request` makes the question, `token` judges the answer; how bytes travel is the caller's business
(`Post`). The service never sees what was signed, only the digest of the signature over it. Asked
for: a token with the service's certificates in it. Not asked for: a policy, extensions.

An answer counts when the service granted it, it is about our digest and our question (the nonce:
no old answer sent again), and `timestamp` believes it. Whom to believe is for the caller: the roots
that Windows has, or the certificates of an organisation's own service.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import serialization

from signing import der, path, signed_data, timestamp
from signing.certificate import Scheme
from signing.cms_layout import Algorithm
from signing.der import Cursor
from signing.errors import MalformedError, SigningError
from signing.path import Trust
from signing.sign_message import Stamp, digest_algorithm

REQUEST_TYPE = "application/timestamp-query"
RESPONSE_TYPE = "application/timestamp-reply"
LARGEST_RESPONSE = 64 << 10
Post = Callable[[str, bytes], bytes]  # (address, request) -> response

_DIGEST = "sha256"
_GRANTED = (0, 1)  # as asked, and with changes (RFC 3161, 2.4.2)
_STATUS = ("granted", "granted with changes", "rejected", "waiting", "a warning", "revoked")
_FAILURES = {  # PKIFailureInfo, by bit
    0: "it does not know the algorithm",
    2: "it calls the request bad",
    5: "it calls the request malformed",
    14: "its clock is not available",
    15: "it does not serve that policy",
    16: "it does not know an extension",
    17: "it lacks information",
    25: "it failed",
}


class TimestampError(SigningError):
    """The service gave no date that may be used; what was to be signed is not at fault."""

    code = "timestamp"


@asn1.sequence
class _Imprint:
    algorithm: Algorithm
    digest: bytes


@asn1.sequence
class _Request:
    version: int
    imprint: _Imprint
    policy: x509.ObjectIdentifier | None
    nonce: int
    certificates: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what its answer has to repeat."""

    encoded: bytes
    imprint: bytes
    nonce: int


def question(signature: bytes, nonce: int | None = None) -> Question:
    """Ask for the date of these bytes. `nonce`: None for one that nobody can guess."""
    number = secrets.randbits(63) | 1 if nonce is None else nonce
    imprint = hashlib.new(_DIGEST, signature).digest()
    named = _Imprint(algorithm=digest_algorithm(_DIGEST), digest=imprint)
    made = _Request(version=1, imprint=named, policy=None, nonce=number, certificates=True)
    return Question(asn1.encode_der(made), imprint, number)


def token(response: bytes, asked: Question, signature: bytes, trust: Trust, now: datetime) -> bytes:
    """DER of the token in a TimeStampResp. Raises TimestampError for one that must not be used."""
    try:
        found = _granted(response)
        nonce, imprint = _repeated(found)
    except MalformedError as exc:
        raise TimestampError(f"the timestamp service's answer cannot be read: {exc}") from exc
    if nonce != asked.nonce:
        raise TimestampError("the timestamp service answered another question than ours")
    if imprint != asked.imprint:
        raise TimestampError("the timestamp is about something else")
    judged = timestamp.of(_about(signature, found), (), trust, now)
    if not judged or not judged[0].is_good or judged[0].is_weak:
        reason = judged[0].reason if judged and judged[0].reason else "it rests on SHA-1"
        raise TimestampError(
            f"the timestamp is not to be believed: {reason}",
            hint="name the certificate of your own service's CA (--timestamp-trust)",
        )
    return found


def stamp(url: str, post: Post, trust: Trust, now: datetime) -> Stamp:
    """What dates signatures at that service. It raises TimestampError, and what `post` raises."""

    def dated(signature: bytes) -> bytes:
        asked = question(signature)
        response = post(url, asked.encoded)
        if len(response) > LARGEST_RESPONSE:
            raise TimestampError(f"the timestamp service answered {len(response):,} bytes")
        return token(response, asked, signature, trust, now)

    return dated


def _granted(response: bytes) -> bytes:
    """The token, if there is one (RFC 3161, 2.4.2). Raises MalformedError, TimestampError."""
    cursor = Cursor(response, "timestamp response")
    outer = cursor.enter()
    cursor.finish()
    status = outer.enter()
    number = status.integer()
    if number not in _GRANTED:
        raise TimestampError(f"the timestamp service refused: {_why(status, number)}")
    found = outer.whole(der.SEQUENCE)
    outer.finish()
    return found


def _why(status: Cursor, number: int) -> str:
    reasons = [_STATUS[number] if 0 <= number < len(_STATUS) else f"status {number}"]
    if (texts := status.optional(der.SEQUENCE)) is not None and texts.peek() == der.UTF8:
        text = texts.contents(der.UTF8).decode(errors="replace")[:200]
        reasons.append("".join(letter if letter.isprintable() else "?" for letter in text))
    if status.peek() == der.BIT_STRING:
        bits = status.contents(der.BIT_STRING)[1:5]
        number = int.from_bytes(bits.ljust(4, b"\0"), "big")
        reasons += [text for bit, text in _FAILURES.items() if number >> (31 - bit) & 1]
    return ", ".join(reasons)


def _repeated(found: bytes) -> tuple[int | None, bytes]:
    """(nonce, digest) of a token's TSTInfo; None where it has no nonce. Raises MalformedError."""
    message = signed_data.read(found, "timestamp token")
    _, imprint, digest = timestamp.info(message.content)
    cursor = Cursor(message.content, "timestamp token").enter()
    for _ in range(5):  # version, policy, imprint, serial number, time
        cursor.skip()
    for optional in (der.SEQUENCE, der.BOOLEAN):  # accuracy, ordering
        if cursor.peek() == optional:
            cursor.skip()
    nonce = cursor.integer() if cursor.peek() == der.INTEGER else None
    return nonce, imprint if digest == _DIGEST else b""


def _about(signature: bytes, found: bytes) -> signed_data.SignerInfo:
    """A signature with that token, as a file would hold them."""
    return signed_data.SignerInfo(
        issuer=b"",
        serial=0,
        key_id=b"",
        digest=_DIGEST,
        scheme=Scheme(""),
        signature=signature,
        signed=b"",
        attributes={},
        unsigned={timestamp.TOKEN: (found,)},
    )


def organisation(certificates: Sequence[x509.Certificate]) -> Trust:
    """Trust in these alone."""
    encoded = tuple(each.public_bytes(serialization.Encoding.DER) for each in certificates)
    return path.Trust(encoded, windows=False)
