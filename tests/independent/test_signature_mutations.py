"""Flipped bits in signed drivers: what we let pass, osslsigncode and signify must let pass too.

What both let pass we must not refuse, either. Where that is not so the bit lies in a place that
LAXER or STRICTER lists with the reason; OpenSSL's asn1parse says what lies where.
"""

from __future__ import annotations

import random
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from signing.path import Trust
from tests.conftest import REAL_DATA, need
from tests.independent import signature_peers
from tests.independent.signature_agreement import ours, write_roots

FOLDER = REAL_DATA / "signed"
DRIVERS = (
    "whql_virtio_w11/viostor.sys",  # RFC 3161
    "brad457_npcap.sys",  # SHA-1, SHA-256 nested
    "ralphje_pciide.sys",  # PKCS #9
    "saferwall_WdBoot.sys",  # ELAM
    "ralphje_DXCore.dll",  # page hashes
)
SAMPLE, CAMPAIGN = 40, 2000
SEED = 11

# Where we let a bit pass that one of them refuses: nobody's signature is about it.
LAXER = {
    "digestAlgorithms": "RFC 5652, 5.1: a verifier MAY look there; each signer names its own",
    "certificates": "one that is damaged is nobody's; whose key matters is found without it",
    "version": "RFC 5652, 5.1: it follows from what is in the message, and says nothing else",
    "digestAlgorithm": "its parameters: RFC 3370, 2.1 has NULL or none, which says nothing",
    "signatureAlgorithm": "its parameters: RFC 3370, 3.2 has NULL for RSA, which says nothing",
}
# Where we refuse what both let pass.
STRICTER = {
    "signatureAlgorithm": "RFC 5652, 5.3: it names the scheme; they go by the key alone",
    "unsigned": "a timestamp that cannot be read is none, and the certificate has run out",
}

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no {FOLDER}"),
    pytest.mark.skipif(find_spec("signify") is None, reason="no signify"),
    need("osslsigncode", "openssl"),
]


@dataclass(frozen=True, slots=True)
class Flip:
    driver: str
    at: int
    bit: int


def flips(count: int, seed: int) -> Iterator[Flip]:
    """Three of four in the certificate table, the others in headers, checksum and sections."""
    randomness = random.Random(seed)
    contents = {name: (FOLDER / name).read_bytes() for name in DRIVERS}
    for _ in range(count):
        name = randomness.choice(DRIVERS)
        start, size = _table(contents[name])
        (header,) = struct.unpack_from("<I", contents[name], 60)
        checksum = (header + 88, header + 92)
        ranges = [(start, start + size)] * 9 + [(0, 1024), checksum, (0, start)]
        yield Flip(name, randomness.randrange(*randomness.choice(ranges)), randomness.randrange(8))


def _table(image: bytes) -> tuple[int, int]:
    """(start, size) of the certificate table."""
    (header,) = struct.unpack_from("<I", image, 60)
    (magic,) = struct.unpack_from("<H", image, header + 24)
    at, size = struct.unpack_from("<II", image, header + 24 + (144 if magic == 0x20B else 128))
    return at, size


@pytest.mark.parametrize(
    ("count", "seed"),
    [
        pytest.param(SAMPLE, SEED, id="sample"),
        pytest.param(CAMPAIGN, SEED + 1, id="campaign", marks=pytest.mark.campaign),
    ],
)
def test_flipped_bits(tmp_path: Path, count: int, seed: int) -> None:
    pem = tmp_path / "roots.pem"
    write_roots(pem, [FOLDER / name for name in DRIVERS])
    made = {}
    for number, flip in enumerate(flips(count, seed)):
        content = bytearray((FOLDER / flip.driver).read_bytes())
        content[flip.at] ^= 1 << flip.bit
        path = tmp_path / f"{number}.sys"
        path.write_bytes(content)
        made[path] = flip
    theirs = signature_peers.signify(list(made), pem)
    trust = Trust()
    passed = 0
    for path, flip in made.items():
        own = ours(path, trust)
        passes = bool(own) and all(one.ok for one in own)
        passed += passes
        others = {theirs[path].ok, signature_peers.osslsigncode(path, pem).ok}
        if passes and others != {True}:
            assert place(flip) in LAXER, (flip, place(flip))
        if not passes and others == {True}:
            assert place(flip) in STRICTER, (flip, place(flip))
    assert 0 < passed < count / 4  # some bits are nobody's business: the checksum, what fills up


# --- where a bit lies ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """One value as asn1parse prints it."""

    start: int
    end: int
    depth: int
    text: str


_PARTS = ("version", "digestAlgorithms", "contents", "certificates", "signers")


def place(flip: Flip) -> str:
    """Which part of the innermost message a bit of the table lies in; "" outside of all."""
    content = (FOLDER / flip.driver).read_bytes()
    start, size = _table(content)
    at = flip.at - start - 8
    lines = _lines(content[start + 8 : start + size])
    return next((name for name, line in reversed(_named(lines)) if line.start <= at < line.end), "")


def _named(lines: list[_Line]) -> list[tuple[str, _Line]]:
    """Parts of every message and signer, those of inner ones behind those of outer ones."""
    found: list[tuple[str, _Line]] = []
    for number, line in enumerate(lines):
        if line.text.endswith(":pkcs7-signedData"):
            inside = _below(lines, number + 2)
            found += zip(_PARTS, inside, strict=False)
            found += _of_signer(lines, lines.index(inside[-1]) + 1)
        elif line.text.endswith(":countersignature"):
            found += _of_signer(lines, number + 2)
    return found


def _of_signer(lines: list[_Line], number: int) -> list[tuple[str, _Line]]:
    """What is in a SignerInfo that nobody signs; the rest of it is "signed part"."""
    parts = _below(lines, number)
    found = [("signed part", lines[number]), ("digestAlgorithm", parts[2])]
    for before, line in pairwise(parts):
        if line.text.startswith("OCTET STRING"):
            found.append(("signatureAlgorithm", before))
        if line.text.startswith("cont [ 1 ]"):
            found.append(("unsigned", line))
    return found


def _below(lines: list[_Line], parent: int) -> list[_Line]:
    """The values directly inside of one."""
    outer = lines[parent]
    inside = (line for line in lines if outer.start < line.start < outer.end)
    return [line for line in inside if line.depth == outer.depth + 1]


def _lines(message: bytes) -> list[_Line]:
    done = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"], input=message, capture_output=True
    )
    pattern = re.compile(r"\s*(\d+):d=(\d+)\s+hl=(\d+)\s+l=\s*(\d+)\s+\w+:\s+(.*)")
    found = []
    for text in done.stdout.decode("ascii", "replace").splitlines():
        if (match := pattern.match(text)) is not None:
            start, depth, header, length = (int(match[number]) for number in range(1, 5))
            found.append(_Line(start, start + header + length, depth, match[5].strip()))
    assert found
    return found
