"""What stands behind `recoverykit bcd show`: every boot store of a target, as text and as JSON.

Looks at all volumes that can be read, the EFI system partition among them, one after the other and
read-only. A partition that a store names is shown by its identity, and by its name where this
target has it: drive letters and HarddiskVolume numbers do not exist offline.
The JSON is promised to scripts (schema recoverykit.bcd/1, docs/bcd.md): names are added, never
renamed or removed, while the schema's number stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recoverykit import __version__, visit
from recoverykit.boot import store as stores
from recoverykit.boot.store import Found, Role
from recoverykit.errors import NoCulpritError, RecoveryKitError, TargetRefusedError
from recoverykit.formats import bcd_device, bcd_names, bcd_text
from recoverykit.formats.bcd import Element, Object, Raw, Store, Value
from recoverykit.formats.bcd_device import Device, Where
from recoverykit.host import mounts
from recoverykit.model import FileSystem, Gap, Source, Volume

SCHEMA = "recoverykit.bcd/1"
_READABLE = (FileSystem.NTFS, FileSystem.FAT)


@dataclass(frozen=True, slots=True)
class Shown:
    """One store and where it lies."""

    found: Found
    volume: Volume | None  # None: the caller named the file itself

    @property
    def where(self) -> str:
        """How reports name it: volume and path, or the file."""
        return self.found.path if self.volume is None else f"{self.volume.name}:/{self.found.path}"


@dataclass(frozen=True, slots=True)
class Listing:
    """Every store of a target."""

    stores: tuple[Shown, ...]
    gaps: tuple[Gap, ...]  # volumes that stayed shut
    partitions: dict[str, str]  # identity ("gpt:...") to the name of the volume
    exit_code: int


def look(target: Path | None, options: visit.Options = visit.DEFAULT) -> Listing:
    """Every store of a disk, a partition, an image, a mounted folder, all disks, or one BCD file.

    Raises UsageError when the target is none of these.
    """
    if target is not None and _is_store(target):
        path = target.resolve()
        found = stores.open_at(path.parent, path.name)
        return Listing((Shown(found, None),), (), {}, found.exit_code)
    survey = visit.survey(target, options)
    shown: list[Shown] = []
    gaps = list(survey.gaps)
    for volume in survey.volumes:
        try:
            shown += _of_volume(volume, options)
        except RecoveryKitError as exc:
            gaps.append(Gap(Source(volume.name), visit.sentence(exc), closed=True))
    partitions = {volume.identity: volume.name for volume in survey.volumes if volume.identity}
    return Listing(tuple(shown), tuple(gaps), partitions, _code(shown, gaps))


def _is_store(target: Path) -> bool:
    """A regular file that begins as a hive does; a disk image never does."""
    if not target.is_file():
        return False
    try:
        with target.open("rb") as file:
            return file.read(4) == b"regf"
    except OSError:
        return False  # whoever looks at it as a disk says why


def _of_volume(volume: Volume, options: visit.Options) -> list[Shown]:
    if volume.disk is not None and volume.filesystem not in _READABLE:
        if volume.refusal:
            raise TargetRefusedError(volume.refusal)
        return []
    if volume.disk is not None and volume.disk.member_of:
        raise TargetRefusedError(volume.refusal)
    options.say(f"Reading {volume.name}")
    with mounts.opened(volume) as mount:
        return [Shown(found, volume) for found in stores.find(mount)]


def _code(shown: list[Shown], gaps: list[Gap]) -> int:
    if not shown:
        closed = any(gap.closed for gap in gaps)
        return TargetRefusedError.exit_code if closed else NoCulpritError.exit_code
    return max(item.found.exit_code for item in shown)


# --- text ---------------------------------------------------------------------------------


def to_text(listing: Listing, *, aliases: bool = False) -> str:
    """Each store as `bcdedit /enum all /v` lays it out, under a line that says where it lies."""
    return "".join(f"{line}\n" for line in _lines(listing, aliases))


def _lines(listing: Listing, aliases: bool) -> Iterator[str]:
    several = len(listing.stores) > 1 or any(item.volume for item in listing.stores)
    for number, item in enumerate(listing.stores):
        if number:
            yield ""
        if several:
            yield f"=== {bcd_text.printable(item.where)} ({_ROLES[item.found.role]})"
            yield ""
        yield from _store_lines(item, listing, aliases)
    if not listing.stores:
        yield "No boot store was found."
    for gap in listing.gaps:
        yield f"Not looked at: {bcd_text.printable(gap.source.path)}: {gap.reason}"


_ROLES = {
    Role.SYSTEM: "what this disk starts from",
    Role.RECOVERY: "starts the recovery environment",
    Role.TEMPLATE: "template for new stores",
    Role.FILE: "boot store",
}


def _store_lines(item: Shown, listing: Listing, aliases: bool) -> Iterator[str]:
    found = item.found
    if found.store is None:
        yield f"This boot store cannot be used: {bcd_text.printable(found.problem)}"
        return
    yield from bcd_text.lines(found.store, naming=_naming(listing), aliases=aliases)
    notes = [*found.notes, *(_gap_text(gap) for gap in found.store.gaps)]
    if notes:
        yield ""
    yield from (f"Note: {bcd_text.printable(note)}" for note in notes)


def _gap_text(gap: Gap) -> str:
    return f"{gap.source.key}: {gap.reason}"


def _naming(listing: Listing) -> bcd_text.Naming:
    def named(identity: str) -> str:
        name = listing.partitions.get(identity)
        return f"{identity} ({name})" if name else identity

    return named


# --- JSON ---------------------------------------------------------------------------------


def to_json(listing: Listing) -> str:
    """The listing as indented JSON, ending in a newline."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "exit_code": listing.exit_code,
        "stores": [_store(item, listing) for item in listing.stores],
        "gaps": [_gap(gap) for gap in listing.gaps],
    }
    return json.dumps(document, indent=2) + "\n"


