"""Every file of an NTFS volume as ntfs-3g shows it, from a read-only loop device.

Nothing of ours is involved, and nothing can be written: the image is attached read-only.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_VALUE = (1, 61)  # EPERM: the root has no DOS name; ENODATA: a file without one


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder, with everything a user or Windows could notice."""

    sha256: str  # "" for a folder; for a link its target
    size: int
    links: int
    modified: bytes  # FILETIMEs: creation and modification, big-endian; access is not kept
    security: bytes
    attributes: int
    dos_name: bytes
    streams: tuple[tuple[str, str], ...]  # alternate data streams: name, sha256


@contextmanager
def volume(image: Path, offset: int = 0, size: int = 0) -> Iterator[Path]:
    """The volume's root, mounted read-only."""
    where = [f"--offset={offset}"] + ([f"--sizelimit={size}"] if size else [])
    device = _run("losetup", "--find", "--show", "--read-only", *where, str(image)).strip()
    try:
        with TemporaryDirectory() as folder:
            _run("ntfs-3g", "-o", "ro,streams_interface=xattr", device, folder)
            try:
                yield Path(folder)
            finally:
                _run("umount", folder)
    finally:
        _detach(device)


def _detach(device: str) -> None:
    """The FUSE daemon may hold the device a moment longer than umount says."""
    deadline = time.monotonic() + 30
    while subprocess.run(["losetup", "--detach", device], check=False).returncode:
        assert time.monotonic() < deadline, f"{device} stays busy"
        time.sleep(0.02)


def snapshot(image: Path, offset: int = 0, size: int = 0) -> dict[str, Entry]:
    """Path -> entry, for every file and folder."""
    with volume(image, offset, size) as root:
        return dict(_entries(root))


def extract(image: Path, name: str, target: Path, offset: int = 0, size: int = 0) -> Path:
    """Copy one file out of the volume."""
    with volume(image, offset, size) as root:
        target.write_bytes((root / name).read_bytes())
    return target


def _entries(root: Path) -> Iterator[tuple[str, Entry]]:
    pending = [root]
    while pending:
        path = pending.pop()
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            pending += path.iterdir()
        yield str(path.relative_to(root)), _entry(path, status)


def _entry(path: Path, status: os.stat_result) -> Entry:
    return Entry(
        _content(path, status.st_mode),
        status.st_size if stat.S_ISREG(status.st_mode) else 0,
        status.st_nlink,
        _attribute(path, "system.ntfs_times_be")[:16],
        _attribute(path, "system.ntfs_acl"),
        int.from_bytes(_attribute(path, "system.ntfs_attrib_be"), "big"),
        _attribute(path, "system.ntfs_dos_name"),
        tuple(_streams(path)),
    )


def _streams(path: Path) -> Iterator[tuple[str, str]]:
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name.startswith("user."):
            yield name, hashlib.sha256(_attribute(path, name)).hexdigest()


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return str(path.readlink())
    if not stat.S_ISREG(mode):
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _attribute(path: Path, name: str) -> bytes:
    """Through libc with a large buffer: ntfs-3g fails small-buffer probes of long descriptors."""
    buffer = ctypes.create_string_buffer(0x10000)
    size = _LIBC.lgetxattr(os.fsencode(path), name.encode(), buffer, len(buffer))
    if size < 0:
        error = ctypes.get_errno()
        assert error in _NO_VALUE, f"{path}: {name}: {os.strerror(error)}"
        return b""
    return buffer.raw[:size]


def sha256(image: Path) -> str:
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout
