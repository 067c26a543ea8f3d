"""A stick, opened for us alone, past the page cache.

Sources: open(2) (O_EXCL on a block device fails with EBUSY while it is mounted or held; O_DIRECT
wants buffers, offsets and lengths in whole sectors), linux/fs.h for the ioctls. Nobody's udev is
told anything: the kernel announces the new partitions itself when the table is read again.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from winpe.errors import MediaUsageError
from winpe.usb_errors import DeviceRefusedError, StickError

SECTOR = 512
BLOCK = 4 << 20  # bytes in one write: what sticks erase at a time, or a multiple of it
_BLKRRPART, _BLKFLSBUF, _BLKROGET = 0x125F, 0x1261, 0x125E
_BLKGETSIZE64 = 0x8008_1272
_WHY = {
    errno.EBUSY: ("is in use by a program or a mount", "close what uses it, and try again"),
    errno.EROFS: ("is write-protected", "slide its lock, or take another stick"),
    errno.EACCES: ("may not be written to by you", "run it with sudo, or join the group `disk`"),
    errno.EPERM: ("may not be written to by you", "run it with sudo, or join the group `disk`"),
    errno.ENOMEDIUM: ("has no medium in it", "put the card or stick in"),
    errno.ENOENT: ("does not exist", "`build_media.py usb` lists the sticks"),
    errno.ENXIO: ("is gone", "plug it in again"),
}


@dataclass(frozen=True, slots=True)
class Device:
    """An opened block device. Offsets and lengths are in bytes, whole sectors."""

    path: Path
    descriptor: int
    size: int
    number: str  # "8:16"

    def write(self, data: memoryview, offset: int) -> None:
        """All of `data`, which lies on a page boundary. Raises StickError."""
        done = 0
        while done < len(data):
            try:
                done += os.pwrite(self.descriptor, data[done:], offset + done)
            except OSError as exc:
                raise self._failed("written", offset + done, exc) from exc

    def read(self, into: memoryview, offset: int) -> None:
        """Fill `into`, which lies on a page boundary. Raises StickError."""
        done = 0
        while done < len(into):
            try:
                count = os.preadv(self.descriptor, [into[done:]], offset + done)
            except OSError as exc:
                raise self._failed("read back", offset + done, exc) from exc
            if not count:
                ended = OSError(errno.EIO, "the device ends here")
                raise self._failed("read back", offset + done, ended)
            done += count

    def put(self, content: bytes, offset: int) -> None:
        """Write bytes of any origin. Raises StickError."""
        with buffer(len(content)) as copy:
            copy[:] = content
            self.write(copy, offset)

    def get(self, size: int, offset: int) -> bytes:
        """Raises StickError."""
        with buffer(size) as copy:
            self.read(copy, offset)
            return bytes(copy)

    def flush(self) -> None:
        """Wait until the device says that everything is on it. Raises StickError."""
        try:
            os.fsync(self.descriptor)
        except OSError as exc:
            raise StickError(f"{self.path} lost what was written: {exc.strerror}") from exc
        with suppress(OSError):  # root's alone; reads past the page cache do not depend on it
            fcntl.ioctl(self.descriptor, _BLKFLSBUF, 0)

    def announce(self) -> bool:
        """Let the kernel read the partition table again; False where only root may."""
        try:
            fcntl.ioctl(self.descriptor, _BLKRRPART, 0)
        except OSError:
            return False
        return True

    def _failed(self, done: str, offset: int, exc: OSError) -> StickError:
        return StickError(
            f"{self.path} cannot be {done} at byte {offset:,}: {exc.strerror}",
            hint="it was pulled out, or it is worn: take another one",
        )


@contextmanager
def opened(path: Path) -> Iterator[Device]:
    """Raises DeviceRefusedError where somebody else has it or nobody may write to it."""
    flags = os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC
    try:
        # Not O_EXCL alone: without O_CREAT it has its meaning for block devices only.
        descriptor = os.open(path, flags)
    except OSError as exc:
        why, hint = _WHY.get(exc.errno or 0, (f"cannot be opened: {exc.strerror}", ""))
        raise DeviceRefusedError(f"{path} {why}", hint=hint) from exc
    try:
        yield _described(path, descriptor)
    finally:
        os.close(descriptor)


def _described(path: Path, descriptor: int) -> Device:
    about = os.fstat(descriptor)
    if not stat.S_ISBLK(about.st_mode):
        raise MediaUsageError(f"{path} is not a disk, but a file or a folder")
    locked = struct.unpack("i", fcntl.ioctl(descriptor, _BLKROGET, bytes(4)))[0]
    if locked:
        why, hint = _WHY[errno.EROFS]
        raise DeviceRefusedError(f"{path} {why}", hint=hint)
    (size,) = struct.unpack("Q", fcntl.ioctl(descriptor, _BLKGETSIZE64, bytes(8)))
    number = f"{os.major(about.st_rdev)}:{os.minor(about.st_rdev)}"
    return Device(path, descriptor, size, number)


@contextmanager
def buffer(size: int) -> Iterator[memoryview]:
    """Memory on a page boundary, as O_DIRECT wants it."""
    memory = mmap.mmap(-1, max(size, SECTOR))
    view = memoryview(memory)[:size]
    try:
        yield view
    finally:
        view.release()
        with suppress(BufferError):  # an error on its way up still looks at a part of it
            memory.close()
