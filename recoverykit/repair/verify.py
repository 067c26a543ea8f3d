"""After applying, from the disk again: what was planned has changed, and nothing else.

Read anew: the hives (parsed, clean, and logically different in exactly the planned keys and
values), the quarantined files, the plan's other files, and the listing of every folder that was
touched. Not read: the rest of the volume, which no operation of ours names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recoverykit.errors import FormatError
from recoverykit.formats import hive_edit
from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import Metadata
from recoverykit.model import Plan
from recoverykit.repair import actions, hives
from recoverykit.repair.actions import Change, HiveWrite
from recoverykit.repair.journal import HOME, Journal
from recoverykit.repair.journal_lines import Intent
from recoverykit.repair.state import file_state
from recoverykit.repair.target_path import stands

Listing = Mapping[str, tuple[int, int, int]]  # name -> (mode, size, ns of last modification)


def look(mount: Path, changes: Sequence[Change]) -> dict[str, Listing]:
    """What stands in every folder that will be touched, and in the root."""
    folders = {path.rpartition("/")[0] for change in changes for path in change.touched} | {""}
    return {folder: _list(mount / folder) for folder in sorted(folders)}


def _list(folder: Path) -> Listing:
    entries = {path.name: path.lstat() for path in folder.iterdir()}
    return {
        name: (status.st_mode, status.st_size, status.st_mtime_ns)
        for name, status in entries.items()
    }


def problems(
    journal: Journal, plan: Plan, changes: Sequence[Change], before: Mapping[str, Listing]
) -> tuple[str, ...]:
    """One sentence for everything that is not as planned. Raises OSError, FormatError."""
    intents = {intent.target: intent for intent in journal.read().intents}
    found: list[str] = []
    for change in changes:
        intent = intents.get(change.target)
        if intent is None:
            found.append(f"{change.target} was not changed")
        elif intent.installed:
            found += _installed(journal.mount, intent)
        elif intent.moved_to:
            found += _moved(journal.mount, intent)
        elif change.hive is not None:
            found += _rewritten(journal.mount, change.target, change.hive, intent)
    found += _untouched(journal.mount, plan, changes)
    found += _strangers(journal.mount, changes, before)
    return tuple(found)


def _moved(mount: Path, intent: Intent) -> Iterator[str]:
    if stands(mount / intent.target):
        yield f"{intent.target} still stands in its old place"
    if file_state(mount, intent.moved_to).sha256 != intent.before:
        yield f"{intent.moved_to} does not hold the quarantined file"


def _installed(mount: Path, intent: Intent) -> Iterator[str]:
    path = mount / intent.target
    if file_state(mount, intent.target).sha256 != intent.after:
        yield f"{intent.target} does not hold the new file"
        return
    if intent.moved_to and file_state(mount, intent.moved_to).sha256 != intent.before:
        yield f"{intent.moved_to} does not hold the old file"
    if not _dressed(actions.of_a_new_file(intent.metadata), ntfs_metadata.read(path)):
        yield f"{path.name} lost the security descriptor, attributes or short name of the old file"


def _rewritten(mount: Path, target: str, write: HiveWrite, intent: Intent) -> Iterator[str]:
    path = mount / target
    now = hives.files(path)
    if now != write.saving.after:
        yield f"{target} or its logs do not hold what was written"
        return
    for file, kept in ((path, intent.metadata), *_logs(path, intent)):
        if not _dressed(kept, ntfs_metadata.read(file)):
            yield f"{file.name} lost its security descriptor, attributes or short name"
    try:
        loaded, recovery = hives.recovered(now)
        if recovery.dirty or not loaded.base.clean:
            yield f"{target} is not clean"
        if not hive_edit.is_exactly(write.whole, bytes(recovery.data), write.changes):
            yield f"{target} differs in other values than planned"
    except FormatError as exc:
        yield f"{target} cannot be read any more: {exc}"


def _logs(path: Path, intent: Intent) -> Iterator[tuple[Path, Metadata]]:
    for name, metadata in intent.logs:
        yield path.with_name(name), metadata


def _dressed(wanted: Metadata, now: Metadata) -> bool:
    """Whether it has all of that; what is not known of `wanted` is not asked for."""
    return (
        wanted.security == now.security
        and wanted.attributes in (None, now.attributes)
        and wanted.short_name == now.short_name
    )


def _untouched(mount: Path, plan: Plan, changes: Sequence[Change]) -> Iterator[str]:
    touched = {path for change in changes for path in change.touched}
    for state in plan.preconditions:
        if state.path not in touched and file_state(mount, state.path) != state:
            yield f"{state.path} changed, which was not planned"


def _strangers(
    mount: Path, changes: Sequence[Change], before: Mapping[str, Listing]
) -> Iterator[str]:
    moved = {change.target for change in changes if change.hive is None and change.installs is None}
    written = {path for change in changes for path in change.touched} - moved
    for folder, old in before.items():
        new = _list(mount / folder)
        for name in sorted(old.keys() | new.keys()):
            path = f"{folder}/{name}" if folder else name
            parent = any(change.target.startswith(f"{path}/") for change in changes)
            if path in written or parent or path == HOME:
                continue
            expected = None if path in moved else old.get(name)
            if new.get(name) != expected:
                yield f"{path} changed, which was not planned"
