"""Certificates as cryptography reads them field by field, and which signatures hold."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from signing import certificate
from signing.certificate import DIGESTS, STRONG, Certificate, Scheme
from signing.errors import MalformedError
from tests.builders import authorities
from tests.builders.authorities import (
    CERT_SIGN,
    CODE_SIGNING,
    NOW,
    SIGN,
    YEAR,
    Key,
    Shape,
    digest_info,
    ec_key,
    issue,
    padded_to,
    pss_algorithm,
    raw,
    rsa_key,
)
from tests.builders.der import NULL, oid, sequence, tagged
from tests.conftest import REAL_DATA
from tests.signing import real_signers

_needs_real = pytest.mark.skipif(
    not real_signers.names(), reason=f"no signed files under {REAL_DATA}"
)
DATA = b"what was signed"


# --- facts ----------------------------------------------------------------------------------


def _other(found: Certificate) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(found.der)


@_needs_real
@pytest.mark.filterwarnings("ignore")  # of serial numbers and names as real files have them
def test_facts_of_all_certificates_in_real_files() -> None:
    every = real_signers.certificates()
    assert len(every) > 60
    for found in every:
        other = _other(found)
        assert (found.serial, found.name) == (other.serial_number, _name(other.subject))
        assert found.issuer_name == _name(other.issuer)
        assert (found.not_before, found.not_after) == (
            other.not_valid_before_utc,
            other.not_valid_after_utc,
        )
        assert found.purposes == _purposes(other)
        assert (found.is_ca, found.is_constrained, found.path_length) == _constraints(other)
        assert (found.may_issue, found.may_sign) == _usage(other)
        assert found.digest == _digest(other)
        assert found.fingerprint() == hashlib.sha256(found.der).hexdigest()
        assert found.is_self_issued is (other.subject == other.issuer)


def _extension(other: x509.Certificate, kind: type[x509.ExtensionType]) -> object:
    try:
        return other.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _name(name: x509.Name) -> str:
    """Of the attributes in RFC 4514's spelling, the first that says who it is."""
    found = [each.rfc4514_string() for each in name]
    for start in ("CN=", "OU=", "O="):
        for each in found:
            if each.startswith(start):
                return each[len(start) :].replace("\\", "").strip()
    return ""


def _purposes(other: x509.Certificate) -> frozenset[str] | None:
    found = _extension(other, x509.ExtendedKeyUsage)
    if not isinstance(found, x509.ExtendedKeyUsage):
        return None
    return frozenset(each.dotted_string for each in found)


def _constraints(other: x509.Certificate) -> tuple[bool, bool, int | None]:
    found = _extension(other, x509.BasicConstraints)
    if not isinstance(found, x509.BasicConstraints):
        return False, False, None
    return found.ca, True, found.path_length


def _usage(other: x509.Certificate) -> tuple[bool, bool]:
    found = _extension(other, x509.KeyUsage)
    is_ca = _constraints(other)[0]
    if not isinstance(found, x509.KeyUsage):
        return is_ca, True
    return is_ca and found.key_cert_sign, found.digital_signature or found.content_commitment


def _digest(other: x509.Certificate) -> str:
    try:
        found = other.signature_hash_algorithm
    except UnsupportedAlgorithm:  # OIW's sha1WithRSASignature
        return "sha1"
    return found.name if found else ""


@_needs_real
@pytest.mark.filterwarnings("ignore")
def test_real_issuers_are_those_that_the_library_verifies() -> None:
    """Every pair of certificates of which one is named by the other as its issuer."""
    every = real_signers.certificates()
    answers = {True: 0, False: 0}
    for child in every:
        for parent in every:
            if child.issuer != parent.subject:
                continue
            ours, theirs = certificate.issued_by(child, parent), _verifies(child, parent)
            assert ours is theirs, (child.name, parent.name)
            answers[ours] += 1
    assert answers[True] > 40
    assert answers[False] > 5  # the same name, another key


def _verifies(child: Certificate, parent: Certificate) -> bool:
    """By the library; by hand where it refuses SHA-1 (RFC 8017, 8.2.2)."""
    if child.digest == "sha1":
        key = _other(parent).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        numbers, size = key.public_numbers(), key.key_size // 8
        opened = pow(int.from_bytes(child.signature, "big"), numbers.e, numbers.n)
        return opened.to_bytes(size, "big") == padded_to(size, digest_info(child.tbs, "sha1"))
    try:
        _other(child).verify_directly_issued_by(_other(parent))
    except InvalidSignature:
        return False
    return True


