"""Where an installation keeps what code integrity looks at: drivers, catalogs, policies.

Catalogs: those of the "system component and driver database" vouch for kernel-mode files (Microsoft
"Catalog Files and Digital Signatures", and event 3010 of CodeIntegrity, which names their folder);
the rest is told apart by `CatalogRole`, and vouches for nothing by itself. Policies: Microsoft
"Inbox App Control policies", "Deploy App Control policies using script", and the paths in winload
(mattifestation's list of them); those on the EFI system partition are found where it is opened.

Every folder is walked in the order of names, no link is followed, and each walk has an end; what is
left out then, and what cannot be listed, is a Gap. Not found: a driver that a service names and
that is not there (the boot check tells that), and drivers that a program loads from elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from recoverykit import installs
from recoverykit.boot import check_machine
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence import files, packages
from recoverykit.evidence import services as driver_services
from recoverykit.formats.hive import fold
from recoverykit.model import Evidence, Gap, Service, Source, StartType, Volume, WindowsInstall

MAX_DRIVERS = 20_000
MAX_CATALOGS = 40_000  # real ones: 2,000 to 8,000
MAX_POLICIES = 256
MAX_POLICY = 32 << 20  # bytes; real ones have less than one MiB
_MAX_FOLDERS = 50_000
_MAX_DEPTH = 6
_STARTS = (*StartType, None)

_DRIVERS = "System32/drivers"
_CATROOT = "System32/CatRoot"
_KERNEL_CATALOGS = f"{_CATROOT}/{{F750E6C3-38EE-11D1-85E5-00C04FC295EE}}"
_OTHER_CATALOGS = f"{_CATROOT}/{{127D0A1D-4EF2-11D1-8608-00C04FC295EE}}"
_CODE_INTEGRITY = "System32/CodeIntegrity"
_ACTIVE = "CiPolicies/Active"
_BOOT_FOLDERS = ("EFI/Microsoft/Boot", "Boot")


# --- drivers ------------------------------------------------------------------------------


class DriverRole(StrEnum):
    """Why a file counts as a driver of this installation."""

    SERVICE = "service"  # a service starts it
    FOLDER = "drivers-folder"  # it lies in System32\\drivers; nothing starts it
    STORE = "driver-store"  # it lies in the Driver Store; a device may bring it in


@dataclass(frozen=True, slots=True)
class DriverPlace:
    """One driver file."""

    path: str  # relative to the volume, as spelled on disk
    role: DriverRole
    start: StartType | None = None  # the earliest of its services; None: no service names it
    services: tuple[str, ...] = ()
    inode: int = 0  # the same for names of one file (hard links)


def drivers_of(
    install: WindowsInstall, evidence: Sequence[Evidence] | None = None
) -> Iterator[DriverPlace | Gap]:
    """Every driver file, each path once: those that are started earliest first, then by path.

    `evidence`: what was collected, so that the SYSTEM hive is not read again for its services.
    """
    walk = _Walk(install)
    named = _named(install, evidence, walk)
    for path in sorted(named, key=lambda path: (_STARTS.index(named[path].start), path)):
        yield named[path]
    done = set(named)
    for role, folder in (
        (DriverRole.FOLDER, _DRIVERS),
        (DriverRole.STORE, packages.STORE),
    ):
        for path, inode in walk.files(f"{install.folder}/{folder}", ".sys", MAX_DRIVERS):
            if path not in done:
                done.add(path)
                yield DriverPlace(path, role, inode=inode)
    yield from walk.gaps


def _named(
    install: WindowsInstall, evidence: Sequence[Evidence] | None, walk: _Walk
) -> dict[str, DriverPlace]:
    """The files that services name, by path."""
    known = _services(install, walk) if evidence is None else evidence
    machine = check_machine.know(install, known)
    found: dict[str, list[Service]] = {}
    for service in machine.all(Service):
        if service.path is not None:
            found.setdefault(service.path, []).append(service)
    made: dict[str, DriverPlace] = {}
    for path, users in found.items():
        start = min((machine.start(user) for user in users), key=_STARTS.index)
        names = tuple(sorted((user.name for user in users), key=fold))
        made[path] = DriverPlace(path, DriverRole.SERVICE, start, names, _inode(install, path))
    return made


def _services(install: WindowsInstall, walk: _Walk) -> list[Evidence]:
    try:
        hive, _ = installs.read_hive(install, install.system_hive)
    except (RecoveryKitError, OSError) as exc:
        reason = f"Which drivers Windows starts is not known: {why(exc)}."
        walk.gaps.append(Gap(Source(install.system_hive), reason))
        return []
    found = list(driver_services.collect(install, hive))
    walk.gaps += [item for item in found if isinstance(item, Gap)]
    return found


def _inode(install: WindowsInstall, path: str) -> int:
    try:
        return (install.mount / path).lstat().st_ino
    except OSError:
        return 0


# --- catalogs -----------------------------------------------------------------------------


class CatalogRole(StrEnum):
    """Who looks into a catalog."""

    KERNEL = "kernel"  # code integrity: what it lists may be loaded into the kernel
    OTHER = "other"  # programs that ask for it; not the kernel
    STORE = "driver-store"  # set-up, when a device is installed
    SERVICING = "servicing"  # component servicing


@dataclass(frozen=True, slots=True)
class CatalogPlace:
    path: str  # relative to the volume, as spelled on disk
    role: CatalogRole


_CATALOGS = {
    CatalogRole.KERNEL: _KERNEL_CATALOGS,
    CatalogRole.OTHER: _OTHER_CATALOGS,
    CatalogRole.STORE: packages.STORE,
    CatalogRole.SERVICING: "WinSxS/Catalogs",
}


def catalogs_of(
    install: WindowsInstall, roles: Iterable[CatalogRole] = (CatalogRole.KERNEL,)
) -> Iterator[CatalogPlace | Gap]:
    """The catalogs of these roles, in their order and by path."""
    walk = _Walk(install)
    for role in dict.fromkeys(roles):
        folder = f"{install.folder}/{_CATALOGS[role]}"
        needed = role is CatalogRole.KERNEL
        for path, _ in walk.files(folder, ".cat", MAX_CATALOGS, needed=needed):
            yield CatalogPlace(path, role)
    yield from walk.gaps


# --- policies -----------------------------------------------------------------------------


class PolicyRole(StrEnum):
    """Which policy a file holds, by its name. Whether it is in force is not told here."""

    BLOCK_LIST = "block-list"  # Microsoft's list of vulnerable drivers
    SINGLE = "single"  # of an organisation, in the format of one policy alone
    ACTIVE = "active"  # one of several; the GUID in its name is the policy's
    REVOKED = "revoked"
    SKU = "sku"  # which files of Windows itself may be loaded with virtualization-based security
    S_MODE = "s-mode"  # in force where Windows is in S mode
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PolicyPlace:
    source: Source  # the volume's name stands before the path where it is another volume
    mount: Path
    path: str  # relative to that mount
    role: PolicyRole

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


_POLICIES = {
    "driversipolicy.p7b": PolicyRole.BLOCK_LIST,
    "sipolicy.p7b": PolicyRole.SINGLE,
    "rvksipolicy.p7b": PolicyRole.REVOKED,
    "skusipolicy.p7b": PolicyRole.SKU,
    "winsipolicy.p7b": PolicyRole.S_MODE,
    "atpsipolicy.p7b": PolicyRole.OTHER,
}


def policies_of(
    install: WindowsInstall, boot_volumes: Sequence[tuple[Volume, Path]] = ()
) -> Iterator[PolicyPlace | Gap]:
    """Policy files: those of Windows first, then those of the volumes that it is started from."""
    folder = f"{install.folder}/{_CODE_INTEGRITY}"
    yield from _policies(install.mount, folder, "")
    for volume, mount in boot_volumes:
        if volume != install.volume:
            for boot in _BOOT_FOLDERS:
                yield from _policies(mount, boot, f"{volume.name}:/")


def _policies(mount: Path, folder: str, prefix: str) -> Iterator[PolicyPlace | Gap]:
    for wanted, suffix in ((folder, ".p7b"), (f"{folder}/{_ACTIVE}", ".cip")):
        try:
            names = _listed(mount, wanted)
        except (RecoveryKitError, OSError) as exc:
            reason = f"Its policies cannot be listed: {why(exc)}."
            yield Gap(Source(prefix + wanted), reason)
            continue
        for name in names[:MAX_POLICIES]:
            role = PolicyRole.ACTIVE if suffix == ".cip" else _POLICIES.get(name[1].lower())
            if role is not None and name[1].lower().endswith(suffix):
                path = "/".join(name)
                yield PolicyPlace(Source(prefix + path), mount, path, role)
        if len(names) > MAX_POLICIES:
            reason = f"Only {MAX_POLICIES} of {len(names)} files were looked at."
            yield Gap(Source(prefix + wanted), reason)


def _listed(mount: Path, wanted: str) -> list[tuple[str, str]]:
    """(folder, name) of the files in a folder, by name; nothing where there is no such folder."""
    found = installs.locate(mount, wanted)
    if found is None:
        return []
    with os.scandir(mount / found) as inside:
        kept = [one.name for one in inside if _is_file(one, mount / found)]
    return [(found, name) for name in sorted(kept)]


def read_policy(install: WindowsInstall, place: PolicyPlace) -> bytes:
    """The bytes of a policy. Raises OSError, TargetRefusedError, FormatError for one too long."""
    if place.mount == install.mount:
        with files.opened(install, place.path) as file:
            if file.size > MAX_POLICY:
                raise FormatError("policy", 0, f"{file.size} bytes are more than one has")
            return file.stream.read() or b""
    path = installs.on_disk(place.mount, place.path)
    size = path.stat().st_size
    if size > MAX_POLICY:
        raise FormatError("policy", 0, f"{size} bytes are more than one has")
    return path.read_bytes()


# --- folders ------------------------------------------------------------------------------


def _is_file(entry: os.DirEntry[str], folder: Path) -> bool:
    """A file that can be opened: links are none, but what Windows compressed looks like one."""
    if entry.is_symlink():
        return installs.is_packed(folder / entry.name)
    return entry.is_file(follow_symlinks=False)


def _inside(folder: Path, suffix: str) -> list[tuple[str, int | None]]:
    """(name, inode) of the files whose names end so, (name, None) of folders, by name."""
    found: list[tuple[str, int | None]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.name, None))
            elif entry.name.lower().endswith(suffix) and _is_file(entry, folder):
                found.append((entry.name, entry.inode()))
    return sorted(found, key=lambda item: item[0])


@dataclass(slots=True)
class _Walk:
    """Walks folders of one installation, and keeps what went wrong."""

    install: WindowsInstall
    gaps: list[Gap] = field(default_factory=list)
    folders: int = 0

    def files(
        self, folder: str, suffix: str, limit: int, *, needed: bool = True
    ) -> Iterator[tuple[str, int]]:
        """(path, inode) of the files below a folder whose names end so, by path.

        `needed`: every Windows has that folder.
        """
        try:
            found = installs.locate(self.install.mount, folder)
        except (RecoveryKitError, OSError) as exc:
            self._miss(folder, f"This folder was not looked at: {why(exc)}.")
            return
        if found is None:
            if needed:
                self._miss(folder, "This folder is missing.")
            return
        for count, item in enumerate(self._below(found, suffix, _MAX_DEPTH)):
            if count == limit:
                self._miss(found, f"There are more than {limit} such files; the rest was left.")
                return
            yield item

    def _below(self, folder: str, suffix: str, depth: int) -> Iterator[tuple[str, int]]:
        self.folders += 1
        if self.folders > _MAX_FOLDERS:
            if self.folders == _MAX_FOLDERS + 1:
                self._miss(folder, f"More than {_MAX_FOLDERS} folders; the rest was left.")
            return
        try:
            inside = _inside(self.install.mount / folder, suffix)
        except OSError as exc:
            self._miss(folder, f"This folder cannot be listed: {why(exc)}.")
            return
        for name, inode in inside:
            if inode is not None:
                yield f"{folder}/{name}", inode
            elif depth > 1:
                yield from self._below(f"{folder}/{name}", suffix, depth - 1)

    def _miss(self, path: str, reason: str) -> None:
        self.gaps.append(Gap(Source(path), reason))
