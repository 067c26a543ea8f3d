"""Encrypted disks, and a Windows that is not supported: nothing inside can be judged.

Signatures: libyal "BitLocker Drive Encryption (BDE) format", section "Volume header"; LUKS on-disk
formats 1 and 2. No key material, no metadata: what lies behind the first sector is random.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from recoverykit.model import FileSystem, Kind, Volume
from tests.builders import hive
from tests.scenarios.tree import Builder, Built, Scenario, Truth

FAMILY = "locked"
_MIB = 1 << 20
_ENCRYPTED = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")
_USED_ONLY = bytes.fromhex("3b4da89280dd0e4d9e4eb1e3284eaed8")


def _bitlocker(rng: Random, guid: bytes, *, to_go: bool = False) -> bytes:
    """The first sector of such a volume."""
    sector = bytearray(512)
    sector[:3] = b"\xeb\x58\x90"
    sector[3:11] = b"MSWIN4.1" if to_go else b"-FVE-FS-"
    struct.pack_into("<HB", sector, 11, 512, 8)
    sector[21] = 0xF8
    at = 424 if to_go else 160
    sector[at : at + 16] = guid
    offsets = [_MIB + number * _MIB + rng.randrange(8) * 4096 for number in range(3)]
    struct.pack_into("<3Q", sector, at + 16, *offsets)
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def _luks(rng: Random, version: int) -> bytes:
    return b"LUKS\xba\xbe" + struct.pack(">H", version) + rng.randbytes(504)


def _disk(folder: Path, rng: Random, partitions: list[tuple[int, bytes]]) -> Path:
    """A raw image with an MBR; each partition has 4 MiB: (type, first sector)."""
    data = bytearray((1 + 4 * len(partitions)) * _MIB)
    table = b""
    for number, (kind, first) in enumerate(partitions):
        start = (1 + 4 * number) * _MIB
        table += struct.pack("<B3sB3sII", 0, b"\0\0\2", kind, b"\0\0\2", start // 512, 8192)
        data[start : start + 512] = first
        data[start + 4096 : start + 8192] = rng.randbytes(4096)
    struct.pack_into("<I", data, 440, rng.getrandbits(32))
    data[446 : 446 + len(table)] = table
    data[510:512] = b"\x55\xaa"
    return _raw(folder, bytes(data))


def _raw(folder: Path, data: bytes) -> Path:
    path = folder / "disk.img"
    path.write_bytes(data)
    return path


def _image(why: str, make: Callable[[Random, Path], Path]) -> Builder:
    def build(rng: Random, folder: Path) -> Built:
        path = make(rng, folder)
        volume = Volume(str(path), FileSystem.OTHER, path)
        truth = Truth(Kind.LOCKED, frozenset(), why)
        return Built(truth, folder, volume, image=path)

    return build


def _bitlocker_disk(rng: Random, folder: Path) -> Path:
    return _disk(folder, rng, [(7, _bitlocker(rng, _ENCRYPTED))])


def _used_space_disk(rng: Random, folder: Path) -> Path:
    """With an unencrypted boot partition before it that holds no Windows."""
    return _disk(folder, rng, [(0x27, bytes(512)), (7, _bitlocker(rng, _USED_ONLY))])


def _to_go(rng: Random, folder: Path) -> Path:
    return _disk(folder, rng, [(0x0C, _bitlocker(rng, _ENCRYPTED, to_go=True))])


def _whole(rng: Random, folder: Path) -> Path:
    """No partition table: the volume's own image."""
    return _raw(folder, _bitlocker(rng, _ENCRYPTED) + bytes(4096 - 512) + rng.randbytes(4 * _MIB))


def _luks_disk(rng: Random, folder: Path) -> Path:
    return _disk(folder, rng, [(0x83, _luks(rng, rng.choice((1, 2))))])


# --- too old ------------------------------------------------------------------------------


def _windows(why: str, version: str, build_number: str, lab: str, arch: str) -> Builder:
    """A Windows we do not support, as far as its hives say."""

    def build(rng: Random, folder: Path) -> Built:
        root = folder / "windows"
        top = "WINDOWS" if version.startswith("5") else "Windows"
        config = root / top / ("system32/config" if version.startswith("5") else "System32/config")
        config.mkdir(parents=True)
        drivers = config.parent / "drivers"
        drivers.mkdir()
        when = datetime(2009, rng.randint(1, 12), rng.randint(1, 28), 9, 30, tzinfo=UTC)
        services: dict[str, hive.Tree] = {
            name: {
                "Type": hive.dword(1),
                "Start": hive.dword(0),
                "ErrorControl": hive.dword(1),
                "ImagePath": hive.expand_sz(f"system32\\DRIVERS\\{name}.sys"),
            }
            for name in ("ACPI", "atapi", "Disk", "PartMgr", "Ftdisk", "MountMgr")
        }
        environment = {"PROCESSOR_ARCHITECTURE": hive.sz(arch)}
        system: hive.Tree = {
            "ControlSet001": {
                "Control": {"Session Manager": {"Environment": environment}},
                "Services": services,
            },
            "Select": {"Current": hive.dword(1), "Default": hive.dword(1)},
        }
        current = {
            "ProductName": hive.sz(
                "Microsoft Windows XP" if version == "5.1" else "Windows Server"
            ),
            "CurrentVersion": hive.sz(version),
            "CurrentBuildNumber": hive.sz(build_number),
            "BuildLab": hive.sz(lab),
        }
        software: hive.Tree = {"Microsoft": {"Windows NT": {"CurrentVersion": current}}}
        (config / "system").write_bytes(hive.build(system, minor=3, when=when))
        (config / "software").write_bytes(hive.build(software, name="software", minor=3, when=when))
        volume = Volume(str(root), FileSystem.NTFS, root)
        return Built(Truth(Kind.LOCKED, frozenset(), why), root, volume)

    return build


SCENARIOS = tuple(
    Scenario(f"locked-{name}", FAMILY, Kind.LOCKED, build)
    for name, build in (
        ("bitlocker", _image("The only volume is BitLocker's.", _bitlocker_disk)),
        ("bitlocker-used-space", _image("Windows is behind BitLocker.", _used_space_disk)),
        ("bitlocker-to-go", _image("The only volume is BitLocker To Go's.", _to_go)),
        ("bitlocker-volume", _image("An image of a BitLocker volume.", _whole)),
        ("luks", _image("The disk is encrypted by LUKS.", _luks_disk)),
        (
            "windows-xp",
            _windows("Windows XP is not supported.", "5.1", "2600", "2600.xpsp_sp3_gdr", "x86"),
        ),
        (
            "itanium",
            _windows("No Itanium is supported.", "6.0", "6002", "6002.vistasp2_gdr", "IA64"),
        ),
    )
)
