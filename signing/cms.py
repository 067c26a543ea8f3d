"""Detached CMS signatures (RFC 5652 sections 5 and 11; RFC 5754 for SHA-2 in CMS).

Types are declared once and decoded by cryptography's own DER parser; nothing here walks tags by
hand. A signature is accepted only in the one encoding DER allows, byte for byte, and holds nothing
that its signers do not use: so no byte of it can change and leave it valid. There are three
exceptions, and none vouches for anything else: the certificate of a second signer whom nobody
here trusts may change, so may that of a CA which a trusted signer brings along for others, and an
ECDSA signature (r, s) may be written as (r, n - s).

Who is trusted: a signer whose certificate *is* one of the trusted certificates (pinned), or was
issued for code signing by a trusted CA, directly or through CAs in the message. Expiry follows
architecture.md, "Clock":

- A pinned certificate does not expire here. Whoever holds the medium named that very key, and no
  clock, least of all one with a dead CMOS battery, makes it more or less the key they named.
- A certificate issued by a CA must have been valid at the signing time the signer states. With
  `now` given (a build host, whose clock is right) it must be valid then too; without it (at
  boot) no clock is read at all. No timestamp authority confirms the stated time, so at boot a
  stolen key of a CA's certificate outlives that certificate. Pin instead where that matters.
- Making signatures with an expired key is refused (`sign_detached`).

Not accepted: SHA-1 and MD5, RSA-PSS and EdDSA, signatures without signed attributes, attached
content, CRLs, unsigned attributes (a timestamp belongs into what Windows reads, not here).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from signing import chain, keys, sign_message
from signing import cms_layout as layout
from signing.cms_layout import Algorithm, Attribute, IssuerAndSerial, SignerInfo
from signing.errors import SigningError, TamperedError, UntrustedError
from signing.signer import Signer

LARGEST_SIGNATURE = 64 * 1024
MOST_SIGNERS = 8  # several allow a change of keys; without a bound they are free work for us

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
# Signature algorithms by OID, and the digest that each fixes ("": the signer's digest algorithm).
_RSA = {
    "1.2.840.113549.1.1.1": "",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
_ECDSA = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}


@asn1.sequence
class _Encapsulated:
    content_type: x509.ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)]


@asn1.sequence
class _TypeAttribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[x509.ObjectIdentifier]


@asn1.sequence
class _DigestAttribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[bytes]


@asn1.sequence
class _TimeAttribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.UTCTime | asn1.GeneralizedTime]


_Attributes = dict[x509.ObjectIdentifier, bytes]  # each attribute's DER by its type


@asn1.sequence
class _CertificateSignature:
    signed: asn1.TLV
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[Algorithm]
    encapsulated: _Encapsulated
    certificates: Annotated[asn1.SetOf[x509.Certificate] | None, asn1.Implicit(0)]
    crls: Annotated[asn1.SetOf[x509.CertificateRevocationList] | None, asn1.Implicit(1)]
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class _ContentInfo:
    content_type: x509.ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed, and when they say they did."""

    certificate: x509.Certificate
    signing_time: datetime | None


# --- making ---------------------------------------------------------------------------------


def sign_detached(
    content: bytes,
    *signers: Signer,
    signing_time: datetime | None = None,
    bare: bool = False,
) -> bytes:
    """A DER CMS SignedData over `content`, which is not inside, by all of `signers`.

    `signing_time`: what it states (None: now). `bare`: without attributes, so the signature is over
    the content itself and states no time; `ipxe` wants that, and `verify_detached` refuses it.
    Raises KeyFileError for an expired key, and where one cannot sign.
    """
    now = datetime.now(UTC)
    for signer in signers:
        keys.refuse_expired(signer.certificate, now)
    how = sign_message.How(signing_time=signing_time or now, bare=bare)
    return sign_message.message(sign_message.Content(layout.DATA, content), signers, how)


# --- judging --------------------------------------------------------------------------------


def verify_detached(
    content: bytes,
    signature: bytes,
    trusted: Sequence[x509.Certificate],
    *,
    now: datetime | None = None,
    name: str = "content",
) -> Signed:
    """Who vouches for `content`: the first of the signers that is trusted.

    Every signature in it must hold, and one signer must be trusted. `now` is explained above;
    `name` is what errors call the content.
    Raises TamperedError when the content is not what was signed, UntrustedError when a stranger
    signed it, SigningError when the signature itself is no good.
    """
    # (1) Nothing may be vouched for by nobody.
    if not trusted:
        raise UntrustedError("no trusted certificate was given, so no signature can be trusted")
    # (2) The envelope: one encoding, nothing unused in it.
    envelope = _decode(signature)
    signers = envelope.signers.as_list()
    _check_envelope(envelope, signers)
    embedded = envelope.certificates.as_list() if envelope.certificates else []
    for certificate in embedded:
        _check_whole_bytes(certificate)
    # (3) Every signer: attributes, content, signature.
    verified = [
        _verify_signer(signer, (name, content), [*trusted, *embedded]) for signer in signers
    ]
    # (4) Every certificate in the envelope has been used, or is known anyway.
    used = _used([found.certificate for found in verified], trusted, embedded)
    if any(certificate not in used for certificate in embedded):
        raise SigningError("the signature carries a certificate that none of its signers uses")
    # (5) One signer is trusted.
    return _first_trusted(verified, (trusted, embedded), now)


