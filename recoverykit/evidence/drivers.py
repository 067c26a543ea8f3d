"""The files of the driver services: headers, damage, imports, versions and signatures.

Opening a file is what costs here. So a driver that comes with Windows by name is opened only when
it is started before anybody can log on, and neither its version resource nor its signature is
looked at; every other driver's file is read. Whole files are read (for the checksum, and the digest
of the signature) as long as a machine's budget lasts, those of third parties that start earliest
first.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from recoverykit.diagnosis import knowledge
from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.evidence import files
from recoverykit.evidence.modules import Modules
from recoverykit.formats import pe, pe_check, pe_imports, pe_resources
from recoverykit.model import (
    DriverFile,
    Evidence,
    Gap,
    Service,
    Source,
    StartType,
    Vouching,
    WindowsInstall,
)

WHOLE_FILES = 64 << 20  # bytes of whole files read on one machine: 0.2 s of CPU
_IN_MEMORY = 16 << 20  # larger ones are read once for the checksum and again for the digest
_PACKED = 32  # how much more a byte costs in a compressed file

_ORDER = tuple(StartType)
_EARLY = (StartType.BOOT, StartType.SYSTEM)
_MAX_UNREAD = 5  # a compressed Windows has hundreds for one and the same reason


def collect(install: WindowsInstall, services: Sequence[Service]) -> Iterator[Evidence]:
    """One DriverFile for every file that matters, that a service names, and that is there."""
    done: set[str] = set()
    unread = 0
    examine = _Examiner(install, Modules(install, services))
    for service in sorted(services, key=_rank):
        if service.path is None or service.path in done or not _matters(service):
            continue
        done.add(service.path)
        try:
            yield examine.file(service, service.path)
        except (OSError, RecoveryKitError) as exc:
            unread += 1
            if unread <= _MAX_UNREAD:
                reason = f"the driver of {service.name} cannot be read: {exc}"
                yield Gap(Source(service.path), reason)
    if unread > _MAX_UNREAD:
        folder = f"{install.folder}/System32/drivers"
        yield Gap(Source(folder), f"{unread - _MAX_UNREAD} more drivers cannot be read")


def _rank(service: Service) -> tuple[bool, int]:
    return _is_inbox_by_name(service.driver), _ORDER.index(service.start)


def _matters(service: Service) -> bool:
    return service.start in _EARLY or not _is_inbox_by_name(service.driver)


def _is_inbox_by_name(driver: str) -> bool:
    return driver.removesuffix(".sys") in knowledge.inbox_drivers()


@dataclass(slots=True)
class _Examiner:
    """Looks at one file after the other; knows how much was read so far."""

    install: WindowsInstall
    modules: Modules
    left: int = WHOLE_FILES

    def file(self, service: Service, path: str) -> DriverFile:
        with files.opened(self.install, path) as file:
            known = DriverFile(
                source=Source(path),
                driver=service.driver,
                size=file.size,
                modified=file.modified,
                links=file.links,
                packed=file.packed,
            )
            whole = self._spend(file)
            stream = file.stream
            if whole and file.size <= _IN_MEMORY:
                stream = io.BytesIO(stream.read() or b"")
            try:
                image = pe.headers(stream)
            except FormatError as exc:
                if exc.structure != pe.FILE:
                    raise  # how it is compressed, not what it holds
                # No machine type: the file is no driver, which is evidence.
                return replace(known, damage=pe_check.no_image(stream, exc.problem, "driver"))
            return self._image(known, stream, image, whole=whole)

    def _spend(self, file: files.OpenFile) -> bool:
        """Whether the whole file may be read."""
        cost = file.size * (_PACKED if file.packed else 1)
        if cost > self.left:
            return False
        self.left -= cost
        return True

    def _image(
        self, known: DriverFile, stream: pe.Stream, image: pe.Headers, *, whole: bool
    ) -> DriverFile:
        foreign = not _is_inbox_by_name(known.driver)
        check = pe_check.damage_of_whole if whole else pe_check.damage
        version = _version(stream, image) if foreign else pe_resources.Version()
        known = replace(
            known,
            machine=image.machine,
            company=version.company,
            product=version.product,
            description=version.description,
            version=version.version,
            built=image.built,
            stamp=image.stamp,
            image_size=image.image_size,
            damage=check(stream, image, known.size),
        )
        if foreign or not known.packed:
            known = self._linked(known, stream, image)
        return _with_claim(known, stream, image) if foreign and whole else known

    def _linked(self, known: DriverFile, stream: pe.Stream, image: pe.Headers) -> DriverFile:
        try:
            needs = pe_imports.imports(stream, image)
        except FormatError:
            return known
        return replace(
            known,
            unresolved=self.modules.unresolved(known.source.path, image.machine, needs),
            libraries=tuple(sorted({need.dll.lower() for need in needs})),
        )


def _version(stream: pe.Stream, image: pe.Headers) -> pe_resources.Version:
    try:
        return pe_resources.version(stream, image)
    except FormatError:
        return pe_resources.Version()  # a damaged resource does not keep a driver from loading


def _with_claim(known: DriverFile, stream: pe.Stream, image: pe.Headers) -> DriverFile:
    """What the file says of its own signature; nobody's word is checked here."""
    if not all(image.directory(pe.CERTIFICATES)):
        return replace(known, vouching=Vouching.NONE)
    from signing import authenticode  # here, because cryptography takes 50 ms to load

    claim = authenticode.examine(stream)
    return replace(known, vouching=Vouching(claim.vouching.value), signer=claim.signer)
