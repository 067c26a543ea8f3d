"""Remediation packs on the build host: checked, signed, put onto a medium.

What a pack is, the runtime's own reader says (recoverykit.packs): what it would refuse at the
broken machine is refused here, at the desk. On the medium packs lie in the payload, so its manifest
covers them; their own signatures go along, and are asked again when one is used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from recoverykit.errors import RecoveryKitError, SignatureRefusedError
from signing import cms
from signing.signer import Signer
from winpe import output
from winpe.errors import ImageRefusedError, MediaUsageError, OutputError

if TYPE_CHECKING:
    from recoverykit.packs import Pack

MOST = 64  # packs on one medium
LARGEST = 64 << 20  # bytes of a file beside a pack

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.toml")


@dataclass(frozen=True, slots=True)
class Carried:
    """A pack as it goes onto the medium: its files by name, itself and its signature among them."""

    name: str
    id: str
    files: dict[str, bytes] = field(repr=False)


def check(path: Path) -> Pack:
    """A pack without mistakes. Raises MediaUsageError that lists them all."""
    from recoverykit import packs
    from recoverykit.packs import reading

    try:
        return packs.check(_read(path, reading.LARGEST))
    except packs.SchemaError as exc:
        listed = "".join(f"\n  {mistake}" for mistake in exc.mistakes)
        raise MediaUsageError(f"{path}:{listed}", hint=exc.hint) from exc
    except RecoveryKitError as exc:
        raise MediaUsageError(f"{path}: {exc}", hint=exc.hint) from exc


def sign(path: Path, *signers: Signer) -> Path:
    """Check a pack and write its signature beside it; the one that was there is replaced.

    Raises MediaUsageError, OutputError, signing's KeyFileError.
    """
    from recoverykit.packs import reading

    content = _read(path, reading.LARGEST)
    check(path)
    target = path.with_name(path.name + reading.SUFFIX)
    signature = cms.sign_detached(content, *signers)
    try:
        with output.whole(target) as out:
            out.write(signature)
    except OSError as exc:
        raise OutputError(f"{target} cannot be written: {exc.strerror or exc}") from exc
    return target


def carried(paths: Iterable[Path], *trusted: x509.Certificate) -> tuple[Carried, ...]:
    """The packs for a medium that trusts these certificates, each checked and verified.

    Raises MediaUsageError for a pack with mistakes, or whose files are not beside it;
    ImageRefusedError for a signature that the medium would refuse.
    """
    found = [_carried(path, trusted) for path in paths]
    if len(found) > MOST:
        raise MediaUsageError(f"{len(found)} packs are more than the {MOST} a medium carries")
    _require_no_clash(found)
    return tuple(found)


def _carried(path: Path, trusted: Sequence[x509.Certificate]) -> Carried:
    from recoverykit import packs
    from recoverykit.packs import reading

    if not _NAME.fullmatch(path.name):
        raise MediaUsageError(
            f"{path}: the name of a pack has letters, digits, '.-_' and ends with .toml"
        )
    check(path)
    content = _read(path, reading.LARGEST)
    signature = path.with_name(path.name + reading.SUFFIX)
    signed = _read(signature, cms.LARGEST_SIGNATURE, hint=f"build_media.py keys sign {path}")
    try:
        pack = packs.read(content, signed, [*trusted], datetime.now(UTC))
    except SignatureRefusedError as exc:
        hint = "sign it with the key of this medium: build_media.py keys sign PACK --keys DIR"
        raise ImageRefusedError(f"{path}: {exc}", hint=hint) from exc
    except RecoveryKitError as exc:
        raise MediaUsageError(f"{path}: {exc}", hint=exc.hint) from exc
    files = {path.name: content, signature.name: signed}
    return Carried(path.name, pack.id, {**files, **_beside(path, pack)})


def _beside(path: Path, pack: Pack) -> dict[str, bytes]:
    """The drivers it would install."""
    from recoverykit.packs.pack import Replace

    files = {}
    for act in pack.acts:
        if isinstance(act, Replace):
            content = _read(path.with_name(act.file), LARGEST, hint=act.url)
            if hashlib.sha256(content).hexdigest() != act.sha256:
                raise MediaUsageError(f"{act.file} beside {path} is not the file that it names")
            files[act.file] = content
    return files


def _require_no_clash(found: Sequence[Carried]) -> None:
    """No two packs alike, no two files of one name that differ."""
    ids = [each.id for each in found]
    for each in found:
        if ids.count(each.id) > 1:
            raise MediaUsageError(f"two packs have the id {each.id}")
    together: dict[str, bytes] = {}
    for name, content in ((name, data) for each in found for name, data in each.files.items()):
        if together.setdefault(name, content) != content:
            raise MediaUsageError(f"two packs bring different files named {name}")


def install(found: Sequence[Carried], place: Path) -> None:
    """Put packs into the payload below `place`."""
    from recoverykit.packs import reading

    folder = place / reading.PLACE
    for each in found:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in each.files.items():
            (folder / name).write_bytes(content)


def _read(path: Path, limit: int, hint: str = "") -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as exc:
        raise MediaUsageError(f"{path} cannot be read: {exc.strerror or exc}", hint=hint) from exc
    if len(content) > limit:
        raise MediaUsageError(f"{path} is larger than {limit:,} bytes")
    return content
