"""Where things are: facts, disks, volumes, an installation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read, precisely enough for a person to look again."""

    path: str  # relative to the volume; for a registry fact "Windows/System32/config/SYSTEM"
    offset: int | None = None  # byte offset in that file; for text logs the line number
    key: str = ""  # registry key below the hive's root, where the fact is a registry value


@dataclass(frozen=True, slots=True)
class Gap:
    """Something we could not read or chose not to open. Reported, never dropped."""

    source: Source
    reason: str
    closed: bool = False  # a whole volume stayed shut: there may be a Windows behind it


class FileSystem(StrEnum):
    NTFS = "ntfs"
    FAT = "fat"
    EXFAT = "exfat"
    REFS = "refs"
    BITLOCKER = "bitlocker"
    LUKS = "luks"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk, or an image of one."""

    path: Path  # /dev/sda, or the image file
    size: int  # bytes
    sector_size: int  # logical, bytes
    scheme: str  # "gpt", "mbr" or "none" (the volume starts at sector 0)
    removable: bool = False  # USB or removable: unattended repair never writes to it
    read_only: bool = False
    member_of: str = ""  # "Intel RST RAID (IMSM)", "dynamic disk (LDM)"...; refused unless ""
    identity: str = ""  # GPT disk GUID or MBR signature, lower-case hex
    model: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """One partition, or a disk without partitions, or a folder somebody else has mounted."""

    name: str  # "/dev/sda3", "disk.img#3", or the folder's path: what reports call it
    filesystem: FileSystem
    path: Path  # what is opened: the block device, the image file, or the mounted folder
    offset: int = 0  # bytes into `path`
    size: int = 0
    number: int = 0  # partition number; 0 for a whole disk or a mounted folder
    identity: str = ""  # "gpt:<partition guid>" or "mbr:<signature>:<offset>", "" when mounted
    serial: str = ""  # the file system's serial number, hex
    disk: Disk | None = None  # None for a mounted folder
    refusal: str = ""  # one sentence why it must not be written; "" when it may
    type: str = ""  # of its partition: GPT type GUID or MBR "0x07", lower case
    start: int = 0  # where its partition begins, in bytes of the disk; 0: not known

    @property
    def is_esp(self) -> bool:
        """Whether it is an EFI system partition (UEFI specification, sections 5.2 and 5.3)."""
        return self.type in ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef")


@dataclass(frozen=True, slots=True)
class NtfsState:
    """The three different things people call a dirty NTFS volume."""

    dirty: bool  # the $Volume dirty flag: Windows will run chkdsk
    log_unclean: bool  # $LogFile holds transactions that were not replayed (a crash)
    hibernated: bool  # hiberfil.sys holds a resumable image: hands off


class LogPolicy(StrEnum):
    """What to do with an unclean $LogFile when somebody asks for a change."""

    REPLAY = "replay"
    ASK = "ask"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen on the disks, before any file system was opened."""

    disks: tuple[Disk, ...]
    volumes: tuple[Volume, ...]
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowsInstall:
    """One Windows on one mounted volume."""

    volume: Volume
    mount: Path  # the volume's root, as this host sees it
    folder: str  # top-level folder as spelled on disk, "Windows"
    system_hive: str  # "Windows/System32/config/SYSTEM"
    software_hive: str
    product: str = ""  # "Windows 10 Pro"
    build: str = ""  # "19045.4651"
    architecture: str = ""  # "x64", "x86", "arm64"
    control_set: int = 1  # N of ControlSetNNN that the next boot uses

    @property
    def root(self) -> str:
        """How reports name this installation: volume and folder."""
        return f"{self.volume.name}:/{self.folder}"

    @property
    def control_set_key(self) -> str:
        """The key of the control set that the next boot uses: "ControlSet001"."""
        return f"ControlSet{self.control_set:03}"
