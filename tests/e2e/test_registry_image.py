"""`recoverykit reg` on a partitioned NTFS disk, judged by hivex and ntfs-3g."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.disk import DiskImage
from tests.conftest import REPOSITORY, mounts
from tests.e2e import proof, scenes
from tests.e2e.command import Done, recoverykit
from tests.independent import registry as hivex

pytestmark = [pytest.mark.disk, mounts]

Changed = dict[str, tuple[hivex.Value | None, hivex.Value | None]]
KEY = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\acmeflt"
ACME = "ControlSet001\\Services\\acmeflt"
_CODE = "from recoverykit import cli, cli_reg; cli.app = cli_reg.app; cli.main()"


def reg(*arguments: str | Path) -> Done:
    """`recoverykit reg ARGUMENTS`."""
    argv = [sys.executable, "-c", _CODE, *map(str, arguments)]
    done = subprocess.run(
        argv, cwd=REPOSITORY, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def changed(scene: scenes.Scene) -> Changed:
    """What hivex says has changed in the SYSTEM hive."""
    after = scenes.values(scene.disk, scene.disk.windows[0])
    return hivex.changed_values(scene.values[0], after)


def test_set_import_delete_and_all_the_way_back(small_windows: DiskImage, tmp_path: Path) -> None:
    """Each change is what was asked for and nothing else."""
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    disk = scene.disk.path
    exported = tmp_path / "before.reg"
    assert reg("export", disk, KEY, "-o", exported).exit_code == 0

    done = reg("set", disk, KEY, "Start", "-t", "dword", "4", "--yes")
    assert done.exit_code == 0, done
    start = {f"{ACME}\\Start": ((4, "00000000"), (4, "04000000"))}
    assert changed(scene) == start

    done = reg("set", disk, f"{KEY}\\New", "List", "-t", "multi_sz", "a", "b", "--create", "--yes")
    assert done.exit_code == 0, done
    made = {f"{ACME}\\New\\", f"{ACME}\\New\\List"}
    assert changed(scene).keys() == start.keys() | made

    done = reg("delete", disk, KEY, "--tree", "--yes")
    assert done.exit_code == 0, done
    gone = changed(scene)
    assert all(name.startswith(f"{ACME}\\") for name in gone)
    assert all(pair[1] is None for pair in gone.values())
    assert reg("get", disk, KEY).exit_code == 3

    done = reg("import", disk, exported, "--yes")
    assert done.exit_code == 0, done
    assert changed(scene) == {}

    for _ in range(4):
        undone = recoverykit("undo", disk, "--yes")
        assert undone.exit_code == 0, undone
    proof.undone(scene)


def test_an_unclean_volume_is_replayed_before_a_change(
    small_windows: DiskImage, tmp_path: Path
) -> None:
    """The plan is made again on what the journal brought back, by the same question."""
    scene = scenes.stage(small_windows, "unclean", tmp_path / "disk.img")
    arguments = (scene.disk.path, KEY, "Start", "-t", "dword", "4", "--yes", "--json")
    refused = reg("set", *arguments, "--ntfs-log", "refuse")
    assert refused.exit_code == 5, refused
    done = reg("set", *arguments, "--ntfs-log", "replay")
    assert done.exit_code == 0, done
    (entry,) = json.loads(done.out)["installations"]
    assert entry["outcome"] == "applied"
    assert changed(scene) == {f"{ACME}\\Start": ((4, "00000000"), (4, "04000000"))}


def test_a_real_hive_is_read_without_a_trace_and_changed_without_another(
    one_windows: DiskImage, tmp_path: Path
) -> None:
    """11 MB of SYSTEM hive, and a key with a subkey and descriptors of its own."""
    scene = scenes.stage(one_windows, "healthy", tmp_path / "disk.img")
    acpi = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\ACPI"
    before = proof.volume_sha256(scene.disk, scene.disk.windows[0])
    done = reg("get", scene.disk.path, "HKLM\\SYSTEM\\Select", "Current")
    assert (done.exit_code, done.out) == (0, "Current  REG_DWORD  0x00000001 (1)\n")
    assert reg("delete", scene.disk.path, acpi, "--tree", "--dry-run").exit_code == 0
    assert proof.volume_sha256(scene.disk, scene.disk.windows[0]) == before

    done = reg("delete", scene.disk.path, acpi, "--tree", "--yes")
    assert done.exit_code == 0, done
    gone = changed(scene)
    assert len(gone) == 14
    assert all(name.startswith("ControlSet001\\Services\\ACPI\\") for name in gone)

    assert recoverykit("undo", scene.disk.path, "--yes").exit_code == 0
    proof.undone(scene)
