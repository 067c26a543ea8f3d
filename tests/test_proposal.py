"""What is proposed for a driver that Windows needs: a good copy, or why there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit import pipeline
from recoverykit.model import InstallFile, InstallReport, Outcome
from recoverykit.proposal import Choices
from recoverykit.visit import Options
from tests.builders import authenticode, pe, windows
from tests.conftest import need
from tests.repair import target

pytestmark = need("hivexsh")
DISK = "Windows/System32/drivers/disk.sys"
INBOX = {
    "CompanyName": "Microsoft Corporation",
    "InternalName": "disk.sys",
    "OriginalFilename": "disk.sys",
    "ProductName": "Microsoft® Windows® Operating System",
}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A Windows whose disk.sys was cut off: no Windows starts without it."""
    root = tmp_path / "volume"
    root.mkdir()
    windows.populate(root, hives=windows.BUILT, ntfs=False)
    driver = root / DISK
    whole = driver.read_bytes()
    driver.unlink()  # the link in WinSxS stays as it is
    driver.write_bytes(whole[: len(whole) // 2])
    return root


def copy(version: str, folder: Path, *, signed: bool = True) -> Path:
    """A good disk.sys in a folder of this host."""
    folder.mkdir(exist_ok=True)
    made = pe.driver({**INBOX, "FileVersion": version}, padding=version.encode() * 8)
    content = authenticode.signed(made, authenticode.publisher()) if signed else made
    (folder / "disk.sys").write_bytes(content)
    return folder


def repair(root: Path, *, dry_run: bool = False, choices: Choices | None = None) -> InstallReport:
    options = Options(dry_run=dry_run, ask=lambda _: True, choices=choices or Choices("disk"))
    (entry,) = pipeline.repair(root, options).installations
    return entry


def trusting(folder: Path) -> Choices:
    return Choices("disk", (folder,), tuple(authenticode.trusted()))


def test_a_good_copy_takes_its_place_and_undo_brings_the_old_one_back(
    broken: Path, tmp_path: Path
) -> None:
    before = target.state(broken)
    copies = copy("10.0.19041.1", tmp_path / "copies")
    done = repair(broken, choices=trusting(copies))
    assert done.outcome is Outcome.APPLIED, done
    assert done.plan is not None
    assert any(isinstance(action, InstallFile) for action in done.plan.actions)
    assert (broken / DISK).read_bytes() == (copies / "disk.sys").read_bytes()
    assert done.plan.title.startswith("replace disk.sys (service disk) from folder on the medium")

    (undone,) = pipeline.undo(broken, None, Options(ask=lambda _: True)).installations
    assert undone.outcome is Outcome.UNDONE
    assert target.state(broken) == before


def test_a_copy_that_nobody_vouches_for_is_not_taken(broken: Path, tmp_path: Path) -> None:
    before = target.state(broken)
    for choices in (
        trusting(copy("10.0.19041.1", tmp_path / "unsigned", signed=False)),
        replace(trusting(copy("10.0.19041.1", tmp_path / "signed")), trust=()),
    ):
        entry = repair(broken, choices=choices)
        assert entry.outcome is Outcome.REFUSED
        assert "No copy may take its place" in entry.error
        assert "signature" in entry.error
    assert target.state(broken) == before


def test_without_a_copy_the_search_is_told(broken: Path) -> None:
    entry = repair(broken)
    (refusal,) = entry.refusals
    assert "No other copy of its file was found here." in refusal.reason


def test_a_dry_run_shows_the_replacement_and_writes_nothing(broken: Path, tmp_path: Path) -> None:
    before = target.state(broken)
    choices = trusting(copy("10.0.19041.1", tmp_path / "copies"))
    entry = repair(broken, dry_run=True, choices=choices)
    assert entry.outcome is Outcome.PLANNED
    assert target.state(broken) == before
    assert not (broken / "RecoveryKit").exists()
