"""The verbs: find, diagnose, repair, undo, check, history. Each takes a target, returns a Report.

Everything is read-only until `_apply` and `undo`: volumes are opened read-only, what was found is
shown, and only then is a volume opened for writing, after its state was looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from recoverykit import installs, report
from recoverykit.boot import check as boot_check
from recoverykit.diagnosis import verdict
from recoverykit.errors import (
    FormatError,
    NoCulpritError,
    RecoveryKitError,
    RollbackError,
    TargetRefusedError,
    UnverifiedError,
    UsageError,
)
from recoverykit.evidence import collect
from recoverykit.host import disks, mounts, ntfs
from recoverykit.model import (
    Diagnosis,
    Evidence,
    FileSystem,
    Gap,
    InstallReport,
    Kind,
    LogPolicy,
    NtfsState,
    Outcome,
    Plan,
    QuarantineFile,
    Refusal,
    Report,
    Source,
    Survey,
    Suspect,
    TransactionInfo,
    Verdict,
    Volume,
    WindowsInstall,
)
from recoverykit.repair import plan as planning
from recoverykit.repair import transaction
from recoverykit.repair import undo as undoing

Say = Callable[[str], None]
Ask = Callable[[str], bool]
Look = Callable[[WindowsInstall, NtfsState | None], InstallReport]


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller wants of a verb, beside its target."""

    unattended: bool = False  # nobody watches: internal disks only, no questions
    dry_run: bool = False
    ntfs_log: LogPolicy = LogPolicy.ASK
    exclude: frozenset[str] = frozenset()  # devices of the medium we run from
    expected_digest: str = ""  # apply only a plan with this digest (exported before)
    say: Say = field(default=_silent)  # progress, one short line each
    ask: Ask | None = None  # yes or no; None: nobody to ask


DEFAULT = Options()

_ESP = ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef")  # UEFI specification, sections 5.2, 5.3

# When several things went wrong, the worst tells the exit code: a disk that differs unplanned
# first, a machine where simply nothing was found last.
_SEVERITY = (30, 4, 1, 20, 2, 10, 5, 6, 3, 0)


# --- the verbs ----------------------------------------------------------------------------


def find(target: Path | None, options: Options = DEFAULT) -> Report:
    """Name every Windows installation on the target. Changes nothing."""
    return _report("find", *_visit(_survey(target, options), _name, options))


def diagnose(target: Path | None, options: Options = DEFAULT) -> Report:
    """Say what keeps each installation from starting, and what a repair would do."""
    return _report("diagnose", *_visit(_survey(target, options), _examine, options))


def check(target: Path | None, options: Options = DEFAULT) -> Report:
    """Walk the loader's job offline, line by line."""
    return _report("check", *_visit(_survey(target, options), _check, options))


def history(target: Path | None, options: Options = DEFAULT) -> Report:
    """List the transactions of earlier repairs."""
    return _report("history", *_visit(_survey(target, options), _history, options))


def repair(target: Path | None, options: Options = DEFAULT) -> Report:
    """Diagnose, then act on each installation whose culprit is proven and may be touched."""
    return carry_out(diagnose(target, options), options)


def carry_out(found: Report, options: Options) -> Report:
    """Act on what `diagnose` reported: the plans a person has seen, and no others."""
    entries = tuple(_act(entry, options) for entry in found.installations)
    return _report("repair", entries, found.gaps, found.notes)


def undo(
    target: Path | None, transaction_id: str | None = None, options: Options = DEFAULT
) -> Report:
    """Take one repair back: the named one, or the newest that is not yet undone."""
    seen = history(target, options)
    if not seen.installations:
        return replace(seen, verb="undo")
    entry, info = _choose(seen.installations, transaction_id)
    return _report("undo", (_undo(entry, info, options),), seen.gaps, seen.notes)


def take_back_interrupted(
    target: Path | None, found: Report, options: Options = DEFAULT
) -> tuple[Report, ...]:
    """Undo what `diagnose` found half done, one report each; nothing was left: nothing is done.

    A repair that lost its power in the middle blocks the next one until this has been done.
    """
    return tuple(
        undo(target, entry.transaction, options)
        for entry in found.installations
        if entry.transaction and entry.outcome is None
    )


# --- looking ------------------------------------------------------------------------------


def _survey(target: Path | None, options: Options) -> Survey:
    options.say("Looking for disks and volumes")
    return disks.survey(target, exclude=options.exclude)


