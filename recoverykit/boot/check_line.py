"""Lines of the boot check: passed, failed, a warning, or not checked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recoverykit.model import CheckLine, Source

_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. What no boot fails for is not `fatal`."""

    text: str  # a clause that names it: "acme.sys is missing"
    source: Source
    fatal: bool = True


def passed(check: str, text: str, sources: Iterable[Source] = ()) -> CheckLine:
    return CheckLine(check, ok=True, text=text, sources=tuple(sources))


def skipped(check: str, why: str, sources: Iterable[Source] = ()) -> CheckLine:
    """Not checked; `why` says what for, and is never empty."""
    return CheckLine(check, ok=None, text=why, sources=tuple(sources))


def warned(check: str, text: str, sources: Iterable[Source] = ()) -> CheckLine:
    return CheckLine(check, ok=None, text=text, sources=tuple(sources), warning=True)


def failed(check: str, text: str, sources: Iterable[Source] = ()) -> CheckLine:
    return CheckLine(check, ok=False, text=text, sources=tuple(sources))


def judged(check: str, faults: Sequence[Fault], good: CheckLine | str) -> CheckLine:
    """What these faults make of a line: the fatal ones alone are named where there are any.

    `good`: what the line is, or says, without faults.
    """
    fatal = [fault for fault in faults if fault.fatal]
    if fatal:
        more = len(faults) - len(fatal)
        text = listed(fault.text for fault in fatal)
        text += f"; and {more} that the boot does not need" if more else ""
        return failed(check, text, (fault.source for fault in fatal))
    if faults:
        text = f"{listed(fault.text for fault in faults)}; the boot does not need this"
        return warned(check, text, (fault.source for fault in faults))
    return passed(check, good) if isinstance(good, str) else good


def listed(texts: Iterable[str]) -> str:
    """The first few, in their order, each once, and how many more there are."""
    unique = list(dict.fromkeys(texts))
    more = len(unique) - _MAX_LISTED
    return "; ".join(unique[:_MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")
