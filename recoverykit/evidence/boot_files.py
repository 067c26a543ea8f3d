"""What stands between firmware and Windows: boot stores, boot managers, loader entries.

Each volume of the installation's disk that may hold boot files is looked at by itself, as firmware
would, once for each kind of firmware it has files for: one that has everything is enough, whatever
lies on the others. A Windows may be started from another disk, so that a volume without boot files
proves something only where it is an EFI system partition, or has the folders of one; and what is
wrong there is fatal only where no other volume could start this Windows, or the store names it.
Elements: windows-boot-facts.md, section 4. Not told, because nothing here says: which partition of
an MBR disk is active (BootFault.NOT_ACTIVE), and what the firmware's own variables name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recoverykit import installs
from recoverykit.boot import esp
from recoverykit.boot import store as stores
from recoverykit.boot.store import Found, Role
from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence import boot_entries as entries
from recoverykit.evidence import files, reading
from recoverykit.evidence.boot_entries import Owner
from recoverykit.formats import bcd, hive_tiling
from recoverykit.formats.bcd import Object, Store
from recoverykit.formats.bcd_names import BOOTMGR
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    BootFault,
    BootLoader,
    BootProblem,
    BootStore,
    Evidence,
    FileSystem,
    Gap,
    Source,
    Volume,
    WindowsInstall,
)

_STORES = {"uefi": "EFI/Microsoft/Boot/BCD", "bios": "Boot/BCD"}
_PROGRAMS = {"uefi": ".efi", "bios": ".exe"}
_OPENED = (FileSystem.FAT, FileSystem.NTFS)
_ELSEWHERE = "; another volume, which was not opened, may start this Windows."


@dataclass(frozen=True, slots=True)
class _Place:
    """One volume that may start this Windows, for one kind of firmware."""

    install: WindowsInstall
    volume: Volume
    mount: Path
    firmware: str  # "uefi" or "bios"
    partitions: frozenset[str]  # identities of every partition that was seen

    @property
    def owner(self) -> Owner:
        return Owner(self.install, self.volume)

    def source(self, path: str, offset: int | None = None, key: str = "") -> Source:
        own = self.volume == self.install.volume
        return Source(path if own else f"{self.volume.name}:/{path}", offset, key)

    def problem(
        self, fault: BootFault, text: str, path: str, *, fatal: bool = True, key: str = ""
    ) -> BootProblem:
        return BootProblem(self.source(path, key=key), fault, text, fatal)

    def gap(self, path: str, gap: Gap) -> Gap:
        """One of a store's own, as this report names its file."""
        return replace(gap, source=self.source(path, gap.source.offset, gap.source.key))


@dataclass(frozen=True, slots=True)
class _Judged:
    """What came of one place."""

    problems: tuple[BootProblem, ...]
    others: tuple[Evidence, ...] = ()  # stores and Gaps
    ours: bool = False  # its store has an entry for this installation

    @property
    def fatal(self) -> int:
        return sum(problem.fatal for problem in self.problems)


def collect(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    volumes: Sequence[Volume] = (),
) -> Iterator[Evidence]:
    """The boot stores of this disk, and what is wrong with the way to this Windows.

    `boot_volumes`: other volumes of the disk with their mount points; `volumes`: all volumes that
    were seen. What cannot be opened is a Gap.
    """
    opened = (*boot_volumes, (install.volume, install.mount))
    known = {*(volume for volume, _ in opened), *volumes}
    partitions = frozenset(volume.identity for volume in known if volume.identity)
    judged = [_Judged((problem,)) for problem in _unreadable(install, volumes)]
    closed = _closed(install, [volume for volume, _ in opened], volumes)
    for volume, mount in opened:
        try:
            judged += [
                _judge(_Place(install, volume, mount, firmware, partitions))
                for firmware in _firmwares(install, volume, mount)
            ]
        except (RecoveryKitError, OSError) as exc:
            closed = True
            reason = f"the boot files on {volume.name} cannot be read: {why(exc)}"
            yield Gap(Source(volume.name), reason)
    if not judged:
        reason = "no boot files were seen: they lie on a volume that was not opened"
        yield Gap(Source(install.volume.name), reason)
        return
    best = min(judged, key=lambda each: (each.fatal, not each.ours))
    for each in judged:
        yield from each.others
    yield from best.problems if best.ours or not closed else map(_uncertain, best.problems)


