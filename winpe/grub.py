"""GRUB: the menu, the BIOS boot image and the EFI boot partition.

BIOS: a core image made by Debian 12's own grub-mkimage. UEFI: shim (signed by Microsoft), then
Debian's signed GRUB for removable media (gcdx64). That one looks for /boot/grub on the device
it came from and otherwise takes the first Debian medium it meets, so the EFI partition has a
/boot/grub/grub.cfg of its own, and both search for a file whose name no other medium has.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from winpe import tools
from winpe.architecture import X64, Architecture
from winpe.errors import MediaUsageError
from winpe.recipe import BootFiles
from winpe.system import BaseSystem

_BIOS_MODULES = (
    *("biosdisk", "part_msdos", "part_gpt", "iso9660", "search", "search_fs_file"),
    *("normal", "configfile", "linux", "echo", "test", "true", "minicmd"),
    *("serial", "terminal", "reboot", "halt"),
)
_SECTOR, _FAT16_CLUSTERS = 512, 65_000  # FAT16 ends at 65,524
_EFI_IMAGE_SPARE = 512 << 10  # bytes left free in the EFI partition
_SAFE_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=/@%+-]+")
_ASK_SECONDS, _UNATTENDED_SECONDS = 5, 1

_MENU = """\
# Made by recoverykit; covered by recoverykit/manifest.json, not by Secure Boot.
search --no-floppy --set=root --file /{marker}
if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
fi
set default={default}
set timeout={timeout}
set menu_color_normal=white/black
set menu_color_highlight=black/light-gray
"""
_ENTRY = """\
menuentry "{title}" --id {mode} --hotkey={hotkey} {{
    echo "Loading the recovery system ..."
    linux /boot/vmlinuz {arguments}
    initrd /boot/initrd.img
}}
"""
_NOTE = """\
menuentry "{title}" --id note {{
    configfile /boot/grub/grub.cfg
}}
"""
_TITLES = (
    ("ask", "r", "Repair this computer (a technician decides)"),
    ("repair", "u", "Unattended repair: act on a proven culprit, then {end}"),
    ("diagnose", "d", "Diagnose only: change nothing"),
)
_END_WORDS = {"reboot": "restart", "poweroff": "power off"}
_QUIET = ("quiet", "loglevel=3")


@dataclass(frozen=True, slots=True)
class Menu:
    """What the boot menu offers, and what it does when nobody is there."""

    image_id: str
    default: str = "ask"  # "ask", "repair" or "diagnose"
    end: str = ""  # "reboot", "poweroff" or "": ask where a person is there, else restart
    ntfs_log: str = ""  # "replay", "refuse" or "": the runtime's own policy
    keyboard: str = ""  # a layout of the runtime's; "": its own default
    kernel_arguments: tuple[str, ...] = ()
    development: bool = False


def marker(image_id: str) -> str:
    """The file by which boot loader and runtime know this medium from every other."""
    return f".disk/recoverykit-{image_id}"


def menu(wanted: Menu, architecture: Architecture = X64) -> str:
    """The text of grub.cfg. Raises MediaUsageError as command_line does."""
    timeout = _ASK_SECONDS if wanted.default == "ask" else _UNATTENDED_SECONDS
    text = _MENU.format(marker=marker(wanted.image_id), default=wanted.default, timeout=timeout)
    end = _END_WORDS[wanted.end or "reboot"]
    for mode, hotkey, title in _TITLES:
        arguments = " ".join(command_line(wanted, mode, architecture))
        text += _ENTRY.format(
            title=title.format(end=end), mode=mode, hotkey=hotkey, arguments=arguments
        )
    if wanted.development:
        text += _NOTE.format(
            title="(Signed with a DEVELOPMENT key: for testing, not for your fleet)"
        )
    return text


def command_line(wanted: Menu, mode: str, architecture: Architecture = X64) -> tuple[str, ...]:
    """The kernel's arguments for one entry of the menu.

    Raises MediaUsageError for arguments that GRUB would interpret.
    """
    for word in wanted.kernel_arguments:
        if not _SAFE_ARGUMENT.fullmatch(word):
            raise MediaUsageError(f"--kernel-args: {word!r} holds a character that GRUB interprets")
    unattended = mode == "repair" or (mode == wanted.default and mode != "ask")
    end = wanted.end or ("reboot" if unattended else "ask")
    words = [f"rk.mode={mode}", f"rk.end={end}", f"rk.image={wanted.image_id}"]
    words += [f"rk.ntfs_log={wanted.ntfs_log}"] if wanted.ntfs_log else []
    words += [f"rk.keymap={wanted.keyboard}"] if wanted.keyboard else []
    consoles = ("console=tty0", f"console={architecture.serial_console}")
    return (*words, *consoles, *_QUIET, *wanted.kernel_arguments)


def early_config(image_id: str) -> str:
    """Find our medium, whatever else is plugged in, and hand over to its menu."""
    found = f"search --no-floppy --set=root --file /{marker(image_id)}\n"
    return f"{found}set prefix=($root)/boot/grub\n"


def bios_image(sysroot: Path, boot: BootFiles, image_id: str, work: Path, target: Path) -> None:
    """The El Torito boot image for BIOS machines."""
    config = work / "early.cfg"
    config.write_text(early_config(image_id))
    mkimage = tools.from_sysroot(sysroot, "usr/bin/grub-mkimage")
    options: list[str | Path] = [
        "-O",
        "i386-pc-eltorito",
        "-d",
        sysroot / boot.grub_bios,
        "-p",
        "/boot/grub",
    ]
    tools.run([*mkimage, *options, "-c", config, "-o", target, *_BIOS_MODULES])


def loaders(base: BaseSystem, image_id: str) -> dict[str, bytes | Path]:
    """The chain that stock PCs trust, by its names in the EFI partition: shim, GRUB, its start."""
    architecture, boot = base.architecture, base.boot
    config = early_config(image_id) + "configfile /boot/grub/grub.cfg\n"
    return {
        f"EFI/BOOT/{architecture.boot_file}": base.sysroot / boot.shim,
        f"EFI/BOOT/{architecture.grub_file}": base.sysroot / boot.grub,
        f"EFI/BOOT/{architecture.mok_manager_file}": base.sysroot / boot.mok_manager,
        "boot/grub/grub.cfg": config.encode(),
    }


def efi_image(
    programs: Mapping[str, bytes | Path], image_id: str, target: Path, epoch: int
) -> None:
    """The FAT image that UEFI firmware starts from, on a CD and on a stick."""
    contents = {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in programs.items()
    }
    size = -(-(sum(map(len, contents.values())) + _EFI_IMAGE_SPARE) // (1 << 20)) << 20
    with target.open("wb") as image:
        image.truncate(size)
    form = ["mkfs.vfat", "--invariant", "-F", "16", "-s", _cluster(size), "-i", image_id[:8]]
    tools.run([*form, "-n", "RECOVERYKIT", target])
    stamp = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    tools.run(["mmd", "-i", target, *(f"::/{name}" for name in _folders(contents))], env=stamp)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        for name, content in contents.items():
            part = Path(work) / "part"
            part.write_bytes(content)
            tools.run(["mcopy", "-i", target, part, f"::/{name}"], env=stamp)


def _cluster(size: int) -> str:
    """Sectors in a cluster: as few as keep the clusters within what FAT16 can count."""
    sectors = 1
    while size // (_SECTOR * sectors) > _FAT16_CLUSTERS:
        sectors *= 2
    return str(sectors)


def _folders(names: Iterable[str]) -> list[str]:
    """Every folder above these names, parents first."""
    found = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    return sorted(found - {"."})
