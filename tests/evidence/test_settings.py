"""Settings that change a boot: each alone, which are plain and not told, places, damage."""

from __future__ import annotations

import random
from typing import Any

import pytest

from recoverykit.errors import FormatError
from recoverykit.evidence import minifilters, settings
from recoverykit.formats.hive import Hive
from recoverykit.model import Gap, MinifilterInstance, Setting, SettingName
from tests.builders import hive
from tests.evidence.mutation_run import damaged
from tests.evidence.registry_case import (
    MACHINES,
    SYSTEM,
    built,
    install,
    real_hive,
    survive,
    value_at,
)
from tests.formats.hives import hive_bytes

MUTANTS = 120
BYTE_MUTANTS = 60
DUMPS = {SettingName.CRASH_DUMP, SettingName.DUMP_FILE, SettingName.MINIDUMP_FOLDER}


def told(image: Hive, build: str = "19045.4651") -> dict[SettingName, tuple[str, int | None]]:
    found = list(settings.collect(install(build), image))
    assert [item for item in found if isinstance(item, Gap)] == []
    named = [item for item in found if isinstance(item, Setting)]
    assert len({item.name for item in named}) == len(named)
    return {item.name: (item.text, item.number) for item in named}


def under(path: str, values: dict[str, hive.Raw]) -> Hive:
    """Values of one key of the control set."""
    tree: dict[str, Any] = dict(values)
    for name in reversed(path.split("\\")):
        tree = {name: tree}
    return built(tree)


@pytest.mark.parametrize("name", MACHINES)
def test_a_healthy_machine_has_nothing_but_its_dumps(name: str) -> None:
    found = told(real_hive(name), MACHINES[name])
    assert set(found) == DUMPS
    assert found[SettingName.CRASH_DUMP][1] in (2, 7)
    assert found[SettingName.DUMP_FILE] == ("%SystemRoot%\\MEMORY.DMP", None)


@pytest.mark.parametrize(
    "name", ["dissect_SYSTEM.gz", "plaso_win7x86_SYSTEM.xz", "regipy_SYSTEM.xz"]
)
def test_read_as_windows_10_it_has_a_last_known_good_at_most(name: str) -> None:
    assert set(told(Hive(hive_bytes(name)))) <= DUMPS | {SettingName.LAST_KNOWN_GOOD}


def test_a_hive_without_any_of_these_keys() -> None:
    assert told(built({"Control": {}})) == {}


VERIFIER: hive.Tree = {
    "VerifyDrivers": hive.sz("acme.sys other.sys"),
    "VerifyDriverLevel": hive.dword(0x9BB),
}
CRASH: hive.Tree = {
    "CrashDumpEnabled": hive.dword(7),
    "DumpFile": hive.sz("%SystemRoot%\\MEMORY.DMP"),
    "MinidumpDir": hive.sz("D:\\Dumps"),
    "DedicatedDumpFile": hive.sz("E:\\dump.sys"),
}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(
            built({"Control": {"Session Manager": {"Memory Management": VERIFIER}}}),
            {SettingName.VERIFIER: ("acme.sys other.sys, level 0x9bb", 0x9BB)},
            id="verifier",
        ),
        pytest.param(
            built({"Control": {"CrashControl": CRASH}}),
            {
                SettingName.CRASH_DUMP: ("7", 7),
                SettingName.DUMP_FILE: ("%SystemRoot%\\MEMORY.DMP", None),
                SettingName.MINIDUMP_FOLDER: ("D:\\Dumps", None),
                SettingName.DEDICATED_DUMP: ("E:\\dump.sys", None),
            },
            id="dumps",
        ),
        pytest.param(
            under(
                "Control\\Session Manager",
                {"BootExecute": hive.multi_sz("autocheck autochk *", "evil")},
            ),
            {SettingName.BOOT_EXECUTE: ("evil", None)},
            id="boot execute",
        ),
        pytest.param(
            under(
                "Control\\Session Manager", {"BootExecute": hive.multi_sz("autocheck autochk *")}
            ),
            {},
            id="plain",
        ),
        pytest.param(
            built(
                {},
                Select={
                    "Current": hive.dword(1),
                    "LastKnownGood": hive.dword(2),
                    "Failed": hive.dword(3),
                },
            ),
            {
                SettingName.LAST_KNOWN_GOOD: ("2", 2),
                SettingName.FAILED_CONTROL_SET: ("3", 3),
            },
            id="control sets",
        ),
        pytest.param(
            under(
                "Control\\EarlyLaunch",
                {
                    "DriverLoadPolicy": hive.dword(8),
                    "BackupPath": hive.sz("C:\\Windows\\ELAMBKUP"),
                },
            ),
            {SettingName.ELAM_POLICY: ("8", 8)},
            id="early launch",
        ),
        pytest.param(
            built(
                {},
                Setup={
                    "SystemSetupInProgress": hive.dword(1),
                    "CmdLine": hive.sz("oobe\\windeploy.exe"),
                },
            ),
            {SettingName.SETUP_IN_PROGRESS: ("oobe\\windeploy.exe", 1)},
            id="setup",
        ),
    ],
)
def test_each_alone(image: Hive, expected: dict[SettingName, tuple[str, int | None]]) -> None:
    assert told(image) == expected


