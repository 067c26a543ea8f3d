from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build_media(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and everything said."""
    done = subprocess.run(
        [sys.executable, ROOT / "build_media.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["iso", "-o", "/dev/null"], 1, "a device, not a file", id="block device"),
        pytest.param(["iso", "-o", "/usr"], 1, "is a folder", id="folder"),
        pytest.param(["iso", "-o", "/nonexistent/x.iso"], 1, "does not exist", id="no folder"),
        pytest.param(["iso", "-o", "x.iso", "--end", "halt"], 2, "--end halt", id="end"),
        pytest.param(
            ["iso", "-o", "x.iso", "--unattended", "yes"], 2, "repair or diagnose", id="mode"
        ),
        pytest.param(
            ["iso", "-o", "x.iso", "--ntfs-log", "x"], 2, "replay or refuse", id="journal"
        ),
        pytest.param(["iso", "-o", "x.iso", "--kernel-args", "a;b"], 2, "GRUB", id="arguments"),
        pytest.param(
            ["iso", "-o", "x.iso", "--keys", "/nonexistent"], 2, "/nonexistent", id="keys"
        ),
        pytest.param(["iso"], 2, "--output", id="no output"),
        pytest.param(["verify", "/nonexistent.iso"], 2, "/nonexistent.iso", id="no image"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found, text = build_media(*arguments)
    assert (found, "Traceback" in text) == (code, False), text
    assert said in text
    assert not list(tmp_path.glob("*.iso"))


def test_keys_are_made_once(tmp_path: Path) -> None:
    code, text = build_media("keys", "new", tmp_path / "k", "--organisation", "Example Ltd")
    assert code == 0, text
    assert (tmp_path / "k/signing.key").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "k/signing.key").read_bytes()
    code, text = build_media("keys", "new", tmp_path / "k")
    assert code == 2
    assert (tmp_path / "k/signing.key").read_bytes() == before


def test_help_teaches_with_examples() -> None:
    code, text = build_media("--help")
    assert code == 0
    assert "build_media.py iso -o recovery.iso" in text
