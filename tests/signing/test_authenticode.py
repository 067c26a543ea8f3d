"""What a file's own signature claims, against osslsigncode's findings and hostile bytes."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import time
from pathlib import Path

import pytest

from signing import image
from signing.authenticode import Claim, Vouching, examine
from tests.builders import pe as build
from tests.conftest import REAL_DATA, real

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "150"))  # of each sample
# INDEX.md keeps what osslsigncode said: "x64 64520 sha256/sha256 match=True ph=False signer=...".
_ENTRY = re.compile(r"\| (\S+) \|.* \w+/(\w+) match=True ph=\w+ signer=(.*?) <-")


def _known() -> dict[str, tuple[str, str]]:
    index = REAL_DATA / "INDEX.md"
    lines = index.read_text("utf-8").splitlines() if index.is_file() else []
    matches = [match for line in lines if (match := _ENTRY.match(line))]
    return {match[1]: (match[2], match[3].strip()) for match in matches}


KNOWN = _known()
FEW = ("saferwall_WdBoot.sys", "brad457_npcap.sys", "virtio_old/Win7_x86_balloon.sys")


def claim(data: bytes | bytearray) -> Claim:
    return examine(io.BytesIO(bytes(data)))


def layout(data: bytes) -> tuple[int, int, int, int]:
    """Offsets of the checksum, the directory entry and the table, and the table's size."""
    (start,) = struct.unpack_from("<I", data, 0x3C)
    wide = data[start + 24 : start + 26] == b"\x0b\x02"
    entry = start + 24 + (112 if wide else 96) + 32
    at, size = struct.unpack_from("<II", data, entry)
    return start + 24 + 64, entry, at, size


def test_there_are_enough_samples() -> None:
    if not REAL_DATA.is_dir():
        pytest.skip(f"no {REAL_DATA}")
    assert len(KNOWN) >= 40


@pytest.mark.parametrize("sample", real(*[f"signed/{name}" for name in sorted(KNOWN)]))
def test_signed_files_as_osslsigncode_sees_them(sample: Path) -> None:
    algorithm, signer = KNOWN[str(sample.relative_to(REAL_DATA / "signed"))]
    assert claim(sample.read_bytes()) == Claim(Vouching.EMBEDDED, signer, algorithm)


@pytest.mark.parametrize("sample", real("signed/saferwall_amdi2c.sys"))
def test_a_real_file_without_a_signature(sample: Path) -> None:
    assert claim(sample.read_bytes()) == Claim(Vouching.NONE)


def test_a_stub() -> None:
    assert claim(build.driver(None)) == Claim(Vouching.NONE)


@pytest.mark.parametrize("sample", real(*[f"signed/{name}" for name in FEW]))
def test_a_flipped_byte(sample: Path) -> None:
    """Every byte but the checksum, the entry and the table itself is under the digest."""
    data = sample.read_bytes()
    checksum, entry, table, _ = layout(data)
    rng = random.Random(20240719)
    for _ in range(60):
        where = rng.randrange(table)
        bad = bytearray(data)
        bad[where] ^= 1 << rng.randrange(8)
        found = claim(bad).vouching
        if checksum <= where < checksum + 4:
            assert found is Vouching.EMBEDDED
        elif entry <= where < entry + 8 or where < 0x200:
            assert found is not Vouching.EMBEDDED
        else:
            assert found is Vouching.TAMPERED


@pytest.mark.parametrize("sample", real(*[f"signed/{name}" for name in FEW]))
def test_other_bytes_than_were_signed(sample: Path) -> None:
    data = sample.read_bytes()
    _, entry, table, size = layout(data)
    assert claim(data + bytes(8)).vouching is Vouching.TAMPERED
    assert claim(data[:-1]).vouching is Vouching.UNREADABLE  # the table ends beyond the file
    moved = data[:table] + bytes(8) + data[table:]
    changed = bytearray(moved)
    struct.pack_into("<II", changed, entry, table + 8, size)
    assert claim(changed).vouching is Vouching.TAMPERED


