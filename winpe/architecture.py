"""The processors that the Linux base is made for, and what is called differently on each.

Names: Debian's architectures (`dpkg --print-architecture`), multiarch triplets (Debian wiki,
"Multiarch/Tuples"), program loaders (each psABI; Debian's libc6), file names of removable media
(UEFI specification 2.10, 3.5.1.1), wheel platforms (PEP 600), serial consoles
(Documentation/admin-guide/serial-console.rst). What Debian's packages are called and where they
hold the boot loaders stands in data/base.toml.

Not handled: 32-bit PCs and 32-bit UEFI firmware.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from winpe.errors import MediaUsageError

_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 36  # minor versions; Debian 12 has 2.36


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kind of computer."""

    name: str  # ours, Microsoft's and systemd's: "x64"
    debian: str
    machine: str  # as `uname -m` says it, and as wheels do
    libraries: str  # the multiarch folder, below the root
    loader: str  # file name of the program loader
    loader_folder: str  # where programs look for it
    boot_file: str  # what UEFI firmware starts from a removable medium
    grub_file: str  # the name under which shim looks for the next program
    mok_manager_file: str
    has_bios: bool
    serial_console: str  # the kernel's name of the first serial port, with its speed
    emulator: str  # qemu's program for running this one's programs elsewhere

    @property
    def wheel_platforms(self) -> tuple[str, ...]:
        """Tags of the wheels that run here, the most wanted first."""
        minors = range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)
        newer = (f"manylinux_2_{minor}_{self.machine}" for minor in minors)
        return (*newer, f"manylinux2014_{self.machine}", "any")

    @property
    def native(self) -> bool:
        """Whether the build host runs this one's programs by itself."""
        return platform.machine() == self.machine


X64 = Architecture(
    name="x64",
    debian="amd64",
    machine="x86_64",
    libraries="usr/lib/x86_64-linux-gnu",
    loader="ld-linux-x86-64.so.2",
    loader_folder="usr/lib64",
    boot_file="BOOTX64.EFI",
    grub_file="grubx64.efi",
    mok_manager_file="mmx64.efi",
    has_bios=True,
    serial_console="ttyS0,115200",
    emulator="qemu-x86_64-static",
)
ARM64 = Architecture(
    name="arm64",
    debian="arm64",
    machine="aarch64",
    libraries="usr/lib/aarch64-linux-gnu",
    loader="ld-linux-aarch64.so.1",
    loader_folder="usr/lib",
    boot_file="BOOTAA64.EFI",
    grub_file="grubaa64.efi",
    mok_manager_file="mmaa64.efi",
    has_bios=False,
    serial_console="ttyAMA0,115200",
    emulator="qemu-aarch64-static",
)
ALL = (X64, ARM64)


def by_name(name: str) -> Architecture:
    """The architecture that a recipe or an option names. Raises MediaUsageError."""
    for one in ALL:
        if one.name == name:
            return one
    known = " or ".join(one.name for one in ALL)
    raise MediaUsageError(f"architecture {name}: it must be {known}")
