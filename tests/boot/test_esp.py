"""Boot managers and loaders on disk: what cannot be started, real ones, damaged ones."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from recoverykit.boot import esp
from recoverykit.errors import TargetRefusedError
from tests.builders import pe
from tests.conftest import REAL_DATA, read_real
from tests.evidence.mutation_run import damaged

MUTANTS = 300
IMAGE = pe.driver({"CompanyName": "Acme"}, padding=b"\x90" * 9000)
MANAGERS = sorted(REAL_DATA.rglob("*bootmgfw.efi"))


def damage(data: bytes, name: str = "bootmgfw.efi", machine: str = "x64") -> str:
    return esp.damage(io.BytesIO(data), len(data), name, machine=machine)


@pytest.mark.parametrize(
    ("data", "name", "wrong"),
    [
        pytest.param(IMAGE, "bootmgfw.efi", "", id="whole"),
        pytest.param(IMAGE, "WINLOAD.EXE", "", id="in capitals"),
        pytest.param(b"", "bootmgfw.efi", "it is empty", id="empty"),
        pytest.param(b"", "bootmgr", "it is empty", id="empty bootmgr"),
        pytest.param(bytes(9000), "bootmgfw.efi", "it begins with nothing but zeros", id="zeros"),
        pytest.param(
            bytes(4096) + IMAGE, "bootmgr", "it begins with nothing but zeros", id="a page of zeros"
        ),
        pytest.param(b"\xeb\x3c\x90" + bytes(9000), "bootmgr", "", id="16-bit code"),
        pytest.param(b"\xeb\x3c\x90" + bytes(9000), "winload.exe", "it is no program", id="no PE"),
        pytest.param(IMAGE[:5000], "winload.efi", "its section .text ends beyond", id="cut"),
        pytest.param(b"MZ", "winload.efi", "it is no program", id="two bytes"),
        pytest.param(
            pe.driver(machine="arm64"), "winload.efi", "it is made for arm64", id="other processor"
        ),
    ],
)
def test_what_cannot_be_started(data: bytes, name: str, wrong: str) -> None:
    found = damage(data, name)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)


def test_an_unknown_processor_accuses_nobody() -> None:
    assert damage(pe.driver(machine="arm64"), machine="") == ""


@pytest.mark.parametrize("path", MANAGERS, ids=lambda path: path.name)
def test_real_boot_managers(path: Path) -> None:
    data = read_real(path)
    assert damage(data) == ""
    assert damage(data[: len(data) // 2])
    assert "arm64" in damage(data, machine="arm64")


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("x64", ("EFI/Boot/bootx64.efi",)),
        ("x86", ("EFI/Boot/bootia32.efi",)),
        ("arm64", ("EFI/Boot/bootaa64.efi",)),
        ("", ("EFI/Boot/bootx64.efi", "EFI/Boot/bootia32.efi", "EFI/Boot/bootaa64.efi")),
    ],
)
def test_fallbacks(machine: str, names: tuple[str, ...]) -> None:
    assert esp.fallbacks(machine) == names


def test_missing(tmp_path: Path) -> None:
    (tmp_path / "efi/BOOT").mkdir(parents=True)
    (tmp_path / "efi/BOOT/BootX64.EFI").write_bytes(IMAGE)
    assert not esp.missing(tmp_path, "EFI/Boot/bootx64.efi")
    assert esp.missing(tmp_path, "EFI/Boot/bootaa64.efi")
    (tmp_path / "bootmgr").symlink_to("efi")
    with pytest.raises(TargetRefusedError):
        esp.missing(tmp_path, "bootmgr")


def test_damage_never_raises() -> None:
    found = [damage(damaged(IMAGE, random.Random(f"esp {seed}"))) for seed in range(MUTANTS)]
    assert sum(map(bool, found)) > MUTANTS // 10
    assert not all(found)
