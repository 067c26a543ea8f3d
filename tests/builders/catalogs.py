"""Windows catalogs (.cat), written by hand and signed by keys of the tests.

A catalog is a CMS message (RFC 2315) over a certificate trust list: Windows SDK, wincrypt.h
(CTL_INFO) has the fields of the list, wintrust.h (CAT_NAMEVALUE, CAT_MEMBERINFO, CAT_MEMBERINFO2)
those of a member; their order and both versions are as in the real catalogs of shared/data/signed
(sassoftware_hyperv.cat: 1, ralphje_115fe86….cat: 2). Version 1 names a member by its SHA-1 digest
in hexadecimal UTF-16; version 2 by the digest itself, and lists most files twice, by SHA-1 and by
SHA-256. That osslsigncode accepts what is made here a test says.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from signing.keys import SigningKey
from tests.builders.der import (
    NULL,
    bmp_string,
    integer,
    octets,
    oid,
    sequence,
    set_of,
    tagged,
    utc_time,
)

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TRUST_LIST = "1.3.6.1.4.1.311.10.1"
_CATALOG_LIST = "1.3.6.1.4.1.311.12.1.1"
_MEMBER = {1: "1.3.6.1.4.1.311.12.1.2", 2: "1.3.6.1.4.1.311.12.1.3"}
_NAME_VALUE = "1.3.6.1.4.1.311.12.2.1"
_MEMBER_INFO = {1: "1.3.6.1.4.1.311.12.2.2", 2: "1.3.6.1.4.1.311.12.2.3"}
_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_IMAGE, _FLAT = "1.3.6.1.4.1.311.2.1.15", "1.3.6.1.4.1.311.2.1.25"
_PAGE_HASHES = {20: "1.3.6.1.4.1.311.2.3.1", 32: "1.3.6.1.4.1.311.2.3.2"}  # by size of a digest
_PAGE_HASH_CLASS = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_RSA, _ECDSA = "1.2.840.113549.1.1.1", "1.2.840.10045.4.3."
_DIGESTS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_BY_SIZE = {16: "md5", 20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_SUBJECT_TYPE = {
    True: "{C689AAB8-8E78-11D0-8C47-00C04FC295EE}",  # CRYPT_SUBJTYPE_PE_IMAGE
    False: "{DE351A42-8E59-11D0-8C47-00C04FC295EE}",  # CRYPT_SUBJTYPE_FLAT_IMAGE
}
_IMAGE_FLAGS = b"\x03\x02\x05\xa0"  # SpcPeImageFlags as catalogs have them: resources, imports
_ATTRIBUTE_FLAGS = 0x1001_0001  # authenticated, name and value as text


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a catalog, by one digest of it."""

    digest: bytes
    name: str = ""  # its attribute "File"
    image: bool = True  # False: a plain file (INF), whose digest is that of all its bytes
    system: str = "2:10.0"  # its attribute "OSAttr"
    pages: bytes = b""  # the table of page hashes of an image, as it is stored
    page_digest: int = 32  # size of one digest in that table
    tag: bytes | None = None  # instead of what the version makes of the digest
    indirect: bool = True  # False: the tag alone says which file it is


@dataclass(frozen=True, slots=True)
class Details:
    """How a catalog differs from a plain one."""

    algorithm: str = "sha256"  # of content and attributes
    others: tuple[x509.Certificate, ...] = ()  # further certificates in the message
    attributes: tuple[tuple[str, str], ...] = (("OS", "_v100_X64"),)  # of the whole catalog
    when: datetime = datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
    identifier: bytes = bytes(range(16))
    content_type: str = _TRUST_LIST  # that the attributes claim
    unsigned: tuple[bytes, ...] = ()  # attributes (DER), as a timestamp is one
    signer: bool = True  # False: nobody signs it


def catalog(
    members: Sequence[Member],
    publisher: SigningKey,
    version: int = 2,
    details: Details = Details(),
) -> bytes:
    """A catalog of those members, in the order of their tags as Windows' tools sort them."""
    content = _trust_list(members, version, details)
    algorithm = _algorithm(details.algorithm)
    signers = [_signer(content, publisher, details)] if details.signer else []
    certificates = sorted(_der(one) for one in (publisher.certificate, *details.others))
    signed_data = sequence(
        integer(1),
        set_of([algorithm]),
        sequence(oid(_TRUST_LIST), tagged(0xA0, sequence(content))),
        tagged(0xA0, b"".join(certificates)),
        set_of(signers),
    )
    return sequence(oid(_SIGNED_DATA), tagged(0xA0, signed_data))


def file_members(
    name: str, sha1: bytes, sha256: bytes, *, image: bool = True, system: str = "2:10.0"
) -> list[Member]:
    """Both entries of one file in a catalog of version 2: SHA-1 has no indirect data there."""
    return [
        Member(sha1, name, image, system, indirect=False),
        Member(sha256, name, image, system),
    ]


