"""Where a registry key lies offline: which hive file, and which key in it.

Running, Windows mounts its hives below HKEY_LOCAL_MACHINE and HKEY_USERS and resolves a few names
that exist nowhere on disk: CurrentControlSet, HKEY_CLASSES_ROOT, users by their SID. Offline each
is looked up here (winreg-kb, "Registry files"; "Predefined Keys" and "Registry hives" on Microsoft
Learn). Files are found in any case through `installs.locate`, which follows no link.

Refused: what exists only while Windows runs (HARDWARE, HKEY_CURRENT_USER, HKEY_CURRENT_CONFIG).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import FormatError, NoCulpritError, UsageError
from recoverykit.formats.hive import Hive
from recoverykit.model import WindowsInstall
from recoverykit.report import printable

LOCAL_MACHINE, USERS = "HKEY_LOCAL_MACHINE", "HKEY_USERS"

_ROOTS = {
    "HKLM": LOCAL_MACHINE,
    "HKU": USERS,
    "HKCR": "HKEY_CLASSES_ROOT",
    "HKCU": "HKEY_CURRENT_USER",
    "HKCC": "HKEY_CURRENT_CONFIG",
}
_CONFIG = ("SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DRIVERS", "COMPONENTS", "ELAM", "BBI")
_SERVICE_PROFILES = {"S-1-5-19": "LocalService", "S-1-5-20": "NetworkService"}
_LOCAL_SYSTEM = (".DEFAULT", "S-1-5-18")
_PEOPLE = ("Users", "Documents and Settings")
_OWN_HIVE = "NTUSER.DAT"
_CLASSES_HIVE = "AppData/Local/Microsoft/Windows/UsrClass.dat"
_CLASSES = "_CLASSES"
_PROFILES = "Microsoft\\Windows NT\\CurrentVersion\\ProfileList"
_DRIVE = re.compile(r"(?:[A-Za-z]:|%SystemDrive%)\\", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """A key's place: hive file, path below its root, and what Windows calls that root."""

    hive: str  # relative to the volume, as spelled on disk; for a lone hive its file name
    key: str  # "" is the root
    root: str  # "HKEY_LOCAL_MACHINE\\SYSTEM"
    notes: tuple[str, ...] = ()  # what the name was taken for

    @property
    def name(self) -> str:
        """The full name of the key."""
        return full(self.root, self.key)


def full(root: str, key: str) -> str:
    return f"{root}\\{key}" if key else root


def locate(install: WindowsInstall, name: str) -> Place:
    """The place of a key of an installation.

    Raises UsageError for a name that means nothing offline, NoCulpritError where Windows has no
    such hive, TargetRefusedError for a link on the way to it.
    """
    parts = _parts(name)
    first = _ROOTS.get(parts[0].upper(), parts[0].upper())
    if first == LOCAL_MACHINE:
        return _machine(install, parts[1:])
    if first == USERS:
        return _users(install, parts[1:])
    if first == "HKEY_CLASSES_ROOT":
        place = _machine(install, ["SOFTWARE", "Classes", *parts[1:]])
        note = f"HKEY_CLASSES_ROOT was taken for {LOCAL_MACHINE}\\SOFTWARE\\Classes."
        return _noted(place, note)
    if first == "HKEY_CURRENT_USER":
        raise UsageError(
            "nobody is logged on offline, so there is no HKEY_CURRENT_USER",
            hint=f"Name the user by the folder of the profile: {_people(install)}.",
        )
    if first == "HKEY_CURRENT_CONFIG":
        raise UsageError(
            "HKEY_CURRENT_CONFIG exists only while Windows runs",
            hint="It is HKLM\\SYSTEM\\CurrentControlSet\\Hardware Profiles\\0001.",
        )
    if first in _CONFIG or first == "DEFAULT":
        return _machine(install, parts)
    raise UsageError(f"{name} does not begin with the name of a hive", hint=_known())


def _parts(name: str) -> list[str]:
    """The names of a path, without what regedit's address bar puts before it."""
    parts = name.removeprefix("\\").rstrip("\\").split("\\")
    if parts[0].lower() == "computer" and len(parts) > 1:
        parts = parts[1:]
    if "" in parts:
        raise UsageError(f"{name!r} is not the name of a key", hint=_known())
    return parts


def _known() -> str:
    names = ", ".join(_CONFIG)
    return f"Such as HKLM\\SYSTEM\\Select; hives are {names} (HKLM), .DEFAULT and users (HKU)."


def _noted(place: Place, note: str) -> Place:
    return Place(place.hive, place.key, place.root, (note, *place.notes))


# --- HKEY_LOCAL_MACHINE -------------------------------------------------------------------


def _machine(install: WindowsInstall, parts: Sequence[str]) -> Place:
    if not parts:
        raise UsageError(f"{LOCAL_MACHINE} is not one hive but several", hint=_known())
    name, rest = parts[0].upper(), list(parts[1:])
    if name == "HARDWARE":
        raise UsageError("HKLM\\HARDWARE exists only while Windows runs")
    if name.startswith("BCD"):
        raise UsageError("the boot store is no hive of HKLM", hint="recoverykit bcd show")
    if name == "DEFAULT":
        return Place(_config(install, name), "\\".join(rest), f"{USERS}\\.DEFAULT")
    if name not in _CONFIG:
        raise UsageError(f"HKLM\\{parts[0]} is no hive that Windows keeps", hint=_known())
    hive = _config(install, name)
    if name != "SYSTEM":
        return Place(hive, "\\".join(rest), f"{LOCAL_MACHINE}\\{name}")
    rest, notes = _control_set(install.control_set, rest)
    return Place(hive, "\\".join(rest), f"{LOCAL_MACHINE}\\SYSTEM", notes)


