"""Take a transaction back: committed, abandoned, or an undo that was itself interrupted.

Never a blind copy back. A hive gets its old sectors, and so does its log, only if they still are
what we left or were about to leave: their hashes are in the record (`formats.hive_save.back` says
how it tells, and in which order they are written). If Windows has run since, a hive is undone
change by change, each only where key or value still are ours. A moved file goes back only where
nothing else stands. All of this is decided before anything is changed: one conflict, and the whole
undo is refused with what it found.

Newest change first, so that every state in between is one the repair itself passed through: a
driver's file is back before its service is enabled. For the same reason undo stops at the first
failure instead of trying the rest. Restoring twice is harmless, so undo may be interrupted and
called again; the journal is closed last.

What a cut leaves behind in the middle of an operation (see `durable`) is mended on the way: stages
and second names of a moved file are removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import (
    FormatError,
    NoCulpritError,
    RecoveryKitError,
    RollbackError,
    TargetRefusedError,
)
from recoverykit.formats import hive_edit, hive_files, hive_save
from recoverykit.formats.hive_files import HiveFiles
from recoverykit.formats.hive_save import Step
from recoverykit.formats.hive_states import States
from recoverykit.formats.regf_log import LOGS
from recoverykit.host import lock, ntfs_metadata
from recoverykit.host.ntfs_metadata import PRIVATE_FILE, PRIVATE_FOLDER, Metadata
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, TransactionInfo
from recoverykit.repair import hives, journal
from recoverykit.repair.actions import (
    dress,
    dress_hive,
    hive_change,
    keep_blocks,
    rewrite,
    sha256,
    stage,
)
from recoverykit.repair.journal import Journal
from recoverykit.repair.journal_lines import Intent, describe_blocks
from recoverykit.repair.state import file_state
from recoverykit.repair.target_path import locate, stands


def undo(mount: Path, transaction_id: str | None = None) -> TransactionInfo:
    """Take back the named transaction, or the newest that is not undone.

    Raises NoCulpritError if there is none; TargetRefusedError with nothing changed where something
    else stands in the way, FormatError for a journal that was altered; RollbackError where it had
    to stop in the middle.
    """
    try:
        with lock.exclusive(mount):
            found = _choose(mount, transaction_id)
            info = journal.info(found)
            take_back(found)
            return replace(info, state="undone")
    except OSError as exc:
        raise RecoveryKitError(f"the volume failed before anything was undone: {exc}") from exc


def _choose(mount: Path, transaction_id: str | None) -> Journal:
    known = [found for found in journal.find(mount) if not _is_closed(found)]
    wanted = [found for found in known if transaction_id in (None, found.id)]
    if not wanted:
        what = f"transaction {transaction_id}" if transaction_id else "repair of ours"
        raise NoCulpritError(
            f"there is no {what} on this volume that could be undone",
            hint="recoverykit history lists what was done here.",
        )
    return wanted[-1]


def _is_closed(found: Journal) -> bool:
    with suppress(FormatError):  # one that was altered is told when it is its turn
        return found.closed
    return False


def take_back(transaction: Journal) -> None:
    """Undo one transaction; the caller holds the volume's lock. Raises as `undo` does."""
    entries = transaction.read()
    found = [
        text for intent in reversed(entries.intents) for text in _conflicts(transaction, intent)
    ]
    if found:
        raise TargetRefusedError(
            f"transaction {transaction.id} cannot be undone: {'; '.join(found)}",
            hint="Nothing was changed. Settle this by hand, then try again.",
        )
    transaction.make_room()
    if entries.moving is not None:
        transaction.append("mended")  # what was kept for that move is of the past now
    if not entries.undo_begun:
        transaction.append("undo", when=datetime.now(UTC).isoformat(timespec="seconds"))
    restored: list[str] = []
    try:
        for intent in reversed(entries.intents):
            _restore(transaction, intent)
            restored.append(intent.target)
        transaction.close_as_undone()
    except (OSError, RecoveryKitError) as exc:
        raise RollbackError(_state(transaction, entries.intents, restored, exc)) from exc


def _state(
    transaction: Journal, intents: tuple[Intent, ...], restored: list[str], exc: Exception
) -> str:
    left = [intent.target for intent in intents if intent.target not in restored]
    return (
        f"undoing transaction {transaction.id} stopped: {exc}. "
        f"Restored: {', '.join(restored) or 'nothing'}. "
        f"Not restored: {', '.join(left) or 'nothing'}. "
        f"The originals are in {transaction.relative}; undo can be started again"
    )


# --- what stands in the way ---------------------------------------------------------------


def _conflicts(transaction: Journal, intent: Intent) -> Iterator[str]:
    target = locate(transaction.mount, intent.target)
    if not target.parent.is_dir():
        yield f"the folder of {intent.target} is gone"
    elif not intent.is_hive:
        yield from _moved_conflicts(transaction, intent)
    else:
        yield from _hive_conflicts(transaction, intent, target)


