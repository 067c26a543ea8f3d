"""The verbs of `recoverykit reg`: look at a key, or change what an expert names.

Reading takes a Windows volume (disk, partition, image, mounted folder) or a hive file by itself.
Changing takes a volume only: there it is the same journalled transaction as any repair, with the
plan shown first, and `undo` takes it back. Hives are read with their logs, as Windows would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recoverykit import installs, pipeline, registry_names
from recoverykit.errors import (
    FormatError,
    NoCulpritError,
    RecoveryKitError,
    TargetRefusedError,
    UsageError,
)
from recoverykit.evidence import devices, drivers, services
from recoverykit.formats import reg_parse
from recoverykit.formats.hive import Hive, Key, fold
from recoverykit.formats.reg_text import RegKey
from recoverykit.formats.regf_log import Recovery
from recoverykit.model import (
    InstallReport,
    NtfsState,
    Outcome,
    RegistryData,
    Report,
    Service,
    StartType,
    WindowsInstall,
)
from recoverykit.registry_names import Place
from recoverykit.repair import guard, hives, plan_json, registry_plan, registry_risk, transaction
from recoverykit.repair.registry_plan import Changes
from recoverykit.report import printable
from recoverykit.visit import DEFAULT, Look, Options, summarise, survey, visit

_SIGNATURE = b"regf"
_EARLY = (StartType.BOOT, StartType.SYSTEM)
_MOST_NAMED = 5  # installations or gaps in one sentence


@dataclass(frozen=True, slots=True)
class Reading:
    """A key that was found, and the hive it lies in."""

    owner: str  # WindowsInstall.root, or the path of the hive file
    place: Place
    key: Key
    notes: tuple[str, ...]  # sentences: what the name was taken for, how the hive was recovered


@dataclass(frozen=True, slots=True)
class Asked:
    """What shall become of an installation's hives, decided from what they hold."""

    title: str  # for the history: "set Start of ControlSet001\\Services\\acme"
    edits: Mapping[str, Changes]  # by the hive's path
    hives: Mapping[str, Hive]
    notes: tuple[str, ...] = ()


Ask = Callable[[WindowsInstall], Asked]


# --- reading ------------------------------------------------------------------------------


