"""The cut between what was survived and what failed, on real logs and small cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from recoverykit.diagnosis import timeline
from recoverykit.formats import bootlog
from recoverykit.model import BootEventKind, BootLogBlock, KernelBoot, NtfsState, Source
from tests.conftest import read_real, real
from tests.diagnosis.scene import (
    COMPLETE,
    FIRST_CRASH,
    GOOD,
    OFF,
    OLD,
    boot_log,
    crash,
    dump,
    event,
    machine,
    session,
    started,
    up_to,
)

LOGS = real("bootlogs/ntbtlog_isWarrens.txt", "bootlogs/ntbtlog_zivchien.txt")


@pytest.mark.parametrize("sample", LOGS)
def test_no_real_boot_is_taken_for_a_failed_one(sample: Path) -> None:
    """All these boots came up: most of their lines are NOT_LOADED, and their lengths vary."""
    blocks = bootlog.parse(read_real(sample))
    early = [n for n, block in enumerate(blocks) if timeline.ends_early(block, blocks[:n])]
    assert early == []


@pytest.mark.parametrize("sample", LOGS)
@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_every_real_boot_cut_short_is(sample: Path, part: float) -> None:
    blocks = bootlog.parse(read_real(sample))
    missed = []
    for number, block in enumerate(blocks[1:], start=1):
        loaded = [line for line in block.lines if line.loaded]
        cut = BootLogBlock(
            block.source, block.started, tuple(loaded[: int(100 * part)]), block.bias
        )
        if not timeline.ends_early(cut, blocks[:number]):
            missed.append(number)
    assert missed == []


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [(COMPLETE, False), (up_to("acmeflt.sys"), True), (COMPLETE[:-2], False), (COMPLETE[:8], True)],
)
def test_ends_early_without_a_boot_to_compare(
    loaded: tuple[str, ...],
    expected: bool,
) -> None:
    assert timeline.ends_early(boot_log(GOOD, loaded), []) is expected


def test_devices_that_are_gone_do_not_end_a_boot_early() -> None:
    """Fewer drivers than before, yet those of the end are there."""
    fewer = (*COMPLETE[:2], *COMPLETE[6:])
    assert not timeline.ends_early(boot_log(GOOD, fewer), [boot_log(OLD)])


def test_the_cut() -> None:
    times = timeline.build(machine(crash(FIRST_CRASH)))
    assert times.last_good is not None
    assert times.good_start is not None
    assert (times.last_good.when, times.good_start.when) == (OFF, GOOD)
    assert [start.when for start in times.failed_starts] == [FIRST_CRASH]


@pytest.mark.parametrize("minutes", [3, 5, 30])
def test_one_crash_told_twice_is_one_crash(minutes: int) -> None:
    crashes = [
        item for n in range(3) for item in crash(FIRST_CRASH + timedelta(minutes=minutes * n))
    ]
    times = timeline.build(machine(crashes))
    assert len(times.stops) == 3
    assert all(item.records[-1].dump for item in times.stops)


def test_two_reports_are_two_crashes() -> None:
    """Where Kernel-Power is silent, only the reports tell the crashes apart."""
    told = [crash(FIRST_CRASH + timedelta(minutes=5 * n))[-1] for n in range(2)]
    assert len(timeline.build(machine(told)).stops) == 2


def test_in_use_is_told_from_a_session_that_just_stopped() -> None:
    """A power cut leaves the file system in use too: only after a clean end it means a boot."""
    in_use = NtfsState(dirty=True, log_unclean=True, hibernated=False)
    assert timeline.build(machine(in_use)).cut_off
    assert not timeline.build(machine(in_use, started(FIRST_CRASH))).cut_off


@pytest.mark.parametrize("bias", [-300, 0, 300])
def test_a_boot_soon_after_the_last_good_one(bias: int) -> None:
    times = timeline.build(machine(boot_log(OFF + timedelta(hours=2), bias=bias)))
    assert times.boot_log is not None


@pytest.mark.parametrize("bias", [-720, -60, 0, 60, 660])
def test_the_good_boots_log_in_every_time_zone(bias: int) -> None:
    assert timeline.build(machine(boot_log(GOOD, bias=bias))).boot_log is None


def test_two_sessions_that_just_stopped_are_a_failure() -> None:
    stops = [FIRST_CRASH, FIRST_CRASH + timedelta(minutes=4)]
    events = [
        item for when in stops for item in (started(when), event(BootEventKind.UNEXPECTED, when))
    ]
    assert timeline.build(machine(events)).is_failing
    assert not timeline.build(machine(events[:2])).is_failing


def test_both_tellers_of_one_stop_are_one_stop() -> None:
    told = [event(BootEventKind.UNEXPECTED, FIRST_CRASH + timedelta(seconds=n)) for n in (0, 20)]
    assert len(timeline.build(machine(told)).unexpected) == 1


def test_health_needs_a_session() -> None:
    assert not timeline.build([]).is_healthy
    assert timeline.build(session(GOOD, OFF)).is_healthy
    assert not timeline.build([*session(GOOD, OFF), started(FIRST_CRASH)]).is_healthy


def test_a_good_boots_log_is_not_fresh() -> None:
    assert timeline.build(machine(boot_log(OLD))).boot_log is None
    assert timeline.build(machine(boot_log(GOOD))).boot_log is None
    assert timeline.build(machine(boot_log(FIRST_CRASH))).boot_log is not None


def test_one_crash_after_hours_of_work_is_no_failed_boot() -> None:
    """The last session was good and ended with a stop: whether Windows starts is not known."""
    alive = GOOD + timedelta(hours=3)
    session = [started(GOOD), event(BootEventKind.LOGGED_ON, alive)]
    late = crash(alive + timedelta(minutes=2))
    times = timeline.build([*session, *late])
    assert len(times.stops) == 1
    assert not times.is_failing
    assert not times.is_healthy
    again = crash(alive + timedelta(minutes=9))
    assert timeline.build([*session, *late, *again]).is_failing


def test_a_dump_tells_how_long_windows_had_run() -> None:
    assert timeline.build(machine(dump())).is_failing
    late = replace(dump(), uptime=timedelta(hours=3))
    assert not timeline.build(machine(late)).is_failing


def test_a_resumed_session_is_a_session() -> None:
    """Fast Startup writes no start of the kernel; what crashed since began anew."""
    resumed = KernelBoot(Source("System.evtx", 1), GOOD, boot_type=1)
    alive = event(BootEventKind.LOGGED_ON, GOOD + timedelta(minutes=30))
    times = timeline.build([resumed, alive, *crash(FIRST_CRASH)])
    assert times.good_start is not None
    assert times.good_start.when == GOOD
    assert times.last_good is alive


def test_a_boot_minutes_after_the_last_good_one_follows_its_block() -> None:
    """Clocks cannot tell, with summer time between them; the order of the file can."""
    soon = OFF + timedelta(minutes=4)
    times = timeline.build(machine(boot_log(GOOD), boot_log(soon, up_to("acmeflt.sys"), line=40)))
    assert times.boot_log is not None
    assert times.boot_log.ends_early
    assert timeline.build(machine(boot_log(soon, up_to("acmeflt.sys")))).boot_log is None
