"""From findings to a verdict: pure, total, and the only place thresholds live.

A culprit needs weight, two independent arguments, proof that boots fail since the last good one,
and no rival: where two drivers are about equally suspect, doing nothing is the better mistake.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from recoverykit.diagnosis import knowledge, rules
from recoverykit.diagnosis.timeline import Timeline
from recoverykit.model import (
    Diagnosis,
    Evidence,
    Finding,
    Gap,
    Kind,
    Service,
    Suspect,
    Verdict,
    WindowsInstall,
)

CULPRIT_WEIGHT = 80
CULPRIT_ARGUMENTS = 2  # kinds of reasoning that must agree
CULPRIT_LEAD = 15  # weight over the next suspect
SUSPECT_WEIGHT = 30


def judge(install: WindowsInstall, evidence: Sequence[Evidence]) -> Diagnosis:
    """What keeps this Windows from starting, as far as the evidence carries."""
    gaps = tuple(item for item in evidence if isinstance(item, Gap))
    if not any(isinstance(item, Service) for item in evidence):
        return _without_services(install, gaps)
    facts = rules.sort(tuple(evidence))
    suspects = _suspects(rules.findings(evidence), facts)
    if suspects and suspects[0].verdict is Verdict.CULPRIT:
        return Diagnosis(Kind.DRIVER, _accusation(suspects[0]), suspects, gaps)
    if facts.times.is_healthy:
        return Diagnosis(Kind.HEALTHY, _healthy(facts), suspects, gaps)
    return Diagnosis(Kind.UNKNOWN, _unknown(facts.times, suspects), suspects, gaps)


def _without_services(install: WindowsInstall, gaps: tuple[Gap, ...]) -> Diagnosis:
    broken = [gap for gap in gaps if gap.source.path == install.system_hive]
    if broken:
        summary = f"The SYSTEM hive cannot be used: {broken[0].reason.rstrip('.')}."
        return Diagnosis(Kind.HIVE, summary, gaps=gaps)
    return Diagnosis(Kind.UNKNOWN, "The registry names no drivers.", gaps=gaps)


# --- suspects -----------------------------------------------------------------------------


def _suspects(found: Iterable[Finding], facts: rules.Facts) -> tuple[Suspect, ...]:
    """Heaviest first; at most one culprit."""
    by_driver: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        by_driver[finding.driver].append(finding)
    ranked = sorted(
        (_suspect(driver, against, facts) for driver, against in by_driver.items()),
        key=lambda suspect: (-suspect.weight, suspect.driver),
    )
    if ranked and _is_culprit(ranked, facts.times):
        ranked[0] = replace(ranked[0], verdict=Verdict.CULPRIT)
    return tuple(ranked)


def _suspect(driver: str, against: list[Finding], facts: rules.Facts) -> Suspect:
    heaviest = sorted(against, key=lambda finding: -finding.weight)
    weight = sum(_weights(heaviest).values())
    candidate = facts.candidates[driver]
    return Suspect(
        driver=driver,
        service=candidate.service.name,
        verdict=Verdict.SUSPECT if weight >= SUSPECT_WEIGHT else Verdict.UNKNOWN,
        weight=weight,
        findings=tuple(heaviest),
        path=candidate.service.path,
        company=candidate.file.company if candidate.file else "",
        version=candidate.file.version if candidate.file else "",
    )


def _weights(found: Iterable[Finding]) -> dict[rules.Argument, int]:
    """One weight an argument: two rules that look at one thing are one argument."""
    weights: dict[rules.Argument, int] = {}
    for finding in found:
        argument = rules.ARGUMENTS[finding.rule]
        weights[argument] = max(weights.get(argument, 0), finding.weight)
    return weights


def _is_culprit(ranked: Sequence[Suspect], times: Timeline) -> bool:
    first = ranked[0]
    lead = first.weight - (ranked[1].weight if len(ranked) > 1 else 0)
    return (
        times.is_failing
        and first.weight >= CULPRIT_WEIGHT
        and len(_weights(first.findings)) >= CULPRIT_ARGUMENTS
        and lead >= CULPRIT_LEAD
        and _points_to_drivers(times)
    )


def _points_to_drivers(times: Timeline) -> bool:
    """No stop code since the last good boot says to look elsewhere first."""
    areas = {knowledge.stop_code(crash.bugcheck).area for crash in times.crashes}
    return areas <= {knowledge.Area.DRIVER}


# --- sentences ----------------------------------------------------------------------------


def _accusation(culprit: Suspect) -> str:
    by = f" by {culprit.company}" if culprit.company else ""
    return f"The driver {culprit.driver} (service {culprit.service}{by}) keeps it from starting."


def _healthy(facts: rules.Facts) -> str:
    good = facts.times.last_good
    when = f" ({good.when:%Y-%m-%d %H:%M} UTC)" if good else ""
    said = f"Nothing found that keeps it from starting: its last session{when} came up."
    untried = rules.untried(facts)
    if untried:
        said += f" Changed since and not yet tried in a boot: {', '.join(sorted(untried)[:3])}."
    return said


def _unknown(times: Timeline, suspects: Sequence[Suspect]) -> str:
    failed = "Boots fail" if times.is_failing else "Whether boots fail is not known"
    elsewhere = _elsewhere(times)
    if elsewhere:
        return f"{failed}: {elsewhere}; no driver is accused."
    named = [suspect.driver for suspect in suspects if suspect.verdict is Verdict.SUSPECT]
    if named:
        listed = ", ".join(named[:3])
        return f"{failed}, and no driver is proven to be the cause; suspected: {listed}."
    return f"{failed}, and no driver is proven to be the cause."


def _elsewhere(times: Timeline) -> str:
    for crash in reversed(times.crashes):
        stop = knowledge.stop_code(crash.bugcheck)
        if stop.area is not knowledge.Area.DRIVER:
            return f"stop code {stop.code:#x} {stop.name} points to the {stop.area}"
    return ""
