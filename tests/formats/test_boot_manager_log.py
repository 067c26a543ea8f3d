"""Logs of boot manager and loader: the ring, meanings, clocks, real files, hostile bytes."""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import boot_manager_log
from recoverykit.formats.boot_manager_log import Event
from tests.builders import bootstat as builder
from tests.conftest import read_real, real

MUTANTS = 500  # a campaign may raise it
WHEN = datetime(2024, 7, 19, 4, 9, 0, tzinfo=UTC)
WINLOAD = "\\Windows\\system32\\winload.efi"
BCD = "\\Boot\\BCD"
FAILED_BOOT = (
    builder.started(WHEN),
    builder.failed(0x13, 0xC0000428, WINLOAD, seconds=103),
    builder.launched("\\Recovery\\winload.efi", kind=1, seconds=104),
    builder.returned(seconds=105),
)


def events(data: bytes) -> list[Event]:
    log = boot_manager_log.parse(data)
    assert log.problem == ""
    return list(log.events)


def said(data: bytes) -> list[tuple[str, str, int]]:
    return [(event.what, event.application, event.status) for event in events(data)]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_boot_that_ended_in_recovery(version: int) -> None:
    data = builder.log(FAILED_BOOT, version)
    assert said(data) == [
        ("started", "boot manager", 0),
        ("load-failed", WINLOAD, 0xC0000428),
        ("launched-recovery", "\\Recovery\\winload.efi", 0),
        ("returned", f"{{{builder.OS}}}", 0),
    ]
    assert [event.when for event in events(data)] == [
        WHEN + timedelta(seconds=after) for after in (0, 3, 4, 5)
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (builder.launched(WINLOAD), ("launched", WINLOAD, 0)),
        (builder.launched(WINLOAD, kind=2), ("launched-recovery", WINLOAD, 0)),
        (
            builder.failed(0x14, 0xC000000F, "\\Boot\\BCD"),
            ("store-failed", "\\Boot\\BCD", 0xC000000F),
        ),
        (builder.failed(0x15, 0xC0000034, "\\Boot\\BCD"), ("no-entry", "\\Boot\\BCD", 0xC0000034)),
        (builder.failed(0x16, 0xC00000BB), ("failed", "boot manager", 0xC00000BB)),
        (builder.kernel(), ("kernel", "Windows loader", 0)),
        (builder.started(WHEN, owner=4), ("started", "resume loader", 0)),
    ],
)
def test_meanings(entry: bytes, expected: tuple[str, str, int]) -> None:
    assert said(builder.log([entry])) == [expected]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(builder.entry(0x50, bytes(80), severity=3), id="an error on healthy machines"),
        pytest.param(builder.entry(0x53, bytes(12), owner=0), id="of nobody"),
        pytest.param(builder.entry(0x31, b""), id="the loader's, but by the boot manager"),
        pytest.param(builder.entry(0x13, bytes(8), owner=3), id="the loader has no such event"),
        pytest.param(builder.entry(0x11, bytes(19)), id="a launch cut short"),
        pytest.param(builder.entry(0x12, bytes(15)), id="a return cut short"),
        pytest.param(builder.entry(0x16, bytes(3)), id="a failure cut short"),
        pytest.param(builder.entry(1, bytes(24), owner=9), id="a start of something unknown"),
    ],
)
def test_what_no_source_explains_means_nothing(entry: bytes) -> None:
    log = boot_manager_log.parse(builder.log([entry]))
    assert (len(log.entries), log.problem, list(log.events)) == (1, "", [])


def test_a_ring_is_read_from_its_oldest_entry() -> None:
    boots = [builder.started(WHEN + timedelta(days=day), seconds=50 + day) for day in range(10)]
    for split in range(1, 10):
        found = events(builder.ring(boots, split))
        assert [event.when for event in found] == [WHEN + timedelta(days=n) for n in range(10)]


def test_zeros_at_the_rings_end() -> None:
    """The ring goes round where the next entry would not fit: what is left there is empty."""
    entries = [builder.started(WHEN), builder.started(WHEN + timedelta(days=1))]
    data = bytearray(builder.ring(entries, 1))
    first = struct.unpack_from("<I", data, 0x10)[0]
    moved = data[first:] + bytes(100)
    del data[first:]
    data[first - 100 :] = moved
    struct.pack_into("<I", data, 0x10, first - 100)
    assert [event.when for event in events(bytes(data))] == [WHEN, WHEN + timedelta(days=1)]


