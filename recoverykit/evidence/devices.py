"""Class and device filters, and which service drives which device.

`Control\\Class\\{guid}` and `Enum\\<bus>\\<device>\\<instance>` of the control set in use
(winreg-kb "System keys"). A service disabled while one of these lists still names it gives stop
code 0x7B (Microsoft support, "Stop error 7B"), so a repair has to know them all.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.errors import FormatError
from recoverykit.evidence.services import control_set
from recoverykit.formats.hive import Hive, Key
from recoverykit.model import DeviceUse, Evidence, FilterUse, Gap, Source, WindowsInstall

_LISTS = ("UpperFilters", "LowerFilters")
_MAX_INSTANCES = 50_000  # a workstation has 300 to 3,000


def collect(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    """Every filter and device use; a damaged key is a Gap and the rest goes on."""
    yield from _classes(install, hive)
    yield from _instances(install, hive)


def _classes(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    path = f"{control_set(install)}\\Control\\Class"
    for item in _below(install, hive, path, levels=1):
        if isinstance(item, Gap):
            yield item
        else:
            yield from _guarded(install, item, "class", item.name.lower())


def _instances(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    path = f"{control_set(install)}\\Enum"
    for number, item in enumerate(_below(install, hive, path, levels=3)):
        if isinstance(item, Gap):
            yield item
        elif number >= _MAX_INSTANCES:
            reason = f"more than {_MAX_INSTANCES} devices: the rest was not read"
            yield Gap(Source(install.system_hive, key=path), reason)
            return
        else:
            yield from _guarded(install, item, "device", item.path[len(path) + 1 :])


def _below(install: WindowsInstall, hive: Hive, path: str, levels: int) -> Iterator[Key | Gap]:
    """The keys exactly `levels` below a path."""
    try:
        root = hive.find(path)
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key=path), str(exc))
        return
    if root is None:
        yield Gap(Source(install.system_hive, key=path), "the key is missing")
    else:
        yield from _descend(install, root, levels)


def _descend(install: WindowsInstall, key: Key, levels: int) -> Iterator[Key | Gap]:
    if levels == 0:
        yield key
        return
    try:
        for child in key.subkeys():
            yield from _descend(install, child, levels - 1)
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key.offset, key.path), str(exc))


def _guarded(install: WindowsInstall, key: Key, scope: str, owner: str) -> Iterator[Evidence]:
    try:
        yield from _uses(install, key, scope, owner)
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key.offset, key.path), str(exc))


def _uses(install: WindowsInstall, key: Key, scope: str, owner: str) -> Iterator[Evidence]:
    guid = _guid(key) if scope == "device" else owner
    for name in _LISTS:
        value = key.value(name)
        # Some installers write a plain string where a list belongs; Windows takes it as one.
        services = (value.strings or (value.string,)) if value else ()
        for service in services:
            if value and service:
                source = Source(install.system_hive, value.offset, f"{key.path}\\{name}")
                yield FilterUse(
                    source,
                    service,
                    scope,
                    owner,
                    upper=name == "UpperFilters",
                    class_guid=guid,
                    written=key.last_written,
                )
    if scope != "device":
        return
    used = key.value("Service")
    if used and used.string:
        flags = key.value("ConfigFlags")
        source = Source(install.system_hive, used.offset, key.path)
        problem = (flags.dword if flags else None) or 0
        yield DeviceUse(source, used.string, owner, guid, problem)


def _guid(key: Key) -> str:
    value = key.value("ClassGUID")
    return ((value.string if value else None) or "").lower()
