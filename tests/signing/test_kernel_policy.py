"""What kernels make of signatures: a row for each rule of Microsoft, and what is left open.

The names in capitals are the sources of `signing.kernel_policy`. Real files stand in test_verify.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import certificate, kernel_policy, timestamp
from signing.certificate import Certificate
from signing.kernel import Answer, Kernel, Kind, Verdict
from signing.path import Chain, Fault, Flaw
from signing.roots import Anchor, Store
from signing.signature import Origin, Signature, Way
from signing.timestamp import Timestamp
from tests.builders import authorities
from tests.builders.authorities import Shape, issue

YES, NO, OPEN = Answer.YES, Answer.NO, Answer.UNKNOWN
ENDED = datetime(2015, 7, 29, tzinfo=UTC)


# --- signatures, by hand --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """What a signature is of, as far as a kernel cares."""

    kind: Kind
    late: bool = False  # its certificate is of July 2015 or later
    origin: Origin = Origin.EMBEDDED
    digest: str = "sha256"
    stamped: datetime | None = None  # when a timestamp says it was signed
    excepted: bool | None = None  # by the policy of 2026


@cache
def _leaf(since: datetime, digest: str = "sha256", purposes: tuple[str, ...] = ()) -> Certificate:
    shape = Shape(
        "Maker",
        authorities.rsa_key(),
        (authorities.CODE_SIGNING, *purposes),
        since=since,
        until=since + timedelta(days=365),
        digest=digest,
    )
    return certificate.read(issue(shape, authorities.root()).certificate)


_STORES = {
    Kind.CROSS_SIGNED: Store.CROSS,
    Kind.TEST_SIGNED: Store.TEST,
    Kind.FLIGHT_SIGNED: Store.FLIGHT,
    Kind.ORGANISATION: Store.ORGANISATION,
    Kind.PUBLISHER: Store.PROGRAM,
}


_PROBLEMS = {
    Kind.TAMPERED: "the file is not what was signed",
    Kind.UNREADABLE: "it uses a digest that is not known here",
}


def _anchor(store: Store) -> Anchor:
    return Anchor(authorities.root().certificate, store, "Root", "", "by hand", None)


def _stamps(when: datetime | None) -> tuple[Timestamp, ...]:
    return (Timestamp(timestamp.Kind.TOKEN, when, "Service"),) if when else ()


@cache
def _signed(case: Case) -> tuple[Signature, Way | None]:
    since = ENDED + timedelta(days=1 if case.late else -1)
    leaf = _leaf(since, case.digest if case.digest != "md5" else "sha1")
    root = certificate.read(authorities.root().certificate)
    way = Way(Chain((leaf, root), _anchor(_STORES.get(case.kind, Store.KERNEL))), ())
    is_intact = case.kind is not Kind.TAMPERED
    signature = Signature(
        origin=case.origin,
        place="",
        algorithm=case.digest,
        digest=b"",
        is_intact=is_intact,
        holds=True,
        signer=leaf,
        signer_algorithm=case.digest,
        timestamps=_stamps(case.stamped),
        ways=(way,),
        has_pages=False,
        pages_fit=True,
        problem=_PROBLEMS.get(case.kind, ""),
    )
    return signature, way


def answer(case: Case, kernel: Kernel) -> Verdict:
    if case.kind is Kind.UNSIGNED:
        return kernel_policy.unsigned(kernel, catalogs_known=True)
    signature, way = _signed(case)
    return kernel_policy.would_load(signature, case.kind, way, kernel, excepted=case.excepted)


# --- the table ------------------------------------------------------------------------------


SWITCHES = (
    *("server", "secure_boot", "test_signing", "no_integrity_checks", "flight_signing"),
    *("upgraded", "boot_upgraded", "whql_required", "cross_signed_ended"),
)


def kernel(build: int, architecture: str = "x64", **facts: bool | None) -> Kernel:
    """One of which everything is known, and everything is off, but for `facts`."""
    off: dict[str, bool | None] = dict.fromkeys(SWITCHES, False)
    return Kernel(build, 1, architecture, **{**off, **facts})


VISTA, W7, W8, W81 = kernel(6002), kernel(7601), kernel(9200), kernel(9600)
W10_1507, W10_1511, W10_1607, W10 = kernel(10240), kernel(10586), kernel(14393), kernel(19045)
W10_1703 = kernel(15063)
W11_22H2, W11_24H2 = kernel(22621), kernel(26100)
W11_24H2_OPEN = kernel(26100, cross_signed_ended=None)
S2012R2, S2016, S2022 = (kernel(each, server=True) for each in (9600, 14393, 20348))
CLIENTS = (W7, W8, W81, W10_1507, W10_1511, W10_1607, W10, W11_22H2, W11_24H2)


def locked(found: Kernel, **facts: bool | str | None) -> Kernel:
    return replace(found, secure_boot=True, **facts)  # type: ignore[arg-type]  # bools


def on(found: Kernel, *names: str) -> Kernel:
    return replace(found, **dict.fromkeys(names, True))  # type: ignore[arg-type]  # bools


def x86(found: Kernel) -> Kernel:
    return replace(found, architecture="x86")


EARLY, LATE = Case(Kind.CROSS_SIGNED), Case(Kind.CROSS_SIGNED, late=True)
OLD, OLD_LATE = replace(EARLY, digest="sha1"), replace(LATE, digest="sha1")
WHQL, INBOX, ELAM = Case(Kind.WHQL), Case(Kind.INBOX), Case(Kind.ELAM)
ATTESTED, TESTED, OWN = Case(Kind.ATTESTATION), Case(Kind.TEST_SIGNED), Case(Kind.SELF_SIGNED)
STRANGER, PUBLISHER = Case(Kind.UNTRUSTED), Case(Kind.PUBLISHER)
OURS, FLIGHT = Case(Kind.ORGANISATION), Case(Kind.FLIGHT_SIGNED)
NOTHING, CHANGED = Case(Kind.UNSIGNED), Case(Kind.TAMPERED)
REVOKED = Case(Kind.REVOKED)
CHECKS_OFF, TESTS_ON, FLIGHTS_ON = "no_integrity_checks", "test_signing", "flight_signing"

Row = tuple[str, Case, Kernel, Answer, Answer]  # what for, file, kernel, boot-start, on demand

POLICY: Sequence[Row] = (
    ("standard roots, Vista on", replace(WHQL, digest="sha1"), W7, YES, YES),
    ("with Secure Boot as well", WHQL, locked(W8), YES, YES),
    ("and on new ones", WHQL, locked(W11_24H2), YES, YES),
    ("HLK drivers load on Servers", WHQL, locked(S2016), YES, YES),
    ("parts of Windows", INBOX, locked(W11_24H2), YES, YES),
    ("early-launch drivers", ELAM, locked(W10), YES, YES),
    ("Microsoft's other signatures", Case(Kind.MICROSOFT), locked(W10), YES, YES),
    ("attested: Windows 10", ATTESTED, locked(W10_1507), YES, YES),
    ("attested: Windows 11", ATTESTED, locked(W11_24H2), YES, YES),
    ("attested: signed for Windows 10 only", ATTESTED, W81, OPEN, OPEN),
    ("attested: on Servers not supported, and loaded", ATTESTED, S2016, YES, YES),
    ("the same with Secure Boot", ATTESTED, locked(S2022), YES, YES),
    ("cross-signed: before 1607", OLD, W7, YES, YES),
    ("cross-signed: Windows 8 with Secure Boot", LATE, locked(W8), YES, YES),
    ("cross-signed: 8.1 with Secure Boot", LATE, locked(W81), YES, YES),
    ("cross-signed: 1511 with Secure Boot", LATE, locked(W10_1511), YES, YES),
    ("exception: certificate from before July 2015", EARLY, locked(W10_1607), YES, YES),
    ("the same, new Windows", EARLY, locked(W11_22H2), YES, YES),
    ("the same, SHA-1", OLD, locked(W11_22H2), YES, YES),
    ("exception: Secure Boot is off", LATE, W10, YES, YES),
    ("exception: the PC was upgraded", LATE, locked(W10, upgraded=True), YES, YES),
    ("none of them, not known if upgraded", LATE, locked(W10, upgraded=None), OPEN, OPEN),
    ("none of them, Secure Boot not known", LATE, replace(W10, secure_boot=None), OPEN, OPEN),
    ("upgraded is enough", LATE, replace(W10, secure_boot=None, upgraded=True), YES, YES),
    ("Secure Boot off is enough", LATE, replace(W10, upgraded=None), YES, YES),
    ("which Windows is not known", LATE, Kernel(), OPEN, OPEN),
    ("Windows 7 knows no Secure Boot", OLD_LATE, locked(W7), YES, YES),
    ("Server 2016 has the exceptions too", EARLY, locked(S2016), YES, YES),
)
FAQ: Sequence[Row] = (
    ("1607 lets boot-start drivers in", LATE, locked(W10_1607), YES, NO),
    ("1607, not known if upgraded", LATE, locked(W10_1607, upgraded=None), YES, OPEN),
    ("future versions do not", LATE, locked(W10_1703), NO, NO),
    ("Windows 10", LATE, locked(W10), NO, NO),
    ("nor does Windows 11", LATE, locked(W11_22H2), NO, NO),
)
REQUIREMENTS: Sequence[Row] = (
    ("boot-start wants it embedded", replace(WHQL, origin=Origin.CATALOG), W10, OPEN, YES),
    ("nested is embedded", replace(WHQL, origin=Origin.NESTED), W10, YES, YES),
    ("Windows' own have catalogs", replace(INBOX, origin=Origin.CATALOG), W10, YES, YES),
    ("cross-signed catalogs", replace(EARLY, origin=Origin.CATALOG), W10, OPEN, YES),
    ("test-signed: the same", replace(TESTED, origin=Origin.CATALOG), on(W10, TESTS_ON), OPEN, YES),
    ("32-bit: boot-start only", NOTHING, x86(W7), OPEN, YES),
    ("32-bit, Windows 10 without Secure Boot", NOTHING, x86(W10), OPEN, YES),
    ("32-bit: any signer", OWN, x86(W10), OPEN, YES),
    ("32-bit: good is good", WHQL, x86(W10), YES, YES),
    ("32-bit: attested, before Windows 10", ATTESTED, x86(W81), OPEN, YES),
    ("32-bit: changed files are in no document", CHANGED, x86(W10), OPEN, OPEN),
    ("32-bit with Secure Boot is like 64-bit", NOTHING, locked(x86(W10)), NO, NO),
    ("32-bit with Secure Boot, a stranger", OWN, locked(x86(W10)), NO, NO),
    ("32-bit, Secure Boot not known", NOTHING, replace(x86(W10), secure_boot=None), OPEN, OPEN),
    ("32-bit Windows 7 knows no Secure Boot", NOTHING, locked(x86(W7)), OPEN, YES),
    ("64-bit, unsigned", NOTHING, W10, NO, NO),
    ("64-bit, unsigned, Windows 7", NOTHING, W7, NO, NO),
    ("which one is not known", NOTHING, replace(W10, architecture=""), OPEN, OPEN),
    ("but with Secure Boot it does not matter", NOTHING, locked(W10, architecture=""), NO, NO),
    ("arm64", NOTHING, replace(W11_22H2, architecture="arm64"), NO, NO),
)
BCDEDIT: Sequence[Row] = (
    ("nointegritychecks", NOTHING, on(W10, CHECKS_OFF), YES, YES),
    ("nointegritychecks, on a Server", ATTESTED, on(S2022, CHECKS_OFF), YES, YES),
    ("nointegritychecks, a stranger", STRANGER, on(W81, CHECKS_OFF), YES, YES),
    ("nointegritychecks, changed", CHANGED, on(W10, CHECKS_OFF), OPEN, OPEN),
    ("ignored by Windows 7", NOTHING, on(W7, CHECKS_OFF), NO, NO),
    ("ignored by Windows 8", NOTHING, on(W8, CHECKS_OFF), NO, NO),
    ("not with Secure Boot", NOTHING, locked(on(W10, CHECKS_OFF)), NO, NO),
    ("Secure Boot not known", NOTHING, replace(on(W10, CHECKS_OFF), secure_boot=None), OPEN, OPEN),
    ("not known", NOTHING, replace(W10, no_integrity_checks=None), OPEN, OPEN),
    ("not known, on Windows 7", NOTHING, replace(W7, no_integrity_checks=None), NO, NO),
    ("not known, changed", CHANGED, replace(W10, no_integrity_checks=None), OPEN, OPEN),
    ("testsigning", TESTED, on(W10, TESTS_ON), YES, YES),
    ("testsigning is off", TESTED, W10, NO, NO),
    ("testsigning with Secure Boot", TESTED, locked(on(W10, TESTS_ON)), NO, NO),
    ("testsigning not known", TESTED, replace(W10, test_signing=None), OPEN, OPEN),
    ("not known, with Secure Boot", TESTED, locked(W10, test_signing=None), NO, NO),
    (
        "testsigning, Secure Boot not known",
        TESTED,
        replace(on(W10, TESTS_ON), secure_boot=None),
        OPEN,
        OPEN,
    ),
    ("Windows 7", replace(OWN, digest="sha1"), on(W7, TESTS_ON), YES, YES),
    ("flightsigning", FLIGHT, on(W10, FLIGHTS_ON), YES, YES),
    ("flightsigning with Secure Boot", FLIGHT, locked(on(W10, FLIGHTS_ON)), YES, YES),
    ("flightsigning is off", FLIGHT, W10, NO, NO),
    ("flightsigning not known", FLIGHT, replace(W10, flight_signing=None), OPEN, OPEN),
)
TESTSIGNING: Sequence[Row] = (
    ("any certificate: its own", OWN, on(W10, TESTS_ON), YES, YES),
    ("any certificate: a stranger's", STRANGER, on(W10, TESTS_ON), YES, YES),
    ("any certificate: a public CA's", PUBLISHER, on(W10, TESTS_ON), YES, YES),
    ("any certificate: of the organisation", OURS, on(W10, TESTS_ON), YES, YES),
    ("any certificate: attested, on a Server", ATTESTED, on(S2022, TESTS_ON), YES, YES),
    ("any certificate: for previews", FLIGHT, on(W10, TESTS_ON), YES, YES),
    ("any certificate: cross-signed, in 2026", LATE, on(W11_24H2, TESTS_ON), YES, YES),
    ("but each file must be signed", NOTHING, on(W10, TESTS_ON), NO, NO),
    ("and intact", CHANGED, on(W10, TESTS_ON), NO, NO),
    ("a public CA alone is no kernel's", PUBLISHER, W10, NO, NO),
    ("nor is a stranger", STRANGER, locked(W10), NO, NO),
    ("an organisation may have taught its own", OURS, locked(W10), OPEN, OPEN),
)
SHA2: Sequence[Row] = (
    ("Windows 7 needs an update", WHQL, W7, OPEN, OPEN),
    ("inbox as well", INBOX, W7, OPEN, OPEN),
    ("Vista", WHQL, VISTA, OPEN, OPEN),
    ("SHA-1 does not", replace(WHQL, digest="sha1"), W7, YES, YES),
    ("SHA-1 on new ones", replace(WHQL, digest="sha1"), locked(W11_22H2), YES, YES),
    ("Windows 8 knows it", WHQL, W8, YES, YES),
    ("SHA-384 is SHA-2", replace(WHQL, digest="sha384"), W7, OPEN, OPEN),
    ("MD5: no document", replace(WHQL, digest="md5"), W10, OPEN, OPEN),
    ("MD5, refused anyhow", replace(TESTED, digest="md5"), W10, NO, NO),
    ("MD5, nothing is checked", replace(WHQL, digest="md5"), on(W10, CHECKS_OFF), YES, YES),
    ("MD5, cross-signed late", replace(LATE, digest="md5"), locked(W10_1607), OPEN, NO),
    ("a Windows not known is no Windows 7", INBOX, Kernel(), YES, YES),
)
BEFORE, AFTER = ENDED - timedelta(days=1), ENDED + timedelta(days=1)
OTHER, OTHER_LATE = Case(Kind.MICROSOFT), Case(Kind.MICROSOFT, late=True)
BOOT_TOO, ASKED, OVER = "boot_upgraded", "whql_required", "cross_signed_ended"
CHAPPELL: Sequence[Row] = (
    ("1507 may ask as well", LATE, locked(W10_1507), OPEN, OPEN),
    ("1507, upgraded", LATE, locked(W10_1507, upgraded=True), YES, YES),
    ("1507 without Secure Boot", LATE, W10_1507, YES, YES),
    ("1507, early certificate, no timestamp", EARLY, locked(W10_1507), YES, YES),
    ("1507 goes by the timestamp", replace(EARLY, stamped=BEFORE), locked(W10_1507), YES, YES),
    ("1507: signed later", replace(EARLY, stamped=AFTER), locked(W10_1507), OPEN, OPEN),
    ("1607 goes by the certificate", replace(EARLY, stamped=AFTER), locked(W10_1607), YES, YES),
    ("BootUpgradedSystem", LATE, locked(on(W10_1703, BOOT_TOO)), YES, NO),
    ("BootUpgradedSystem on Windows 11", LATE, locked(on(W11_22H2, BOOT_TOO)), YES, NO),
    ("BootUpgradedSystem not known", LATE, locked(W10, boot_upgraded=None), OPEN, NO),
    ("1607 exempts all, without it", LATE, locked(W10_1607, boot_upgraded=None), YES, NO),
    (
        "with it, Secure Boot does not matter",
        LATE,
        replace(on(W10, BOOT_TOO), secure_boot=None),
        YES,
        OPEN,
    ),
    (
        "UpgradedSystem is enough for both",
        LATE,
        locked(W10, upgraded=True, boot_upgraded=None),
        YES,
        YES,
    ),
    ("WHQL demanded: without Secure Boot too", LATE, on(W10, ASKED), NO, NO),
    ("WHQL demanded: of old ones too", EARLY, on(W10, ASKED), NO, NO),
    ("WHQL demanded: upgraded or not", LATE, on(W10, ASKED, "upgraded", BOOT_TOO), NO, NO),
    ("WHQL demanded by a policy, 1511", LATE, on(W10_1511, ASKED), NO, NO),
    ("WHQL demanded: WHQL", WHQL, on(W10, ASKED), YES, YES),
    ("WHQL demanded: attested is WHQL", ATTESTED, on(W10, ASKED), YES, YES),
    ("WHQL demanded: parts of Windows", INBOX, locked(on(W10, ASKED)), YES, YES),
    ("WHQL demanded: ELAM is not asked", ELAM, on(W10, ASKED), YES, YES),
    ("WHQL demanded: not known", EARLY, replace(W10, whql_required=None), OPEN, OPEN),
    ("not known, and refused anyway", LATE, locked(W10, whql_required=None), NO, NO),
    ("8.1 knows no such demand", LATE, on(W81, ASKED), YES, YES),
    ("testsigning lifts it", LATE, on(W10, ASKED, TESTS_ON), YES, YES),
    ("testsigning: 1511 may still ask", OWN, on(W10_1511, ASKED, TESTS_ON), OPEN, OPEN),
    ("testsigning: 1511, not known", OWN, on(W10_1511, TESTS_ON), YES, YES),
    ("testsigning is off", OWN, on(W10_1511, ASKED), NO, NO),
    ("32-bit, WHQL demanded", NOTHING, on(x86(W10), ASKED), OPEN, OPEN),
    ("Microsoft's other ones, early", OTHER, locked(W10), YES, YES),
    ("Microsoft's other ones, late", OTHER_LATE, locked(W10), OPEN, OPEN),
    ("Microsoft's other ones, 1607", OTHER_LATE, locked(W10_1607), YES, OPEN),
    ("Microsoft's other ones without Secure Boot", OTHER_LATE, W10, YES, YES),
    ("Microsoft's other ones, WHQL demanded", OTHER, on(W10, ASKED), OPEN, OPEN),
    ("Microsoft's other ones, Windows 8", OTHER_LATE, locked(W8), YES, YES),
)
LISTED, LEFT_OUT = replace(EARLY, excepted=True), replace(EARLY, excepted=False)
IN_2026: Sequence[Row] = (
    ("24H2, not known how far", EARLY, W11_24H2_OPEN, OPEN, OPEN),
    ("not known, with Secure Boot", EARLY, locked(W11_24H2_OPEN), OPEN, OPEN),
    ("not known, upgraded", LATE, locked(W11_24H2_OPEN, upgraded=True), OPEN, OPEN),
    ("not known, and refused anyway", LATE, locked(W11_24H2_OPEN), NO, NO),
    ("not known, and listed anyway", LISTED, locked(W11_24H2_OPEN), YES, YES),
    ("not known, and not listed", LEFT_OUT, locked(W11_24H2_OPEN), OPEN, OPEN),
    ("Server 2025", EARLY, replace(W11_24H2_OPEN, server=True), OPEN, OPEN),
    ("26H1", EARLY, kernel(28000, cross_signed_ended=None), OPEN, OPEN),
    ("absent or evaluated: as before", EARLY, locked(W11_24H2), YES, YES),
    ("absent or evaluated: late ones", LATE, locked(W11_24H2), NO, NO),
    ("absent or evaluated: no Secure Boot", LATE, W11_24H2, YES, YES),
    ("absent or evaluated: upgraded", LATE, locked(W11_24H2, upgraded=True), YES, YES),
    ("absent or evaluated: not listed", LEFT_OUT, locked(W11_24H2), YES, YES),
    ("enforced: not listed", LEFT_OUT, on(W11_24H2, OVER), NO, NO),
    ("enforced: listed", LISTED, locked(on(W11_24H2, OVER)), YES, YES),
    ("enforced: not known if listed", EARLY, on(W11_24H2, OVER), OPEN, OPEN),
    ("enforced: late, not known if listed", LATE, locked(on(W11_24H2, OVER)), NO, NO),
    ("enforced: listed, but late", replace(LATE, excepted=True), locked(W11_24H2), NO, NO),
    ("enforced: upgraded or not", LEFT_OUT, on(W11_24H2, OVER, "upgraded"), NO, NO),
    ("enforced: attested goes on", ATTESTED, locked(on(W11_24H2, OVER)), YES, YES),
    ("enforced: WHQL goes on", WHQL, locked(on(W11_24H2, OVER)), YES, YES),
    ("enforced: parts of Windows go on", INBOX, locked(on(W11_24H2, OVER)), YES, YES),
    ("enforced: Microsoft's other ones", OTHER, on(W11_24H2, OVER), OPEN, OPEN),
    ("enforced, testsigning", LEFT_OUT, on(W11_24H2, OVER, TESTS_ON), OPEN, OPEN),
    ("enforced, testsigning, a stranger", OWN, on(W11_24H2, OVER, TESTS_ON), YES, YES),
    ("23H2 goes on", EARLY, kernel(22631, cross_signed_ended=None), YES, YES),
    ("23H2 does not look", LEFT_OUT, on(kernel(22631), OVER), YES, YES),
    ("Server 23H2 goes on", EARLY, kernel(25398, server=True), YES, YES),
    ("attested goes on", ATTESTED, locked(W11_24H2_OPEN), YES, YES),
)
DISTRUST: Sequence[Row] = (
    ("what a kernel knows of it is not known", REVOKED, W10, OPEN, OPEN),
    ("with Secure Boot", REVOKED, locked(W11_24H2), OPEN, OPEN),
)
TABLE = {
    f"{name}: {row[0]}": row
    for name, rows in {
        "POLICY": POLICY,
        "FAQ": FAQ,
        "REQUIREMENTS": REQUIREMENTS,
        "BCDEDIT": BCDEDIT,
        "TESTSIGNING": TESTSIGNING,
        "SHA2": SHA2,
        "CHAPPELL": CHAPPELL,
        "2026": IN_2026,
        "DISTRUST": DISTRUST,
    }.items()
    for row in rows
}


@pytest.mark.parametrize("name", TABLE)
def test_the_rules(name: str) -> None:
    _, case, found, boot, demand = TABLE[name]
    verdict = answer(case, found)
    assert (verdict.boot, verdict.demand) == (boot, demand), verdict.reason
    _is_one_clause(verdict.reason)


def _is_one_clause(reason: str) -> None:
    assert reason
    assert reason == reason.strip(" .") == reason.replace("\n", " ")
    assert not reason[0].isupper() or reason.startswith(("Microsoft", "32-bit"))
    assert "None" not in reason


def test_every_row_is_one() -> None:
    assert len(TABLE) == sum(
        map(
            len,
            (POLICY, FAQ, REQUIREMENTS, BCDEDIT, TESTSIGNING, SHA2, CHAPPELL, IN_2026, DISTRUST),
        )
    )


REASONS = (
    (LATE, W10, "its maker 'Maker' signed it under a cross-certified CA, and Secure Boot is off"),
    (LATE, locked(W10, upgraded=True), "this Windows was upgraded"),
    (
        LATE,
        locked(W10_1607),
        "which Windows 10 1607 loads at the start of Windows only",
    ),
    (EARLY, locked(W10), "with a certificate from before July 2015"),
    (
        ATTESTED,
        S2016,
        "signed it on its maker's word",
    ),
    (NOTHING, on(W10, CHECKS_OFF), "check no signatures (nointegritychecks)"),
    (NOTHING, replace(on(W10, CHECKS_OFF), secure_boot=None), "(nointegritychecks)"),
    (NOTHING, x86(W10), "32-bit Windows without Secure Boot"),
    (OWN, on(W10, TESTS_ON), "its signer vouches for itself, and testsigning is on"),
    (OWN, W10, "its signer vouches for itself, and testsigning is off"),
    (OWN, locked(on(W10, TESTS_ON)), "with Secure Boot that setting does nothing"),
    (OWN, replace(W10, test_signing=None), "it loads with testsigning at most"),
    (LATE, on(W10, "whql_required"), "is set to ask for signatures of Microsoft's own (WHQL)"),
    (LATE, locked(W10), "which Windows 10 1703 and later do not load"),
    (LATE, locked(on(W10, "boot_upgraded")), "(BootUpgradedSystem)"),
    (EARLY, W11_24H2_OPEN, "from April 2026 on, updates of this Windows end that trust"),
    (EARLY, on(W11_24H2, "cross_signed_ended"), "whether it allows this one is not known"),
    (
        replace(EARLY, excepted=False),
        on(W11_24H2, "cross_signed_ended"),
        "has ended the trust in those (Windows Driver Policy)",
    ),
    (CHANGED, W10, "the file is not what was signed"),
    (WHQL, W7, "know SHA-2 only by an update"),
    (replace(WHQL, origin=Origin.CATALOG), W10, "should have a signature of its own"),
)


@pytest.mark.parametrize(("case", "found", "words"), REASONS)
def test_reasons_name_what_decides(case: Case, found: Kernel, words: str) -> None:
    assert words in answer(case, found).reason


@pytest.mark.parametrize("found", CLIENTS)
def test_a_file_that_nobody_looked_for_in_catalogs(found: Kernel) -> None:
    verdict = kernel_policy.unsigned(found, catalogs_known=False)
    assert (verdict.boot, verdict.demand) == (OPEN, OPEN)
    assert "catalogs" in verdict.reason


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_the_day_on_which_cross_signing_ended(days: int) -> None:
    leaf = _leaf(ENDED + timedelta(days=days))
    signature, way = _signed(EARLY)
    assert way is not None
    moved = Way(Chain((leaf, *way.chain.certificates[1:]), way.chain.anchor), ())
    found = kernel_policy.would_load(signature, Kind.CROSS_SIGNED, moved, locked(W10))
    assert (found.demand is YES) is (days < 0)  # "issued prior to July 29th 2015" (POLICY)


# --- classes --------------------------------------------------------------------------------

_WHQL, _WINDOWS = "1.3.6.1.4.1.311.10.3.5", "1.3.6.1.4.1.311.10.3.6"
_ATTESTATION, _ELAM = "1.3.6.1.4.1.311.10.3.5.1", "1.3.6.1.4.1.311.61.4.1"
_DISTRUSTED = Fault(Flaw.DISTRUSTED, "it is distrusted")
_EXPIRED, _WEAK = Fault(Flaw.EXPIRED, "it ran out"), Fault(Flaw.WEAK, "it rests on SHA1")
_WRONG = Fault(Flaw.PURPOSE, "it is for servers")


def _way(store: Store, *faults: Fault, purposes: tuple[str, ...] = ()) -> Way:
    leaf = _leaf(ENDED, purposes=purposes)
    return Way(
        Chain((leaf, certificate.read(authorities.root().certificate)), _anchor(store)), faults
    )


CLASSES = {
    "WHQL": ((_way(Store.KERNEL, purposes=(_WHQL,)),), Kind.WHQL),
    "attestation": ((_way(Store.KERNEL, purposes=(_ATTESTATION,)),), Kind.ATTESTATION),
    "attested and WHQL: the weaker word": (
        (_way(Store.KERNEL, purposes=(_WHQL, _ATTESTATION)),),
        Kind.ATTESTATION,
    ),
    "inbox": ((_way(Store.KERNEL, purposes=(_WINDOWS,)),), Kind.INBOX),
    "early launch": ((_way(Store.KERNEL, purposes=(_ELAM, _WINDOWS)),), Kind.ELAM),
    "Microsoft": ((_way(Store.KERNEL),), Kind.MICROSOFT),
    "cross": ((_way(Store.CROSS),), Kind.CROSS_SIGNED),
    "test": ((_way(Store.TEST),), Kind.TEST_SIGNED),
    "flight": ((_way(Store.FLIGHT),), Kind.FLIGHT_SIGNED),
    "public": ((_way(Store.PROGRAM),), Kind.PUBLISHER),
    "own": ((_way(Store.ORGANISATION),), Kind.ORGANISATION),
    "two ways: the kernel's": ((_way(Store.PROGRAM), _way(Store.CROSS)), Kind.CROSS_SIGNED),
    "another root's WHQL is none": (
        (_way(Store.ORGANISATION, purposes=(_WHQL,)),),
        Kind.ORGANISATION,
    ),
    "no clock": ((_way(Store.CROSS, _EXPIRED, _WEAK),), Kind.CROSS_SIGNED),
    "wrong purpose": ((_way(Store.KERNEL, _WRONG),), Kind.UNTRUSTED),
    "the better way is wrong": (
        (_way(Store.KERNEL, _WRONG), _way(Store.PROGRAM)),
        Kind.PUBLISHER,
    ),
    "distrusted": ((_way(Store.CROSS, _EXPIRED, _DISTRUSTED),), Kind.REVOKED),
    "distrusted on one way": (
        (_way(Store.CROSS, _DISTRUSTED), _way(Store.PROGRAM)),
        Kind.PUBLISHER,
    ),
    "none": ((), Kind.UNTRUSTED),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str) -> None:
    ways, expected = CLASSES[name]
    kind, way = kernel_policy.classify(replace(_signed(WHQL)[0], ways=ways))
    assert kind is expected
    assert (way is None) is (not ways)


def test_classes_of_what_says_nothing() -> None:
    good = _signed(WHQL)[0]
    root = certificate.read(authorities.root().certificate)
    for changed, expected in (
        ({"is_intact": False}, Kind.TAMPERED),
        ({"holds": False}, Kind.TAMPERED),
        ({"pages_fit": False}, Kind.TAMPERED),
        ({"problem": "it uses a digest that is not known here"}, Kind.UNREADABLE),
        ({"signer": None}, Kind.UNREADABLE),
        ({"signer": root, "ways": ()}, Kind.SELF_SIGNED),
    ):
        assert kernel_policy.classify(replace(good, **changed))[0] is expected


def test_every_class_has_a_rank() -> None:
    assert sorted(kernel_policy.RANKS) == sorted(Kind)


# --- what is not known ----------------------------------------------------------------------

CASES = (
    *(Case(kind) for kind in Kind if kind is not Kind.UNREADABLE),
    Case(Kind.UNREADABLE),
    LATE,
    replace(LATE, excepted=False),
    LISTED,
    LEFT_OUT,
    OTHER_LATE,
    *(Case(kind, digest="sha1") for kind in (Kind.WHQL, Kind.CROSS_SIGNED, Kind.TEST_SIGNED)),
    OLD_LATE,
    replace(WHQL, digest="md5"),
    replace(LATE, digest="md5"),
    *(
        Case(kind, origin=Origin.CATALOG)
        for kind in (Kind.WHQL, Kind.INBOX, Kind.CROSS_SIGNED, Kind.TEST_SIGNED, Kind.ATTESTATION)
    ),
)
BOTH = (None, False, True)
BUILDS = (None, 7601, 9200, 9600, 10240, 10586, 14393, 19045, 26100)  # each side of every border
VALUES: dict[str, tuple[object, ...]] = {
    "build": BUILDS,
    "architecture": ("", "x86", "x64"),
    "secure_boot": BOTH,
    "test_signing": BOTH,
    "no_integrity_checks": BOTH,
}
# What only some are asked for.
LATER: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("upgraded", "boot_upgraded", "whql_required", OVER), BOTH),
    "no_integrity_checks": (False,),  # which lifts what is refused, whatever the reason
}
FURTHER: dict[Kind, dict[str, tuple[object, ...]]] = {
    Kind.CROSS_SIGNED: LATER,
    Kind.MICROSOFT: LATER,
    Kind.SELF_SIGNED: {"whql_required": BOTH},
    Kind.UNSIGNED: {"whql_required": BOTH},
    Kind.ATTESTATION: {"server": BOTH},
    Kind.FLIGHT_SIGNED: {"flight_signing": BOTH},
}


def _can_be(**facts: object) -> bool:
    """No Windows before 8 starts with Secure Boot on."""
    build = facts["build"]
    return not isinstance(build, int) or build >= 9200 or facts["secure_boot"] is not True


def _is_supposed(case: Case, name: str, value: object) -> bool:
    """A Windows that is not known is supposed to know SHA-2."""
    return name == "build" and value == 7601 and case.digest != "sha1"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_not_known_is_unknown_unless_it_makes_no_difference(case: Case) -> None:
    """Over all kernels of which more or less is known.

    One fact more never contradicts "yes" or "no"; so no number of facts does. And where either
    value of a fact leads to the same answer, not knowing it does as well.
    """
    values = {**VALUES, **FURTHER.get(case.kind, {})}
    answers = {
        combination: answer(case, Kernel(**dict(zip(values, combination, strict=True))))  # type: ignore[arg-type]
        for combination in product(*values.values())
        if _can_be(**dict(zip(values, combination, strict=True)))
    }
    assert len(answers) > 400
    for combination, less in answers.items():
        for name, known in _with_one_more(case, values, combination, answers):
            for side in ("boot", "demand"):
                found, later = getattr(less, side), {getattr(each, side) for each in known}
                if found is not OPEN:
                    assert later == {found}, (combination, name, side)
                elif name != "build":  # two rules of different sources may each say "yes"
                    assert later not in ({YES}, {NO}), (combination, name, side)


def _with_one_more(
    case: Case,
    values: dict[str, tuple[object, ...]],
    combination: tuple[object, ...],
    answers: dict[tuple[object, ...], Verdict],
) -> Iterator[tuple[str, list[Verdict]]]:
    """For each fact that is not known, the answers if it were."""
    for place, (name, known) in enumerate(values.items()):
        if combination[place] not in (None, ""):
            continue
        fuller = (
            (*combination[:place], value, *combination[place + 1 :])
            for value in known[1:]
            if not _is_supposed(case, name, value)
        )
        yield name, [answers[each] for each in fuller if each in answers]


_ANY = st.builds(
    Kernel,
    build=st.sampled_from((*BUILDS, 6002, 10586, 22631, 28000)),
    revision=st.none() | st.integers(0, 9999),
    architecture=st.sampled_from(("", "x86", "x64", "arm64")),
    **{
        each.name: st.sampled_from(BOTH)
        for each in fields(Kernel)
        if each.name not in ("build", "revision", "architecture")
    },
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CASES), _ANY)
def test_any_kernel_gets_an_answer_with_a_reason(case: Case, found: Kernel) -> None:
    verdict = answer(case, found)
    _is_one_clause(verdict.reason)
    # What does not decide by itself changes nothing.
    other = replace(found, hvci=not found.hvci, block_list=not found.block_list, revision=7)
    assert answer(case, other) == verdict


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CASES), _ANY)
def test_less_strict_settings_never_keep_out_what_stricter_ones_let_in(
    case: Case, found: Kernel
) -> None:
    order = {NO: 0, OPEN: 1, YES: 2}
    strict = replace(found, test_signing=False, no_integrity_checks=False, flight_signing=False)
    for name in (TESTS_ON, CHECKS_OFF, FLIGHTS_ON):
        lax = on(strict, name)
        for side in ("boot", "demand"):
            before, after = getattr(answer(case, strict), side), getattr(answer(case, lax), side)
            assert order[after] >= order[before], (name, side)
