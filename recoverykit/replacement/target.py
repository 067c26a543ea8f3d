"""What is to be replaced: where it lies, what it is, and the Windows that has to load it.

The build of a Windows is its kernel's file version: an enablement package raises the number in the
registry (19045) and leaves the kernel (10.0.19041.x) and every driver beside it as they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from recoverykit import installs
from recoverykit.diagnosis import knowledge
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence import files
from recoverykit.evidence.modules import Modules
from recoverykit.formats import pe, pe_resources
from recoverykit.formats.pe_resources import Version
from recoverykit.model import DriverFile, Evidence, Service, WindowsInstall
from recoverykit.replacement import image
from recoverykit.replacement.reading import Bounds, located, whole

Inode = tuple[int, int]

_KERNEL = "System32/ntoskrnl.exe"
_DRIVERS = "System32\\drivers"
# The first build of each version of Windows, where its kernel cannot say so itself.
_VERSIONS = ((10240, (10, 0)), (9600, (6, 3)), (9200, (6, 2)), (7600, (6, 1)), (6000, (6, 0)))


@dataclass(frozen=True, slots=True)
class Culprit:
    """The file that is there now."""

    sha256: str  # "": it cannot be read
    version: Version
    built: datetime | None
    unread: str = ""  # why, as a clause
    whole: bool = False  # nothing is wrong with its form: it is what it does


@dataclass(frozen=True, slots=True)
class Target:
    """Everything a candidate is held against."""

    install: WindowsInstall
    name: str  # file name, lower case: "acme.sys"
    path: str  # relative to the volume; "" where its folder is gone
    machine: str  # "x64"; "" when nothing says so
    windows: tuple[int, int] | None  # (10, 0)
    kernel: tuple[int, ...]  # four numbers; () when it cannot be read
    modules: Modules
    culprit: Culprit | None  # None: the file is missing
    inbox: bool  # whether it comes with Windows

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name


def of(
    install: WindowsInstall, what: Service | str, evidence: Iterable[Evidence], bounds: Bounds
) -> Target:
    """The target of a service's driver, or of a path relative to the volume. Never raises."""
    known = list(evidence)
    name, path, is_there = _place(install, what)
    machine, kernel = _kernel(install)
    return Target(
        install=install,
        name=name,
        path=path,
        machine=install.architecture or machine,
        windows=(kernel[0], kernel[1]) if kernel else _windows(install.build),
        kernel=kernel if machine == (install.architecture or machine) else (),
        modules=Modules(install, (item for item in known if isinstance(item, Service))),
        culprit=_culprit(install, path, bounds) if is_there else None,
        inbox=knowledge.is_inbox(name, _described(name, known)),
    )


def inode(root: WindowsInstall, path: str) -> Inode | None:
    """What hard links to one file have in common."""
    try:
        status = (root.mount / path).lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _described(name: str, evidence: Iterable[Evidence]) -> DriverFile | None:
    found = (item for item in evidence if isinstance(item, DriverFile) and item.driver == name)
    return next(found, None)


def _place(install: WindowsInstall, what: Service | str) -> tuple[str, str, bool]:
    """(file name in lower case, path or "", whether the file is there)."""
    try:
        if isinstance(what, Service):
            if what.path is not None:
                return what.driver, what.path, True
            return what.driver, _missing(install, what), False
        found = located(install, what)
        if found is not None:
            return PurePosixPath(found).name.lower(), found, True
        parent, _, name = what.rpartition("/")
        return name.lower(), _free(install, installs.locate(install.mount, parent), name), False
    except (OSError, RecoveryKitError):
        name = what.driver if isinstance(what, Service) else PurePosixPath(what).name
        return name.lower(), "", False


def _missing(install: WindowsInstall, service: Service) -> str:
    """Where the file of a service has to lie: its folder as it is spelled on disk."""
    image_path = service.image_path.strip().strip('"').replace("/", "\\")
    parent = image_path.rpartition("\\")[0] if image_path else _DRIVERS
    folder = installs.driver_path(install, service.name, parent)[1] if parent else install.folder
    return _free(install, folder, service.driver)


def _free(install: WindowsInstall, folder: str | None, name: str) -> str:
    """A path that nothing lies at; "" without a folder. Raises for names that Windows has not."""
    if folder is None or not name:
        return ""
    path = f"{folder}/{name}".lstrip("/")
    return path if installs.locate(install.mount, path) is None else ""


def _kernel(install: WindowsInstall) -> tuple[str, tuple[int, ...]]:
    """(machine type, file version) of the kernel; ("", ()) when it cannot be read."""
    try:
        found = located(install, f"{install.folder}/{_KERNEL}")
        if found is None:
            return "", ()
        with files.opened(install, found) as file:
            headers = pe.headers(file.stream)
            version = pe_resources.version(file.stream, headers).version
            return headers.machine, image.numbers(version)
    except (OSError, RecoveryKitError):
        return "", ()


def _windows(build: str) -> tuple[int, int] | None:
    number = build.split(".")[0]
    if not number.isdecimal():
        return None
    return next((version for first, version in _VERSIONS if int(number) >= first), (5, 2))


def _culprit(install: WindowsInstall, path: str, bounds: Bounds) -> Culprit:
    try:
        content = whole(install, path, bounds)
    except (OSError, RecoveryKitError) as exc:
        return Culprit("", Version(), None, why(exc))
    digest = hashlib.sha256(content).hexdigest()
    try:
        found = image.read(content)
    except FormatError:
        return Culprit(digest, Version(), None)
    return Culprit(digest, found.version, found.built, whole=not found.damage)
