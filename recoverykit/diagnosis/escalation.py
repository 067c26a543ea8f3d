"""Whom to look at next after a repair that did not help: never the same one again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recoverykit.diagnosis.aftermath import Applied
from recoverykit.model import Aftermath, Diagnosis, Kind, Since, Suspect, Verdict


def next_suspect(diagnosis: Diagnosis, applied: Sequence[Applied]) -> Suspect | None:
    """The heaviest suspect that no standing repair has acted upon."""
    done = _acted_upon(applied)
    return next((one for one in diagnosis.suspects if one.driver.casefold() not in done), None)


def escalate(
    diagnosis: Diagnosis, aftermath: Sequence[Aftermath], applied: Sequence[Applied]
) -> Diagnosis:
    """The diagnosis, with nobody named a culprit whom a standing repair already acted upon.

    Such a suspect comes after all others, for a person to look at. After a failure of another kind,
    or where nothing is known of the last repair, nobody else is a culprit either: nothing more is
    done without somebody who decides. The summary says what became of the last repair, and who is
    next.
    """
    if not aftermath:
        return diagnosis
    done, last = _acted_upon(applied), aftermath[-1]
    held = last.since in (Since.OTHER, Since.NOT_STARTED)
    fresh = [one for one in diagnosis.suspects if one.driver.casefold() not in done]
    stale = [one for one in diagnosis.suspects if one.driver.casefold() in done]
    suspects = (
        *(_cleared(one) if held else one for one in fresh),
        *(_cleared(one) for one in stale),
    )
    lost = _culprit(diagnosis.suspects) and not _culprit(suspects)
    return replace(
        diagnosis,
        kind=Kind.UNKNOWN if lost else diagnosis.kind,
        summary=_summary(diagnosis, last, next_suspect(diagnosis, applied), lost=lost),
        suspects=suspects,
    )


def _acted_upon(applied: Sequence[Applied]) -> frozenset[str]:
    return frozenset(one.driver.casefold() for one in applied if one.standing and one.driver)


def _cleared(suspect: Suspect) -> Suspect:
    if suspect.verdict is not Verdict.CULPRIT:
        return suspect
    return replace(suspect, verdict=Verdict.SUSPECT)


def _culprit(suspects: Sequence[Suspect]) -> bool:
    return any(one.verdict is Verdict.CULPRIT for one in suspects)


def _summary(
    diagnosis: Diagnosis, last: Aftermath, following: Suspect | None, *, lost: bool
) -> str:
    """What is said now; the old one only where it still holds."""
    told = [last.text] if last.since is not Since.WORKED or lost else []
    if not lost:
        return " ".join([*told, diagnosis.summary])
    if last.since is Since.SAME:
        named = f"Next is {following.driver}." if following else "Nobody else is suspected."
        return " ".join([*told, named])
    return " ".join(told)
