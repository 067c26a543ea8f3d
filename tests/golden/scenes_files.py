"""Scenes about files: how NTFS keeps them, and where a driver's parts lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from recoverykit.model import Kind
from tests.builders import hive as builder
from tests.builders import inf
from tests.builders.hive import dword, expand_sz, sz
from tests.golden import tree
from tests.golden.scene import Asked, Scene
from tests.golden.scenes_registry import OFF, ONE, PLACE, START, at, renames
from tests.golden.tree import ACME, DRIVERS, KEYBOARDS, NET, File
from tests.repair.ntfs import HIVE_SECURITY

OLD = tree.driver()
GOOD = tree.driver(version="6").content
STORE = "Windows/System32/DriverStore/FileRepository/acme.inf_amd64_0123456789abcdef"
TWIN = "Windows/WinSxS/amd64_acme_31bf3856ad364e35_10.0.19041.1_none_0123/acme.sys"
CONTENT = f"{DRIVERS}/acme/C-00000291-00000000-00000032.sys"
ELAM = "Windows/ELAMBKUP/acme.sys"
PUT = Asked(path=ACME, put=GOOD)


def named(file: str) -> dict[str, object]:
    """The service loads another file."""
    return at("Services\\acme", {"ImagePath": expand_sz(f"\\SystemRoot\\{file}")})


LONG = f"{DRIVERS}/acme filter driver.sys"
WIDE = f"{DRIVERS}/Äcme-Filter-驅動.sys"
BY_SHORT_NAME = renames("\\??\\C:\\a.tmp", "\\??\\C:\\Windows\\System32\\drivers\\ACMEFI~1.SYS")
ASTRAL = f"{DRIVERS}/acme😀.sys"

NAMES = [
    Scene(
        "a long name with a short one",
        registry=named("System32\\drivers\\acme filter driver.sys"),
        files={ACME: None, LONG: replace(OLD, short="ACMEFI~1.SYS")},
        asked=Asked("acme filter driver.sys"),
        values=START,
        moved=(LONG,),
    ),
    Scene(
        "a pending rename by the short name",
        registry={
            ONE: {
                "Services": {
                    "acme": {"ImagePath": expand_sz("System32\\drivers\\acme filter driver.sys")}
                },
                "Control": {"Session Manager": {"PendingFileRenameOperations": BY_SHORT_NAME}},
            }
        },
        files={ACME: None, LONG: replace(OLD, short="ACMEFI~1.SYS")},
        asked=Asked("acme filter driver.sys"),
        values={
            **START,
            f"{ONE}\\Control\\Session Manager!PendingFileRenameOperations": (BY_SHORT_NAME, None),
        },
        moved=(LONG,),
    ),
    Scene(
        "a long name without a short one",
        registry=named("System32\\drivers\\acme filter driver.sys"),
        files={ACME: None, LONG: replace(OLD, short=None)},
        asked=Asked("acme filter driver.sys"),
        values=START,
        moved=(LONG,),
    ),
    Scene(
        "names that are not ASCII",
        registry={
            ONE: {
                "Services": {
                    "acme": None,
                    "Äcme-Filter": tree.service(
                        ImagePath=expand_sz("System32\\Drivers\\ÄCME-FILTER-驅動.SYS")
                    ),
                },
                "Control": {"Class": {NET: {"UpperFilters": builder.multi_sz("äCME-fILTER")}}},
            }
        },
        files={ACME: None, WIDE: replace(OLD, short="CME-FI~1.SYS")},
        asked=Asked("äcme-filter-驅動.sys", "Äcme-Filter"),
        values={
            f"{ONE}\\Services\\Äcme-Filter!Start": (dword(0), OFF),
            f"{ONE}\\Control\\Class\\{NET}!UpperFilters": (
                builder.multi_sz("äCME-fILTER"),
                None,
            ),
        },
        moved=(WIDE,),
    ),
    Scene(
        "names beyond the first plane",
        registry={
            ONE: {
                "Services": {
                    "acme": None,
                    "acme😀": tree.service(ImagePath=expand_sz("System32\\Drivers\\acme😀.sys")),
                },
                "Control": {"Class": {NET: {"UpperFilters": builder.multi_sz("acme😀", "b")}}},
            }
        },
        files={ACME: None, ASTRAL: replace(OLD, short="ACME~1.SYS")},
        asked=Asked("acme😀.sys", "acme😀"),
        values={
            f"{ONE}\\Services\\acme😀!Start": (dword(0), OFF),
            f"{ONE}\\Control\\Class\\{NET}!UpperFilters": (
                builder.multi_sz("acme😀", "b"),
                builder.multi_sz("b"),
            ),
        },
        moved=(ASTRAL,),
    ),
    Scene(
        "folders and hives in another case",
        spelled={"Windows": "WINDOWS", "System32": "system32", "config/SYSTEM": "config/system"},
        values=START,
    ),
]

PLACES = [
    Scene(
        "a driver in the DriverStore, with its package",
        registry={
            **named(f"System32\\DriverStore\\FileRepository\\{STORE.rpartition('/')[2]}\\acme.sys"),
            "DriverDatabase": {
                "DriverInfFiles": {"oem7.inf": {"Active": sz(STORE.rpartition("/")[2])}}
            },
        },
        files={
            ACME: None,
            f"{STORE}/acme.sys": OLD,
            f"{STORE}/acme.inf": File(inf.build(inf.Driver())),
            "Windows/INF/oem7.inf": File(inf.build(inf.Driver())),
        },
        values=START,
        moved=(f"{STORE}/acme.sys",),
        stays=(("driver package", STORE),),
    ),
    Scene(
        "early launch, with its backup copy",
        registry=at("Services\\acme", {"Group": sz("Early-Launch")}),
        files={ELAM: replace(OLD, security=HIVE_SECURITY)},
        values=START,
        moved=(ACME, ELAM),
    ),
    Scene(
        "early launch, with a backup copy of several links, which stays",
        registry=at("Services\\acme", {"Group": sz("Early-Launch")}),
        files={ELAM: OLD},
        links={TWIN: ELAM},
        values=START,
        stays=(("ELAM backup", ELAM),),
    ),
    Scene(
        "early launch, with its backup copy elsewhere and no driver",
        registry={
            ONE: {
                "Services": {"acme": {"Group": sz("Early-Launch")}},
                "Control": {"EarlyLaunch": {"BackupPath": sz("C:\\Windows\\Elsewhere\\")}},
            }
        },
        files={ACME: None, "Windows/Elsewhere/ACME.SYS": OLD},
        values=START,
        moved=("Windows/Elsewhere/ACME.SYS",),
    ),
    Scene(
        "a data file is the culprit",
        files={CONTENT: File(bytes(40_000))},
        asked=Asked(CONTENT.rpartition("/")[2].lower(), kind=Kind.CONTENT, path=CONTENT),
        moved=(CONTENT,),
    ),
    Scene(
        "data files of a driver stay",
        files={CONTENT: File(b"\xaa" * 40_000), f"{DRIVERS}/acme/rules.dat": File(b"rules")},
        values=START,
        stays=(("content file", CONTENT), ("content file", "acme/rules.dat")),
    ),
    Scene("a driver without a file", files={ACME: None}, values=START, moved=()),
    Scene(
        "32-bit Windows",
        registry=at("Control\\Session Manager\\Environment", {"PROCESSOR_ARCHITECTURE": sz("x86")}),
        files={ACME: tree.driver(machine="x86")},
        values=START,
    ),
]

KEPT = [
    Scene(
        "read-only, hidden, system",
        files={ACME: replace(OLD, attributes=0x27)},
        values=START,
    ),
    Scene(
        "a stream with the mark of the web",
        files={ACME: replace(OLD, streams={"Zone.Identifier": b"[ZoneTransfer]\r\nZoneId=3"})},
        values=START,
    ),
    Scene(
        "compressed by CompactOS",
        files={ACME: replace(OLD, packed="XPRESS4K")},
        values=START,
    ),
    Scene(
        "hard-linked into WinSxS: it stays, disabled",
        links={TWIN: ACME},
        values=START,
        moved=(),
        stays=(("driver file", ACME),),
    ),
    Scene(
        "a long name, hard-linked: it stays, disabled",
        registry=named("System32\\drivers\\acme filter driver.sys"),
        files={ACME: None, LONG: replace(OLD, short=None)},
        links={TWIN: LONG},
        asked=Asked("acme filter driver.sys"),
        values=START,
        moved=(),
        stays=(("driver file", LONG),),
    ),
]

REPLACED = [
    Scene("replaced", asked=PUT, moved=(), replaced=(ACME,)),
    Scene(
        "replaced, read-only and with a stream",
        files={ACME: replace(OLD, attributes=0x21, streams={"Zone.Identifier": b"ZoneId=3"})},
        asked=PUT,
        moved=(),
        replaced=(ACME,),
    ),
    Scene(
        "replaced, hard-linked into WinSxS, which keeps the old bytes",
        links={TWIN: ACME, f"{STORE}/acme.sys": ACME},
        asked=PUT,
        moved=(),
        replaced=(ACME,),
        stays=(("hard link", ACME),),
    ),
    Scene(
        "replaced, a long name with a short one",
        files={LONG: replace(OLD, short="ACMEFI~1.SYS")},
        asked=Asked("acme filter driver.sys", path=LONG, put=GOOD),
        moved=(),
        replaced=(LONG,),
    ),
    Scene(
        "a short name that could not be put back is not taken",
        files={LONG: replace(OLD, short="ACMEFI~1.SYS")},
        links={TWIN: LONG},
        asked=Asked("acme filter driver.sys", path=LONG, put=GOOD),
        moved=(),
        stays=(("hard link", LONG),),
        refused="short name",
    ),
    Scene(
        "replaced, compressed by CompactOS",
        files={ACME: replace(OLD, packed="LZX")},
        asked=PUT,
        moved=(),
        replaced=(ACME,),
    ),
    Scene(
        "replaced, and no pending rename replaces it again",
        registry=at(
            "Control\\Session Manager",
            {"PendingFileRenameOperations": renames("a", PLACE, "b", "")},
        ),
        asked=PUT,
        values={
            f"{ONE}\\Control\\Session Manager!PendingFileRenameOperations": (
                renames("a", PLACE, "b", ""),
                renames("b", ""),
            )
        },
        moved=(),
        replaced=(ACME,),
    ),
    Scene("missing, put back", files={ACME: None}, asked=PUT, moved=(), made=(ACME,)),
]


def _soiled(clean: bytes) -> Mapping[str, bytes]:
    """Windows was cut off before it wrote to the hive what its log has."""
    primary, log = builder.dirty_with_log(_stale(), clean)
    return {tree.SYSTEM: primary, tree.LOG1: log}


def _soiled_as_by_windows_7(clean: bytes) -> Mapping[str, bytes]:
    primary, log = builder.dirty_with_bitmap_log(_stale(), clean)
    return {tree.SYSTEM: primary, tree.LOG1: log}


def _stale() -> bytes:
    return builder.build(tree.merged(tree.BASE, at("Services\\good", {"Start": dword(3)})))


GROWN = {"Blob": builder.binary(bytes(range(256)) * 40)}
FILTER = builder.multi_sz("acme", "kbdclass")
HIVES = [
    Scene("a dirty hive with its log", values=START, hive=_soiled),
    Scene("a dirty hive of Windows 7", values=START, hive=_soiled_as_by_windows_7),
    Scene(
        "a dirty hive that its log makes longer, with more than numbers to change",
        registry={
            ONE: {
                "Services": {"good": GROWN},
                "Control": {"Class": {KEYBOARDS: {"UpperFilters": FILTER}}},
            }
        },
        values={
            **START,
            f"{ONE}\\Control\\Class\\{KEYBOARDS}!UpperFilters": (
                FILTER,
                builder.multi_sz("kbdclass"),
            ),
        },
        hive=_soiled,
    ),
    Scene("a hive of the older kind", values=START, minor=3),
]

SCENES = (*NAMES, *PLACES, *KEPT, *REPLACED, *HIVES)
