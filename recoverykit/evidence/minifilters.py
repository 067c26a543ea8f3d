"""Where file-system minifilters attach: the Instances keys of their services.

`Services\\<name>\\Instances\\<instance>` holds the altitude (Microsoft Learn, "Creating an INF File
for a Minifilter Driver"); since Windows 11 24H2 the key lies below `Parameters` instead, so that a
package can be isolated from the registry of others. Installers that serve both write both: what
is in both is one instance. An altitude is decimal, in text.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key
from recoverykit.model import Evidence, Gap, MinifilterInstance, Source, WindowsInstall

_MAX_INSTANCES = 64  # of one service; real ones have one to four
_PLACES = ("Instances", "Parameters\\Instances")


def collect(install: WindowsInstall, hive: Hive, services: list[str]) -> Iterator[Evidence]:
    """Every instance of these services; a damaged key is a Gap and the rest goes on."""
    root = f"{install.control_set_key}\\Services"
    for service in services:
        seen: set[tuple[str, str]] = set()
        for place in _PLACES:
            path = f"{root}\\{service}\\{place}"
            try:
                key = hive.find(path)
                if key is not None:
                    yield from _new(_instances(install, service, key), seen)
            except FormatError as exc:
                yield Gap(Source(install.system_hive, key=path), str(exc))


def _new(found: Iterator[Evidence], seen: set[tuple[str, str]]) -> Iterator[Evidence]:
    for item in found:
        if isinstance(item, MinifilterInstance):
            own = (item.instance.casefold(), item.altitude)
            if own in seen:
                continue
            seen.add(own)
        yield item


def _instances(install: WindowsInstall, service: str, key: Key) -> Iterator[Evidence]:
    for number, child in enumerate(key.subkeys()):
        if number >= _MAX_INSTANCES:
            reason = f"more than {_MAX_INSTANCES} instances: the rest was not read"
            yield Gap(Source(install.system_hive, key.offset, key.path), reason)
            return
        value = child.value("Altitude")
        source = Source(install.system_hive, child.offset, child.path)
        altitude = (value.string if value else None) or ""
        yield MinifilterInstance(source, service, child.name, altitude)
