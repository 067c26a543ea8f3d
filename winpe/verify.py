"""Is this image, or the stick it was written to, exactly what was signed, and by whom?

Compares every file on the image with the signed manifest on it, and the MBR's boot code with the
fact of that name. Without certificates to trust it uses the one on the image: then it finds damage,
and nothing is said about who made it. Not covered: what lies between the files (ISO 9660 and
partition structures); the image's own SHA-256, shown when it was made, covers all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from signing import cms, keys, manifest, voucher
from signing.errors import SigningError, TamperedError
from signing.manifest import Manifest, Progress
from winpe import image as images
from winpe.errors import ImageRefusedError
from winpe.image import Image


@dataclass(frozen=True, slots=True)
class ImageState:
    """What was verified, and who vouches for it."""

    image_id: str
    made: datetime
    organisation: str
    fingerprint: str  # SHA-256 of the signer's certificate, hex
    development: bool  # signed with a build host's development key, which vouches for nobody
    trusted: bool  # the signer is one of those the caller trusts
    files: int
    size: int  # bytes in files

    @property
    def signer(self) -> str:
        """One sentence: who vouches for the image, and what that is worth."""
        by = f"signed by {self.organisation}, key {keys.grouped(self.fingerprint)}"
        worth = "trusted" if self.trusted else "not compared with anything you trust"
        kind = " (a development key)" if self.development else ""
        return f"{by}{kind}, {worth}"


def verify_image(
    image: Path,
    trust: Sequence[x509.Certificate] | None = None,
    progress: Progress | None = None,
) -> ImageState:
    """Check an ISO file or a block device. `trust`: None for the image's own certificate.

    Raises ImageRefusedError naming the first file that is not as signed, MediaUsageError when there
    is no such image, MissingToolError without xorriso.
    """
    with images.opened(image) as files:
        try:
            return _verify(files, trust, progress)
        except SigningError as exc:
            raise ImageRefusedError(f"{image} is refused: {exc}", hint=exc.hint) from exc


def _verify(
    files: Image, trust: Sequence[x509.Certificate] | None, progress: Progress | None
) -> ImageState:
    # (1) Who signed the manifest? Nothing of it is looked at before that is known.
    papers = (
        _paper(files, manifest.MEDIUM_MANIFEST, manifest.LARGEST),
        _paper(files, manifest.MEDIUM_SIGNATURE, cms.LARGEST_SIGNATURE),
    )
    anchors = _own_certificate(files) if trust is None else trust
    found = voucher.read(*papers, anchors, now=datetime.now(UTC))
    signed, signer = found.manifest, found.signer
    # (2) The boot code before all files.
    _check_boot_code(signed, files)
    # (3) Every file, and no other.
    manifest.check(signed, _Covered(files), progress)
    return ImageState(
        image_id=signed.image_id,
        made=signed.made,
        organisation=keys.organisation(signer),
        fingerprint=keys.fingerprint(signer),
        development=keys.is_development(signer),
        trusted=trust is not None,
        files=len(signed.entries),
        size=sum(entry.size for entry in signed.entries),
    )


def _paper(files: Image, path: str, limit: int) -> voucher.Paper:
    return voucher.Paper(path, files.read(path, limit))


def _own_certificate(files: Image) -> list[x509.Certificate]:
    content = files.read(manifest.MEDIUM_CERTIFICATE, keys.LARGEST_FILE)
    return [keys.read_certificate(content, manifest.MEDIUM_CERTIFICATE)]


def _check_boot_code(signed: Manifest, files: Image) -> None:
    expected = signed.facts.get(manifest.MBR_CODE)
    if expected is None:
        return
    code = files.head(manifest.MBR_CODE_SIZE)
    if hashlib.sha256(code).hexdigest() != expected:
        raise TamperedError("boot code of the master boot record", "has changed")


class _Covered:
    """The files a manifest can cover: all but itself and its signature."""

    def __init__(self, files: Image) -> None:
        self._files = files
        self.is_link, self.open = files.is_link, files.open

    def names(self) -> list[str]:
        own = (manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE)
        return [name for name in self._files.names() if name not in own]
