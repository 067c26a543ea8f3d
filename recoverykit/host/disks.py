"""Which disks and volumes are there, and which of them must not be touched.

Reads partition tables and first sectors only; opens no file system and writes nothing. The rules
for refusing: half of a RAID set, a dynamic disk or a pool; a locked volume; two volumes that claim
to be the same one (a clone is attached: whichever we repaired might be the wrong one).
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from recoverykit.errors import FormatError, UsageError
from recoverykit.formats import gpt, mbr, raid_member, volume_id
from recoverykit.formats.extent import Partition, Read
from recoverykit.host import blocks, image, require_linux
from recoverykit.model import Disk, FileSystem, Gap, Source, Survey, Volume

_LOCKED = "This volume is locked by BitLocker; unlock it first (its recovery key is needed)."
_REFUSED = {
    FileSystem.BITLOCKER: _LOCKED,
    FileSystem.LUKS: "This volume is encrypted by Linux (LUKS).",
    FileSystem.REFS: "This volume is ReFS, which recoverykit cannot read.",
    FileSystem.EXFAT: "This volume is exFAT, which Windows cannot start from.",
}
_TWIN = (
    "Another volume has the same identity ({}): a clone is attached. "
    "Disconnect the copy, or name the volume to work on."
)


@dataclass(frozen=True, slots=True)
class _Table:
    scheme: str
    sector_size: int
    identity: str = ""
    partitions: tuple[Partition, ...] = ()
    notes: tuple[str, ...] = ()


def survey(
    target: Path | None = None,
    *,
    exclude: Collection[str] = (),
    root: Path = blocks.ROOT,
) -> Survey:
    """What is on the target: all disks (None), a disk, a partition, an image or a mounted folder.

    `exclude` names devices ("sdb", "/dev/sdb1") whose whole disk is left out when looking at all
    disks: the medium we run from. `root` stands in for "/" when /sys and /dev are looked up.
    Raises UsageError when the target is none of these.
    """
    require_linux()
    if target is None:
        return _machine(exclude, root)
    try:
        mode = target.stat().st_mode
    except OSError as exc:
        raise UsageError(
            f"{target} cannot be opened: {exc.strerror}.",
            hint="give a disk (/dev/sda), a disk image, or a mounted Windows volume",
        ) from exc
    if stat.S_ISDIR(mode):
        return Survey((), (image.folder(target),))
    if stat.S_ISBLK(mode):
        return _device(target, root)
    if stat.S_ISREG(mode):
        return _image(target)
    raise UsageError(f"{target} is neither a disk, nor an image file, nor a folder.")


# --- the three kinds of target ------------------------------------------------------------


def _machine(exclude: Collection[str], root: Path) -> Survey:
    left_out = _whole_disks(exclude, root)
    seen: list[Survey] = []
    for disk in blocks.disks(root):
        if disk.name in left_out or disk.held:
            continue
        try:
            seen.append(_disk(disk, root))
        except OSError as exc:
            reason = f"This disk cannot be read: {exc.strerror}."
            seen.append(Survey((), (), (Gap(Source(str(disk.path)), reason),)))
    whole = Survey(
        tuple(disk for part in seen for disk in part.disks),
        tuple(volume for part in seen for volume in part.volumes),
        tuple(gap for part in seen for gap in part.gaps),
    )
    return _without_twins(whole)


def _device(target: Path, root: Path) -> Survey:
    name = target.resolve().name
    found = blocks.block(name, root)
    if found is None:
        raise UsageError(f"The system knows no block device {target}.")
    disk = blocks.block(found.parent, root) if found.parent else found
    try:
        seen = _without_twins(_disk(disk or found, root))
    except OSError as exc:
        raise UsageError(f"{target} cannot be read: {exc.strerror}.") from exc
    if not found.parent:
        return seen
    only = tuple(volume for volume in seen.volumes if volume.number == found.number)
    return replace(seen, volumes=only)


def _image(target: Path) -> Survey:
    try:
        with blocks.reader(target) as (read, size):
            size = image.data_size(read, size)
            table = _table(read, size, (512, 4096))
            if table is None:
                image.explain(target, read, size)
            disk = _describe(target, read, size, table or _Table("none", 512))
            disk = replace(disk, read_only=image.is_read_only(target))
            return _without_twins(_volumes(disk, read, table, {}))
    except OSError as exc:
        raise UsageError(f"{target} cannot be read: {exc.strerror}.") from exc


def _disk(found: blocks.Block, root: Path) -> Survey:
    nodes = {part.number: part for part in blocks.partitions(found, root)}
    with blocks.reader(found.path) as (read, size):
        sizes = (found.sector_size, 4096 if found.sector_size == 512 else 512)
        table = _table(read, size, sizes)
        disk = replace(
            _describe(found.path, read, size, table or _Table("none", found.sector_size)),
            removable=found.removable,
            read_only=found.read_only,
            model=found.model,
        )
        return _volumes(disk, read, table, nodes)


def _whole_disks(names: Collection[str], root: Path) -> set[str]:
    found = {Path(name).name for name in names}
    parents = (blocks.block(name, root) for name in found)
    return found | {block.parent for block in parents if block and block.parent}


# --- tables and volumes -------------------------------------------------------------------


def _table(read: Read, size: int, sector_sizes: tuple[int, ...]) -> _Table | None:
    """The disk's table; scheme "none" for a bare volume; None when nothing is recognised."""
    try:
        table = mbr.parse(read, size, sector_sizes[0])
    except FormatError:
        table = None
    if table and table.protective:
        return _guid_table(read, size, sector_sizes, table)
    if volume_id.identify(read).filesystem is not FileSystem.OTHER:
        return _Table("none", sector_sizes[0])
    if table and table.partitions:
        return _Table("mbr", sector_sizes[0], table.signature, table.partitions, table.notes)
    if any(gpt.present(read, size, sector) for sector in sector_sizes):
        found = _guid_table(read, size, sector_sizes, None)
        note = "The disk has a GUID partition table, but no protective MBR."
        return replace(found, notes=(note, *found.notes))
    return _Table("mbr", sector_sizes[0], table.signature, (), table.notes) if table else None


