"""Keys and certificates of any kind, good and bad, written by hand (RFC 5280, 4.1; X.690).

cryptography makes only certificates that are right: not one of version 1, none signed with SHA-1 or
MD5, none whose key has explicit curve parameters or an exponent of 1. Here the DER is put together
from the specification, so that every field can be wrong by itself. Keys are made once a process.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tests.builders.der import NULL, integer, octets, oid, sequence, tagged

CODE_SIGNING, TIME_STAMPING = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8"
SERVER, ANY = "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
DIGEST_OIDS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
    "sha3-256": "2.16.840.1.101.3.4.2.8",
}
SIGN, CERT_SIGN = 0x80, 0x04  # of key usage, as its bits lie in the first byte

_RSA, _PSS, _MGF1 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
_WITH_RSA = {"md5": "4", "sha1": "5", "sha256": "11", "sha384": "12", "sha512": "13"}
_WITH_ECDSA = {"sha1": "1", "sha256": "3.2", "sha384": "3.3", "sha512": "3.4"}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


# --- keys ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """A private key with how it signs: "rsa", "pss" or "ecdsa", and the public half's DER."""

    kind: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    public: bytes  # SubjectPublicKeyInfo

    def sign(self, data: bytes, digest: str) -> bytes:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(data, ec.ECDSA(_HASHES[digest]))
        if self.kind == "pss":
            form = padding.PSS(padding.MGF1(_HASHES[digest]), hashlib.new(digest).digest_size)
            return self.private.sign(data, form, _HASHES[digest])
        if digest in _HASHES:
            done = hashlib.new(digest, data).digest()
            return self.private.sign(done, padding.PKCS1v15(), Prehashed(_HASHES[digest]))
        return raw(self, digest_info(data, digest))


@cache
def rsa_key(number: int = 0, *, exponent: int = 65537, kind: str = "rsa", bits: int = 2048) -> Key:
    """The same key for the same arguments."""
    private = rsa.generate_private_key(exponent, bits)
    return Key(kind, private, _public(private))


