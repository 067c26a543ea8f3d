"""The second visit: what became of a machine that was repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.diagnosis import aftermath, escalation
from recoverykit.diagnosis.aftermath import Applied
from recoverykit.model import (
    Aftermath,
    BootEventKind,
    BootStatus,
    Diagnosis,
    DriverFile,
    Evidence,
    Kind,
    Service,
    Since,
    Source,
    StartType,
    StartupRepair,
    Suspect,
    Verdict,
)
from tests.diagnosis.scene import (
    COMPLETE,
    D1,
    FIRST_CRASH,
    FRESH,
    GOOD,
    boot_log,
    crash,
    crashes,
    driver,
    dump,
    event,
    installed,
    machine,
    session,
    started,
    up_to,
)

REPAIRED = FIRST_CRASH + timedelta(hours=3)
AGAIN = REPAIRED + timedelta(hours=1)  # Windows is started after it
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BROKEN: list[Evidence] = machine(
    driver("acmeflt", changed=FRESH), crashes(), dump(fault="acmeflt.sys")
)
STATUS = "Windows/bootstat.dat"


def off(name: str = "acmeflt") -> list[Evidence]:
    """A driver as our repair leaves it: disabled, its file gone."""
    service, _ = driver(name)
    assert isinstance(service, Service)
    return [replace(service, start=StartType.DISABLED, path=None)]


def without(evidence: Sequence[Evidence], name: str = "acmeflt") -> list[Evidence]:
    return [
        item
        for item in evidence
        if not (isinstance(item, Service) and item.name == name)
        and not (isinstance(item, DriverFile) and item.driver == f"{name}.sys")
    ]


def repaired(*more: Sequence[Evidence] | Evidence) -> list[Evidence]:
    """What the disk says on the second visit."""
    found = [*without(BROKEN), *off()]
    for item in more:
        found += item if isinstance(item, Sequence) else [item]
    return found


def applied(before: Sequence[Evidence] = (), **changes: object) -> Applied:
    one = Applied(
        "20240719T100000Z-aaaa",
        REPAIRED,
        "acmeflt.sys",
        "acmeflt",
        "quarantine acmeflt.sys",
        stops=(D1,),
        suspects=("acmeflt.sys", "oldguard.sys"),
        marks=aftermath.marks(before or BROKEN),
        disabled=True,
        moved="Windows/System32/drivers/acmeflt.sys",
    )
    return replace(one, **changes)  # type: ignore[arg-type]  # a table's rows name the fields


def judged(evidence: Sequence[Evidence], *several: Applied) -> Aftermath:
    (found,) = aftermath.judge(several or (applied(),), evidence)
    return found


def told_of_the_old_crash(when: datetime = AGAIN) -> list[Evidence]:
    """The first boot after the repair is the one that records the crash before it."""
    return [*crash(when), event(BootEventKind.SHUT_DOWN, when + 2 * HOUR)]


def _startup_repair(when: datetime) -> StartupRepair:
    return StartupRepair(Source("Windows/System32/LogFiles/Srt/SrtTrail.txt"), when, None, 1, "")


WORKED: dict[str, list[Evidence]] = {
    "a session": session(AGAIN, AGAIN + HOUR),
    "a session that tells of the old crash": told_of_the_old_crash(),
    "still running, or the plug was pulled": [
        started(AGAIN),
        event(BootEventKind.LOGGED_ON, AGAIN + HOUR),
    ],
    "one start without a sign after it": [*session(AGAIN, AGAIN + HOUR), started(AGAIN + DAY)],
    "a crash first, then days of work": [
        started(AGAIN),
        *crash(AGAIN + HOUR),
        *session(AGAIN + 2 * HOUR, AGAIN + 2 * DAY),
    ],
    "logs were cleared, the loader counts": [
        BootStatus(Source(STATUS), AGAIN, succeeded=True, shut_down=True, boot_id=9)
    ],
}
SAME: dict[str, list[Evidence]] = {
    "the same stop": [started(AGAIN), *crash(AGAIN + HOUR)],
    "the same stop, only a dump of it": [dump(AGAIN)],
    "Microsoft's other number for it": [dump(AGAIN, 0x1000_00D1, name="b.dmp")],
    "another stop, and it is loaded": [dump(AGAIN, 0x50, fault="ntoskrnl.exe")],
    "another stop that names it": [dump(AGAIN, 0x50, broken="acmeflt.sys", stack=("acmeflt.sys",))],
    "after a good session": [
        *session(AGAIN, AGAIN + HOUR),
        started(AGAIN + DAY),
        *crash(AGAIN + DAY + HOUR),
    ],
}
OTHER: dict[str, list[Evidence]] = {
    "another stop": [started(AGAIN), *crash(AGAIN + HOUR, 0x7B)],
    "the boot ends elsewhere": [boot_log(AGAIN, up_to("oldguard.sys"))],
    "no start comes up, no crash": [started(AGAIN), started(AGAIN + HOUR)],
    "the loader counts failures": [
        BootStatus(Source(STATUS), FIRST_CRASH, succeeded=False, shut_down=False, boot_id=9)
    ],
    "Startup Repair ran, by another clock": [
        StartupRepair(
            Source("Windows/System32/LogFiles/Srt/SrtTrail.txt"), AGAIN + DAY, None, 1, ""
        )
    ],
}
UNKNOWN: dict[str, list[Evidence]] = {
    "nothing": [],
    "a dump of before, turned into a file": [dump(FIRST_CRASH + timedelta(minutes=10))],
    "Safe Mode": [
        replace(started(AGAIN), safe_mode=True),
        event(BootEventKind.LOGGED_ON, AGAIN + timedelta(minutes=5)),
    ],
}
CASES = [
    pytest.param(since, more, id=f"{since}: {name}")
    for since, cases in (
        (Since.WORKED, WORKED),
        (Since.SAME, SAME),
        (Since.OTHER, OTHER),
        (Since.NOT_STARTED, UNKNOWN),
    )
    for name, more in cases.items()
]
BEFORE = [
    *BROKEN,
    _startup_repair(FIRST_CRASH - 4 * HOUR),
    BootStatus(Source(STATUS), FIRST_CRASH, succeeded=False, shut_down=False, boot_id=5),
]


def visited(more: Sequence[Evidence]) -> list[Evidence]:
    """The loader's status is one file: the newest takes the place of the one before."""
    statuses = [item for item in (*BEFORE, *more) if isinstance(item, BootStatus)]
    rest = [item for item in more if not isinstance(item, BootStatus)]
    return repaired(rest, statuses[-1:])


