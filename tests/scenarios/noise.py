"""What healthy machines log, week after week."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tests.builders import events
from tests.builders.evtx import Event, Provider, text, u32
from tests.scenarios.machine import Machine
from tests.scenarios.profiles import Profile

_DCOM = Provider(
    "Microsoft-Windows-DistributedCOM", "{1B562E86-B7AA-4131-BADC-B6F3A001407E}", "DCOM", 0
)

_SERVICES = (
    *("Windows Update", "Windows Time", "Print Spooler", "Software Protection"),
    *("Background Intelligent Transfer Service", "Device Setup Manager", "WinHTTP Web Proxy"),
    "Windows Modules Installer",
)
_FAILED_TO_LOAD = (["dam"], ["CSC", "dam"], ["i8042prt"], ["fvevol"], ["WinQuic"])
_WUDF = "ROOT\\WPD\\0000"
_UPDATES = (
    "Security Intelligence Update for Microsoft Defender Antivirus - KB2267602 (Version {0})",
    "Windows Malicious Software Removal Tool x64 - v5.{1} (KB890830)",
    "9WZDNCRFJ3Q2-Microsoft.BingWeather",
    "{2} Cumulative Update for .NET Framework 3.5 and 4.8 (KB50{3})",
)
CUMULATIVE = "{0:%Y-%m} Cumulative Update for {1} for x64-based Systems (KB50{2})"


def session(m: Machine, on: datetime, off: datetime, *, safe: bool = False) -> None:
    """The chatter between a boot and its end."""
    rng = m.rng
    up = on + timedelta(seconds=rng.randint(36, 50))
    if rng.random() < 0.7:
        m.log(events.drivers_failed(up, rng.choice(_FAILED_TO_LOAD)))
    if rng.random() < 0.25:
        m.log(events.driver_failed(up, _WUDF, "\\Driver\\WudfRd"))
    if rng.random() < 0.15:
        m.log(events.service_failed(up, "Intel(R) SUR QC Software Asset Manager", 1053))
    m.log(events.logged_on(up + timedelta(seconds=rng.randint(2, 30))))
    if safe:
        return
    minutes = max(1, int((off - on).total_seconds() // 60))
    for _ in range(rng.randint(3, 8)):
        at = up + timedelta(minutes=rng.randint(0, minutes - 1) if minutes > 1 else 0)
        state = rng.choice(("running", "stopped"))
        m.log(events.service_state(at, rng.choice(_SERVICES), state))
    for _ in range(rng.randint(0, 3)):
        m.log(_dcom(up + timedelta(minutes=rng.randint(0, minutes))))
    if rng.random() < 0.4:
        at = up + timedelta(minutes=rng.randint(0, minutes))
        m.log(events.service_changed(at, *_BITS))
    if rng.random() < 0.35:
        at = up + timedelta(minutes=rng.randint(0, minutes))
        title = rng.choice(_UPDATES).format(
            f"1.4{rng.randint(10, 99)}.{rng.randint(100, 999)}.0",
            rng.randint(80, 140),
            f"{at:%Y-%m}",
            rng.randint(10_000, 99_999),
        )
        m.log(events.update_started(at, title))
        m.log(events.update_installed(at + timedelta(minutes=1), title))


_BITS = ("Background Intelligent Transfer Service", "demand start", "auto start", "BITS")


def kernel_started(on: datetime, profile: Profile, *, safe: bool) -> Event:
    """Kernel-General 12; its BootMode is 1 in Safe Mode."""
    event = events.kernel_started(on, profile.build)
    values = {
        "BootMode": u32(int(safe)),
        "MajorVersion": u32(profile.version[0]),
        "MinorVersion": u32(profile.version[1]),
    }
    return replace(event, data=tuple((name, values.get(name, value)) for name, value in event.data))


def safe_mode_service(when: datetime) -> Event:
    return events.service_state(when, "DCOM Server Process Launcher", "running")


def _dcom(when: datetime) -> Event:
    data = tuple(
        (f"param{number}", text(value))
        for number, value in enumerate(
            (
                *("application-specific", "Local", "Activation"),
                "{2593F8B9-4EAF-457C-B68A-50F6B8EA6B54}",
                "{15C20B67-12E7-4BB6-92BB-7AFF07997402}",
                *("NT AUTHORITY", "SYSTEM", "S-1-5-18", "LocalHost (Using LRPC)"),
            ),
            start=1,
        )
    )
    return Event(when, _DCOM, 10016, data, level=3, keywords=0x8080_0000_0000_0000)


def cumulative_update(m: Machine, when: datetime, *, failed: bool = False) -> str:
    """This month's update of Windows itself, downloaded and installed; its title."""
    product = "Windows 11" if m.profile.build >= 22000 else "Windows 10"
    title = CUMULATIVE.format(when, product, m.rng.randint(10_000, 99_999))
    m.log(events.update_started(when, title))
    end = when + timedelta(minutes=m.rng.randint(6, 20))
    m.log(events.update_failed(end, title) if failed else events.update_installed(end, title))
    package = f"KB50{m.rng.randint(10_000, 99_999)}"
    m.log(events.package_changed(end, package, 4))
    return title


def driver_trouble(m: Machine, when: datetime, service: str) -> None:
    """A driver that never starts on this machine says so again."""
    m.log(events.service_failed(when, service, 31, service))
    m.log(events.driver_failed(when, f"ROOT\\{service.upper()}\\0000", f"\\Driver\\{service}"))
