"""Event logs as evidence: one event at a time, sessions, floods, real logs, damaged ones."""

from __future__ import annotations

import io
import json
import random
import warnings
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from evtx import PyEvtxParser
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.evidence import event_meaning, events
from recoverykit.formats import evtx
from recoverykit.model import (
    BootEvent,
    BootEventKind,
    Crash,
    DiskTrouble,
    DriverFailed,
    DriverRefused,
    Evidence,
    Gap,
    HardwareError,
    KernelBoot,
    NtfsState,
    ServiceChanged,
    ServiceInstalled,
    Source,
    UpdateEvent,
)
from tests.builders import events as make
from tests.builders import evtx as build
from tests.conftest import real
from tests.evidence.conftest import installation

WHEN = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
DISK, VOLUME = "\\Device\\Harddisk0\\DR0", "\\Device\\HarddiskVolume3"
MUTATIONS = 60  # a campaign sets more
LOG = Path("Windows") / events.LOG


def put(mount: Path, log: str, *records: build.Event) -> None:
    path = mount / "Windows" / log
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.build(records))


def read(*records: build.Event) -> list[Evidence]:
    return list(events.read(io.BytesIO(build.build(records)), "log"))


def said(*records: build.Event) -> list[tuple[Any, ...]]:
    """The evidence without where and when."""
    found = []
    for item in read(*records):
        assert not isinstance(item, Gap | NtfsState)
        values = [getattr(item, name) for name in item.__slots__ if name not in ("source", "when")]
        found.append((type(item).__name__, *values))
    return found


# --- one event ----------------------------------------------------------------------------

BOOTS = {
    "start": (make.kernel_started(WHEN), BootEventKind.STARTED),
    "log": (make.log_started(WHEN), BootEventKind.STARTED),
    "stop": (make.kernel_stopped(WHEN), BootEventKind.SHUT_DOWN),
    "log stop": (make.log_stopped(WHEN), BootEventKind.SHUT_DOWN),
    "power": (make.power_lost(WHEN, 0, (0, 0, 0, 0)), BootEventKind.UNEXPECTED),
    "6008": (make.unexpected_shutdown(WHEN, WHEN, timedelta(0)), BootEventKind.UNEXPECTED),
    "logon": (make.logged_on(WHEN), BootEventKind.LOGGED_ON),
    "sleep": (make.entering_sleep(WHEN), BootEventKind.LOGGED_ON),
}


@pytest.mark.parametrize("name", BOOTS)
def test_boots(name: str) -> None:
    record, kind = BOOTS[name]
    (event,) = read(record)
    assert isinstance(event, BootEvent)
    assert (event.when, event.kind) == (WHEN, kind)


def test_a_source_points_at_its_record() -> None:
    log = build.build([make.log_started(WHEN), make.disk_bad_block(WHEN)])
    (trouble,) = [e for e in events.read(io.BytesIO(log), "x") if isinstance(e, DiskTrouble)]
    assert trouble.source.path == "x"
    assert trouble.source.offset is not None
    at = trouble.source.offset
    assert log[at : at + 4] == b"**\0\0"
    assert log[at + 8 : at + 16] == (2).to_bytes(8, "little")


def test_loader_status() -> None:
    record = make.last_boot_status(WHEN, shut_down=False, succeeded=True, boot=41)
    assert said(record) == [("KernelBoot", None, False, True, 41)]


@pytest.mark.parametrize(("kind", "lives"), [(0, False), (1, True), (2, True)])
def test_boot_types(kind: int, lives: bool) -> None:
    found = read(make.boot_type(WHEN, kind))
    assert [e.boot_type for e in found if isinstance(e, KernelBoot)] == [kind]
    assert [e.kind for e in found if isinstance(e, BootEvent)] == (
        [BootEventKind.LOGGED_ON] if lives else []
    )


