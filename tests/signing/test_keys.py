from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from signing import keys
from signing.errors import KeyFileError
from signing.keys import SigningKey
from tests.conftest import REPOSITORY, need
from tests.signing.makers import NOW, Shape, certified, refused


def test_new_keys_are_private_and_whole(key_folder: Path, key: SigningKey) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in key_folder.iterdir()}
    assert modes == {"signing.key": 0o600, "signing.crt": 0o644}
    assert stat.S_IMODE(key_folder.stat().st_mode) == 0o700
    assert [path.name for path in key_folder.parent.iterdir()] == [key_folder.name]
    assert isinstance(key.private_key, rsa.RSAPrivateKey)
    assert key.private_key.key_size == 3072


def test_the_certificate_fits_uefi_and_issues_nothing(key: SigningKey) -> None:
    certificate = key.certificate
    extensions = certificate.extensions
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert timedelta(days=3650) < lifetime < timedelta(days=3660)
    assert keys.organisation(certificate) == "Example Ltd"
    assert not keys.is_development(certificate)


@need("openssl")
def test_the_fingerprint_is_what_openssl_shows(key_folder: Path, key: SigningKey) -> None:
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in"]
    shown = subprocess.run(
        [*command, str(key_folder / "signing.crt")], capture_output=True, text=True, check=True
    ).stdout
    digits = keys.fingerprint(key.certificate)
    assert shown.strip().partition("=")[2].replace(":", "").lower() == digits
    assert keys.grouped(digits).split(" ") == [digits[i : i + 4] for i in range(0, 64, 4)]


def test_a_private_key_never_shows_in_logs(key: SigningKey) -> None:
    assert "private_key" not in repr(key)


@pytest.mark.parametrize(
    "occupant", ["signing.key", "signing.crt", "notes.txt", ""], ids=lambda name: name or "a file"
)
def test_nothing_is_overwritten(tmp_path: Path, occupant: str) -> None:
    folder = tmp_path / "keys"
    if occupant:
        folder.mkdir()
    precious = folder / occupant if occupant else folder
    precious.write_bytes(b"precious")
    with refused(KeyFileError, "never overwrite", str(folder)):
        keys.new(folder, "Example Ltd")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [precious]
    assert precious.read_bytes() == b"precious"


def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    keys.new(tmp_path / "empty", "Example Ltd")
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    made = keys.new(tmp_path / "not" / "yet" / "there", "Example Ltd")
    assert keys.load(tmp_path / "not/yet/there").certificate == made.certificate


def test_a_lost_race_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's keys appear after we looked: theirs stay, ours vanish."""
    folder = tmp_path / "keys"
    generate = rsa.generate_private_key

    def generate_slowly(public_exponent: int, key_size: int) -> rsa.RSAPrivateKey:
        folder.mkdir()
        (folder / "signing.key").write_bytes(b"theirs")
        return generate(public_exponent, key_size)

    monkeypatch.setattr(rsa, "generate_private_key", generate_slowly)
    with refused(KeyFileError, "never overwrite"):
        keys.new(folder, "Example Ltd")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "signing.key"]
    assert (folder / "signing.key").read_bytes() == b"theirs"


@pytest.mark.parametrize("failing", ["fsync", "fdopen"])
def test_a_full_disk_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with refused(KeyFileError, "No space left on device"):
        keys.new(tmp_path / "keys", "Example Ltd")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "two\nlines", "\x1b[31mred"], ids=["none", "long", "lines", "escape"]
)
def test_an_organisation_has_a_printable_name(tmp_path: Path, name: str) -> None:
    with refused(KeyFileError, "1 to 64 characters"):
        keys.new(tmp_path / "keys", name)
    assert list(tmp_path.iterdir()) == []


def test_passphrases(tmp_path: Path, key_folder: Path) -> None:
    folder = tmp_path / "keys"
    made = keys.new(folder, "Example Ltd", passphrase=b"correct horse")
    assert b"ENCRYPTED" in (folder / "signing.key").read_bytes()
    assert keys.needs_passphrase(folder)
    assert not keys.needs_passphrase(key_folder)
    with refused(KeyFileError, "does not exist"):
        keys.needs_passphrase(tmp_path / "nowhere")
    assert keys.load(folder, b"correct horse").certificate == made.certificate
    with refused(KeyFileError, "does not open with this passphrase"):
        keys.load(folder, b"wrong")
    with refused(KeyFileError, "needs its passphrase"):
        keys.load(folder)
    with refused(KeyFileError, "has no passphrase"):
        keys.load(key_folder, b"one too many")
    with refused(KeyFileError, "empty passphrase"):
        keys.new(tmp_path / "other", "Example Ltd", passphrase=b"")


