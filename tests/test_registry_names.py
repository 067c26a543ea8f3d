"""Names as Windows uses them, and the hive file and key they are offline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit import registry_names
from recoverykit.errors import (
    FormatError,
    NoCulpritError,
    RecoveryKitError,
    TargetRefusedError,
    UsageError,
)
from recoverykit.formats.hive import Hive
from recoverykit.model import WindowsInstall
from recoverykit.registry_names import Place
from tests import reg_volume
from tests.builders import hive as builder
from tests.reg_volume import CONFIG, SID, SOFTWARE, SYSTEM

CURRENT = "CurrentControlSet is ControlSet002: the next boot uses it."


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> WindowsInstall:
    return reg_volume.install(reg_volume.build(tmp_path_factory.mktemp("volume")))


MACHINE_SYSTEM = "HKEY_LOCAL_MACHINE\\SYSTEM"
SELECT = Place(SYSTEM, "Select", MACHINE_SYSTEM)
ANNA = Place("Users/Anna/NTUSER.DAT", "Software\\Acme", "HKEY_USERS\\anna")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("HKLM\\SYSTEM\\Select", SELECT),
        ("hklm\\system\\Select", SELECT),
        ("HKEY_LOCAL_MACHINE\\SYSTEM\\Select", SELECT),
        ("Computer\\HKEY_LOCAL_MACHINE\\SYSTEM\\Select\\", SELECT),
        ("SYSTEM\\Select", SELECT),
        ("\\SYSTEM\\Select", SELECT),
        ("HKLM\\SYSTEM", replace(SELECT, key="")),
        (
            "SYSTEM\\CurrentControlSet\\Services\\Acme",
            Place(SYSTEM, reg_volume.ACME, MACHINE_SYSTEM, (CURRENT,)),
        ),
        (
            "HKLM\\System\\currentcontrolset",
            Place(SYSTEM, "ControlSet002", MACHINE_SYSTEM, (CURRENT,)),
        ),
        ("SYSTEM\\ControlSet001", Place(SYSTEM, "ControlSet001", MACHINE_SYSTEM)),
        ("HKLM\\SOFTWARE\\Acme", Place(SOFTWARE, "Acme", "HKEY_LOCAL_MACHINE\\SOFTWARE")),
        ("HKLM\\SAM\\SAM", Place(f"{CONFIG}/sam", "SAM", "HKEY_LOCAL_MACHINE\\SAM")),
        ("DEFAULT\\Console", Place(f"{CONFIG}/DEFAULT", "Console", "HKEY_USERS\\.DEFAULT")),
        ("HKU\\.default\\Console", Place(f"{CONFIG}/DEFAULT", "Console", "HKEY_USERS\\.DEFAULT")),
        ("HKU\\S-1-5-18", Place(f"{CONFIG}/DEFAULT", "", "HKEY_USERS\\.DEFAULT")),
        (
            "HKU\\S-1-5-19",
            Place("Windows/ServiceProfiles/LocalService/NTUSER.DAT", "", "HKEY_USERS\\S-1-5-19"),
        ),
        ("HKU\\anna\\Software\\Acme", ANNA),
        (f"HKU\\{SID}\\Software\\Acme", replace(ANNA, root=f"HKEY_USERS\\{SID}")),
        (
            f"HKU\\{SID}_Classes",
            Place(
                "Users/Anna/AppData/Local/Microsoft/Windows/UsrClass.dat",
                "",
                f"HKEY_USERS\\{SID}_Classes",
            ),
        ),
        (
            "HKCR\\.txt",
            Place(
                SOFTWARE,
                "Classes\\.txt",
                "HKEY_LOCAL_MACHINE\\SOFTWARE",
                ("HKEY_CLASSES_ROOT was taken for HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes.",),
            ),
        ),
    ],
)
def test_a_name_has_a_place(install: WindowsInstall, name: str, place: Place) -> None:
    found = registry_names.locate(install, name)
    assert replace(found, hive=found.hive.casefold()) == replace(place, hive=place.hive.casefold())
    assert (install.mount / found.hive).is_file()


@pytest.mark.parametrize(
    ("name", "error", "problem", "hint"),
    [
        ("Services\\Acme", UsageError, "begin with the name of a hive", "HKLM"),
        ("", UsageError, "name of a", ""),
        ("\\", UsageError, "name of a", ""),
        ("SYSTEM\\\\Select", UsageError, "name of a key", ""),
        ("HKLM", UsageError, "several", ""),
        ("HKU", UsageError, "several", "HKU\\Anna"),
        ("HKCU\\Software", UsageError, "nobody is logged on", "HKU\\Anna"),
        ("HKCC\\x", UsageError, "only while Windows runs", "Hardware Profiles"),
        ("HKLM\\HARDWARE\\x", UsageError, "only while Windows runs", ""),
        ("HKLM\\BCD00000000", UsageError, "boot store", "bcd show"),
        ("HKLM\\Nonsense", UsageError, "no hive that Windows keeps", ""),
        ("HKLM\\COMPONENTS", NoCulpritError, "no hive", ""),
        ("HKU\\bert", NoCulpritError, "no profile bert", "HKU\\Anna"),
        ("HKU\\Public", NoCulpritError, "no hive", ""),
        ("HKU\\S-1-5-21-9", NoCulpritError, "ProfileList", ""),
        ("HKU\\..", TargetRefusedError, "not a path inside", ""),
        ("HKU\\Anna/..", UsageError, "not the folder", ""),
    ],
)
def test_a_name_that_has_none(
    install: WindowsInstall, name: str, error: type[RecoveryKitError], problem: str, hint: str
) -> None:
    with pytest.raises(error, match=problem) as caught:
        registry_names.locate(install, name)
    assert hint in caught.value.hint


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "NTUSER.DAT").write_bytes(builder.build({}))
    install = reg_volume.install(reg_volume.build(tmp_path / "volume"))
    (install.mount / "Users/Eve").symlink_to(outside)
    with pytest.raises(TargetRefusedError, match="link"):
        registry_names.locate(install, "HKU\\Eve")


def test_without_a_control_set_nobody_knows_the_current_one(install: WindowsInstall) -> None:
    with pytest.raises(FormatError, match="control set"):
        registry_names.locate(replace(install, control_set=0), "SYSTEM\\CurrentControlSet")


# --- a hive file by itself ----------------------------------------------------------------

TREES: dict[str, builder.Tree] = {
    "SYSTEM": reg_volume.SYSTEM_TREE,
    "NTUSER.DAT": {"Software": {}},
    "UsrClass.dat": {},
    "default": {"SYSTEM": {}},
    "found.hiv": {"SYSTEM": {}},
}


@pytest.mark.parametrize(
    ("file", "name", "key", "full"),
    [
        ("SYSTEM", "Select", "Select", f"{MACHINE_SYSTEM}\\Select"),
        ("SYSTEM", "SYSTEM\\Select", "Select", f"{MACHINE_SYSTEM}\\Select"),
        ("SYSTEM", "HKLM\\SYSTEM\\Select", "Select", f"{MACHINE_SYSTEM}\\Select"),
        ("SYSTEM", "", "", MACHINE_SYSTEM),
        ("SYSTEM", "\\", "", MACHINE_SYSTEM),
        ("SYSTEM", "CurrentControlSet", "ControlSet002", f"{MACHINE_SYSTEM}\\ControlSet002"),
        ("NTUSER.DAT", "Software", "Software", "HKEY_CURRENT_USER\\Software"),
        ("NTUSER.DAT", "HKCU\\Software", "Software", "HKEY_CURRENT_USER\\Software"),
        ("NTUSER.DAT", "HKU\\Bert\\Software", "Software", "HKEY_USERS\\Bert\\Software"),
        ("UsrClass.dat", "", "", "HKEY_CURRENT_USER\\Software\\Classes"),
        ("default", "SYSTEM", "SYSTEM", "HKEY_USERS\\.DEFAULT\\SYSTEM"),
        ("found.hiv", "SYSTEM", "SYSTEM", "HKEY_LOCAL_MACHINE\\found.hiv\\SYSTEM"),
        ("found.hiv", "HKLM\\Mine\\SYSTEM", "SYSTEM", "HKEY_LOCAL_MACHINE\\Mine\\SYSTEM"),
    ],
)
def test_a_key_of_a_file(file: str, name: str, key: str, full: str) -> None:
    hive = Hive(builder.build(TREES[file]))
    place = registry_names.locate_in_file(Path("/somewhere") / file, hive, name)
    assert (place.hive, place.key, place.name) == (file, key, full)


def test_a_root_of_several_hives_is_no_key_of_a_file() -> None:
    with pytest.raises(UsageError, match="several"):
        registry_names.locate_in_file(Path("SYSTEM"), Hive(builder.build({})), "HKLM")
