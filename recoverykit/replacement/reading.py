"""Whole files of the target into memory, and how much of a search may be spent."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from recoverykit import installs
from recoverykit.errors import TargetRefusedError
from recoverykit.evidence import files
from recoverykit.model import Gap, Source, WindowsInstall

MAX_FILE = 64 << 20  # bytes; the largest display drivers have about as much
MAX_KEPT = 256 << 20  # of all candidates together
MAX_READ = 1 << 30
MAX_OPENED = 64  # candidates
MAX_FOLDERS = 40_000  # listed; a component store has 20,000
MAX_ENTRIES = 100_000  # of one folder
MAX_GAPS = 20

_STEP = 1 << 20


class SpentError(TargetRefusedError):
    """The search has used up its time, or what it may read."""


@dataclass(slots=True)
class Bounds:
    """What is left of one search, and what was not looked at."""

    seconds: float
    gaps: list[Gap] = field(default_factory=list)
    opened: int = 0
    folders: int = 0
    read: int = 0
    _until: float = 0.0
    _told: bool = False

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.seconds

    def spent(self, where: str, *, reading: bool = False) -> bool:
        """Whether to stop; the first time, the reason becomes a gap.

        `reading`: amid a file, which counts already.
        """
        why = self._why(reading=reading)
        if why and not self._told:
            self._told = True
            self.gap(where, f"the search for further copies ended here: {why}")
        return bool(why)

    def gap(self, where: str, reason: str) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(Gap(Source(where), reason))

    def _why(self, *, reading: bool) -> str:
        if time.monotonic() >= self._until:
            return f"{self.seconds:.0f} s have passed"
        if self.read >= MAX_READ:
            return f"{MAX_READ >> 20} MiB were read"
        if self.opened >= MAX_OPENED and not reading:
            return f"{MAX_OPENED} files were judged"
        if self.folders >= MAX_FOLDERS and not reading:
            return f"{MAX_FOLDERS} folders were listed"
        return ""


def located(root: WindowsInstall, path: str) -> str | None:
    """Where a file lies as it is spelled on disk, whatever it is; None where there is none.

    `installs.locate` refuses links, and ntfs-3g shows a compressed file as one. Raises OSError, and
    TargetRefusedError for a folder behind a link.
    """
    parent, _, name = path.rpartition("/")
    folder = installs.locate(root.mount, parent)
    if folder is None:
        return None
    with os.scandir(root.mount / folder) as entries:
        spelled = sorted(item.name for item in entries if item.name.casefold() == name.casefold())
    found = name if name in spelled else next(iter(spelled), None)
    return None if found is None else f"{folder}/{found}".lstrip("/")


def whole(root: WindowsInstall, path: str, bounds: Bounds) -> bytes:
    """All bytes of a file, whether Windows compressed it or not.

    Raises OSError, FormatError, TargetRefusedError: for links, what is no file, what is too large,
    and as SpentError when the time is over.
    """
    with files.opened(root, path) as file:
        if file.size > MAX_FILE:
            raise TargetRefusedError(
                f"it has {file.size >> 20} MiB, more than the {MAX_FILE >> 20} that are read."
            )
        parts: list[bytes] = []
        left = MAX_FILE + 1  # a file that grows meanwhile is not read for ever
        while left > 0 and (part := file.stream.read(min(left, _STEP))):
            parts.append(part)
            left -= len(part)
            bounds.read += len(part)
            if bounds.spent(path, reading=True):
                raise SpentError(f"{path} was not read to its end.")
        return b"".join(parts)
