"""How the actions of a plan change files, each in the same order.

    1. before-images    copies, or a hive's sectors before and after, and new files, complete: all
                        of them before the first change, which then needs no new name in our folder
    2. the blocks       of the folders between which a file is about to be moved (`folder_blocks`)
    3. INTENT           appended to the journal and synced
    4. the change       a hive is written in steps, a file is moved by one rename
    5. DONE             appended to the journal and synced

A hive is written in place, with its log (`formats.hive_save` says in which order, and why every cut
leaves the old hive or the new one); it is never replaced by another file. A driver's file is never
opened for writing: it may be one file with those in WinSxS and the DriverStore (hard links), which
keep it, and a file that Windows compressed (WOF) stays as it is, wherever it is moved.

Hives come before files: a service is disabled first and its file moved after, so that a machine
whose power is cut in between has no driver that is wanted and missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from recoverykit import durable, installs
from recoverykit.errors import RecoveryKitError, TargetRefusedError
from recoverykit.formats import hive_files, hive_save
from recoverykit.formats.hive_edit import Edited
from recoverykit.formats.hive_files import FilePatch, HiveFiles
from recoverykit.formats.hive_save import Saving
from recoverykit.formats.regf_log import Recovery
from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import PRIVATE_FILE, Metadata
from recoverykit.model import EditHive, InstallFile, Plan, QuarantineFile, RegistryChange
from recoverykit.repair import folder_blocks, hives
from recoverykit.repair.journal import QUARANTINE, STAGING, Journal
from recoverykit.repair.journal_lines import Intent, Kept, describe
from recoverykit.repair.state import file_state, keeps_short_name
from recoverykit.repair.target_path import locate, stands

_STORAGE = 0x200 | 0x400 | 0x800  # FILE_ATTRIBUTE_SPARSE_FILE, _REPARSE_POINT, _COMPRESSED


@dataclass(frozen=True, slots=True)
class HiveWrite:
    """A hive's change, computed and not yet made."""

    whole: bytes = field(repr=False)  # what the files say before
    saving: Saving = field(repr=False)
    record: tuple[FilePatch, ...] = field(repr=False)
    changes: tuple[RegistryChange, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One file's change, computed and not yet made."""

    target: str
    before: str  # sha256 of what must stand there
    hive: HiveWrite | None = None  # None: the file is moved away
    installs: bytes | None = field(default=None, repr=False)  # what takes its place

    @property
    def touched(self) -> tuple[str, ...]:
        """Every file that is written to, relative to the volume."""
        if self.hive is None:
            return (self.target,)
        folder = self.target.rpartition("/")[0]
        written = [patch.name for patch in self.hive.record if patch.pieces]
        return tuple(f"{folder}/{name}" if folder else name for name in written)


def prepare(
    mount: Path, plan: Plan, now: datetime, supply: Mapping[str, bytes]
) -> tuple[Change, ...]:
    """Compute every change in memory, hives first. Raises FormatError, OSError.

    `supply` holds what the plan installs, by its sha256.
    """
    seen = {state.path: state.sha256 for state in plan.preconditions}
    by_hive: dict[str, list[RegistryChange]] = {}
    for action in plan.actions:
        if isinstance(action, EditHive):
            by_hive.setdefault(action.hive, []).extend(action.changes)
    edits = []
    for path, changes in by_hive.items():
        if path not in seen:
            raise RecoveryKitError(f"the plan does not say what {path} held when it was made")
        files = hives.files(locate(mount, path))
        hives.require_in_place(mount / path, files)
        _, found = hives.recovered(files)
        edits.append(hive_change(path, files, found, hives.changed(found, changes, now), changes))
        if edits[-1].before != seen[path]:
            raise RecoveryKitError(f"{path} changed while the repair was being made")
    others = [action for action in plan.actions if not isinstance(action, EditHive)]
    return (*edits, *(_file_change(mount, action, supply) for action in others))


def _file_change(
    mount: Path, action: QuarantineFile | InstallFile, supply: Mapping[str, bytes]
) -> Change:
    path = locate(mount, action.path)
    if stands(path) and not keeps_short_name(path):
        raise TargetRefusedError(
            f"{action.path} has other hard links and a short name that would be lost with it"
        )
    if isinstance(action, QuarantineFile):
        return Change(action.path, action.sha256)
    content = supply.get(action.sha256)
    if content is None or sha256(content) != action.sha256 or action.sha256 == action.before:
        raise RecoveryKitError(f"what was to be installed as {action.path} is not at hand")
    return Change(action.path, action.before, installs=content)


def hive_change(
    path: str,
    files: HiveFiles,
    found: Recovery,
    edited: Edited,
    changes: Sequence[RegistryChange],
) -> Change:
    """The change that brings an edited hive to the disk. Raises FormatError."""
    saving = hive_save.save(files, found, edited.content, numbers_only=edited.numbers_only)
    kept = hive_save.record(saving)
    write = HiveWrite(bytes(found.data), saving, kept, tuple(changes))
    return Change(path, sha256(files.hive), write)


def places(journal: Journal, changes: Sequence[Change]) -> dict[str, str]:
    """Where the file of each change that is moved away goes, by the file's path.

    Under its own name, unless another one goes by it there, for Windows in any case of letters.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for number, change in enumerate(changes):
        if change.hive is not None or not change.before:
            continue
        name = change.target.rpartition("/")[2]
        if name.casefold() in taken:
            name = f"{number:04}-{name}"
        taken.add(name.casefold())
        found[change.target] = f"{journal.relative}/{QUARANTINE}/{name}"
    return found


def stock(journal: Journal, changes: Sequence[Change], places: Mapping[str, str]) -> None:
    """Make every file the changes and their undo will need. Raises OSError, RecoveryKitError."""
    for number, change in enumerate(changes):
        target = locate(journal.mount, change.target)
        image = journal.folder / f"{number:04}.before"
        spare = journal.folder / f"{len(changes) + number:04}.before"
        if change.hive is not None:
            durable.write(image, hive_files.pack(change.hive.record), PRIVATE_FILE)
            durable.write(spare, b"", PRIVATE_FILE)  # for an undo by value
            continue
        if change.before:
            _keep(journal, target, change, image)
        if change.installs is not None:
            durable.write(stage(journal, number, target), change.installs, PRIVATE_FILE)
        kept = _blocks(journal, number, target, places.get(change.target, ""))
        if kept:
            durable.write(_blocks_file(journal, number), kept, PRIVATE_FILE)


def carry_out(journal: Journal, change: Change, place: str = "") -> None:
    """Make one change, journalled. Raises OSError, RecoveryKitError.

    `place`: where its file goes, if it is moved away.
    """
    if change.hive is not None:
        rewrite(journal, "intent", change, change.hive)
    elif change.installs is not None:
        _install(journal, change, change.installs, place)
    else:
        _quarantine(journal, change, place)


def _quarantine(journal: Journal, change: Change, place: str) -> None:
    target = locate(journal.mount, change.target)
    intent = replace(_intent(journal, change, change.before), moved_to=place)
    intent = replace(intent, blocks=keep_blocks(journal, intent))
    journal.append("intent", **describe(intent))
    durable.move(target, locate(journal.mount, intent.moved_to))
    journal.append("done", number=intent.number)


def _keep(journal: Journal, target: Path, change: Change, image: Path) -> None:
    """The copy, for the case that somebody empties the quarantine; not of what we cannot read."""
    if installs.is_packed(target):
        same = file_state(journal.mount, change.target).sha256 == change.before
    else:
        same = durable.copy(target, image, PRIVATE_FILE) == change.before
    if not same:
        raise RecoveryKitError(f"{target} changed while the repair was being made")


def _install(journal: Journal, change: Change, content: bytes, place: str) -> None:
    target = locate(journal.mount, change.target)
    intent = replace(_intent(journal, change, sha256(content)), installed=True, moved_to=place)
    if not change.before and stands(target):
        raise RecoveryKitError(f"{target} appeared while the repair was being made")
    staged = stage(journal, intent.number, target)
    durable.stamp(staged, of_a_new_file(intent.metadata), times=False)  # also when it was made
    intent = replace(intent, blocks=keep_blocks(journal, intent))
    journal.append("intent", **describe(intent))
    if place:
        durable.move(target, locate(journal.mount, place))
    durable.move(staged, target)
    if intent.metadata.short_name is not None:
        durable.name_short(target, intent.metadata.short_name)
    journal.append("done", number=intent.number)


def keep_blocks(journal: Journal, intent: Intent) -> Kept | None:
    """Keep the blocks of the folders and files of a move that comes next; durable."""
    target = locate(journal.mount, intent.target)
    short = intent.metadata.short_name
    names = [short.decode("utf-8", "replace")] if short else []
    kept = _blocks(journal, intent.number, target, intent.moved_to, names)
    if not kept:
        return None
    path = _blocks_file(journal, intent.number)
    fill(path, kept)
    return Kept(path.name, sha256(kept), len(kept))


def _blocks(
    journal: Journal, number: int, target: Path, place: str, names: Sequence[str] = ()
) -> bytes:
    paths = [target, stage(journal, number, target)]
    if place:
        paths.append(locate(journal.mount, place))
    ours = [*names, *(path.name for path in paths)]
    files = [path for path in paths if stands(path)]
    return folder_blocks.take(journal.mount, files, {path.parent for path in paths}, ours)


def _blocks_file(journal: Journal, number: int) -> Path:
    return journal.folder / f"{number:04}.blocks"


def fill(path: Path, content: bytes) -> None:
    """Write a file of the transaction, which may be there already."""
    if not stands(path):
        durable.write(path, content, PRIVATE_FILE)
        return
    durable.patch(path, [(0, content)])
    if path.stat().st_size > len(content):
        durable.shorten(path, len(content))


def of_a_new_file(metadata: Metadata) -> Metadata:
    """Descriptor and attributes of the old file, but for how its bytes were stored."""
    if metadata.attributes is None:
        return metadata
    flags = int.from_bytes(metadata.attributes, "big") & ~_STORAGE
    return replace(metadata, attributes=flags.to_bytes(4, "big"))


def rewrite(journal: Journal, event: str, change: Change, write: HiveWrite) -> None:
    """Save a changed hive, of apply ("intent") or of undo ("undo-intent")."""
    target = locate(journal.mount, change.target)
    record = hive_files.pack(write.record)
    intent = replace(
        _intent(journal, change, sha256(write.saving.after.hive)),
        changes=write.changes if event == "intent" else (),  # an undo may be cut many times
        patch=sha256(record),
        logs=_logs(target.parent, write),
    )
    fill(journal.folder / intent.image, record)
    if hives.files(target) != write.saving.before:
        raise RecoveryKitError(f"{target} changed while the repair was being made")
    journal.append(event, **describe(intent))
    hives.write(target.parent, write.saving.steps, intent.metadata.security)
    dress_hive(target, intent, times=False)
    journal.append("done", number=intent.number)


def _logs(folder: Path, write: HiveWrite) -> tuple[tuple[str, Metadata], ...]:
    """What is to be given back to the logs that are written to."""
    written = [patch.name for patch in write.record if patch.pieces and patch.before]
    return tuple(
        (name, ntfs_metadata.read(folder / name))
        for name in written
        if name != write.saving.before.name
    )


def _intent(journal: Journal, change: Change, after: str) -> Intent:
    number = journal.read().next_number
    target = locate(journal.mount, change.target)
    like = target if stands(target) else _sibling(target)
    return Intent(
        number=number,
        target=change.target,
        before=change.before,
        after=after,
        image=f"{number:04}.before",
        metadata=ntfs_metadata.read(like) if like == target else _as_sibling(like),
    )


def _sibling(target: Path) -> Path:
    """The file whose descriptor and attributes a new one gets where none stood: the first of its
    kind in its folder, or the folder itself."""
    same = sorted(
        path
        for path in target.parent.iterdir()
        if path.suffix.casefold() == target.suffix.casefold() and path.is_file()
    )
    return same[0] if same else target.parent


def _as_sibling(like: Path) -> Metadata:
    """Of a folder only the descriptor: its attributes are those of a folder."""
    kept = ntfs_metadata.read(like)
    attributes = kept.attributes if like.is_file() else None
    return Metadata(security=kept.security, attributes=attributes)


def stage(journal: Journal, number: int, target: Path) -> Path:
    """The new file that takes the place of `target`; in our folder, so that Windows' own folders
    get no names but those that stay."""
    return journal.folder / STAGING / f"{number:04}-{target.name}"


def dress_hive(target: Path, intent: Intent, *, times: bool) -> None:
    """Give a hive and its logs back what writing them, or a cut, took."""
    dress(target, intent.metadata, times=times)
    for name, metadata in intent.logs:
        if stands(target.with_name(name)):
            dress(target.with_name(name), metadata, times=times)


def dress(target: Path, wanted: Metadata, *, times: bool) -> None:
    """Give a file back what writing it, or a cut, took: descriptor, attributes, and its `times`.

    ntfs-3g sets the archive attribute of every file that is written.
    """
    now = ntfs_metadata.read(target)
    lost = wanted.security != now.security or wanted.attributes not in (None, now.attributes)
    if lost or (times and _written(now) != _written(wanted)):
        durable.stamp(target, wanted, times=times)


def _written(metadata: Metadata) -> bytes | int:
    """Creation and modification; reading a file changes the other times."""
    return metadata.modified if metadata.times is None else metadata.times[:16]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
