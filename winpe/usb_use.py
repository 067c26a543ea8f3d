"""What of this machine uses a disk: mounts, swap, and devices built upon it.

Sources: proc(5) (/proc/self/mountinfo, /proc/swaps); Linux Documentation/ABI/stable/sysfs-block
("holders"). A mount is known by its device number or by the name of its source: Btrfs gives numbers
of its own. What other mount namespaces hold is not seen here; opening the device exclusively is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from winpe import usb_disks
from winpe.usb_disks import ROOT, Disk

_SYSTEM = ("/", "/boot", "/boot/efi", "/efi", "/usr", "/var")
_DEEPEST = 8  # devices upon devices: LUKS in LVM in RAID is three


@dataclass(frozen=True, slots=True)
class Use:
    """One reason why a device is not free."""

    name: str  # the disk, a partition of it, or a device built upon it: "sdb1", "dm-0"
    mount: str = ""  # where it is mounted
    swap: bool = False
    holder: str = ""  # the device built upon it: "dm-0 (vg-root)"

    @property
    def system(self) -> bool:
        return self.swap or self.mount in _SYSTEM

    def __str__(self) -> str:
        if self.mount:
            return f"/dev/{self.name} at {self.mount}"
        if self.swap:
            return f"/dev/{self.name} as swap"
        return f"/dev/{self.name} by {self.holder}"


def uses(disk: Disk, root: Path = ROOT) -> tuple[Use, ...]:
    """Everything that holds the disk, its partitions, or what is built upon them."""
    names = {disk.name, *(part.name for part in disk.parts)}
    found: list[Use] = []
    for _ in range(_DEEPEST):
        holders = {name: _holders(name, root) for name in names}
        for name in sorted(names):
            found += _mounts(name, root) + _swaps(name, root)
            found += [Use(name, holder=_called(holder, root)) for holder in holders[name]]
        names = {holder for some in holders.values() for holder in some}
        if not names:
            break
    return tuple(found)


def _holders(name: str, root: Path) -> list[str]:
    folder = root / "sys/class/block" / name / "holders"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _called(holder: str, root: Path) -> str:
    given = usb_disks.text(root / "sys/class/block" / holder / "dm/name")
    return f"{holder} ({given})" if given else holder


def _mounts(name: str, root: Path) -> list[Use]:
    number = usb_disks.text(root / "sys/class/block" / name / "dev")
    found = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, source = before.split(" "), after.split(" ")
        if len(fields) > 5 and len(source) > 1:
            same = fields[2] == number or _device(_unescape(source[1]), root) == name
            found += [Use(name, mount=_printable(_unescape(fields[4])))] if same else []
    return found


def _swaps(name: str, root: Path) -> list[Use]:
    first = (line.split(None, 1)[0] for line in _lines(root / "proc/swaps")[1:] if line.strip())
    return [Use(name, swap=True) for path in first if _device(_unescape(path), root) == name]


def _device(source: str, root: Path) -> str:
    """The kernel's name of a /dev path, through the links that udev makes."""
    if not source.startswith("/dev/"):
        return ""
    path = root / source[1:]
    return path.resolve().name if path.is_symlink() else path.name


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _unescape(text: str) -> str:
    """Spaces and the like are written as a backslash and three octal digits."""
    first, *rest = text.split("\\")
    done = [first]
    for part in rest:
        digits = part[:3]
        is_octal = len(digits) == 3 and all(digit in "01234567" for digit in digits)
        done.append(chr(int(digits, 8)) + part[3:] if is_octal else "\\" + part)
    return "".join(done)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
