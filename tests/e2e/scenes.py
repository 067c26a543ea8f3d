"""The disks that the end-to-end tests and the campaign work on, by name.

The base image is made once and cloned; each scene then breaks its clone in its own way.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from recoverykit.formats import bcd_device, bcd_edit
from recoverykit.host import disks
from tests.builders import boot_files, disk, faults, unclean, windows
from tests.builders.disk import DiskImage, Partition
from tests.independent import registry
from tests.independent.snapshot import Entry, extract, snapshot

SYSTEM = "Windows/System32/config/SYSTEM"
SERVICE, DRIVER = "acmeflt", "Windows/System32/drivers/acmeflt.sys"


@dataclass(frozen=True, slots=True)
class Scene:
    """A broken (or healthy) disk, with what it looked like before anybody touched it."""

    disk: DiskImage
    files: tuple[dict[str, Entry], ...]  # one snapshot per Windows volume
    values: tuple[dict[str, registry.Key], ...]  # one SYSTEM hive per Windows volume


def base(
    folder: Path, *, volumes: int = 1, scheme: str = "gpt", hives: windows.Hives | None = None
) -> DiskImage:
    """A healthy disk with `volumes` installations of Windows; None: the real hive if we have it."""
    made = disk.create(
        folder / f"base-{scheme}-{volumes}-{'built' if hives else 'real'}.img",
        scheme=scheme,
        volumes=volumes,
    )
    _write_boot_files(made)
    for partition in made.windows:
        with disk.mounted(made.path, partition) as root:
            windows.populate(root, computer=f"DESKTOP-{partition.number}", hives=hives)
    return made


def _write_boot_files(made: DiskImage) -> None:
    """What firmware needs to start each of them: without it, that would be what is wrong."""
    known = {volume.number: volume for volume in disks.survey(made.path).volumes}
    system = known[made.partitions[0].number]
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scene = boot_files.Scene(system, known[made.windows[0].number], folder, folder / "windows")
        store = scene.store()
        for number, other in enumerate(made.windows[1:], start=1):
            entry = boot_files.ENTRY[:-2] + f"{number}}}"
            store = bcd_edit.copied(store, boot_files.ENTRY, entry, f"Windows {number}")
            assert system.disk is not None
            device = bcd_device.partition(known[other.number].identity, system.disk.identity)
            for element in (0x1100_0001, 0x2100_0001):
                store = bcd_edit.with_element(store, entry, element, bcd_device.Device(device))
        boot_files.write_system(scene, store)
        if scene.uefi:
            disk.copy_tree(made.path, made.partitions[0], folder)
        else:
            with disk.mounted(made.path, made.partitions[0]) as root:
                shutil.copytree(folder, root, dirs_exist_ok=True)


_CHANNELS = "Windows/System32/drivers/CrowdStrike/C-00000291-00000000-"
FAULTY_CHANNEL = f"{_CHANNELS}00000032.sys"
_DAY = datetime(2024, 7, 19, tzinfo=UTC)
CHANNEL_FILES = {
    FAULTY_CHANNEL: (b"\xaa\xaa\xaa\xaa" * 900, _DAY.replace(hour=4, minute=9)),
    f"{_CHANNELS}00000033.sys": (b"\xaa\xaa\xaa\xab" * 900, _DAY.replace(hour=5, minute=27)),
}


@contextmanager
def opened(image: DiskImage, number: int = 0) -> Iterator[windows.Windows]:
    """One installation of the image, mounted for writing."""
    with disk.mounted(image.path, image.windows[number]) as root:
        yield windows.reopen(root)


def _crashing(image: DiskImage) -> None:
    with opened(image) as found:
        faults.boot_start_driver_crashes(found, SERVICE)


def _second_of_two(image: DiskImage) -> None:
    with opened(image, 1) as found:
        faults.boot_start_driver_crashes(found, SERVICE)


def _unclean(image: DiskImage) -> None:
    """Journal version 2.0, as a crash of Windows 8 or later leaves it."""
    _crashing(image)
    unclean.make_log_unclean(image.path, image.windows[0].offset, version=(2, 0))


def _unclean_before_8(image: DiskImage) -> None:
    _crashing(image)
    unclean.make_log_unclean(image.path, image.windows[0].offset, version=(1, 1))


def _filter(image: DiskImage) -> None:
    with opened(image) as found:
        faults.driver_in_class_filter(found, SERVICE)


def _channel_files(image: DiskImage) -> None:
    """The faulty channel file of July 2024 and the one after it; nothing else is wrong here, so
    without a pack nobody would touch it."""
    with opened(image) as found:
        for path, (content, when) in CHANNEL_FILES.items():
            file = found.root.parent / path
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
            os.utime(file, (when.timestamp(), when.timestamp()))


BREAK: dict[str, Callable[[DiskImage], None]] = {
    "broken": _crashing,
    "healthy": lambda _: None,
    "two": _second_of_two,
    "unclean": _unclean,
    "unclean-1.1": _unclean_before_8,
    "filter": _filter,
    "channel files": _channel_files,
}


def stage(base_image: DiskImage, name: str, target: Path) -> Scene:
    """Clone the base, break the clone, and look at it from outside."""
    image = disk.clone(base_image, target)
    BREAK[name](image)
    return Scene(
        image,
        tuple(files(image, partition) for partition in image.windows),
        tuple(values(image, partition) for partition in image.windows),
    )


def files(image: DiskImage, partition: Partition) -> dict[str, Entry]:
    return snapshot(image.path, partition.offset, partition.size)


def values(image: DiskImage, partition: Partition) -> dict[str, registry.Key]:
    copy = image.path.with_suffix(".hive")
    return registry.registry(extract(image.path, SYSTEM, copy, partition.offset, partition.size))


def flip_byte(iso: Path, name: str = "") -> Path:
    """Flip one bit of a file inside an ISO image, found through xorriso's block list."""
    name = name or _harmless_file(iso)
    listing = _xorriso(iso, "-find", name, "-exec", "report_lba", "--")
    found = re.search(r"File data lba:\s*\d+\s*,\s*(\d+)\s*,\s*\d+\s*,\s*(\d+)", listing)
    assert found, listing
    offset = int(found[1]) * 2048 + int(found[2]) // 2
    with iso.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    return iso


def _harmless_file(iso: Path) -> str:
    """A signed file on the medium that no boot loader reads."""
    listing = _xorriso(iso, "-find", "/", "-type", "f")
    names = [line.strip().strip("'") for line in listing.splitlines()]
    harmless = [
        name
        for name in names
        if name
        and not name.startswith(("/boot", "/EFI", "/efi", "/.disk"))
        and "manifest" not in name.lower()
    ]
    assert harmless, listing
    return harmless[0]


def _xorriso(iso: Path, *arguments: str) -> str:
    argv = ["xorriso", "-indev", str(iso), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
