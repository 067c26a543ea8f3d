"""Authenticode signatures, written by hand: a test signs hundreds of stubs in no time.

Layout: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008), RFC 2315 and
RFC 5652 (SignerInfo), X.690 (DER); Microsoft "PE Format", "The Attribute Certificate Table". That
osslsigncode accepts what is made here a test says.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from signing.keys import SigningKey
from tests.builders import pe
from tests.signing.makers import Shape, certified

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_PE_IMAGE = "1.3.6.1.4.1.311.2.1.15"
_OPUS = "1.3.6.1.4.1.311.2.1.12"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_RSA, _ECDSA_SHA256 = "1.2.840.113549.1.1.1", "1.2.840.10045.4.3.2"
_OIDS = {"sha256": "2.16.840.1.101.3.4.2.1", "sha1": "1.3.14.3.2.26"}
_OPTIONAL = 0x40 + 24  # of the stubs of builders.pe


@dataclass(frozen=True, slots=True)
class How:
    """How a signature differs from a good one."""

    algorithm: str = "sha256"  # of file, content and attributes
    others: tuple[x509.Certificate, ...] = ()  # further certificates in the message
    kind: str = _INDIRECT_DATA  # that the attributes claim the content to be
    digest: bytes | None = None  # of the file, where it is to be another one


def signed(image: bytes, key: SigningKey, how: How = How()) -> bytes:
    """A stub of `builders.pe` with a signature in it, and the checksum that goes with it."""
    whole = image + bytes(-len(image) % 8)
    digest = how.digest or _file_digest(whole, how.algorithm)
    message = _message(digest, key, how)
    entry = message + bytes(-len(message) % 8)
    table = struct.pack("<IHH", 8 + len(entry), 0x0200, 0x0002) + entry
    at = _directory(whole)
    head = whole[:at] + struct.pack("<II", len(whole), len(table)) + whole[at + 8 :]
    return pe.with_checksum(head + table)


def _directory(image: bytes) -> int:
    """Where the entry of the certificate table is."""
    (magic,) = struct.unpack_from("<H", image, _OPTIONAL)
    return _OPTIONAL + (112 if magic == 0x20B else 96) + 4 * 8


def _file_digest(image: bytes, algorithm: str) -> bytes:
    checksum, at = _OPTIONAL + 64, _directory(image)
    total = hashlib.new(algorithm, image[:checksum])
    total.update(image[checksum + 4 : at])
    total.update(image[at + 8 :])
    return total.digest()


def _message(digest: bytes, key: SigningKey, how: How) -> bytes:
    algorithm = _sequence(_oid(_OIDS[how.algorithm]), b"\x05\x00")
    # SpcPeImageData: no flags, and an empty file name.
    link = _tagged(0xA2, _tagged(0x80, b""))
    image = _sequence(_oid(_PE_IMAGE), _sequence(b"\x03\x01\x00", _tagged(0xA0, link)))
    inside = image + _sequence(algorithm, _tagged(0x04, digest))
    content = _sequence(_oid(_INDIRECT_DATA), _tagged(0xA0, _sequence(inside)))
    certificates = b"".join(sorted(_der(one) for one in (key.certificate, *how.others)))
    signed_data = _sequence(
        _integer(1),
        _set(algorithm),
        content,
        _tagged(0xA0, certificates),
        _set(_signer(inside, key, how, algorithm)),
    )
    return _sequence(_oid(_SIGNED_DATA), _tagged(0xA0, signed_data))


def _signer(content: bytes, key: SigningKey, how: How, algorithm: bytes) -> bytes:
    attested = hashlib.new(how.algorithm, content).digest()
    attributes = b"".join(
        sorted(
            (
                _sequence(_oid(_OPUS), _set(_sequence())),
                _sequence(_oid(_CONTENT_TYPE), _set(_oid(how.kind))),
                _sequence(_oid(_MESSAGE_DIGEST), _set(_tagged(0x04, attested))),
            )
        )
    )
    issuer = key.certificate.issuer.public_bytes()
    name, signature = _sign(_set(attributes), key, how.algorithm)
    return _sequence(
        _integer(1),
        _sequence(issuer, _integer(key.certificate.serial_number)),
        algorithm,
        _tagged(0xA0, attributes),
        name,
        _tagged(0x04, signature),
    )


def _sign(data: bytes, key: SigningKey, algorithm: str) -> tuple[bytes, bytes]:
    digest = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}[algorithm]  # noqa: S303
    private = key.private_key
    if isinstance(private, rsa.RSAPrivateKey):
        made = private.sign(data, padding.PKCS1v15(), digest)
        return _sequence(_oid(_RSA), b"\x05\x00"), made
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return _sequence(_oid(_ECDSA_SHA256)), private.sign(data, ec.ECDSA(digest))


# --- DER ----------------------------------------------------------------------------------


def _tagged(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _set(content: bytes) -> bytes:
    return _tagged(0x31, content)


def _integer(number: int) -> bytes:
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytes((first * 40 + second,))
    for number in rest:
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        content += bytes(reversed(septets))
    return _tagged(0x06, content)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


# --- who signs ----------------------------------------------------------------------------


@cache
def root() -> SigningKey:
    """The test root that stands for Microsoft's."""
    return certified(Shape("Test root", ca=True, rsa_bits=2048))


@cache
def publisher() -> SigningKey:
    """Who signs the stubs, certified by that root for signing code."""
    return certified(Shape("Test publisher", rsa_bits=2048), root())


def trusted() -> Sequence[x509.Certificate]:
    return (root().certificate,)
