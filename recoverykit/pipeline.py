"""The verbs: find, diagnose, repair, undo, check, history. Each takes a target, returns a Report.

Everything is read-only until `_apply` and `undo`: volumes are opened read-only, what was found is
shown, and only then is a volume opened for writing, after its state was looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from recoverykit import installs, reopening, report, report_json
from recoverykit.boot import check as boot_check
from recoverykit.errors import (
    NoCulpritError,
    RecoveryKitError,
    RollbackError,
    RolledBackError,
    TargetRefusedError,
    UnverifiedError,
    UsageError,
)
from recoverykit.host import mounts, ntfs
from recoverykit.model import (
    CheckLine,
    EditHive,
    InstallReport,
    LogPolicy,
    NtfsState,
    Outcome,
    Plan,
    Report,
    TransactionInfo,
    Volume,
    WindowsInstall,
)
from recoverykit.repair import transaction
from recoverykit.repair import undo as undoing
from recoverykit.visit import (
    DEFAULT,
    Look,
    Options,
    checker,
    examiner,
    examiner_of_one,
    lines_after,
    list_history,
    name_only,
    ntfs_state,
    sentence,
    summarise,
    survey,
    visit,
)

Proof = Callable[[WindowsInstall], tuple[str, ...]]


def _proven(_: WindowsInstall) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Job:
    """What is carried out, beside the plans."""

    verb: str = "repair"
    look: Look | None = None  # what planned it; None: `diagnose`
    proof: Proof = _proven  # what must hold afterwards and does not, or all is put back
    boots: bool = True  # whether the boot check must not find more than before


# --- the verbs ----------------------------------------------------------------------------


def find(target: Path | None, options: Options = DEFAULT) -> Report:
    """Name every Windows installation on the target. Changes nothing."""
    return summarise("find", *visit(survey(target, options), name_only, options))


def diagnose(target: Path | None, options: Options = DEFAULT) -> Report:
    """Say what keeps each installation from starting, and what a repair would do."""
    seen = survey(target, options)
    return summarise("diagnose", *visit(seen, examiner(seen, options), options))


def check(target: Path | None, options: Options = DEFAULT) -> Report:
    """Walk the loader's job offline, line by line."""
    seen = survey(target, options)
    return summarise("check", *visit(seen, checker(seen, options), options))


def history(target: Path | None, options: Options = DEFAULT) -> Report:
    """List the transactions of earlier repairs."""
    return summarise("history", *visit(survey(target, options), list_history, options))


def repair(target: Path | None, options: Options = DEFAULT) -> Report:
    """Diagnose, then act on each installation whose culprit is proven and may be touched."""
    return carry_out(diagnose(target, options), options)


def carry_out(found: Report, options: Options, job: Job | None = None) -> Report:
    """Act on what `job.look` planned: the plans a person has seen, and no others."""
    job = job or Job()
    entries = tuple(_act(entry, options, job) for entry in found.installations)
    return summarise(job.verb, entries, found.gaps, found.notes)


def undo(
    target: Path | None, transaction_id: str | None = None, options: Options = DEFAULT
) -> Report:
    """Take one repair back: the named one, or the newest that is not yet undone."""
    seen = _reopened(target, options)
    if not seen.installations:
        return replace(seen, verb="undo")
    entry, info = _choose(seen.installations, transaction_id)
    return summarise("undo", (_undo(entry, info, options),), seen.gaps, seen.notes)


def undo_all(target: Path | None, options: Options = DEFAULT) -> Report:
    """Take every repair of ours back, the newest first; the first that cannot be ends it."""
    seen = _reopened(target, options)
    if not seen.installations:
        return replace(seen, verb="undo")
    done: list[InstallReport] = []
    for name in sorted(_open_ones(seen.installations), reverse=True):
        entry, info = _choose(seen.installations, name)
        done.append(_undo(entry, info, options))
        if done[-1].outcome is not Outcome.UNDONE:
            break
    if not done:
        raise _nothing_to_undo()
    return summarise("undo", tuple(done), seen.gaps, seen.notes)


def reopen(target: Path | None, options: Options = DEFAULT) -> tuple[str, ...]:
    """Put right every volume that an interrupted repair shut; what was done, in sentences.

    Unattended only on internal disks, else after a yes. Raises RecoveryKitError.
    """
    done: list[str] = []
    for volume in survey(target, options).volumes:
        if reopening.is_shut(volume) and _may_reopen(volume, options):
            with mounts.write_check(volume):
                done += (f"{volume.name}: {text}" for text in reopening.put_right(volume))
    return tuple(done)


def _may_reopen(volume: Volume, options: Options) -> bool:
    if options.dry_run:
        return False
    if options.unattended:
        return volume.disk is not None and not volume.disk.removable
    return options.ask is not None and options.ask(reopening.QUESTION.format(name=volume.name))


def _reopened(target: Path | None, options: Options) -> Report:
    """The history, of volumes too that an interrupted repair had shut."""
    done = reopen(target, options)
    seen = history(target, options)
    return replace(seen, notes=(*seen.notes, *done))


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


# --- acting -------------------------------------------------------------------------------


