"""How the actions of a plan change files, each in the same order.

    1. before-image     a copy, written and synced
    2. INTENT           appended to the journal and synced
    3. the change       staged beside the target and renamed over it, or one rename
    4. DONE             appended to the journal and synced

Hives come before files: a service is disabled first and its file moved after, so that a machine
whose power is cut in between has no driver that is wanted and missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import RecoveryKitError
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
    _, recovery = hives.load(locate(mount, path))
    content = hives.changed(recovery, values, now)
    return Change(path, before, content, tuple(values), bytes(recovery.data))


def carry_out(journal: Journal, change: Change) -> None:
    """Make one change, journalled. Raises OSError, RecoveryKitError."""
    target = locate(journal.mount, change.target)
    number = journal.read().next_number
    intent = Intent(
        number=number,
        target=change.target,
        before=change.before,
        after=change.before if change.content is None else sha256(change.content),
        image=f"{number:04}.before",
        metadata=ntfs_metadata.read(target),
        moved_to=_place(journal, target, number) if change.content is None else "",
        values=change.values,
    )
    if durable.copy(target, journal.folder / intent.image, PRIVATE_FILE) != intent.before:
        raise RecoveryKitError(f"{target} changed while the repair was being made")
    journal.append("intent", **describe(intent))
    if change.content is None:
        durable.move(target, locate(journal.mount, intent.moved_to))
    else:
        durable.write(stage(journal, target), change.content, intent.metadata.security)
        put(journal, target, intent.metadata, times=False)
    journal.append("done", number=number)


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


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
