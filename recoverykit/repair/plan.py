"""What would be done about one suspect, and why: decided from what was read, and nothing done.

Disabling comes before moving: at every moment in between, the machine is in a state it can start
from. A driver's file is moved only if it can be put back exactly: ntfs-3g cannot set a short name
on a file with several hard links (EMLINK), and cannot read files that Windows compressed (WOF);
such a file stays, disabled.

The plan names the files it saw with their sha256 ("" where there was none): `transaction.apply`
refuses when one is no longer so. `digest` identifies a plan; JSON out and in for `--plan FILE`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recoverykit.errors import FormatError
from recoverykit.formats.hive import REG_DWORD, Hive, Key
from recoverykit.formats.regf import PAGE, SECTOR, BaseBlock
from recoverykit.model import (
    Action,
    EditHive,
    Evidence,
    FileState,
    KeyChange,
    Kind,
    Plan,
    QuarantineFile,
    Refusal,
    RegistryChange,
    RegistryData,
    Service,
    Suspect,
    ValueChange,
    WindowsInstall,
)
from recoverykit.repair import guard, record
from recoverykit.repair.state import can_be_put_back as can_be_put_back
from recoverykit.repair.state import file_state as file_state
from recoverykit.repair.state import logs as logs

DISABLED = RegistryData(REG_DWORD, (4).to_bytes(4, "little"))
MARGIN = 8 << 20  # the journal, folders, and what NTFS itself needs
_CRITICAL = 3
_PAGES = 6  # that one change may touch: key, parent, lists, value, data, descriptor
_KEY, _VALUE = 112, 40  # bytes of the cells and list entries of one, beside its name and data
_TOLD = 3  # a change is told in the journal, and with indents in plan.json


def make(
    install: WindowsInstall, suspect: Suspect, evidence: Sequence[Evidence], hive: Hive
) -> Plan | Refusal:
    """One plan over every service that loads the suspect's file, or the reason for none.

    Reads the files involved to name their hashes; writes nothing. Raises OSError, FormatError.
    """
    if suspect.kind is Kind.CONTENT:
        return _content(install, suspect)
    if suspect.kind is not Kind.DRIVER:
        return _refusal(suspect, "disabling it would not mend what is wrong with it.")
    services = _services(suspect, evidence)
    if not services:
        return _refusal(suspect, "no driver service of this Windows loads it any more.")
    for service in services:
        refusal = guard.refuse(service, evidence)
        if refusal is not None:
            return refusal
    values: list[ValueChange] = []
    for service in services:
        found = _disable(install.control_set, service, hive)
        if isinstance(found, str):
            return _refusal(suspect, found)
        values += found
    if not values:
        return _refusal(suspect, "its service is disabled already.")
    return _plan(install, suspect, services, values)


def _content(install: WindowsInstall, suspect: Suspect) -> Plan | Refusal:
    """A data file is moved away; the driver that reads it stays, and starts without it."""
    path = suspect.path
    if path is None or not (install.mount / path).is_file():
        return _refusal(suspect, "the file is not there any more.")
    if not can_be_put_back(install.mount / path):
        return _refusal(suspect, "it has other hard links, so it could not be put back exactly.")
    state = file_state(install.mount, path)
    return Plan(
        root=install.root,
        driver=suspect.driver,
        service=suspect.service,
        reason=" ".join(finding.reason for finding in suspect.findings),
        actions=(QuarantineFile(path, state.sha256, state.size),),
        preconditions=(state,),
        space_needed=2 * state.size + MARGIN,
        title=f"quarantine {suspect.driver} (data of service {suspect.service})",
    )


def _refusal(suspect: Suspect, reason: str) -> Refusal:
    return Refusal(suspect.driver, suspect.service, f"{suspect.driver}: {reason}")


def _services(suspect: Suspect, evidence: Sequence[Evidence]) -> list[Service]:
    """The suspect's service first, then others that would miss the same file."""
    known = [item for item in evidence if isinstance(item, Service)]
    own = [item for item in known if item.name.casefold() == suspect.service.casefold()]
    if not own:
        return []
    path = own[0].path
    same = [
        item
        for item in known
        if item not in own and path and item.path and item.path.casefold() == path.casefold()
    ]
    return [own[0], *same]


def _disable(control_set: int, service: Service, hive: Hive) -> list[ValueChange] | str:
    """Start, and StartOverride which overrides it, become 4. A string says why they cannot."""
    path = f"ControlSet{control_set:03d}\\Services\\{service.name}"
    key = hive.find(path)
    if key is None or key.value("Start") is None:
        return f"the registry has no Start value at {path}."
    values = list(_dwords(key, only="Start"))
    if not values and key.value("Start") is not None:
        start = key.value("Start")
        if start is not None and start.data != DISABLED.data:
            return f"the Start value at {path} is not a number."
    override = key.subkey("StartOverride")
    if override is not None:
        values += _dwords(override)
    return values


def _dwords(key: Key, only: str = "") -> Iterator[ValueChange]:
    for value in key.values():
        wanted = not only or value.name.casefold() == only.casefold()
        before = RegistryData(value.type, bytes(value.data))
        if wanted and value.type == REG_DWORD and len(value.data) == 4 and before != DISABLED:
            yield ValueChange(key.path, value.name, before, DISABLED)


