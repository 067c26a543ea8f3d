"""Which device did this system start from? The one whose ISO 9660 holds our image's own file.

The kernel command line names the image (`rk.image=`), and every image has a file that no other
has: `.disk/recoverykit-<image id>`. Only devices with an ISO 9660 volume descriptor at sector 16
(ECMA-119, 6.7.1) are mounted at all, read-only; disks of the computer are not touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recoverykit.host import syscalls

MOUNT_POINT = Path("/run/medium")
_DESCRIPTOR = 16 * 2048
_IDENTIFIER = b"\x01CD001\x01"
_VOLUME_ID = b"RECOVERYKIT"  # at byte 40 of the descriptor
_IMAGE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")


@dataclass(frozen=True, slots=True)
class BootMedium:
    """The medium this system came from, mounted read-only."""

    mount: Path
    device: Path
    devices: frozenset[str]  # kernel names of its disk and partitions: "sdb", "sdb1"


def find(image_id: str, sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> BootMedium | None:
    """The medium of this image, mounted; None when it is not there (yet)."""
    if not _IMAGE_ID.fullmatch(image_id):
        return None
    for name in candidates(sys):
        device = dev / name
        if is_ours(device) and _mount(device, image_id):
            return BootMedium(MOUNT_POINT, device, names_of(name, sys))
    return None


def release(mount: Path) -> None:
    """Let go of the medium: everything that runs lies in memory, and the stick may be pulled.

    While its whole disk is mounted no partition of it can be, one for reports for instance. What is
    still busy is let go of as soon as nobody uses it. Raises OSError.
    """
    syscalls.unmount(mount, syscalls.MNT_DETACH)


def candidates(sys: Path) -> Iterator[str]:
    """Block devices that hold something, whole disks before their partitions."""
    names = sorted(entry.name for entry in (sys / "class/block").iterdir())
    disks = [name for name in names if not (sys / "class/block" / name / "partition").exists()]
    partitions = [name for name in names if name not in disks]
    for name in (*disks, *partitions):
        if not name.startswith(("ram", "zram", "loop")) and _size(sys, name):
            yield name


def _size(sys: Path, name: str) -> int:
    try:
        return int((sys / "class/block" / name / "size").read_text())
    except (OSError, ValueError):
        return 0  # gone meanwhile


def is_ours(device: Path) -> bool:
    """Whether the device starts with one of our ISO 9660 volumes."""
    try:
        with device.open("rb", buffering=0) as stream:
            stream.seek(_DESCRIPTOR)
            head = stream.read(2048)
    except OSError:
        return False  # an empty drive, or a disk that cannot be read: not where we came from
    return head[:7] == _IDENTIFIER and head[40:72].rstrip() == _VOLUME_ID


def _mount(device: Path, image_id: str) -> bool:
    MOUNT_POINT.mkdir(parents=True, exist_ok=True)
    flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    try:
        syscalls.mount(os.fspath(device), MOUNT_POINT, "iso9660", flags)
    except OSError:
        return False
    if (MOUNT_POINT / f".disk/recoverykit-{image_id}").is_file():
        return True
    syscalls.unmount(MOUNT_POINT)  # another recoverykit medium is plugged in as well
    return False


def names_of(name: str, sys: Path) -> frozenset[str]:
    """The disk a device belongs to, and all of that disk's partitions."""
    place = (sys / "class/block" / name).resolve()
    disk = place.parent if (place / "partition").exists() else place
    parts = [entry.name for entry in disk.iterdir() if (entry / "partition").exists()]
    return frozenset({disk.name, *parts})
