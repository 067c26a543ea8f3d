"""Whoever signs, wherever the key is: what comes back holds, or is not used."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, utils
from cryptography.hazmat.primitives.serialization import pkcs12 as library

from signing import cms, keys, pkcs12, signer
from signing.errors import KeyFileError, SigningError
from signing.keys import SigningKey
from tests.signing.makers import NOW, YEAR, Shape, certified, refused
from tests.signing.organisations import KINDS, organisation

_MUTATIONS = 300


@dataclass(frozen=True, slots=True)
class Token:
    """A signer with a key of its own, whatever its certificate says."""

    key: SigningKey
    certificate: x509.Certificate
    change: Callable[[bytes], bytes] = bytes
    others: tuple[x509.Certificate, ...] = ()

    def sign(self, data: bytes, digest: str) -> bytes:
        return self.change(self.key.sign(data, digest))


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", KINDS)
def test_keys_in_files_sign_alike_each_time(kind: str, digest: str) -> None:
    key = organisation(kind)
    made = signer.signature(key, b"data", digest)
    assert made == signer.signature(key, b"data", digest) != signer.signature(key, b"dat", digest)


@pytest.mark.parametrize("kind", ["P-256", "P-384"])
def test_tokens_that_join_r_and_s(kind: str) -> None:
    key = organisation(kind)
    half = {"P-256": 32, "P-384": 48}[kind]

    def joined(der: bytes) -> bytes:
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(half, "big") + s.to_bytes(half, "big")

    token = Token(key, key.certificate, joined)
    assert signer.signature(token, b"data", "sha256") == key.sign(b"data", "sha256")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: made[:-1] + bytes([made[-1] ^ 1]), id="a wrong bit"),
        pytest.param(lambda made: made + b"\n", id="a byte more"),
        pytest.param(lambda made: made[1:], id="cut"),
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda _: b"an error message", id="text"),
        pytest.param(lambda made: bytes(len(made)), id="zeros"),
    ],
)
@pytest.mark.parametrize("kind", ["RSA 2048", "P-256"])
def test_what_does_not_verify_is_not_used(kind: str, change: Callable[[bytes], bytes]) -> None:
    key = organisation(kind)
    with refused(KeyFileError, "does not verify with the signer's certificate"):
        signer.signature(Token(key, key.certificate, change), b"data", "sha256")


@pytest.mark.parametrize("kind", ["RSA 2048", "P-256"])
def test_a_token_with_another_key(kind: str) -> None:
    wrong = Token(organisation(kind, 2), organisation(kind).certificate)
    with refused(KeyFileError, "Example 1"):
        cms.sign_detached(b"data", wrong)


# --- PKCS #12 ---------------------------------------------------------------------------------


def packed(
    key: SigningKey | None,
    passphrase: bytes | None = None,
    certificate: x509.Certificate | None = None,
) -> bytes:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase)
    own = certificate or (key.certificate if key else None)
    return library.serialize_key_and_certificates(
        b"signing", key.private_key if key else None, own, key.others if key else None, protection
    )


@pytest.mark.parametrize("passphrase", [None, b"correct horse", "pässwörd".encode()])
@pytest.mark.parametrize("kind", ["RSA 2048", "P-384"])
def test_a_key_from_pkcs12(kind: str, passphrase: bytes | None, tmp_path: Path) -> None:
    key = organisation(kind)
    (tmp_path / "k.p12").write_bytes(packed(key, passphrase))
    assert pkcs12.needs_passphrase(tmp_path / "k.p12") == (passphrase is not None)
    found = pkcs12.load(tmp_path / "k.p12", passphrase)
    assert found.certificate == key.certificate
    assert found.sign(b"data", "sha256") == key.sign(b"data", "sha256")


def test_the_chain_comes_along_without_its_root(tmp_path: Path) -> None:
    root = certified(Shape("Root", ca=True))
    between = certified(Shape("Between", ca=True), root)
    leaf = certified(Shape("Leaf"), between)
    whole = replace(leaf, others=(root.certificate, between.certificate))
    found = pkcs12.read(packed(whole), "k.p12", None)
    assert found.others == (between.certificate,)
    signature = cms.sign_detached(b"content", found)
    assert cms.verify_detached(b"content", signature, [root.certificate]).certificate == (
        leaf.certificate
    )


def dsa_key() -> bytes:
    private = dsa.generate_private_key(2048)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + YEAR)
        .sign(private, hashes.SHA256())
    )
    return library.serialize_key_and_certificates(
        b"", private, certificate, None, serialization.NoEncryption()
    )


LOCKED = packed(organisation("P-256"), b"right")


@pytest.mark.parametrize(
    ("content", "passphrase", "words"),
    [
        pytest.param(b"", None, "no PKCS #12 file", id="empty"),
        pytest.param(b"PK\3\4" + bytes(99), b"x", "no PKCS #12 file", id="something else"),
        pytest.param(LOCKED, b"wrong", "does not open", id="wrong"),
        pytest.param(LOCKED, None, "needs its passphrase", id="none"),
        pytest.param(
            packed(None, None, organisation("P-256").certificate), None, "no private key", id="bare"
        ),
        pytest.param(dsa_key(), None, "neither RSA nor ECDSA", id="DSA"),
        pytest.param(packed(certified(Shape(rsa_bits=1024))), None, "2048 bits or more", id="weak"),
    ],
)
def test_bad_pkcs12(content: bytes, passphrase: bytes | None, words: str) -> None:
    with refused(KeyFileError, "k.p12", words):
        pkcs12.read(content, "k.p12", passphrase)


def test_expired_and_missing_pkcs12(tmp_path: Path) -> None:
    old = certified(Shape(since=NOW - 2 * YEAR, until=NOW - timedelta(days=1)))
    (tmp_path / "old.p12").write_bytes(packed(old))
    with refused(KeyFileError, "expired"):
        pkcs12.load(tmp_path / "old.p12")
    with refused(KeyFileError, "does not exist"):
        pkcs12.load(tmp_path / "none.p12")


def test_mutated_pkcs12_is_refused_in_one_way() -> None:
    good = packed(organisation("P-256"))
    rng = random.Random(20261124)
    refusals = 0
    for _ in range(_MUTATIONS):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        try:
            found = pkcs12.read(bytes(bad), "k.p12", None)
        except SigningError:
            refusals += 1
        else:
            assert isinstance(found.private_key, ec.EllipticCurvePrivateKey)
    assert refusals > _MUTATIONS // 2


# --- chain.crt ----------------------------------------------------------------------------------


def test_a_folder_may_hold_a_chain(tmp_path: Path) -> None:
    root = certified(Shape("Root", ca=True))
    between = certified(Shape("Between", ca=True), root)
    leaf = replace(certified(Shape("Leaf"), between), others=(between.certificate,))
    keys.store(leaf, tmp_path / "k", None)
    assert keys.load(tmp_path / "k").others == (between.certificate,)
    (tmp_path / "k/chain.crt").write_bytes(keys.certificate_pem(root.certificate) * 17)
    with refused(KeyFileError, "17 certificates"):
        keys.load(tmp_path / "k")
    (tmp_path / "k/chain.crt").write_bytes(b"nothing")
    with refused(KeyFileError, "chain.crt is not a PEM certificate"):
        keys.load(tmp_path / "k")
