"""The files of the driver services: headers and version strings where they can matter.

Opening a file is what costs here. So a driver that comes with Windows by name is opened only when
it is started before anybody can log on, and its version resource (company, version) is not read;
every other driver's file is read, those that start earliest first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from recoverykit import installs
from recoverykit.diagnosis import knowledge
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.formats import pe, pe_resources
from recoverykit.model import DriverFile, Evidence, Gap, Service, Source, StartType, WindowsInstall

_ORDER = tuple(StartType)
_EARLY = (StartType.BOOT, StartType.SYSTEM)
_MAX_UNREAD = 5  # a compressed Windows has hundreds for one and the same reason
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def collect(install: WindowsInstall, services: Sequence[Service]) -> Iterator[Evidence]:
    """One DriverFile for every file that matters, that a service names, and that is there."""
    done: set[str] = set()
    unread = 0
    for service in sorted(services, key=lambda item: _ORDER.index(item.start)):
        if service.path is None or service.path in done or not _matters(service):
            continue
        done.add(service.path)
        try:
            yield _examine(install, service, service.path)
        except (OSError, RecoveryKitError) as exc:
            unread += 1
            if unread <= _MAX_UNREAD:
                reason = f"the driver of {service.name} cannot be read: {exc}"
                yield Gap(Source(service.path), reason)
    if unread > _MAX_UNREAD:
        folder = f"{install.folder}/System32/drivers"
        yield Gap(Source(folder), f"{unread - _MAX_UNREAD} more drivers cannot be read")


def _matters(service: Service) -> bool:
    return service.start in _EARLY or not _is_inbox_by_name(service.driver)


def _is_inbox_by_name(driver: str) -> bool:
    return driver.removesuffix(".sys") in knowledge.inbox_drivers()


def _examine(install: WindowsInstall, service: Service, path: str) -> Evidence:
    where = installs.on_disk(install.mount, path)
    with where.open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            return Gap(Source(path), f"the driver of {service.name} is not a regular file")
        known = DriverFile(
            source=Source(path),
            driver=service.driver,
            size=status.st_size,
            modified=_EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000),
            links=status.st_nlink,
        )
        try:
            image = pe.headers(stream)
        except FormatError:
            return known  # no machine type: the file is no driver, which is evidence
        version = _version(stream, image, service.driver)
    return DriverFile(
        source=known.source,
        driver=known.driver,
        size=known.size,
        modified=known.modified,
        links=known.links,
        machine=image.machine,
        company=version.company,
        product=version.product,
        description=version.description,
        version=version.version,
        built=image.built,
    )


def _version(stream: pe.Stream, image: pe.Headers, driver: str) -> pe_resources.Version:
    if _is_inbox_by_name(driver):
        return pe_resources.Version()
    try:
        return pe_resources.version(stream, image)
    except FormatError:
        return pe_resources.Version()  # a damaged resource does not keep a driver from loading