@pytest.mark.parametrize(("since", "more"), CASES)
def test_what_became_of_it(since: Since, more: list[Evidence]) -> None:
    found = judged(visited(more), applied(BEFORE))
    assert found.since is since, found.text
    assert found.transaction == "20240719T100000Z-aaaa"
    assert found.driver == "acmeflt.sys"
    assert bool(found.sources) is (since is not Since.NOT_STARTED)


LONE_DUMPS = [more for cases in (SAME, UNKNOWN) for more in cases.values() if len(more) == 1]


@pytest.mark.parametrize("skew", [-12 * HOUR, 12 * HOUR, -DAY * 7000, -DAY * 40, DAY * 4000])
@pytest.mark.parametrize(("since", "more"), CASES)
def test_the_clock_of_the_medium_does_not_matter(
    since: Since, more: list[Evidence], skew: timedelta
) -> None:
    """Local time, a dead battery, a clock that ran ahead."""
    if more in LONE_DUMPS:  # nothing else tells when they were: not even noon and night
        skew = min(skew, 12 * HOUR) if since is Since.SAME else max(skew, 12 * HOUR)
    found = judged(visited(more), applied(BEFORE, when=REPAIRED + skew))
    assert found.since is since, found.text


@pytest.mark.parametrize(
    ("since", "more"),
    [
        (Since.NOT_STARTED, session(AGAIN, AGAIN + HOUR)),  # within any time zone of the repair
        (Since.WORKED, session(AGAIN + DAY, AGAIN + DAY + HOUR)),
        (Since.SAME, [started(AGAIN + DAY), *crash(AGAIN + DAY + HOUR)]),
        (Since.OTHER, [started(AGAIN + DAY), *crash(AGAIN + DAY + HOUR, 0x7B)]),
    ],
)
def test_without_marks_only_what_is_surely_later_counts(since: Since, more: list[Evidence]) -> None:
    assert judged(repaired(more), applied(marks=None)).since is since


