"""What a boot needs outside the Windows folder: boot store, boot manager, and their volumes.

Layout of store and device elements: windows-boot-facts.md section 4 (from ReactOS, DiscUtils and
phnt); files of an EFI system partition and of a "System Reserved" volume: section 5.
"""

from __future__ import annotations

import os
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path
from random import Random

from recoverykit.model import Disk, FileSystem, Volume
from tests.builders import hive
from tests.scenarios import files
from tests.scenarios.machine import Machine

BOOTMGR = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
GLOBAL = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"
LOADER_SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
MEMDIAG = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
_ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_DATA_TYPE = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
_RECOVERY_TYPE = "de94bba4-06d1-4d40-a16a-bfd50179d6ac"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The disk of a machine."""

    disk: Disk
    system: Volume  # ESP or System Reserved
    windows: Volume
    recovery: Volume
    folder: Path  # where the system volume's files are

    @property
    def volumes(self) -> tuple[Volume, ...]:
        return (self.system, self.windows, self.recovery)


def layout(m: Machine) -> Layout:
    rng, image = m.rng, m.folder / "disk.img"
    size = rng.choice((128, 256, 512)) << 30
    if m.uefi:
        disk = Disk(image, size, 512, "gpt", identity=str(_guid(rng)))
        made = [
            _gpt(rng, disk, 1, _MIB, 100 * _MIB, FileSystem.FAT, _ESP_TYPE),
            _gpt(rng, disk, 3, 117 * _MIB, size - (800 * _MIB), FileSystem.NTFS, _DATA_TYPE),
            _gpt(rng, disk, 4, size - 650 * _MIB, 600 * _MIB, FileSystem.NTFS, _RECOVERY_TYPE),
        ]
    else:
        signature = rng.getrandbits(32)
        disk = Disk(image, size, 512, "mbr", identity=f"{signature:08x}")
        made = [
            _mbr(disk, signature, 1, _MIB, 100 * _MIB),
            _mbr(disk, signature, 2, 101 * _MIB, size - 700 * _MIB),
            _mbr(disk, signature, 3, size - 550 * _MIB, 500 * _MIB),
        ]
    return Layout(disk, made[0], made[1], made[2], m.folder / "system")


def _guid(rng: Random) -> uuid.UUID:
    return uuid.UUID(int=rng.getrandbits(128), version=4)


def _gpt(
    rng: Random, disk: Disk, number: int, at: int, size: int, system: FileSystem, kind: str
) -> Volume:
    return Volume(
        *(f"{disk.path.name}#{number}", system, disk.path, at, size, number),
        identity=f"gpt:{_guid(rng)}",
        serial=f"{rng.getrandbits(32):08x}",
        disk=disk,
        type=kind,
    )


def _mbr(disk: Disk, signature: int, number: int, at: int, size: int) -> Volume:
    return Volume(
        *(f"{disk.path.name}#{number}", FileSystem.NTFS, disk.path, at, size, number),
        identity=f"mbr:{signature:08x}:{at}",
        serial=f"{signature ^ number:08x}",
        disk=disk,
        type="0x07",
    )


# --- the store ----------------------------------------------------------------------------


def device(volume: Volume) -> bytes:
    """A partition, as an element's value has it."""
    assert volume.disk is not None
    scheme, _, rest = volume.identity.partition(":")
    if scheme == "gpt":
        part, number = uuid.UUID(rest).bytes_le, 0
        disk = uuid.UUID(volume.disk.identity).bytes_le
    else:
        signature, _, offset = rest.partition(":")
        part, number = struct.pack("<QQ", int(offset), 0), 1
        disk = struct.pack("<I12x", int(signature, 16))
    record = struct.pack("<IIII", 6, 0, 0x48, 0) + part + struct.pack("<II", 0, number) + disk
    return bytes(16) + record.ljust(0x48, b"\0")


