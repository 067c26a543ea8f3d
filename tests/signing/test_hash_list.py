"""Lists of hashes: what counts as a line, what is refused, the real ones."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from signing import hash_list
from signing.errors import MalformedError, SigningError
from tests.conftest import real

ONE, TWO = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{ONE}\n{TWO}\n", {ONE: 1, TWO: 2}),
        (f"\n{ONE.upper()}", {ONE: 2}),
        (f"\ufeff{ONE}\r\n\r\n# why\r\n{TWO}\r\n", {ONE: 1, TWO: 4}),
        (f"{ONE}  some driver.sys\n{TWO}\tother\n", {ONE: 1, TWO: 2}),
        (f"{ONE}\n{ONE}\n", {ONE: 1}),
    ],
)
def test_lines(text: str, lines: dict[str, int]) -> None:
    found = hash_list.parse(text.encode(), "ours")
    assert found.lines == {bytes.fromhex(one): line for one, line in lines.items()}
    assert found.name == "ours"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "names no hash"),
        (b"# nothing\n\n", "names no hash"),
        (f"{ONE}\n{ONE[:-1]}\n".encode(), "line 2: no SHA-256"),
        (f"{ONE}{TWO}\n".encode(), "line 1: no SHA-256"),
        (f"{ONE}\n<html>\n".encode(), "at 0x41: line 2: no SHA-256"),
        (hashlib.sha1(b"1", usedforsecurity=False).hexdigest().encode(), "line 1: no SHA-256"),
        (b"\xff\xfe" + ONE.encode("utf-16-le"), "line 1: no SHA-256"),
        (bytes(hash_list.LARGEST + 1), "too many"),
    ],
)
def test_mistakes(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        hash_list.parse(data, "ours")


@pytest.mark.parametrize(
    "path",
    real(
        "signed/blocklist/authentihash_samples_vulnerable.sha256",
        "signed/blocklist/samples_vulnerable.sha256",
        "signed/blocklist/samples_malicious.sha256",
    ),
)
def test_real_lists(path: Path) -> None:
    data = path.read_bytes()
    found = hash_list.parse(data, path.name)
    assert {digest.hex() for digest in found.lines} == set(data.decode("ascii").split())
    assert len(found.lines) > 300


def test_damage_is_refused_in_one_way() -> None:
    rng = random.Random(20261124)
    good = f"# list\n{ONE}  a.sys\r\n{TWO}\n".encode() * 3
    read = 0
    for _ in range(500):
        bad = bytearray(good)
        at = rng.randrange(len(bad))
        bad[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        try:
            read += len(hash_list.parse(bytes(bad), "x").lines) >= 2
        except SigningError:
            continue
    assert 0 < read < 500
