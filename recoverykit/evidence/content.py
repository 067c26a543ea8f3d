"""Data files that belong to a driver: definitions, rules, channel files.

A driver that reads a broken file at boot crashes as if it were broken itself (July 2024:
csagent.sys and C-00000291*.sys beside it in System32\\drivers\\CrowdStrike). Nothing on the disk
says which files a driver reads, so places are taken for it: the driver's own folder, a folder in
System32\\drivers or ProgramData that bears its name or its maker's, and files in System32\\drivers
whose names begin with its own. Not taken: programs and logs, what comes with Windows, and files
behind links. What the driver's Parameters key names is not looked at.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from recoverykit import installs
from recoverykit.diagnosis import knowledge
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.evidence import reading
from recoverykit.formats import pe
from recoverykit.model import (
    ContentFile,
    DriverFile,
    Evidence,
    Gap,
    Service,
    Source,
    StartType,
    WindowsInstall,
)

MOST_ENTRIES = 5000  # names of files and folders looked at on one machine
NEWEST = 50  # files told of one driver
DEPTH = 2  # levels of files: in a folder that is taken for a driver's, and in those in it
MAKERS_DEPTH = 4  # in its maker's folder in ProgramData: maker, product, part, data

_MOST_GAPS = 5
_PAGE = 4096
_LOADED = (StartType.BOOT, StartType.SYSTEM, StartType.AUTO)
# Programs and what belongs to them, and logs: written all the time, read by no driver.
_NO_DATA = frozenset(
    (
        *(".cat", ".cpl", ".dll", ".exe", ".inf", ".lnk", ".msi", ".mui", ".pdb", ".pnf", ".url"),
        *(".blf", ".dmp", ".etl", ".evtx", ".log", ".regtrans-ms", ".tmp"),
    )
)
# Folders in System32\drivers and ProgramData that are Windows' own, whoever bears such a name.
_WINDOWS_OWN = frozenset(
    (
        *("drivers", "dsscd", "etc", "microsoft", "package cache", "packages"),
        *("system", "umdf", "wd", "windows"),
    )
)
_LEGAL_FORM = re.compile(
    r"[,.]?\s+(a\.?s|ag|b\.?v|co|company|corp|corporation|gmbh|inc|incorporated|limited|llc|ltd|"
    r"oy|plc|pty|s\.?a|s\.?p\.?a|s\.?r\.?[lo]|spol|technologies|technology|software)\b.*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Owner:
    """A third-party driver that a boot may load."""

    driver: str  # "acme.sys"
    folder: str  # of its file
    names: frozenset[str]  # its own: of the file without ".sys", of its services; lower case
    makers: frozenset[str]  # folder names its maker may use, lower case
    early: bool


def collect(
    install: WindowsInstall, services: Sequence[Service], files: Sequence[DriverFile]
) -> Iterator[Evidence]:
    """ContentFiles of every third-party driver, the newest first. Never raises."""
    owners = _owners(services, files)
    if not owners:
        return
    drivers = frozenset(item.path.lower() for item in services if item.path)
    search = _Search(install, drivers)
    for owner in owners:
        for folder in _folders(install, owner, search):
            search.gather(owner, folder, DEPTH)
        if owner.early:
            for folder in search.subfolders("ProgramData", owner.makers):
                search.gather(owner, folder, MAKERS_DEPTH)
        search.gather_named(owner)
        yield from search.told(owner)
    yield from search.gaps[:_MOST_GAPS]
    if search.left <= 0:
        reason = f"only {MOST_ENTRIES} files beside drivers were looked at"
        yield Gap(Source(f"{install.folder}/System32/drivers"), reason)


def _owners(services: Sequence[Service], files: Sequence[DriverFile]) -> list[_Owner]:
    """Each driver once, those that start earliest first: the search may end early."""
    by_path = {item.source.path: item for item in files}
    found: dict[str, list[Service]] = {}
    for service in sorted(services, key=lambda item: tuple(StartType).index(item.start)):
        known = by_path.get(service.path or "")
        if service.path is None or service.start is StartType.DISABLED:
            continue
        if known is not None and not knowledge.is_inbox(service.driver, known):
            found.setdefault(service.path, []).append(service)
    return [_owner(users, by_path[path]) for path, users in found.items()]


def _owner(users: list[Service], file: DriverFile) -> _Owner:
    stem = file.driver.removesuffix(".sys")
    return _Owner(
        driver=file.driver,
        folder=file.source.path.rpartition("/")[0],
        names=frozenset({stem, *(user.name.lower() for user in users)}),
        makers=_makers(file.company) | _makers(file.product),
        early=any(user.start in _LOADED for user in users),
    )


def _makers(company: str) -> frozenset[str]:
    """ "Trend Micro Inc." -> {"trend micro", "trend", "trendmicro"}."""
    short = _LEGAL_FORM.sub("", company.strip()).strip(" ,.").lower()
    words = re.findall(r"[^\s,]+", short)
    names = {short, *words[:1], "".join(words[:2]), " ".join(words[:2])}
    known = names.union(*(knowledge.other_makers(name) for name in names))
    return frozenset(name for name in known if len(name) > 1) - _WINDOWS_OWN


# --- places -------------------------------------------------------------------------------


def _folders(install: WindowsInstall, owner: _Owner, search: _Search) -> Iterator[str]:
    """Folders taken for the driver's own."""
    system = f"{install.folder}/System32"
    shared = {"", install.folder.lower(), system.lower(), f"{system}/drivers".lower()}
    folder = owner.folder.lower()
    if folder not in shared and "/driverstore/" not in f"{folder}/" and _is_own(install, folder):
        yield owner.folder
    wanted = (owner.names | owner.makers) - _WINDOWS_OWN
    yield from search.subfolders(f"{system}/drivers", wanted)


