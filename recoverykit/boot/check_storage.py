"""The drivers between Windows and its disk: all registered, and started by the loader.

Which they are the machine's own device tree says (`diagnosis.boot_path`), and what every Windows
has there: bus, partitions, volumes. A driver the kernel needs to reach its disk must be boot-start
for this hardware, or there is nothing to read it from: stop code 0x7B. `StartOverride` can undo
what Start says (Azure repair-script-library, pull request 156). Which file system driver is meant
the loader knows by itself, so its start type does not matter unless it is disabled. Whether the
files are there is said with the drivers. A disk moved to other hardware is not foreseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recoverykit.boot.check_filters import is_needed
from recoverykit.boot.check_hives import DRIVERS, STORAGE_ROLES, file_system
from recoverykit.boot.check_line import Fault, judged, passed, skipped
from recoverykit.boot.check_machine import Machine, folded
from recoverykit.diagnosis.boot_path import DISK
from recoverykit.formats.hive import fold
from recoverykit.model import (
    BootPath,
    CheckLine,
    FilterUse,
    Known,
    PathNode,
    Service,
    StartType,
)

CHAIN = "storage-chain"


def line(machine: Machine, path: BootPath) -> CheckLine:
    if machine.blind:
        return skipped(CHAIN, machine.blind)
    ways = _ways(path)
    broken = [[*_faults(machine, way)] for way in ways]
    faults = [*_roles(machine)]
    if all(broken):  # of several disks, Windows may start from one whose way is whole
        faults += [fault for each in broken for fault in each]
    return judged(CHAIN, faults, _good(machine, path))


def _good(machine: Machine, path: BootPath) -> CheckLine:
    whole = [way for way in _ways(path) if not any(_faults(machine, way))]
    if not whole or path.doubt:
        why = path.doubt or "the registry does not say which disk that is"
        return skipped(CHAIN, f"the way to the boot disk is not known for certain: {why}")
    services = dict.fromkeys(node.service for way in whole for node in reversed(way))
    text = f"{', '.join(services)}: the loader starts them all"
    if len(path.disks) > 1:
        text += f" (which of {len(path.disks)} disks Windows starts from is not recorded)"
    return passed(CHAIN, text, (node.source for way in whole for node in way))


def needed(machine: Machine, path: BootPath) -> frozenset[str]:
    """Folded names of the services the boot disk does not come up without."""
    ways = _ways(path)
    whole = [way for way in ways if not any(_faults(machine, way))] or ways
    on_all = [frozenset(node.service for node in way) for way in whole]
    common = on_all[0].intersection(*on_all) if on_all else ()
    filters = {use.service for use in machine.all(FilterUse) if is_needed(use, path)}
    return folded((*DRIVERS, "volume", file_system(machine), *common, *filters))


def _ways(path: BootPath) -> list[list[PathNode]]:
    """For each disk it may be: the devices that are known to lie above it, each with a driver.

    The kernel drives some devices itself; their service is no service's name ("\\Driver\\...").
    What disks share the path has once, behind the last of them: those are one way here.
    """
    ways: list[list[PathNode]] = []
    for node in path.nodes:
        if node.known is Known.GUESS and node.role != DISK:
            continue
        if node.role == DISK and (not ways or any(one.role != DISK for one in ways[-1])):
            ways.append([])
        if ways and node.service and not node.service.startswith("\\"):
            ways[-1].append(node)
    return ways


def _roles(machine: Machine) -> Iterator[Fault]:
    """Services that are missing altogether are told of with the essential ones."""
    for name in (*STORAGE_ROLES, "volume"):
        service = machine.service(name)
        if service is not None and machine.start(service) is not StartType.BOOT:
            yield Fault(f"{name} {_state(machine, service)}", service.source)
    service = machine.service(file_system(machine))
    if service is not None and machine.start(service) is StartType.DISABLED:
        yield Fault(f"{service.name} {_state(machine, service)}", service.source)


def _faults(machine: Machine, way: Sequence[PathNode]) -> Iterator[Fault]:
    done = set(folded((*STORAGE_ROLES, "volume")))
    for node in way:
        name = fold(node.service)
        if name in done or _starts(machine, node):
            continue
        done.add(name)
        service = machine.service(node.service)
        state = _state(machine, service) if service else "is no driver service"
        source = service.source if service else node.source
        yield Fault(f"{node.service}, {node.role}, {state}", source)


def _starts(machine: Machine, node: PathNode) -> bool:
    service = machine.service(node.service)
    return service is not None and machine.start(service) is StartType.BOOT


def _state(machine: Machine, service: Service) -> str:
    start = machine.start(service)
    text = "is disabled" if start is StartType.DISABLED else f"is {start.value}-start"
    if start is not service.start and service.start is StartType.BOOT:
        return f"{text} by its StartOverride for this hardware"
    return text