def _act(entry: InstallReport, options: Options, job: Job) -> InstallReport:
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
    if not options.unattended and options.ask is None:
        return _unasked(entry)
    if not options.unattended and not _confirmed(entry, options):
        return replace(entry, outcome=Outcome.REFUSED, notes=(*entry.notes, "You said no."))
    try:
        return _apply(entry, options, job)
    except RecoveryKitError as exc:
        return replace(entry, outcome=_outcome(exc), error=sentence(exc), exit_code=exc.exit_code)


def _unasked(entry: InstallReport) -> InstallReport:
    """A script must not take this for success."""
    return replace(
        entry,
        outcome=Outcome.REFUSED,
        error="There is nobody here to say yes: use --yes, or run it at a terminal without --json.",
        exit_code=TargetRefusedError.exit_code,
    )


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
    title = entry.plan.title[:1].upper() + entry.plan.title[1:]
    return options.ask(f"{title} on {report.describe(entry.install)}?")


def _outcome(exc: RecoveryKitError) -> Outcome:
    if isinstance(exc, RollbackError | UnverifiedError):
        return Outcome.UNVERIFIED
    if isinstance(exc, RolledBackError):
        return Outcome.ROLLED_BACK
    return Outcome.REFUSED if isinstance(exc, TargetRefusedError) else Outcome.FAILED


def _apply(entry: InstallReport, options: Options, job: Job) -> InstallReport:
    with _writable(entry.install.volume, options) as opened:
        install = _same_install(entry, opened.mount)
        fresh = entry
        if opened.before is not None and opened.before.log_unclean:
            look = job.look or examiner_of_one(options)
            fresh = _still_planned(entry, install, opened.before, options, look)
        if fresh.plan is None:
            raise TargetRefusedError(f"{entry.install.root}: there is no plan to apply.")
        options.say(f"Repairing {report.describe(install)}")
        written = report_json.to_json(summarise("repair", (fresh,))).encode()
        proof = _Proof(fresh, install, job, options)
        # Refuses by itself when a file is no longer what the plan saw.
        info = transaction.apply(
            install,
            fresh.plan,
            now=datetime.now(UTC),
            report=written,
            supply=fresh.supply,
            proof=proof.problems,
            machine=fresh.machine or None,
        )
    options.say("Reading the result from the disk")
    _proved(entry.install, info)
    return replace(
        entry,
        outcome=Outcome.APPLIED,
        transaction=info.id,
        plan=fresh.plan,
        plan_digest=fresh.plan_digest,
        checks=fresh.checks,
        checks_after=proof.after,
        notes=(*opened.done, f"To take it back: recoverykit undo --transaction {info.id}"),
        exit_code=0,
    )


class _Proof:
    """The boot check after a change: nothing may fail that did not fail before."""

    def __init__(
        self, entry: InstallReport, install: WindowsInstall, job: Job, options: Options
    ) -> None:
        self._entry, self._install = entry, install
        self._job, self._options = job, options
        self.after: tuple[CheckLine, ...] = ()

    def problems(self) -> tuple[str, ...]:
        if not self._job.boots:
            return self._job.proof(self._install)
        self._options.say("Checking again what a start needs")
        self.after = lines_after(self._entry, self._install, self._options)
        return (*boot_check.worse(self._entry.checks, self.after), *self._job.proof(self._install))


def _still_planned(
    shown: InstallReport,
    install: WindowsInstall,
    before: NtfsState,
    options: Options,
    look: Look,
) -> InstallReport:
    """A replayed $LogFile may have changed what the plan saw: look and plan again.

    Hashes of files may differ then, never what would be done to which of them.
    """
    options.say("Looking again at what the replayed journal brought back")
    fresh = look(install, before)
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
        plan.title.casefold(),
        *(item if isinstance(item, EditHive) else (type(item), item.path) for item in plan.actions),
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
        before = ntfs_state(volume)
        done = ntfs.make_ready(volume, policy=policy, ask=options.ask) + reopening.put_right(volume)
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
    open_ones = _open_ones(entries)
    if wanted is not None and wanted not in open_ones:
        known = ", ".join(sorted(open_ones)) or "none"
        raise UsageError(
            f"there is no transaction {wanted} that could be undone", hint=f"there are: {known}"
        )
    if not open_ones:
        raise _nothing_to_undo()
    return open_ones[wanted or max(open_ones)]


def _open_ones(
    entries: Sequence[InstallReport],
) -> dict[str, tuple[InstallReport, TransactionInfo]]:
    return {
        info.id: (entry, info)
        for entry in entries
        for info in entry.history
        if info.state != "undone"
    }


def _nothing_to_undo() -> NoCulpritError:
    return NoCulpritError("there is no repair of ours on this target that could be undone")


def _undo(entry: InstallReport, info: TransactionInfo, options: Options) -> InstallReport:
    question = f"Take back transaction {info.id} ({info.summary})?"
    if not options.unattended and options.ask is None:
        return _unasked(entry)
    if not options.unattended and not (options.ask and options.ask(question)):
        return replace(entry, outcome=Outcome.REFUSED, notes=("You said no.",))
    options.say(f"Undoing {info.id}")
    try:
        with _writable(entry.install.volume, options) as opened:
            undone = undoing.undo(opened.mount, info.id)
    except RecoveryKitError as exc:
        return replace(entry, outcome=_outcome(exc), error=sentence(exc), exit_code=exc.exit_code)
    return replace(
        entry,
        outcome=Outcome.UNDONE,
        transaction=undone.id,
        notes=opened.done,
        history=(),
        exit_code=0,
    )
