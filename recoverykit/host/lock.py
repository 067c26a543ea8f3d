"""One instance at a time: an advisory lock on a folder, held until the block ends.

`flock` on the mounted volume's root is kept by the kernel, on FUSE as well, and dies with its
process: a power cut leaves no stale lock behind, as a lock file would.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recoverykit.errors import TargetRefusedError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Raises TargetRefusedError when another process holds the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise TargetRefusedError(
                f"another recoverykit is working on {folder}; nothing was changed",
                hint="Wait until it has ended, then try again.",
            ) from exc
        yield
    finally:
        os.close(descriptor)
