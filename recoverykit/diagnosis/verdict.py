"""From findings to a verdict: pure, total, and the only place thresholds live.

(1) A fault of state that no Windows starts with is the answer, in the order of a boot: not ours to
repair, boot files, hives, storage stack, filters. (2) Otherwise a driver, or a data file of one, is
the culprit when it has weight, independent arguments, proof that boots fail since the last good
one, and no rival: where two are about equally suspect, doing nothing is the better mistake.
(3) Otherwise the heaviest other kind, if it is heavy enough and boots fail. (4) Otherwise healthy
on positive evidence only, and unknown for the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from recoverykit.diagnosis import content_rules, knowledge, rules, sentences, story
from recoverykit.diagnosis.facts import Facts
from recoverykit.diagnosis.rule import Argument
from recoverykit.diagnosis.timeline import Timeline
from recoverykit.model import (
    ContentFile,
    Diagnosis,
    Evidence,
    Finding,
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
CERTAIN_STOPS, CERTAIN_SHARE = 2, 0.6  # that name one driver: nobody else is looked at
MANY_STOPS = 3  # of which a driver that did not change is to be named by half
SCATTERED_CODES = 3  # different stop codes within two weeks: then most must name the culprit
STATE_WEIGHT = 90  # of one finding: a state that no Windows starts with
KIND_WEIGHT = 60  # of all arguments for a kind that is no driver's
KIND_LEAD = 10
RIVAL_KIND = 50  # of an explanation without a driver: then a crash must name the culprit

IN_BOOT_ORDER = (Kind.LOCKED, Kind.BCD, Kind.HIVE, Kind.STORAGE, Kind.FILTER)
_FILES = (Kind.DRIVER, Kind.CONTENT)
_DRIVERS_OF_KINDS = (Kind.STORAGE, Kind.FILTER)  # their findings name a driver, too


def judge(install: WindowsInstall, evidence: Sequence[Evidence]) -> Diagnosis:
    """What keeps this Windows from starting, as far as the evidence carries."""
    facts = Facts(install, evidence)
    found = rules.findings(facts)
    others = tuple(item for item in found if item.kind not in _FILES)
    rival = max((weight for weight, _ in _ranked(others)), default=0)
    suspects = _suspects([item for item in found if item.kind in _FILES], facts, rival)
    kind, because = _kind(facts, suspects, others)
    if kind not in _FILES:
        suspects = tuple(_cleared(suspect) for suspect in suspects)
    if kind in _DRIVERS_OF_KINDS:
        suspects = (*_named_by(kind, because, facts), *suspects)
    return Diagnosis(
        kind,
        sentences.summary(kind, facts, suspects, because),
        suspects,
        facts.gaps,
        _ordered(others, kind),
        story.tell(facts),
    )


def _kind(
    facts: Facts, suspects: Sequence[Suspect], others: Sequence[Finding]
) -> tuple[Kind, tuple[Finding, ...]]:
    """The kind, and the findings that make it so."""
    state = _state(others)
    if state:
        return state[0].kind, state
    if not facts.services:
        return _without_services(facts)
    if suspects and suspects[0].verdict is Verdict.CULPRIT:
        return suspects[0].kind, suspects[0].findings
    if facts.is_failing:
        heaviest = _heaviest(others)
        if heaviest:
            return heaviest[0].kind, heaviest
    standing = tuple(item for item in others if item.rule == "safe-boot-left")
    if standing and facts.is_healthy:
        return Kind.BCD, standing
    if facts.is_healthy:
        return Kind.HEALTHY, ()
    return Kind.UNKNOWN, ()


def _state(others: Sequence[Finding]) -> tuple[Finding, ...]:
    """The first fault of state, in the order of a boot."""
    for kind in IN_BOOT_ORDER:
        found = [item for item in others if item.kind is kind and item.weight >= STATE_WEIGHT]
        if found:
            return tuple(found)
    return ()


def _without_services(facts: Facts) -> tuple[Kind, tuple[Finding, ...]]:
    broken = [gap for gap in facts.gaps if gap.source.path == facts.install.system_hive]
    return (Kind.HIVE if broken else Kind.UNKNOWN), ()


def _ranked(others: Sequence[Finding]) -> list[tuple[int, Kind]]:
    """Kinds that are no driver's with their weights, heaviest first."""
    kinds: defaultdict[Kind, list[Finding]] = defaultdict(list)
    for item in others:
        kinds[item.kind].append(item)
    return sorted(((_weight(found), kind) for kind, found in kinds.items()), reverse=True)


