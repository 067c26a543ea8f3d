"""A Windows in a plain folder: bare, with what a test puts there, or whole and to be broken."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from recoverykit import installs
from recoverykit.model import FileSystem, Volume, WindowsInstall
from tests.builders import windows

CONFIG = "Windows/System32/config"


def installation(
    mount: Path, volume: Volume | None = None, *, build: str = "", architecture: str = ""
) -> WindowsInstall:
    """An installation below `mount`, whether or not its files are there."""
    return WindowsInstall(
        *(volume or Volume("test", FileSystem.NTFS, mount), mount, "Windows"),
        *(f"{CONFIG}/SYSTEM", f"{CONFIG}/SOFTWARE"),
        build=build,
        architecture=architecture,
    )


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    """One without a file, for a collector of a few."""
    (tmp_path / "Windows/System32").mkdir(parents=True)
    return installation(tmp_path)


def put(install: WindowsInstall, name: str, data: bytes, when: datetime | None = None) -> Path:
    """Write a file of the volume, last written at `when`."""
    path = install.mount / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if when is not None:
        os.utime(path, (when.timestamp(), when.timestamp()))
    return path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> windows.Windows:
    return windows.populate(tmp_path_factory.mktemp("windows"), ntfs=False)


@pytest.fixture
def machine(template: windows.Windows, tmp_path: Path) -> windows.Windows:
    """A copy that a test may change."""
    volume = tmp_path / "volume"
    shutil.copytree(template.volume, volume)
    return replace(template, volume=volume)


def installed(machine: windows.Windows) -> WindowsInstall:
    volume = Volume("test", FileSystem.NTFS, machine.volume)
    (install,), _ = installs.find(volume, machine.volume)
    return install
