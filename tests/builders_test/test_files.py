"""Stub drivers, event logs and boot logs, read back by readers that are not ours."""

from __future__ import annotations

import re
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import evtx as reader
import pefile
import pytest

from tests.builders import bootlog, events, evtx, history, pe, registry
from tests.conftest import REAL_DATA, real
from tests.independent import registry as independent

WHEN = datetime(2026, 10, 1, 8, 0, 0, 123000, tzinfo=UTC)
BIAS = timedelta(hours=-2)


@pytest.mark.parametrize("machine", pe.MACHINES)
def test_a_stub_driver_is_a_valid_image(machine: str) -> None:
    image = pefile.PE(data=pe.driver({"CompanyName": "Acme"}, machine=machine, built=WHEN))
    assert pe.MACHINES[machine] == image.FILE_HEADER.Machine
    assert image.OPTIONAL_HEADER.Subsystem == pe.NATIVE
    assert image.verify_checksum()
    assert int(WHEN.timestamp()) == image.FILE_HEADER.TimeDateStamp


def test_version_strings_are_read_back() -> None:
    strings = {"CompanyName": "Ácme & Söhne", "FileVersion": "3.1.7.65000", "ProductName": ""}
    image = pefile.PE(data=pe.driver(strings))
    table = next(entry for entry in image.FileInfo[0] if entry.Key == b"StringFileInfo")
    found = {key.decode(): value.decode() for key, value in table.StringTable[0].entries.items()}
    assert found == strings
    fixed = image.VS_FIXEDFILEINFO[0]
    assert (fixed.FileVersionMS, fixed.FileVersionLS) == (3 << 16 | 1, 7 << 16 | 65000)


def _everything() -> list[evtx.Event]:
    parameters = (1, 2, 0, 0xFFFFF8001A3511C4)
    return [
        events.version_logged(WHEN),
        events.log_started(WHEN),
        events.kernel_started(WHEN),
        events.drivers_failed(WHEN, ["CSC", "dam"]),
        events.service_state(WHEN, "Windows Update", "running"),
        events.service_installed(WHEN, "acmeflt", "system32\\drivers\\acmeflt.sys"),
        events.power_lost(WHEN, 0xD1, parameters),
        events.bugcheck_reported(WHEN, 0xD1, parameters, "C:\\Windows\\MEMORY.DMP", "x"),
        events.unexpected_shutdown(WHEN, WHEN, BIAS),
        events.log_stopped(WHEN),
        events.kernel_stopped(WHEN),
    ]