def test_power_lost_with_a_stop_code() -> None:
    record = make.power_lost(WHEN, 0xD1, (0xFFFF_F801_0000_0010, 2, 0, 0xFFFF_F801_1111_2222))
    assert said(record)[1:] == [
        ("Crash", 0xD1, (0xFFFF_F801_0000_0010, 2, 0, 0xFFFF_F801_1111_2222), "", "")
    ]


ENGLISH = "The computer has rebooted from a bugcheck.  The bugcheck was: "
CODE = "0x000000d1 (0xfffff80100000010, 0x0000000000000002, 0x0000000000000000, 0x1)"
DUMP = "C:\\Windows\\MEMORY.DMP"
GERMAN = "Der Computer wurde nach einem schwerwiegenden Fehler neu gestartet. Der Fehlercode war: "
REPORTS: dict[str, tuple[tuple[str, str], ...]] = {
    "named": (("param1", CODE), ("param2", DUMP), ("param3", "071924-1-01")),
    "strings": (("", CODE), ("", DUMP), ("", "071924-1-01")),
    "upper case": (("", CODE.upper().replace("0X", "0x")), ("", DUMP.lower())),
    "sentence": (("", f"{ENGLISH}{CODE}. A dump was saved in: {DUMP}."), ("", DUMP)),
    "German": (("param1", f"{GERMAN}{CODE}."), ("param2", DUMP)),
}


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("source", ["BugCheck", "Microsoft-Windows-WER-SystemErrorReporting"])
def test_reported_bug_checks(source: str, name: str) -> None:
    named = [(field, build.text(value)) for field, value in REPORTS[name] if field]
    plain = [value for field, value in REPORTS[name] if not field]
    data = (*named, *((("", build.strings(plain)),) if plain else ()))
    (crash,) = read(build.Event(WHEN, build.Provider(source), 1001, data, version=None))
    assert isinstance(crash, Crash)
    assert (crash.bugcheck, crash.dump.lower()) == (0xD1, DUMP.lower())
    assert crash.parameters == (0xFFFF_F801_0000_0010, 2, 0, 1)


def test_a_32_bit_bug_check_without_a_dump() -> None:
    code = "0x0000007b (0x80786b50, 0xc0000034, 0x00000000, 0x00000000)"
    data = (("param1", build.text(code)), ("param2", build.text("")))
    (crash,) = said(build.Event(WHEN, build.Provider("BugCheck"), 1001, data))
    assert crash == ("Crash", 0x7B, (0x80786B50, 0xC0000034, 0, 0), "", "")


def test_another_1001_is_no_crash() -> None:
    data = (("param1", build.text(CODE)),)
    assert read(build.Event(WHEN, build.Provider("Windows Error Reporting"), 1001, data)) == []


