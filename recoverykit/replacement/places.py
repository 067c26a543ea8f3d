"""Where further copies of a driver's file may lie. Lists folders; opens no file.

`likely` is what costs little: single paths, and folders whose name says that they fit. `unlikely`
lists what is left of the component stores, and the Driver Stores of other Windows; nobody needs it
once something usable is there. Folders are listed as they are found and links are never followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence.packages import STORE
from recoverykit.formats.hive import Hive
from recoverykit.model import FileSystem, Volume, WindowsInstall
from recoverykit.replacement import components
from recoverykit.replacement.candidate import Origin, Root
from recoverykit.replacement.components import Component
from recoverykit.replacement.reading import MAX_ENTRIES, Bounds, located
from recoverykit.replacement.target import Target

_ELAM = "ELAMBKUP"
_SXS = "WinSxS"
_PREVIOUS = "windows.old"
_DRIVERS = "System32/drivers"
_PACKAGE_DEPTH = 3  # below a package's folder: "amd64", "Win10\\x64"
_MEDIUM_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A file that has the driver's name."""

    origin: Origin
    root: WindowsInstall  # whose volume it lies on
    path: str  # relative to that volume
    where: str  # for people
    version: str = ""  # of the component it belongs to
    delta: bool = False  # by its place it is no whole file


@dataclass(frozen=True, slots=True)
class _Windows:
    """One Windows folder of one volume."""

    root: WindowsInstall
    folder: str
    origin: Origin | None = None  # of everything in it; None: the Windows to be repaired
    label: str = ""  # before paths, for people

    def place(self, path: str, store: Origin, version: str = "", *, delta: bool = False) -> Place:
        """One in another Windows comes from there, whatever store it lies in."""
        where = self.label + path
        return Place(self.origin or store, self.root, path, where, version, delta=delta)


