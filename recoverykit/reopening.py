"""Volumes that an interrupted repair of ours left so that they cannot be read, or not trusted.

ntfs-3g refuses a volume, even to read it, while the copy of $MFT's first records lags behind by one
write. Only ours are touched, only before something is written or taken back anyway, and only after
a yes where somebody is there to ask.
"""

from __future__ import annotations

from functools import partial

from recoverykit.errors import FormatError, RecoveryKitError, TargetRefusedError
from recoverykit.host import loops, mounts, ntfs
from recoverykit.model import FileSystem, Volume
from recoverykit.repair import mend

QUESTION = (
    "{name} was left half written by an interrupted repair, so that nobody can read it. "
    "Bring the copy of its first file records up to date?"
)


def is_shut(volume: Volume) -> bool:
    """Whether a cut of ours is why the volume cannot be opened. Reads only."""
    if volume.filesystem is not FileSystem.NTFS or volume.disk is None or volume.refusal:
        return False
    try:
        with ntfs.reader(volume) as read:
            return mend.is_shut(read)
    except (OSError, FormatError):
        return False


def put_right(volume: Volume) -> tuple[str, ...]:
    """What a cut in an earlier run of ours left on a volume that nothing has mounted.

    Raises TargetRefusedError where it cannot be read or written.
    """
    if volume.filesystem is not FileSystem.NTFS or volume.disk is None:
        return ()
    try:
        with loops.device(volume, writable=True) as device:
            return mend.make_whole(device, partial(mounts.opened, volume))
    except OSError as exc:
        raise TargetRefusedError(f"{volume.name} cannot be read: {exc.strerror or exc}") from exc


def explained(volume: Volume, exc: RecoveryKitError) -> str:
    """Why a volume could not be opened, and what opens it again; "" where it is not our doing."""
    if not is_shut(volume):
        return ""
    return (
        f"It was left half written by an interrupted repair ({exc}); "
        "'recoverykit undo' makes it readable again."
    )
