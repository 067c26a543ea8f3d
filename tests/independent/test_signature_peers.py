"""Signed files, as osslsigncode, signify and LIEF see them and as we do; who is right where not.

All are given the same roots. Digests, signers, chains, times and verdicts have to agree on every
signed file and catalog of ../shared/data/signed. Where a verdict differs SETTLED says who is right,
and the proof is in the file's bytes, read here without the code that is judged.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench import signature_corpus
from signing import catalog, roots, signed_data
from signing.path import Trust, certificate_of
from tests.builders import authenticode, catalogs, pe
from tests.builders.authenticode import How
from tests.conftest import REAL_DATA, need, read_real
from tests.independent import signature_peers
from tests.independent.signature_agreement import (
    MESSAGES,
    certificates,
    differences,
    messages,
    ours,
    vouches,
    write_roots,
)
from tests.independent.signature_peers import LIEF, OSSLSIGNCODE, PEERS, SIGNIFY, View
from tests.signing.makers import NOW, YEAR, Shape, certified

FOLDER = REAL_DATA / "signed"
IMAGES = (".sys", ".dll", ".exe", ".efi")
LEAST = 80  # files there are at least, so that none is lost from sight
_COUNTERSIGNATURE = "1.2.840.113549.1.9.6"


def _names() -> list[str]:
    if not FOLDER.is_dir():
        return []
    found = (path for path in FOLDER.rglob("*") if path.suffix in (*IMAGES, *MESSAGES))
    return sorted(str(path.relative_to(REAL_DATA)) for path in found)


NAMES = _names()
here = pytest.mark.skipif(not NAMES, reason=f"no signed files under {FOLDER}")
peers = pytest.mark.skipif(
    find_spec("signify") is None or find_spec("lief") is None, reason="no signify, or no LIEF"
)
pytestmark = [here, peers, need("osslsigncode")]


# --- proofs -------------------------------------------------------------------------------


def signs_bare_digest(file: Path) -> bool:
    """A countersignature in it is the digest itself under PKCS #1 padding, without DigestInfo.

    RFC 2315, 9.4 has a DigestInfo signed; VeriSign's timestamp service left it out, and so did
    Symantec's after it. The padding is read here from the number that the key makes of the
    signature: 00 01 FF ... FF 00, and then nothing but the digest of the signed attributes. So the
    holder of that key did sign these attributes. OpenSSL demands DigestInfo ("bad signature");
    Windows takes both forms, as signify has it too (x509/context.py, "Both are found in the wild").
    """
    found = []
    for message in messages(file):
        for signer in message.signers:
            for value in signer.unsigned.get(_COUNTERSIGNATURE, ()):
                made = signed_data.signer(value, "countersignature")
                pool = tuple(certificates(file))
                key = certificate_of(made, pool)
                assert key is not None
                found.append(_is_bare(key.key, made.signature, made.signed, made.digest))
    return any(found)


def _is_bare(key: object, signature: bytes, signed: bytes, algorithm: str) -> bool:
    assert isinstance(key, rsa.RSAPublicKey)
    numbers = key.public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    block = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(size, "big")
    digest = hashlib.new(algorithm, signed).digest()
    return block == b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest


def leads_nowhere(file: Path) -> bool:
    """Nobody that the certificates in its signature name as issuer is a root of Windows'.

    LIEF's documentation of `check` has no step that builds a chain: "OK" is not trust. Authenticode
    asks for one ("Windows Authenticode Portable Executable Signature Format", 2008: the signer's
    certificate is verified up to a trusted root).
    """
    own = [message for message in messages(file) if message.content_type.endswith("311.2.1.4")]
    issuers = {one.issuer for one in certificates(file) if one.der in own[0].certificates}
    timestamps = {one.issuer for one in certificates(file) if "imestamp" in one.name}
    return not any(roots.by_subject(issuer) for issuer in issuers - timestamps)


@dataclass(frozen=True, slots=True)
class Settled:
    """A difference of verdicts, in which we are right."""

    peer: str
    says: str  # in its own words, or how it judged
    proof: Callable[[Path], bool]
    files: tuple[str, ...]  # how their names begin


SETTLED = (
    Settled(
        OSSLSIGNCODE,
        "bad signature",
        signs_bare_digest,
        (
            "legacy_sha1/ADV64DRV",
            "legacy_sha1/AsIO64",
            "legacy_sha1/CITMDRV",
            "legacy_sha1/WinRing0",
            "legacy_sha1/gdrv",
            "virtio_old/Win7_amd64_pvpanic",
            "virtio_old/Win7_x86_pvpanic",
            "virtio_old/Wlh",
            "virtio_old/Wnet",
            "virtio_old/Wxp",
            "virtio_old/xp",
        ),
    ),
    Settled(
        LIEF,
        "OK",
        leads_nowhere,
        (
            "arm64_sd8150/qbt1000",
            "arm64_sd8150/surfacecharger",
            "ralphje_7z1900",
            "ralphje_kdbazis",
            "virtio_old/Win8.1_",
            "virtio_old/Win8_",
        ),
    ),
)


def _settled() -> dict[tuple[str, str], Settled]:
    found = {}
    for each in SETTLED:
        for start in each.files:
            names = [name for name in NAMES if name.startswith(f"signed/{start}")]
            images = [name for name in names if each.peer != LIEF or name.endswith(IMAGES)]
            found.update({(each.peer, name): each for name in images})
    return found


_BY_FILE = _settled()


# --- everybody's answers, once ------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("roots") / "roots.pem"
    write_roots(path, map(_path, NAMES))
    assert 8 <= path.read_text().count("BEGIN CERTIFICATE") < 60
    return path


@pytest.fixture(scope="module")
def views(pem: Path) -> dict[str, dict[Path, View]]:
    """By peer; osslsigncode is asked file by file."""
    files = [_path(name) for name in NAMES]
    read_by_signify = [file for file in files if file.suffix != ".p7b"]  # it knows lists only
    images = [file for file in files if file.suffix in IMAGES]
    return {
        SIGNIFY: signature_peers.signify(read_by_signify, pem),
        LIEF: signature_peers.lief(images),
        OSSLSIGNCODE: {file: signature_peers.osslsigncode(file, pem) for file in files},
    }


def _path(name: str) -> Path:
    return REAL_DATA / name


@cache
def _trust() -> Trust:
    return Trust()


def test_the_samples_are_all_there() -> None:
    assert len(NAMES) >= LEAST


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("peer", PEERS)
def test_we_agree(views: dict[str, dict[Path, View]], name: str, peer: str) -> None:
    file = _path(name)
    if file not in views[peer]:
        assert file.suffix in MESSAGES  # LIEF reads no catalogs, signify no policies
        return
    found = differences(ours(file, _trust()), views[peer][file])
    settled = _BY_FILE.get((peer, name))
    assert found == (["verdict"] if settled else [])


@pytest.mark.parametrize(("peer", "name"), _BY_FILE)
def test_where_we_do_not_the_bytes_say_who_is_right(
    views: dict[str, dict[Path, View]], peer: str, name: str
) -> None:
    settled = _BY_FILE[peer, name]
    assert settled.proof(_path(name))
    theirs = views[peer][_path(name)].signatures
    reasons = " ".join(one.reason for one in theirs)
    assert settled.says in reasons if settled.says != "OK" else all(one.ok for one in theirs)


def test_the_proofs_can_fail() -> None:
    """Of files on whose verdict all agree: a good one, one with DigestInfo, one without a root."""
    good = _path("signed/ralphje_pciide.sys")
    assert not signs_bare_digest(good)
    assert not leads_nowhere(good)
    assert not signs_bare_digest(_path("signed/ralphje_kdbazis.dll"))


def test_a_curve_of_the_signers_own_is_not_believed(views: dict[str, dict[Path, View]]) -> None:
    """CVE-2020-0601: P-384 but for the generator, so that the key of a real CA fits another one."""
    file = _path("signed/ralphje_7z1900-x64_signed.exe")
    content = read_real(file)
    prime = (2**384 - 2**128 - 2**96 + 2**32 - 1).to_bytes(48, "big")
    generator = bytes.fromhex("aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38")
    assert prime in content  # parameters that are spelled out
    assert generator not in content
    assert not any(one.ok for one in ours(file, _trust()))
    assert not views[SIGNIFY][file].ok


# --- what is in which catalog -------------------------------------------------------------


def _pairs() -> Iterator[tuple[str, str]]:
    """Each catalog with each file that lies beside it."""
    for name in NAMES:
        if name.endswith(".cat"):
            folder = _path(name).parent
            for file in sorted(folder.iterdir()):
                is_related = file.stem == Path(name).stem or len(list(folder.iterdir())) < 20
                if file.suffix in (*IMAGES, ".inf") and is_related:
                    yield name, str(file.relative_to(REAL_DATA))


def test_catalogs_list_the_same_files_and_vouch_for_them(pem: Path) -> None:
    pairs = [(_path(one), _path(other)) for one, other in _pairs()]
    theirs = signature_peers.listed_by_signify(pairs, pem)
    listed = {pair: _lists(*pair) for pair in pairs}
    assert listed == {pair: is_listed for pair, (is_listed, _) in theirs.items()}
    assert 50 < sum(listed.values()) < len(pairs) - 20
    # We ask a catalog where a file has no good signature of its own.
    plain = [(one, other) for one, other in pairs if not ours(other, _trust())]
    vouched = {pair: vouches(*pair, _trust()) for pair in plain}
    assert vouched == {pair: theirs[pair][1] for pair in plain}
    assert 15 < sum(vouched.values()) < len(plain) - 15


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.endswith(".sys") and f"{name[:-4]}.cat" in NAMES]
)
def test_osslsigncode_finds_the_same_drivers_in_catalogs(name: str, pem: Path) -> None:
    file, listing = _path(name), _path(name).with_suffix(".cat")
    other = _path("signed/whql_virtio_w11/vioscsi.cat")
    for each in (listing, other):
        view = signature_peers.osslsigncode(file, pem, "-catalog", str(each))
        theirs = any(one.digest and one.digest == one.computed for one in view.signatures)
        assert _lists(each, file) == theirs
    assert _lists(listing, file)


def _lists(listing: Path, file: Path) -> bool:
    message = signed_data.read(listing.read_bytes())
    found = catalog.read(message.content)
    content = file.read_bytes()
    is_image = content[:2] == b"MZ"
    digests = [_digest(content, name, image=is_image) for name in ("sha1", "sha256")]
    return any(found.find(digest) for digest in digests)


def _digest(content: bytes, algorithm: str, *, image: bool) -> bytes:
    if image:
        return catalogs.file_digest(content, algorithm)
    return hashlib.new(algorithm, content).digest()


# --- what none of the samples has ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A file signed by somebody of the tests, and who lets it pass."""

    name: str
    publisher: Shape
    passes: tuple[str, ...]
    root: str = "ours"  # whom everybody is told to trust


