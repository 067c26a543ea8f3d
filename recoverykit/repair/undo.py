"""Take a transaction back: committed, abandoned, or an undo that was itself interrupted.

Never a blind copy back. A patched hive gets its old sectors, and a replaced one its before-image,
only if it still is what we left: its hash is in the journal, or (a patch that was cut) each byte we
meant to change is the old or the new one and all others are as before. If Windows has run since, a
hive is undone value by value, each only where the value still is ours. A moved file goes back only
where nothing else stands. All of this is decided before anything is changed: one conflict, and the
whole undo is refused with what it found.

Newest change first, so that every state in between is one the repair itself passed through: a
driver's file is back before its service is enabled. For the same reason undo stops at the first
failure instead of trying the rest. Restoring twice is harmless, so undo may be interrupted and
called again; the journal is closed last.

What a cut leaves behind in the middle of an operation (see `durable`) is mended on the way: a hive
that was patched in part gets its old sectors, a target that vanished while it was replaced comes
back from the newest before-image, stages and names ntfs-3g left are removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
from recoverykit.formats import hive_patch
from recoverykit.formats.hive_patch import Piece
from recoverykit.host import lock, ntfs_metadata
from recoverykit.host.ntfs_metadata import PRIVATE_FILE, Metadata
from recoverykit.model import TransactionInfo
from recoverykit.repair import hives, journal
from recoverykit.repair.actions import dress, edited, put, rewrite, stage
from recoverykit.repair.journal import Intent, Journal, locate, stands
from recoverykit.repair.plan import file_state

_ASIDE = re.compile(r"\.ntfs-3g-\d{10}")  # what ntfs-3g calls the old file while it renames


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
    known = [found for found in journal.find(mount) if not found.closed]
    wanted = [found for found in known if transaction_id in (None, found.id)]
    if not wanted:
        what = f"transaction {transaction_id}" if transaction_id else "repair of ours"
        raise NoCulpritError(
            f"there is no {what} on this volume that could be undone",
            hint="recoverykit history lists what was done here.",
        )
    return wanted[-1]


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
    elif intent.moved_to:
        yield from _moved_conflicts(transaction, intent)
    else:
        yield from _hive_conflicts(transaction, intent, target)


def _moved_conflicts(transaction: Journal, intent: Intent) -> Iterator[str]:
    _require_quarantine(transaction, intent)
    target, kept = transaction.mount / intent.target, transaction.mount / intent.moved_to
    standing = file_state(transaction.mount, intent.target).sha256
    if standing == intent.before:
        if _only_listed(target, kept):
            yield _damaged_index(intent)
        return
    if standing:
        yield f"another file stands at {intent.target} now"
    if not _kept(transaction, intent):
        yield f"neither {intent.moved_to} nor its copy is intact any more"


def _hive_conflicts(transaction: Journal, intent: Intent, target: Path) -> Iterator[str]:
    if _only_listed(target, stage(transaction, target)):
        yield _damaged_index(intent)
        return
    standing = file_state(transaction.mount, intent.target).sha256
    newest = _newest(transaction, intent)
    if standing == intent.before:
        return
    if not standing:
        if newest.patch:
            yield f"{intent.target} is missing, and it was not this repair that removed it"
        elif _image(transaction, newest) is None:
            yield f"{intent.target} is missing, and the copy {newest.image} is not intact any more"
    elif standing == intent.after:
        if _image(transaction, intent) is None:
            yield f"the copy {intent.image} of {intent.target} is not intact any more"
    elif not any(_half_written(transaction, one, target) for one in (intent, newest)):
        yield from _value_conflicts(intent, target)


def _value_conflicts(intent: Intent, target: Path) -> Iterator[str]:
    """The hive was written since: whose is each value now?"""
    try:
        loaded, _ = hives.load(target)
    except FormatError as exc:
        yield f"{intent.target} was written since the repair and cannot be read: {exc}"
        return
    for value in intent.values:
        now = hives.current(loaded, value)
        if now not in (value.before, value.after):
            said = "is gone" if now is None else f"is {_text(now)} now"
            yield f"{value.key}\\{value.name} {said} (the repair had set {_text(value.after)})"
    if not intent.values:
        yield f"{intent.target} was changed since the repair"


def _only_listed(target: Path, other: Path) -> bool:
    """Whether a folder lists two names of a file that has only one.

    What ntfs-3g leaves when it is killed in the middle of linking. Removing the one name would free
    the file, and the other, which belongs to no file then, could not be removed or used any more.
    """
    both = stands(target) and stands(other)
    return both and target.samefile(other) and target.lstat().st_nlink < 2


def _damaged_index(intent: Intent) -> str:
    return (
        f"the folder of {intent.target} was left damaged by the interruption: "
        "let chkdsk repair the volume first"
    )


def _text(data: bytes) -> str:
    return str(int.from_bytes(data, "little")) if len(data) == 4 else data.hex()


# --- restoring ----------------------------------------------------------------------------


def _restore(transaction: Journal, intent: Intent) -> None:
    target = locate(transaction.mount, intent.target)
    if intent.moved_to:
        _move_back(transaction, intent, target)
    else:
        _put_back(transaction, intent, target)


def _move_back(transaction: Journal, intent: Intent, target: Path) -> None:
    kept = locate(transaction.mount, intent.moved_to)
    _clear(stage(transaction, target))
    if file_state(transaction.mount, intent.target).sha256 == intent.before:
        if stands(kept):  # a rename was cut between its two halves: two names, one file
            with suppress(FileNotFoundError):  # listed, but not a name of any file: for chkdsk
                durable.remove(kept)
    elif file_state(transaction.mount, intent.moved_to).sha256 == intent.before:
        durable.move(kept, target)
    else:  # somebody emptied the quarantine; our copy is left
        durable.copy(transaction.folder / intent.image, stage(transaction, target), PRIVATE_FILE)
        durable.move(stage(transaction, target), target)
    _finish(target, intent.metadata)


def _put_back(transaction: Journal, intent: Intent, target: Path) -> None:
    _clear(stage(transaction, target))
    newest = _newest(transaction, intent)
    if not stands(target):
        _put_image(transaction, newest, target)
    _clear_aside(transaction, target)
    standing = file_state(transaction.mount, intent.target).sha256
    if standing == intent.before:
        _finish(target, intent.metadata)
    elif intent.patch and _half_written(transaction, intent, target):
        _patch_back(transaction, intent, target)
        _finish(target, intent.metadata)
    elif not intent.patch and standing == intent.after:
        _put_image(transaction, intent, target)
        _finish(target, intent.metadata)
    else:
        if standing != newest.after and _half_written(transaction, newest, target):
            _patch_back(transaction, newest, target)  # an undo by value that was cut
        _undo_values(transaction, intent, target)
        _finish(target, newest.metadata, times=False)


def _put_image(transaction: Journal, intent: Intent, target: Path) -> None:
    if intent.patch:
        raise RecoveryKitError(f"{target} is missing, and there is no copy of it")
    staged = stage(transaction, target)
    security = intent.metadata.security
    if durable.copy(transaction.folder / intent.image, staged, security) != intent.before:
        raise RecoveryKitError(f"the copy {intent.image} of {intent.target} is damaged")
    put(transaction, target, intent.metadata, times=True)


def _patch_back(transaction: Journal, intent: Intent, target: Path) -> None:
    durable.patch(target, *hive_patch.backward(_pieces(transaction, intent)))


def _undo_values(transaction: Journal, intent: Intent, target: Path) -> None:
    """Windows, or another repair, has written the hive since: take back our values only."""
    standing = target.read_bytes()
    loaded, recovery = hives.recovered(target, standing)
    ours = [value for value in intent.values if hives.current(loaded, value) == value.after]
    if not ours:
        return
    content = hives.changed(recovery, hives.inverse(ours), datetime.now(UTC))
    change = edited(intent.target, standing, content, hives.inverse(ours))
    rewrite(transaction, "undo-intent", change, content)


def _finish(target: Path, wanted: Metadata, *, times: bool = True) -> None:
    """What a rename does not bring along, what writing changed, or a cut kept from being set."""
    dress(target, wanted, times=times)
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


def _image(transaction: Journal, intent: Intent) -> Path | None:
    """The before-image, if it still is what the journal says."""
    state = file_state(transaction.mount, f"{transaction.relative}/{intent.image}")
    wanted = intent.patch or intent.before
    return transaction.folder / intent.image if state.sha256 == wanted else None


def _half_written(transaction: Journal, intent: Intent, target: Path) -> bool:
    """Whether a file is what patching it leaves, wholly or in part. False if that is not known."""
    if not intent.patch or _image(transaction, intent) is None:
        return False
    return hive_patch.restores(target.read_bytes(), _pieces(transaction, intent), intent.before)


def _pieces(transaction: Journal, intent: Intent) -> tuple[Piece, ...]:
    return hive_patch.unpack((transaction.folder / intent.image).read_bytes())


def _kept(transaction: Journal, intent: Intent) -> Path | None:
    if file_state(transaction.mount, intent.moved_to).sha256 == intent.before:
        return transaction.mount / intent.moved_to
    return _image(transaction, intent)


def _require_quarantine(transaction: Journal, intent: Intent) -> None:
    locate(transaction.mount, intent.moved_to)
    if intent.moved_to.rpartition("/")[0] != f"{transaction.relative}/{journal.QUARANTINE}":
        raise TargetRefusedError(
            f"the journal of {transaction.id} names {intent.moved_to} as its quarantine"
        )


def _clear(path: Path) -> None:
    if stands(path):
        durable.remove(path)


def _clear_aside(transaction: Journal, target: Path) -> None:
    """Remove the name under which ntfs-3g kept the old file, if it holds one of our states."""
    entries = transaction.read()
    ours = {
        digest
        for intent in (*entries.intents, *entries.undoing)
        if transaction.mount / intent.target == target
        for digest in (intent.before, intent.after)
    }
    for path in sorted(target.parent.iterdir()):
        if path.name.startswith(target.name) and _ASIDE.fullmatch(path.name[len(target.name) :]):
            with suppress(OSError):  # listed, but not a name of any file: left for chkdsk
                relative = path.relative_to(transaction.mount).as_posix()
                known = file_state(transaction.mount, relative).sha256 in ours
                if known and not _only_listed(target, path):
                    durable.remove(path)
