"""Whose word stands for a file: every way a signature can be less than it seems."""

from __future__ import annotations

import io
import os
import random
import subprocess
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from recoverykit.vouching import Judge, Standing
from signing.keys import SigningKey
from tests.builders import authenticode as build
from tests.builders import pe
from tests.builders.authenticode import How
from tests.conftest import need, real
from tests.signing.makers import NOW, YEAR, Shape, certified

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "400"))
IMPORTS = {"ntoskrnl.exe": ["IoCreateDevice"]}
_DAY = timedelta(days=1)


@cache
def plain(machine: str = "x64") -> bytes:
    return pe.driver({"CompanyName": "Acme"}, machine=machine, imports=IMPORTS)


@cache
def good() -> bytes:
    return build.signed(plain(), build.publisher())


def stands(
    image: bytes, *trust: SigningKey | x509.Certificate, at: datetime = NOW
) -> tuple[Standing, str]:
    certificates = [one.certificate if isinstance(one, SigningKey) else one for one in trust]
    return Judge(trust=certificates, at=at).standing(io.BytesIO(image))


# --- who is trusted -----------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["x64", "x86", "arm64"])
def test_a_signer_certified_by_a_trusted_root(machine: str) -> None:
    image = build.signed(plain(machine), build.publisher())
    assert stands(image, build.root()) == (Standing.VOUCHED, "signed by Test publisher")


def test_a_signer_who_is_trusted_himself() -> None:
    assert stands(good(), build.publisher())[0] is Standing.VOUCHED


def test_elliptic_curves() -> None:
    key = certified(Shape("Curve"))
    assert stands(build.signed(plain(), key), key)[0] is Standing.VOUCHED


def test_an_authority_between() -> None:
    between = certified(Shape("Between", ca=True), build.root())
    signer = certified(Shape("Signer"), between)
    with_it = build.signed(plain(), signer, How(others=(between.certificate,)))
    without = build.signed(plain(), signer)
    assert stands(with_it, build.root())[0] is Standing.VOUCHED
    assert stands(with_it, between)[0] is Standing.VOUCHED
    assert stands(without, build.root())[0] is Standing.NOT_CHECKED


def test_nobody_is_trusted() -> None:
    state, word = stands(good())
    assert state is Standing.NOT_CHECKED
    assert "no root known here stands behind its signer" in word


def test_a_stranger_with_the_same_name() -> None:
    """What he brings along proves nothing, not even a root of his own."""
    root = certified(Shape("Test root", ca=True, rsa_bits=2048))
    stranger = certified(Shape("Test publisher", rsa_bits=2048), root)
    image = build.signed(plain(), stranger, How(others=(root.certificate,)))
    assert stands(image, build.root())[0] is Standing.NOT_CHECKED
    assert stands(image, build.publisher())[0] is Standing.NOT_CHECKED


UNFIT = {
    "for web servers": Shape("Web", purpose=ExtendedKeyUsageOID.SERVER_AUTH),
    "for nothing in particular": Shape("Any", purpose=None),
    "run out": Shape("Old", since=NOW - 2 * YEAR, until=NOW - YEAR),
    "not yet valid": Shape("New", since=NOW + _DAY, until=NOW + YEAR),
    "an authority": Shape("CA", ca=True),
}


@pytest.mark.parametrize("shape", UNFIT.values(), ids=UNFIT)
def test_certificates_that_may_not_sign_code(shape: Shape) -> None:
    signer = certified(shape, build.root())
    image = build.signed(plain(), signer)
    assert stands(image, build.root())[0] is Standing.NOT_CHECKED
    assert stands(image, signer)[0] is Standing.NOT_CHECKED


def test_an_issuer_that_is_none() -> None:
    """A trusted signer's key certifies others: it is no authority."""
    signer = certified(Shape("Signer"), build.publisher())
    image = build.signed(plain(), signer)
    assert stands(image, build.publisher())[0] is Standing.NOT_CHECKED


def test_another_moment() -> None:
    assert stands(good(), build.root(), at=NOW + 2 * YEAR)[0] is Standing.NOT_CHECKED


# --- what was signed ----------------------------------------------------------------------


def test_no_signature() -> None:
    state, word = stands(plain(), build.root())
    assert state is Standing.UNSIGNED
    assert word.startswith("it has no signature of its own, and not all catalogs")


def test_other_bytes() -> None:
    bad = bytearray(good())
    bad[0x401] ^= 1
    assert stands(bytes(bad), build.root())[0] is Standing.TAMPERED


def test_a_signature_of_another_file() -> None:
    moved = build.signed(plain(), build.publisher(), How(digest=b"\x11" * 32))
    assert stands(moved, build.root())[0] is Standing.TAMPERED


