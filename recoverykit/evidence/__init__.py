"""What a dead machine's disk says about its last boots. Reads only, and cannot fail.

One module an artifact, each a generator of Evidence; what is absent or damaged becomes a Gap.
`collect` runs them all and is the only thing other rooms call; `stages` does the same one by one,
for whoever measures them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence import (
    boot_files,
    boot_status,
    bootlog,
    code_integrity,
    content,
    devices,
    drivers,
    dumps,
    events,
    hives,
    minifilters,
    packages,
    services,
    servicing,
    settings,
    setupapi,
    startup_repair,
    wer,
)
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    DriverFile,
    DriverPackage,
    Evidence,
    Gap,
    Service,
    Setting,
    Source,
    Volume,
    WindowsInstall,
)

Item = TypeVar("Item", bound=Evidence)
_FILE_SYSTEM = 2  # service type of file systems and their filters
Stage = tuple[str, tuple[Evidence, ...]]


def collect(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    volumes: Sequence[Volume] = (),
) -> tuple[Evidence, ...]:
    """All evidence of one installation. Never raises on bad input: what fails is a Gap.

    `boot_volumes`: other volumes of its disk that may hold boot files, with where they are mounted;
    `volumes`: every volume that was seen, to know which partitions exist.
    """
    found = stages(install, boot_volumes, volumes)
    return tuple(item for _, items in found for item in items)


def collect_for_a_start(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    volumes: Sequence[Volume] = (),
) -> tuple[Evidence, ...]:
    """The same without what past boots left behind: logs, dumps, reports."""
    found: list[Evidence] = []
    for stage, items in stages(install, boot_volumes, volumes):
        found += items
        if stage == "boot_files":
            break
    return tuple(found)


def stages(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    volumes: Sequence[Volume] = (),
) -> Iterator[Stage]:
    """(collector, what it found), one after the other: the work is done as one asks for it."""
    loaded: hives.Loaded
    bias: int | None = None
    known: list[Setting] = []
    try:
        hive, loaded = installs.read_hive(install, install.system_hive)
    except (RecoveryKitError, OSError) as exc:
        loaded = exc
        yield "registry", (Gap(Source(install.system_hive), str(exc)),)
    else:
        bias = services.time_zone_bias(install, hive)
        found = tuple(settings.collect(install, hive))
        known = _of(Setting, found)
        yield "settings", found
        yield from _registry(install, hive)
    yield "hives", tuple(hives.collect(install, loaded))
    yield "boot_files", tuple(boot_files.collect(install, boot_volumes, volumes))
    yield "bootlog", tuple(bootlog.collect(install, bias))
    yield "events", tuple(events.collect(install))
    yield "code_integrity", tuple(code_integrity.collect(install))
    yield "dumps", tuple(dumps.collect(install, known))
    yield "wer", tuple(wer.collect(install))
    yield "setupapi", tuple(setupapi.collect(install, bias))
    yield "startup_repair", tuple(startup_repair.collect(install))
    yield "boot_status", tuple(_boot_status(install, boot_volumes))


def _registry(install: WindowsInstall, hive: Hive) -> Iterator[Stage]:
    """What the SYSTEM hive holds, and the files it leads to."""
    inside = tuple(packages.collect(install, hive))
    yield "packages", inside
    found = tuple(_owned(services.collect(install, hive), _of(DriverPackage, inside)))
    yield "services", found
    named = _of(Service, found)
    yield "devices", tuple(devices.collect(install, hive))
    filters = [service.name for service in named if service.type == _FILE_SYSTEM]
    yield "minifilters", tuple(minifilters.collect(install, hive, filters))
    files = tuple(drivers.collect(install, named))
    yield "drivers", files
    yield "content", tuple(content.collect(install, named, _of(DriverFile, files)))
    yield "servicing", tuple(servicing.collect(install, hive))


def _boot_status(
    install: WindowsInstall, boot_volumes: Sequence[tuple[Volume, Path]]
) -> Iterator[Evidence]:
    yield from boot_status.collect(install)
    for volume, mount in ((install.volume, install.mount), *boot_volumes):
        yield from boot_status.collect_boot_volume(volume, mount)


def _owned(found: Iterable[Evidence], known: Sequence[DriverPackage]) -> Iterator[Evidence]:
    """Services with the driver packages that brought them."""
    owners = packages.owners(known)
    for item in found:
        brought = owners.get(item.name.casefold(), ()) if isinstance(item, Service) else ()
        yield replace(item, owners=brought) if isinstance(item, Service) and brought else item


def _of(kind: type[Item], evidence: Sequence[Evidence]) -> list[Item]:
    return [item for item in evidence if isinstance(item, kind)]