def _is_own(install: WindowsInstall, folder: str) -> bool:
    """Not a folder where Windows keeps files of its own, or of everybody."""
    if not folder.startswith(f"{install.folder.lower()}/"):
        return folder.count("/") > 0  # not a top folder such as "Program Files"
    return folder.startswith(f"{install.folder.lower()}/system32/drivers/")


@dataclass(slots=True)
class _Search:
    """Walks folders, and stops after so many names whatever the disk holds."""

    install: WindowsInstall
    drivers: frozenset[str]  # paths of all drivers, lower case
    left: int = MOST_ENTRIES
    gaps: list[Gap] = field(default_factory=list)
    _listed: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    _found: dict[str, set[str]] = field(default_factory=dict)  # paths by driver

    def subfolders(self, parent: str, wanted: frozenset[str]) -> Iterator[str]:
        found = self._entries(parent)
        for path, is_folder in found:
            if is_folder and path.rpartition("/")[2].lower() in wanted:
                yield path

    def gather(self, owner: _Owner, folder: str, depth: int) -> None:
        """Remember what lies in a folder and, down to `depth`, below it."""
        for path, is_folder in self._entries(folder):
            if not is_folder:
                self._remember(owner, path)
            elif depth > 1:
                self.gather(owner, path, depth - 1)

    def gather_named(self, owner: _Owner) -> None:
        """Files straight in System32\\drivers that begin with the driver's name."""
        names = tuple(name for name in owner.names if len(name) > 2)
        for path, is_folder in self._entries(f"{self.install.folder}/System32/drivers"):
            if not is_folder and path.rpartition("/")[2].lower().startswith(names):
                self._remember(owner, path)

    def told(self, owner: _Owner) -> Iterator[Evidence]:
        """The newest files of a driver, each opened to see that it is no program."""
        dated: list[tuple[int, str]] = []
        for path in self._found.get(owner.driver, ()):
            try:
                dated.append(((self.install.mount / path).lstat().st_mtime_ns, path))
            except OSError as exc:
                self.gaps.append(Gap(Source(path), f"cannot be looked at: {exc}"))
        told = 0
        for _, path in sorted(dated, reverse=True)[: 2 * NEWEST]:
            if told == NEWEST:
                return
            item = self._content(owner, path)
            if item is not None:
                told += 1
                yield item

    def _remember(self, owner: _Owner, path: str) -> None:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix not in _NO_DATA and path.lower() not in self.drivers:
            self._found.setdefault(owner.driver, set()).add(path)

    def _content(self, owner: _Owner, path: str) -> ContentFile | None:
        try:
            with installs.on_disk(self.install.mount, path).open("rb", buffering=0) as stream:
                status = os.fstat(stream.fileno())
                start = stream.read(_PAGE) or b""
        except (OSError, RecoveryKitError) as exc:
            self.gaps.append(Gap(Source(path), f"cannot be read: {exc}"))
            return None
        if _is_program(start):
            return None
        return ContentFile(
            source=Source(path),
            driver=owner.driver,
            size=status.st_size,
            modified=reading.modified(status),
            blank=bool(start) and not any(start),
        )

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """(path, whether it is a folder) of files and folders, links left out; listed once."""
        key = folder.lower()
        if key not in self._listed:
            self._listed[key] = self._list(folder)
        return self._listed[key]

    def _list(self, folder: str) -> list[tuple[str, bool]]:
        try:
            found = installs.locate(self.install.mount, folder)
            if found is None or self.left <= 0:
                return []
            return list(self._scan(self.install.mount / found, found))
        except (OSError, RecoveryKitError) as exc:
            self.gaps.append(Gap(Source(folder), f"cannot be listed: {exc}"))
            return []

    def _scan(self, where: Path, relative: str) -> Iterator[tuple[str, bool]]:
        with os.scandir(where) as entries:
            for entry in entries:
                self.left -= 1
                if self.left <= 0:
                    return
                if entry.is_dir(follow_symlinks=False):
                    yield f"{relative}/{entry.name}", True
                elif entry.is_file(follow_symlinks=False):
                    yield f"{relative}/{entry.name}", False


def _is_program(start: bytes) -> bool:
    """Whether a file begins as an executable does: those are nobody's data."""
    try:
        pe.headers(io.BytesIO(start))
    except FormatError:
        return False
    return True
