"""PFRO.log: the newest block, names with commas, spellings, hostile bytes."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import pfro
from tests.builders import servicing as builder
from tests.builders.servicing import Boot

MUTANTS = 500  # a campaign may raise it
WHEN = datetime(2016, 6, 28, 9, 57, 40, tzinfo=UTC)
DRIVER = "C:\\Windows\\System32\\drivers\\acme.sys"
NEW = f"{DRIVER}.new"
OLD_BOOT = Boot(WHEN - timedelta(days=6), (("C:\\gone.tmp", "", 0xC0000034),))
NEW_BOOT = Boot(WHEN, ((NEW, DRIVER, 0xC0000043), ("C:\\b.tmp", "", 0xC000003A)))


def found(data: bytes) -> list[tuple[str, str, int]]:
    return [(item.old, item.new, item.code) for item in pfro.parse(data)]


@pytest.mark.parametrize(
    "encoding", [pytest.param("utf-16-le", id="as Windows writes it"), "utf-8", "cp1252"]
)
def test_the_newest_block(encoding: str) -> None:
    data = builder.pfro([OLD_BOOT, NEW_BOOT], encoding)
    assert found(data) == [(NEW, DRIVER, 0xC0000043), ("C:\\b.tmp", "", 0xC000003A)]
    assert [(item.when, item.line) for item in pfro.parse(data)] == [(WHEN, 4), (WHEN, 5)]


def test_a_boot_that_died_before_it_could_count() -> None:
    data = builder.pfro([Boot(OLD_BOOT.when, OLD_BOOT.failures, None), NEW_BOOT])
    assert len(found(data)) == 2
    data = builder.pfro([OLD_BOOT, Boot(WHEN, NEW_BOOT.failures, None)])
    assert len(found(data)) == 2


def test_a_boot_without_failures_is_the_newest_too() -> None:
    assert found(builder.pfro([NEW_BOOT, Boot(WHEN + timedelta(days=1), ())])) == []


# Lines quoted in public: Logstash and Yara collections, a Kafka example.
SPOOL = "C:\\WINDOWS\\spool"
FIREFOX = "C:\\Program Files (x86)\\Mozilla Firefox\\tobedeleted\\"
REAL_LINES = (
    (
        f"6/28/2016 9:57:40 - PFRO Error: \\??\\{SPOOL}\\N\\P, \\??\\{SPOOL}\\P, 0xc000003a",
        (f"{SPOOL}\\N\\P", f"{SPOOL}\\P", 0xC000003A),
    ),
    (
        f"6/14/2016 19:14:22 - PFRO Error: \\??\\{FIREFOX}, |delete operation|, 0xc0000034",
        (FIREFOX, "", 0xC0000034),
    ),
    (
        "2/27/2024 15:9:4 - PFRO Error: \\??\\C:\\a, b\\c.tmp, !\\??\\C:\\d, e\\f.sys, 0xc0000022",
        ("C:\\a, b\\c.tmp", "C:\\d, e\\f.sys", 0xC0000022),
    ),
    ("Could not delete file 'C:\\x.sys'. Error code=32", ("C:\\x.sys", "", 32)),
)


@pytest.mark.parametrize(("line", "expected"), REAL_LINES)
def test_lines(line: str, expected: tuple[str, str, int]) -> None:
    assert found(line.encode()) == [expected]


def test_an_impossible_time_is_none() -> None:
    (item,) = pfro.parse(b"99/99/2016 9:57:40 - PFRO Error: \\??\\C:\\a, |delete operation|, 0x1")
    assert item.when is None


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\0\0", b"\r\n\r\n"])
def test_an_empty_log(data: bytes) -> None:
    assert pfro.parse(data) == ()


def test_another_text_is_refused() -> None:
    with pytest.raises(FormatError):
        pfro.parse(b"something else altogether\r\n")


def test_a_long_block_is_bounded() -> None:
    failures = tuple((f"C:\\{n}", "", 0xC0000034) for n in range(5000))
    items = pfro.parse(builder.pfro([Boot(WHEN, failures)]))
    assert len(items) == pfro.MAX_FAILURES
    assert items[-1].old == "C:\\4999"


def test_a_megabyte_without_an_end_of_line_is_quick() -> None:
    before = time.process_time()
    with pytest.raises(FormatError):
        pfro.parse(b"6/28/2016 9:57:40 - PFRO Error: " + b", \\" * 350_000)
    assert time.process_time() - before < 1


def test_mutants() -> None:
    data = builder.pfro([OLD_BOOT, NEW_BOOT, Boot(WHEN, NEW_BOOT.failures * 4)])
    rng = random.Random("pfro")
    before, read = time.process_time(), 0
    for _ in range(MUTANTS):
        mutant = bytearray(data)
        for _ in range(rng.randrange(1, 20)):
            mutant[rng.randrange(len(mutant))] = rng.choice((0, 10, 32, 44, rng.randrange(256)))
        if rng.random() < 0.2:
            del mutant[: rng.randrange(len(mutant))]
        with suppress(FormatError):
            read += len(pfro.parse(bytes(mutant))) > 0
    assert read > MUTANTS // 2
    assert time.process_time() - before < 0.01 * MUTANTS + 1
