"""A folder of key files that comes into being whole, private and only once."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from signing.errors import KeyFileError


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int


def refuse_occupied(directory: Path) -> None:
    """Raise KeyFileError unless `make` can make that folder."""
    try:
        occupied = any(directory.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError as exc:
        raise _occupied(directory) from exc
    except OSError as exc:
        raise KeyFileError(f"{directory} cannot be read: {exc.strerror}") from exc
    if occupied:
        raise _occupied(directory)


def _occupied(directory: Path) -> KeyFileError:
    return KeyFileError(
        f"{directory} is not an empty folder: keys never overwrite anything",
        hint="name a folder that does not exist yet",
    )


def make(directory: Path, files: Mapping[str, File]) -> None:
    """Write all into a hidden neighbour, then rename it: one step, all or nothing.

    Raises KeyFileError.
    """
    target = Path(os.path.realpath(directory))
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))  # 0700
        for name, file in files.items():
            _create(staging / name, file)
        _sync(staging)
        # A folder cannot replace one that has something in it: the kernel refuses to overwrite.
        staging.replace(target)
        _sync(target.parent)
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _occupied(directory) from exc
        raise KeyFileError(f"cannot make keys in {directory}: {exc.strerror}") from exc
    finally:
        if staging is not None:  # already renamed when all went well
            shutil.rmtree(staging, ignore_errors=True)


def _create(path: Path, file: File) -> None:
    """The mode is there from the first byte: nobody can open the file before it is private."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
