"""What single events of the System, Setup and Kernel-PnP logs say about boots, drivers, updates.

Names and numbers of fields: the real logs of ../shared/data, Microsoft's documentation of the
providers, and public dumps of their manifests (jdu2600/Windows10EtwEvents). Texts of events are
localised and never looked at, but for two things that Windows writes alike in every language: a
bug check as "0x000000d1 (0x..., ...)", and the shape of a driver's title in Windows Update.

Not read: SCM 7009, 7011, 7023, 7024, 7031 (user-mode services only), Windows Update 44 (a
download), Application Popup 26 (any program's message box).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from recoverykit.formats import evtx
from recoverykit.formats.log_text import file_name
from recoverykit.model import (
    BootEvent,
    BootEventKind,
    Crash,
    DriverFailed,
    DriverRefused,
    Evidence,
    KernelBoot,
    ServiceChanged,
    ServiceInstalled,
    Source,
    UpdateEvent,
)

Meaning = Callable[[evtx.Record, Source], Iterator[Evidence]]

_GENERAL = "microsoft-windows-kernel-general"
_POWER = "microsoft-windows-kernel-power"
_BOOT = "microsoft-windows-kernel-boot"
_SERVICES = "service control manager"
_PLUG_AND_PLAY = "microsoft-windows-kernel-pnp"
_UPDATES = "microsoft-windows-windowsupdateclient"
_SERVICING = "microsoft-windows-servicing"

# What a boot writes first, in this order: unexpected end, version, log started, kernel started.
FIRST = frozenset({("eventlog", 6008), ("eventlog", 6009), ("eventlog", 6005), (_GENERAL, 12)})

_KINDS = {
    (_GENERAL, 12): BootEventKind.STARTED,
    ("eventlog", 6005): BootEventKind.STARTED,
    (_GENERAL, 13): BootEventKind.SHUT_DOWN,
    ("eventlog", 6006): BootEventKind.SHUT_DOWN,
    (_POWER, 41): BootEventKind.UNEXPECTED,
    ("eventlog", 6008): BootEventKind.UNEXPECTED,
    ("microsoft-windows-winlogon", 7001): BootEventKind.LOGGED_ON,  # a user logged on
    (_POWER, 42): BootEventKind.LOGGED_ON,  # going to sleep; a hybrid shutdown has no other end
    (_POWER, 107): BootEventKind.LOGGED_ON,  # back from sleep
    (_POWER, 506): BootEventKind.LOGGED_ON,  # modern standby, in and out
    (_POWER, 507): BootEventKind.LOGGED_ON,
}

_BUGCHECK = re.compile(r"\b0x([0-9a-f]{1,8})\s*\(([^()]{1,200})\)", re.IGNORECASE)
_PARAMETER = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE)
_WIN32 = re.compile(r"%%(\d{1,10})")

# Win32 errors of a service that say nothing about a driver: no answer in time, wrong account,
# disabled, its dependency failed (which is told by itself), the machine is going down.
_NO_DRIVER = frozenset({1053, 1055, 1056, 1057, 1058, 1068, 1069, 1079, 1115})
# Refusals: invalid hash, revoked, expired, blocked (critical, by list, incompatible), by policy.
_REFUSED_STATUS = frozenset(
    {0xC0000428, 0xC0000603, 0xC0000605, 0xC000036B, 0xC000036C, 0xC0000424, 0xC0E90002, 0xC0E90007}
)
_REFUSED_ERROR = frozenset({577, 1275, 4551, 4556})
# Problem codes of a device whose driver did not come up (cfg.h, CM_PROB_*): failed start, registry,
# failed add, failed entry, failed prior unload, failed load, blocked, unsigned.
_DRIVER_PROBLEMS = frozenset({10, 19, 31, 37, 38, 39, 48, 52})
_REFUSED_PROBLEMS = frozenset({48, 52})

_STORE = "855e8a7c-ecb4-4ca3-b045-1dfa50104289"  # serviceGuid: apps of the Microsoft Store
_APP = re.compile(r"^9[0-9A-Z]{11}-")  # their titles; 43 has no serviceGuid
_DEFINITIONS = "KB2267602"  # daily signatures of Defender: data for a program, not for the boot
# Such as: INTEL - System - 10.1.1.44; Acme Corp. - Net - 7/18/2018 12:00:00 AM - 1.2.3.4.
_DRIVER_TITLE = re.compile(r"^\S.{0,120}? - [^-]{2,60} - (?:[\d/:. APM]{8,40} - )?\d+(?:\.\d+)+$")
_DRIVER_UPDATE = re.compile(r"\bdriver update\b", re.IGNORECASE)
_PACKAGE_STATES = {"5112": "", "5000": " (removal)"}  # others, such as staged, change nothing yet


# --- boots and crashes --------------------------------------------------------------------


def _boot(kind: BootEventKind, record: evtx.Record, source: Source) -> Iterator[Evidence]:
    safe = kind is BootEventKind.STARTED and record.fields.get("BootMode", "0") not in ("0", "")
    yield BootEvent(source, record.when, kind, safe_mode=safe)


def _power_lost(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """41. Without a code it was the power, a hang, or a crash too early to be noted."""
    yield BootEvent(source, record.when, BootEventKind.UNEXPECTED)
    code = number(record.fields.get("BugcheckCode", ""))
    if code:
        values = (record.fields.get(f"BugcheckParameter{n}", "") for n in range(1, 5))
        yield Crash(source, record.when, code, tuple(number(value) for value in values))


def _reported(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """1001: the code may stand in a field, a string, or amid a localised sentence."""
    texts = (*record.fields.values(), *record.strings)
    dump = next((text.strip() for text in texts if text.lower().strip().endswith(".dmp")), "")
    for text in texts:
        match = _BUGCHECK.search(text[:4096])
        if match:
            parameters = [int(part, 16) for part in _PARAMETER.findall(match.group(2))[:4]]
            yield Crash(source, record.when, int(match.group(1), 16), tuple(parameters), dump)
            return


def _last_boot(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    yield KernelBoot(
        source,
        record.when,
        last_shutdown_good=_truth(record.fields.get("LastShutdownGood", "")),
        last_boot_good=_truth(record.fields.get("LastBootGood", "")),
        last_boot_id=_optional(record.fields.get("LastBootId", "")),
    )


def _boot_type(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """27. A resumed kernel logs no start; it came back far enough to write this."""
    boot = KernelBoot(source, record.when, boot_type=_optional(record.fields.get("BootType", "")))
    yield boot
    if boot.resumed:
        yield BootEvent(source, record.when, BootEventKind.LOGGED_ON)


# --- services and drivers -----------------------------------------------------------------


def _installed(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    service = record.fields.get("ServiceName", "")
    yield ServiceInstalled(source, record.when, service, record.fields.get("ImagePath", ""))


def _changed(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """7040. The key is the fourth parameter, where there is one; start types are localised."""
    name, before, after, key = (record.fields.get(f"param{n}", "") for n in range(1, 5))
    yield ServiceChanged(source, record.when, key or name, before, after)


def _not_started(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """7000 tells a display name, and since Windows 8 the key in its binary part."""
    name = _key(record.fields.get("Binary", "")) or _parameter(record, 1)
    yield from _failed_with_error(record, source, name, _parameter(record, 2))


def _dependency_failed(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """7001: not the service that tells it, but the one it waited for."""
    yield from _failed_with_error(record, source, _parameter(record, 2), _parameter(record, 3))


def _failed_with_error(
    record: evtx.Record, source: Source, name: str, told: str
) -> Iterator[Evidence]:
    match = _WIN32.search(told)
    error = number(match.group(1)) & 0xFFFF_FFFF if match else 0
    if not name or error in _NO_DRIVER:
        return
    yield DriverFailed(source, record.when, record.event, name, error)
    if error in _REFUSED_ERROR:
        yield refused(record, source, name)


def _not_loaded(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """7026 lists the services of boot- and system-start drivers, one a line."""
    for line in _parameter(record, 1).splitlines():
        if line.strip():
            yield DriverFailed(source, record.when, record.event, line.strip())


def _load_failed(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """219: DriverName is the device, FailureName the driver object."""
    name = _service(record.fields.get("FailureName", ""))
    status = number(record.fields.get("Status", ""))
    if name:
        device = record.fields.get("DriverName", "")
        yield DriverFailed(source, record.when, record.event, name, status, device)
        if status in _REFUSED_STATUS:
            yield refused(record, source, name)


def _device_problem(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """411. Most problems are no driver's: a restart is due, the device was unplugged."""
    name = _service(record.fields.get("ServiceName", ""))
    problem = number(record.fields.get("Problem", ""))
    status = number(record.fields.get("Status", ""))
    if name and problem in _DRIVER_PROBLEMS:
        device = record.fields.get("DeviceInstanceId", "")
        yield DriverFailed(source, record.when, record.event, name, status, device)
        if problem in _REFUSED_PROBLEMS or status in _REFUSED_STATUS:
            yield refused(record, source, name)