@pytest.mark.parametrize("name", ["signing.key", "signing.crt"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "does not exist", id="missing"),
        pytest.param(b"", "signing.", id="empty"),
        pytest.param(b"\x00\xff" * 50, "signing.", id="binary"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n", "signing.", id="cut off"),
    ],
)
def test_damaged_key_files(
    tmp_path: Path, key_folder: Path, name: str, content: bytes | None, words: str
) -> None:
    shutil.copytree(key_folder, tmp_path / "keys")
    (tmp_path / "keys" / name).unlink()
    if content is not None:
        (tmp_path / "keys" / name).write_bytes(content)
    with refused(KeyFileError, words):
        keys.load(tmp_path / "keys")


def test_key_and_certificate_must_belong_together(tmp_path: Path, key_folder: Path) -> None:
    shutil.copytree(key_folder, tmp_path / "keys")
    other = certified(Shape(rsa_bits=3072))
    (tmp_path / "keys/signing.crt").write_bytes(keys.certificate_pem(other.certificate))
    with refused(KeyFileError, "do not belong together"):
        keys.load(tmp_path / "keys")


def test_a_certificate_file_holds_one_certificate(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "two.crt").write_bytes(keys.certificate_pem(key.certificate) * 2)
    with refused(KeyFileError, "holds 2 certificates"):
        keys.load_certificate(tmp_path / "two.crt")


def test_weak_and_unknown_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    weak = certified(Shape(rsa_bits=1024)).certificate
    (tmp_path / "weak.crt").write_bytes(keys.certificate_pem(weak))
    with refused(KeyFileError, "2048 bits"):
        keys.load_certificate(tmp_path / "weak.crt")
    good = certified(Shape())
    edwards = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "signing.crt").write_bytes(keys.certificate_pem(good.certificate))
    (tmp_path / "signing.key").write_bytes(
        edwards.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with refused(KeyFileError, "only RSA and ECDSA"):
        keys.load(tmp_path)


def test_validity_is_checked_with_a_hint(key_folder: Path) -> None:
    with refused(KeyFileError, "expired on"):
        keys.load(key_folder, now=NOW + keys.VALID_FOR + timedelta(days=1))
    with refused(KeyFileError, "valid from"):
        keys.load(key_folder, now=NOW - timedelta(days=2))
    keys.load(key_folder, now=NOW - timedelta(hours=12))  # a clock that is a little behind


NOBODY = 65534


@contextmanager
def not_root() -> Iterator[None]:
    """Root reads everything: be somebody else for a moment."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def test_an_unreadable_key(key_folder: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(key_folder, Path(folder) / "keys")
        (Path(folder) / "keys").chmod(0o755)
        (Path(folder) / "keys/signing.crt").chmod(0o644)
        (Path(folder) / "keys/signing.key").chmod(0)
        with not_root(), refused(KeyFileError, "cannot be read: Permission denied"):
            keys.load(Path(folder) / "keys")


def test_the_development_key_says_what_it_is_and_stays(tmp_path: Path) -> None:
    first = keys.development(tmp_path / "config")
    again = keys.development(tmp_path / "config")
    assert first.certificate == again.certificate
    assert keys.is_development(first.certificate)
    assert keys.organisation(first.certificate) == "development key of this user"


DEVELOP = """
import sys
from pathlib import Path
from signing import keys
print(keys.fingerprint(keys.development(Path(sys.argv[1])).certificate))
"""


def test_processes_that_start_at_once_share_one_development_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DEVELOP, str(tmp_path / "config")]
    running = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    shown = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert shown == {keys.fingerprint(keys.development(tmp_path / "config").certificate)}
    assert [path.name for path in (tmp_path / "config").iterdir()] == [keys.DEVELOPMENT]


def test_a_damaged_development_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / keys.DEVELOPMENT).mkdir()
    (tmp_path / keys.DEVELOPMENT / "signing.crt").write_bytes(b"mine")
    with refused(KeyFileError, "signing.crt"):
        keys.development(tmp_path)
    assert (tmp_path / keys.DEVELOPMENT / "signing.crt").read_bytes() == b"mine"


def test_a_strangers_name_cannot_write_on_the_screen() -> None:
    stranger = certified(Shape(name="Evil\x1b[2JCorp")).certificate
    assert keys.organisation(stranger) == "Evil?[2JCorp"