def test_a_clock_that_makes_no_sense() -> None:
    """No start, a start at an impossible time, a counter that ran backwards or for days."""
    bad = builder.entry(1, struct.pack("<8H", 2024, 13, 45, 99, 0, 0, 0, 0), seconds=100)
    data = builder.log(
        [
            builder.launched("a"),
            builder.started(WHEN),
            builder.launched("b", seconds=99),
            builder.launched("c", seconds=100 + 2 * 86_400),
            bad,
            builder.launched("d", seconds=101),
        ]
    )
    times = {event.application: event.when for event in events(data) if event.what == "launched"}
    assert times == dict.fromkeys("abcd")


def test_an_empty_log_is_usual() -> None:
    assert boot_manager_log.parse(bytes(builder.LOG_SIZE)).entries == ()
    assert boot_manager_log.parse(b"").entries == ()
    assert boot_manager_log.parse(builder.log([])).entries == ()


@pytest.mark.parametrize(
    ("offset", "number"),
    [
        pytest.param(0, 5, id="version"),
        pytest.param(0, 0x46464952, id="no log"),
        pytest.param(4, 8, id="start in the header"),
        pytest.param(4, 0x20000, id="start outside"),
        pytest.param(12, 0x20000, id="end outside"),
        pytest.param(12, 4, id="end before the start"),
        pytest.param(0x10, 0x20000, id="oldest entry outside"),
        pytest.param(0x10, 0, id="oldest entry before the start"),
    ],
)
def test_a_header_that_is_none(offset: int, number: int) -> None:
    data = bytearray(builder.log(FAILED_BOOT))
    struct.pack_into("<I", data, offset, number)
    with pytest.raises(FormatError):
        boot_manager_log.parse(bytes(data))


@pytest.mark.parametrize("size", [0, 39, 0xFFFF_FFFF, 60_000])
def test_a_damaged_entry_ends_the_reading(size: int) -> None:
    data = bytearray(builder.log(FAILED_BOOT))
    struct.pack_into("<I", data, 24 + len(FAILED_BOOT[0]) + 24, size)
    log = boot_manager_log.parse(bytes(data))
    assert [event.what for event in log.events] == ["started"]
    assert log.problem


def test_a_log_cut_off() -> None:
    data = builder.log(FAILED_BOOT)
    with pytest.raises(FormatError):
        boot_manager_log.parse(data[:50])


# --- real files ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", real("bootlogs/bcd_asus/Boot_BOOTSTAT.DAT"))
def test_real_boot_manager(path: Path) -> None:
    """A notebook from February to June 2020: 80 launches, three of which returned."""
    log = boot_manager_log.parse(read_real(path))
    found = list(log.events)
    assert (len(log.entries), log.problem) == (259, "")
    assert Counter(event.what for event in found) == {"started": 79, "launched": 80, "returned": 3}
    assert {event.application.lower() for event in found if event.what == "launched"} == {
        "\\windows\\system32\\winload.efi",
        "\\windows\\system32\\winresume.efi",
    }
    times = [event.when for event in found if event.what == "started"]
    assert times[0] == datetime(2020, 2, 29, 18, 32, 43, tzinfo=UTC)
    assert times[-1] == datetime(2020, 6, 27, 11, 34, 42, tzinfo=UTC)
    assert None not in times


LOADERS = {"15lyp": 1, "kbittne": 7, "yuesechayan": 1}  # how often each started


@pytest.mark.parametrize("path", real(*(f"bootlogs/bootstat/{n}_bootstat.dat" for n in LOADERS)))
def test_real_loaders(path: Path) -> None:
    """Healthy machines: every start of the loader ended in the kernel, seconds later at most."""
    log = boot_manager_log.parse(read_real(path)[0x800:])
    loader = [event for event in log.events if event.application == "Windows loader"]
    assert [event.what for event in loader] == ["started", "kernel"] * LOADERS[
        path.name.split("_")[0]
    ]
    for begun, handed in zip(loader[::2], loader[1::2], strict=True):
        assert begun.when
        assert handed.when
        assert timedelta(0) <= handed.when - begun.when <= timedelta(seconds=2)


# --- hostile bytes ------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(FormatError):
        log = boot_manager_log.parse(struct.pack("<5I", 4, 24, 400, 300, 24) + data)
        assert len(log.entries) <= 8
        assert all(event.what for event in log.events)


def test_mutants() -> None:
    whole = builder.ring([*FAILED_BOOT * 20, builder.kernel()], 40)
    rng = random.Random("boot manager")
    before, read = time.process_time(), 0
    for _ in range(MUTANTS):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            at = rng.choice(
                (rng.randrange(24), rng.randrange(2000), len(data) - rng.randrange(1, 5000))
            )
            data[at] = rng.randrange(256)
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        with suppress(FormatError):
            log = boot_manager_log.parse(bytes(data))
            read += len(list(log.events)) > 0
    assert read > MUTANTS // 4
    assert time.process_time() - before < 0.005 * MUTANTS + 1
