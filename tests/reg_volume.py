"""A folder that is a Windows volume as far as a registry goes: hives, profiles, nothing else."""

from __future__ import annotations

from pathlib import Path

from recoverykit import installs
from recoverykit.model import FileSystem, Volume, WindowsInstall
from tests.builders import hive as builder

CONFIG = "Windows/System32/config"
SYSTEM, SOFTWARE = f"{CONFIG}/SYSTEM", f"{CONFIG}/SOFTWARE"
SID = "S-1-5-21-1-2-3-1001"
ACME = "ControlSet002\\Services\\Acme"

SYSTEM_TREE: builder.Tree = {
    "Select": {"Current": builder.dword(2), "Default": builder.dword(2)},
    "ControlSet001": {"Services": {}},
    "ControlSet002": {
        "Services": {
            "Acme": {
                "Type": builder.dword(1),
                "Start": builder.dword(3),
                "ImagePath": builder.expand_sz("system32\\drivers\\acme.sys"),
                "List": builder.multi_sz("eins", "zwei"),
                "": builder.sz("default"),
                "Parameters": {"Evil\x1b[2J\u202e": builder.sz("\x1b[31mred\u202e")},
            },
            "disk": {"Type": builder.dword(1), "Start": builder.dword(0)},
        }
    },
}
SOFTWARE_TREE: builder.Tree = {
    "Microsoft": {
        "Windows NT": {
            "CurrentVersion": {
                "ProductName": builder.sz("Windows 10 Pro"),
                "CurrentBuild": builder.sz("19045"),
                "ProfileList": {SID: {"ProfileImagePath": builder.expand_sz("C:\\Users\\Anna")}},
            }
        }
    }
}
FILES: dict[str, builder.Tree] = {
    SYSTEM: SYSTEM_TREE,
    SOFTWARE: SOFTWARE_TREE,
    f"{CONFIG}/DEFAULT": {"Console": {}},
    f"{CONFIG}/sam": {"SAM": {}},
    "Users/Anna/NTUSER.DAT": {"Software": {"Acme": {"x": builder.dword(1)}}},
    "Users/Anna/AppData/Local/Microsoft/Windows/UsrClass.dat": {"Local Settings": {}},
    "Windows/ServiceProfiles/LocalService/NTUSER.DAT": {"Software": {}},
}


def build(mount: Path, folder: str = "Windows") -> Path:
    """Write the volume's files below `mount`."""
    for name, tree in FILES.items():
        path = mount / name.replace("Windows/", f"{folder}/", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(builder.build(tree, name=path.name))
    (mount / "Users/Public").mkdir(exist_ok=True)
    return mount


def install(mount: Path) -> WindowsInstall:
    (found,), _ = installs.find(Volume(str(mount), FileSystem.OTHER, mount), mount)
    return found
