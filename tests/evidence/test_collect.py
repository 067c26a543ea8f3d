"""All collectors on a whole Windows: what they find, and that nothing makes them raise."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from recoverykit.diagnosis import knowledge, timeline
from recoverykit.evidence import collect, events
from recoverykit.model import (
    BootEvent,
    BootEventKind,
    BootLogBlock,
    Crash,
    DeviceUse,
    DriverFailed,
    DriverFile,
    Evidence,
    FilterUse,
    Gap,
    Service,
    ServiceInstalled,
    StartType,
    WindowsInstall,
)
from tests.builders import events as builders
from tests.builders import evtx, faults, history, registry, windows
from tests.conftest import real
from tests.evidence.conftest import installed, put
from tests.independent import registry as independent

T = TypeVar("T")


def of(kind: type[T], evidence: tuple[Evidence, ...]) -> list[T]:
    return [item for item in evidence if isinstance(item, kind)]


def gaps_of(evidence: tuple[Evidence, ...]) -> list[Gap]:
    """Of this folder alone: the boot files of such a machine lie on another volume."""
    return [gap for gap in of(Gap, evidence) if "no boot files were seen" not in gap.reason]


# --- a healthy machine --------------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(template: windows.Windows) -> tuple[Evidence, ...]:
    return collect(installed(template))


def test_nothing_is_missing_on_a_healthy_machine(healthy: tuple[Evidence, ...]) -> None:
    assert gaps_of(healthy) == []


def test_services_as_hivex_reads_them(
    healthy: tuple[Evidence, ...], template: windows.Windows
) -> None:
    theirs = {
        item["Name"]: item for item in independent.driver_services(template.system)["services"]
    }
    ours = {item.name: item for item in of(Service, healthy)}
    starts = list(StartType)
    assert ours.keys() == theirs.keys()
    assert {n: starts.index(s.start) for n, s in ours.items()} == {
        n: item["Start"] for n, item in theirs.items()
    }


def test_every_driver_that_matters_has_its_file(healthy: tuple[Evidence, ...]) -> None:
    """Windows' own drivers are opened only where they start before anybody can log on."""
    files = {item.source.path: item for item in of(DriverFile, healthy)}
    named = [item for item in of(Service, healthy) if item.path]
    early = {item.path for item in named if item.start in (StartType.BOOT, StartType.SYSTEM)}
    others = {item.path for item in named if not knowledge.is_inbox(item.driver, None)}
    assert len(early) > 100
    assert files.keys() == early | others
    assert Counter(item.machine for item in files.values()) == {"x64": len(files)}


def test_versions_are_read_for_third_parties_only(healthy: tuple[Evidence, ...]) -> None:
    companies = {item.driver: item.company for item in of(DriverFile, healthy)}
    assert companies["vmci.sys"] == "VMware, Inc."
    assert companies["disk.sys"] == ""  # known by name: not worth the reading


def test_boots_and_their_ends(healthy: tuple[Evidence, ...]) -> None:
    kinds = Counter(item.kind for item in of(BootEvent, healthy))
    # Two providers tell each; reading stops once enough good sessions were seen.
    assert kinds[BootEventKind.STARTED] >= 2 * events.ENOUGH_GOOD
    assert kinds[BootEventKind.STARTED] == kinds[BootEventKind.SHUT_DOWN]
    assert max(item.when for item in of(BootEvent, healthy)) == history.LAST_SHUTDOWN


def test_boot_log_with_the_machines_time_zone(
    healthy: tuple[Evidence, ...], template: windows.Windows
) -> None:
    blocks = of(BootLogBlock, healthy)
    assert len(blocks) == history.GOOD_BOOTS
    last = blocks[-1]
    assert last.started is not None
    assert last.bias is not None
    utc = last.started + timedelta(minutes=last.bias)
    assert abs(utc - history.LAST_GOOD) < timedelta(seconds=1)


def test_filters_and_devices(healthy: tuple[Evidence, ...]) -> None:
    scopes = {(item.scope, item.service.lower()) for item in of(FilterUse, healthy)}
    assert ("class", "volsnap") in scopes
    disks = [item for item in of(DeviceUse, healthy) if item.service.lower() == "disk"]
    assert disks
    assert disks[0].class_guid == "{4d36e967-e325-11ce-bfc1-08002be10318}"


