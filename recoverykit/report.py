"""A Report as text, and the words that every form of it shares.

Pure: values in, strings out. JSON and HTML are made in rooms of their own.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from recoverykit.model import (
    CheckLine,
    Diagnosis,
    Finding,
    Gap,
    InstallReport,
    Kind,
    Moment,
    Outcome,
    Report,
    Source,
    Suspect,
    TransactionInfo,
    Verdict,
    WindowsInstall,
)
from recoverykit.report_plan import plan_text

_MOST_MOMENTS = 40  # of the timeline that are shown to a person


def to_text(report: Report, *, details: bool = False, width: int = 100) -> str:
    """The report for people: one block an installation, then what could not be read.

    `width` is that of the screen, in columns.
    """
    lines: list[str] = []
    for number, entry in enumerate(report.installations, start=1):
        lines += [*_install_text(number, entry, details=details), ""]
    if not report.installations:
        lines += [nothing_found(report), ""]
    lines += _gaps_text(report.gaps)
    lines += [f"Note: {note}" for note in report.notes]
    while lines and not lines[-1]:
        lines.pop()
    shown = (wrapped for line in lines for wrapped in _wrapped(printable(line), width))
    return "\n".join(shown) + "\n"


def nothing_found(report: Report) -> str:
    """What is said where no Windows was found."""
    shut = [gap.source.path for gap in report.gaps if gap.closed]
    if not shut:
        return "No Windows installation was found."
    return f"No Windows installation was found, but {', '.join(shut[:3])} stayed shut (below)."


def printable(text: str) -> str:
    """What a broken or hostile disk calls things must not steer the terminal it is shown on."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return shown.encode("utf-8", "backslashreplace").decode()


_HANGING = re.compile(r"\s*(?:- |\d+\. |(?:pass|FAIL|\?   )  )?")


def _wrapped(line: str, width: int) -> list[str]:
    """A long line broken between words, its continuation under its own text."""
    start = _HANGING.match(line)
    indent = " " * (start.end() if start else 0)
    broken = textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return broken or [""]


def describe(install: WindowsInstall) -> str:
    """'Windows 10 Pro 19045.4651 x64 on /dev/sda3 (Windows)'."""
    words = (install.product or "Windows", install.build, install.architecture)
    return f"{' '.join(word for word in words if word)} on {install.volume.name} ({install.folder})"


def place(source: Source) -> str:
    """A source as a person would look it up: path, key or line, offset."""
    where = source.path + (f" [{source.key}]" if source.key else "")
    return where if source.offset is None else f"{where} @ {_offset(source)}"


def _offset(source: Source) -> str:
    textual = source.path.lower().endswith((".txt", ".log"))
    return f"line {source.offset}" if textual else f"{source.offset:#x}"


def _install_text(number: int, entry: InstallReport, *, details: bool) -> Iterator[str]:
    yield f"[{number}] {describe(entry.install)}"
    if entry.diagnosis:
        yield f"    {entry.diagnosis.summary}"
        yield from _findings_text(entry.diagnosis, details=details)
        for suspect in entry.diagnosis.suspects:
            if details or (suspect.verdict is not Verdict.UNKNOWN and not _is_done(entry)):
                yield from _suspect_text(suspect)
        if details:
            yield from _timeline_text(entry.diagnosis.timeline)
    for refusal in entry.refusals:
        yield f"    Refused: {refusal.reason}"
    if entry.plan and entry.outcome in (None, Outcome.PLANNED, Outcome.REFUSED):
        yield from plan_text(entry.plan)
    if entry.outcome:
        yield f"    {outcome_text(entry)}"
    yield from (f"    {line}" for line in _checks_text(entry))
    told = entry.diagnosis.summary if entry.diagnosis else ""
    yield from (f"    Earlier repair: {x.text}" for x in entry.aftermath if x.text not in told)
    yield from (f"    {_history_text(info)}" for info in entry.history)
    if entry.error and entry.error not in (refusal.reason for refusal in entry.refusals):
        yield f"    Error: {entry.error}"
    yield from (f"    Note: {note}" for note in entry.notes)
    if entry.diagnosis and entry.diagnosis.gaps:
        yield from (f"    {line}" for line in _gaps_text(entry.diagnosis.gaps))


def _is_done(entry: InstallReport) -> bool:
    """Whether people have read the reasons before, and now want to know what came of it."""
    return entry.outcome not in (None, Outcome.PLANNED, Outcome.REFUSED, Outcome.NOTHING_TO_DO)


def _suspect_text(suspect: Suspect) -> Iterator[str]:
    about = ", ".join(
        word
        for word in (
            f"service {suspect.service}" if suspect.service else "",
            suspect.company,
            f"version {suspect.version}" if suspect.version else "",
        )
        if word
    )
    yield f"    {suspect.verdict.value.capitalize()}: {suspect.driver}" + (
        f" ({about})" if about else ""
    )
    for finding in suspect.findings:
        yield from _finding_text(finding)


def _finding_text(finding: Finding) -> Iterator[str]:
    yield f"      - {finding.reason}"
    if finding.sources:
        yield f"        seen in {place(finding.sources[0])}"


