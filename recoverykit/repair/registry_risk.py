"""What changes of a registry mean for the next boot. Experts are warned, not stopped. Pure.

Facts: windows-boot-facts section 2; winreg-kb, "System keys"; Microsoft, "Winlogon registry
entries".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from recoverykit.formats.hive import REG_DWORD, fold
from recoverykit.model import KeyChange, RegistryChange, RegistryData, ValueChange

_SET = r"SYSTEM\\CONTROLSET\d+\\"
_MEANINGS = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"SYSTEM\\SELECT(\\|$)", "Select decides which control set the next boot uses."),
        (r"SYSTEM\\SETUP(\\[^\\]*)?$", "Setup decides what is run instead of the logon screen."),
        (r"SYSTEM\\MOUNTEDDEVICES(\\|$)", "MountedDevices says which letter each volume gets."),
        (
            _SET + r"CONTROL\\SESSION MANAGER(\\|$)",
            "The session manager reads its key at every boot, before anybody can log on.",
        ),
        (
            _SET + r"(CONTROL\\CLASS|ENUM)\\.*\\(UPPER|LOWER)FILTERS$",
            "A filter that is named there and cannot be loaded stops the boot (0x7B).",
        ),
        (
            r"SOFTWARE\\MICROSOFT\\WINDOWS NT\\CURRENTVERSION\\WINLOGON(\\|$)",
            "Winlogon starts what this key says, or nobody can log on.",
        ),
        (r"(SAM|SECURITY)\\", "This hive holds the accounts: an error locks everybody out."),
    )
)
_SERVICE = re.compile(r"CONTROLSET(\d+)\\SERVICES\\([^\\]+)(\\STARTOVERRIDE)?")


def warnings(hive: str, changes: Sequence[RegistryChange]) -> tuple[str, ...]:
    """What these changes decide beside themselves, one sentence each; `hive` is its path."""
    name = hive.rpartition("/")[2].upper()
    touched = [fold("\\".join((name, change.key, *_value_name(change)))) for change in changes]
    return tuple(
        meaning
        for pattern, meaning in _MEANINGS
        if any(pattern.match(path) is not None for path in touched)
    )


def _value_name(change: RegistryChange) -> tuple[str, ...]:
    return (change.name,) if isinstance(change, ValueChange) else ()


def restrained(changes: Sequence[RegistryChange], control_set: int) -> frozenset[str]:
    """Services (names folded) that would start later than now, differently, or not at all."""
    found = set()
    for change in changes:
        match = _SERVICE.fullmatch(fold(change.key))
        if match is not None and int(match[1]) == control_set and _restrains(change, match[3]):
            found.add(match[2])
    return frozenset(found)


def _restrains(change: RegistryChange, override: str | None) -> bool:
    if isinstance(change, KeyChange):
        return change.after is None and not override
    if not override and fold(change.name) in ("IMAGEPATH", "TYPE"):
        return True
    if not override and fold(change.name) != "START":
        return False
    before, after = (_number(data) for data in (change.before, change.after))
    return (
        after is None or (before is not None and after > before) or (bool(override) and after > 1)
    )


def _number(data: RegistryData | None) -> int | None:
    if data is None or data.type != REG_DWORD or len(data.data) != 4:
        return None
    return int.from_bytes(data.data, "little")
