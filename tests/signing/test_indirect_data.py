"""SpcIndirectDataContent: digests, page hashes, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from signing import image, indirect_data, signed_data
from signing.der import without_filling
from signing.errors import MalformedError
from signing.indirect_data import PageHashes
from tests.builders import der
from tests.conftest import REAL_DATA, real

PE_IMAGE = der.oid("1.3.6.1.4.1.311.2.1.15")
FLAT = der.oid("1.3.6.1.4.1.311.2.1.25")
SHA256, SHA1 = "2.16.840.1.101.3.4.2.1", "1.3.14.3.2.26"
PAGES = {"sha1": "1.3.6.1.4.1.311.2.3.1", "sha256": "1.3.6.1.4.1.311.2.3.2"}
CLASS = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
FLAGS = b"\x03\x01\x00"


def _digest(oid: str = SHA256, size: int = 32, *more: bytes) -> bytes:
    return der.sequence(der.sequence(der.oid(oid), der.NULL), der.octets(bytes(size)), *more)


def _pages(*tables: tuple[str, bytes], kind: bytes = CLASS) -> bytes:
    """SpcPeImageData of an executable with those tables."""
    attributes = [der.sequence(der.oid(oid), der.set_of([der.octets(t)])) for oid, t in tables]
    moniker = der.tagged(0xA1, der.octets(kind) + der.octets(der.set_of(attributes)))
    return der.sequence(FLAGS, der.tagged(0xA0, moniker))


FILE = der.sequence(FLAGS, der.tagged(0xA0, der.tagged(0xA2, der.tagged(0x80, b""))))
READ: list[object] = [
    pytest.param(der.sequence(PE_IMAGE, FILE), (), id="image"),
    pytest.param(der.sequence(PE_IMAGE), (), id="nothing-about-it"),
    pytest.param(der.sequence(PE_IMAGE, der.sequence()), (), id="no-link"),
    pytest.param(der.sequence(FLAT, der.tagged(0xA2, b"")), (), id="flat"),
    pytest.param(der.sequence(FLAT, _pages((PAGES["sha1"], b"x"))), (), id="pages-of-no-image"),
    pytest.param(
        der.sequence(PE_IMAGE, _pages((PAGES["sha256"], b"two"), (PAGES["sha1"], b"one"))),
        (PageHashes("sha1", b"one"), PageHashes("sha256", b"two")),
        id="two-tables",
    ),
    pytest.param(der.sequence(PE_IMAGE, _pages(("1.2.3", b"x"))), (), id="another-table"),
    pytest.param(
        der.sequence(PE_IMAGE, _pages((PAGES["sha1"], b"x"), kind=bytes(16))),
        (),
        id="another-moniker",
    ),
]


@pytest.mark.parametrize(("subject", "pages"), READ)
def test_read(subject: bytes, pages: tuple[PageHashes, ...]) -> None:
    found = indirect_data.read(subject + _digest())
    assert (found.algorithm, found.digest) == ("sha256", bytes(32))
    assert found.pages == pages
    assert (found.subject == indirect_data.PE_IMAGE) is (PE_IMAGE in subject)


def test_an_unknown_algorithm_has_no_name() -> None:
    found = indirect_data.read(der.sequence(FLAT) + _digest("1.2.3.4", 5))
    assert (found.algorithm, found.digest) == ("", bytes(5))


IMAGE = der.sequence(PE_IMAGE, FILE)
REFUSED = [
    pytest.param(b"", "expected", id="empty"),
    pytest.param(IMAGE, "expected", id="no-digest"),
    pytest.param(IMAGE + _digest() + der.NULL, "too many", id="longer"),
    pytest.param(IMAGE + _digest(SHA256, 32, der.NULL), "too many", id="longer-digest"),
    pytest.param(IMAGE + _digest(SHA256, 20), "digest of 20 bytes", id="short-sha256"),
    pytest.param(IMAGE + _digest(SHA1, 32), "digest of 32 bytes", id="long-sha1"),
    pytest.param(IMAGE + _digest(SHA1, 0), "digest of 0 bytes", id="no-bytes"),
    pytest.param(
        der.sequence(PE_IMAGE, _pages(*[(PAGES["sha1"], bytes((n,))) for n in range(5)]))
        + _digest(),
        "more than 4",
        id="five-tables",
    ),
]


@pytest.mark.parametrize(("content", "problem"), REFUSED)
def test_what_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        indirect_data.read(content)


TABLES = {
    "signed/ralphje_DXCore.dll": 1,
    "signed/legacy_sha1/gdrv.sys": 1,
    "signed/whql_virtio_w11/viostor.sys": 0,
    "signed/winefi_bootmgfw.efi": 0,
}


@pytest.mark.parametrize("path", real(*TABLES))
def test_real_executables(path: Path) -> None:
    """Digest and page hashes are those that the file has."""
    stream = io.BytesIO(path.read_bytes())
    layout = image.read(stream)
    entry = image.entries(stream, layout)[0]
    message = signed_data.read(without_filling(entry.content, "signature")[0])
    found = indirect_data.read(message.content)
    assert found.subject == indirect_data.PE_IMAGE
    assert image.digests(stream, layout, (found.algorithm,)) == {found.algorithm: found.digest}
    assert len(found.pages) == TABLES[str(path.relative_to(REAL_DATA))]
    for each in found.pages:
        assert image.page_hashes(stream, layout, each.algorithm) == each.table