SINGLE: dict[str, tuple[build.Event, list[tuple[Any, ...]]]] = {
    "installed": (
        make.service_installed(WHEN, "acme", "\\SystemRoot\\acme.sys"),
        [("ServiceInstalled", "acme", "\\SystemRoot\\acme.sys")],
    ),
    "changed": (
        make.service_changed(WHEN, "Acme Filter", "boot start", "disabled", "acme"),
        [("ServiceChanged", "acme", "boot start", "disabled")],
    ),
    "changed, without a key": (
        make.service_changed(WHEN, "Acme Filter", "Systemstart", "Deaktiviert"),
        [("ServiceChanged", "Acme Filter", "Systemstart", "Deaktiviert")],
    ),
    "not started": (
        make.service_failed(WHEN, "Acme Filter", 31, "acme"),
        [("DriverFailed", 7000, "acme", 31, "")],
    ),
    "not started: refused": (
        make.service_failed(WHEN, "Acme Filter", 577, "acme"),
        [
            ("DriverFailed", 7000, "acme", 577, ""),
            ("DriverRefused", 7000, "acme", "acme.sys", True),
        ],
    ),
    "not started: a service that did not answer": (make.service_failed(WHEN, "Spooler", 1053), []),
    "not started: disabled": (make.service_failed(WHEN, "Acme", 1058), []),
    "several": (
        make.drivers_failed(WHEN, ["dam", "Acme Two"]),
        [("DriverFailed", 7026, "dam", 0, ""), ("DriverFailed", 7026, "Acme Two", 0, "")],
    ),
    "219": (
        make.driver_failed(WHEN, "HID\\VID_1", "\\Driver\\WudfRd"),
        [("DriverFailed", 219, "WudfRd", 0xC000_0365, "HID\\VID_1")],
    ),
    "219: refused": (
        make.driver_failed(WHEN, "PCI\\VEN_1", "\\Driver\\acme", 0xC000_0428),
        [
            ("DriverFailed", 219, "acme", 0xC000_0428, "PCI\\VEN_1"),
            ("DriverRefused", 219, "acme", "acme.sys", True),
        ],
    ),
    "blocked": (
        make.driver_blocked(WHEN, "\\??\\C:\\Windows\\system32\\drivers\\ACME.sys"),
        [
            (
                "DriverRefused",
                1060,
                "\\??\\C:\\Windows\\system32\\drivers\\ACME.sys",
                "acme.sys",
                True,
            )
        ],
    ),
    "bad block": (make.disk_bad_block(WHEN), [("DiskTrouble", 7, "disk", DISK, True)]),
    "predicted failure": (
        make.disk_event(WHEN, 52, DISK),
        [("DiskTrouble", 52, "disk", DISK, True)],
    ),
    "failed by hardware": (
        make.disk_event(WHEN, 154, DISK, "0x1"),
        [("DiskTrouble", 154, "disk", DISK, True)],
    ),
    "retried": (make.disk_retried(WHEN), [("DiskTrouble", 153, "disk", DISK, False)]),
    "paging": (make.disk_event(WHEN, 51), [("DiskTrouble", 51, "disk", DISK, False)]),
    "controller": (make.disk_event(WHEN, 11), [("DiskTrouble", 11, "disk", DISK, False)]),
    "removed": (make.disk_event(WHEN, 157), [("DiskTrouble", 157, "disk", DISK, False)]),
    "reset": (
        make.port_reset(WHEN),
        [("DiskTrouble", 129, "storahci", "\\Device\\RaidPort0", False)],
    ),
    "reset of a driver nobody knows": (
        make.port_reset(WHEN, "acmeraid"),
        [("DiskTrouble", 129, "acmeraid", "\\Device\\RaidPort0", False)],
    ),
    "129 of something else": (make.port_reset(WHEN, "AcmeNet", "\\Device\\NDMP1"), []),
    "a scratched disc": (make.port_reset(WHEN, "cdrom", "\\Device\\CdRom0"), []),
    "no dump": (make.no_dump(WHEN), [("DiskTrouble", 161, "volmgr", VOLUME, False)]),
    "corrupt": (
        make.ntfs_corrupt(WHEN, "C:"),
        [("DiskTrouble", 55, "Ntfs", f"C: {VOLUME}", True)],
    ),
    "corrupt, before Windows 8": (
        make.ntfs_corrupt_old(WHEN, "C:"),
        [("DiskTrouble", 55, "Ntfs", "C:", True)],
    ),
    "a healthy mount": (make.ntfs_state(WHEN), []),
    "a suspicion": (
        make.ntfs_state(WHEN, "C:", 1),
        [
            (
                "DiskTrouble",
                98,
                "Microsoft-Windows-Ntfs",
                "C: \\Device\\HarddiskVolume2",
                False,
            )
        ],
    ),
    "chkdsk is due": (
        make.ntfs_state(WHEN, "C:", 3),
        [
            (
                "DiskTrouble",
                98,
                "Microsoft-Windows-Ntfs",
                "C: \\Device\\HarddiskVolume2",
                True,
            )
        ],
    ),
    "update": (
        make.update_installed(WHEN, "2024-07 Cumulative Update for Windows 10 (KB5040427)"),
        [("UpdateEvent", 19, "2024-07 Cumulative Update for Windows 10 (KB5040427)", False, False)],
    ),
    "update begun": (
        make.update_started(WHEN, "Acme Corp. - Net - 1.2.3.4"),
        [("UpdateEvent", 43, "Acme Corp. - Net - 1.2.3.4", False, True)],
    ),
    "update failed": (
        make.update_failed(WHEN, "Update (KB1)"),
        [("UpdateEvent", 20, "Update (KB1)", True, False)],
    ),
    "an app of the store": (
        make.update_installed(WHEN, "An App", "{855E8A7C-ECB4-4CA3-B045-1DFA50104289}"),
        [],
    ),
    "an app of the store, begun": (
        make.update_started(WHEN, "9WZDNCRFJ3PS-Microsoft.RemoteDesktop"),
        [],
    ),
    "signatures": (make.update_installed(WHEN, "Security Update - KB2267602 (1.2)"), []),
    "package": (make.package_changed(WHEN, "KB5"), [("UpdateEvent", 2, "KB5", False, False)]),
    "package failed": (
        make.package_changed(WHEN, "KB5", 3, code=0x800F0816),
        [("UpdateEvent", 3, "KB5", True, False)],
    ),
    "package removed": (
        make.package_changed(WHEN, "KB5", 1, make.ABSENT),
        [("UpdateEvent", 1, "KB5 (removal)", False, False)],
    ),
    "package staged": (make.package_changed(WHEN, "KB5", 2, make.STAGED), []),
    "state of a service": (make.service_state(WHEN, "Spooler", "running"), []),
}


