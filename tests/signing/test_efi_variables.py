"""Databases of firmware: by hand, real ones of Microsoft and OVMF, and against efitools."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import efi_variables
from signing.efi_variables import Database, Kind
from signing.errors import MalformedError, SigningError
from signing.keys import SigningKey
from tests.builders import efi
from tests.builders.efi import OWNER, SHA256, X509, X509_SHA256, signature_list
from tests.conftest import REAL_DATA, need, read_real, real

MUTATIONS = int(os.environ.get("EFI_MUTATIONS", "3000"))
FIRMWARE = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
DIGEST, OTHER = bytes(range(32)), bytes(range(1, 33))
OPAQUE = uuid.UUID("12345678-0000-1111-2222-333344445555")
ovmf = pytest.mark.skipif(not FIRMWARE.is_file(), reason=f"no {FIRMWARE} (Debian package ovmf)")


def firmware_variables() -> dict[str, bytes]:
    return efi.variables(FIRMWARE.read_bytes())


# --- reading --------------------------------------------------------------------------------


def test_digests_lie_in_a_dictionary() -> None:
    found = efi_variables.read_lists(signature_list(SHA256, DIGEST, OTHER))
    assert set(found.hashes) == {"sha256"}
    assert set(found.hashes["sha256"]) == {DIGEST, OTHER}
    assert found.hashes["sha256"][DIGEST].owner == OWNER


def test_lists_of_all_kinds_stand_together() -> None:
    certificate = b"0\x03\x02\x01\x05"
    modulus = uuid.UUID("3c5766e8-269c-4e34-aa14-ed776e85b3b6")
    data = (
        signature_list(X509, certificate)
        + signature_list(SHA256, DIGEST)
        + signature_list(modulus, bytes(256))
        + signature_list(OPAQUE, b"abc", b"def", header=b"head")
    )
    found = efi_variables.read_lists(data)
    kinds = [entry.kind for entry in found]
    assert kinds == [Kind.X509, Kind.SHA256, Kind.RSA2048, Kind.OTHER, Kind.OTHER]
    assert list(found.certificates) == [certificate]
    assert found.lists[3].header == b"head"
    assert found.to_bytes() == data


@pytest.mark.parametrize(
    ("guid", "algorithm", "size"),
    [
        ("826ca512-cf10-4ac9-b187-be01496631bd", "sha1", 20),
        ("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd", "sha224", 28),
        ("c1c41626-504c-4092-aca9-41f936934328", "sha256", 32),
        ("ff3e5307-9fd0-48c9-85f1-8ad56c701e01", "sha384", 48),
        ("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a", "sha512", 64),
    ],
)
def test_a_digest_is_as_long_as_its_algorithm_makes_it(
    guid: str, algorithm: str, size: int
) -> None:
    digest = hashlib.new(algorithm, b"program").digest()
    assert len(digest) == size
    found = efi_variables.read_lists(signature_list(uuid.UUID(guid), digest))
    assert digest in found.hashes[algorithm]
    with pytest.raises(MalformedError, match=f"{algorithm} entries of {size + 15} bytes"):
        efi_variables.read_lists(signature_list(uuid.UUID(guid), digest[1:]))


@pytest.mark.parametrize(
    ("guid", "algorithm"),
    [
        ("3bd2a492-96c0-4079-b420-fcf98ef103ed", "sha256"),
        ("7076876e-80c2-4ee6-aad2-28b349a6865b", "sha384"),
        ("446dbf63-2502-4cda-bcfa-2465d2b0fe9d", "sha512"),
    ],
)
def test_a_certificate_is_revoked_by_what_its_issuer_signed(guid: str, algorithm: str) -> None:
    digest = hashlib.new(algorithm, b"TBSCertificate").digest()
    since = efi.efi_time(2024, 2, 29, struct.pack("<BBBxIhBx", 13, 14, 15, 0, 0, 0))
    found = efi_variables.read_lists(signature_list(uuid.UUID(guid), digest + since))
    assert found.revoked == {algorithm: {digest: datetime(2024, 2, 29, 13, 14, 15, tzinfo=UTC)}}


@pytest.mark.parametrize(
    "times",
    [
        (bytes(16),),
        (efi.efi_time(2024, 13, 1),),
        (efi.efi_time(2024, 1, 1), bytes(16)),
        (bytes(16), efi.efi_time(2024, 1, 1)),
    ],
    ids=["zeros", "no month", "a time, then always", "always, then a time"],
)
def test_revoked_without_a_time_is_revoked_always(times: tuple[bytes, ...]) -> None:
    entries = [DIGEST + each for each in times]
    found = efi_variables.read_lists(signature_list(X509_SHA256, *entries))
    assert found.revoked["sha256"] == {DIGEST: None}


def test_of_two_times_the_earlier_counts() -> None:
    times = (efi.efi_time(2024, 1, 1), efi.efi_time(2023, 1, 1), efi.efi_time(2025, 1, 1))
    data = signature_list(X509_SHA256, *(DIGEST + each for each in times))
    assert efi_variables.read_lists(data).revoked["sha256"] == {
        DIGEST: datetime(2023, 1, 1, tzinfo=UTC)
    }


def test_a_variable_may_be_empty() -> None:
    assert efi_variables.read_lists(b"") == Database.of(())
    assert list(efi_variables.read_lists(signature_list(SHA256))) == []


def test_all_three_forms_are_told_apart() -> None:
    lists = signature_list(SHA256, DIGEST)
    for form in (lists, struct.pack("<I", 0x27) + lists, efi.update(lists)):
        assert efi_variables.read(form).to_bytes() == lists


def test_what_was_appended_is_there_too() -> None:
    one = efi_variables.read_lists(signature_list(SHA256, DIGEST))
    both = one + efi_variables.read_lists(signature_list(SHA256, OTHER))
    assert set(both.hashes["sha256"]) == {DIGEST, OTHER}


def test_attributes_are_those_of_efivarfs() -> None:
    found = efi_variables.read_variable(bytes.fromhex("06000000 01"))
    assert (found.attributes, found.data) == (6, b"\x01")


def list_head(total: int, header: int, size: int, kind: uuid.UUID = SHA256) -> bytes:
    return kind.bytes_le + struct.pack("<III", total, header, size)


GOOD = signature_list(SHA256, DIGEST)
REFUSED = {
    "bytes behind the last list": (GOOD + b"\0", "1 bytes are left over"),
    "a list that is cut": (GOOD[:-1], "a list of 76 bytes"),
    "a head that is cut": (GOOD[:27], "27 bytes are left over"),
    "a size of nothing": (list_head(0, 0, 48), "a list of 0 bytes"),
    "entries of nothing": (list_head(28, 0, 0, OPAQUE), "entries of 0 bytes"),
    "an entry that is its owner": (list_head(44, 0, 16, OPAQUE) + bytes(16), "entries of 16"),
    "half an entry": (list_head(28 + 72, 0, 48) + bytes(72), "no whole number of 48 bytes"),
    "a size beyond the end": (list_head(0xFFFF_FFFF, 0, 48) + bytes(99), "a list of 4,294,967,295"),
    "a header beyond the end": (
        list_head(76, 0xFFFF_FFF0, 48, OPAQUE) + bytes(48),
        "a header of 4,294,967,280",
    ),
    "digests with a header": (list_head(80, 4, 48) + bytes(52), "a header of 4 bytes"),
    "an entry larger than all, and none": (list_head(28, 1, 0xFFFF_FFFF, OPAQUE), "a header of 1"),
    "an entry larger than all": (list_head(28 + 48, 0, 0xFFFF_FFFF, X509) + bytes(48), "no whole"),
    "too much of it": (bytes(efi_variables.LARGEST + 1), "more than firmware keeps"),
}


@pytest.mark.parametrize(("data", "problem"), REFUSED.values(), ids=list(REFUSED))
def test_lists_that_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        efi_variables.read_lists(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "shorter than its attributes"),
        (bytes(4), "attributes 0x0"),
        (bytes.fromhex("00010000"), "attributes 0x100"),
    ],
)
def test_variables_that_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        efi_variables.read_variable(data)


# --- updates --------------------------------------------------------------------------------


def test_an_update_hands_out_its_signature() -> None:
    found = efi_variables.read_update(efi.update(GOOD, b"signature"))
    assert found.signature == b"signature"
    assert found.made == datetime(2026, 1, 2, tzinfo=UTC)
    assert found.database.to_bytes() == GOOD


def changed(at: int, value: bytes) -> bytes:
    data = efi.update(GOOD)
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (efi.update(GOOD)[:39], "ends too early"),
        (changed(16, struct.pack("<I", 24)), "a signature of 24 bytes"),
        (changed(16, struct.pack("<I", 0xFFFF_FFFF)), "a signature of 4,294,967,295"),
        (changed(20, b"\x00\x01"), "not signed as UEFI asks"),
        (changed(22, b"\x02\x00"), "not signed as UEFI asks"),
        (changed(24, b"\xff"), "not signed as UEFI asks"),
        (changed(0, bytes(2)), "its time is none"),
        (changed(7, b"\x01"), "its time is none"),
        (changed(8, b"\x01"), "its time is none"),
        (changed(12, b"\x01"), "its time is none"),
        (changed(15, b"\x01"), "its time is none"),
        (efi.update(GOOD) + b"x", "1 bytes are left over"),
    ],
)
def test_updates_that_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        efi_variables.read_update(data)


# --- making ---------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_digests_that_are_made_are_read(digests: list[bytes]) -> None:
    made = efi_variables.digest_list(OWNER, "sha256", digests)
    assert made.to_bytes() == signature_list(SHA256, *digests)
    assert set(efi_variables.read(made.to_bytes()).hashes["sha256"]) == set(digests)


def test_each_certificate_has_a_list_of_its_own() -> None:
    made = efi_variables.certificate_lists(OWNER, (b"0\x00", b"0\x01\x00"))
    assert made.to_bytes() == signature_list(X509, b"0\x00") + signature_list(X509, b"0\x01\x00")


@pytest.mark.parametrize(
    ("algorithm", "digests"),
    [("sha256", []), ("sha256", [bytes(20)]), ("x509", [bytes(32)])],
)
def test_what_is_no_digest_is_not_made(algorithm: str, digests: list[bytes]) -> None:
    with pytest.raises(MalformedError):
        efi_variables.digest_list(OWNER, algorithm, digests)


# --- real ones ------------------------------------------------------------------------------


def info() -> dict[str, list[dict[str, str]]]:
    text = (REAL_DATA / "signed/dbx/dbx_info_msft_10_14_25.json").read_text()
    images: dict[str, list[dict[str, str]]] = json.loads(text)["images"]
    return images


@pytest.mark.parametrize("path", real("signed/dbx/amd64_DBXUpdate.bin"))
def test_microsofts_dbx_of_x64(path: Path) -> None:
    """All that Microsoft's table of 2025-10-14 lists, in its order, and what came later.

    Eleven of the twelve behind them are digests of shims that were reported in 2026; the table of
    their day is not among our files.
    """
    found = efi_variables.read(read_real(path))
    digests = [entry.data.hex().upper() for entry in found]
    listed = {image["authenticodeHash"] for image in info()["x64"]}
    assert len(digests) == len(set(digests)) == 443
    assert len(listed) == 431
    assert set(digests[:431]) == listed
    assert digests[-1] == "96275DFD6282A522B011177EE049296952AC794832091F937FBBF92869028629"
    assert {entry.owner for entry in found} == {efi_variables.MICROSOFT}


@pytest.mark.parametrize(
    "path", real("signed/dbx/arm64_DBXUpdate.bin", "signed/dbx/arm_DBXUpdate.bin")
)
def test_microsofts_dbx_of_arm(path: Path) -> None:
    key = "aarch64" if path.name.startswith("arm64") else "arm"
    found = efi_variables.read(read_real(path))
    listed = {bytes.fromhex(image["authenticodeHash"]) for image in info()[key]}
    assert set(found.hashes["sha256"]) == listed


@pytest.mark.parametrize("path", real("signed/dbx/x86_DBXUpdate.bin"))
def test_microsofts_dbx_of_x86(path: Path) -> None:
    """Two batches of boot managers are in the table and not in the file (2018 but for one, and
    2023), everything else is; one entry came after the table."""
    found = efi_variables.read(read_real(path))
    have = set(found.hashes["sha256"])
    missing = [
        image for image in info()["ia32"] if bytes.fromhex(image["authenticodeHash"]) not in have
    ]
    assert {image["dateOfAddition"] for image in missing} == {"2018-04-01", "2023-05-01"}
    listed = {bytes.fromhex(image["authenticodeHash"]) for image in info()["ia32"]}
    assert len(have & listed) == 44
    assert have - listed == {list(found)[-1].data}


@pytest.mark.parametrize(
    "path",
    real(*(f"signed/dbx/{each}_DBXUpdate.bin" for each in ("amd64", "arm64", "arm", "x86"))),
)
def test_microsofts_updates_come_out_as_they_were(path: Path) -> None:
    data = read_real(path)
    found = efi_variables.read_update(data)
    assert found.made == datetime(2010, 3, 6, 19, 17, 21, tzinfo=UTC)
    assert data.endswith(found.signature + found.database.to_bytes())
    assert len(found.signature) + 40 + len(found.database.to_bytes()) == len(data)


@ovmf
def test_the_variables_of_real_firmware() -> None:
    found = {
        name: efi_variables.read(firmware_variables()[name]) for name in ("db", "dbx", "KEK", "PK")
    }
    counts = {name: (len(each.certificates), len(each.hashes)) for name, each in found.items()}
    assert counts == {"db": (2, 0), "dbx": (0, 1), "KEK": (2, 0), "PK": (1, 0)}
    # Microsoft Windows Production PCA 2011, by the thumbprint in Microsoft's own dbx_info.
    thumbprints = {hashlib.sha1(each).hexdigest() for each in found["db"].certificates}  # noqa: S324
    assert "580a6f4cc4e4b669b9ebdc1b2b3e087b80d0678d" in thumbprints


# --- peers ----------------------------------------------------------------------------------


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def certificate(key: SigningKey, tmp_path: Path) -> Path:
    path = tmp_path / "key.crt"
    path.write_bytes(key.certificate.public_bytes(serialization.Encoding.PEM))
    return path


@need("cert-to-efi-sig-list")
def test_lists_of_efitools_are_read(certificate: Path, key: SigningKey, tmp_path: Path) -> None:
    run("cert-to-efi-sig-list", "-g", str(OWNER), certificate, tmp_path / "list")
    data = (tmp_path / "list").read_bytes()
    encoded = key.certificate.public_bytes(serialization.Encoding.DER)
    assert list(efi_variables.read(data).certificates) == [encoded]
    assert efi_variables.certificate_lists(OWNER, (encoded,)).to_bytes() == data


@need("hash-to-efi-sig-list")
def test_digests_of_efitools_are_read(tmp_path: Path) -> None:
    program = efi.program()
    (tmp_path / "program.efi").write_bytes(program)
    run("hash-to-efi-sig-list", tmp_path / "program.efi", tmp_path / "list")
    found = efi_variables.read((tmp_path / "list").read_bytes())
    whole = bytearray(program)
    at = 0x40 + 24
    hashed = whole[: at + 64] + whole[at + 68 : at + 112 + 32] + whole[at + 112 + 40 :]
    assert set(found.hashes["sha256"]) == {hashlib.sha256(hashed).digest()}


@need("sbsiglist", "sbvarsign")
@pytest.mark.parametrize("options", [(), ("--include-attrs",)])
def test_updates_of_sbsigntool_are_read(
    options: tuple[str, ...], key_folder: Path, key: SigningKey, tmp_path: Path
) -> None:
    digest = tmp_path / "digest"
    digest.write_bytes(DIGEST)
    run("sbsiglist", "--owner", str(OWNER), "--type", "sha256", "--output", tmp_path / "l", digest)
    names = ("--key", key_folder / "signing.key", "--cert", key_folder / "signing.crt")
    run("sbvarsign", *options, *names, "--output", tmp_path / "auth", "dbx", tmp_path / "l")
    data = (tmp_path / "auth").read_bytes()
    if options:
        found = efi_variables.read_update(efi_variables.read_variable(data).data)
    else:
        found = efi_variables.read_update(data)
        assert efi_variables.read(data) == found.database
    assert set(found.database.hashes["sha256"]) == {DIGEST}
    encoded = key.certificate.public_bytes(serialization.Encoding.DER)
    assert encoded in found.signature


@need("sig-list-to-certs")
def test_efitools_read_what_is_made(key: SigningKey, tmp_path: Path) -> None:
    encoded = key.certificate.public_bytes(serialization.Encoding.DER)
    made = efi_variables.certificate_lists(OWNER, (encoded, encoded))
    (tmp_path / "list").write_bytes(made.to_bytes())
    run("sig-list-to-certs", tmp_path / "list", tmp_path / "out")
    assert [(tmp_path / f"out-{index}.der").read_bytes() for index in (0, 1)] == [encoded] * 2


# --- hostile --------------------------------------------------------------------------------


def sources() -> list[bytes]:
    lists = (
        signature_list(X509, b"0\x03\x02\x01\x05")
        + signature_list(SHA256, DIGEST, OTHER)
        + signature_list(X509_SHA256, DIGEST + efi.efi_time(2024, 1, 1))
        + signature_list(OPAQUE, b"abc", header=b"head")
    )
    return [lists, efi.update(lists, bytes(64)), struct.pack("<I", 0x27) + lists]


def mutants(count: int) -> list[bytes]:
    rng = random.Random(606)
    made = []
    for index in range(count):
        data = bytearray(sources()[index % 3])
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                value = rng.choice((0, 1, 16, 17, 28, 48, 0x7FFF_FFFF, 0xFFFF_FFFF))
                data[at : at + 4] = struct.pack("<I", value)
            else:
                data[at] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        made.append(bytes(data))
    return made


@pytest.mark.parametrize(
    "reader",
    [
        efi_variables.read,
        efi_variables.read_lists,
        efi_variables.read_update,
        efi_variables.read_variable,
    ],
)
def test_mutants_are_read_or_refused(reader: Callable[[bytes], object]) -> None:
    refused = 0
    for mutant in mutants(MUTATIONS // 4):
        try:
            found = reader(mutant)
        except SigningError:
            refused += 1
            continue
        if isinstance(found, Database):
            # Nothing is read that was not there: lists without entries have no form of their own.
            size = sum(28 + len(each.header) for each in found.lists)
            size += sum(16 + len(entry.data) for entry in found)
            assert size <= len(mutant)
    assert refused


def test_the_most_entries_cost_little() -> None:
    """A byte an entry: some 250,000 of them fill the largest database."""
    count = (efi_variables.LARGEST - 28) // 17
    data = list_head(28 + 17 * count, 0, 17, OPAQUE) + bytes(17 * count)
    started = time.process_time()
    assert sum(1 for _ in efi_variables.read_lists(data)) == count
    assert time.process_time() - started < 10
