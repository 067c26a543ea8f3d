"""What stands between firmware and Windows: boot stores, boot managers, loader entries.

Each volume of the installation's disk that may hold boot files is looked at by itself, as firmware
would: one that has everything is enough, whatever lies on the others. A Windows may be started from
another disk, so that a volume without boot files proves something only where it is an EFI system
partition, or has the folders of one. Elements: windows-boot-facts.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recoverykit.boot import esp
from recoverykit.boot.store import Found, Role
from recoverykit.boot.store import find as find_stores
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.formats import bcd_device
from recoverykit.formats.bcd import Object, Store
from recoverykit.formats.bcd_device import Boot, Device, Ramdisk, VirtualDisk
from recoverykit.formats.bcd_names import BOOTMGR, ObjectType
from recoverykit.model import (
    BootFault,
    BootLoader,
    BootProblem,
    BootStore,
    Evidence,
    Gap,
    Source,
    Volume,
    WindowsInstall,
)

_DEVICE, _PATH, _DESCRIPTION = 0x11000001, 0x12000002, 0x12000004
_OS_DEVICE, _ROOT, _WINPE = 0x21000001, 0x22000002, 0x26000022
_SAFE_BOOT = 0x25000080
_DEFAULT, _ORDER, _ONCE = 0x23000003, 0x24000001, 0x24000002
_ESP_TYPE = ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef")
_STORES = {"uefi": "EFI/Microsoft/Boot/BCD", "bios": "Boot/BCD"}


@dataclass(frozen=True, slots=True)
class _Place:
    """One volume that may start this Windows."""

    install: WindowsInstall
    volume: Volume
    mount: Path
    firmware: str  # "uefi" or "bios"
    partitions: frozenset[str]  # identities of every partition that was seen

    def source(self, path: str, offset: int | None = None, key: str = "") -> Source:
        own = self.volume == self.install.volume
        return Source(path if own else f"{self.volume.name}:/{path}", offset, key)

    def problem(
        self, fault: BootFault, text: str, path: str, *, fatal: bool = True, key: str = ""
    ) -> BootProblem:
        return BootProblem(self.source(path, key=key), fault, text, fatal)


def collect(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    volumes: Sequence[Volume] = (),
) -> Iterator[Evidence]:
    """The boot stores of this disk, and what is wrong with the way to this Windows.

    `boot_volumes`: other volumes of the disk with their mount points; `volumes`: all volumes that
    were seen. What cannot be opened is a Gap.
    """
    known = {install.volume, *(volume for volume, _ in boot_volumes), *volumes}
    partitions = frozenset(volume.identity for volume in known if volume.identity)
    judged: list[tuple[list[BootProblem], list[Evidence]]] = []
    for volume, mount in (*boot_volumes, (install.volume, install.mount)):
        try:
            firmware = _firmware(install, volume, mount)
            if firmware:
                place = _Place(install, volume, mount, firmware, partitions)
                judged.append(_judge(place))
        except (RecoveryKitError, OSError) as exc:
            reason = f"the boot files on {volume.name} cannot be read: {exc}"
            yield Gap(Source(volume.name), reason)
    if not judged:
        reason = "no boot files were seen: they lie on a volume that was not opened"
        yield Gap(Source(install.volume.name), reason)
        return
    best = min(judged, key=lambda each: sum(problem.fatal for problem in each[0]))
    for problems, others in judged:
        yield from others
        if problems is best[0]:
            yield from problems


def _firmware(install: WindowsInstall, volume: Volume, mount: Path) -> str:
    """What would start from this volume; "" when nothing says that it should."""
    has = {
        "uefi": volume.type in _ESP_TYPE or not esp.missing(mount, "EFI/Microsoft"),
        "bios": not esp.missing(mount, "Boot/BCD") or not esp.missing(mount, esp.BIOS_MANAGER),
    }
    has["bios"] = has["bios"] or (not has["uefi"] and not esp.missing(mount, "Boot"))
    scheme = install.volume.disk.scheme if install.volume.disk else ""
    for firmware in ("bios", "uefi") if scheme == "mbr" else ("uefi", "bios"):
        if has[firmware]:
            return firmware
    return ""


# --- one volume ---------------------------------------------------------------------------


def _judge(place: _Place) -> tuple[list[BootProblem], list[Evidence]]:
    """What is wrong on one volume, and what was read there."""
    problems = list(_managers(place))
    read: list[Evidence] = []
    wanted = _STORES[place.firmware]
    found = [
        one
        for one in find_stores(place.mount)
        if one.role is Role.SYSTEM and one.path.lower() == wanted.lower()
    ]
    if not found:
        text = f"There is no boot store on {place.volume.name}."
        problems.append(place.problem(BootFault.STORE_MISSING, text, wanted))
    for one in found:
        if one.store is None:
            text = (
                f"The boot store on {place.volume.name} cannot be used: {one.problem.rstrip('.')}."
            )
            problems.append(place.problem(BootFault.STORE_DAMAGED, text, one.path))
        else:
            read.append(_described(place, one, one.store))
            read += [Gap(place.source(one.path), gap.reason) for gap in one.store.gaps]
            problems += _store(place, one, one.store)
    return problems, read


def _managers(place: _Place) -> Iterator[BootProblem]:
    machine = place.install.architecture
    if place.firmware == "bios":
        yield from _manager(place, esp.BIOS_MANAGER, "")
        return
    yield from _manager(place, esp.EFI_MANAGER, machine)
    spare = esp.fallback(machine)
    if esp.missing(place.mount, spare):
        text = f"{spare}, which firmware without a boot entry starts, is missing."
        yield place.problem(BootFault.MANAGER_MISSING, text, spare, fatal=False)


def _manager(place: _Place, path: str, machine: str) -> Iterator[BootProblem]:
    if esp.missing(place.mount, path):
        text = f"The boot manager {path} is missing on {place.volume.name}."
        yield place.problem(BootFault.MANAGER_MISSING, text, path)
        return
    wrong = esp.damage(place.mount, path, machine=machine)
    if wrong:
        text = f"The boot manager {path} on {place.volume.name} is damaged: {wrong}."
        yield place.problem(BootFault.MANAGER_DAMAGED, text, path)


# --- one store ----------------------------------------------------------------------------


def _described(place: _Place, found: Found, store: Store) -> BootStore:
    manager = store.find(BOOTMGR)
    default = manager.value(_DEFAULT) if manager else None
    loaders = tuple(
        BootLoader(
            place.source(found.path, key=one.id),
            one.id,
            _text(one, _DESCRIPTION),
            _text(one, _PATH),
            _text(one, _ROOT),
            _is_ours(place, one),
            default=one.id == default,
            recovery=_is_recovery(one),
        )
        for one in _loaders(store)
    )
    source = place.source(found.path)
    return BootStore(source, place.volume.name, found.role, place.firmware, loaders)


def _store(place: _Place, found: Found, store: Store) -> Iterator[BootProblem]:
    manager = store.find(BOOTMGR)
    if manager is None:
        text = "The boot store has no entry for the boot manager itself."
        yield place.problem(BootFault.MANAGER_ENTRY_MISSING, text, found.path)
    loaders = [one for one in _loaders(store) if not _is_recovery(one)]
    ours = [one for one in loaders if _is_ours(place, one)]
    unsure = [one for one in loaders if _is_ours(place, one) is None]
    if not ours and not unsure:
        yield _no_loader(place, found, loaders)
    for one in ours or unsure:
        yield from _loader(place, found, one)
    if manager is not None and manager.value(_ONCE):
        text = "The boot store says to start something else once, at the next boot."
        yield place.problem(BootFault.ONE_SHOT, text, found.path, fatal=False, key=manager.id)


def _no_loader(place: _Place, found: Found, loaders: Sequence[Object]) -> BootProblem:
    """Entries for other Windows are normal; one whose partition is gone was this one's."""
    name = place.install.folder
    for one in loaders:
        device = one.value(_OS_DEVICE)
        where = bcd_device.identity(device.where) if isinstance(device, Device) else ""
        if where and where not in place.partitions and _root(one) == name.lower():
            text = (
                f"The entry {_text(one, _DESCRIPTION) or one.id} names a partition that is not "
                f"there ({where}), and no entry names this one."
            )
            return place.problem(BootFault.WRONG_DEVICE, text, found.path, key=one.id)
    text = f"The boot store on {place.volume.name} has no entry that starts this Windows."
    return place.problem(BootFault.NO_LOADER, text, found.path)


