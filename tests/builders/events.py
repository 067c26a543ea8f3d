"""The events by which a System log tells of boots, crashes and installed services.

Providers, levels and field names are those of the real logs in ../shared/data/evtx.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.builders.evtx import (
    NULL,
    Event,
    Provider,
    boolean,
    hex64,
    moment,
    strings,
    text,
    u32,
    u64,
)

_EVENTLOG = Provider("EventLog", qualifiers=0x8000)
_KERNEL_GENERAL = Provider(
    "Microsoft-Windows-Kernel-General", "{A68CA8B7-004F-D7B6-A698-07E2DE0F1F5D}"
)
_KERNEL_POWER = Provider("Microsoft-Windows-Kernel-Power", "{331C3B3A-2005-44C2-AC5E-77220C37D6B4}")
_ERROR_REPORTING = Provider(
    "Microsoft-Windows-WER-SystemErrorReporting",
    "{ABCE23E7-DE45-4366-8631-84FA6C525952}",
    "BugCheck",
    0x4000,
)
_SERVICES_GUID = "{555908D1-A6D7-4695-8E1E-26931D2012F4}"
_SERVICES = Provider("Service Control Manager", _SERVICES_GUID, "Service Control Manager", 0x4000)
_SERVICES_ERROR = Provider(
    "Service Control Manager", _SERVICES_GUID, "Service Control Manager", 0xC000
)
_CLASSIC = 0x0080_0000_0000_0000
_SERVICE_KEYWORDS = 0x8080_0000_0000_0000


def _eventlog(
    when: datetime, number: int, data: Sequence[str], blob: bytes, level: int = 4
) -> Event:
    pairs = (("", strings(data) if data else NULL),)
    return Event(
        when,
        _EVENTLOG,
        number,
        pairs,
        blob,
        level,
        version=None,
        keywords=_CLASSIC,
        process=None,
    )


def kernel_started(when: datetime, build_number: int = 19045) -> Event:
    data = (
        ("MajorVersion", u32(10)),
        ("MinorVersion", u32(0)),
        ("BuildVersion", u32(build_number)),
        ("QfeVersion", u32(4651)),
        ("ServiceVersion", u32(0)),
        ("BootMode", u32(0)),
        ("StartTime", moment(when)),
    )
    return Event(
        when, _KERNEL_GENERAL, 12, data, task=1, keywords=0x8000_0000_0000_0080, as_system=True
    )


def kernel_stopped(when: datetime) -> Event:
    data = (("StopTime", moment(when)),)
    return Event(when, _KERNEL_GENERAL, 13, data, task=2, keywords=0x8000_0000_0000_0080)


def version_logged(when: datetime, build_number: int = 19045) -> Event:
    return _eventlog(when, 6009, ["10.00.", str(build_number), "", "Multiprocessor Free", "0"], b"")


def log_started(when: datetime) -> Event:
    return _eventlog(when, 6005, [], _systemtime(when) + bytes(8))


def log_stopped(when: datetime) -> Event:
    return _eventlog(when, 6006, [], bytes.fromhex("0100000000000000"))


def unexpected_shutdown(when: datetime, last_alive: datetime, bias: timedelta) -> Event:
    """6008: the moment is given as local text, with the marks Windows puts into its dates."""
    local = last_alive - bias
    clock = f"{local:%I:%M:%S %p}".lstrip("0")
    date = f"\u200e{local.month}/\u200e{local.day}/\u200e{local.year}"
    blob = _systemtime(local) + _systemtime(last_alive) + bytes(32)
    return _eventlog(when, 6008, [clock, date, "", "", "934", "", ""], blob, level=2)


def power_lost(when: datetime, bugcheck: int, parameters: Sequence[int]) -> Event:
    """41: the last session did not end cleanly; the bug check is decimal, its parameters hex."""
    numbers = tuple(
        (f"BugcheckParameter{index}", hex64(value)) for index, value in enumerate(parameters, 1)
    )
    data = (
        ("BugcheckCode", u32(bugcheck)),
        *numbers,
        ("SleepInProgress", boolean(value=False)),
        ("PowerButtonTimestamp", u64(0)),
    )
    return Event(
        when,
        _KERNEL_POWER,
        41,
        data,
        level=1,
        version=2,
        task=63,
        keywords=0x8000_0000_0000_0002,
        as_system=True,
    )


def bugcheck_reported(
    when: datetime, bugcheck: int, parameters: Sequence[int], dump: str, report: str
) -> Event:
    numbers = ", ".join(f"{value:#018x}" for value in parameters)
    data = (
        ("param1", text(f"{bugcheck:#010x} ({numbers})")),
        ("param2", text(dump)),
        ("param3", text(report)),
    )
    return Event(when, _ERROR_REPORTING, 1001, data, level=2, keywords=_CLASSIC, process=(0, 0))


def service_installed(
    when: datetime,
    name: str,
    image_path: str,
    *,
    start: str = "boot start",
    kind: str = "kernel mode driver",
) -> Event:
    """7045; the words are those of an English Windows."""
    data = (
        ("ServiceName", text(name)),
        ("ImagePath", text(image_path)),
        ("ServiceType", text(kind)),
        ("StartType", text(start)),
        ("AccountName", text("")),
    )
    return Event(
        when,
        _SERVICES,
        7045,
        data,
        keywords=_SERVICE_KEYWORDS,
        process=(620, 1796),
        as_system=True,
    )


def drivers_failed(when: datetime, names: Sequence[str]) -> Event:
    """7026: boot- or system-start drivers that did not load; a healthy machine logs it too."""
    data = (("param1", text("".join(f"\r\n{name}" for name in names))),)
    return Event(when, _SERVICES_ERROR, 7026, data, keywords=_SERVICE_KEYWORDS, process=(620, 624))


def service_state(when: datetime, name: str, state: str) -> Event:
    data = (("param1", text(name)), ("param2", text(state)))
    blob = (name.replace(" ", "") + "/4\0").encode("utf-16-le")
    return Event(when, _SERVICES, 7036, data, blob, keywords=_SERVICE_KEYWORDS, process=(620, 700))


def _systemtime(when: datetime) -> bytes:
    when = when.astimezone(UTC)
    return struct.pack(
        "<8H",
        when.year,
        when.month,
        when.isoweekday() % 7,
        when.day,
        when.hour,
        when.minute,
        when.second,
        when.microsecond // 1000,
    )
