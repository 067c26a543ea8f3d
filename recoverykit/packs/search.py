"""The files of a target that fit a pattern. Reads folders, and only as many names as it must.

Links, junctions and other reparse points are neither followed nor found, but for files that
Windows compressed, which ntfs-3g shows as links. Names come in the order of their spelling.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.formats.hive import fold
from recoverykit.model import WindowsInstall
from recoverykit.packs import patterns
from recoverykit.packs.patterns import Pattern

MOST_NAMES = 50_000  # looked at for one pattern; DriverStore\\FileRepository has a few thousand
MOST_FILES = 2_000  # whose names fit


def find(install: WindowsInstall, pattern: Pattern) -> list[str]:
    """Paths of regular files, relative to the volume.

    Raises TargetRefusedError for a link on the way, RecoveryKitError for more names than it looks
    at, OSError.
    """
    search = _Search(install.mount)
    parts = pattern.path(install.folder)
    wild = next((at for at, part in enumerate(parts[:-1]) if patterns.is_wild(part)), None)
    if wild is None:
        folders: list[str] = ["/".join(parts[:-1])]
    else:
        inner = "/".join(parts[wild + 1 : -1])
        outer = search.fitting("/".join(parts[:wild]), parts[wild], folders=True)
        folders = [f"{found}/{inner}" if inner else found for found in outer]
    files = [path for folder in folders for path in search.fitting(folder, parts[-1])]
    if len(files) > MOST_FILES:
        raise RecoveryKitError(f"more than {MOST_FILES} names fit {pattern.text}")
    return files


class _Search:
    """Counts the names it was shown."""

    def __init__(self, mount: Path) -> None:
        self._mount = mount
        self._left = MOST_NAMES

    def fitting(self, folder: str, wanted: str, *, folders: bool = False) -> list[str]:
        """Files, or folders, of a folder whose names fit; none where there is no such folder."""
        found = installs.locate(self._mount, folder)
        if found is None or not (self._mount / found).is_dir():
            return []
        with os.scandir(self._mount / found) as entries:
            fitting = [
                f"{found}/{entry.name}" if found else entry.name
                for entry in self._counted(entries)
                if patterns.fits(entry.name, wanted) and _is_kind(entry, folders=folders)
            ]
        return sorted(fitting, key=lambda path: (fold(path), path))

    def _counted(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        for entry in entries:
            self._left -= 1
            if self._left < 0:
                raise RecoveryKitError(f"more than {MOST_NAMES} names would have to be looked at")
            yield entry


def _is_kind(entry: os.DirEntry[str], *, folders: bool) -> bool:
    if folders:
        return entry.is_dir(follow_symlinks=False)
    return entry.is_file(follow_symlinks=False) or (
        entry.is_symlink() and installs.is_packed(Path(entry.path))
    )