def _visit(
    survey: Survey, look: Look, options: Options
) -> tuple[tuple[InstallReport, ...], tuple[Gap, ...], tuple[str, ...]]:
    entries: list[InstallReport] = []
    gaps = list(survey.gaps)
    for volume in survey.volumes:
        if not _can_be_read(volume):
            if volume.refusal:
                gaps.append(Gap(Source(volume.name), volume.refusal))
            continue
        try:
            seen, missed = _visit_volume(volume, look, options)
        except RecoveryKitError as exc:
            gaps.append(Gap(Source(volume.name), _sentence(exc)))
            continue
        entries += seen
        gaps += missed
    return tuple(entries), tuple(gaps), ()


def _can_be_read(volume: Volume) -> bool:
    if volume.disk is None:
        return True  # a folder: whoever mounted it can read it
    # The EFI system partition holds boot files, never a Windows.
    readable = volume.filesystem in (FileSystem.NTFS, FileSystem.FAT) and volume.type not in _ESP
    return readable and not volume.disk.member_of


def _visit_volume(
    volume: Volume, look: Look, options: Options
) -> tuple[list[InstallReport], list[Gap]]:
    options.say(f"Reading {volume.name}")
    with mounts.opened(volume) as mount:
        found, gaps = installs.find(volume, mount)
        state = _state(volume) if found else None
        entries = [_guarded(look, install, state, options) for install in found]
    notes = _state_notes(state) if state else ()
    return [replace(entry, notes=(*entry.notes, *notes)) for entry in entries], gaps


def _guarded(
    look: Look, install: WindowsInstall, state: NtfsState | None, options: Options
) -> InstallReport:
    """One broken installation must not hide the others."""
    options.say(f"Examining {report.describe(install)}")
    try:
        return look(install, state)
    except RecoveryKitError as exc:
        return InstallReport(install, error=_sentence(exc), exit_code=exc.exit_code)


def _state(volume: Volume) -> NtfsState | None:
    """None for what has no such state, or where others look after it: FAT, a mounted folder."""
    if volume.filesystem is not FileSystem.NTFS or volume.disk is None:
        return None
    return ntfs.state(volume)


def _state_notes(state: NtfsState) -> tuple[str, ...]:
    notes = []
    if state.hibernated:
        notes.append(
            "Windows is hibernated on this volume (or Fast Startup is on): it can be read, "
            "but a repair will be refused until Windows was shut down fully."
        )
    if state.log_unclean:
        notes.append(
            "The volume's journal ($LogFile) holds changes of the crash that were not replayed: "
            "what is shown may be a moment old. A repair replays it first."
        )
    if state.dirty:
        notes.append("The volume is marked dirty: Windows will run chkdsk at its next start.")
    return tuple(notes)


