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
from recoverykit.formats.pe import Stream

EFI_MANAGER = "EFI/Microsoft/Boot/bootmgfw.efi"
BIOS_MANAGER = "bootmgr"
_FALLBACKS = {"x64": "bootx64.efi", "x86": "bootia32.efi", "arm64": "bootaa64.efi"}
_BLANK = 4096


def fallbacks(machine: str) -> tuple[str, ...]:
    """Where firmware looks for a loader without a boot entry; any of them, if `machine` is ""."""
    names = (_FALLBACKS[machine],) if machine in _FALLBACKS else tuple(_FALLBACKS.values())
    return tuple(f"EFI/Boot/{name}" for name in names)


def missing(mount: Path, relative: str) -> bool:
    """Raises TargetRefusedError where a link lies on the way."""
    return installs.locate(mount, relative) is None


def damage(stream: Stream, size: int, name: str, *, machine: str = "") -> str:
    """One clause where a boot application of `size` bytes cannot be started, else "".

    `name`: of its file; what does not end like a program is no PE file. `machine`: what it should
    be made for, "" when not known. Raises OSError where it cannot be read.
    """
    if size == 0:
        return "it is empty"
    if not any(pe.read_at(stream, 0, _BLANK)):
        return "it begins with nothing but zeros"
    if not name.lower().endswith((".efi", ".exe")):
        return ""  # bootmgr begins with 16-bit code of its own
    try:
        image = pe.headers(stream)
    except FormatError as exc:
        return f"it is no program ({exc})"
    if machine and image.machine != machine:
        return f"it is made for {image.machine}, this Windows is {machine}"
    return pe_check.damage(stream, image, size)
