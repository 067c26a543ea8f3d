"""Entries of a boot store that start a Windows, and whether it is the one that is examined.

Elements and device records: windows-boot-facts.md, section 4; `recoverykit.formats.bcd_device`. An
entry has settings of its own and those of the objects it inherits from. Which partition an entry
means can be told of GPT and MBR partitions and of `boot`, not of a device that is searched for.
"""

from __future__ import annotations

from dataclasses import dataclass

from recoverykit.formats import bcd_device
from recoverykit.formats.bcd import Object, Store, Value
from recoverykit.formats.bcd_device import Boot, Device, Ramdisk, VirtualDisk
from recoverykit.formats.bcd_names import ObjectType
from recoverykit.model import Volume, WindowsInstall

DEVICE, PATH, DESCRIPTION, INHERIT = 0x11000001, 0x12000002, 0x12000004, 0x14000006
OS_DEVICE, ROOT, WINPE = 0x21000001, 0x22000002, 0x26000022
SAFE_BOOT = 0x25000080
DEFAULT, ONCE = 0x23000003, 0x24000002
_MAX_INHERITED = 64  # objects; real entries have three


@dataclass(frozen=True, slots=True)
class Owner:
    """The installation an entry may mean, and the volume its store lies on."""

    install: WindowsInstall
    store: Volume

    def starts(self, entry: Object) -> bool | None:
        """Whether an entry starts this installation; None where that cannot be told."""
        if not self._is_folder(entry):
            return False
        return self.is_volume(entry.value(OS_DEVICE))

    def is_volume(self, device: Value | None) -> bool | None:
        """Whether a device element means the installation's volume; None: cannot be told."""
        if not isinstance(device, Device):
            return None
        if isinstance(device.where, Boot):
            return self.store == self.install.volume
        if any(isinstance(part, Ramdisk | VirtualDisk) for part in bcd_device.parts(device.where)):
            return False
        where = bcd_device.identity(device.where)
        own = self.install.volume.identity
        return where == own if where and own else None

    def _is_folder(self, entry: Object) -> bool:
        """Without a systemroot, the loader's path names the folder."""
        wanted = self.install.folder.lower()
        root = _relative(text(entry, ROOT))
        return root == wanted or (
            not root and _relative(text(entry, PATH)).startswith(f"{wanted}/")
        )


def loaders(store: Store) -> list[Object]:
    return [one for one in store.objects if one.type == ObjectType.OS_LOADER]


def is_recovery(entry: Object) -> bool:
    """WinRE, Setup, a RAM disk: started on demand, and not this Windows."""
    device = entry.value(OS_DEVICE) or entry.value(DEVICE)
    inside = bcd_device.parts(device.where) if isinstance(device, Device) else ()
    return any(isinstance(part, Ramdisk) for part in inside) or entry.value(WINPE) is True


def partition(device: Value | None) -> str:
    """The partition a device element names, spelled as `Volume.identity`; "" for any other."""
    return bcd_device.identity(device.where) if isinstance(device, Device) else ""


def name(entry: Object) -> str:
    return text(entry, DESCRIPTION) or entry.id


def text(entry: Object, element: int) -> str:
    value = entry.value(element)
    return value if isinstance(value, str) else ""


def is_safe(store: Store, entry: Object) -> bool:
    """Whether an entry, or what it inherits from, asks for Safe Mode."""
    pending, seen = [entry], {entry.id}
    while pending and len(seen) <= _MAX_INHERITED:
        one = pending.pop()
        if one.find(SAFE_BOOT) is not None:
            return True
        listed = one.value(INHERIT)
        for wanted in listed if isinstance(listed, tuple) else ():
            found = store.find(str(wanted))
            if found is not None and found.id not in seen:
                seen.add(found.id)
                pending.append(found)
    return False


def first(entries: list[Object], default: Value | None) -> list[Object]:
    """Of several entries for one Windows, those that are started without a choice: the default."""
    chosen = [one for one in entries if isinstance(default, str) and one.id == default.lower()]
    return chosen or entries


def same_folder(entry: Object, install: WindowsInstall) -> bool:
    return _relative(text(entry, ROOT)) == install.folder.lower()


def _relative(path: str) -> str:
    return path.replace("\\", "/").strip("/").lower()
