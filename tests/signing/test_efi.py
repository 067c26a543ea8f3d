"""Would Secure Boot start it? Programs by hand, real ones, and sbverify's opinion."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import certificate, efi, efi_signature, efi_variables, image, sbat, shim
from signing.efi import EfiVerdict
from signing.efi_variables import Database
from signing.firmware import Firmware
from signing.kernel import Answer
from signing.keys import SigningKey
from signing.shim import Shim
from signing.svn import RESOURCE, Svn
from tests.builders import authenticode, der
from tests.builders import efi as build
from tests.builders.efi import SHA256, X509, X509_SHA256, signature_list
from tests.conftest import REAL_DATA, need, read_real, real
from tests.signing import makers
from tests.signing.makers import NOW, YEAR, Shape
from tests.signing.test_efi_variables import firmware_variables, ovmf
from tests.signing.test_sbat import GRUB, SHIM, installed

MUTATIONS = int(os.environ.get("EFI_MUTATIONS", "3000"))
CA = Shape("Example CA", ca=True)
BOOT_MANAGER = "9d132b61-59d5-4388-ab1c-185c3cb2eb92"
NOTHING = Database.of(())


def certified(shape: Shape, issuer: SigningKey | None = None) -> SigningKey:
    """RSA, as firmware knows it; small, as many are made."""
    return makers.certified(replace(shape, rsa_bits=1024), issuer)


@cache
def ca() -> SigningKey:
    return certified(CA)


@cache
def leaf() -> SigningKey:
    return certified(Shape("Example Signer"), ca())


@cache
def other() -> SigningKey:
    return certified(Shape("Another Signer"), certified(Shape("Another CA", ca=True)))


def encoded(key: SigningKey) -> bytes:
    return key.certificate.public_bytes(serialization.Encoding.DER)


def database(*keys: SigningKey, lists: bytes = b"") -> Database:
    listed = b"".join(signature_list(X509, encoded(key)) for key in keys)
    return efi_variables.read_lists(listed + lists)


def digest_of(program: bytes, algorithm: str = "sha256") -> bytes:
    stream = io.BytesIO(program)
    return image.digests(stream, image.read(stream), [algorithm])[algorithm]


def digests(*programs: bytes) -> bytes:
    return signature_list(SHA256, *map(digest_of, programs))


def judge(program: bytes, firmware: Firmware, by: Shim | None = None) -> EfiVerdict:
    return efi.judge(io.BytesIO(program), firmware, by)


def signed(*keys: SigningKey, how: authenticode.How | None = None) -> bytes:
    return build.signed(build.program(), *keys, how=how)


def tbs(key: SigningKey, time: bytes = bytes(16)) -> bytes:
    digest = hashlib.sha256(key.certificate.tbs_certificate_bytes).digest()
    return signature_list(X509_SHA256, digest + time)


# --- db and dbx -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    program: bytes
    answer: Answer
    reason: str  # a part of it
    db: Database | None = field(default_factory=lambda: database(ca()))
    dbx: Database | None = NOTHING


def by_leaf_of(*shapes: Shape) -> tuple[bytes, Database]:
    """A program signed by the last of a chain, with what lies between; and a db of the first."""
    chain: list[SigningKey] = []
    for shape in shapes:
        chain.append(certified(shape, chain[-1] if chain else None))
    between = tuple(key.certificate for key in chain[1:-1])
    return signed(chain[-1], how=authenticode.How(others=between)), database(chain[0])


YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
OLD = Shape("Old", since=NOW - 3 * YEAR, until=NOW - 2 * YEAR)
OLD_CA = Shape("Old CA", ca=True, since=NOW - 3 * YEAR, until=NOW - 2 * YEAR)
BETWEEN = Shape("Between", ca=True)


@cache
def program() -> bytes:
    return signed(leaf())


@cache
def two() -> bytes:
    return signed(other(), leaf())


def plain() -> bytes:
    return build.program()


def another() -> bytes:
    return build.program({"other": b"code"})


def changed() -> bytes:
    return program()[:0x401] + b"\x90" + program()[0x402:]


def _with(
    made: tuple[bytes, Database], answer: Answer, reason: str
) -> tuple[bytes, Answer, str, Database]:
    return made[0], answer, reason, made[1]


CASES: dict[str, Callable[[], Case]] = {
    "a CA of db": lambda: Case(program(), YES, "leads to 'Example CA'"),
    "the signer itself in db": lambda: Case(program(), YES, "'Example Signer'", database(leaf())),
    "a CA that db does not have": lambda: Case(
        program(), NO, "signed under 'Example CA', and db has no", database(other())
    ),
    "an empty db": lambda: Case(program(), NO, "db has no certificate", NOTHING),
    "run out": lambda: Case(*_with(by_leaf_of(OLD_CA, OLD), YES, "leads to 'Old CA'")),
    "another purpose": lambda: Case(
        *_with(
            by_leaf_of(CA, Shape("Web", purpose=ExtendedKeyUsageOID.SERVER_AUTH)), YES, "leads to"
        )
    ),
    "a CA between": lambda: Case(*_with(by_leaf_of(CA, BETWEEN, Shape("Below")), YES, "leads to")),
    "an issuer that is no CA": lambda: Case(
        *_with(by_leaf_of(CA, Shape("No CA"), Shape("Below")), NO, "under 'No CA'")
    ),
    "an issuer that may not issue": lambda: Case(
        *_with(by_leaf_of(Shape("Mute", ca=True, issues=False), Shape("Below")), NO, "'Mute'")
    ),
    "a changed program": lambda: Case(changed(), NO, "the program is another one than was signed"),
    "a changed program whose digest db has": lambda: Case(
        changed(), YES, "Its SHA-256 digest is in db", database(lists=digests(changed()))
    ),
    "not signed": lambda: Case(plain(), NO, "It is not signed, and db does not have its digest"),
    "not signed, in db": lambda: Case(
        plain(), YES, "Its SHA-256 digest is in db", database(lists=digests(plain()))
    ),
    "not signed, in both": lambda: Case(
        plain(),
        NO,
        "digest is revoked by dbx",
        database(lists=digests(plain())),
        database(lists=digests(plain())),
    ),
    "its digest in dbx": lambda: Case(
        program(), NO, "SHA-256 digest is revoked by dbx", dbx=database(lists=digests(program()))
    ),
    "its CA in dbx": lambda: Case(program(), NO, "'Example CA' is revoked", dbx=database(ca())),
    "its signer in dbx": lambda: Case(
        program(), NO, "'Example Signer' is revoked", dbx=database(leaf())
    ),
    "digest of its CA in dbx": lambda: Case(
        program(), NO, "'Example CA' is revoked", dbx=database(lists=tbs(ca()))
    ),
    "digest of its signer in dbx": lambda: Case(
        program(), NO, "'Example Signer' is revoked", dbx=database(lists=tbs(leaf()))
    ),
    "revoked since some day": lambda: Case(
        program(),
        NO,
        "revoked since 2024-02-03",
        dbx=database(lists=tbs(ca(), build.efi_time(2024, 2, 3))),
    ),
    "others in dbx": lambda: Case(
        program(), YES, "leads to", dbx=database(other(), lists=digests(another()) + tbs(other()))
    ),
    "two signatures, one trusted": lambda: Case(two(), YES, "leads to 'Example CA'"),
    "two signatures, one revoked": lambda: Case(
        two(), NO, "'Another Signer' is revoked", dbx=database(other())
    ),
    "two signatures, one with a revoked digest": lambda: Case(
        two(), NO, "'Another Signer' is revoked", dbx=database(lists=tbs(other()))
    ),
    "db not read": lambda: Case(program(), UNKNOWN, "(db) was not read", None),
    "dbx not read": lambda: Case(program(), UNKNOWN, "(dbx) was not read", dbx=None),
    "dbx not read, and nothing in db": lambda: Case(program(), NO, "db has no", NOTHING, None),
    "db not read, but revoked": lambda: Case(
        program(), NO, "is revoked", None, database(lists=tbs(leaf()))
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_firmware_says(name: str) -> None:
    case = CASES[name]()
    found = judge(case.program, Firmware(case.db, case.dbx))
    assert (found.answer, case.reason in found.reason) == (case.answer, True), found.reason
    assert found.reason.endswith(".")
    assert found.digest == digest_of(case.program)


def test_all_signatures_are_told() -> None:
    found = judge(signed(other(), leaf()), Firmware(database(ca()), NOTHING))
    told = [(each.signer, each.authority, each.trusted_by) for each in found.signatures]
    assert told == [
        ("Another Signer", "Another CA", ""),
        ("Example Signer", "Example CA", "Example CA"),
    ]
    assert {each.algorithm for each in found.signatures} == {"sha256"}


def test_sha1_is_neither_trusted_nor_refused() -> None:
    program = signed(leaf(), how=authenticode.How("sha1"))
    found = judge(program, Firmware(database(ca()), NOTHING))
    assert (found.answer, "newer firmware refuses" in found.reason) == (Answer.UNKNOWN, True)


def test_ecdsa_is_neither_trusted_nor_refused() -> None:
    """OVMF of 2022 refuses it, newer ones may know it."""
    by_ca = makers.certified(Shape("Elliptic"), ca())
    of_ca = makers.certified(Shape("Elliptic CA", ca=True))
    for program, db in (
        (signed(by_ca), database(ca())),
        (signed(certified(Shape("RSA"), of_ca)), database(of_ca)),
    ):
        found = judge(program, Firmware(db, NOTHING))
        assert (found.answer, "ECDSA" in found.reason) == (Answer.UNKNOWN, True)
        assert found.signatures[0].is_elliptic
    both = signed(by_ca, leaf())
    assert judge(both, Firmware(database(ca()), NOTHING)).answer is Answer.YES


def test_sha1_is_revoked_by_its_sha256_too() -> None:
    program = signed(leaf(), how=authenticode.How("sha1"))
    found = judge(program, Firmware(database(ca()), database(lists=digests(program))))
    assert (found.answer, found.revoked_digest) == (Answer.NO, "sha256")


def test_a_path_too_long() -> None:
    """The CA allows no CA below it."""
    found = _limited()
    assert found.answer is Answer.NO
    assert "under 'Between'" in found.reason


def _limited() -> EfiVerdict:
    root = certified(CA)
    builder = x509.CertificateBuilder(
        root.certificate.issuer,
        root.certificate.subject,
        root.private_key.public_key(),
        root.certificate.serial_number,
        root.certificate.not_valid_before_utc,
        root.certificate.not_valid_after_utc,
    ).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    limited = SigningKey(root.private_key, builder.sign(root.private_key, hashes.SHA256()))
    between = certified(Shape("Between", ca=True), limited)
    program = signed(
        certified(Shape("Below"), between), how=authenticode.How(others=(between.certificate,))
    )
    return judge(program, Firmware(database(limited), NOTHING))


# --- the table ------------------------------------------------------------------------------


def table_of(program: bytes) -> tuple[bytes, bytes]:
    made = image.read(io.BytesIO(program))
    return program[: made.table_at], program[made.table_at :]


def of_kind(kind: bytes) -> bytes:
    """A signature as WIN_CERTIFICATE_UEFI_GUID."""
    plain, table = table_of(signed(leaf()))
    content = kind + table[8:]
    entry = struct.pack("<IHH", 8 + len(content), 0x200, 0xEF1) + content
    return build.with_table(plain, entry + bytes(-len(entry) % 8))


def test_a_signature_of_uefis_own_kind() -> None:
    found = judge(of_kind(efi_variables.PKCS7.bytes_le), Firmware(database(ca()), NOTHING))
    assert found.answer is Answer.YES


@pytest.mark.parametrize("kind", [bytes(16), SHA256.bytes_le])
def test_a_signature_of_another_kind_is_none(kind: bytes) -> None:
    found = judge(of_kind(kind), Firmware(database(ca()), NOTHING))
    assert (found.answer, found.signatures) == (Answer.NO, ())
    assert "None of its signatures" in found.reason


def test_a_table_that_is_filled_up_is_refused() -> None:
    """As edk2 has it: what follows the last entry is an entry of no size."""
    plain, table = table_of(signed(leaf()))
    found = judge(build.with_table(plain, table + bytes(16)), Firmware(database(ca()), NOTHING))
    assert (found.answer, "does not end where" in found.reason) == (Answer.NO, True)


def test_beside_a_signature_that_cannot_be_read_nothing_is_certain() -> None:
    plain, table = table_of(signed(leaf()))
    rubbish = struct.pack("<IHH", 16, 0x200, 2) + b"rubbish."
    found = judge(build.with_table(plain, rubbish + table), Firmware(database(ca()), NOTHING))
    assert found.answer is Answer.UNKNOWN
    assert [each.is_readable for each in found.signatures] == [False, True]
    alone = judge(build.with_table(plain, rubbish), Firmware(database(ca()), NOTHING))
    assert (alone.answer, "No signature of it holds" in alone.reason) == (Answer.NO, True)


def test_a_driver_of_windows_is_no_efi_program() -> None:
    program = build.signed(build.program(subsystem=1), leaf())
    found = judge(program, Firmware(database(ca()), NOTHING))
    assert (found.answer, "no EFI program" in found.reason) == (Answer.NO, True)


@pytest.mark.parametrize("data", [b"", b"MZ", bytes(4096), signed(leaf())[:700]])
def test_what_cannot_be_read_is_not_judged(data: bytes) -> None:
    found = judge(data, Firmware(database(ca()), NOTHING))
    assert (found.answer, found.signatures) == (Answer.UNKNOWN, ())
    assert found.reason.startswith("It cannot be read")


# --- numbers and generations ----------------------------------------------------------------


def boot_manager(major: int, minor: int = 0) -> bytes:
    return build.signed(build.program(rcdata={RESOURCE: struct.pack("<HH", minor, major)}), leaf())


def asking(*numbers: tuple[int, int]) -> Database:
    entries = [build.svn_data(BOOT_MANAGER, *each) for each in numbers]
    return database(lists=signature_list(SHA256, *entries))


@pytest.mark.parametrize(
    ("program", "dbx", "answer"),
    [
        (boot_manager(7), asking((7, 0)), Answer.YES),
        (boot_manager(7), asking((8, 0), (5, 0)), Answer.NO),
        (boot_manager(7, 5), asking((7, 6)), Answer.NO),
        (boot_manager(10), asking((9, 9)), Answer.YES),
        (boot_manager(2), NOTHING, Answer.YES),
        (signed(leaf()), asking((7, 0)), Answer.YES),  # from before there were numbers
    ],
)
def test_the_number_of_a_boot_manager(program: bytes, dbx: Database, answer: Answer) -> None:
    found = judge(program, Firmware(database(ca()), dbx))
    assert found.answer is answer
    assert ("stop itself" in found.reason) == (answer is Answer.NO)


def test_a_number_that_is_given_goes_before_that_of_dbx() -> None:
    firmware = Firmware(database(ca()), asking((3, 0)), minimum_svn=Svn(8, 0))
    found = judge(boot_manager(7), firmware)
    assert (found.answer, found.svn) == (Answer.NO, Svn(7, 0))
    assert "is 7.0, and dbx asks for 8.0" in found.reason


def with_sbat(*components: str) -> bytes:
    lines = "".join(f"{each},Vendor,package,1,https://example.com\n" for each in components)
    return build.signed(build.program({".sbat": lines.encode()}), leaf())


LEVEL = sbat.level(b"sbat,1,2025051000\nshim,4\ngrub,5\n")


@pytest.mark.parametrize(
    ("program", "level", "answer", "reason"),
    [
        (with_sbat("sbat,1", "shim,4"), LEVEL, Answer.YES, "leads to"),
        (with_sbat("sbat,1", "shim,3"), LEVEL, Answer.NO, "'shim' is of SBAT generation 3"),
        (with_sbat("sbat,1", "shim,3"), sbat.NO_LEVEL, Answer.YES, "leads to"),
        (with_sbat("sbat,1", "shim,4"), None, Answer.UNKNOWN, "level of the machine was not read"),
        # Firmware that starts GRUB by itself asks for no generation.
        (with_sbat("sbat,1", "grub,1"), LEVEL, Answer.YES, "leads to"),
        (with_sbat("sbat,1", "grub,1"), None, Answer.YES, "leads to"),
        (with_sbat("broken"), LEVEL, Answer.UNKNOWN, "SBAT section cannot be read"),
    ],
)
def test_a_shim_looks_at_itself(
    program: bytes, level: sbat.Level | None, answer: Answer, reason: str
) -> None:
    found = judge(program, Firmware(database(ca()), NOTHING, level))
    assert (found.answer, reason in found.reason) == (answer, True), found.reason


@pytest.mark.parametrize(
    ("program", "answer", "reason"),
    [
        (with_sbat("sbat,1", "grub,5"), Answer.YES, "leads to 'Example CA'"),
        (with_sbat("sbat,1", "grub,4"), Answer.NO, "'grub' is of SBAT generation 4"),
        (signed(leaf()), Answer.NO, "no SBAT section"),
        (build.signed(build.program(), other()), Answer.NO, "db has no certificate"),
    ],
)
def test_what_a_shim_starts(program: bytes, answer: Answer, reason: str) -> None:
    by = Shim(database(ca()), NOTHING, sbat.NO_LEVEL)
    found = judge(program, Firmware(NOTHING, NOTHING, LEVEL), by)
    assert (found.answer, reason in found.reason) == (answer, True), found.reason


def test_a_shim_has_revocations_of_its_own() -> None:
    program = with_sbat("sbat,1", "grub,5")
    by = Shim(database(ca()), database(lists=digests(program)))
    found = judge(program, Firmware(NOTHING, NOTHING, LEVEL), by)
    assert (found.answer, found.revoked_digest) == (Answer.NO, "sha256")


def test_a_shim_puts_a_later_level_in_force() -> None:
    by = Shim(database(ca()), NOTHING, sbat.level(b"sbat,1,2026010100\ngrub,6\n"))
    program = with_sbat("sbat,1", "grub,5")
    for level in (LEVEL, sbat.NO_LEVEL, None):
        found = judge(program, Firmware(NOTHING, NOTHING, level), by)
        assert (found.answer, "and 6 is asked for" in found.reason) == (Answer.NO, True)


# --- real ones ------------------------------------------------------------------------------


def real_dbx() -> Database:
    path = REAL_DATA / "signed/dbx/amd64_DBXUpdate.bin"
    return efi_variables.read(path.read_bytes()) if path.is_file() else NOTHING


def real_firmware(*more: Database) -> Firmware:
    """What Debian's OVMF trusts: Microsoft's certificates of 2011; and Microsoft's dbx."""
    dbx = real_dbx()
    for each in more:
        dbx += each
    return Firmware(efi_variables.read(firmware_variables()["db"]), dbx, sbat.NO_LEVEL)


