"""The ISO of the Linux base: starts from a CD, from a stick it was copied to, on BIOS and on UEFI.

The EFI boot partition is a regular file of the ISO (boot/efi.img) that the partition table points
at, so the manifest covers it like every other file. It holds Debian's shim and GRUB.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from signing import manifest
from winpe import grub, signed_iso
from winpe.signers import Signers
from winpe.system import System

VOLUME_ID = "RECOVERYKIT"
BIOS_IMAGE = "boot/grub/i386-pc/eltorito.img"
CATALOG = "boot/boot.cat"
EFI_IMAGE = "boot/efi.img"
_README = """\
recoverykit recovery medium, recipe id {image_id}

Start the computer from this medium to find and repair what keeps Windows from starting.
The medium starts on its own and never needs a network. It is not a Windows program: there is
nothing here to open. To check that nothing was changed on it, run on the machine it was built on

    build_media.py verify IMAGE
"""


@dataclass(frozen=True, slots=True)
class Content:
    """What is on the image."""

    system: System
    menu: grub.Menu
    files: Mapping[str, bytes | Path] = field(default_factory=dict)  # more, by their names


def write(content: Content, target: Path, work: Path, signer: Signers) -> dict[str, int]:
    """The image, in the folder `work`; returns the sizes of its large parts. Raises MediaError."""
    root = work / "iso"
    _lay_out(root, content, work)
    made, bios = content.system, content.system.base.architecture.has_bios
    facts = {"kernel": made.base.kernel_version, "base": made.base.name}
    hybrid = made.base.sysroot / made.base.boot.grub_bios / "boot_hybrid.img"
    if bios:
        code = hybrid.read_bytes()[: manifest.MBR_CODE_SIZE]
        facts[manifest.MBR_CODE] = hashlib.sha256(code).hexdigest()
    image = signed_iso.Image(
        image_id=made.image_id,
        made=made.made,
        volume=VOLUME_ID,
        boot=(*(_bios_words(hybrid) if bios else ()), *_efi_words()),
        written_by_xorriso=(BIOS_IMAGE, CATALOG) if bios else (CATALOG,),
        facts=facts,
    )
    signed_iso.write(root, target, image, signer)
    return _parts(root)


def _bios_words(hybrid: Path) -> tuple[str, ...]:
    el_torito = ("-b", BIOS_IMAGE, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table")
    record = ("--grub2-boot-info", "--grub2-mbr", str(hybrid), "--mbr-force-bootable")
    return (*el_torito, *record)


def _efi_words() -> tuple[str, ...]:
    return ("-c", CATALOG, "--efi-boot", EFI_IMAGE, "-efi-boot-part", "--efi-boot-image")


def _lay_out(root: Path, content: Content, work: Path) -> None:
    """Everything on the ISO but the manifest."""
    made, base = content.system, content.system.base
    for folder in (".disk", "boot", "recoverykit"):
        (root / folder).mkdir(parents=True)
    (root / grub.marker(made.image_id)).write_text(f"{made.image_id}\n")
    (root / "README.TXT").write_text(_README.format(image_id=made.image_id))
    _lay_out_grub(root, content, work)
    efi = root / EFI_IMAGE
    programs = grub.loaders(base, made.image_id)
    grub.efi_image(programs, made.image_id, efi, base.epoch)
    for name, data in content.files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            place.write_bytes(data)
        else:
            shutil.copyfile(data, place)


def _lay_out_grub(root: Path, content: Content, work: Path) -> None:
    made, base = content.system, content.system.base
    (root / "boot/grub").mkdir()
    shutil.copyfile(made.kernel, root / "boot/vmlinuz")
    shutil.copyfile(made.initrd, root / "boot/initrd.img")
    (root / "boot/grub/grub.cfg").write_text(grub.menu(content.menu, base.architecture))
    if base.architecture.has_bios:
        (root / BIOS_IMAGE).parent.mkdir()
        grub.bios_image(base.sysroot, base.boot, made.image_id, work, root / BIOS_IMAGE)


def _parts(root: Path) -> dict[str, int]:
    """Bytes on the image by what they are."""
    large = {
        "kernel": "boot/vmlinuz",
        "initramfs": "boot/initrd.img",
        "efi": EFI_IMAGE,
    }
    return {
        name: (root / path).stat().st_size if (root / path).exists() else 0
        for name, path in large.items()
    }
