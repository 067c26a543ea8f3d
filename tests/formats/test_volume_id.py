from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recoverykit.formats import volume_id
from recoverykit.model import FileSystem
from tests.builders import tables
from tests.conftest import REAL_DATA, need, read_real, real

BITLOCKER = REAL_DATA / "disk" / "bitlk-images.tar.xz"


def identify(data: bytes) -> volume_id.VolumeId:
    return volume_id.identify(tables.reader(data))


@pytest.mark.parametrize(
    "image",
    real("disk/colinfinck_testfs1.xz", "disk/museum_win11_NTFS_$Boot", "disk/tiny_300.part"),
)
def test_real_ntfs(image: Path) -> None:
    found = identify(read_real(image))
    assert found.filesystem is FileSystem.NTFS
    assert len(found.serial) == 16
    assert found.size > 0


@pytest.mark.skipif(not BITLOCKER.is_file(), reason="no BitLocker images")
def test_every_real_bitlocker_volume_is_locked() -> None:
    kinds = {name: identify(head).filesystem for name, head in _heads(BITLOCKER)}
    assert len(kinds) == 21
    assert set(kinds.values()) == {FileSystem.BITLOCKER}
    assert any("togo" in name for name in kinds)


def _heads(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r|xz") as members:
        for member in members:
            if member.name.endswith(".img") and (file := members.extractfile(member)):
                yield member.name, file.read(512)


@need("mkfs.fat")
@pytest.mark.parametrize(("bits", "mib"), [("12", 2), ("16", 32), ("32", 64)])
def test_fat_of_every_width(bits: str, mib: int, tmp_path: Path) -> None:
    image = tmp_path / "fat.img"
    command = ["mkfs.fat", "-F", bits, "-i", "cafe1234", "-C", str(image), str(mib * 1024)]
    subprocess.run(command, check=True, capture_output=True)
    found = identify(image.read_bytes())
    assert (found.filesystem, found.serial) == (FileSystem.FAT, "cafe1234")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        pytest.param(b"LUKS\xba\xbe\0\2", FileSystem.LUKS, id="LUKS"),
        pytest.param(b"\0\0\0ReFS\0\0\0\0", FileSystem.REFS, id="ReFS"),
        pytest.param(b"\xeb\x76\x90EXFAT   ", FileSystem.EXFAT, id="exFAT"),
        pytest.param(b"\xeb\x58\x90-FVE-FS-", FileSystem.BITLOCKER, id="BitLocker"),
        pytest.param(b"\xeb\x58\x90MSWIN4.1", FileSystem.OTHER, id="FAT without geometry"),
        pytest.param(b"", FileSystem.OTHER, id="zeros"),
    ],
)
def test_signatures(head: bytes, kind: FileSystem) -> None:
    assert identify(head.ljust(512, b"\0")).filesystem is kind


def test_damaged_ntfs_is_named_as_such() -> None:
    found = identify(b"\xeb\x52\x90NTFS    ".ljust(512, b"\0"))
    assert found.filesystem is FileSystem.OTHER
    assert "It was NTFS, but is damaged" in found.note


def test_too_short_is_unknown() -> None:
    assert identify(b"\xeb\x52\x90NTFS    ").filesystem is FileSystem.OTHER


@pytest.mark.parametrize("image", real("disk/tiny_300.part"))
def test_hostile_bytes_never_raise(image: Path) -> None:
    kinds = {identify(bad).filesystem for bad in tables.mutations(image.read_bytes()[:512], 2000)}
    assert FileSystem.NTFS in kinds