def from_file(path: Path, names: Sequence[str]) -> bytes:
    """Certificates that a signed file brings along, as a database."""
    with path.open("rb") as stream:
        made = image.read(stream)
        pool = [
            one for entry in image.entries(stream, made) for one in efi_signature.read(entry).pool
        ]
    return b"".join(signature_list(X509, each.der) for each in pool if each.name in names)


WINDOWS_2011 = "Microsoft Windows Production PCA 2011"
THIRD_2011, THIRD_2023 = "Microsoft Corporation UEFI CA 2011", "Microsoft UEFI CA 2023"


@ovmf
@pytest.mark.parametrize("path", real("signed/winefi_bootmgfw.efi"))
def test_windows_boot_manager_of_2020(path: Path) -> None:
    """Started under Microsoft's dbx of 2026: that does not hold the certificate of 2011, which is
    for the machine's owner to revoke (KB5025885)."""
    program = read_real(path)
    found = judge(program, real_firmware())
    assert (found.answer, found.machine, found.svn) == (Answer.YES, "x64", None)
    assert [each.trusted_by for each in found.signatures] == [WINDOWS_2011]
    revoked = efi_variables.read_lists(from_file(path, [WINDOWS_2011]))
    found = judge(program, real_firmware(revoked))
    assert found.reason == f"dbx refuses it: the certificate of '{WINDOWS_2011}' is revoked."
    found = judge(program, real_firmware(database(lists=digests(program))))
    assert (found.answer, found.revoked_digest) == (Answer.NO, "sha256")
    # One byte of code.
    changed = bytearray(program)
    changed[0x800] ^= 1
    found = judge(bytes(changed), real_firmware())
    assert (found.answer, "another one than was signed" in found.reason) == (Answer.NO, True)


