"""Single files of the build host: read whole, written whole, errors that name them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signing.errors import KeyFileError, SigningError
from signing.sign_timestamp import TimestampError
from winpe import output
from winpe.errors import MediaUsageError, OutputError


def read(path: Path, limit: int) -> bytes:
    """Raises MediaUsageError."""
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as exc:
        raise MediaUsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    if len(content) > limit:
        raise MediaUsageError(f"{path} is larger than {limit:,} bytes")
    return content


def refuse_place(path: Path) -> None:
    """Raise OutputError where no file can be put."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise OutputError(f"{path}: the folder {path.parent} does not exist") from None
    except OSError as exc:
        raise OutputError(f"{path}: {exc.strerror}") from exc
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path} is a folder or a device, not a file")


def write(path: Path, content: bytes) -> None:
    """The file is there whole or as it was before. Raises OutputError."""
    try:
        with output.whole(path) as out:
            out.write(content)
    except OSError as exc:
        raise OutputError(f"{path} cannot be written: {exc.strerror or exc}") from exc


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors about the content of that file say so: they become MediaUsageError."""
    try:
        yield
    except (KeyFileError, TimestampError):  # those are about something else
        raise
    except SigningError as exc:
        raise MediaUsageError(f"{path}: {exc}", hint=exc.hint) from exc
