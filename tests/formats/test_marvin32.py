from __future__ import annotations

import struct

import pytest

from recoverykit.formats.marvin32 import marvin32
from tests.formats.hives import hive_bytes


@pytest.mark.parametrize(
    "name",
    [
        "regipy_SYSTEM_B.LOG1.xz",
        "museum_win10_DRIVERS.LOG1",
        "yarp/NewDirtyHive1__NewDirtyHive.LOG2",
    ],
)
def test_the_first_entry_of_real_logs(name: str) -> None:
    data = hive_bytes(name)
    size, hash_1, hash_2 = (
        *struct.unpack_from("<I", data, 516),
        *struct.unpack_from("<QQ", data, 536),
    )
    assert marvin32(data[552 : 512 + size]) == hash_1
    assert marvin32(data[512:544]) == hash_2


def test_length_counts_and_tails_differ() -> None:
    inputs = [b"", b"\0", b"\0\0", b"\0\0\0", b"\0\0\0\0", b"\x80", b"abcde", b"abcd\x80"]
    assert len({marvin32(data) for data in inputs}) == len(inputs)
    assert marvin32(memoryview(b"abcde")) == marvin32(b"abcde")