def _loader(place: _Place, found: Found, entry: Object) -> Iterator[BootProblem]:
    path = _text(entry, _PATH)
    suffix = ".efi" if place.firmware == "uefi" else ".exe"
    name = _text(entry, _DESCRIPTION) or entry.id
    if path and not path.lower().endswith(suffix):
        text = f"The entry {name} starts {path}, which {place.firmware.upper()} firmware cannot."
        yield place.problem(BootFault.WRONG_FIRMWARE, text, found.path, key=entry.id)
    elif path and _is_ours(place, entry):
        yield from _loader_file(place, path)
    if entry.find(_SAFE_BOOT) is not None:
        text = f"The entry {name} always starts Safe Mode."
        yield place.problem(BootFault.SAFE_BOOT, text, found.path, fatal=False, key=entry.id)


def _loader_file(place: _Place, path: str) -> Iterator[BootProblem]:
    """The loader lies on the Windows volume, whatever volume the store is on."""
    relative = path.replace("\\", "/").lstrip("/")
    mount = place.install.mount
    try:
        wrong = esp.damage(mount, relative, machine=place.install.architecture)
    except FileNotFoundError:
        wrong = "it is missing"
    if wrong:
        text = f"The loader {path} cannot be started: {wrong}."
        yield BootProblem(Source(relative), BootFault.LOADER_FILE_MISSING, text, fatal=True)


def _loaders(store: Store) -> list[Object]:
    return [one for one in store.objects if one.type == ObjectType.OS_LOADER]


def _is_recovery(entry: Object) -> bool:
    """WinRE, Setup, a RAM disk: started on demand, and not this Windows."""
    device = entry.value(_OS_DEVICE) or entry.value(_DEVICE)
    inside = bcd_device.parts(device.where) if isinstance(device, Device) else ()
    return any(isinstance(part, Ramdisk) for part in inside) or bool(entry.value(_WINPE))


def _is_ours(place: _Place, entry: Object) -> bool | None:
    """Whether an entry starts this installation; None where that cannot be told."""
    if _root(entry) != place.install.folder.lower():
        return False
    device = entry.value(_OS_DEVICE)
    if not isinstance(device, Device):
        return None
    if isinstance(device.where, Boot):
        return place.volume == place.install.volume
    if isinstance(device.where, VirtualDisk):
        return False
    where = bcd_device.identity(device.where)
    if not where or not place.install.volume.identity:
        return None
    return where == place.install.volume.identity


def _root(entry: Object) -> str:
    return _text(entry, _ROOT).strip("\\").lower()


def _text(entry: Object, element: int) -> str:
    try:
        value = entry.value(element)
    except FormatError:
        return ""
    return value if isinstance(value, str) else ""