def _store(item: Shown, listing: Listing) -> dict[str, Any]:
    found = item.found
    content = found.store or Store(())
    names = bcd_text.known_names(content)
    return {
        "where": item.where,
        "volume": item.volume.name if item.volume else None,
        "path": found.path,
        "role": found.role.value,
        "error": found.problem or None,
        "exit_code": found.exit_code,
        "notes": list(found.notes),
        "description": {
            name: {"type": data.type, "raw": data.data.hex()} for name, data in content.description
        },
        "objects": [_object(own, listing, names) for own in bcd_text.ordered(content)],
        "gaps": [_gap(gap) for gap in content.gaps],
    }


def _object(item: Object, listing: Listing, names: dict[str, str]) -> dict[str, Any]:
    return {
        "identifier": item.id,
        "alias": names.get(item.id),
        "type": f"{item.type:08x}",
        "title": bcd_names.title(item.id, item.type),
        "elements": [_element(own, item, listing) for own in item.elements],
        "other_values": {
            name: {"type": data.type, "raw": data.data.hex()} for name, data in item.description
        },
    }


def _element(element: Element, item: Object, listing: Listing) -> dict[str, Any]:
    name = bcd_names.element_name(element.type, item.type)
    return {
        "type": f"{element.type:08x}",
        "name": name,
        "value": _value(element.value, listing),
        "text": list(bcd_text.shown(element, name, _naming(listing))),
        "stored": {"type": element.stored.type, "raw": element.stored.data.hex()},
    }


def _value(value: Value, listing: Listing) -> Any:
    match value:
        case Device(where, options):
            return {**_where(where, listing), "options": options or None}
        case tuple():
            return list(value)
        case bytes():
            return value.hex()
        case Raw():
            return None
    return value


def _where(where: Where, listing: Listing) -> dict[str, Any]:
    """A device as an object: its kind, and what that kind has."""
    match where:
        case bcd_device.Boot():
            return {"kind": "boot"}
        case bcd_device.GptPartition(disk, own):
            named = listing.partitions.get(bcd_device.identity(where))
            return {"kind": "partition", "disk": disk, "partition": own, "volume": named}
        case bcd_device.MbrPartition(signature, offset):
            named = listing.partitions.get(bcd_device.identity(where))
            text = f"{signature:08x}"
            return {"kind": "partition", "signature": text, "offset": offset, "volume": named}
        case bcd_device.Ramdisk(path, parent):
            return {"kind": "ramdisk", "path": path, "parent": _where(parent, listing)}
        case bcd_device.File(path, parent):
            return {"kind": "file", "path": path, "parent": _where(parent, listing)}
        case bcd_device.VirtualDisk(file):
            return {"kind": "vhd", "parent": _where(file, listing)}
        case bcd_device.Locate(path, element, parent):
            on = _where(parent, listing) if parent is not None else None
            number = None if path else f"{element:08x}"
            return {"kind": "locate", "path": path or None, "element": number, "parent": on}
        case bcd_device.Opaque(record):
            return {"kind": "unknown", "number": where.kind, "raw": record.hex()}


def _gap(gap: Gap) -> dict[str, Any]:
    source = {"path": gap.source.path, "offset": gap.source.offset, "key": gap.source.key}
    return {"source": source, "reason": gap.reason}