def _config(install: WindowsInstall, name: str) -> str:
    known = {"SYSTEM": install.system_hive, "SOFTWARE": install.software_hive}
    return known.get(name) or _existing(install, f"{install.folder}/System32/config/{name}")


def _existing(install: WindowsInstall, path: str) -> str:
    found = installs.locate(install.mount, path)
    if found is None:
        raise NoCulpritError(f"{install.root} has no hive {path}")
    return found


def _control_set(number: int, rest: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Names below SYSTEM, CurrentControlSet replaced by the one that the next boot uses."""
    if not rest or rest[0].lower() != "currentcontrolset":
        return rest, ()
    if number == installs.NO_CONTROL_SET:
        problem = "cannot be used, so nobody knows which control set is the current one"
        raise FormatError("SYSTEM hive", 0, problem)
    actual = f"ControlSet{number:03}"
    return [actual, *rest[1:]], (f"CurrentControlSet is {actual}: the next boot uses it.",)


# --- HKEY_USERS ---------------------------------------------------------------------------


def _users(install: WindowsInstall, parts: Sequence[str]) -> Place:
    if not parts:
        raise UsageError(
            f"{USERS} is not one hive but several",
            hint=f"Name .DEFAULT, a SID, or the folder of a profile: {_people(install)}.",
        )
    user, key = parts[0], "\\".join(parts[1:])
    if user.upper() in _LOCAL_SYSTEM:
        return Place(_config(install, "DEFAULT"), key, f"{USERS}\\.DEFAULT")
    owner, file = user, _OWN_HIVE
    if user.upper().endswith(_CLASSES):
        owner, file = user[: -len(_CLASSES)], _CLASSES_HIVE
    hive = _existing(install, f"{_profile(install, owner)}/{file}")
    return Place(hive, key, f"{USERS}\\{user}")


def _profile(install: WindowsInstall, user: str) -> str:
    """The folder of a profile, relative to the volume."""
    if user.upper() in _SERVICE_PROFILES:
        return f"{install.folder}/ServiceProfiles/{_SERVICE_PROFILES[user.upper()]}"
    if user.upper().startswith("S-1-"):
        return _profile_of(install, user)
    if not user or "/" in user:
        raise UsageError(f"{user!r} is not the folder of a profile")
    for folder in _PEOPLE:
        found = installs.locate(install.mount, f"{folder}/{user}")
        if found is not None:
            return found
    raise NoCulpritError(
        f"{install.root} has no profile {user}", hint=f"There are: {_people(install)}."
    )


def _profile_of(install: WindowsInstall, sid: str) -> str:
    """Where the SOFTWARE hive says that the profile of a SID lies."""
    software, _ = installs.read_hive(install, install.software_hive)
    key = software.find(f"{_PROFILES}\\{sid}")
    value = key.value("ProfileImagePath") if key is not None else None
    path = (value.string if value is not None else None) or ""
    drive = _DRIVE.match(path)
    if drive is None:
        raise NoCulpritError(f"the ProfileList of {install.root} has no folder for {sid}")
    return path[drive.end() :].replace("\\", "/")


def _people(install: WindowsInstall) -> str:
    """The profiles that have a hive, as hints name them."""
    found = []
    for folder in _PEOPLE:
        home = installs.locate(install.mount, folder)
        names = sorted(path.name for path in (install.mount / home).iterdir()) if home else []
        found += [name for name in names if _has_hive(install.mount, f"{home}/{name}")]
    shown = ", ".join(f"HKU\\{printable(name)}" for name in found)  # a hostile disk's own words
    return shown or "there is none with a hive"


def _has_hive(mount: Path, profile: str) -> bool:
    return (mount / profile / _OWN_HIVE).is_file()


# --- a hive file by itself ----------------------------------------------------------------


def locate_in_file(path: Path, hive: Hive, name: str) -> Place:
    """The place of a key in a hive that is no part of an installation.

    The name may begin at the hive's root, or with what Windows would call that. Raises UsageError.
    """
    parts = _parts(name) if name.strip("\\") else []
    root = _root_of(path)
    first = _ROOTS.get(parts[0].upper(), parts[0].upper()) if parts else ""
    if first in (LOCAL_MACHINE, USERS):
        if len(parts) < 2:
            raise UsageError(f"{first} is not one hive but several")
        root, parts = f"{first}\\{parts[1]}", parts[2:]
    elif first == "HKEY_CURRENT_USER":
        root, parts = first, parts[1:]
    elif first == root.rpartition("\\")[2].upper() and hive.root.subkey(parts[0]) is None:
        parts = parts[1:]
    if parts and parts[0].lower() == "currentcontrolset" and hive.root.subkey(parts[0]) is None:
        rest, notes = _control_set(_current(hive), parts)
        return Place(path.name, "\\".join(rest), root, notes)
    return Place(path.name, "\\".join(parts), root)


def _root_of(path: Path) -> str:
    """What Windows calls the root of a hive with this file name."""
    name = path.name.upper()
    if name == _OWN_HIVE:
        return "HKEY_CURRENT_USER"
    if name == "USRCLASS.DAT":
        return "HKEY_CURRENT_USER\\Software\\Classes"
    if name == "DEFAULT":
        return f"{USERS}\\.DEFAULT"
    return f"{LOCAL_MACHINE}\\{name if name in _CONFIG else path.name}"


def _current(hive: Hive) -> int:
    select = hive.find("Select")
    for name in ("Current", "Default"):
        value = select.value(name) if select is not None else None
        if value is not None and value.dword:
            return value.dword
    return installs.NO_CONTROL_SET
