"""One file of the target, opened for reading, whether Windows compressed it or not.

ntfs-3g shows a file that CompactOS compressed as a link that leads nowhere, and does not open its
streams without a plug-in that Debian does not have. So such a file is read from the volume itself,
by the number of its MFT record, which is what ntfs-3g gives as inode number. Where the target is a
folder that somebody else has mounted there is no volume to read from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.evidence import reading
from recoverykit.formats import ntfs_volume, wof
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.formats.pe import Stream
from recoverykit.model import FileSystem, Volume, WindowsInstall

_REPARSE_POINT = 0xC0  # attribute type
_MAX_REPARSE = 16 << 10  # NTFS's own limit


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file, positioned at its beginning."""

    stream: Stream
    size: int  # of its contents
    modified: datetime
    links: int
    packed: str = ""  # "XPRESS4K", ...: compressed by CompactOS


@contextmanager
def opened(install: WindowsInstall, relative: str) -> Iterator[OpenFile]:
    """Open a file by its path on disk, as `installs.driver_path` or `locate` gave it.

    Raises OSError, TargetRefusedError for links and for what is no regular file, and FormatError
    for a compressed file whose record is damaged; reading its stream raises those as well.
    """
    folder, _, name = relative.rpartition("/")
    where = installs.on_disk(install.mount, folder) / name
    status = where.lstat()
    modified = reading.modified(status)
    if stat.S_ISLNK(status.st_mode):
        _refuse_links(install.volume, where, relative)
        with _volume(install.volume) as read:
            stream = _packed(read, status.st_ino)
            name = stream.packing.name
            yield OpenFile(stream, stream.size, modified, status.st_nlink, name)
        return
    if not stat.S_ISREG(status.st_mode):
        raise TargetRefusedError(f"{relative} is not a regular file.")
    with installs.on_disk(install.mount, relative).open("rb", buffering=0) as plain:
        yield OpenFile(plain, status.st_size, modified, status.st_nlink)


def _refuse_links(volume: Volume, where: Path, relative: str) -> None:
    """Return for what ntfs-3g could not read itself."""
    if not str(where.readlink()).startswith("unsupported reparse"):
        raise TargetRefusedError(f"{relative} is a link; it was not followed.")
    if volume.filesystem is not FileSystem.NTFS or volume.path.is_dir():
        raise TargetRefusedError(
            f"{relative} is compressed by Windows, which this mounted folder does not show.",
            hint="name the disk or volume instead of the folder",
        )


@contextmanager
def _volume(volume: Volume) -> Iterator[Read]:
    """The bytes of a volume. What was written to it is there: its cache is the kernel's."""
    handle = os.open(volume.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        whole = volume.size or os.lseek(handle, 0, os.SEEK_END) - volume.offset

        def read(offset: int, length: int) -> bytes:
            if not 0 <= offset < whole or length <= 0:
                return b""
            return os.pread(handle, min(length, whole - offset), volume.offset + offset)

        yield read
    finally:
        os.close(handle)


def _packed(read: Read, number: int) -> wof.Stream:
    """The contents of a compressed file by the number of its MFT record."""
    ntfs = NtfsVolume.open(read)
    reparse = ntfs_volume.stream(ntfs, number, _REPARSE_POINT)
    if reparse is None:
        raise FormatError("FILE record", number, "has no reparse point")
    packing = wof.packing(ntfs_volume.contents(ntfs, reparse, 0, _MAX_REPARSE))
    main = ntfs_volume.stream(ntfs, number)
    data = ntfs_volume.stream(ntfs, number, name=wof.STREAM)
    if main is None or data is None:
        raise FormatError("FILE record", number, f"has no stream {wof.STREAM}")

    def inside(offset: int, length: int) -> bytes:
        return ntfs_volume.contents(ntfs, data, offset, length)

    return wof.Stream(inside, data.size, main.size, packing)
