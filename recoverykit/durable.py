"""The only ways recoverykit changes a target disk. Each returns when the change is durable.

One seam, so that a test can cut the power at every write there is. What a cut in the middle of an
operation can leave behind is said at each one; `repair.undo` knows how to go on from there.

Measured and read in ntfs-3g 2022.10.3: renaming over an existing file is *not* atomic there (link
the old one aside, unlink it, link the new one, unlink the stage), nor is a plain rename (link,
unlink). New files get a descriptor that lets everyone in. Hence: no file is replaced by another; a
file is created with the descriptor it shall have before it has content; a hive is patched in place,
which touches no folder and none of its metadata (but its length, the time of its last change, and
on ntfs-3g the archive attribute); and undo expects two names of one file.

Writing beyond the end of a file is worse: for each cluster ntfs-3g first writes the new size, and
four writes later where the cluster lies. After a cut in between, the file's end cannot be read any
more (EIO, until chkdsk cuts it off), neither a hive's nor a journal's. The size alone takes a
single write, and what is not yet filled reads as zeros: so a file gets its length before content.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import Metadata

_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_INSIDE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: Path, content: bytes, security: bytes | None = None) -> None:
    """Make a new file; refuses an existing one. Cut: no file, an empty one, or zeros in it."""
    _create(path, [content], len(content), security)


def copy(source: Path, target: Path, security: bytes | None = None) -> str:
    """Make `target` a new file with the bytes of `source`; return their sha256. Cut: as write."""
    digest = hashlib.sha256()
    with source.open("rb") as stream:
        chunks = _hashed(iter(lambda: stream.read(_CHUNK), b""), digest.update)
        _create(target, chunks, os.fstat(stream.fileno()).st_size, security)
    return digest.hexdigest()


def append(path: Path, content: bytes) -> None:
    """Add to an existing file. Cut: nothing, or zeros with or without a part of `content`."""
    descriptor = os.open(path, _INSIDE)
    try:
        size = os.fstat(descriptor).st_size
        _lengthen(descriptor, size + len(content))
        _write_at(descriptor, content, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def patch(path: Path, pieces: Sequence[tuple[int, bytes]]) -> None:
    """Write (offset, bytes) pieces into an existing file, which may become longer.

    Cut: any of their sectors, and any part of what the file grows by.
    """
    descriptor = os.open(path, _INSIDE)
    try:
        _lengthen(descriptor, max((at + len(content) for at, content in pieces), default=0))
        for at, content in pieces:
            _write_at(descriptor, content, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def overwrite(device: Path, pieces: Sequence[tuple[int, bytes]]) -> None:
    """Write (offset, bytes) pieces into a volume that nothing has mounted. Cut: any of them."""
    descriptor = os.open(device, _INSIDE)
    try:
        for at, content in pieces:
            _write_at(descriptor, content, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shorten(path: Path, size: int) -> None:
    """Cut a file to `size` bytes; refuses to make it longer. Cut: the old length or the new."""
    descriptor = os.open(path, _INSIDE)
    try:
        if size > os.fstat(descriptor).st_size:
            raise OSError(errno.EINVAL, "a file cannot be shortened to more than it is", str(path))
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Rename within the volume; refuses an existing target. Cut: either name, or both."""
    if os.path.lexists(target):
        raise FileExistsError(f"{target} exists")
    source.rename(target)
    _sync_folder(target.parent)
    _sync_folder(source.parent)


def remove(path: Path) -> None:
    """Remove a file. Cut: it is there or not."""
    path.unlink()
    _sync_folder(path.parent)


def make_folder(path: Path, security: bytes | None = None) -> bool:
    """Make a folder with a descriptor; False where the file system has none.

    Cut: no folder, or an empty one that still lets everyone in.
    """
    path.mkdir(mode=0o700)
    if security is not None:
        return protect(path, security)
    _sync_folder(path.parent)
    return False


def protect(folder: Path, security: bytes) -> bool:
    """Set an existing folder's descriptor; False where the file system has none."""
    done = ntfs_metadata.set_security(folder, security)
    _sync_folder(folder)
    _sync_folder(folder.parent)
    return done


def stamp(path: Path, metadata: Metadata, *, times: bool) -> None:
    """Give a file the descriptor, attributes and times (else only its creation time) of another.

    Cut: some of them are set.
    """
    ntfs_metadata.write(path, metadata, times=times)
    _sync_file(path)


def name_short(path: Path, name: bytes) -> None:
    """Set the 8.3 name. Raises FileExistsError when another file has it. Cut: set or not."""
    ntfs_metadata.set_short_name(path, name)
    _sync_file(path)
    _sync_folder(path.parent)


def _create(path: Path, chunks: Iterable[bytes], size: int, security: bytes | None) -> None:
    descriptor = os.open(path, _NEW, 0o600)
    try:
        if security is not None:
            ntfs_metadata.set_security(path, security)
        _lengthen(descriptor, size)
        for chunk in chunks:
            _write_all(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


def _lengthen(descriptor: int, size: int) -> None:
    """The size first, durable by itself; see above."""
    if size > os.fstat(descriptor).st_size:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)


def _hashed(chunks: Iterator[bytes], note: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        note(chunk)
        yield chunk


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _write_at(descriptor: int, content: bytes, at: int) -> None:
    left = memoryview(content)
    while left:
        count = os.pwrite(descriptor, left, at)
        left, at = left[count:], at + count


def _sync_file(path: Path) -> None:
    if path.is_symlink():  # a compressed file, as ntfs-3g shows it, cannot be opened
        _sync_folder(path.parent)
    else:
        _sync(path, os.O_RDONLY | os.O_NOFOLLOW)


def _sync_folder(path: Path) -> None:
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
