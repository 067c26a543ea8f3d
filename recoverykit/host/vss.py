"""Snapshots that Windows keeps of a volume (Volume Shadow Copy), opened as folders. Reads only.

libvshadow's `vshadowmount` shows every snapshot of a volume as a file with the volume's bytes as
they were; such a file is mounted like any other image. A volume that has snapshots says so in a
header at 0x1E00. Sources: libyal, "Volume Shadow Snapshot (VSS) format", section "The volume
header"; vshadowinfo(1), vshadowmount(1). Not handled: snapshots that Windows stores on another
volume, and the newest blocks that a snapshot shares with a volume whose journal was not replayed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recoverykit.errors import RecoveryKitError, why
from recoverykit.host import image, loops, mounts, process, require_linux
from recoverykit.model import FileSystem, Gap, Source, Volume

MOST = 16  # snapshots that are opened, the newest first; Windows keeps up to 64 (512 on servers)

_HEADER_AT = 0x1E00
_HEADER = bytes.fromhex("6b870838 76c1484e b7ae0404 6e6cc752")  # {3808876B-C176-4E48-...}
_CATALOG_AT = 48  # in the header; 0: there are no snapshots
_HEADER_SIZE = 128
_STORE = re.compile(r"^Store: (\d{1,4})\s*$")
_CREATED = re.compile(r"^\s*Creation time\s*: (\w{3} \d{2}, \d{4} \d{2}:\d{2}:\d{2})\.\d+ UTC\s*$")
_NO_TOOL = (
    "Windows keeps snapshots of this volume; they were not looked at, because libvshadow "
    "(vshadowmount) is not installed on this system"
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The volume as it was."""

    name: str  # "snapshot of 2024-07-18 09:30 UTC"
    created: datetime | None
    volume: Volume  # a file with its bytes, as long as the snapshots are open
    mount: Path


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Those that could be opened, newest first, and what could not be."""

    snapshots: tuple[Snapshot, ...] = ()
    gaps: tuple[Gap, ...] = ()


def has_snapshots(volume: Volume) -> bool:
    """Whether the volume itself says that it has some. Raises OSError where it cannot be read."""
    if volume.filesystem is not FileSystem.NTFS or volume.path.is_dir():
        return False
    with volume.path.open("rb", buffering=0) as stream:
        stream.seek(volume.offset + _HEADER_AT)
        header = stream.read(_HEADER_SIZE) or b""
    return header.startswith(_HEADER) and any(header[_CATALOG_AT : _CATALOG_AT + 8])


@contextmanager
def opened(volume: Volume, *, most: int = MOST) -> Iterator[Snapshots]:
    """Open the snapshots of a volume; closed when the block ends.

    What cannot be opened is a gap. Raises RecoveryKitError where something cannot be closed again.
    """
    require_linux()
    with ExitStack() as stack:
        try:
            found = _opened(volume, most, stack)
        except process.MissingToolError:
            found = Snapshots(gaps=(_gap(volume, _NO_TOOL),))
        except (OSError, RecoveryKitError) as exc:
            reason = f"the snapshots of this volume cannot be opened: {why(exc)}"
            found = Snapshots(gaps=(_gap(volume, reason),))
        yield found


def _opened(volume: Volume, most: int, stack: ExitStack) -> Snapshots:
    if not has_snapshots(volume):
        return Snapshots()
    with ExitStack() as opening:
        device = opening.enter_context(loops.device(volume))
        stores = _stores(device)
        folder = opening.enter_context(_shown(volume, device))
        snapshots: list[Snapshot] = []
        gaps: list[Gap] = []
        for number, created in stores[:most]:
            try:
                snapshots.append(_snapshot(volume, folder, number, created, opening))
            except (OSError, RecoveryKitError) as exc:
                gaps.append(_gap(volume, f"{_name(number, created)} cannot be opened: {why(exc)}"))
        if len(stores) > most:
            gaps.append(_gap(volume, f"{len(stores) - most} older snapshots were not looked at"))
        stack.push(opening.pop_all())
    return Snapshots(tuple(snapshots), tuple(gaps))


def _stores(device: Path) -> list[tuple[int, datetime | None]]:
    """(number, when it was made) of each snapshot, newest first."""
    done = process.run(["vshadowinfo", device])
    if done.returncode:
        raise RecoveryKitError(done.complaint)
    found: dict[int, datetime | None] = {}
    number = 0
    for line in done.stdout.splitlines():
        if match := _STORE.match(line):
            number = int(match.group(1))
            found[number] = None
        elif number and (match := _CREATED.match(line)):
            found[number] = _time(match.group(1))
    return sorted(found.items(), reverse=True)


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


@contextmanager
def _shown(volume: Volume, device: Path) -> Iterator[Path]:
    """A folder with a file for each snapshot: "vss1"."""
    point = Path(tempfile.mkdtemp(prefix="recoverykit-vss-"))
    try:
        done = process.run(["vshadowmount", device, point])
        if done.returncode or not _is_mounted(point):
            raise RecoveryKitError(f"vshadowmount: {done.complaint}")
        try:
            yield point
        finally:
            done = process.run(["umount", point])
            if done.returncode:
                raise RecoveryKitError(
                    f"The snapshots of {volume.name} could not be closed: {done.complaint}.",
                    hint=f"close what uses {point}, then: umount {point}",
                )
    finally:
        if not _is_mounted(point):
            point.rmdir()


def _is_mounted(point: Path) -> bool:
    return any(where == point for where, _, _ in image.mounts())


def _snapshot(
    volume: Volume, folder: Path, number: int, created: datetime | None, stack: ExitStack
) -> Snapshot:
    path = folder / f"vss{number}"
    name = _name(number, created)
    shown = Volume(f"{volume.name}, {name}", FileSystem.NTFS, path, size=path.stat().st_size)
    return Snapshot(name, created, shown, stack.enter_context(mounts.opened(shown)))


def _name(number: int, created: datetime | None) -> str:
    return f"snapshot of {created:%Y-%m-%d %H:%M} UTC" if created else f"snapshot {number}"


def _gap(volume: Volume, reason: str) -> Gap:
    return Gap(Source(volume.name), reason)
