from __future__ import annotations

import struct
import subprocess
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import gpt
from tests.builders import tables
from tests.builders.tables import Entry
from tests.conftest import need, read_real, real

TWO = [Entry(64, 1023, gpt.ESP, "EFI"), Entry(1024, 3000, name="Windows Ü")]


def parse(disk: bytes | bytearray, sector_size: int = 512) -> gpt.Gpt:
    return gpt.parse(tables.reader(disk), len(disk), sector_size)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_both_sector_sizes(sector_size: int) -> None:
    found = parse(tables.gpt(TWO, sector_size=sector_size), sector_size)
    assert found.disk_guid == tables.DISK
    assert [(p.number, p.offset, p.size, p.name) for p in found.partitions] == [
        (1, 64 * sector_size, 960 * sector_size, "EFI"),
        (2, 1024 * sector_size, 1977 * sector_size, "Windows Ü"),
    ]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("where", "what"),
    [
        pytest.param(512, b"XXXX", id="signature"),
        pytest.param(512 + 16, b"\0\0\0\0", id="header checksum"),
        pytest.param(512 + 24, b"\7", id="own sector"),
        pytest.param(1024 + 40, b"\x07", id="entry"),
        pytest.param(512 + 12, b"\xff\xff\xff\xff", id="header size"),
    ],
)
def test_backup_is_used_when_the_primary_is_damaged(where: int, what: bytes) -> None:
    disk = tables.gpt(TWO)
    disk[where : where + len(what)] = what
    found = parse(disk)
    assert len(found.partitions) == 2
    assert "backup was used" in found.notes[0]


def test_two_damaged_copies_are_refused() -> None:
    disk = tables.gpt(TWO)
    disk[512:520] = disk[-512:-504] = b"EFI TRAP"
    with pytest.raises(FormatError, match="no 'EFI PART' signature") as caught:
        parse(disk)
    assert caught.value.exit_code == 10


def _with_header(disk: bytearray, offset: int, packed: bytes) -> bytearray:
    """Change a primary header field and make the checksum right again; drop the backup."""
    disk[512 + offset : 512 + offset + len(packed)] = packed
    disk[528:532] = bytes(4)
    disk[528:532] = struct.pack("<I", zlib.crc32(disk[512 : 512 + 92]))
    disk[-512:] = bytes(512)
    return disk


@pytest.mark.parametrize(
    ("offset", "packed", "problem"),
    [
        pytest.param(80, struct.pack("<I", 0xFFFF_FFFF), "impossible table", id="4 G entries"),
        pytest.param(84, struct.pack("<I", 1 << 30), "impossible table", id="1 GiB entries"),
        pytest.param(84, struct.pack("<I", 0), "impossible table", id="empty entries"),
        pytest.param(72, struct.pack("<Q", 1 << 62), "outside the disk", id="table far away"),
    ],
)
def test_hostile_headers_with_right_checksums(offset: int, packed: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        parse(_with_header(tables.gpt(TWO), offset, packed))


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        pytest.param(Entry(3000, 99999), "Partition 2 lies outside the disk", id="beyond the end"),
        pytest.param(Entry(3000, 2000), "Partition 2 lies outside the disk", id="ends before"),
        pytest.param(Entry(0, 1 << 63), "Partition 2 lies outside the disk", id="huge"),
    ],
)
def test_impossible_entries_are_left_out_and_named(entry: Entry, note: str) -> None:
    found = parse(tables.gpt([TWO[0], entry]))
    assert [p.number for p in found.partitions] == [1]
    assert note in found.notes[0]


def test_overlapping_partitions_are_both_left_out() -> None:
    found = parse(
        tables.gpt([Entry(64, 3000), Entry(100, 200), Entry(2000, 2100), Entry(3500, 3600)])
    )
    assert [p.number for p in found.partitions] == [4]
    assert found.notes == ("Partitions 1, 2, 3 overlap and were left out.",)


@pytest.mark.parametrize("image", real("disk/gpt.raw.xz", "disk/gpt_non_sequential.raw.xz"))
def test_real_tables(image: Path) -> None:
    found = parse(read_real(image))
    numbers = [1, 3] if "non_sequential" in image.name else [1, 2]
    assert [p.number for p in found.partitions] == numbers
    assert found.notes == ()


@need("sgdisk")
def test_what_sgdisk_makes_reads_alike(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    layout = ["-n", "3:2048:4095", "-t", "3:0700", "-c", "3:Windows", "-n", "7:8192:9000"]
    subprocess.run(["sgdisk", "-U", tables.DISK, *layout, image], check=True, capture_output=True)
    found = parse(image.read_bytes())
    assert found.disk_guid == tables.DISK
    assert [(p.number, p.offset // 512, p.name) for p in found.partitions] == [
        (3, 2048, "Windows"),
        (7, 8192, ""),
    ]
    assert found.partitions[0].type == gpt.BASIC_DATA


def test_hostile_bytes_fail_in_one_way_only() -> None:
    good = bytes(tables.gpt(TWO, sectors=128 + 8))
    for bad in tables.mutations(good[:8192] + good[-20000:], 500):
        with suppress(FormatError):
            parse(bad)