def _name(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
    return InstallReport(install)


def _examine(install: WindowsInstall, state: NtfsState | None) -> InstallReport:
    """Evidence, verdict, and the plan or the refusals that follow from it.

    An unclean journal is evidence, too: a boot began and did not end.
    """
    evidence = (*collect(install), *((state,) if state else ()))
    diagnosis = verdict.judge(install, evidence)
    entry = InstallReport(install, diagnosis=diagnosis, exit_code=_diagnosis_code(diagnosis))
    left = transaction.abandoned(install.mount)
    if left is not None:
        note = (
            f"An earlier repair ({left.id}) was interrupted. Take it back first: "
            f"recoverykit undo --transaction {left.id}"
        )
        return replace(entry, notes=(note,), transaction=left.id)
    return _planned(replace(entry, notes=_standing(install)), evidence)


def _standing(install: WindowsInstall) -> tuple[str, ...]:
    """Our own earlier repairs: without them, what is seen now cannot be understood."""
    return tuple(
        f"An earlier repair stands: {info.summary} (transaction {info.id})."
        for info in transaction.history(install.mount)
        if info.state == "committed"
    )


def _planned(entry: InstallReport, evidence: Sequence[Evidence]) -> InstallReport:
    if entry.diagnosis is None:
        return entry
    culprits = [item for item in entry.diagnosis.suspects if item.verdict is Verdict.CULPRIT]
    if len(culprits) != 1:
        return entry
    made = _plan(entry.install, culprits[0], evidence)
    if isinstance(made, Refusal):
        return replace(entry, refusals=(made,))
    return replace(entry, plan=made, plan_digest=planning.digest(made))


def _plan(
    install: WindowsInstall, suspect: Suspect, evidence: Sequence[Evidence]
) -> Plan | Refusal:
    hive, _ = installs.read_hive(install, install.system_hive)
    return planning.make(install, suspect, evidence, hive)


def _diagnosis_code(diagnosis: Diagnosis) -> int:
    if diagnosis.kind is Kind.HIVE:
        return FormatError.exit_code
    if diagnosis.kind is Kind.UNKNOWN:
        return NoCulpritError.exit_code
    proven = any(item.verdict is Verdict.CULPRIT for item in diagnosis.suspects)
    return 0 if proven or diagnosis.kind is Kind.HEALTHY else NoCulpritError.exit_code


def _check(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
    lines = boot_check.check(install, collect(install))
    failed = any(line.ok is False for line in lines)
    return InstallReport(install, checks=lines, exit_code=6 if failed else 0)


def _history(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
    return InstallReport(install, history=transaction.history(install.mount))


# --- acting -------------------------------------------------------------------------------


def _act(entry: InstallReport, options: Options) -> InstallReport:
    """What becomes of one diagnosed installation."""
    refused = _reason_not_to(entry, options)
    if refused:
        return replace(
            entry, outcome=Outcome.REFUSED, error=refused, exit_code=TargetRefusedError.exit_code
        )
    if entry.plan is None:
        return replace(entry, outcome=Outcome.NOTHING_TO_DO)
    if options.dry_run:
        return replace(entry, outcome=Outcome.PLANNED)
    if not options.unattended and not _confirmed(entry, options):
        return replace(entry, outcome=Outcome.REFUSED, notes=(*entry.notes, "You said no."))
    try:
        return _apply(entry, options)
    except RecoveryKitError as exc:
        return replace(entry, outcome=_outcome(exc), error=_sentence(exc), exit_code=exc.exit_code)


def _reason_not_to(entry: InstallReport, options: Options) -> str:
    if entry.refusals:
        return entry.refusals[0].reason
    volume = entry.install.volume
    if entry.plan is None:
        return entry.notes[0] if entry.transaction else ""
    if options.expected_digest and options.expected_digest != entry.plan_digest:
        return "This disk is no longer what the given plan was made for."
    if volume.refusal:
        return volume.refusal
    if options.unattended and volume.disk is not None and volume.disk.removable:
        return f"{volume.name} is on a removable disk: unattended repair writes to internal ones."
    return ""


def _confirmed(entry: InstallReport, options: Options) -> bool:
    if options.ask is None or entry.plan is None:
        return False
    return options.ask(f"Quarantine {entry.plan.driver} on {report.describe(entry.install)}?")


def _outcome(exc: RecoveryKitError) -> Outcome:
    if isinstance(exc, RollbackError | UnverifiedError):
        return Outcome.UNVERIFIED
    return Outcome.REFUSED if isinstance(exc, TargetRefusedError) else Outcome.FAILED


def _apply(entry: InstallReport, options: Options) -> InstallReport:
    with _writable(entry.install.volume, options) as opened:
        install = _same_install(entry, opened.mount)
        fresh = entry
        if opened.before is not None and opened.before.log_unclean:
            fresh = _still_planned(entry, install, opened.before, options)
        if fresh.plan is None:
            raise TargetRefusedError(f"{entry.install.root}: there is no plan to apply.")
        options.say(f"Repairing {report.describe(install)}")
        written = report.to_json(_report("repair", (fresh,))).encode()
        # Refuses by itself when a file is no longer what the plan saw.
        info = transaction.apply(install, fresh.plan, now=datetime.now(UTC), report=written)
    options.say("Reading the result from the disk")
    _proved(entry.install, info)
    return replace(
        entry,
        outcome=Outcome.APPLIED,
        transaction=info.id,
        plan=fresh.plan,
        plan_digest=fresh.plan_digest,
        notes=(*opened.done, f"To take it back: recoverykit undo --transaction {info.id}"),
        exit_code=0,
    )


def _still_planned(
    shown: InstallReport, install: WindowsInstall, before: NtfsState, options: Options
) -> InstallReport:
    """A replayed $LogFile may have changed what the plan saw: look and plan again.

    Hashes of files may differ then, never what would be done to which of them.
    """
    options.say("Looking again at what the replayed journal brought back")
    fresh = _examine(install, before)
    if shown.plan is None or fresh.plan is None or _deeds(fresh.plan) != _deeds(shown.plan):
        raise TargetRefusedError(
            f"{install.root} is no longer what the plan saw; beside the replay of its journal "
            "nothing was changed.",
            hint="Diagnose it again and look at the new plan.",
        )
    return fresh


def _deeds(plan: Plan) -> tuple[object, ...]:
    """What a plan does to what, without the contents it found there."""
    return (
        plan.driver.casefold(),
        *(
            (item.path,)
            if isinstance(item, QuarantineFile)
            else (item.hive, item.key, item.name, item.after)
            for item in plan.actions
        ),
    )


def _same_install(entry: InstallReport, mount: Path) -> WindowsInstall:
    found, _ = installs.find(entry.install.volume, mount)
    for install in found:
        if install.folder == entry.install.folder:
            return install
    raise TargetRefusedError(f"{entry.install.root} was not found again; nothing was changed.")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A volume mounted for writing, and what had to be done to it before."""

    mount: Path
    before: NtfsState | None  # as it was found
    done: tuple[str, ...]  # in sentences


@contextmanager
def _writable(volume: Volume, options: Options) -> Iterator[_Opened]:
    policy = options.ntfs_log
    if options.unattended and policy is LogPolicy.ASK:
        policy = LogPolicy.REFUSE
    options.say(f"Making sure that {volume.name} may be written to")
    with mounts.write_check(volume):
        before = _state(volume)
        done = ntfs.make_ready(volume, policy=policy, ask=options.ask)
    options.say(f"Opening {volume.name} for writing")
    with mounts.opened(volume, writable=True) as mount:
        yield _Opened(mount, before, done)


def _proved(install: WindowsInstall, info: TransactionInfo) -> None:
    """Mounted anew and read-only: the transaction stands, committed, on the disk itself."""
    with mounts.opened(install.volume) as mount:
        states = {seen.id: seen.state for seen in transaction.history(mount)}
    if states.get(info.id) != "committed":
        raise UnverifiedError(
            f"transaction {info.id} was applied to {install.root}, but after mounting it again it "
            f"reads as {states.get(info.id, 'absent')}",
            hint="Run 'recoverykit history' and, if it is listed, 'recoverykit undo'.",
        )


# --- undo ---------------------------------------------------------------------------------


def _choose(
    entries: Sequence[InstallReport], wanted: str | None
) -> tuple[InstallReport, TransactionInfo]:
    open_ones = {
        info.id: (entry, info)
        for entry in entries
        for info in entry.history
        if info.state != "undone"
    }
    if wanted is not None and wanted not in open_ones:
        known = ", ".join(sorted(open_ones)) or "none"
        raise UsageError(
            f"there is no transaction {wanted} that could be undone", hint=f"there are: {known}"
        )
    if not open_ones:
        raise NoCulpritError("there is no repair of ours on this target that could be undone")
    return open_ones[wanted or max(open_ones)]


def _undo(entry: InstallReport, info: TransactionInfo, options: Options) -> InstallReport:
    question = f"Take back transaction {info.id} ({info.summary})?"
    if not options.unattended and not (options.ask and options.ask(question)):
        return replace(entry, outcome=Outcome.REFUSED, notes=("You said no.",))
    options.say(f"Undoing {info.id}")
    try:
        with _writable(entry.install.volume, options) as opened:
            undone = undoing.undo(opened.mount, info.id)
    except RecoveryKitError as exc:
        return replace(entry, outcome=_outcome(exc), error=_sentence(exc), exit_code=exc.exit_code)
    return replace(
        entry,
        outcome=Outcome.UNDONE,
        transaction=undone.id,
        notes=opened.done,
        history=(),
        exit_code=0,
    )


# --- reports ------------------------------------------------------------------------------


def _report(
    verb: str,
    entries: tuple[InstallReport, ...],
    gaps: tuple[Gap, ...] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    codes = [entry.exit_code for entry in entries]
    if not entries:
        # Something is there but closed to us, or there is nothing: two different answers.
        codes = [TargetRefusedError.exit_code if gaps else NoCulpritError.exit_code]
    worst = min(codes, key=lambda code: _SEVERITY.index(code) if code in _SEVERITY else 0)
    return Report(verb, entries, gaps, worst, notes)


def _sentence(exc: RecoveryKitError) -> str:
    return f"{exc} ({exc.hint})" if exc.hint else str(exc)
