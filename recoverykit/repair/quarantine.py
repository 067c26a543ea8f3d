"""One plan over everything that names a driver: registry first, its files after.

Disabling comes before moving: at every moment in between, the machine is in a state it can start
from. A file is moved only if it can be put back exactly: ntfs-3g cannot set a short name on a file
with several hard links (EMLINK); such a file stays, disabled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    Action,
    ContentFile,
    Decision,
    DriverPackage,
    EditHive,
    Evidence,
    FileState,
    Plan,
    QuarantineFile,
    Refusal,
    Service,
    StartType,
    Suspect,
    WindowsInstall,
)
from recoverykit.repair import edits, guard, naming
from recoverykit.repair.naming import Names
from recoverykit.repair.registry_draft import Draft
from recoverykit.repair.state import can_be_put_back, file_state, spellings

_EARLY = (StartType.BOOT, StartType.SYSTEM)
_CRITICAL = 3
_DISABLED = 4
_EARLY_LAUNCH = "early-launch"
_NETWORK = frozenset(  # device setup classes: clients, services and filters, protocols
    f"{{4d36e97{digit}-e325-11ce-bfc1-08002be10318}}" for digit in "345"
)
_STAYS = "it has other hard links; it stays where it is"
_MOST_LISTED = 10  # content files; some drivers have thousands


def make(
    install: WindowsInstall,
    suspect: Suspect,
    services: Sequence[Service],
    evidence: Sequence[Evidence],
    hive: Hive,
) -> Plan | Refusal:
    """The plan over these services, which load one and the same file and may be disabled.

    Raises FormatError where what names them cannot be read whole, OSError.
    """
    found = Names(Draft(hive))
    paths = _spellings(install, services)
    first = f"{install.control_set_key}\\Services\\{services[0].name}"
    for number in naming.control_sets(hive, install.control_set):
        for service in services:
            disabled = naming.disable(found, hive, number, service.name)
            if not disabled and number == install.control_set:
                return refusal(suspect, f"the Start value at {first} is missing or no number.")
        _leave_lists(found, hive, number, services, paths)
    needed = _dependents(found, install, services, evidence, hive)
    if needed is not None:
        return needed
    files = _files(found, install, services, hive)
    if not found.draft.changes:
        return refusal(suspect, "its service is disabled already.")
    _list_what_stays(found, install, services, evidence, hive)
    return _plan(install, suspect, services, found, files)


def _leave_lists(
    found: Names, hive: Hive, number: int, services: Sequence[Service], paths: Sequence[str]
) -> None:
    names = [service.name for service in services]
    drivers = [service.driver for service in services]
    naming.leave_filter_lists(found, hive, number, names)
    naming.leave_dump_filters(found, hive, number, drivers)
    naming.leave_safe_mode(found, hive, number, [*names, *drivers])
    naming.stop_renames(found, hive, number, paths)


def _spellings(install: WindowsInstall, services: Sequence[Service]) -> list[str]:
    """The driver's file, and the same under its short name."""
    paths = list(dict.fromkeys(service.path for service in services if service.path is not None))
    return [one for path in paths for one in spellings(install.mount, path)]


def keep_renames_away(
    install: WindowsInstall, path: str
) -> tuple[list[EditHive], list[FileState], int, list[Decision]]:
    """What stops the next start from moving another file to `path`, in the parts of a plan.

    A hive that cannot be read forbids no replacement: nothing may be known of renames then, but
    Windows does not start with it either. Raises OSError.
    """
    try:
        hive, _ = installs.read_hive(install, install.system_hive)
        found = Names(Draft(hive))
        paths = spellings(install.mount, path)
        for number in naming.control_sets(hive, install.control_set):
            naming.stop_renames(found, hive, number, paths)
        changes = tuple(found.draft.changes)
    except (RecoveryKitError, FileNotFoundError) as exc:
        why = f"whether one would replace this file is not known: {exc}"
        unknown = Decision("pending rename", install.system_hive, changed=False, reason=why)
        return [], [], 0, [unknown]
    if not changes:
        return [], [], 0, []
    edited, states, space = edits.edit(install, install.system_hive, changes)
    return [edited], states, space, found.decisions


def _dependents(
    found: Names,
    install: WindowsInstall,
    services: Sequence[Service],
    evidence: Sequence[Evidence],
    hive: Hive,
) -> Refusal | None:
    """What says that it needs one of these: listed, and a reason not to where the boot needs it."""
    names = [service.name for service in services]
    drivers = {item.name.casefold(): item for item in evidence if isinstance(item, Service)}
    group = services[0].group
    for one in naming.dependents(hive, install.control_set, names, group):
        driver = drivers.get(one.name.casefold())
        held = None
        if driver is not None and driver.start in _EARLY:
            held = guard.refuse(driver, evidence, install=install)
        if held is not None:
            first = services[0]
            reason = f"{first.driver} must not be disabled: {one.name} needs it. {held.reason}"
            return Refusal(first.driver, first.name, reason, held.role)
        what = "it is disabled anyway" if one.start == _DISABLED else "it will not start"
        reason = f"{one.name} depends on {one.needs}: {what}; it is left as it is"
        found.note("dependent", one.key, reason, changed=False)
    return None


