"""The bytes a pack wants to install: found by their SHA-256 among the files that came with it.

Nothing is fetched. A driver is taken only if it is one for this machine, and if somebody trusted
signed it (`vouching`): a pack vouches for which bytes it means, not for what Windows will load.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit import vouching
from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.formats import pe
from recoverykit.model import WindowsInstall
from recoverykit.packs.pack import Replace
from recoverykit.vouching import Standing

if TYPE_CHECKING:
    from cryptography import x509

LARGEST = 64 << 20  # bytes of one driver

_NATIVE = 1  # IMAGE_SUBSYSTEM_NATIVE


@dataclass(frozen=True, slots=True)
class Given:
    """What came with a pack."""

    folders: tuple[Path, ...] = ()  # of this host, where files beside the pack lie
    trust: Sequence[x509.Certificate] = ()  # whose signature on a driver is good enough
    at: datetime | None = None  # aware; None: no signature can be judged


NOTHING = Given()


def find(act: Replace, install: WindowsInstall, given: Given) -> bytes:
    """The new file. Raises TargetRefusedError with one clause that says why there is none."""
    content = _beside(act, given.folders)
    _require_for(install, content, act.file)
    if given.at is None:
        raise TargetRefusedError(f"nobody can say who signed {act.file}")
    standing, why = vouching.standing(io.BytesIO(content), given.trust, given.at)
    if standing is not Standing.VOUCHED:
        raise TargetRefusedError(f"whether Windows would load {act.file} is not known: {why}")
    return content


def _beside(act: Replace, folders: Sequence[Path]) -> bytes:
    wrong = False
    for folder in folders:
        try:
            with (folder / act.file).open("rb") as stream:
                content = stream.read(LARGEST + 1)
        except OSError:
            continue
        if len(content) <= LARGEST and hashlib.sha256(content).hexdigest() == act.sha256:
            return content
        wrong = True
    where = f" (from {act.url})" if act.url else ""
    found = "the one that is there is another file" if wrong else "it is not there"
    raise TargetRefusedError(
        f"{act.file} with SHA-256 {act.sha256} must lie beside the pack, and {found}; nothing is "
        f"fetched here: put it there{where}"
    )


def _require_for(install: WindowsInstall, content: bytes, name: str) -> None:
    try:
        image = pe.headers(io.BytesIO(content))
    except FormatError as exc:
        raise TargetRefusedError(f"{name} is no driver: {exc.problem}") from exc
    if image.subsystem != _NATIVE:
        raise TargetRefusedError(f"{name} is a program, not a driver")
    if image.machine != install.architecture:
        here = install.architecture or "an unknown kind of processor"
        raise TargetRefusedError(f"{name} is for {image.machine}, and this Windows for {here}")
