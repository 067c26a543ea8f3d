"""Security descriptors, attributes, times and short names, on a real NTFS volume."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import Metadata
from tests.conftest import mounts, need
from tests.repair import ntfs

pytestmark = [mounts, need("mkntfs", "ntfs-3g"), pytest.mark.disk]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    image = tmp_path_factory.mktemp("metadata") / "disk.img"
    ntfs.make(image)
    with ntfs.mounted(image) as mounted:
        yield mounted.path


def test_all_of_it_comes_back(volume: Path) -> None:
    path = volume / "a long file name.sys"
    path.touch()
    wanted = Metadata(ntfs.DRIVER_SECURITY, b"\0\0\0\x26", struct.pack(">3Q", 10, 20, 30))
    assert len(ntfs.DRIVER_SECURITY) > 128  # what CPython's getxattr fails on
    ntfs_metadata.write(path, wanted, times=True)
    ntfs_metadata.set_short_name(path, b"ALONGF~1.SYS")
    ntfs_metadata.set_short_name(path, b"ALONGF~1.SYS")  # again is no error
    kept = ntfs_metadata.read(path)
    assert (kept.security, kept.attributes) == (wanted.security, wanted.attributes)
    assert kept.times is not None
    assert kept.times[:24] == wanted.times
    assert kept.short_name == b"ALONGF~1.SYS"


def test_without_times_only_the_creation_is_given(volume: Path) -> None:
    path = volume / "created"
    path.touch()
    before = ntfs_metadata.read(path).times
    ntfs_metadata.write(path, Metadata(times=struct.pack(">3Q", 10, 20, 30)), times=False)
    after = ntfs_metadata.read(path).times
    assert before is not None
    assert after is not None
    assert after[:8] == struct.pack(">Q", 10)
    assert after[8:16] == before[8:16]


def test_a_short_name_is_given_once(volume: Path) -> None:
    for name in ("first long name", "second long name"):
        (volume / name).touch()
    ntfs_metadata.set_short_name(volume / "first long name", b"LONG~1")
    with pytest.raises(FileExistsError):
        ntfs_metadata.set_short_name(volume / "second long name", b"LONG~1")


def test_linked_files_tell_no_short_name(volume: Path) -> None:
    (volume / "one long name").touch()
    os.link(volume / "one long name", volume / "another long name")
    assert ntfs_metadata.read(volume / "one long name").short_name is None
