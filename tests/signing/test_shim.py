"""What a shim brings along: by hand, and Debian's."""

from __future__ import annotations

import io
import os
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from signing import sbat, shim
from signing.errors import MalformedError, SigningError
from signing.keys import SigningKey
from tests.builders import efi
from tests.builders.efi import SHA256, signature_list
from tests.signing.test_sbat import SHIM, installed

MUTATIONS = int(os.environ.get("EFI_MUTATIONS", "3000"))
REVOKED = signature_list(SHA256, bytes(range(32)))
LEVELS = efi.sbat_levels("sbat,1,2025021800\nshim,4\n", "sbat,1,2025051000\nshim,5\n")


def program(trusted: bytes, revoked: bytes = REVOKED) -> bytes:
    vendor = efi.vendor_certificates(trusted, revoked)
    return efi.program({".vendor_cert": vendor, ".sbatlevel": LEVELS})


def test_a_certificate_and_a_list(key: SigningKey) -> None:
    encoded = key.certificate.public_bytes(serialization.Encoding.DER)
    found = shim.read(io.BytesIO(program(encoded)))
    assert found is not None
    assert list(found.trusted.certificates) == [encoded]
    assert set(found.revoked.hashes["sha256"]) == {bytes(range(32))}
    assert found.level == sbat.level(b"sbat,1,2025021800\nshim,4\n")


def test_lists_on_both_sides() -> None:
    found = shim.read(io.BytesIO(program(REVOKED, b"")))
    assert found is not None
    assert found.trusted.hashes == {"sha256": {bytes(range(32)): next(iter(found.trusted))}}
    assert list(found.revoked) == []


def test_a_shim_that_brings_no_level() -> None:
    vendor = efi.vendor_certificates(REVOKED, b"")
    found = shim.read(io.BytesIO(efi.program({".vendor_cert": vendor})))
    assert found is not None
    assert found.level is sbat.NO_LEVEL


def test_another_program_is_no_shim() -> None:
    assert shim.read(io.BytesIO(efi.program({".sbat": b"shim,4,a,b,c,d\n"}))) is None


@pytest.mark.parametrize(
    "section",
    [
        b"",
        bytes(15),
        b"\xff\xff\xff\xff" + bytes(12),
        efi.vendor_certificates(REVOKED, b"")[:-1],
        efi.vendor_certificates(b"rubbish", b""),
    ],
)
def test_damaged_ones_are_refused(section: bytes) -> None:
    content = section or bytes(1)
    with pytest.raises(MalformedError):
        shim.read(io.BytesIO(efi.program({".vendor_cert": content})))


@installed(SHIM, "shim-signed")
def test_debians_shim() -> None:
    """It trusts one CA and has revoked digests of programs that CA's keys once signed."""
    with SHIM.open("rb") as stream:
        found = shim.read(stream)
    assert found is not None
    names = [x509.load_der_x509_certificate(each).subject for each in found.trusted.certificates]
    assert [name.rfc4514_string() for name in names] == ["CN=Debian Secure Boot CA"]
    assert len(found.revoked.hashes["sha256"]) > 100
    assert found.level.minimum["shim"] >= 4


def test_mutants_are_read_or_refused() -> None:
    rng = random.Random(609)
    source = program(REVOKED)
    start = source.index(LEVELS) - 600
    refused = 0
    for _ in range(MUTATIONS // 3):
        data = bytearray(source)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(0x200) if rng.random() < 0.3 else rng.randrange(start, start + 700)
            data[at] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        try:
            shim.read(io.BytesIO(data))
        except SigningError:
            refused += 1
    assert 0 < refused < MUTATIONS // 3
