"""One Windows in a plain folder, built once, and fresh copies of it to break."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit import installs
from recoverykit.model import FileSystem, Volume, WindowsInstall
from tests.builders import windows


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
