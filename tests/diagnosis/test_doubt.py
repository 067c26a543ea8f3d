"""Where a second look clears somebody: what a careful person would not accuse anybody for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from recoverykit.diagnosis.verdict import judge
from recoverykit.model import (
    DiskTrouble,
    DriverFile,
    Evidence,
    FilterUse,
    HardwareError,
    Kind,
    Service,
    Source,
    StartType,
)
from tests.diagnosis.scene import (
    COMPLETE,
    FIRST_CRASH,
    FRESH,
    GOOD,
    INSTALL,
    OFF,
    OLD,
    SYSTEM,
    SYSTEM_LOG,
    boot_log,
    content,
    culprits,
    driver,
    dump,
    judged,
    machine,
    up_to,
)

MINUTE = timedelta(minutes=1)
LOG = Source(SYSTEM_LOG, 4096)
GUARD = driver("acmeflt")  # did not change
ACME = driver("acmeflt", changed=FRESH)


def dumps(*faults: str, stack: Sequence[str] = ()) -> list[Evidence]:
    return [
        dump(FIRST_CRASH + at * MINUTE, fault=fault, stack=stack, parameters=(at, 0, 0, 0))
        for at, fault in enumerate(faults)
    ]


def test_a_change_is_no_proof_where_the_crash_is_seen_elsewhere() -> None:
    elsewhere = dumps("", stack=["ntoskrnl.exe", "fltmgr.sys"])
    assert culprits(judged(ACME, elsewhere)) == []
    assert culprits(judged(ACME, dumps("", stack=["ntoskrnl.exe", "acmeflt.sys"]))) == [
        "acmeflt.sys"
    ]
    assert culprits(judged(ACME, dumps(""))) == ["acmeflt.sys"]  # a dump without a stack


def test_one_crash_of_many_is_no_proof() -> None:
    assert culprits(judged(GUARD, dumps("acmeflt.sys", "", "", ""))) == []
    assert culprits(judged(GUARD, dumps("acmeflt.sys", "acmeflt.sys", "", ""))) == ["acmeflt.sys"]


def test_a_driver_disabled_since_is_named_and_nobody_that_called_it() -> None:
    off = driver("oldguard", start=StartType.DISABLED, company="Oldguard Ltd")
    rest = [item for item in machine() if not _is_guard(item)]
    told = [*rest, *off, *ACME, *dumps("oldguard.sys", "oldguard.sys", stack=["acmeflt.sys"])]
    diagnosis = judge(INSTALL, told)
    assert culprits(diagnosis) == []
    assert diagnosis.suspects[0].driver == "oldguard.sys"
    assert any("disabled now" in one.reason for one in diagnosis.suspects[0].findings)


def _is_guard(item: Evidence) -> bool:
    name = getattr(item, "driver", None) or getattr(item, "source", Source("")).path
    return isinstance(item, Service | DriverFile) and "oldguard" in name


def test_data_that_came_after_the_first_crash_is_not_accused() -> None:
    earlier = dump(GOOD - timedelta(days=3), fault="acmeflt.sys", parameters=(9, 0, 0, 0))
    assert culprits(judged(GUARD, content("a.dat"), dumps("acmeflt.sys"))) == ["a.dat"]
    assert "a.dat" not in culprits(judged(GUARD, content("a.dat"), dumps("acmeflt.sys"), earlier))


def test_a_boot_that_came_past_a_driver_clears_it() -> None:
    logs = [boot_log(OLD), boot_log(GOOD, line=20)]
    last = boot_log(FIRST_CRASH + MINUTE * 9, up_to("acmeflt.sys"), line=60)
    beyond = (*COMPLETE[:3], "acmeflt.sys", *COMPLETE[3:10])
    past = boot_log(FIRST_CRASH, beyond, line=40)
    assert culprits(judged(ACME, logs, last)) == ["acmeflt.sys"]
    assert culprits(judged(ACME, logs, past, last)) == []


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("\\Device\\Harddisk0\\DR0", Kind.DISK),
        ("\\Device\\Harddisk1\\DR1", Kind.DISK),
        ("\\Device\\Harddisk2\\DR7", Kind.UNKNOWN),  # plugged in later
    ],
)
def test_a_disk_that_was_plugged_in_is_not_the_boot_disk(device: str, kind: Kind) -> None:
    trouble = [DiskTrouble(LOG, OFF, 7, "disk", device, severe=True)] * 12
    boots = [boot_log(OLD), boot_log(GOOD, line=20), boot_log(FIRST_CRASH, COMPLETE[:5], line=40)]
    assert judged(trouble, boots).kind is kind


def test_machine_checks_add_up() -> None:
    fatal = HardwareError(LOG, FIRST_CRASH, 18, fatal=True)
    boots = [boot_log(OLD), boot_log(GOOD, line=20), boot_log(FIRST_CRASH, COMPLETE[:5], line=40)]
    assert judged([fatal] * 3, boots).kind is Kind.HARDWARE
    assert judged(fatal, boots).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("image_path", "kind"),
    [
        ("\\??\\C:\\Program Files\\Acme\\acmeflt.sys", Kind.FILTER),
        ("\\??\\C:\\PROGRA~1\\Acme\\acmeflt.sys", Kind.HEALTHY),
    ],
)
def test_a_short_name_may_lead_anywhere(image_path: str, kind: Kind) -> None:
    service, _ = GUARD
    assert isinstance(service, Service)
    gone = replace(service, path=None, image_path=image_path)
    disks = "{4d36e967-e325-11ce-bfc1-08002be10318}"
    use = FilterUse(Source(SYSTEM), "acmeflt", "class", disks)
    assert judged([gone], use).kind is kind