NAMES = {
    "common name": (("CN", "Maker"), ("O", "Company")),
    "unit": (("OU", "Maker"), ("O", "Company")),
    "organisation": (("C", "DE"), ("O", "Maker")),
    "spaces": (("CN", "  Maker  "),),
}
_TYPES = {"CN": "2.5.4.3", "OU": "2.5.4.11", "O": "2.5.4.10", "C": "2.5.4.6"}


@pytest.mark.parametrize("name", NAMES)
def test_what_somebody_is_called(name: str) -> None:
    attributes = [x509.NameAttribute(x509.ObjectIdentifier(_TYPES[k]), v) for k, v in NAMES[name]]
    assert certificate.shown(x509.Name(attributes)) == "Maker"


def test_names_are_fit_for_a_screen() -> None:
    common = x509.ObjectIdentifier(_TYPES["CN"])
    hostile = x509.Name([x509.NameAttribute(common, "a\x1b[31m\u202eb\nc")])
    assert certificate.shown(hostile) == "a?[31m?b?c"
    assert certificate.shown(x509.Name([])) == ""


PURPOSES: dict[tuple[str, ...] | None, bool] = {
    (CODE_SIGNING,): True,
    (authorities.ANY,): True,
    (authorities.SERVER,): False,
    (authorities.SERVER, CODE_SIGNING): True,
    None: True,
}


@pytest.mark.parametrize("purposes", PURPOSES)
def test_purposes(purposes: tuple[str, ...] | None) -> None:
    found = certificate.read(issue(Shape("x", ec_key(), purposes)).certificate)
    assert found.has_purpose(CODE_SIGNING) is PURPOSES[purposes]


def test_validity_ends_with_its_last_second() -> None:
    found = certificate.read(issue(Shape("x", ec_key())).certificate)
    second = timedelta(seconds=1)
    assert found.is_valid_at(NOW - YEAR)
    assert found.is_valid_at(NOW + YEAR)
    assert not found.is_valid_at(NOW - YEAR - second)
    assert not found.is_valid_at(NOW + YEAR + second)


def test_two_are_the_same_where_their_bytes_are() -> None:
    encoded = issue(Shape("x", rsa_key())).certificate
    one, two = certificate.read(encoded), certificate.read(bytes(bytearray(encoded)))
    other = certificate.read(issue(Shape("x", rsa_key(), serial=5)).certificate)
    assert one == two
    assert hash(one) == hash(two)
    assert one != other
    assert one != encoded


EXTENSIONS = {
    "one that nobody knows": ("1.3.6.1.4.1.99999.7", sequence(), True),
    "policies": ("2.5.29.32", sequence(sequence(oid("1.2.3.4"))), False),
    "Microsoft's CA version": ("1.3.6.1.4.1.311.21.1", b"\x02\x01\x00", False),
    "authority key identifier of 1996": ("2.5.29.1", sequence(), False),
    "name constraints": (
        "2.5.29.30",
        sequence(tagged(0xA0, sequence(tagged(0x82, b"example.org")))),
        True,
    ),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_critical_extensions(name: str) -> None:
    kind, value, unknown = EXTENSIONS[name]
    shape = Shape("x", ec_key(), critical=((kind, value),))
    assert certificate.read(issue(shape).certificate).unknown == (kind if unknown else "")


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no DER": lambda: b"certificate",
    "an empty sequence": sequence,
    "cut": lambda: _good()[:-1],
    "a byte behind it": lambda: _good() + b"\0",
    "too large": lambda: tagged(0x30, bytes(certificate.LARGEST)),
    "a key that is none": lambda: issue(Shape("x", ec_key(), public=_no_key())).certificate,
    "its algorithm stated in two ways": lambda: _restated(_good()),
}


def _good() -> bytes:
    return issue(Shape("x", rsa_key())).certificate


def _no_key() -> bytes:
    point = tagged(0x03, b"\0\4" + bytes(64))
    return sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), point)


def _restated(good: bytes) -> bytes:
    """SHA-384 outside, where SHA-256 was signed: the last byte of the outer identifier."""
    at = good.rindex(oid("1.2.840.113549.1.1.11")) + 10
    return good[:at] + b"\x0c" + good[at + 1 :]


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_certificate(name: str) -> None:
    with pytest.raises(MalformedError):
        certificate.read(UNREADABLE[name]())


def test_changed_certificates_are_read_or_refused() -> None:
    rng = random.Random(20261124)
    good = issue(Shape("Somebody", ec_key()), authorities.root()).certificate
    root = certificate.read(authorities.root().certificate)
    read = 0
    for _ in range(1500):
        changed = bytearray(good)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        try:
            found = certificate.read(bytes(changed))
        except MalformedError:
            continue
        read += 1
        assert not certificate.issued_by(found, root)
    assert read > 300
    assert certificate.issued_by(certificate.read(good), root)


# --- which signatures hold ------------------------------------------------------------------