def _uncertain(problem: BootProblem) -> BootProblem:
    """What is wrong on a volume that need not be the one this Windows is started from."""
    if not problem.fatal:
        return problem
    return replace(problem, fatal=False, text=problem.text.rstrip(".") + _ELSEWHERE)


# --- which volumes ------------------------------------------------------------------------


def _unreadable(install: WindowsInstall, volumes: Sequence[Volume]) -> Iterator[BootProblem]:
    """EFI system partitions of this disk without a file system that firmware could read."""
    for volume in volumes:
        if volume.is_esp and _is_beside(install, volume) and volume.filesystem not in _OPENED:
            text = f"The EFI system partition {volume.name} has no FAT file system (any more)."
            yield BootProblem(Source(volume.name), BootFault.ESP_UNREADABLE, text, fatal=True)


def _is_beside(install: WindowsInstall, volume: Volume) -> bool:
    return volume.disk is not None and volume.disk == install.volume.disk


def _closed(install: WindowsInstall, opened: Sequence[Volume], volumes: Sequence[Volume]) -> bool:
    """Whether another volume, not looked at, may start this Windows. A stick does not."""
    own = install.volume.disk
    if own is None:
        return True  # a folder: nothing is known of its disk
    internal = {volume.disk for volume in volumes if volume.disk and not volume.disk.removable}
    others = {disk.scheme for disk in internal if disk != own}
    if own.scheme == "mbr" and "mbr" in others and len(opened) == 1:
        return True  # no system volume beside it: that of a BIOS machine may be on another disk
    return any(
        volume.is_esp
        and volume not in opened
        and volume.filesystem in _OPENED
        and (volume.disk == own or volume.disk in internal)
        for volume in volumes
    )


def _firmwares(install: WindowsInstall, volume: Volume, mount: Path) -> list[str]:
    """What would start from this volume; nothing when nothing says that it should.

    Firmware does not read the volume of Windows, and Windows is not started by BIOS from a GPT
    disk: what lies there are leftovers.
    """
    scheme = install.volume.disk.scheme if install.volume.disk else ""
    own = volume == install.volume
    found = []
    if volume.is_esp or (not own and not esp.missing(mount, "EFI/Microsoft")):
        found.append("uefi")
    if scheme != "gpt":
        names = (_STORES["bios"], esp.BIOS_MANAGER, *(["Boot"] if scheme and not found else []))
        if any(not esp.missing(mount, name) for name in names):
            found.append("bios")
    return found


# --- one volume ---------------------------------------------------------------------------


def _judge(place: _Place) -> _Judged:
    """What is wrong on one volume, and what was read there."""
    found = [*_managers(place)]
    wanted = _STORES[place.firmware]
    path = installs.locate(place.mount, wanted)
    if path is None:
        text = f"There is no boot store on {place.volume.name}."
        found.append(place.problem(BootFault.STORE_MISSING, text, wanted))
        return _judged(found)
    one = stores.open_at(place.mount, path, Role.SYSTEM)
    store = one.store or _as_it_lies(place, path)
    if one.store is None:
        text = f"The boot store on {place.volume.name} cannot be used: {one.problem.rstrip('.')}."
        fatal = store is None
        found.append(place.problem(BootFault.STORE_DAMAGED, text, path, fatal=fatal))
    if store is None:
        return _judged(found)
    found.append(_described(place, one, store))
    found += [place.gap(path, gap) for gap in store.gaps]
    found += _store(place, path, store)
    ours = any(place.owner.starts(entry) for entry in entries.loaders(store))
    return _judged(found, ours=ours)


