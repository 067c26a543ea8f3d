"""What an ISO of the Linux base is made of, and what each part costs. Reads it in place.

Unpacked sizes are exact. A segment of the initramfs is compressed as one, so what a part of it
costs there is an estimate: each part is compressed alone (zlib, quickly) and the results are
scaled to the segment's true size. Nothing is verified here: that is `verify`.
"""

from __future__ import annotations

import re
import stat
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from signing import manifest
from signing.errors import SigningError
from winpe import image as images
from winpe import initramfs_reader
from winpe.errors import ImageRefusedError
from winpe.initramfs_reader import Item, Segment

SCHEMA = "recoverykit.inspect/1"
_INITRD, _MENU = "boot/initrd.img", "boot/grub/grub.cfg"
_LARGEST_INITRD, _LARGEST_TEXT = 1 << 30, 1 << 20
_SITE = "usr/lib/python3/dist-packages/"
_DRIVERS = re.compile(r"usr/lib/modules/[^/]+/kernel/(?:drivers/)?(?P<kind>[^/]+)/")
_KINDS = (
    (r"usr/lib/modules/", "modules: their index"),
    (r"usr/lib/python3\.", "Python: standard library"),
    (r"usr/lib(64)?/", "libraries"),
    (r"usr/s?bin/", "tools"),
    (r"usr/share/recoverykit/", "trust, packs, settings, payload manifest"),
)
_COMMAND_LINE = re.compile(r"^\s*linux /boot/vmlinuz (?P<words>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that space is spent on."""

    name: str
    stored: int  # bytes on the image
    unpacked: int  # bytes in memory
    estimated: bool  # whether `stored` is


@dataclass(frozen=True, slots=True)
class Inspection:
    """One image."""

    image_id: str
    made: str
    facts: dict[str, str]
    command_lines: tuple[str, ...]
    parts: tuple[Part, ...]  # the most expensive first


def inspect(path: Path) -> Inspection:
    """Of an ISO or the stick it was written to. Raises MediaError."""
    try:
        with images.opened(path) as image:
            return _inspected(image)
    except SigningError as exc:
        raise ImageRefusedError(f"{path} is refused: {exc}", hint=exc.hint) from exc


def _inspected(image: images.Image) -> Inspection:
    signed = manifest.from_bytes(image.read(manifest.MEDIUM_MANIFEST, manifest.LARGEST))
    names = set(image.names())
    parts: list[Part] = []
    if _INITRD in names:
        content = image.read(_INITRD, _LARGEST_INITRD)
        parts += _of_initrd(initramfs_reader.segments(content))
    parts += [
        Part(entry.path, entry.size, entry.size, estimated=False)
        for entry in signed.entries
        if entry.path != _INITRD
    ]
    menu = image.read(_MENU, _LARGEST_TEXT).decode(errors="replace") if _MENU in names else ""
    return Inspection(
        image_id=signed.image_id,
        made=signed.made.isoformat(),
        facts=dict(signed.facts),
        command_lines=tuple(found["words"] for found in _COMMAND_LINE.finditer(menu)),
        parts=tuple(sorted(parts, key=lambda part: (-part.stored, part.name))),
    )


def _of_initrd(segments: Iterable[Segment]) -> list[Part]:
    totals: dict[str, list[int]] = {}
    for segment in segments:
        alone: dict[str, list[int]] = {}
        for item in segment.items():
            _add(alone, item)
        scale = segment.stored / max(1, sum(small for small, _ in alone.values()))
        for name, (small, size) in alone.items():
            total = totals.setdefault(name, [0, 0])
            total[0] += round(small * scale)
            total[1] += size
    return [Part(name, stored, size, estimated=True) for name, (stored, size) in totals.items()]


def _add(alone: dict[str, list[int]], item: Item) -> None:
    if stat.S_ISREG(item.mode) and item.content:
        sizes = alone.setdefault(kind(item.name), [0, 0])
        sizes[0] += len(zlib.compress(item.content, 1))
        sizes[1] += len(item.content)


def kind(name: str) -> str:
    """What a file of the running system is there for."""
    if found := _DRIVERS.match(name):
        return f"modules: {found['kind']}"
    if name.startswith(_SITE):
        return f"Python: {name.removeprefix(_SITE).partition('/')[0].partition('.')[0]}"
    return next((label for form, label in _KINDS if re.match(form, name)), "other")
