"""The bytes a pack wants to install: found by their SHA-256 among the files that came with it.

Nothing is fetched. A pack says which bytes it means, not that Windows will load them: they are
judged as every other replacement is (`replacement.judgement`): made for this Windows, the same
product, and signed by somebody trusted. What is only a risk, the author of the pack has taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.errors import TargetRefusedError
from recoverykit.model import Evidence, WindowsInstall
from recoverykit.packs.pack import Replace
from recoverykit.replacement import Want, judgement, target
from recoverykit.replacement.judgement import Rules
from recoverykit.replacement.reading import Bounds
from recoverykit.vouching import Judge

if TYPE_CHECKING:
    from cryptography import x509

LARGEST = 64 << 20  # bytes of one driver
_SECONDS = 30.0  # for reading the file that is there now


@dataclass(frozen=True, slots=True)
class Given:
    """What came with a pack."""

    folders: tuple[Path, ...] = ()  # of this host, where files beside the pack lie
    trust: Sequence[x509.Certificate] = ()  # whose signature on a driver is good enough
    at: datetime | None = None  # aware; None: no signature can be judged


NOTHING = Given()


def find(
    act: Replace, path: str, install: WindowsInstall, evidence: Sequence[Evidence], given: Given
) -> bytes:
    """The new file for `path`. Raises TargetRefusedError saying why there is none."""
    content = _beside(act, given.folders)
    if given.at is None:
        raise TargetRefusedError(f"nobody can say who signed {act.file}")
    rules = Rules(Want.ANY, Judge(install, trust=given.trust, at=given.at))
    held = target.of(install, path, evidence, Bounds(_SECONDS))
    refusals = judgement.judge(held, content, act.sha256, rules).refusals
    if refusals:
        raise TargetRefusedError(f"{act.file} may not take its place: {'; '.join(refusals)}")
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
