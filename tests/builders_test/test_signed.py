"""The signed executables that tests make: good enough for osslsigncode, and as real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.builders import authorities, signed
from tests.builders.authorities import NOW, YEAR, Shape, ec_key, issue, rsa_key
from tests.builders.signed import How, about, countersignature, message, token
from tests.conftest import need, read_real, real

_STAMPED = NOW - YEAR / 2


def _hows() -> dict[str, How]:
    rsa = issue(Shape("RSA publisher", rsa_key(2)), authorities.authority())
    wide = issue(Shape("P-384 publisher", ec_key(2, ec.SECP384R1)), authorities.authority())
    stamper = (authorities.stamper().certificate,)
    return {
        "RSA": How(rsa),
        "P-256": How(authorities.publisher()),
        "P-384, SHA-384": How(wide, digest="sha384"),
        "countersigned": How(rsa, later=(countersignature(_STAMPED),), others=stamper),
        "token": How(rsa, later=(token(_STAMPED),)),
    }


HOWS = _hows()


@need("osslsigncode")
@pytest.mark.parametrize("name", HOWS)
@pytest.mark.parametrize("pages", ["", "sha1", "sha256"])
def test_osslsigncode_accepts_them(tmp_path: Path, name: str, pages: str) -> None:
    how, image = HOWS[name], signed.stub(b"code" * 3000)
    made = signed.signed(image, message(about(image, how.digest, pages=pages), [how]))
    assert _osslsigncode(tmp_path, made)
    assert not _osslsigncode(tmp_path, made[:0x400] + b"\x90" + made[0x401:])


def _osslsigncode(folder: Path, made: bytes) -> bool:
    root = x509.load_der_x509_certificate(authorities.root().certificate)
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "a.sys").write_bytes(made)
    when = str(int(_STAMPED.timestamp()))
    argv = ["osslsigncode", "verify", "-time", when, "-CAfile", "root.pem", "-TSA-CAfile"]
    done = subprocess.run(
        [*argv, "root.pem", "-in", "a.sys"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode == 0


@pytest.mark.parametrize("path", real("signed/ralphje_DXCore.dll"))
def test_page_hashes_are_those_of_a_real_file(path: Path) -> None:
    content = read_real(path)
    assert signed.page_table(content, "sha256") in content


@pytest.mark.parametrize("path", real("signed/whql_virtio_w11/viostor.sys"))
def test_digests_are_those_of_a_real_file(path: Path) -> None:
    content = read_real(path)
    _, entry = signed.places(content)
    table = int.from_bytes(content[entry : entry + 4], "little")
    assert signed.file_digest(content[:table], "sha256") in content[table:]


def test_certificates_are_as_cryptography_reads_them() -> None:
    root, ca, leaf = (
        x509.load_der_x509_certificate(each.certificate)
        for each in (authorities.root(), authorities.authority(), authorities.publisher())
    )
    ca.verify_directly_issued_by(root)
    leaf.verify_directly_issued_by(ca)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
    limits = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, None)