def _plan(
    install: WindowsInstall,
    suspect: Suspect,
    services: Sequence[Service],
    values: Sequence[ValueChange],
) -> Plan:
    hive = file_state(install.mount, install.system_hive)
    states = [
        hive,
        *(file_state(install.mount, path) for path in logs(install.mount, install.system_hive)),
    ]
    actions: list[Action] = [EditHive(install.system_hive, tuple(values))]
    reason = _reason(suspect, services)
    path = services[0].path
    moved = 0
    if path is not None and (install.mount / path).is_file():
        state = file_state(install.mount, path)
        states.append(state)
        if can_be_put_back(install.mount / path):
            actions.append(QuarantineFile(path, state.sha256, state.size))
            moved = state.size
        else:
            reason += " Its file stays where it is: it has other hard links."
    space = room(install.mount, hive, states[1:4], values) + 2 * moved + MARGIN
    return Plan(
        root=install.root,
        driver=suspect.driver,
        service=services[0].name,
        reason=reason,
        actions=tuple(actions),
        preconditions=tuple(states),
        space_needed=space,
        title=f"quarantine {suspect.driver} (service {services[0].name})",
    )


def room(
    mount: Path, hive: FileState, beside: Sequence[FileState], changes: Sequence[RegistryChange]
) -> int:
    """Bytes for changing a hive, and again for undoing that change by change after Windows has run.

    Kept are the sectors that are written to, before and after: those of the logs, where the hive is
    dirty, and the pages that hold the cells of the changes, which also go through a log; those of
    what is new are new pages.
    """
    cells = sum(_length(change) for change in changes)
    told = sum(record.length(change) for change in changes)
    pages = cells + min(_PAGES * PAGE * len(changes), 2 * hive.size)
    with (mount / hive.path).open("rb") as stream:
        head = stream.read(SECTOR)
    clean = BaseBlock.parse(head).clean if head.startswith(b"regf") else False
    logged = 0 if clean else min(hive.size, sum(log.size for log in beside))
    return 4 * logged + 8 * pages + _TOLD * told


def _length(change: RegistryChange) -> int:
    """Bytes of its cells; data twice, as it may have to move."""
    if isinstance(change, KeyChange):
        keys = (key for key in (change.before, change.after) if key is not None)
        kept = sum(len(key.security) + 2 * len(key.class_name) for key in keys)
        return _KEY + 2 * len(change.key.rpartition("\\")[2]) + kept
    data = sum(len(data.data) for data in (change.before, change.after) if data is not None)
    return _VALUE + 2 * len(change.name) + 2 * data


def _reason(suspect: Suspect, services: Sequence[Service]) -> str:
    reasons = [finding.reason for finding in suspect.findings]
    if len(services) > 1:
        names = ", ".join(service.name for service in services[1:])
        reasons.append(f"The same file is also loaded by {names}, which is disabled with it.")
    if services[0].error_control == _CRITICAL:
        reasons.append("Its ErrorControl is 3 (critical), which is left as it is.")
    return " ".join(reasons)


# --- identity and export ------------------------------------------------------------------


def digest(plan: Plan) -> str:
    """sha256 of the plan's canonical JSON."""
    return hashlib.sha256(_canonical(plan).encode()).hexdigest()


def to_json(plan: Plan) -> str:
    """The plan for people and for `from_json`, with its digest."""
    return json.dumps({**_fields(plan), "digest": digest(plan)}, indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> Plan:
    """An exported plan. Raises FormatError if it is none, or was edited (its digest differs)."""
    try:
        fields = json.loads(text)
        said = fields.pop("digest")
        plan = Plan(
            root=str(fields["root"]),
            driver=str(fields["driver"]),
            service=str(fields["service"]),
            reason=str(fields["reason"]),
            actions=tuple(_action(item) for item in fields["actions"]),
            preconditions=tuple(_state(item) for item in fields["preconditions"]),
            space_needed=int(fields["space_needed"]),
            title=str(fields["title"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise FormatError("plan", 0, "not an exported plan") from exc
    if said != digest(plan):
        raise FormatError("plan", 0, "it was edited: its digest does not match")
    return plan


def _canonical(plan: Plan) -> str:
    return json.dumps(_fields(plan), sort_keys=True, separators=(",", ":"))


def _fields(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan), "actions": [_action_fields(action) for action in plan.actions]}


def _action_fields(action: Action) -> dict[str, Any]:
    if isinstance(action, EditHive):
        changes = [record.describe(change) for change in action.changes]
        return {"do": "edit-hive", "hive": action.hive, "changes": changes}
    return {**asdict(action), "do": "quarantine-file"}


def _action(fields: Mapping[str, Any]) -> Action:
    if fields["do"] == "quarantine-file":
        return QuarantineFile(str(fields["path"]), str(fields["sha256"]), int(fields["size"]))
    if fields["do"] != "edit-hive":
        raise ValueError(fields["do"])
    changes = tuple(record.parse(change) for change in fields["changes"])
    return EditHive(str(fields["hive"]), changes)


def _state(fields: Mapping[str, Any]) -> FileState:
    return FileState(str(fields["path"]), str(fields["sha256"]), int(fields["size"]))
