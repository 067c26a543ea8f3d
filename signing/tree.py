"""A folder as the manifest sees it: every regular file and symbolic link below it.

Links are never followed, so nothing outside the folder is read. Anything that is neither file,
folder nor link (a device, a pipe) cannot be signed and is refused.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from signing import manifest
from signing.errors import TamperedError


class Tree:
    """The files below `root`, without the paths in `skip` (files or whole folders).

    With `one_filesystem` folders where something else is mounted are left out.
    """

    def __init__(
        self, root: Path, skip: Collection[str] = (), *, one_filesystem: bool = False
    ) -> None:
        self._root = root
        self._skip = frozenset(skip)
        self._device = root.stat().st_dev if one_filesystem else None
        self._links: dict[str, bool] = {}

    def names(self) -> Iterator[str]:
        """Raises TamperedError for a device or pipe, OSError for a folder that cannot be read."""
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(self._root / folder) as found:
                for item in found:
                    path = f"{folder}/{item.name}" if folder else item.name
                    if path in self._skip:
                        continue
                    if not item.is_dir(follow_symlinks=False):
                        yield self._file(path, item)
                    elif self._device in (None, item.stat(follow_symlinks=False).st_dev):
                        folders.append(path)

    def _file(self, path: str, item: os.DirEntry[str]) -> str:
        link = item.is_symlink()
        if not link and not item.is_file(follow_symlinks=False):
            raise TamperedError(path, "is neither a file nor a folder")
        self._links[path] = link
        return path

    def is_link(self, path: str) -> bool:
        return self._links[path] if path in self._links else self._full(path).is_symlink()

    def open(self, path: str) -> manifest.Stream:
        full = self._full(path)
        if self.is_link(path):
            return io.BytesIO(os.fsencode(full.readlink()))
        # O_NOFOLLOW: between listing and opening nobody may put a link in the file's place.
        handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise TamperedError(path, "is neither a file nor a folder")
        return io.FileIO(handle)

    def _full(self, path: str) -> Path:
        return self._root / path


def manifest_of(
    root: Path,
    image_id: str,
    made: datetime,
    facts: Mapping[str, str] | None = None,
    *,
    skip: Collection[str] = (),
    progress: manifest.Progress | None = None,
) -> manifest.Manifest:
    """The manifest of everything below `root` but `skip`. Raises SigningError and OSError."""
    return manifest.for_files(Tree(root, skip), image_id, made, facts, progress)
