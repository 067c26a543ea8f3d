"""What an administrator asks a medium to be: the recipe, `media.toml`, as values. Pure.

Every option of `build_media.py iso` is one of these too: the command is a short form of a recipe.
Paths are absolute here. docs/recipe.md says what each key means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Base(StrEnum):
    """What starts on the broken machine."""

    LINUX = "linux"
    WINPE = "winpe"


class Output(StrEnum):
    """What is made."""

    ISO = "iso"  # a hybrid image, for CD and stick
    UKI = "uki"  # one signed EFI program: kernel, system, command line
    WIM = "wim"  # the boot image of the WinPE flavour
    FOLDER = "folder"  # the media folder of the WinPE flavour


class SecureBoot(StrEnum):
    """Whose keys let the Linux base start where Secure Boot is on."""

    STOCK = "stock"  # Microsoft's: Debian's shim, GRUB and kernel
    ORGANISATION = "organisation"  # yours: a unified kernel image signed with your key


OUTPUTS = {
    Base.LINUX: (Output.ISO, Output.UKI),
    Base.WINPE: (Output.ISO, Output.WIM, Output.FOLDER),
}


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who hands the medium out, as its screen says."""

    name: str = ""  # "" for the name in the certificate
    contact: str = ""  # one line: whom to ask
    logo: tuple[str, ...] = ()  # lines of text


@dataclass(frozen=True, slots=True)
class Locale:
    keyboard: str = "us"
    language: str = "en-US"  # BCP 47


@dataclass(frozen=True, slots=True)
class Unattended:
    """What happens where nobody sits."""

    mode: str = "ask"  # "ask", "repair", "diagnose"
    end: str = ""  # "reboot", "poweroff", "": what fits the mode
    ntfs_log: str = ""  # "replay", "refuse", "": the runtime's own


@dataclass(frozen=True, slots=True)
class ExtraFile:
    """A file of the administrator's on the medium, below files/."""

    source: Path
    name: str  # relative, forward slashes


@dataclass(frozen=True, slots=True)
class Carry:
    """What goes along."""

    packs: tuple[Path, ...] = ()  # remediation packs
    block_lists: tuple[Path, ...] = ()
    replacements: tuple[Path, ...] = ()  # folders of good drivers, to replace faulty ones
    trust: tuple[Path, ...] = ()  # certificates that vouch for drivers
    drivers: tuple[Path, ...] = ()  # driver packs of Windows, for the WinPE flavour
    firmware: tuple[Path, ...] = ()  # vendor firmware, for the Linux base
    files: tuple[ExtraFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Wifi:
    ssid: str
    passphrase: str = field(default="", repr=False)  # "" for an open network


@dataclass(frozen=True, slots=True)
class Network:
    """Carried for the runtime; a medium works without any of it."""

    stations: tuple[str, ...] = ()  # https addresses of repair stations
    wifi: tuple[Wifi, ...] = ()


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the WinPE flavour comes from."""

    source: Path | None = None  # a .wim, or a folder tree of an ADK or a Windows ISO
    python: Path | None = None  # the embeddable CPython zip for Windows
    python_sha256: str = ""
    boot_manager: str = "auto"  # "2011", "2023", "auto"


@dataclass(frozen=True, slots=True)
class Media:
    """A recipe without mistakes."""

    name: str = "recovery"  # of the files that are made
    base: Base = Base.LINUX
    architecture: str = "x64"
    outputs: tuple[Output, ...] = (Output.ISO,)
    secure_boot: SecureBoot = SecureBoot.STOCK
    release: bool = False  # compressed as well as possible
    size_budget: int = 0  # bytes that no image may exceed; 0: none
    kernel_arguments: tuple[str, ...] = ()
    organisation: Organisation = Organisation()
    locale: Locale = Locale()
    unattended: Unattended = Unattended()
    carry: Carry = Carry()
    network: Network = Network()
    windows: Windows = Windows()
