"""The parts of a CMS message, declared once for who makes them and who judges ours.

RFC 5652 sections 5 and 11. What a message is about differs (plain data, an executable, a time), so
the whole around these parts is declared where it is used.
"""

from __future__ import annotations

from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

from signing import der
from signing.der import Cursor

DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.1")
SIGNED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
CONTENT_TYPE = x509.ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = x509.ObjectIdentifier("1.2.840.113549.1.9.4")
SIGNING_TIME = x509.ObjectIdentifier("1.2.840.113549.1.9.5")

DIGEST_OIDS = {
    "sha256": x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1"),
    "sha384": x509.ObjectIdentifier("2.16.840.1.101.3.4.2.2"),
    "sha512": x509.ObjectIdentifier("2.16.840.1.101.3.4.2.3"),
}
RSA_OID = x509.ObjectIdentifier("1.2.840.113549.1.1.1")
ECDSA_OIDS = {  # RFC 5754: each fixes its digest
    "sha256": x509.ObjectIdentifier("1.2.840.10045.4.3.2"),
    "sha384": x509.ObjectIdentifier("1.2.840.10045.4.3.3"),
    "sha512": x509.ObjectIdentifier("1.2.840.10045.4.3.4"),
}


@asn1.sequence
class Algorithm:
    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class Attribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class SignerInfo:
    version: int
    sid: IssuerAndSerial | Annotated[bytes, asn1.Implicit(0)]
    digest: Algorithm
    signed: Annotated[asn1.SetOf[Attribute] | None, asn1.Implicit(0)]
    algorithm: Algorithm
    signature: bytes
    unsigned: Annotated[asn1.SetOf[Attribute] | None, asn1.Implicit(1)]


def issuer_of(certificate: x509.Certificate) -> bytes:
    """DER of its issuer's name as it lies there: others compare bytes. Raises MalformedError."""
    cursor = Cursor(certificate.tbs_certificate_bytes, "certificate").enter()
    cursor.optional(der.context(0))  # version
    cursor.integer()
    cursor.skip()  # algorithm
    return cursor.whole(der.SEQUENCE)
