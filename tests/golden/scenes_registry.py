"""Scenes about what names a driver in the registry.

Values of filter lists: Microsoft Learn, "Device filter driver ordering"; of pending renames:
"MoveFileExW" and the hives regipy_SYSTEM_B and regipy_SYSTEM_WIN_10_1709 of ../shared/data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.builders.hive import Node, Raw, dword, multi_sz, sz
from tests.golden import tree
from tests.golden.scene import Asked, Scene, Was
from tests.golden.tree import DISKS, KEYBOARDS, NET, VOLUMES, WEBCAM, service

ONE, TWO = "ControlSet001", "ControlSet002"
ACME = f"{ONE}\\Services\\acme"
Values = dict[str, tuple[Was, Was]]

BOOT, OFF = dword(0), dword(4)
START: Values = {f"{ACME}!Start": (BOOT, OFF)}
START_OF_TWO: Values = {f"{TWO}\\Services\\acme!Start": (BOOT, OFF)}


def at(path: str, content: dict[str, Any]) -> dict[str, Any]:
    """Content below a key of the first control set."""
    for name in reversed(path.split("\\")):
        content = {name: content}
    return {ONE: content}


def class_filter(guid: str, name: str, was: Raw, becomes: Was) -> dict[str, Any]:
    key = f"Control\\Class\\{guid}"
    values = {**START, f"{ONE}\\{key}!{name}": (was, becomes)}
    return {"registry": at(key, {name: was}), "values": values}


def renames(*strings: str) -> Raw:
    """Pairs of a source and a destination, which may be empty."""
    data = "".join(f"{text}\0" for text in strings).encode("utf-16-le")
    return Raw(7, data + b"\0\0")


def pending(name: str, was: Raw, becomes: Was) -> dict[str, Any]:
    key = "Control\\Session Manager"
    values = {**START, f"{ONE}\\{key}!{name}": (was, becomes)}
    return {"registry": at(key, {name: was}), "values": values}


def second_set(
    current: int, last_good: int, more: Mapping[str, Any], failed: int = 0
) -> dict[str, Any]:
    """Two control sets, the second with `more`."""
    return {
        "Select": {
            "Current": dword(current),
            "Default": dword(current),
            "LastKnownGood": dword(last_good),
            "Failed": dword(failed),
        },
        TWO: tree.merged(tree.control_set(), more),
    }


HALF = Raw(7, b"h\0\x3d\xd8\0\0" + "acme\0other\0\0".encode("utf-16-le"))  # half a pair in a name
HALF_LEFT = Raw(7, b"h\0\x3d\xd8\0\0" + "other\0\0".encode("utf-16-le"))
NEW = "\\??\\C:\\Windows\\System32\\drivers\\SETEAC4.tmp"
PLACE = "\\??\\C:\\Windows\\System32\\drivers\\acme.sys"
ELSEWHERE = ("\\??\\C:\\Users\\a\\x.tmp", "", "\\??\\C:\\Config.Msi\\a.rbf", "!\\??\\C:\\b.dll")
KEYBOARD_UPPER: dict[str, Any] = {
    "Control": {"Class": {KEYBOARDS: {"UpperFilters": multi_sz("acme", "kbdclass")}}}
}
KEYBOARD_CHANGE = (multi_sz("acme", "kbdclass"), multi_sz("kbdclass"))

SERVICES = [
    Scene("a plain boot-start driver", values=START),
    Scene(
        "StartOverride of several profiles",
        registry=at(
            "Services\\acme\\StartOverride",
            {"0": BOOT, "1": OFF, "2": dword(3), "note": sz("x")},
        ),
        values={
            **START,
            f"{ACME}\\StartOverride!0": (BOOT, OFF),
            f"{ACME}\\StartOverride!2": (dword(3), OFF),
        },
    ),
    Scene(
        "a minifilter, whose instances stay",
        registry=at(
            "Services\\acme",
            {
                **service(Type=2, Group="FSFilter Activity Monitor", DependOnService=("FltMgr",)),
                "Instances": {
                    "DefaultInstance": sz("Acme Instance"),
                    "Acme Instance": {"Altitude": sz("385100.7"), "Flags": dword(0)},
                },
                "Parameters": {"Instances": {"Acme Two": {"Altitude": sz("385101")}}},
            },
        ),
        values=START,
        stays=(
            ("minifilter instance", "acme\\Instances\\Acme Instance"),
            ("minifilter instance", "acme\\Parameters\\Instances\\Acme Two"),
        ),
    ),
    Scene(
        "two services of one file",
        registry=at(
            "Services\\acme2",
            service(Start=1, ImagePath="\\SystemRoot\\system32\\DRIVERS\\ACME.sys"),
        ),
        values={**START, f"{ONE}\\Services\\acme2!Start": (dword(1), OFF)},
    ),
    Scene(
        "dependents of three kinds",
        registry=at(
            "Services",
            {
                "acme": {"Group": sz("Acme Group")},
                "acmedep": service(Start=3, DependOnService=("ACME", "good")),
                "AcmeSvc": service(Type=16, Start=2, DependOnService=("RpcSs", "acme")),
                "AcmeGrp": service(Type=32, Start=2, DependOnGroup=("Acme Group",)),
            },
        ),
        values=START,
        stays=(
            ("dependent", "Services\\AcmeGrp"),
            ("dependent", "Services\\AcmeSvc"),
            ("dependent", "Services\\acmedep"),
        ),
    ),
    Scene(
        "a part of Windows is refused",
        asked=Asked("partmgr.sys", "partmgr"),
        moved=(),
        refused="must not be disabled",
    ),
]

FILTERS = [
    Scene(
        "class filter, the first",
        **class_filter(DISKS, "UpperFilters", multi_sz("acme", "partmgr"), multi_sz("partmgr")),
    ),
    Scene(
        "class filter in the middle, in capitals",
        **class_filter(
            DISKS,
            "UpperFilters",
            multi_sz("partmgr", "ACME", "other"),
            multi_sz("partmgr", "other"),
        ),
    ),
    Scene(
        "class filter, the last",
        **class_filter(DISKS, "UpperFilters", multi_sz("partmgr", "acme"), multi_sz("partmgr")),
    ),
    Scene(
        "class filter, the only one",
        **class_filter(NET, "UpperFilters", multi_sz("acme"), None),
    ),
    Scene(
        "class filter, a lower one",
        **class_filter(
            VOLUMES,
            "LowerFilters",
            multi_sz("fvevol", "acme", "iorate"),
            multi_sz("fvevol", "iorate"),
        ),
    ),
    Scene(
        "class filter listed twice",
        **class_filter(
            KEYBOARDS, "UpperFilters", multi_sz("acme", "kbdclass", "Acme"), multi_sz("kbdclass")
        ),
    ),
    Scene(
        "class filter as a plain string",
        **class_filter(KEYBOARDS, "LowerFilters", sz("acme"), None),
    ),
    Scene(
        "class filter beside half a character",
        **class_filter(KEYBOARDS, "LowerFilters", HALF, HALF_LEFT),
    ),
    Scene(
        "filter of devices that are new, on Windows 7",
        registry=at(
            "Control\\CriticalDeviceDatabase",
            {
                "*PNP0F03": {"Service": sz("i8042prt"), "UpperFilters": multi_sz("acme")},
                "PCI#VEN_15AD": {"Service": sz("acme")},
            },
        ),
        values={
            **START,
            f"{ONE}\\Control\\CriticalDeviceDatabase\\*PNP0F03!UpperFilters": (
                multi_sz("acme"),
                None,
            ),
        },
    ),
    Scene(
        "filter of crash dumps",
        registry=at("Control\\CrashControl", {"DumpFilters": multi_sz("dumpfve.sys", "Acme.sys")}),
        values={
            **START,
            f"{ONE}\\Control\\CrashControl!DumpFilters": (
                multi_sz("dumpfve.sys", "Acme.sys"),
                multi_sz("dumpfve.sys"),
            ),
        },
    ),
    Scene(
        "filter of two classes",
        registry=at(
            "Control\\Class",
            {
                NET: {"LowerFilters": multi_sz("acme")},
                KEYBOARDS: {"UpperFilters": multi_sz("acme", "kbdclass")},
            },
        ),
        values={
            **START,
            f"{ONE}\\Control\\Class\\{NET}!LowerFilters": (multi_sz("acme"), None),
            f"{ONE}\\Control\\Class\\{KEYBOARDS}!UpperFilters": KEYBOARD_CHANGE,
        },
    ),
    Scene(
        "device filter",
        registry=at(
            f"Enum\\{WEBCAM}",
            {"LowerFilters": multi_sz("acme"), "UpperFilters": multi_sz("ksthunk", "acme")},
        ),
        values={
            **START,
            f"{ONE}\\Enum\\{WEBCAM}!LowerFilters": (multi_sz("acme"), None),
            f"{ONE}\\Enum\\{WEBCAM}!UpperFilters": (
                multi_sz("ksthunk", "acme"),
                multi_sz("ksthunk"),
            ),
        },
    ),
    Scene(
        "a filter left dangling by a disabled driver",
        registry={ONE: {**KEYBOARD_UPPER, "Services": {"acme": {"Start": OFF}}}},
        values={f"{ONE}\\Control\\Class\\{KEYBOARDS}!UpperFilters": KEYBOARD_CHANGE},
    ),
]

SETS = [
    Scene(
        "filter in both control sets",
        registry=second_set(1, 2, KEYBOARD_UPPER) | {ONE: KEYBOARD_UPPER},
        values={
            **START,
            **START_OF_TWO,
            f"{ONE}\\Control\\Class\\{KEYBOARDS}!UpperFilters": KEYBOARD_CHANGE,
            f"{TWO}\\Control\\Class\\{KEYBOARDS}!UpperFilters": KEYBOARD_CHANGE,
        },
    ),
    Scene(
        "the control set that failed stays as it is",
        registry=second_set(1, 1, KEYBOARD_UPPER, failed=2),
        values=START,
    ),
    Scene(
        "the second control set is in use, the first the last good one",
        registry=second_set(2, 1, KEYBOARD_UPPER),
        values={
            **START,
            **START_OF_TWO,
            f"{TWO}\\Control\\Class\\{KEYBOARDS}!UpperFilters": KEYBOARD_CHANGE,
        },
    ),
    Scene(
        "the last good one does not know the driver",
        registry=second_set(1, 2, {"Services": {"acme": None}}),
        values=START,
    ),
    Scene(
        "no last good control set",
        registry={"Select": {"LastKnownGood": None, "Default": None, "Failed": None}},
        values=START,
    ),
]

ENTRY = {"(Default)": sz("Driver")}
PRIVATE = Node(
    {**ENTRY, "Parameters": {"list": multi_sz("b", "a"), "deep": {"x": dword(7)}}},
    security=tree.ENTRY_SECURITY,
)
SAFE_MODE = [
    Scene(
        "safe mode, by service and by file, with keys below",
        registry={
            ONE: {
                "Control": {
                    "SafeBoot": {
                        "Minimal": {"ACME": PRIVATE},
                        "Network": {"acme.sys": ENTRY, "acme": Node({}, class_name="Service")},
                    }
                }
            }
        },
        values=START,
        keys=tuple(
            f"{ONE}\\Control\\SafeBoot\\{name}"
            for name in ("Minimal\\ACME", "Network\\acme", "Network\\acme.sys")
        ),
    ),
    Scene(
        "safe mode of the last good control set",
        registry=second_set(1, 2, {"Control": {"SafeBoot": {"Minimal": {"acme": ENTRY}}}}),
        values={**START, **START_OF_TWO},
        keys=(f"{TWO}\\Control\\SafeBoot\\Minimal\\acme",),
    ),
]

FIRST, SECOND = "PendingFileRenameOperations", "PendingFileRenameOperations2"
RENAMES = [
    Scene(
        "pending rename, one of three",
        **pending(
            FIRST,
            renames(*ELSEWHERE[:2], NEW, PLACE, *ELSEWHERE[2:]),
            renames(*ELSEWHERE),
        ),
    ),
    Scene("pending rename, the only one", **pending(FIRST, renames(NEW, PLACE), None)),
    Scene(
        "pending rename in the second value, replacing, in another case",
        **pending(
            SECOND,
            renames(NEW, "!\\??\\c:\\WINDOWS\\system32\\DRIVERS\\Acme.SYS", *ELSEWHERE),
            renames(*ELSEWHERE),
        ),
    ),
    Scene(
        "pending renames of every spelling",
        **pending(
            FIRST,
            renames(
                *(f"*1{NEW}", f"!{PLACE}"),
                *ELSEWHERE,
                *(NEW, "\\SystemRoot\\System32\\drivers\\acme.sys"),
                *(NEW, "\\Device\\HarddiskVolume3\\Windows\\System32\\drivers\\acme.sys"),
            ),
            renames(*ELSEWHERE),
        ),
    ),
    Scene(
        "pending deletions and moves of the driver stay",
        registry=at(
            "Control\\Session Manager",
            {FIRST: renames(PLACE, "", f"*1{PLACE}", "", PLACE, "\\??\\C:\\acme.old", *ELSEWHERE)},
        ),
        values=START,
    ),
]
