r"""Registry keys as a pack names them, and which of them it may change. Pure.

Only HKLM\SYSTEM and HKLM\SOFTWARE exist here; CurrentControlSet is the one of the next boot. A
pack may read any key of the two. It may change what configures a driver, a vendor's own settings
and a few switches of Windows: not what decides who may log on, what is run, or what Windows starts
from (winreg-kb, "System keys"; Microsoft, "Winlogon registry entries"). Anything not listed is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from recoverykit.errors import UsageError
from recoverykit.formats.hive import fold
from recoverykit.model import WindowsInstall

SYSTEM, SOFTWARE = "SYSTEM", "SOFTWARE"
CURRENT = "CURRENTCONTROLSET"
SERVICES = "SERVICES"

_LONGEST, _DEEPEST, _LONGEST_NAME = 1000, 32, 255
_LONGEST_VALUE = 255  # of a value's name

# Below CurrentControlSet, beside Services. Folded, as all names here.
_CONTROL = (
    r"CONTROL\CRASHCONTROL",
    r"CONTROL\EARLYLAUNCH",
    r"CONTROL\FILESYSTEM",
    r"CONTROL\GRAPHICSDRIVERS",
    r"CONTROL\PNP",
    r"CONTROL\POWER",
    r"CONTROL\SESSION MANAGER\CONFIGURATION MANAGER",
    r"CONTROL\SESSION MANAGER\KERNEL",
    r"CONTROL\SESSION MANAGER\MEMORY MANAGEMENT",
    r"CONTROL\SESSION MANAGER\POWER",
    r"CONTROL\STORAGEDEVICEPOLICIES",
)
# What a service runs, as whom, and in which order: a pack does not make services.
_OF_SERVICES = frozenset(
    (
        *("BOOTFLAGS", "DEPENDONGROUP", "DEPENDONSERVICE", "ERRORCONTROL", "FAILURECOMMAND"),
        *("GROUP", "IMAGEPATH", "OBJECTNAME", "REQUIREDPRIVILEGES", "SERVICEDLL", "SERVICEMAIN"),
        *("SERVICESIDTYPE", "TAG", "TYPE"),
    )
)
_VENDORS = frozenset(("CLASSES", "CLIENTS", "MICROSOFT", "REGISTEREDAPPLICATIONS", "POLICIES"))
_NESTED = ("WOW6432NODE", "WOWAA32NODE", "POLICIES")  # hold vendors of their own
_MICROSOFTS = (
    r"MICROSOFT\WINDOWS\WINDOWS ERROR REPORTING",
    r"POLICIES\MICROSOFT\WINDOWS\DEVICEINSTALL",  # keeps a driver from coming back
    r"POLICIES\MICROSOFT\WINDOWS\WINDOWSUPDATE",
)


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key of one of the two hives."""

    hive: str  # "SYSTEM" or "SOFTWARE"
    path: str  # below its root, as the pack spells it

    @property
    def text(self) -> str:
        return f"HKLM\\{self.hive}\\{self.path}"

    @property
    def service(self) -> str:
        """The service of the control set in use whose key it is, or lies in; "" if of none."""
        names = self.path.split("\\")
        own = self.hive == SYSTEM and len(names) > 2
        return names[2] if own and fold("\\".join(names[:2])) == f"{CURRENT}\\{SERVICES}" else ""


def parse(text: str) -> KeyName:
    """A key's name. Raises UsageError with one clause that says what is wrong with it."""
    if not text or len(text) > _LONGEST or not text.isprintable():
        raise UsageError(f"the name of a key has 1 to {_LONGEST} printable characters")
    names = text.split("\\")
    if fold(names[0]) in ("HKLM", "HKEY_LOCAL_MACHINE"):
        names = names[1:]
    if not names or fold(names[0]) not in (SYSTEM, SOFTWARE):
        raise UsageError("it begins with neither HKLM\\SYSTEM nor HKLM\\SOFTWARE")
    below = names[1:]
    if not below or len(below) > _DEEPEST:
        raise UsageError(f"it lies 1 to {_DEEPEST} keys below the hive's root")
    if any(not 0 < len(name) <= _LONGEST_NAME for name in below):
        raise UsageError(f"each of its names has 1 to {_LONGEST_NAME} characters")
    return KeyName(fold(names[0]), "\\".join(below))


def require_value_name(name: str) -> None:
    """Raises UsageError."""
    if len(name) > _LONGEST_VALUE or not (name.isprintable() or not name):
        raise UsageError(f"a value's name has at most {_LONGEST_VALUE} printable characters")


def require_changeable(key: KeyName, value: str) -> None:
    """Raises UsageError for what no pack may change."""
    path = fold(key.path)
    allowed = _in_system(path, fold(value)) if key.hive == SYSTEM else _in_software(path)
    if not allowed:
        shown = f"{value or '(default)'} of {key.text}"
        raise UsageError(f"{shown} is not among what a pack may change (docs/packs.md lists it)")


def _in_system(path: str, value: str) -> bool:
    names = path.split("\\")
    if names[0] != CURRENT or len(names) < 3:
        return False
    if names[1] == SERVICES:
        return value not in _OF_SERVICES
    return _is_below("\\".join(names[1:]), _CONTROL)


def _in_software(path: str) -> bool:
    if _is_below(path, _MICROSOFTS):
        return True
    names = path.split("\\")
    while names and names[0] in _NESTED:
        names = names[1:]
    return bool(names) and names[0] not in _VENDORS


def _is_below(path: str, keys: tuple[str, ...]) -> bool:
    return any(path == key or path.startswith(f"{key}\\") for key in keys)


def located(key: KeyName, install: WindowsInstall) -> tuple[str, str]:
    """(the hive's path, the key below its root)."""
    if key.hive == SOFTWARE:
        return install.software_hive, key.path
    first, _, rest = key.path.partition("\\")
    if fold(first) == CURRENT:
        first = install.control_set_key
    return install.system_hive, f"{first}\\{rest}" if rest else first
