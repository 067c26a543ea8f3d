"""NTFS volumes in every state a repair may meet, as image files."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from recoverykit.host import disks, mounts
from recoverykit.model import Volume
from tests.builders import hibernated, ntfs, unclean
from tests.builders.tables import Entry, gpt

State = str
STATES = ("clean", "dirty", "unclean", "unclean-2.0", "hibernated")
FIRST = 1 << 20  # where partition 1 begins
MakeVolume = Callable[..., Volume]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _own_mount_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounts below this test's own folder: others may be mounting at the same time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def volume(tmp_path: Path) -> MakeVolume:
    """`volume(state, partitioned=True)`: a volume holding hello.txt, alone or in a partition."""

    def make(
        state: State = "clean", *, partitioned: bool = False, name: str = "disk.img"
    ) -> Volume:
        image = tmp_path / name
        image.write_bytes(_disk() if partitioned else ntfs.volume())
        found = disks.survey(image).volumes[0]
        with mounts.opened(found, writable=True) as mount:
            (mount / "hello.txt").write_text("hello")
            if state == "hibernated":
                hibernated.hibernate(mount)
        if state.startswith("unclean"):
            version = (2, 0) if state.endswith("2.0") else (1, 1)
            unclean.make_log_unclean(image, found.offset, hides="hello.txt", version=version)
        if state == "dirty":
            data = bytearray(image.read_bytes())
            part = data[found.offset : found.offset + found.size]
            ntfs.set_dirty(part)
            data[found.offset : found.offset + found.size] = part
            image.write_bytes(data)
        return found

    return make


def _disk() -> bytearray:
    made = gpt([Entry(FIRST // 512, (FIRST + 8 * ntfs.MIB) // 512 - 1)], sectors=20480)
    made[FIRST : FIRST + 8 * ntfs.MIB] = ntfs.volume()
    return made
