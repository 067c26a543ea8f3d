"""Find Windows installations on a mounted volume, and files inside them. Reads only.

An installation is a top-level folder that holds System32/config/SYSTEM, whatever the folder is
called and in whatever case: drive letters mean nothing offline. A hive that is missing, damaged,
or dirty without usable logs does not hide the installation: it is listed with `control_set` 0 and
a Gap that says what is wrong, and `read_hive` raises the same FormatError (exit code 10) to whoever
wants to change it. Windows.old is named in a Gap and never touched.

Paths from a registry are hostile: `..`, links and junctions, streams and device names are refused
in this one place. Source of the path forms: ZwLoadDriver and "CreateService" on Microsoft Learn.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from recoverykit.errors import FormatError, TargetRefusedError, why
from recoverykit.formats import hive
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import LOGS, Recovery
from recoverykit.model import Gap, Source, Volume, WindowsInstall

NO_CONTROL_SET = 0  # the SYSTEM hive cannot be read
WINDOWS_11 = 22000  # the first build; its ProductName still says Windows 10

_CONFIG = "System32/config"
_MACHINES = {"amd64": "x64", "x86": "x86", "arm64": "arm64", "ia64": "ia64"}
_MAX_HIVE = 2 << 30  # NTFS hives are limited to less; a sparse file is not
_VERSION_KEY = "Microsoft\\Windows NT\\CurrentVersion"
_ENVIRONMENT = "Control\\Session Manager\\Environment"


# --- installations ------------------------------------------------------------------------


def find(volume: Volume, mount: Path) -> tuple[list[WindowsInstall], list[Gap]]:
    """Every installation on a mounted volume, by folder name, and what could not be read."""
    installs: list[WindowsInstall] = []
    gaps: list[Gap] = []
    for folder in sorted(_folders(mount)):
        if folder.lower().startswith("windows.old"):
            gaps += _previous(mount, folder)
        elif _holds_windows(mount, folder):
            install, missed = _describe(volume, mount, folder)
            installs.append(install)
            gaps += missed
    return installs, gaps


def _folders(mount: Path) -> Iterator[str]:
    with os.scandir(mount) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name


def _holds_windows(mount: Path, folder: str) -> bool:
    try:
        config = locate(mount, f"{folder}/{_CONFIG}")
        return config is not None and any(
            locate(mount, f"{config}/{name}") for name in ("SYSTEM", "SOFTWARE")
        )
    except (TargetRefusedError, OSError):
        return False


def _previous(mount: Path, folder: str) -> Iterator[Gap]:
    """An upgrade keeps the Windows before it as Windows.old/Windows."""
    for inner in _folders(mount / folder):
        if _holds_windows(mount / folder, inner):
            reason = "A previous Windows is kept here; it does not start and was not examined."
            yield Gap(Source(f"{folder}/{inner}"), reason)


def _describe(volume: Volume, mount: Path, folder: str) -> tuple[WindowsInstall, list[Gap]]:
    system = _spelled_hive(mount, folder, "SYSTEM")
    software = _spelled_hive(mount, folder, "SOFTWARE")
    gaps: list[Gap] = []
    try:
        control_set, architecture = _boot_facts(read_hive(mount, system)[0])
    except (FormatError, TargetRefusedError, OSError) as exc:
        control_set, architecture = NO_CONTROL_SET, ""
        gaps.append(Gap(Source(system), f"The SYSTEM hive cannot be used: {why(exc)}."))
    try:
        product, build = _version(mount, software)
    except (FormatError, TargetRefusedError, OSError) as exc:
        product = build = ""
        gaps.append(Gap(Source(software), f"The SOFTWARE hive cannot be used: {why(exc)}."))
    install = WindowsInstall(
        volume=volume,
        mount=mount,
        folder=folder,
        system_hive=system,
        software_hive=software,
        product=product,
        build=build,
        architecture=architecture,
        control_set=control_set,
    )
    return install, gaps


def _spelled_hive(mount: Path, folder: str, name: str) -> str:
    """A hive's path as spelled on disk as far as it exists; reading it says what is wrong."""
    wanted = f"{locate(mount, f'{folder}/{_CONFIG}')}/{name}"
    return _walk(mount, wanted)[0] or wanted