@cache
def ec_key(number: int = 0, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> Key:
    private = ec.generate_private_key(curve())
    return Key("ecdsa", private, _public(private))


def _public(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def rsa_public(modulus: int, exponent: int) -> bytes:
    """SubjectPublicKeyInfo of any two numbers (RFC 8017, A.1.1)."""
    inside = sequence(integer(modulus), integer(exponent))
    return sequence(sequence(oid(_RSA), NULL), tagged(0x03, b"\0" + inside))


def some_modulus(bits: int) -> int:
    """An odd number of that size, which nobody has the factors of."""
    return random.Random(bits).getrandbits(bits) | 1 << bits - 1 | 1


def digest_info(data: bytes, digest: str) -> bytes:
    """DigestInfo of PKCS #1 (RFC 8017, 9.2)."""
    algorithm = sequence(oid(DIGEST_OIDS[digest]), NULL)
    return sequence(algorithm, octets(hashlib.new(digest, data).digest()))


def raw(key: Key, content: bytes) -> bytes:
    """RSA with the padding of PKCS #1 v1.5 around anything."""
    assert isinstance(key.private, rsa.RSAPrivateKey)
    numbers = key.private.private_numbers()
    return raw_with(numbers.public_numbers.n, numbers.d, content)


def raw_with(modulus: int, exponent: int, content: bytes) -> bytes:
    size = (modulus.bit_length() + 7) // 8
    padded = padded_to(size, content)
    return pow(int.from_bytes(padded, "big"), exponent, modulus).to_bytes(size, "big")


def padded_to(size: int, content: bytes) -> bytes:
    """EMSA-PKCS1-v1_5 (RFC 8017, 9.2)."""
    return b"\0\1" + b"\xff" * (size - 3 - len(content)) + b"\0" + content


# --- algorithms ---------------------------------------------------------------------------


def digest_algorithm(name: str) -> bytes:
    return sequence(oid(DIGEST_OIDS.get(name, name)), NULL)


def signature_algorithm(key: Key, digest: str) -> bytes:
    """AlgorithmIdentifier of key and digest together, as certificates have it."""
    if key.kind == "ecdsa":
        return sequence(oid("1.2.840.10045.4." + _WITH_ECDSA[digest]))
    if key.kind == "pss":
        return pss_algorithm(digest, digest, hashlib.new(digest).digest_size)
    return sequence(oid("1.2.840.113549.1.1." + _WITH_RSA[digest]), NULL)


def pss_algorithm(digest: str, mask: str, salt: int) -> bytes:
    """RSASSA-PSS-params (RFC 4055, 3.1)."""
    parameters = sequence(
        tagged(0xA0, digest_algorithm(digest)),
        tagged(0xA1, sequence(oid(_MGF1), digest_algorithm(mask))),
        tagged(0xA2, integer(salt)),
    )
    return sequence(oid(_PSS), parameters)


# --- certificates -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """What a certificate says. None: that extension is not in it."""

    name: str
    key: Key
    purposes: tuple[str, ...] | None = (CODE_SIGNING,)
    ca: bool | None = None
    path_length: int | None = None
    usage: int | None = SIGN
    since: datetime = NOW - YEAR
    until: datetime = NOW + YEAR
    digest: str = "sha256"  # that the issuer signs
    version: int = 3
    serial: int = 0  # 0: of its own
    critical: tuple[tuple[str, bytes], ...] = ()  # further extensions
    public: bytes = b""  # instead of the key's
    key_id: bool = True


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a key, and the certificate for it."""

    key: Key
    name: bytes  # DER
    issuer: bytes  # DER of the name
    serial: int
    key_id: bytes
    certificate: bytes  # DER
    above: tuple[bytes, ...] = ()  # certificates up to the root, without it

    @property
    def bag(self) -> tuple[bytes, ...]:
        """What a message of this holder carries along."""
        return (self.certificate, *self.above)


def common_name(text: str) -> bytes:
    attribute = sequence(oid("2.5.4.3"), tagged(0x0C, text.encode()))
    return sequence(tagged(0x31, attribute))


def issue(shape: Shape, issuer: Holder | None = None) -> Holder:
    """A certificate from `issuer`, or self-signed."""
    name = common_name(shape.name)
    above = issuer.name if issuer else name
    public = shape.public or shape.key.public
    key_id = hashlib.sha1(public, usedforsecurity=False).digest()
    about = repr((shape.name, shape.since, public, above)).encode()
    serial = shape.serial or int.from_bytes(hashlib.sha256(about).digest()[:8], "big") >> 1
    signer = issuer.key if issuer else shape.key
    algorithm = signature_algorithm(signer, shape.digest)
    tbs = sequence(
        tagged(0xA0, integer(shape.version - 1)) if shape.version > 1 else b"",
        integer(serial),
        algorithm,
        above,
        sequence(_time(shape.since), _time(shape.until)),
        name,
        public,
        _extensions(shape, key_id) if shape.version == 3 else b"",
    )
    made = sequence(tbs, algorithm, tagged(0x03, b"\0" + signer.sign(tbs, shape.digest)))
    on_the_way = issuer.bag if issuer and issuer.issuer != issuer.name else ()
    return Holder(shape.key, name, above, serial, key_id, made, on_the_way)


def _extensions(shape: Shape, key_id: bytes) -> bytes:
    found = [_extension("2.5.29.14", octets(key_id))] if shape.key_id else []
    if shape.ca is not None:
        inside = b"\x01\x01\xff" if shape.ca else b""
        if shape.path_length is not None:
            inside += integer(shape.path_length)
        found.append(_extension("2.5.29.19", sequence(inside), critical=True))
    if shape.usage is not None:
        unused = (shape.usage & -shape.usage).bit_length() - 1
        bits = bytes((0x03, 2, unused, shape.usage))
        found.append(_extension("2.5.29.15", bits, critical=True))
    if shape.purposes is not None:
        found.append(_extension("2.5.29.37", sequence(*map(oid, shape.purposes))))
    found += [_extension(kind, value, critical=True) for kind, value in shape.critical]
    return tagged(0xA3, sequence(*found))


def _extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(oid(kind), b"\x01\x01\xff" if critical else b"", octets(value))


def _time(when: datetime) -> bytes:
    if when.year < 2050:
        return tagged(0x17, f"{when:%y%m%d%H%M%SZ}".encode())
    return tagged(0x18, f"{when:%Y%m%d%H%M%SZ}".encode())


# --- those that most tests want -----------------------------------------------------------


@cache
def root() -> Holder:
    return issue(
        Shape(
            "Example root",
            rsa_key(),
            None,
            ca=True,
            usage=CERT_SIGN,
            since=NOW - 20 * YEAR,
            until=NOW + 20 * YEAR,
        )
    )


@cache
def authority() -> Holder:
    """An intermediate CA under that root."""
    return issue(ca_shape("Example CA", ec_key(1)), root())


def ca_shape(name: str, key: Key) -> Shape:
    return Shape(
        name,
        key,
        None,
        ca=True,
        usage=CERT_SIGN,
        since=NOW - 15 * YEAR,
        until=NOW + 5 * YEAR,
    )


@cache
def publisher() -> Holder:
    return issue(Shape("Example publisher", ec_key(2)), authority())


@cache
def expired() -> Holder:
    """A publisher whose certificate ran out two years ago."""
    shape = Shape("Former publisher", ec_key(3), since=NOW - 4 * YEAR, until=NOW - 2 * YEAR)
    return issue(shape, authority())


@cache
def stamper() -> Holder:
    """A timestamp service; RSA, as the oldest form of countersignatures wants it."""
    shape = Shape(
        "Example time",
        rsa_key(1),
        (TIME_STAMPING,),
        since=NOW - 10 * YEAR,
        until=NOW + YEAR,
    )
    return issue(shape, root())
