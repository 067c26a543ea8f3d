"""BOOTSTAT.DAT, the log of the boot manager, and that of Windows' loader in bootstat.dat.

Layout and events: Geoff Chappell, "The Boot Status Data Log" (boot manager, version 2; time
stamps in seconds, severities, events 0x01 and 0x11 to 0x16); Grzegorz Tworek, PSBits
Extract-BootTimes.ps1 (version 4 as a ring, owner's type, events of the loader: 0x31 is the
launch of the kernel). Proven on the real files of ../shared/data/bootlogs (versions 3 and 4).
The clock is the firmware's, which Windows keeps in local time.

Events no source explains are not given a meaning: Windows 10 logs 0x50 at each boot with the
severity of an error on healthy machines. An empty log (nothing but zeros) is usual.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recoverykit.errors import FormatError
from recoverykit.formats import log_text

LOG_SIZE = 0x10000
_VERSIONS = (2, 3, 4)
_HEADER = struct.Struct("<4I")  # version, where entries begin, size, where the next one goes
_FIRST = 0x10  # version 4: u32, where the oldest entry lies
_ENTRY = struct.Struct("<Q16s4I")  # seconds, owner, size, severity, owner's type, event
_DAY = 86_400

_BOOT_MANAGER, _LOADER, _RESUME, _MEMORY_TEST = 2, 3, 4, 5
_OWNERS = {
    _BOOT_MANAGER: "boot manager",
    _LOADER: "Windows loader",
    _RESUME: "resume loader",
    _MEMORY_TEST: "memory test",
}
_STARTED, _LAUNCHED, _RETURNED, _KERNEL = 0x01, 0x11, 0x12, 0x31
_FAILURES = {0x13: "load-failed", 0x14: "store-failed", 0x15: "no-entry", 0x16: "failed"}
_IN_RECOVERY = (1, 2)  # type of start
_MAX_PATH = 520  # bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it lies in the log."""

    offset: int  # in the log
    seconds: int  # since the firmware's clock began to count
    owner: int  # type of the application that wrote it, as in a boot store
    severity: int
    event: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """An entry whose meaning a source tells. Words of `what`: model.BootManagerEvent."""

    offset: int
    when: datetime | None  # local time of the firmware, stored as if UTC
    what: str
    application: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    entries: tuple[Entry, ...]  # oldest first
    problem: str = ""  # why reading stopped before the end; "" when it did not

    @property
    def events(self) -> Iterator[Event]:
        """What is known of the entries, oldest first."""
        return _events(self.entries)


def parse(data: bytes) -> Log:
    """Read a log. Raises FormatError for a header that is none; an empty log has no entries."""
    if not data.strip(b"\0"):
        return Log(())
    if len(data) < _FIRST + 4:
        raise FormatError("boot log", 0, f"{len(data)} bytes are too few")
    version, start, size, following = _HEADER.unpack_from(data)
    if version not in _VERSIONS:
        raise FormatError("boot log", 0, f"version {version:#x} is not known")
    first = start
    if start >= _FIRST + 4:  # a header with room for it
        (first,) = struct.unpack_from("<I", data, _FIRST)
    size = min(size, len(data))
    if not _HEADER.size <= start <= min(first, following) or max(first, following) > size:
        raise FormatError("boot log", 4, "its header points outside")
    return _walk(data, (start, size), first, following)


def _walk(data: bytes, ring: tuple[int, int], first: int, following: int) -> Log:
    """From the oldest entry to where the next one goes, over the ring's end if need be."""
    start, size = ring
    position, wrapped = first, first <= following
    entries: list[Entry] = []
    while not (wrapped and position >= following):
        fits = position + _ENTRY.size <= size
        if not wrapped and (not fits or not data[position + 24 : position + 28].strip(b"\0")):
            position, wrapped = start, True  # what is left of the ring's end holds nothing
            continue
        try:
            entry, length = _entry(data, position, following if wrapped else size)
        except FormatError as exc:
            return Log(tuple(entries), str(exc))
        entries.append(entry)
        position += length  # never less than a header: this ends
    return Log(tuple(entries))


def _entry(data: bytes, position: int, end: int) -> tuple[Entry, int]:
    if position + _ENTRY.size > end:
        raise FormatError("boot log entry", position, "cut off")
    seconds, _, length, severity, owner, event = _ENTRY.unpack_from(data, position)
    if length < _ENTRY.size or position + length > end:
        raise FormatError("boot log entry", position, f"a size of {length} is not possible")
    content = data[position + _ENTRY.size : position + length]
    return Entry(position, seconds, owner, severity, event, content), length


# --- meaning ------------------------------------------------------------------------------


def _events(entries: Sequence[Entry]) -> Iterator[Event]:
    clocks: dict[int, tuple[datetime, int]] = {}  # owner: (time, seconds) when it started
    for entry in entries:
        if entry.event == _STARTED:
            clocks.pop(entry.owner, None)
            if moment := _moment(entry.data):
                clocks[entry.owner] = moment, entry.seconds
        known = _meaning(entry)
        if known is not None:
            what, application, status = known
            when = _when(entry, clocks.get(entry.owner))
            yield Event(entry.offset, when, what, application, status)


def _meaning(entry: Entry) -> tuple[str, str, int] | None:
    """(what, application, status); None for what no source explains."""
    owner = _OWNERS.get(entry.owner, "")
    if entry.event == _STARTED and owner:
        return "started", owner, 0
    if entry.owner == _LOADER and entry.event == _KERNEL:
        return "kernel", owner, 0
    if entry.owner != _BOOT_MANAGER:
        return None
    if entry.event == _LAUNCHED and len(entry.data) >= 20:
        recovery = int.from_bytes(entry.data[16:20], "little") in _IN_RECOVERY
        return "launched-recovery" if recovery else "launched", _path(entry.data[20:]), 0
    if entry.event == _RETURNED and len(entry.data) >= 16:
        return "returned", f"{{{uuid.UUID(bytes_le=entry.data[:16])}}}", 0
    if entry.event in _FAILURES and len(entry.data) >= 4:
        status = int.from_bytes(entry.data[:4], "little")
        return _FAILURES[entry.event], _path(entry.data[4:]) or owner, status
    return None


def _path(data: bytes) -> str:
    text = data[: min(len(data), _MAX_PATH) & ~1].decode("utf-16-le", "replace")
    return text.partition("\0")[0]


def _moment(data: bytes) -> datetime | None:
    """The time a log was opened at: eight 16-bit numbers, without the last two."""
    if len(data) < 16:
        return None
    return log_text.moment(*struct.unpack_from("<6H", data))


def _when(entry: Entry, clock: tuple[datetime, int] | None) -> datetime | None:
    if clock is None:
        return None
    started, seconds = clock
    since = entry.seconds - seconds
    return started + timedelta(seconds=since) if 0 <= since <= _DAY else None
