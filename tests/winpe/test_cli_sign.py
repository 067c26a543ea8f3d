"""`build_media.py sign` and `keys`, as a person calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from signing import cms, image, keys, sign_image
from signing.keys import SigningKey
from tests.builders import efi_program, pe, timestamp_service
from tests.builders.timestamp_service import private_pem
from tests.conftest import need
from tests.signing.makers import Shape, certified
from tests.signing.organisations import organisation

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = efi_program.program("hello")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a program, a key of RSA, one of ECDSA, and an expired one."""
    (tmp_path / "p.efi").write_bytes(PROGRAM)
    for name, kind in (("keys", "RSA 2048"), ("two", "RSA 3072"), ("ec", "P-256")):
        keys.store(organisation(kind), tmp_path / name, None)
    past = datetime.now(UTC) - keys.VALID_FOR - timedelta(days=5)
    old = organisation("RSA 2048")
    expired = keys.self_signed(old.private_key, old.certificate.subject, past)
    keys.store(SigningKey(old.private_key, expired), tmp_path / "old", None)
    return tmp_path


def run(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything said."""
    done = subprocess.run(
        [sys.executable, ROOT / "build_media.py", *arguments],
        cwd=folder,
        env={**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def entries(path: Path) -> int:
    content = BytesIO(path.read_bytes())
    return len(image.entries(content, image.read(content)))


def sign(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    return run(folder, "sign", "efi", *arguments, env=env)


# --- programs --------------------------------------------------------------------------------


@need("sbverify")
def test_a_program_is_signed_beside_and_again(desk: Path) -> None:
    code, text = sign(desk, "p.efi", "-o", "s.efi", "--keys", "keys", "--second", "two")
    assert code == 0, text
    assert "Made s.efi." in text
    assert keys.grouped(keys.fingerprint(organisation("RSA 3072").certificate)) in text
    assert entries(desk / "s.efi") == 2
    for folder in ("keys", "two"):
        argv = ["sbverify", "--cert", f"{folder}/signing.crt", "s.efi"]
        assert subprocess.run(argv, cwd=desk, capture_output=True, check=False).returncode == 0
    first = (desk / "s.efi").read_bytes()
    assert sign(desk, "p.efi", "-o", "s.efi", "--keys", "keys", "--second", "two")[0] == 0
    assert (desk / "s.efi").read_bytes() == first  # the same bytes
    code, text = sign(desk, "s.efi", "-o", "s.efi", "--keys", "ec", "--append")  # in place
    assert (code, entries(desk / "s.efi")) == (0, 3), text
    assert "RSA only" in text
    code, text = sign(desk, "s.efi", "-o", "s.efi", "--keys", "keys", "--replace")
    assert (code, entries(desk / "s.efi")) == (0, 1), text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param("none.efi -o o.efi --keys keys", 2, "none.efi cannot be read", id="no file"),
        pytest.param("text -o o.efi --keys keys", 2, "text: executable at 0x0", id="no program"),
        pytest.param("driver.sys -o o.efi --keys keys", 2, "program of Windows", id="a driver"),
        pytest.param("signed.efi -o o.efi --keys keys", 2, "signed already", id="signed"),
        pytest.param("tail.efi -o o.efi --keys keys", 2, "behind the last section", id="tail"),
        pytest.param("p.efi -o o.efi --keys old", 2, "expired on", id="expired"),
        pytest.param("p.efi -o o.efi --keys none", 2, "none", id="no key"),
        pytest.param("p.efi -o o.efi --keys keys --second keys", 2, "the same", id="twice"),
        pytest.param("p.efi -o o.efi --keys k.p12", 2, "has a passphrase", id="nobody to ask"),
        pytest.param("p.efi -o no/o.efi --keys keys", 1, "folder no does not exist", id="no place"),
        pytest.param("p.efi -o keys --keys keys", 1, "not a file", id="a folder"),
        pytest.param("p.efi -o o.efi --keys keys --append --replace", 2, "--append", id="both"),
        pytest.param("p.efi -o o.efi --keys keys --timestamp x", 2, "address", id="no address"),
        pytest.param(
            "p.efi -o o.efi --keys keys --timestamp-trust keys/signing.crt",
            2,
            "needs --timestamp",
            id="trust alone",
        ),
        pytest.param("p.efi --keys keys", 2, "--output", id="no output"),
    ],
)
def test_mistakes_are_one_sentence(arguments: str, code: int, said: str, desk: Path) -> None:
    (desk / "text").write_text("no program\n" * 20)
    (desk / "driver.sys").write_bytes(pe.driver())
    (desk / "tail.efi").write_bytes(PROGRAM + b"tail")
    (desk / "k.p12").write_bytes(packed(b"secret"))
    (desk / "signed.efi").write_bytes(sign_image.sign(PROGRAM, [organisation("P-256")]))
    found, text = sign(desk, *arguments.split(), env={"RECOVERYKIT_PASSPHRASE": ""})
    assert (found, "Traceback" in text) == (code, False), text
    assert said in text
    assert not (desk / "o.efi").exists()


def packed(passphrase: bytes) -> bytes:
    key = organisation("RSA 2048")
    protection = serialization.BestAvailableEncryption(passphrase)
    return pkcs12.serialize_key_and_certificates(
        b"signing", key.private_key, key.certificate, None, protection
    )


def test_a_key_from_pkcs12(desk: Path) -> None:
    (desk / "k.pfx").write_bytes(packed(b"secret"))
    code, text = sign(
        desk, "p.efi", "-o", "o.efi", "--keys", "k.pfx", env={"RECOVERYKIT_PASSPHRASE": "wrong"}
    )
    assert code == 2
    assert "does not open with this passphrase" in text
    code, text = sign(
        desk, "p.efi", "-o", "o.efi", "--keys", "k.pfx", env={"RECOVERYKIT_PASSPHRASE": "secret"}
    )
    assert code == 0, text
    assert sign(desk, "p.efi", "-o", "pem.efi", "--keys", "keys")[0] == 0
    assert (desk / "o.efi").read_bytes() == (desk / "pem.efi").read_bytes()


@need("openssl")
def test_a_key_behind_a_command(desk: Path) -> None:
    (desk / "token.pem").write_bytes(private_pem(organisation("RSA 2048")))
    (desk / "hsm").mkdir()
    (desk / "hsm/signing.crt").write_bytes((desk / "keys/signing.crt").read_bytes())
    (desk / "hsm/signer.toml").write_text(
        'command = ["openssl", "pkeyutl", "-sign", "-inkey", "token.pem", '
        '"-pkeyopt", "digest:sha256"]\n'
    )
    code, text = sign(desk, "p.efi", "-o", "o.efi", "--keys", "hsm")
    assert code == 0, text
    assert sign(desk, "p.efi", "-o", "pem.efi", "--keys", "keys")[0] == 0
    assert (desk / "o.efi").read_bytes() == (desk / "pem.efi").read_bytes()
    (desk / "token.pem").unlink()
    code, text = sign(desk, "p.efi", "-o", "gone.efi", "--keys", "hsm")
    assert code == 2
    assert "the signing command did not sign: openssl failed" in text
    assert not (desk / "gone.efi").exists()


@need("openssl")
def test_a_timestamp(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    service = timestamp_service.make(tmp_path_factory.mktemp("tsa"))
    (desk / "tsa.crt").write_bytes(keys.certificate_pem(service.authority))
    with timestamp_service.listening(service) as address:
        words = ["p.efi", "-o", "o.efi", "--keys", "keys", "--timestamp"]
        code, text = sign(desk, *words, address, "--timestamp-trust", "tsa.crt")
        assert code == 0, text
        assert b"Test time service" in (desk / "o.efi").read_bytes()
        code, text = sign(desk, *words, address)  # Windows does not know it
        assert code == 20
        assert "not to be believed" in text
        code, text = sign(desk, *words, f"{address}/broken")
        assert (code, "answered 500" in text) == (1, True), text


# --- other files --------------------------------------------------------------------------------


def test_any_file(desk: Path) -> None:
    code, text = run(desk, "sign", "cms", "p.efi", "--keys", "keys", "--second", "ec")
    assert code == 0, text
    signature = (desk / "p.efi.p7s").read_bytes()
    for kind in ("RSA 2048", "P-256"):
        known = organisation(kind).certificate
        assert cms.verify_detached(PROGRAM, signature, [known]).certificate == known


@need("openssl")
def test_a_file_for_ipxe(desk: Path) -> None:
    code, text = run(desk, "sign", "cms", "p.efi", "--keys", "keys", "--ipxe")
    assert code == 0, text
    argv = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "p.efi.sig"]
    argv += ["-content", "p.efi", "-CAfile", "keys/signing.crt", "-purpose", "any"]
    assert subprocess.run(argv, cwd=desk, capture_output=True, check=False).returncode == 0
    code, text = run(desk, "sign", "cms", "p.efi", "--keys", "ec", "--ipxe", "-o", "x")
    assert (code, "iPXE would refuse" in text) == (2, True), text
    assert not (desk / "x").exists()


# --- keys --------------------------------------------------------------------------------


def test_keys_are_shown(desk: Path) -> None:
    code, text = run(desk, "keys", "show", "keys")
    assert code == 0, text
    for words in ("RSA 2048", "without a passphrase", "itself"):
        assert words in text
    code, text = run(desk, "keys", "show", "old")
    assert code == 0, text
    assert "It expired 5 days ago" in text
    code, text = run(desk, "keys", "show", "ec", "--json")
    shown = json.loads(text)
    assert shown["schema"] == "recoverykit.key/1"
    assert shown["kind"] == "ECDSA secp256r1"
    assert shown["fingerprint"] == keys.fingerprint(organisation("P-256").certificate)
    assert "PRIVATE" not in text
    code, text = run(desk, "keys", "show", "p.efi")
    assert (code, "neither a folder nor" in text) == (2, True), text


def test_keys_are_renewed(desk: Path) -> None:
    code, text = run(desk, "keys", "renew", "old", "new")
    assert code == 0, text
    assert "--keys new --second old" in text
    assert keys.load(desk / "new").certificate.public_key() == (
        organisation("RSA 2048").certificate.public_key()
    )
    assert (desk / "new/signing.key").stat().st_mode & 0o777 == 0o600
    code, text = run(desk, "keys", "renew", "new", "newer", "--new-key")
    assert code == 0, text
    shown = json.loads(run(desk, "keys", "show", "newer", "--json")[1])
    before = keys.load_certificate(desk / "new/signing.crt")
    assert shown["previous"][0] == keys.fingerprint(before)
    assert len(shown["previous"]) == 2
    code, text = run(desk, "keys", "renew", "old", "new")
    assert (code, "never overwrite" in text) == (2, True), text


def test_a_renewed_key_keeps_its_passphrase(tmp_path: Path) -> None:
    env = {"RECOVERYKIT_PASSPHRASE": "secret"}
    assert run(tmp_path, "keys", "new", "k", env=env)[0] == 0
    assert run(tmp_path, "keys", "renew", "k", "k2", env=env)[0] == 0
    assert keys.needs_passphrase(tmp_path / "k2")
    code, text = run(tmp_path, "keys", "renew", "k", "k3", env={"RECOVERYKIT_PASSPHRASE": ""})
    assert (code, "has a passphrase" in text) == (2, True), text
    assert not (tmp_path / "k3").exists()


def test_a_certificate_of_a_ca_is_not_renewed_here(tmp_path: Path) -> None:
    authority = certified(Shape("Example CA", ca=True))
    keys.store(certified(Shape(), authority), tmp_path / "k", None)
    code, text = run(tmp_path, "keys", "renew", "k", "new")
    assert (code, "issued by a CA" in text) == (2, True), text
