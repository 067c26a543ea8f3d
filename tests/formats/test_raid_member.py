"""No samples of such disks are at hand: their signatures are built as the public sources say."""

from __future__ import annotations

import struct

import pytest

from recoverykit.formats import gpt, mbr, raid_member
from recoverykit.formats.extent import Partition
from tests.builders import tables

SIZE = 4 << 20
IMSM = b"Intel Raid ISM Cfg Sig. 1.3.00\0\0"


def disk(at: int, magic: bytes) -> bytearray:
    made = bytearray(SIZE)
    start = at if at >= 0 else SIZE + at
    made[start : start + len(magic)] = magic
    return made


@pytest.mark.parametrize(
    ("at", "magic", "expected"),
    [
        pytest.param(-1024, IMSM, raid_member.IMSM, id="IMSM"),
        pytest.param(-512, b"\xde\x11\xde\x11", raid_member.DDF, id="DDF"),
        pytest.param(-512, b"\x11\xde\x11\xde", raid_member.DDF, id="DDF, little-endian"),
        pytest.param(-0x10000, struct.pack("<I", 0xA92B4EFC), raid_member.LINUX_MD, id="md 0.90"),
        pytest.param(-0x2000, struct.pack("<I", 0xA92B4EFC), raid_member.LINUX_MD, id="md 1.0"),
        pytest.param(4096, struct.pack("<I", 0xA92B4EFC), raid_member.LINUX_MD, id="md 1.2"),
        pytest.param(-2048, IMSM, "", id="IMSM in the wrong sector"),
        pytest.param(0, b"", "", id="an ordinary disk"),
    ],
)
def test_signatures(at: int, magic: bytes, expected: str) -> None:
    found = raid_member.by_signature(tables.reader(disk(at, magic)), SIZE, 512)
    assert found == expected


def test_imsm_on_a_disk_with_4k_sectors() -> None:
    read = tables.reader(disk(-8192, IMSM))
    assert raid_member.by_signature(read, SIZE, 4096) == raid_member.IMSM


@pytest.mark.parametrize(
    ("kind", "sector_6", "expected"),
    [
        pytest.param(gpt.STORAGE_SPACES, b"", raid_member.SPACES, id="Storage Spaces"),
        pytest.param(gpt.LDM_DATA, b"", raid_member.LDM, id="LDM data on GPT"),
        pytest.param(gpt.LDM_METADATA, b"", raid_member.LDM, id="LDM metadata on GPT"),
        pytest.param(mbr.LDM, b"PRIVHEAD", raid_member.LDM, id="LDM on MBR"),
        pytest.param(mbr.LDM, b"", "", id="type 0x42 without PRIVHEAD"),
        pytest.param(gpt.BASIC_DATA, b"", "", id="basic data"),
    ],
)
def test_partition_types(kind: str, sector_6: bytes, expected: str) -> None:
    part = Partition(1, 1 << 20, 1 << 20, kind, "")
    read = tables.reader(disk(6 * 512, sector_6))
    assert raid_member.by_partitions([part], read) == expected


@pytest.mark.parametrize("size", [0, 511, 1024, 70000])
def test_small_disks_do_not_matter(size: int) -> None:
    assert raid_member.by_signature(tables.reader(bytes(size)), size, 512) == ""
