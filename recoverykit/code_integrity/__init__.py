"""What one installation's kernel asks of its drivers, and the files that it asks.

`kernel` fills `signing.kernel.Kernel` from the hives, the boot stores and what the last start left
behind; `places` finds drivers, catalogs and policies. Reads only, and never raises on bad input:
what cannot be read is a Gap, and what it would have said is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recoverykit.model import Gap, Source


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known of a kernel, and where it says so."""

    name: str  # a field of signing.kernel.Kernel, or one of `kernel.MORE`
    value: bool | int | str
    source: Source
    text: str = ""  # one clause: how it is known


@dataclass(slots=True)
class Findings:
    """What was found so far: one fact a name, the last one counts."""

    facts: dict[str, Fact] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def say(self, name: str, source: Source, text: str = "", *, value: bool | int | str) -> None:
        self.facts[name] = Fact(name, value, source, text)

    def miss(self, source: Source, reason: str) -> None:
        self.gaps.append(Gap(source, reason))

    def flag(self, name: str) -> bool | None:
        value = self._value(name)
        return value if isinstance(value, bool) else None

    def number(self, name: str) -> int | None:
        value = self._value(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def text(self, name: str) -> str:
        value = self._value(name)
        return value if isinstance(value, str) else ""

    def before(self, build: int) -> bool:
        """Whether this Windows is known to be older than a build."""
        known = self.number("build")
        return known is not None and known < build

    def _value(self, name: str) -> bool | int | str | None:
        fact = self.facts.get(name)
        return fact.value if fact else None
