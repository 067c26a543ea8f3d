"""What a pack may change in the keys of services. Pure.

A driver is disabled by quarantining it, which takes it out of every list that names it as well;
its Start value alone would leave those dangling (0x7B). Services that came with Windows keep all
they have, and so does every driver that the guard says this machine needs: their values name
libraries to load as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from recoverykit.formats.hive import Hive, fold
from recoverykit.model import Evidence, RegistryChange, Service, WindowsInstall
from recoverykit.packs import keys
from recoverykit.packs.pack import DeleteValue, SetValue
from recoverykit.repair import guard, registry_risk

_OWN_PROCESS = 0x10  # SERVICE_WIN32_OWN_PROCESS; others share one with services of Windows
_PROGRAM = re.compile(r'"?[A-Za-z]:\\([^\\"]+)\\')


def refuse(
    act: SetValue | DeleteValue,
    changes: Sequence[RegistryChange],
    install: WindowsInstall,
    evidence: Sequence[Evidence],
    hive: Hive,
) -> str:
    """Why the changes are refused, as a clause; "" where they may be made."""
    name = act.key.service
    if not name or not changes:
        return ""
    services = [
        item for item in evidence if isinstance(item, Service) and fold(item.name) == fold(name)
    ]
    for service in services:
        refusal = guard.refuse(service, evidence, install=install)
        if refusal is not None:
            return f"the machine needs {service.driver}: it is {refusal.role}"
        if registry_risk.restrained(changes, install.control_set):
            return "a driver is not disabled by its value alone: quarantine it"
    return "" if services else _program(name, install, hive)


def _program(name: str, install: WindowsInstall, hive: Hive) -> str:
    """A service that is no driver, as a clause: "" for a program that did not come with Windows."""
    key = hive.find(f"{install.control_set_key}\\{keys.SERVICES}\\{name}")
    if key is None:
        return "there is no such service"
    kind, image = key.values_of("Type", "ImagePath")
    number = kind.dword if kind is not None else None
    path = (image.string if image is not None else None) or ""
    top = _PROGRAM.match(path)
    if number is None or number & 0xFF != _OWN_PROCESS or top is None:
        return "it is no driver that is known, and no program of its own"
    if fold(top[1]) == fold(install.folder):
        return "the service came with Windows"
    return ""