def read(
    target: Path, name: str, options: Options = DEFAULT, *, wanted: str = "", as_is: bool = False
) -> Reading:
    """Find a key on a volume or in a hive file. Changes nothing.

    `wanted` is the root of the installation, where the target has several; `as_is` reads a dirty
    hive file without usable logs as it lies. Raises NoCulpritError for a key that is not there.
    """
    if is_hive(target):
        return _read_file(target, name, as_is=as_is)
    found: dict[str, Reading | RecoveryKitError] = {}

    def look(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
        if _is_wanted(install, wanted):
            found[install.root] = _tried(install, name)
        return InstallReport(install)

    entries, gaps, _ = visit(survey(target, options), look, options)
    if not entries:
        raise _nothing_there(target, summarise("reg get", (), gaps))
    reading = found[_chosen(entries, wanted).install.root]
    if isinstance(reading, RecoveryKitError):
        raise reading
    return reading


def is_hive(path: Path) -> bool:
    """Whether this is a hive file by itself. Raises nothing: what cannot be read is none."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def _tried(install: WindowsInstall, name: str) -> Reading | RecoveryKitError:
    """The error is kept: it belongs to the caller, not into a report."""
    try:
        place = registry_names.locate(install, name)
        loaded, recovery = _loaded(install, place.hive)
        notes = (*place.notes, *_recovery_notes(place.hive, recovery))
        return Reading(install.root, place, _key(loaded, place), notes)
    except RecoveryKitError as exc:
        return exc


def _loaded(install: WindowsInstall, hive: str) -> tuple[Hive, Recovery]:
    try:
        return installs.read_hive(install, hive)
    except OSError as exc:
        raise _unreadable(hive, exc) from exc


def _unreadable(path: object, exc: OSError) -> RecoveryKitError:
    return RecoveryKitError(f"{path} cannot be read: {exc.strerror or exc}")


def _key(loaded: Hive, place: Place) -> Key:
    key = loaded.find(place.key)
    if key is None:
        raise NoCulpritError(f"there is no key {place.name} in {place.hive}")
    return key


def _recovery_notes(hive: str, recovery: Recovery) -> tuple[str, ...]:
    if not recovery.recovered:
        return ()
    how = " ".join(text if text.endswith(".") else f"{text}." for text in recovery.applied)
    return (f"{hive} was in use when Windows stopped; its logs were applied in memory: {how}",)


def _read_file(path: Path, name: str, *, as_is: bool) -> Reading:
    try:
        loaded, recovery = hives.load(path)
        notes = _recovery_notes(path.name, recovery)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except FormatError as exc:
        if not as_is:
            hint = "If it is dirty and its logs are lost, --as-is reads it as it lies."
            raise FormatError(exc.structure, exc.offset, exc.problem, hint=hint) from exc
        loaded = Hive(path.read_bytes())
        notes = (f"{path.name} was read as it lies ({exc}): values may be stale or torn.",)
    place = registry_names.locate_in_file(path, loaded, name)
    return Reading(str(path), place, _key(loaded, place), (*place.notes, *notes))


# --- choosing an installation -------------------------------------------------------------


def _is_wanted(install: WindowsInstall, wanted: str) -> bool:
    return not wanted or install.root.casefold() == wanted.casefold()


def _chosen(entries: Sequence[InstallReport], wanted: str) -> InstallReport:
    """The one that is meant. Raises UsageError when that is not clear."""
    fitting = [entry for entry in entries if _is_wanted(entry.install, wanted)]
    if len(fitting) == 1:
        return fitting[0]
    roots = ", ".join(printable(entry.install.root) for entry in entries[:_MOST_NAMED])
    if wanted:
        raise UsageError(
            f"there is no installation {wanted} on this target", hint=f"It has {roots}."
        )
    raise UsageError(
        f"this target has {len(entries)} installations of Windows",
        hint=f"Say which one with --install: {roots}",
    )


def _nothing_there(target: Path, seen: Report) -> RecoveryKitError:
    reasons = " ".join(gap.reason for gap in seen.gaps[:_MOST_NAMED])
    message = f"no Windows installation was found on {target}"
    if seen.exit_code == TargetRefusedError.exit_code:
        return TargetRefusedError(f"{message}: {reasons}")
    return NoCulpritError(message, hint=reasons)


# --- changing -----------------------------------------------------------------------------


def plan(
    target: Path, verb: str, ask: Ask, options: Options = DEFAULT, *, wanted: str = ""
) -> Report:
    """What would be done, without doing it: a report with one plan, or the reason for none.

    Raises TargetRefusedError for a hive file by itself, UsageError when it is not clear which
    installation is meant.
    """
    if is_hive(target):
        raise TargetRefusedError(
            f"{target} is a hive by itself: it can be read, not changed, because there is no "
            "volume to keep a journal on",
            hint="Name the Windows volume, its image, or the folder it is mounted at.",
        )
    look = looking(ask, wanted)
    entries, gaps, notes = visit(survey(target, options), look, options)
    if entries:
        entries = (_chosen(entries, wanted),)
    return summarise(verb, entries, gaps, notes)


def carry_out(found: Report, ask: Ask, options: Options = DEFAULT) -> Report:
    """Do what `plan` showed, as one transaction that can be undone."""
    failed = [entry for entry in found.installations if entry.error]
    if failed:
        entries = tuple(replace(entry, outcome=_outcome(entry)) for entry in failed)
        return replace(found, installations=entries)
    return pipeline.carry_out(found, options, pipeline.Job(found.verb, looking(ask), boots=False))


def _outcome(entry: InstallReport) -> Outcome:
    """Of what could not even be planned."""
    refused = entry.exit_code == TargetRefusedError.exit_code
    return Outcome.REFUSED if refused else Outcome.FAILED


def looking(ask: Ask, wanted: str = "") -> Look:
    """What `visit` calls for each installation: read its hives and plan."""

    def look(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
        entry = InstallReport(install)
        if not _is_wanted(install, wanted):
            return entry
        left = transaction.abandoned(install.mount)
        if left is None:
            return _planned(entry, ask)
        note = (
            f"An earlier repair ({left.id}) was interrupted. Take it back first: "
            f"recoverykit undo --transaction {left.id}"
        )
        return replace(entry, notes=(note,), transaction=left.id)

    return look


def _planned(entry: InstallReport, ask: Ask) -> InstallReport:
    install = entry.install
    try:
        asked = ask(install)
        warnings = _warnings(install, asked)
        reason = " ".join(("It was asked for by name.", *warnings))
        made = registry_plan.make(install, asked.edits, title=asked.title, reason=reason)
    except OSError as exc:
        raise _unreadable(install.root, exc) from exc
    if made is None:
        note = "It is so already: nothing has to be changed."
        return replace(entry, notes=(*asked.notes, note))
    return replace(
        entry, plan=made, plan_digest=plan_json.digest(made), notes=(*asked.notes, *warnings)
    )


def setting(name: str, value: str, data: RegistryData, *, create: bool = False) -> Ask:
    """`reg set`: one value of one key; "" is the default value."""

    def ask(install: WindowsInstall) -> Asked:
        place = registry_names.locate(install, name)
        loaded, notes = _whole(install, place)
        changes = registry_plan.set_value(loaded, place.key, value, data, create=create)
        return _asked(f"set {value or '(default)'} of {place.name}", place, loaded, changes, notes)

    return ask


def deleting(name: str, value: str | None, *, tree: bool = False) -> Ask:
    """`reg delete`: one value, or (None) the key, with all below it as `tree`."""

    def ask(install: WindowsInstall) -> Asked:
        place = registry_names.locate(install, name)
        loaded, notes = _whole(install, place)
        if value is None:
            changes = registry_plan.delete_key(loaded, place.key, tree=tree)
            return _asked(f"delete the key {place.name}", place, loaded, changes, notes)
        changes = registry_plan.delete_value(loaded, place.key, value)
        title = f"delete {value or '(default)'} of {place.name}"
        return _asked(title, place, loaded, changes, notes)

    return ask


def importing(file: Path) -> Ask:
    """`reg import`: what a `.reg` file says, over as many hives as it names.

    Raises FormatError for a file that is none, UsageError where it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            keys = reg_parse.parse(stream.read(reg_parse.MOST_BYTES + 1))
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from exc

    def ask(install: WindowsInstall) -> Asked:
        return _imported(install, file.name, keys)

    return ask


def _imported(install: WindowsInstall, file: str, keys: Sequence[RegKey]) -> Asked:
    by_hive: dict[str, list[RegKey]] = {}
    notes: dict[str, None] = {}  # in order, none twice
    for key in keys:
        try:
            place = registry_names.locate(install, key.path)
        except (UsageError, NoCulpritError) as exc:
            problem = f"{file}, line {key.line}: {exc}"
            raise type(exc)(problem, hint=exc.hint) from exc
        by_hive.setdefault(place.hive, []).append(replace(key, path=place.key))
        notes.update(dict.fromkeys(place.notes))
    loaded: dict[str, Hive] = {}
    for hive in by_hive:
        loaded[hive], recovery = _loaded(install, hive)
        notes.update(dict.fromkeys(_recovery_notes(hive, recovery)))
    edits = {hive: registry_plan.merge(loaded[hive], below) for hive, below in by_hive.items()}
    done = ", ".join(registry_plan.described([one for each in edits.values() for one in each]))
    return Asked(f"import {file} ({done or 'no changes'})", edits, loaded, tuple(notes))


def _whole(install: WindowsInstall, place: Place) -> tuple[Hive, tuple[str, ...]]:
    loaded, recovery = _loaded(install, place.hive)
    return loaded, (*place.notes, *_recovery_notes(place.hive, recovery))


def _asked(
    title: str, place: Place, loaded: Hive, changes: Changes, notes: tuple[str, ...]
) -> Asked:
    return Asked(title, {place.hive: changes}, {place.hive: loaded}, notes)


# --- what it means ------------------------------------------------------------------------


def _warnings(install: WindowsInstall, asked: Asked) -> tuple[str, ...]:
    """What an expert should know before saying yes, one sentence each."""
    found: list[str] = []
    for hive, changes in asked.edits.items():
        found += registry_risk.warnings(hive, changes)
        if hive == install.system_hive:
            names = registry_risk.restrained(changes, install.control_set)
            found += _service_warnings(install, asked.hives[hive], names)
    return tuple(dict.fromkeys(found))


def _service_warnings(install: WindowsInstall, system: Hive, names: frozenset[str]) -> list[str]:
    """Why the guard of every repair would refuse what is asked for."""
    if not names:
        return []
    known = [item for item in services.collect(install, system) if isinstance(item, Service)]
    meant = [item for item in known if fold(item.name) in names and item.start in _EARLY]
    evidence = (
        *known,
        *devices.collect(install, system),
        *drivers.collect(install, meant),
    )
    refusals = (guard.refuse(service, evidence) for service in meant)
    return [
        f"Windows may not start afterwards. {refusal.reason}"
        for refusal in refusals
        if refusal is not None
    ]
