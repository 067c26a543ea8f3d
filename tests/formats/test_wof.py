"""Compressed files: chunks against wimlib and by the specifications, and hostile bytes."""

from __future__ import annotations

import base64
import io
import os
import random
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import huffman, lzx, wof, xpress
from tests.builders import wof as build
from tests.conftest import real

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "300"))  # of each sample
PACKINGS = tuple(build.CHUNKS)


def contents(size: int, seed: int = 2015) -> bytes:
    """Words, calls (E8 and a target) and zeros: all that the decoders treat in a way of its own."""
    rng = random.Random(seed)
    words = [bytes(rng.randrange(97, 123) for _ in range(rng.randrange(2, 9))) for _ in range(60)]
    out = bytearray()
    while len(out) < size:
        pick = rng.random()
        if pick < 0.1:
            out += b"\xe8" + rng.randrange(-500, 9000).to_bytes(4, "little", signed=True)
        elif pick < 0.15:
            out += bytes(rng.randrange(1, 400))
        else:
            out += rng.choice(words) + b" "
    return bytes(out[:size])


# contents(1500) as wimlib 1.13.6 compresses them.
VECTORS = {
    "XPRESS4K": (
        "BYgIgAAIAAiAAAAAAAAAAIQAAAAAAAAAAIAAAAAAAAgAAAAAAAAAAAgAAAAAgAAAUGVlZVZmZWVWdVZlVQYA"
        "AAAAAACAAAAAAAAAAAAIAACAAAAAAACAAAAAAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAFAAAAAAAAAACA"
        "AHAIAAAAAAAAcIgAAAAAAAAAAAAAAAAAAAAACAAAAAAAAAgIAIAAAAAAeAiAgAAAAAAHAAAAAAAAAIAHAAAA"
        "AABwBwAHCAAAAHCGhweIAAAIAHcAiAcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAIyJbiRUYO/5W0izQpG2i7iOB0Hwwps4FN/vVL+idgSk9zorRGQaELDTg5YqG0BqS9DGu4QS4mYasYRW"
        "hWA42o5ZLVTC6YK0oJMtVgHD+fXQQLaFnuTEuAQknCTzQBOLQx0Rx/RAIy1YHSn/VAF1Nh3kZYK1B2k7OIbZ"
        "ClkbZFPkohGejZJEpEsOX5F7db6lUrdkSiyHoOU2DsoIX0f7SRNnJjqqaJurfnB8DrOwtiAPWlazfLkYEJ3+"
        "WK3ti0XLUxPsBq0nRXM+GWxlaFOLKn3hzJ2WfvKzeeE4hUfkXdY7TkewuOOn+K+9DNAwNWscASKcNRO9EGJb"
        "+RcsPuUej7VTvpjpHIZJ7OTxOdbQXGLYI6VqCbqkfmbQVp3lTlaESbFhfHD1Roc61nG+sNYD5J4OBksN8kPs"
        "bwAALQ=="
    ),
    "LZX": (
        "XSAAwwAABgJlMjQA8Q9CH4ZACSOwJ0MSYIBwCAtM2lrV2mqrvNWWMzluOMwAAQAAGgEAgBIACivGxovG08QG"
        "pgUVuZUAi77CBgMfAzFo/6D4dwAmAAAAAGQAZGBJE1ovosoPvxFjwvtAqMr1GQOV39SIqGbStMQ7kM2jp0W2"
        "H0/bs3qNFa94ihG2FGkBslNrc20NzmoURPPTUyLdU1xtER1jYCSdv7161kK3B2AEXPj5ED/enBMXbPrgsaQr"
        "br4HBuYpYP3qc6uPSl8Q7ytQ/V154LWjWmOYpEQUNxaZKyEJT0lduKpIfdvDY8YvT4lwDo2wdQO2OBTNUyLa"
        "g6dydQNIpfE33YxXHHVfucj22bgBxgxW0dD+7nQbGqrpTyvW7tE/mqlBSuul2m5tET4MVtcmuX+iMQ52j34y"
        "//gtwGxvKq88X33ge9bbyg4t42A66ymR8CFDPk8uwg6l8dXpjUM/ayDE2EyadOol78bSfdJdg6mb/A0Tt+5F"
        "+dJVPBys1smcOd6pvNkju2PR7fidPC3y/SdA7A=="
    ),
}


