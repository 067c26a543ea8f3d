"""One scene: what stands on a volume, what is asked, and every single thing that may change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recoverykit import installs
from recoverykit.evidence import collect
from recoverykit.model import (
    FileState,
    Finding,
    Kind,
    Plan,
    Refusal,
    Suspect,
    Verdict,
    WindowsInstall,
)
from recoverykit.repair import plan as planning
from tests.builders import hive as builder
from tests.builders.hive import Raw
from tests.golden import tree, volume
from tests.golden.tree import File

Was = Raw | None  # None: it is not there
Build = Callable[[bytes], Mapping[str, bytes]]  # a clean hive -> SYSTEM and its logs


@dataclass(frozen=True, slots=True)
class Asked:
    """What a technician wants: a driver quarantined, or `put` in the place of its file."""

    driver: str = "acme.sys"
    service: str = "acme"
    kind: Kind = Kind.DRIVER
    path: str = ""  # of a data file; where to put
    put: bytes = b""

    @property
    def supply(self) -> dict[str, bytes]:
        return {hashlib.sha256(self.put).hexdigest(): self.put}


@dataclass(frozen=True, slots=True)
class Scene:
    id: str
    registry: Mapping[str, Any] = field(default_factory=dict)  # over tree.BASE
    files: Mapping[str, File | None] = field(default_factory=dict)  # beside those of the tree
    links: Mapping[str, str] = field(default_factory=dict)  # another name -> of which file
    asked: Asked = field(default_factory=Asked)
    # --- what changes, and nothing else ---
    values: Mapping[str, tuple[Was, Was]] = field(default_factory=dict)  # "key!name"
    keys: tuple[str, ...] = ()  # go, with all that is in them
    moved: tuple[str, ...] = (tree.ACME,)  # into our folder
    replaced: tuple[str, ...] = ()  # by Asked.put, dressed as the old file
    made: tuple[str, ...] = ()  # from Asked.put, where no file was
    # --- more ---
    hive: Build | None = None  # how SYSTEM lies there; None: clean
    minor: int = 5
    spelled: Mapping[str, str] = field(default_factory=dict)  # parts of paths, on this volume
    stays: tuple[tuple[str, str], ...] = ()  # (what, end of where) that is decided to stay
    refused: str = ""  # a part of the reason: nothing is done at all

    def path(self, name: str) -> str:
        for old, new in self.spelled.items():
            name = name.replace(old, new)
        return name

    def whole(self) -> bytes:
        """The hive with what its logs hold."""
        return builder.build(tree.merged(tree.BASE, self.registry), minor=self.minor)


def build(scene: Scene, image: Path) -> None:
    """The scene on a new volume, with all that NTFS keeps about its files."""
    volume.make(image)
    with volume.mounted(image, write=True) as root:
        found = populate(scene, root)
        for name, file in found.items():
            tree.dress(root, scene.path(name), file)
        for new, old in scene.links.items():
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            (root / new).hardlink_to(root / scene.path(old))
        for name in found:
            tree.stamp(root, scene.path(name))


def populate(scene: Scene, root: Path) -> dict[str, File]:
    """The scene's files and what they hold, in any folder."""
    found = tree.files()
    hives = scene.hive(scene.whole()) if scene.hive else {tree.SYSTEM: scene.whole()}
    found |= {name: tree.hive(content) for name, content in hives.items()}
    for name, file in scene.files.items():
        if file is None:
            del found[name]
        else:
            found[name] = file
    for name, file in found.items():
        tree.put(root, scene.path(name), file)
    return found


# --- what is asked ------------------------------------------------------------------------


def install(image: Path, root: Path) -> WindowsInstall:
    (found,), gaps = installs.find(tree.volume(image, root), root)
    assert not gaps
    return found


def plan(scene: Scene, on: WindowsInstall) -> Plan | Refusal:
    asked = scene.asked
    finding = Finding(asked.driver, "crash", 60, "It was named by three crashes.", ())
    suspect = Suspect(
        asked.driver,
        asked.service,
        Verdict.CULPRIT,
        90,
        (finding,),
        asked.path or None,
        kind=asked.kind,
    )
    if asked.put:
        new = FileState(asked.path, hashlib.sha256(asked.put).hexdigest(), len(asked.put))
        return planning.replacing(on, suspect, asked.path, new, "DriverStore")
    loaded, _ = installs.read_hive(on, on.system_hive)
    return planning.make(on, suspect, collect(on), loaded)
