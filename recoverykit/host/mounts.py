"""Open a volume as a folder, read-only unless asked otherwise, and close it for certain.

NTFS goes through ntfs-3g with `norecover`: without it ntfs-3g throws an unclean journal away and
mounts read-write as if nothing were lost. With it, an unclean or hibernated volume silently falls
back to read-only (exit code 0), so after a writable mount the kernel's table is asked what it is.
Sources: ntfs-3g(8), fuse(4); FAT goes through the kernel's vfat where the kernel has it.
"""

from __future__ import annotations

import os
import select
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recoverykit.errors import RecoveryKitError, TargetRefusedError
from recoverykit.host import image, loops, process, require_linux
from recoverykit.model import FileSystem, Volume

_CLOSING = 120.0  # seconds ntfs-3g may take to write out what it holds
# Nobody else changes the volume while we have it: names and attributes may be remembered for as
# long as it is mounted. Asking ntfs-3g again every second is what made a diagnosis slow.
_NTFS = (
    "norecover,noatime,nodev,nosuid,streams_interface=windows,entry_timeout=600,attr_timeout=600"
)
_UNREADABLE = {
    FileSystem.BITLOCKER: "locked by BitLocker",
    FileSystem.LUKS: "encrypted by Linux (LUKS)",
    FileSystem.REFS: "ReFS, which recoverykit cannot read",
    FileSystem.EXFAT: "exFAT, which Windows cannot start from",
}


@contextmanager
def opened(volume: Volume, *, writable: bool = False) -> Iterator[Path]:
    """Yield the volume's root as a folder; unmounted and detached when the block ends.

    A volume that is already a folder is yielded as it is. Raises TargetRefusedError when the volume
    cannot be opened, or not for writing, and MissingToolError without ntfs-3g.
    """
    require_linux()
    if writable and volume.refusal:
        raise TargetRefusedError(volume.refusal)
    if volume.path.is_dir():
        if writable:
            _check_folder(volume.path)
        yield volume.path
        return
    if volume.filesystem not in (FileSystem.NTFS, FileSystem.FAT):
        what = _UNREADABLE.get(volume.filesystem, "not a file system that Windows uses")
        raise TargetRefusedError(f"{volume.name} is {what}.")
    with loops.device(volume, writable=writable) as device, _mount_point() as point:
        _mount(volume, device, point, writable=writable)
        try:
            if writable:
                _prove_writable(volume, point)
            yield point
        finally:
            _unmount(volume, point)


@contextmanager
def write_check(volume: Volume) -> Iterator[None]:
    """Refuse before anything is written what `opened(..., writable=True)` would refuse after it.

    Meant around `ntfs.make_ready`, whose replay of the journal is itself a write. Raises
    TargetRefusedError: the volume is refused, read-only, or in use by somebody else.
    """
    require_linux()
    if volume.refusal:
        raise TargetRefusedError(volume.refusal)
    if volume.path.is_dir():
        _check_folder(volume.path)
    else:
        loops.refuse_read_only(volume)
        _check_unused(volume)
    yield


def _check_unused(volume: Volume) -> None:
    """An exclusive open of a block device fails while it is mounted or part of a set."""
    if not volume.path.is_block_device():
        return
    try:
        os.close(os.open(volume.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as exc:
        raise TargetRefusedError(
            f"{volume.name} is in use on this system: {exc.strerror}.", hint="unmount it first"
        ) from exc


@contextmanager
def _mount_point() -> Iterator[Path]:
    point = Path(tempfile.mkdtemp(prefix="recoverykit-"))
    try:
        yield point
    finally:
        if not _mounted(point):
            point.rmdir()


def _mount(volume: Volume, device: Path, point: Path, *, writable: bool) -> None:
    access = "rw" if writable else "ro"
    if volume.filesystem is FileSystem.NTFS:
        more = ",big_writes,windows_names" if writable else ""
        done = process.run(["ntfs-3g", "-o", f"{access},{_NTFS}{more}", device, point])
    else:
        _need_vfat(volume)
        options = f"{access},noatime,nodev,nosuid,utf8,shortname=mixed,check=relaxed"
        done = process.run(["mount", "-t", "vfat", "-o", options, device, point])
    if done.returncode or not _mounted(point):
        raise TargetRefusedError(f"{volume.name} cannot be opened: {done.complaint}.")


def _need_vfat(volume: Volume) -> None:
    def known() -> bool:
        return "vfat" in Path("/proc/filesystems").read_text("ascii").split()

    if not known():
        with suppress(process.MissingToolError):
            process.run(["modprobe", "vfat"])
    if not known():
        raise TargetRefusedError(
            f"{volume.name} is FAT, and this system's kernel cannot read FAT.",
            hint="boot the recovery medium, whose kernel can",
        )


def _prove_writable(volume: Volume, point: Path) -> None:
    options = _mounted(point)
    if "rw" not in options.split(","):
        raise TargetRefusedError(
            f"{volume.name} can only be opened read-only: Windows was not shut down cleanly.",
            hint="replay its journal first, or let Windows shut down fully",
        )


def _check_folder(path: Path) -> None:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise TargetRefusedError(
            f"{path} is mounted read-only.", hint="mount it read-write, or name the disk instead"
        )


def _mounted(point: Path) -> str:
    """The options of the newest mount at `point`; "" when nothing is mounted there."""
    found = [options for where, _, options in image.mounts() if where == point]
    return found[-1] if found else ""


def _unmount(volume: Volume, point: Path) -> None:
    """Unmount, and wait for the ntfs-3g process: only its end means the device is free."""
    with _server(point) as ended:
        done = process.run(["umount", point], timeout=_CLOSING)
        if done.returncode:
            raise RecoveryKitError(
                f"{volume.name} could not be closed: {done.complaint}.",
                hint=f"close what uses {point}, then: umount {point}",
            )
        if ended is not None and not ended.poll(_CLOSING * 1000):
            raise RecoveryKitError(f"ntfs-3g is still writing to {volume.name}; do not power off.")


@contextmanager
def _server(point: Path) -> Iterator[select.poll | None]:
    """Something to wait on for the end of the ntfs-3g process behind a mount; None for vfat."""
    pid = next((pid for pid in _processes() if _serves(pid, point)), None)
    if pid is None:
        yield None
        return
    handle = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        yield ended
    finally:
        os.close(handle)


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _serves(pid: int, point: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return False
    return words[0].endswith(b"ntfs-3g") and os.fsencode(point) in words
