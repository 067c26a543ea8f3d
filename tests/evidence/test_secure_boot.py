"""What a Windows wrote down about Secure Boot at its last starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.evidence import code_integrity, secure_boot
from recoverykit.evidence.secure_boot import Start
from recoverykit.model import Gap, WindowsInstall
from tests.builders import events as make
from tests.builders import evtx, whql_events
from tests.builders import measured_boot as build
from tests.conftest import real
from tests.evidence.conftest import put

WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
FOLDER = f"Windows/{secure_boot.MEASURED}"
LOG = f"Windows/{code_integrity.LOG}"
DAY = timedelta(days=1)


def measured(state: bytes) -> bytes:
    return build.old((*build.FIRMWARE, build.secure_boot(state), *build.REST))


def starts(install: WindowsInstall) -> list[Start]:
    found = list(secure_boot.collect(install))
    assert not [item for item in found if isinstance(item, Gap)]
    return [item for item in found if isinstance(item, Start)]


def gaps(install: WindowsInstall) -> list[Gap]:
    return [item for item in secure_boot.collect(install) if isinstance(item, Gap)]


def test_nothing_there(install: WindowsInstall) -> None:
    assert starts(install) == []


def test_the_newest_measured_start_counts(install: WindowsInstall) -> None:
    put(install, f"{FOLDER}/0000000009-0000000000.log", measured(b"\0"), WHEN - DAY)
    put(install, f"{FOLDER}/0000000002-0000000000.log", measured(b"\1"), WHEN)
    put(install, f"{FOLDER}/0000000010-0000000000.txt", measured(b"\0"), WHEN + DAY)
    (one,) = starts(install)
    assert (one.when, one.secure_boot, one.whql) == (WHEN, True, None)
    assert one.source.path == f"{FOLDER}/0000000002-0000000000.log"


def test_a_log_that_was_cut_off(install: WindowsInstall) -> None:
    put(install, f"{FOLDER}/1.log", measured(b"\1"), WHEN - DAY)
    put(install, f"{FOLDER}/2.log", measured(b"\0")[:60], WHEN)
    found = list(secure_boot.collect(install))
    assert isinstance(found[0], Gap)
    assert found[0].source.path == f"{FOLDER}/2.log"
    assert isinstance(found[1], Start)
    assert found[1].secure_boot is True


def test_firmware_that_did_not_measure_it(install: WindowsInstall) -> None:
    put(install, f"{FOLDER}/1.log", build.old(build.FIRMWARE), WHEN)
    assert starts(install) == []


def test_links_are_not_followed(install: WindowsInstall, tmp_path: Path) -> None:
    put(install, f"{FOLDER}/1.log", measured(b"\1"), WHEN)
    (tmp_path / FOLDER / "2.log").symlink_to(tmp_path / FOLDER / "1.log")
    (one,) = starts(install)
    assert one.source.path.endswith("/1.log")


def test_a_folder_that_is_a_link(install: WindowsInstall, tmp_path: Path) -> None:
    (tmp_path / "Windows/Logs").mkdir()
    (tmp_path / FOLDER).symlink_to(tmp_path)
    (gap,) = gaps(install)
    assert "was not followed" in gap.reason


def test_a_folder_that_is_a_file(install: WindowsInstall) -> None:
    put(install, FOLDER, b"")
    (gap,) = gaps(install)
    assert gap.source.path == FOLDER


@pytest.mark.parametrize(
    ("event", "settings", "exemption", "expected"),
    [
        (3084, 0, 1, (True, False)),
        (3084, 2, 1, (True, True)),  # WhqlSettings demands it
        (3084, 0x8000_0000, 1, (True, False)),
        (3084, 0, 0, (True, True)),  # a policy decides
        (3085, 0, 1, (False, False)),
        (3085, 0x8000_0000, 1, (False, True)),  # UpgradedSystem
        (3085, 1, 1, (False, True)),
    ],
)
def test_code_integrity_tells(
    event: int,
    settings: int,
    exemption: int,
    expected: tuple[bool, bool],
    install: WindowsInstall,
) -> None:
    logged = whql_events.enforcement(WHEN, event, settings, exemption)
    put(install, LOG, evtx.build([logged]))
    (one,) = starts(install)
    assert (one.whql, one.by_settings) == expected
    assert (one.when, one.secure_boot, one.source.path) == (WHEN, None, LOG)


def test_the_last_record_counts(install: WindowsInstall) -> None:
    other = make.code_integrity_refused(WHEN + DAY, "\\acme.sys")
    events = [whql_events.enforcement(WHEN - DAY, 3085), whql_events.enforcement(WHEN, 3084), other]
    put(install, LOG, evtx.build(events))
    (one,) = starts(install)
    assert (one.when, one.whql) == (WHEN, True)


def test_a_log_that_is_none(install: WindowsInstall) -> None:
    put(install, LOG, b"MZ" * 5000)
    (gap,) = gaps(install)
    assert gap.source.path == LOG


@pytest.mark.parametrize("path", real("evtx/win11_CodeIntegrity.evtx"))
def test_real_log(path: Path, install: WindowsInstall) -> None:
    put(install, LOG, path.read_bytes())
    (one,) = starts(install)
    assert (one.whql, one.by_settings, one.when.year) == (False, False, 2024)
