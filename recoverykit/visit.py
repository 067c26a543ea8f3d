"""Look at every installation of a target, read-only: what stands behind find, diagnose and check.

Volumes are opened read-only, one after the other; what cannot be opened becomes a Gap of the
report, and one broken installation does not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from recoverykit import installs, proposal, reopening, report
from recoverykit.boot import check as boot_check
from recoverykit.code_integrity import lists
from recoverykit.diagnosis import aftermath, escalation, verdict
from recoverykit.errors import FormatError, NoCulpritError, RecoveryKitError, TargetRefusedError
from recoverykit.evidence import collect, collect_for_a_start
from recoverykit.host import disks, mounts, ntfs
from recoverykit.model import (
    BootProblem,
    BootStore,
    CheckLine,
    Diagnosis,
    Evidence,
    FileSystem,
    Gap,
    InstallReport,
    Kind,
    LogPolicy,
    NtfsState,
    Report,
    Source,
    Survey,
    Verdict,
    Volume,
    WindowsInstall,
)
from recoverykit.proposal import NONE, Choices
from recoverykit.repair import memory, transaction
from recoverykit.vouching import Judge

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
    choices: Choices = NONE  # what a person decided on


DEFAULT = Options()

_OF_STORES = (BootStore, BootProblem)
_FAULTS = 6  # exit code of a boot check that failed
_SMALL = 1 << 30  # Windows makes its "System Reserved" 50 to 600 MiB


def survey(target: Path | None, options: Options) -> Survey:
    options.say("Looking for disks and volumes")
    return disks.survey(target, exclude=options.exclude)


def visit(
    survey: Survey, look: Look, options: Options
) -> tuple[tuple[InstallReport, ...], tuple[Gap, ...], tuple[str, ...]]:
    entries: list[InstallReport] = []
    gaps = list(survey.gaps)
    for volume in survey.volumes:
        if not can_be_read(volume):
            if volume.refusal:
                gaps.append(Gap(Source(volume.name), volume.refusal, closed=True))
            continue
        try:
            seen, missed = _visit_volume(volume, look, options)
        except RecoveryKitError as exc:
            reason = reopening.explained(volume, exc) or sentence(exc)
            gaps.append(Gap(Source(volume.name), reason, closed=True))
            continue
        entries += seen
        gaps += missed
    return tuple(entries), tuple(gaps), ()


def can_be_read(volume: Volume) -> bool:
    if volume.disk is None:
        return True  # a folder: whoever mounted it can read it
    # The EFI system partition holds boot files, never a Windows.
    readable = volume.filesystem in (FileSystem.NTFS, FileSystem.FAT) and not volume.is_esp
    return readable and not volume.disk.member_of


def _visit_volume(
    volume: Volume, look: Look, options: Options
) -> tuple[list[InstallReport], list[Gap]]:
    options.say(f"Reading {volume.name}")
    with mounts.opened(volume) as mount:
        found, gaps = installs.find(volume, mount)
        state = ntfs_state(volume) if found else None
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
        return InstallReport(install, error=sentence(exc), exit_code=exc.exit_code)


def ntfs_state(volume: Volume) -> NtfsState | None:
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


def name_only(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
    return InstallReport(install)


def examiner(seen: Survey, options: Options) -> Look:
    """Evidence, verdict, and the plan or the refusals that follow from it.

    With the volumes beside an installation: its boot files lie on one of them.
    """

    def look(install: WindowsInstall, state: NtfsState | None) -> InstallReport:
        with boot_volumes_of(install.volume, seen, options) as (opened, gaps):
            found = (*collect(install, opened, seen.volumes), *gaps)
            return _examined(install, state, found, options, opened)

    return look


@contextmanager
def boot_volumes_of(
    own: Volume, seen: Survey, options: Options
) -> Iterator[tuple[list[tuple[Volume, Path]], list[Gap]]]:
    """The other volumes of the same disk that may hold boot files, opened read-only."""
    opened: list[tuple[Volume, Path]] = []
    gaps: list[Gap] = []
    with ExitStack() as stack:
        for volume in seen.volumes:
            if not _may_hold_boot_files(volume, own):
                continue
            options.say(f"Reading the boot files on {volume.name}")
            try:
                opened.append((volume, stack.enter_context(mounts.opened(volume))))
            except RecoveryKitError as exc:
                reason = f"whether it holds boot files is not known: {sentence(exc)}"
                gaps.append(Gap(Source(volume.name), reason))
        yield opened, gaps


def _may_hold_boot_files(volume: Volume, own: Volume) -> bool:
    """The EFI system partition, or a small volume like the "System Reserved" of BIOS machines."""
    if volume.disk is None or volume.disk != own.disk or volume == own or volume.disk.member_of:
        return False
    if volume.filesystem not in (FileSystem.FAT, FileSystem.NTFS):
        return False
    return volume.is_esp or volume.size <= _SMALL


def examiner_of_one(options: Options) -> Look:
    """The same with nothing but the installation's own volume at hand."""

    def look(install: WindowsInstall, state: NtfsState | None) -> InstallReport:
        return _examined(install, state, collect(install), options, ())

    return look


