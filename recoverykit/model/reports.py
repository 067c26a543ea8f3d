"""What a verb found and did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recoverykit.model.changes import Outcome, Plan, Refusal, TransactionInfo
from recoverykit.model.machine import BootProblem, BootStore
from recoverykit.model.places import Gap, Source, WindowsInstall
from recoverykit.model.verdicts import Aftermath, Diagnosis


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of the boot check."""

    check: str
    ok: bool | None  # None: not checked, `text` says why
    text: str
    sources: tuple[Source, ...] = ()
    warning: bool = False  # looked at, and found what the boot does not fail for; `ok` is None then


@dataclass(frozen=True, slots=True)
class InstallReport:
    install: WindowsInstall
    diagnosis: Diagnosis | None = None
    plan: Plan | None = None
    plan_digest: str = ""
    refusals: tuple[Refusal, ...] = ()
    outcome: Outcome | None = None
    transaction: str = ""
    checks: tuple[CheckLine, ...] = ()
    history: tuple[TransactionInfo, ...] = ()
    error: str = ""
    exit_code: int = 0
    notes: tuple[str, ...] = ()
    checks_after: tuple[CheckLine, ...] = ()  # of a repair; `checks` are those before it
    aftermath: tuple[Aftermath, ...] = ()  # of earlier repairs that stand
    # Not part of a report: what the plan installs, by sha256; what the journal remembers; what was
    # seen of boot stores, which lie on other volumes and which no repair of this one changes.
    supply: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    machine: Mapping[str, object] = field(default_factory=dict, repr=False)
    stores: tuple[BootStore | BootProblem, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """What a verb found and did: rendered as text and as JSON (docs/report-schema.md)."""

    verb: str
    installations: tuple[InstallReport, ...] = ()
    gaps: tuple[Gap, ...] = ()
    exit_code: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)
