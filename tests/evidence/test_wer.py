"""Reports of kernel crashes on a whole machine: which are told, and hostile ones."""

from __future__ import annotations

import os
import random
from datetime import timedelta

from recoverykit.evidence import wer
from recoverykit.model import (
    Evidence,
    Gap,
    Source,
    WerReport,
    WindowsInstall,
)
from tests.builders import wer as builder
from tests.evidence import conftest

MUTANTS = 60  # a campaign may raise this
QUEUE, ARCHIVE = (f"{wer.ROOT}/{folder}" for folder in wer.FOLDERS)
NAME = "Kernel_50_73874a2647b966d6836b070e7c485d2d6f44c9_00000000_cab_10f44da3"


def put(install: WindowsInstall, folder: str, data: bytes, *, age: int = 0) -> None:
    """A report; `age` in days."""
    path = conftest.put(install, f"{folder}/Report.wer", data)
    moment = (builder.WHEN - timedelta(days=age)).timestamp()
    os.utime(path.parent, (moment, moment))


def reports(evidence: list[Evidence]) -> list[WerReport]:
    return [item for item in evidence if isinstance(item, WerReport)]


def test_a_crash(install: WindowsInstall) -> None:
    put(install, f"{QUEUE}/{NAME}", builder.build())
    assert list(wer.collect(install)) == [
        WerReport(
            source=Source(f"{QUEUE}/{NAME}/Report.wer"),
            when=builder.WHEN,
            bugcheck=0x50,
            bucket="AV_csagent!unknown_function",
            module="csagent.sys",
            parameters=(0xFFFF9C8E_0000_009C, 0, 0xFFFFF801_4C8D_335A, 2),
        )
    ]


def test_in_any_case(install: WindowsInstall) -> None:
    put(install, f"{ARCHIVE.upper()}/KERNEL_1", builder.build())
    assert len(reports(list(wer.collect(install)))) == 1


def test_nothing_is_reported_where_nothing_crashed(install: WindowsInstall) -> None:
    assert list(wer.collect(install)) == []
    (install.mount / QUEUE).mkdir(parents=True)
    (install.mount / ARCHIVE / "Kernel_50_being_written").mkdir(parents=True)
    assert list(wer.collect(install)) == []


def test_other_events_are_no_crashes(install: WindowsInstall) -> None:
    put(install, f"{QUEUE}/Kernel_141_a", builder.build(event="LiveKernelEvent"))
    put(install, f"{QUEUE}/AppCrash_notepad.exe_1", builder.build())
    assert list(wer.collect(install)) == []


def test_only_the_newest_are_told(install: WindowsInstall) -> None:
    for age in range(30):
        folder = QUEUE if age % 2 else ARCHIVE
        put(install, f"{folder}/Kernel_{age:x}_a", builder.build(code=age + 1), age=age)
    told = reports(list(wer.collect(install)))
    assert [item.bugcheck for item in told] == list(range(1, 1 + wer.MAX_REPORTS))


def test_a_damaged_report_does_not_hide_the_others(install: WindowsInstall) -> None:
    put(install, f"{QUEUE}/Kernel_1", b"garbage")
    put(install, f"{QUEUE}/Kernel_2", builder.build())
    evidence = list(wer.collect(install))
    assert len(reports(evidence)) == 1
    (gap,) = (item for item in evidence if isinstance(item, Gap))
    assert gap.source.path == f"{QUEUE}/Kernel_1/Report.wer"


def test_links_are_not_followed(install: WindowsInstall) -> None:
    put(install, "elsewhere", builder.build())
    (install.mount / QUEUE).mkdir(parents=True)
    (install.mount / QUEUE / "Kernel_1").symlink_to(install.mount / "elsewhere")
    (install.mount / QUEUE / "Kernel_2").mkdir()
    report = install.mount / "elsewhere" / "Report.wer"
    (install.mount / QUEUE / "Kernel_2" / "Report.wer").symlink_to(report)
    (gap,) = wer.collect(install)
    assert isinstance(gap, Gap)
    assert "link" in gap.reason


def test_hostile_reports_are_gaps_at_worst(install: WindowsInstall) -> None:
    good = builder.build()
    rng = random.Random(4)
    for _ in range(MUTANTS):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(bad))
            bad[at : at + rng.randrange(50)] = rng.randbytes(rng.randrange(4))
        put(install, f"{QUEUE}/{NAME}", bytes(bad))
        assert all(isinstance(item, WerReport | Gap) for item in wer.collect(install))
