"""In which state the hives of a boot are: broken ones, real ones, the two nobody looks into."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from recoverykit.evidence import hives
from recoverykit.formats.regf import BaseBlock
from recoverykit.model import Evidence, Gap, HiveHealth, HiveState, WindowsInstall
from tests.builders import hive as builder
from tests.builders.mutate import mutants
from tests.evidence import conftest
from tests.evidence.conftest import CONFIG
from tests.formats.hives import hive_bytes, logs_of

NAMES = ("SYSTEM", "SOFTWARE", "SAM", "SECURITY")
TREE: builder.Tree = {f"key{n}": {"value": builder.sz("x" * 60)} for n in range(120)}
SMALL = builder.build(TREE)
LARGER = builder.build({f"key{n}": {"value": builder.sz("y" * 60)} for n in range(120)})
MUTANTS = 80


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    made = conftest.installation(tmp_path)
    for name in NAMES:
        put(made, name, SMALL)
    return made


def put(install: WindowsInstall, name: str, data: bytes) -> None:
    conftest.put(install, f"{CONFIG}/{name}", data)


def collect(install: WindowsInstall) -> list[Evidence]:
    return list(hives.collect(install, hives.load(install, install.system_hive)))


def states(install: WindowsInstall) -> dict[str, HiveHealth]:
    return {item.hive: item.health for item in collect(install) if isinstance(item, HiveState)}


def state(install: WindowsInstall, name: str) -> HiveState | None:
    found = [i for i in collect(install) if isinstance(i, HiveState) and i.hive == name]
    assert len(found) <= 1
    return found[0] if found else None


def health(install: WindowsInstall, name: str) -> HiveHealth | None:
    found = state(install, name)
    return found.health if found else None


# --- absent, no hive, damaged, dirty ------------------------------------------------------


def test_clean_hives(install: WindowsInstall) -> None:
    """What is in SAM and SECURITY is nobody's business: they are told of only when broken."""
    assert states(install) == {"SYSTEM": HiveHealth.CLEAN, "SOFTWARE": HiveHealth.CLEAN}


@pytest.mark.parametrize("name", NAMES)
def test_missing(install: WindowsInstall, name: str) -> None:
    (install.mount / CONFIG / name).unlink()
    assert states(install)[name] is HiveHealth.MISSING


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", bytes(8192), b"regf", b"MZ" * 4000])
def test_no_hive_at_all(install: WindowsInstall, name: str, content: bytes) -> None:
    put(install, name, content)
    assert states(install)[name] is HiveHealth.DAMAGED


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE"])
def test_a_page_of_zeros(install: WindowsInstall, name: str) -> None:
    put(install, name, SMALL[:12288] + bytes(4096) + SMALL[16384:])
    found = state(install, name)
    assert found is not None
    assert found.health is HiveHealth.DAMAGED
    assert found.source.path == f"{CONFIG}/{name}"
    assert found.text


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE"])
def test_dirty_hives(install: WindowsInstall, name: str) -> None:
    after = builder.build({**TREE, "new": {"v": builder.dword(1)}})
    primary, log = builder.dirty_with_log(SMALL.ljust(len(after), b"\0"), after)
    put(install, name, primary)
    assert states(install)[name] is HiveHealth.DAMAGED
    put(install, f"{name}.LOG1", log)
    assert states(install)[name] is HiveHealth.RECOVERED


@pytest.mark.parametrize("name", ["SAM", "SECURITY"])
def test_a_header_that_is_not_what_was_written(install: WindowsInstall, name: str) -> None:
    data = bytearray(SMALL)
    data[40] ^= 1
    put(install, name, bytes(data))
    assert states(install)[name] is HiveHealth.DAMAGED


# --- real files ---------------------------------------------------------------------------


def test_a_real_hive_with_its_logs(install: WindowsInstall) -> None:
    put(install, "SYSTEM", hive_bytes("regipy_SYSTEM_B.xz"))
    assert health(install, "SYSTEM") is HiveHealth.DAMAGED
    logs = logs_of("regipy_SYSTEM_B.xz")
    assert len(logs) == 2
    for name, data in logs:
        put(install, f"SYSTEM.{name.rpartition('.')[2]}", data)
    assert health(install, "SYSTEM") is HiveHealth.RECOVERED


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("dissect_SYSTEM.gz", HiveHealth.CLEAN),
        ("plaso_win7x86_SYSTEM.xz", HiveHealth.CLEAN),
        ("regipy_SYSTEM_2.xz", HiveHealth.DAMAGED),  # dirty, its logs are lost
        ("regipy_corrupted_system_hive.xz", HiveHealth.DAMAGED),
        ("yarp/TruncatedHive", HiveHealth.DAMAGED),
        ("ezreg_NotAHive", HiveHealth.DAMAGED),
    ],
)
def test_real_hives(install: WindowsInstall, sample: str, expected: HiveHealth) -> None:
    put(install, "SYSTEM", hive_bytes(sample))
    assert health(install, "SYSTEM") is expected