def _decode(signature: bytes) -> _SignedData:
    if len(signature) > LARGEST_SIGNATURE:
        raise SigningError(
            f"the signature has {len(signature):,} bytes; none needs over {LARGEST_SIGNATURE:,}"
        )
    outer = _parse(_ContentInfo, signature)
    if outer.content_type != layout.SIGNED_DATA:
        raise SigningError("the signature file holds another kind of CMS message")
    # DER has one encoding per value, but decoders are more generous than that in places.
    if asn1.encode_der(outer) != signature:
        raise SigningError("the signature is not in DER")
    return outer.content


_Declared = TypeVar("_Declared")


def _parse(kind: type[_Declared], der: bytes) -> _Declared:
    try:
        return asn1.decode_der(kind, der)
    except keys.UNREADABLE as exc:
        reason = str(exc).removeprefix("error parsing asn1 value: ")
        raise SigningError(f"the signature is damaged, or not one we know: {reason}") from exc


def _check_envelope(envelope: _SignedData, signers: Sequence[SignerInfo]) -> None:
    if not 1 <= len(signers) <= MOST_SIGNERS:
        raise SigningError(f"the signature has {len(signers)} signers, not 1 to {MOST_SIGNERS}")
    by_key_id = any(isinstance(signer.sid, bytes) for signer in signers)
    if envelope.version != (3 if by_key_id else 1):  # RFC 5652, 5.1
        raise SigningError(f"the signature has the unexpected version {envelope.version}")
    inside = envelope.encapsulated
    if inside.content_type != layout.DATA or inside.content is not None:
        raise SigningError("the signature is not a detached one over plain data")
    if envelope.crls is not None:
        raise SigningError("the signature carries revocation lists, which nothing here signs")
    listed = {item.algorithm for item in envelope.digests.as_list()}
    if listed != {signer.digest.algorithm for signer in signers}:
        raise SigningError("the signature lists digests that its signers do not use")


def _check_whole_bytes(certificate: x509.Certificate) -> None:
    # The count of unused bits of its BIT STRING is the one byte of a certificate that its issuer's
    # signature does not cover.
    der = certificate.public_bytes(serialization.Encoding.DER)
    if _parse(_CertificateSignature, der).signature.padding_bits() != 0:
        raise SigningError("a certificate in the signature is damaged: its signature is cut")


def _used(
    signers: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    embedded: Sequence[x509.Certificate],
) -> list[x509.Certificate]:
    """The signers, the trusted, and each CA that leads from a signer to one who is trusted."""
    known = [*signers, *trusted]
    for one in known:  # grows while it is walked; by each of the embedded once
        if not any(_issued(other, one) for other in trusted):
            known += [other for other in embedded if other not in known and _issued(other, one)]
    return known


