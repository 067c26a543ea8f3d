"""Bug checks, each once: the same crash is told by a dump, by events and by an error report.

A *stop* joins them. Dumps carry the moment of the crash; events and reports that of the boot after
it, so records of one stop may be days apart: the same code with the same four parameters (kernel
addresses change with each boot) is the same stop, and so is an event that names the dump's file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from recoverykit.diagnosis import knowledge
from recoverykit.model import Crash, CrashDump, Evidence, Source, StartupRepair, WerReport

_TOLD_LATER = timedelta(days=30)  # between a crash and the boot that at last records it
_SAME_RECORD = timedelta(minutes=10)  # Kernel-Power 41 and WER 1001 tell of one crash
_SLACK = timedelta(minutes=10)  # clocks of the dump and of the log


@dataclass(slots=True)
class _Draft:
    code: int
    parameters: tuple[int, ...]
    dump: CrashDump | None = None
    records: list[Crash] = field(default_factory=list)
    reports: list[WerReport] = field(default_factory=list)
    repairs: list[StartupRepair] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stop:
    """One bug check and everything that tells of it."""

    when: datetime  # of the crash where a dump knows it, else of the first record of it
    code: int
    parameters: tuple[int, ...]
    dump: CrashDump | None
    records: tuple[Crash, ...]
    reports: tuple[WerReport, ...]
    repairs: tuple[StartupRepair, ...] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        dump = [self.dump.source] if self.dump else []
        records = [record.source for record in self.records]
        reports = [report.source for report in self.reports]
        return (*dump, *records, *reports, *(repair.source for repair in self.repairs))


def gather(evidence: Iterable[Evidence]) -> tuple[Stop, ...]:
    """Every stop, oldest first."""
    items = tuple(evidence)
    dumps = [item for item in items if isinstance(item, CrashDump)]
    records = [item for item in items if isinstance(item, Crash)]
    reports = [item for item in items if isinstance(item, WerReport)]
    drafts: list[_Draft] = []
    for dump in sorted(dumps, key=_dumped):
        _add_dump(drafts, dump)
    for record in sorted(records, key=lambda item: (item.when, item.bugcheck)):
        _add_record(drafts, record)
    for report in reports:
        _add_report(drafts, report)
    for item in items:
        if isinstance(item, StartupRepair) and item.bugcheck:
            _add_repair(drafts, item)
    return tuple(sorted((_stop(draft) for draft in drafts), key=lambda stop: stop.when))


def _dumped(dump: CrashDump) -> datetime:
    return dump.when or dump.written


def _add_dump(drafts: list[_Draft], dump: CrashDump) -> None:
    """A small dump and MEMORY.DMP hold one crash twice: keep the one that says more."""
    for draft in drafts:
        known = draft.dump
        if known is not None and _same_crash(known, dump):
            if len(dump.modules) > len(known.modules):
                draft.dump = dump
            return
    drafts.append(_Draft(dump.bugcheck, dump.parameters, dump))


def _same_crash(one: CrashDump, other: CrashDump) -> bool:
    return (
        one.bugcheck == other.bugcheck
        and one.parameters == other.parameters
        and abs(_dumped(one) - _dumped(other)) < timedelta(minutes=1)
    )


def _add_record(drafts: list[_Draft], record: Crash) -> None:
    for draft in drafts:
        if _is_record_of(record, draft):
            draft.records.append(record)
            return
    drafts.append(_Draft(record.bugcheck, record.parameters, records=[record]))


def _is_record_of(record: Crash, draft: _Draft) -> bool:
    if not _is_same_code(record.bugcheck, draft):
        return False
    if draft.dump is not None:
        named = knowledge.file_name(record.dump)
        is_file = bool(named) and draft.dump.source.path.lower().endswith("/" + named)
        if is_file and "minidump" in record.dump.lower():
            return True
        told_after = _dumped(draft.dump) - _SLACK <= record.when
        in_time = record.when - _dumped(draft.dump) < _TOLD_LATER
        return told_after and in_time and record.parameters[:4] == draft.parameters[:4]
    return _is_same_record(record, draft)


def _is_same_code(code: int, draft: _Draft) -> bool:
    """A small dump's code may carry Microsoft's _M bit."""
    return knowledge.base_code(code) == knowledge.base_code(draft.code)


def _is_same_record(record: Crash, draft: _Draft) -> bool:
    """Without a dump: 41 tells a crash first, 1001 names its dump a little later."""
    if not draft.records:
        return False
    last = draft.records[-1]
    return (
        record.parameters == last.parameters
        and not last.dump
        and bool(record.dump)
        and record.when - last.when < _SAME_RECORD
    )


def _add_report(drafts: list[_Draft], report: WerReport) -> None:
    """A report belongs to the stop with its code and, where it has them, its parameters."""
    for draft in reversed(drafts):
        if not _is_same_code(report.bugcheck, draft):
            continue
        same = not report.parameters or report.parameters[:4] == draft.parameters[:4]
        if same and _reported_in_time(draft, report):
            draft.reports.append(report)
            return
    if report.when is not None:
        drafts.append(_Draft(report.bugcheck, report.parameters, reports=[report]))


def _add_repair(drafts: list[_Draft], repair: StartupRepair) -> None:
    """What Startup Repair read of a stop: the memory it was in is gone, no dump may be left."""
    for draft in drafts:
        same = _is_same_code(repair.bugcheck, draft)
        if same and repair.parameters[:4] == draft.parameters[:4]:
            draft.repairs.append(repair)
            return
    drafts.append(_Draft(repair.bugcheck, repair.parameters, repairs=[repair]))


def _reported_in_time(draft: _Draft, report: WerReport) -> bool:
    if report.when is None:
        return bool(report.parameters)
    distance = report.when - _stop(draft).when
    return -_SLACK <= distance < _TOLD_LATER


def _stop(draft: _Draft) -> Stop:
    if draft.dump is not None:
        when = _dumped(draft.dump)
    else:
        told = [item.when for item in draft.records]
        told += [item.when for item in draft.reports if item.when is not None]
        told += [item.written for item in draft.repairs]
        when = min(told)
    return Stop(
        when,
        draft.code,
        draft.parameters,
        draft.dump,
        tuple(draft.records),
        tuple(draft.reports),
        tuple(draft.repairs),
    )
