"""The hybrid ISO: starts from a CD, from a stick it was copied to, on BIOS and on UEFI.

Written by xorriso. The EFI boot partition is a regular file of the ISO (boot/efi.img) that the
partition table points at, so the manifest covers it like every other file. xorriso writes
addresses into the BIOS boot image and makes the boot catalog itself; their hashes are known
only after a first pass, so the image is written twice: the second time with the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from signing import cms, keys, manifest, tree
from winpe import block_lists, cache, grub, mirrors, output, packs, recipe, system, tools, verify
from winpe.errors import ContentError, MediaUsageError, OutputError
from winpe.progress import Progress
from winpe.signers import Signers

VOLUME_ID = "RECOVERYKIT"
_BIOS_IMAGE = "boot/grub/i386-pc/eltorito.img"
_CATALOG = "boot/boot.cat"
_EFI_IMAGE = "boot/efi.img"
_MADE_BY_XORRISO = (_BIOS_IMAGE, _CATALOG)
_README = """\
recoverykit recovery medium, image {image_id}

Start the computer from this medium to find and repair what keeps Windows from starting.
The medium starts on its own and never needs a network. It is not a Windows program: there is
nothing here to open. To check that nothing was changed on it, run on the machine it was built on

    build_media.py verify IMAGE
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What `build_media.py iso` was asked for."""

    output: Path
    signer: Signers
    cache: Path = field(default_factory=cache.default)
    mirror: str = ""
    security_mirror: str = ""
    refresh: bool = False
    release: bool = False
    default: str = "ask"  # the menu entry that starts by itself: "ask", "repair", "diagnose"
    end: str = ""  # "reboot", "poweroff", or "" for what fits the entry
    ntfs_log: str = ""  # "replay", "refuse", or "" for the runtime's default
    kernel_arguments: tuple[str, ...] = ()
    packs: tuple[packs.Carried, ...] = ()
    block_lists: tuple[block_lists.Carried, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    """The image that was made."""

    path: Path
    size: int
    sha256: str
    system: system.System
    signer: Signers
    initrd_size: int
    kernel_size: int
    efi_size: int


def build(options: Options, progress: Progress | None = None) -> Built:
    """Make the image; it appears under its name only when it is whole. Raises MediaError."""
    progress = progress or Progress(quiet=True)
    refuse_output(options.output)
    wanted = _menu(options)
    grub.menu(wanted)  # a bad argument is refused before the work
    found = mirrors.choose(options.mirror, options.security_mirror)
    sources = system.Sources(options.cache, found, options.refresh, options.release)
    with cache.locked(options.cache), cache.disk_errors(options.cache):
        base = system.prepare(sources, recipe.base(), progress)
        with tempfile.TemporaryDirectory(prefix="build-", dir=options.cache) as folder:
            return _assemble(options, wanted, base, Path(folder), progress)


def _menu(options: Options) -> grub.Menu:
    """What the boot menu shall be; the image's id is not known yet."""
    return grub.Menu(
        image_id="",
        default=options.default,
        end=options.end,
        ntfs_log=options.ntfs_log,
        kernel_arguments=options.kernel_arguments,
        development=keys.is_development(options.signer.certificate),
    )


def refuse_output(output: Path) -> None:
    """Raise OutputError unless a new file may be put there."""
    try:
        mode = output.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as exc:
        raise OutputError(f"{output}: {exc.strerror}") from exc
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, not a file"
        hint = "name a new file; the README says how to write it to a stick afterwards"
        raise OutputError(f"{output} is {kind}", hint=hint)
    folder = output.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint="make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable", hint="choose another -o FILE")


def _assemble(
    options: Options, wanted: grub.Menu, base: system.BaseSystem, work: Path, progress: Progress
) -> Built:
    identity = json.dumps([asdict(wanted), _code()])
    made = system.build(
        base, options.signer, identity, work, progress, options.packs, options.block_lists
    )
    progress.stage("Boot loaders")
    root = work / "iso"
    _lay_out(root, made, wanted, work)
    progress.stage("Writing and signing the image")
    image = work / "image.iso"
    _write_signed(root, image, made, options.signer)
    progress.stage("Verifying what was written")
    verify.verify_image(image, [options.signer.certificate], progress)
    progress.stage(f"Saving {options.output.name}")
    return _finish(options, image, made, root, progress)


def _code() -> list[str]:
    here = Path(__file__).parent
    return [cache.key((here / name).read_bytes()) for name in ("iso.py", "grub.py")]


def _lay_out(root: Path, made: system.System, wanted: grub.Menu, work: Path) -> None:
    """Everything on the ISO but the manifest."""
    base, boot = made.base, recipe.base().boot
    for folder in (".disk", "boot/grub/i386-pc", "recoverykit"):
        (root / folder).mkdir(parents=True)
    wanted = grub.Menu(**{**asdict(wanted), "image_id": made.image_id})
    shutil.copyfile(made.kernel, root / "boot/vmlinuz")
    shutil.copyfile(made.initrd, root / "boot/initrd.img")
    (root / "boot/grub/grub.cfg").write_text(grub.menu(wanted))
    (root / grub.marker(made.image_id)).write_text(f"{made.image_id}\n")
    (root / "README.TXT").write_text(_README.format(image_id=made.image_id))
    grub.bios_image(base.sysroot, boot, made.image_id, work, root / _BIOS_IMAGE)
    efi = work / "efi.img"
    grub.efi_image(base.sysroot, boot, made.image_id, efi, base.epoch)
    shutil.copyfile(efi, root / _EFI_IMAGE)