_GOOD = Shape("Publisher", rsa_bits=2048)
MADE = (
    Made("good", _GOOD, PEERS),
    Made("for another purpose", replace(_GOOD, purpose=ExtendedKeyUsageOID.SERVER_AUTH), (LIEF,)),
    Made("of an unknown root", _GOOD, (LIEF,), root="another"),
    Made("with a certificate that ran out", replace(_GOOD, until=NOW - YEAR / 2), ()),
)


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name)
def test_who_lets_it_pass(tmp_path: Path, made: Made) -> None:
    root = authenticode.root()
    publisher = certified(made.publisher, root)
    image = pe.driver({"FileVersion": "1.2.3.4"})
    file, pem = tmp_path / "driver.sys", tmp_path / "roots.pem"
    file.write_bytes(authenticode.signed(image, publisher, How(others=(root.certificate,))))
    known = root if made.root == "ours" else certified(Shape("Another root", ca=True))
    pem.write_bytes(known.certificate.public_bytes(Encoding.PEM))
    views = {
        OSSLSIGNCODE: signature_peers.osslsigncode(file, pem),
        SIGNIFY: signature_peers.signify([file], pem)[file],
        LIEF: signature_peers.lief([file])[file],
    }
    assert {peer for peer, view in views.items() if view.ok} == {*made.passes}
    own = ours(file, Trust((known.certificate.public_bytes(Encoding.DER),), windows=False))
    assert [one.ok for one in own] == [made.passes == PEERS]