def _records(data: bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "System.evtx"
    path.write_bytes(data)
    return _xml(path)


def _xml(path: Path) -> list[str]:
    records: list[Any] = list(reader.PyEvtxParser(str(path)).records())
    return [str(record["data"]) for record in records]


def test_many_events_fill_several_chunks_with_right_checksums(tmp_path: Path) -> None:
    events = _everything() * 60
    data = evtx.build(events, first_record=500)
    assert len(_records(data, tmp_path)) == len(events)
    chunks = [data[at : at + 0x10000] for at in range(4096, len(data), 0x10000)]
    assert len(chunks) > 2
    number = 500
    for chunk in chunks:
        first, last = struct.unpack_from("<QQ", chunk, 8)
        free, records_crc = struct.unpack_from("<II", chunk, 48)
        assert first == number
        number = last + 1
        assert zlib.crc32(chunk[512:free]) == records_crc
        assert zlib.crc32(chunk[:120] + chunk[128:512]) == struct.unpack_from("<I", chunk, 124)[0]
    assert number == 500 + len(events)


def test_an_empty_log_can_be_read(tmp_path: Path) -> None:
    assert _records(evtx.build([]), tmp_path) == []


def _shape(xml: str) -> tuple[str, ...]:
    """Provider, event id and every element with its attribute names, in order."""
    provider = re.search(r'Provider Name="([^"]+)"', xml)
    number = re.search(r"<EventID[^>]*>(\d+)", xml)
    assert provider
    assert number
    tags = re.findall(r"<(\w+)((?: \w+=\"[^\"]*\")*)", xml)
    shape = [
        name + "".join(re.findall(r" (\w+)=", rest)) + "".join(re.findall(r'Name="([^"]*)"', rest))
        for name, rest in tags
        if name != "Data" or "Name" in rest
    ]
    return (provider[1], number[1], *shape)


@pytest.mark.parametrize("number", [12, 13, 41, 1001, 6005, 6006, 6008, 6009, 7026, 7036, 7045])
def test_events_have_the_shape_of_real_ones(number: int, tmp_path: Path) -> None:
    ours = {_shape(xml)[:2]: _shape(xml) for xml in _records(evtx.build(_everything()), tmp_path)}
    logs = ("win10_1703_System.evtx", "win7_System_bugcheck.evtx")
    if not (REAL_DATA / "evtx" / logs[0]).is_file():
        pytest.skip("no real event logs")
    theirs = set()
    for log in logs:
        records = _xml(REAL_DATA / "evtx" / log)
        theirs |= {_shape(xml) for xml in records if f">{number}</EventID>" in xml}
    mine = next(shape for key, shape in ours.items() if key[1] == str(number))
    assert mine in theirs


def test_bug_check_events_say_what_real_ones_say(tmp_path: Path) -> None:
    records = _records(evtx.build(_everything()), tmp_path)
    reported = next(xml for xml in records if ">1001<" in xml)
    assert "0x000000d1 (0x0000000000000001, 0x0000000000000002, " in reported
    lost = next(xml for xml in records if ">41<" in xml)
    assert '<Data Name="BugcheckCode">209</Data>' in lost
    assert '<Data Name="BugcheckParameter4">0xfffff8001a3511c4</Data>' in lost
    unexpected = next(xml for xml in records if ">6008<" in xml)
    assert "<Data>10:00:00 AM</Data>" in unexpected  # local time, two hours ahead of UTC
    assert "<Data>\u200e10/\u200e1/\u200e2026</Data>" in unexpected


def test_a_boot_log_looks_like_a_real_one() -> None:
    past = history.healthy(["\\SystemRoot\\system32\\ntoskrnl.exe", "a", "b", "c"], BIAS)
    text = bootlog.build(past.boots).decode("utf-16")
    lines = text.split("\r\n")
    assert lines[0] == "Microsoft (R) Windows (R) Version 10.0 (Build 19045)"
    assert lines[1] == " 9  7 2026 07:58:12.345"
    assert text.count("Version 10.0") == history.GOOD_BOOTS
    noise = text.count("BOOTLOG_NOT_LOADED ")
    assert noise == history.GOOD_BOOTS * len(bootlog.HEALTHY_NOISE)
    assert lines[-1] == ""
    assert lines[-2] == "BOOTLOG_LOADED c"


@pytest.mark.parametrize("path", real("bootlogs/ntbtlog_zivchien.txt"))
def test_every_line_of_ours_has_a_shape_that_a_real_log_has(path: Path) -> None:
    shape = re.compile(
        r"Microsoft \(R\) Windows \(R\) Version 10\.0 \(Build \d+\)"
        r"|[ \d]\d [ \d]\d \d{4} \d\d:\d\d:\d\d\.\d{3}|BOOTLOG_(NOT_)?LOADED .+|"
    )
    past = history.healthy(["\\SystemRoot\\system32\\hal.dll", "x"], BIAS)
    texts = (path.read_bytes().decode("utf-16"), bootlog.build(past.boots).decode("utf-16"))
    for text in texts:
        assert all(shape.fullmatch(line) for line in text.split("\r\n"))


def test_a_hive_from_nothing_holds_what_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "HIVE"
    values: dict[str, registry.Entry] = {
        "number": 7,
        "text": "ü",
        "list": ["a", "b"],
        "raw": b"\x01\x02",
        "path": registry.expand("%SystemRoot%\\x"),
    }
    registry.write(path, [registry.change("one\\two", values, WHEN)], WHEN - BIAS)
    key = independent.registry(path)["one\\two"]
    assert key.values["number"] == (registry.DWORD, "07000000")
    assert key.values["text"] == (registry.SZ, "fc000000")
    assert key.values["list"] == (registry.MULTI_SZ, "61000000620000000000")
    assert key.values["raw"] == (registry.BINARY, "0102")
    assert key.values["path"][0] == registry.EXPAND_SZ
    assert key.written == 134_353_152_001_230_000
