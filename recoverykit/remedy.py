"""Remediation packs on a target: read from a file or the medium, tried, planned, proved.

`looking` gives what `pipeline.carry_out` asks for, so a pack is applied like any other repair:
shown, asked for, journalled, undoable. The certificates that are trusted are those of the medium we
run from, or the ones named with --trust.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recoverykit import __version__, installs, medium, packs, report
from recoverykit.errors import (
    NoCulpritError,
    RecoveryKitError,
    SignatureRefusedError,
    TargetRefusedError,
    UsageError,
)
from recoverykit.evidence import collect
from recoverykit.model import (
    Evidence,
    Gap,
    InstallReport,
    NtfsState,
    Refusal,
    Report,
    Volume,
    WindowsInstall,
)
from recoverykit.packs import Detection, Given, Pack, reading, words
from recoverykit.pipeline import Job
from recoverykit.repair import memory, plan_json
from recoverykit.visit import (
    DEFAULT,
    Look,
    Options,
    interrupted,
    summarise,
    survey,
    visit,
    with_checks,
)
from signing import cms, keys, manifest
from signing.errors import SigningError

if TYPE_CHECKING:
    from cryptography import x509

_MOST_CARRIED = 64  # packs on one medium


@dataclass(frozen=True, slots=True)
class Remedy:
    """A pack that somebody trusted has signed, and where the files beside it lie."""

    pack: Pack
    folder: Path
    trust: Sequence[x509.Certificate] = field(default=(), repr=False)

    def given(self) -> Given:
        return Given((self.folder,), self.trust, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Tried:
    """A pack beside one installation, read-only."""

    install: WindowsInstall
    detection: Detection


# --- reading packs ------------------------------------------------------------------------


def content_of(file: Path) -> bytes:
    """The bytes of a pack's file. Raises UsageError."""
    return _bytes(file, reading.LARGEST)


def load(file: Path, trust: Sequence[Path] = ()) -> Remedy:
    """A pack with its signature beside it.

    Without `trust`, by the certificates of the medium we run from. Raises UsageError for files that
    cannot be read or where nobody is trusted, else as `packs.read`.
    """
    content = content_of(file)
    anchors = _anchors(trust)
    signature = file.with_name(file.name + reading.SUFFIX)
    if not signature.is_file():
        raise SignatureRefusedError(
            f"{file.name} has no signature {signature.name} beside it",
            hint=f"build_media.py keys sign {file.name} --keys DIR",
        )
    pack = packs.read(content, _bytes(signature, cms.LARGEST_SIGNATURE), anchors, None)
    return Remedy(pack, file.parent, anchors)


def carried(root: Path = Path("/")) -> tuple[Remedy, ...]:
    """The packs on the medium we run from, by name; it was verified as a whole before."""
    files = sorted((root / reading.PLACE).glob("*.toml"))[:_MOST_CARRIED]
    if not files:
        return ()
    anchors = _medium_anchors(root)
    return tuple(
        Remedy(
            packs.read(
                content_of(file),
                _bytes(file.with_name(file.name + reading.SUFFIX), cms.LARGEST_SIGNATURE),
                anchors,
                None,
            ),
            file.parent,
            anchors,
        )
        for file in files
    )


def _anchors(trust: Sequence[Path]) -> tuple[x509.Certificate, ...]:
    if not trust:
        if (Path("/") / manifest.PAYLOAD_TRUST).is_dir():
            return _medium_anchors(Path("/"))
        raise UsageError(
            "nobody is trusted here, so no pack can be",
            hint="name the certificate you expect: --trust signing.crt",
        )
    try:
        return tuple(keys.load_certificate(path) for path in trust)
    except SigningError as exc:
        raise UsageError(str(exc), hint=exc.hint) from exc


def _medium_anchors(root: Path) -> tuple[x509.Certificate, ...]:
    try:
        return medium.anchors(root)
    except SigningError as exc:
        raise SignatureRefusedError(str(exc), hint=exc.hint) from exc


def _bytes(path: Path, limit: int) -> bytes:
    """One byte more than is allowed at most: whoever reads them refuses."""
    try:
        with path.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc


# --- trying one ---------------------------------------------------------------------------


