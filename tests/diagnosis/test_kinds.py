"""Answers that are no driver: content, boot files, hives, storage, filters, updates, hardware."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from recoverykit.diagnosis.verdict import judge
from recoverykit.model import (
    BootFault,
    BootManagerEvent,
    BootProblem,
    DeviceUse,
    DiskTrouble,
    DriverFile,
    Evidence,
    FilterUse,
    Gap,
    HardwareError,
    HiveHealth,
    HiveState,
    Kind,
    PendingServicing,
    Service,
    Source,
    StartType,
    StartupRepair,
    Verdict,
)
from tests.diagnosis.scene import (
    FIRST_CRASH,
    FRESH,
    GOOD,
    INSTALL,
    OFF,
    OLD,
    SYSTEM,
    SYSTEM_LOG,
    content,
    crashes,
    culprits,
    driver,
    dump,
    installed,
    judged,
    machine,
    session,
    started,
)

MINUTE = timedelta(minutes=1)
LOG = Source(SYSTEM_LOG, 7000)
GUARD = driver("acmeflt")  # an old driver: whatever changed, it did not
ACME = driver("acmeflt", changed=FRESH)
DISK_CLASS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
KEYBOARD_CLASS = "{4d36e96b-e325-11ce-bfc1-08002be10318}"
ADAPTER_CLASS = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
NVME = "PCI\\VEN_144D&DEV_A80A\\4&1c0"


# --- content files ------------------------------------------------------------------------


def test_july_2024() -> None:
    """The driver crashes, unchanged for a year; its newest channel file is hours old."""
    diagnosis = judged(
        GUARD,
        content("C-00000291-00000000-00000032.sys"),
        content("C-00000285-00000000-00000017.sys", changed=OLD),
        dump(bugcheck=0x50, fault="acmeflt.sys"),
    )
    assert diagnosis.kind is Kind.CONTENT
    assert culprits(diagnosis) == ["C-00000291-00000000-00000032.sys"]
    first, second, *_ = diagnosis.suspects
    assert (first.kind, first.service, first.company) == (
        Kind.CONTENT,
        "acmeflt",
        "Acme Security GmbH",
    )
    assert first.path == "Windows/System32/drivers/acmeflt/C-00000291-00000000-00000032.sys"
    assert (second.driver, second.verdict) == ("acmeflt.sys", Verdict.SUSPECT)
    assert first.driver in diagnosis.summary


def test_files_written_together_are_equally_suspect() -> None:
    files = [content(f"rules{n}.dat", changed=FRESH + timedelta(seconds=n)) for n in range(4)]
    diagnosis = judged(GUARD, files, dump(fault="acmeflt.sys"))
    assert culprits(diagnosis) == []
    assert {one.driver for one in diagnosis.suspects[:4]} == {f"rules{n}.dat" for n in range(4)}


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(
            [*GUARD, content("a.dat", changed=OLD), dump(fault="acmeflt.sys")], id="old content"
        ),
        pytest.param(
            [*ACME, content("a.dat"), dump(fault="acmeflt.sys")], id="the driver changed as well"
        ),
        pytest.param(
            [*GUARD, content("a.dat"), dump(stack=["ntoskrnl.exe", "acmeflt.sys"])],
            id="only on the stack",
        ),
        pytest.param([*GUARD, content("a.dat"), *crashes()], id="nobody named"),
    ],
)
def test_content_is_not_accused(evidence: list[Evidence]) -> None:
    assert "a.dat" not in culprits(judged(evidence))


# --- crashes that name a driver -----------------------------------------------------------


def test_a_dump_and_a_change() -> None:
    diagnosis = judged(ACME, dump(fault="acmeflt.sys"))
    assert (diagnosis.kind, culprits(diagnosis)) == (Kind.DRIVER, ["acmeflt.sys"])


def test_dump_after_dump_of_a_driver_that_did_not_change() -> None:
    many = [
        dump(FIRST_CRASH + n * 5 * MINUTE, fault="acmeflt.sys", parameters=(n, 2, 3, 4))
        for n in range(3)
    ]
    late = driver("acmeflt", start=StartType.DEMAND)
    assert culprits(judged(late, many)) == ["acmeflt.sys"]
    assert culprits(judged(late, many[:1])) == []


def test_what_was_survived_does_not_count() -> None:
    diagnosis = judged(GUARD, dump(GOOD - timedelta(days=3), fault="acmeflt.sys"))
    assert diagnosis.kind is Kind.HEALTHY
    assert diagnosis.suspects == ()


# --- before the kernel --------------------------------------------------------------------


def boot_problem(*, fatal: bool) -> BootProblem:
    text = "The boot store on disk.img#1 cannot be read."
    return BootProblem(Source("EFI/Microsoft/Boot/BCD"), BootFault.STORE_DAMAGED, text, fatal=fatal)


def test_boot_files() -> None:
    assert judged(boot_problem(fatal=True)).kind is Kind.BCD
    assert judged(boot_problem(fatal=False)).kind is Kind.HEALTHY


@pytest.mark.parametrize("health", [HiveHealth.DAMAGED, HiveHealth.MISSING])
def test_hives(health: HiveHealth) -> None:
    diagnosis = judged(HiveState(Source(SYSTEM), "SYSTEM", health, "It is cut off."))
    assert diagnosis.kind is Kind.HIVE
    assert "cut off" in diagnosis.summary


@pytest.mark.parametrize("health", [HiveHealth.CLEAN, HiveHealth.RECOVERED])
def test_sound_hives(health: HiveHealth) -> None:
    assert judged(HiveState(Source(SYSTEM), "SYSTEM", health)).kind is Kind.HEALTHY


def test_the_first_fault_of_a_boot_is_the_answer() -> None:
    hive = HiveState(Source(SYSTEM), "SYSTEM", HiveHealth.DAMAGED, "It is cut off.")
    assert judged(hive, boot_problem(fatal=True)).kind is Kind.BCD
    assert judged(boot_problem(fatal=True), hive).kind is Kind.BCD


def test_a_fault_of_state_clears_the_driver() -> None:
    diagnosis = judged(ACME, installed("acmeflt"), crashes(), boot_problem(fatal=True))
    assert diagnosis.kind is Kind.BCD
    assert culprits(diagnosis) == []
    assert diagnosis.suspects[0].driver == "acmeflt.sys"


@pytest.mark.parametrize(
    "change", [{"build": "2600", "product": "Windows XP"}, {"architecture": "ia64"}]
)
def test_what_we_cannot_work_on(change: dict[str, str]) -> None:
    assert judge(replace(INSTALL, **change), machine()).kind is Kind.LOCKED  # type: ignore[arg-type]


# --- storage ------------------------------------------------------------------------------


def controller(
    name: str = "stornvme", *, device: str = NVME, problem: int = 0, **changes: Any
) -> list[Evidence]:
    """A storage controller and its inbox driver."""
    service, file = driver(name, company="Microsoft Corporation")
    assert isinstance(service, Service)
    use = DeviceUse(Source(SYSTEM, 0x2000, "Enum"), name, device, ADAPTER_CLASS, problem)
    return [replace(service, **changes), file, use]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": StartType.DISABLED, "last_written": FRESH}, "disabled"),
        ({"start": StartType.DEMAND, "last_written": FRESH}, "not to boot"),
        ({"start_override": (("0", 3),), "last_written": FRESH}, "StartOverride"),
        ({"path": None}, "missing"),
    ],
)
def test_the_only_controller_cannot_start(change: dict[str, Any], said: str) -> None:
    diagnosis = judged(controller(**change))
    assert diagnosis.kind is Kind.STORAGE
    assert diagnosis.suspects[0].driver == "stornvme.sys"
    assert said in diagnosis.summary
    assert culprits(diagnosis) == []


def test_another_controller_can() -> None:
    broken = controller(start=StartType.DISABLED, last_written=FRESH)
    assert judged(broken, controller("storahci", device="PCI\\VEN_8086&DEV_A352\\3&11")).kind is (
        Kind.HEALTHY
    )


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(controller(), id="it can start"),
        pytest.param(
            controller(start=StartType.DISABLED, last_written=OLD), id="a good boot came since"
        ),
        pytest.param(
            controller("uaspstor", device="USB\\VID_1\\2", start=StartType.DEMAND), id="USB"
        ),
        pytest.param(controller("pvscsi", start=StartType.DEMAND, boot_flags=2), id="promoted"),
    ],
)
def test_sound_controllers(use: list[Evidence]) -> None:
    assert judged(use).kind is Kind.HEALTHY


def test_the_stack_of_every_disk() -> None:
    service, file = driver("partmgr", company="Microsoft Corporation")
    assert isinstance(service, Service)
    assert judged(replace(service, path=None), file).kind is Kind.STORAGE
    assert judged(service, file).kind is Kind.HEALTHY


# --- filters ------------------------------------------------------------------------------


def filter_use(
    service: str, owner: str = DISK_CLASS, *, written: datetime = FRESH, scope: str = "class"
) -> FilterUse:
    source = Source(SYSTEM, 0x3000, f"ControlSet001\\Control\\Class\\{owner}\\UpperFilters")
    return FilterUse(source, service, scope, owner, written=written)


def test_a_filter_without_a_service() -> None:
    diagnosis = judged(filter_use("gonefilt"))
    assert diagnosis.kind is Kind.FILTER
    assert diagnosis.suspects[0].driver == "gonefilt.sys"
    assert diagnosis.suspects[0].kind is Kind.FILTER
    assert culprits(diagnosis) == []


def test_a_disabled_filter() -> None:
    service, file = driver("oldflt", start=StartType.DISABLED, written=FRESH)
    assert judged(service, file, filter_use("oldflt", written=OLD)).kind is Kind.FILTER


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(filter_use("oldguard"), id="it loads"),
        pytest.param(filter_use("gonefilt", KEYBOARD_CLASS), id="not of the disk"),
        pytest.param(filter_use("gonefilt", written=OLD), id="a good boot came since"),
    ],
)
def test_filters_that_stop_nothing(use: FilterUse) -> None:
    assert judged(use).kind is Kind.HEALTHY


# --- logs ---------------------------------------------------------------------------------


def pending(when: datetime = OFF - MINUTE, *, active: bool = True) -> PendingServicing:
    text = "pending.xml waits for the next boot."
    return PendingServicing(
        Source("Windows/WinSxS/pending.xml"), "pending.xml", text, when, active=active
    )


def test_an_ordinary_restart_is_pending() -> None:
    assert judged(pending()).kind is Kind.HEALTHY


def test_an_update_that_does_not_get_finished() -> None:
    failed = [started(FIRST_CRASH + n * 4 * MINUTE) for n in range(3)]
    assert judged(pending(), failed).kind is Kind.SERVICING
    assert judged(pending(), crashes(bugcheck=0xC000021A)).kind is Kind.SERVICING
    assert judged(pending(active=False), failed).kind is Kind.UNKNOWN


def test_a_culprit_comes_before_a_pending_update() -> None:
    diagnosis = judged(pending(), ACME, installed("acmeflt"), dump(fault="acmeflt.sys"))
    assert diagnosis.kind is Kind.DRIVER


def repair(*causes: tuple[str, str], files: tuple[str, ...] = ()) -> StartupRepair:
    return StartupRepair(
        Source("Windows/System32/LogFiles/Srt/SrtTrail.txt", 1),
        FIRST_CRASH + MINUTE,
        GOOD,
        3,
        "C:\\Windows",
        tuple(text for text, _ in causes),
        files,
        areas=tuple(area for _, area in causes),
    )


@pytest.mark.parametrize(
    ("area", "kind"),
    [
        ("bcd", Kind.BCD),
        ("update", Kind.SERVICING),
        ("driver", Kind.UNKNOWN),
        ("unknown", Kind.UNKNOWN),
    ],
)
def test_what_startup_repair_found(area: str, kind: Kind) -> None:
    assert judged(repair(("A cause.", area))).kind is kind


def test_startup_repair_names_a_driver() -> None:
    cause = "Boot critical file c:\\windows\\system32\\drivers\\acmeflt.sys is corrupt."
    found = repair((cause, "file"), files=("c:\\windows\\system32\\drivers\\acmeflt.sys",))
    service, file = ACME
    assert isinstance(file, DriverFile)
    damaged = [service, replace(file, damage="it is cut off")]
    assert culprits(judged(damaged, found)) == ["acmeflt.sys"]
    assert culprits(judged(GUARD, found)) == []


def trouble(count: int, when: datetime = FRESH) -> list[Evidence]:
    return [DiskTrouble(LOG, when, 7, "disk", "\\Device\\Harddisk0\\DR0", severe=True)] * count


def test_disks() -> None:
    assert judged(trouble(3), crashes(bugcheck=0x7A)).kind is Kind.DISK
    assert judged(trouble(9)).kind is Kind.HEALTHY  # it starts, so far
    assert judged(trouble(3, OLD), crashes()).kind is Kind.UNKNOWN
    unread = Gap(Source("Windows/System32/config/SOFTWARE"), "[Errno 5] Input/output error")
    assert judged(unread, crashes()).kind is Kind.DISK


def test_hardware() -> None:
    fatal = HardwareError(LOG, FIRST_CRASH, 18, fatal=True)
    assert judged(fatal, crashes(bugcheck=0x124)).kind is Kind.HARDWARE
    assert judged(replace(fatal, fatal=False)).kind is Kind.HEALTHY


def test_crashes_of_every_kind_are_no_drivers() -> None:
    codes = (0x1A, 0x50, 0x3B, 0x139)
    many = [
        dump(FIRST_CRASH + n * MINUTE, code, parameters=(n, 0, 0, 0))
        for n, code in enumerate(codes)
    ]
    diagnosis = judged(GUARD, many)
    assert diagnosis.kind is Kind.HARDWARE
    assert culprits(diagnosis) == []
    assert judged(GUARD, many[:2]).kind is Kind.UNKNOWN


def test_the_story_is_told_in_order() -> None:
    moments = judged(ACME, installed("acmeflt"), dump(fault="acmeflt.sys")).timeline
    assert [one.when for one in moments] == sorted(one.when for one in moments)
    assert {"boot", "good", "install", "change", "crash"} <= {one.what for one in moments}
    assert any("acmeflt.sys" in one.text for one in moments if one.what == "crash")
    assert all(one.sources for one in moments)


def logged(
    what: str, application: str, *, at: int = 1, when: datetime | None = FIRST_CRASH
) -> BootManagerEvent:
    return BootManagerEvent(Source("EFI/Microsoft/Boot/BOOTSTAT.DAT", at), when, what, application)


WINLOAD = "\\Windows\\system32\\winload.efi"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        pytest.param(logged("load-failed", WINLOAD), Kind.BCD, id="the loader"),
        pytest.param(
            logged("load-failed", "\\Windows\\System32\\config\\SYSTEM"), Kind.HIVE, id="a hive"
        ),
        pytest.param(logged("launched", WINLOAD), Kind.HEALTHY, id="it went well"),
        pytest.param(
            logged("load-failed", WINLOAD, when=OLD), Kind.HEALTHY, id="long before the good boot"
        ),
    ],
)
def test_what_the_boot_manager_logged(event: BootManagerEvent, kind: Kind) -> None:
    assert judged(event).kind is kind


def test_what_the_loader_logged_before_a_kernel_started_is_over() -> None:
    events = [logged("load-failed", WINLOAD), logged("kernel", WINLOAD, at=9)]
    assert judged(events).kind is Kind.HEALTHY
    later = replace(events[0], source=Source(events[0].source.path, 20))
    assert judged([later, events[1]]).kind is Kind.BCD


def test_a_driver_the_loader_could_not_load() -> None:
    event = logged("load-failed", "\\Windows\\System32\\drivers\\acmeflt.sys")
    assert culprits(judged(ACME, event)) == ["acmeflt.sys"]
    assert culprits(judged(GUARD, event)) == []


def test_what_cannot_be_read_is_not_missing() -> None:
    """A hive with a damaged key: the filter's service may well be behind it."""
    gap = Gap(
        Source(SYSTEM, 0x4000, "ControlSet001\\Services\\gonefilt"), "cell at 0x1: is cut off"
    )
    assert judged(filter_use("gonefilt"), gap).kind is Kind.HEALTHY
    assert judged(filter_use("gonefilt"), gap, crashes()).kind is Kind.HIVE