def _files(
    found: Names, install: WindowsInstall, services: Sequence[Service], hive: Hive
) -> list[str]:
    """The driver's file, and the copy that early launch would bring back, if they can be moved."""
    path, moved = services[0].path, []
    if path is not None and os.path.lexists(install.mount / path):
        reason = "it is moved into the folder of this repair"
        if can_be_put_back(install.mount / path):
            moved.append(path)
        else:
            reason = f"{_STAYS}, disabled"
        found.note("driver file", path, reason, changed=path in moved)
    for copy in _backups(install, services, hive):
        reason = "Windows puts this copy in the place of a damaged early-launch driver"
        if can_be_put_back(install.mount / copy):
            moved.append(copy)
        else:
            reason += f"; {_STAYS}"
        found.note("ELAM backup", copy, reason, changed=copy in moved)
    return moved


def _backups(install: WindowsInstall, services: Sequence[Service], hive: Hive) -> Iterator[str]:
    if not any(service.group.casefold() == _EARLY_LAUNCH for service in services):
        return
    key = hive.find(f"{install.control_set_key}\\Control\\EarlyLaunch")
    value = key.value("BackupPath") if key is not None else None
    folder = (value.string if value is not None else None) or "%SystemRoot%\\ELAMBKUP"
    wanted = f"{folder.rstrip(chr(92))}\\{services[0].driver}"
    _, path = installs.driver_path(install, services[0].name, wanted)
    if path is not None and path != services[0].path:
        yield path


def _list_what_stays(
    found: Names,
    install: WindowsInstall,
    services: Sequence[Service],
    evidence: Sequence[Evidence],
    hive: Hive,
) -> None:
    names = {service.name.casefold() for service in services}
    for service in services:
        naming.list_instances(found, hive, install.control_set, service.name)
    contents = [
        item
        for item in evidence
        if isinstance(item, ContentFile) and item.driver == services[0].driver
    ]
    for content in contents[:_MOST_LISTED]:
        reason = "a data file; nobody reads it while the driver is disabled"
        found.note("content file", content.source.path, reason, changed=False)
    if len(contents) > _MOST_LISTED:
        more = f"and {len(contents) - _MOST_LISTED} more stay as well"
        found.note("content file", contents[0].source.path.rpartition("/")[0], more, changed=False)
    for item in evidence:
        if isinstance(item, DriverPackage) and names & {one.casefold() for one in item.services}:
            found.note(
                "driver package", item.folder or item.source.path, _package(item), changed=False
            )


def _package(item: DriverPackage) -> str:
    name = f"{item.published or item.original} ({item.original}, {item.provider} {item.version})"
    reason = f"{name} stays installed; installing it again would enable the driver again"
    if item.class_guid.lower() in _NETWORK:
        reason += "; network connections bound through it may not work until then"
    return reason


def _plan(
    install: WindowsInstall,
    suspect: Suspect,
    services: Sequence[Service],
    found: Names,
    files: Sequence[str],
) -> Plan:
    changes = tuple(found.draft.changes)
    edited, states, space = edits.edit(install, install.system_hive, changes)
    actions: list[Action] = [edited]
    for path in files:
        state = file_state(install.mount, path)
        states.append(state)
        actions.append(QuarantineFile(path, state.sha256, state.size))
        space += 2 * state.size
    standing = services[0].path
    if standing is not None and standing not in files:
        states.append(file_state(install.mount, standing))
    return Plan(
        root=install.root,
        driver=suspect.driver,
        service=services[0].name,
        reason=_reason(suspect, services),
        actions=tuple(actions),
        preconditions=tuple(states),
        space_needed=space + edits.MARGIN,
        title=f"quarantine {suspect.driver} (service {services[0].name})",
        decisions=tuple(found.decisions),
    )


def _reason(suspect: Suspect, services: Sequence[Service]) -> str:
    reasons = [finding.reason for finding in suspect.findings]
    if len(services) > 1:
        names = ", ".join(service.name for service in services[1:])
        reasons.append(f"The same file is also loaded by {names}, which is disabled with it.")
    if services[0].error_control == _CRITICAL:
        reasons.append("Its ErrorControl is 3 (critical), which is left as it is.")
    return " ".join(reasons)


def refusal(suspect: Suspect, reason: str) -> Refusal:
    """A refusal that is not about a role the driver plays."""
    return Refusal(suspect.driver, suspect.service, f"{suspect.driver}: {reason}")
