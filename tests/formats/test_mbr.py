from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import mbr
from tests.builders import tables
from tests.conftest import need, read_real, real

SECTORS = 8192


def parse(disk: bytes | bytearray) -> mbr.Mbr:
    return mbr.parse(tables.reader(disk), len(disk), 512)


def blank(*entries: tuple[int, int, int, int]) -> bytearray:
    disk = bytearray(SECTORS * 512)
    tables.put_mbr(disk, entries)
    return disk


def extended() -> bytearray:
    """A primary, and an extended partition with two logical ones."""
    disk = blank((0x80, 7, 64, 960), (0, 0x0F, 1024, 4096))
    tables.put_mbr(disk, [(0, 7, 64, 900), (0, 5, 1024, 1024)], at=1024 * 512)
    tables.put_mbr(disk, [(0, 0x0C, 64, 800)], at=2048 * 512)
    return disk


def test_primary_and_logical_partitions() -> None:
    found = parse(extended())
    assert found.signature == "4d2a6b11"
    assert [(p.number, p.offset // 512, p.size // 512, p.type) for p in found.partitions] == [
        (1, 64, 960, "0x07"),
        (5, 1088, 900, "0x07"),
        (6, 2112, 800, "0x0c"),
    ]
    assert found.partitions[0].identity == f"mbr:4d2a6b11:{64 * 512}"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("link", "note"),
    [
        pytest.param((0, 5, 0x7FFF_FFFF, 1), "chain of logical partitions is damaged", id="away"),
        pytest.param((0, 5, 4096, 1), "chain of logical partitions is damaged", id="just outside"),
        pytest.param(
            (0, 5, 512, 1), "logical partition table at sector 1536 is damaged", id="no EBR"
        ),
    ],
)
def test_broken_chains_end_where_they_break(link: tuple[int, int, int, int], note: str) -> None:
    disk = extended()
    tables.put_mbr(disk, [(0, 7, 64, 900), link], at=1024 * 512)
    found = parse(disk)
    assert [p.number for p in found.partitions] == [1, 5]
    assert note in found.notes[0]


def test_a_chain_that_bites_its_tail_ends() -> None:
    disk = extended()
    tables.put_mbr(disk, [(0, 0x0C, 64, 100), (0, 5, 1024, 1)], at=2048 * 512)
    found = parse(disk)
    assert [p.number for p in found.partitions] == [1, 5, 6]
    assert "chain of logical partitions is damaged" in found.notes[0]


def test_a_chain_has_at_most_128_links() -> None:
    disk = blank((0, 5, 64, SECTORS - 64))
    for i in range(400):
        at = (64 + i * 20) * 512
        tables.put_mbr(disk, [(0, 7, 1, 10), (0, 5, (i + 1) * 20, 20)], at=at)
    assert len(parse(disk).partitions) == 128


def test_logical_partitions_stay_inside_the_extended_one() -> None:
    disk = extended()
    tables.put_mbr(disk, [(0, 7, 64, 5000)], at=1024 * 512)
    found = parse(disk)
    assert [p.number for p in found.partitions] == [1, 6]
    assert "Partition 5 lies outside" in found.notes[0]


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        pytest.param((0, 7, 0, 100), "lies outside the disk", id="over the table itself"),
        pytest.param((0, 7, 8000, 400), "lies outside the disk", id="beyond the end"),
        pytest.param((0, 7, 100, 50), "overlap", id="over another"),
    ],
)
def test_impossible_entries_are_left_out(entry: tuple[int, int, int, int], note: str) -> None:
    found = parse(blank((0, 7, 64, 960), entry))
    assert 2 not in [p.number for p in found.partitions]
    assert note in found.notes[0]


def test_protective_and_hybrid_are_told() -> None:
    assert parse(tables.gpt([])).protective
    hybrid = parse(blank((0, 0xEE, 1, 63), (0, 7, 64, 960)))
    assert hybrid.protective
    assert len(hybrid.partitions) == 1


@pytest.mark.parametrize(
    "disk",
    [
        pytest.param(bytes(SECTORS * 512), id="zeros"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x55\xaa" * 256, id="not boot indicators"),
    ],
)
def test_what_is_no_table(disk: bytes) -> None:
    with pytest.raises(FormatError):
        parse(disk)


@pytest.mark.parametrize("image", real("disk/ntfs-fixed.vhd.xz"))
def test_real_table(image: Path) -> None:
    found = parse(read_real(image)[:-512])
    assert [(p.number, p.offset, p.type) for p in found.partitions] == [(1, 65536, "0x07")]
    assert found.signature == "af25a437"


@need("sfdisk")
def test_what_sfdisk_makes_reads_alike(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    script = (
        "label: dos\nlabel-id: 0x01020304\n2048,4096,7,*\n8192,,E\n10240,2048,7\n14336,2048,c\n"
    )
    subprocess.run(
        ["sfdisk", "--quiet", image], input=script, text=True, check=True, capture_output=True
    )
    found = parse(image.read_bytes())
    assert found.signature == "01020304"
    assert [(p.number, p.offset // 512) for p in found.partitions] == [
        (1, 2048),
        (5, 10240),
        (6, 14336),
    ]


def test_hostile_bytes_fail_in_one_way_only() -> None:
    good = bytes(extended()[: 2049 * 512])
    for bad in tables.mutations(good[:512], 300) + tables.mutations(good[1024 * 512 :], 20):
        disk = bad + good[len(bad) :] if len(bad) <= 512 else good[: 1024 * 512] + bad
        with suppress(FormatError):
            assert len(parse(disk).partitions) < 140
