"""Boots, ends, crashes and installs as System.evtx records them.

Event meanings: Microsoft's documentation of the providers, and the real logs of ../shared/data.
The newest chunks are read first and reading stops when the last good sessions are known, so that
a log of any size costs the same. A boot that dies before the event log service starts leaves no
record here: silence after a clean end is no proof of health.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import BinaryIO

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.formats import evtx
from recoverykit.model import (
    BootEvent,
    BootEventKind,
    Crash,
    DriverFailed,
    Evidence,
    Gap,
    ServiceInstalled,
    Source,
    WindowsInstall,
)

LOG = "System32/winevt/Logs/System.evtx"
MAX_CHUNKS = 160  # 10 MiB: a hundred failed boots
ENOUGH_GOOD = 4  # sessions that came up; older ones tell nothing about today
LASTED = timedelta(minutes=15)  # a session alive this long came up
_QUIET = timedelta(minutes=5)  # the most that silence between two records counts as life
_MAX_PROBLEMS = 5

_GENERAL = "microsoft-windows-kernel-general"
_POWER = "microsoft-windows-kernel-power"
_SERVICES = "service control manager"
_KINDS = {
    (_GENERAL, 12): BootEventKind.STARTED,
    ("eventlog", 6005): BootEventKind.STARTED,
    (_GENERAL, 13): BootEventKind.SHUT_DOWN,
    ("eventlog", 6006): BootEventKind.SHUT_DOWN,
    (_POWER, 41): BootEventKind.UNEXPECTED,
    ("eventlog", 6008): BootEventKind.UNEXPECTED,
    ("microsoft-windows-winlogon", 7001): BootEventKind.LOGGED_ON,  # a user logged on
    (_POWER, 42): BootEventKind.LOGGED_ON,  # going to sleep
    (_POWER, 107): BootEventKind.LOGGED_ON,  # back from sleep
    (_POWER, 506): BootEventKind.LOGGED_ON,  # modern standby, in and out
    (_POWER, 507): BootEventKind.LOGGED_ON,
}
_REPORTED = frozenset({("microsoft-windows-wer-systemerrorreporting", 1001), ("bugcheck", 1001)})
_INSTALLED = (_SERVICES, 7045)
_FAILED = frozenset(
    {(_SERVICES, 7000), (_SERVICES, 7001), (_SERVICES, 7026), ("microsoft-windows-kernel-pnp", 219)}
)
# What a boot writes first, in this order: unexpected end, version, log started, kernel started.
_FIRST = frozenset({("eventlog", 6008), ("eventlog", 6009), ("eventlog", 6005), (_GENERAL, 12)})
_WANTED = frozenset(event for _, event in (*_KINDS, *_REPORTED, _INSTALLED, *_FAILED, *_FIRST))
_BUGCHECK = re.compile(r"^\s*0x([0-9a-f]{1,8})\s*\(([^)]{0,200})\)", re.IGNORECASE)


def collect(install: WindowsInstall) -> Iterator[Evidence]:
    """What the newest part of the log records, in no particular order."""
    name = f"{install.folder}/{LOG}"
    try:
        found = installs.locate(install.mount, name)
        if found is None:
            yield Gap(Source(name), "there is no System event log")
            return
        with installs.on_disk(install.mount, found).open("rb") as stream:
            yield from _read(stream, found)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(name), str(exc))


def _read(stream: BinaryIO, path: str) -> Iterator[Evidence]:
    stamps: list[evtx.Stamp] = []
    evidence: list[Evidence] = []
    problems: list[Gap] = []
    boundaries: set[int] = set()
    listed = evtx.chunks(stream)
    if not listed:
        yield Gap(Source(path), "the event log holds no records")
    for number, chunk in enumerate(listed):
        if number >= MAX_CHUNKS or _good_sessions(evidence) >= ENOUGH_GOOD:
            break
        content = evtx.read(stream, chunk, _WANTED)
        stamps += content.stamps
        boundaries |= {item.offset for item in content.records if _begins_boot(item)}
        evidence += (item for record in content.records for item in _meaning(record, path))
        problems += (Gap(Source(path, chunk.offset), problem) for problem in content.problems)
    yield from evidence
    yield from _lasting(boundaries, stamps, path)
    yield from problems[:_MAX_PROBLEMS]
    if len(problems) > _MAX_PROBLEMS:
        yield Gap(Source(path), f"{len(problems) - _MAX_PROBLEMS} more records could not be read")


def _begins_boot(record: evtx.Record) -> bool:
    return (record.provider.lower(), record.event) in _FIRST


def _good_sessions(evidence: list[Evidence]) -> int:
    """Clean ends seen so far: two providers tell each, so this counts them twice at most."""
    return (
        sum(
            isinstance(item, BootEvent) and item.kind is BootEventKind.SHUT_DOWN
            for item in evidence
        )
        // 2
    )


def _lasting(boundaries: set[int], stamps: list[evtx.Stamp], path: str) -> Iterator[BootEvent]:
    """The last sign of life of every session that went on long enough to have come up.

    Life is the sum of the gaps between records, none counting more than _QUIET, in the order of
    the records: a clock that jumps (a time sync after the boot) does not make a session long.
    `boundaries` are the offsets of the records that a boot begins with.
    """
    lived, previous, begun = timedelta(0), None, False
    for stamp in sorted(stamps, key=lambda item: item.number):
        if stamp.offset in boundaries:
            if begun and previous is not None and lived >= LASTED:
                yield BootEvent(Source(path, previous.offset), previous.when, _CAME_UP)
            lived, previous, begun = timedelta(0), None, True
        if previous is not None and stamp.when > previous.when:
            lived += min(stamp.when - previous.when, _QUIET)
        if previous is None or stamp.when > previous.when:
            previous = stamp
    if begun and previous is not None and lived >= LASTED:
        yield BootEvent(Source(path, previous.offset), previous.when, _CAME_UP)


_CAME_UP = BootEventKind.LOGGED_ON


# --- one record ---------------------------------------------------------------------------


def _meaning(record: evtx.Record, path: str) -> Iterator[Evidence]:
    source = Source(path, record.offset)
    told = (record.provider.lower(), record.event)
    if told in _KINDS:
        yield BootEvent(source, record.when, _KINDS[told])
    if told == (_POWER, 41):
        yield from _power_lost(record, source)
    elif told in _REPORTED:
        yield from _reported(record, source)
    elif told == _INSTALLED:
        service = record.fields.get("ServiceName", "")
        image_path = record.fields.get("ImagePath", "")
        yield ServiceInstalled(source, record.when, service, image_path)
    elif told in _FAILED:
        for name in _failed(record):
            yield DriverFailed(source, record.when, record.event, name)


def _power_lost(record: evtx.Record, source: Source) -> Iterator[Crash]:
    code = _number(record.fields.get("BugcheckCode", ""))
    if code:
        values = (record.fields.get(f"BugcheckParameter{n}", "") for n in range(1, 5))
        parameters = tuple(_number(value) for value in values)
        yield Crash(source, record.when, code, parameters)


def _reported(record: evtx.Record, source: Source) -> Iterator[Crash]:
    texts = [record.fields.get(f"param{n}", "") for n in (1, 2)]
    first, dump = texts if any(texts) else [*record.strings, "", ""][:2]
    match = _BUGCHECK.match(first)
    if match:
        parameters = tuple(_number(part.strip()) for part in match.group(2).split(",")[:4])
        yield Crash(source, record.when, int(match.group(1), 16), parameters, dump)


def _number(text: str) -> int:
    """Decimal or 0x-hexadecimal of at most 64 bits; 0 for anything else."""
    if len(text) > 20:
        return 0
    try:
        return int(text, 0) & 0xFFFF_FFFF_FFFF_FFFF
    except ValueError:
        return 0


def _failed(record: evtx.Record) -> list[str]:
    """Names as logged: 7026 lists several, 219 gives a driver object, 7000 a display name."""
    if record.event == 219:
        name = record.fields.get("FailureName", "")
        return [name.rsplit("\\", 1)[-1]] if name else []
    text = record.fields.get("param1", "") or " ".join(record.strings[:1])
    return text.split() if record.event == 7026 else [text.strip()]