def _judged(found: Sequence[Evidence], *, ours: bool = False) -> _Judged:
    problems = tuple(item for item in found if isinstance(item, BootProblem))
    others = tuple(item for item in found if not isinstance(item, BootProblem))
    return _Judged(problems, others, ours)


def _as_it_lies(place: _Place, path: str) -> Store | None:
    """A store that is dirty while its logs do not help, where it is sound all the same.

    What the boot manager makes of one is documented nowhere: it is told, but not as fatal.
    """
    try:
        content = reading.beginning(place.mount, path, stores.MAX_STORE)
        if content is None:
            return None
        hive_tiling.check(content.data)
        store = bcd.parse(Hive(content.data), path)
    except (RecoveryKitError, OSError):
        return None
    return store if store.objects and not store.gaps else None


def _managers(place: _Place) -> Iterator[Evidence]:
    machine = place.install.architecture
    if place.firmware == "bios":
        yield from _manager(place, esp.BIOS_MANAGER, "")
        return
    spares = esp.fallbacks(machine)
    there = [name for name in spares if not esp.missing(place.mount, name)]
    removable = place.volume.disk is not None and place.volume.disk.removable
    # Firmware starts the fallback of a removable disk: it has no entry for it.
    started = removable and any(not _damage(place, name, machine) for name in there)
    yield from _manager(place, esp.EFI_MANAGER, machine, fatal=not started)
    if not there:
        text = f"{spares[0]}, which firmware without a boot entry starts, is missing."
        yield place.problem(BootFault.MANAGER_MISSING, text, spares[0], fatal=False)


def _manager(place: _Place, path: str, machine: str, *, fatal: bool = True) -> Iterator[Evidence]:
    if esp.missing(place.mount, path):
        text = f"The boot manager {path} is missing on {place.volume.name}."
        yield place.problem(BootFault.MANAGER_MISSING, text, path, fatal=fatal)
        return
    wrong = _damage(place, path, machine)
    if wrong:
        text = f"The boot manager {path} on {place.volume.name} is damaged: {wrong}."
        yield place.problem(BootFault.MANAGER_DAMAGED, text, path, fatal=fatal)


def _damage(place: _Place, path: str, machine: str) -> str:
    found = installs.on_disk(place.mount, path)
    with found.open("rb", buffering=0) as stream:
        return esp.damage(stream, found.stat().st_size, path, machine=machine)


# --- one store ----------------------------------------------------------------------------


def _described(place: _Place, found: Found, store: Store) -> BootStore:
    manager = store.find(BOOTMGR)
    default = manager.value(entries.DEFAULT) if manager else None
    loaders = tuple(
        BootLoader(
            place.source(found.path, key=bcd.object_key(one.id)),
            one.id,
            entries.text(one, entries.DESCRIPTION),
            entries.text(one, entries.PATH),
            entries.text(one, entries.ROOT),
            place.owner.starts(one),
            default=isinstance(default, str) and one.id == default.lower(),
            recovery=entries.is_recovery(one),
        )
        for one in entries.loaders(store)
    )
    source = place.source(found.path)
    return BootStore(source, place.volume.name, found.role, place.firmware, loaders)


