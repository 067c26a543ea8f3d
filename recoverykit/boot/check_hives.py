"""The registry as the loader and the session manager find it.

The loader takes the control set that `Select\\Default` names (winreg-kb "System keys"); every boot
loads SYSTEM, SOFTWARE, SAM and SECURITY, and ends with 0xC0000218 where one cannot be loaded. Which
services a Windows cannot do without: Microsoft's article on stop 0x7B for drivers; the rest are
those every user-mode service depends on. A Windows that has no `volume` service at all is one from
before Windows 10, and that is read from services that came with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.boot.check_line import Fault, judged, passed, skipped
from recoverykit.boot.check_machine import Machine, folded, number, text
from recoverykit.errors import FormatError
from recoverykit.formats.hive import fold
from recoverykit.model import CheckLine, Gap, HiveHealth, HiveState, Source, StartType

SYSTEM, CONTROL_SET, SOFTWARE, OTHERS = "system-hive", "control-set", "software-hive", "other-hives"
SERVICES, ORDER, SESSION = "essential-services", "load-order", "session-manager"

# Drivers between Windows and its disk, and what those themselves are built on.
STORAGE_ROLES = ("ACPI", "pci", "disk", "partmgr", "volmgr", "mountmgr", "volsnap")
DRIVERS = (*STORAGE_ROLES, "FltMgr", "CLFS", "CNG", "KSecDD", "Wdf01000")
_SINCE_10 = ("volume",)
_OF_10 = ("WindowsTrustedRT", "iorate", "bam", "scmbus", "storufs")  # two of them: it is 10 or 11
_USER = ("RpcSs", "DcomLaunch", "RpcEptMapper", "PlugPlay", "SamSs")
_GROUPS = ("Boot Bus Extender", "System Bus Extender", "SCSI miniport", "Filter", "Base")
_HEALTHY = (HiveHealth.CLEAN, HiveHealth.RECOVERED)


def lines(machine: Machine) -> tuple[CheckLine, ...]:
    return (
        _system(machine),
        _control_set(machine),
        _hive(machine, SOFTWARE, machine.install.software_hive),
        _others(machine),
        *_inside(machine),
    )


def _inside(machine: Machine) -> Iterator[CheckLine]:
    """What the SYSTEM hive holds; nothing in it was checked where it cannot be read."""
    for check, look in ((SERVICES, _services), (ORDER, _order), (SESSION, _session)):
        try:
            yield skipped(check, machine.blind) if machine.blind else look(machine)
        except FormatError as exc:
            source = Source(machine.install.system_hive, exc.offset)
            yield judged(check, [Fault(f"its keys are damaged: {exc}", source)], "")


# --- files --------------------------------------------------------------------------------


def _system(machine: Machine) -> CheckLine:
    if machine.hive is None:
        source = Source(machine.install.system_hive)
        return judged(SYSTEM, [Fault(f"it cannot be used: {machine.trouble}", source)], "")
    return _hive(machine, SYSTEM, machine.install.system_hive)


def _hive(machine: Machine, check: str, path: str) -> CheckLine:
    states = [one for one in machine.all(HiveState) if one.source.path == path]
    faults = [
        Fault(one.text or one.health.value, one.source)
        for one in states
        if one.health not in _HEALTHY
    ]
    dirty = any(one.health is HiveHealth.RECOVERED for one in states)
    good = passed(check, "dirty, and whole with its logs" if dirty else "clean", [Source(path)])
    if not states:
        gaps = [gap.reason for gap in machine.all(Gap) if gap.source.path == path]
        good = skipped(check, next(iter(gaps), "nothing is known of it"), [Source(path)])
    return judged(check, faults, good)


def _others(machine: Machine) -> CheckLine:
    """SAM and SECURITY are told of only where something is wrong with them."""
    own = (machine.install.system_hive, machine.install.software_hive)
    states = machine.all(HiveState)
    faults = [
        Fault(f"{one.hive}: {one.text or one.health.value}", one.source)
        for one in states
        if one.source.path not in own and one.health not in _HEALTHY
    ]
    good = passed(OTHERS, "SAM and SECURITY need no repair")
    return judged(OTHERS, faults, good if states else skipped(OTHERS, "nothing is known of them"))


def _control_set(machine: Machine) -> CheckLine:
    path, hive = machine.install.system_hive, machine.hive
    if hive is None:
        return skipped(CONTROL_SET, machine.blind)
    source = Source(path, key="Select")
    try:
        default = number(hive, "Select", "Default")
        found = default and hive.find(f"ControlSet{default:03}")
    except FormatError as exc:
        return judged(CONTROL_SET, [Fault(str(exc), Source(path, exc.offset))], "")
    if not default or found is None:
        text = "Select names no control set" if not default else f"there is no set {default}"
        return judged(CONTROL_SET, [Fault(f"{text} that a boot could use", source)], "")
    if not machine.services:
        text = f"{machine.control_set} names no drivers"
        return judged(CONTROL_SET, [Fault(text, machine.source("Services"))], "")
    if default != machine.install.control_set:
        text = f"the next boot uses set {default}; what follows is about {machine.control_set}"
        return judged(CONTROL_SET, [Fault(text, source, fatal=False)], "")
    text = f"{machine.control_set}, {len(machine.services)} driver services"
    return passed(CONTROL_SET, text, [source])


# --- keys ---------------------------------------------------------------------------------


def _services(machine: Machine) -> CheckLine:
    newer = sum(machine.service(name) is not None for name in _OF_10) >= 2
    wanted = (*DRIVERS, *(_SINCE_10 if newer else ()), file_system(machine))
    faults = [
        Fault(f"the driver service {name} is missing", machine.source(f"Services\\{name}"))
        for name in wanted
        if name and machine.service(name) is None
    ]
    faults += [
        Fault(f"the service {name} is missing", machine.source(f"Services\\{name}"))
        for name in _USER
        if not machine.has_key(f"Services\\{name}")
    ]
    return judged(SERVICES, faults, f"all {len(wanted) + len(_USER)} that no Windows lacks")


def file_system(machine: Machine) -> str:
    """The service that reads the boot volume; Windows has itself on NTFS, rarely on ReFS."""
    return "ReFS" if machine.install.volume.filesystem.value == "refs" else "Ntfs"


def _order(machine: Machine) -> CheckLine:
    groups = machine.order.groups
    source = machine.source("Control\\ServiceGroupOrder")
    missing = [name for name in _GROUPS if fold(name) not in folded(groups)]
    if not groups:
        faults = [Fault("ServiceGroupOrder lists no groups", source)]
    else:
        faults = [Fault(f"ServiceGroupOrder lacks the group {name}", source) for name in missing]
    if not machine.order.tags:
        where = machine.source("Control\\GroupOrderList")
        faults.append(Fault("GroupOrderList has no tags", where, fatal=False))
    early = machine.early()
    boot = sum(machine.start(service) is StartType.BOOT for service in early)
    good = f"{len(groups)} groups, for {boot} boot-start and {len(early) - boot} system-start"
    return judged(ORDER, faults, f"{good} drivers")


def _session(machine: Machine) -> CheckLine:
    key = "Control\\Session Manager\\SubSystems"
    hive = machine.hive
    started = text(hive, f"{machine.control_set}\\{key}", "Windows") if hive else ""
    if "csrss.exe" not in started.lower():
        text_ = "SubSystems does not say how to start csrss.exe"
        return judged(SESSION, [Fault(text_, machine.source(key))], "")
    return passed(SESSION, "it knows how to start csrss.exe", [machine.source(key)])
