"""Keys of the Enum and Class trees of the control set in use, damage skipped. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key
from recoverykit.model import Gap, Source, WindowsInstall

MAX_INSTANCES = 50_000  # a workstation has 300 to 3,000


def classes(install: WindowsInstall, hive: Hive) -> Iterator[tuple[str, Key] | Gap]:
    """(class GUID in lower case, key) of every device setup class."""
    for item in _below(install, hive, f"{install.control_set_key}\\Control\\Class", levels=1):
        yield item if isinstance(item, Gap) else (item.name.lower(), item)


def instances(install: WindowsInstall, hive: Hive) -> Iterator[tuple[str, Key] | Gap]:
    """(instance path, key) of every device Windows ever saw."""
    path = f"{install.control_set_key}\\Enum"
    for number, item in enumerate(_below(install, hive, path, levels=3)):
        if isinstance(item, Gap):
            yield item
        elif number >= MAX_INSTANCES:
            reason = f"more than {MAX_INSTANCES} devices: the rest was not read"
            yield Gap(Source(install.system_hive, key=path), reason)
            return
        else:
            yield item.path[len(path) + 1 :], item


def _below(install: WindowsInstall, hive: Hive, path: str, levels: int) -> Iterator[Key | Gap]:
    """The keys exactly `levels` below a path."""
    try:
        root = hive.find(path)
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key=path), str(exc))
        return
    if root is None:
        yield Gap(Source(install.system_hive, key=path), "the key is missing")
    else:
        yield from _descend(install, root, levels)


def _descend(install: WindowsInstall, key: Key, levels: int) -> Iterator[Key | Gap]:
    if levels == 0:
        yield key
        return
    try:
        for child in key.subkeys():
            yield from _descend(install, child, levels - 1)
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key.offset, key.path), str(exc))
