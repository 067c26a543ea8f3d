"""A folder as efivarfs shows it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from signing import firmware, sbat
from signing.efi_variables import Database
from signing.svn import Svn
from tests.builders import efi
from tests.builders.efi import SHA256, signature_list
from tests.signing.test_efi_variables import firmware_variables, ovmf

SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
BOOT_MANAGER = "9d132b61-59d5-4388-ab1c-185c3cb2eb92"
DIGESTS = signature_list(SHA256, bytes(32), efi.svn_data(BOOT_MANAGER, 8, 0))


def put(folder: Path, name: str, value: bytes, attributes: int = 0x27) -> None:
    (folder / name).write_bytes(struct.pack("<I", attributes) + value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, f"SecureBoot-{GLOBAL}", b"\x01", 6)
    put(tmp_path, f"db-{SECURITY}", DIGESTS)
    put(tmp_path, f"dbx-{SECURITY}", DIGESTS)
    put(tmp_path, f"SbatLevelRT-{SHIM}", b"sbat,1,2025051000\nshim,4\n", 6)
    return tmp_path


def test_all_is_read(folder: Path) -> None:
    found = firmware.read(folder)
    assert found.db is not None
    assert found.dbx is not None
    assert found.db.to_bytes() == found.dbx.to_bytes() == DIGESTS
    assert found.sbat_level == sbat.Level("2025051000", {"sbat": 1, "shim": 4})
    assert found.least_svn == Svn(8, 0)
    assert firmware.is_enforced(folder) is True


@pytest.mark.parametrize("value", [b"\x00", b"\x02"])
def test_secure_boot_that_is_off(folder: Path, value: bytes) -> None:
    put(folder, f"SecureBoot-{GLOBAL}", value, 6)
    assert firmware.is_enforced(folder) is False


def test_a_variable_that_is_not_there_is_empty(folder: Path) -> None:
    (folder / f"dbx-{SECURITY}").unlink()
    found = firmware.read(folder)
    assert found.dbx == Database.of(())
    assert found.least_svn is None


def test_a_level_that_shim_does_not_show_is_not_known(folder: Path) -> None:
    (folder / f"SbatLevelRT-{SHIM}").unlink()
    assert firmware.read(folder).sbat_level is None


@pytest.mark.parametrize("name", [f"db-{SECURITY}", f"dbx-{SECURITY}", f"SbatLevelRT-{SHIM}"])
@pytest.mark.parametrize("data", [b"", b"\x27\0\0", b"\x27\0\0\0rubbish", b"\0\0\0\0"])
def test_what_is_damaged_is_not_known(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    found = firmware.read(folder)
    unknown = {"db": found.db, "dbx": found.dbx, "SbatLevelRT": found.sbat_level}
    assert [key for key, value in unknown.items() if value is None] == [name.partition("-")[0]]


@pytest.mark.parametrize("make", [True, False])
def test_a_machine_without_variables(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "efivars"
    if make:
        folder.mkdir()
    assert firmware.read(folder) == firmware.Firmware(None, None)
    assert firmware.is_enforced(folder) is None


@ovmf
def test_the_variables_of_real_firmware(tmp_path: Path) -> None:
    values = firmware_variables()
    for name in ("db", "dbx"):
        put(tmp_path, f"{name}-{SECURITY}", values[name])
    found = firmware.read(tmp_path)
    assert found.db is not None
    assert found.dbx is not None
    assert (len(found.db.certificates), len(found.dbx.hashes["sha256"])) == (2, 1)