@pytest.mark.parametrize("name", SINGLE)
def test_single_events(name: str) -> None:
    record, expected = SINGLE[name]
    assert said(record) == expected


@pytest.mark.parametrize("number", range(1, 48))
def test_hardware_errors(number: int) -> None:
    """The manifest's levels: error for what could not be corrected, warning for what was."""
    corrected = {2, 5, 7, 9, 11, 17, 19, 21, 23, 25, 27, 28, 41, 43, 45, 47}
    untold = {3, *range(31, 40)}
    found = said(make.whea(WHEN, fatal=number not in corrected, number=number))
    expected = [] if number in untold else [("HardwareError", number, number not in corrected)]
    assert found == expected


def test_a_dependency_is_named_not_its_victim() -> None:
    data = [("param1", "Acme Agent"), ("param2", "Acme Filter"), ("param3", "%%2")]
    record = build.Event(
        WHEN,
        build.Provider("Service Control Manager"),
        7001,
        tuple((name, build.text(value)) for name, value in data),
    )
    assert said(record) == [("DriverFailed", 7001, "Acme Filter", 2, "")]


DRIVER_TITLES = {
    "INTEL - System - 10.1.1.44": True,
    "Realtek Semiconductor Corp. - MEDIA - 6.0.9071.1": True,
    "Acme Ltd. - Net - 7/18/2018 12:00:00 AM - 1.2.3.4": True,
    "Intel Corporation driver update for Intel(R) HD Graphics": True,
    "2024-07 Cumulative Update for Windows 11 Version 23H2 (KB5040442)": False,
    "Windows Malicious Software Removal Tool x64 - v5.126 (KB890830)": False,
    "Update for Windows Defender - KB4052623 (Version 4.18.24060.7)": False,
}


@pytest.mark.parametrize("title", DRIVER_TITLES)
def test_titles_of_drivers(title: str) -> None:
    assert event_meaning.is_driver_title(title) is DRIVER_TITLES[title]


@given(st.text(max_size=400))
def test_any_title_is_judged(title: str) -> None:
    assert event_meaning.is_driver_title(title) in (True, False)


@given(st.integers(0, (1 << 64) - 1))
def test_numbers_of_events(value: int) -> None:
    assert event_meaning.number(f"{value:#x}") == event_meaning.number(str(value)) == value


@given(st.text(max_size=30))
def test_what_is_no_number_is_none(text: str) -> None:
    assert 0 <= event_meaning.number(text) < 1 << 64


# --- the log as a whole -------------------------------------------------------------------


