"""What a Windows executable says of its own signature. It says nothing about trust.

`examine` compares the digest that the first embedded signature names with the digest of the file,
and reads the name in the certificate that signature claims. No signature is verified, no chain is
built, no time is looked at: anybody can make a file for which the answer is "embedded". What it
tells apart is files that are as their maker left them, files that changed since, and files without
a signature of their own (which a catalog may still vouch for).

Sources: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008): what is
hashed, SpcIndirectDataContent; Microsoft "PE Format", "The Attribute Certificate Table"; RFC 2315.
Older signers sorted nothing and filled tables up, so the encoding is taken as it comes. Not looked
at: further and nested signatures, page hashes, timestamps.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from signing import keys

LARGEST_TABLE = 4 << 20  # page hashes of the largest drivers take a few hundred KiB

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_DIGESTS = {
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_PKCS_SIGNED_DATA = 2  # wCertificateType
_CHUNK = 1 << 20
_HEAD = 4096
_MAX_PE_OFFSET = 0x10000
_MAX_CERTIFICATES = 64


class Vouching(StrEnum):
    """What a file's own signature claims of the file."""

    EMBEDDED = "embedded"  # the digest in it is that of the file
    NONE = "none"  # there is no signature in the file
    TAMPERED = "tampered"  # the digest in it is another one
    UNREADABLE = "unreadable"  # no executable, or a signature that cannot be read


@dataclass(frozen=True, slots=True)
class Claim:
    vouching: Vouching
    signer: str = ""  # common name in the certificate that is claimed; nobody has verified it
    algorithm: str = ""  # of the file's digest: "sha256"


class Stream(Protocol):
    """An open file, buffered or not."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes | None: ...


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


def examine(stream: Stream) -> Claim:
    """The claim of the first signature embedded in a file. Says nothing about trust.

    Reads the whole file where there is a signature. Raises OSError where it cannot be read, and
    nothing else, whatever the bytes are.
    """
    try:
        image = _image(stream)
        if image is None:
            return Claim(Vouching.NONE)
        return _claim(stream, image)
    except (_UnreadableError, struct.error, *keys.UNREADABLE):
        return Claim(Vouching.UNREADABLE)


class _UnreadableError(Exception):
    """The bytes do not follow their format. Never leaves this module."""


# --- the file -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Image:
    """Where in a file the bytes lie that its digest leaves out."""

    checksum_at: int
    directory_at: int  # entry of the certificate table in the optional header
    table_at: int
    table_size: int
    size: int  # of the file

    def hashed(self) -> Iterator[tuple[int, int]]:
        """(start, end) of what is hashed: all but the two fields and the table itself."""
        yield 0, self.checksum_at
        yield self.checksum_at + 4, self.directory_at
        yield self.directory_at + 8, self.table_at
        yield self.table_at + self.table_size, self.size


def _image(stream: Stream) -> _Image | None:
    """None for an executable without a signature."""
    size = stream.seek(0, 2)
    head = _read(stream, 0, _HEAD)
    start: int
    magic, start = struct.unpack_from("<2s58xI", head)
    if magic != b"MZ" or start > _MAX_PE_OFFSET:
        raise _UnreadableError
    optional = _read(stream, start, 24 + 240)
    (kind,) = struct.unpack_from("<H", optional, 24)
    if optional[:4] != b"PE\0\0" or kind not in (0x10B, 0x20B):
        raise _UnreadableError
    directories = 24 + (112 if kind == 0x20B else 96)
    (count,) = struct.unpack_from("<I", optional, directories - 4)
    entry = directories + 4 * 8
    at, length = struct.unpack_from("<II", optional, entry) if count > 4 else (0, 0)
    if not at or not length:
        return None
    directory_at = start + entry
    if at < directory_at + 8 or at + length > size or length > LARGEST_TABLE:
        raise _UnreadableError
    return _Image(start + 24 + 64, directory_at, at, length, size)


def _digest(stream: Stream, image: _Image, algorithm: str) -> bytes:
    total: Any = hashlib.new(algorithm, usedforsecurity=False)
    for start, end in image.hashed():
        stream.seek(start)
        left = end - start
        while left > 0:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise _UnreadableError
            total.update(data)
            left -= len(data)
    digest: bytes = total.digest()
    return digest


def _read(stream: Stream, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size) or b""


# --- the signature ------------------------------------------------------------------------


def _claim(stream: Stream, image: _Image) -> Claim:
    signed = _signed_data(_read(stream, image.table_at, image.table_size))
    if signed.encapsulated.content_type.dotted_string != _INDIRECT_DATA:
        raise _UnreadableError
    content = signed.encapsulated.content
    named = asn1.decode_der(_IndirectData, asn1.encode_der(content)).digest
    signers = signed.signers.as_list()
    if len(signers) != 1:  # the format's own rule
        raise _UnreadableError
    signer = asn1.decode_der(_SignerInfo, asn1.encode_der(signers[0]))
    algorithm = _algorithm(named.algorithm)
    intact = _attests(signer, bytes(content.data)) and named.digest == _digest(
        stream, image, algorithm
    )
    vouching = Vouching.EMBEDDED if intact else Vouching.TAMPERED
    return Claim(vouching, _common_name(signed, signer.sid), algorithm)


def _signed_data(table: bytes) -> _SignedData:
    """The CMS message in the first entry of the table (WIN_CERTIFICATE)."""
    length, _, kind = struct.unpack_from("<IHH", table)
    if kind != _PKCS_SIGNED_DATA or not 8 < length <= len(table):
        raise _UnreadableError
    message = asn1.decode_der(_ContentInfo, _without_filling(table[8:length]))
    if message.content_type.dotted_string != _SIGNED_DATA:
        raise _UnreadableError
    return asn1.decode_der(_SignedData, asn1.encode_der(message.content))


def _without_filling(entry: bytes) -> bytes:
    """Entries are filled up, and what fills them is no DER: its first length says where it ends."""
    if len(entry) < 4 or entry[0] != 0x30:
        raise _UnreadableError
    if entry[1] < 0x80:
        return entry[: 2 + entry[1]]
    count = entry[1] & 0x7F
    return entry[: 2 + count + int.from_bytes(entry[2 : 2 + count], "big")]


def _algorithm(found: _Algorithm) -> str:
    name = _DIGESTS.get(found.algorithm.dotted_string)
    if name is None:
        raise _UnreadableError
    return name


def _attests(signer: _SignerInfo, content: bytes) -> bool:
    """Whether the signed attributes name the digest of the content they were made for."""
    for attribute in signer.signed.as_list():
        if attribute.type.dotted_string == _MESSAGE_DIGEST:
            values = attribute.values.as_list()
            digest = hashlib.new(_algorithm(signer.digest), content, usedforsecurity=False)
            return len(values) == 1 and bytes(values[0].data) == digest.digest()
    raise _UnreadableError


def _common_name(signed: _SignedData, sid: _IssuerAndSerial) -> str:
    """As the certificate of that issuer and number in the message has it; "" without one."""
    issuer = asn1.encode_der(sid.issuer)
    found = signed.certificates.as_list() if signed.certificates else []
    with warnings.catch_warnings():  # old certificates have serial numbers that are frowned upon
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for each in found[:_MAX_CERTIFICATES]:
            try:
                certificate = x509.load_der_x509_certificate(asn1.encode_der(each))
                named = certificate.serial_number == sid.serial
                if named and certificate.issuer.public_bytes() == issuer:
                    return _name(certificate)
            except keys.UNREADABLE:
                continue
    return ""


def _name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(names[0].value) if names else ""
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()