def _examined(
    install: WindowsInstall,
    state: NtfsState | None,
    found: Sequence[Evidence],
    options: Options,
    boot_volumes: Sequence[tuple[Volume, Path]],
) -> InstallReport:
    """An unclean journal is evidence, too: a boot began and did not end."""
    evidence = (*found, *((state,) if state else ()))
    diagnosis = verdict.judge(install, evidence)
    entry = InstallReport(install, diagnosis=diagnosis, exit_code=_diagnosis_code(diagnosis))
    blocked = interrupted(entry)
    if blocked is not None:
        return blocked
    entry = _judged(replace(entry, notes=_standing(install)), diagnosis, evidence)
    judge = judge_of(install, options, boot_volumes)
    entry = proposal.propose(entry, evidence, options.choices, judge)
    if entry.plan is None:
        return entry
    entry = replace(entry, machine=memory.of(evidence, diagnosis))
    return with_checks(entry, evidence, options, judge)


def judge_of(
    install: WindowsInstall, options: Options, boot_volumes: Sequence[tuple[Volume, Path]] = ()
) -> Judge:
    """Who says whose signatures this Windows takes: its own state, and what the medium carries."""
    return Judge(install, boot_volumes, options.choices.trust, own=lists.carried())


def interrupted(entry: InstallReport) -> InstallReport | None:
    """The entry with what has to be done first, where an earlier repair was left half done."""
    left = transaction.abandoned(entry.install.mount)
    if left is None:
        return None
    note = (
        f"An earlier repair ({left.id}) was interrupted. Take it back first: "
        f"recoverykit undo --transaction {left.id}"
    )
    return replace(entry, notes=(note,), transaction=left.id)


def _judged(
    entry: InstallReport, diagnosis: Diagnosis, evidence: Sequence[Evidence]
) -> InstallReport:
    """What became of our earlier repairs, and nobody blamed whom one of them already acted on."""
    earlier = memory.applied(entry.install)
    seen = aftermath.judge(earlier, evidence)
    judged = escalation.escalate(diagnosis, seen, earlier)
    return replace(entry, diagnosis=judged, aftermath=seen, exit_code=_diagnosis_code(judged))


def _standing(install: WindowsInstall) -> tuple[str, ...]:
    """Our own earlier repairs: without them, what is seen now cannot be understood."""
    return tuple(
        f"An earlier repair stands: {info.summary} (transaction {info.id})."
        for info in transaction.history(install.mount)
        if info.state == "committed"
    )


def _diagnosis_code(diagnosis: Diagnosis) -> int:
    if diagnosis.kind is Kind.HIVE:
        return FormatError.exit_code
    if diagnosis.kind is Kind.UNKNOWN:
        return NoCulpritError.exit_code
    proven = any(item.verdict is Verdict.CULPRIT for item in diagnosis.suspects)
    return 0 if proven or diagnosis.kind is Kind.HEALTHY else NoCulpritError.exit_code


def checker(seen: Survey, options: Options) -> Look:
    """The boot check, with the volumes beside an installation."""

    def look(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
        with boot_volumes_of(install.volume, seen, options) as (opened, gaps):
            found = (*collect_for_a_start(install, opened, seen.volumes), *gaps)
            lines = _lines(install, found, judge_of(install, options, opened))
        failed = any(line.ok is False for line in lines)
        return InstallReport(install, checks=lines, exit_code=_FAULTS if failed else 0)

    return look


def with_checks(
    entry: InstallReport,
    evidence: Sequence[Evidence],
    options: Options = DEFAULT,
    judge: Judge | None = None,
) -> InstallReport:
    """The entry with the boot check as things are, and what `lines_after` has to know of it."""
    options.say("Checking what a start needs")
    return replace(
        entry,
        checks=_lines(entry.install, evidence, judge or judge_of(entry.install, options)),
        stores=tuple(item for item in evidence if isinstance(item, _OF_STORES)),
    )


def lines_after(
    entry: InstallReport, install: WindowsInstall, options: Options
) -> tuple[CheckLine, ...]:
    """The boot check as the disk stands now, read from the installation's own volume.

    Of boot stores and boot managers, which no repair of this volume changes, it says what `entry`
    says: the volumes they lie on are not opened again.
    """
    found = (item for item in collect_for_a_start(install) if not isinstance(item, _OF_STORES))
    lines = _lines(install, (*found, *entry.stores), judge_of(install, options))
    return boot_check.with_stores_of(entry.checks, lines)


def _lines(
    install: WindowsInstall, evidence: Sequence[Evidence], judge: Judge
) -> tuple[CheckLine, ...]:
    return boot_check.check(install, evidence, boot_volumes=judge.boot_volumes, judge=judge)


def list_history(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
    return InstallReport(install, history=transaction.history(install.mount))


# --- reports ------------------------------------------------------------------------------

# When several things went wrong, the worst tells the exit code: a disk that differs unplanned
# first, a machine where simply nothing was found last.
_SEVERITY = (30, 4, 1, 20, 2, 10, 5, 6, 3, 0)


def summarise(
    verb: str,
    entries: tuple[InstallReport, ...],
    gaps: tuple[Gap, ...] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    codes = [entry.exit_code for entry in entries]
    if not entries:
        # Something is there but closed to us, or there is nothing: two different answers.
        closed = any(gap.closed for gap in gaps)
        codes = [TargetRefusedError.exit_code if closed else NoCulpritError.exit_code]
    return Report(verb, entries, gaps, worst(codes), notes)


def worst(codes: Iterable[int]) -> int:
    """The exit code that says most of several."""
    return min(codes, key=lambda code: _SEVERITY.index(code) if code in _SEVERITY else 0)


def sentence(exc: RecoveryKitError) -> str:
    return f"{exc} ({exc.hint})" if exc.hint else str(exc)
