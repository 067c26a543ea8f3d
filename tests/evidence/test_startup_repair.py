"""The collector of Startup Repair's log: where it lies, what it says, what breaks it."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.evidence import startup_repair
from recoverykit.model import (
    Evidence,
    Gap,
    Source,
    StartupRepair,
    WindowsInstall,
)
from tests.builders import srttrail as builder
from tests.builders.srttrail import Session
from tests.conftest import read_real, real
from tests.evidence import conftest

MUTANTS = 150  # a campaign may raise it
WRITTEN = datetime(2013, 8, 6, 12, 0, tzinfo=UTC)
CAUSE = "Boot critical file c:\\windows\\system32\\drivers\\vsock.sys is corrupt."
TEXT = builder.text(
    [Session(), Session((CAUSE,), (("File repair", 0x57),))],
    last_good="\u200e8/\u200e4/\u200e2013 2:13:30 AM",
    attempts=9,
)
LOG = TEXT.encode("utf-16")
LINE = TEXT[: TEXT.rindex("Session details")].count("\n") + 1


def put(install: WindowsInstall, data: bytes, name: str = "LogFiles/Srt/SrtTrail.txt") -> Path:
    return conftest.put(install, f"Windows/System32/{name}", data, WRITTEN)


def collect(install: WindowsInstall) -> list[Evidence]:
    return list(startup_repair.collect(install))


def test_a_machine_where_it_never_ran(install: WindowsInstall) -> None:
    assert collect(install) == []


@pytest.mark.parametrize(
    "name", ["LogFiles/Srt/SrtTrail.txt", "logfiles/SRT/srttrail.TXT", "LogFiles/Srt/SrtTrail.log"]
)
def test_what_the_last_session_found(install: WindowsInstall, name: str) -> None:
    put(install, LOG, name)
    (found,) = collect(install)
    assert found == StartupRepair(
        source=Source(f"Windows/System32/{name}", LINE),
        written=WRITTEN,
        last_good=datetime(2013, 8, 4, 2, 13, 30, tzinfo=UTC),
        attempts=9,
        directory="C:\\Windows",
        causes=(CAUSE,),
        files=("c:\\windows\\system32\\drivers\\vsock.sys",),
        actions=(("File repair", 0x57),),
        areas=("file",),
        sessions=2,
    )


@pytest.mark.parametrize("path", real("bootlogs/SrtTrail_bootiso.txt"))
def test_real_log(install: WindowsInstall, path: Path) -> None:
    put(install, read_real(path))
    (found,) = collect(install)
    assert isinstance(found, StartupRepair)
    assert found.actions[1][1] == 0x490


def test_an_empty_file_says_nothing(install: WindowsInstall) -> None:
    put(install, b"")
    assert collect(install) == []


def test_what_cannot_be_read_is_a_gap(install: WindowsInstall) -> None:
    put(install, b"no log at all")
    put(install, LOG, "elsewhere")
    (install.mount / "Windows/System32/LogFiles/Srt/SrtTrail.log").symlink_to("../../elsewhere")
    gaps = collect(install)
    assert [type(item) for item in gaps] == [Gap, Gap]
    assert all(isinstance(item, Gap) and item.reason.endswith(".") for item in gaps)


def test_a_folder_in_its_place(install: WindowsInstall) -> None:
    (install.mount / "Windows/System32/LogFiles/Srt/SrtTrail.txt").mkdir(parents=True)
    (gap,) = collect(install)
    assert isinstance(gap, Gap)


def test_a_huge_file_is_not_read(install: WindowsInstall) -> None:
    path = put(install, LOG)
    os.truncate(path, 1 << 40)
    (gap,) = collect(install)
    assert isinstance(gap, Gap)
    assert "larger" in gap.reason


def test_mutants(install: WindowsInstall) -> None:
    rng = random.Random("startup repair")
    kinds = set()
    for _ in range(MUTANTS):
        data = bytearray(LOG)
        for _ in range(rng.randrange(1, 400)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        put(install, bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data))
        kinds |= {type(item) for item in collect(install)}
    assert kinds <= {StartupRepair, Gap}
    assert StartupRepair in kinds
