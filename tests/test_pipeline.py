"""The verbs, and the command line over them, on a folder that looks like a mounted Windows.

No root, no FUSE: a folder is a target like any other. Real NTFS volumes are tests/e2e's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recoverykit import __version__, durable, pipeline
from recoverykit.model import Kind, Outcome
from recoverykit.visit import Options
from tests.builders import faults, windows
from tests.conftest import REPOSITORY, need

pytestmark = need("hivexsh")
DRIVER = "Windows/System32/drivers/acmeflt.sys"


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    root.mkdir()
    windows.populate(root, hives=windows.BUILT, ntfs=False)
    return root


@pytest.fixture
def broken(healthy: Path) -> Path:
    faults.boot_start_driver_crashes(windows.reopen(healthy, ntfs=False), "acmeflt")
    return healthy


def contents(root: Path) -> dict[str, str]:
    """Every file below `root` with its hash; our own folder left out."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "RecoveryKit" not in path.parts
    }


def cli(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "recoverykit", *map(str, arguments), "--json"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def yes(_: str) -> bool:
    return True


def test_the_whole_way_and_back(broken: Path) -> None:
    before = contents(broken)

    code, found = cli("diagnose", broken)
    assert code == 0
    (install,) = found["installations"]
    assert install["diagnosis"]["kind"] == "driver"
    assert install["diagnosis"]["suspects"][0]["driver"] == "acmeflt.sys"
    assert contents(broken) == before

    code, done = cli("repair", broken, "--yes")
    assert (code, done["installations"][0]["outcome"]) == (0, "applied")
    assert DRIVER not in contents(broken)

    code, listed = cli("history", broken)
    assert [item["state"] for item in listed["installations"][0]["history"]] == ["committed"]

    code, undone = cli("undo", broken, "--yes")
    assert (code, undone["installations"][0]["outcome"]) == (0, "undone")
    assert contents(broken) == before


def test_a_healthy_windows_is_left_alone(healthy: Path) -> None:
    before = contents(healthy)
    code, done = cli("repair", healthy, "--yes")
    assert code == 0
    assert done["installations"][0]["diagnosis"]["kind"] == "healthy"
    assert done["installations"][0]["outcome"] == "nothing-to-do"
    assert contents(healthy) == before
    assert not (healthy / "RecoveryKit").exists()


def test_the_windows_folder_itself_is_a_target(broken: Path) -> None:
    code, found = cli("find", broken / "Windows")
    assert (code, len(found["installations"])) == (0, 1)


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        pytest.param(Options(dry_run=True, ask=yes), Outcome.PLANNED, id="dry run"),
        pytest.param(Options(), Outcome.REFUSED, id="nobody to ask"),
        pytest.param(Options(ask=lambda _: False), Outcome.REFUSED, id="a no"),
        pytest.param(Options(ask=yes, expected_digest="ab"), Outcome.REFUSED, id="another plan"),
    ],
)
def test_nothing_is_written_without_a_yes(options: Options, outcome: Outcome, broken: Path) -> None:
    before = contents(broken)
    done = pipeline.repair(broken, options)
    assert [entry.outcome for entry in done.installations] == [outcome]
    assert contents(broken) == before
    assert not (broken / "RecoveryKit").exists()


def test_a_plan_shown_before_is_applied_by_its_digest(broken: Path) -> None:
    _, planned = cli("repair", broken, "--dry-run")
    digest = planned["installations"][0]["plan"]["digest"]
    code, done = cli("repair", broken, "--yes", "--plan", digest)
    assert (code, done["installations"][0]["outcome"]) == (0, "applied")


def test_a_disk_that_changed_after_the_plan_was_shown_is_refused(broken: Path) -> None:
    found = pipeline.diagnose(broken)
    (broken / DRIVER).write_bytes(b"another driver")
    before = contents(broken)

    done = pipeline.carry_out(found, Options(ask=yes))

    assert done.exit_code != 0
    assert done.installations[0].outcome in (Outcome.REFUSED, Outcome.FAILED)
    assert contents(broken) == before


def test_an_exported_plan_is_applied_from_its_file(broken: Path, tmp_path: Path) -> None:
    file, before = tmp_path / "plan.json", contents(broken)
    code, planned = cli("repair", broken, "--export", file)
    assert (code, planned["installations"][0]["outcome"]) == (0, "planned")
    assert contents(broken) == before
    file.write_text(file.read_text().replace("acme", "other"))
    assert cli("repair", broken, "--yes", "--plan", file)[0] == 2  # it was edited
    cli("repair", broken, "--export", file)
    code, done = cli("repair", broken, "--yes", "--plan", file)
    assert (code, done["installations"][0]["outcome"]) == (0, "applied")


def test_the_boot_check_before_and_after_is_in_the_report(broken: Path) -> None:
    _, done = cli("repair", broken, "--yes")
    (entry,) = done["installations"]
    names = [line["check"] for line in entry["checks"]]
    assert names == [line["check"] for line in entry["checks_after"]]
    assert len(names) > 20


