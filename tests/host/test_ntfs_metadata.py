"""What NTFS keeps beside a file's bytes; security descriptors taken apart."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import PRIVATE_FILE, PRIVATE_FOLDER, Metadata, is_private
from tests.repair import ntfs

SYSTEM, USERS, ADMINISTRATORS = ((1, 18), (2, 32, 545), (2, 32, 544))


def sid(count: int, *parts: int) -> bytes:
    return struct.pack("<BB", 1, count) + b"\0\0\0\0\0\5" + struct.pack(f"<{len(parts)}I", *parts)


def descriptor(
    owner: tuple[int, ...], granted: list[tuple[int, tuple[int, ...]]], control: int = 0x9004
) -> bytes:
    aces = b"".join(
        struct.pack("<BBHI", kind, 3, 8 + len(sid(*who)), 0x1F01FF) + sid(*who)
        for kind, who in granted
    )
    dacl = struct.pack("<BBHHH", 2, 0, 8 + len(aces), len(granted), 0) + aces
    head = struct.pack("<BBHIIII", 1, 0, control, 20, 20, 0, 20 + len(sid(*owner)))
    return head + sid(*owner) + dacl


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(PRIVATE_FOLDER, True, id="ours"),
        pytest.param(PRIVATE_FILE, True, id="ours, of a file"),
        pytest.param(descriptor(SYSTEM, [(0, SYSTEM)]), True, id="SYSTEM only"),
        pytest.param(descriptor(SYSTEM, [(0, SYSTEM), (1, USERS)]), True, id="others are denied"),
        pytest.param(descriptor(SYSTEM, []), True, id="nobody at all"),
        pytest.param(descriptor(USERS, [(0, SYSTEM)]), False, id="owned by another"),
        pytest.param(descriptor(SYSTEM, [(0, SYSTEM), (0, USERS)]), False, id="others let in"),
        pytest.param(descriptor(SYSTEM, [(5, SYSTEM)]), False, id="unknown entry"),
        pytest.param(descriptor(SYSTEM, [(0, SYSTEM)], 0x8004), False, id="inherits"),
        pytest.param(descriptor(SYSTEM, [(0, SYSTEM)], 0x9000), False, id="no DACL: everybody"),
        pytest.param(ntfs.HIVE_SECURITY, False, id="as a hive has it"),
        pytest.param(b"", False, id="empty"),
        pytest.param(PRIVATE_FOLDER[:-4], False, id="cut short"),
    ],
)
def test_private_or_not(given: bytes, *, expected: bool) -> None:
    assert is_private(given) is expected


def test_hostile_descriptors_never_raise_and_are_never_private() -> None:
    rng = random.Random(20240719)
    answers = set()
    for _ in range(2000):
        bad = bytearray(ntfs.HIVE_SECURITY)
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        answers.add(is_private(bytes(bad[: rng.randrange(len(bad) + 1)])))
    assert answers == {False}


def test_elsewhere_there_is_only_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert ntfs_metadata.read(path) == Metadata(modified=path.stat().st_mtime_ns)
    assert ntfs_metadata.set_security(path, PRIVATE_FILE) is False


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ntfs_metadata.read(tmp_path / "nothing")
