"""Would Secure Boot start this program, on a machine that trusts this?

UEFI Specification 2.10, 32.5.3.3; https://github.com/tianocore/edk2, DxeImageVerificationLib. In
the order of the code:

1. It is an EFI program whose certificate table ends where its entries do.
2. dbx: neither a digest of the program, nor a certificate of *any* of its signatures may be there.
   A program with two signatures is refused once one of them is revoked.
3. db: one signature that holds leads to a certificate of db, or the program's digest is in db.
4. Windows' boot manager stops itself when its security version number is below that of dbx; shim
   stops itself when its SBAT generation is below the level in force. Firmware looks at neither.

What shim starts (`shim` given) shim looks at: with its own certificates beside those of db, and
SBAT asked of every program.

Machines differ. What is said here holds for firmware that follows the specification; where that
leaves room, "unknown" is said, or "no". OVMF of 2022 was asked about thirty programs: it starts
what is called "yes" here and nothing that is called "no", but for one certificate (see
`efi_signature`); it refuses ECDSA, takes SHA-1, and overlooks what it cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signing import efi_signature, image, resources, sbat, svn
from signing.efi_signature import EfiSignature, Message
from signing.efi_variables import Database
from signing.errors import MalformedError
from signing.firmware import Firmware
from signing.image import Image, Stream
from signing.kernel import Answer
from signing.sbat import Component, Revoked
from signing.shim import Shim
from signing.svn import Svn

SUBSYSTEMS = frozenset((10, 11, 12, 13))  # EFI application, drivers, ROM
_ACCEPTED = frozenset(("sha256", "sha384", "sha512"))
_EMPTY = Database.of(())


@dataclass(frozen=True, slots=True)
class EfiVerdict:
    """Whether it would start and why, and what it is."""

    answer: Answer
    reason: str  # one sentence
    machine: str = ""  # "x64"
    digest: bytes = b""  # SHA-256, as dbx has it
    signatures: tuple[EfiSignature, ...] = ()  # in the order of the table
    revoked_digest: str = ""  # algorithm of the digest that dbx has; "" where it has none
    components: tuple[Component, ...] = ()  # SBAT
    revoked_component: Revoked | None = None
    svn: Svn | None = None  # of a boot manager of Windows


@dataclass(frozen=True, slots=True)
class _Program:
    """What was read of the file."""

    made: Image
    digests: dict[str, bytes]
    entries: tuple[Message | str, ...]  # messages, or why one cannot be read
    is_whole: bool  # the table ends where its entries do
    components: tuple[Component, ...]
    has_sbat: bool
    sbat_problem: str
    svn: Svn | None


def judge(stream: Stream, firmware: Firmware, shim: Shim | None = None) -> EfiVerdict:
    """Would it start under Secure Boot? With `shim`, what that shim says of it.

    Reads the whole file. Raises OSError where it cannot be read, and nothing else.
    """
    try:
        program = _read(stream, firmware)
    except MalformedError as exc:
        return EfiVerdict(Answer.UNKNOWN, f"It cannot be read: {exc}.")
    db, dbx = firmware.db or _EMPTY, firmware.dbx or _EMPTY
    if shim is not None:
        db, dbx = db + shim.trusted, dbx + shim.revoked
    signatures = tuple(_judged(entry, program.digests, db, dbx) for entry in program.entries)
    listed = _listed(program.digests, dbx)
    level = firmware.sbat_level
    if shim is not None:
        level = sbat.later(level or sbat.NO_LEVEL, shim.level)
    revoked = sbat.revoked(program.components, level) if level is not None else None
    answer, reason = _answer(program, firmware, signatures, listed, db)
    if answer is Answer.YES:
        answer, reason = _own_checks(program, firmware, revoked, reason, by_shim=shim is not None)
    return EfiVerdict(
        answer,
        reason,
        program.made.machine,
        program.digests["sha256"],
        signatures,
        listed,
        program.components,
        revoked,
        program.svn,
    )


# --- reading ------------------------------------------------------------------------------


def _read(stream: Stream, firmware: Firmware) -> _Program:
    made = image.read(stream)
    table = image.entries(stream, made) if made.is_signed else ()
    entries = [_message(entry) for entry in table if efi_signature.is_looked_at(entry)]
    end = table[-1].at + 8 + len(table[-1].content) if table else 0
    algorithms = {"sha256"}
    for database in (firmware.db, firmware.dbx):
        algorithms |= set(database.hashes) if database else set()
    algorithms |= {each.algorithm for each in entries if isinstance(each, Message)}
    components, has_sbat, problem = _components(stream, made)
    return _Program(
        made,
        image.digests(stream, made, sorted(algorithms)),
        tuple(entries),
        end + -end % 8 == made.table_size,
        components,
        has_sbat,
        problem,
        svn.of_boot_manager(stream, made),
    )


def _message(entry: image.Entry) -> Message | str:
    try:
        return efi_signature.read(entry)
    except MalformedError as exc:
        return str(exc)


def _components(stream: Stream, made: Image) -> tuple[tuple[Component, ...], bool, str]:
    """(components, whether there is a section of them, why they cannot be read)."""
    try:
        section = resources.section(stream, made, sbat.SECTION, sbat.LARGEST)
        found = sbat.components(section) if section is not None else ()
    except MalformedError as exc:
        return (), True, str(exc)
    return found, section is not None, ""


def _judged(
    entry: Message | str, digests: dict[str, bytes], db: Database, dbx: Database
) -> EfiSignature:
    if isinstance(entry, str):
        return EfiSignature("", "", "", entry, is_readable=False)
    return efi_signature.judge(entry, digests, db, dbx)


def _listed(digests: dict[str, bytes], database: Database) -> str:
    """The algorithm of a digest that the database has."""
    for algorithm, digest in digests.items():
        if digest in database.hashes.get(algorithm, {}):
            return algorithm
    return ""


# --- judging ------------------------------------------------------------------------------


def _answer(
    program: _Program,
    firmware: Firmware,
    signatures: Sequence[EfiSignature],
    listed: str,
    db: Database,
) -> tuple[Answer, str]:
    """What the firmware says, or shim in its place."""
    if program.made.subsystem not in SUBSYSTEMS:
        return Answer.NO, "It is no EFI program, so firmware does not start it."
    if not program.is_whole:
        return Answer.NO, "Its certificate table does not end where its entries do."
    if listed:
        return Answer.NO, f"Its {_shown(listed)} digest is revoked by dbx."
    for each in signatures:
        if each.revoked_by:
            return Answer.NO, f"dbx refuses it: {each.revoked_by}."
    if firmware.db is None:
        return Answer.UNKNOWN, "What the machine trusts (db) was not read."
    allowed, reason = _allowed(program, signatures, db)
    if allowed is Answer.NO:
        return allowed, reason
    if firmware.dbx is None:
        return Answer.UNKNOWN, "What the machine has revoked (dbx) was not read."
    if not all(each.is_readable for each in signatures):
        return Answer.UNKNOWN, "db allows it, but one of its signatures cannot be read."
    return allowed, reason


def _allowed(
    program: _Program, signatures: Sequence[EfiSignature], db: Database
) -> tuple[Answer, str]:
    trusted = [each for each in signatures if each.trusted_by]
    for each in trusted:
        if each.algorithm in _ACCEPTED and not each.is_elliptic:
            return Answer.YES, f"Its signature leads to '{each.trusted_by}', which db has."
    asked = {each.algorithm for each in signatures if each.is_readable} & _ACCEPTED
    for algorithm in asked if program.made.is_signed else {"sha256"}:
        if program.digests[algorithm] in db.hashes.get(algorithm, {}):
            return Answer.YES, f"Its {_shown(algorithm)} digest is in db."
    for each in trusted:
        if each.algorithm in _ACCEPTED:
            return Answer.UNKNOWN, "It is signed with ECDSA, which much firmware does not know."
        kind = _shown(each.algorithm)
        return Answer.UNKNOWN, f"It is signed with {kind}, which newer firmware refuses."
    return Answer.NO, _refusal(program, signatures)


def _refusal(program: _Program, signatures: Sequence[EfiSignature]) -> str:
    if not program.made.is_signed:
        return "It is not signed, and db does not have its digest."
    if not signatures:
        return "None of its signatures is of a kind that firmware looks at."
    good = [each for each in signatures if not each.problem]
    if not good:
        return f"No signature of it holds: {signatures[0].problem}."
    names = " and ".join(dict.fromkeys(f"'{each.authority}'" for each in good))
    return f"It is signed under {names}, and db has no certificate for that."


def _own_checks(
    program: _Program, firmware: Firmware, revoked: Revoked | None, reason: str, *, by_shim: bool
) -> tuple[Answer, str]:
    """What boot programs themselves refuse, once firmware would start them."""
    least = firmware.least_svn
    if program.svn is not None and least is not None and program.svn < least:
        return Answer.NO, (
            f"The boot manager would stop itself: its security version is {program.svn}, and dbx "
            f"asks for {least}."
        )
    is_shim = any(each.name == "shim" for each in program.components)
    if not by_shim and not is_shim and not program.sbat_problem:
        return Answer.YES, reason
    if program.sbat_problem:
        return Answer.UNKNOWN, f"Its SBAT section cannot be read: {program.sbat_problem}."
    if by_shim and not program.has_sbat:
        return Answer.NO, "It has no SBAT section, and shim starts nothing without one."
    if revoked is not None:
        return Answer.NO, (
            f"shim refuses it: '{revoked.component}' is of SBAT generation {revoked.generation}, "
            f"and {revoked.minimum} is asked for."
        )
    if firmware.sbat_level is None:
        return Answer.UNKNOWN, "The SBAT level of the machine was not read."
    return Answer.YES, reason


def _shown(algorithm: str) -> str:
    """SHA-256"""
    return algorithm.upper().replace("SHA", "SHA-")