def day(number: int) -> datetime:
    return WHEN + timedelta(days=number)


def filler(when: datetime, count: int) -> list[build.Event]:
    later = [when + timedelta(seconds=n + 60) for n in range(count)]
    return [make.service_state(moment, "Spooler", "running") for moment in later]


def hybrid_days(days: int) -> list[build.Event]:
    """One start, then shut down with fast startup every evening."""
    log = [make.log_started(day(0)), make.kernel_started(day(0))]
    for number in range(days):
        log += filler(day(number), 250)
        log.append(make.entering_sleep(day(number) + timedelta(hours=9), 6, 5))
        log.append(make.boot_type(day(number + 1), 1))
    return log


def test_fast_startup_comes_up_again() -> None:
    found = read(*hybrid_days(2), make.logged_on(day(2) + timedelta(minutes=1)))
    kinds = [(e.kind, e.when) for e in found if isinstance(e, BootEvent)]
    assert (BootEventKind.LOGGED_ON, day(2)) in kinds
    assert [when for kind, when in kinds if kind is BootEventKind.STARTED] == [day(0), day(0)]


def test_reading_goes_on_to_the_start_behind_fast_startups() -> None:
    found = read(*hybrid_days(12))
    assert sum(isinstance(e, KernelBoot) for e in found) > events.ENOUGH_GOOD
    assert any(isinstance(e, BootEvent) and e.kind is BootEventKind.STARTED for e in found)


def test_reading_stops_behind_enough_good_sessions() -> None:
    log: list[build.Event] = []
    for number in range(30):
        log += [make.log_started(day(number)), make.kernel_started(day(number))]
        log += filler(day(number), 250)
        end = day(number) + timedelta(hours=9)
        log += [make.log_stopped(end), make.kernel_stopped(end)]
    starts = [e for e in read(*log) if isinstance(e, BootEvent) and e.when == day(0)]
    assert starts == []
    newest = [e for e in read(*log) if isinstance(e, BootEvent) and e.when == day(29)]
    assert len(newest) == 2


def test_a_flood_of_complaints_is_cut_to_the_newest() -> None:
    moments = [WHEN + timedelta(seconds=n) for n in range(events.MAX_ALIKE + 50)]
    log = [make.ntfs_corrupt(moment) for moment in moments]
    log += [make.disk_bad_block(WHEN)]
    found = [e for e in read(*log) if isinstance(e, DiskTrouble)]
    corrupt = sorted(e.when for e in found if e.event == 55)
    assert corrupt == moments[50:]
    assert [e.event for e in found if e.event != 55] == [7]


# --- the other logs -----------------------------------------------------------------------


def test_three_logs(tmp_path: Path) -> None:
    put(tmp_path, events.LOG, make.log_started(WHEN))
    put(tmp_path, events.SETUP_LOG, make.package_changed(WHEN, "KB5"))
    failed = make.pnp_driver_failed(WHEN, "PCI\\VEN_1", "acme")
    put(tmp_path, events.DEVICES_LOG, make.pnp_started(WHEN, "PCI\\VEN_2", "other"), failed)
    found = {type(item).__name__: item for item in events.collect(installation(tmp_path))}
    assert found.keys() == {"BootEvent", "UpdateEvent", "DriverFailed"}
    failure = found["DriverFailed"]
    assert isinstance(failure, DriverFailed)
    assert (failure.name, failure.status, failure.device) == ("acme", 0xC000_026C, "PCI\\VEN_1")
    assert failure.source.path == f"Windows/{events.DEVICES_LOG}"


PROBLEMS = {0: "", 21: "", 45: "", 28: "", 10: "failed", 37: "failed", 39: "failed", 52: "refused"}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_problems_of_devices(tmp_path: Path, problem: int) -> None:
    failed = make.pnp_driver_failed(WHEN, "PCI\\VEN_1", "\\Driver\\acme", problem, 0xC000_0001)
    put(tmp_path, events.LOG, make.log_started(WHEN))
    put(tmp_path, events.DEVICES_LOG, failed)
    found = [e for e in events.collect(installation(tmp_path)) if not isinstance(e, BootEvent)]
    names: dict[str, list[type]] = {
        "": [],
        "failed": [DriverFailed],
        "refused": [DriverFailed, DriverRefused],
    }
    assert [type(item) for item in found] == names[PROBLEMS[problem]]