def _write_signed(root: Path, image: Path, made: system.System, signer: Signers) -> None:
    hybrid = made.base.sysroot / recipe.base().boot.grub_bios / "boot_hybrid.img"
    mbr = hybrid.read_bytes()[: manifest.MBR_CODE_SIZE]
    facts = {
        manifest.MBR_CODE: hashlib.sha256(mbr).hexdigest(),
        "kernel": made.base.kernel_version,
        "base": made.base.name,
    }
    skip = (manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE)
    (root / manifest.MEDIUM_CERTIFICATE).write_bytes(keys.certificate_pem(signer.certificate))
    for path in skip:  # a first pass with files of about the right size
        (root / path).write_bytes(bytes(4096))
    patched: dict[str, bytes] = {}
    for _ in range(3):
        _write(root, image, hybrid, made)
        before, patched = patched, _extract(image, root.parent / "patched")
        if patched == before:
            return
        _sign(root, patched, made, signer, facts, skip)
    raise ContentError("xorriso lays the image out differently each time it is asked")


def _sign(
    root: Path,
    patched: dict[str, bytes],
    made: system.System,
    signer: Signers,
    facts: dict[str, str],
    skip: tuple[str, ...],
) -> None:
    """Write the manifest of the ISO's files, with the two that xorriso made as it made them."""
    plain = tree.manifest_of(root, made.image_id, made.made, skip=(*skip, *_MADE_BY_XORRISO))
    added = (
        manifest.Entry(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in patched.items()
    )
    entries = tuple(sorted((*plain.entries, *added), key=lambda entry: entry.path))
    content = manifest.to_bytes(manifest.Manifest(made.image_id, made.made, entries, facts))
    (root / manifest.MEDIUM_MANIFEST).write_bytes(content)
    stated = signer.signing_time(made.made)
    signature = cms.sign_detached(content, *signer.all, signing_time=stated)
    (root / manifest.MEDIUM_SIGNATURE).write_bytes(signature)


def _write(root: Path, image: Path, hybrid: Path, made: system.System) -> None:
    image.unlink(missing_ok=True)
    bios = ["-b", _BIOS_IMAGE, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    bios += ["--grub2-boot-info", "--grub2-mbr", str(hybrid), "--mbr-force-bootable"]
    efi = ["--efi-boot", _EFI_IMAGE, "-efi-boot-part", "--efi-boot-image"]
    names = ["-V", VOLUME_ID, "-r", "-J", "-joliet-long", "-c", _CATALOG]
    dates = {"SOURCE_DATE_EPOCH": str(int(made.made.timestamp()))}
    argv: list[str | Path] = [
        "xorriso",
        "-no_rc",
        "-as",
        "mkisofs",
        "-quiet",
        *names,
        *bios,
        *efi,
        "-o",
        image,
        root,
    ]
    tools.run(argv, env=dates)


def _extract(image: Path, place: Path) -> dict[str, bytes]:
    """The files as xorriso wrote them."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    wanted = [
        word
        for number, path in enumerate(_MADE_BY_XORRISO)
        for word in ("-extract_single", f"/{path}", str(place / str(number)))
    ]
    tools.run(["xorriso", "-no_rc", "-osirrox", "on", "-indev", image, *wanted])
    return {
        path: (place / str(number)).read_bytes() for number, path in enumerate(_MADE_BY_XORRISO)
    }


def _finish(
    options: Options, image: Path, made: system.System, root: Path, progress: Progress
) -> Built:
    """Move the image to where it was asked for: under its name it is whole or not there."""
    target = options.output.absolute()
    with cache.disk_errors(target):
        digest = hashlib.sha256()
        with image.open("rb") as source, output.whole(target) as out:
            total = image.stat().st_size
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
                progress(out.tell(), total)
    return Built(
        path=options.output,
        size=target.stat().st_size,
        sha256=digest.hexdigest(),
        system=made,
        signer=options.signer,
        initrd_size=(root / "boot/initrd.img").stat().st_size,
        kernel_size=(root / "boot/vmlinuz").stat().st_size,
        efi_size=(root / _EFI_IMAGE).stat().st_size,
    )


def check_choices(default: str, end: str, ntfs_log: str) -> None:
    """Raise MediaUsageError for a word that the runtime would not understand."""
    allowed = (
        ("--unattended", default, ("ask", "repair", "diagnose")),
        ("--end", end, ("", "reboot", "poweroff")),
        ("--ntfs-log", ntfs_log, ("", "replay", "refuse")),
    )
    for option, given, words in allowed:
        if given not in words:
            choice = " or ".join(word for word in words if word and word != "ask")
            raise MediaUsageError(f"{option} {given}: it must be {choice}")