def test_a_signature_another_key_made() -> None:
    """The message names the trusted publisher, whose key signed something else."""
    impostor = certified(Shape("Impostor", rsa_bits=2048))
    mixed = SigningKey(impostor.private_key, build.publisher().certificate)
    state, word = stands(build.signed(plain(), mixed), build.root())
    assert state is Standing.TAMPERED
    assert word == "the key of 'Test publisher' did not make it"


def test_a_signature_of_another_kind_of_content() -> None:
    image = build.signed(plain(), build.publisher(), How(kind="1.2.840.113549.1.7.1"))
    assert stands(image, build.root())[0] is Standing.TAMPERED


def test_sha1_is_no_proof() -> None:
    state, word = stands(
        build.signed(plain(), build.publisher(), How(algorithm="sha1")), build.root()
    )
    assert state is Standing.NOT_CHECKED
    assert "SHA1" in word


@pytest.mark.parametrize("data", [b"", b"MZ", bytes(5000)])
def test_no_program(data: bytes) -> None:
    expected = Standing.UNREADABLE if data[:2] == b"MZ" else Standing.UNSIGNED
    assert stands(data, build.root())[0] is expected


# --- against others -----------------------------------------------------------------------


@need("osslsigncode")
@pytest.mark.parametrize("machine", ["x64", "x86", "arm64"])
def test_osslsigncode_agrees_with_the_builder(machine: str, tmp_path: Path) -> None:
    image, root = tmp_path / "stub.sys", tmp_path / "root.pem"
    root.write_bytes(build.root().certificate.public_bytes(serialization.Encoding.PEM))
    names = ["-CAfile", str(root), "-ignore-cdp", "-ignore-crl", str(image)]
    verify = ["osslsigncode", "verify", *names]
    whole = build.signed(plain(machine), build.publisher())
    for content, good_ in ((whole, True), (_flipped(whole), False)):
        image.write_bytes(content)
        run = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert (run.returncode == 0) is good_, run.stdout


def _flipped(image: bytes) -> bytes:
    return image[:0x401] + bytes((image[0x401] ^ 1,)) + image[0x402:]


@need("osslsigncode")
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_what_osslsigncode_signed(algorithm: str, tmp_path: Path) -> None:
    key = build.publisher()
    private = key.private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "cert.pem").write_bytes(key.certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "in.sys").write_bytes(plain())
    names = ["-certs", "cert.pem", "-key", "key.pem", "-in", "in.sys", "-out", "out.sys"]
    command = ["osslsigncode", "sign", "-h", algorithm, "-n", "Stub", *names]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    image = (tmp_path / "out.sys").read_bytes()
    assert stands(image, build.root())[0] is Standing.VOUCHED
    assert stands(_flipped(image), build.root())[0] is Standing.TAMPERED


_SIGNED = ("saferwall_acpi.sys", "saferwall_WdBoot.sys", "ralphje_pciide.sys")


@pytest.mark.parametrize("sample", real(*(f"signed/{one}" for one in _SIGNED)))
def test_drivers_of_windows_need_nobody_else(sample: Path) -> None:
    data = sample.read_bytes()
    assert stands(data)[0] is Standing.VOUCHED
    assert stands(data, at=NOW + 20 * YEAR)[0] is Standing.VOUCHED  # their timestamps hold
    assert stands(_flipped(data))[0] is Standing.TAMPERED


@pytest.mark.parametrize("sample", real("signed/ralphje_7z1900-x64_signed.exe"))
def test_a_certificate_forged_through_a_curve(sample: Path) -> None:
    """CVE-2020-0601: parameters of its own make a known public key anybody's."""
    assert stands(sample.read_bytes())[0] is Standing.NOT_CHECKED


# --- hostile bytes ------------------------------------------------------------------------


def test_no_mutation_of_what_is_signed_is_vouched_for() -> None:
    """Only the checksum, and what the table holds beside the signature, may change."""
    rng = random.Random(20260719)
    whole = good()
    table = len(plain()) + -len(plain()) % 8
    seen: set[Standing] = set()
    for _ in range(MUTATIONS):
        bad = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad))] = rng.choice((0, 0xFF, 0x30, rng.randrange(256)))
        state, word = stands(bytes(bad), build.root())
        seen.add(state)
        assert word
        if state is Standing.VOUCHED:
            assert _covered(bytes(bad), table) == _covered(whole, table)
    assert seen >= {Standing.TAMPERED, Standing.UNREADABLE}


def _covered(image: bytes, table: int) -> bytes:
    """What the digest is about, of a stub: all but the checksum, the entry, and the table."""
    checksum = 0x40 + 24 + 64
    entry = 0x40 + 24 + 112 + 32
    return image[:checksum] + image[checksum + 4 : entry] + image[entry + 8 : table]
