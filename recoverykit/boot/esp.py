"""The boot files of a system volume: boot manager and fallback loader. Reads only.

An EFI system partition holds bootmgfw.efi below `EFI/Microsoft/Boot` and, where firmware looks
without an entry of its own, `EFI/Boot/boot<arch>.efi` (UEFI specification, section 3.5.1.1); a BIOS
machine's active partition holds bootmgr. Signatures, boot manager versions (SVN) and the boot code
in front of the file system are not looked at.
"""

from __future__ import annotations

from pathlib import Path

from recoverykit import installs
from recoverykit.errors import FormatError
from recoverykit.formats import pe, pe_check

EFI_MANAGER = "EFI/Microsoft/Boot/bootmgfw.efi"
BIOS_MANAGER = "bootmgr"
_FALLBACKS = {"x64": "bootx64.efi", "x86": "bootia32.efi", "arm64": "bootaa64.efi"}
_BLANK = 4096


def fallback(machine: str) -> str:
    """Where firmware looks for a loader without a boot entry."""
    return f"EFI/Boot/{_FALLBACKS.get(machine, _FALLBACKS['x64'])}"


def missing(mount: Path, relative: str) -> bool:
    """Raises TargetRefusedError where a link lies on the way."""
    return installs.locate(mount, relative) is None


def damage(mount: Path, relative: str, *, machine: str = "") -> str:
    """One clause where a boot application on disk cannot be started, else "".

    `machine`: what it should be made for, "" when not known. Raises OSError and TargetRefusedError
    where it cannot be read.
    """
    path = installs.on_disk(mount, relative)
    size = path.stat().st_size
    if size == 0:
        return "it is empty"
    with path.open("rb", buffering=0) as stream:
        if not any(stream.read(_BLANK) or b""):
            return "it begins with nothing but zeros"
        if not relative.lower().endswith((".efi", ".exe")):
            return ""  # bootmgr begins with 16-bit code of its own
        try:
            image = pe.headers(stream)
        except FormatError as exc:
            return f"it is no program ({exc})"
        if machine and image.machine != machine:
            return f"it is made for {image.machine}, this Windows is {machine}"
        return pe_check.damage(stream, image, size)
