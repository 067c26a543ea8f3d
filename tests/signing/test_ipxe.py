"""What iPXE's imgverify takes.

No iPXE of Debian (12, 13 or sid) has the command compiled in, so its rules are held here by reading
the message as its cms.c does, and by openssl.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import cms, ipxe, keys, signed_data
from signing.errors import KeyFileError, SigningError
from signing.keys import SigningKey
from tests.conftest import need
from tests.signing.makers import Shape, certified, refused
from tests.signing.organisations import organisation

KERNEL = b"MZ" + bytes(range(256)) * 40


def imgverify(content: bytes, signature: bytes) -> list[str]:
    """Subjects of the signers, each of whose signatures holds as iPXE looks at it."""
    message = signed_data.read(signature)
    found = []
    for info in message.signers:
        (signer,) = (
            one
            for one in map(x509.load_der_x509_certificate, message.certificates)
            if (one.serial_number, one.issuer.public_bytes()) == (info.serial, info.issuer)
        )
        public = signer.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        digest = hashlib.new(info.digest, content).digest()  # attributes or not
        public.verify(info.signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert usage.digital_signature
        assert ExtendedKeyUsageOID.CODE_SIGNING in purposes
        found.append(keys.organisation(signer))
    return found


def test_a_key_of_ours(key: SigningKey) -> None:
    signature = ipxe.sign(KERNEL, [key])
    assert imgverify(KERNEL, signature) == ["Example Ltd"]
    assert signature == ipxe.sign(KERNEL, [key])
    with pytest.raises(InvalidSignature):
        imgverify(KERNEL + b"\0", signature)


def test_the_other_form_is_not_for_ipxe(key: SigningKey) -> None:
    with pytest.raises(InvalidSignature):
        imgverify(KERNEL, cms.sign_detached(KERNEL, key))
    with refused(SigningError, "no signed attributes"):  # and that one is not for our media
        cms.verify_detached(KERNEL, ipxe.sign(KERNEL, [key]), [key.certificate])


def test_two_keys_and_a_chain(key: SigningKey) -> None:
    root = certified(Shape("Root", ca=True))
    whole = replace(organisation("RSA 2048"), others=(root.certificate,))
    signature = ipxe.sign(KERNEL, [key, whole])
    assert sorted(imgverify(KERNEL, signature)) == ["Example 1, RSA 2048", "Example Ltd"]
    encoded = root.certificate.public_bytes(serialization.Encoding.DER)
    assert encoded in signed_data.read(signature).certificates


@need("openssl")
@pytest.mark.parametrize("kind", ["RSA 2048", "RSA 3072", "RSA 4096"])
def test_openssl_agrees(kind: str, tmp_path: Path) -> None:
    key = organisation(kind)
    (tmp_path / "kernel").write_bytes(KERNEL)
    (tmp_path / "kernel.sig").write_bytes(ipxe.sign(KERNEL, [key]))
    (tmp_path / "ca.crt").write_bytes(keys.certificate_pem(key.certificate))
    argv = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "kernel.sig"]
    argv += ["-content", "kernel", "-CAfile", "ca.crt", "-purpose", "any", "-out", "/dev/null"]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "kernel").write_bytes(KERNEL[:-1] + b"x")
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    ("who", "words"),
    [
        pytest.param(lambda: organisation("P-256"), "not RSA", id="ECDSA"),
        pytest.param(lambda: certified(Shape(rsa_bits=2048)), "does not say", id="no usage"),
        pytest.param(
            lambda: certified(Shape(ca=True, rsa_bits=2048)), "digital signatures", id="a CA"
        ),
    ],
)
def test_signers_that_ipxe_would_refuse(who: object, words: str) -> None:
    assert callable(who)
    with refused(KeyFileError, "iPXE would refuse", words):
        ipxe.sign(KERNEL, [who()])
