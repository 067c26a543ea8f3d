"""A Report as JSON (schema recoverykit.report/1, docs/report-schema.md).

Pure. The JSON is promised to scripts: names are added, never renamed or removed, while the schema's
number stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from recoverykit import __version__
from recoverykit.model import (
    Action,
    Aftermath,
    CheckLine,
    Diagnosis,
    Finding,
    Gap,
    InstallFile,
    InstallReport,
    Moment,
    Plan,
    QuarantineFile,
    Report,
    Source,
    Suspect,
    TransactionInfo,
    ValueChange,
)
from recoverykit.report import kind_of, place

SCHEMA = "recoverykit.report/1"


def to_json(report: Report) -> str:
    """The report as indented JSON, ending in a newline."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "verb": report.verb,
        "exit_code": report.exit_code,
        "kind": kind_of(report),
        "installations": [_install(entry) for entry in report.installations],
        "gaps": [_gap(gap) for gap in report.gaps],
        "notes": list(report.notes),
    }
    # ASCII: names from a hive may hold lone surrogates, which no encoding can write.
    return json.dumps(document, indent=2) + "\n"


def _install(entry: InstallReport) -> dict[str, Any]:
    install = entry.install
    gaps = entry.diagnosis.gaps if entry.diagnosis else ()
    return {
        "root": install.root,
        "windows": {
            "folder": install.folder,
            "product": install.product,
            "build": install.build,
            "architecture": install.architecture,
            "control_set": install.control_set,
        },
        "volume": {
            "name": install.volume.name,
            "filesystem": str(install.volume.filesystem),
            "identity": install.volume.identity,
            "serial": install.volume.serial,
            "removable": bool(install.volume.disk and install.volume.disk.removable),
        },
        "diagnosis": _diagnosis(entry.diagnosis),
        "gaps": [_gap(gap) for gap in gaps],
        "plan": _plan(entry.plan, entry.plan_digest),
        "refusals": [asdict(refusal) for refusal in entry.refusals],
        "outcome": str(entry.outcome) if entry.outcome else None,
        "transaction": entry.transaction or None,
        "checks": [_check(line) for line in entry.checks],
        "checks_after": [_check(line) for line in entry.checks_after],
        "aftermath": [_aftermath(one) for one in entry.aftermath],
        "history": [_transaction(info) for info in entry.history],
        "error": entry.error or None,
        "exit_code": entry.exit_code,
        "notes": list(entry.notes),
    }


def _diagnosis(diagnosis: Diagnosis | None) -> dict[str, Any] | None:
    if diagnosis is None:
        return None
    return {
        "kind": str(diagnosis.kind),
        "summary": diagnosis.summary,
        "suspects": [_suspect(suspect) for suspect in diagnosis.suspects],
        "findings": [_finding(finding) for finding in diagnosis.findings],
        "timeline": [_moment(moment) for moment in diagnosis.timeline],
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "driver": suspect.driver,
        "kind": str(suspect.kind),
        "service": suspect.service,
        "verdict": str(suspect.verdict),
        "weight": suspect.weight,
        "path": suspect.path,
        "company": suspect.company,
        "version": suspect.version,
        "findings": [_finding(finding) for finding in suspect.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "subject": finding.driver,
        "kind": str(finding.kind),
        "rule": finding.rule,
        "weight": finding.weight,
        "reason": finding.reason,
        "source": place(finding.sources[0]) if finding.sources else None,
        "sources": [_source(source) for source in finding.sources],
    }


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "when": _iso(moment.when),
        "what": moment.what,
        "text": moment.text,
        "sources": [_source(source) for source in moment.sources],
    }


def _source(source: Source) -> dict[str, Any]:
    return {"path": source.path, "offset": source.offset, "key": source.key or None}


def _gap(gap: Gap) -> dict[str, Any]:
    return {"source": _source(gap.source), "reason": gap.reason, "closed": gap.closed}


def _plan(plan: Plan | None, digest: str) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {
        "digest": digest,
        "driver": plan.driver,
        "service": plan.service,
        "reason": plan.reason,
        "actions": [row for action in plan.actions for row in _action(action)],
        "space_needed": plan.space_needed,
        "decisions": [asdict(decision) for decision in plan.decisions],
    }


def _action(action: Action) -> Iterator[dict[str, Any]]:
    if isinstance(action, QuarantineFile):
        yield {
            "action": "quarantine-file",
            "path": action.path,
            "sha256": action.sha256,
            "size": action.size,
        }
        return
    if isinstance(action, InstallFile):
        yield {"action": "install-file", **asdict(action)}
        return
    for change in action.changes:
        if isinstance(change, ValueChange):
            yield {"action": "set-value", "hive": action.hive, **_value_change(change)}
        else:
            verb = "delete-key" if change.after is None else "create-key"
            yield {"action": verb, "hive": action.hive, "key": change.key}


def _value_change(change: ValueChange) -> dict[str, Any]:
    stands = change.after if change.after is not None else change.before
    before, after = (
        None if data is None else data.data.hex() for data in (change.before, change.after)
    )
    return {
        "key": change.key,
        "name": change.name,
        "type": None if stands is None else stands.type,
        "before": before,
        "after": after,
    }


def _check(line: CheckLine) -> dict[str, Any]:
    return {
        "check": line.check,
        "ok": line.ok,
        "warning": line.warning,
        "text": line.text,
        "sources": [_source(source) for source in line.sources],
    }


def _aftermath(one: Aftermath) -> dict[str, Any]:
    return {
        "transaction": one.transaction,
        "since": str(one.since),
        "driver": one.driver,
        "text": one.text,
        "sources": [_source(source) for source in one.sources],
    }


def _transaction(info: TransactionInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "state": info.state,
        "started": _iso(info.started),
        "summary": info.summary,
        "folder": info.folder,
        "changed": list(info.changed),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