def file_digest(image: bytes, algorithm: str) -> bytes:
    """Of an executable, as catalogs list it: "Windows Authenticode Portable Executable Signature
    Format" (2008), for files whose sections lie one behind the other."""
    (start,) = struct.unpack_from("<I", image, 60)
    (magic,) = struct.unpack_from("<H", image, start + 24)
    entry = start + 24 + (144 if magic == 0x20B else 128)  # of the certificate table
    at, size = struct.unpack_from("<II", image, entry)
    at = at or len(image)
    total = hashlib.new(algorithm, image[: start + 88])
    total.update(image[start + 92 : entry] + image[entry + 8 : at] + image[at + size :])
    return total.digest()


def _trust_list(members: Sequence[Member], version: int, details: Details) -> bytes:
    """The content of the CTL's SEQUENCE, over which messageDigest goes."""
    entries = sorted(((_tag(each, version), each) for each in members), key=itemgetter(0))
    named = [
        sequence(oid(_NAME_VALUE), octets(_name_value(name, value)))
        for name, value in details.attributes
    ]
    extensions = tagged(0xA0, sequence(*named)) if named else b""
    return b"".join(
        (
            sequence(oid(_CATALOG_LIST)),
            octets(details.identifier),
            utc_time(details.when),
            sequence(oid(_MEMBER[version]), NULL),
            sequence(*(_entry(tag, member, version) for tag, member in entries)),
            extensions,
        )
    )


def _tag(member: Member, version: int) -> bytes:
    if member.tag is not None:
        return member.tag
    if version == 1:
        return (member.digest.hex().upper() + "\0").encode("utf-16-le")
    return member.digest


def _entry(tag: bytes, member: Member, version: int) -> bytes:
    attributes = [_attribute(_MEMBER_INFO[version], _member_info(member, version))]
    if member.system:
        attributes.append(_attribute(_NAME_VALUE, _name_value("OSAttr", member.system)))
    if member.name:
        attributes.append(_attribute(_NAME_VALUE, _name_value("File", member.name)))
    if member.indirect:
        attributes.append(_attribute(_INDIRECT_DATA, _indirect_data(member)))
    return sequence(octets(tag), set_of(attributes))


def _attribute(kind: str, value: bytes) -> bytes:
    return sequence(oid(kind), set_of([value]))


def _member_info(member: Member, version: int) -> bytes:
    if version == 2:
        return tagged(0x80 if member.image else 0x82, b"")
    return sequence(bmp_string(_SUBJECT_TYPE[member.image]), integer(0x200))


def _name_value(name: str, value: str) -> bytes:
    text = (value + "\0").encode("utf-16-le")
    return sequence(bmp_string(name), integer(_ATTRIBUTE_FLAGS), octets(text))


def _indirect_data(member: Member) -> bytes:
    algorithm = _algorithm(_BY_SIZE[len(member.digest)])
    return sequence(_subject(member), sequence(algorithm, octets(member.digest)))


def _subject(member: Member) -> bytes:
    """SpcAttributeTypeAndOptionalValue: an image with an empty name, or with its page hashes."""
    if not member.image:
        return sequence(oid(_FLAT), tagged(0xA2, tagged(0x80, b"")))
    link = tagged(0xA2, tagged(0x80, b""))
    if member.pages:
        kind = oid(_PAGE_HASHES[member.page_digest])
        table = set_of([sequence(kind, set_of([octets(member.pages)]))])
        link = tagged(0xA1, octets(_PAGE_HASH_CLASS) + octets(table))
    return sequence(oid(_IMAGE), sequence(_IMAGE_FLAGS, tagged(0xA0, link)))


# --- the message --------------------------------------------------------------------------


def _signer(content: bytes, key: SigningKey, details: Details) -> bytes:
    digest = hashlib.new(details.algorithm, content).digest()
    attributes = set_of(
        [
            _attribute(_CONTENT_TYPE, oid(details.content_type)),
            _attribute(_MESSAGE_DIGEST, octets(digest)),
        ]
    )
    algorithm, signature = _sign(attributes, key, details.algorithm)
    unsigned = b"\xa1" + set_of(details.unsigned)[1:] if details.unsigned else b""
    return sequence(
        integer(1),
        sequence(key.certificate.issuer.public_bytes(), integer(key.certificate.serial_number)),
        _algorithm(details.algorithm),
        b"\xa0" + attributes[1:],  # [0] IMPLICIT, where the signature is over the SET itself
        algorithm,
        octets(signature),
        unsigned,
    )


def _sign(data: bytes, key: SigningKey, algorithm: str) -> tuple[bytes, bytes]:
    private, digest = key.private_key, _HASHES[algorithm]
    if isinstance(private, rsa.RSAPrivateKey):
        return sequence(oid(_RSA), NULL), private.sign(data, padding.PKCS1v15(), digest)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    kind = _ECDSA + {"sha256": "2", "sha384": "3", "sha512": "4"}[algorithm]
    return sequence(oid(kind)), private.sign(data, ec.ECDSA(digest))


def _algorithm(name: str) -> bytes:
    return sequence(oid(_DIGESTS[name]), NULL)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
