"""Class and device filters, and which service drives which device.

`Control\\Class\\{guid}` and `Enum\\<bus>\\<device>\\<instance>` of the control set in use
(winreg-kb "System keys"). A service disabled while one of these lists still names it gives stop
code 0x7B (Microsoft support, "Stop error 7B"), so a repair has to know them all. How the disks
hang together is `boot_disk`'s part of the same keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from recoverykit.errors import FormatError
from recoverykit.evidence import boot_disk, device_keys
from recoverykit.formats.hive import Hive, Key
from recoverykit.model import DeviceUse, Evidence, FilterUse, Gap, Source, WindowsInstall

_LISTS = ("UpperFilters", "LowerFilters")


def collect(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    """Filters, device uses and the way to the disks; a damaged key is a Gap, the rest goes on."""
    told: set[str] = set()  # keys of Gaps: what follows reads the same keys for something else
    for item in chain(_lists(install, hive), boot_disk.collect(install, hive)):
        if isinstance(item, Gap):
            if item.source.key in told:
                continue
            told.add(item.source.key)
        yield item


def _lists(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    trees = {
        "class": device_keys.classes(install, hive),
        "device": device_keys.instances(install, hive),
    }
    for scope, keys in trees.items():
        for item in keys:
            if isinstance(item, Gap):
                yield item
            else:
                yield from _guarded(install, item[1], scope, item[0])


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
