"""Several plans for one installation as one: all of it is done, or nothing. Pure.

Changes of one hive become one action, in their order. The same change asked for twice is made once;
two that contradict each other refuse the whole. Lists of filters are the exception: two drivers
that leave one list leave it together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recoverykit.errors import UsageError
from recoverykit.formats.hive import REG_MULTI_SZ, fold
from recoverykit.model import (
    Action,
    EditHive,
    FileState,
    KeyChange,
    Plan,
    RegistryChange,
    RegistryData,
    ValueChange,
)
from recoverykit.repair.edits import MARGIN

_FILTERS = ("UPPERFILTERS", "LOWERFILTERS")
_Place = tuple[str, str | None]  # folded key, folded value name; None: the key itself


def merged(plans: Sequence[Plan], title: str, reason: str) -> Plan:
    """One plan. Raises UsageError with one clause where two of them cannot both be carried out."""
    edits: dict[str, list[RegistryChange]] = {}
    moves: dict[str, Action] = {}
    for action in (action for plan in plans for action in plan.actions):
        if isinstance(action, EditHive):
            edits.setdefault(action.hive, []).extend(action.changes)
        elif moves.setdefault(fold(action.path), action) != action:
            raise UsageError(f"two acts are about {action.path}, and not the same")
    hives = (EditHive(hive, one_each(changes)) for hive, changes in edits.items())
    named = [plan for plan in plans if plan.driver]
    return Plan(
        root=plans[0].root,
        driver=named[0].driver if len(named) == 1 else "",
        service=named[0].service if len(named) == 1 else "",
        reason=reason,
        actions=(*hives, *moves.values()),
        preconditions=_states(state for plan in plans for state in plan.preconditions),
        space_needed=sum((plan.space_needed - MARGIN for plan in plans), MARGIN),
        title=title,
        decisions=tuple(dict.fromkeys(item for plan in plans for item in plan.decisions)),
    )


def _states(states: Iterable[FileState]) -> tuple[FileState, ...]:
    found: dict[str, FileState] = {}
    for state in states:
        if found.setdefault(state.path, state) != state:
            raise UsageError(f"{state.path} changed while it was looked at")
    return tuple(found.values())


def one_each(changes: Iterable[RegistryChange]) -> tuple[RegistryChange, ...]:
    """Every key and value at most once. Raises UsageError for a contradiction."""
    found: dict[_Place, RegistryChange] = {}
    for change in changes:
        place = _place(change)
        earlier = found.get(place)
        if earlier is None:
            found[place] = change
            continue
        if (earlier.before, earlier.after) == (change.before, change.after):
            continue  # spelled otherwise at most
        together = _both(earlier, change)
        if together is None:
            name = change.name if isinstance(change, ValueChange) else "the key"
            raise UsageError(f"two acts contradict each other about {name} of {change.key}")
        found[place] = together
    return tuple(found.values())


def _place(change: RegistryChange) -> _Place:
    name = fold(change.name) if isinstance(change, ValueChange) else None
    return fold(change.key), name


def _both(one: RegistryChange, two: RegistryChange) -> RegistryChange | None:
    """Two drivers taken out of one list; None for anything else."""
    if isinstance(one, KeyChange) or isinstance(two, KeyChange):
        return None
    if fold(one.name) not in _FILTERS or one.before is None or one.before != two.before:
        return None
    before, first, second = (_names(data) for data in (one.before, one.after, two.after))
    if before is None or first is None or second is None:
        return None
    if any([name for name in before if name in kept] != kept for kept in (first, second)):
        return None  # something else than taken out
    left = [name for name in before if name in first and name in second]
    text = "".join(f"{name}\0" for name in left) + "\0"
    data = RegistryData(REG_MULTI_SZ, text.encode("utf-16-le", "surrogatepass"))
    return replace(one, after=data if left else None)


def _names(data: RegistryData | None) -> list[str] | None:
    """The texts of a list, none twice; no data is an empty list; None for what is no such list."""
    if data is None:
        return []
    if data.type != REG_MULTI_SZ or len(data.data) % 2:
        return None
    texts = data.data.decode("utf-16-le", "surrogatepass").split("\0")
    names = [text for text in texts if text]
    return names if len(set(names)) == len(names) else None