_RSA, _ECDSA = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1"
_WITH = {
    "rsa": {"md5": "4", "sha1": "5", "sha256": "11", "sha384": "12", "sha512": "13"},
    "ecdsa": {"sha1": "1", "sha256": "3.2", "sha384": "3.3", "sha512": "3.4"},
}
_BASES = {"rsa": "1.2.840.113549.1.1.", "ecdsa": "1.2.840.10045.4."}


def _public(key: Key) -> PublicKeyTypes:
    return serialization.load_der_public_key(key.public)


def _holds(key: Key, digest: str, scheme: Scheme, *, signed: str = "", data: bytes = DATA) -> bool:
    """Whether what `key` signed with `signed` (else `digest`) holds as one of that scheme."""
    signature = key.sign(DATA, signed or digest)
    return certificate.holds(_public(key), signature, data, digest, scheme)


KEYS = {
    "RSA 1024": rsa_key(1, bits=1024),
    "RSA 2048": rsa_key(),
    "RSA 3072": rsa_key(1, bits=3072),
    "exponent 3": rsa_key(1, exponent=3),
    "P-256": ec_key(),
    "P-384": ec_key(0, ec.SECP384R1),
    "P-521": ec_key(0, ec.SECP521R1),
}


@pytest.mark.parametrize("name", KEYS)
def test_signatures_of_every_usual_kind(name: str) -> None:
    key = KEYS[name]
    for digest, number in _WITH[key.kind].items():
        for named in (_BASES[key.kind] + number, _RSA if key.kind == "rsa" else _ECDSA):
            scheme = Scheme(named)
            assert _holds(key, digest, scheme)
            assert not _holds(key, digest, scheme, data=DATA + b".")
            assert not _holds(key, digest, scheme, data=b"")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_the_digest_is_the_one_that_is_named(kind: str) -> None:
    key = rsa_key() if kind == "rsa" else ec_key()
    names = sorted(_WITH[kind])
    plain = Scheme(_RSA if kind == "rsa" else _ECDSA)
    for used in names:
        for named in names:
            assert _holds(key, named, plain, signed=used) is (used == named)
            fixed = Scheme(_BASES[kind] + _WITH[kind][used])
            assert _holds(key, named, fixed, signed=used) is (used == named)
            assert _holds(key, named, fixed, signed=named) is (used == named)


def test_a_kind_of_key_is_no_other() -> None:
    assert not _holds(rsa_key(), "sha256", Scheme(_ECDSA))
    assert not _holds(ec_key(), "sha256", Scheme(_RSA))
    assert not _holds(rsa_key(), "sha256", _pss("sha256", "sha256", 32))
    assert not _holds(rsa_key(), "sha256", Scheme("1.2.840.113549.1.1.2"))  # MD2
    assert not _holds(rsa_key(), "sha256", Scheme(""))


def test_digests_that_are_not_known() -> None:
    for digest in ("", "sha3-256", "sha224", "SHA256"):
        signature = rsa_key().sign(DATA, "sha256")
        assert not certificate.holds(_public(rsa_key()), signature, DATA, digest, Scheme(_RSA))
    assert set(DIGESTS.values()) > STRONG


@dataclass(frozen=True, slots=True)
class Odd:
    """A key that no signer has."""

    public: PublicKeyTypes
    signature: bytes
    scheme: str


def _odd() -> Iterator[tuple[str, Odd]]:
    for name, curve in (
        ("secp256k1", ec.SECP256K1),
        ("P-224", ec.SECP224R1),
        ("Brainpool", ec.BrainpoolP256R1),
    ):
        key = ec_key(0, curve)
        yield name, Odd(_public(key), key.sign(DATA, "sha256"), _ECDSA)
    edwards = ed25519.Ed25519PrivateKey.generate()
    yield "Ed25519", Odd(edwards.public_key(), edwards.sign(DATA), "1.3.101.112")
    modulus = authorities.some_modulus(16_384)
    large = serialization.load_der_public_key(authorities.rsa_public(modulus, 65537))
    yield "RSA 16384", Odd(large, bytes(2048), _RSA)
    wide = rsa.RSAPublicNumbers((1 << 40) + 1, authorities.some_modulus(2048)).public_key()
    yield "an exponent of 41 bits", Odd(wide, bytes(256), _RSA)


@pytest.mark.parametrize("name", dict(_odd()))
def test_keys_that_no_signer_has(name: str) -> None:
    odd = dict(_odd())[name]
    assert not certificate.holds(odd.public, odd.signature, DATA, "sha256", Scheme(odd.scheme))


# --- RSA-PSS (RFC 4055, 3.1) ----------------------------------------------------------------


