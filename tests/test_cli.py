"""The command line as a person uses it: explain, and a report in HTML."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import faults, windows
from tests.conftest import REPOSITORY


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "recoverykit", *map(str, arguments)]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["0x7B"], 0, "INACCESSIBLE_BOOT_DEVICE"),
        (["driver_irql_not_less_or_equal"], 0, "0xd1"),
        (["0x0000003b", "(0xc0000005,", "0xfffff8057aaaec45,", "0,", "0)"], 0, "ACCESS_VIOLATION"),
        (["0x12345678"], 3, "not among"),
        (["nonsense"], 2, "neither"),
    ],
)
def test_explain(arguments: list[str], code: int, said: str) -> None:
    done = run("explain", *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_explain_as_json() -> None:
    assert json.loads(run("explain", "7b", "--json").stdout)["schema"] == "recoverykit.explain/1"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("volume")
    faults.boot_start_driver_crashes(windows.populate(root, hives=windows.BUILT, ntfs=False))
    return root


def test_a_report_in_html(broken: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run("diagnose", broken, "--html", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "acmeflt.sys" in text
    assert "<svg" in text
    assert "acmeflt.sys" in done.stdout


def test_a_report_that_cannot_be_written(broken: Path, tmp_path: Path) -> None:
    before = sorted(broken.iterdir())
    done = run("diagnose", broken, "--html", tmp_path / "absent/report.html")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "report.html" in done.stderr
    assert sorted(broken.iterdir()) == before
