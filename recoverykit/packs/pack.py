"""What a remediation pack says, checked: what it looks for, what it does, what must hold then.

Values only. `schema` makes them from TOML, `detection`, `acts` and `proofs` use them; docs/packs.md
tells people how to write one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from recoverykit.model import RegistryData, StartType
from recoverykit.packs.keys import KeyName
from recoverykit.packs.patterns import Pattern

FORMAT = 1
Version = tuple[int, ...]  # one to four numbers

STARTED = frozenset(StartType) - {StartType.DISABLED}


@dataclass(frozen=True, slots=True)
class Span:
    """From (included) to before (excluded); None: no limit."""

    start: Version | None = None
    before: Version | None = None

    def holds(self, version: Version) -> bool:
        """Whether a version lies in it; missing numbers count as 0."""
        wanted = _padded(version)
        return (self.start is None or _padded(self.start) <= wanted) and (
            self.before is None or wanted < _padded(self.before)
        )


def _padded(version: Version) -> Version:
    return (*version, 0, 0, 0, 0)[:4]


ANY = Span()


@dataclass(frozen=True, slots=True)
class FileTest:
    """What a file must be; all that is given must hold."""

    sha256: tuple[str, ...] = ()  # one of these
    size: int | None = None
    header: bytes = b""  # its first bytes
    since: datetime | None = None  # last written then or later; aware
    before: datetime | None = None  # last written earlier; aware
    version: Span = ANY  # of its version resource


@dataclass(frozen=True, slots=True)
class Only:
    """Which Windows a pack is for; empty: every one."""

    build: Span = ANY  # (19045, 4651)
    architectures: frozenset[str] = frozenset()  # "x64", "x86", "arm64"
    product: str = ""  # with wildcards: "Windows 11*"


# --- what is looked for -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileCondition:
    """Files whose path fits a pattern, and that pass a test."""

    name: str
    pattern: Pattern
    test: FileTest
    most: int  # more that fit: nobody foresaw this, and nothing is done


@dataclass(frozen=True, slots=True)
class DriverCondition:
    """Services of the control set in use that load a driver, by file name or service name."""

    name: str
    driver: str  # file name; "": by `service`
    service: str
    starts: frozenset[StartType]
    test: FileTest  # of the driver's file


@dataclass(frozen=True, slots=True)
class PackageCondition:
    """Driver packages by the name of their INF."""

    name: str
    original: str  # "acme.inf"
    provider: str  # "": whoever
    version: Span


@dataclass(frozen=True, slots=True)
class ValueCondition:
    """A registry value that is there, and holds that data if data is given."""

    name: str
    key: KeyName
    value: str
    data: RegistryData | None


Condition = FileCondition | DriverCondition | PackageCondition | ValueCondition


@dataclass(frozen=True, slots=True)
class When:
    """How conditions are combined: every one of `all`, one of `any` if it names some, no `none`."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()


# --- what is done -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Move away what a condition found: files, or a driver with all that names it."""

    condition: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Put other bytes where the one file stands that a condition found."""

    condition: str
    file: str  # name of a file beside the pack
    sha256: str
    url: str  # where it can be had; "": nowhere


@dataclass(frozen=True, slots=True)
class SetValue:
    key: KeyName
    value: str
    data: RegistryData
    create: bool  # the key as well, if need be


@dataclass(frozen=True, slots=True)
class DeleteValue:
    key: KeyName
    value: str


Act = Quarantine | Replace | SetValue | DeleteValue


# --- what must hold afterwards ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gone:
    """No file is left that a condition would find."""

    condition: str


@dataclass(frozen=True, slots=True)
class Present:
    """A file is there that a condition finds."""

    condition: str


@dataclass(frozen=True, slots=True)
class Disabled:
    """A service does not start any more, or is not there."""

    service: str


@dataclass(frozen=True, slots=True)
class Holds:
    """A registry value holds that; None: it is not there."""

    key: KeyName
    value: str
    data: RegistryData | None


Proof = Gone | Present | Disabled | Holds


@dataclass(frozen=True, slots=True)
class Pack:
    """A remediation pack."""

    id: str  # "crowdstrike-2024-07-19"
    title: str
    more: tuple[str, ...]  # https addresses where people can read on
    only: Only
    conditions: tuple[Condition, ...]
    when: When
    acts: tuple[Act, ...]
    proofs: tuple[Proof, ...]
    sha256: str = ""  # of the file it was read from
    signer: str = ""  # the organisation and its key's fingerprint; "": nobody vouches for it

    def condition(self, name: str) -> Condition:
        """Raises KeyError for a name that the schema would have refused."""
        return next(item for item in self.conditions if item.name == name)

    def signed(self, signer: str) -> Pack:
        """The same, vouched for."""
        return replace(self, signer=signer)
