"""Installs of drivers on a whole machine: which log is read, how much of it, and hostile ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.evidence import setupapi
from recoverykit.model import (
    DriverInstall,
    Evidence,
    Gap,
    Source,
    WindowsInstall,
)
from tests.builders import setupapi as builder
from tests.builders.setupapi import Package
from tests.conftest import read_real, real
from tests.evidence.conftest import installation

MUTANTS = 60  # a campaign may raise this
WHEN = datetime(2024, 7, 19, 10, 11, 12, tzinfo=UTC)
LOG = "Windows/Inf/setupapi.dev.log"  # as some machines spell it


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    (tmp_path / "Windows/Inf").mkdir(parents=True)
    return installation(tmp_path)


def put(install: WindowsInstall, data: bytes, name: str = LOG) -> None:
    (install.mount / name).write_bytes(data)


def collect(install: WindowsInstall, bias: int | None = 60) -> list[Evidence]:
    return list(setupapi.collect(install, bias))


def infs(evidence: list[Evidence]) -> list[str]:
    return [item.inf for item in evidence if isinstance(item, DriverInstall)]


def imports(*numbers: int, when: datetime = WHEN) -> bytes:
    return builder.build(builder.imported(Package(f"oem{n}.inf"), when) for n in numbers)


def test_the_log_as_it_lies(install: WindowsInstall) -> None:
    put(install, imports(1, 2))
    first, second = collect(install)
    assert isinstance(first, DriverInstall)
    assert isinstance(second, DriverInstall)
    assert (first.inf, second.inf) == ("oem1.inf", "oem2.inf")
    assert first.source == Source(LOG, 10)
    assert first.bias == 60


def test_no_log(install: WindowsInstall) -> None:
    assert collect(install) == [
        Gap(Source("Windows/INF/setupapi.dev.log"), "there is no log of driver installs")
    ]


def test_only_the_end_of_a_large_log_is_read(install: WindowsInstall) -> None:
    filler = builder.serviced([Package()] * 8_000, WHEN)
    assert len(filler) > setupapi.MAX_BYTES
    put(install, builder.build([filler]) + imports(5))
    gap, *rest = collect(install)
    assert isinstance(gap, Gap)
    assert gap.reason.startswith("only its end was read: lines count from byte ")
    assert not gap.closed
    assert infs(rest) == ["oem5.inf"]


def test_a_section_longer_than_the_end(install: WindowsInstall) -> None:
    put(install, imports(1) + builder.serviced([Package()] * 8_000, WHEN).encode())
    first, second = collect(install)
    assert isinstance(first, DriverInstall)
    assert isinstance(second, DriverInstall)
    assert second.title == "Stage Driver Updates"


def test_an_older_log_is_read_where_the_newest_is_young(install: WindowsInstall) -> None:
    put(install, imports(9))
    put(install, imports(1), "Windows/Inf/setupapi.dev.20240101_101010.log")
    put(install, imports(2), "Windows/Inf/setupapi.dev.20240601_101010.log")
    put(install, imports(3), "Windows/Inf/setupapi.app.20240701_101010.log")
    assert infs(collect(install)) == ["oem9.inf", "oem2.inf"]


def test_an_older_log_is_left_alone_where_the_newest_is_enough(install: WindowsInstall) -> None:
    old = builder.imported(Package("oem8.inf"), WHEN - timedelta(days=40))
    put(install, builder.build([old, builder.imported(Package("oem9.inf"), WHEN)]))
    put(install, imports(2), "Windows/Inf/setupapi.dev.20240601_101010.log")
    assert infs(collect(install)) == ["oem8.inf", "oem9.inf"]


def test_a_damaged_log_does_not_hide_the_older_one(install: WindowsInstall) -> None:
    put(install, b"garbage")
    put(install, imports(2), "Windows/Inf/setupapi.dev.20240601_101010.log")
    gap, *rest = collect(install)
    assert isinstance(gap, Gap)
    assert "no section" in gap.reason
    assert infs(rest) == ["oem2.inf"]


def test_a_folder_and_a_link_in_its_place(install: WindowsInstall) -> None:
    (install.mount / LOG).mkdir()
    (folder,) = collect(install)
    assert isinstance(folder, Gap)
    (install.mount / LOG).rmdir()
    (install.mount / LOG).symlink_to("/etc/passwd")
    (link,) = collect(install)
    assert isinstance(link, Gap)
    assert "link" in link.reason


@pytest.mark.parametrize("sample", real("bootlogs/setupapi_win2000.log"))
def test_the_log_of_windows_2000_is_one_gap(install: WindowsInstall, sample: Path) -> None:
    put(install, read_real(sample))
    (gap,) = collect(install)
    assert isinstance(gap, Gap)
    assert "Windows XP and older" in gap.reason


def test_hostile_logs_are_gaps_at_worst(install: WindowsInstall) -> None:
    good = imports(1, 2) + builder.installed(Package(), WHEN).encode()
    rng = random.Random(4)
    for _ in range(MUTANTS):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(bad))
            bad[at : at + rng.randrange(200)] = rng.randbytes(rng.randrange(4))
        put(install, bytes(bad))
        assert all(isinstance(item, DriverInstall | Gap) for item in collect(install))
