"""Whom a stop names, and over whom it walks."""

from __future__ import annotations

import pytest

from recoverykit.diagnosis import blame, stops
from recoverykit.diagnosis.blame import Blame, How
from recoverykit.model import CrashDump, Module, WerReport
from tests.diagnosis.scene import D1, FIRST_CRASH, SIZE, dump
from tests.diagnosis.test_stops import WER

THIRD_PARTY = frozenset({"acmeflt.sys", "oldguard.sys", "gone.sys"})
GONE = Module("gone.sys", 0xFFFFF800_0F000000, SIZE)


def blamed(one: CrashDump) -> tuple[Blame, ...]:
    (stop,) = stops.gather([one])
    return blame.of(stop, THIRD_PARTY.__contains__)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(dump(fault="acmeflt.sys"), ("acmeflt.sys", How.FAULT), id="fault"),
        pytest.param(
            dump(broken="acmeflt.sys", fault="oldguard.sys"),
            ("acmeflt.sys", How.KERNEL),
            id="the kernel's verdict comes first",
        ),
        pytest.param(
            dump(unloaded=[GONE], address=GONE.base + 16), ("gone.sys", How.UNLOADED), id="unloaded"
        ),
        pytest.param(
            dump(fault="ntoskrnl.exe", stack=["ntoskrnl.exe", "fltmgr.sys", "acmeflt.sys"]),
            ("acmeflt.sys", How.STACK),
            id="containers are walked over",
        ),
        pytest.param(
            dump(stack=["ntoskrnl.exe", "oldguard.sys", "acmeflt.sys"]),
            ("oldguard.sys", How.STACK),
            id="topmost",
        ),
        pytest.param(
            dump(stack=["acmeflt.sys", "ntoskrnl.exe"]),
            ("acmeflt.sys", How.CALLER),
            id="who asks for a stop is where the stack begins",
        ),
    ],
)
def test_who_is_blamed(one: CrashDump, expected: tuple[str, How]) -> None:
    first = blamed(one)[0]
    assert (first.driver, first.how) == expected
    assert first.source == one.source


def test_the_stack_is_silent_where_the_fault_speaks() -> None:
    found = blamed(dump(fault="acmeflt.sys", stack=["oldguard.sys"]))
    assert [one.driver for one in found] == ["acmeflt.sys"]
    assert found[0].detail == "at acmeflt.sys+0x11c4"


def test_nobody_is_blamed_for_windows_own_modules() -> None:
    assert blamed(dump(fault="ntoskrnl.exe", stack=["ntoskrnl.exe", "fltmgr.sys"])) == ()


def test_an_error_report_names_too() -> None:
    report = WerReport(WER, FIRST_CRASH, D1, "0xD1_acmeflt!unknown_function", "acmeflt.sys")
    (stop,) = stops.gather([report])
    (one,) = blame.of(stop, THIRD_PARTY.__contains__)
    assert (one.driver, one.how) == ("acmeflt.sys", How.REPORT)
