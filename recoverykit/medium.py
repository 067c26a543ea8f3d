"""Is the medium we run from what its builder signed? Asked before any disk is touched.

Two manifests (signing.manifest, docs/signing.md). One lies inside the initramfs and covers every
file and link of the running system; one lies on the ISO 9660 medium and covers every file there,
the kernel and the initramfs among them. Both are judged by the certificates inside the initramfs.

This finds damage, swapped files and flipped bytes. It cannot find an attacker who replaces the
kernel and initramfs together with these certificates: that takes Secure Boot. No clock is read: the
certificates are pinned, and a dead CMOS battery must not decide trust.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from recoverykit.errors import SignatureRefusedError
from signing import cms, keys, manifest, voucher
from signing.errors import SigningError, TamperedError
from signing.manifest import Manifest, Progress
from signing.tree import Tree

# Made by the kernel and by process 1 at every start: mount points, and what they hold.
GENERATED = ("dev", "proc", "run", "sys", "tmp")

_HINT = "Make the medium again from its image, and check that with: build_media.py verify IMAGE"
_MOST_ANCHORS = 32


@dataclass(frozen=True, slots=True)
class MediumState:
    """What was verified, and who vouches for it."""

    image_id: str
    made: datetime
    signer: str  # for the screen: the organisation and its key's fingerprint
    fingerprint: str  # SHA-256 of the signer's certificate, hex
    development: bool  # signed with a build host's development key, which vouches for nobody
    files: int
    size: int  # bytes


def verify_payload(
    root: Path = Path("/"),
    *,
    generated: Collection[str] = GENERATED,
    progress: Progress | None = None,
) -> MediumState:
    """Check every file of the running system below `root`, except `generated` folders.

    Raises SignatureRefusedError naming the first path that is not as signed.
    """
    with _refusing("the recovery system in memory"):
        signed, state = _signed(
            root, manifest.PAYLOAD_MANIFEST, manifest.PAYLOAD_SIGNATURE, anchors(root)
        )
        skip = {manifest.PAYLOAD_MANIFEST, manifest.PAYLOAD_SIGNATURE, *generated}
        manifest.check(signed, Tree(root, skip, one_filesystem=True), progress)
    return state


def verify_medium(
    mount: Path,
    trust: Sequence[x509.Certificate] | None = None,
    *,
    image_id: str = "",
    progress: Progress | None = None,
) -> MediumState:
    """Check every file of the medium mounted at `mount`.

    `trust`: None for the certificates inside the running system. With `image_id`, a medium that was
    rightly signed but is not that image is refused: the running system came from another one.
    Raises SignatureRefusedError naming the first path that is not as signed.
    """
    with _refusing("the medium"):
        trusted = anchors(Path("/")) if trust is None else trust
        signed, state = _signed(mount, manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE, trusted)
        if image_id and signed.image_id != image_id:
            raise SigningError(f"it is image {signed.image_id}, but image {image_id} was started")
        skip = (manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE)
        manifest.check(signed, Tree(mount, skip), progress)
    return state


def _signed(
    root: Path, manifest_path: str, signature_path: str, trusted: Sequence[x509.Certificate]
) -> tuple[Manifest, MediumState]:
    found = voucher.read(
        voucher.Paper(manifest_path, _read(root, manifest_path, manifest.LARGEST)),
        voucher.Paper(signature_path, _read(root, signature_path, cms.LARGEST_SIGNATURE)),
        trusted,
    )
    signed, digits = found.manifest, keys.fingerprint(found.signer)
    state = MediumState(
        image_id=signed.image_id,
        made=signed.made,
        signer=f"{keys.organisation(found.signer)}, key {keys.grouped(digits)}",
        fingerprint=digits,
        development=keys.is_development(found.signer),
        files=len(signed.entries),
        size=sum(entry.size for entry in signed.entries),
    )
    return signed, state


def _read(root: Path, path: str, limit: int) -> bytes:
    try:
        with (root / path).open("rb") as stream:
            return stream.read(limit + 1)  # one more than allowed: the reader of the bytes refuses
    except FileNotFoundError as exc:
        raise TamperedError(path, "is missing") from exc
    except OSError as exc:
        raise TamperedError(path, f"cannot be read: {exc.strerror}") from exc


def anchors(root: Path = Path("/")) -> tuple[x509.Certificate, ...]:
    """The certificates that the recovery system below `root` was built to trust.

    Raises SigningError where it holds none.
    """
    folder = root / manifest.PAYLOAD_TRUST
    found = sorted(folder.glob("*.crt"))
    if not 1 <= len(found) <= _MOST_ANCHORS:
        raise TamperedError(manifest.PAYLOAD_TRUST, f"holds {len(found)} trusted certificates")
    return tuple(keys.load_certificate(path) for path in found)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    try:
        yield
    except SigningError as exc:
        hint = " ".join(part for part in (exc.hint, _HINT) if part)
        raise SignatureRefusedError(
            f"{what} is not what its builder signed: {exc}", hint=hint
        ) from exc
