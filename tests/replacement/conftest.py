"""A Windows in a folder whose driver acme.sys is faulty, and files that could take its place."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from recoverykit import installs, replacement
from recoverykit.model import Service, Source, StartType, WindowsInstall
from recoverykit.replacement import Candidate, Search
from recoverykit.vouching import Judge
from tests.builders import pe
from tests.evidence.conftest import installation, put

AT = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
DRIVERS = "Windows/System32/drivers"
STORE = "Windows/System32/DriverStore/FileRepository"
SXS = "Windows/WinSxS"
PACKAGE = f"{STORE}/acme.inf_amd64_0123456789abcdef"
ACME = {
    "CompanyName": "Acme Security GmbH",
    "FileVersion": "3.1.7.0",
    "InternalName": "acme",
    "OriginalFilename": "acme.sys",
    "ProductName": "Acme Shield",
}
MICROSOFT = {
    "CompanyName": "Microsoft Corporation",
    "FileVersion": "10.0.19041.1000",
    "InternalName": "ntfs.sys",
    "OriginalFilename": "ntfs.sys",
    "ProductName": "Microsoft® Windows® Operating System",
}
KERNEL = ("IoCreateDevice", "KeInitializeEvent")
IMPORTS: dict[str, list[str | int]] = {"ntoskrnl.exe": list(KERNEL)}


def acme(version: str = "3.1.8.0", **changes: str) -> dict[str, str]:
    return {**ACME, "FileVersion": version, **changes}


def windows_driver(version: str) -> dict[str, str]:
    return {**MICROSOFT, "FileVersion": version}


def stub(strings: dict[str, str], **options: Any) -> bytes:
    """An unsigned driver that imports what every Windows offers."""
    return pe.driver(strings, **{"imports": IMPORTS, "padding": b"\x90" * 64, **options})


def patched(data: bytes, field_at: int, value: int) -> bytes:
    """Another number in the optional header, with the checksum set right again."""
    at = 0x40 + 24 + field_at
    return pe.with_checksum(data[:at] + value.to_bytes(2, "little") + data[at + 2 :])


SUBSYSTEM_VERSION, SUBSYSTEM = 48, 68  # fields of the optional header, PE32 and PE32+ alike


# --- signatures ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody's certificate, and a folder with what osslsigncode takes to sign for them."""

    certificate: x509.Certificate
    folder: Path

    def sign(self, data: bytes) -> bytes:
        return _signed(self, data)


@cache
def _signed(signer: Signer, data: bytes) -> bytes:
    with TemporaryDirectory() as made:
        plain, result = Path(made) / "plain.sys", Path(made) / "signed.sys"
        plain.write_bytes(data)
        command: list[str | Path] = ["osslsigncode", "sign", "-h", "sha256"]
        command += ["-certs", signer.folder / "cert.pem", "-key", signer.folder / "key.pem"]
        command += ["-in", plain, "-out", result]
        subprocess.run(command, check=True, capture_output=True)
        return result.read_bytes()


def signer(name: str, folder: Path) -> Signer:
    key = rsa.generate_private_key(65537, 2048)
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    code = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(AT - timedelta(days=365))
        .not_valid_after(AT + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(code, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    kind = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, kind, no_password))
    return Signer(certificate, folder)


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Whom the technician trusts."""
    return signer("Acme Security GmbH", tmp_path_factory.mktemp("maker"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return signer("Acme Security GmbH", tmp_path_factory.mktemp("stranger"))


# --- the machine --------------------------------------------------------------------------


@dataclass
class Machine:
    """What a search is run on."""

    install: WindowsInstall
    maker: Signer
    name: str = "acme"
    image_path: str = ""
    evidence: list[Any] = field(default_factory=list)

    def put(self, path: str, data: bytes, *, signed: bool = True) -> Path:
        return put(self.install, path, self.maker.sign(data) if signed else data)

    @property
    def service(self) -> Service:
        driver, path = installs.driver_path(self.install, self.name, self.image_path)
        source = Source("SYSTEM")
        return Service(source, self.name, StartType.BOOT, 1, 1, driver, path, self.image_path)

    def find(self, what: Service | str | None = None, **options: Any) -> Search:
        asked = {"at": AT, "trust": [self.maker.certificate], "own": (), **options}
        hive = asked.pop("hive", None)
        signers = {name: asked.pop(name) for name in ("at", "trust", "own")}
        asked["judge"] = Judge(self.install, **signers)
        evidence = [self.service, *self.evidence]
        return replacement.find(self.install, what or self.service, evidence, hive, **asked)

    def only(self, **options: Any) -> Candidate:
        (candidate,) = self.find(**options).candidates
        return candidate


@pytest.fixture
def machine(tmp_path: Path, maker: Signer) -> Machine:
    """Windows 10, x64, build 19045 with a kernel of 19041; acme.sys 3.1.7 lost a block."""
    mount = tmp_path / "volume"
    (mount / DRIVERS).mkdir(parents=True)
    install = installation(mount, build="19045.4651", architecture="x64")
    kernel = pe.driver(windows_driver("10.0.19041.4648"), exports=KERNEL)
    put(install, "Windows/System32/ntoskrnl.exe", kernel)
    put(install, f"{DRIVERS}/acme.sys", faulty(stub(ACME)))
    return Machine(install, maker)


def faulty(data: bytes) -> bytes:
    """As a disk leaves it that lost a block of the code."""
    return data[:0x400] + bytes(0x40) + data[0x440:]


def on_windows(machine: Machine, version: str, build: str = "", **changes: Any) -> Machine:
    """Another version of Windows below the same driver."""
    kernel = pe.driver(windows_driver(version), exports=KERNEL)
    put(machine.install, "Windows/System32/ntoskrnl.exe", kernel)
    machine.install = replace(machine.install, build=build or machine.install.build, **changes)
    return machine
