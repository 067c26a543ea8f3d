"""What would be changed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class RegistryData:
    """What a registry value holds."""

    type: int  # REG_*, or any other 32 bits
    data: bytes


@dataclass(frozen=True, slots=True)
class RegistryKey:
    """What a registry key is beside its values and subkeys."""

    class_name: str = ""
    security: bytes = b""  # self-relative descriptor; b"": the one of its parent


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value, before and after; None where it does not exist."""

    key: str  # below the hive's root, backslashes: "ControlSet001\\Services\\acme"
    name: str
    before: RegistryData | None
    after: RegistryData | None


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key comes or goes; what it holds is changes of its own."""

    key: str
    before: RegistryKey | None
    after: RegistryKey | None


RegistryChange = ValueChange | KeyChange


@dataclass(frozen=True, slots=True)
class EditHive:
    """Change keys and values of one hive, in this order."""

    hive: str  # path relative to the volume
    changes: tuple[RegistryChange, ...]


@dataclass(frozen=True, slots=True)
class QuarantineFile:
    """Move a file into the transaction's folder."""

    path: str  # relative to the volume
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class InstallFile:
    """Put a new file where another stands, which goes into the transaction's folder, or none."""

    path: str  # relative to the volume
    before: str  # sha256 of what stands there; "": nothing
    sha256: str  # of the new file
    size: int
    origin: str  # where its bytes come from, for people: "DriverStore, acme.inf_amd64_0123"


Action = EditHive | QuarantineFile | InstallFile


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a driver must not be touched: which role it plays."""

    driver: str
    service: str
    reason: str
    role: str = ""  # "storage controller of the boot disk"; "": refused for another reason


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that names what a plan is about, and what becomes of it."""

    what: str  # "class filter", "SafeBoot entry", "dependent", "driver package"...
    where: str  # a registry key, or a path relative to the volume
    changed: bool  # by this plan; False: it stays as it is
    reason: str  # one sentence


@dataclass(frozen=True, slots=True)
class FileState:
    """What the plan saw: apply refuses if it is no longer so."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to one installation, and why. `repair.plan.digest` identifies it."""

    root: str  # WindowsInstall.root
    driver: str  # "" where the plan is about no driver
    service: str
    reason: str
    actions: tuple[Action, ...]
    preconditions: tuple[FileState, ...]
    space_needed: int  # bytes on the volume
    title: str = ""  # what the history says: "quarantine acme.sys (service acme)"
    decisions: tuple[Decision, ...] = ()  # on everything that names the driver


class Outcome(StrEnum):
    NOTHING_TO_DO = "nothing-to-do"
    PLANNED = "planned"  # a dry run
    REFUSED = "refused"
    APPLIED = "applied"  # and verified from disk
    UNVERIFIED = "changed-not-verified"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"  # nothing changed
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class TransactionInfo:
    """One line of `history`."""

    id: str
    state: str  # "committed", "undone", "abandoned"
    started: datetime | None
    summary: str
    folder: str  # relative to the volume
    changed: tuple[str, ...] = ()  # paths relative to the volume
