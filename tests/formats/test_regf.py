from __future__ import annotations

import struct

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.regf import BaseBlock, bins, checksum
from tests.builders.hive import build, dword, sealed
from tests.formats.hives import hive_bytes

SMALL = build({"a": dword(1)}, name="\\SystemRoot\\System32\\Config\\SOFTWARE")


def header(**fields: int) -> bytes:
    """SMALL's header with some dwords changed ("at_40": ...), its checksum right again."""
    head = bytearray(SMALL[:4096])
    for name, value in fields.items():
        struct.pack_into("<I", head, int(name.removeprefix("at_")), value)
    return bytes(sealed(head))


def test_a_base_block_is_read() -> None:
    base = BaseBlock.parse(SMALL)
    assert (base.major, base.minor, base.primary_sequence, base.secondary_sequence) == (1, 5, 1, 1)
    assert (base.root_cell, base.bins_size, base.file_type) == (0x20, len(SMALL) - 4096, 0)
    assert base.file_name == "temRoot\\System32\\Config\\SOFTWARE"  # its last 32 characters
    assert base.clean
    assert base.checksum_ok


def test_unequal_sequence_numbers_are_dirty() -> None:
    base = BaseBlock.parse(header(at_4=2))
    assert not base.clean
    assert base.checksum_ok


def test_a_wrong_checksum_is_dirty() -> None:
    base = BaseBlock.parse(SMALL[:100] + b"\xff" + SMALL[101:])
    assert not base.clean
    assert not base.checksum_ok


@pytest.mark.parametrize("name", ["dissect_SYSTEM.gz", "yarp/OffHive", "bcd_win2go"])
def test_real_clean_hives_are_clean(name: str) -> None:
    assert BaseBlock.parse(hive_bytes(name)).clean


@pytest.mark.parametrize("name", ["regipy_SYSTEM_2.xz", "yarp/BadBaseBlockHive__BadBaseBlockHive"])
def test_real_dirty_hives_are_dirty(name: str) -> None:
    assert not BaseBlock.parse(hive_bytes(name)).clean


def test_the_two_reserved_checksums_are_replaced() -> None:
    assert checksum(bytes(512)) == 1
    assert checksum(b"\xff\xff\xff\xff" + bytes(508)) == 0xFFFF_FFFE


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "512 bytes|signature"), (SMALL[:511], "512 bytes"), (b"MZ" + SMALL[2:], "signature")],
    ids=["empty", "short", "other"],
)
def test_what_is_no_base_block_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        BaseBlock.parse(data)


def test_bins_follow_each_other() -> None:
    image = build({f"k{number}": {} for number in range(200)})
    found = list(bins(image, len(image) - 4096))
    assert found[0][0] == 4096
    assert sum(size for _, size in found) == len(image) - 4096


@pytest.mark.parametrize("at", [0, 4, 8], ids=["signature", "offset", "size"])
def test_a_broken_bin_header_is_refused(at: int) -> None:
    image = bytearray(SMALL)
    image[4096 + at] ^= 1
    with pytest.raises(FormatError, match="hive bin at 0x1000: damaged header"):
        list(bins(image, len(image) - 4096))


def test_a_truncated_chain_is_refused() -> None:
    with pytest.raises(FormatError, match="truncated"):
        list(bins(SMALL, len(SMALL)))
