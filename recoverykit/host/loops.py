"""A volume as a block device: itself, or a loop device over its part of an image or disk.

ntfs-3g gets block devices only: the kernel then mounts it as `fuseblk`, whose unmount waits until
everything was written, and refuses a second mount. Source: losetup(8).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recoverykit.errors import TargetRefusedError
from recoverykit.host import process
from recoverykit.host.image import is_read_only
from recoverykit.model import Volume

_SYS = Path("/sys/block")
_CLOSING = 10.0  # seconds others may take to let go of a device


@contextmanager
def device(volume: Volume, *, writable: bool = False) -> Iterator[Path]:
    """Yield a block device holding exactly this volume; detach it afterwards, come what may.

    Raises TargetRefusedError when `writable` is asked of a read-only image or device.
    """
    if writable:
        refuse_read_only(volume)
    if volume.path.is_block_device() and not volume.offset:
        yield volume.path
        return
    loop = _attach(volume, writable=writable)
    try:
        yield loop
    finally:
        _detach(loop, volume.path.resolve())


def refuse_read_only(volume: Volume) -> None:
    """Raise TargetRefusedError where writing cannot or must not happen."""
    locked = volume.disk is not None and volume.disk.read_only
    if locked or (volume.path.is_file() and is_read_only(volume.path)):
        raise TargetRefusedError(
            f"{volume.name} is read-only.", hint="check the file's permissions or the disk's lock"
        )


def _attach(volume: Volume, *, writable: bool) -> Path:
    """`--read-only` opens the image read-only: no byte of it can change, whatever mounts it."""
    argv = ["losetup", "--find", "--show", "--offset", str(volume.offset)]
    argv += ["--sizelimit", str(volume.size)] if volume.size else []
    argv += [] if writable else ["--read-only"]
    done = process.run([*argv, str(volume.path.resolve())])
    if done.returncode:
        raise TargetRefusedError(f"{volume.name} cannot be attached: {done.complaint}.")
    return Path(done.stdout.strip())


def _detach(loop: Path, image: Path) -> None:
    done = process.run(["losetup", "--detach", loop])
    if done.returncode:
        raise TargetRefusedError(
            f"{loop} could not be detached: {done.complaint}.",
            hint=f"close what uses it, then: losetup -d {loop}",
        )
    # While somebody else looks at the device (another losetup, a disk prober), the kernel puts the
    # detaching off to their last close and says nothing.
    deadline = time.monotonic() + _CLOSING
    while _backing(loop) == str(image) and time.monotonic() < deadline:
        time.sleep(0.01)


def _backing(loop: Path) -> str:
    """The file behind a loop device, "" when it is free."""
    try:
        return (_SYS / loop.name / "loop/backing_file").read_text().rstrip("\n")
    except OSError:
        return ""
