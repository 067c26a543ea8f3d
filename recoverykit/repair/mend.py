"""What has to be put right on an NTFS volume before it is mounted, after a cut in a run of ours.

    1. $MFTMirr, which ntfs-3g writes after $MFT and without which it refuses the volume
    2. the name of our folder, if that was cut while it was made: listed, and of no file
    3. the folders in which a file was being moved: their blocks, as the journal kept them
    4. names of new files beside a hive (its logs), cut while they were made
    5. before all that: MFT records and index blocks of which some sectors are a write behind, on
       the way to our folder and to the files that a journal names; and clusters of theirs that a
       shortening which was cut has freed already

Each is written only where the volume shows that cut and nothing else has used it since; to do it
twice does no harm. All other repair is left to chkdsk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.formats import ntfs_folder, ntfs_volume
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_folder import Pieces
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.formats.regf_log import LOGS
from recoverykit.host import blocks
from recoverykit.repair import folder_blocks, journal
from recoverykit.repair.actions import sha256
from recoverykit.repair.folder_blocks import Blocks
from recoverykit.repair.journal import Journal
from recoverykit.repair.journal_lines import Entries

_SECURE = 9  # the MFT record of $Secure: a new descriptor is told there
_MOST = 1000  # names of one of our own folders that are looked at
TORN = "Blocks were made whole that the cut had torn."
CLAIMED = "What a file has, and what was marked as free, was marked as used."
Opened = Callable[[], AbstractContextManager[Path]]  # mounts the volume read-only


def make_whole(device: Path, opened: Opened) -> tuple[str, ...]:
    """Put right what a cut left; sentences about it.

    Nothing else may have the volume open. Raises OSError; RecoveryKitError if it cannot be read.
    """
    return tuple(dict.fromkeys(_made_whole(device, opened)))


def _made_whole(device: Path, opened: Opened) -> Iterator[str]:
    if _write(device, lambda read: ntfs_folder.mirror(read)):
        yield "The copy of the first records of $MFT was brought up to date."
    with blocks.reader(device) as (read, _):
        if not _has_our_folder(read):
            return
    yield from _heal_one(device, _SECURE)
    yield from _heal(device, (), depth=3)
    if _write(device, lambda read: _without(read, ntfs_volume.ROOT, journal.HOME)):
        yield f"The name {journal.HOME}, which belonged to no folder, was removed."
    with opened() as mount:
        targets = sorted(_targets(mount))
    for target in targets:
        yield from _heal(device, target.split("/"))
    with opened() as mount:
        found = list(_interrupted(mount))
        logs = list(_new_logs(mount))
    for kept in found:
        if _write(device, partial(folder_blocks.back, kept=kept)):
            yield "The folders of an interrupted move were put back."
    for folder, name in logs:
        if _write(device, partial(_without, folder=folder, name=name)):
            yield f"The name {name}, which belonged to no file, was removed."


def _has_our_folder(read: Read) -> bool:
    """Whether a run of ours has been here: on a volume without it, nothing is ours to mend."""
    return ntfs_folder.mentions(NtfsVolume.open(read), ntfs_volume.ROOT, journal.HOME)


def _without(read: Read, folder: int, name: str) -> Pieces:
    return ntfs_folder.without_dead(NtfsVolume.open(read), folder, name)


def is_shut(read: Read) -> bool:
    """Whether ntfs-3g refuses a volume, even to read it, because of a cut in a run of ours.

    The copy of $MFT's first records lags behind, and our folder stands in the root. Raises
    FormatError, OSError.
    """
    if not ntfs_folder.mirror(read):
        return False
    return _has_our_folder(read)


def _write(device: Path, wanted: Callable[[Read], Pieces]) -> bool:
    with blocks.reader(device) as (read, _):
        try:
            pieces = wanted(read)
        except FormatError:  # damaged otherwise: not ours to judge
            return False
    if pieces:
        durable.overwrite(device, sorted(pieces.items()))
    return bool(pieces)


# --- torn blocks --------------------------------------------------------------------------


def _heal(device: Path, path: Sequence[str], *, depth: int = 0) -> Iterator[str]:
    """Every folder on a path, and its end; or, without a path, our own folder to some depth."""
    number: int | None = ntfs_volume.ROOT
    for part in (*(path or (journal.HOME,)), ""):
        if number is None:
            return
        yield from _heal_one(device, number)
        if part:
            number = _listed(device, number).get(part)
    if depth:
        yield from _heal_below(device, number, depth)


def _heal_below(device: Path, number: int | None, depth: int) -> Iterator[str]:
    for name, below in islice(_listed(device, number).items(), _MOST):
        if name != ".":
            yield from _heal_one(device, below)
        if depth > 1:
            yield from _heal_below(device, below, depth - 1)


def _heal_one(device: Path, number: int) -> Iterator[str]:
    if _write(device, partial(_healed, number=number)):
        yield TORN
    if _write(device, lambda read: ntfs_folder.claimed(NtfsVolume.open(read), number)):
        yield CLAIMED


def _healed(read: Read, number: int) -> Pieces:
    return ntfs_folder.healed(NtfsVolume.open(read), number)


def _listed(device: Path, number: int | None) -> dict[str, int]:
    """MFT records by name; empty for a file, and for a folder that cannot be read."""
    if number is None:
        return {}
    with blocks.reader(device) as (read, _), suppress(FormatError):
        names = ntfs_folder.names(NtfsVolume.open(read), number)
        return {name: reference & 0xFFFF_FFFF_FFFF for name, reference in names.items()}
    return {}


# --- what the journals say ----------------------------------------------------------------


def _targets(mount: Path) -> Iterator[str]:
    """Every file that is, or was being, changed, and the logs of hives."""
    for _, entries in _open(mount):
        for intent in entries.intents:
            yield intent.target
            if intent.is_hive:
                yield from (intent.target + suffix for suffix in LOGS)


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
    """Every journal that was not taken back; none where none can be relied on."""
    with suppress(OSError, RecoveryKitError):
        for found in journal.find(mount):
            with suppress(OSError, RecoveryKitError):
                entries = found.read()
                if not entries.undone:
                    yield found, entries
