"""Dates from a timestamp service that is OpenSSL's own."""

from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import keys, sign_image, sign_timestamp, signed_data, verify
from signing.path import Trust
from signing.sign_timestamp import TimestampError
from tests.builders import efi_program, timestamp_service
from tests.builders.timestamp_service import Service
from tests.conftest import need
from tests.signing.makers import Shape, certified, refused
from tests.signing.organisations import organisation

pytestmark = need("openssl")
SIGNATURE = b"bytes of a signature"
_MUTATIONS = 400


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return timestamp_service.make(tmp_path_factory.mktemp("tsa"))


def now() -> datetime:
    return datetime.now(UTC)


def trust(service: Service) -> Trust:
    return sign_timestamp.organisation([service.authority])


@pytest.fixture(scope="module")
def answered(service: Service) -> tuple[sign_timestamp.Question, bytes]:
    asked = sign_timestamp.question(SIGNATURE)
    return asked, service.post("", asked.encoded)


def test_the_question_is_what_openssl_reads(tmp_path: Path) -> None:
    asked = sign_timestamp.question(SIGNATURE, nonce=0x1234)
    (tmp_path / "q").write_bytes(asked.encoded)
    argv = ["openssl", "ts", "-query", "-in", "q", "-text"]
    said = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for words in ("Version: 1", "Hash Algorithm: sha256", "Nonce: 0x1234", "required: yes"):
        assert words in said
    assert "Policy OID: unspecified" in said


def test_two_questions_differ() -> None:
    one, two = (sign_timestamp.question(SIGNATURE) for _ in range(2))
    assert one.nonce != two.nonce


def test_a_good_answer(service: Service, answered: tuple[sign_timestamp.Question, bytes]) -> None:
    asked, response = answered
    token = sign_timestamp.token(response, asked, SIGNATURE, trust(service), now())
    assert token in response


def test_a_program_with_a_timestamp_is_good_after_its_certificate(service: Service) -> None:
    key = organisation("RSA 2048")
    dated = sign_timestamp.stamp("", service.post, trust(service), now())
    program = efi_program.program("hello")
    signed = sign_image.sign(program, [key], sign_image.How(stamp=dated))
    assert _good(signed, key, service, now() + timedelta(days=20 * 365), dates=1)
    plain = sign_image.sign(program, [key])
    assert not _good(plain, key, service, now() + timedelta(days=20 * 365), dates=0)


def _good(
    signed: bytes, key: keys.SigningKey, service: Service, at: datetime, *, dates: int
) -> bool:
    known = sign_timestamp.organisation([key.certificate, service.authority])
    report = verify.Verifier(known, at).verify(BytesIO(signed))
    (found,) = (each.signature for each in report.vouchers)
    assert not found.is_tampered
    assert sum(each.is_good for each in found.timestamps) == dates
    return any(way.is_good for way in found.ways)


