"""In which state the hives of a boot are."""

from __future__ import annotations

from pathlib import Path

import pytest

from recoverykit.evidence import hives
from recoverykit.model import (
    Evidence,
    FileSystem,
    Gap,
    HiveHealth,
    HiveState,
    Volume,
    WindowsInstall,
)
from tests.builders import hive as builder

CONFIG = "Windows/System32/config"
TREE: builder.Tree = {f"key{n}": {"value": builder.sz("x" * 60)} for n in range(120)}


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    folder = tmp_path / CONFIG
    folder.mkdir(parents=True)
    for name in ("SYSTEM", "SOFTWARE", "SAM", "SECURITY"):
        (folder / name).write_bytes(builder.build(TREE))
    volume = Volume("test", FileSystem.NTFS, tmp_path)
    return WindowsInstall(volume, tmp_path, "Windows", f"{CONFIG}/SYSTEM", f"{CONFIG}/SOFTWARE")


def collect(install: WindowsInstall) -> list[Evidence]:
    return list(hives.collect(install, hives.load(install, install.system_hive)))


def states(install: WindowsInstall) -> dict[str, HiveHealth]:
    return {item.hive: item.health for item in collect(install) if isinstance(item, HiveState)}


def test_clean_hives(install: WindowsInstall) -> None:
    """What is in SAM and SECURITY is nobody's business: they are told of only when broken."""
    assert states(install) == {"SYSTEM": HiveHealth.CLEAN, "SOFTWARE": HiveHealth.CLEAN}


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE", "SAM", "SECURITY"])
def test_missing(install: WindowsInstall, name: str) -> None:
    (install.mount / CONFIG / name).unlink()
    assert states(install)[name] is HiveHealth.MISSING


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE", "SAM", "SECURITY"])
@pytest.mark.parametrize("content", [b"", bytes(8192), b"regf", b"MZ" * 4000])
def test_no_hive_at_all(install: WindowsInstall, name: str, content: bytes) -> None:
    (install.mount / CONFIG / name).write_bytes(content)
    assert states(install)[name] is HiveHealth.DAMAGED


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE"])
def test_a_page_of_zeros(install: WindowsInstall, name: str) -> None:
    path = install.mount / CONFIG / name
    data = path.read_bytes()
    path.write_bytes(data[:12288] + bytes(4096) + data[16384:])
    found = [item for item in collect(install) if isinstance(item, HiveState) and item.hive == name]
    (state,) = found
    assert state.health is HiveHealth.DAMAGED
    assert state.source.path == f"{CONFIG}/{name}"
    assert state.text


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE"])
def test_dirty_hives(install: WindowsInstall, name: str) -> None:
    path = install.mount / CONFIG / name
    before, after = builder.build(TREE), builder.build({**TREE, "new": {"v": builder.dword(1)}})
    primary, log = builder.dirty_with_log(before.ljust(len(after), b"\0"), after)
    path.write_bytes(primary)
    assert states(install)[name] is HiveHealth.DAMAGED
    path.with_name(f"{name}.LOG1").write_bytes(log)
    assert states(install)[name] is HiveHealth.RECOVERED


@pytest.mark.parametrize("name", ["SAM", "SECURITY"])
def test_a_header_that_is_not_what_was_written(install: WindowsInstall, name: str) -> None:
    path = install.mount / CONFIG / name
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert states(install)[name] is HiveHealth.DAMAGED


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE", "SAM"])
def test_a_link_is_not_followed(install: WindowsInstall, name: str) -> None:
    path = install.mount / CONFIG / name
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    gaps = [item for item in collect(install) if isinstance(item, Gap)]
    assert [gap.source.path for gap in gaps] == [f"{CONFIG}/{name}"]
