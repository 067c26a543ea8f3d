"""How the actions of a plan change files, each in the same order.

    1. before-image     a copy, or a hive's sectors before and after; written and synced
    2. INTENT           appended to the journal and synced
    3. the change       sectors written in place, or a stage renamed over the target, or one rename
    4. DONE             appended to the journal and synced

A hive is patched in place (`formats.hive_patch` says why every cut leaves one that can be started
from). Only where its size changes, because logs made it grow, or where its header is damaged, the
whole file is staged and renamed: ntfs-3g then has a moment with no hive at all.

Hives come before files: a service is disabled first and its file moved after, so that a machine
whose power is cut in between has no driver that is wanted and missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import RecoveryKitError
from recoverykit.formats import hive_patch
from recoverykit.formats.hive_patch import Piece
from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import PRIVATE_FILE, Metadata
from recoverykit.model import Plan, QuarantineFile, SetValue
from recoverykit.repair import hives
from recoverykit.repair.journal import QUARANTINE, Intent, Journal, describe, locate, stands


@dataclass(frozen=True, slots=True)
class Change:
    """One file's change, computed and not yet made."""

    target: str
    before: str  # sha256 of what must stand there
    content: bytes | None = field(default=None, repr=False)  # the new file; None: moved away
    pieces: tuple[Piece, ...] = field(default=(), repr=False)  # to be patched; (): replaced whole
    values: tuple[SetValue, ...] = ()
    original: bytes = field(default=b"", repr=False)  # a hive's readable state before


def prepare(mount: Path, plan: Plan, now: datetime) -> tuple[Change, ...]:
    """Compute every change in memory, hives first. Raises FormatError, OSError."""
    seen = {state.path: state.sha256 for state in plan.preconditions}
    by_hive: dict[str, list[SetValue]] = {}
    for action in plan.actions:
        if isinstance(action, SetValue):
            by_hive.setdefault(action.hive, []).append(action)
    edits = [_edit(mount, path, values, seen[path], now) for path, values in by_hive.items()]
    files = [action for action in plan.actions if isinstance(action, QuarantineFile)]
    return (*edits, *(Change(action.path, action.sha256) for action in files))


def _edit(mount: Path, path: str, values: Sequence[SetValue], before: str, now: datetime) -> Change:
    target = locate(mount, path)
    standing = target.read_bytes()
    _, recovery = hives.recovered(target, standing)
    content = hives.changed(recovery, values, now)
    change = edited(path, standing, content, values, bytes(recovery.data))
    if change.before != before:
        raise RecoveryKitError(f"{target} changed while the repair was being made")
    return change


def edited(
    path: str, standing: bytes, content: bytes, values: Sequence[SetValue], original: bytes = b""
) -> Change:
    """The change of a hive that holds `standing` now, in place if that can be."""
    in_place = hive_patch.fits(standing, len(standing), len(content))
    pieces = hive_patch.difference(standing, content) if in_place else ()
    return Change(path, sha256(standing), content, pieces, tuple(values), original)


def carry_out(journal: Journal, change: Change) -> None:
    """Make one change, journalled. Raises OSError, RecoveryKitError."""
    if change.content is None:
        _quarantine(journal, change)
    else:
        rewrite(journal, "intent", change, change.content)


def _quarantine(journal: Journal, change: Change) -> None:
    target = locate(journal.mount, change.target)
    intent = _intent(journal, change, change.before)
    intent = replace(intent, moved_to=_place(journal, target, intent.number))
    _copy(journal, intent, target)
    journal.append("intent", **describe(intent))
    durable.move(target, locate(journal.mount, intent.moved_to))
    journal.append("done", number=intent.number)


def rewrite(journal: Journal, event: str, change: Change, content: bytes) -> None:
    """Give a hive its new content, of apply ("intent") or of undo ("undo-intent")."""
    target = locate(journal.mount, change.target)
    intent = _intent(journal, change, sha256(content))
    image = journal.folder / intent.image
    if stands(image):  # of an undo that was cut before it could say so
        durable.remove(image)
    if not change.pieces:
        _copy(journal, intent, target)
        journal.append(event, **describe(intent))
        durable.write(stage(journal, target), content, intent.metadata.security)
        put(journal, target, intent.metadata, times=False)
    else:
        record = hive_patch.pack(change.pieces)
        intent = replace(intent, patch=sha256(record))
        durable.write(image, record, PRIVATE_FILE)
        if not _untouched(target, change.pieces):
            raise RecoveryKitError(f"{target} changed while the repair was being made")
        journal.append(event, **describe(intent))
        durable.patch(target, *hive_patch.forward(change.pieces))
        dress(target, intent.metadata, times=False)
    journal.append("done", number=intent.number)


def _intent(journal: Journal, change: Change, after: str) -> Intent:
    number = journal.read().next_number
    return Intent(
        number=number,
        target=change.target,
        before=change.before,
        after=after,
        image=f"{number:04}.before",
        metadata=ntfs_metadata.read(locate(journal.mount, change.target)),
        values=change.values,
    )


def _untouched(target: Path, pieces: Sequence[Piece]) -> bool:
    with target.open("rb") as stream:
        for piece in pieces:
            stream.seek(piece.offset)
            if stream.read(len(piece.before)) != piece.before:
                return False
    return True


def _copy(journal: Journal, intent: Intent, target: Path) -> None:
    if durable.copy(target, journal.folder / intent.image, PRIVATE_FILE) != intent.before:
        raise RecoveryKitError(f"{target} changed while the repair was being made")


def _place(journal: Journal, target: Path, number: int) -> str:
    """Where a file goes: under its own name, unless another one has it there."""
    taken = stands(journal.folder / QUARANTINE / target.name)
    name = f"{number:04}-{target.name}" if taken else target.name
    return f"{journal.relative}/{QUARANTINE}/{name}"


def stage(journal: Journal, target: Path) -> Path:
    """The file that is written beside `target` and renamed over it."""
    return target.with_name(f"{target.name}.{journal.id}")


def put(journal: Journal, target: Path, metadata: Metadata, *, times: bool) -> None:
    """Give the written stage the metadata of its target, and its place."""
    staged = stage(journal, target)
    durable.stamp(staged, metadata, times=times)
    durable.replace(staged, target)
    if metadata.short_name is not None:
        durable.name_short(target, metadata.short_name)


def dress(target: Path, wanted: Metadata, *, times: bool) -> None:
    """Give a file back what writing it, or a cut, took: descriptor, attributes, and its `times`.

    ntfs-3g sets the archive attribute of every file that is written.
    """
    now = ntfs_metadata.read(target)
    lost = (now.security, now.attributes) != (wanted.security, wanted.attributes)
    if lost or (times and _written(now) != _written(wanted)):
        durable.stamp(target, wanted, times=times)


def _written(metadata: Metadata) -> bytes | int:
    """Creation and modification; reading a file changes the other times."""
    return metadata.modified if metadata.times is None else metadata.times[:16]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
