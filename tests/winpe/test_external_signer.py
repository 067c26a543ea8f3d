"""Keys that stay where they are: commands that sign, and commands that do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from signing import cms, keys, signer
from signing.errors import KeyFileError
from signing.keys import SigningKey
from tests.builders.timestamp_service import private_pem
from tests.conftest import need
from tests.signing.makers import refused
from tests.signing.organisations import organisation
from winpe import external_signer, signers
from winpe.external_signer import Command, ExternalSigner, Input

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


def folder(place: Path, key: SigningKey, toml: str) -> Path:
    place.mkdir()
    (place / "signing.crt").write_bytes(keys.certificate_pem(key.certificate))
    (place / "signer.toml").write_text(toml)
    return place


def listed(*words: str) -> str:
    return "command = [" + ", ".join(f'"{word}"' for word in words) + "]\n"


def python(code: str) -> Command:
    return Command((sys.executable, "-c", code), timeout=20)


# --- real programs ------------------------------------------------------------------------------


@need("openssl")
@pytest.mark.parametrize("kind", ["RSA 2048", "RSA 3072", "P-256", "P-384"])
def test_openssl_signs(kind: str, tmp_path: Path) -> None:
    key = organisation(kind)
    (tmp_path / "token.pem").write_bytes(private_pem(key))
    words = ["openssl", "pkeyutl", "-sign", "-inkey", str(tmp_path / "token.pem")]
    place = folder(tmp_path / "k", key, listed(*words, "-pkeyopt", "digest:{digest}"))
    found = signers.one(place)
    signature = cms.sign_detached(b"content", found)
    verified = cms.verify_detached(b"content", signature, [key.certificate])
    assert verified.certificate == key.certificate
    if kind.startswith("RSA"):  # an outside ECDSA signature is another one each time
        assert signer.signature(found, b"x", "sha256") == key.sign(b"x", "sha256")


@need("openssl")
def test_what_a_bare_rsa_operation_reads(tmp_path: Path) -> None:
    """PKCS #1 padding around a DigestInfo: what smart cards offer."""
    key = organisation("RSA 2048")
    (tmp_path / "token.pem").write_bytes(private_pem(key))
    words = ["openssl", "pkeyutl", "-sign", "-inkey", str(tmp_path / "token.pem")]
    place = folder(tmp_path / "k", key, listed(*words) + 'input = "digest-info"\ntimeout = 30\n')
    assert signers.one(place).sign(b"x", "sha256") == key.sign(b"x", "sha256")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_digest_infos_are_those_inside_rsa_signatures(digest: str) -> None:
    key = organisation("RSA 2048")
    public = key.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    inside = public.recover_data_from_signature(key.sign(b"x", digest), padding.PKCS1v15(), None)
    code = "import sys; sys.exit(sys.stdin.buffer.read().hex())"
    command = Command((sys.executable, "-c", code), Input.DIGEST_INFO)
    with refused(KeyFileError, inside.hex()):
        ExternalSigner(key.certificate, command).sign(b"x", digest)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PKCS #11 token with the two keys of `organisation`, in a folder of its own."""
    if not MODULE.is_file():
        pytest.skip(f"no {MODULE}")
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(config))
    monkeypatch.setenv("RK_PIN", "1234")
    command = ["softhsm2-util", "--init-token", "--free", "--label", "rk"]
    command += ["--pin", "1234", "--so-pin", "123456"]
    subprocess.run(command, check=True, capture_output=True)
    for number, kind in (("01", "RSA 2048"), ("02", "P-256")):
        (tmp_path / "key.pem").write_bytes(private_pem(organisation(kind)))
        command = ["softhsm2-util", "--import", str(tmp_path / "key.pem"), "--token", "rk"]
        command += ["--label", kind, "--id", number, "--pin", "1234"]
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


@need("softhsm2-util", "pkcs11-tool")
@pytest.mark.parametrize(
    ("kind", "number", "mechanism", "reads"),
    [
        ("RSA 2048", "01", "SHA256-RSA-PKCS", "data"),
        ("RSA 2048", "01", "RSA-PKCS", "digest-info"),
        ("P-256", "02", "ECDSA", "digest"),  # r and s one behind the other
    ],
)
def test_a_pkcs11_token_signs(
    kind: str, number: str, mechanism: str, reads: str, token: Path
) -> None:
    key = organisation(kind)
    words = ["pkcs11-tool", "--module", str(MODULE), "--token-label", "rk", "--pin", "env:RK_PIN"]
    words += ["--sign", "--id", number, "--mechanism", mechanism]
    place = folder(token / "k", key, listed(*words) + f'input = "{reads}"\n')
    found = signers.one(place)
    signature = cms.sign_detached(b"content", found)
    verified = cms.verify_detached(b"content", signature, [key.certificate])
    assert verified.certificate == key.certificate


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RSA 2048", "P-256"])
@pytest.mark.parametrize(
    "form",
    [
        "sys.stdout.buffer.write(made)",
        "print(base64.b64encode(made).decode())",
        "print(base64.encodebytes(made).decode())",  # in lines
        "print(base64.urlsafe_b64encode(made).decode().rstrip('='))",  # as Azure has it
    ],
)
def test_forms_of_a_signature(kind: str, form: str, tmp_path: Path) -> None:
    key = organisation(kind)
    made = key.sign(b"data", "sha256")
    code = f"import sys, base64; sys.stdin.buffer.read(); made = {made!r}; {form}"
    found = ExternalSigner(key.certificate, python(code))
    assert signer.signature(found, b"data", "sha256") == made


