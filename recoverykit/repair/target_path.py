"""Files that a plan or a journal names: paths that stay on the volume, and lead through no link."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import TargetRefusedError

FORBIDDEN = re.compile(r'[\x00-\x1f\\:*?"<>|]')


def stands(path: Path) -> bool:
    """Whether anything has this name; unlike `os.path.lexists`, a failing disk is an error."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def locate(mount: Path, relative: str) -> Path:
    """The file a journal or plan names. Raises TargetRefusedError if it could be outside.

    Every folder on the way must be a folder, not a link (ntfs-3g shows reparse points as links).
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") or FORBIDDEN.search(part) for part in parts):
        raise TargetRefusedError(f"the path {relative!r} does not stay on the volume")
    path = mount
    for part in parts[:-1]:
        path /= part
        if stands(path) and not stat.S_ISDIR(path.lstat().st_mode):
            raise TargetRefusedError(f"{path} is a link or a file where a folder is expected")
    path /= parts[-1]
    if stands(path) and not (stat.S_ISREG(path.lstat().st_mode) or installs.is_packed(path)):
        raise TargetRefusedError(f"{path} is a link or a folder where a file is expected")
    return path