def test_only_the_system_log_is_missed(tmp_path: Path) -> None:
    gaps = list(events.collect(installation(tmp_path)))
    assert gaps == [Gap(Source(LOG.as_posix()), "there is no System event log")]


def test_garbage_beside_the_system_log(tmp_path: Path) -> None:
    put(tmp_path, events.LOG, make.log_started(WHEN))
    (tmp_path / "Windows" / events.SETUP_LOG).write_bytes(b"MZ" * 9000)
    kinds = [type(item) for item in events.collect(installation(tmp_path))]
    assert kinds == [BootEvent, Gap]


# --- real logs ----------------------------------------------------------------------------

SAMPLES = real(
    *(
        f"evtx/{name}.evtx"
        for name in (
            "win7_System_bugcheck",
            "srv2008r2_DC1_System",
            "win10_1703_System",
            "win10_vss7_System",
            "win11_KernelPnP_Configuration",
            "win11_CodeIntegrity",
            "win11_Storport",
            "win11_ShimEngine",
            "win11_KernelBoot",
            "security4826_testsigning_on",
            "sysmon6_driverload_TDL",
        )
    )
)
DAMAGED = real(
    *(
        f"evtx/{name}.evtx"
        for name in (
            "zero_data_size",
            "bad_chunk_magic",
            "bad_string_cache",
            "malformed",
            "truncated_System2",
        )
    )
)


