"""Real NTFS volumes through ntfs-3g, with what only NTFS has set on their files."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import Metadata
from tests.repair import target

# Owner TrustedInstaller, as Windows' own hives and drivers have it; long enough for the EIO trap.
_INSTALLER = (
    struct.pack("<BB", 1, 6)
    + b"\0\0\0\0\0\5"
    + struct.pack("<6I", 80, 956008885, 341852264, 1831038044, 1853292631, 2271478464)
)
_USERS = struct.pack("<BB", 1, 2) + b"\0\0\0\0\0\5" + struct.pack("<2I", 32, 545)
_SYSTEM = struct.pack("<BB", 1, 1) + b"\0\0\0\0\0\5" + struct.pack("<I", 18)


def descriptor(*sids: bytes) -> bytes:
    """A self-relative descriptor that lets each SID in; the first one is the owner."""
    aces = b"".join(struct.pack("<BBHI", 0, 0, 8 + len(sid), 0x001200A9) + sid for sid in sids)
    dacl = struct.pack("<BBHHH", 2, 0, 8 + len(aces), len(sids), 0) + aces
    owner = sids[0]
    head = struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 20 + len(owner), 0, 20 + 2 * len(owner))
    return head + owner + owner + dacl


HIVE_SECURITY = descriptor(_SYSTEM, _INSTALLER, _USERS)
DRIVER_SECURITY = descriptor(_INSTALLER, _SYSTEM, _USERS, _INSTALLER, _USERS)
CREATED = 0x01D6_0000_0000_0000


@dataclass(frozen=True, slots=True)
class Mounted:
    path: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End the file system in the middle of whatever it does: the nearest to a pulled plug."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def make(image: Path, size: int = 24 << 20) -> None:
    with image.open("wb") as stream:
        stream.truncate(size)
    subprocess.run(["mkntfs", "-F", "-Q", "-q", image], check=True, capture_output=True)
    with mounted(image) as volume:
        target.build(volume.path)
        for folder in ("config", "drivers"):  # folders so large that their index has own blocks
            for number in range(40):
                name = f"bystander with a long name {number}"
                (volume.path / "Windows/System32" / folder / name).touch()
        dress(volume.path)


def dress(mount: Path) -> None:
    times = struct.pack(">4Q", CREATED, CREATED + 10**12, CREATED + 10**13, 0)
    hive, driver = mount / target.SYSTEM, mount / target.DRIVER
    hidden_system, read_only = b"\0\0\0\x26", b"\0\0\0\x21"
    ntfs_metadata.write(hive, Metadata(HIVE_SECURITY, hidden_system, times), times=True)
    ntfs_metadata.write(driver, Metadata(DRIVER_SECURITY, read_only, times), times=True)
    for path in (*hive.parent.glob("SYSTEM.LOG*"), driver.parent / "good.sys"):
        ntfs_metadata.write(path, Metadata(HIVE_SECURITY), times=False)
    ntfs_metadata.set_short_name(hive, b"SYSTEM")
    ntfs_metadata.set_short_name(driver, b"ACMEFI~1.SYS")


@contextmanager
def mounted(image: Path, more: str = "", *, under: Sequence[str] = ()) -> Iterator[Mounted]:
    """Mount an image by a process of our own, in the foreground, so that it can be killed.

    `under`: a command that runs it, such as strace; then it is that which would be killed.
    """
    folder = image.with_name(f"{image.name}.mnt")
    folder.mkdir(exist_ok=True)
    options = f"norecover,no_detach,streams_interface=none{more}"
    command: list[str | Path] = [*under, "ntfs-3g", "-o", options, image, folder]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        _wait(folder, process)
        yield Mounted(folder, process)
    finally:
        subprocess.run(["umount", "-l", folder], check=False, capture_output=True)
        process.communicate(timeout=20)


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2000):
        if folder.is_mount():
            return
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1].decode())
        time.sleep(0.002)
    raise RuntimeError(f"{folder} was not mounted")
