"""What has to be put right on an NTFS volume before it is mounted, after a cut in a run of ours.

    1. $MFTMirr, which ntfs-3g writes after $MFT and without which it refuses the volume
    2. the name of our folder, if that was cut while it was made: listed, and of no file
    3. the folders in which a file was being moved: their blocks, as the journal kept them
    4. names of new files beside a hive (its logs), cut while they were made

Each is written only where the volume shows that cut and nothing else has used it since; to do it
twice does no harm. All other repair is left to chkdsk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.formats import ntfs_folder, ntfs_volume
from recoverykit.formats.ntfs_folder import Pieces
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.formats.regf_log import LOGS
from recoverykit.host import blocks
from recoverykit.repair import folder_blocks, journal
from recoverykit.repair.actions import sha256
from recoverykit.repair.folder_blocks import Blocks
from recoverykit.repair.journal import Entries, Journal


def make_whole(device: Path, opened: Callable[[], AbstractContextManager[Path]]) -> tuple[str, ...]:
    """Put right what a cut left; sentences about it. `opened` mounts the volume read-only.

    Nothing else may have the volume open. Raises OSError; RecoveryKitError if it cannot be read.
    """
    said: list[str] = []
    with blocks.reader(device) as (read, _):
        mirror = ntfs_folder.mirror(read)
    if _write(device, mirror):
        said.append("The copy of the first records of $MFT was brought up to date.")
    with blocks.reader(device) as (read, _):
        home = ntfs_folder.without_dead(NtfsVolume.open(read), ntfs_volume.ROOT, journal.HOME)
    if _write(device, home):
        said.append(f"The name {journal.HOME}, which belonged to no folder, was removed.")
    with opened() as mount:
        found = list(_interrupted(mount))
        logs = list(_new_logs(mount))
    for kept in found:
        with blocks.reader(device) as (read, _):
            wanted = folder_blocks.back(read, kept)
        if _write(device, wanted):
            said.append("The folders of an interrupted move were put back.")
    for folder, name in logs:
        with blocks.reader(device) as (read, _):
            wanted = ntfs_folder.without_dead(NtfsVolume.open(read), folder, name)
        if _write(device, wanted):
            said.append(f"The name {name}, which belonged to no file, was removed.")
    return tuple(said)


def _write(device: Path, pieces: Pieces) -> bool:
    if pieces:
        durable.overwrite(device, sorted(pieces.items()))
    return bool(pieces)


def _interrupted(mount: Path) -> Iterator[Blocks]:
    """The blocks of the move in which each journal ends."""
    for found, entries in _open(mount):
        if entries.moving is not None:
            with suppress(OSError, FormatError):
                content = (found.folder / entries.moving.file).read_bytes()[: entries.moving.size]
                if sha256(content) == entries.moving.sha256:
                    yield folder_blocks.unpack(content)


def _new_logs(mount: Path) -> Iterator[tuple[int, str]]:
    """(MFT record of the folder, name) of the logs of every hive that was being changed."""
    for _, entries in _open(mount):
        for intent in (*entries.intents, *entries.undoing):
            if intent.is_hive:
                hive = mount / intent.target
                with suppress(OSError):
                    number = hive.parent.stat().st_ino
                    yield from ((number, hive.name + suffix) for suffix in LOGS)


def _open(mount: Path) -> Iterator[tuple[Journal, Entries]]:
    """Every journal that is neither committed nor closed; none where none can be relied on."""
    with suppress(OSError, RecoveryKitError):
        for found in journal.find(mount):
            with suppress(OSError, RecoveryKitError):
                entries = found.read()
                if not entries.undone and (entries.undo_begun or not entries.committed):
                    yield found, entries
