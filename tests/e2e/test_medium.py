"""The medium itself: what was changed on it is refused at boot, and where it keeps reports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders.disk import DiskImage
from tests.conftest import mounts, need
from tests.e2e import machine, proof, scenes
from tests.e2e.machine import Attached
from tests.independent.snapshot import sha256

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.disk,
    pytest.mark.xdist_group("boots"),
    mounts,
    need("qemu-system-x86_64", "xorriso", "cpio", "sgdisk", "mformat", "mcopy"),
]
WORDS = "console=tty0 console=ttyS0,115200 quiet rk.mode=repair rk.end=poweroff rk.image={}"


def extracted(medium: Path, folder: Path) -> tuple[Path, Path, str]:
    """Kernel, initramfs and image id of an ISO."""
    argv = ["xorriso", "-osirrox", "on", "-indev", str(medium), "-extract", "/", str(folder)]
    subprocess.run(argv, check=True, capture_output=True)
    (initrd,) = folder.rglob("initrd*")
    (kernel,) = folder.rglob("vmlinuz*")
    (marker,) = folder.glob(".disk/recoverykit-*")
    return kernel, initrd, marker.name.removeprefix("recoverykit-")


def archive(folder: Path, name: str) -> bytes:
    """A cpio archive of one file: appended to an initramfs, it replaces that file in memory."""
    parents = [str(parent) for parent in reversed(Path(name).parents) if str(parent) != "."]
    listing = "\n".join([*parents, name]).encode()
    argv = ["cpio", "-o", "-H", "newc", "--quiet"]
    return subprocess.run(argv, input=listing, cwd=folder, check=True, capture_output=True).stdout


def test_a_replaced_file_of_the_running_system_is_refused(
    medium: Path, small_windows: DiskImage, tmp_path: Path
) -> None:
    """One byte of our own code, changed inside an initramfs that the kernel unpacks gladly."""
    kernel, initrd, image_id = extracted(medium, tmp_path / "iso")
    changed = Path("usr/share/recoverykit/payload.json")
    (tmp_path / "more" / changed.parent).mkdir(parents=True)
    (tmp_path / "more" / changed).write_bytes(b"{}")
    swapped = tmp_path / "initrd"
    shutil.copyfile(initrd, swapped)
    with swapped.open("ab") as file:
        file.write(b"\0" * (-file.tell() % 4) + archive(tmp_path / "more", str(changed)))
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    before = sha256(scene.disk.path)

    ran = machine.boot_kernel(
        kernel,
        swapped,
        WORDS.format(image_id),
        [Attached(scene.disk.path)],
        tmp_path / "log",
    )

    assert ran.exit_code == 20, ran.text[-3000:]
    assert "payload.json" in ran.text
    assert "RK-REPORT" not in ran.text
    assert sha256(scene.disk.path) == before


def test_a_bit_flipped_in_the_initramfs_never_gets_to_a_disk(
    medium: Path, small_windows: DiskImage, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.iso"
    shutil.copyfile(medium, damaged)
    _, initrd, _ = extracted(medium, tmp_path / "iso")
    scenes.flip_byte(damaged, f"/{initrd.relative_to(tmp_path / 'iso')}")
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    before = sha256(scene.disk.path)

    ran = machine.boot(
        damaged, [Attached(scene.disk.path)], tmp_path / "log", until="Switch the computer off"
    )

    assert "The recovery system is damaged" in ran.text, ran.text[-3000:]
    assert "RK-REPORT" not in ran.text
    assert sha256(scene.disk.path) == before


def stick_with_room(medium: Path, target: Path) -> int:
    """The image on a larger stick with a FAT partition for reports; returns its offset."""
    shutil.copyfile(medium, target)
    with target.open("r+b") as file:
        file.truncate(target.stat().st_size + (64 << 20))
    table = ["-e", "-n", "4:0:+32M", "-t", "4:0700", "-c", "4:reports"]
    subprocess.run(["sgdisk", *table, target], check=True, capture_output=True)
    shown = subprocess.run(
        ["sgdisk", "-i", "4", target], check=True, capture_output=True, text=True
    )
    first = re.search(r"First sector: (\d+)", shown.stdout)
    assert first, shown.stdout
    offset = int(first[1]) * 512
    argv = ["mformat", "-i", f"{target}@@{offset}", "-T", "65536", "-h", "64", "-s", "32"]
    subprocess.run([*argv, "-v", "RK-REPORTS", "::"], check=True, capture_output=True)
    return offset


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_stick_with_room_keeps_the_report(
    firmware: str, medium: Path, small_windows: DiskImage, tmp_path: Path
) -> None:
    stick = tmp_path / "stick.img"
    offset = stick_with_room(medium, stick)
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")

    ran = machine.boot(
        stick, [Attached(scene.disk.path)], tmp_path / "log", on="stick", firmware=firmware
    )

    assert ran.exit_code == 0, ran.text[-3000:]
    argv = ["mcopy", "-n", "-i", f"{stick}@@{offset}", "::*.json", str(tmp_path)]
    subprocess.run(argv, check=True, capture_output=True)
    (kept,) = tmp_path.glob("*.json")
    document = json.loads(kept.read_text())
    assert document["schema"] == "recoverykit.report/1"
    assert document["installations"][0]["outcome"] == "applied"


def test_a_technician_reads_says_yes_and_switches_off(
    medium: Path, small_windows: DiskImage, tmp_path: Path
) -> None:
    scene = scenes.stage(small_windows, "broken", tmp_path / "disk.img")
    typed = [("What shall be done?", "y\n"), ("[y/n]", "y\n"), ("What shall be done?", "p\n")]

    ran = machine.boot(medium, [Attached(scene.disk.path)], tmp_path / "log", key="", answers=typed)

    assert ran.powered_off
    assert ran.exit_code == 0, ran.text[-3000:]
    assert "Take the stick out" in ran.text
    proof.repaired(scene)
