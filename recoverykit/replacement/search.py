"""Find candidates, judge each, and put them in order."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence.reading import plain
from recoverykit.formats.hive import Hive
from recoverykit.model import Evidence, Service, StartType, WindowsInstall
from recoverykit.replacement import image, judgement, reading
from recoverykit.replacement import target as targets
from recoverykit.replacement.candidate import Candidate, Offer, Origin, Root, Search, Want
from recoverykit.replacement.judgement import Rules
from recoverykit.replacement.places import Place, Places
from recoverykit.replacement.reading import MAX_KEPT, Bounds, SpentError
from recoverykit.replacement.target import Inode, Target
from recoverykit.vouching import Judge

if TYPE_CHECKING:
    pass

SECONDS = 20.0  # a search may take
_SHOWN_PLACES = 3
_SHOWN_PATH = 400
_RELIABLE = tuple(Origin)


def find(
    install: WindowsInstall,
    what: Service | str,
    evidence: Iterable[Evidence],
    hive: Hive | None,
    *,
    judge: Judge,
    folders: Sequence[Path] = (),
    offers: Sequence[Offer] = (),
    roots: Sequence[Root] = (),
    want: Want = Want.ANY,
    seconds: float = SECONDS,
) -> Search:
    """Every copy of a driver's file that can be found, and what speaks against it. Never raises.

    `what`: the service whose driver is faulty or gone, or a path relative to the volume. `hive`:
    SYSTEM, where it can be read. `folders`: of the host, or single files. `offers`: bytes fetched
    already. `roots`: snapshots of the volume, mounted. `judge`: of signatures, for this Windows.
    """
    bounds = Bounds(seconds)
    known = tuple(evidence)
    target = targets.of(install, what, known, bounds)
    boot = not isinstance(what, Service) or what.start is StartType.BOOT
    pool = _Pool(target, Rules(want, judge, boot), bounds)
    places = Places(target, bounds, hive, folders, roots)
    for offer in offers:
        pool.offered(offer)
    pool.take(places.likely())
    if not pool.has_usable:
        pool.take(places.unlikely())
    culprit = target.culprit
    return Search(
        path=target.path,
        before=culprit.sha256 if culprit else "",
        candidates=tuple(sorted(pool.candidates(), key=_Order(target))),
        gaps=tuple(bounds.gaps),
    )


def best(candidates: Iterable[Candidate], *, risky: bool = False) -> Candidate | None:
    """The first that nothing speaks against; with `risky` also one that a person decided on."""
    usable = (item for item in candidates if item.usable and (risky or not item.risks))
    return next(usable, None)


@dataclass(frozen=True, slots=True)
class _Order:
    """Usable before refused, safe before risky, then how well a candidate fits."""

    target: Target

    def __call__(self, candidate: Candidate) -> tuple[object, ...]:
        version = image.numbers(candidate.version)
        return (
            not candidate.usable,
            bool(candidate.risks),
            not self._is_same_version(version),
            _RELIABLE.index(candidate.origin),
            tuple(-number for number in version) or (1,),  # newest first, without one last
            candidate.where,
        )

    def _is_same_version(self, version: tuple[int, ...]) -> bool:
        """An undamaged copy of the very version that is there, damaged, changes least."""
        culprit = self.target.culprit
        if culprit is None or culprit.whole:
            return False
        return image.numbers(culprit.version.version) == version != ()


@dataclass(slots=True)
class _Pool:
    """The candidates so far, one for each content."""

    target: Target
    rules: Rules
    bounds: Bounds
    _judged: dict[str, Candidate] = field(default_factory=dict)  # by hash
    _unread: list[Candidate] = field(default_factory=list)
    _inodes: dict[Inode, str] = field(default_factory=dict)
    _also: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _kept: int = 0

    @property
    def has_usable(self) -> bool:
        return any(item.usable for item in self._judged.values())

    def candidates(self) -> list[Candidate]:
        listed = [self._with_places(item) for item in self._judged.values()]
        return listed + self._unread

    def offered(self, offer: Offer) -> None:
        digest = hashlib.sha256(offer.content).hexdigest()
        if digest != offer.sha256.lower():
            reason = "it is not the file whose hash was given"
            self._refuse(Origin.PACK, offer.where, reason, len(offer.content), digest)
        elif len(offer.content) > reading.MAX_FILE:
            self._refuse(Origin.PACK, offer.where, "it is too large", len(offer.content), digest)
        else:
            self._judge(Origin.PACK, offer.where, offer.content, digest)

    def take(self, places: Iterable[Place]) -> None:
        for place in places:
            if self.bounds.spent(place.where):
                return
            if place.root is not self.target.install or place.path != self.target.path:
                self._take(place)

    def _take(self, place: Place) -> None:
        if place.delta:
            reason = "it is a delta that Windows servicing keeps, not a whole file"
            self._refuse(place.origin, place.where, reason)
            return
        inode = targets.inode(place.root, place.path)
        if inode is not None and inode in self._inodes:
            self._also[self._inodes[inode]].append(place.where)
            return
        self.bounds.opened += 1
        try:
            content = reading.whole(place.root, place.path, self.bounds)
        except SpentError:
            return
        except (OSError, RecoveryKitError) as exc:
            self._refuse(place.origin, place.where, f"it cannot be read: {why(exc)}")
            return
        digest = hashlib.sha256(content).hexdigest()
        if inode is not None:
            self._inodes[inode] = digest
        self._judge(place.origin, place.where, content, digest, place.version)

    def _refuse(
        self, origin: Origin, where: str, reason: str, size: int = 0, sha256: str = ""
    ) -> None:
        shown = plain(where, _SHOWN_PATH)
        self._unread.append(Candidate(origin, shown, "", None, sha256, size, refusals=(reason,)))

    def _judge(
        self, origin: Origin, where: str, content: bytes, digest: str, component: str = ""
    ) -> None:
        if digest in self._judged:
            self._also[digest].append(where)
            return
        found = judgement.judge(self.target, content, digest, self.rules, component)
        refusals = found.refusals
        if not refusals and self._kept + len(content) > MAX_KEPT:
            refusals = ("it was not kept in memory: the candidates before it fill it",)
        keep = not refusals
        self._kept += len(content) if keep else 0
        self._judged[digest] = Candidate(
            origin=origin,
            where=plain(where, _SHOWN_PATH),
            version=plain(found.image.version.version, 40) if found.image else "",
            built=found.image.built if found.image else None,
            sha256=digest,
            size=len(content),
            content=content if keep else b"",
            refusals=refusals,
            risks=found.risks,
            notes=found.notes,
        )

    def _with_places(self, candidate: Candidate) -> Candidate:
        also = self._also.get(candidate.sha256, [])
        if not also:
            return candidate
        shown = ", ".join(plain(where, _SHOWN_PATH) for where in also[:_SHOWN_PLACES])
        more = f" and {len(also) - _SHOWN_PLACES} more" if len(also) > _SHOWN_PLACES else ""
        return replace(candidate, notes=(*candidate.notes, f"the same file: {shown}{more}"))
