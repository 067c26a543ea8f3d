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
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recoverykit.errors import FormatError
from recoverykit.formats import hive_patch
from recoverykit.formats.hive import REG_DWORD, Hive, Key
from recoverykit.formats.regf import BASE_BLOCK_SIZE, SECTOR, BaseBlock
from recoverykit.model import (
    Action,
    Evidence,
    FileState,
    Plan,
    QuarantineFile,
    Refusal,
    Service,
    SetValue,
    Suspect,
    WindowsInstall,
)
from recoverykit.repair import guard

DISABLED = (4).to_bytes(4, "little")
LOGS = (".LOG", ".LOG1", ".LOG2")
MARGIN = 8 << 20  # the journal, folders, and what NTFS itself needs
_CRITICAL = 3
_SHORT = re.compile(r"[^ .]{1,8}(\.[^ .]{1,3})?")
_CHUNK = 1 << 20


def make(
    install: WindowsInstall, suspect: Suspect, evidence: Sequence[Evidence], hive: Hive
) -> Plan | Refusal:
    """One plan over every service that loads the suspect's file, or the reason for none.

    Reads the files involved to name their hashes; writes nothing. Raises OSError, FormatError.
    """
    services = _services(suspect, evidence)
    if not services:
        return _refusal(suspect, "no driver service of this Windows loads it any more.")
    for service in services:
        refusal = guard.refuse(service, evidence)
        if refusal is not None:
            return refusal
    values: list[SetValue] = []
    for service in services:
        found = _disable(install, service, hive)
        if isinstance(found, str):
            return _refusal(suspect, found)
        values += found
    if not values:
        return _refusal(suspect, "its service is disabled already.")
    return _plan(install, suspect, services, values, hive)


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


def _disable(install: WindowsInstall, service: Service, hive: Hive) -> list[SetValue] | str:
    """Start, and StartOverride which overrides it, become 4. A string says why they cannot."""
    path = f"ControlSet{install.control_set:03d}\\Services\\{service.name}"
    key = hive.find(path)
    if key is None or key.value("Start") is None:
        return f"the registry has no Start value at {path}."
    values = list(_dwords(install, key, only="Start"))
    if not values and key.value("Start") is not None:
        start = key.value("Start")
        if start is not None and start.data != DISABLED:
            return f"the Start value at {path} is not a number."
    override = key.subkey("StartOverride")
    if override is not None:
        values += _dwords(install, override)
    return values


def _dwords(install: WindowsInstall, key: Key, only: str = "") -> Iterator[SetValue]:
    for value in key.values():
        wanted = not only or value.name.casefold() == only.casefold()
        if wanted and value.type == REG_DWORD and len(value.data) == 4 and value.data != DISABLED:
            hive = install.system_hive
            yield SetValue(hive, key.path, value.name, value.type, bytes(value.data), DISABLED)


def _plan(
    install: WindowsInstall,
    suspect: Suspect,
    services: Sequence[Service],
    values: Sequence[SetValue],
    loaded: Hive,
) -> Plan:
    hive = file_state(install.mount, install.system_hive)
    states = [hive, *(file_state(install.mount, path) for path in logs(install))]
    actions: list[Action] = list(values)
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
    space = _room(install, hive, states[1:4], loaded) + 2 * moved + MARGIN
    return Plan(
        root=install.root,
        driver=suspect.driver,
        service=services[0].name,
        reason=reason,
        actions=tuple(actions),
        preconditions=tuple(states),
        space_needed=space,
    )


def _room(
    install: WindowsInstall, hive: FileState, beside: Sequence[FileState], loaded: Hive
) -> int:
    """Bytes for changing the hive, and again for undoing that by value after Windows has run.

    Patched in place, only the sectors that differ are kept, before and after: a few of a clean
    hive, those of its logs of a dirty one. Else it takes a before-image and a stage.
    """
    with (install.mount / install.system_hive).open("rb") as stream:
        head = stream.read(SECTOR)
    size = max(hive.size, BASE_BLOCK_SIZE + loaded.base.bins_size)
    if not hive_patch.fits(head, hive.size, size):
        return 4 * hive.size
    if BaseBlock.parse(head).clean:
        return 0  # within the margin
    return 4 * min(hive.size, sum(log.size for log in beside))


def _reason(suspect: Suspect, services: Sequence[Service]) -> str:
    reasons = [finding.reason for finding in suspect.findings]
    if len(services) > 1:
        names = ", ".join(service.name for service in services[1:])
        reasons.append(f"The same file is also loaded by {names}, which is disabled with it.")
    if services[0].error_control == _CRITICAL:
        reasons.append("Its ErrorControl is 3 (critical), which is left as it is.")
    return " ".join(reasons)


def can_be_put_back(path: Path) -> bool:
    """Whether moving a file away and back restores it exactly, names included."""
    status = path.lstat()
    # ntfs-3g counts a short name that differs from the long one as a link.
    own_names = 1 if _SHORT.fullmatch(path.name) else 2
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= own_names


def logs(install: WindowsInstall) -> list[str]:
    """Where the SYSTEM hive's logs lie, in their spelling on disk, present or not."""
    folder, _, name = install.system_hive.rpartition("/")
    present = {path.name.casefold(): path.name for path in (install.mount / folder).iterdir()}
    wanted = [name + suffix for suffix in LOGS]
    return [f"{folder}/{present.get(one.casefold(), one)}" for one in wanted]


def file_state(mount: Path, relative: str) -> FileState:
    """What a file is now; sha256 "" and size 0 where there is none. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    try:
        with (mount / relative).open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return FileState(relative, "", 0)
    return FileState(relative, digest.hexdigest(), size)


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
    fields = asdict(action)
    if isinstance(action, SetValue):
        return {
            **fields,
            "do": "set-value",
            "before": action.before.hex(),
            "after": action.after.hex(),
        }
    return {**fields, "do": "quarantine-file"}


def _action(fields: Mapping[str, Any]) -> Action:
    if fields["do"] == "quarantine-file":
        return QuarantineFile(str(fields["path"]), str(fields["sha256"]), int(fields["size"]))
    if fields["do"] != "set-value":
        raise ValueError(fields["do"])
    before, after = bytes.fromhex(fields["before"]), bytes.fromhex(fields["after"])
    hive, key, name = str(fields["hive"]), str(fields["key"]), str(fields["name"])
    return SetValue(hive, key, name, int(fields["type"]), before, after)


def _state(fields: Mapping[str, Any]) -> FileState:
    return FileState(str(fields["path"]), str(fields["sha256"]), int(fields["size"]))
