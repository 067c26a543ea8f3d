"""What a dead machine's disk says about its last boots. Reads only, and cannot fail.

One module an artifact, each a generator of Evidence; what is absent or damaged becomes a Gap.
`collect` runs them all and is the only thing other rooms call.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence import bootlog, devices, drivers, events, services
from recoverykit.formats.hive import Hive
from recoverykit.model import Evidence, Gap, Service, Source, WindowsInstall


def collect(install: WindowsInstall) -> tuple[Evidence, ...]:
    """All evidence of one installation. Never raises on bad input: what fails is a Gap."""
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