def _boot_facts(system: Hive) -> tuple[int, str]:
    """The control set in use and the machine type. Raises FormatError without a control set."""
    select = system.find("Select")
    for name in ("Current", "Default"):
        value = select.value(name) if select else None
        number = value.dword if value else None
        if number and system.find(f"ControlSet{number:03}"):
            break
    else:
        raise FormatError("SYSTEM hive", 0, "it names no control set that exists")
    environment = system.find(f"ControlSet{number:03}\\{_ENVIRONMENT}")
    machine = environment.value("PROCESSOR_ARCHITECTURE") if environment else None
    return number, _MACHINES.get(((machine.string if machine else None) or "").lower(), "")


def _version(mount: Path, relative: str) -> tuple[str, str]:
    """Product and build. A dirty hive is read as it lies: a version one moment old will do here.

    Read whole, not mapped: a bad sector under a map ends the process instead of raising OSError.
    """
    raw = _load(on_disk(mount, relative))
    try:
        return _version_of(Hive(raw))
    except FormatError:
        return _version_of(read_hive(mount, relative)[0])


def _version_of(software: Hive) -> tuple[str, str]:
    key = software.find(_VERSION_KEY)
    if key is None:
        raise FormatError("SOFTWARE hive", 0, "it does not say which Windows this is")

    def text(name: str) -> str:
        value = key.value(name)
        return (value.string if value else None) or ""

    revision = key.value("UBR")
    build = text("CurrentBuild") or text("CurrentBuildNumber")
    product = text("ProductName")
    if build.isdecimal() and int(build) >= WINDOWS_11:
        product = product.replace("Windows 10", "Windows 11")
    number = revision.dword if revision else None
    return product, build if number is None else f"{build}.{number}"


def read_hive(
    where: WindowsInstall | Path, relative: str, *, limit: int = _MAX_HIVE
) -> tuple[Hive, Recovery]:
    """Load a hive with the logs beside it and make it whole in memory.

    `limit`: bytes that it, and each of its logs, may have. Raises FormatError when it is damaged
    or longer, or dirty without logs that help; OSError when it cannot be read; TargetRefusedError
    as `on_disk`.
    """
    mount = where.mount if isinstance(where, WindowsInstall) else where
    primary = _load(on_disk(mount, relative), limit)
    logs = []
    for suffix in LOGS:
        found = locate(mount, relative + suffix)
        if found is not None:
            logs.append((found.rsplit("/", 1)[-1], _load(on_disk(mount, found), limit)))
    return hive.read(primary, logs)


def _load(path: Path, limit: int = _MAX_HIVE) -> bytes:
    size = path.stat().st_size
    if size > limit:
        raise FormatError("registry hive", 0, f"{size} bytes are more than it can have")
    return path.read_bytes()


# --- paths --------------------------------------------------------------------------------


def locate(mount: Path, relative: str) -> str | None:
    """Find a file or folder in any case; its spelling on disk, or None when it is absent.

    Raises TargetRefusedError for `..`, names Windows cannot have, and when a link, junction or
    other reparse point lies on the way or is what was found.
    """
    spelled, link = _walk(mount, relative)
    if link is not None:
        raise TargetRefusedError(
            f"{link} is a link, junction or other reparse point; it was not followed."
        )
    return spelled


def on_disk(mount: Path, relative: str) -> Path:
    """The checked path of a file or folder that exists.

    Raises as `locate`, FileNotFoundError, and TargetRefusedError for pipes, sockets and devices:
    ntfs-3g shows those of other systems, and opening a pipe waits for a writer that never comes.
    """
    found = locate(mount, relative)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "it is missing", relative)
    mode = (mount / found).lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise TargetRefusedError(f"{found} is no regular file; it was not opened.")
    return mount / found


def driver_path(
    install: WindowsInstall, service_name: str, image_path: str
) -> tuple[str, str | None]:
    """Where a driver service's file lies: (file name in lower case, path on disk or None).

    A drive letter is taken for this volume: offline nobody knows which letter it had. None means
    absent, or behind a link that we do not follow.
    """
    wanted = _relative(install.folder, service_name, image_path)
    try:
        spelled, link = _walk(install.mount, wanted)
    except (TargetRefusedError, OSError):
        spelled, link = None, None
    if link is not None and not is_packed(install.mount / link):
        spelled = None
    return wanted.rsplit("/", 1)[-1].lower(), spelled