# --- driver verifier ----------------------------------------------------------------------

MEMORY = "Control\\Session Manager\\Memory Management"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"VerifyDrivers": hive.sz("acme.sys other.sys")}, ("acme.sys other.sys", None)),
        (
            {"VerifyDrivers": hive.sz("*"), "VerifyDriverLevel": hive.dword(0x209BB)},
            ("*, level 0x209bb", 0x209BB),
        ),
        ({"VerifyDrivers": hive.sz(" ")}, None),
        ({"VerifyDriverLevel": hive.dword(1)}, None),
        ({"VerifyDrivers": hive.binary(b"*")}, None),
    ],
)
def test_driver_verifier(values: dict[str, hive.Raw], expected: object) -> None:
    assert told(under(MEMORY, values)).get(SettingName.VERIFIER) == expected


# --- crash control ------------------------------------------------------------------------


def test_where_dumps_go() -> None:
    values = {
        "CrashDumpEnabled": hive.dword(0),
        "DumpFile": hive.expand_sz("E:\\full.dmp"),
        "MinidumpDir": hive.sz("%SystemRoot%\\Minidump"),
        "DedicatedDumpFile": hive.sz("D:\\dedicated.sys"),
    }
    assert told(under("Control\\CrashControl", values)) == {
        SettingName.CRASH_DUMP: ("0", 0),
        SettingName.DUMP_FILE: ("E:\\full.dmp", None),
        SettingName.MINIDUMP_FOLDER: ("%SystemRoot%\\Minidump", None),
        SettingName.DEDICATED_DUMP: ("D:\\dedicated.sys", None),
    }


# --- control sets -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "numbers", "expected"),
    [
        ("19045", {"Current": 1, "LastKnownGood": 1, "Failed": 0}, {}),
        ("7601", {"Current": 1, "LastKnownGood": 2, "Failed": 0}, {}),
        ("", {"Current": 1, "LastKnownGood": 2}, {}),
        ("9200", {"Current": 1, "LastKnownGood": 2}, {SettingName.LAST_KNOWN_GOOD: ("2", 2)}),
        (
            "7601.24000",  # it was used: what it was before is the failed one
            {"Current": 2, "LastKnownGood": 3, "Failed": 1},
            {SettingName.FAILED_CONTROL_SET: ("1", 1)},
        ),
        ("19045", {}, {}),
    ],
)
def test_control_sets(build: str, numbers: dict[str, int], expected: object) -> None:
    values = {name: hive.dword(number) for name, number in numbers.items()}
    assert told(built({}, Select=values), build) == expected


# --- early launch -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["Control\\EarlyLaunch", "Policies\\EarlyLaunch"])
@pytest.mark.parametrize("number", [1, 3, 7, 8])
def test_which_drivers_elam_lets_in(key: str, number: int) -> None:
    found = told(under(key, {"DriverLoadPolicy": hive.dword(number)}))
    expected = None if number == 3 else (str(number), number)
    assert found.get(SettingName.ELAM_POLICY) == expected


@pytest.mark.parametrize(
    ("folder", "plain"),
    [
        ("C:\\Windows\\ELAMBKUP", True),
        ("\\windows\\elambkup\\", True),
        ("%SystemRoot%\\ELAMBKUP", True),
        ("D:\\elsewhere", False),
    ],
)
def test_where_elam_drivers_are_kept(folder: str, plain: bool) -> None:
    found = told(under("Control\\EarlyLaunch", {"BackupPath": hive.sz(folder)}))
    assert found.get(SettingName.ELAM_BACKUP) == (None if plain else (folder, None))


# --- what runs before Windows -------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        "autocheck autochk *",
        "AutoCheck autochk *  ",
        "autocheck autochk /k:C /k:D *",  # chkntfs /x
        "autocheck autochk /r \\??\\C:",  # chkdsk /r, at the next boot
        "autocheck autochk /p \\??\\Volume{0b0b0b0b-0000-4000-8000-00000000d15c}",
        "autochk *",
        "",
    ],
)
def test_a_check_of_the_disk_is_windows_own(entry: str) -> None:
    image = under("Control\\Session Manager", {"BootExecute": hive.multi_sz(entry)})
    assert told(image) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (hive.multi_sz("autocheck autochk *", "aswBoot.exe /M"), "aswBoot.exe /M"),
        (hive.multi_sz("autocheck lsdelete", "OODBS"), "autocheck lsdelete; OODBS"),
        (hive.multi_sz("autocheck autochkx.exe *"), "autocheck autochkx.exe *"),
        (
            hive.multi_sz("autocheck autoconv \\DosDevices\\C: /FS:NTFS"),
            "autocheck autoconv \\DosDevices\\C: /FS:NTFS",
        ),
        (hive.sz("SsiEfr.e"), "SsiEfr.e"),
    ],
)
def test_other_programs_are_told(value: hive.Raw, expected: str) -> None:
    found = told(under("Control\\Session Manager", {"BootExecute": value}))
    assert found == {SettingName.BOOT_EXECUTE: (expected, None)}


