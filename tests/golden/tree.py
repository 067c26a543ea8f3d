"""The Windows of the golden trees: small, but with all that names a driver and all that NTFS keeps.

Every file has what Windows gives it: a descriptor, attributes, times, and a short name. A name that
already is a short one is stored once, as both: to ntfs-3g, its short name is the name itself.
Keys and values as in windows-boot-facts section 2 and the real hives of ../shared/data.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recoverykit.model import Disk, FileSystem, Volume
from tests.builders import hive as builder
from tests.builders import pe, wof
from tests.builders.hive import Raw, dword, expand_sz, multi_sz, sz
from tests.repair.ntfs import _INSTALLER as INSTALLER
from tests.repair.ntfs import _SYSTEM as LOCAL_SYSTEM
from tests.repair.ntfs import CREATED, DRIVER_SECURITY, HIVE_SECURITY, descriptor

DRIVERS = "Windows/System32/drivers"
CONFIG = "Windows/System32/config"
SYSTEM, LOG1, LOG2 = (f"{CONFIG}/SYSTEM{suffix}" for suffix in ("", ".LOG1", ".LOG2"))
ACME = f"{DRIVERS}/acme.sys"
ARCHIVE = 0x20
HIDDEN_SYSTEM = 0x06  # and not the archive attribute, which ntfs-3g sets of what it writes to
STORAGE = 0x200 | 0x400  # attributes that say how bytes are stored: sparse, a reparse point
ENTRY_SECURITY = descriptor(LOCAL_SYSTEM, INSTALLER)  # of a key that lets nobody else in

DISKS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
NET = "{4d36e972-e325-11ce-bfc1-08002be10318}"
KEYBOARDS = "{4d36e96b-e325-11ce-bfc1-08002be10318}"
VOLUMES = "{71a27cdd-812a-11d0-bec7-08002be2092f}"
WEBCAM = "USB\\VID_1234&PID_0001\\6&1a2b3c4d&0&1"


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    attributes: int = ARCHIVE
    short: str | None = ""  # "": the name itself; None: it has none
    security: bytes = DRIVER_SECURITY
    packed: str = ""  # "XPRESS4K": as CompactOS leaves it
    streams: Mapping[str, bytes] = field(default_factory=dict)


def driver(
    name: str = "acme.sys", *, company: str = "Acme Inc.", machine: str = "x64", version: str = "7"
) -> File:
    strings = {
        "CompanyName": company,
        "FileDescription": f"{company} driver",
        "FileVersion": f"{version}.1.0.0",
        "InternalName": name,
        "LegalCopyright": f"(C) {company}",
        "ProductName": name,
        "ProductVersion": f"{version}.1",
    }
    return File(pe.driver(strings, machine=machine))


def service(**more: object) -> dict[str, Raw]:
    """Values of a driver's service: numbers, strings and lists as Windows stores them."""
    given = {"Type": 1, "Start": 0, "ErrorControl": 1, **more}
    return {name: _raw(value) for name, value in given.items()}


def _raw(value: object) -> Raw:
    if isinstance(value, Raw):
        return value
    if isinstance(value, int):
        return dword(value)
    return sz(value) if isinstance(value, str) else multi_sz(*_strings(value))


def _strings(value: object) -> tuple[str, ...]:
    assert isinstance(value, tuple)
    return value


def machine(name: str) -> dict[str, Any]:
    return {"Control": {"Session Manager": {"Environment": {"PROCESSOR_ARCHITECTURE": sz(name)}}}}


def control_set() -> dict[str, Any]:
    """One control set of a Windows that starts, with the driver acme as its newest."""
    entry = {"(Default)": sz("Driver")}
    return {
        "Control": {
            "Class": {
                DISKS: {"Class": sz("DiskDrive"), "UpperFilters": multi_sz("partmgr")},
                NET: {"Class": sz("Net"), "0000": {"DriverDesc": sz("Acme Gigabit")}},
                KEYBOARDS: {"Class": sz("Keyboard"), "UpperFilters": multi_sz("kbdclass")},
                VOLUMES: {
                    "Class": sz("Volume"),
                    "UpperFilters": multi_sz("volsnap"),
                    "LowerFilters": multi_sz("fvevol", "iorate"),
                },
            },
            "SafeBoot": {
                "Minimal": {"volsnap.sys": entry, DISKS: {"(Default)": sz("DiskDrive")}},
                "Network": {"volsnap.sys": entry, "good": entry},
            },
            "Session Manager": {
                "BootExecute": multi_sz("autocheck autochk *"),
                "Environment": {"PROCESSOR_ARCHITECTURE": sz("AMD64")},
            },
            "ServiceGroupOrder": {"List": multi_sz("Boot Bus Extender", "Base", "Filter")},
        },
        "Enum": {
            "USB": {"VID_1234&PID_0001": {"6&1a2b3c4d&0&1": {"Service": sz("usbvideo")}}},
            "ROOT": {"ACME": {"0000": {"Service": sz("acme"), "ClassGUID": sz(NET)}}},
        },
        "Services": {
            "acme": service(),
            "good": service(ImagePath=expand_sz("system32\\drivers\\good.sys")),
            "partmgr": service(Group="Boot Bus Extender"),
            "usbvideo": service(Start=3),
        },
    }


