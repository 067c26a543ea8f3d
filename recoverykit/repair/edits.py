"""Changes of a hive as a part of a plan: what the disk must still hold, and the room they take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recoverykit.formats.regf import PAGE, SECTOR, BaseBlock
from recoverykit.model import (
    EditHive,
    FileState,
    KeyChange,
    RegistryChange,
    WindowsInstall,
)
from recoverykit.repair import record
from recoverykit.repair.state import file_state, logs

MARGIN = 8 << 20  # the journal, folders, and what NTFS itself needs
_PAGES = 6  # that one change may touch: key, parent, lists, value, data, descriptor
_KEY, _VALUE = 112, 40  # bytes of the cells and list entries of one, beside its name and data
_TOLD = 5  # in the journal, with indents in plan.json, in undo.reg and as undone


def edit(
    install: WindowsInstall, hive: str, changes: tuple[RegistryChange, ...]
) -> tuple[EditHive, list[FileState], int]:
    """The action, the states of the hive and its logs, and the bytes of room it takes."""
    state = file_state(install.mount, hive)
    beside = [file_state(install.mount, log) for log in logs(install.mount, hive)]
    return EditHive(hive, changes), [state, *beside], room(install.mount, state, beside, changes)


def room(
    mount: Path, hive: FileState, beside: Sequence[FileState], changes: Sequence[RegistryChange]
) -> int:
    """Bytes for changing a hive, and again for undoing that change by change after Windows has run.

    Kept are the sectors that are written to, before and after: those of the logs, where the hive is
    dirty, and the pages that hold the cells of the changes, which also go through a log; those of
    what is new are new pages.
    """
    cells = sum(_length(change) for change in changes)
    told = sum(record.length(change) for change in changes)
    pages = cells + min(_PAGES * PAGE * len(changes), 2 * hive.size)
    with (mount / hive.path).open("rb") as stream:
        head = stream.read(SECTOR)
    clean = BaseBlock.parse(head).clean if head.startswith(b"regf") else False
    logged = 0 if clean else min(hive.size, sum(log.size for log in beside))
    return 4 * logged + 8 * pages + _TOLD * told


def _length(change: RegistryChange) -> int:
    """Bytes of its cells; data twice, as it may have to move."""
    if isinstance(change, KeyChange):
        keys = (key for key in (change.before, change.after) if key is not None)
        kept = sum(len(key.security) + 2 * len(key.class_name) for key in keys)
        return _KEY + 2 * len(change.key.rpartition("\\")[2]) + kept
    data = sum(len(data.data) for data in (change.before, change.after) if data is not None)
    return _VALUE + 2 * len(change.name) + 2 * data
