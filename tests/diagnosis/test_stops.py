"""One crash, told by a dump, two events and an error report, is one stop."""

from __future__ import annotations

from datetime import timedelta

from recoverykit.diagnosis import stops
from recoverykit.model import Crash, Source, WerReport
from tests.diagnosis.scene import D1, FIRST_CRASH, crash, dump

WER = Source("ProgramData/Microsoft/Windows/WER/ReportQueue/Kernel_d1/Report.wer")
LATER = FIRST_CRASH + timedelta(hours=5)


def report(**more: object) -> WerReport:
    values = {"when": LATER, "bugcheck": D1, "bucket": "AV_acmeflt", "module": "acmeflt.sys"}
    return WerReport(WER, **{**values, **more})  # type: ignore[arg-type]


def test_a_dump_and_its_records_are_one_stop() -> None:
    told = [item for item in crash(LATER) if isinstance(item, Crash)]
    (stop,) = stops.gather([*told, dump(), report(parameters=(1, 2, 3, 4))])
    assert stop.when == FIRST_CRASH  # the dump's own clock, not that of the boot after it
    assert (len(stop.records), len(stop.reports)) == (2, 1)
    assert stop.dump is not None
    assert [source.path.rsplit("/", 1)[-1] for source in stop.sources] == [
        "071924-060000-01.dmp",
        "System.evtx",
        "System.evtx",
        "Report.wer",
    ]


def test_other_parameters_are_another_stop() -> None:
    told = [item for item in crash(LATER) if isinstance(item, Crash)]
    found = stops.gather([*told, dump(parameters=(9, 9, 9, 9))])
    assert len(found) == 2


def test_a_record_that_names_the_dumps_file_belongs_to_it() -> None:
    """Small dumps carry Microsoft's _M bit in their code, and events may have other numbers."""
    small = dump(bugcheck=0x1000_007E, parameters=(5, 6, 7, 8), name="071924-1234-01.dmp")
    named = Crash(
        Source("System.evtx", 1), LATER, 0x7E, (), "C:\\Windows\\Minidump\\071924-1234-01.dmp"
    )
    (stop,) = stops.gather([named, small])
    assert stop.records == (named,)


def test_a_small_and_a_large_dump_of_one_crash() -> None:
    large = dump(name="large.dmp")
    (stop,) = stops.gather([dump(), large])
    assert stop.dump in (dump(), large)


def test_a_record_before_the_crash_is_of_another_one() -> None:
    early = Crash(Source("System.evtx", 1), FIRST_CRASH - timedelta(hours=1), D1, (1, 2, 3, 4))
    assert len(stops.gather([early, dump()])) == 2


def test_a_report_alone_is_a_stop() -> None:
    (stop,) = stops.gather([report()])
    assert (stop.when, stop.code) == (LATER, D1)
    assert stops.gather([report(when=None)]) == ()


def test_nothing() -> None:
    assert stops.gather([]) == ()
