"""The closed lists of what a medium is made of, read from winpe/data.

In this release they are fixed; a later one merges the administrator's own recipe over them.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from winpe.architecture import X64, Architecture
from winpe.errors import ContentError


@dataclass(frozen=True, slots=True)
class PythonParts:
    """Which parts of Python's standard library stay out of the image."""

    version: str
    drop: frozenset[str]
    drop_extensions: frozenset[str]


@dataclass(frozen=True, slots=True)
class BootFiles:
    """Where the sysroot holds the boot loaders, and the stub that a UKI begins with."""

    shim: str
    mok_manager: str
    grub: str
    grub_bios: str  # a folder; "" where there is no BIOS
    stub: str


@dataclass(frozen=True, slots=True)
class Base:
    """What the Linux base takes from Debian, for one architecture."""

    architecture: Architecture
    suite: str
    kernel: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    libraries: tuple[str, ...]
    links: dict[str, str]
    python: PythonParts
    boot: BootFiles


@dataclass(frozen=True, slots=True)
class ModuleTable:
    """Kernel modules by purpose."""

    folders: tuple[str, ...]
    names: tuple[str, ...]
    leave_out: tuple[str, ...]  # shell patterns of module names


def text(name: str) -> str:
    """A file of winpe/data."""
    return resources.files("winpe").joinpath("data", name).read_text(encoding="utf-8")


def base(architecture: Architecture = X64, source: str | None = None) -> Base:
    raw = _parsed("base.toml", source)
    own, python = raw[architecture.name], raw["python"]
    return Base(
        architecture=architecture,
        suite=raw["suite"],
        kernel=own["kernel"],
        packages=(*raw["packages"], *own["packages"]),
        programs=tuple(raw["programs"]),
        libraries=tuple(raw["libraries"]),
        links=dict(raw["links"]),
        python=PythonParts(
            python["version"], frozenset(python["drop"]), frozenset(python["drop_extensions"])
        ),
        boot=BootFiles(**own["boot"]),
    )


def modules(architecture: Architecture = X64, source: str | None = None) -> ModuleTable:
    """The table's sections, with the names of this architecture and not those of another."""
    raw = _parsed("modules.toml", source)
    leave_out = raw.pop("leave_out")["names"]
    folders = [folder for section in raw.values() for folder in section["folders"]]
    names = [
        name
        for section in raw.values()
        for name in (*section["names"], *section.get(architecture.name, ()))
    ]
    return ModuleTable(tuple(folders), tuple(names), tuple(leave_out))


def _parsed(name: str, source: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text(name) if source is None else source)
    except tomllib.TOMLDecodeError as exc:
        raise ContentError(f"winpe/data/{name}: {exc}") from exc
