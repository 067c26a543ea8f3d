"""The CMS message in a signed executable: read, not judged.

Sources: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008); Microsoft "PE
Format", "The Attribute Certificate Table"; RFC 2315. Older signers filled tables up, which is no
DER and is cut off. Sets have to be in DER's order, as in all signed files at hand. Not looked at:
further and nested signatures, page hashes, timestamps.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.utils import CryptographyDeprecationWarning

from signing import keys

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_OF_INDIRECT_DATA = x509.ObjectIdentifier(_INDIRECT_DATA)
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_DIGESTS = {
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_PKCS_SIGNED_DATA = 2  # wCertificateType
_MAX_CERTIFICATES = 64


class UnreadableError(Exception):
    """The bytes do not follow their format. Never leaves this room."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one signature says, each part as its signer wrote it."""

    algorithm: str  # of the file's digest: "sha256"
    digest: bytes  # that the file should have
    content: bytes  # what the attribute messageDigest is about
    content_digest: bytes  # as that attribute has it
    plain: bool  # the attributes say once each what was signed and of which kind it is
    attributes: bytes  # DER of the signed attributes: what the signature is over
    signer_algorithm: str  # digest of content and attributes
    key_algorithm: str  # OID the signature names
    signature: bytes
    certificate: x509.Certificate | None  # the signer's, where the message holds it
    others: tuple[x509.Certificate, ...]  # the rest of its certificates that can be read


@asn1.sequence
class _Algorithm:
    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _ContentInfo:
    content_type: x509.ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[_Algorithm]
    encapsulated: _ContentInfo
    certificates: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    crls: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(1)]
    signers: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _Attribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _SignerInfo:
    version: int
    sid: _IssuerAndSerial
    digest: _Algorithm
    signed: Annotated[asn1.SetOf[_Attribute], asn1.Implicit(0)]
    algorithm: asn1.TLV
    signature: bytes
    unsigned: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _DigestInfo:
    algorithm: _Algorithm
    digest: bytes


@asn1.sequence
class _IndirectData:
    data: asn1.TLV
    digest: _DigestInfo


def read(table: bytes) -> Message:
    """The message in the first entry of a certificate table.

    Raises UnreadableError, and struct.error or one of keys.UNREADABLE, where the bytes are no such.
    """
    signed = _signed_data(table)
    if signed.encapsulated.content_type.dotted_string != _INDIRECT_DATA:
        raise UnreadableError
    content = signed.encapsulated.content
    named = asn1.decode_der(_IndirectData, asn1.encode_der(content)).digest
    signers = signed.signers.as_list()
    if len(signers) != 1:  # the format's own rule
        raise UnreadableError
    signer = asn1.decode_der(_SignerInfo, asn1.encode_der(signers[0]))
    attributes = signer.signed.as_list()
    own, others = _certificates(signed, signer.sid)
    return Message(
        algorithm=_algorithm(named.algorithm),
        digest=named.digest,
        content=bytes(content.data),
        content_digest=_content_digest(attributes),
        plain=_is_plain(attributes),
        # What is signed is the DER of the set itself, not of the field [0] that holds it.
        attributes=asn1.encode_der(signer.signed),
        signer_algorithm=_algorithm(signer.digest),
        key_algorithm=_key_algorithm(signer.algorithm),
        signature=signer.signature,
        certificate=own,
        others=others,
    )


def _signed_data(table: bytes) -> _SignedData:
    """The CMS message in the first entry of the table (WIN_CERTIFICATE)."""
    length, _, kind = struct.unpack_from("<IHH", table)
    if kind != _PKCS_SIGNED_DATA or not 8 < length <= len(table):
        raise UnreadableError
    message = asn1.decode_der(_ContentInfo, _without_filling(table[8:length]))
    if message.content_type.dotted_string != _SIGNED_DATA:
        raise UnreadableError
    return asn1.decode_der(_SignedData, asn1.encode_der(message.content))


def _without_filling(entry: bytes) -> bytes:
    """Entries are filled up, and what fills them is no DER: its first length says where it ends."""
    if len(entry) < 4 or entry[0] != 0x30:
        raise UnreadableError
    if entry[1] < 0x80:
        return entry[: 2 + entry[1]]
    count = entry[1] & 0x7F
    return entry[: 2 + count + int.from_bytes(entry[2 : 2 + count], "big")]


def _algorithm(found: _Algorithm) -> str:
    name = _DIGESTS.get(found.algorithm.dotted_string)
    if name is None:
        raise UnreadableError
    return name


def _key_algorithm(found: asn1.TLV) -> str:
    """ "" for one that has parameters of its own, which none of those we know does."""
    try:
        return asn1.decode_der(_Algorithm, asn1.encode_der(found)).algorithm.dotted_string
    except keys.UNREADABLE:
        return ""


def _content_digest(attributes: Sequence[_Attribute]) -> bytes:
    for attribute in attributes:
        if attribute.type.dotted_string == _MESSAGE_DIGEST:
            values = attribute.values.as_list()
            return bytes(values[0].data) if len(values) == 1 else b""
    raise UnreadableError


def _is_plain(attributes: Sequence[_Attribute]) -> bool:
    types = [attribute.type.dotted_string for attribute in attributes]
    if types.count(_MESSAGE_DIGEST) != 1 or types.count(_CONTENT_TYPE) != 1:
        return False
    values = attributes[types.index(_CONTENT_TYPE)].values.as_list()
    return [asn1.encode_der(value) for value in values] == [asn1.encode_der(_OF_INDIRECT_DATA)]


def _certificates(
    signed: _SignedData, sid: _IssuerAndSerial
) -> tuple[x509.Certificate | None, tuple[x509.Certificate, ...]]:
    """(the signer's, those of others); one that cannot be read is nobody's."""
    issuer = asn1.encode_der(sid.issuer)
    found = signed.certificates.as_list() if signed.certificates else []
    own: x509.Certificate | None = None
    others: list[x509.Certificate] = []
    with warnings.catch_warnings():  # old certificates have serial numbers that are frowned upon
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for each in found[:_MAX_CERTIFICATES]:
            try:
                certificate = x509.load_der_x509_certificate(asn1.encode_der(each))
                named = certificate.serial_number == sid.serial
                if own is None and named and certificate.issuer.public_bytes() == issuer:
                    own = certificate
                else:
                    others.append(certificate)
            except keys.UNREADABLE:
                continue
    return own, tuple(others)
