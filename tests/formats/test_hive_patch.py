"""Sectors that differ, in which order they are written, and what a cut leaves of them."""

from __future__ import annotations

import hashlib
import random

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import hive_patch
from recoverykit.formats.hive_patch import Piece
from tests.builders import hive

CLEAN = hive.build({"key": {"value": hive.dword(0)}})


def images(seed: int, size: int = 9 * 4096 + 100) -> tuple[bytes, bytes]:
    """Two images that differ in a few random bytes."""
    rng = random.Random(seed)
    before = rng.randbytes(size)
    after = bytearray(before)
    for _ in range(rng.randrange(1, 40)):
        after[rng.randrange(size)] ^= 0xFF
    return before, bytes(after)


def written(image: bytes, *groups: hive_patch.Writes) -> bytes:
    output = bytearray(image)
    for group in groups:
        for at, content in group:
            output[at : at + len(content)] = content
    return bytes(output)


def digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


@pytest.mark.parametrize("seed", range(20))
def test_there_and_back(seed: int) -> None:
    before, after = images(seed)
    pieces = hive_patch.difference(before, after)
    assert written(before, *hive_patch.forward(pieces)) == after
    assert written(after, *hive_patch.backward(pieces)) == before
    assert hive_patch.unpack(hive_patch.pack(pieces)) == pieces
    for piece in pieces:
        assert piece.offset % 512 == 0
        assert piece.offset >= 4096 or piece.offset + len(piece.before) <= 4096
        for at in range(0, len(piece.before), 512):  # and nothing but sectors that differ
            assert piece.before[at : at + 512] != piece.after[at : at + 512]


def test_the_header_is_written_last_and_taken_back_first() -> None:
    before = bytes(3 * 4096)
    after = b"\1" + bytes(4094) + b"\1\1" + bytes(4096) + b"\1" + bytes(4094)
    pieces = hive_patch.difference(before, after)
    assert [piece.offset for piece in pieces] == [0, 3584, 4096, 8192]
    there, back = hive_patch.forward(pieces), hive_patch.backward(pieces)
    assert [[at for at, _ in group] for group in there] == [[4096, 8192], [0, 3584]]
    assert [[at for at, _ in group] for group in back] == [[0, 3584], [4096, 8192]]


def test_equal_images_differ_in_nothing_and_sizes_must_agree() -> None:
    assert hive_patch.difference(CLEAN, CLEAN) == ()
    with pytest.raises(ValueError, match="one size"):
        hive_patch.difference(CLEAN, CLEAN + b"\0")


@pytest.mark.parametrize("seed", range(20))
def test_every_torn_state_is_known_and_nothing_else(seed: int) -> None:
    before, after = images(seed)
    pieces = hive_patch.difference(before, after)
    rng = random.Random(seed)
    inside = {at for p in pieces for at in range(p.offset, p.offset + len(p.before))}
    for _ in range(10):
        cut = sorted(rng.sample(range(len(before) + 1), 2))
        torn = before[: cut[0]] + after[cut[0] : cut[1]] + before[cut[1] :]
        assert hive_patch.restores(torn, pieces, digest(before))
        foreign = bytearray(torn)
        at = rng.randrange(len(before))
        foreign[at] = next(b for b in range(256) if b not in (before[at], after[at]))
        assert not hive_patch.restores(bytes(foreign), pieces, digest(before)), at in inside
        assert not hive_patch.restores(torn[: pieces[-1].offset + 1], pieces, digest(before))


@pytest.mark.parametrize(
    ("head", "new_size", "fits"),
    [
        pytest.param(CLEAN, len(CLEAN), True, id="clean"),
        pytest.param(hive.soiled(CLEAN), len(CLEAN), True, id="dirty"),
        pytest.param(CLEAN, len(CLEAN) + 4096, False, id="grows"),
        pytest.param(CLEAN[:508] + b"\0" * 4, len(CLEAN), False, id="checksum"),
        pytest.param(bytes(512), len(CLEAN), False, id="no signature"),
        pytest.param(b"", len(CLEAN), False, id="empty"),
    ],
)
def test_what_may_be_written_in_place(head: bytes, new_size: int, *, fits: bool) -> None:
    assert hive_patch.fits(head[:512], len(CLEAN), new_size) is fits


def test_hostile_records_fail_in_one_way_only() -> None:
    good = hive_patch.pack(hive_patch.difference(*images(7)))
    rng = random.Random(20240719)
    refused = 0
    for _ in range(2000):
        bad = bytearray(good[: rng.choice((len(good), rng.randrange(len(good) + 1)))])
        for _ in range(rng.randrange(3)):
            if bad:
                bad[rng.randrange(min(len(bad), 24))] = rng.choice(b"\0\1\x7f\xff")
        try:
            pieces = hive_patch.unpack(bytes(bad))
        except FormatError:
            refused += 1
            continue
        ends = [piece.offset + len(piece.before) for piece in pieces]
        assert all(end <= one.offset for end, one in zip(ends, pieces[1:], strict=False))
    assert refused > 500


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([Piece(0, b"", b"")], id="empty"),
        pytest.param([Piece(512, b"a", b"b"), Piece(0, b"a", b"b")], id="order"),
        pytest.param([Piece(0, b"aa", b"bb"), Piece(1, b"a", b"b")], id="overlap"),
    ],
)
def test_pieces_that_cannot_be(pieces: list[Piece]) -> None:
    with pytest.raises(FormatError, match="cannot be"):
        hive_patch.unpack(hive_patch.pack(pieces))
