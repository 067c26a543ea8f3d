"""Hives of a mounted volume: read with their logs, changed in memory, saved step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import TargetRefusedError
from recoverykit.formats import hive, hive_edit
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_edit import Edited
from recoverykit.formats.hive_files import HiveFiles
from recoverykit.formats.hive_save import Step
from recoverykit.formats.regf_log import LOGS, Recovery
from recoverykit.host import ntfs_metadata
from recoverykit.model import RegistryChange

_COMPRESSED = 0x800  # FILE_ATTRIBUTE_COMPRESSED


def files(path: Path) -> HiveFiles:
    """A hive and its logs as they stand, under the names they have on disk. Raises OSError."""
    wanted = {(path.name + suffix).casefold() for suffix in LOGS}
    beside = sorted(one for one in path.parent.iterdir() if one.name.casefold() in wanted)
    logs = {log.name: log.read_bytes() for log in beside if log.is_file() and not log.is_symlink()}
    return HiveFiles(path.name, path.read_bytes(), logs)


def require_in_place(path: Path, found: HiveFiles) -> None:
    """Raises TargetRefusedError where a write of one sector is not one on the disk.

    Of a file that NTFS compresses, ntfs-3g writes 64 KiB anew for each; cut in between, what was
    never touched is gone as well. OSError.
    """
    for name in (found.name, *found.logs):
        attributes = ntfs_metadata.read(path.with_name(name)).attributes
        if attributes is not None and int.from_bytes(attributes, "big") & _COMPRESSED:
            raise TargetRefusedError(
                f"{path.with_name(name)} is compressed by NTFS and cannot be changed safely",
                hint="From a Windows recovery console: compact /u and the path of that file.",
            )


def load(path: Path) -> tuple[Hive, Recovery]:
    """A hive, made whole from its logs. Raises FormatError if they cannot; OSError."""
    return recovered(files(path))


def recovered(found: HiveFiles) -> tuple[Hive, Recovery]:
    """The same where the bytes were read already."""
    return hive.read(found.hive, sorted(found.logs.items()))


def changed(recovery: Recovery, changes: Sequence[RegistryChange], when: datetime) -> Edited:
    """The whole new hive. Raises FormatError if something is not as `before` says."""
    return hive_edit.edit(recovery.data, changes, sequence=recovery.sequence, when=when)


def write(folder: Path, steps: Iterable[Step], security: bytes | None) -> None:
    """Do the steps in a folder, each durable before the next. Raises OSError.

    `security` is the descriptor of a log that has to be made.
    """
    for step in steps:
        path = folder / step.file
        if step.remove:
            durable.shorten(path, 0)  # of a file without a name no cluster is to be freed
            durable.remove(path)
        elif step.writes and not path.exists():
            durable.write(path, b"".join(data for _, data in step.writes), security)
        elif step.writes:
            durable.patch(path, step.writes)
        elif step.size is not None and not path.exists():
            durable.write(path, b"", security)  # an empty log that somebody has deleted since
        if step.size is not None:
            durable.shorten(path, step.size)