@ovmf
@installed(SHIM, "shim-signed")
def test_debians_shim_with_two_signatures() -> None:
    program = SHIM.read_bytes()
    old, new = (
        efi_variables.read_lists(from_file(SHIM, [name])) for name in (THIRD_2011, THIRD_2023)
    )
    found = judge(program, real_firmware())
    assert found.answer is Answer.YES
    assert [each.authority for each in found.signatures] == [THIRD_2011, THIRD_2023]
    for db, dbx, answer in (
        (new, NOTHING, Answer.YES),
        (new, old, Answer.NO),  # the specification: no present signature may be in dbx
        (old + new, new, Answer.NO),
        (NOTHING, NOTHING, Answer.NO),
    ):
        assert judge(program, Firmware(db, dbx, sbat.NO_LEVEL)).answer is answer
    later = sbat.level(b"sbat,1,2099010100\nshim,99\n")
    found = judge(program, Firmware(new, NOTHING, later))
    assert (found.answer, found.revoked_component) == (
        Answer.NO,
        sbat.Revoked("shim", found.components[1].generation, 99),
    )


@ovmf
@installed(SHIM, "shim-signed")
@installed(GRUB, "grub-efi-amd64-signed")
def test_debians_grub_is_started_by_its_shim_alone() -> None:
    with SHIM.open("rb") as stream:
        by = shim.read(stream)
    program = GRUB.read_bytes()
    assert judge(program, real_firmware()).answer is Answer.NO
    assert judge(program, real_firmware(), by).answer is Answer.YES
    level = sbat.level(b"sbat,1,2099010100\ngrub.debian,99\n")
    firmware = Firmware(NOTHING, NOTHING, level)
    assert judge(program, firmware, by).reason.startswith("shim refuses it: 'grub.debian'")