def vector(packing: str) -> bytes:
    return base64.b64decode(VECTORS[packing])


def stream(packing: str, stored: bytes, size: int) -> wof.Stream:
    how = wof.packing(build.reparse(packing))
    return wof.Stream(lambda at, length: stored[at : at + length], len(stored), size, how)


# --- chunks -------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", VECTORS)
def test_known_chunks(packing: str) -> None:
    whole = contents(1500)
    how = wof.packing(build.reparse(packing))
    assert how.decompress(vector(packing), len(whole)) == whole


@pytest.mark.parametrize(
    ("lengths", "words", "whole"),
    [
        pytest.param(
            {48: "5055555555555555555555454404", 128: "04"},
            "d8523ed794115be9195ff9d67cdf8d0400000000",
            b"abcdefghijklmnopqrstuvwxyz",
            id="literals",
        ),
        pytest.param(
            {48: "3023", 128: "02", 143: "20"}, "a8dc0000ff2601", b"abc" * 100, id="a long match"
        ),
    ],
)
def test_the_examples_of_the_specification(
    lengths: dict[int, str], words: str, whole: bytes
) -> None:
    """[MS-XCA] section 3.2; lengths by their place among the 256 bytes."""
    table = bytearray(256)
    for at, text in lengths.items():
        table[at : at + len(text) // 2] = bytes.fromhex(text)
    assert xpress.decompress(bytes(table) + bytes.fromhex(words), len(whole)) == whole


@pytest.mark.parametrize("size", [1, 2, 999, 1000])
def test_an_lzx_block_of_plain_bytes(size: int) -> None:
    """Block type 3, its length, bits up to the next word, three distances, the bytes."""
    plain = contents(size).replace(b"\xe8", b"x")
    bits = 3 << 29 | 0 << 28 | size << 12
    start = struct.pack("<HH", bits >> 16, bits & 0xFFFF) + struct.pack("<3I", 1, 1, 1)
    assert lzx.decompress(start + plain + bytes(size % 2), size) == plain
    with pytest.raises(FormatError, match="ends too early"):
        lzx.decompress(start + plain[:-1], size)


def test_an_xpress_chunk_by_hand() -> None:
    """A code of two words, "A" and a match of nine bytes one byte back: 10 times "A"."""
    lengths = bytearray(256)
    match = 256 | 0 << 4 | 6  # distance 1 << 0, length 6 + 3
    for symbol in (ord("A"), match):
        lengths[symbol // 2] |= 1 << 4 * (symbol % 2)
    chunk = bytes(lengths) + struct.pack("<HH", 0b01 << 14, 0)
    assert xpress.decompress(chunk, 10) == b"A" * 10


def test_a_long_match_lies_between_the_words() -> None:
    lengths = bytearray(256)
    for symbol in (ord("A"), 256 | 15):
        lengths[symbol // 2] |= 1 << 4 * (symbol % 2)
    chunk = bytes(lengths) + struct.pack("<HHBH", 0b01 << 14, 0, 255, 3000)
    assert xpress.decompress(chunk, 3004) == b"A" * 3004


@pytest.mark.parametrize(
    ("lengths", "problem"), [([1, 1, 1], "more words"), ([1, 2, 2, 15], "more words")]
)
def test_a_code_that_is_too_full(lengths: list[int], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        huffman.code(lengths)


def test_a_code_of_nothing() -> None:
    assert huffman.code([0, 0]).table == [huffman.NOTHING]


@build.needs_wimlib
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("size", [1, 100, 4095, 4096, 4097, 32768, 32769, 200_000])
def test_what_wimlib_compresses(packing: str, size: int) -> None:
    whole = contents(size)
    assert stream(packing, build.stream(packing, whole), size).read() == whole


@build.needs_wimlib
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("sample", real("signed/saferwall_acpi.sys", "signed/brad457_npcap.sys"))
def test_real_drivers(packing: str, sample: Path) -> None:
    whole = sample.read_bytes()
    stored = build.stream(packing, whole)
    assert len(stored) < len(whole)
    assert stream(packing, stored, len(whole)).read() == whole


# --- streams ------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), st.integers(0, 40_000), st.just(0)),
        st.tuples(st.just("seek"), st.integers(-9_000, 100), st.just(2)),
        st.tuples(st.just("read"), st.integers(-1, 20_000), st.just(0)),
    ),
    max_size=12,
)
WHOLE = contents(30_000)
STORED = {packing: build.stream(packing, WHOLE, lambda _, chunk: chunk) for packing in build.CHUNKS}


@given(STEPS, st.sampled_from(PACKINGS))
def test_reads_like_any_file(steps: list[tuple[str, int, int]], packing: str) -> None:
    ours, theirs = stream(packing, STORED[packing], len(WHOLE)), io.BytesIO(WHOLE)
    for verb, number, whence in steps:
        if verb == "seek":
            assert ours.seek(number, whence) == theirs.seek(number, whence)
        else:
            assert ours.read(number) == theirs.read(number)
        assert ours.tell() == theirs.tell()


def test_only_what_is_asked_for_is_read() -> None:
    places: list[tuple[int, int]] = []
    stored = STORED["XPRESS4K"]

    def read(at: int, length: int) -> bytes:
        places.append((at, length))
        return stored[at : at + length]

    how = wof.packing(build.reparse("XPRESS4K"))
    file = wof.Stream(read, len(stored), len(WHOLE), how)
    file.seek(9000)
    assert file.read(10) == WHOLE[9000:9010]
    table = 7 * 4
    assert places == [(4, 8), (table + 8192, 4096)]
    assert file.read(10) == WHOLE[9010:9020]
    assert len(places) == 2  # the chunk was kept


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param((0, "<I", 0xA000_000C), "has the tag", id="symbolic link"),
        pytest.param((12, "<I", 1), "WIM image", id="WIMBoot"),
        pytest.param((12, "<I", 7), "unknown provider", id="provider"),
        pytest.param((8, "<I", 9), "unknown provider", id="version"),
        pytest.param((20, "<I", 4), "unknown algorithm", id="algorithm"),
    ],
)
def test_other_reparse_points(change: tuple[int, str, int], problem: str) -> None:
    offset, layout, number = change
    raw = bytearray(build.reparse("LZX"))
    struct.pack_into(layout, raw, offset, number)
    with pytest.raises(FormatError, match=problem):
        wof.packing(bytes(raw))


