"""What a dead machine's disk says about its last boots. Reads only, and cannot fail.

One module an artifact, each a generator of Evidence; what is absent or damaged becomes a Gap.
`collect` runs them all and is the only thing other rooms call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence import bootlog, devices, drivers, events, services
from recoverykit.formats.hive import Hive
from recoverykit.model import Evidence, Gap, Service, Source, Volume, WindowsInstall


def collect(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    volumes: Sequence[Volume] = (),
) -> tuple[Evidence, ...]:
    """All evidence of one installation. Never raises on bad input: what fails is a Gap.

    `boot_volumes`: other volumes of its disk that may hold boot files, with where they are mounted;
    `volumes`: every volume that was seen, to know which partitions exist.
    """
    return tuple(_collect(install))


def _collect(install: WindowsInstall) -> Iterator[Evidence]:
    bias = None
    try:
        hive, _ = installs.read_hive(install, install.system_hive)
    except (RecoveryKitError, OSError) as exc:
        yield Gap(Source(install.system_hive), str(exc))
    else:
        bias = services.time_zone_bias(install, hive)
        yield from _registry(install, hive)
    yield from bootlog.collect(install, bias)
    yield from events.collect(install)


def _registry(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    found = tuple(services.collect(install, hive))
    yield from found
    yield from devices.collect(install, hive)
    named = [item for item in found if isinstance(item, Service)]
    yield from drivers.collect(install, named)
