"""Filters of device classes and of devices that cannot load.

A device whose filter cannot be loaded does not start; where Windows' own disk hangs on that device
this is stop code 0x7B (Microsoft support, "Stop error 7B"). Which classes those are is said there;
System and VolumeSnapshot are the ones these hang on.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.boot.check_line import Fault, judged, passed, skipped
from recoverykit.boot.check_machine import Machine, folded
from recoverykit.formats.hive import fold
from recoverykit.model import BootPath, CheckLine, FilterUse, StartType

FILTERS = "filters"

_DISK_CLASSES = frozenset(
    {
        "{4d36e96a-e325-11ce-bfc1-08002be10318}",  # hdc
        "{4d36e967-e325-11ce-bfc1-08002be10318}",  # DiskDrive
        "{4d36e97b-e325-11ce-bfc1-08002be10318}",  # SCSIAdapter
        "{71a27cdd-812a-11d0-bec7-08002be2092f}",  # Volume
        "{533c5b84-ec70-11d2-9505-00c04f79deaf}",  # VolumeSnapshot
    }
)
BOOT_CLASSES = _DISK_CLASSES | {"{4d36e97d-e325-11ce-bfc1-08002be10318}"}  # System


def line(machine: Machine, path: BootPath, told: frozenset[str]) -> CheckLine:
    """`told`: folded names of services that other lines say everything about."""
    if machine.blind:
        return skipped(FILTERS, machine.blind)
    uses = machine.all(FilterUse)
    faults = [
        fault
        for use in uses
        if fold(use.service) not in told
        for fault in _wrong(machine, use, needed=is_needed(use, path))
    ]
    return judged(FILTERS, faults, passed(FILTERS, f"all {len(uses)} can load"))


def is_needed(use: FilterUse, path: BootPath) -> bool:
    """Whether Windows' own disk does not start without this filter.

    Where its devices are not known, any disk's filter may be meant; of the many devices of the
    class System, all but a few buses have nothing to do with it.
    """
    if use.scope == "class":
        return use.owner.lower() in BOOT_CLASSES
    devices = folded(node.device for node in path.nodes)
    return fold(use.owner) in devices if devices else use.class_guid in _DISK_CLASSES


def _wrong(machine: Machine, use: FilterUse, *, needed: bool) -> Iterator[Fault]:
    service = machine.service(use.service)
    named = f"{use.service} of {use.owner}"
    if service is None:
        yield Fault(f"{named}: there is no such driver service", use.source, needed)
    elif machine.start(service) is StartType.DISABLED:
        yield Fault(f"{named} is disabled", use.source, needed)
    elif machine.start(service) in (StartType.BOOT, StartType.SYSTEM):
        return  # whether its file is there is said with the drivers
    elif service.path is None:
        yield Fault(f"{named} has no file {service.driver}", use.source, needed)
    elif needed:
        text = f"{named} is not boot-start, though the boot disk needs it"
        yield Fault(text, use.source, fatal=False)