def plain(path: Path) -> list[tuple[str, int, dict[str, Any]]]:
    """Provider, id and named data of every record, as the evtx package alone reads the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entries: list[Any] = list(PyEvtxParser(str(path), 1, skip_errors=True).records_json())
    found = []
    for entry in entries:
        event: dict[str, Any] = json.loads(entry["data"])["Event"]
        number = event["System"]["EventID"]
        number = number["#text"] if isinstance(number, dict) else number
        provider = event["System"]["Provider"]["#attributes"]["Name"]
        found.append((provider.split("-")[-1], number, event.get("EventData") or {}))
    return found


def expected(path: Path) -> Counter[str]:
    """How much of each kind a log must give, by the simplest of filters."""
    count: Counter[str] = Counter()
    for provider, number, data in plain(path):
        told = f"{provider} {number}".lower()
        if told in BOOT_KINDS:
            count["BootEvent"] += 1
        if told in ("boot 20", "boot 27"):
            count["KernelBoot"] += 1
        if told == "power 41" and data["BugcheckCode"]:
            count["Crash"] += 1
        count["Crash"] += told == "systemerrorreporting 1001"
        count["ServiceInstalled"] += told == "service control manager 7045"
        count["ServiceChanged"] += told == "service control manager 7040"
        if told == "service control manager 7026":
            count["DriverFailed"] += len(data["param1"].split())
        count["DriverFailed"] += told in ("service control manager 7000", "pnp 219")
        if told == "pnp 411" and data["Problem"] in ("0xa", "0x1f", "0x25", "0x27"):
            count["DriverFailed"] += 1
        if told in ("windowsupdateclient 19", "windowsupdateclient 20", "windowsupdateclient 43"):
            store = data.get("serviceGuid") == "855E8A7C-ECB4-4CA3-B045-1DFA50104289"
            app = data["updateTitle"].startswith("9") and data["updateTitle"][12:13] == "-"
            signatures = "KB2267602" in data["updateTitle"]
            count["UpdateEvent"] += not (store or app or signatures)
        count["DiskTrouble"] += told in ("disk 51", "disk 153", "disk 7", "disk 11")
    return +count


BOOT_KINDS = {
    "general 12",
    "general 13",
    "eventlog 6005",
    "eventlog 6006",
    "eventlog 6008",
    "power 41",
    "winlogon 7001",
    "power 42",
    "power 107",
    "power 506",
    "power 507",
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_event_of_a_real_log_and_no_other(sample: Path) -> None:
    stream = io.BytesIO(sample.read_bytes())
    found: list[Evidence] = []
    for chunk in evtx.chunks(stream):
        content = evtx.read(stream, chunk, events.wanted)
        assert content.problems == ()
        for record in content.records:
            found += events.meaning(record, "log")
    assert Counter(type(item).__name__ for item in found) == expected(sample)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_real_log_through_the_collector(sample: Path) -> None:
    """Fewer, for reading stops; one more where a session lasted; no gaps."""
    found = Counter(
        type(item).__name__ for item in events.read(io.BytesIO(sample.read_bytes()), "log")
    )
    most = expected(sample)
    lasting = found.pop("BootEvent", 0)
    assert found <= most
    # A log that begins in the middle of a session that lasted has one sign more.
    assert lasting <= most["BootEvent"] + most["BootEvent"] // 2 + 1


@pytest.mark.parametrize("sample", DAMAGED)
def test_a_damaged_real_log_through_the_collector(sample: Path) -> None:
    found = list(events.read_other(io.BytesIO(sample.read_bytes()), "log"))
    gaps = [item.reason for item in found if isinstance(item, Gap)]
    assert bool(gaps) == (sample.name == "zero_data_size.evtx")


@pytest.mark.parametrize("sample", real("evtx/win10_1703_System.evtx"))
def test_what_windows_10_told(sample: Path) -> None:
    found = list(events.read(io.BytesIO(sample.read_bytes()), "log"))
    failed = {(e.event, e.name, e.status) for e in found if isinstance(e, DriverFailed)}
    assert failed == {
        (219, "WudfRd", 0xC000_0365),
        (7000, "CldFlt", 50),
        (7026, "CSC", 0),
        (7026, "dam", 0),
    }
    disks = {(e.event, e.provider, e.text, e.severe) for e in found if isinstance(e, DiskTrouble)}
    assert {event for event, *_ in disks} == {51}
    assert not any(severe for *_, severe in disks)
    assert {e.last_boot_good for e in found if isinstance(e, KernelBoot)} == {True, None}
    titles = {e.title for e in found if isinstance(e, UpdateEvent) if e.failed}
    assert (
        "2017-07 Cumulative Update for Windows 10 Version 1703 for x64-based Systems (KB4025342)"
        in titles
    )
    assert not any(e.driver for e in found if isinstance(e, UpdateEvent))
    assert any(isinstance(e, ServiceChanged) and e.service == "BITS" for e in found)
    assert any(isinstance(e, ServiceInstalled) for e in found)
    assert not any(isinstance(e, DriverRefused | HardwareError | Crash) for e in found)


# --- hostile ------------------------------------------------------------------------------


def hostile(good: bytes, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(rounds):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 40)):
            at = rng.randrange(len(bad)) if rng.random() < 0.3 else 4096 + rng.randrange(9000)
            bad[at % len(bad)] = rng.choice((0, 0xFF, 0x22, 0x30, rng.randrange(256)))
        if rng.random() < 0.2:
            del bad[rng.randrange(len(bad)) :]
        try:
            found = list(events.read(io.BytesIO(bytes(bad)), "log"))
        except FormatError:
            continue
        assert not any(isinstance(item, NtfsState) or item.source.path != "log" for item in found)


def test_damage_to_a_log_of_everything() -> None:
    log = [record for record, _ in SINGLE.values()] + [record for record, _ in BOOTS.values()]
    hostile(build.build(log), MUTATIONS, 20240719)


@pytest.mark.parametrize("sample", real("evtx/win10_1703_System.evtx"))
def test_damage_to_a_real_log(sample: Path) -> None:
    hostile(sample.read_bytes()[: 4096 + 4 * evtx.CHUNK_SIZE], MUTATIONS, 20240720)