@pytest.mark.parametrize("code", [0xE2, 0x1C8])
def test_what_somebody_asked_for_is_no_crash(code: int) -> None:
    assert judged(ACME, [dump(FIRST_CRASH, code)]).kind is Kind.HEALTHY


def test_the_same_crash_was_named_before() -> None:
    named = dump(GOOD - timedelta(days=1), 0xCE, fault="acmeflt.sys", parameters=(9, 0, 0, 0))
    silent = dump(FIRST_CRASH, 0xCE)
    assert judged(GUARD, named, silent).suspects[0].driver == "acmeflt.sys"
    assert judged(GUARD, named, dump(FIRST_CRASH, 0x50)).suspects[0].weight < 30


def test_two_crashes_that_contradict_each_other() -> None:
    """One names this driver, one another: bad memory may hit both."""
    many = [
        dump(FIRST_CRASH, fault="acmeflt.sys", parameters=(1, 0, 0, 0)),
        dump(FIRST_CRASH + MINUTE, fault="oldguard.sys", parameters=(2, 0, 0, 0)),
    ]
    assert culprits(judged(GUARD, many)) == []
    more = [
        dump(FIRST_CRASH + n * MINUTE, fault="acmeflt.sys", parameters=(n, 0, 0, 0))
        for n in range(2, 5)
    ]
    assert culprits(judged(GUARD, many, more)) == ["acmeflt.sys"]


