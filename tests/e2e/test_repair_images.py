"""Repair and undo of whole disk images on this host, judged from outside (hivex, ntfs-3g)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recoverykit.formats.ntfs_boot import NtfsBoot
from tests.builders.disk import DiskImage
from tests.conftest import mounts
from tests.e2e import proof, scenes
from tests.e2e.command import recoverykit
from tests.independent.snapshot import sha256

pytestmark = [pytest.mark.disk, mounts]


def test_repair_changes_the_plan_and_nothing_else_and_undo_takes_it_back(
    one_windows: DiskImage, tmp_path: Path
) -> None:
    scene = scenes.stage(one_windows, "broken", tmp_path / "disk.img")

    report = recoverykit("repair", scene.disk.path, "--yes", "--json")
    assert report.exit_code == 0, report
    entry = report.json["installations"][0]
    assert entry["diagnosis"]["kind"] == "driver"
    culprit = entry["diagnosis"]["suspects"][0]
    assert (culprit["driver"], culprit["verdict"]) == ("acmeflt.sys", "culprit")
    assert entry["outcome"] == "applied"
    proof.repaired(scene)

    undo = recoverykit("undo", scene.disk.path, "--yes")
    assert undo.exit_code == 0, undo
    proof.undone(scene)


def test_a_filter_of_every_disk_leaves_the_list_with_its_service(
    one_windows: DiskImage, tmp_path: Path
) -> None:
    """Disabled and still named there, it would be stop code 0x7B."""
    scene = scenes.stage(one_windows, "filter", tmp_path / "disk.img")
    key = "ControlSet001\\Control\\Class\\{4d36e967-e325-11ce-bfc1-08002be10318}"
    listed = scene.values[0][key].values["LowerFilters"]
    rest = listed[1].replace(f"{scenes.SERVICE}\0".encode("utf-16-le").hex(), "")
    assert rest != listed[1]
    kept = (listed[0], rest) if rest != "0000" else None

    report = recoverykit("repair", scene.disk.path, "--yes", "--json")
    assert report.exit_code == 0, report
    (entry,) = report.json["installations"]
    assert [one["what"] for one in entry["plan"]["decisions"] if one["changed"]] == [
        "service",
        "class filter",
        "driver file",
    ]
    assert not any(line["ok"] is False for line in entry["checks_after"])
    proof.repaired(scene, also={f"{key}\\LowerFilters": (listed, kept)})

    undo = recoverykit("undo", scene.disk.path, "--yes")
    assert undo.exit_code == 0, undo
    proof.undone(scene)


def test_only_the_broken_one_of_two_is_touched(two_windows: DiskImage, tmp_path: Path) -> None:
    scene = scenes.stage(two_windows, "two", tmp_path / "disk.img")
    other = scene.disk.windows[0]
    before = proof.volume_sha256(scene.disk, other)

    done = recoverykit("repair", scene.disk.path, "--yes")

    assert done.exit_code == 0, done
    assert proof.volume_sha256(scene.disk, other) == before
    proof.repaired(scene, number=1)


@pytest.mark.parametrize("verb", ["find", "diagnose", "check", "history", "repair"])
def test_a_healthy_disk_is_not_written_to(
    verb: str, one_windows: DiskImage, tmp_path: Path
) -> None:
    scene = scenes.stage(one_windows, "healthy", tmp_path / "disk.img")
    before = sha256(scene.disk.path)

    done = recoverykit(verb, scene.disk.path, *(["--yes"] if verb == "repair" else []))

    assert sha256(scene.disk.path) == before
    assert done.exit_code == 0, done


def test_a_volume_that_a_cut_of_ours_shut_is_opened_again_by_undo(
    small_windows: DiskImage, tmp_path: Path
) -> None:
    """The power went between a record of $MFT and its copy: ntfs-3g refuses the volume then."""
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    assert recoverykit("repair", scene.disk.path, "--yes").exit_code == 0
    where = scene.disk.windows[0].offset
    with scene.disk.path.open("r+b") as image:
        image.seek(where)
        mirror = NtfsBoot.parse(image.read(512)).mirror
        image.seek(where + mirror + 8)  # the log sequence number of its first record
        image.write(b"\1")
    before = sha256(scene.disk.path)

    found = recoverykit("diagnose", scene.disk.path)
    assert found.exit_code == 5
    assert "half written by an interrupted repair" in " ".join(found.out.split())
    assert sha256(scene.disk.path) == before

    undo = recoverykit("undo", scene.disk.path, "--yes")
    assert undo.exit_code == 0, undo
    assert "brought up to date" in undo.out
    proof.undone(scene)


def test_a_diagnosis_of_a_broken_disk_writes_nothing(
    small_windows: DiskImage, tmp_path: Path
) -> None:
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    before = sha256(scene.disk.path)

    for arguments in (["diagnose"], ["repair", "--dry-run"], ["repair"]):
        recoverykit(*arguments, scene.disk.path)

    assert sha256(scene.disk.path) == before


@pytest.mark.parametrize(("policy", "exit_code"), [("replay", 0), ("refuse", 5)])
def test_an_unclean_log_is_replayed_or_refused(
    policy: str, exit_code: int, small_windows: DiskImage, tmp_path: Path
) -> None:
    scene = scenes.stage(small_windows, "unclean", tmp_path / "disk.img")
    before = sha256(scene.disk.path)

    done = recoverykit("repair", scene.disk.path, "--yes", "--ntfs-log", policy)

    assert done.exit_code == exit_code, done
    if policy == "refuse":
        assert sha256(scene.disk.path) == before
    else:
        proof.repaired(scene)


def test_the_judge_sees_what_a_repair_must_not_do(small_windows: DiskImage, tmp_path: Path) -> None:
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    assert recoverykit("repair", scene.disk.path, "--yes").exit_code == 0
    proof.repaired(scene)

    with scenes.opened(scene.disk) as found:
        os.utime(found.root / "explorer.exe", (1, 1))

    with pytest.raises(AssertionError, match=r"explorer\.exe"):
        proof.repaired(scene)
