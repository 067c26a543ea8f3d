"""Shared by the end-to-end tests: the base images, made once, and the built medium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import windows
from tests.builders.disk import DiskImage, tools_present
from tests.conftest import REPOSITORY, can_mount
from tests.e2e import scenes


def _needs_disks() -> None:
    if not (can_mount() and tools_present()):
        pytest.skip("needs root, FUSE, loop devices, sgdisk, mtools and ntfs-3g")


@pytest.fixture(scope="session")
def one_windows(tmp_path_factory: pytest.TempPathFactory) -> DiskImage:
    """A healthy GPT disk with one Windows. Clone it; never change it."""
    _needs_disks()
    return scenes.base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def small_windows(tmp_path_factory: pytest.TempPathFactory) -> DiskImage:
    """The same with a small built hive, for boots where the hive is not the point."""
    _needs_disks()
    return scenes.base(tmp_path_factory.mktemp("base"), hives=windows.BUILT)


@pytest.fixture(scope="session")
def two_windows(tmp_path_factory: pytest.TempPathFactory) -> DiskImage:
    """A healthy GPT disk with two installations on two volumes."""
    _needs_disks()
    return scenes.base(tmp_path_factory.mktemp("base"), volumes=2, hives=windows.BUILT)


@pytest.fixture(scope="session")
def medium_with_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An organisation's ISO with the pack of July 2024, both signed with its key."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("not installed: qemu-system-x86_64")
    folder = tmp_path_factory.mktemp("medium")
    pack = folder / "crowdstrike-2024-07-19.toml"
    shutil.copyfile(REPOSITORY / "docs/examples" / pack.name, pack)
    keys, image = str(folder / "keys"), str(folder / "recovery.iso")
    for words in (
        ["keys", "new", keys, "--organisation", "Example Ltd"],
        ["keys", "sign", str(pack), "--keys", keys],
        ["iso", "-o", image, "--keys", keys, "--pack", str(pack)],
    ):
        argv = [sys.executable, "build_media.py", *words]
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return Path(image)


@pytest.fixture(scope="session")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ISO: RECOVERYKIT_ISO where somebody has built it, else built now."""
    given = os.environ.get("RECOVERYKIT_ISO")
    if given:
        return Path(given)
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("not installed: qemu-system-x86_64")
    image = tmp_path_factory.mktemp("medium") / "recovery.iso"
    argv = [sys.executable, "build_media.py", "iso", "-o", str(image)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return image
