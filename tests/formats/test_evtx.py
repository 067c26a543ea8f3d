"""Event logs: chunk order, records, real logs, damaged and hostile ones."""

from __future__ import annotations

import io
import random
import struct
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import evtx
from tests.builders import events
from tests.builders import evtx as build
from tests.conftest import real

WHEN = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
BOOT = {12, 13, 41, 1001, 6005, 6006, 6008, 7026, 7045}


def read(data: bytes, wanted: set[int] = BOOT) -> list[evtx.ChunkContent]:
    stream = io.BytesIO(data)
    found = evtx.chunks(stream)
    return [evtx.read(stream, chunk, lambda _, event: event in wanted) for chunk in found]


def records(data: bytes) -> list[evtx.Record]:
    return [record for content in read(data) for record in content.records]


def test_named_data() -> None:
    (record,) = records(build.build([events.service_installed(WHEN, "acmeflt", "drivers\\a.sys")]))
    assert (record.provider, record.event) == ("Service Control Manager", 7045)
    assert record.when == WHEN
    assert record.fields["ServiceName"] == "acmeflt"
    assert record.fields["ImagePath"] == "drivers\\a.sys"


def test_unnamed_data() -> None:
    event = events.unexpected_shutdown(WHEN, WHEN - timedelta(hours=1), timedelta(0))
    (record,) = records(build.build([event]))
    assert (record.provider, record.event) == ("EventLog", 6008)
    assert record.strings[0] == "3:09:00 AM"


def test_only_what_is_wanted_but_every_time() -> None:
    log = build.build([events.log_started(WHEN), events.service_state(WHEN, "Spooler", "running")])
    (content,) = read(log, {6005})
    assert [record.event for record in content.records] == [6005]
    assert [stamp.when for stamp in content.stamps] == [WHEN, WHEN]
    assert content.problems == ()


def test_user_data() -> None:
    log = io.BytesIO(build.build([events.package_changed(WHEN, "KB5040427", 3, code=0x800F0816)]))
    (chunk,) = evtx.chunks(log)
    (record,) = evtx.read(log, chunk, lambda *_: True).records
    assert (record.provider, record.event) == ("Microsoft-Windows-Servicing", 3)
    assert record.fields == {
        "PackageIdentifier": "KB5040427",
        "IntendedPackageState": "5112",
        "IntendedPackageStateTextized": "Installed",
        "ErrorCode": "0x800f0816",
        "Client": "WindowsUpdateAgent",
    }


def test_records_that_are_alike_are_judged_once() -> None:
    """Deciding for each record what it is would cost more than reading it."""
    asked: list[tuple[str, int]] = []

    def wanted(provider: str, event: int) -> bool:
        asked.append((provider, event))
        return False

    states = [events.service_state(WHEN, f"service {n}", "running") for n in range(60)]
    log = io.BytesIO(build.build([*states, events.log_started(WHEN)]))
    contents = [evtx.read(log, chunk, wanted) for chunk in evtx.chunks(log)]
    assert len(contents) == 1
    assert contents[0].records == ()
    assert sorted(asked) == [("eventlog", 6005), ("service control manager", 7036)]


@pytest.mark.parametrize(
    "name", ['Acme", "EventID":7', 'a"b', "a\\b", "{}", "\u20ac" * 100, "x" * 300]
)
def test_odd_names_of_providers(name: str) -> None:
    log = io.BytesIO(build.build([build.Event(WHEN, build.Provider(name), 4242, ())]))
    (chunk,) = evtx.chunks(log)
    told = name.lower()
    (record,) = evtx.read(
        log, chunk, lambda provider, event: (provider, event) == (told, 4242)
    ).records
    assert record.provider == name


def test_newest_chunk_first_and_offsets_point_at_records() -> None:
    started = [events.log_started(WHEN + timedelta(minutes=n)) for n in range(900)]
    log = build.build(started)
    stream = io.BytesIO(log)
    listed = evtx.chunks(stream)
    assert len(listed) > 2
    assert [chunk.last for chunk in listed] == sorted((c.last for c in listed), reverse=True)
    newest = evtx.read(stream, listed[0], lambda _, event: event == 6005).records[-1]
    assert newest.when == WHEN + timedelta(minutes=899)
    assert log[newest.offset : newest.offset + 4] == b"\x2a\x2a\0\0"


def test_a_wrapped_log_is_ordered_by_record_number() -> None:
    log = build.build([events.log_started(WHEN + timedelta(minutes=n)) for n in range(900)])
    head, body = log[:4096], log[4096:]
    wrapped = head + body[evtx.CHUNK_SIZE :] + body[: evtx.CHUNK_SIZE]
    straight, turned = evtx.chunks(io.BytesIO(log)), evtx.chunks(io.BytesIO(wrapped))
    assert [chunk.last for chunk in turned] == [chunk.last for chunk in straight]
    assert turned[-1].offset != straight[-1].offset


@pytest.mark.parametrize("data", [b"", b"ElfFile", b"MZ" * 4096, b"\0" * 70_000])
def test_refuses_what_is_no_log(data: bytes) -> None:
    with pytest.raises(FormatError, match="ElfFile"):
        evtx.chunks(io.BytesIO(data))


