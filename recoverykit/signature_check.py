"""The signatures of files, or of all drivers of a Windows: `recoverykit verify`. Reads only.

What a file is worth is asked of `vouching`; here is decided what passes. With a target: whether its
kernel loads the file as it is started there. Without one: whether somebody known stands behind it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from recoverykit import installs, visit
from recoverykit.code_integrity import lists, places
from recoverykit.code_integrity.places import DriverPlace
from recoverykit.errors import (
    NoCulpritError,
    RecoveryKitError,
    TargetRefusedError,
    UsageError,
    why,
)
from recoverykit.evidence import collect_for_a_start, files
from recoverykit.host import mounts
from recoverykit.model import Gap, Source, StartType, Survey, Volume, WindowsInstall
from recoverykit.visit import Options
from recoverykit.vouching import Judge, encoded
from signing.kernel import Answer, Kind
from signing.report import GOOD

if TYPE_CHECKING:
    from recoverykit.code_integrity.kernel import TargetKernel
    from recoverykit.vouching import Trust
    from signing.ci_rules import Policy
    from signing.efi import EfiVerdict
    from signing.firmware import Firmware
    from signing.hash_list import HashList
    from signing.image import Stream
    from signing.report import Report

MOST_FILES = 100_000
_DEEPEST = 16
_REFUSED = 20
_NATIVE = 1  # subsystem of drivers
_ENDINGS = (".cat", ".inf", ".p7b", ".cip", ".sys", ".exe", ".dll", ".efi")  # whatever is in them
_LARGEST = 4 << 30  # of one file, bytes; nothing that is signed is as large
_NEVER = (Kind.TAMPERED, Kind.UNREADABLE, Kind.REVOKED)

_T = TypeVar("_T")


class Track(Protocol):
    """Goes through items and shows how far it is."""

    def __call__(self, items: Sequence[_T], label: str, /) -> Iterable[_T]: ...


def untracked(items: Sequence[_T], _: str) -> Iterable[_T]:
    return items


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants. `paths`: files and folders; () with a target: all its drivers."""

    paths: tuple[Path, ...] = ()
    trust: Trust = ()
    lists: Sequence[Policy | HashList] = ()
    catalogs: tuple[Path, ...] = ()
    firmware: Firmware | None = None  # what EFI programs are asked for; None: what PCs trust


@dataclass(frozen=True, slots=True)
class Checked:
    """One file. `report` is None where it could not be read, and `unread` says why."""

    path: str
    answer: Answer  # YES: it passes; UNKNOWN: that cannot be told
    reason: str  # one clause
    report: Report | None = None
    unread: str = ""
    start: StartType | None = None
    services: tuple[str, ...] = ()
    efi: EfiVerdict | None = None  # of a program for firmware; then no kernel is asked


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of it, for the files that were named or for one installation."""

    files: tuple[Checked, ...]
    install: WindowsInstall | None = None
    kernel: TargetKernel | None = None
    catalogs: int = 0  # that were looked into
    lists: tuple[str, ...] = ()  # block lists that were heeded
    gaps: tuple[Gap, ...] = ()
    is_whole: bool = True  # nothing of what was named was passed over

    @property
    def exit_code(self) -> int:
        answers = {checked.answer for checked in self.files}
        if Answer.NO in answers:
            return _REFUSED
        passes = answers == {Answer.YES} and self.is_whole
        return 0 if passes else NoCulpritError.exit_code


# --- named files --------------------------------------------------------------------------


def of_files(wanted: Wanted, track: Track = untracked) -> Verification:
    """The files named, and those below the folders named; the catalogs there count.

    Raises UsageError where there is no such file.
    """
    judge = Judge(trust=wanted.trust, own=wanted.lists, folders=_folders(wanted))
    checked, gaps = _of_named(wanted, judge, track)
    return _finished(judge, checked, None, gaps, is_whole=not gaps)


def _folders(wanted: Wanted) -> tuple[Path, ...]:
    return (*wanted.catalogs, *(path for path in wanted.paths if path.is_dir()))


def _of_named(
    wanted: Wanted, judge: Judge, track: Track
) -> tuple[tuple[Checked, ...], tuple[Gap, ...]]:
    found, gaps = _named(wanted.paths)
    checked = tuple(_of_file(path, judge, wanted) for path in track(found, "Verifying"))
    return checked, tuple(gaps)


def _named(paths: Sequence[Path]) -> tuple[list[Path], list[Gap]]:
    """(files to judge, what in the folders was passed over). Raises UsageError."""
    found: list[Path] = []
    gaps: list[Gap] = []
    for path in paths:
        if not path.is_dir() and not path.is_file():
            raise UsageError(f"{path} is no file, or cannot be read")
        for each in _below(path, 0) if path.is_dir() else (path,):
            if isinstance(each, Gap):
                gaps.append(each)
            else:
                found.append(each)
            if len(found) + len(gaps) > MOST_FILES:
                raise UsageError(f"{path} holds more than {MOST_FILES:,} files to verify")
    if not found and not gaps:
        raise UsageError(f"{paths[0]} holds no executable, catalog, policy or INF file")
    return found, gaps


def _below(folder: Path, depth: int) -> Iterator[Path | Gap]:
    """What a signature may be asked of: executables, catalogs, policies, INF files."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as exc:
        yield Gap(Source(str(folder)), f"This folder cannot be read: {why(exc)}.")
        return
    for entry in entries:
        if entry.is_symlink():
            yield Gap(Source(str(entry)), "This link was not followed.")
        elif entry.is_dir():
            if depth < _DEEPEST:
                yield from _below(entry, depth + 1)
            else:
                yield Gap(Source(str(entry)), f"Folders below {_DEEPEST} others are not looked at.")
        elif not entry.is_file():
            yield Gap(Source(str(entry)), "It is no file.")  # pipes would be waited for
        elif entry.suffix.lower() in _ENDINGS or _is_executable(entry):
            yield entry


