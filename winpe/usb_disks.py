"""The sticks, cards and USB disks of this machine, as Linux describes them in /sys.

Sources: Linux Documentation/ABI/stable/sysfs-block, testing/sysfs-bus-usb, driver-api/mmc/
mmc-dev-attrs. `removable` is what the device itself says; USB enclosures say 0, so whatever hangs
on a USB bus counts as external. Never listed: disks inside the machine (SATA, NVMe, virtio, an
eMMC chip), CD drives, slots without a card. udev is not asked. `root` stands in for "/" in tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_UNIT = 512  # bytes in one unit of `size` and `start`, whatever the sectors are
_NAMES = re.compile(r"sd[a-z]+|mmcblk\d+")
_LOOP = re.compile(r"loop\d+")
_USB_BUS = re.compile(r"usb\d+")


@dataclass(frozen=True, slots=True)
class Part:
    """One partition that the kernel knows."""

    name: str  # "sdb1"
    number: str  # "8:17": major and minor
    start: int  # bytes
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that can be taken out of this machine."""

    name: str  # "sdb"
    number: str  # "8:16"
    path: Path  # "/dev/sdb"
    kind: str  # "USB stick", "USB disk", "SD card", "removable disk" or "loop device"
    bus: str  # "usb", "mmc", "scsi" or "loop"
    size: int  # bytes
    sector_size: int  # bytes, logical
    model: str  # with the vendor's name; "" when it says nothing
    serial: str  # "" when it has none
    read_only: bool
    parts: tuple[Part, ...] = ()

    @property
    def title(self) -> str:
        """For sentences: what it is, without its name."""
        return " ".join(word for word in (self.model, self.kind) if word)


def disks(root: Path = ROOT, *, allow_loop: bool = False) -> tuple[Disk, ...]:
    """Every external disk with a medium in it, by name."""
    home = root / "sys/class/block"
    names = sorted(entry.name for entry in home.iterdir()) if home.is_dir() else []
    found = (disk(name, root, allow_loop=allow_loop) for name in names)
    return tuple(one for one in found if one and one.size)


def disk(name: str, root: Path = ROOT, *, allow_loop: bool = False) -> Disk | None:
    """The external disk of that name; None when there is none, or it is built in."""
    home = root / "sys/class/block" / name
    if not home.exists():
        return None
    place = home.resolve()
    kind, bus = _kind(place, allow_loop=allow_loop)
    if not kind:
        return None
    return Disk(
        name=name,
        number=text(place / "dev"),
        path=root / "dev" / name,
        kind=kind,
        bus=bus,
        size=_number(place / "size") * _UNIT,
        sector_size=_number(place / "queue/logical_block_size") or 512,
        model=_model(place),
        serial=_serial(place, bus),
        read_only=_number(place / "ro") == 1,
        parts=_parts(place),
    )


def whole(name: str, root: Path = ROOT) -> str:
    """The disk that a partition belongs to; "" where `name` is no partition."""
    place = (root / "sys/class/block" / name).resolve()
    return place.parent.name if (place / "partition").exists() else ""


def _kind(place: Path, *, allow_loop: bool) -> tuple[str, str]:
    """What it is and on which bus, ("", "") for what is not ours to touch."""
    if _LOOP.fullmatch(place.name) and allow_loop:
        return "loop device", "loop"
    if not _NAMES.fullmatch(place.name):
        return "", ""
    if place.name.startswith("mmcblk"):
        # MMC is the chip soldered to the board; a card in a slot says SD.
        return ("SD card", "mmc") if text(place / "device/type") == "SD" else ("", "")
    removable = _number(place / "removable") == 1
    if _usb_device(place):
        return ("USB stick" if removable else "USB disk"), "usb"
    return ("removable disk", "scsi") if removable else ("", "")


def _usb_device(place: Path) -> Path | None:
    """The USB device that a disk hangs on: the nearest folder above that has USB's ids."""
    if not any(_USB_BUS.fullmatch(part) for part in place.parts):
        return None
    return next((above for above in place.parents if (above / "idVendor").exists()), place)


def _model(place: Path) -> str:
    if _LOOP.fullmatch(place.name):
        return text(place / "loop/backing_file")
    if place.name.startswith("mmcblk"):
        return text(place / "device/name")
    words = f"{text(place / 'device/vendor')} {text(place / 'device/model')}"
    return " ".join(words.split())


def _serial(place: Path, bus: str) -> str:
    if bus == "usb":
        usb = _usb_device(place)
        return text(usb / "serial") if usb else ""
    if bus == "loop":
        return Path(text(place / "loop/backing_file")).name
    return text(place / "device/serial")


def _parts(place: Path) -> tuple[Part, ...]:
    found = [
        Part(
            name=entry.parent.name,
            number=text(entry.parent / "dev"),
            start=_number(entry.parent / "start") * _UNIT,
            size=_number(entry.parent / "size") * _UNIT,
        )
        for entry in place.glob("*/partition")
    ]
    return tuple(sorted(found, key=lambda part: part.start))


def text(path: Path) -> str:
    """One attribute; "" when it is not there. Only what prints as what it is: names are hostile."""
    try:
        content = path.read_bytes()[:1024].decode("utf-8", "replace")
    except OSError:
        return ""
    return "".join(each if each.isprintable() else "?" for each in content.strip())


def _number(path: Path) -> int:
    content = text(path)
    return int(content) if content.isdecimal() else 0