def store(m: Machine, disk: Layout) -> bytes:
    """The boot store of one Windows, WinRE and the memory test."""
    rng = m.rng
    loader, resume, winre, options = (f"{{{_guid(rng)}}}" for _ in range(4))
    system, windows = device(disk.system), device(disk.windows)
    if "wrong-device" in m.faults:
        windows = _moved(windows, rng)
    efi = m.uefi and "wrong-firmware" not in m.faults
    exe = "efi" if efi else "exe"
    elements: dict[str, hive.Raw] = {
        "11000001": hive.binary(windows),
        "12000002": hive.sz(f"\\Windows\\system32\\winload.{exe}"),
        "12000004": hive.sz(f"Windows {'11' if m.profile.build >= 22000 else '10'}"),
        "12000005": hive.sz("en-US"),
        "14000006": hive.multi_sz(LOADER_SETTINGS),
        "14000008": hive.multi_sz(winre),
        "16000009": _yes(),
        "21000001": hive.binary(windows),
        "22000002": hive.sz("\\Windows"),
        "23000003": hive.sz(resume),
        "25000020": hive.binary(struct.pack("<Q", 0)),
        "250000c2": hive.binary(struct.pack("<Q", 1)),
    }
    for name, value in m.boot_entries.items():
        elements[name] = hive.sz(value) if isinstance(value, str) else hive.binary(value)
    manager: dict[str, hive.Raw] = {
        "11000001": hive.binary(system),
        "12000004": hive.sz("Windows Boot Manager"),
        "14000006": hive.multi_sz(GLOBAL),
        "23000003": hive.sz(loader),
        "23000006": hive.sz(resume),
        "24000001": hive.multi_sz(loader),
        "24000010": hive.multi_sz(MEMDIAG),
        "25000004": hive.binary(struct.pack("<Q", 30)),
    }
    if m.uefi:
        manager["12000002"] = hive.sz("\\EFI\\Microsoft\\Boot\\bootmgfw.efi")
    ramdisk = bytes(16) + _ramdisk(disk.recovery)
    objects: dict[str, hive.Tree] = {
        BOOTMGR: _object(0x10100002, manager),
        GLOBAL: _object(0x20100000, {"14000006": hive.multi_sz("{" + GLOBAL[1:])}),
        LOADER_SETTINGS: _object(0x20200003, {"14000006": hive.multi_sz(GLOBAL)}),
        MEMDIAG: _object(
            0x10200005, {"11000001": hive.binary(system), "12000004": hive.sz("Memory Diagnostic")}
        ),
        loader: _object(0x10200003, elements),
        resume: _object(
            0x10200004, {"11000001": hive.binary(windows), "12000004": hive.sz("Resume")}
        ),
        winre: _object(
            0x10200003,
            {
                "11000001": hive.binary(ramdisk),
                "12000002": hive.sz(f"\\windows\\system32\\winload.{exe}"),
                "12000004": hive.sz("Windows Recovery Environment"),
                "21000001": hive.binary(ramdisk),
                "22000002": hive.sz("\\windows"),
                "26000022": _yes(),
                "46000010": _yes(),
            },
        ),
        options: _object(
            0x30000000,
            {
                "31000003": hive.binary(device(disk.recovery)),
                "32000004": hive.sz("\\Recovery\\WindowsRE\\boot.sdi"),
            },
        ),
    }
    if "no-loader" in m.faults:
        del objects[loader], objects[resume]
        for name in ("23000003", "23000006", "24000001"):
            del manager[name]
    if "no-manager" in m.faults:
        del objects[BOOTMGR]
    tree: hive.Tree = {
        "Description": {
            "KeyName": hive.sz("BCD00000000"),
            "System": hive.dword(1),
            "TreatAsSystem": hive.dword(1),
        },
        "Objects": objects,
    }
    return hive.build(tree, name="\\EFI\\Microsoft\\Boot\\BCD", minor=3, when=m.hive_when)


def _ramdisk(volume: Volume) -> bytes:
    """winre.wim on the recovery partition: a disk record of kind ramdisk, see section 4."""
    path = "\\Recovery\\WindowsRE\\Winre.wim\0".encode("utf-16-le")
    parent = device(volume)[16:]
    inner = struct.pack("<III", 1, 12 + len(parent) + len(path), 5) + parent + path
    body = struct.pack("<I20x", 3) + inner
    return struct.pack("<IIII", 0, 1, 16 + len(body), 0) + body


def _object(kind: int, elements: dict[str, hive.Raw]) -> hive.Tree:
    return {
        "Description": {"Type": hive.dword(kind)},
        "Elements": {name: {"Element": value} for name, value in sorted(elements.items())},
    }


def _yes() -> hive.Raw:
    return hive.binary(b"\x01")


def _moved(blob: bytes, rng: Random) -> bytes:
    """The same element for a partition that is no longer there."""
    number = 16 + 16
    scheme = struct.unpack_from("<I", blob, 16 + 0x24)[0]
    other = _guid(rng).bytes_le if scheme == 0 else struct.pack("<QQ", rng.getrandbits(30) << 9, 0)
    return blob[:number] + other + blob[number + 16 :]


# --- files --------------------------------------------------------------------------------


def write(m: Machine) -> Layout:
    """The system volume's files, with what `m.faults` say is wrong."""
    disk = layout(m)
    root = disk.folder
    boot = root / ("EFI/Microsoft/Boot" if m.uefi else "Boot")
    boot.mkdir(parents=True)
    data = store(m, disk)
    if "store-damaged" in m.faults:
        data = data[:4096] + bytes(4096) + data[8192:]
    elif "store-torn" in m.faults:
        data = data[: len(data) // 3]
    if "store-missing" not in m.faults:
        (boot / "BCD").write_bytes(data)
        (boot / "BCD.LOG").write_bytes(b"")
    (boot / "BOOTSTAT.DAT").write_bytes(
        struct.pack("<6I", 4, 24, 0x10000, 24, 24, 0).ljust(0x10000, b"\0")
    )
    if m.uefi:
        image = m.boot_application("bootmgfw.efi", files.EFI_APPLICATION)
        fallback = root / "EFI/Boot"
        fallback.mkdir(parents=True)
        names = {"x64": "bootx64.efi", "arm64": "bootaa64.efi", "x86": "bootia32.efi"}
        name = names[m.profile.machine]
        (fallback / name).write_bytes(image)
        target = boot / "bootmgfw.efi"
    else:
        image = b"\xeb\x3c\x90" + bytes((7 * at + 3) % 251 for at in range(40_000))
        target = root / "bootmgr"
    if "manager-zeroed" in m.faults:
        target.write_bytes(bytes(len(image)))
    elif "manager-empty" in m.faults:
        target.write_bytes(b"")
    elif "manager-missing" not in m.faults:
        target.write_bytes(image)
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (m.serviced.timestamp(), m.serviced.timestamp()))
    return disk
