"""An ISO 9660 image with a signed manifest of its own files on it, written by xorriso.

xorriso writes addresses into the BIOS boot image and makes the boot catalog itself; their hashes
are known only after a first pass, so the image is written twice: the second time with the manifest.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from signing import cms, keys, manifest, tree
from winpe import tools
from winpe.errors import ContentError
from winpe.signers import Signers

_OWN = (manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE)


@dataclass(frozen=True, slots=True)
class Image:
    """What the image says of itself, and how firmware starts from it."""

    image_id: str
    made: datetime
    volume: str  # its ISO 9660 volume identifier
    boot: tuple[str | Path, ...]  # words of `xorriso -as mkisofs`: boot images, master boot record
    written_by_xorriso: tuple[str, ...] = ()  # files of the image that it changes or makes
    facts: Mapping[str, str] = field(default_factory=dict)


def write(root: Path, target: Path, image: Image, signer: Signers) -> None:
    """Everything below `root`, which gets the manifest, its signature and our certificate.

    Raises MediaError.
    """
    (root / "recoverykit").mkdir(exist_ok=True)
    (root / manifest.MEDIUM_CERTIFICATE).write_bytes(keys.certificate_pem(signer.certificate))
    for path in _OWN:  # a first pass with files of about the right size
        (root / path).write_bytes(bytes(4096))
    before: dict[str, bytes] | None = None
    for _ in range(3):
        _write(root, target, image)
        patched = _extract(target, root.parent / "patched", image)
        if patched == before:
            return
        _sign(root, patched, image, signer)
        before = patched
    raise ContentError("xorriso lays the image out differently each time it is asked")


def _sign(root: Path, patched: Mapping[str, bytes], image: Image, signer: Signers) -> None:
    """Write the manifest of all files, with those that xorriso made as it made them."""
    skip = (*_OWN, *image.written_by_xorriso)
    plain = tree.manifest_of(root, image.image_id, image.made, skip=skip)
    added = (
        manifest.Entry(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in patched.items()
    )
    entries = tuple(sorted((*plain.entries, *added), key=lambda entry: entry.path))
    made = manifest.Manifest(image.image_id, image.made, entries, dict(image.facts))
    content = manifest.to_bytes(made)
    (root / manifest.MEDIUM_MANIFEST).write_bytes(content)
    stated = signer.signing_time(image.made)
    signature = cms.sign_detached(content, *signer.all, signing_time=stated)
    (root / manifest.MEDIUM_SIGNATURE).write_bytes(signature)


def _write(root: Path, target: Path, image: Image) -> None:
    target.unlink(missing_ok=True)
    names: Sequence[str] = ["-V", image.volume, "-r", "-J", "-joliet-long"]
    argv = ["xorriso", "-no_rc", "-as", "mkisofs", "-quiet", *names, *image.boot]
    dates = {"SOURCE_DATE_EPOCH": str(int(image.made.timestamp()))}
    files = ("--set_all_file_dates", f"{image.made:%Y%m%d%H%M%S}00")
    tools.run([*argv, *files, "-o", target, root], env=dates)


def _extract(target: Path, place: Path, image: Image) -> dict[str, bytes]:
    """The files as xorriso wrote them."""
    if not image.written_by_xorriso:
        return {}
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    wanted = [
        word
        for number, path in enumerate(image.written_by_xorriso)
        for word in ("-extract_single", f"/{path}", str(place / str(number)))
    ]
    tools.run(["xorriso", "-no_rc", "-osirrox", "on", "-indev", target, *wanted])
    return {
        path: (place / str(number)).read_bytes()
        for number, path in enumerate(image.written_by_xorriso)
    }
