"""Third-party driver packages: the published INFs, and where their files came from.

`INF\\oemNN.inf` of the Windows folder. Since Windows 8 the registry says which folder of the Driver
Store each one is a copy of, and when it was imported: `DriverDatabase` in the SYSTEM hive, and in a
hive of its own (`config\\DRIVERS`) for packages no boot needs. Without it, as in Windows 7, the
folder is the one that holds the same bytes. Packages of Windows itself are not read: there are
thousands, and none of them came after the machine last worked by itself.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.evidence import reading
from recoverykit.formats import inf
from recoverykit.formats.binary import from_filetime
from recoverykit.formats.hive import Hive, Key
from recoverykit.model import DriverPackage, Evidence, Gap, Source, WindowsInstall

MAX_INFS = 2_000
MAX_FOLDERS = 10_000  # of the Driver Store that are compared
STORE = "System32/DriverStore/FileRepository"
DRIVERS_HIVE = "System32/config/DRIVERS"

_DATABASE = "DriverDatabase"
_PUBLISHED = re.compile(r"oem(\d{1,6})\.inf", re.IGNORECASE)
_FOLDER = re.compile(r"([^\\/]+\.inf)_[a-z0-9_-]+", re.IGNORECASE)
_MAX_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class _Origin:
    """What is known of a package beside its published INF."""

    folder: str = ""  # its name in the Driver Store
    imported: datetime | None = None


@dataclass(frozen=True, slots=True)
class _File:
    name: str  # as spelled
    path: str  # relative to the volume
    size: int
    modified: datetime


def collect(install: WindowsInstall, hive: Hive | None) -> Iterator[Evidence]:
    """One DriverPackage for every published INF. `hive`: SYSTEM, where it can be read."""
    folder = f"{install.folder}/INF"
    try:
        files = _infs(install, folder)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(folder), f"the published INF files cannot be listed: {exc}")
        return
    if len(files) > MAX_INFS:
        reason = f"{len(files)} published INF files: only the newest {MAX_INFS} were read"
        yield Gap(Source(folder), reason)
        files = files[-MAX_INFS:]
    problems: list[Gap] = []
    origins = _registered(install, hive, [file.name for file in files], problems)
    yield from _packages(install, files, origins, problems)
    yield from problems[:_MAX_PROBLEMS]
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        yield Gap(Source(folder), f"{more} more driver packages cannot be read")


def owners(packages: Iterable[DriverPackage]) -> dict[str, tuple[str, ...]]:
    """Service name, casefolded, to the published INFs that add such a service."""
    found: dict[str, dict[str, None]] = {}
    for package in packages:
        for service in package.services:
            if package.published:
                found.setdefault(service.casefold(), {})[package.published] = None
    return {service: tuple(names) for service, names in found.items()}


def _infs(install: WindowsInstall, folder: str) -> list[_File]:
    """oemNN.inf files by number: Windows gives the lowest that is free."""
    found = installs.locate(install.mount, folder)
    if found is None:
        raise FileNotFoundError("the folder is missing")
    files: dict[int, _File] = {}
    with os.scandir(install.mount / found) as entries:
        for entry in entries:
            match = _PUBLISHED.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                path = f"{found}/{entry.name}"
                file = _File(entry.name, path, status.st_size, reading.modified(status))
                files[int(match.group(1))] = file
    return [files[number] for number in sorted(files)]


# --- the registry -------------------------------------------------------------------------


def _registered(
    install: WindowsInstall, system: Hive | None, names: Sequence[str], problems: list[Gap]
) -> dict[str, _Origin]:
    """Published name in lower case -> origin, from both databases; the second only if needed."""
    known: dict[str, _Origin] = {}
    if system is not None:
        _look_up(system, install.system_hive, names, known, problems)
    if any(name.lower() not in known for name in names):
        path = f"{install.folder}/{DRIVERS_HIVE}"
        try:
            found = installs.locate(install.mount, path)
            if found is not None:
                drivers, _ = installs.read_hive(install, found)
                _look_up(drivers, found, names, known, problems)
        except (OSError, RecoveryKitError) as exc:
            problems.append(Gap(Source(path), f"the driver database cannot be read: {exc}"))
    return known


def _look_up(
    hive: Hive,
    path: str,
    names: Sequence[str],
    known: dict[str, _Origin],
    problems: list[Gap],
) -> None:
    try:
        database = hive.find(_DATABASE)
        files = database.subkey("DriverInfFiles") if database else None
        packages = database.subkey("DriverPackages") if database else None
        for name in names:
            key = files.subkey(name) if files and name.lower() not in known else None
            folder = _active(key) if key else ""
            if folder:
                imported = _imported(packages.subkey(folder)) if packages else None
                known[name.lower()] = _Origin(folder, imported)
    except FormatError as exc:
        gap = Gap(Source(path, exc.offset, _DATABASE), f"the driver database is damaged: {exc}")
        problems.append(gap)


def _active(key: Key) -> str:
    """The folder in use of those an INF name has stood for."""
    active, listed = key.values_of("Active", "")
    folder = (active.string if active else None) or next(
        iter((listed.strings if listed else None) or ()), ""
    )
    return folder if _FOLDER.fullmatch(folder) else ""


def _imported(key: Key | None) -> datetime | None:
    value = key.value("ImportDate") if key else None
    data = value.data if value else b""
    return from_filetime(int.from_bytes(data, "little")) if len(data) == 8 else None


# --- the packages -------------------------------------------------------------------------


def _packages(
    install: WindowsInstall,
    files: Sequence[_File],
    origins: dict[str, _Origin],
    problems: list[Gap],
) -> Iterator[Evidence]:
    store = _Store(install)
    for file in files:
        try:
            data = _load(install.mount / file.path, file.size)
            origin = origins.get(file.name.lower()) or store.holding(data)
            yield _package(store, file, inf.parse(data), origin)
        except (OSError, RecoveryKitError) as exc:
            problems.append(Gap(Source(file.path), f"this driver package cannot be read: {exc}"))


def _load(path: Path, size: int) -> bytes:
    if size > inf.MAX_BYTES:
        raise FormatError("INF file", 0, f"{size} bytes are more than an INF has")
    with path.open("rb") as stream:
        return stream.read(inf.MAX_BYTES)


def _package(store: _Store, file: _File, told: inf.Inf, origin: _Origin) -> DriverPackage:
    folder, created = store.folder(origin.folder)
    match = _FOLDER.fullmatch(origin.folder)
    return DriverPackage(
        source=Source(file.path),
        published=file.name.lower(),
        original=match.group(1).lower() if match else "",
        provider=told.provider,
        class_guid=told.class_guid,
        version=told.version,
        dated=told.dated,
        services=told.services,
        files=told.files,
        folder=folder,
        written=origin.imported or created or file.modified,
    )


class _Store:
    """The Driver Store's folders; they are listed once, and only where the registry is silent."""

    def __init__(self, install: WindowsInstall) -> None:
        self._install = install
        self._by_size: dict[int, list[Path]] | None = None

    def folder(self, name: str) -> tuple[str, datetime | None]:
        """(path relative to the volume, when it was made) of a package's folder; "" if absent."""
        if not name:
            return "", None
        try:
            found = installs.locate(self._install.mount, f"{self._install.folder}/{STORE}/{name}")
            if found is None:
                return "", None
            return found, reading.modified((self._install.mount / found).stat())
        except (OSError, RecoveryKitError):
            return "", None

    def holding(self, data: bytes) -> _Origin:
        """The folder whose INF has these bytes."""
        if self._by_size is None:
            self._by_size = _by_size(self._install)
        for path in self._by_size.get(len(data), ()):
            try:
                if path.read_bytes() == data:
                    return _Origin(path.parent.name)
            except OSError:
                continue
        return _Origin()


def _by_size(install: WindowsInstall) -> dict[int, list[Path]]:
    """The Driver Store's INFs, each as its folder is called, by their size."""
    sizes: dict[int, list[Path]] = {}
    for name in _folders(install):
        match = _FOLDER.fullmatch(name)
        if match is None:
            continue
        try:
            inside = f"{install.folder}/{STORE}/{name}/{match.group(1)}"
            found = installs.locate(install.mount, inside)
            status = (install.mount / found).lstat() if found is not None else None
        except (OSError, RecoveryKitError):
            continue
        if status and stat.S_ISREG(status.st_mode) and status.st_size <= inf.MAX_BYTES:
            sizes.setdefault(status.st_size, []).append(install.mount / str(found))
    return sizes


def _folders(install: WindowsInstall) -> list[str]:
    try:
        found = installs.locate(install.mount, f"{install.folder}/{STORE}")
        if found is None:
            return []
        return sorted(path.name for path in (install.mount / found).iterdir())[:MAX_FOLDERS]
    except (OSError, RecoveryKitError):
        return []
