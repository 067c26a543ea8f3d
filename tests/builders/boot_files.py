"""A disk's way to Windows: an EFI system partition or a BIOS boot folder, with stub loaders.

What bcdboot lays down (windows-boot-facts.md, section 5); the store is made by our own engine,
whose stores hivex and python-registry read alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from recoverykit.formats import bcd_build, bcd_device, bcd_entries
from recoverykit.formats.bcd import Store
from recoverykit.formats.bcd_entries import Firmware
from recoverykit.model import Disk, FileSystem, Volume, WindowsInstall
from tests.builders import pe

ENTRY = "{11111111-2222-3333-4444-555555555555}"
RESUME = "{11111111-2222-3333-4444-666666666666}"
DISK_ID = "0b0b0b0b-0000-4000-8000-00000000d15c"
WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
DATA_TYPE = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
_BOOTMGR = b"\xeb\x3c\x90" + bytes(range(1, 200)) * 40
_NAMES = {"x64": "bootx64.efi", "x86": "bootia32.efi", "arm64": "bootaa64.efi"}


@dataclass(frozen=True, slots=True)
class Scene:
    """One disk: the volume its boot files are on, and the one of Windows."""

    system: Volume
    windows: Volume
    folder: Path  # of the system volume
    root: Path  # of the Windows volume
    machine: str = "x64"
    others: tuple[Volume, ...] = field(default=())

    @property
    def firmware(self) -> Firmware:
        return Firmware.UEFI if self.uefi else Firmware.BIOS

    @property
    def uefi(self) -> bool:
        return self.windows.disk is not None and self.windows.disk.scheme == "gpt"

    @property
    def boot_volumes(self) -> tuple[tuple[Volume, Path], ...]:
        return () if self.system == self.windows else ((self.system, self.folder),)

    @property
    def install(self) -> WindowsInstall:
        config = "Windows/System32/config"
        return WindowsInstall(
            *(self.windows, self.root, "Windows", f"{config}/SYSTEM", f"{config}/SOFTWARE"),
            architecture=self.machine,
        )

    @property
    def store_path(self) -> Path:
        return self.folder / ("EFI/Microsoft/Boot/BCD" if self.uefi else "Boot/BCD")

    @property
    def manager(self) -> Path:
        return self.folder / ("EFI/Microsoft/Boot/bootmgfw.efi" if self.uefi else "bootmgr")

    @property
    def loader(self) -> Path:
        return self.root / f"Windows/system32/winload.{'efi' if self.uefi else 'exe'}"

    def store(self, windows: Volume | None = None) -> Store:
        """What bcdboot would write; `windows`: a partition other than the right one."""
        disk = self.windows.disk
        assert disk is not None
        system, own = (
            bcd_device.partition(volume.identity, disk.identity)
            for volume in (self.system, windows or self.windows)
        )
        return bcd_entries.windows_store(
            self.firmware, system, own, entry=ENTRY, resume=RESUME, description="Windows 11"
        )

    def write_store(self, store: Store) -> None:
        self.store_path.parent.mkdir(parents=True, exist_ok=True)
        self.store_path.write_bytes(bcd_build.build(store, when=WHEN))


def build(folder: Path, *, uefi: bool = True, machine: str = "x64", alone: bool = False) -> Scene:
    """A sound disk below an empty folder. `alone`: boot files on the Windows volume itself."""
    scheme = "gpt" if uefi else "mbr"
    disk = Disk(Path("disk.img"), 1 << 36, 512, scheme, identity=DISK_ID if uefi else "0badcafe")
    windows = volume(disk, 3)
    system = windows if alone else volume(disk, 1)
    root = folder / "windows"
    scene = Scene(system, windows, root if alone else folder / "system", root, machine)
    scene.folder.mkdir(parents=True, exist_ok=True)
    write_system(scene, scene.store())
    scene.loader.parent.mkdir(parents=True)
    scene.loader.write_bytes(_image(machine))
    return scene


def write_system(scene: Scene, store: Store) -> None:
    """The files of the system volume: store, boot manager, fallback loader."""
    scene.write_store(store)
    image = _image(scene.machine)
    scene.manager.write_bytes(image if scene.uefi else _BOOTMGR)
    if scene.uefi:
        spare = scene.folder / "EFI/Boot" / _NAMES[scene.machine]
        spare.parent.mkdir()
        spare.write_bytes(image)


def _image(machine: str) -> bytes:
    return pe.driver({"CompanyName": "Microsoft Corporation"}, machine=machine)


def volume(disk: Disk, number: int) -> Volume:
    """Partition `number` of a disk: 1 is the system one."""
    at = number << 30
    gpt = disk.scheme == "gpt"
    esp = gpt and number == 1
    identity = f"gpt:00000000-0000-4000-8000-{number:012x}" if gpt else f"mbr:0badcafe:{at}"
    kind = (ESP_TYPE if esp else DATA_TYPE) if gpt else "0x07"
    system = FileSystem.FAT if esp else FileSystem.NTFS
    return Volume(
        *(f"disk.img#{number}", system, disk.path, at, 1 << 28, number),
        identity=identity,
        disk=disk,
        type=kind,
    )