def _pss(digest: str, mask: str, salt: int) -> Scheme:
    whole = pss_algorithm(digest, mask, salt)
    return Scheme("1.2.840.113549.1.1.10", whole[whole.index(b"\x01\x0a") + 2 :])


@cache
def _pss_key() -> Key:
    return replace(rsa_key(), kind="pss")


PSS = {
    "SHA-256": (_pss("sha256", "sha256", 32), "sha256", True),
    "SHA-512": (_pss("sha512", "sha512", 64), "sha512", True),
    "SHA-1": (_pss("sha1", "sha1", 20), "sha1", True),
    "another digest beside it": (_pss("sha256", "sha256", 32), "sha512", False),
    "SHA-1 called SHA-256": (_pss("sha1", "sha1", 20), "sha256", False),
    "another mask": (_pss("sha256", "sha1", 32), "sha256", False),
    "another salt": (_pss("sha256", "sha256", 20), "sha256", False),
    "a salt larger than any": (_pss("sha256", "sha256", 513), "sha256", False),
    "a negative salt": (_pss("sha256", "sha256", -1), "sha256", False),
    "a mask that is not known": (_pss("sha256", "sha3-256", 32), "sha256", False),
    "no parameters": (Scheme("1.2.840.113549.1.1.10"), "sha256", False),
    "NULL": (Scheme("1.2.840.113549.1.1.10", NULL), "sha256", False),
    "all as it is by default": (Scheme("1.2.840.113549.1.1.10", sequence()), "sha1", True),
}


@pytest.mark.parametrize("name", PSS)
def test_pss(name: str) -> None:
    scheme, digest, expected = PSS[name]
    signature = _pss_key().sign(DATA, digest)
    assert certificate.holds(_public(_pss_key()), signature, DATA, digest, scheme) is expected
    assert not certificate.holds(_public(_pss_key()), signature, DATA + b".", digest, scheme)


# --- the digest alone -----------------------------------------------------------------------

_DIGEST = hashlib.sha1(DATA, usedforsecurity=False).digest()
BARE: dict[str, tuple[bytes, bytes, bool]] = {
    "the digest": (_DIGEST, _DIGEST, True),
    "another": (_DIGEST, _DIGEST[::-1], False),
    "with its DigestInfo": (digest_info(DATA, "sha1"), _DIGEST, False),
    "with a byte behind it": (_DIGEST + b"\0", _DIGEST, False),
    "half of it": (_DIGEST[:10], _DIGEST, False),
}


@pytest.mark.parametrize("name", BARE)
def test_a_digest_signed_bare(name: str) -> None:
    content, expected, holds = BARE[name]
    signature = raw(rsa_key(), content)
    assert certificate.bare_digest(_public(rsa_key()), signature, expected) is holds
    # And that is no signature anywhere else.
    for digest in DIGESTS.values():
        plain = certificate.holds(_public(rsa_key()), signature, DATA, digest, Scheme(_RSA))
        assert plain is (name == "with its DigestInfo" and digest == "sha1")


def test_nobody_else_signs_a_digest_bare() -> None:
    digest = _DIGEST
    assert not certificate.bare_digest(_public(ec_key()), ec_key().sign(DATA, "sha1"), digest)
    assert not certificate.bare_digest(_public(rsa_key()), b"", digest)
    assert not certificate.bare_digest(_public(rsa_key()), bytes(256), digest)
    assert not certificate.bare_digest(_public(rsa_key()), b"\xff" * 256, digest)
    large = serialization.load_der_public_key(
        authorities.rsa_public(authorities.some_modulus(16_384), 65537)
    )
    assert not certificate.bare_digest(large, bytes(2048), digest)


# --- issuers --------------------------------------------------------------------------------


def test_a_key_alone_can_be_an_issuer() -> None:
    root = authorities.root()
    child = certificate.read(issue(Shape("x", ec_key(3)), root).certificate)
    assert certificate.issued_by_key(child, root.key.public)
    assert not certificate.issued_by_key(child, ec_key(4).public)
    assert not certificate.issued_by_key(child, b"")
    assert not certificate.issued_by_key(child, root.certificate)


def test_a_name_makes_no_issuer() -> None:
    """Only keys are looked at here: names, times and purposes are others' affair."""
    shape = Shape("CA", ec_key(5), None, ca=True, usage=CERT_SIGN)
    ca, twin = issue(shape), issue(replace(shape, key=ec_key(6)))
    child = certificate.read(issue(Shape("x", ec_key(7)), ca).certificate)
    assert certificate.issued_by(child, certificate.read(ca.certificate))
    assert not certificate.issued_by(child, certificate.read(twin.certificate))
    other = issue(replace(shape, name="Other", usage=SIGN, ca=False))
    assert certificate.issued_by(child, certificate.read(other.certificate))