def _store(place: _Place, path: str, store: Store) -> Iterator[Evidence]:
    manager = store.find(BOOTMGR)
    if manager is None:
        text = "The boot store has no entry for the boot manager itself."
        yield place.problem(BootFault.MANAGER_ENTRY_MISSING, text, path)
    loaders = [one for one in entries.loaders(store) if not entries.is_recovery(one)]
    meant = {one.id: place.owner.starts(one) for one in loaders}
    ours = [one for one in loaders if meant[one.id]]
    chosen = ours or [one for one in loaders if meant[one.id] is None]
    if not chosen:
        yield _no_loader(place, path, loaders)
    yield from _entries(place, path, chosen)
    started = entries.first(chosen, manager.value(entries.DEFAULT) if manager else None)
    if started and all(entries.is_safe(store, one) for one in started):
        one = started[0]
        text = f"The entry {entries.name(one)} always starts Safe Mode."
        key = bcd.object_key(one.id)
        yield place.problem(BootFault.SAFE_BOOT, text, path, fatal=False, key=key)
    if manager is not None and manager.value(entries.ONCE):
        text = "The boot store says to start something else once, at the next boot."
        key = bcd.object_key(manager.id)
        yield place.problem(BootFault.ONE_SHOT, text, path, fatal=False, key=key)


def _entries(place: _Place, path: str, chosen: Sequence[Object]) -> Iterator[Evidence]:
    """What is wrong with the entries of this Windows: fatal only where none of them is sound."""
    found = [list(_loader(place, path, one)) for one in chosen]
    broken = [any(isinstance(item, BootProblem) for item in each) for each in found]
    for each in found:
        for item in each:
            if isinstance(item, BootProblem) and not all(broken):
                yield replace(item, fatal=False)
            else:
                yield item


def _no_loader(place: _Place, path: str, loaders: Sequence[Object]) -> BootProblem:
    """Entries for other Windows are normal; one whose partition is gone was this one's."""
    for one in loaders:
        where = entries.partition(one.value(entries.OS_DEVICE))
        is_gone = bool(where) and where not in place.partitions
        if is_gone and entries.same_folder(one, place.install):
            text = (
                f"The entry {entries.name(one)} names a partition that is not there ({where}), "
                "and no entry names this one."
            )
            key = bcd.object_key(one.id)
            return place.problem(BootFault.WRONG_DEVICE, text, path, key=key)
    text = f"The boot store on {place.volume.name} has no entry that starts this Windows."
    return place.problem(BootFault.NO_LOADER, text, path)


def _loader(place: _Place, path: str, entry: Object) -> Iterator[Evidence]:
    program = entries.text(entry, entries.PATH)
    name, key = entries.name(entry), bcd.object_key(entry.id)
    device = entry.value(entries.DEVICE)
    where = entries.partition(device)
    others = [suffix for own, suffix in _PROGRAMS.items() if own != place.firmware]
    if program.lower().endswith(tuple(others)):
        firmware = place.firmware.upper()
        text = f"The entry {name} starts {program}, which {firmware} firmware cannot."
        yield place.problem(BootFault.WRONG_FIRMWARE, text, path, key=key)
    elif where and where not in place.partitions and place.install.volume.identity:
        text = f"The entry {name} starts from a partition that is not there ({where})."
        yield place.problem(BootFault.WRONG_DEVICE, text, path, key=key)
    elif program and place.owner.starts(entry) and place.owner.is_volume(device):
        yield from _loader_file(place, program)


def _loader_file(place: _Place, program: str) -> Iterator[Evidence]:
    """The loader lies on the Windows volume, whatever volume the store is on."""
    install = place.install
    relative = program.replace("\\", "/").strip("/")
    try:
        # Unlike `locate`, this finds a file that Windows has compressed.
        found = installs.driver_path(install, "", f"\\{relative}")[1]
        found = found or installs.locate(install.mount, relative)
        if found is None:
            wrong = "it is missing"
        else:
            with files.opened(install, found) as file:
                wrong = esp.damage(file.stream, file.size, found, machine=install.architecture)
    except (RecoveryKitError, OSError) as exc:
        yield Gap(Source(relative), f"the loader {program} cannot be read: {why(exc)}")
        return
    if wrong:
        text = f"The loader {program} cannot be started: {wrong}."
        source = Source(found or relative)
        yield BootProblem(source, BootFault.LOADER_FILE_MISSING, text, fatal=True)
