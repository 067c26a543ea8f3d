"""What is no regular file, and what is far too long: told, without waiting and without memory.

An open that waits for a writer never returns, so each of these runs under an alarm.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from recoverykit import installs
from recoverykit.boot import store as stores
from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.evidence import collect
from recoverykit.model import BootProblem, Gap
from tests.builders import boot_files as builder
from tests.builders import windows
from tests.evidence.conftest import installed

SECONDS = 20
ARTIFACTS = (
    "ntbtlog.txt",
    "bootstat.dat",
    "PFRO.log",
    "WinSxS/pending.xml",
    "System32/LogFiles/Srt/SrtTrail.txt",
    "System32/winevt/Logs/System.evtx",
    "System32/config/SYSTEM",
    "System32/config/SYSTEM.LOG1",
    "System32/config/SOFTWARE",
    "System32/config/SAM",
    "../Boot/BCD",
    "../bootmgr",
)


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def late(*_: object) -> None:
        pytest.fail(f"still waiting after {SECONDS} s")  # no OSError: collectors catch those

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> windows.Windows:
    return windows.populate(tmp_path_factory.mktemp("small"), ntfs=False, hives=windows.BUILT)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_pipe_in_place_of_an_artifact(small: windows.Windows, name: str) -> None:
    """ntfs-3g shows pipes that other systems made; nobody writes into one here."""
    path = small.root / name
    content = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    try:
        found = collect(installed(small))
    finally:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    told = [item.reason for item in found if isinstance(item, Gap)]
    told += [item.text for item in found if isinstance(item, BootProblem)]
    assert any("no regular file" in text for text in told), told


def test_pipes_are_no_files_on_disk_and_folders_are(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(TargetRefusedError, match="no regular file"):
        installs.on_disk(tmp_path, "PIPE")
    assert installs.on_disk(tmp_path, "FOLDER") == tmp_path / "folder"


@pytest.mark.parametrize("suffix", ["", ".LOG1"])
def test_a_store_or_log_longer_than_any(tmp_path: Path, suffix: str) -> None:
    """A sparse file takes no room on the disk, and all the memory there is."""
    scene = builder.build(tmp_path, uefi=False)
    long = scene.store_path.with_name(f"BCD{suffix}")
    with long.open("ab") as file:
        file.truncate(stores.MAX_STORE + 1)
    with pytest.raises(FormatError, match="more than it can have"):
        stores.read(scene.folder, "Boot/BCD")