_PREFIXES = (  # what stands before a path, and whether the Windows folder follows
    (re.compile(r"\\?systemroot\\", re.IGNORECASE), True),
    (re.compile(r"%(systemroot|windir)%\\", re.IGNORECASE), True),
    (
        re.compile(r"(\\\?\?\\|\\\\\?\\|\\dosdevices\\|\\global\?\?\\)?[a-z]:\\", re.IGNORECASE),
        False,
    ),
    (re.compile(r"(\\\?\?)?\\device\\harddiskvolume\d+\\", re.IGNORECASE), False),
    (re.compile(r"(\\\?\?)?\\?%systemdrive%\\", re.IGNORECASE), False),
)
_ARGUMENTS = re.compile(r'^("?)(.*?\.sys)\1(\s.*)?$', re.IGNORECASE | re.DOTALL)


def _relative(folder: str, service_name: str, image_path: str) -> str:
    """An ImagePath as the kernel reads it, relative to the volume, with forward slashes."""
    path = image_path.strip().replace("/", "\\").split("\0")[0]
    match = _ARGUMENTS.match(path)
    path = (match.group(2) if match else path).strip('"')
    path = re.sub(r"^\\\?\?\\(?=%|\\?systemroot\\)", "", path, flags=re.IGNORECASE)
    if not path:
        path = f"System32\\drivers\\{service_name}.sys"
    for prefix, below_windows in _PREFIXES:
        if found := prefix.match(path):
            rest = path[found.end() :].lstrip("\\")
            return (f"{folder}\\{rest}" if below_windows else rest).replace("\\", "/")
    if path.startswith("\\"):  # from the volume's root
        return path.lstrip("\\").replace("\\", "/")
    return f"{folder}\\{path}".replace("\\", "/")


# Characters no Win32 name has, and the stream separator. Nobody needs them to name a driver.
_ODD = re.compile(r'[\x00-\x1f<>:"|?*\\/]')


def _walk(mount: Path, relative: str) -> tuple[str | None, str | None]:
    """(spelling on disk or None, the link that ended the walk or None)."""
    names = [name for name in relative.split("/") if name]
    for name in names:
        if name in (".", "..") or _ODD.search(name):
            raise TargetRefusedError(f"{relative!r} is not a path inside this volume.")
    spelled: list[str] = []
    for at, name in enumerate(names):
        here = mount.joinpath(*spelled)
        found = _spelling(here, name)
        if found is None:
            return None, None
        spelled.append(found)
        if stat.S_ISLNK((here / found).lstat().st_mode):
            link = "/".join(spelled)
            return (link if at == len(names) - 1 else None), link
    return "/".join(spelled), None


def _spelling(folder: Path, name: str) -> str | None:
    """How a folder spells a name. A listing may be kept while the folder's time stands still."""
    try:
        status = folder.stat()
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None
    kept = _listing(str(folder), status.st_dev, status.st_ino, status.st_mtime_ns)
    found = _pick(kept, name)
    if found is not None and os.path.lexists(folder / found):
        return found
    return _pick(_names(str(folder)), name)  # time stamps of FAT are too coarse to rely on


def _pick(names: dict[str, tuple[str, ...]], name: str) -> str | None:
    """The exact spelling wins: NTFS can hold names that differ in case alone."""
    candidates = names.get(hive.fold(name), ())
    return name if name in candidates else next(iter(candidates), None)


@lru_cache(maxsize=64)
def _listing(folder: str, _device: int, _inode: int, _modified: int) -> dict[str, tuple[str, ...]]:
    return _names(folder)


def _names(folder: str) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for name in sorted(entry.name for entry in Path(folder).iterdir()):
        names[hive.fold(name)] = (*names.get(hive.fold(name), ()), name)
    return names


def is_packed(path: Path) -> bool:
    """Whether ntfs-3g shows a reparse point that leads nowhere else: a compressed file.

    It is there, so its driver is not missing; reading it takes a plug-in of ntfs-3g. Names that
    stand for other names (junctions, symbolic links) have bit 29 of the tag set.
    """
    try:
        target = path.readlink()
    except OSError:
        return False
    match = re.fullmatch(r"unsupported reparse (?:tag|point) ?(0x[0-9a-f]+)?", str(target))
    return (
        match is not None and match.group(1) is not None and not int(match.group(1), 16) >> 29 & 1
    )
