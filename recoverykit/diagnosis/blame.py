"""Whom a stop names: a driver the kernel, an address, a record or the stack points to.

Modules other drivers run inside, and drivers that come with Windows, are walked over: an access
violation in ntoskrnl or fltmgr is nearly always somebody else's. A word on the raw stack may be
left over from a call long returned, so the stack names one driver at most, its topmost, and weakly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from recoverykit.diagnosis import knowledge
from recoverykit.diagnosis.stops import Stop
from recoverykit.model import CrashDump, Source, StackHit


class How(StrEnum):
    """In which way a stop names a driver; the strongest first."""

    KERNEL = "the kernel itself named it"
    FAULT = "the address that the stop points to lies in it"
    UNLOADED = "the address that the stop points to lay in it before it was unloaded"
    CALLER = "it asked for the stop itself: the stack begins in it"
    RECORD = "the record of the crash names it"
    REPORT = "Windows Error Reporting attributes it to it"
    STACK = "it is the first third-party driver on the crashing thread's stack"


DIRECT = (How.KERNEL, How.FAULT, How.UNLOADED, How.CALLER, How.RECORD, How.REPORT)


@dataclass(frozen=True, slots=True)
class Blame:
    """One stop names one driver."""

    stop: Stop
    driver: str  # file name, lower case
    how: How
    detail: str  # where exactly: "at acme.sys+0x11c4"
    source: Source


def of(stop: Stop, can_be_blamed: Callable[[str], bool]) -> tuple[Blame, ...]:
    """Everybody a stop names who can be blamed; each driver once, in the strongest way."""
    found: dict[str, Blame] = {}
    for blame in _all(stop, can_be_blamed):
        found.setdefault(blame.driver, blame)
    return tuple(found.values())


def _all(stop: Stop, can_be_blamed: Callable[[str], bool]) -> Iterator[Blame]:
    told = [*_by_dump(stop, stop.dump)] if stop.dump else []
    told += [
        Blame(stop, record.blamed, How.RECORD, "", record.source)
        for record in stop.records
        if record.blamed
    ]
    told += [
        Blame(stop, report.module, How.REPORT, f"bucket {report.bucket}", report.source)
        for report in stop.reports
        if report.module
    ]
    direct = [blame for blame in told if can_be_blamed(blame.driver)]
    yield from direct
    if stop.dump and not direct:
        yield from _by_stack(stop, stop.dump, can_be_blamed)


def _by_dump(stop: Stop, dump: CrashDump) -> Iterator[Blame]:
    if dump.broken_driver:
        yield Blame(stop, dump.broken_driver, How.KERNEL, "", dump.source)
    if dump.fault:
        base = _base(dump, dump.fault)
        detail = f"at {dump.fault}+{dump.fault_address - base:#x}" if base else ""
        yield Blame(stop, dump.fault, How.FAULT, detail, dump.source)
    for gone in dump.unloaded:
        if dump.fault_address and gone.base <= dump.fault_address < gone.base + gone.size:
            detail = f"at {gone.name}+{dump.fault_address - gone.base:#x}"
            yield Blame(stop, gone.name, How.UNLOADED, detail, dump.source)
    if dump.stack and not dump.fault:
        # The topmost address on the stack is where the function that stops Windows returns to.
        yield _on_stack(stop, dump, dump.stack[0], How.CALLER)


def _by_stack(stop: Stop, dump: CrashDump, can_be_blamed: Callable[[str], bool]) -> Iterator[Blame]:
    for hit in dump.stack:
        if not knowledge.is_container(hit.module) and can_be_blamed(hit.module):
            yield _on_stack(stop, dump, hit, How.STACK)
            return


def _on_stack(stop: Stop, dump: CrashDump, hit: StackHit, how: How) -> Blame:
    detail = f"{hit.module}+{hit.value - _base(dump, hit.module):#x} at {hit.slot:#x}"
    return Blame(stop, hit.module, how, detail, dump.source)


def _base(dump: CrashDump, module: str) -> int:
    return next((one.base for one in dump.modules if one.name == module), 0)
