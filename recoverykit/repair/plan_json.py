"""Plans for people, scripts and the next run: their identity, JSON out and in.

`digest` identifies a plan; an exported plan that was edited is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recoverykit.errors import FormatError
from recoverykit.model import (
    Action,
    Decision,
    EditHive,
    FileState,
    InstallFile,
    Plan,
    QuarantineFile,
)
from recoverykit.repair import record


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
            decisions=tuple(_decision(item) for item in fields["decisions"]),
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
    do = "install-file" if isinstance(action, InstallFile) else "quarantine-file"
    return {**asdict(action), "do": do}


def _action(fields: Mapping[str, Any]) -> Action:
    if fields["do"] == "quarantine-file":
        return QuarantineFile(str(fields["path"]), str(fields["sha256"]), int(fields["size"]))
    if fields["do"] == "install-file":
        return InstallFile(
            path=str(fields["path"]),
            before=str(fields["before"]),
            sha256=str(fields["sha256"]),
            size=int(fields["size"]),
            origin=str(fields["origin"]),
        )
    if fields["do"] != "edit-hive":
        raise ValueError(fields["do"])
    changes = tuple(record.parse(change) for change in fields["changes"])
    return EditHive(str(fields["hive"]), changes)


def _decision(fields: Mapping[str, Any]) -> Decision:
    what, where, reason = (str(fields[name]) for name in ("what", "where", "reason"))
    return Decision(what, where, changed=bool(fields["changed"]), reason=reason)


def _state(fields: Mapping[str, Any]) -> FileState:
    return FileState(str(fields["path"]), str(fields["sha256"]), int(fields["size"]))
