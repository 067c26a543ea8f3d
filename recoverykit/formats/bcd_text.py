"""A boot store as text, laid out as `bcdedit /enum all /v` lays it out.

The layout follows outputs that people published (docs/bcd.md names them): objects by type and
GUID, a heading underlined with dashes, names padded to 24 columns, further entries of a list below
the first. Where offline nobody can say what bcdedit would, we say what is known instead: drive
letters and \\Device\\HarddiskVolumeN do not exist, so a partition is named as `model.Volume` names
it. Text in a store is hostile: what a terminal would obey comes out escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from recoverykit.formats import bcd_names
from recoverykit.formats.bcd import Element, Object, Raw, Store, Value
from recoverykit.formats.bcd_device import (
    Boot,
    Device,
    File,
    GptPartition,
    Locate,
    MbrPartition,
    Opaque,
    Ramdisk,
    VirtualDisk,
    Where,
    identity,
)

Naming = Callable[[str], str]  # an identity ("gpt:...") to what a person should read
_COLUMN = 24
_DEFAULT = 0x2300_0003
_BINARY_SHOWN = 64  # bytes of a value nobody understands


def as_stored(identity: str) -> str:
    """A partition by its identity alone."""
    return identity


def lines(store: Store, *, naming: Naming = as_stored, aliases: bool = False) -> Iterator[str]:
    """The whole store. With `aliases` well-known GUIDs as names, as bcdedit does without /v."""
    names = known_names(store) if aliases else {}
    for number, item in enumerate(ordered(store)):
        if number:
            yield ""
        heading = bcd_names.title(item.id, item.type)
        yield heading
        yield "-" * len(heading)
        yield _pair("identifier", names.get(item.id, item.id))
        for element in sorted(item.elements, key=lambda own: own.type):
            name = bcd_names.element_name(element.type, item.type)
            for at, text in enumerate(shown(element, name, naming, names) or ("",)):
                yield _pair("" if at else name, text)


def ordered(store: Store) -> list[Object]:
    """Objects as bcdedit lists them all: by type, then by GUID."""
    return sorted(store.objects, key=lambda item: (item.type, item.id))


def known_names(store: Store) -> dict[str, str]:
    """GUID to name, in braces; {default} is what the boot manager's `default` says."""
    names = dict(bcd_names.ALIASES)
    manager = store.find(bcd_names.BOOTMGR)
    default = manager.value(_DEFAULT) if manager is not None else None
    if isinstance(default, str):
        names.setdefault(default.lower(), "{default}")
    return names


def _pair(name: str, text: str) -> str:
    return f"{name:<{_COLUMN - 1}} {text}".rstrip()


def shown(
    element: Element, name: str, naming: Naming = as_stored, names: dict[str, str] | None = None
) -> tuple[str, ...]:
    """A value as bcdedit prints it, one text a line."""
    return tuple(printable(text) for text in _texts(element.value, name, naming, names or {}))


def _texts(value: Value, name: str, naming: Naming, names: dict[str, str]) -> Iterator[str]:
    match value:
        case Device(where, options):
            yield device(where, options, naming, names)
        case str():
            yield names.get(value.lower(), value)
        case bool():
            yield "Yes" if value else "No"
        case int():
            yield bcd_names.number(name, value)
        case tuple():
            for item in value:
                if isinstance(item, int):
                    yield bcd_names.number(name, item)
                else:
                    yield names.get(item.lower(), item)
        case bytes():
            yield _hex(value)
        case Raw(stored):
            yield f"not understood: type {stored.type}, {_hex(stored.data)}"


def _hex(data: bytes) -> str:
    more = f"... ({len(data)} bytes)" if len(data) > _BINARY_SHOWN else ""
    return f"{data[:_BINARY_SHOWN].hex()}{more}"


def device(
    where: Where, options: str = "", naming: Naming = as_stored, names: dict[str, str] | None = None
) -> str:
    """A device as the options of `bcdedit /set` spell it, partitions as `naming` does."""
    match where:
        case Boot():
            return "boot"
        case GptPartition() | MbrPartition():
            return f"partition={naming(identity(where))}"
        case Ramdisk(path, parent):
            more = f",{(names or {}).get(options, options)}" if options else ""
            return f"ramdisk={_on(parent, naming)}{path}{more}"
        case File(path, parent):
            return f"file={_on(parent, naming)}{path}"
        case VirtualDisk(file):
            return _virtual(file, naming)
        case Locate(path, element, parent):
            found = path or f"custom:{element:08x}"
            if isinstance(parent, VirtualDisk):
                return f"{device(parent, naming=naming)},locate={found}"
            on = "" if parent is None else _on(parent, naming)
            return f"locate={on}{found}"
        case Opaque(record):
            return f"unknown (kind {where.kind}, {_hex(record)})"


def _virtual(file: Where, naming: Naming) -> str:
    if isinstance(file, File):
        return f"vhd={_on(file.parent, naming)}{file.path}"
    return f"vhd={_on(file, naming)}"


def _on(parent: Where, naming: Naming) -> str:
    text = device(parent, naming=naming)
    return f"[{text.removeprefix('partition=')}]"


def printable(text: str) -> str:
    """Control characters, and those that reorder text, as escapes."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