def test_a_clock_at_the_end_of_time_is_no_error() -> None:
    for when in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        one = applied(marks=None, when=when)
        assert judged(repaired(session(AGAIN, AGAIN + HOUR)), one).since in Since


def test_a_registry_that_windows_wrote_is_said_but_proves_nothing() -> None:
    found = judged(repaired(), applied(hive_written=True))
    assert found.since is Since.NOT_STARTED
    assert "was begun" in found.text


def test_the_boot_that_ends_at_the_same_place() -> None:
    before = [
        *BROKEN,
        boot_log(GOOD, COMPLETE),
        boot_log(FIRST_CRASH, up_to("oldguard.sys"), line=40),
    ]
    one = applied(before, stops=())
    new = boot_log(AGAIN, up_to("oldguard.sys"), line=80)
    assert judged([*without(before), *off(), new], one).since is Since.SAME
    new = boot_log(AGAIN, up_to("otherone.sys"), line=80)
    assert judged([*without(before), *off(), new], one).since is Since.OTHER
    new = boot_log(AGAIN, COMPLETE, line=80)
    assert judged([*without(before), *off(), new], one).since is Since.NOT_STARTED


def test_no_trace_before_and_none_after_is_the_same() -> None:
    quiet = [*machine(driver("acmeflt", changed=FRESH)), started(FIRST_CRASH)]
    one = applied(quiet, stops=())
    found = judged([*without(quiet), *off(), started(AGAIN), started(AGAIN + HOUR)], one)
    assert found.since is Since.SAME
    assert "no trace" in found.text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (driver("acmeflt"), "acmeflt is enabled again, and its file is back (by Windows Update"),
        ([*driver("acmeflt"), installed("acmeflt", AGAIN)], "(its installer ran)"),
        ([*off(), driver("acmeflt")[1]], "there again, disabled, and its file is back"),
        (off(), ""),
    ],
)
@pytest.mark.parametrize("since", [Since.WORKED, Since.SAME])
def test_who_brought_the_driver_back(since: Since, more: list[Evidence], said: str) -> None:
    after = session(AGAIN, AGAIN + HOUR) if since is Since.WORKED else [dump(AGAIN)]
    found = judged([*without(BROKEN), *more, *after])
    assert found.since is since
    assert said in found.text
    assert ("Since the repair," in found.text) is bool(said)


def second(before: Sequence[Evidence], **changes: object) -> Applied:
    one = applied(
        before,
        id="20240720T100000Z-bbbb",
        when=REPAIRED + DAY,
        driver="oldguard.sys",
        service="oldguard",
        title="quarantine oldguard.sys",
        moved="Windows/System32/drivers/oldguard.sys",
    )
    return replace(one, **changes)  # type: ignore[arg-type]  # a table's rows name the fields


def test_two_repairs_each_have_their_own_time() -> None:
    failed_again = repaired([started(AGAIN), *crash(AGAIN + HOUR)])
    both = (applied(), second(failed_again))
    works = [*failed_again, *session(AGAIN + DAY, AGAIN + DAY + HOUR)]
    assert [one.since for one in aftermath.judge(both, works)] == [Since.SAME, Since.WORKED]
    fails = [*failed_again, started(AGAIN + DAY), *crash(AGAIN + DAY + HOUR, 0x7B)]
    assert [one.since for one in aftermath.judge(both, fails)] == [Since.SAME, Since.OTHER]
    assert [one.since for one in aftermath.judge(both, failed_again)] == [
        Since.SAME,
        Since.NOT_STARTED,
    ]


def test_two_repairs_without_a_start_in_between_are_judged_as_one() -> None:
    both = (applied(), second(BROKEN))
    works = repaired(session(AGAIN + DAY, AGAIN + DAY + HOUR))
    first, last = aftermath.judge(both, works)
    assert (first.since, last.since) == (Since.WORKED, Since.WORKED)
    assert "without a start in between" in first.text


