"""What the disk's state says without any log: boot store, hives, storage stack, filters.

Such a fault often leaves no trace of a failed boot (stop code 0x7B cannot write a dump, a missing
boot manager writes nothing at all), so these rules ask for none. They stay silent about what a good
boot has survived: a registry key older than the last good boot's start is no news.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from recoverykit.diagnosis import knowledge
from recoverykit.diagnosis.facts import Facts
from recoverykit.diagnosis.rule import Argument, Rule, utc
from recoverykit.model import (
    BootFault,
    BootProblem,
    DeviceUse,
    FilterUse,
    Finding,
    HiveHealth,
    HiveState,
    Kind,
    Service,
    StartType,
)

_OLDEST = 6000  # build of Windows Vista: before it, boot worked in another way
_ARCHITECTURES = frozenset({"", "x64", "x86", "arm64"})
# Buses a boot disk's controller hangs from: USB and software devices come later in a boot.
_BUSES = ("PCI\\", "ACPI\\", "VMBUS\\", "XENVBD\\", "XENBUS\\", "SCSI\\ADAPTER")
_CONTROLLERS = frozenset(
    {
        "{4d36e96a-e325-11ce-bfc1-08002be10318}",  # hdc
        "{4d36e97b-e325-11ce-bfc1-08002be10318}",  # SCSIAdapter
    }
)
# Microsoft's article on stop 0x7B: a filter of these that cannot load keeps the disk away.
_BOOT_CLASSES = _CONTROLLERS | {
    "{4d36e967-e325-11ce-bfc1-08002be10318}",  # DiskDrive
    "{71a27cdd-812a-11d0-bec7-08002be2092f}",  # Volume
    "{4d36e97d-e325-11ce-bfc1-08002be10318}",  # System
}
_BOOT_DEVICES = ("STORAGE\\VOLUME\\", "SCSI\\DISK", "IDE\\DISK", "PCI\\", "ACPI\\", "VMBUS\\")
_DAMAGED = "its file is damaged"
# Services without which no Windows finds its volume (same article, and the device stack of a disk).
_CHAIN = frozenset({"acpi", "pci", "disk", "partmgr", "volmgr", "mountmgr", "ntfs", "fltmgr"})


# --- is it ours to repair -----------------------------------------------------------------


def _unsupported(rule: Rule, facts: Facts) -> Iterator[Finding]:
    install = facts.install
    build = install.build.split(".")[0]
    if build.isdecimal() and int(build) < _OLDEST:
        reason = f"{install.product or 'This Windows'} (build {build}) is older than Windows Vista."
        yield rule.found(install.root, reason, facts.source_of_version())
    if install.architecture not in _ARCHITECTURES:
        reason = f"This Windows is for {install.architecture} processors."
        yield rule.found(install.root, reason, facts.source_of_version())


# --- before the kernel --------------------------------------------------------------------


def _boot_files(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for problem in facts.all(BootProblem):
        if problem.fatal:
            yield rule.found("boot files", problem.text, problem.source)


def _safe_boot(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for problem in facts.all(BootProblem):
        if problem.fault is BootFault.SAFE_BOOT:
            yield rule.found("boot files", problem.text, problem.source)


def _boot_options(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for problem in facts.all(BootProblem):
        if not problem.fatal and problem.fault is not BootFault.SAFE_BOOT:
            yield rule.found("boot files", problem.text, problem.source)


def _hives(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for state in facts.all(HiveState):
        if state.health in (HiveHealth.DAMAGED, HiveHealth.MISSING):
            text = f"The {state.hive} hive is {state.health}: {state.text.rstrip('.')}."
            yield rule.found(f"{state.hive} hive", text, state.source)


# --- the storage stack --------------------------------------------------------------------


def _controllers(rule: Rule, facts: Facts) -> Iterator[Finding]:
    uses = [use for use in facts.all(DeviceUse) if _is_controller(use)]
    broken = {use: _why_not(facts, use) for use in uses}
    alive = any(not why for why in broken.values())
    for use, why in broken.items():
        if not why:
            continue
        service = facts.services.get(use.service.casefold())
        if _is_survived(service.last_written if service else None, facts, why):
            continue
        driver = service.driver if service else f"{use.service.lower()}.sys"
        rest = "another controller's driver can" if alive else "no other controller's driver can"
        reason = f"{driver} drives the storage controller {use.device} and {why}; {rest} start."
        sources = (use.source, *((service.source,) if service else ()))
        yield rule.found(driver, reason, *sources, weight=35 if alive else None)


def _is_controller(use: DeviceUse) -> bool:
    return use.class_guid in _CONTROLLERS and use.device.upper().startswith(_BUSES)


def _why_not(facts: Facts, use: DeviceUse) -> str:
    """Why a controller's driver cannot start at boot; "" when it can, or when we cannot tell."""
    service = facts.services.get(use.service.casefold())
    if service is None:
        return "has no service" if facts.knows_services else ""
    if use.problem & 1:
        return "its device is disabled"
    return _cannot_start(facts, service, at_boot=True)