def test_a_driver_hit_once_among_many_different_crashes() -> None:
    codes = (0x1A, 0x4E, 0x3B, 0x139)
    many = [
        dump(FIRST_CRASH + n * MINUTE, code, parameters=(n, 0, 0, 0))
        for n, code in enumerate(codes)
    ]
    hit = dump(FIRST_CRASH + 9 * MINUTE, fault="acmeflt.sys", parameters=(9, 0, 0, 0))
    diagnosis = judged(GUARD, many, hit)
    assert diagnosis.kind is Kind.HARDWARE
    assert culprits(diagnosis) == []


def test_a_driver_that_was_not_named_is_not_accused_where_another_was() -> None:
    """It came at the same time; what crashes is the other one."""
    newer = driver("newer", changed=FRESH)
    diagnosis = judged(newer, installed("newer"), GUARD, dump(fault="acmeflt.sys"))
    assert culprits(diagnosis) == []
    assert diagnosis.suspects[0].driver == "acmeflt.sys"


def test_safe_mode_left_on() -> None:
    safe = replace(boot_problem(fatal=False), fault=BootFault.SAFE_BOOT)
    assert judged(safe).kind is Kind.BCD
    assert judged(safe, ACME, installed("acmeflt"), dump(fault="acmeflt.sys")).kind is Kind.DRIVER


def test_a_short_session_between_two_crashes_of_one_kind_is_no_good_boot() -> None:
    """Safe Mode, say: what changed before the first of them still counts."""
    first = FRESH + timedelta(hours=1)
    short = [*session(first + 5 * MINUTE, first + 12 * MINUTE)]
    begun = [started(GOOD), *session(GOOD + timedelta(days=1), first)][:1]
    crashed = [
        dump(first, 0x50, fault="acmeflt.sys", parameters=(1, 0, 0, 0)),
        dump(first + 20 * MINUTE, 0x50, fault="acmeflt.sys", parameters=(2, 0, 0, 0)),
    ]
    evidence = [*session(OLD, OLD + timedelta(hours=2)), *begun, *short, *crashed]
    for item in (driver("acmeflt", changed=FRESH), driver("disk", company="Microsoft Corporation")):
        evidence += item
    assert culprits(judge(INSTALL, evidence)) == ["acmeflt.sys"]
