"""What firmware measured at a start, as Windows keeps it: was Secure Boot on.

`Windows\\Logs\\MeasuredBoot\\*.log` are event logs of the Trusted Computing Group: "PC Client
Platform Firmware Profile", sections "TCG_PCR_EVENT", "TCG_PCR_EVENT2", "TCG_EfiSpecIDEvent" and
"UEFI_VARIABLE_DATA". The first event has the old form, and where it says so all that follow have
the new one. Only the measured variable SecureBoot (PCR 7) is looked for; whether the log is the one
that the TPM's registers prove is not asked, and what Windows itself measured is not read.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recoverykit.errors import FormatError

LOG = "measured boot log"
MAX_LOG = 16 << 20  # bytes; real ones have some 100 KiB
MAX_EVENTS = 1 << 16
_MAX_DIGESTS = 16  # of one event; real ones have one to three

_OLD = struct.Struct("<II20sI")  # register, type, SHA-1, size of the event
_NEW = struct.Struct("<III")  # register, type, number of digests
_SIZE = struct.Struct("<I")
_ALGORITHM = struct.Struct("<H")
_SPEC = struct.Struct("<16sIBBBBI")  # signature, class, version, errata, size of UINTN, algorithms
_DIGEST = struct.Struct("<HH")  # algorithm, bytes
_VARIABLE = struct.Struct("<16sQQ")  # GUID, characters of the name, bytes of the data

_NO_ACTION, _VARIABLE_CONFIG = 3, 0x8000_0001  # event types
_AGILE = b"Spec ID Event03\0"
_SECURE_BOOT_REGISTER = 7
_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
_NAME = "SecureBoot".encode("utf-16-le")


@dataclass(frozen=True, slots=True)
class Event:
    """One measurement."""

    offset: int
    register: int  # PCR
    type: int
    data: bytes


def secure_boot(log: bytes) -> bool | None:
    """Whether Secure Boot was on; None where the firmware did not measure that.

    Raises FormatError for what is no such log. What lies behind the measurement is not read.
    """
    for event in events(log):
        if event.register == _SECURE_BOOT_REGISTER and event.type == _VARIABLE_CONFIG:
            guid, name, data = _variable(event)
            if guid == _GLOBAL and name == _NAME:
                return data == b"\1"
    return None


def events(log: bytes) -> Iterator[Event]:
    """Every event, in the order it was measured. Raises FormatError where one does not fit."""
    if len(log) > MAX_LOG:
        raise FormatError(LOG, 0, f"{len(log)} bytes are more than one has")
    first, at = _old(log, 0)
    yield first
    sizes = _digest_sizes(first)
    for _ in range(MAX_EVENTS):
        if not any(log[at : at + _OLD.size]):  # the end, or room for more
            return
        event, at = _old(log, at) if sizes is None else _new(log, at, sizes)
        yield event
    raise FormatError(LOG, at, f"more than {MAX_EVENTS} events")


def _old(log: bytes, at: int) -> tuple[Event, int]:
    register, kind, _, size = _unpack(_OLD, log, at)
    start = at + _OLD.size
    return Event(at, register, kind, _slice(log, start, size)), start + size


def _new(log: bytes, at: int, sizes: Mapping[int, int]) -> tuple[Event, int]:
    register, kind, count = _unpack(_NEW, log, at)
    if count > _MAX_DIGESTS:
        raise FormatError(LOG, at, f"an event with {count} digests")
    start = at + _NEW.size
    for _ in range(count):
        (algorithm,) = _unpack(_ALGORITHM, log, start)
        if algorithm not in sizes:
            raise FormatError(LOG, start, f"a digest of an unknown kind, {algorithm:#x}")
        start += _ALGORITHM.size + sizes[algorithm]
    (size,) = _unpack(_SIZE, log, start)
    start += _SIZE.size
    return Event(at, register, kind, _slice(log, start, size)), start + size


def _digest_sizes(first: Event) -> dict[int, int] | None:
    """Bytes of each kind of digest, where the events that follow have the new form."""
    if first.type != _NO_ACTION or not first.data.startswith(_AGILE):
        return None
    *_, count = _unpack(_SPEC, first.data, 0)
    if not 0 < count <= _MAX_DIGESTS:
        raise FormatError(LOG, first.offset, f"it has {count} kinds of digests")
    sizes: dict[int, int] = {}
    for number in range(count):
        algorithm, size = _unpack(_DIGEST, first.data, _SPEC.size + number * _DIGEST.size)
        sizes[algorithm] = size
    return sizes


def _variable(event: Event) -> tuple[bytes, bytes, bytes]:
    """(GUID, name, data) of a measured variable."""
    guid, characters, size = _unpack(_VARIABLE, event.data, 0)
    name = _slice(event.data, _VARIABLE.size, characters * 2)
    return guid, name, _slice(event.data, _VARIABLE.size + characters * 2, size)


def _unpack(layout: struct.Struct, data: bytes, at: int) -> tuple[Any, ...]:
    if at + layout.size > len(data):
        raise FormatError(LOG, at, "it ends in the middle of an event")
    return layout.unpack_from(data, at)


def _slice(data: bytes, start: int, size: int) -> bytes:
    if size > len(data) - start:
        raise FormatError(LOG, start, f"{size} bytes of an event are not there")
    return data[start : start + size]
