"""What a scenario is, and what generating one gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from recoverykit.model import Kind, NtfsState, Volume


@dataclass(frozen=True, slots=True)
class Truth:
    """What a careful person with the same files would say."""

    kind: Kind
    culprits: frozenset[str]  # lower-case file names; empty where no file is to blame
    story: str  # one sentence why
    allowed: frozenset[str] = frozenset()  # naming these is no mistake, though not asked for


@dataclass(frozen=True, slots=True)
class Tree:
    """One generated machine."""

    scenario: str
    seed: int
    root: Path  # the Windows volume as a plain folder
    boot_volumes: tuple[tuple[Volume, Path], ...]
    volume: Volume
    ntfs: NtfsState | None
    image: Path | None  # a raw disk image instead of a folder
    truth: Truth
    volumes: tuple[Volume, ...] = ()  # every partition of its disk


@dataclass(frozen=True, slots=True)
class Built:
    """What a scenario's builder hands back; `generate` turns it into a Tree."""

    truth: Truth
    root: Path
    volume: Volume
    boot_volumes: tuple[tuple[Volume, Path], ...] = ()
    volumes: tuple[Volume, ...] = ()
    ntfs: NtfsState | None = None
    image: Path | None = None


Builder = Callable[[Random, Path], Built]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A seeded story: `build(random, folder)` writes the machine into `folder`."""

    name: str
    family: str
    kind: Kind
    build: Builder
