"""Code integrity's log: which refusals are of drivers, and which were only noted."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.evidence import code_integrity
from recoverykit.model import (
    DriverRefused,
    Evidence,
    Gap,
    WindowsInstall,
)
from tests.builders import events as make
from tests.builders import evtx as build
from tests.conftest import real
from tests.evidence.conftest import installation

WHEN = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
DRIVER = "\\Device\\HarddiskVolume3\\Windows\\System32\\drivers\\ACME.sys"
LIBRARY = "\\Device\\HarddiskVolume3\\Windows\\System32\\igd10iumd64.dll"
GUARDED = "\\Device\\HarddiskVolume3\\Program Files\\Defender\\MsMpEng.exe"
MUTATIONS = 60  # a campaign sets more

ENFORCED = (3002, 3004, 3023, 3033, 3036, 3063, 3068, 3077, 3079, 3081, 3111)
NOTED = (3001, 3003, 3005, 3021, 3022, 3032, 3034, 3037, 3064, 3065, 3066, 3067, 3076, 3078, 3080)
NOTED_TOO = (3035, 3072, 3073, 3082, 3083, 3087, 3112)
SILENT = (3010, 3026, 3084, 3085, 3086, 3089, 3095, 3099, 3104)


def read(*records: build.Event) -> list[Evidence]:
    return list(code_integrity.read(io.BytesIO(build.build(records)), "log"))


@pytest.mark.parametrize("old", [False, True], ids=["Windows 10", "Windows 7"])
@pytest.mark.parametrize("event", [*ENFORCED, *NOTED, *NOTED_TOO])
def test_drivers(event: int, old: bool) -> None:
    (found,) = read(make.code_integrity_refused(WHEN, DRIVER, event, old=old))
    assert isinstance(found, DriverRefused)
    assert found == DriverRefused(
        found.source, WHEN, event, DRIVER, "acme.sys", enforced=event in ENFORCED
    )


@pytest.mark.parametrize("event", SILENT)
def test_events_that_name_no_driver(event: int) -> None:
    assert read(make.code_integrity_refused(WHEN, DRIVER, event)) == []


USER_MODE = {
    "library": make.code_integrity_refused(WHEN, LIBRARY, 3033, process=GUARDED),
    "library in the kernel's words": make.code_integrity_refused(WHEN, LIBRARY, 3004),
    "driver mapped by a program": make.code_integrity_refused(WHEN, DRIVER, 3033, process=GUARDED),
    "user-mode scenario": make.code_integrity_refused(WHEN, DRIVER, 3077, scenario=1),
}


@pytest.mark.parametrize("name", USER_MODE)
def test_user_mode_is_left_out(name: str) -> None:
    assert read(USER_MODE[name]) == []


def test_a_scenario_says_more_than_a_process() -> None:
    (found,) = read(make.code_integrity_refused(WHEN, DRIVER, 3077, process=GUARDED))
    assert isinstance(found, DriverRefused)


def test_another_provider_is_left_out() -> None:
    data = (("FileNameBuffer", build.text(DRIVER)),)
    assert read(build.Event(WHEN, build.Provider("Acme"), 3004, data)) == []


def test_the_newest_part_of_a_long_log() -> None:
    moments = [WHEN + timedelta(minutes=n) for n in range(900)]
    found = read(*(make.code_integrity_refused(moment, DRIVER) for moment in moments))
    assert sorted(e.when for e in found if isinstance(e, DriverRefused)) == moments


def installed(mount: Path, content: bytes | None) -> WindowsInstall:
    log = mount / "Windows" / code_integrity.LOG
    log.parent.mkdir(parents=True)
    if content is not None:
        log.write_bytes(content)
    return installation(mount)


def test_in_its_place(tmp_path: Path) -> None:
    content = build.build([make.code_integrity_refused(WHEN, DRIVER, 3023)])
    (found,) = code_integrity.collect(installed(tmp_path, content))
    assert isinstance(found, DriverRefused)
    assert found.source.path == f"Windows/{code_integrity.LOG}"
    assert found.source.offset is not None
    assert content[found.source.offset :][:4] == b"**\0\0"


def test_absence_is_no_gap(tmp_path: Path) -> None:
    assert list(code_integrity.collect(installed(tmp_path, None))) == []


@pytest.mark.parametrize("content", [b"", b"MZ" * 5000, b"ElfFile\0"])
def test_garbage_is_a_gap(content: bytes, tmp_path: Path) -> None:
    assert [type(e) for e in code_integrity.collect(installed(tmp_path, content))] == [Gap]


@pytest.mark.parametrize("sample", real("evtx/win11_CodeIntegrity.evtx"))
def test_a_real_log_without_refusals(sample: Path) -> None:
    assert list(code_integrity.read(io.BytesIO(sample.read_bytes()), "log")) == []


def test_damage_is_only_gaps() -> None:
    rng = random.Random(20240719)
    events = (*ENFORCED, *NOTED)
    good = build.build([make.code_integrity_refused(WHEN, DRIVER, event) for event in events])
    outcomes = set()
    for _ in range(MUTATIONS):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 40)):
            bad[4096 + rng.randrange(9000)] = rng.choice((0, 0xFF, 0x22, rng.randrange(256)))
        try:
            found = list(code_integrity.read(io.BytesIO(bytes(bad)), "log"))
        except FormatError:
            continue
        outcomes |= {type(item) for item in found}
    assert outcomes == {DriverRefused, Gap}
