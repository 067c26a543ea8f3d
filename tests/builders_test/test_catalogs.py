"""The catalogs that tests make: as real ones, and good enough for osslsigncode."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.builders import authenticode, catalogs, pe
from tests.builders.catalogs import Details, Member, catalog, file_members
from tests.conftest import need, read_real, real

WHQL = "signed/whql_virtio_w11/vioscsi.cat"  # version 2
CROSS = "signed/virtio_old/Win7_amd64_balloon.cat"  # version 1
_INF_DIGEST = "e49a966f7313da4f6130db00d84b57a167ada0de3d877c7cc584a7aed99c5ba2"
_SYS_DIGEST = "584161ea6aa358fc4f8973c0e5a0205e9d13e92604d14294dc3a9c281d60dc2b"


@pytest.mark.parametrize("path", real(WHQL))
def test_members_of_version_2_are_those_of_a_real_catalog(path: Path) -> None:
    image = Member(bytes.fromhex(_SYS_DIGEST), "vioscsi.sys")
    plain = Member(bytes.fromhex(_INF_DIGEST), "vioscsi.inf", image=False)
    old = Member(
        bytes.fromhex("73e4104f88bfe115129fe76ffa07cc978a436e63"), "vioscsi.sys", indirect=False
    )
    for member in (image, plain, old):
        assert catalogs._entry(member.digest, member, 2) in read_real(path), member.name


@pytest.mark.parametrize("path", real(CROSS))
def test_members_of_version_1_are_those_of_a_real_catalog(path: Path) -> None:
    content = read_real(path)
    digest = bytes.fromhex("16e1222fe33c7f6dd1a0c62505a758b2123be842")
    member = Member(digest, "balloon.inf", image=False, system="2:6.1")
    assert catalogs._entry(catalogs._tag(member, 1), member, 1) in content


@need("osslsigncode")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("other", [False, True], ids=["the file", "another file"])
def test_osslsigncode_accepts_what_a_catalog_lists(
    tmp_path: Path, version: int, other: bool
) -> None:
    image = pe.driver({"FileVersion": "1.2.3.4"})
    sha1, sha256 = (_digest(image, name) for name in ("sha1", "sha256"))
    members = [Member(sha1, "a.sys")] if version == 1 else file_members("a.sys", sha1, sha256)
    members += file_members("a.inf", *_of(b"[Version]"), image=False) if version == 2 else []
    details = Details(
        "sha1" if version == 1 else "sha256", others=(authenticode.root().certificate,)
    )
    made = catalog(members, authenticode.publisher(), version, details)
    file = image if not other else pe.driver({"FileVersion": "1.2.3.5"})
    assert _osslsigncode(tmp_path, made, file) is not other


def _digest(image: bytes, algorithm: str) -> bytes:
    return authenticode.file_digest(image, algorithm)


def _of(content: bytes) -> tuple[bytes, bytes]:
    return hashlib.sha1(content).digest(), hashlib.sha256(content).digest()  # noqa: S324


def _osslsigncode(folder: Path, made: bytes, image: bytes) -> bool:
    (folder / "root.pem").write_bytes(authenticode.root().certificate.public_bytes(Encoding.PEM))
    (folder / "a.cat").write_bytes(made)
    (folder / "a.sys").write_bytes(image)
    options = ["-ignore-cdp", "-ignore-crl", "-CAfile", "root.pem"]
    done = subprocess.run(
        ["osslsigncode", "verify", *options, "-catalog", "a.cat", "-in", "a.sys"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    verified = "Number of verified signatures: 1\n" in done.stdout and not done.returncode
    assert verified or "Catalog verification: failed" in done.stdout or done.returncode, done
    return verified