def test_a_reparse_point_cut_off() -> None:
    with pytest.raises(FormatError, match="too few"):
        wof.packing(build.reparse("LZX")[:-1])


@pytest.mark.parametrize(
    ("stored", "size", "problem"),
    [
        (b"", 1 << 40, "too many"),
        (bytes(8), 4096 * 4, "table of chunks is cut off"),
        (b"", 10, "impossible size 0"),
        (struct.pack("<I", 0xFFFF_FFFF) + bytes(100), 5000, "impossible size"),
        (struct.pack("<I", 90) + bytes(100), 5000, "too many|for 4096|ends too early"),
    ],
)
def test_impossible_streams(stored: bytes, size: int, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        stream("XPRESS4K", stored, size).read()


# --- hostile ------------------------------------------------------------------------------


def damaged(good: bytes, rng: random.Random) -> bytes:
    bad = bytearray(good[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
    for _ in range(rng.randrange(1, 6)):
        if bad:
            bad[rng.randrange(len(bad))] = rng.choice((0, 0xFF, 0x7F, rng.randrange(256)))
    return bytes(bad)


@pytest.mark.parametrize("packing", VECTORS)
def test_hostile_chunks_fail_in_one_way_only(packing: str) -> None:
    rng = random.Random(20240719)
    how = wof.packing(build.reparse(packing))
    good = vector(packing)
    refused = 0
    begun = time.process_time()
    for _ in range(MUTATIONS):
        size = rng.choice((1500, how.chunk))
        try:
            assert len(how.decompress(damaged(good, rng), size)) == size
        except FormatError:
            refused += 1
    assert refused > MUTATIONS // 4
    assert time.process_time() - begun < MUTATIONS * 0.05


def test_hostile_tables_fail_in_one_way_only() -> None:
    rng = random.Random(20240720)
    stored = STORED["XPRESS4K"]
    refused = 0
    for _ in range(MUTATIONS):
        bad = bytearray(stored)
        bad[rng.randrange(28)] = rng.randrange(256)
        try:
            assert len(stream("XPRESS4K", bytes(bad), len(WHOLE)).read()) == len(WHOLE)
        except FormatError:
            refused += 1
    assert refused