def test_what_the_boot_check_finds_worse_is_taken_back(
    broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if moving the driver's file had taken what else the boot needs along with it."""
    before, move = contents(broken), durable.move
    kernel = broken / "Windows/System32/ntoskrnl.exe"
    gone = kernel.with_name("gone.exe")

    def too_much(source: Path, target: Path) -> None:
        move(source, target)
        if target.parent.name == "quarantine":
            kernel.rename(gone)

    monkeypatch.setattr(durable, "move", too_much)
    done = pipeline.repair(broken, Options(ask=yes))
    (entry,) = done.installations
    assert entry.outcome is Outcome.ROLLED_BACK
    assert "kernel" in entry.error
    gone.rename(kernel)
    assert contents(broken) == before


def test_the_second_visit_waits_for_a_start_and_does_not_repeat_itself(broken: Path) -> None:
    cli("repair", broken, "--yes")
    code, again = cli("diagnose", broken)
    (entry,) = again["installations"]
    assert code == 3
    assert entry["plan"] is None
    (earlier,) = entry["aftermath"]
    assert (earlier["since"], earlier["driver"]) == ("not-started-since", "acmeflt.sys")
    suspects = entry["diagnosis"]["suspects"]
    assert not any(one["verdict"] == "culprit" for one in suspects)


def test_a_person_may_name_the_driver_but_not_one_the_boot_needs(healthy: Path) -> None:
    before = contents(healthy)
    code, found = cli("repair", healthy, "--driver", "disk", "--yes")
    (entry,) = found["installations"]
    assert (code, entry["outcome"]) == (5, "refused")
    assert entry["refusals"][0]["role"]
    assert contents(healthy) == before
    assert cli("repair", healthy, "--driver", "nobody", "--yes")[0] == 3


def test_every_repair_is_taken_back_newest_first(broken: Path) -> None:
    before = contents(broken)
    key = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\CrashControl"
    words = ["AutoReboot", "--type", "dword", "0", "--create", "--yes"]
    argv = [sys.executable, "-m", "recoverykit", "reg", "set", str(broken), key, *words]
    assert subprocess.run(argv, cwd=REPOSITORY, check=False, capture_output=True).returncode == 0
    cli("repair", broken, "--yes", "--driver", "acmeflt")
    assert contents(broken) != before
    code, done = cli("undo", broken, "--all", "--yes")
    assert (code, len(done["installations"])) == (0, 2)
    assert contents(broken) == before
    assert cli("undo", broken, "--all", "--yes")[0] == 3
    assert cli("undo", broken, "--all", "--transaction", "x", "--yes")[0] == 2


CUT = """
import os, sys
from pathlib import Path
from recoverykit import durable, pipeline
durable.move = lambda *_: os._exit(9)  # the power goes, after the hive and before the file
pipeline.repair(Path(sys.argv[1]), pipeline.Options(ask=lambda _: True))
"""


def test_an_interrupted_repair_blocks_the_next_until_it_is_taken_back(broken: Path) -> None:
    before = contents(broken)
    argv = [sys.executable, "-c", CUT, str(broken)]
    assert subprocess.run(argv, cwd=REPOSITORY, check=False).returncode == 9
    assert contents(broken) != before

    code, blocked = cli("repair", broken, "--yes")
    assert (code, blocked["installations"][0]["outcome"]) == (5, "refused")

    found = pipeline.diagnose(broken)
    (taken_back,) = pipeline.take_back_interrupted(broken, found, Options(unattended=True))
    assert taken_back.installations[0].outcome is Outcome.UNDONE
    assert contents(broken) == before
    assert pipeline.take_back_interrupted(broken, pipeline.diagnose(broken)) == ()
    assert cli("repair", broken, "--yes")[0] == 0


def test_after_a_repair_the_driver_is_not_blamed_again(broken: Path) -> None:
    assert cli("repair", broken, "--yes")[0] == 0
    found = pipeline.diagnose(broken)
    (entry,) = found.installations
    assert entry.diagnosis is not None
    assert entry.diagnosis.kind is not Kind.DRIVER
    assert entry.plan is None
    assert any("earlier repair stands" in note for note in entry.notes)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        pytest.param(lambda root: root / "absent", 2, "absent", id="no such target"),
        pytest.param(lambda root: root.parent, 3, "No Windows", id="no Windows in it"),
    ],
)
def test_bad_targets_end_in_one_sentence(
    make: Callable[[Path], Path], code: int, said: str, healthy: Path
) -> None:
    argv = [sys.executable, "-m", "recoverykit", "diagnose", str(make(healthy))]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_transaction_names_those_there_are(broken: Path) -> None:
    _, done = cli("repair", broken, "--yes")
    code, refused = cli("undo", broken, "--yes", "--transaction", "20200101T000000Z-0000")
    assert code == 2
    assert done["installations"][0]["transaction"] in refused["error"]


def test_the_console_scripts_are_installed() -> None:
    for name in ("recoverykit", "recoverykit-media"):
        script = Path(sys.executable).parent / name
        assert os.access(script, os.X_OK), f"{script}: script/bootstrap installs it"
        run = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert "Usage:" in run.stdout


def test_version_needs_no_command() -> None:
    argv = [sys.executable, "-m", "recoverykit", "--version"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"recoverykit {__version__}\n")


def test_a_blank_disk_holds_no_windows(tmp_path: Path) -> None:
    image = tmp_path / "blank.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    code, found = cli("diagnose", image)
    assert (code, found["installations"]) == (3, [])
    assert "partition table" in found["gaps"][0]["reason"]