def test_what_the_command_is_given() -> None:
    key = organisation("P-256")
    code = (
        "import sys; print(sys.stdin.buffer.read().hex(), *sys.argv[1:], file=sys.stderr); exit(3)"
    )
    argv = (sys.executable, "-c", code, "{digest}", "--value={hex}", "{base64}", "a b;$(id)")
    for reads, given in (
        (Input.DIGEST, "3a6eb079"),
        (Input.DIGEST_INFO, "3031300d"),
        (Input.DATA, b"data".hex()),
    ):
        found = ExternalSigner(key.certificate, Command(argv, reads))
        with pytest.raises(KeyFileError) as caught:
            found.sign(b"data", "sha256")
        said = str(caught.value)
        assert "status 3" in said
        assert f": {given}" in said
        value = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
        assert said.endswith(
            f"sha256 --value={value} Om6weQ85rIfJTzhWst0sXREOaBFgImGpqSPTuyOtyLc= a b;$(id)"
        )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param(Command(("/nonexistent/tool",)), "cannot be run: No such file", id="missing"),
        pytest.param(Command(("/etc/passwd",)), "Permission denied", id="no program"),
        pytest.param(
            python("import sys; sys.exit('token not present')"), "token not present", id="fails"
        ),
        pytest.param(python("pass"), "wrote 0 bytes", id="says nothing"),
        pytest.param(python("print('x' * 99999)"), "wrote 100,000 bytes", id="says too much"),
    ],
)
def test_commands_that_do_not_sign(command: Command, words: str) -> None:
    with refused(KeyFileError, words):
        ExternalSigner(organisation("P-256").certificate, command).sign(b"data", "sha256")


def test_a_command_that_ignores_what_it_is_given() -> None:
    """It closes its standard input at once, and still signs rightly."""
    key = organisation("P-256")
    made = key.sign(b"x" * 300_000, "sha256")
    code = f"import sys; sys.stdin.close(); sys.stdout.buffer.write({made!r})"
    found = ExternalSigner(key.certificate, Command((sys.executable, "-c", code), Input.DATA))
    assert signer.signature(found, b"x" * 300_000, "sha256") == made


def test_a_command_with_another_key() -> None:
    one, two = organisation("P-256"), organisation("P-256", 2)
    made = two.sign(b"data", "sha256")
    code = f"import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write({made!r})"
    with refused(KeyFileError, "does not verify"):
        signer.signature(ExternalSigner(one.certificate, python(code)), b"data", "sha256")


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}])"
    command = Command((sys.executable, "-c", f"{code}; time.sleep(60)"), timeout=1.5)
    began = time.monotonic()
    with refused(KeyFileError, "did not answer within 1.5 seconds"):
        ExternalSigner(organisation("P-256").certificate, command).sign(b"data", "sha256")
    assert time.monotonic() - began < 10
    time.sleep(3)
    assert not mark.exists()


# --- the folder --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        pytest.param("command = ", "not TOML", id="cut"),
        pytest.param("\x00", "not TOML", id="binary"),
        pytest.param("", "list of words", id="empty"),
        pytest.param('command = "openssl pkeyutl -sign"', "list of words", id="one string"),
        pytest.param("command = []", "list of words", id="no words"),
        pytest.param('command = [""]', "list of words", id="an empty word"),
        pytest.param('command = ["a", 1]', "list of words", id="a number"),
        pytest.param('command = ["a\\u0000b"]', "list of words", id="a NUL"),
        pytest.param('command = ["a"]\ninput = "hash"', "digest, digest-info, data", id="input"),
        pytest.param('command = ["a"]\ntimeout = 0', "number of seconds", id="no time"),
        pytest.param('command = ["a"]\ntimeout = inf', "number of seconds", id="for ever"),
        pytest.param('command = ["a"]\ntimeout = nan', "number of seconds", id="no number"),
        pytest.param('command = ["a"]\ntimeout = true', "number of seconds", id="a truth"),
        pytest.param('command = ["a"]\nshell = true', "nothing is called shell", id="unknown"),
    ],
)
def test_mistakes_in_signer_toml(toml: str, words: str) -> None:
    with refused(KeyFileError, "signer.toml", words):
        external_signer.read(toml.encode(), "signer.toml")


def test_a_folder_without_certificate(tmp_path: Path) -> None:
    place = folder(tmp_path / "k", organisation("P-256"), listed("true"))
    (place / "signing.crt").unlink()
    with refused(KeyFileError, "signing.crt does not exist"):
        external_signer.load(place)


def test_the_chain_beside_it(tmp_path: Path) -> None:
    place = folder(tmp_path / "k", organisation("P-256"), listed("true"))
    shutil.copyfile(place / "signing.crt", place / "chain.crt")
    assert external_signer.load(place).others == (organisation("P-256").certificate,)
