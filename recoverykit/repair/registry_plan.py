"""What an expert asks of a registry, as a plan over hives. Decides, and writes nothing.

Every key and value that comes or goes is listed one by one (`registry_draft`), so that the history
can show them and `undo` can take them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from recoverykit.errors import NoCulpritError, UsageError
from recoverykit.formats.hive import Hive
from recoverykit.formats.reg_text import RegKey
from recoverykit.model import (
    KeyChange,
    Plan,
    RegistryChange,
    RegistryData,
    ValueChange,
    WindowsInstall,
)
from recoverykit.repair import edits
from recoverykit.repair.registry_draft import Draft

Changes = tuple[RegistryChange, ...]

# --- what is asked for --------------------------------------------------------------------


def set_value(
    hive: Hive, key: str, name: str, data: RegistryData, *, create: bool = False
) -> Changes:
    """One value set; () where it is so already. `create` makes its key, if need be.

    Raises NoCulpritError without that key, UsageError for names Windows cannot have.
    """
    draft = Draft(hive)
    if create:
        draft.create(key)
    elif not draft.holds(key):
        raise _absent(key, hint="--create makes it.")
    draft.set(key, name, data)
    return tuple(draft.changes)


def delete_value(hive: Hive, key: str, name: str) -> Changes:
    """One value deleted. Raises NoCulpritError where there is none."""
    draft = Draft(hive)
    if not draft.holds(key):
        raise _absent(key)
    if draft.value(key, name) is None:
        raise NoCulpritError(f"the key {key} has no value {name or '(default)'}")
    draft.set(key, name, None)
    return tuple(draft.changes)


def delete_key(hive: Hive, key: str, *, tree: bool = False) -> Changes:
    """One key deleted, with its values and, as `tree`, all below it.

    Raises NoCulpritError where there is none, UsageError for one that has subkeys without `tree`.
    """
    draft = Draft(hive)
    if not draft.holds(key):
        raise _absent(key)
    if not tree and (below := len(draft.subkeys(key))):
        raise UsageError(
            f"the key {key} has {below} subkey{'s' if below > 1 else ''}",
            hint="--tree deletes them with it.",
        )
    draft.delete(key)
    return tuple(draft.changes)


def merge(hive: Hive, keys: Sequence[RegKey]) -> Changes:
    """What the keys of a `.reg` file change, their paths below the hive's root.

    As regedit does: keys are made as needed, and what is not there need not be deleted.
    """
    draft = Draft(hive)
    for key in keys:
        if key.deleted:
            if draft.holds(key.path):
                draft.delete(key.path)
            continue
        draft.create(key.path)
        for value in key.values:
            draft.set(key.path, value.name, value.data)
    return tuple(draft.changes)


def _absent(key: str, hint: str = "") -> NoCulpritError:
    return NoCulpritError(f"there is no key {key or '(root)'} in this hive", hint=hint)


# --- the plan -----------------------------------------------------------------------------


def make(
    install: WindowsInstall, wanted: Mapping[str, Changes], *, title: str, reason: str
) -> Plan | None:
    """One plan over hives (by path) and their changes; None where nothing has to change.

    Reads the hives and their logs once more to name their hashes; writes nothing. Raises OSError.
    """
    actions, states, space = [], [], edits.MARGIN
    for hive, changes in wanted.items():
        if changes:
            action, seen, room = edits.edit(install, hive, changes)
            actions.append(action)
            states += seen
            space += room
    if not actions:
        return None
    return Plan(
        root=install.root,
        driver="",
        service="",
        reason=reason,
        actions=tuple(actions),
        preconditions=tuple(states),
        space_needed=space,
        title=title,
    )


def described(changes: Sequence[RegistryChange]) -> Iterator[str]:
    """How many of what, for a title: "2 values set", "1 key deleted"."""
    for what, kind in (("value", ValueChange), ("key", KeyChange)):
        gone = sum(isinstance(change, kind) and change.after is None for change in changes)
        came = sum(isinstance(change, kind) for change in changes) - gone
        for count, verb in ((came, "set" if what == "value" else "created"), (gone, "deleted")):
            if count:
                yield f"{count} {what}{'s' if count > 1 else ''} {verb}"