# --- more files ---------------------------------------------------------------------------


@pytest.mark.campaign
def test_we_agree_on_an_installation(tmp_path: Path) -> None:
    """The 400 files of bench.signatures (downloaded); any other verdict has its proof."""
    files = signature_corpus.installation()
    pem = tmp_path / "roots.pem"
    write_roots(pem, files)
    views = {SIGNIFY: signature_peers.signify(files, pem), LIEF: signature_peers.lief(files)}
    proofs = {
        OSSLSIGNCODE: lambda file: signs_bare_digest(file) or has_large_alignment(file),
        LIEF: leads_nowhere,
    }
    for file in files:
        own = ours(file, _trust())
        views[OSSLSIGNCODE] = {file: signature_peers.osslsigncode(file, pem)}
        for peer in PEERS:
            found = differences(own, views[peer][file])
            assert not found or (found == ["verdict"] and proofs[peer](file)), (peer, file, found)


def has_large_alignment(file: Path) -> bool:
    """Its sections lie further apart in memory than pages do, and it has page hashes.

    osslsigncode 2.9 takes SectionAlignment for the size of a page; the table in such a file steps
    by 4,096 bytes all the same (HidSharp.dll of hardwaremonitor 1.2.1: 0, 512, 4608, 8704).
    """
    content = file.read_bytes()
    (start,) = struct.unpack_from("<I", content, 60)
    (alignment,) = struct.unpack_from("<I", content, start + 24 + 32)
    page_hashes = bytes.fromhex("060a2b060104018237020302")
    return alignment > 4096 and page_hashes in content
