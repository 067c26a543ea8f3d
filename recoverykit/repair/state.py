"""What stands on the disk: files by their hashes, and whether one can be moved and put back."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from recoverykit import installs
from recoverykit.formats.regf_log import LOGS
from recoverykit.host import ntfs_metadata
from recoverykit.model import FileState

_PART = r"[\w!#$%&'()@^`{}~-]"
_SHORT = re.compile(rf"{_PART}{{1,8}}(\.{_PART}{{1,3}})?", re.ASCII)  # an 8.3 name
_CHUNK = 1 << 20


def file_state(mount: Path, relative: str) -> FileState:
    """What a file is now; sha256 "" and size 0 where there is none. Raises OSError.

    Of a file that Windows compressed (WOF) it is that of what identifies it, and the size is 0.
    """
    path = mount / relative
    digest, size = hashlib.sha256(), 0
    if installs.is_packed(path):
        digest.update(ntfs_metadata.identity_of_packed(path))
        return FileState(relative, digest.hexdigest(), 0)
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return FileState(relative, "", 0)
    return FileState(relative, digest.hexdigest(), size)


def is_linked(path: Path) -> bool:
    """Whether a file has more hard links than its names in this folder.

    ntfs-3g counts a short name that differs from the long one as a link, and tells it only of a
    file without other links.
    """
    short = ntfs_metadata.read(path).short_name
    apart = short is not None and short.decode("utf-8", "replace").lower() != path.name.lower()
    return path.lstat().st_nlink > (2 if apart else 1)


def can_be_put_back(path: Path) -> bool:
    """Whether moving a file away and back restores it exactly, names included."""
    mode = path.lstat().st_mode
    return (stat.S_ISREG(mode) or installs.is_packed(path)) and not is_linked(path)


def keeps_short_name(path: Path) -> bool:
    """Whether a file that leaves its place gets its short name again when it comes back.

    It does not where ntfs-3g hides one; but a name that is 8.3 itself is its own short name.
    """
    return bool(_SHORT.fullmatch(path.name)) or not ntfs_metadata.hides_short_name(path)


def spellings(mount: Path, relative: str) -> list[str]:
    """A path, and the same with the short name of its file, where that is there and has one."""
    short = None
    if os.path.lexists(mount / relative):
        short = ntfs_metadata.read(mount / relative).short_name
    if not short:
        return [relative]
    return [relative, f"{relative.rpartition('/')[0]}/{short.decode('utf-8', 'replace')}"]


def logs(mount: Path, hive: str) -> list[str]:
    """Where a hive's logs lie, in their spelling on disk, present or not."""
    folder, _, name = hive.rpartition("/")
    present = {path.name.casefold(): path.name for path in (mount / folder).iterdir()}
    wanted = [name + suffix for suffix in LOGS]
    return [f"{folder}/{present.get(one.casefold(), one)}" for one in wanted]