# --- setup --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "kind", "command", "expected"),
    [
        (0, 0, "", None),
        (1, 2, "oobe\\windeploy.exe", ("oobe\\windeploy.exe", 1)),
        (1, 0, "", ("no command", 1)),
        (0, 2, "cmd.exe", ("cmd.exe", 2)),  # runs in place of a logon
        (0, 2, " ", None),
        (0, 0, "left.exe", None),  # what once ran
    ],
)
def test_setup(running: int, kind: int, command: str, expected: object) -> None:
    values = {
        "SystemSetupInProgress": hive.dword(running),
        "SetupType": hive.dword(kind),
        "CmdLine": hive.sz(command),
    }
    found = told(built({}, Setup=values))
    assert found.get(SettingName.SETUP_IN_PROGRESS) == expected


# --- places and damage --------------------------------------------------------------------

ALL: dict[str, Any] = {
    "Control": {
        "Session Manager": {
            "BootExecute": hive.multi_sz("autocheck autochk *", "acme.exe"),
            "Memory Management": {"VerifyDrivers": hive.sz("*")},
        },
        "CrashControl": {"CrashDumpEnabled": hive.dword(7), "DumpFile": hive.sz("E:\\a.dmp")},
        "EarlyLaunch": {"DriverLoadPolicy": hive.dword(8)},
    },
}
OTHERS: dict[str, Any] = {
    "Select": {"Current": hive.dword(1), "LastKnownGood": hive.dword(2), "Failed": hive.dword(3)},
    "Setup": {"SystemSetupInProgress": hive.dword(1), "CmdLine": hive.sz("a.exe")},
}
IMAGE = hive.build({"ControlSet001": ALL, **OTHERS})


def test_a_place_can_be_looked_up() -> None:
    found = [item for item in settings.collect(install(), Hive(IMAGE)) if isinstance(item, Setting)]
    places = {item.name: (item.source.key, *value_at(IMAGE, item.source)) for item in found}
    manager = "ControlSet001\\Control\\Session Manager"
    assert places == {
        SettingName.VERIFIER: (f"{manager}\\Memory Management", "VerifyDrivers", 1),
        SettingName.BOOT_EXECUTE: (manager, "BootExecute", 7),
        SettingName.CRASH_DUMP: ("ControlSet001\\Control\\CrashControl", "CrashDumpEnabled", 4),
        SettingName.DUMP_FILE: ("ControlSet001\\Control\\CrashControl", "DumpFile", 1),
        SettingName.ELAM_POLICY: ("ControlSet001\\Control\\EarlyLaunch", "DriverLoadPolicy", 4),
        SettingName.LAST_KNOWN_GOOD: ("Select", "LastKnownGood", 4),
        SettingName.FAILED_CONTROL_SET: ("Select", "Failed", 4),
        SettingName.SETUP_IN_PROGRESS: ("Setup", "SystemSetupInProgress", 4),
    }
    assert {item.source.path for item in found} == {SYSTEM}


def test_a_place_in_a_real_hive() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    found = [item for item in settings.collect(install(), Hive(image)) if isinstance(item, Setting)]
    assert [value_at(image, item.source) for item in found] == [
        ("CrashDumpEnabled", 4),
        ("DumpFile", 2),
        ("MinidumpDir", 2),
    ]


def test_a_damaged_key_is_a_gap_and_the_rest_goes_on() -> None:
    whole = Hive(IMAGE).find("ControlSet001\\Control\\CrashControl")
    assert whole is not None
    value = whole.value("CrashDumpEnabled")
    assert value is not None
    changed = IMAGE[: value.offset + 4] + b"xx" + IMAGE[value.offset + 6 :]
    found = list(settings.collect(install(), Hive(changed)))
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert gap.source.key == "ControlSet001\\Control\\CrashControl"
    assert SettingName.SETUP_IN_PROGRESS in {i.name for i in found if isinstance(i, Setting)}


def test_damage_never_raises() -> None:
    opened, gaps = survive(IMAGE, settings.collect, "settings", MUTANTS)
    assert opened > MUTANTS // 2
    assert gaps


def test_damaged_bytes_never_raise() -> None:
    image = hive.build(
        {
            "ControlSet001": {
                "Control": {
                    "CrashControl": CRASH,
                    "Session Manager": {"Memory Management": VERIFIER},
                },
                "Services": {"acme": {"Instances": {"a": {"Altitude": hive.sz("1")}}}},
            },
            "Select": {"Current": hive.dword(1), "Failed": hive.dword(2)},
        }
    )
    read = 0
    for seed in range(BYTE_MUTANTS):
        changed = damaged(image, random.Random(f"settings {seed}"))
        try:
            opened = Hive(changed)
        except FormatError:
            continue
        read += 1
        for item in settings.collect(install(), opened):
            assert isinstance(item, Setting | Gap)
        for each in minifilters.collect(install(), opened, ["acme"]):
            assert isinstance(each, MinifilterInstance | Gap)
    assert read > BYTE_MUTANTS // 4