@dataclass(slots=True)
class Places:
    """Looks for one driver; what was listed once is kept."""

    target: Target
    bounds: Bounds
    hive: Hive | None  # SYSTEM
    folders: Sequence[Path]
    roots: Sequence[Root]
    _components: dict[_Windows, list[tuple[str, Component]]] = field(default_factory=dict)

    def likely(self) -> Iterator[Place]:
        target = self.target
        for folder in self.folders:
            yield from self._medium(folder)
        own = _Windows(target.install, target.install.folder)
        yield from self._store(own)
        yield from self._early(own)
        yield from self._named(own)
        yield from self._backups(own)
        for other in self._others():
            yield from self._plain(other)

    def unlikely(self) -> Iterator[Place]:
        own = _Windows(self.target.install, self.target.install.folder)
        others = list(self._others())
        for other in others:
            yield from self._store(other)
            yield from self._named(other)
            yield from self._backups(other)
        if self.target.inbox or self.target.culprit is None:
            for windows in (own, *others):
                yield from self._unnamed(windows)

    # --- one Windows ----------------------------------------------------------------------

    def _plain(self, windows: _Windows) -> Iterator[Place]:
        """Where the driver itself lies in another Windows, and its early-launch backups."""
        target = self.target
        below = target.path.partition(f"{target.install.folder}/")
        paths = [f"{windows.folder}/{_DRIVERS}/{target.name}"]
        if target.path and not below[0]:
            paths.insert(0, f"{windows.folder}/{below[2]}")
        elif target.path:  # "Program Files/Acme/acme.sys"
            parent = windows.folder.rpartition("/")[0]
            paths.insert(0, f"{parent}/{target.path}".lstrip("/"))
        paths.append(f"{windows.folder}/{_ELAM}/{target.name}")
        for path in dict.fromkeys(path.casefold() for path in paths):
            if found := self._located(windows.root, path):
                yield windows.place(found, Origin.OTHER)

    def _store(self, windows: _Windows) -> Iterator[Place]:
        """Packages called after the driver come first: the time may not last for all."""
        store = self._folder(windows.root, f"{windows.folder}/{STORE}")
        if store is None:
            return
        stem = self.target.stem
        folders = [entry.name for entry in self._below(windows.root, store) if _is_folder(entry)]
        for name in sorted(folders, key=lambda name: (stem not in name.lower(), name)):
            if self.bounds.spent(store):
                return
            for path in self._inside(windows.root, f"{store}/{name}", _PACKAGE_DEPTH, self.bounds):
                yield windows.place(path, Origin.STORE)

    def _early(self, windows: _Windows) -> Iterator[Place]:
        for folder in (self._backup_path(windows.root), f"%SystemRoot%\\{_ELAM}"):
            path = f"{folder}\\{self.target.name}"
            found = installs.driver_path(windows.root, self.target.stem, path)[1]
            if folder and found is not None:
                yield windows.place(found, Origin.ELAM)
                return

    def _backup_path(self, install: WindowsInstall) -> str:
        """The folder that Control\\EarlyLaunch names; "" without one."""
        try:
            key = f"{install.control_set_key}\\Control\\EarlyLaunch"
            found = self.hive.find(key) if self.hive else None
            value = found.value("BackupPath") if found else None
            return ((value.string if value else None) or "").rstrip("\\")
        except RecoveryKitError as exc:
            self.bounds.gap(install.system_hive, f"BackupPath cannot be read: {why(exc)}")
            return ""

    # --- the component store --------------------------------------------------------------

    def _named(self, windows: _Windows) -> Iterator[Place]:
        """Components that are called after the driver."""
        for folder, found in self._all(windows):
            if components.is_called_after(found, self.target.stem):
                yield from self._component(windows, folder, found.version)

    def _unnamed(self, windows: _Windows) -> Iterator[Place]:
        for folder, found in self._all(windows):
            if not components.is_called_after(found, self.target.stem):
                if self.bounds.spent(f"{windows.folder}/{_SXS}"):
                    return
                yield from self._component(windows, folder, found.version)

    def _all(self, windows: _Windows) -> list[tuple[str, Component]]:
        """(path, component) of each folder of the store that may hold a driver; listed once."""
        if windows not in self._components:
            store = self._folder(windows.root, f"{windows.folder}/{_SXS}")
            entries = [] if store is None else self._below(windows.root, store)
            self._components[windows] = [
                (f"{store}/{entry.name}", found)
                for entry in entries
                if (found := components.component(entry.name, self.target.machine))
                and _is_folder(entry)
            ]
        return self._components[windows]

    def _component(self, windows: _Windows, folder: str, version: str) -> Iterator[Place]:
        self.bounds.folders += 1
        for entry in self._below(windows.root, folder):
            path = f"{folder}/{entry.name}"
            if self._has_name(entry):
                yield windows.place(path, Origin.COMPONENT, version)
            elif entry.name.lower() in components.DELTAS and _is_folder(entry):
                for inner in self._below(windows.root, path):
                    if self._has_name(inner):
                        inside = f"{path}/{inner.name}"
                        yield windows.place(inside, Origin.COMPONENT, version, delta=True)

    def _backups(self, windows: _Windows) -> Iterator[Place]:
        folder = self._folder(windows.root, f"{windows.folder}/{_SXS}/Backup")
        for entry in [] if folder is None else self._below(windows.root, folder):
            found = components.backup(entry.name, self.target.machine, self.target.name)
            if found is not None and not _is_folder(entry):
                path = f"{folder}/{entry.name}"
                yield windows.place(path, Origin.BACKUP, found.version)

    # --- other Windows, other folders -----------------------------------------------------

    def _others(self) -> Iterator[_Windows]:
        """Snapshots, the Windows before an upgrade, further ones on the same volume."""
        for root in self.roots:
            label = f"{root.name}: "
            yield _Windows(root.install, root.install.folder, Origin.SNAPSHOT, label)
        install = self.target.install
        previous: list[_Windows] = []
        further: list[_Windows] = []
        for entry in self._below(install, ""):
            if not _is_folder(entry) or entry.name == install.folder:
                continue
            if entry.name.lower().startswith(_PREVIOUS):
                for inner in self._below(install, entry.name):
                    folder = f"{entry.name}/{inner.name}"
                    if _is_folder(inner) and self._located(install, f"{folder}/{_DRIVERS}"):
                        previous.append(_Windows(install, folder, Origin.PREVIOUS))
            elif self._located(install, f"{entry.name}/{_DRIVERS}"):
                further.append(_Windows(install, entry.name, Origin.OTHER))
        yield from previous
        yield from further

    def _medium(self, folder: Path) -> Iterator[Place]:
        """A folder of the host with all below it, or one file, whatever it is called."""
        is_file = folder.is_file()
        mount = folder.parent if is_file else folder
        volume = Volume(str(mount), FileSystem.OTHER, mount)
        root = WindowsInstall(volume, mount, "", "", "")
        if is_file:
            yield Place(Origin.MEDIUM, root, folder.name, str(folder))
            return
        if not folder.is_dir():
            self.bounds.gap(str(folder), "there is no such folder to look for drivers in")
            return
        # A driver pack may be larger than the time allows, and the machine's own stores matter too.
        part = Bounds(self.bounds.seconds / 2, self.bounds.gaps)
        for path in self._inside(root, "", _MEDIUM_DEPTH, part):
            yield Place(Origin.MEDIUM, root, path, str(mount / path))

    # --- folders --------------------------------------------------------------------------

    def _inside(
        self, root: WindowsInstall, folder: str, depth: int, bounds: Bounds
    ) -> Iterator[str]:
        deeper = []
        bounds.folders += 1
        for entry in self._below(root, folder):
            path = f"{folder}/{entry.name}".lstrip("/")
            if self._has_name(entry):
                yield path
            elif depth and _is_folder(entry):
                deeper.append(path)
        for path in deeper:
            if bounds.spent(path):
                return
            yield from self._inside(root, path, depth - 1, bounds)

    def _has_name(self, entry: os.DirEntry[str]) -> bool:
        """Links count: ntfs-3g shows compressed files as such, and real ones are refused later."""
        return entry.name.lower() == self.target.name and not _is_folder(entry)

    def _folder(self, root: WindowsInstall, folder: str) -> str | None:
        """A folder as it is spelled on disk; None where there is none, or behind a link."""
        try:
            return installs.locate(root.mount, folder)
        except (OSError, RecoveryKitError) as exc:
            self.bounds.gap(folder, f"this folder cannot be listed: {why(exc)}")
            return None

    def _below(self, root: WindowsInstall, folder: str) -> list[os.DirEntry[str]]:
        """The entries, by name, of a folder whose path is checked: located, or listed itself."""
        try:
            with os.scandir(root.mount / folder) as entries:
                listed = list(islice(entries, MAX_ENTRIES + 1))
        except OSError as exc:
            self.bounds.gap(folder, f"this folder cannot be listed: {why(exc)}")
            return []
        if len(listed) > MAX_ENTRIES:
            reason = f"this folder has more entries than the {MAX_ENTRIES} that were looked at"
            self.bounds.gap(folder, reason)
        return sorted(listed[:MAX_ENTRIES], key=lambda entry: entry.name)

    def _located(self, root: WindowsInstall, path: str) -> str | None:
        try:
            return located(root, path)
        except (OSError, RecoveryKitError):
            return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
