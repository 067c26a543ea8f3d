"""CBS.log's end: what servicing did at starts, the real log, hostile bytes."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.formats import cbs_log
from tests.builders import servicing as builder
from tests.conftest import read_real, real

MUTANTS = 300  # a campaign may raise it
WHEN = datetime(2023, 8, 7, 15, 43, 34, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_start_that_failed() -> None:
    """Shape: Microsoft's support article on error 0x800f0922."""
    log = builder.startup(WHEN - DAY, complete=True) + builder.startup(WHEN, failed=True)
    found = cbs_log.parse(log.encode())
    (failure,) = found.failures
    assert (found.begun, failure.when, failure.code) == (1, WHEN, 0x800F0922)
    assert failure.text.startswith("Error CBS Startup: Failed to process advanced operation queue")
    assert log.encode()[failure.offset :].startswith(b"2023-08-07 15:43:34, Error")


def test_what_was_finished_later_counts_no_more() -> None:
    log = builder.startup(WHEN, failed=True) + builder.startup(WHEN + DAY, complete=True)
    assert cbs_log.parse(log.encode()) == cbs_log.Startups(0, ())


def test_starts_in_a_row() -> None:
    log = "".join(builder.startup(WHEN + n * DAY) for n in range(5))
    assert cbs_log.parse(log.encode()).begun == 5


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            (
                "Failed execution of queue item Installer: Task Scheduler ({1}) with HRESULT "
                "HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND).  Failure will not be ignored: A "
                "rollback will be initiated"
            ),
            0,
        ),
        ("Failed execution of queue item Installer: A ({1}) with HRESULT 0x80070002", 0x80070002),
        ("Cannot commit [HRESULT = 0x800719e4 - ERROR_LOG_FULL]", 0x800719E4),
    ],
)
def test_other_failures(line: str, code: int) -> None:
    data = builder.cbs_line(WHEN, line, "Error", "CSI").encode()
    assert [failure.code for failure in cbs_log.parse(data).failures] == [code]


@pytest.mark.parametrize(
    "line",
    [
        "Failed execution of queue item Installer: A ({1}) with HRESULT 1. Failure will be ignored",
        "Hydration failed for component Acme",
        "Startup: Processing complete. [HRESULT = 0x80070002]",
        "Startup: Processing advanced operation queue, startupPhase: 0",
    ],
)
def test_noise(line: str) -> None:
    assert cbs_log.parse(builder.cbs_line(WHEN, line, "Error").encode()).failures == ()


def test_a_line_without_a_time() -> None:
    (failure,) = cbs_log.parse(b"Startup: Failed\n").failures
    assert (failure.when, failure.text) == (None, "Startup: Failed")


def test_the_newest_failures_are_kept() -> None:
    log = "".join(builder.startup(WHEN + n * DAY, failed=True) for n in range(50))
    found = cbs_log.parse(log.encode()).failures
    assert len(found) == cbs_log.MAX_FAILURES
    assert found[-1].when == WHEN + 49 * DAY


@pytest.mark.parametrize("path", real("bootlogs/CBS_winerros.log.xz"))
def test_real_log(path: Path) -> None:
    """A Windows 11 that installed an update over two starts, both of them well."""
    data = read_real(path)
    assert cbs_log.parse(data) == cbs_log.Startups(0, ())
    at = data.index(b"Startup: Success, restart required to continue")
    assert cbs_log.parse(data[:at]) == cbs_log.Startups(1, ())


@pytest.mark.parametrize("filler", [b"x", b"\n", b"Startup: ", b"Startup: Failed\n", b"\xff"])
def test_a_megabyte_of_anything_is_quick(filler: bytes) -> None:
    before = time.process_time()
    found = cbs_log.parse(filler * ((1 << 20) // len(filler)))
    assert time.process_time() - before < 2
    assert len(found.failures) <= cbs_log.MAX_FAILURES


def test_mutants() -> None:
    data = "".join(builder.startup(WHEN, failed=True) for _ in range(5)).encode()
    rng = random.Random("cbs")
    kept = 0
    for _ in range(MUTANTS):
        mutant = bytearray(data)
        for _ in range(rng.randrange(1, 20)):
            mutant[rng.randrange(len(mutant))] = rng.choice((10, 0, rng.randrange(256)))
        kept += len(cbs_log.parse(bytes(mutant)).failures)
    assert 2 * MUTANTS < kept <= 5 * MUTANTS
