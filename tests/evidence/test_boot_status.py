"""The collector of boot status and boot logs: both volumes, real files, what breaks them."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.evidence import boot_status
from recoverykit.model import (
    BootManagerEvent,
    BootStatus,
    Evidence,
    Gap,
    Source,
    WindowsInstall,
)
from tests.builders import bootstat as builder
from tests.conftest import read_real, real
from tests.evidence import conftest

MUTANTS = 150  # a campaign may raise it
WHEN = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
LOADER = builder.log([builder.started(WHEN, owner=builder.LOADER), builder.kernel(seconds=101)])
FAILED = builder.status(
    builder.Status(
        succeeded=False,
        shut_down=False,
        attempts=2,
        boot_id=8,
        error=(8, 3, 0, 0xC000000F, 0),
    )
)
WINLOAD = "\\Windows\\system32\\winload.efi"


def put(install: WindowsInstall, data: bytes, name: str = "Windows/bootstat.dat") -> None:
    conftest.put(install, name, data, WHEN)


def collect(install: WindowsInstall) -> list[Evidence]:
    return list(boot_status.collect(install))


def boot_volume(install: WindowsInstall) -> list[Evidence]:
    return list(boot_status.collect_boot_volume(install.volume, install.mount))


def test_nothing_there(install: WindowsInstall) -> None:
    assert collect(install) == []
    assert boot_volume(install) == []


def test_status_and_the_loaders_log(install: WindowsInstall) -> None:
    put(install, FAILED + LOADER, "Windows/BOOTSTAT.DAT")
    path = "Windows/BOOTSTAT.DAT"
    assert collect(install) == [
        BootStatus(
            source=Source(path, 0),
            written=WHEN,
            succeeded=False,
            shut_down=False,
            attempts=2,
            checkpoint=1,
            boot_id=8,
            error_boot=8,
            error_code=0xC000000F,
            error_repeats=3,
        ),
        BootManagerEvent(Source(path, 0x818), WHEN, "started", "Windows loader"),
        BootManagerEvent(
            Source(path, 0x858), WHEN + timedelta(seconds=1), "kernel", "Windows loader"
        ),
    ]


@pytest.mark.parametrize("name", ["EFI/Microsoft/Boot/BOOTSTAT.DAT", "boot/bootstat.dat"])
def test_the_boot_managers_log(install: WindowsInstall, name: str) -> None:
    entries = [builder.started(WHEN), builder.failed(0x13, 0xC0000428, WINLOAD)]
    put(install, builder.log(entries), name)
    assert boot_volume(install) == [
        BootManagerEvent(Source(name, 24), WHEN, "started", "boot manager"),
        BootManagerEvent(Source(name, 88), WHEN, "load-failed", WINLOAD, 0xC0000428),
    ]


def test_only_the_newest_events_are_told(install: WindowsInstall) -> None:
    boots = [builder.started(WHEN + timedelta(days=day)) for day in range(500)]
    put(install, builder.log(boots), "Boot/BOOTSTAT.DAT")
    found = boot_volume(install)
    assert len(found) == boot_status.MAX_EVENTS
    assert isinstance(found[-1], BootManagerEvent)
    assert found[-1].when == WHEN + timedelta(days=499)


def test_zeros_are_no_log_and_no_status(install: WindowsInstall) -> None:
    """The boot manager's file is often empty; the status never is."""
    put(install, bytes(builder.LOG_SIZE), "Boot/BOOTSTAT.DAT")
    assert boot_volume(install) == []
    put(install, bytes(0x10800))
    (gap,) = collect(install)
    assert isinstance(gap, Gap)


def test_a_damaged_status_does_not_hide_the_log(install: WindowsInstall) -> None:
    put(install, b"\xff" * 0x800 + LOADER)
    gap, *events = collect(install)
    assert isinstance(gap, Gap)
    assert [type(item) for item in events] == [BootManagerEvent, BootManagerEvent]


def test_a_damaged_log_is_told_as_far_as_it_goes(install: WindowsInstall) -> None:
    data = bytearray(builder.log([builder.started(WHEN), builder.launched(WINLOAD)]))
    data[24 + 64 + 24 : 24 + 64 + 28] = b"\xff\xff\xff\xff"
    put(install, bytes(data), "Boot/BOOTSTAT.DAT")
    event, gap = boot_volume(install)
    assert isinstance(event, BootManagerEvent)
    assert isinstance(gap, Gap)
    put(install, b"no log" * 100, "Boot/BOOTSTAT.DAT")
    (gap,) = boot_volume(install)
    assert isinstance(gap, Gap)


def test_what_is_no_file(install: WindowsInstall) -> None:
    (install.mount / "Windows/bootstat.dat").mkdir()
    (install.mount / "Boot").mkdir()
    (install.mount / "Boot/BOOTSTAT.DAT").symlink_to("../Windows")
    (first,), (second,) = collect(install), boot_volume(install)
    assert (type(first), type(second)) == (Gap, Gap)


NAMES = ("15lyp", "kbittne", "yuesechayan")


@pytest.mark.parametrize("path", real(*(f"bootlogs/bootstat/{n}_bootstat.dat" for n in NAMES)))
def test_real_windows(install: WindowsInstall, path: Path) -> None:
    put(install, read_real(path))
    status, *events = collect(install)
    assert isinstance(status, BootStatus)
    assert status.succeeded
    assert {type(event) for event in events} == {BootManagerEvent}


@pytest.mark.parametrize("path", real("bootlogs/bcd_asus/Boot_BOOTSTAT.DAT"))
def test_real_boot_volume(install: WindowsInstall, path: Path) -> None:
    put(install, read_real(path), boot_status.BOOT_LOGS[0])
    found = boot_volume(install)
    assert Counter(type(item) for item in found) == {BootManagerEvent: boot_status.MAX_EVENTS}


def test_mutants(install: WindowsInstall) -> None:
    rng = random.Random("boot status")
    whole = FAILED + builder.ring([builder.started(WHEN), builder.launched(WINLOAD)] * 20, 15)
    kinds: Counter[type[Evidence]] = Counter()
    for _ in range(MUTANTS):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 5)):
            places = rng.randrange(0xB0), 0x800 + rng.randrange(2000), -rng.randrange(1, 2000)
            data[rng.choice(places)] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        put(install, bytes(data))
        put(install, bytes(data[0x800:]), "Boot/BOOTSTAT.DAT")
        kinds.update(type(item) for item in (*collect(install), *boot_volume(install)))
    assert set(kinds) == {BootStatus, BootManagerEvent, Gap}
