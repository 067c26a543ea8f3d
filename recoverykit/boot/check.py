"""Walk the loader's job offline and say pass or fail, line by line. Reads only.

What winload needs before the kernel has control, and the kernel before it can read files
itself: the SYSTEM hive, its control set, the kernel, and every boot-start and system-start
driver (Windows driver documentation, "Specifying driver load order"). A service that a class
filter names but that cannot load gives stop code 0x7B (Microsoft support, "Stop error 7B").

Not looked at yet, and said so in the output: the BCD, the ESP, signatures, imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.model import (
    CheckLine,
    DriverFile,
    Evidence,
    FilterUse,
    Service,
    Source,
    StartType,
    WindowsInstall,
)

# The classes Microsoft's article on stop 0x7B names, and those their devices hang from.
BOOT_CLASSES = frozenset(
    {
        "{4d36e96a-e325-11ce-bfc1-08002be10318}",  # hdc
        "{4d36e967-e325-11ce-bfc1-08002be10318}",  # DiskDrive
        "{4d36e97b-e325-11ce-bfc1-08002be10318}",  # SCSIAdapter
        "{71a27cdd-812a-11d0-bec7-08002be2092f}",  # Volume
        "{4d36e97d-e325-11ce-bfc1-08002be10318}",  # System
        "{533c5b84-ec70-11d2-9505-00c04f79deaf}",  # VolumeSnapshot
    }
)
_LOADED_EARLY = (StartType.BOOT, StartType.SYSTEM)
_MAX_LISTED = 5


def check(install: WindowsInstall, evidence: Sequence[Evidence]) -> tuple[CheckLine, ...]:
    """Every line of the boot check for one installation; `ok` is None where it was not done."""
    services = [item for item in evidence if isinstance(item, Service)]
    return (
        _hive(install),
        _control_set(install, services),
        *_system_files(install),
        _drivers_exist(services),
        _drivers_match(install, services, evidence),
        _filters_load(services, evidence),
        _not_done("boot store and ESP"),
        _not_done("driver signatures"),
    )


def _hive(install: WindowsInstall) -> CheckLine:
    source = (Source(install.system_hive),)
    try:
        _, recovery = installs.read_hive(install, install.system_hive)
    except (RecoveryKitError, OSError) as exc:
        return CheckLine("SYSTEM hive", ok=False, text=str(exc), sources=source)
    text = "dirty, but whole with its logs" if recovery.dirty else "clean"
    return CheckLine("SYSTEM hive", ok=True, text=text, sources=source)


def _control_set(install: WindowsInstall, services: Sequence[Service]) -> CheckLine:
    name = f"ControlSet{install.control_set:03}"
    source = (Source(install.system_hive, key=name),)
    if not services:
        return CheckLine("control set", ok=False, text=f"{name} names no drivers", sources=source)
    return CheckLine(
        "control set", ok=True, text=f"{name}, {len(services)} driver services", sources=source
    )


def _system_files(install: WindowsInstall) -> Iterator[CheckLine]:
    for name in ("ntoskrnl.exe", "hal.dll"):
        relative = f"{install.folder}/System32/{name}"
        found = installs.locate(install.mount, relative)
        text = f"{relative} is there" if found else f"{relative} is missing"
        yield CheckLine(name, ok=found is not None, text=text, sources=(Source(relative),))


def _drivers_exist(services: Iterable[Service]) -> CheckLine:
    early = [item for item in services if item.start in _LOADED_EARLY]
    missing = [item for item in early if item.path is None]
    if not missing:
        text = f"all {len(early)} boot-start and system-start drivers have their files"
        return CheckLine("driver files", ok=True, text=text)
    named = _listed(f"{item.name} ({item.driver})" for item in missing)
    sources = tuple(item.source for item in missing)
    # A missing file stops the boot only where the driver is needed; which are, issue D says.
    critical = any(item.error_control >= 2 for item in missing)
    verdict = False if critical else None
    return CheckLine("driver files", ok=verdict, text=f"no file for {named}", sources=sources)


def _drivers_match(
    install: WindowsInstall, services: Iterable[Service], evidence: Iterable[Evidence]
) -> CheckLine:
    early = {item.path for item in services if item.start in _LOADED_EARLY}
    files = [item for item in evidence if isinstance(item, DriverFile)]
    wrong = [
        item
        for item in files
        if item.source.path in early and item.machine not in ("", install.architecture)
    ]
    broken = [item for item in files if item.source.path in early and not item.machine]
    bad = [*wrong, *broken]
    if not bad:
        return CheckLine("driver machine types", ok=True, text=f"all for {install.architecture}")
    named = _listed(f"{item.driver} ({item.machine or 'not a PE file'})" for item in bad)
    sources = tuple(item.source for item in bad)
    return CheckLine("driver machine types", ok=False, text=f"wrong: {named}", sources=sources)


def _filters_load(services: Iterable[Service], evidence: Iterable[Evidence]) -> CheckLine:
    loadable = {
        item.name.lower()
        for item in services
        if item.start is not StartType.DISABLED and item.path is not None
    }
    filters = [item for item in evidence if isinstance(item, FilterUse)]
    dangling = [item for item in filters if item.service.lower() not in loadable]
    if not dangling:
        return CheckLine("filters", ok=True, text=f"all {len(filters)} can load")
    # On a class that the boot disk needs this is stop 0x7B; on others a device stays dead.
    fatal = [item for item in dangling if item.owner.lower() in BOOT_CLASSES]
    named = _listed(f"{item.service} of {item.owner}" for item in fatal or dangling)
    return CheckLine(
        "filters",
        ok=False if fatal else None,
        text=f"named but cannot load: {named}" + ("" if fatal else "; the boot does not need it"),
        sources=tuple(item.source for item in fatal or dangling),
    )


def _not_done(what: str) -> CheckLine:
    return CheckLine(what, ok=None, text="not checked by this version")


def _listed(names: Iterable[str]) -> str:
    listed = sorted(set(names))
    more = len(listed) - _MAX_LISTED
    return ", ".join(listed[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