def test_fast_enough(template: windows.Windows) -> None:
    install = installed(template)
    begun = time.process_time()
    collect(install)
    assert time.process_time() - begun < 1


# --- faults -------------------------------------------------------------------------------


def test_a_crashing_driver(machine: windows.Windows) -> None:
    broken = faults.boot_start_driver_crashes(machine)
    evidence = collect(installed(machine))
    crashes = of(Crash, evidence)
    assert {crash.bugcheck for crash in crashes} == {faults.DRIVER_IRQL_NOT_LESS_OR_EQUAL}
    assert {crash.parameters[1] for crash in crashes} == {2}
    assert "C:\\Windows\\MEMORY.DMP" in {crash.dump for crash in crashes}
    assert [item.service for item in of(ServiceInstalled, evidence)] == [broken.service]
    assert {"CSC", "dam"} == {item.name for item in of(DriverFailed, evidence)}
    (file,) = [item for item in of(DriverFile, evidence) if item.driver == broken.driver]
    assert (file.company, file.version) == ("Acme Security GmbH", "3.1.7.0")
    assert file.modified.replace(microsecond=0) == history.FAULT_INSTALLED.replace(microsecond=0)


def test_a_filter_written_as_a_plain_string(machine: windows.Windows) -> None:
    key = f"{machine.control_set}\\Control\\Class\\{{4d36e967-e325-11ce-bfc1-08002be10318}}"
    independent.edit(machine.system, [registry.change(key, {"LowerFilters": "acmeflt"})])
    uses = of(FilterUse, collect(installed(machine)))
    assert "acmeflt" in [use.service for use in uses if use.owner.startswith("{4d36e967")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ntbtlog.txt", "boot logging was not enabled"),
        ("System32/winevt/Logs/System.evtx", "there is no System event log"),
    ],
)
def test_absent(machine: windows.Windows, name: str, reason: str) -> None:
    (machine.root / name).unlink()
    gaps = gaps_of(collect(installed(machine)))
    assert [(gap.source.path, gap.reason) for gap in gaps] == [(f"Windows/{name}", reason)]


@pytest.mark.parametrize("name", ["ntbtlog.txt", "System32/winevt/Logs/System.evtx"])
@pytest.mark.parametrize("content", [b"MZ", b"garbage " * 9999, b"\xff\xfe\xd8\x00" * 512])
def test_garbage_is_a_gap(machine: windows.Windows, name: str, content: bytes) -> None:
    (machine.root / name).write_bytes(content)
    gaps = gaps_of(collect(installed(machine)))
    assert [gap.source.path for gap in gaps] == [f"Windows/{name}"]


def test_a_folder_in_place_of_a_log(machine: windows.Windows) -> None:
    (machine.root / "ntbtlog.txt").unlink()
    (machine.root / "ntbtlog.txt").mkdir()
    gaps = gaps_of(collect(installed(machine)))
    assert [gap.source.path for gap in gaps] == ["Windows/ntbtlog.txt"]


def test_truncated_hive(machine: windows.Windows) -> None:
    faults.truncated_hive(machine)
    evidence = collect(installed(machine))
    assert of(Service, evidence) == []
    assert [gap.source.path for gap in gaps_of(evidence)] == ["Windows/System32/config/SYSTEM"]
    assert of(BootEvent, evidence)  # the rest is still read


def test_a_driver_that_is_no_driver(machine: windows.Windows) -> None:
    (machine.root / "System32/drivers/vmci.sys").write_bytes(b"\0" * 4096)
    files = {item.driver: item for item in of(DriverFile, collect(installed(machine)))}
    assert files["vmci.sys"].machine == ""
    assert files["vmci.sys"].size == 4096


def test_a_driver_with_an_absurd_time(machine: windows.Windows) -> None:
    path = machine.root / "System32/drivers/vmci.sys"
    os.utime(path, (-11_644_473_600, -11_644_473_600))
    files = {item.driver: item for item in of(DriverFile, collect(installed(machine)))}
    assert files["vmci.sys"].modified.year <= 1901  # as far back as this file system goes


def test_links_are_not_followed(machine: windows.Windows, tmp_path: Path) -> None:
    outside = tmp_path / "secret.sys"
    outside.write_bytes(b"MZ")
    path = machine.root / "System32/drivers/vmci.sys"
    path.unlink()
    path.symlink_to(outside)
    evidence = collect(installed(machine))
    assert "vmci.sys" not in [item.driver for item in of(DriverFile, evidence)]