@need("osslsigncode")
def test_osslsigncode_believes_the_date(service: Service, tmp_path: Path) -> None:
    key = organisation("RSA 2048")
    dated = sign_timestamp.stamp("", service.post, trust(service), now())
    signed = sign_image.sign(efi_program.program("hello"), [key], sign_image.How(stamp=dated))
    (tmp_path / "p.efi").write_bytes(signed)
    (tmp_path / "own.crt").write_bytes(keys.certificate_pem(key.certificate))
    (tmp_path / "tsa.crt").write_bytes(keys.certificate_pem(service.authority))
    argv = [
        "osslsigncode",
        "verify",
        "-in",
        "p.efi",
        "-CAfile",
        "own.crt",
        "-TSA-CAfile",
        "tsa.crt",
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Timestamp Server Signature verification: ok" in done.stdout


# --- answers that do not count ------------------------------------------------------------------


def test_another_answer(service: Service, answered: tuple[sign_timestamp.Question, bytes]) -> None:
    """Sent again, or about something else."""
    asked, response = answered
    again = sign_timestamp.question(SIGNATURE)
    with refused(TimestampError, "another question"):
        sign_timestamp.token(response, again, SIGNATURE, trust(service), now())
    other = sign_timestamp.question(b"other bytes", nonce=asked.nonce)
    with refused(TimestampError, "about something else"):
        sign_timestamp.token(response, other, b"other bytes", trust(service), now())


def test_a_stranger(service: Service, answered: tuple[sign_timestamp.Question, bytes]) -> None:
    asked, response = answered
    for known in (
        Trust(),
        Trust(windows=False),
        sign_timestamp.organisation(
            [
                certified(Shape("Test time CA", ca=True)).certificate,
            ]
        ),
    ):
        with refused(TimestampError, "no root trusted here"):
            sign_timestamp.token(response, asked, SIGNATURE, known, now())


def test_a_clock_of_the_future(
    service: Service, answered: tuple[sign_timestamp.Question, bytes]
) -> None:
    asked, response = answered
    with refused(TimestampError, "has not come yet"):
        sign_timestamp.token(response, asked, SIGNATURE, trust(service), now() - timedelta(days=30))


def test_a_service_that_refuses(tmp_path: Path) -> None:
    service = timestamp_service.make(tmp_path, digests="sha512")
    asked = sign_timestamp.question(SIGNATURE)
    with refused(TimestampError, "refused: rejected", "does not know the algorithm"):
        sign_timestamp.token(
            service.post("", asked.encoded), asked, SIGNATURE, trust(service), now()
        )


def test_openssl_makes_no_token_with_another_purpose(tmp_path: Path) -> None:
    service = timestamp_service.make(tmp_path, purpose=ExtendedKeyUsageOID.CODE_SIGNING)
    with pytest.raises(subprocess.CalledProcessError):
        service.post("", sign_timestamp.question(SIGNATURE).encoded)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="a web page"),
        pytest.param(bytes.fromhex("3005 3003 020100"), id="granted, and no token"),
        pytest.param(bytes.fromhex("3007 3003 020100 3000"), id="an empty token"),
        pytest.param(b"\x30\x80" + bytes(20), id="BER"),
        pytest.param(b"\x30" * 3000, id="nested"),
    ],
)
def test_what_is_no_answer(response: bytes, service: Service) -> None:
    asked = sign_timestamp.question(SIGNATURE)
    with refused(TimestampError, "cannot be read"):
        sign_timestamp.token(response, asked, SIGNATURE, trust(service), now())


def test_an_endless_answer(service: Service) -> None:
    dated = sign_timestamp.stamp("", lambda *_: bytes(1 << 20), trust(service), now())
    with refused(TimestampError, "answered 1,048,576 bytes"):
        dated(SIGNATURE)


def test_a_status_with_words_for_a_terminal(service: Service) -> None:
    text = "nö\x1b[31m".encode()
    words = b"\x30" + bytes([2 + len(text)]) + b"\x0c" + bytes([len(text)]) + text
    status = b"\x30" + bytes([3 + len(words)]) + b"\x02\x01\x02" + words
    response = b"\x30" + bytes([len(status)]) + status
    with refused(TimestampError, "rejected, nö?[31m"):
        sign_timestamp.token(
            response, sign_timestamp.question(SIGNATURE), SIGNATURE, trust(service), now()
        )


def test_mutated_answers_never_count(
    service: Service, answered: tuple[sign_timestamp.Question, bytes]
) -> None:
    asked, response = answered
    rng = random.Random(20261124)
    known, moment = trust(service), now()
    stated = signed_data.read(
        sign_timestamp.token(response, asked, SIGNATURE, known, moment)
    ).content
    survivors = 0
    for _ in range(_MUTATIONS):
        bad = bytearray(response)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        try:
            token = sign_timestamp.token(bytes(bad), asked, SIGNATURE, known, moment)
        except TimestampError:
            continue
        # What changed is what nobody signed: a spare certificate, lists that nobody reads.
        survivors += 1
        assert signed_data.read(token).content == stated
    assert survivors < _MUTATIONS // 2