def _findings_text(diagnosis: Diagnosis, *, details: bool) -> Iterator[str]:
    """What speaks for the verdict where it is no driver's; all of it in the details."""
    shown = [one for one in other_findings(diagnosis) if details or one.kind is diagnosis.kind]
    if shown:
        yield "    What speaks for it:" if not details else "    Findings about no driver:"
    for finding in shown:
        yield from _finding_text(finding)


def other_findings(diagnosis: Diagnosis) -> list[Finding]:
    """Findings that are about no suspect: hive, boot files, disk, hardware."""
    named = {finding for suspect in diagnosis.suspects for finding in suspect.findings}
    return [finding for finding in diagnosis.findings if finding not in named]


def _timeline_text(moments: Sequence[Moment]) -> Iterator[str]:
    if moments:
        yield "    What happened (UTC):"
    for moment in moments[-_MOST_MOMENTS:]:
        yield f"      {moment.when:%Y-%m-%d %H:%M:%S}  {moment.what:<8} {moment.text}"


def kind_of(report: Report) -> str | None:
    """What to do first: of the first installation that has a fault, else of the first.

    "locked" where no Windows was found and a volume stayed shut; None where nothing was diagnosed.
    """
    kinds = [entry.diagnosis.kind for entry in report.installations if entry.diagnosis]
    if not report.installations and any(gap.closed for gap in report.gaps):
        return str(Kind.LOCKED)
    faults = [kind for kind in kinds if kind is not Kind.HEALTHY]
    return next((str(kind) for kind in (*faults, *kinds)), None)


_OUTCOMES = {
    Outcome.NOTHING_TO_DO: "Nothing was changed: there is nothing to repair.",
    Outcome.PLANNED: "Nothing was changed: this was a dry run.",
    Outcome.REFUSED: "Nothing was changed: the repair was refused.",
    Outcome.APPLIED: "Repaired, and checked by reading the disk again.",
    Outcome.UNVERIFIED: "Changed, but reading it back did not prove the change.",
    Outcome.ROLLED_BACK: "The repair failed and was taken back: the disk is as it was.",
    Outcome.FAILED: "The repair failed; nothing was changed.",
    Outcome.UNDONE: "The repair was undone: every file is as it was before.",
}


# Of a verb that diagnosed nothing, and was told what to do.
_TOLD = {
    Outcome.NOTHING_TO_DO: "Nothing was changed: there is nothing to do.",
    Outcome.REFUSED: "Nothing was changed: it was refused.",
    Outcome.APPLIED: "Done, and checked by reading the disk again.",
    Outcome.ROLLED_BACK: "It failed and was taken back: the disk is as it was.",
    Outcome.FAILED: "It failed; nothing was changed.",
}


def outcome_text(entry: InstallReport) -> str:
    if entry.outcome is None:
        return ""
    told = entry.diagnosis is None
    text = _TOLD.get(entry.outcome, "") if told else ""
    text = text or _OUTCOMES[entry.outcome]
    return f"{text} Transaction {entry.transaction}." if entry.transaction else text


def _checks_text(entry: InstallReport) -> Iterator[str]:
    """All lines where the check was what was asked for; else what fails, and what a repair did."""
    if entry.diagnosis is None and not entry.checks_after:
        yield from (_check_text(line) for line in entry.checks)
        return
    failing = [line for line in entry.checks if line.ok is False]
    if not entry.checks_after:
        if failing:
            yield "The boot check fails as things are:"
        yield from (_check_text(line) for line in failing)
        return
    now = {line.check: line for line in entry.checks_after}
    healed = [line for line in failing if now.get(line.check, line).ok]
    yield from (f"now passes: {line.check}: {now[line.check].text}" for line in healed)
    left = [line for line in entry.checks_after if line.ok is False]
    if left:
        yield "The boot check still fails, for what was so before the repair:"
    yield from (_check_text(line) for line in left)
    if not left:
        passed = sum(line.ok is True for line in entry.checks_after)
        yield f"Boot check after the repair: {passed} lines pass, none fails."


def check_mark(line: CheckLine) -> str:
    """ "pass", "FAIL", "warn", or "?" for what was not checked."""
    if line.ok is None:
        return "warn" if line.warning else "?"
    return "pass" if line.ok else "FAIL"


def _check_text(line: CheckLine) -> str:
    return f"{check_mark(line):<4}  {line.check}: {line.text}"


def _history_text(info: TransactionInfo) -> str:
    when = info.started.strftime("%Y-%m-%d %H:%M UTC") if info.started else "unknown time"
    return f"{info.id}  {info.state:<10} {when}  {info.summary}"


def _gaps_text(gaps: Iterable[Gap]) -> list[str]:
    listed = [f"  - {place(gap.source)}: {gap.reason}" for gap in gaps]
    return ["Could not be read or used:", *listed] if listed else []


def is_actionable(entry: InstallReport) -> bool:
    """Whether a person can say yes to something here."""
    return entry.plan is not None and bool(entry.diagnosis) and entry.outcome is None