def _is_executable(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"MZ"
    except OSError:
        return True  # it is told why it cannot be read


def _of_file(path: Path, judge: Judge, wanted: Wanted) -> Checked:
    try:
        if (size := path.stat().st_size) > _LARGEST:
            return _unread(str(path), f"{size >> 30:,} GiB are more than anything signed has")
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_BINARY", 0))
        with os.fdopen(number, "rb", buffering=0) as stream:
            report = judge.report(stream)
            subsystem = _subsystem(stream) if report.machine else 0
            verdict = _of_firmware(stream, subsystem, wanted)
    except (OSError, RecoveryKitError) as exc:
        return _unread(str(path), why(exc))
    if verdict is not None:
        return Checked(str(path), verdict.answer, verdict.reason, report, efi=verdict)
    answer, reason = _judged(report, None, knows_kernel=judge.install is not None)
    if report.kind is Kind.UNSIGNED and path.suffix.lower() == ".cat":
        answer, reason = Answer.NO, "this catalog cannot be read, or nobody signed it"
    if report.kind is Kind.PUBLISHER and subsystem == _NATIVE and judge.install is None:
        answer, reason = Answer.NO, "a public CA stands behind its signer, and no kernel knows that"
    return Checked(str(path), answer, reason, report)


def _subsystem(stream: Stream) -> int:
    from signing import image
    from signing.errors import SigningError

    try:
        return image.read(stream).subsystem
    except SigningError:
        return 0


def _of_firmware(stream: Stream, subsystem: int, wanted: Wanted) -> EfiVerdict | None:
    """Whether Secure Boot would start it; None for what is no program for firmware."""
    from signing import efi
    from signing import firmware as machines

    if subsystem not in efi.SUBSYSTEMS:
        return None
    if wanted.firmware is not None:
        return efi.judge(stream, wanted.firmware)
    found = efi.judge(stream, machines.usual(map(encoded, wanted.trust)))
    sound = [one for one in found.signatures if one.is_readable and not one.problem]
    if found.answer is Answer.UNKNOWN and any(one.trusted_by for one in sound):
        known = "Certificates that PCs trust as they are sold, or that you do, stand behind it."
        return replace(found, reason=f"{found.reason} {known}")
    if found.answer is Answer.NO and sound and not any(one.revoked_by for one in sound):
        names = " and ".join(dict.fromkeys(f"'{one.authority}'" for one in sound))
        reason = f"It is signed under {names}; whether a machine's db has that was not read."
        return replace(found, answer=Answer.UNKNOWN, reason=reason)
    return found


# --- a target -----------------------------------------------------------------------------


def of_target(
    target: Path, wanted: Wanted, options: Options, track: Track = untracked
) -> tuple[Verification, ...]:
    """All drivers of every installation, or the files named as its kernel would judge them.

    Raises RecoveryKitError where there is no Windows.
    """
    seen = visit.survey(target, options)
    found: list[Verification] = []
    closed: list[str] = []
    for volume in seen.volumes:
        if not visit.can_be_read(volume):
            continue
        try:
            found += _of_volume(volume, seen, wanted, options, track)
        except RecoveryKitError as exc:
            closed.append(f"{volume.name}: {visit.sentence(exc)}")
    if not found and closed:
        raise TargetRefusedError("; ".join(closed))
    if not found:
        raise NoCulpritError(f"no Windows was found on {target}")
    return tuple(found)


def _of_volume(
    volume: Volume, seen: Survey, wanted: Wanted, options: Options, track: Track
) -> Iterator[Verification]:
    options.say(f"Reading {volume.name}")
    with mounts.opened(volume) as mount:
        found, _ = installs.find(volume, mount)
        for install in found:
            with visit.boot_volumes_of(install.volume, seen, options) as (opened, gaps):
                yield _of_install(install, opened, gaps, wanted, options, track)


def _of_install(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]],
    gaps: Sequence[Gap],
    wanted: Wanted,
    options: Options,
    track: Track,
) -> Verification:
    def told(count: int) -> None:
        if count % 500 == 0:
            options.say(f"Reading catalogs: {count}")

    judge = Judge(install, boot_volumes, wanted.trust, None, wanted.lists, _folders(wanted), told)
    if wanted.paths:
        named, passed = _of_named(wanted, judge, track)
        return _finished(judge, named, install, (*gaps, *passed), is_whole=not passed)
    evidence = collect_for_a_start(install, boot_volumes, ())
    drivers, more = _sorted(places.drivers_of(install, evidence))
    reader = _Reader(install, judge)
    checked = tuple(reader.of_driver(each) for each in track(drivers, "Verifying"))
    return _finished(judge, checked, install, (*gaps, *more))