def _guid_table(
    read: Read, size: int, sector_sizes: tuple[int, ...], protective: mbr.Mbr | None
) -> _Table:
    present = [sector for sector in sector_sizes if gpt.present(read, size, sector)]
    sector = present[0] if present else sector_sizes[0]
    try:
        found = gpt.parse(read, size, sector)
    except FormatError as exc:
        problem = f"The partition table (GPT) is damaged in both copies: {exc}."
        return _Table("gpt", sector, notes=(problem,))
    notes = found.notes
    if protective and protective.partitions:
        notes = ("The disk has a hybrid MBR; its GUID partition table was used.", *notes)
    return _Table("gpt", sector, found.disk_guid, found.partitions, notes)


def _describe(path: Path, read: Read, size: int, table: _Table) -> Disk:
    member = raid_member.by_signature(read, size, table.sector_size)
    return Disk(
        path=path,
        size=size,
        sector_size=table.sector_size,
        scheme=table.scheme,
        member_of=member or raid_member.by_partitions(table.partitions, read),
        identity=table.identity,
    )


def _volumes(
    disk: Disk, read: Read, table: _Table | None, nodes: dict[int, blocks.Block]
) -> Survey:
    where = Source(str(disk.path))
    if table is None:
        return Survey((disk,), (), (Gap(where, "There is no partition table on this disk."),))
    gaps = tuple(Gap(where, note) for note in table.notes)
    if table.scheme == "none":
        return Survey((disk,), (_volume(disk, read, None, None),), gaps)
    volumes: list[Volume] = []
    for part in table.partitions:
        node = nodes.get(part.number)
        if node and (node.start, node.size) != (part.offset, part.size):
            node = None  # the kernel read another table than we did
        if node is None or not node.held:
            volumes.append(_volume(disk, read, part, node))
    return Survey((disk,), tuple(volumes), gaps)


def _volume(disk: Disk, read: Read, part: Partition | None, node: blocks.Block | None) -> Volume:
    offset, size = (part.offset, part.size) if part else (0, disk.size)

    def inside(at: int, length: int) -> bytes:
        return read(offset + at, min(length, size - at)) if 0 <= at < size else b""

    seen = volume_id.identify(inside)
    name = str(disk.path) if str(disk.path).startswith("/dev/") else disk.path.name
    if part:
        name = str(node.path) if node else f"{name}#{part.number}"
    return Volume(
        name=name,
        filesystem=seen.filesystem,
        path=node.path if node else disk.path,
        offset=0 if node else offset,
        start=offset,
        size=size,
        number=part.number if part else 0,
        identity=part.identity if part else "",
        serial=seen.serial,
        disk=disk,
        refusal=_refusal(disk, seen, inside, size),
        type=part.type if part else "",
    )


def _refusal(disk: Disk, seen: volume_id.VolumeId, inside: Read, size: int) -> str:
    if disk.member_of:
        return f"This disk is part of a set: {disk.member_of}. Only the assembled set can be used."
    if raid_member.is_space(inside):
        return f"This partition is part of a set: {raid_member.SPACES}."
    if seen.size > size:
        return (
            f"The file system needs {seen.size} bytes and has {size}: the disk or image is cut off."
        )
    return _REFUSED.get(seen.filesystem, "") or seen.note


def _without_twins(whole: Survey) -> Survey:
    """Refuse both of two volumes that claim to be one; a serial counts for NTFS only."""
    keys = {volume.name: _identities(volume) for volume in whole.volumes}
    seen = Counter(key for own in keys.values() for key in own)
    volumes = []
    for volume in whole.volumes:
        twins = [key for key in keys[volume.name] if seen[key] > 1]
        if twins and not volume.refusal:
            volumes.append(replace(volume, refusal=_TWIN.format(twins[0])))
        else:
            volumes.append(volume)
    return replace(whole, volumes=tuple(volumes))


def _identities(volume: Volume) -> tuple[str, ...]:
    found = []
    if volume.filesystem is FileSystem.NTFS and volume.serial.strip("0"):
        found.append(f"NTFS serial number {volume.serial}")
    if volume.identity and volume.disk and volume.disk.identity.strip("0-"):
        found.append(f"{volume.identity} on disk {volume.disk.identity}")
    return tuple(found)
