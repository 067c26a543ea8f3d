"""Programs for firmware: what we sign, others accept, and nobody accepts it changed."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from signing import efi, efi_variables, image, keys, sign_image, verify
from signing.errors import KeyFileError, MalformedError, SigningError
from signing.firmware import Firmware
from signing.kernel import Answer
from signing.keys import SigningKey
from signing.path import Trust
from signing.sign_image import Existing, How
from tests.builders import efi as firmware_builder
from tests.builders import efi_program, pe
from tests.builders.timestamp_service import private_pem
from tests.conftest import need
from tests.signing.makers import NOW, YEAR, Shape, certified, refused
from tests.signing.organisations import KINDS, organisation

PROGRAM = efi_program.program("hello", padding=700)
MACHINES = sorted(efi_program.MACHINES)
_FLIPS = 60  # places of a signed file that are changed, one at a time


def trust(*who: SigningKey) -> Trust:
    return Trust(tuple(der(one) for one in who), windows=False)


def der(key: SigningKey) -> bytes:
    return key.certificate.public_bytes(serialization.Encoding.DER)


def signatures(signed: bytes, *trusted: SigningKey) -> list[bool]:
    """Of each signature in the table, whether our own verifier finds it good."""
    report = verify.Verifier(trust(*trusted), datetime.now(UTC)).verify(BytesIO(signed))
    found = [each.signature for each in report.vouchers]
    return [not each.is_tampered and any(way.is_good for way in each.ways) for each in found]


# --- what others say ------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[bytes, SigningKey], tuple[Path, Path]]:
    """Puts a file and a certificate where tools can read them."""

    def put(content: bytes, key: SigningKey) -> tuple[Path, Path]:
        file, certificate = tmp_path / "program.efi", tmp_path / "signing.crt"
        file.write_bytes(content)
        certificate.write_bytes(keys.certificate_pem(key.certificate))
        return file, certificate

    return put


def sbverify(file: Path, certificate: Path) -> bool:
    argv = ["sbverify", "--cert", str(certificate), str(file)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def osslsigncode(file: Path, certificate: Path) -> bool:
    argv = ["osslsigncode", "verify", "-CAfile", str(certificate), "-in", str(file)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


TOOLS = [
    pytest.param(sbverify, marks=need("sbverify"), id="sbverify"),
    pytest.param(osslsigncode, marks=need("osslsigncode"), id="osslsigncode"),
]
Desk = Callable[[bytes, SigningKey], tuple[Path, Path]]
Tool = Callable[[Path, Path], bool]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", KINDS)
def test_other_programs_accept_it_and_refuse_one_flipped_byte(
    kind: str, tool: Tool, desk: Desk
) -> None:
    key = organisation(kind)
    signed = sign_image.sign(PROGRAM, [key])
    assert tool(*desk(signed, key))
    for place in (0x40 + 8, 0x200, len(PROGRAM) - 1):  # header, code, last byte
        assert not tool(*desk(flipped(signed, place), key)), hex(place)
    assert not tool(*desk(signed, organisation(kind, 2)))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("machine", MACHINES)
def test_programs_of_every_machine(machine: str, tool: Tool, desk: Desk) -> None:
    key = organisation("RSA 2048")
    signed = sign_image.sign(efi_program.program("hello", machine), [key])
    assert tool(*desk(signed, key))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_chain_goes_along(tool: Tool, desk: Desk) -> None:
    root = certified(Shape("Root", ca=True, rsa_bits=2048))
    between = certified(Shape("Between", ca=True, rsa_bits=2048), root)
    leaf = certified(Shape("Leaf", rsa_bits=2048), between)
    whole = replace(leaf, others=(between.certificate,))
    assert tool(*desk(sign_image.sign(PROGRAM, [whole]), root))
    assert not tool(*desk(sign_image.sign(PROGRAM, [leaf]), root))


@need("sbverify")
def test_either_of_two_keys_will_do(desk: Desk) -> None:
    one, two = organisation("RSA 2048"), organisation("RSA 3072")
    signed = sign_image.sign(PROGRAM, [one, two])
    assert sbverify(*desk(signed, one))
    assert sbverify(*desk(signed, two))
    assert not sbverify(*desk(signed, organisation("RSA 4096")))
    assert signatures(signed, one, two) == [True, True]


REAL = [
    Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
    Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi"),
    Path("/boot/ipxe.efi"),
]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_programs_of_others(path: Path, tool: Tool, desk: Desk) -> None:
    if not path.is_file():
        pytest.skip(f"no {path}")
    key = organisation("RSA 2048")
    signed = sign_image.sign(path.read_bytes(), [key], How(Existing.REPLACE))
    assert tool(*desk(signed, key))


# --- what it is -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_verifier_agrees(kind: str) -> None:
    key = organisation(kind)
    signed = sign_image.sign(PROGRAM, [key])
    assert signatures(signed, key) == [True]
    assert signatures(signed, organisation(kind, 2)) == [False]


def test_firmware_as_we_model_it_agrees() -> None:
    key = organisation("RSA 3072")
    db = efi_variables.read_lists(firmware_builder.signature_list(firmware_builder.X509, der(key)))
    firmware = Firmware(db=db, dbx=efi_variables.Database.of(()))
    verdict = efi.judge(BytesIO(sign_image.sign(PROGRAM, [key])), firmware)
    assert verdict.answer is Answer.YES, verdict.reason
    stranger = sign_image.sign(PROGRAM, [organisation("RSA 3072", 2)])
    assert efi.judge(BytesIO(stranger), firmware).answer is Answer.NO


@pytest.mark.parametrize("size", range(0, 9, 3))
def test_only_three_fields_and_the_end_change(size: int) -> None:
    program = PROGRAM + bytes(size)  # not a multiple of 8: filled up, and that is hashed
    signed = sign_image.sign(program, [organisation("RSA 2048")])
    read = image.read(BytesIO(signed))
    assert read.table_at % 8 == 0
    assert read.table_at + read.table_size == len(signed)
    assert read.oddities == ()
    blank = bytearray(signed[: len(program)])
    for at, width in ((read.checksum_at, 4), (read.directory_at, 8)):
        blank[at : at + width] = program[at : at + width]
    assert bytes(blank) == program


@pytest.mark.parametrize("size", [0, 1, 2, 1022, 70_000])
def test_the_checksum_is_pes_own(size: int) -> None:
    signed = sign_image.sign(efi_program.program("hello", padding=size), [organisation("RSA 2048")])
    assert pe.with_checksum(signed) == signed  # the builder adds word by word


@pytest.mark.parametrize("content", [b"", bytes(8), b"\xff" * 8, b"\xff\xff" + bytes(6)])
def test_the_checksum_of_corners(content: bytes) -> None:
    total = sum(struct.unpack(f"<{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert sign_image.checksum(content) == total + len(content)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_each_time(kind: str) -> None:
    key = organisation(kind)
    for how in (How(), How(signing_time=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))):
        assert sign_image.sign(PROGRAM, [key], how) == sign_image.sign(PROGRAM, [key], how)


@need("osslsigncode", "sbverify")
@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_other_digests(digest: str, desk: Desk) -> None:
    key = organisation("RSA 2048")
    signed = sign_image.sign(PROGRAM, [key], How(digest=digest))
    assert osslsigncode(*desk(signed, key))
    assert signatures(signed, key) == [True]
    assert not sbverify(*desk(signed, key))  # it knows SHA-256 only; that is why it is our default


# --- signatures that are there ---------------------------------------------------------------


def test_existing_signatures() -> None:
    one, two, three = (organisation(kind) for kind in ("RSA 2048", "RSA 3072", "P-256"))
    first = sign_image.sign(PROGRAM, [one])
    with refused(SigningError, "signed already"):
        sign_image.sign(first, [two])
    both = sign_image.sign(first, [two], How(Existing.APPEND))
    assert signatures(both, one, two) == [True, True]
    assert both == sign_image.sign(PROGRAM, [one, two])  # none covers the other
    assert sign_image.sign(both, [three], How(Existing.REPLACE)) == sign_image.sign(
        PROGRAM, [three]
    )


@need("sbsign", "sbverify")
def test_beside_a_signature_of_somebody_else(tmp_path: Path, desk: Desk) -> None:
    theirs, ours = organisation("RSA 2048"), organisation("RSA 3072")
    file, certificate = desk(PROGRAM, theirs)
    (tmp_path / "key").write_bytes(private_pem(theirs))
    argv = ["sbsign", "--key", "key", "--cert", certificate.name, "--output", file.name, file.name]
    subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    both = sign_image.sign(file.read_bytes(), [ours], How(Existing.APPEND))
    for key in (theirs, ours):
        assert sbverify(*desk(both, key))


def test_no_more_than_can_be_read() -> None:
    key = organisation("P-256")
    full = sign_image.sign(PROGRAM, [key] * 16)
    with refused(SigningError, "16 signatures already"):
        sign_image.sign(full, [key], How(Existing.APPEND))


def test_beside_a_signature_that_is_broken() -> None:
    key = organisation("RSA 2048")
    signed = sign_image.sign(PROGRAM, [key])
    with refused(SigningError, "was made for other bytes"):
        sign_image.sign(flipped(signed, 0x200), [key], How(Existing.APPEND))
    with refused(SigningError, "that is there cannot be read"):
        sign_image.sign(flipped(signed, len(PROGRAM) + 12), [key], How(Existing.APPEND))
    fresh = sign_image.sign(flipped(signed, 0x200), [key], How(Existing.REPLACE))
    assert signatures(fresh, key) == [True]


def test_a_table_that_begins_anywhere() -> None:
    """What fills the file up would be hashed, and the signatures that are there would not hold."""
    key = organisation("P-256")
    table = sign_image.sign(PROGRAM, [key])[len(PROGRAM) :]
    odd = firmware_builder.with_table(PROGRAM + bytes(4), table)
    with refused(SigningError, "do not begin where one can be added"):
        sign_image.sign(odd, [key], How(Existing.APPEND))
    assert signatures(sign_image.sign(odd, [key], How(Existing.REPLACE)), key) == [True]


# --- what is not signed -----------------------------------------------------------------------


def changed(at: int, layout: str, *values: int) -> bytes:
    data = bytearray(PROGRAM)
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


COFF, OPTIONAL = 0x40 + 4, 0x40 + 24
SECTION = OPTIONAL + 240


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        pytest.param(b"", MalformedError, "does not begin like one", id="empty"),
        pytest.param(b"#!/bin/sh\n" * 50, MalformedError, "does not begin", id="script"),
        pytest.param(PROGRAM[:300], MalformedError, "end too early", id="cut"),
        pytest.param(changed(COFF, "<H", 0x1C4), SigningError, "is for arm,", id="machine"),
        pytest.param(PROGRAM + b"x", SigningError, "behind the last section", id="appended"),
        pytest.param(changed(OPTIONAL + 108, "<I", 4), SigningError, "no place", id="no entry"),
        pytest.param(
            changed(SECTION + 16, "<II", 0x200, 0x400), SigningError, "no section", id="gap"
        ),
    ],
)
def test_what_cannot_be_signed(content: bytes, kind: type[SigningError], words: str) -> None:
    with refused(kind, words):
        sign_image.sign(content, [organisation("P-256")])


def test_bytes_behind_a_signature() -> None:
    key = organisation("P-256")
    signed = sign_image.sign(PROGRAM, [key])
    for existing in (Existing.APPEND, Existing.REPLACE):
        with refused(SigningError, "behind the executable's signature"):
            sign_image.sign(signed + bytes(8), [key], How(existing))


def test_symbols_that_the_header_names_are_signed_along() -> None:
    key = organisation("RSA 2048")
    symbols = b"\1" * 18 + struct.pack("<I", 4 + 6) + b"start\0"
    program = bytearray(PROGRAM + symbols)
    struct.pack_into("<II", program, COFF + 8, len(PROGRAM), 1)
    signed = sign_image.sign(bytes(program), [key])
    assert signatures(signed, key) == [True]
    assert signatures(flipped(signed, len(PROGRAM) + 3), key) == [False]
    with refused(SigningError, "behind the last section"):
        sign_image.sign(bytes(program) + b"x", [key])


def test_a_windows_program_is_not_firmwares() -> None:
    sign_image.refuse_other_programs(PROGRAM)
    with refused(SigningError, "a program of Windows"):
        sign_image.refuse_other_programs(pe.driver())


def test_an_expired_key_signs_nothing() -> None:
    old = certified(Shape(since=NOW - 2 * YEAR, until=NOW - timedelta(days=1)))
    with refused(KeyFileError, "expired"):
        sign_image.sign(PROGRAM, [old])


# --- hostile --------------------------------------------------------------------------------


def flipped(content: bytes, place: int) -> bytes:
    data = bytearray(content)
    data[place] ^= 1
    return bytes(data)


def test_no_flipped_bit_of_what_is_hashed_goes_unnoticed() -> None:
    key = organisation("P-256")
    signed = sign_image.sign(PROGRAM, [key])
    read = image.read(BytesIO(signed))
    rng = random.Random(20261124)
    fields = {*range(read.checksum_at, read.checksum_at + 4)}
    fields |= {*range(read.directory_at, read.directory_at + 8)}
    places = [place for place in range(read.table_at) if place not in fields]
    for place in rng.sample(places, _FLIPS):
        assert True not in signatures(flipped(signed, place), key), hex(place)


def test_mutated_programs_are_signed_rightly_or_refused() -> None:
    """Whatever is signed at all is good afterwards, as others see it."""
    key = organisation("P-256")
    rng = random.Random(20261125)
    signed = 0
    for _ in range(300):
        program = bytearray(PROGRAM)
        for _ in range(rng.randrange(1, 6)):
            program[rng.randrange(0x1F0)] = rng.choice((0, 1, 4, 0x7F, 0xFF))
        try:
            made = sign_image.sign(bytes(program), [key])
        except SigningError:
            continue
        signed += 1
        assert signatures(made, key) == [True]
    assert signed > 20
