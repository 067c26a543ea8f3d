"""Is this NTFS volume safe to write to, and if its journal is unclean, make it so.

Three states that are often confused are told apart by reading the volume's own bytes: the dirty
flag (Windows wants chkdsk), an unclean $LogFile (a crash: the normal case here), hibernation. An
unclean journal is replayed with ntfsrecover(8): rehearsed first, then done, then read again. What
it cannot replay is left alone: ntfs-3g's own way, emptying the journal unread, is never used.

Windows 8 and later write the journal as version 2.0 while a volume is in use and go back to 1.1
when it is closed, so every crash of a modern Windows leaves version 2.0 behind. So does
hibernation, and ntfs-3g does not tell them apart: its probe answers 14 ("hibernated") to both, and
ntfsrecover wants --kill-fast-restart for both. We give it that option only when no volume in reach
holds a hibernation image: then there is no cache of Windows left that could be lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.formats import ntfs_log, ntfs_volume
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.host import blocks, disks, loops, process
from recoverykit.model import FileSystem, LogPolicy, NtfsState, Volume

_DIRTY = 0x0001  # VOLUME_IS_DIRTY
_RESUMABLE = (b"hibr", b"rstr")  # "wake" and zeros mean: already resumed
_REPLAY_TIMEOUT = 600.0
_PLAYED = re.compile(r"\* (?:Sync simulation|Syncing) successful after playing (\d+) actions")
# One of the two newest pages was cut off by the crash; the other one then counts.
_TORN_TAIL = re.compile(r"\* Update sequence number \d+ does not match")
_CHKDSK = "start Windows' own recovery (or another Windows) and run: chkdsk /f"
_SHUT_DOWN = "start Windows and shut it down fully (shutdown /s /t 0), or turn off Fast Startup"


def state(volume: Volume) -> NtfsState:
    """Read the three states from the volume's bytes; raises FormatError where it is damaged."""
    with reader(volume) as inside:
        return judge(inside)


@contextmanager
def reader(volume: Volume) -> Iterator[Read]:
    """The bytes of a volume, offsets from its start, whether it is a part of an image or not."""
    with blocks.reader(volume.path) as (read, whole):
        size = volume.size or whole - volume.offset

        def inside(offset: int, length: int) -> bytes:
            return read(volume.offset + offset, min(length, size - offset))

        yield inside


def judge(read: Read) -> NtfsState:
    """The state of the NTFS volume behind `read` (offsets from its start)."""
    ntfs = NtfsVolume.open(read)
    information = ntfs_volume.stream(ntfs, ntfs_volume.VOLUME, ntfs_volume.VOLUME_INFORMATION)
    log = ntfs_volume.stream(ntfs, ntfs_volume.LOG_FILE)
    if information is None or len(information.resident) < 12:
        raise FormatError("$Volume", 0, "no volume information")
    if log is None:
        raise FormatError("$LogFile", 0, "no data")
    found = _log(ntfs, log)
    return NtfsState(
        dirty=bool(int.from_bytes(information.resident[10:12], "little") & _DIRTY),
        log_unclean=not found.clean or _is_modern(found.version),
        hibernated=_hibernated(ntfs),
    )


def _is_modern(version: str) -> bool:
    """Version 2.0 is never at rest: whatever its flags say, the volume was not closed."""
    return version.startswith("2.")


def _log(ntfs: NtfsVolume, log: ntfs_volume.Stream) -> ntfs_log.LogState:
    def inside(offset: int, length: int) -> bytes:
        return ntfs_volume.contents(ntfs, log, offset, length)

    return ntfs_log.parse(inside, log.size)


def _hibernated(ntfs: NtfsVolume) -> bool:
    """Whether hiberfil.sys holds an image; one too short to tell counts, as for ntfs-3g."""
    number = ntfs_volume.find_in_root(ntfs, "hiberfil.sys")
    if number is None:
        return False
    image = ntfs_volume.stream(ntfs, number)
    if image is None or image.size < 4096:
        return True
    return ntfs_volume.contents(ntfs, image, 0, 4).lower() in _RESUMABLE


# --- making it ready ----------------------------------------------------------------------