def test_where_a_real_hive_is_damaged(install: WindowsInstall) -> None:
    """The bin there has no header, as its bytes show."""
    image = hive_bytes("regipy_corrupted_system_hive.xz")
    put(install, "SYSTEM", image)
    found = state(install, "SYSTEM")
    assert found is not None
    assert found.source.offset == 0x1A000
    assert image[0x1A000:0x1A004] != b"hbin"
    assert image[0x1000:0x1004] == b"hbin"


@pytest.mark.parametrize("name", ["SAM", "SECURITY"])
@pytest.mark.parametrize("sample", ["ezreg_SAMBadHBinHeader", "ezreg_SECURITYNoRoot"])
def test_what_is_in_a_clean_sam_is_not_looked_at(
    install: WindowsInstall, name: str, sample: str
) -> None:
    put(install, name, hive_bytes(sample))
    assert health(install, name) is None


# --- SAM and SECURITY ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SAM", "SECURITY"])
def test_dirty_with_its_log_is_nothing_to_tell(install: WindowsInstall, name: str) -> None:
    before, after = SMALL.ljust(len(LARGER), b"\0"), LARGER
    primary, log = builder.dirty_with_log(before, after)
    put(install, name, primary)
    assert health(install, name) is HiveHealth.DAMAGED
    put(install, f"{name}.LOG1", log)
    assert health(install, name) is None


def torn(image: bytes) -> bytes:
    """A header whose checksum is wrong."""
    return image[:40] + struct.pack("<I", 0x2000) + image[44:]


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_no_log_makes_whole(install: WindowsInstall, name: str) -> None:
    data = torn(SMALL)
    assert not BaseBlock.parse(data).checksum_ok
    put(install, name, data)
    assert health(install, name) is HiveHealth.DAMAGED


@pytest.mark.parametrize("name", ["SAM", "SECURITY"])
def test_a_torn_header_that_the_log_makes_whole(install: WindowsInstall, name: str) -> None:
    """Windows takes the header from the log (msuhanov, "Dirty state of a hive")."""
    primary, log = builder.dirty_with_log(SMALL.ljust(len(LARGER), b"\0"), LARGER)
    broken = bytearray(primary)
    broken[200] ^= 1
    assert not BaseBlock.parse(broken).checksum_ok
    put(install, name, bytes(broken))
    put(install, f"{name}.LOG1", log)
    assert health(install, name) is None


# --- what is no file ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE", "SAM"])
def test_a_link_is_not_followed(install: WindowsInstall, name: str) -> None:
    path = install.mount / CONFIG / name
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    gaps = [item for item in collect(install) if isinstance(item, Gap)]
    assert [gap.source.path for gap in gaps] == [f"{CONFIG}/{name}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_in_its_place_is_a_gap(install: WindowsInstall, name: str) -> None:
    (install.mount / CONFIG / name).unlink()
    (install.mount / CONFIG / name).mkdir()
    (gap,) = [item for item in collect(install) if isinstance(item, Gap)]
    assert gap.source.path == f"{CONFIG}/{name}"
    assert str(install.mount) not in gap.reason


def test_no_folder_at_all(install: WindowsInstall) -> None:
    for name in NAMES:
        (install.mount / CONFIG / name).unlink()
    (install.mount / CONFIG).rmdir()
    found = collect(install)
    assert {i.health for i in found if isinstance(i, HiveState)} == {HiveHealth.MISSING}
    assert len(found) == 4


def test_damage_never_raises(install: WindowsInstall) -> None:
    told = 0
    for number, data in enumerate(mutants(SMALL, "hive states", MUTANTS)):
        name = NAMES[number % 4]
        put(install, name, data)
        found = collect(install)
        assert all(isinstance(item, HiveState | Gap) for item in found)
        told += any(isinstance(i, HiveState) and i.health is HiveHealth.DAMAGED for i in found)
        put(install, name, SMALL)
    assert MUTANTS // 10 < told < MUTANTS