def _moved_conflicts(transaction: Journal, intent: Intent) -> Iterator[str]:
    standing = file_state(transaction.mount, intent.target).sha256
    ours = intent.installed and standing == intent.after
    target, beside = transaction.mount / intent.target, transaction.mount / intent.target
    if intent.moved_to:
        _require_quarantine(transaction, intent)
        beside = transaction.mount / intent.moved_to
    if ours:
        beside = stage(transaction, intent.number, target)
    if standing == intent.before or ours:
        if target != beside and _only_listed(target, beside):
            yield _damaged_index(intent)
    elif standing:
        yield f"another file stands at {intent.target} now"
    if standing != intent.before and intent.moved_to and not _kept(transaction, intent):
        yield f"neither {intent.moved_to} nor its copy is intact any more"


def _hive_conflicts(transaction: Journal, intent: Intent, target: Path) -> Iterator[str]:
    if not stands(target):
        yield f"{intent.target} is missing, and it was not this repair that removed it"
        return
    now = hives.files(target)
    if sha256(now.hive) == intent.before:
        return
    if sha256(now.hive) == intent.after and not intact(transaction, intent):
        yield f"the record {intent.image} of {intent.target} is not intact any more"
    elif _way_back(transaction, now, intent) is None:
        yield from _value_conflicts(transaction, intent, now)


def _value_conflicts(transaction: Journal, intent: Intent, now: HiveFiles) -> Iterator[str]:
    """The hive was written since: whose is each value now?"""
    half = _way_back(transaction, now, _newest(transaction, intent))
    for step in half or ():  # an undo by value that was cut
        now = hive_save.applied(now, step)
    try:
        loaded, recovery = hives.recovered(now)
        states, net = States(loaded), hive_edit.net(intent.changes)
        found = list(_foreign(states, net))
        yield from found
        ours = _ours(states, net)
        if ours and not found:
            hives.changed(recovery, ours, datetime.now(UTC))
    except FormatError as exc:
        yield f"{intent.target} was written since the repair, and cannot be taken back: {exc}"
    if not intent.changes:
        yield f"{intent.target} was changed since the repair"


def _foreign(states: States, net: Sequence[RegistryChange]) -> Iterator[str]:
    """What is neither as before the repair nor as it left it."""
    for change in net:
        now = states.of(change)
        known = any(hive_edit.agrees(now, ours) for ours in (change.before, change.after))
        if not known and not _came_back(now, change.before, change.after):
            said = "is gone" if now is None else f"is {_text(now)} now"
            yield f"{hive_edit.label(change)} {said} (the repair had left {_text(change.after)})"


def _ours(states: States, net: Sequence[RegistryChange]) -> tuple[RegistryChange, ...]:
    """What takes back each change that still stands."""
    found: list[RegistryChange] = []
    for change in hive_edit.inverse(net):
        now = states.of(change)
        if hive_edit.agrees(now, change.before):
            found.append(change)
        elif (
            isinstance(change, KeyChange)
            and isinstance(now, RegistryKey)
            and _came_back(now, change.after, change.before)
            and not hive_edit.agrees(now, change.after)
        ):
            found.append(replace(change, before=now))
    return tuple(found)


def _came_back(now: object, before: object, after: object) -> bool:
    """A key that the repair deleted and that was made again since, as undo.cmd does, which cannot
    give it its own descriptor."""
    if after is not None or not isinstance(now, RegistryKey) or not isinstance(before, RegistryKey):
        return False
    return now.class_name == before.class_name


def _only_listed(target: Path, other: Path) -> bool:
    """Whether a folder lists two names of a file that has only one.

    What ntfs-3g leaves when it is killed in the middle of linking. Removing the one name would free
    the file, and the other, which belongs to no file then, could not be removed or used any more.
    """
    if not (stands(target) and stands(other)):
        return False
    one, two = target.lstat(), other.lstat()  # a compressed file cannot be followed
    return os.path.samestat(one, two) and one.st_nlink < 2


def _damaged_index(intent: Intent) -> str:
    return (
        f"the folder of {intent.target} was left damaged by the interruption: "
        "let chkdsk repair the volume first"
    )


def _text(state: RegistryData | RegistryKey | None) -> str:
    if state is None:
        return "nothing"
    if isinstance(state, RegistryKey):
        return "a key"
    short = len(state.data) == 4
    return str(int.from_bytes(state.data, "little")) if short else state.data.hex()[:64] or "empty"


# --- restoring ----------------------------------------------------------------------------


def _restore(transaction: Journal, intent: Intent) -> None:
    target = locate(transaction.mount, intent.target)
    if intent.is_hive:
        _put_back(transaction, intent, target)
        return
    staged = stage(transaction, intent.number, target)
    standing = file_state(transaction.mount, intent.target).sha256
    ours = intent.installed and standing == intent.after
    if ours:
        _clear(staged)
    if intent.moved_to and standing != intent.before:
        _refill(transaction, intent)
    kept = keep_blocks(transaction, intent)
    transaction.append("moving", number=intent.number, **describe_blocks(kept))
    if ours:
        durable.move(target, staged)
    if intent.moved_to:
        _move_back(transaction, intent, target)
    transaction.append("moved", number=intent.number)