BASE: dict[str, Any] = {
    "Select": {
        "Current": dword(1),
        "Default": dword(1),
        "Failed": dword(0),
        "LastKnownGood": dword(1),
    },
    "ControlSet001": control_set(),
}
SOFTWARE = {
    "Microsoft": {
        "Windows NT": {
            "CurrentVersion": {"ProductName": sz("Windows 10 Pro"), "CurrentBuild": sz("19045")}
        }
    }
}


def merged(tree: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A tree with another laid over it; None takes away."""
    made = dict(tree)
    for name, content in more.items():
        under = made.get(name)
        if content is None:
            del made[name]
        elif isinstance(content, Mapping):
            made[name] = merged(under if isinstance(under, Mapping) else {}, content)
        else:
            made[name] = content
    return made


# --- on a volume --------------------------------------------------------------------------


def hive(content: bytes) -> File:
    return File(content, HIDDEN_SYSTEM, security=HIVE_SECURITY)


def files() -> dict[str, File]:
    return {
        f"{CONFIG}/SOFTWARE": hive(builder.build(SOFTWARE, name="SOFTWARE")),
        LOG1: hive(bytes(8192)),
        LOG2: hive(b""),
        ACME: driver(),
        f"{DRIVERS}/good.sys": driver("good.sys", company="Good Corporation"),
        f"{DRIVERS}/partmgr.sys": driver("partmgr.sys", company="Microsoft Corporation"),
        "Windows/System32/ntoskrnl.exe": File(b"MZ kernel" * 99),
        "Windows/Panther/a rather long name.log": File(b"log", short="ARATHE~1.LOG"),
        "Users/acme/letter.txt": File(b"Dear Sirs"),
    }


def put(root: Path, name: str, file: File) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.packed:
        _put_packed(path, file)
    else:
        path.write_bytes(file.content)
    for stream, content in file.streams.items():
        os.setxattr(path, f"user.{stream}", content)


def _put_packed(path: Path, file: File) -> None:
    """As `wof.write`, on a volume that shows streams as extended attributes."""
    path.write_bytes(b"")
    os.truncate(path, len(file.content))
    os.setxattr(path, "user.WofCompressedData", wof.stream(file.packed, file.content))
    os.setxattr(path, "system.ntfs_reparse_data", wof.reparse(file.packed), follow_symlinks=False)


def dress(root: Path, name: str, file: File) -> None:
    """Short name first: a file of several links can get none. The times last."""
    path = root / name
    if file.short is not None:
        short = (file.short or path.name).encode()
        os.setxattr(path, "system.ntfs_dos_name", short, follow_symlinks=False)
    os.setxattr(path, "system.ntfs_acl", file.security, follow_symlinks=False)
    now = os.getxattr(path, "system.ntfs_attrib_be", follow_symlinks=False)
    kept = int.from_bytes(now, "big") & 0x400  # that it is a reparse point
    attributes = (file.attributes | kept).to_bytes(4, "big")
    os.setxattr(path, "system.ntfs_attrib_be", attributes, follow_symlinks=False)


def stamp(root: Path, name: str) -> None:
    """Times of its own for every file."""
    step = zlib.crc32(name.encode("utf-8", "surrogatepass")) * 10_000
    times = struct.pack(">4Q", CREATED + step, CREATED + 2 * step, CREATED + 3 * step, 0)
    os.setxattr(root / name, "system.ntfs_times_be", times, follow_symlinks=False)


def volume(image: Path, root: Path) -> Volume:
    """As the survey of an image tells it: a disk that was read with no driver of its Windows."""
    disk = Disk(image, image.stat().st_size, 512, "none")
    return Volume("disk.img", FileSystem.NTFS, root, size=disk.size, disk=disk)
