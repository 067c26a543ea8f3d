"""Names in the component store (WinSxS): which folders and backups may hold a driver.

A folder is called `<machine>_<name>_<key token>_<version>_<language>_<hash>`, all in lower case; a
long name has its middle replaced by "..". Nothing in it says which files are inside, but a driver's
component is mostly called after its INF or its file. Files in `r`, `f` and `n` are deltas (Windows
10 1809 and later). `Backup` holds whole files of what a boot needs, named after the folder they
come from, with the file's own name and eight digits behind. Source: "Manage the Component Store" on
Microsoft Learn, public listings of WinSxS folders.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DELTAS = ("f", "n", "r")

_MACHINES = {"x64": "amd64", "x86": "x86", "arm64": "arm64", "arm": "arm", "ia64": "ia64"}
_FOLDER = r"([a-z0-9]+)_(.+)_[0-9a-f]{16}_(\d{1,5}(?:\.\d{1,5}){3})_([a-z-]+)_[0-9a-f]{16}"
_COMPONENT = re.compile(_FOLDER, re.IGNORECASE)
_BACKUP = re.compile(_FOLDER + r"_(.+)_[0-9a-f]{8}", re.IGNORECASE)
_NEUTRAL = "none"  # drivers belong to no language


@dataclass(frozen=True, slots=True)
class Component:
    """One folder, or one file of `Backup`, that may hold a driver for this kind of machine."""

    name: str  # lower case
    version: str


def component(entry: str, machine: str) -> Component | None:
    """None for what cannot hold a driver for such a machine."""
    return _read(_COMPONENT, entry, machine)


def backup(entry: str, machine: str, name: str) -> Component | None:
    """None for another file's backup. `name`: of the driver, lower case."""
    match = _BACKUP.fullmatch(entry)
    if match is None or match.group(5).lower() != name:
        return None
    return _read(_BACKUP, entry, machine)


def is_called_after(found: Component, stem: str) -> bool:
    return stem in found.name


def _read(layout: re.Pattern[str], entry: str, machine: str) -> Component | None:
    match = layout.fullmatch(entry)
    if match is None or match.group(4).lower() != _NEUTRAL:
        return None
    if match.group(1).lower() != _MACHINES.get(machine, ""):
        return None
    return Component(match.group(2).lower(), match.group(3))
