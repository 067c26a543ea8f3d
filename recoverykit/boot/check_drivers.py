"""Every driver that is started before the session manager, in load order: its file.

A driver that cannot be loaded ends the boot where it lies between Windows and its disk, or where
its ErrorControl is severe or critical (Microsoft "CreateService", dwErrorControl); any other is
missed later. Signatures: boot-start drivers of x64 and ARM64 carry one in the file ("Kernel-mode
code signing requirements"); Windows' own may be in its catalogs alone. What this kernel takes,
given its build, settings, catalogs and block lists, `vouching` says. x86 asks for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from recoverykit.boot import check_kernel
from recoverykit.boot.check_files import Files, Seen, modules_of
from recoverykit.boot.check_line import Fault, judged, listed, passed, skipped
from recoverykit.boot.check_machine import SEVERE, Machine
from recoverykit.formats.hive import fold
from recoverykit.model import CheckLine, Service, Source, StartType
from recoverykit.vouching import Standing

BOOT, SYSTEM = "boot-drivers", "system-drivers"
IMAGES, IMPORTS, SIGNATURES = "driver-images", "driver-imports", "driver-signatures"

_SIGNED = ("x64", "arm64")


@dataclass(frozen=True, slots=True)
class Drivers:
    """The drivers of a machine that matter to its boot."""

    machine: Machine
    files: Files
    needed: frozenset[str]  # folded names of services between Windows and its disk
    loaders: tuple[str, ...] = ()  # programs that start this Windows, by their path on disk

    @property
    def boot(self) -> tuple[Service, ...]:
        """What the loader brings in: boot-start ones in load order, then what it needs itself."""
        early = self.machine.early()
        first = [one for one in early if self.machine.start(one) is StartType.BOOT]
        more = [
            service
            for name in sorted(self.needed)
            if (service := self.machine.service(name)) and service not in early
        ]
        return (*first, *more)

    @property
    def system(self) -> tuple[Service, ...]:
        return self.machine.early(StartType.SYSTEM)

    def fatal(self, service: Service) -> bool:
        return fold(service.name) in self.needed or service.error_control >= SEVERE


def lines(drivers: Drivers) -> tuple[CheckLine, ...]:
    blind = drivers.machine.blind
    if blind:
        return tuple(skipped(one, blind) for one in (BOOT, SYSTEM, IMAGES, IMPORTS, SIGNATURES))
    return (
        _there(drivers, BOOT, drivers.boot, "boot-start"),
        _there(drivers, SYSTEM, drivers.system, "system-start"),
        _images(drivers),
        _imports(drivers),
        _signatures(drivers),
    )


def _there(drivers: Drivers, check: str, services: Sequence[Service], kind: str) -> CheckLine:
    faults = [
        Fault(f"{one.name} has no file {one.driver}", one.source, drivers.fatal(one))
        for one in services
        if one.path is None
    ]
    return judged(check, faults, f"all {len(services)} {kind} drivers have their files")


def _images(drivers: Drivers) -> CheckLine:
    faults: list[Fault] = []
    unread: list[Seen] = []
    count = 0
    for seen, name, fatal in _loaded(drivers):
        count += 1
        if seen.damage:
            faults.append(Fault(f"{name}: {seen.damage}", Source(seen.path), fatal))
        elif seen.unread:
            unread.append(seen)
    good = passed(IMAGES, f"all {count} are sound, and for {drivers.machine.install.architecture}")
    if unread:
        names = listed(one.path for one in unread)
        good = skipped(IMAGES, f"{len(unread)} of {count} cannot be read here: {names}")
    return judged(IMAGES, faults, good)


def _loaded(drivers: Drivers) -> Iterator[tuple[Seen, str, bool]]:
    """(file, name, whether the boot needs it) of every driver, then of what these import."""
    libraries: dict[str, bool] = {}
    done: set[str] = set()
    for service, seen in _seen(drivers):
        if seen.path not in done:
            done.add(seen.path)
            yield seen, service.name, drivers.fatal(service)
        for dll in modules_of(seen.imports):
            libraries[dll] = libraries.get(dll, False) or drivers.fatal(service)
    own = _of_the_kernel(drivers.files)
    for dll, fatal in libraries.items():
        path = drivers.files.library(dll) if dll not in own else None
        if path is not None and path not in done:
            done.add(path)
            yield drivers.files.see(path), dll, fatal


def _of_the_kernel(files: Files) -> frozenset[str]:
    """Kernel, HAL and the modules these import: what is wrong with them is told there."""
    paths = [path for name in check_kernel.ROOTS if (path := files.system(name))]
    imported = {name for path in paths for name in modules_of(files.see(path).imports)}
    return frozenset({*check_kernel.ROOTS, *imported})


def _seen(drivers: Drivers) -> Iterator[tuple[Service, Seen]]:
    asked = drivers.machine.install.architecture in _SIGNED
    for service in drivers.boot:
        if service.path is not None:
            yield service, drivers.files.see(service.path, signed=asked)
    for service in drivers.system:
        if service.path is not None:
            yield service, drivers.files.see(service.path)


def _imports(drivers: Drivers) -> CheckLine:
    own = _of_the_kernel(drivers.files)
    faults: list[Fault] = []
    looked = unread = 0
    for service, seen in _seen(drivers):
        looked += bool(seen.imports)
        unread += bool(seen.unread)
        lacking = [one for one in seen.unresolved if one not in own]
        if lacking:
            text = f"{service.name} needs {listed(lacking)}, which nothing offers"
            faults.append(Fault(text, Source(seen.path), drivers.fatal(service)))
    good = passed(IMPORTS, f"those of {looked} drivers can be resolved")
    if unread:
        good = skipped(IMPORTS, f"{good.text}; {unread} could not be read here")
    if not _kernel_is_sound(drivers.files):
        good = skipped(IMPORTS, "the kernel cannot be read, so what it offers is not known")
    return judged(IMPORTS, faults, good)


def _kernel_is_sound(files: Files) -> bool:
    path = files.system(check_kernel.ROOTS[0])
    if path is None:
        return False
    seen = files.see(path)
    return not seen.damage and not seen.unread


def _signatures(drivers: Drivers) -> CheckLine:
    install = drivers.machine.install
    if install.architecture not in _SIGNED:
        kind = install.architecture or "unknown"
        return skipped(SIGNATURES, f"not asked of boot-start drivers: this Windows is {kind}")
    own = [*drivers.loaders, *(one.path for one in drivers.boot if one.path)]
    boot = [drivers.files.see(path, signed=True) for path in own]
    found = _once([*check_kernel.loaded(drivers.files), *boot])
    faults = [*_unvouched(found)]
    return judged(SIGNATURES, faults, _vouched(found))


def _once(found: Iterable[Seen]) -> tuple[Seen, ...]:
    return tuple({one.path: one for one in found}.values())


def _unvouched(found: Sequence[Seen]) -> Iterator[Fault]:
    """Made for other bytes: refused by every Windows. By whom this one does not take: by this one.
    Without one that can be read: a catalog that could not be looked into may vouch."""
    for one in found:
        name = one.path.rsplit("/", 1)[-1]
        if one.standing in (Standing.TAMPERED, Standing.REFUSED):
            yield Fault(f"{name}: {one.word}", Source(one.path))
        elif one.standing in (Standing.UNSIGNED, Standing.UNREADABLE):
            yield Fault(f"{name}: {one.word}", Source(one.path), fatal=False)


def _vouched(found: Sequence[Seen]) -> CheckLine:
    good = [one for one in found if one.standing is Standing.VOUCHED]
    open_ = [one for one in found if one.standing is Standing.NOT_CHECKED]
    unread = [one for one in found if one.standing is None and not one.damage]
    if not open_ and not unread:
        return passed(SIGNATURES, f"all {len(good)} boot-start files are vouched for")
    parts = [f"{len(good)} of {len(found)} boot-start files are vouched for"] if good else []
    if open_:
        parts.append(
            f"{len(open_)} carry an intact signature, but whether this Windows takes it cannot be "
            f"told ({open_[0].path.rsplit('/', 1)[-1]}: {open_[0].word})"
        )
    if unread:
        parts.append(f"{len(unread)} could not be read for this")
    return skipped(SIGNATURES, "; ".join(parts), (Source(one.path) for one in (*open_, *unread)))
