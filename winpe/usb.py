"""`build_media.py usb`: choose a stick, refuse what must not be overwritten, write it, prove it.

The steps, in this order; nothing is written before the last.

    1. the device is an external disk, whole, with 512-byte sectors, and nothing uses it
    2. the image is exactly what was signed
    3. the image fits
    4. somebody says yes, by the device's name or its serial number
    5. the device is opened for us alone and is still the one that was shown
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from winpe import cache, usb_device, usb_disks, usb_layout, usb_use, usb_write, verify
from winpe.errors import MediaUsageError
from winpe.progress import Progress
from winpe.usb_device import SECTOR
from winpe.usb_disks import ROOT, Disk
from winpe.usb_errors import DeviceRefusedError
from winpe.usb_layout import Stick
from winpe.usb_write import HEAD, Timing
from winpe.verify import ImageState

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What `build_media.py usb IMAGE DEVICE` was asked for."""

    image: Path
    device: Path
    trust: Sequence[x509.Certificate] | None = None  # None: the image's own certificate
    reports: bool = True
    allow_loop: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The stick that was made."""

    disk: Disk
    image: Path
    state: ImageState
    stick: Stick
    timing: Timing
    announced: bool  # the kernel of this machine knows the new partitions

    @property
    def size(self) -> int:
        """Bytes written and read back."""
        return self.stick.layout.size


Confirm = Callable[[Disk], None]  # raises where the answer is no


def write(options: Options, confirm: Confirm, progress: Progress, root: Path = ROOT) -> Written:
    """Make the stick. Raises MediaError; nothing was written unless it is a StickError."""
    disk = chosen(options.device, root, allow_loop=options.allow_loop)
    before = _identity(options.image)
    progress.stage(f"Verifying {options.image.name}")
    state = verify.verify_image(options.image, options.trust, progress)
    progress.done()
    _check_size(disk, options.image)
    confirm(disk)
    with tempfile.TemporaryDirectory(prefix="recoverykit-usb-") as folder:
        with cache.disk_errors(Path(folder)):
            stick = usb_layout.of_image(
                options.image, disk.size, Path(folder), reports=options.reports
            )
        with usb_device.opened(disk.path) as device:
            _check_same(disk, device, root, allow_loop=options.allow_loop)
            if _identity(options.image) != before:
                raise MediaUsageError(f"{options.image} has changed meanwhile: nothing was written")
            timing = usb_write.write(stick.layout, device, progress)
            announced = device.announce()
    return Written(disk, options.image, state, stick, timing, announced)


def chosen(device: Path, root: Path = ROOT, *, allow_loop: bool = False) -> Disk:
    """The disk at a path that may be overwritten. Raises MediaUsageError, DeviceRefusedError."""
    name = _name(device)
    whole = usb_disks.whole(name, root)
    if whole:
        raise MediaUsageError(
            f"{device} is a partition; the medium takes the whole disk", hint=f"name /dev/{whole}"
        )
    disk = usb_disks.disk(name, root, allow_loop=allow_loop)
    if disk is None:
        raise DeviceRefusedError(
            f"{device} is not a removable disk: it is built into this machine",
            hint="`build_media.py usb` lists the sticks",
        )
    refuse(disk, root)
    return disk


def refuse(disk: Disk, root: Path = ROOT) -> None:
    """Raise DeviceRefusedError where a disk must not be overwritten, saying why."""
    _refuse_used(disk, usb_use.uses(disk, root))
    if not disk.size:
        raise DeviceRefusedError(f"{disk.path} has no medium in it", hint="put the card in")
    if disk.read_only:
        raise DeviceRefusedError(
            f"{disk.path} is write-protected",
            hint="slide its lock; a worn stick protects itself for good: take another one",
        )
    if disk.sector_size != SECTOR:
        raise DeviceRefusedError(
            f"{disk.path} has sectors of {disk.sector_size} bytes: no firmware would find the "
            f"boot loader on it",
            hint="take an ordinary stick, with sectors of 512 bytes",
        )


def _refuse_used(disk: Disk, uses: tuple[usb_use.Use, ...]) -> None:
    system = [use for use in uses if use.system]
    if system:
        raise DeviceRefusedError(f"{disk.path} is a disk of the running system ({system[0]})")
    mounted = [use for use in uses if use.mount]
    if mounted:
        points = " ".join(f"'{use.mount}'" for use in reversed(mounted))
        raise DeviceRefusedError(
            f"{disk.path} is mounted ({'; '.join(map(str, mounted))})", hint=f"umount {points}"
        )
    if uses:
        raise DeviceRefusedError(
            f"{disk.path} is in use ({uses[0]})",
            hint="a RAID set, volume group or encrypted volume is open on it: close that first",
        )


def _name(device: Path) -> str:
    try:
        real = device.resolve(strict=True)
        mode = real.stat().st_mode
    except OSError as exc:
        hint = "`build_media.py usb` lists the sticks"
        raise MediaUsageError(f"{device}: {exc.strerror}", hint=hint) from exc
    if not stat.S_ISBLK(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a disk"
        raise MediaUsageError(f"{device} is {kind}", hint="`build_media.py usb` lists the sticks")
    return real.name


def _check_size(disk: Disk, image: Path) -> None:
    size = max(image.stat().st_size, HEAD)
    if size > disk.size:
        raise DeviceRefusedError(
            f"{disk.path} is too small: it holds {disk.size / _MB:,.0f} MB, "
            f"the image has {size / _MB:,.0f} MB"
        )


def _check_same(disk: Disk, device: usb_device.Device, root: Path, *, allow_loop: bool) -> None:
    """Between the question and the answer somebody may have changed sticks."""
    now = usb_disks.disk(disk.name, root, allow_loop=allow_loop)
    same = now is not None and (now.serial, now.model, now.size, now.number) == (
        disk.serial,
        disk.model,
        disk.size,
        disk.number,
    )
    if not same or (device.number, device.size) != (disk.number, disk.size):
        raise DeviceRefusedError(f"{disk.path} is another device now: nothing was written")


def _identity(image: Path) -> tuple[int, ...]:
    try:
        about = image.stat()
    except OSError as exc:
        raise MediaUsageError(f"{image} cannot be opened: {exc.strerror}") from exc
    if not stat.S_ISREG(about.st_mode):
        raise MediaUsageError(f"{image} is not an image file")
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def rate(size: int, seconds: float) -> str:
    """Megabytes a second, for people."""
    return f"{size / max(seconds, 1e-6) / _MB:,.1f} MB/s"
