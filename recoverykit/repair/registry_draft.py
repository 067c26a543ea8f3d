"""A hive as it will be, and the changes that make it so, one by one.

Changes are listed in the order in which they can be made and, backwards, taken back: a key after
its parent, and values before the key they stand in goes. So `undo` needs nothing but the list.
Refused: what could not be taken back exactly (symbolic links, keys that Windows itself protects),
and more than a journal should hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from recoverykit.errors import TargetRefusedError, UsageError
from recoverykit.formats import hive_security
from recoverykit.formats.hive import Hive, Key, fold
from recoverykit.formats.hive_edit import key_state
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange
from recoverykit.repair import record

MOST_CHANGES = 20_000
MOST_BYTES = 4 << 20  # of the changes as they stand in a journal

_KEY_NAME, _VALUE_NAME, _DEPTH = 255, 16_383, 512  # what Windows allows; UTF-16 units, levels
# Hive exit and entry, "no delete", symbolic link, predefined handle: nk flags nobody can set again.
_UNDELETABLE = 0x0002 | 0x0004 | 0x0008 | 0x0010 | 0x0040


@dataclass(slots=True)
class _Drafted:
    """A key as it will be: its spelling, and whether it is there."""

    path: str
    state: RegistryKey | None


class Draft:
    """A hive as it will be, and the changes that make it so."""

    __slots__ = ("_bytes", "_found", "_hive", "_keys", "_made", "_values", "changes")

    def __init__(self, hive: Hive) -> None:
        self._hive = hive
        self._found: dict[str, Key | None] = {}  # what was looked up: a key knows its values
        self._keys: dict[str, _Drafted] = {}  # those that came or went, by folded path
        self._values: dict[str, dict[str, tuple[str, RegistryData | None]]] = {}  # the same way
        self._made: dict[str, list[str]] = {}  # names of keys that came, by folded parent
        self._bytes = 0
        self.changes: list[RegistryChange] = []

    def holds(self, key: str) -> bool:
        """Whether there is such a key now."""
        known = self._keys.get(fold(key))
        if known is not None:
            return known.state is not None
        return self._find(key) is not None

    def value(self, key: str, name: str) -> RegistryData | None:
        """What a value holds now; None where it, or its key, is not there."""
        return self._value(key, name)[1]

    def subkeys(self, key: str) -> list[str]:
        """The names of the subkeys that are there now."""
        stands = self._find(key)
        names = []
        for child in stands.subkeys() if stands is not None else ():
            names.append(child.name)
            self._found.setdefault(fold(_join(key, child.name)), child)
        names += self._made.get(fold(key), [])
        alive = {fold(name): name for name in names if self.holds(_join(key, name))}
        return list(alive.values())

    def create(self, key: str) -> None:
        """Make a key, its parents first, as far as they are not there."""
        _require_key_names(key)
        names = key.split("\\") if key else []
        for depth in range(1, len(names) + 1):
            path = "\\".join(names[:depth])
            if self.holds(path):
                continue
            parent, name = self._spelled("\\".join(names[: depth - 1])), names[depth - 1]
            made = _join(parent, name)
            # One that goes and comes back may have had another descriptor than its parent's: the
            # change is exact only if it says which.
            came_back = fold(made) in self._keys
            state = RegistryKey(security=self._security(parent) if came_back else b"")
            self._keys[fold(made)] = _Drafted(made, state)
            self._made.setdefault(fold(parent), []).append(name)
            self._add(KeyChange(made, None, state))

    def set(self, key: str, name: str, data: RegistryData | None) -> None:
        """Give a value what it shall hold; None deletes it. Nothing, where it is so already."""
        if _units(name) > _VALUE_NAME:
            raise UsageError(f"the name of a value has at most {_VALUE_NAME} characters")
        spelled, before = self._value(key, name)
        if before == data:
            return
        self._values.setdefault(fold(key), {})[fold(name)] = (spelled, data)
        self._add(ValueChange(self._spelled(key), spelled, before, data))

    def delete(self, key: str) -> None:
        """Take a key away with all it holds, the deepest first.

        Values go in the opposite of their order, so that taking it all back restores that. Raises
        FormatError for a damaged security descriptor.
        """
        if not key:
            raise UsageError("the root of a hive cannot be deleted")
        for path in reversed(self._below(key)):
            for name in reversed(self._value_names(path)):
                self.set(path, name, None)
            spelled, state = self._spelled(path), self._state(path)
            self._keys[fold(path)] = _Drafted(spelled, None)
            self._add(KeyChange(spelled, state, None))

    def _below(self, key: str) -> list[str]:
        """The key and all below it, parents first. Raises TargetRefusedError."""
        found, pending = [], [key]
        while pending:
            path = pending.pop()
            self._require_deletable(path)
            found.append(path)
            if len(found) > MOST_CHANGES:
                raise _too_much()
            pending += [_join(path, name) for name in reversed(self.subkeys(path))]
        return found

    def _require_deletable(self, path: str) -> None:
        key = None if fold(path) in self._keys else self._find(path)
        if key is not None and key.flags & _UNDELETABLE:
            what = "a symbolic link" if key.is_link else "protected by Windows"
            raise TargetRefusedError(
                f"the key {key.path} is {what}: deleting it could not be taken back exactly"
            )
        state = self._state(path)
        if state is not None and state.security:
            hive_security.require_descriptor(state.security)  # else nobody could set it again

    def _value_names(self, path: str) -> list[str]:
        key = self._find(path)
        names = [value.name for value in key.values()] if key is not None else []
        names += [spelled for spelled, _ in self._values.get(fold(path), {}).values()]
        alive = {fold(name): name for name in names if self.value(path, name) is not None}
        return list(alive.values())

    def _value(self, key: str, name: str) -> tuple[str, RegistryData | None]:
        """Its spelling and what it holds."""
        known = self._values.get(fold(key), {}).get(fold(name))
        if known is not None:
            return (known[0] if known[1] is not None else name), known[1]
        stands = self._standing(key)
        value = stands.value(name) if stands is not None else None
        if value is None:
            return name, None
        return value.name, RegistryData(value.type, bytes(value.data))

    def _standing(self, key: str) -> Key | None:
        """The key of the hive; None for one that was made, and may bear the name of another."""
        return None if fold(key) in self._keys else self._find(key)

    def _find(self, path: str) -> Key | None:
        """The key as the hive has it."""
        folded = fold(path)
        if folded not in self._found:
            self._found[folded] = self._hive.find(path)
        return self._found[folded]

    def _state(self, path: str) -> RegistryKey | None:
        known = self._keys.get(fold(path))
        if known is not None:
            return known.state
        key = self._find(path)
        return None if key is None else key_state(key)

    def _security(self, path: str) -> bytes:
        """The descriptor a key has, or will have from its parents."""
        while True:
            state = self._state(path)
            if not path or (state is not None and state.security):
                return b"" if state is None else state.security
            path = path.rpartition("\\")[0]

    def _spelled(self, path: str) -> str:
        known = self._keys.get(fold(path))
        if known is not None:
            return known.path
        key = self._find(path)
        return path if key is None else key.path

    def _add(self, change: RegistryChange) -> None:
        self.changes.append(change)
        self._bytes += record.length(change)
        if len(self.changes) > MOST_CHANGES or self._bytes > MOST_BYTES:
            raise _too_much()


def _too_much() -> TargetRefusedError:
    return TargetRefusedError(
        f"this is more than {MOST_CHANGES} changes or {MOST_BYTES >> 20} MiB of them, "
        "which is more than one transaction takes",
        hint="Do it in parts.",
    )


def _join(parent: str, name: str) -> str:
    return f"{parent}\\{name}" if parent else name


def _units(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _require_key_names(key: str) -> None:
    names = key.split("\\") if key else []
    if len(names) > _DEPTH:
        raise UsageError(f"a key lies at most {_DEPTH} levels deep")
    for name in names:
        if not 0 < _units(name) <= _KEY_NAME:
            raise UsageError(f"the name of a key has 1 to {_KEY_NAME} characters, not {len(name)}")