# --- sbverify -------------------------------------------------------------------------------


def accepted(program: Path, trusted: Path) -> bool:
    done = subprocess.run(
        ["sbverify", "--cert", str(trusted), str(program)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


@need("sbsign", "sbverify")
def test_sbverify_agrees(key: SigningKey, key_folder: Path, tmp_path: Path) -> None:
    """On what sbsign signs and on what is made by hand, whole and with a byte changed."""
    plain, by_peer = tmp_path / "plain.efi", tmp_path / "signed.efi"
    plain.write_bytes(build.program())
    names = ("--key", str(key_folder / "signing.key"), "--cert", str(key_folder / "signing.crt"))
    subprocess.run(
        ["sbsign", *names, "--output", str(by_peer), str(plain)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    programs = [by_peer.read_bytes(), build.signed(build.program(), key), build.program()]
    programs += [each[:0x401] + b"\x90" + each[0x402:] for each in programs[:2]]
    stranger = tmp_path / "other.crt"
    stranger.write_bytes(leaf().certificate.public_bytes(serialization.Encoding.PEM))
    answers = []
    for program in programs:
        (tmp_path / "program.efi").write_bytes(program)
        for trusted, who in ((key_folder / "signing.crt", key), (stranger, leaf())):
            answer = judge(program, Firmware(database(who), NOTHING)).answer
            assert (answer is Answer.YES) == accepted(tmp_path / "program.efi", trusted)
            answers.append(answer is Answer.YES)
    assert sum(answers) == 2


@need("sbverify")
@installed(SHIM, "shim-signed")
@pytest.mark.parametrize("name", [THIRD_2011, THIRD_2023])
def test_sbverify_agrees_on_debians_shim(name: str, tmp_path: Path) -> None:
    db = efi_variables.read_lists(from_file(SHIM, [name]))
    (encoded_ca,) = db.certificates
    trusted = tmp_path / "ca.crt"
    found = x509.load_der_x509_certificate(encoded_ca)
    trusted.write_bytes(found.public_bytes(serialization.Encoding.PEM))
    assert judge(SHIM.read_bytes(), Firmware(db, NOTHING, sbat.NO_LEVEL)).answer is Answer.YES
    assert accepted(SHIM, trusted)


# --- hostile --------------------------------------------------------------------------------


def test_no_changed_program_is_started() -> None:
    """Wherever a byte of it changes, but for its checksum, which is not hashed."""
    rng = random.Random(610)
    program, firmware = signed(leaf()), Firmware(database(ca()), NOTHING)
    made = image.read(io.BytesIO(program))
    hashed = [at for start, end in made.hashed() for at in range(start, end)]
    for _ in range(MUTATIONS):
        data = bytearray(program)
        for at in rng.sample(hashed, rng.choice((1, 1, 1, 4))):
            data[at] ^= 1 << rng.randrange(8)
        assert judge(bytes(data), firmware).answer is not Answer.YES


def test_no_changed_signature_is_believed() -> None:
    """A bit at every byte of the table (all eight in a campaign).

    What may change lies outside of what was signed, the signature and the signer's certificate:
    the entry's revision, both versions, the set that names the algorithms once more, the NULLs
    behind the signer's own, and what fills the entry up. Firmware does not look at them either.
    """
    program, firmware = signed(leaf()), Firmware(database(ca()), NOTHING)
    plain, table = table_of(program)
    content = table.index(der.sequence(der.oid("1.3.6.1.4.1.311.2.1.4"))[2:])
    behind = table.index(encoded(leaf())) + len(encoded(leaf()))
    version = table.index(b"\x02\x01\x01", behind) + 2
    sha256 = table.index(bytes.fromhex("608648016503040201"), behind) + 9
    rsa = table.index(bytes.fromhex("2a864886f70d0101"), sha256) + 9  # by itself or with a digest
    nulls = {at + more for at in (sha256, rsa) if table[at : at + 2] == b"\5\0" for more in (0, 1)}
    free = {4, 5, *range(32, content), version, *nulls}
    free |= set(range(len(table) - 7, len(table)))
    believed = set()
    for at in range(len(table)):
        for bit in range(8) if MUTATIONS > 3000 else (at % 8,):
            data = bytearray(table)
            data[at] ^= 1 << bit
            if judge(plain + data, firmware).answer is Answer.YES:
                believed.add(at)
    assert {4, 5, version} <= believed <= free


def test_a_pool_of_namesakes_costs_little() -> None:
    """Sixty CAs of one name, each of which might have issued each."""
    namesakes = [makers.certified(CA) for _ in range(60)]
    program = signed(
        makers.certified(Shape("Below"), namesakes[0]),
        how=authenticode.How(others=tuple(each.certificate for each in namesakes[:55])),
    )
    firmware = Firmware(database(*namesakes[1:]), database(*namesakes[30:]))
    certificate.read.cache_clear()
    started = time.process_time()
    found = judge(program, firmware)
    assert time.process_time() - started < 10
    assert found.answer is Answer.NO