def _issued(issuer: x509.Certificate, one: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (InvalidSignature, TypeError, x509.ExtensionNotFound, *keys.UNREADABLE):
        return False


def _verify_signer(
    signer: SignerInfo, named: tuple[str, bytes], certificates: Sequence[x509.Certificate]
) -> Signed:
    if signer.version != (3 if isinstance(signer.sid, bytes) else 1):  # RFC 5652, 5.3
        raise SigningError(f"a signer has the unexpected version {signer.version}")
    if signer.unsigned is not None:
        raise SigningError("a signer carries unsigned attributes, which nobody vouches for")
    digest = _DIGESTS.get(signer.digest.algorithm.dotted_string)
    if digest is None:
        raise SigningError("a signer uses a digest other than SHA-256, SHA-384 and SHA-512")
    if signer.signed is None:
        raise SigningError("a signer has no signed attributes")
    attributes = _attributes(signer.signed)
    signing_time = _signing_time(attributes)
    certificate = _certificate_of(signer.sid, certificates)
    # What is signed is the DER of the set itself, not of the field [0] that holds it.
    _verify_bytes(certificate, signer, digest, asn1.encode_der(signer.signed))
    _check_content(attributes, digest, *named)
    return Signed(certificate, signing_time)


def _attributes(found: asn1.SetOf[Attribute]) -> _Attributes:
    """Signed attributes by type; each has one value and occurs once (RFC 5652, section 11)."""
    attributes: _Attributes = {}
    for attribute in found.as_list():
        if attribute.type in attributes or len(attribute.values.as_list()) != 1:
            raise SigningError(f"attribute {attribute.type.dotted_string} occurs more than once")
        attributes[attribute.type] = asn1.encode_der(attribute)
    return attributes


def _signing_time(attributes: _Attributes) -> datetime | None:
    if layout.SIGNING_TIME not in attributes:
        return None
    value = _parse(_TimeAttribute, attributes[layout.SIGNING_TIME]).values.as_list()[0]
    return value.as_datetime().replace(tzinfo=UTC)


def _check_content(
    attributes: _Attributes, digest: hashes.HashAlgorithm, name: str, content: bytes
) -> None:
    if layout.CONTENT_TYPE not in attributes or layout.MESSAGE_DIGEST not in attributes:
        raise SigningError("a signer does not say what was signed")
    kind = _parse(_TypeAttribute, attributes[layout.CONTENT_TYPE]).values.as_list()[0]
    if kind != layout.DATA:
        raise SigningError("a signer speaks of another type of content")
    expected = _parse(_DigestAttribute, attributes[layout.MESSAGE_DIGEST]).values.as_list()[0]
    if expected != hashlib.new(digest.name, content).digest():
        raise TamperedError(name, "is not what was signed")


def _certificate_of(
    sid: IssuerAndSerial | bytes, certificates: Sequence[x509.Certificate]
) -> x509.Certificate:
    for certificate in certificates:
        if _is_named(certificate, sid):
            return certificate
    raise UntrustedError(
        "the signer's certificate is neither in the signature nor trusted",
        hint="the medium was signed by somebody else, or with another key",
    )


def _is_named(certificate: x509.Certificate, sid: IssuerAndSerial | bytes) -> bool:
    try:
        if isinstance(sid, bytes):
            extensions = certificate.extensions
            return extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest == sid
        named = asn1.encode_der(sid.issuer)
        return certificate.serial_number == sid.serial and layout.issuer_of(certificate) == named
    except x509.ExtensionNotFound:
        return False
    except keys.UNREADABLE as exc:
        raise SigningError(f"a certificate in the signature is damaged: {exc}") from exc


def _verify_bytes(
    certificate: x509.Certificate, signer: SignerInfo, digest: hashes.HashAlgorithm, data: bytes
) -> None:
    algorithm = signer.algorithm.algorithm.dotted_string
    try:
        public = certificate.public_key()
        if isinstance(public, rsa.RSAPublicKey) and _RSA.get(algorithm) in ("", digest.name):
            if public.key_size < keys.SMALLEST_RSA_BITS:
                raise SigningError(f"the signer's RSA key has only {public.key_size} bits")
            public.verify(signer.signature, data, padding.PKCS1v15(), digest)
        elif isinstance(public, ec.EllipticCurvePublicKey) and _ECDSA.get(algorithm) == digest.name:
            public.verify(signer.signature, data, ec.ECDSA(digest))
        else:
            raise SigningError(f"a signature of kind {algorithm} does not fit its signer's key")
    except InvalidSignature as exc:
        raise SigningError("the signature does not hold: it or its certificate changed") from exc
    except keys.UNREADABLE as exc:
        raise SigningError(f"the signer's key cannot be used: {exc}") from exc


_Known = tuple[Sequence[x509.Certificate], Sequence[x509.Certificate]]  # trusted, and embedded


def _first_trusted(verified: Sequence[Signed], known: _Known, now: datetime | None) -> Signed:
    problems: list[str] = []
    for signed in verified:
        if signed.certificate in known[0]:  # pinned
            return signed
        problem = _why_not_issued(signed, known, now)
        if not problem:
            return signed
        problems.append(problem)
    signer = verified[0].certificate
    raise UntrustedError(
        f"signed by {keys.organisation(signer) or 'somebody'}: {'; '.join(problems)}",
        hint=f"the signer's certificate is {keys.grouped(keys.fingerprint(signer))}",
    )


def _why_not_issued(signed: Signed, known: _Known, now: datetime | None) -> str:
    stated = signed.signing_time
    if stated is None:
        return "the signature does not say when it was made, so its certificate cannot be judged"
    problem = _why_no_path(signed.certificate, known, stated)
    if not problem and now is not None and now > stated:  # a clock that is behind decides nothing
        problem = _why_no_path(signed.certificate, known, now)
    return problem


def _why_no_path(leaf: x509.Certificate, known: _Known, at: datetime) -> str:
    """Directly from a trusted CA, or through CAs that the message brings along."""
    trusted, embedded = known
    try:
        if leaf.issuer == leaf.subject:  # such as one that renewed a trusted one
            return "its certificate is not trusted here, and nobody but itself issued it"
    except keys.UNREADABLE as exc:
        return f"its certificate is damaged: {exc}"
    between = [one for one in embedded if one != leaf and one not in trusted]
    problem = chain.why_not_issued(leaf, trusted, at=at)
    if problem and between and not chain.why_not_code_signer(leaf, between, trusted, at=at):
        return ""
    return problem