def _blocked(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """Application Popup: the event id is the low word of the status, the path one of the strings.

    875 and 876 STATUS_DRIVER_BLOCKED(_CRITICAL), 1060 STATUS_INCOMPATIBLE_DRIVER_BLOCKED.
    """
    for text in (*record.strings, *record.fields.values()):
        if text.lower().strip().endswith(".sys"):
            yield refused(record, source, text.strip())
            return


def refused(
    record: evtx.Record, source: Source, path: str, *, enforced: bool = True
) -> DriverRefused:
    """Where only a service is told, its file is taken to have its name."""
    file = file_name(path)
    file = file if "." in file else f"{file}.sys"
    return DriverRefused(source, record.when, record.event, path, file, enforced)


# --- updates ------------------------------------------------------------------------------


def _update(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """Windows Update 19 installed, 20 failed, 43 begun. That it is a driver, only titles tell."""
    title = record.fields.get("updateTitle", "").strip()
    service = record.fields.get("serviceGuid", "").strip("{}").lower()
    if not title or service == _STORE or _APP.match(title) or _DEFINITIONS in title:
        return
    yield UpdateEvent(
        source, record.when, record.event, title, record.event == 20, is_driver_title(title)
    )


def is_driver_title(title: str) -> bool:
    """Whether an update's title has the shape of drivers: maker, class and version."""
    short = title[:300]
    return bool(_DRIVER_TITLE.match(short) or _DRIVER_UPDATE.search(short))


def _package(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    """Servicing 1 begun, 2 done, 3 and 6 failed, 4 a restart is needed."""
    what = _PACKAGE_STATES.get(record.fields.get("IntendedPackageState", ""))
    package = record.fields.get("PackageIdentifier", "")
    if package and what is not None:
        failed = record.event in (3, 6)
        yield UpdateEvent(source, record.when, record.event, package + what, failed)


# --- values -------------------------------------------------------------------------------


def number(text: str) -> int:
    """Decimal or 0x-hexadecimal of at most 64 bits; 0 for anything else."""
    if len(text) > 20:
        return 0
    try:
        return int(text, 0) & 0xFFFF_FFFF_FFFF_FFFF
    except ValueError:
        return 0


def _optional(text: str) -> int | None:
    return number(text) if text else None


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _parameter(record: evtx.Record, index: int) -> str:
    """`param1` of new logs, the first string of old ones."""
    named = record.fields.get(f"param{index}", "")
    return named or "".join(record.strings[index - 1 : index])


def _service(name: str) -> str:
    """The service of a driver object such as \\Driver\\acme."""
    return name.rsplit("\\", 1)[-1].strip()


def _key(binary: str) -> str:
    """A service key told as hexadecimal UTF-16; "" where it is something else."""
    try:
        text = bytes.fromhex(binary[:1024]).decode("utf-16-le").split("\0")[0]
    except ValueError:
        return ""
    return text if text.isprintable() and "/" not in text else ""


MEANINGS: dict[tuple[str, int], Meaning] = {
    **{told: partial(_boot, kind) for told, kind in _KINDS.items()},
    (_POWER, 41): _power_lost,
    ("microsoft-windows-wer-systemerrorreporting", 1001): _reported,
    ("bugcheck", 1001): _reported,
    (_BOOT, 20): _last_boot,
    (_BOOT, 27): _boot_type,
    (_SERVICES, 7045): _installed,
    (_SERVICES, 7040): _changed,
    (_SERVICES, 7000): _not_started,
    (_SERVICES, 7001): _dependency_failed,
    (_SERVICES, 7026): _not_loaded,
    (_PLUG_AND_PLAY, 219): _load_failed,
    (_PLUG_AND_PLAY, 411): _device_problem,
    **{("application popup", event): _blocked for event in (875, 876, 1060)},
    **{(_UPDATES, event): _update for event in (19, 20, 43)},
    **{(_SERVICING, event): _package for event in (1, 2, 3, 4, 6)},
}
