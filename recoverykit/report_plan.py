"""A plan in words: what is done, and what stays."""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.model import (
    Action,
    InstallFile,
    KeyChange,
    Plan,
    QuarantineFile,
    RegistryChange,
    RegistryData,
)

START_NAMES = {0: "boot", 1: "system", 2: "automatic", 3: "on demand", 4: "disabled"}
_REG_DWORD, _TEXTS = 4, (1, 2, 6, 7)
_MOST_LINES = 200  # of a plan that are shown to a person
_LONG = 60  # characters of a value's text


def plan_text(plan: Plan) -> Iterator[str]:
    """The plan: one numbered line an action, then what names the driver and stays."""
    yield "    What a repair does:" if plan.driver else "    What will be done:"
    lines = [line for action in plan.actions for line in action_lines(action)]
    for number, line in enumerate(lines[:_MOST_LINES], start=1):
        yield f"      {number}. {line}"
    if len(lines) > _MOST_LINES:
        yield f"      ... and {len(lines) - _MOST_LINES} more; --json lists them all"
    stays = list(stays_lines(plan))
    if stays:
        yield "    What stays, and why:"
    yield from (f"      - {line}" for line in stays)
    yield "      Before-images are kept on the volume: 'recoverykit undo' takes it all back."


def stays_lines(plan: Plan) -> Iterator[str]:
    """What names the driver and is left as it is."""
    kept = [one for one in plan.decisions if not one.changed]
    for one in kept[:_MOST_LINES]:
        yield f"{one.what} {one.where}: {one.reason}"


def action_lines(action: Action) -> Iterator[str]:
    """One sentence for each thing that is done."""
    if isinstance(action, QuarantineFile):
        yield f"Move {action.path} into the quarantine (sha256 {action.sha256[:16]}...)"
        return
    if isinstance(action, InstallFile):
        old = "; the old one goes into the quarantine" if action.before else ""
        yield f"Write {action.path} from {action.origin} (sha256 {action.sha256[:16]}...){old}"
        return
    for change in action.changes:
        yield f"{_change(change)} in {action.hive}"


def _change(change: RegistryChange) -> str:
    if isinstance(change, KeyChange):
        return f"{'Delete' if change.after is None else 'Create'} the key {change.key}"
    name = change.name or "(default)"
    if change.before is None and change.after is not None:
        return f"Create {name} of {change.key} as {_shown(name, change.after)}"
    if change.before is not None and change.after is None:
        return f"Delete {name} of {change.key} (it is {_shown(name, change.before)})"
    before, after = (
        "nothing" if data is None else _shown(name, data) for data in (change.before, change.after)
    )
    return f"Set {name} of {change.key} from {before} to {after}"


def _shown(name: str, data: RegistryData) -> str:
    """A value for people: numbers as such, text as text, the rest as hexadecimal digits."""
    if data.type == _REG_DWORD and len(data.data) == 4:
        number = int.from_bytes(data.data, "little")
        known = name.casefold() in ("start", *"0123456789") and number in START_NAMES
        return f"{number} ({START_NAMES[number]})" if known else str(number)
    if data.type in _TEXTS:
        text = data.data[: len(data.data) & ~1].decode("utf-16-le", "replace").rstrip("\0")
        return '"' + _brief(text.replace("\0", " | ")) + '"'
    return _brief(data.data.hex()) or "empty"


def _brief(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