def _heaviest(others: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings for the kind that has the most weight, if it has enough and no rival."""
    (weight, kind), (second, _) = [*_ranked(others), (0, Kind.UNKNOWN), (0, Kind.UNKNOWN)][:2]
    if weight < KIND_WEIGHT or weight - second < KIND_LEAD:
        return ()
    return tuple(item for item in others if item.kind is kind)


def _ordered(others: Iterable[Finding], kind: Kind) -> tuple[Finding, ...]:
    """What the verdict rests on first, then by weight."""
    return tuple(sorted(others, key=lambda item: (item.kind is not kind, -item.weight)))


# --- suspects -----------------------------------------------------------------------------


def _suspects(found: Iterable[Finding], facts: Facts, other_kind: int = 0) -> tuple[Suspect, ...]:
    """Heaviest first; at most one culprit.

    `other_kind`: the weight of the strongest explanation without a driver.
    """
    subjects: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        subjects[finding.driver].append(finding)
    ranked = sorted(
        (_suspect(name, against, facts) for name, against in subjects.items()),
        key=lambda suspect: (_tier(suspect, facts), -suspect.weight, suspect.driver),
    )
    explained = other_kind >= RIVAL_KIND and not (ranked and _is_named(ranked[0], facts))
    if ranked and not explained and _is_culprit(ranked, facts):
        ranked[0] = replace(ranked[0], verdict=Verdict.CULPRIT)
    return tuple(ranked)


def _suspect(name: str, against: list[Finding], facts: Facts) -> Suspect:
    heaviest = tuple(sorted(against, key=lambda finding: -finding.weight))
    weight = _weight(heaviest)
    verdict = Verdict.SUSPECT if weight >= SUSPECT_WEIGHT else Verdict.UNKNOWN
    if name not in facts.can_be_named:
        return _content_suspect(name, verdict, weight, heaviest, facts)
    candidate = facts.can_be_named[name]
    return Suspect(
        driver=name,
        service=candidate.service.name,
        verdict=verdict,
        weight=weight,
        findings=heaviest,
        path=candidate.service.path,
        company=candidate.file.company if candidate.file else "",
        version=candidate.file.version if candidate.file else "",
    )


def _content_suspect(
    name: str, verdict: Verdict, weight: int, found: tuple[Finding, ...], facts: Facts
) -> Suspect:
    file = next(item for item in facts.all(ContentFile) if content_rules.name(item) == name)
    owner = facts.candidates.get(file.driver)
    return Suspect(
        driver=name,
        service=owner.service.name if owner else "",
        verdict=verdict,
        weight=weight,
        findings=found,
        path=file.source.path,
        company=owner.file.company if owner and owner.file else "",
        kind=Kind.CONTENT,
    )


def _weights(found: Iterable[Finding]) -> Mapping[Argument, int]:
    """One weight an argument: two rules that look at one thing are one argument."""
    weights: dict[Argument, int] = {}
    for finding in found:
        argument = rules.ARGUMENTS[finding.rule]
        weights[argument] = max(weights.get(argument, 0), finding.weight)
    return weights


def _weight(found: Iterable[Finding]) -> int:
    return sum(_weights(found).values())


def _tier(suspect: Suspect, facts: Facts) -> int:
    """Changed data of a driver that crashes, then whom crashes name, then everybody else."""
    if suspect.kind is Kind.CONTENT:
        return 0
    return 1 if _is_named(suspect, facts) else 2


def _is_named(suspect: Suspect, facts: Facts) -> bool:
    """Whether the crashes themselves name a suspect: then nobody they do not name comes first."""
    return suspect.kind is Kind.CONTENT or suspect.driver in facts.named_directly


def _rival(ranked: Sequence[Suspect], facts: Facts) -> int:
    """The weight of the heaviest other suspect.

    One crash after another that names the same driver outweighs what came about the same time.
    """
    first, *others = ranked
    named = facts.named_directly.get(first.driver, 0)
    if named >= CERTAIN_STOPS and named >= CERTAIN_SHARE * len(facts.times.stops):
        others = [suspect for suspect in others if _is_named(suspect, facts)]
    return max((_without_role(suspect) for suspect in others), default=0)


def _without_role(suspect: Suspect) -> int:
    """What two drivers are told apart by: that one of them starts earlier is no evidence."""
    return sum(
        weight
        for argument, weight in _weights(suspect.findings).items()
        if argument is not Argument.ROLE or suspect.kind is Kind.CONTENT
    )


def _is_culprit(ranked: Sequence[Suspect], facts: Facts) -> bool:
    first = ranked[0]
    lead = _without_role(first) - _rival(ranked, facts)
    return (
        first.driver not in content_rules.suspected(facts)  # its data may be to blame instead
        and not _is_off(first, facts)
        and facts.is_failing
        and facts.times.last_good is not None
        and first.weight >= CULPRIT_WEIGHT
        and len(_weights(first.findings)) >= CULPRIT_ARGUMENTS
        and lead >= CULPRIT_LEAD
        and _points_to_drivers(facts.times)
        and not _is_contradicted(first, facts)
        and not _is_rare(first, facts)
        and not _is_seen_elsewhere(first, facts)
    )


def _is_off(first: Suspect, facts: Facts) -> bool:
    """Somebody has dealt with it already: what fails now, if anything does, is not known."""
    return first.kind is Kind.DRIVER and first.driver not in facts.candidates


def _is_rare(first: Suspect, facts: Facts) -> bool:
    """Most crashes do not name it, and they are of many codes, or several and it did not change.

    Bad memory hits drivers, too: one crash among many is no proof, and a role it always had.
    """
    stops = facts.recent_stops
    codes = {knowledge.base_code(stop.code) for stop in stops}
    named = sum(one.driver == first.driver for one in facts.recent_blames)
    changed = Argument.CHANGE in _weights(first.findings)
    several = len(stops) >= MANY_STOPS and not changed
    return 2 * named < len(stops) and (several or len(codes) >= SCATTERED_CODES)


def _is_seen_elsewhere(first: Suspect, facts: Facts) -> bool:
    """Only that it changed speaks against it, and dump or boot log show the fault elsewhere.

    What came at the same time as a fault is not its cause where the crash is seen to be elsewhere.
    """
    against = set(_weights(first.findings)) - {Argument.CHANGE, Argument.ROLE}
    log = facts.times.boot_log
    if log and log.came_past(first.driver):
        return against <= {Argument.BOOT_LOG}
    if against:
        return False
    stacks = [stop.dump.stack for stop in facts.times.stops if stop.dump and stop.dump.stack]
    return bool(stacks) and not any(hit.module == first.driver for one in stacks for hit in one)


def _is_contradicted(first: Suspect, facts: Facts) -> bool:
    """One crash names this driver, another one somebody else, and it is not clearly the rule."""
    named = facts.named_directly
    others = [count for driver, count in named.items() if driver != first.driver]
    return first.kind is Kind.DRIVER and 2 * max(others, default=0) > named.get(first.driver, 0)


def _points_to_drivers(times: Timeline) -> bool:
    """No stop code since the last good boot says to look elsewhere first."""
    areas = {knowledge.area(stop.code, stop.parameters) for stop in times.stops}
    return areas <= {knowledge.Area.DRIVER}


def _cleared(suspect: Suspect) -> Suspect:
    """Where something else is the answer, a driver is a suspect at most."""
    if suspect.verdict is not Verdict.CULPRIT:
        return suspect
    return replace(suspect, verdict=Verdict.SUSPECT)


def _named_by(kind: Kind, because: Sequence[Finding], facts: Facts) -> tuple[Suspect, ...]:
    """The drivers that findings about the storage stack or filters name."""
    subjects: defaultdict[str, list[Finding]] = defaultdict(list)
    by_driver = {item.driver: item for item in facts.all(Service)}
    for finding in because:
        if finding.driver.endswith(".sys"):
            subjects[finding.driver].append(finding)
    suspects = []
    for name, against in subjects.items():
        service = by_driver.get(name)
        file = facts.file_of(service) if service else None
        suspects.append(
            Suspect(
                driver=name,
                service=service.name if service else name.removesuffix(".sys"),
                verdict=Verdict.SUSPECT,
                weight=_weight(against),
                findings=tuple(against),
                path=service.path if service else None,
                company=file.company if file else "",
                version=file.version if file else "",
                kind=kind,
            )
        )
    return tuple(sorted(suspects, key=lambda suspect: (-suspect.weight, suspect.driver)))
