"""MountedDevices and kept partition tables: both schemes, nothing else, damage."""

from __future__ import annotations

import random
import struct
import time
import uuid

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import partition_names
from recoverykit.formats.hive import Hive
from tests.builders import drive_layout
from tests.formats.hives import hive_bytes

MUTANTS = 2_000
ONE, TWO = uuid.UUID(int=1 << 90 | 7), uuid.UUID(int=2 << 90 | 7)


@pytest.mark.parametrize(
    ("data", "identity"),
    [
        (bytes.fromhex("67cfced10000f01500000000"), "mbr:d1cecf67:368050176"),
        (b"DMIO:ID:" + ONE.bytes_le, f"gpt:{ONE}"),
        (b"DMIO:ID;" + ONE.bytes_le, ""),
        ("\\??\\SCSI#CdRom".encode("utf-16-le"), ""),
        (bytes(11), ""),
        (b"", ""),
    ],
)
def test_mounted(data: bytes, identity: str) -> None:
    assert partition_names.mounted(data) == identity


@pytest.mark.parametrize(
    ("data", "partitions"),
    [
        (drive_layout.gpt(ONE, TWO), (f"gpt:{ONE}", f"gpt:{TWO}")),
        (drive_layout.gpt(), ()),
        (drive_layout.gpt(ONE, uuid.UUID(int=0)), (f"gpt:{ONE}",)),
        (
            drive_layout.mbr(0xD1CECF67, (7, 1 << 20), (0, 0), (0x27, 1 << 40)),
            ("mbr:d1cecf67:1048576", "mbr:d1cecf67:1099511627776"),
        ),
        (drive_layout.mbr(7) + bytes(500), ()),
    ],
)
def test_kept(data: bytes, partitions: tuple[str, ...]) -> None:
    assert partition_names.kept(data) == partitions


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(47), id="short"),
        pytest.param(struct.pack("<II", 2, 0) + bytes(40), id="a raw disk"),
        pytest.param(drive_layout.gpt(ONE)[:-1], id="the last entry is cut"),
        pytest.param(struct.pack("<II", 0, 0xFFFF_FFFF) + bytes(40), id="many"),
    ],
)
def test_no_table(data: bytes) -> None:
    with pytest.raises(FormatError, match="kept partition table"):
        partition_names.kept(data)


def test_damage_never_raises_anything_else() -> None:
    whole = [drive_layout.gpt(ONE, TWO), drive_layout.mbr(1, (7, 63), (7, 1 << 30))]
    chosen = random.Random("kept tables")
    refused = 0
    began = time.process_time()
    for number in range(MUTANTS):
        data = bytearray(whole[number % 2])
        for _ in range(chosen.randint(1, 8)):
            data[chosen.randrange(min(len(data), 64))] = chosen.randrange(256)
        del data[chosen.randrange(len(data)) if number % 5 == 0 else len(data) :]
        try:
            assert len(partition_names.kept(bytes(data))) <= len(data) // 144
        except FormatError:
            refused += 1
    assert 0 < refused < MUTANTS
    assert time.process_time() - began < 2


def test_a_real_table_names_the_partition_that_is_mounted_as_c() -> None:
    hive = Hive(hive_bytes("dissect_SYSTEM.gz"))
    mounted = hive.find("MountedDevices")
    disk = hive.find(
        "ControlSet001\\Enum\\SCSI\\Disk&Ven_NVMe&Prod_VMware_Virtual_N\\5&25a13950&0&000000"
        "\\Device Parameters\\Partmgr"
    )
    assert mounted is not None
    assert disk is not None
    letter, table = mounted.value("\\DosDevices\\C:"), disk.value("PartitionTableCache")
    assert letter is not None
    assert table is not None
    partitions = partition_names.kept(table.data)
    assert len(partitions) == 3
    assert partition_names.mounted(letter.data) == partitions[2]
