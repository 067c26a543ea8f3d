"""The journal of a transaction: `<volume>/RecoveryKit/<id>/journal.jsonl`, JSON lines, append-only.

`journal_lines` says what the lines are, and when a journal is refused.

Beside it: `NNNN.before` (a copy of what was changed, or the sectors that were patched, before and
after), `quarantine/` (files moved away, under their names), `plan.json`, `report.json`, and
`undo.cmd` with `undo.reg` (see `fallback`). The journal of a transaction that was taken back ends
with the line "undone"; where `undo.cmd` did it, it was renamed to `journal.undone`. Paths in a
journal are relative to the volume; one that would lead out of it, or through a link, refuses it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import RecoveryKitError, TargetRefusedError
from recoverykit.host import ntfs_metadata
from recoverykit.model import TransactionInfo
from recoverykit.repair import journal_lines
from recoverykit.repair.journal_lines import MAX_SIZE, VERSION, Entries
from recoverykit.repair.target_path import stands

HOME = "RecoveryKit"
QUARANTINE, STAGING = "quarantine", "staging"
OPEN, CLOSED = "journal.jsonl", "journal.undone"
RESERVE = "reserve"  # room for what taking back has to say, on a volume that has filled up since

_RESERVED = 128 << 10
_FULL = 24 << 20  # no change is begun beyond it: what is left is for taking back what was
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Journal:
    """A transaction's folder. Holds nothing in memory: the disk is asked anew each time."""

    mount: Path
    id: str

    @property
    def folder(self) -> Path:
        return self.mount / HOME / self.id

    @property
    def relative(self) -> str:
        return f"{HOME}/{self.id}"

    @property
    def closed(self) -> bool:
        """Whether it was taken back. Raises as `read` does."""
        return self.ended(self.read())

    def ended(self, entries: Entries) -> bool:
        """Whether it was taken back, by what it says. Raises OSError."""
        # While Windows or ntfs-3g renames, both names may stand: the new one says it was begun.
        return entries.undone or stands(self.folder / CLOSED)

    def append(self, event: str, **fields: object) -> None:
        """Say something durably. Raises OSError; RecoveryKitError for more than a journal holds."""
        entries = self.read()
        line = journal_lines.line(entries.last_chain, {"event": event, **fields})
        path = self.folder / OPEN
        if event == "intent" and path.stat().st_size + len(line) > _FULL:
            raise RecoveryKitError(
                f"one repair cannot keep more than {_FULL >> 20} MiB of changes in its journal",
                hint="Do it in parts.",
            )
        durable.append(path, b"\n" + line if entries.torn else line)

    def read(self) -> Entries:
        """Raises FormatError for a journal that was altered; OSError where it cannot be read."""
        return journal_lines.read(self.folder / (CLOSED if stands(self.folder / CLOSED) else OPEN))

    def make_room(self) -> None:
        """Give the reserve back where the volume is nearly full. Raises OSError."""
        status = os.statvfs(self.mount)
        reserve = self.folder / RESERVE
        if status.f_bavail * status.f_frsize < 4 * _RESERVED and _is_file(reserve):
            durable.remove(reserve)

    def close_as_undone(self) -> None:
        """By a line: a renaming that is cut leaves more than one state behind."""
        self.append("undone")


# --- making and finding -------------------------------------------------------------------


def create(mount: Path, identity: str, begin: Mapping[str, object]) -> Journal:
    """A new transaction folder, protected before anything is in it, and its first line.

    Raises TargetRefusedError for a RecoveryKit folder that is not ours, OSError from the disk.
    """
    protected = _home(mount)
    journal = Journal(mount, identity)
    durable.make_folder(journal.folder, ntfs_metadata.PRIVATE_FOLDER)
    for name in (QUARANTINE, STAGING):
        durable.make_folder(journal.folder / name, ntfs_metadata.PRIVATE_FOLDER)
    durable.write(journal.folder / RESERVE, bytes(_RESERVED), ntfs_metadata.PRIVATE_FILE)
    fields = {"event": "begin", "version": VERSION, "id": identity, "protected": protected, **begin}
    durable.write(journal.folder / OPEN, journal_lines.line("", fields), ntfs_metadata.PRIVATE_FILE)
    return journal


def _home(mount: Path) -> bool:
    """Make or check the RecoveryKit folder; False where the file system protects nothing."""
    home = mount / HOME
    if not stands(home):
        return durable.make_folder(home, ntfs_metadata.PRIVATE_FOLDER)
    if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
        # Empty: perhaps of a run that was cut before it could protect it. Nothing is planted in it.
        return durable.protect(home, ntfs_metadata.PRIVATE_FOLDER)
    require_ours(home)
    return ntfs_metadata.security(home) is not None


def require_ours(folder: Path) -> None:
    """Raises TargetRefusedError if others than SYSTEM and Administrators can fill a folder."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise TargetRefusedError(f"{folder} is a link or a file, not a folder of recoverykit")
    descriptor = ntfs_metadata.security(folder)
    if descriptor is not None and not ntfs_metadata.is_private(descriptor):
        raise TargetRefusedError(
            f"{folder} belongs to, or can be written by, others than SYSTEM and Administrators",
            hint="It was not made by recoverykit. Look into it, then rename it and try again.",
        )


def find(mount: Path) -> tuple[Journal, ...]:
    """Every transaction on a volume, oldest first; a folder whose first line was never written
    is none, nor is one whose journal has no file behind its name: all that a cut while it was made
    can leave. Raises OSError and TargetRefusedError (a folder that is not ours)."""
    home = mount / HOME
    if not stands(home):
        return ()
    if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
        return ()
    require_ours(home)
    found = [
        Journal(mount, path.name) for path in sorted(home.iterdir()) if _ID.fullmatch(path.name)
    ]
    return tuple(journal for journal in found if _begun(journal))


def _begun(journal: Journal) -> bool:
    """A folder that a cut left unprotected holds no journal yet; it is passed over."""
    for path in (journal.folder / OPEN, journal.folder / CLOSED):
        if _is_file(path) and _has_line(path):
            require_ours(journal.folder)
            return True
    return False


def _is_file(path: Path) -> bool:
    """Also False where a folder lists the name, and ntfs-3g finds no file for it (EIO)."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _has_line(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"\n" in stream.read(MAX_SIZE)


def info(journal: Journal) -> TransactionInfo:
    """One line of the history. Raises FormatError, OSError."""
    entries = journal.read()
    started = entries.begin.get("started")
    if journal.ended(entries):
        state = "undone"
    elif entries.committed and not entries.undo_begun:
        state = "committed"
    else:
        state = "abandoned"
    return TransactionInfo(
        id=journal.id,
        state=state,
        started=datetime.fromisoformat(started) if isinstance(started, str) else None,
        summary=str(entries.begin.get("summary", "")),
        folder=journal.relative,
        changed=tuple(intent.target for intent in entries.intents),
    )
