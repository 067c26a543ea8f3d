"""What a rule is: an id, a kind of answer, an argument, a weight, and a pure check.

Two rules of one argument are one observation seen twice; verdict.py counts an argument once, at its
heaviest. `text` is what docs/diagnosis.md says about the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from recoverykit.diagnosis.facts import Facts
from recoverykit.model import Finding, Kind, Source


class Argument(StrEnum):
    """Kinds of reasoning that can be right or wrong independently of each other."""

    CHANGE = "change"  # when the driver came, or was changed
    BOOT_LOG = "boot log"  # how far ntbtlog.txt says a failing boot came
    CRASH = "crash"  # what a crash points to
    REPEAT = "repetition"  # that crash after crash points to the same
    EVENT = "event"  # what other event records name
    ROLE = "role"  # what the driver does in a boot
    FILE = "file"  # what its file is like
    REPAIR = "startup repair"  # what Windows' own repair found
    STATE = "state"  # what the disk holds today
    STOP = "stop code"  # where stop codes say to look
    LOG = "log"  # what hardware, disk and update logs say
    PROGRESS = "progress"  # that boots fail since something began


Check = Callable[["Rule", Facts], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    kind: Kind
    argument: Argument
    weight: int
    text: str
    check: Check

    def found(
        self, subject: str, reason: str, *sources: Source, weight: int | None = None
    ) -> Finding:
        """A finding of this rule; `weight` where it is less than the rule's own."""
        counted = self.weight if weight is None else weight
        return Finding(subject, self.id, counted, reason, sources, self.kind)


def utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "unknown date"


def times(count: int, noun: str) -> str:
    """ "1 crash", "3 crashes"."""
    plural = "es" if noun.endswith(("s", "sh", "ch")) else "s"
    return f"{count} {noun}{'' if count == 1 else plural}"
