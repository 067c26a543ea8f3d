"""Sticks for a person and as JSON: the list, the question, and what was made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from winpe import usb, usb_content, usb_disks, usb_use
from winpe.errors import MediaError
from winpe.usb import Written
from winpe.usb_content import Content
from winpe.usb_disks import ROOT, Disk

_MB, _GB = 1_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A disk of the list."""

    disk: Disk
    content: tuple[Content, ...] | None  # None: it may not be read
    uses: tuple[usb_use.Use, ...]
    refusal: str  # why it would not be overwritten; "" where it would


def listed(root: Path = ROOT, *, allow_loop: bool = False) -> tuple[Listed, ...]:
    """Every disk that can be taken out, with what is on it."""
    return tuple(_listed(disk, root) for disk in usb_disks.disks(root, allow_loop=allow_loop))


def _listed(disk: Disk, root: Path) -> Listed:
    try:
        usb.refuse(disk, root)
    except MediaError as exc:
        refusal = str(exc)
    else:
        refusal = ""
    content = usb_content.content(disk, root / "dev")
    return Listed(disk, content, usb_use.uses(disk, root), refusal)


def list_text(found: tuple[Listed, ...]) -> str:
    """A block of lines for each disk."""
    if not found:
        return (
            "No stick, SD card or USB disk is plugged in.\n"
            "Disks inside this machine are never listed: nothing here writes to them."
        )
    return "\n\n".join(_block(each) for each in found)


def _block(each: Listed) -> str:
    disk = each.disk
    rows = [
        f"{disk.path}  {size(disk.size)}  {disk.title}",
        f"    serial  {disk.serial or 'none'}",
        f"    on it   {_on_it(each)}",
    ]
    mounted = ", ".join(str(use) for use in each.uses)
    rows += [f"    in use  {mounted}"] if mounted else []
    rows += [f"    cannot be written: {each.refusal}"] if each.refusal and not mounted else []
    return "\n".join(rows)


def _on_it(each: Listed) -> str:
    if each.content is None:
        return "not known: only root may look"
    parts = ", ".join(f"{one.name}: {one}" for one in each.content)
    count = len(each.disk.parts)
    return parts or (f"{count} partitions of no known kind" if count else "nothing known")


def size(count: int) -> str:
    """As it is printed on sticks: decimal."""
    return f"{count / _GB:.1f} GB" if count >= _GB else f"{count / _MB:.1f} MB"


def list_json(found: tuple[Listed, ...]) -> str:
    """The same for scripts: schema recoverykit.usb-list/1."""
    return _json("recoverykit.usb-list/1", {"disks": [_fields(each) for each in found]})


def _fields(each: Listed) -> dict[str, Any]:
    content = None if each.content is None else [asdict(one) for one in each.content]
    return {
        **_disk_fields(each.disk),
        "content": content,
        "mounts": [{"name": use.name, "at": use.mount} for use in each.uses if use.mount],
        "refusal": each.refusal,
    }


def _disk_fields(disk: Disk) -> dict[str, Any]:
    return {
        "name": disk.name,
        "path": str(disk.path),
        "size": disk.size,
        "kind": disk.kind,
        "bus": disk.bus,
        "model": disk.model,
        "serial": disk.serial,
        "read_only": disk.read_only,
        "partitions": [{"name": part.name, "size": part.size} for part in disk.parts],
    }


def question(disk: Disk, root: Path = ROOT) -> str:
    """What a person must see before the name of the device is typed."""
    return (
        f"{_block(_listed(disk, root))}\n\n"
        f"Everything on it is lost. Type its name, {disk.name}, to go on"
    )


def written_text(made: Written) -> str:
    """What was done, and what to do now."""
    stick = made.stick
    rows = [
        f"OK: {made.disk.path} ({made.disk.title}, {size(made.disk.size)}) holds {made.image.name}",
        f"    image id {made.state.image_id}, {made.state.signer}",
        f"    {size(made.size)} {_speeds(made)}",
    ]
    if stick.reports:
        rows.append(f"    RK-REPORTS: {size(stick.reports)} where the medium leaves its reports")
    rows += [f"    {stick.note}"] if stick.note else []
    unplug = "" if made.announced else ", then in again to see its partitions here"
    rows.append(f"    It can be pulled out now{unplug}.")
    return "\n".join(rows)


def _speeds(made: Written) -> str:
    write, read = (usb.rate(made.size, each) for each in (made.timing.write, made.timing.read))
    return f"written at {write}, read back and compared at {read}"


def written_json(made: Written) -> str:
    """The same for scripts: schema recoverykit.usb/1."""
    document = {
        "image": str(made.image),
        "image_id": made.state.image_id,
        "fingerprint": made.state.fingerprint,
        "trusted": made.state.trusted,
        "device": _disk_fields(made.disk),
        "form": made.stick.form,
        "reports": made.stick.reports,
        "note": made.stick.note,
        "bytes": made.size,
        "write_seconds": round(made.timing.write, 3),
        "read_seconds": round(made.timing.read, 3),
    }
    return _json("recoverykit.usb/1", document)


def _json(schema: str, values: dict[str, Any]) -> str:
    return json.dumps({"schema": schema, **values}, indent=2)
