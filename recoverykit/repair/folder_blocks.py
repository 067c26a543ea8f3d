"""What a folder's blocks held before a name in it was moved, so that a cut can be taken back.

NTFS through ntfs-3g has no journal. A file is moved by some ten writes, each of them whole, none of
them together: in between, a folder lists a name that belongs to no file, or a file has a name that
no folder lists, or where a block of the index had to be split half a folder is lost. None of that
can be mended through the file system. So before a move the blocks that it will change are kept in
the transaction's folder: the MFT records of the file and of both folders, and their indexes. After
a cut they are written back, before anything mounts the volume (`mend`).

They are read from the device below ntfs-3g, which writes through the same page cache. Where a
volume is no such mount nothing is kept, and a move is what it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recoverykit.errors import FormatError
from recoverykit.formats import ntfs_folder, ntfs_volume
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_folder import Pieces
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.host import blocks, ntfs_device

_RESTART = 2 * 4096  # the pages of $LogFile that Windows writes when it opens a volume


@dataclass(frozen=True, slots=True)
class Blocks:
    serial: str  # of the volume
    log: str  # sha256 of the beginning of $LogFile: whether Windows has had the volume since
    folders: tuple[int, ...]  # their MFT records
    ours: frozenset[str]  # names that may come and go meanwhile, in lower case
    pieces: Pieces = field(repr=False)


def take(mount: Path, files: Iterable[Path], folders: Iterable[Path], ours: Iterable[str]) -> bytes:
    """The blocks of some files and folders as they are now, packed; empty where that is not NTFS
    through ntfs-3g, or a folder of another kind than we know.

    `ours`: the names that will come or go. Raises OSError.
    """
    device = ntfs_device.behind(mount)
    if device is None:
        return b""
    listed = [path.lstat().st_ino for path in folders]
    numbers = [*listed, *(path.lstat().st_ino for path in files)]
    with blocks.reader(device) as (read, _):
        try:
            volume = NtfsVolume.open(read)
            pieces: Pieces = {}
            for number in numbers:
                pieces |= ntfs_folder.blocks(volume, number)
            return _pack(
                Blocks(
                    volume.boot.serial,
                    log_of(volume),
                    tuple(listed),
                    frozenset(name.casefold() for name in ours),
                    pieces,
                )
            )
        except FormatError:
            return b""


def log_of(volume: NtfsVolume) -> str:
    """Another one: Windows has opened the volume since. Raises FormatError."""
    log = ntfs_volume.stream(volume, ntfs_volume.LOG_FILE)
    if log is None:
        raise FormatError("$LogFile", 0, "no data")
    return hashlib.sha256(ntfs_volume.contents(volume, log, 0, _RESTART)).hexdigest()


def back(read: Read, kept: Blocks) -> Pieces:
    """What has to be written so that the kept blocks are back; nothing: they are, or something
    else has used the volume since, and they would do harm. Raises FormatError."""
    wanted = {at: was for at, was in kept.pieces.items() if read(at, len(was)) != was}
    now = NtfsVolume.open(read)
    if not wanted or now.boot.serial != kept.serial or log_of(now) != kept.log:
        return {}
    if any(at + len(was) > now.boot.size for at, was in kept.pieces.items()):
        return {}
    then = NtfsVolume.open(ntfs_folder.overlaid(read, kept.pieces))
    for folder in kept.folders:
        before = ntfs_folder.names(then, folder)
        if any(ntfs_folder.is_dead(then, reference) for reference in before.values()):
            return {}
        if {name.casefold() for name in _names(now, folder)} - _folded(before) - kept.ours:
            return {}
    return wanted


def _names(volume: NtfsVolume, folder: int) -> Iterable[str]:
    try:
        return ntfs_folder.names(volume, folder)
    except FormatError:  # its record is torn: nothing is listed that could be lost
        return ()


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


# --- as bytes -----------------------------------------------------------------------------


def _pack(kept: Blocks) -> bytes:
    head = {
        "serial": kept.serial,
        "log": kept.log,
        "folders": kept.folders,
        "ours": sorted(kept.ours),
        "pieces": [(at, len(content)) for at, content in kept.pieces.items()],
    }
    return json.dumps(head).encode() + b"\n" + b"".join(kept.pieces.values())


def unpack(data: bytes) -> Blocks:
    """Raises FormatError for what `take` did not pack; what follows its end is passed over."""
    head, _, rest = data.partition(b"\n")
    try:
        said = json.loads(head)
        return Blocks(
            str(said["serial"]),
            str(said["log"]),
            tuple(int(number) for number in said["folders"]),
            frozenset(map(str, said["ours"])),
            dict(_pieces(said["pieces"], rest)),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise FormatError("kept blocks", 0, "not written by recoverykit") from exc


def _pieces(said: Iterable[tuple[int, int]], rest: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for where, length in said:
        if where < 0 or length <= 0 or at + length > len(rest):
            raise ValueError(length)
        yield where, rest[at : at + length]
        at += length
