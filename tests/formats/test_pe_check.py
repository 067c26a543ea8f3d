"""Damage to a driver's file: what is called so, and what is not."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.formats import pe, pe_check
from tests.builders import pe as build
from tests.conftest import real
from tests.formats.test_pe_imports import SAMPLES

STUB = build.driver({"CompanyName": "Acme"}, padding=b"\x90" * 9000)


def damage(data: bytes) -> str:
    stream = io.BytesIO(data)
    return pe_check.damage(stream, pe.headers(stream), len(data))


def right(data: bytes) -> bool:
    stream = io.BytesIO(data)
    return pe_check.has_right_checksum(stream, pe.headers(stream))


def test_a_whole_file() -> None:
    assert damage(STUB) == ""
    assert right(STUB)


def test_cut_off() -> None:
    assert damage(STUB[:-0x200]) == "its section .rsrc ends beyond the file"
    assert damage(STUB[:0x400]) == "its section .text ends beyond the file"


def test_code_of_nothing_but_zeros() -> None:
    text = pe.headers(io.BytesIO(STUB)).sections[0]
    blank = bytearray(STUB)
    blank[text.offset : text.offset + 4096] = bytes(4096)
    assert damage(bytes(blank)) == "its section .text is blank where its code begins"
    blank[text.offset + 100] = 1
    assert damage(bytes(blank)) == ""


def test_a_blank_page_where_the_entry_lies() -> None:
    data = bytearray(STUB)
    image = pe.headers(io.BytesIO(STUB))
    text = image.sections[0]
    struct.pack_into("<I", data, image.checksum_at - 48, text.address + 4096 + 16)  # entry point
    assert damage(bytes(data)) == ""
    data[text.offset + 4096 : text.offset + 8192] = bytes(4096)
    assert damage(bytes(data)) == "its section .text is blank where its code begins"


def test_missing_padding_is_no_damage() -> None:
    """The last section is padded to the file's alignment, and nothing lies in the padding."""
    data = bytearray(STUB)
    start = struct.unpack_from("<I", data, 0x3C)[0]
    optional_size = struct.unpack_from("<H", data, start + 20)[0]
    last = start + 24 + optional_size + 40
    used = struct.unpack_from("<I", data, last + 8)[0] - 0x40
    struct.pack_into("<I", data, last + 8, used)
    assert damage(bytes(data[:-0x40])) == ""
    assert damage(bytes(data[:-0x41])) == "its section .rsrc ends beyond the file"


def test_a_section_name_that_cannot_be_shown() -> None:
    data = bytearray(STUB)
    at = data.index(b".rsrc")
    data[at : at + 8] = b"\x1b[2J\xff\0\0\0"
    assert damage(bytes(data[:-0x200])) == "its section ?[2Jÿ ends beyond the file"


# --- checksums ----------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_checksum_as_the_builder_sums_words(padding: bytes) -> None:
    assert right(build.driver(None, padding=padding))


@given(st.integers(0, len(STUB) - 1), st.integers(1, 255))
def test_one_changed_byte_is_seen(where: int, change: int) -> None:
    """A sum of words modulo 65535 sees each change of one byte, wherever it is."""
    image = pe.headers(io.BytesIO(STUB))
    bad = bytearray(STUB)
    bad[where] ^= change
    stream = io.BytesIO(bytes(bad))
    if image.checksum_at <= where < image.checksum_at + 4:
        assert pe_check.checksum(stream, pe.headers(stream)) == image.checksum
    else:
        assert pe_check.checksum(stream, image) != image.checksum


def test_no_checksum_is_no_damage() -> None:
    data = bytearray(STUB)
    struct.pack_into("<I", data, pe.headers(io.BytesIO(STUB)).checksum_at, 0)
    assert right(bytes(data))


@pytest.mark.parametrize("more", [b"", b"x", b"xy"])
def test_odd_lengths(more: bytes) -> None:
    data = STUB + more
    theirs = pefile.PE(data=data, fast_load=True).generate_checksum()
    stream = io.BytesIO(data)
    assert pe_check.checksum(stream, pe.headers(stream)) == theirs


@pytest.mark.parametrize("sample", real(*SAMPLES))
def test_real_files_are_whole(sample: Path) -> None:
    data = sample.read_bytes()
    assert damage(data) == ""
    assert right(data)


@pytest.mark.parametrize("sample", real("signed/saferwall_acpi.sys"))
def test_a_lost_page_of_a_real_driver(sample: Path) -> None:
    """What a disk leaves behind where it lost a cluster."""
    data = bytearray(sample.read_bytes())
    rng = random.Random(4)
    for _ in range(20):
        start = rng.randrange(1, len(data) // 4096) * 4096
        lost = bytearray(data)
        lost[start : start + 4096] = bytes(4096)
        assert not right(bytes(lost)) or not any(data[start : start + 4096])