def _refill(transaction: Journal, intent: Intent) -> None:
    """Somebody emptied the quarantine, or changed what is in it: our copy is left."""
    if _kept(transaction, intent) != transaction.folder / intent.image:
        return
    kept = locate(transaction.mount, intent.moved_to)
    _clear(kept)
    if not stands(kept.parent):
        durable.make_folder(kept.parent, PRIVATE_FOLDER)
    durable.copy(transaction.folder / intent.image, kept, PRIVATE_FILE)


def _move_back(transaction: Journal, intent: Intent, target: Path) -> None:
    kept = locate(transaction.mount, intent.moved_to)
    if file_state(transaction.mount, intent.target).sha256 == intent.before:
        if stands(kept):  # a rename was cut between its two halves: two names, one file
            with suppress(FileNotFoundError):  # listed, but not a name of any file: for chkdsk
                durable.remove(kept)
    else:
        durable.move(kept, target)
    _finish(target, intent.metadata)


def _put_back(transaction: Journal, intent: Intent, target: Path) -> None:
    now = hives.files(target)
    steps = _way_back(transaction, now, intent)
    if steps is not None or sha256(now.hive) == intent.before:
        hives.write(target.parent, steps or (), intent.metadata.security)
        dress_hive(target, intent, times=True)
        return
    newest = _newest(transaction, intent)
    if newest != intent and sha256(now.hive) != newest.after:
        half = _way_back(transaction, now, newest)  # an undo by value that was cut
        hives.write(target.parent, half or (), intent.metadata.security)
    _undo_values(transaction, intent, target)
    dress_hive(target, newest, times=False)


def _undo_values(transaction: Journal, intent: Intent, target: Path) -> None:
    """Windows, or another repair, has written the hive since: take back our changes only."""
    now = hives.files(target)
    loaded, found = hives.recovered(now)
    ours = _ours(States(loaded), hive_edit.net(intent.changes))
    if not ours:
        return
    edited = hives.changed(found, ours, datetime.now(UTC))
    change = hive_change(intent.target, now, found, edited, ours)
    if change.hive is not None:
        rewrite(transaction, "undo-intent", change, change.hive)


def _finish(target: Path, wanted: Metadata) -> None:
    """What a rename does not bring along, or a cut kept from being set."""
    dress(target, wanted, times=True)
    now = ntfs_metadata.read(target)
    if wanted.short_name is not None and now.short_name != wanted.short_name:
        with suppress(FileExistsError):  # taken since, by a file that is not ours to rename
            durable.name_short(target, wanted.short_name)


# --- what there is to restore from --------------------------------------------------------


def _newest(transaction: Journal, intent: Intent) -> Intent:
    """The last change to a file that was about to be made, by the repair or by an undo."""
    entries = transaction.read()
    same = [one for one in (*entries.intents, *entries.undoing) if one.target == intent.target]
    return max(same, key=lambda one: one.number)


def intact(transaction: Journal, intent: Intent) -> bool:
    """Whether the before-image still is what the journal says."""
    state = file_state(transaction.mount, f"{transaction.relative}/{intent.image}")
    return state.sha256 == (intent.patch or intent.before)


def _way_back(transaction: Journal, now: HiveFiles, intent: Intent) -> tuple[Step, ...] | None:
    """The steps from what a save left, whole or in part. None if that is not what stands there."""
    if not intent.patch or not intact(transaction, intent):
        return None
    record = hive_files.unpack((transaction.folder / intent.image).read_bytes())
    names = [patch.name.casefold() for patch in record]
    hive = now.name.casefold()
    whole = [patch.before and patch.after for patch in record if patch.name == now.name]
    if not all(whole) or {*names} - {hive, *(hive + log.casefold() for log in LOGS)}:
        raise FormatError(f"record {intent.image}", 0, f"it is not one of {now.name} and its logs")
    return hive_save.back(now, record)


def _kept(transaction: Journal, intent: Intent) -> Path | None:
    if file_state(transaction.mount, intent.moved_to).sha256 == intent.before:
        return transaction.mount / intent.moved_to
    return transaction.folder / intent.image if intact(transaction, intent) else None


def _require_quarantine(transaction: Journal, intent: Intent) -> None:
    locate(transaction.mount, intent.moved_to)
    if intent.moved_to.rpartition("/")[0] != f"{transaction.relative}/{journal.QUARANTINE}":
        raise TargetRefusedError(
            f"the journal of {transaction.id} names {intent.moved_to} as its quarantine"
        )


def _clear(path: Path) -> None:
    if stands(path):
        durable.remove(path)