def test_an_empty_log() -> None:
    assert evtx.chunks(io.BytesIO(build.build([])[:4096])) == ()


# Records in all chunks, and the events INDEX.md names (Counter of (provider's end, id)).
REAL: dict[str, tuple[int, dict[tuple[str, int], int]]] = {
    "evtx/win7_System_bugcheck.evtx": (
        1601,
        {
            ("SystemErrorReporting", 1001): 1,
            ("Kernel-Power", 41): 2,
            ("EventLog", 6008): 2,
            ("Kernel-General", 12): 5,
            ("Service Control Manager", 7045): 12,
        },
    ),
    "evtx/srv2008r2_DC1_System.evtx": (
        5009,
        {
            ("Kernel-Power", 41): 2,
            ("EventLog", 6008): 1,
            ("Kernel-General", 12): 8,
            ("Service Control Manager", 7045): 25,
        },
    ),
    "evtx/win10_1703_System.evtx": (
        1881,
        {
            ("Kernel-General", 12): 3,
            ("Service Control Manager", 7026): 3,
            ("Service Control Manager", 7045): 57,
        },
    ),
    "evtx/win10_vss7_System.evtx": (1160, {("Kernel-General", 12): 3}),
    "evtx/truncated_System2.evtx": (283, {}),  # 194 are within the whole chunks
    "evtx/bad_chunk_magic.evtx": (270, {}),
    "evtx/zero_data_size.evtx": (335, {}),
    "evtx/malformed.evtx": (5, {}),
    "evtx/bad_string_cache.evtx": (2261, {}),
}


@pytest.mark.parametrize("sample", real(*REAL))
def test_real_logs(sample: Path) -> None:
    count, named = REAL[f"evtx/{sample.name}"]
    contents = read(sample.read_bytes())
    assert sum(len(content.stamps) for content in contents) == count
    seen = Counter((r.provider, r.event) for content in contents for r in content.records)
    told = {
        (end, event): sum(n for (name, e), n in seen.items() if e == event and name.endswith(end))
        for end, event in named
    }
    assert told == named


@pytest.mark.parametrize("sample", real(*REAL))
def test_passing_over_loses_nothing(sample: Path) -> None:
    """By the head of a record the same are chosen as by its content."""
    stream = io.BytesIO(sample.read_bytes())
    for chunk in evtx.chunks(stream):
        everything = evtx.read(stream, chunk, lambda *_: True)
        chosen = evtx.read(stream, chunk, lambda _, event: event % 2 == 0)
        assert chosen.records == tuple(r for r in everything.records if r.event % 2 == 0)
        assert chosen.stamps == everything.stamps


@pytest.mark.parametrize("sample", real("evtx/win7_System_bugcheck.evtx"))
def test_the_real_bugcheck(sample: Path) -> None:
    found = {r.event: r for r in records(sample.read_bytes()) if r.event in (41, 1001)}
    assert found[1001].fields["param1"].startswith("0x00010001 (0x0000000000000000,")
    assert found[1001].fields["param2"] == "C:\\Windows\\MEMORY.DMP"
    first = min((r for r in records(sample.read_bytes()) if r.event == 41), key=lambda r: r.when)
    assert first.fields["BugcheckCode"] == "65537"


@pytest.mark.parametrize("sample", real("evtx/zero_data_size.evtx"))
def test_a_damaged_record_is_told(sample: Path) -> None:
    problems = [problem for content in read(sample.read_bytes()) for problem in content.problems]
    assert any("Invalid EVTX record data size" in problem for problem in problems)


@pytest.mark.parametrize("table", [128, 384], ids=["names", "templates"])
def test_a_table_that_leads_in_circles(table: int) -> None:
    """The evtx package alone never comes back from this one."""
    log = bytearray(build.build([events.log_started(WHEN)]))
    loop = 4096 + 0xFF00
    struct.pack_into("<I", log, 4096 + table, 0xFF00)
    struct.pack_into("<I", log, loop, 0xFF00)
    (record,) = records(bytes(log))
    assert record.event == 6005


def hostile(good: bytes, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(rounds):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(bad)) if rng.random() < 0.3 else 4096 + rng.randrange(8192)
            bad[at] = rng.choice((0, 0xFF, 0x0C, 0x0F, rng.randrange(256)))
        if rng.random() < 0.2:
            del bad[rng.randrange(len(bad)) :]
        with suppress(FormatError):
            read(bytes(bad))


def test_hostile_built_log_fails_in_one_way_only() -> None:
    crash = [events.kernel_started(WHEN), events.power_lost(WHEN, 0xD1, (1, 2, 3, 4))]
    hostile(build.build(crash * 8), 1000, 20240719)


@pytest.mark.parametrize("sample", real("evtx/win7_System_bugcheck.evtx"))
def test_hostile_real_chunk_fails_in_one_way_only(sample: Path) -> None:
    hostile(sample.read_bytes()[: 4096 + evtx.CHUNK_SIZE], 1000, 20240720)


@pytest.mark.parametrize("sample", real("evtx/srv2008r2_DC1_System.evtx"))
def test_two_megabytes_in_less_than_a_second(sample: Path) -> None:
    data = sample.read_bytes()
    begun = time.process_time()
    assert len(records(data)) > 40
    assert time.process_time() - begun < 1
