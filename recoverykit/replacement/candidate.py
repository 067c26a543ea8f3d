"""What a search for a replacement is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from recoverykit.model import Gap, WindowsInstall


class Want(StrEnum):
    """Which version, compared with the faulty file's."""

    ANY = "any"
    OLDER = "older"  # roll back
    NEWER = "newer"


class Origin(StrEnum):
    """Where a candidate comes from, the most reliable first."""

    PACK = "remediation pack"
    MEDIUM = "folder on the medium"
    STORE = "DriverStore"
    ELAM = "backup of early-launch drivers"
    COMPONENT = "WinSxS"
    BACKUP = "WinSxS backup"
    SNAPSHOT = "volume snapshot"
    PREVIOUS = "previous Windows"
    OTHER = "other Windows"


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that somebody named by its hash and fetched: its bytes are in memory already."""

    where: str  # for people: "acme-fix.toml, https://example.com/acme.sys"
    sha256: str  # that was promised, lower-case hex
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Root:
    """Another volume to look into: a snapshot, or a folder, as if a Windows lay there."""

    name: str  # for people: "snapshot of 2024-07-18 09:30 UTC"
    install: WindowsInstall  # its mount and volume; the Windows folder need not exist


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that could take the driver's place, and everything that speaks against it."""

    origin: Origin
    where: str  # relative to its volume, or as the host has it
    version: str = ""
    built: datetime | None = None
    sha256: str = ""  # "": it could not be read
    size: int = 0
    content: bytes = field(default=b"", repr=False)  # of usable ones only
    refusals: tuple[str, ...] = ()  # clauses: "it is made for x86 machines, this Windows is x64"
    risks: tuple[str, ...] = ()  # clauses: why a person should decide, not the program
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return not self.refusals

    @property
    def described(self) -> str:
        """For `InstallFile.origin`."""
        return f"{self.origin}, {self.where}"


@dataclass(frozen=True, slots=True)
class Search:
    """The outcome: all that was found, best first, and what could not be looked at."""

    path: str  # where the driver lies, or has to, relative to the volume; "" when unknown
    before: str  # sha256 of what lies there; "": nothing, or nobody can read it
    candidates: tuple[Candidate, ...]
    gaps: tuple[Gap, ...]
