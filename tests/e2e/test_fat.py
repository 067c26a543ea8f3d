"""An old system: Windows on a FAT volume of an MBR disk, which only the medium's kernel reads."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.builders import disk, faults, windows
from tests.builders.disk import DiskImage
from tests.conftest import mounts, need
from tests.e2e import machine, scenes
from tests.e2e.machine import Attached
from tests.independent import registry

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.disk,
    pytest.mark.xdist_group("fat"),
    mounts,
    need("qemu-system-x86_64", "mcopy", "sfdisk"),
]
REG_DWORD = 4


def contents(image: DiskImage, folder: Path) -> dict[str, str]:
    """Every file of the FAT volume with its hash, copied out by mtools."""
    folder.mkdir()
    argv = ["mcopy", "-s", "-m", "-n", "-i", f"{image.path}@@{image.windows[0].offset}", "::*"]
    subprocess.run([*argv, str(folder)], check=True, capture_output=True)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_fat_is_repaired_and_nothing_else_changes(medium: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    windows.populate(tree, hives=windows.BUILT, ntfs=False)
    faults.boot_start_driver_crashes(windows.reopen(tree, ntfs=False), scenes.SERVICE)
    image = disk.create(tmp_path / "fat.img", scheme="mbr", volumes=1, filesystem="fat")
    disk.copy_tree(image.path, image.windows[0], tree)
    before = contents(image, tmp_path / "before")
    values = registry.registry(tmp_path / "before" / scenes.SYSTEM)

    ran = machine.boot(medium, [Attached(image.path, "virtio")], tmp_path / "log")

    assert ran.exit_code == 0, ran.text[-3000:]
    after = contents(image, tmp_path / "after")
    ours = {name for name in after if name.startswith("RecoveryKit/")}
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {scenes.SYSTEM, scenes.DRIVER}
    assert after.keys() - ours == before.keys() - {scenes.DRIVER}
    assert before[scenes.DRIVER] in {after[name] for name in ours}
    now = registry.registry(tmp_path / "after" / scenes.SYSTEM)
    ((name, (old, new)),) = registry.changed_values(values, now).items()
    assert name.endswith(f"Services\\{scenes.SERVICE}\\Start")
    assert (old, new) == ((REG_DWORD, "00000000"), (REG_DWORD, "04000000"))
