"""Settings that change a boot, minifilters, and what services and filters are told to be."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from recoverykit.errors import FormatError
from recoverykit.evidence import devices, minifilters, services, settings
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    DeviceUse,
    Evidence,
    FileSystem,
    FilterUse,
    Gap,
    MinifilterInstance,
    Service,
    Setting,
    SettingName,
    Volume,
    WindowsInstall,
)
from tests.builders import hive as builder
from tests.conftest import REAL_DATA
from tests.evidence.mutation_run import damaged
from tests.formats.hives import hive_bytes

SYSTEM = "Windows/System32/config/SYSTEM"
INSTALL = WindowsInstall(
    *(Volume("test", FileSystem.NTFS, REAL_DATA), REAL_DATA, "Windows", SYSTEM, ""),
    build="19045.4651",
    control_set=1,
)
REAL = ("dissect_SYSTEM.gz", "plaso_win7x86_SYSTEM.xz", "regipy_SYSTEM.xz")
MUTANTS = 60


def tree(control: builder.Tree, **more: builder.Tree) -> Hive:
    return Hive(builder.build({"ControlSet001": control, **more}))


def told(found: Iterator[Evidence]) -> dict[SettingName, tuple[str, int | None]]:
    return {item.name: (item.text, item.number) for item in found if isinstance(item, Setting)}


def session(**values: builder.Raw) -> builder.Tree:
    return {"Control": {"Session Manager": dict(values)}}


MEMORY: builder.Tree = {
    "VerifyDrivers": builder.sz("acme.sys other.sys"),
    "VerifyDriverLevel": builder.dword(0x9BB),
}
CRASH: builder.Tree = {
    "CrashDumpEnabled": builder.dword(7),
    "DumpFile": builder.sz("%SystemRoot%\\MEMORY.DMP"),
    "MinidumpDir": builder.sz("D:\\Dumps"),
    "DedicatedDumpFile": builder.sz("E:\\dump.sys"),
}


@pytest.mark.parametrize(
    ("hive", "expected"),
    [
        pytest.param(
            tree({"Control": {"Session Manager": {"Memory Management": MEMORY}}}),
            {SettingName.VERIFIER: ("acme.sys other.sys, level 0x9bb", 0x9BB)},
            id="verifier",
        ),
        pytest.param(
            tree({"Control": {"CrashControl": CRASH}}),
            {
                SettingName.CRASH_DUMP: ("7", 7),
                SettingName.DUMP_FILE: ("%SystemRoot%\\MEMORY.DMP", None),
                SettingName.MINIDUMP_FOLDER: ("D:\\Dumps", None),
                SettingName.DEDICATED_DUMP: ("E:\\dump.sys", None),
            },
            id="dumps",
        ),
        pytest.param(
            tree(session(BootExecute=builder.multi_sz("autocheck autochk *", "evil"))),
            {SettingName.BOOT_EXECUTE: ("evil", None)},
            id="boot execute",
        ),
        pytest.param(
            tree(session(BootExecute=builder.multi_sz("autocheck autochk *"))), {}, id="plain"
        ),
        pytest.param(
            tree(
                {},
                Select={
                    "Current": builder.dword(1),
                    "LastKnownGood": builder.dword(2),
                    "Failed": builder.dword(3),
                },
            ),
            {
                SettingName.LAST_KNOWN_GOOD: ("2", 2),
                SettingName.FAILED_CONTROL_SET: ("3", 3),
            },
            id="control sets",
        ),
        pytest.param(
            tree(
                {
                    "Control": {
                        "EarlyLaunch": {
                            "DriverLoadPolicy": builder.dword(8),
                            "BackupPath": builder.sz("C:\\Windows\\ELAMBKUP"),
                        }
                    }
                }
            ),
            {SettingName.ELAM_POLICY: ("8", 8)},
            id="early launch",
        ),
        pytest.param(
            tree(
                {},
                Setup={
                    "SystemSetupInProgress": builder.dword(1),
                    "CmdLine": builder.sz("oobe\\windeploy.exe"),
                },
            ),
            {SettingName.SETUP_IN_PROGRESS: ("oobe\\windeploy.exe", 1)},
            id="setup",
        ),
    ],
)
def test_settings(hive: Hive, expected: dict[SettingName, tuple[str, int | None]]) -> None:
    assert told(settings.collect(INSTALL, hive)) == expected


@pytest.mark.parametrize("name", REAL)
def test_real_machines_have_nothing_special(name: str) -> None:
    if not (REAL_DATA / "hives" / name).is_file():
        pytest.skip(f"no {name} under {REAL_DATA}")
    found = list(settings.collect(INSTALL, Hive(hive_bytes(name))))
    assert not [item for item in found if isinstance(item, Gap)]
    usual = {SettingName.CRASH_DUMP, SettingName.DUMP_FILE, SettingName.MINIDUMP_FOLDER}
    assert set(told(iter(found))) <= usual | {SettingName.LAST_KNOWN_GOOD}


def test_minifilters() -> None:
    instances: builder.Tree = {"Acme Instance": {"Altitude": builder.sz("321410")}}
    isolated: builder.Tree = {"Other": {"Altitude": builder.sz("85000.5")}}
    hive = tree(
        {
            "Services": {
                "acme": {"Instances": instances},
                "other": {"Parameters": {"Instances": isolated}},
                "none": {},
            }
        }
    )
    found = list(minifilters.collect(INSTALL, hive, ["acme", "other", "none", "absent"]))
    assert [
        (item.service, item.instance, item.altitude)
        for item in found
        if isinstance(item, MinifilterInstance)
    ] == [("acme", "Acme Instance", "321410"), ("other", "Other", "85000.5")]
    assert len(found) == 2
    assert all(
        isinstance(item, MinifilterInstance) and item.source.key.endswith(item.instance)
        for item in found
    )


def test_what_a_service_depends_on() -> None:
    acme: builder.Tree = {
        "Type": builder.dword(1),
        "Start": builder.dword(3),
        "Tag": builder.dword(7),
        "BootFlags": builder.dword(4),
        "DependOnService": builder.multi_sz("FltMgr", "disk"),
        "DependOnGroup": builder.sz("SCSI miniport"),
    }
    hive = tree({"Services": {"acme": acme}})
    (service,) = services.collect(INSTALL, hive)
    assert isinstance(service, Service)
    assert (service.tag, service.boot_flags) == (7, 4)
    assert service.depends_on == ("FltMgr", "disk", "+SCSI miniport")


def test_filters_of_devices() -> None:
    guid = "{4D36E967-E325-11CE-BFC1-08002BE10318}"
    instance: builder.Tree = {
        "Service": builder.sz("disk"),
        "ClassGUID": builder.sz(guid),
        "ConfigFlags": builder.dword(1),
        "UpperFilters": builder.multi_sz("up"),
        "LowerFilters": builder.multi_sz("low"),
    }
    enum: builder.Tree = {"SCSI": {"Disk": {"0": instance}}}
    lists: builder.Tree = {"UpperFilters": builder.multi_sz("of class")}
    hive = tree({"Enum": enum, "Control": {"Class": {guid: lists}}})
    found = list(devices.collect(INSTALL, hive))
    filters = [item for item in found if isinstance(item, FilterUse)]
    assert [(item.service, item.upper, item.class_guid) for item in filters] == [
        ("of class", True, guid.lower()),
        ("up", True, guid.lower()),
        ("low", False, guid.lower()),
    ]
    assert all(item.written is not None for item in filters)
    (use,) = [item for item in found if isinstance(item, DeviceUse)]
    assert (use.problem, use.class_guid) == (1, guid.lower())


def test_mutated_hives_never_raise() -> None:
    image = builder.build(
        {
            "ControlSet001": {
                "Control": {
                    "CrashControl": CRASH,
                    "Session Manager": {"Memory Management": MEMORY},
                },
                "Services": {"acme": {"Instances": {"a": {"Altitude": builder.sz("1")}}}},
            },
            "Select": {"Current": builder.dword(1), "Failed": builder.dword(2)},
        }
    )
    read = 0
    for seed in range(MUTANTS):
        changed = damaged(image, random.Random(f"settings {seed}"))
        try:
            hive = Hive(changed)
        except FormatError:
            continue
        read += 1
        for item in settings.collect(INSTALL, hive):
            assert isinstance(item, Setting | Gap)
        for item in minifilters.collect(INSTALL, hive, ["acme"]):
            assert isinstance(item, MinifilterInstance | Gap)
    assert read > MUTANTS // 4
