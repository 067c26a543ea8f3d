"""What we conclude: findings, suspects, a diagnosis, and the story that led to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from recoverykit.model.places import Gap, Source


class Kind(StrEnum):
    """What keeps this Windows from starting."""

    DRIVER = "driver"
    CONTENT = "content"  # a data file of a driver
    STORAGE = "storage"  # the boot disk's controller driver is missing or disabled (0x7B)
    FILTER = "filter"  # a class or device filter that cannot load, or should not be there
    HIVE = "hive"
    BCD = "bcd"  # boot store, boot manager or ESP
    SERVICING = "servicing"  # an update that does not get finished
    DISK = "disk"  # the disk, or the file system on it
    HARDWARE = "hardware"
    LOCKED = "locked"  # encrypted, or a Windows we do not support
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    CULPRIT = "culprit"  # independent findings agree; repair may act on it
    SUSPECT = "suspect"  # a person should look; never acted on unattended
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's argument against one subject: a driver's file name, or a part of Windows."""

    driver: str  # the subject: "acme.sys", a content file's name, "SYSTEM hive", "boot store"
    rule: str  # kebab-case id, documented in docs/diagnosis.md
    weight: int
    reason: str  # a sentence a person can check by hand
    sources: tuple[Source, ...]
    kind: Kind = Kind.DRIVER


@dataclass(frozen=True, slots=True)
class Suspect:
    """A driver, a content file or a filter that may be to blame."""

    driver: str
    service: str
    verdict: Verdict
    weight: int
    findings: tuple[Finding, ...]
    path: str | None = None  # the file relative to the volume
    company: str = ""
    version: str = ""
    kind: Kind = Kind.DRIVER


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the story: what happened when."""

    when: datetime  # UTC
    what: str  # "boot", "good", "install", "change", "crash", "repair", "update", "trouble"
    text: str
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    kind: Kind
    summary: str  # one sentence
    suspects: tuple[Suspect, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()  # against what is no driver: hive, store, disk...
    timeline: tuple[Moment, ...] = ()  # oldest first


class Since(StrEnum):
    """What became of a machine after a repair of ours."""

    WORKED = "worked"  # it has started since, and stayed up
    SAME = "failed-the-same-way"
    OTHER = "failed-otherwise"
    NOT_STARTED = "not-started-since"  # or nothing that says so


@dataclass(frozen=True, slots=True)
class Aftermath:
    """An earlier repair that stands, judged by what the disk says of the time after it."""

    transaction: str
    since: Since
    driver: str  # what the repair acted on; "" where it was about no driver
    text: str  # one or two sentences, with what to do
    sources: tuple[Source, ...] = ()
