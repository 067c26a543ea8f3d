"""What would be done about a diagnosis: quarantine, replacement, or the reason for neither.

Reads only. One proven culprit, or the driver a person chose, becomes a plan. What earlier repairs
of ours already acted on is never proposed again. A driver that the guard protects is not disabled:
a good copy of its file is looked for, and where none may take its place the refusal says why.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit import installs, replacement
from recoverykit.errors import NoCulpritError, RecoveryKitError
from recoverykit.formats.hive import Hive
from recoverykit.host import vss
from recoverykit.model import (
    DriverFile,
    Evidence,
    FileState,
    Finding,
    Gap,
    InstallReport,
    Kind,
    Plan,
    Refusal,
    Service,
    Suspect,
    Verdict,
    WindowsInstall,
)
from recoverykit.repair import plan as planning
from recoverykit.repair import plan_json
from recoverykit.repair.state import keeps_short_name
from recoverykit.replacement import Candidate, Root, Search, Want
from recoverykit.vouching import Judge

if TYPE_CHECKING:
    from recoverykit.vouching import Trust

_MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decided, beside the target."""

    driver: str = ""  # act on this driver or service, though it may be no proven culprit
    folders: tuple[Path, ...] = ()  # of this host, with good copies of drivers
    trust: Trust = ()  # certificates that vouch for drivers
    want: Want = Want.ANY


NONE = Choices()


def propose(
    entry: InstallReport,
    evidence: Sequence[Evidence],
    choices: Choices = NONE,
    judge: Judge | None = None,
) -> InstallReport:
    """The entry with a plan, or a refusal; as it is where nothing is proven and nobody chose.

    `judge`: of the signatures of this Windows; None: one that knows its own volume alone.
    Raises NoCulpritError for a chosen driver that this Windows does not have; RecoveryKitError.
    """
    suspect = _chosen(entry, evidence, choices.driver) if choices.driver else _culprit(entry)
    if suspect is None:
        return entry
    try:
        hive, _ = installs.read_hive(entry.install, entry.install.system_hive)
        made = planning.make(entry.install, suspect, evidence, hive)
        if isinstance(made, Plan):
            return _planned(entry, made)
        if not made.role and suspect.kind is not Kind.STORAGE:
            return replace(entry, refusals=(made,))
        asked = judge or Judge(entry.install, trust=choices.trust)
        return _replaced(entry, suspect, made, evidence, hive, choices, asked)
    except OSError as exc:
        raise RecoveryKitError(
            f"{entry.install.root} cannot be read: {exc.strerror or exc}; nothing was changed"
        ) from exc


def _planned(entry: InstallReport, plan: Plan) -> InstallReport:
    return replace(entry, plan=plan, plan_digest=plan_json.digest(plan))


def _culprit(entry: InstallReport) -> Suspect | None:
    suspects = entry.diagnosis.suspects if entry.diagnosis else ()
    culprits = [item for item in suspects if item.verdict is Verdict.CULPRIT]
    return culprits[0] if len(culprits) == 1 else None


def _chosen(entry: InstallReport, evidence: Sequence[Evidence], name: str) -> Suspect:
    """The suspect of that name, or any driver service of it: a person's choice is a reason."""
    wanted = name.casefold()
    for suspect in entry.diagnosis.suspects if entry.diagnosis else ():
        if wanted in (suspect.driver.casefold(), suspect.service.casefold()):
            return suspect
    for item in evidence:
        if isinstance(item, Service) and wanted in (item.driver, item.name.casefold()):
            return _suspect(item, evidence)
    raise NoCulpritError(
        f"{entry.install.root} has no driver service {name!r}, and none whose file is called so"
    )


def _suspect(service: Service, evidence: Sequence[Evidence]) -> Suspect:
    file = next(
        (one for one in evidence if isinstance(one, DriverFile) and one.driver == service.driver),
        None,
    )
    reason = "It was chosen by hand; the diagnosis does not blame it."
    finding = Finding(service.driver, "chosen", 0, reason, (service.source,))
    return Suspect(
        driver=service.driver,
        service=service.name,
        verdict=Verdict.SUSPECT,
        weight=0,
        findings=(finding,),
        path=service.path,
        company=file.company if file else "",
        version=file.version if file else "",
    )


# --- replacement --------------------------------------------------------------------------


def _replaced(
    entry: InstallReport,
    suspect: Suspect,
    held: Refusal,
    evidence: Sequence[Evidence],
    hive: Hive,
    choices: Choices,
    judge: Judge,
) -> InstallReport:
    search, gaps = _search(entry.install, suspect, evidence, hive, choices, judge)
    entry = replace(entry, notes=(*entry.notes, *(f"Not looked at: {gap.reason}" for gap in gaps)))
    # What only a person should decide on is taken where a person named the driver.
    best = replacement.best(search.candidates, risky=bool(choices.driver))
    if best is None or not search.path:
        return _refused(entry, held, _why_none(search))
    place = entry.install.mount / search.path
    if os.path.lexists(place) and not keeps_short_name(place):
        return _refused(entry, held, "Its file has other hard links and a short name of its own.")
    new = FileState(search.path, best.sha256, best.size)
    plan = planning.replacing(entry.install, suspect, search.path, new, best.described)
    notes = tuple(f"The new {suspect.driver}: {note}." for note in (*best.risks, *best.notes))
    return replace(
        _planned(entry, plan),
        supply={best.sha256: best.content},
        notes=(*entry.notes, *notes),
    )


def _refused(entry: InstallReport, held: Refusal, more: str) -> InstallReport:
    return replace(entry, refusals=(replace(held, reason=f"{held.reason} {more}"),))


def _search(
    install: WindowsInstall,
    suspect: Suspect,
    evidence: Sequence[Evidence],
    hive: Hive,
    choices: Choices,
    judge: Judge,
) -> tuple[Search, tuple[Gap, ...]]:
    services = (item for item in evidence if isinstance(item, Service))
    service = next((one for one in services if one.name == suspect.service), None)
    with vss.opened(install.volume) as past:
        roots = [
            Root(one.name, replace(install, mount=one.mount, volume=one.volume))
            for one in past.snapshots
        ]
        search = replacement.find(
            install,
            service or suspect.path or suspect.driver,
            evidence,
            hive,
            judge=judge,
            folders=choices.folders,
            roots=roots,
            want=choices.want,
        )
    return search, (*past.gaps, *search.gaps)


def _why_none(search: Search) -> str:
    """Why nothing that was found may take its place, the best ones first."""
    if not search.candidates:
        return "No other copy of its file was found here."
    told = [_against(one) for one in search.candidates[:_MOST_REASONS]]
    more = len(search.candidates) - len(told)
    rest = f" {more} more were found." if more > 0 else ""
    return f"No copy may take its place: {'; '.join(told)}.{rest}"


def _against(candidate: Candidate) -> str:
    reasons = candidate.refusals or candidate.risks
    return f"{candidate.described}: {reasons[0] if reasons else 'it cannot be used'}"
