"""Making CMS messages: SignedData by one or several signers, whatever it is about.

RFC 5652 section 5; PKCS #7 1.5 (RFC 2315), whose version number Authenticode keeps. The same keys,
content and signing time give the same bytes: RSA PKCS #1 v1.5 is so by itself, ECDSA is made so by
our own keys (RFC 6979); a timestamp is another one each time. Attributes stand in DER's order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from signing import cms_layout as layout
from signing import signer as answers
from signing.cms_layout import Algorithm, Attribute, IssuerAndSerial, SignerInfo
from signing.signer import Signer

Stamp = Callable[[bytes], bytes]  # a signature's bytes -> DER of the token that dates them
STAMP_OF_WINDOWS = x509.ObjectIdentifier("1.3.6.1.4.1.311.3.3.1")  # holds an RFC 3161 token


@asn1.sequence
class _Detached:
    content_type: x509.ObjectIdentifier


@asn1.sequence
class _Attached:
    content_type: x509.ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[Algorithm]
    encapsulated: asn1.TLV  # one of the two above
    certificates: Annotated[asn1.SetOf[asn1.TLV], asn1.Implicit(0)]
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class _ContentInfo:
    content_type: x509.ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@dataclass(frozen=True, slots=True)
class Content:
    """What is signed."""

    type: x509.ObjectIdentifier
    digested: bytes  # the bytes whose digest is signed
    inside: bytes | None = None  # DER of what lies in the message; None: it is detached


@dataclass(frozen=True, slots=True)
class How:
    digest: str = "sha256"
    signing_time: datetime | None = None  # as the attributes state it; None: not stated
    attributes: tuple[Attribute, ...] = ()  # further signed ones
    bare: bool = False  # no signed attributes: the signature is over the content itself
    stamp: Stamp | None = None


def message(content: Content, signers: Sequence[Signer], how: How = How()) -> bytes:
    """DER of a ContentInfo with a SignedData. Raises KeyFileError; what `how.stamp` raises."""
    if not signers:
        raise ValueError("a message that nobody signs")
    infos = [_signer_info(content, signer, how) for signer in signers]
    signed = _SignedData(
        version=1,
        digests=asn1.SetOf([digest_algorithm(how.digest)]),
        encapsulated=_encapsulated(content),
        certificates=asn1.SetOf([tlv(der) for der in _certificates(signers)]),
        signers=asn1.SetOf(infos),
    )
    return asn1.encode_der(_ContentInfo(content_type=layout.SIGNED_DATA, content=signed))


def _encapsulated(content: Content) -> asn1.TLV:
    if content.inside is None:
        return tlv(asn1.encode_der(_Detached(content_type=content.type)))
    attached = _Attached(content_type=content.type, content=tlv(content.inside))
    return tlv(asn1.encode_der(attached))


def _certificates(signers: Sequence[Signer]) -> list[bytes]:
    """Each once; DER's order is made by the encoder."""
    found = (one for signer in signers for one in (signer.certificate, *signer.others))
    return list(dict.fromkeys(one.public_bytes(serialization.Encoding.DER) for one in found))


def _signer_info(content: Content, signer: Signer, how: How) -> SignerInfo:
    attributes = None if how.bare else asn1.SetOf(_attributes(content, how))
    # What is signed is the DER of the set itself, not of the field [0] that holds it.
    data = content.digested if attributes is None else asn1.encode_der(attributes)
    made = answers.signature(signer, data, how.digest)
    unsigned = None
    if how.stamp is not None:
        unsigned = asn1.SetOf([attribute(STAMP_OF_WINDOWS, how.stamp(made))])
    certificate = signer.certificate
    issuer = tlv(layout.issuer_of(certificate))
    return SignerInfo(
        version=1,
        sid=IssuerAndSerial(issuer=issuer, serial=certificate.serial_number),
        digest=digest_algorithm(how.digest),
        signed=attributes,
        algorithm=_algorithm(certificate, how.digest),
        signature=made,
        unsigned=unsigned,
    )


def _attributes(content: Content, how: How) -> list[Attribute]:
    digest = hashlib.new(how.digest, content.digested).digest()
    made = [
        attribute(layout.CONTENT_TYPE, asn1.encode_der(content.type)),
        attribute(layout.MESSAGE_DIGEST, asn1.encode_der(digest)),
        *how.attributes,
    ]
    if how.signing_time is not None:
        made.append(attribute(layout.SIGNING_TIME, _time(how.signing_time)))
    return made


def _time(moment: datetime) -> bytes:
    """RFC 5652, 11.3: UTCTime until 2049."""
    whole = moment.astimezone(UTC).replace(microsecond=0)
    if 1950 <= whole.year < 2050:
        return asn1.encode_der(asn1.UTCTime(whole))
    return asn1.encode_der(asn1.GeneralizedTime(whole))


def digest_algorithm(name: str) -> Algorithm:
    return Algorithm(algorithm=layout.DIGEST_OIDS[name], parameters=asn1.Null())


def _algorithm(certificate: x509.Certificate, digest: str) -> Algorithm:
    if isinstance(certificate.public_key(), rsa.RSAPublicKey):
        return Algorithm(algorithm=layout.RSA_OID, parameters=asn1.Null())
    return Algorithm(algorithm=layout.ECDSA_OIDS[digest], parameters=None)


def attribute(kind: x509.ObjectIdentifier, value: bytes) -> Attribute:
    """An attribute with one value, given in DER."""
    return Attribute(type=kind, values=asn1.SetOf([tlv(value)]))


def tlv(der: bytes) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, der)
