"""Whether the signature in a Windows executable was made by somebody who is trusted here.

What has to hold, in this order, for a file to be vouched for:
1. the digest in the message is that of the file, and the attributes name the digest of the message;
2. the attributes say once each what was signed, and that it is an executable's digest;
3. file, content and attributes are digested with SHA-256 or better;
4. the signature over the attributes was made with the key of the certificate the message names;
5. that certificate is trusted, or leads to one that is, for code signing, at that moment.

Where 1 or 4 does not hold, the file is not what was signed. Where only another one does not, nobody
has said that it is not: old drivers have SHA-1, and Windows' own roots are not known here. Not
handled: timestamps, so that `at` decides for certificates that have run out; revocation; further
and nested signatures; RSA-PSS. Sources: as `authenticode`; RFC 5652, section 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from signing import authenticode, chain, keys
from signing.authenticode import Claim, Stream, Vouching
from signing.authenticode_message import Message

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303  (old signatures must be told from changed files)
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_STRONG = ("sha256", "sha384", "sha512")
# Signature algorithms by OID; signers name the key's alone, or with the digest.
_RSA = ("1.2.840.113549.1.1.1", *(f"1.2.840.113549.1.1.{last}" for last in (4, 5, 11, 12, 13)))
_ECDSA = ("1.2.840.10045.2.1", "1.2.840.10045.4.1")
_ECDSA_2 = "1.2.840.10045.4.3."


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of it. `trusted` is never True where `claim` or `holds` says otherwise."""

    claim: Claim
    holds: bool | None = None  # the signature over the attributes; None: not tried, or not able to
    trusted: bool = False
    reason: str = ""  # one clause, where it is not trusted


def prove(stream: Stream, trust: Sequence[x509.Certificate], at: datetime) -> Proof:
    """Judge the first signature embedded in a file by the rules above.

    `at`: aware; the moment the certificates must be valid at. Reads the whole file. Raises OSError
    where it cannot be read, and nothing else.
    """
    claim, message = authenticode.read(stream)
    if claim.vouching is not Vouching.EMBEDDED or message is None:
        return Proof(claim)
    try:
        return _judged(claim, message, trust, at)
    except keys.UNREADABLE as exc:
        return Proof(claim, reason=f"its certificates cannot be used: {exc}")


def _judged(
    claim: Claim, message: Message, trust: Sequence[x509.Certificate], at: datetime
) -> Proof:
    signer = message.certificate
    if signer is None:
        return Proof(claim, reason="the certificate of its signer is not in the file")
    holds = _holds(message, signer)
    if holds is None:
        return Proof(claim, reason="its kind of signature is not known here")
    if not holds:
        return Proof(claim, holds=False, reason="the signature was not made for this file")
    if not message.plain:
        return Proof(claim, holds=True, reason="it does not say plainly what was signed")
    weak = {message.algorithm, message.signer_algorithm} - {*_STRONG}
    if weak:
        return Proof(claim, holds=True, reason=f"it rests on {min(weak).upper()}")
    reason = chain.why_not_code_signer(signer, message.others, trust, at=at)
    return Proof(claim, holds=True, trusted=not reason, reason=reason)


def _holds(message: Message, signer: x509.Certificate) -> bool | None:
    """Whether the signer's key made the signature; None for a kind of signature unknown here."""
    public = signer.public_key()
    digest = _HASHES[message.signer_algorithm]
    named = message.key_algorithm
    try:
        if isinstance(public, rsa.RSAPublicKey) and named in _RSA:
            public.verify(message.signature, message.attributes, padding.PKCS1v15(), digest)
        elif isinstance(public, ec.EllipticCurvePublicKey) and (
            named in _ECDSA or named.startswith(_ECDSA_2)
        ):
            public.verify(message.signature, message.attributes, ec.ECDSA(digest))
        else:
            return None
    except InvalidSignature:
        return False
    return True