def test_only_the_end_of_a_huge_boot_log(machine: windows.Windows) -> None:
    log = machine.root / "ntbtlog.txt"
    log.write_bytes(log.read_bytes() * 60)
    evidence = collect(installed(machine))
    assert [gap.reason for gap in gaps_of(evidence)] == [
        f"only its end was read: lines count from byte {log.stat().st_size - (4 << 20)}"
    ]
    assert of(BootLogBlock, evidence)


# --- sessions -----------------------------------------------------------------------------

DAY = datetime(2026, 11, 1, 8, tzinfo=UTC)


def came_up(machine: windows.Windows, *log: evtx.Event) -> list[datetime]:
    path = machine.root / events.LOG
    path.write_bytes(evtx.build(log))
    return [
        item.when
        for item in of(BootEvent, tuple(events.collect(installed(machine))))
        if item.kind is BootEventKind.LOGGED_ON
    ]


def noise(start: datetime, minutes: range) -> list[evtx.Event]:
    return [
        builders.service_state(start + timedelta(minutes=n), "Spooler", "running") for n in minutes
    ]


def test_a_session_that_went_on_came_up(machine: windows.Windows) -> None:
    log = [*history.started(DAY), *noise(DAY, range(1, 30, 4))]
    assert came_up(machine, *log) == [DAY + timedelta(minutes=29)]


def test_a_short_session_proves_nothing(machine: windows.Windows) -> None:
    assert came_up(machine, *history.started(DAY), *noise(DAY, range(1, 9))) == []


def test_a_jumping_clock_does_not_make_a_session_long(machine: windows.Windows) -> None:
    later = DAY + timedelta(hours=8)  # a time sync, two minutes after the boot
    assert (
        came_up(machine, *history.started(DAY), *noise(DAY, range(3)), *noise(later, range(3)))
        == []
    )


def test_what_the_next_boot_writes_is_not_this_sessions_life(machine: windows.Windows) -> None:
    past = history.History((), (), timedelta(0))
    died = DAY + timedelta(minutes=2)
    next_boots = [
        history.crashed(past, DAY + timedelta(hours=n), died, 0xD1, (1, 2, 3, 4))
        for n in range(1, 6)
    ]
    log = [*history.started(DAY), *(event for boot in next_boots for event in boot)]
    assert came_up(machine, *log) == []


# --- hostile ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_damage_anywhere_is_only_gaps(machine: windows.Windows, seed: int) -> None:
    rng = random.Random(seed)
    install = installed(machine)
    targets = [
        machine.system,
        machine.root / "ntbtlog.txt",
        machine.root / events.LOG,
        *sorted((machine.root / "System32/drivers").glob("v*.sys")),
    ]
    for path in targets:
        data = bytearray(path.read_bytes())
        for _ in range(rng.randrange(1, 200)):
            at = rng.randrange(4096 if rng.random() < 0.2 else len(data))
            data[at % len(data)] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
    assert isinstance(collect(install), tuple)


# --- real logs ----------------------------------------------------------------------------

RUNNING = (
    "win7_System_bugcheck.evtx",
    "srv2008r2_DC1_System.evtx",
    "win10_1703_System.evtx",
    "win10_vss7_System.evtx",
    "zero_data_size.evtx",
)


@pytest.mark.parametrize("sample", real(*(f"evtx/{name}" for name in RUNNING)))
def test_machines_that_ran_when_their_log_was_taken(sample: Path, install: WindowsInstall) -> None:
    """Crashes, power cuts and failed services in their past; every one of them was up."""
    put(install, f"Windows/{events.LOG}", sample.read_bytes())
    times = timeline.build(events.collect(install))
    assert times.is_healthy
    assert not times.is_failing


@pytest.mark.parametrize("sample", real("evtx/win7_System_bugcheck.evtx"))
def test_the_real_crash(sample: Path, install: WindowsInstall) -> None:
    put(install, f"Windows/{events.LOG}", sample.read_bytes())
    crashes = of(Crash, tuple(events.collect(install)))
    assert [(crash.bugcheck, crash.dump) for crash in sorted(crashes, key=lambda c: c.when)] == [
        (0x10001, ""),
        (0x10001, "C:\\Windows\\MEMORY.DMP"),
    ]
