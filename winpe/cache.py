"""The builder's cache: folders that are either complete or not there.

A folder is named after everything that determines its content, filled under another name and
renamed at the end, so a build that was killed never leaves half a folder that looks whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from winpe.errors import DiskFullError, MediaError, OutputError

_KEPT = 2  # folders of one kind that stay: the newest, and the one before it


def default() -> Path:
    """Where the XDG base directory specification wants caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "recoverykit"


def key(*parts: str | bytes) -> str:
    """A short name for the content that these parts determine."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:20]


def folder(cache: Path, kind: str, name: str, fill: Callable[[Path], None]) -> Path:
    """The cached folder of this kind and name; `fill` makes it when it is not there yet."""
    home = cache / kind
    ready = home / name
    if ready.is_dir():
        os.utime(ready)  # the newest ones are kept
        return ready
    home.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    try:
        fill(work)
        work.chmod(0o755)
        work.replace(ready)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    _forget_old(home)
    return ready


def _forget_old(home: Path) -> None:
    ready = [entry for entry in home.iterdir() if not entry.name.startswith(".")]
    for old in sorted(ready, key=lambda entry: entry.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One build at a time uses a cache; a second waits for the first."""
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what the host says about a folder into a sentence."""
    try:
        yield
    except MediaError:
        raise
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space (a build needs about 1 GB of cache), or use --cache DIR"
            raise DiskFullError(f"no space left on the disk of {place}", hint=hint) from exc
        where = exc.filename or place
        raise OutputError(f"{where}: {exc.strerror or exc}") from exc
