"""Change a boot store: pure functions from store to store, and the registry changes between two.

A caller makes the store it wants out of the one it read, step by step; `changes` then lists what
has to be done to the hive, each with what it expects to find, for the same transaction that makes
every other repair. Nothing here touches bytes of a hive, and what was not asked for stays as it is,
down to values nobody understands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from recoverykit.errors import FormatError
from recoverykit.formats import bcd, hive_edit
from recoverykit.formats.bcd import Element, Format, Object, Store, Stray, Value
from recoverykit.formats.hive import REG_DWORD, Hive
from recoverykit.model import (
    KeyChange,
    RegistryChange,
    RegistryData,
    RegistryKey,
    ValueChange,
)

_TEXT = 0x1200_0004  # description
_LISTS = (Format.OBJECT, Format.OBJECT_LIST)


# --- objects ------------------------------------------------------------------------------


def make(identifier: str, object_type: int, elements: Mapping[int, Value]) -> Object:
    """A new object. Raises ValueError for a value that does not fit its element."""
    found = (Element(number, bcd.encode(number, value)) for number, value in elements.items())
    about = RegistryData(REG_DWORD, object_type.to_bytes(4, "little"))
    return Object(
        identifier.lower(),
        ((bcd.TYPE, about),),
        tuple(sorted(found, key=lambda own: own.type)),
    )


def with_object(store: Store, item: Object) -> Store:
    """`item` added, or put in the place of the one with its GUID."""
    others = tuple(own for own in store.objects if own.id != item.id)
    return replace(store, objects=(*others, item))


def without_object(store: Store, identifier: str) -> Store:
    """The object gone, and gone from every list and reference, as `bcdedit /delete` does it."""
    wanted = identifier.lower()
    kept = (own for own in store.objects if own.id != wanted)
    return replace(store, objects=tuple(_unreferenced(own, wanted) for own in kept))


def _unreferenced(item: Object, wanted: str) -> Object:
    for element in item.elements:
        value = element.value
        if element.type >> 24 & 0xF not in _LISTS:
            continue
        if isinstance(value, str) and value.lower() == wanted:
            item = _without(item, element.type)
        elif isinstance(value, tuple):
            left = tuple(str(own) for own in value if str(own).lower() != wanted)
            if left != value:
                item = _with(item, element.type, left) if left else _without(item, element.type)
    return item


def copied(store: Store, identifier: str, new: str, description: str = "") -> Store:
    """A copy of an object under the GUID `new`, as `bcdedit /copy` makes one.

    Raises FormatError when there is no such object.
    """
    found = _need(store, identifier)
    about = tuple((name, data) for name, data in found.description if name == bcd.TYPE)
    item = Object(new.lower(), about, found.elements)
    return with_object(store, _with(item, _TEXT, description) if description else item)


def _need(store: Store, identifier: str) -> Object:
    found = store.find(identifier)
    if found is None:
        raise FormatError("boot store", 0, f"it has no object {identifier}")
    return found


# --- elements -----------------------------------------------------------------------------


def with_element(store: Store, identifier: str, element: int, value: Value) -> Store:
    """One element set. Raises FormatError without the object, ValueError for a value that does
    not fit. Setting what is there already changes nothing, whatever its width.
    """
    return with_object(store, _with(_need(store, identifier), element, value))


def without_element(store: Store, identifier: str, element: int) -> Store:
    """One element removed; nothing happens where it is not set. Raises FormatError."""
    return with_object(store, _without(_need(store, identifier), element))


def with_listed(
    store: Store, identifier: str, element: int, target: str, *, at: int | None = None
) -> Store:
    """`target` in a list of objects, such as displayorder: at index `at`, or last.

    One that is in the list already is moved. Raises FormatError without the object, ValueError for
    an element that is no list.
    """
    others = [own for own in _listed(store, identifier, element) if own.lower() != target.lower()]
    others.insert(len(others) if at is None else at, target)
    return with_element(store, identifier, element, tuple(others))


def without_listed(store: Store, identifier: str, element: int, target: str) -> Store:
    """`target` no longer in a list of objects; an empty list goes. Raises as `with_listed`."""
    found = _listed(store, identifier, element)
    left = tuple(own for own in found if own.lower() != target.lower())
    if not left:
        return without_element(store, identifier, element)
    return with_element(store, identifier, element, left)


def _listed(store: Store, identifier: str, element: int) -> tuple[str, ...]:
    if element >> 24 & 0xF != Format.OBJECT_LIST:
        raise ValueError(f"element {element:08x} is no list of objects")
    value = _need(store, identifier).value(element)
    return tuple(str(item) for item in value) if isinstance(value, tuple) else ()


def _with(item: Object, element: int, value: Value) -> Object:
    old = item.find(element)
    new = Element(element, bcd.encode(element, value))
    if old is not None and old.value == value:
        return item
    others = (own for own in item.elements if own.type != element)
    return replace(item, elements=tuple(sorted((*others, new), key=lambda own: own.type)))


def _without(item: Object, element: int) -> Object:
    return replace(item, elements=tuple(own for own in item.elements if own.type != element))


# --- the hive's side ----------------------------------------------------------------------

_Values = dict[tuple[str, str], RegistryData]  # (key, value name)


def changes(before: Store, after: Store, hive: Hive | None = None) -> tuple[RegistryChange, ...]:
    """What makes the hive of `before` that of `after`: first what goes, then what comes.

    With the `hive` that `before` was read from, keys it lacks are made (an object without
    Elements), and keys that go are noted with their security descriptors, so that undo brings back
    the same ones.
    """
    old_keys, old_values = _layout(before)
    new_keys, new_values = _layout(after)
    if hive is not None:
        old_keys = {key: None for key in old_keys if hive.find(key) is not None}
    gone = [key for key in old_keys if key not in new_keys]
    come = [key for key in new_keys if key not in old_keys]
    found: list[RegistryChange] = []
    for (key, name), data in old_values.items():
        wanted = new_values.get((key, name))
        if wanted != data:
            found.append(ValueChange(key, name, data, wanted))
    found += [KeyChange(key, _state(hive, key), None) for key in reversed(gone)]
    found += [KeyChange(key, None, RegistryKey()) for key in come]
    for place, data in new_values.items():
        if place not in old_values:
            found.append(ValueChange(*place, None, data))
    return tuple(found)


def _state(hive: Hive | None, key: str) -> RegistryKey:
    found = hive.find(key) if hive is not None else None
    return RegistryKey() if found is None else hive_edit.key_state(found)


def _layout(store: Store) -> tuple[dict[str, None], _Values]:
    """Every key, parents before children, and every value of a store's hive."""
    keys: dict[str, None] = {bcd.DESCRIPTION: None, bcd.OBJECTS: None}
    values: _Values = {(bcd.DESCRIPTION, name): data for name, data in store.description}
    for item in store.objects:
        root = bcd.object_key(item.id)
        for key, name, data in _of_object(item):
            path = f"{root}\\{key}" if key else root
            keys.setdefault(path)
            if name is not None and data is not None:
                values[path, name] = data
    return keys, values


def _of_object(item: Object) -> Iterator[tuple[str, str | None, RegistryData | None]]:
    yield "", None, None
    for key, values in ((bcd.DESCRIPTION, item.description), (bcd.ELEMENTS, ())):
        yield key, None, None
        yield from ((key, name, data) for name, data in values)
    for element in item.elements:
        yield f"{bcd.ELEMENTS}\\{element.type:08x}", bcd.ELEMENT, element.stored
    yield from _strays(item.strays)


def _strays(strays: Iterable[Stray]) -> Iterator[tuple[str, str | None, RegistryData | None]]:
    yield from ((stray.key, stray.name, stray.stored) for stray in strays)