def make_ready(
    volume: Volume, *, policy: LogPolicy, ask: Callable[[str], bool] | None
) -> tuple[str, ...]:
    """The gate before any write: sentences about what was done, or TargetRefusedError (exit 5).

    A folder somebody else has mounted, and FAT, pass: there is no journal for us to judge.
    """
    if volume.disk is None or volume.filesystem is not FileSystem.NTFS:
        return ()
    if volume.refusal:
        raise TargetRefusedError(volume.refusal)
    loops.refuse_read_only(volume)
    found = state(volume)
    if found.hibernated:
        raise TargetRefusedError(
            f"Windows is hibernated on {volume.name} (or Fast Startup is on): "
            "what we changed would be lost or destroy data when it resumes.",
            hint=_SHUT_DOWN,
        )
    notes: tuple[str, ...] = ()
    if found.log_unclean:
        _permit(volume, policy, ask)
        notes = replay_log(volume)
    if found.dirty:
        notes += (f"{volume.name} is marked dirty: Windows will run chkdsk when it starts.",)
    return notes


def _permit(volume: Volume, policy: LogPolicy, ask: Callable[[str], bool] | None) -> None:
    """Return when the journal may be replayed."""
    question = (
        f"The journal of {volume.name} holds changes that a crash interrupted. "
        "Replay them now, as Windows would at its next start?"
    )
    if policy is LogPolicy.REPLAY:
        return
    if policy is LogPolicy.ASK and ask is not None and ask(question):
        return
    raise TargetRefusedError(
        f"The journal ($LogFile) of {volume.name} was not closed: Windows crashed or lost power.",
        hint="allow its replay (ntfs_log = replay), or start Windows once",
    )


def replay_log(volume: Volume) -> tuple[str, ...]:
    """Replay an unclean $LogFile; sentences of what was done.

    Raises TargetRefusedError when the rehearsal is not perfect (nothing was written then), or when
    the journal is not clean afterwards.
    """
    before = state(volume)
    if not before.log_unclean:
        return ()
    if before.hibernated:
        raise TargetRefusedError(f"Windows is hibernated on {volume.name}.", hint=_SHUT_DOWN)
    options = ["--sync"]
    if _is_modern(_log_version(volume)):
        _refuse_hibernation_elsewhere(volume)
        options.append("--kill-fast-restart")
    with loops.device(volume) as device:
        rehearsed = _recover(volume, device, "--no-action", *options)
    with loops.device(volume, writable=True) as device:
        played = _recover(volume, device, *options)
    if state(volume).log_unclean or played != rehearsed:
        raise TargetRefusedError(
            f"The journal of {volume.name} is still not clean after its replay.", hint=_CHKDSK
        )
    return (
        f"The journal of {volume.name} was replayed: {played} interrupted changes were completed.",
    )


def _log_version(volume: Volume) -> str:
    with reader(volume) as inside:
        ntfs = NtfsVolume.open(inside)
        log = ntfs_volume.stream(ntfs, ntfs_volume.LOG_FILE)
        return _log(ntfs, log).version if log else ""


def _refuse_hibernation_elsewhere(volume: Volume) -> None:
    """A hibernated Windows on another volume may hold this one in its memory."""
    if volume.disk is None:
        return
    here = volume.disk.path
    reach = disks.survey(None if here.is_block_device() else here).volumes
    for other in reach:
        if other.filesystem is FileSystem.NTFS and other.name != volume.name:
            with suppress(FormatError, OSError):
                if state(other).hibernated:
                    raise TargetRefusedError(
                        f"Windows is hibernated on {other.name} and may be using {volume.name}.",
                        hint=_SHUT_DOWN,
                    )


def _recover(volume: Volume, device: Path, *options: str) -> int:
    """Run ntfsrecover; the number of actions it played (or would play).

    It may exit with 0 and claim success although it stopped half way, so what it says is read as
    well: every line but those two is a reason not to go on.
    """
    done = process.run(["ntfsrecover", *options, device], timeout=_REPLAY_TIMEOUT)
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    played = [int(found.group(1)) for line in said if (found := _PLAYED.fullmatch(line))]
    trouble = [line for line in said if not (_PLAYED.fullmatch(line) or _TORN_TAIL.fullmatch(line))]
    if done.returncode or trouble or len(played) != 1:
        reason = (trouble or [done.complaint])[0].strip("* ").rstrip(".")
        raise TargetRefusedError(
            f"The journal of {volume.name} cannot be replayed safely: {reason}.", hint=_CHKDSK
        )
    return played[0]