@pytest.mark.parametrize("sample", real(*[f"signed/{name}" for name in FEW]))
def test_a_signature_for_another_content(sample: Path) -> None:
    """The digest in the content may fit the file and not be what the signer attests."""
    data = bytearray(sample.read_bytes())
    *_, table, size = layout(bytes(data))
    # The attribute messageDigest: its OID, a SET, an OCTET STRING.
    oid = bytes.fromhex("06092a864886f70d01090431")
    at = data.index(oid, table, table + size) + len(oid) + 3
    data[at] ^= 1
    assert claim(data).vouching is Vouching.TAMPERED


@pytest.mark.parametrize(
    ("offset", "layout_", "value"),
    [
        pytest.param(0, "<I", 0xFFFF_FFFF, id="length of the entry"),
        pytest.param(0, "<I", 8, id="an empty entry"),
        pytest.param(6, "<H", 1, id="an X.509 certificate instead"),
        pytest.param(8, "<B", 0x31, id="no SEQUENCE"),
        pytest.param(9, "<B", 0xFF, id="an absurd length"),
    ],
)
@pytest.mark.parametrize("sample", real(f"signed/{FEW[0]}"))
def test_unreadable_tables(sample: Path, offset: int, layout_: str, value: int) -> None:
    data = bytearray(sample.read_bytes())
    struct.pack_into(layout_, data, layout(bytes(data))[2] + offset, value)
    assert claim(data) == Claim(Vouching.UNREADABLE)


@pytest.mark.parametrize("at", [0, 1, 0x200, 0xFFFF_FFF0])
@pytest.mark.parametrize("sample", real(f"signed/{FEW[0]}"))
def test_a_table_that_lies_anywhere(sample: Path, at: int) -> None:
    data = bytearray(sample.read_bytes())
    _, entry, _, _ = layout(bytes(data))
    struct.pack_into("<I", data, entry, at)
    assert claim(data).vouching is (Vouching.UNREADABLE if at else Vouching.NONE)


@pytest.mark.parametrize("data", [b"", b"MZ", b"MZ" + bytes(62), bytes(5000)])
def test_no_executable(data: bytes) -> None:
    assert claim(data) == Claim(Vouching.UNREADABLE)


@pytest.mark.parametrize("sample", real(*[f"signed/{name}" for name in FEW]))
def test_hostile_bytes_never_raise(sample: Path) -> None:
    """Mutations of the table: the answer is a claim, and names the signer in printable text."""
    good = sample.read_bytes()
    *_, table, size = layout(good)
    rng = random.Random(20240720)
    seen: set[Vouching] = set()
    begun = time.process_time()
    for _ in range(MUTATIONS):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 5)):
            near = table + rng.randrange(min(size, rng.choice((64, 512, size))))
            bad[near] = rng.choice((0, 0xFF, 0x80, 0x30, rng.randrange(256)))
        found = claim(bad)
        seen.add(found.vouching)
        assert found.signer.isprintable()
    assert Vouching.UNREADABLE in seen
    assert time.process_time() - begun < MUTATIONS * 0.02


def test_hostile_headers_never_raise() -> None:
    rng = random.Random(20240721)
    good = build.driver({"CompanyName": "Acme"})
    seen: set[Vouching] = set()
    for _ in range(MUTATIONS):
        bad = bytearray(good[: rng.choice((len(good), rng.randrange(len(good))))])
        for _ in range(rng.randrange(1, 8)):
            if bad:
                bad[rng.randrange(min(len(bad), 0x200))] = rng.randrange(256)
        seen.add(claim(bad).vouching)
    assert seen >= {Vouching.NONE, Vouching.UNREADABLE}


def test_a_table_too_large_to_be_one() -> None:
    data = bytearray(build.driver(None)) + bytes(image.LARGEST_TABLE + 1)
    _, entry, _, _ = layout(bytes(data))
    struct.pack_into("<II", data, entry, 0x400, image.LARGEST_TABLE + 1)
    assert claim(data) == Claim(Vouching.UNREADABLE)