def test_a_repair_that_was_taken_back_is_not_judged_and_ends_the_time_of_the_one_before() -> None:
    failed_again = repaired([started(AGAIN), *crash(AGAIN + HOUR)])
    both = (applied(), second(failed_again, standing=False))
    works = [*failed_again, *session(AGAIN + DAY, AGAIN + DAY + HOUR)]
    assert [one.since for one in aftermath.judge(both, works)] == [Since.SAME]
    gone = (applied(standing=False), second(failed_again))
    assert [one.transaction for one in aftermath.judge(gone, works)] == ["20240720T100000Z-bbbb"]


def test_nothing_was_repaired() -> None:
    assert aftermath.judge((), BROKEN) == ()


@given(st.permutations(repaired(told_of_the_old_crash())))
def test_the_order_of_the_evidence_does_not_matter(evidence: list[Evidence]) -> None:
    assert judged(evidence).since is Since.WORKED


# --- what to do next ----------------------------------------------------------------------


def suspect(name: str, verdict: Verdict = Verdict.SUSPECT) -> Suspect:
    return Suspect(name, name.removesuffix(".sys"), verdict, 90, ())


def diagnosis(*suspects: Suspect) -> Diagnosis:
    return Diagnosis(Kind.DRIVER, "acmeflt.sys keeps it from starting.", suspects)


def became(since: Since) -> Aftermath:
    return Aftermath("20240719T100000Z-aaaa", since, "acmeflt.sys", f"It {since}.")


ACME, GUARD = suspect("acmeflt.sys", Verdict.CULPRIT), suspect("oldguard.sys")


@pytest.mark.parametrize("since", list(Since))
def test_nobody_is_acted_upon_twice(since: Since) -> None:
    found = escalation.escalate(diagnosis(ACME, GUARD), (became(since),), (applied(),))
    assert [one.driver for one in found.suspects] == ["oldguard.sys", "acmeflt.sys"]
    assert all(one.verdict is not Verdict.CULPRIT for one in found.suspects)
    assert found.kind is Kind.UNKNOWN
    assert f"It {since}." in found.summary
    assert "keeps it from starting" not in found.summary
    assert ("Next is oldguard.sys." in found.summary) is (since is Since.SAME)


@pytest.mark.parametrize(
    ("since", "kept"),
    [
        (Since.SAME, True),
        (Since.WORKED, True),
        (Since.OTHER, False),
        (Since.NOT_STARTED, False),
    ],
)
def test_another_culprit_is_acted_upon_only_where_something_was_learnt(
    since: Since, kept: bool
) -> None:
    other = suspect("newone.sys", Verdict.CULPRIT)
    found = escalation.escalate(diagnosis(other, ACME), (became(since),), (applied(),))
    assert found.suspects[0].driver == "newone.sys"
    assert (found.suspects[0].verdict is Verdict.CULPRIT) is kept
    assert (found.kind is Kind.DRIVER) is kept


def test_a_repair_that_was_taken_back_leaves_its_driver_a_suspect_like_others() -> None:
    gone = applied(standing=False)
    found = escalation.escalate(diagnosis(ACME), (became(Since.SAME),), (gone,))
    assert found.suspects == (ACME,)
    assert escalation.next_suspect(found, (gone,)) == ACME
    assert escalation.next_suspect(found, (applied(),)) is None


def test_without_an_earlier_repair_nothing_is_changed() -> None:
    found = diagnosis(ACME, GUARD)
    assert escalation.escalate(found, (), ()) is found


@pytest.mark.parametrize("order", list(permutations([ACME, GUARD, suspect("third.sys")])))
def test_the_last_of_all_says_that_nobody_is_left(order: tuple[Suspect, ...]) -> None:
    done = tuple(applied(id=f"{n}", driver=one.driver) for n, one in enumerate(order))
    found = escalation.escalate(diagnosis(*order), (became(Since.SAME),), done)
    assert found.summary.endswith("Nobody else is suspected.")
    assert escalation.next_suspect(found, done) is None