def _sorted(
    found: Iterable[DriverPlace | Gap],
) -> tuple[list[DriverPlace], list[Gap]]:
    drivers: list[DriverPlace] = []
    gaps: list[Gap] = []
    for each in found:
        if isinstance(each, Gap):
            gaps.append(each)
        else:
            drivers.append(each)
    return drivers, gaps


@dataclass(frozen=True, slots=True)
class _Reader:
    """Drivers of one installation. A file with several names (hard links) is read once."""

    install: WindowsInstall
    judge: Judge
    known: dict[int, Report] = field(default_factory=dict)  # by inode

    def of_driver(self, place: DriverPlace) -> Checked:
        try:
            report = self.known.get(place.inode) or self._report(place)
        except (OSError, RecoveryKitError) as exc:
            return _unread(place.path, why(exc), place)
        answer, reason = _judged(report, place.start, knows_kernel=True)
        return Checked(place.path, answer, reason, report, "", place.start, place.services)

    def _report(self, place: DriverPlace) -> Report:
        with files.opened(self.install, place.path) as file:
            report = self.judge.report(file.stream)
        if place.inode:
            self.known[place.inode] = report
        return report


# --- what passes --------------------------------------------------------------------------


def _judged(report: Report, start: StartType | None, *, knows_kernel: bool) -> tuple[Answer, str]:
    listed = report.denied or report.advised
    if listed is not None:
        return Answer.NO, listed.reason
    if report.kind in _NEVER and report.verdict.demand is not Answer.YES:
        return Answer.NO, report.verdict.reason
    if report.kind is Kind.ORGANISATION:
        against = report.why_no_replacement(boot=start is StartType.BOOT)
        return (Answer.UNKNOWN, against) if against else (Answer.YES, report.verdict.reason)
    if knows_kernel:
        verdict = report.verdict
        return (verdict.boot if start is StartType.BOOT else verdict.demand), verdict.reason
    if report.hidden:
        return Answer.NO, "bytes that nobody signed lie inside its signature"
    if report.kind is Kind.UNSIGNED:
        return Answer.UNKNOWN, report.problem or "it has no signature of its own"
    if report.kind not in (*GOOD, Kind.PUBLISHER):
        return Answer.NO, report.verdict.reason
    return _of_known(report)


def _of_known(report: Report) -> tuple[Answer, str]:
    """Without a kernel: vouched for, but by a certificate that ran out nobody knows when."""
    best = report.best
    if best is not None and best.way is not None and best.way.passing:
        clause = best.way.passing[0].clause
        return Answer.UNKNOWN, f"{clause}, and no timestamp says that it was signed before"
    if report.kind is Kind.PUBLISHER:
        return Answer.YES, "a public CA stands behind its signer; no kernel loads it for that"
    return Answer.YES, report.verdict.reason


def _unread(path: str, reason: str, place: DriverPlace | None = None) -> Checked:
    start, services = (place.start, place.services) if place else (None, ())
    text = f"it cannot be read: {reason}"
    return Checked(path, Answer.UNKNOWN, text, None, reason, start, services)


def _finished(
    judge: Judge,
    checked: tuple[Checked, ...],
    install: WindowsInstall | None = None,
    gaps: Iterable[Gap] = (),
    *,
    is_whole: bool = True,
) -> Verification:
    known = judge.lists
    return Verification(
        files=checked,
        install=install,
        kernel=judge.target,
        catalogs=judge.shelf.count if judge.shelf.was_asked else 0,
        lists=tuple(lists.described(each) for each in (*known.enforced, *known.heeded)),
        gaps=(*gaps, *judge.gaps),
        is_whole=is_whole,
    )
