"""What stands at places of a hive: type and data, class and descriptor, or nothing.

Made for plans of thousands of changes: each key is looked up once, and where many children of one
key are asked for, all of them are read once. Names are compared in any case.
"""

from __future__ import annotations

from collections import Counter

from recoverykit.errors import FormatError
from recoverykit.formats.cells import MAX_DEPTH
from recoverykit.formats.hive import Hive, Key, fold
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange

_FEW = 8  # children of one key that are searched for one by one

State = RegistryData | RegistryKey | None  # of a value, of a key, or that it does not exist
Place = tuple[str, str | None]  # (key, value), (key, None), folded


def place(change: RegistryChange) -> Place:
    """What a change is about."""
    name = fold(change.name) if isinstance(change, ValueChange) else None
    return fold(change.key), name


def agrees(found: State, wanted: State) -> bool:
    """Whether they are the same; a key wanted without a descriptor may have any."""
    if isinstance(found, RegistryKey) and isinstance(wanted, RegistryKey) and not wanted.security:
        return found.class_name == wanted.class_name
    return found == wanted


def key_state(key: Key) -> RegistryKey:
    """A key by itself. Raises FormatError for a damaged class name or descriptor."""
    return RegistryKey(key.class_name or "", key.security or b"")


class States:
    """Keys and values of one hive, looked up and remembered."""

    __slots__ = ("_asked", "_children", "_keys")

    def __init__(self, hive: Hive) -> None:
        self._keys: dict[str, Key | None] = {"": hive.root}
        self._asked: Counter[int] = Counter()  # cell of a key -> children that were searched for
        self._children: dict[int, dict[str, Key] | None] = {}  # None: they cannot all be read

    def of(self, change: RegistryChange) -> State:
        """What stands where a change would be made. Raises FormatError for damage on the way."""
        key = self.key(change.key)
        if isinstance(change, KeyChange):
            return None if key is None else key_state(key)
        value = None if key is None else key.value(change.name)
        return None if value is None else RegistryData(value.type, bytes(value.data))

    def key(self, path: str) -> Key | None:
        """As `Hive.find`."""
        if path.count("\\") > MAX_DEPTH:
            return None
        known, names = path, list[str]()
        while known not in self._keys:
            known, _, name = known.rpartition("\\")
            names.append(name)
        key = self._keys[known]
        for name in reversed(names):
            known = f"{known}\\{name}" if known else name
            if key is not None and name:
                key = self._child(key, name)
            self._keys[known] = key
        return key

    def _child(self, parent: Key, name: str) -> Key | None:
        self._asked[parent.cell] += 1
        if self._asked[parent.cell] <= _FEW:
            return parent.subkey(name)
        if parent.cell not in self._children:
            self._children[parent.cell] = _by_name(parent)
        children = self._children[parent.cell]
        return parent.subkey(name) if children is None else children.get(fold(name))


def _by_name(parent: Key) -> dict[str, Key] | None:
    found: dict[str, Key] = {}
    try:
        for child in parent.subkeys():
            found.setdefault(fold(child.name), child)
    except FormatError:
        return None
    return found