def _cannot_start(facts: Facts, service: Service, *, at_boot: bool) -> str:
    if service.start is StartType.DISABLED:
        return "its service is disabled"
    if at_boot and service.start is not StartType.BOOT and not service.boot_flags:
        return f"its service is set to {service.start}, not to boot"
    held = [number for name, number in service.start_override if name == "0" and number > 0]
    if at_boot and held:
        return f"StartOverride sets its service to {held[0]}"
    if service.path is None:
        # A short name ("PROGRA~1") is kept by the file system alone: it may lead anywhere.
        return "" if "~" in service.image_path else "its file is missing"
    file = facts.file_of(service)
    if file is not None and not file.machine and not file.packed:
        return "its file is no driver"
    if file is not None and file.damage:
        return f"{_DAMAGED}: {file.damage}"
    return ""


def _is_survived(when: datetime | None, facts: Facts, why: str) -> bool:
    """Whether the last good boot came after this. What happened to a file has no date."""
    if "file" in why:
        return False
    start = facts.times.good_start
    return start is not None and when is not None and when <= start.when


def _chain(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for name in sorted(_CHAIN):
        service = facts.services.get(name)
        if service is None:
            continue
        why = _cannot_start(facts, service, at_boot=False)
        if why and not _is_survived(service.last_written, facts, why):
            reason = f"{service.driver} is part of every disk's device stack, and {why}."
            yield rule.found(service.driver, reason, service.source)


def _hive_gaps(rule: Rule, facts: Facts) -> Iterator[Finding]:
    found = [gap for gap in facts.gaps if gap.source.path == facts.install.system_hive]
    if found and facts.services and facts.is_failing:
        reason = f"A part of the SYSTEM hive could not be read: {found[0].reason.rstrip('.')}."
        yield rule.found("SYSTEM hive", reason, *(gap.source for gap in found[:10]))


def _storage_stop(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from stops_in(rule, facts, knowledge.Area.STORAGE, "storage stack")


# --- filters ------------------------------------------------------------------------------


def _boot_filters(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for use, why in _dangling(facts):
        if _is_of_boot(use):
            yield _filter_finding(rule, facts, use, why)


def _other_filters(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for use, why in _dangling(facts):
        if not _is_of_boot(use):
            yield _filter_finding(rule, facts, use, why)


def _dangling(facts: Facts) -> Iterator[tuple[FilterUse, str]]:
    for use in facts.all(FilterUse):
        service = facts.services.get(use.service.casefold())
        if service is None:
            why = "has no driver service" if facts.knows_services else ""
        else:
            why = _cannot_start(facts, service, at_boot=False)
        if why.startswith(_DAMAGED) and service and service.driver in facts.candidates:
            continue  # there is nothing wrong with the filter list: the driver itself is broken
        written = max(
            (when for when in (use.written, service and service.last_written) if when),
            default=None,
        )
        if why and not _is_survived(written, facts, why):
            yield use, why


def _is_of_boot(use: FilterUse) -> bool:
    if use.scope == "class":
        return use.owner in _BOOT_CLASSES
    return use.owner.upper().startswith(_BOOT_DEVICES) and use.class_guid in _BOOT_CLASSES


def _filter_finding(rule: Rule, facts: Facts, use: FilterUse, why: str) -> Finding:
    service = facts.services.get(use.service.casefold())
    driver = service.driver if service else f"{use.service.lower()}.sys"
    side = "an upper" if use.upper else "a lower"
    reason = f"{driver} is {side} filter of the {use.scope} {use.owner}, but {why}."
    sources = (use.source, *((service.source,) if service else ()))
    return rule.found(driver, reason, *sources)


# --- shared -------------------------------------------------------------------------------


def stops_in(rule: Rule, facts: Facts, area: knowledge.Area, subject: str) -> Iterator[Finding]:
    """Stops since the last good session whose code points to an area: one finding for all."""
    found = [
        stop for stop in facts.times.stops if knowledge.area(stop.code, stop.parameters) is area
    ]
    # One that an earlier crash explains, and the newest does not, is no longer the question.
    is_newest = bool(found) and found[-1] is facts.times.stops[-1]
    if not is_newest and 2 * len(found) < max(1, len(facts.times.stops)):
        return
    newest = found[-1]
    code = knowledge.stop_code(newest.code)
    many = f", one of {len(found)} of this kind" if len(found) > 1 else ""
    reason = (
        f"Windows stopped on {utc(newest.when)} with {newest.code:#x} {code.name}{many}, which "
        f"points to the {subject}."
    )
    yield rule.found(subject, reason, *(source for stop in found for source in stop.sources[:1]))


RULES: tuple[Rule, ...] = (
    Rule(
        "unsupported-windows",
        Kind.LOCKED,
        Argument.STATE,
        100,
        "The installation is older than Windows Vista, or made for a processor other than x86, "
        "x64 and arm64: boot worked in another way there, and nothing here was made for it.",
        _unsupported,
    ),
    Rule(
        "boot-files-broken",
        Kind.BCD,
        Argument.STATE,
        100,
        "Between firmware and winload something is missing or damaged without which Windows cannot "
        "start: boot store, boot manager, the entry of this installation, its loader file.",
        _boot_files,
    ),
    Rule(
        "safe-boot-left",
        Kind.BCD,
        Argument.STATE,
        60,
        "The entry of this installation always starts Safe Mode. Windows comes up, and never as "
        "itself: where nothing else is wrong, this is the answer.",
        _safe_boot,
    ),
    Rule(
        "boot-options-odd",
        Kind.BCD,
        Argument.STATE,
        30,
        "The boot store is usable, but holds something that keeps this from being an ordinary "
        "start: a one-time boot sequence, a missing fallback loader.",
        _boot_options,
    ),
    Rule(
        "hive-damaged",
        Kind.HIVE,
        Argument.STATE,
        100,
        "A hive that every boot loads (SYSTEM, SOFTWARE, SAM, SECURITY) is missing, damaged, or "
        "dirty with logs that do not make it whole.",
        _hives,
    ),
    Rule(
        "hive-partly-unreadable",
        Kind.HIVE,
        Argument.STATE,
        60,
        "Keys of the SYSTEM hive could not be read, and boots fail. What is missing there proves "
        "nothing about services and filters.",
        _hive_gaps,
    ),
    Rule(
        "controller-cannot-start",
        Kind.STORAGE,
        Argument.STATE,
        90,
        "The driver of a storage controller (classes hdc and SCSIAdapter, on a bus that boot disks "
        "hang from) cannot start: its service is missing, disabled, not set to boot start, held "
        "back by StartOverride, or its file is missing or damaged. Counts 35 where another "
        "controller's driver can start.",
        _controllers,
    ),
    Rule(
        "disk-stack-broken",
        Kind.STORAGE,
        Argument.STATE,
        90,
        "A driver that is part of every disk's device stack (acpi, pci, disk, partmgr, volmgr, "
        "mountmgr, ntfs, fltmgr) is disabled, or its file is missing or damaged.",
        _chain,
    ),
    Rule(
        "storage-stop-code",
        Kind.STORAGE,
        Argument.STOP,
        60,
        "The newest stop since the last good boot is one that points to the storage stack: 0x7B.",
        _storage_stop,
    ),
    Rule(
        "boot-filter-dangling",
        Kind.FILTER,
        Argument.STATE,
        90,
        "A filter of a class or device that the boot volume depends on (disks, volumes, their "
        "controllers, system devices) cannot load: no service, disabled, file missing or damaged. "
        "Windows then has no boot device (stop 0x7B). A path with a short name (PROGRA~1) that is "
        "not found proves nothing.",
        _boot_filters,
    ),
    Rule(
        "filter-dangling",
        Kind.FILTER,
        Argument.STATE,
        20,
        "The same for any other class: its devices do not start, Windows does.",
        _other_filters,
    ),
)
