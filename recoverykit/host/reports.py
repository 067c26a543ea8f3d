"""Leave the report on the medium we booted from, where its owner has made room for it.

An image written to a stick is read-only by nature (ISO 9660). A partition beside it that holds a
FAT file system labelled RK-REPORTS is taken as an invitation; nothing else is ever written to. The
label stands in the boot sector's extended BPB (Microsoft FAT specification, section 3.1-3.3).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from recoverykit.host import syscalls

LABEL = b"RK-REPORTS"
MOUNT_POINT = Path("/run/reports")
_LABELS_AT = (43, 71)  # FAT12/16, FAT32
_FLAGS = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def save(devices: Collection[str], files: dict[str, bytes], dev: Path = Path("/dev")) -> str:
    """Write `files` (name -> content) to the reports partition among `devices`.

    Returns the device it went to, "" when there is no such partition. Raises OSError when there is
    one and it cannot be written.
    """
    for name in sorted(devices):
        if invites(dev / name):
            _write(dev / name, files)
            return f"/dev/{name}"
    return ""


def invites(device: Path) -> bool:
    """Whether the device holds a FAT file system with our label."""
    try:
        with device.open("rb", buffering=0) as stream:
            sector = stream.read(512)
    except OSError:
        return False
    labels = {sector[at : at + 11].rstrip() for at in _LABELS_AT}
    return sector[510:512] == b"\x55\xaa" and LABEL in labels


def _write(device: Path, files: dict[str, bytes]) -> None:
    MOUNT_POINT.mkdir(parents=True, exist_ok=True)
    syscalls.mount(os.fspath(device), MOUNT_POINT, "vfat", _FLAGS)
    try:
        for name, content in files.items():
            partial = MOUNT_POINT / f"{name}.part"
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(MOUNT_POINT / name)
        os.sync()  # FAT has no directory fsync of its own
    finally:
        with suppress(OSError):
            syscalls.unmount(MOUNT_POINT)
