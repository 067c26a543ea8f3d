"""Stubs that a publisher has signed as it should be, or nearly so, for tests of other things.

`builders.signed` makes them; here are the keys that most tests share, and the few ways to differ
that they ask for. That osslsigncode accepts what is made here a test says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signing.keys import SigningKey
from tests.builders import signed as build
from tests.builders.authorities import Holder, Key
from tests.builders.der import sequence
from tests.signing.makers import Shape, certified

_OPUS = "1.3.6.1.4.1.311.2.1.12"  # SpcSpOpusInfo: a name and a link, both empty here


@dataclass(frozen=True, slots=True)
class How:
    """How a signature differs from a good one."""

    algorithm: str = "sha256"  # of file, content and attributes
    others: tuple[x509.Certificate, ...] = ()  # further certificates in the message
    kind: str = build.INDIRECT_DATA  # that the attributes claim the content to be
    digest: bytes | None = None  # of the file, where it is to be another one


def signed(image: bytes, key: SigningKey, how: How = How()) -> bytes:
    """A stub of `builders.pe` with a signature in it, and the checksum that goes with it."""
    whole = image + bytes(-len(image) % 8)
    signer = build.How(
        _holder(key),
        digest=how.algorithm,
        content_type=how.kind,
        further=(build.attribute(_OPUS, sequence()),),
        others=tuple(_der(each) for each in how.others),
    )
    content = build.about(whole, how.algorithm, digest=how.digest or b"")
    return build.signed(whole, build.message(content, [signer]))


def file_digest(image: bytes, algorithm: str) -> bytes:
    """The digest of a stub that nobody signed."""
    return build.file_digest(image + bytes(-len(image) % 8), algorithm)


def _holder(key: SigningKey) -> Holder:
    public = key.private_key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    kind = "rsa" if isinstance(key.private_key, rsa.RSAPrivateKey) else "ecdsa"
    found = key.certificate
    return Holder(
        key=Key(kind, key.private_key, public),
        name=found.subject.public_bytes(),
        issuer=found.issuer.public_bytes(),
        serial=found.serial_number,
        key_id=b"",
        certificate=_der(found),
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


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
