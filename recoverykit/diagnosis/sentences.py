"""The one sentence a diagnosis begins with."""

from __future__ import annotations

from collections.abc import Sequence

from recoverykit.diagnosis import driver_rules, knowledge
from recoverykit.diagnosis.facts import Facts
from recoverykit.diagnosis.rule import utc
from recoverykit.model import Finding, Kind, Suspect, Verdict

_LEADS = {
    Kind.LOCKED: "This Windows cannot be examined further",
    Kind.BCD: "Windows is not even found by its boot manager",
    Kind.HIVE: "The registry keeps it from starting",
    Kind.STORAGE: "Windows cannot reach its own disk",
    Kind.FILTER: "A filter that cannot load keeps its devices from starting",
    Kind.SERVICING: "An update that does not get finished keeps it from starting",
    Kind.DISK: "The disk or its file system keeps it from starting",
    Kind.HARDWARE: "The hardware is likelier to be at fault than any driver",
}


def summary(
    kind: Kind, facts: Facts, suspects: Sequence[Suspect], because: Sequence[Finding]
) -> str:
    """What is wrong, in one sentence that names the reason."""
    if kind is Kind.DRIVER:
        return _driver(suspects[0])
    if kind is Kind.CONTENT:
        return _content(suspects[0])
    if kind is Kind.HEALTHY:
        return _healthy(facts)
    if kind is Kind.UNKNOWN:
        return _unknown(facts, suspects)
    if kind is Kind.HIVE and not because:
        return _no_hive(facts)
    heaviest = max(because, key=lambda finding: finding.weight)
    return f"{_LEADS[kind]}: {_clause(heaviest.reason)}."


def _clause(reason: str) -> str:
    return reason.rstrip(".")


def _driver(culprit: Suspect) -> str:
    by = f" by {culprit.company}" if culprit.company else ""
    return f"The driver {culprit.driver} (service {culprit.service}{by}) keeps it from starting."


def _content(culprit: Suspect) -> str:
    by = f" by {culprit.company}" if culprit.company else ""
    return (
        f"The data file {culprit.driver} of the service {culprit.service}{by} keeps it from "
        "starting: the driver that reads it crashes."
    )


def _healthy(facts: Facts) -> str:
    good = facts.times.last_good
    when = f" ({utc(good.when)})" if good else ""
    said = f"Nothing found that keeps it from starting: its last session{when} came up."
    untried = driver_rules.untried(facts)
    if untried:
        said += f" Changed since and not yet tried in a boot: {', '.join(sorted(untried)[:3])}."
    return said


def _no_hive(facts: Facts) -> str:
    gaps = [gap for gap in facts.gaps if gap.source.path == facts.install.system_hive]
    return f"The SYSTEM hive cannot be used: {_clause(gaps[0].reason)}."


def _unknown(facts: Facts, suspects: Sequence[Suspect]) -> str:
    if not facts.services:
        return "The registry names no drivers."
    failed = "Boots fail" if facts.is_failing else "Whether boots fail is not known"
    elsewhere = _elsewhere(facts)
    if elsewhere:
        return f"{failed}: {elsewhere}; no driver is accused."
    named = [suspect.driver for suspect in suspects if suspect.verdict is Verdict.SUSPECT]
    if named:
        listed = ", ".join(named[:3])
        return f"{failed}, and no driver is proven to be the cause; suspected: {listed}."
    return f"{failed}, and no driver is proven to be the cause."


def _elsewhere(facts: Facts) -> str:
    for stop in reversed(facts.times.stops):
        known = knowledge.stop_code(stop.code)
        area = knowledge.area(stop.code, stop.parameters)
        if area is not knowledge.Area.DRIVER:
            return f"stop code {stop.code:#x} {known.name} points to the {area}"
    return ""