def try_on(
    target: Path | None, pack: Pack, options: Options = DEFAULT
) -> tuple[tuple[Tried, ...], tuple[Gap, ...]]:
    """Whether a pack applies to each installation of a target. Changes nothing.

    Raises NoCulpritError or TargetRefusedError where there is no installation to look at.
    """
    seen = survey(target, options)
    tried: list[Tried] = []

    def look(install: WindowsInstall, _: NtfsState | None) -> InstallReport:
        evidence = collect(install, (), seen.volumes)
        tried.append(Tried(install, packs.detect(pack, install, evidence)))
        return InstallReport(install)

    entries, gaps, _ = visit(seen, look, options)
    if not entries:
        reasons = " ".join(gap.reason for gap in gaps[:5])
        closed = any(gap.closed for gap in gaps)
        kind = TargetRefusedError if closed else NoCulpritError
        raise kind("no Windows installation was found to try it on", hint=reasons)
    return tuple(tried), gaps


def exit_code(tried: Sequence[Tried]) -> int:
    """0: it applies somewhere; 5: whether it does cannot be told; 3: it does not."""
    answers = [each.detection.applies for each in tried]
    if True in answers:
        return 0
    return TargetRefusedError.exit_code if None in answers else NoCulpritError.exit_code


def lines(pack: Pack, tried: Sequence[Tried], gaps: Sequence[Gap]) -> Iterator[str]:
    """What was tried, for people."""
    yield f"{pack.id}: {pack.title}; signed by {pack.signer}"
    for each in tried:
        yield report.describe(each.install)
        yield from words.told(each.detection)
    yield from (f"{gap.source.path}: {gap.reason}" for gap in gaps)


def to_json(pack: Pack, tried: Sequence[Tried], gaps: Sequence[Gap]) -> str:
    """As docs/packs.md describes it; ASCII, because names on a disk may hold lone surrogates."""
    document: dict[str, Any] = {
        "schema": words.SCHEMA,
        "version": __version__,
        "pack": words.summary(pack),
        "installations": [_fields(each) for each in tried],
        "gaps": [{"path": gap.source.path, "reason": gap.reason} for gap in gaps],
        "exit_code": exit_code(tried),
    }
    return json.dumps(document, indent=2) + "\n"


def _fields(tried: Tried) -> dict[str, Any]:
    install = tried.install
    return {
        "root": install.root,
        "product": install.product,
        "build": install.build,
        "architecture": install.architecture,
        **words.fields(tried.detection),
    }


# --- applying one -------------------------------------------------------------------------


def plan(target: Path | None, remedy: Remedy, options: Options = DEFAULT) -> Report:
    """What the pack would do to each installation: a report for `pipeline.carry_out`."""
    seen = survey(target, options)
    entries, gaps, notes = visit(seen, looking(remedy, seen.volumes), options)
    return summarise("repair", entries, gaps, notes)


def job(remedy: Remedy) -> Job:
    """What `pipeline.carry_out` has to know of it."""
    return Job(look=looking(remedy), proof=partial(problems, remedy))


def looking(remedy: Remedy, volumes: Sequence[Volume] = ()) -> Look:
    """What `visit` calls for each installation: detect, and plan where it applies."""

    def look(install: WindowsInstall, state: NtfsState | None) -> InstallReport:
        blocked = interrupted(InstallReport(install))
        if blocked is not None:
            return blocked
        evidence = (*collect(install, (), volumes), *((state,) if state else ()))
        return planned(InstallReport(install), remedy, evidence)

    return look


def planned(entry: InstallReport, remedy: Remedy, evidence: Sequence[Evidence]) -> InstallReport:
    """The entry with the pack's plan, its refusal, or a note that it has nothing to do here."""
    pack, install = remedy.pack, entry.install
    found = packs.detect(pack, install, evidence)
    said = replace(entry, notes=(*entry.notes, f"Remediation pack {pack.id}: {found.text}"))
    if found.applies is False:
        return replace(said, exit_code=NoCulpritError.exit_code)
    try:
        hive, _ = installs.read_hive(install, install.system_hive)
        made = packs.make(pack, install, evidence, hive, remedy.given(), found)
    except OSError as exc:
        raise RecoveryKitError(
            f"{install.root} cannot be read: {exc.strerror or exc}; nothing was changed"
        ) from exc
    if made is None:
        note = "All that the pack would do is so already: nothing has to be changed."
        return replace(said, notes=(*said.notes, note))
    if isinstance(made, Refusal):
        return replace(said, refusals=(made,), exit_code=TargetRefusedError.exit_code)
    return with_checks(
        replace(
            said,
            plan=made.plan,
            plan_digest=plan_json.digest(made.plan),
            supply=made.supply,
            machine=memory.of(evidence, None),
        ),
        evidence,
    )


def problems(remedy: Remedy, install: WindowsInstall) -> tuple[str, ...]:
    """What the pack says must hold and does not: the proof of the transaction."""
    return packs.verify(remedy.pack, install)
