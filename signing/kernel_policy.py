"""Which class a signature is of, and whether a kernel loads what it vouches for.

Sources, by the names used below:
- POLICY: Microsoft, "Driver Signing Policy" (windows-driver-docs, install/
  kernel-mode-code-signing-policy--windows-vista-and-later-): the table by version and Secure Boot,
  the three exceptions for cross-signed drivers, Windows Server and attestation.
- FAQ: Microsoft, "Driver Signing changes in Windows 10, version 1607" (hardware certification blog,
  26 July 2016): a fourth exception, boot-start drivers, until "future versions".
- CHAPPELL, 2026: as in `cross_signed`, where the rules for what Microsoft did not sign are.
- ATTESTED: MicrosoftDocs/windows-driver-docs, issues 1068 and 1868, pull request 2062: what POLICY
  says of Windows Server and attestation was never so, and became "not supported".
- REQUIREMENTS: Microsoft, "Kernel-Mode Code Signing Requirements": embedded signatures of
  boot-start drivers; 32-bit Windows.
- BCDEDIT: Microsoft, "BCDEdit /set": testsigning, nointegritychecks and Secure Boot.
- TESTSIGNING: Microsoft, "The TESTSIGNING Boot Configuration Option": any signer, but signed.
- SHA2: Microsoft, support articles 3033929 and 4474419: Windows 7 and SHA-2.
- PURPOSES: Microsoft, "App Control: certificate EKUs" and windows-boot-facts.md, section 13.

The kernel looks at no clock: a certificate that ran out does not keep a driver from loading. Where
documents are silent or disagree the answer is "unknown", never a guess. So it is where a fact is
not known: "yes" and "no" hold whatever that fact may be (a test tries all). One thing is supposed:
a Windows of a build that is not known knows SHA-2, as all but Windows 7 and before do.
"""

from __future__ import annotations

from collections.abc import Sequence

from signing import cross_signed
from signing.certificate import STRONG
from signing.cross_signed import VERSION_1607, WINDOWS_10
from signing.kernel import Answer, Kernel, Kind, Verdict
from signing.path import Flaw
from signing.roots import Store
from signing.signature import Origin, Signature, Way

# Purposes (EKU) of certificates under Microsoft's roots (PURPOSES).
_ELAM = "1.3.6.1.4.1.311.61.4.1"
_ATTESTATION = "1.3.6.1.4.1.311.10.3.5.1"
_WHQL = "1.3.6.1.4.1.311.10.3.5"
_WINDOWS = "1.3.6.1.4.1.311.10.3.6"

_WINDOWS_7, _WINDOWS_8_1 = 7601, 9600

_BY_STORE = {
    Store.CROSS: Kind.CROSS_SIGNED,
    Store.TEST: Kind.TEST_SIGNED,
    Store.FLIGHT: Kind.FLIGHT_SIGNED,
    Store.ORGANISATION: Kind.ORGANISATION,
    Store.PROGRAM: Kind.PUBLISHER,
    Store.FIRMWARE: Kind.MICROSOFT,
}
# Which class counts where a signature has several: whom a kernel believes comes first.
RANKS: Sequence[Kind] = (
    Kind.INBOX,
    Kind.ELAM,
    Kind.WHQL,
    Kind.ATTESTATION,
    Kind.CROSS_SIGNED,
    Kind.MICROSOFT,
    Kind.FLIGHT_SIGNED,
    Kind.ORGANISATION,
    Kind.PUBLISHER,
    Kind.TEST_SIGNED,
    Kind.SELF_SIGNED,
    Kind.UNTRUSTED,
    Kind.REVOKED,
    Kind.TAMPERED,
    Kind.UNREADABLE,
    Kind.UNSIGNED,
)
_STRANGERS = (
    Kind.TEST_SIGNED,
    Kind.SELF_SIGNED,
    Kind.UNTRUSTED,
    Kind.ORGANISATION,
    Kind.PUBLISHER,
)
_TRUSTED_ONCE = (Kind.CROSS_SIGNED, Kind.MICROSOFT)
_MICROSOFT_WORDS = {
    Kind.INBOX: "it is part of Windows",
    Kind.ELAM: "it is an early-launch driver that Microsoft signed",
    Kind.WHQL: "it passed Microsoft's hardware tests",
}
_STRANGER_WORDS = {
    Kind.TEST_SIGNED: "it is signed for tests",
    Kind.SELF_SIGNED: "its signer vouches for itself",
    Kind.UNTRUSTED: "no root known here stands behind its signer",
    Kind.ORGANISATION: "who runs this trusts its signer",
    Kind.PUBLISHER: "its CA has no cross-certificate of Microsoft's in the file",
}


def classify(signature: Signature) -> tuple[Kind, Way | None]:
    """The class of a signature, and the way up that makes it that."""
    if signature.is_tampered:
        return Kind.TAMPERED, None
    if signature.problem or signature.signer is None:
        return Kind.UNREADABLE, None
    usable = [way for way in signature.ways if not way.lasting]
    if usable:
        way = min(usable, key=lambda each: (RANKS.index(_of_way(each)), len(each.faults)))
        return _of_way(way), way
    for way in signature.ways:
        if any(fault.flaw is Flaw.DISTRUSTED for fault in way.faults):
            return Kind.REVOKED, way
    signer = signature.signer
    kind = Kind.SELF_SIGNED if signer.is_self_issued else Kind.UNTRUSTED
    return kind, next(iter(signature.ways), None)


def _of_way(way: Way) -> Kind:
    if way.chain.store is not Store.KERNEL:
        return _BY_STORE[way.chain.store]
    purposes = way.chain.leaf.purposes or frozenset()
    for purpose, kind in (
        (_ELAM, Kind.ELAM),
        (_ATTESTATION, Kind.ATTESTATION),
        (_WHQL, Kind.WHQL),
        (_WINDOWS, Kind.INBOX),
    ):
        if purpose in purposes:
            return kind
    return Kind.MICROSOFT


# --- would it load --------------------------------------------------------------------------


def unsigned(kernel: Kernel, *, catalogs_known: bool) -> Verdict:
    """For a file without a signature of its own that no catalog lists.

    `catalogs_known`: all catalogs of that Windows were looked into.
    """
    why = "it is not signed, and no catalog of that Windows lists it"
    answer = Answer.NO
    if not catalogs_known:
        why = "it has no signature of its own, and not all catalogs of that Windows could be read"
        answer = Answer.UNKNOWN
    return _unenforced(Verdict(answer, answer, why), kernel)


def unless_listed(verdict: Verdict) -> Verdict:
    """Where not all catalogs could be read: one of those may list what is refused otherwise."""
    if Answer.NO not in (verdict.boot, verdict.demand):
        return verdict
    return _lifted(verdict, f"{verdict.reason}; not all catalogs of that Windows could be read")


def unreadable(why: str, kernel: Kernel) -> Verdict:
    """For a file whose signature says nothing, or is not about it: no kernel that asks takes it.

    What one that does not ask makes of a damaged file is in no document.
    """
    if _checks_nothing(kernel) is False and _asks_less(kernel) is False:
        return Verdict(Answer.NO, Answer.NO, why)
    return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)


def would_load(
    signature: Signature,
    kind: Kind,
    way: Way | None,
    kernel: Kernel,
    *,
    excepted: bool | None = None,
) -> Verdict:
    """Whether that kernel loads a file for the sake of this signature.

    `excepted`: the policy that ends the trust in cross-signed drivers goes on to allow this one.
    """
    if kind is Kind.TAMPERED:
        return unreadable(signature.problem or "it is not what was signed", kernel)
    if kind is Kind.UNREADABLE:
        return unreadable(f"its signature says nothing: {signature.problem}", kernel)
    if kind is Kind.REVOKED:
        why = "its signer is distrusted, and whether that kernel knows it is not known"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    verdict = _tested(_by_kind(signature, kind, way, kernel, excepted), kind, kernel, excepted)
    verdict = _as_boot_start(_for_digest(verdict, signature, way, kernel), signature, kind)
    return _unenforced(verdict, kernel)


# --- kernels that ask for less --------------------------------------------------------------


def _all_of(*facts: bool | None) -> bool | None:
    """None: it depends on what is not known."""
    if False in facts:
        return False
    return None if None in facts else True


def _negated(fact: bool | None) -> bool | None:
    return None if fact is None else not fact


def _checks_nothing(kernel: Kernel) -> bool | None:
    """BCDEDIT: not with Secure Boot, and ignored by Windows 7 and 8."""
    heeds = None if kernel.build is None else kernel.build >= _WINDOWS_8_1
    return _all_of(kernel.no_integrity_checks, _negated(kernel.secured), heeds)


def _asks_less(kernel: Kernel) -> bool | None:
    """32-bit Windows without Secure Boot: of boot-start drivers at most (POLICY, REQUIREMENTS).

    What it makes of a demand for WHQL no document says.
    """
    is_x86 = kernel.architecture == "x86" if kernel.architecture else None
    is_plain = True if not _may_want_whql(kernel) else None
    return _all_of(is_x86, _negated(kernel.secured), is_plain)


def _may_want_whql(kernel: Kernel, until: int | None = None) -> bool:
    """From Windows 10 on, before build `until`."""
    build = kernel.build if kernel.build is not None else WINDOWS_10
    if build < WINDOWS_10 or (until is not None and build >= until):
        return False
    return kernel.whql_required is not False


def _takes_any_signer(kernel: Kernel) -> bool | None:
    """Before 1607, not where policies demand WHQL (CHAPPELL): that may refuse it."""
    comes_first = True if not _may_want_whql(kernel, VERSION_1607) else None
    return _all_of(kernel.test_signing, _negated(kernel.secured), comes_first)


def _unenforced(verdict: Verdict, kernel: Kernel) -> Verdict:
    """What becomes of it where a kernel asks for no signature, or only of boot-start drivers."""
    answers = (verdict.boot, verdict.demand)
    if answers == (Answer.YES, Answer.YES):
        return verdict
    nothing, less = _checks_nothing(kernel), _asks_less(kernel)
    if nothing:
        why = "that Windows is set to check no signatures (nointegritychecks)"
        return Verdict(Answer.YES, Answer.YES, why)
    if less and verdict.demand is Answer.YES:
        return _lifted(verdict, verdict.reason)
    if less:
        why = "32-bit Windows without Secure Boot asks for signatures of boot-start drivers at most"
        return Verdict(_at_least_unknown(verdict.boot), Answer.YES, why)
    if Answer.NO not in answers or (nothing is False and less is False):
        return verdict
    if nothing is None and kernel.no_integrity_checks:
        known = "that Windows may be set to check none (nointegritychecks)"
    else:
        known = "whether that Windows asks for signatures is not known"
    return _lifted(verdict, f"{verdict.reason}; {known}")


def _tested(verdict: Verdict, kind: Kind, kernel: Kernel, excepted: bool | None) -> Verdict:
    """TESTSIGNING: any signer will do. Of the policy of 2026 no document says so."""
    answers = (verdict.boot, verdict.demand)
    if answers == (Answer.YES, Answer.YES):
        return verdict
    takes = _takes_any_signer(kernel)
    if takes and kind in _TRUSTED_ONCE:
        takes = None if cross_signed.may_be_refused_by_policy(kernel, excepted) else True
    said = _STRANGER_WORDS.get(kind, verdict.reason)
    if takes:
        return Verdict(Answer.YES, Answer.YES, f"{said}, and testsigning is on")
    if takes is None and Answer.NO in answers:
        return _lifted(verdict, f"{said}: it loads with testsigning at most")
    return verdict


def _lifted(verdict: Verdict, reason: str) -> Verdict:
    return Verdict(_at_least_unknown(verdict.boot), _at_least_unknown(verdict.demand), reason)


def _at_least_unknown(answer: Answer) -> Answer:
    return Answer.UNKNOWN if answer is Answer.NO else answer


# --- what each class is worth ---------------------------------------------------------------


def _by_kind(
    signature: Signature, kind: Kind, way: Way | None, kernel: Kernel, excepted: bool | None
) -> Verdict:
    if kind in _MICROSOFT_WORDS:
        return Verdict(Answer.YES, Answer.YES, _MICROSOFT_WORDS[kind])
    if kind is Kind.ATTESTATION:
        return _attestation(kernel)
    if kind in _TRUSTED_ONCE and way is not None:
        judge = cross_signed.microsofts if kind is Kind.MICROSOFT else cross_signed.cross_signed
        return judge(signature, way.chain.leaf, kernel, excepted)
    if kind is Kind.FLIGHT_SIGNED:
        return _flight_signed(kernel)
    if kind in _STRANGERS:
        return _stranger(kind, kernel)
    return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, "what that kernel makes of it is not known")


def _attestation(kernel: Kernel) -> Verdict:
    """ATTESTED: on Servers it is not supported, and their kernels load it all the same."""
    said = "Microsoft signed it on its maker's word"
    if kernel.build is None:
        why = f"{said}, for Windows 10 and later"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if kernel.build < WINDOWS_10:
        why = f"{said}, for Windows 10 and later"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    return Verdict(Answer.YES, Answer.YES, said)


def _flight_signed(kernel: Kernel) -> Verdict:
    said = "it is signed for previews of Windows"
    if kernel.flight_signing is None:
        why = f"{said}: it loads only with flightsigning"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if kernel.flight_signing:
        return Verdict(Answer.YES, Answer.YES, f"{said}, and flightsigning is on")
    return Verdict(Answer.NO, Answer.NO, f"{said}, and flightsigning is off")


def _stranger(kind: Kind, kernel: Kernel) -> Verdict:
    said = _STRANGER_WORDS[kind]
    if kind is Kind.ORGANISATION:
        # An organisation may have taught its kernels (App Control, custom kernel signers).
        why = f"{said}; whether that kernel does is not known"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    how = "testsigning is off"
    if kernel.test_signing and kernel.secured:
        how = "with Secure Boot that setting does nothing"
    return Verdict(Answer.NO, Answer.NO, f"{said}, and {how}")


def _for_digest(verdict: Verdict, signature: Signature, way: Way | None, kernel: Kernel) -> Verdict:
    """Old kernels do not know SHA-2 by themselves; MD5 no document speaks of."""
    if Answer.YES not in (verdict.boot, verdict.demand):
        return verdict
    digests = {signature.algorithm, signature.signer_algorithm}
    above = {each.digest for each in way.chain.issued} if way is not None else set()
    if {"md5", ""} & (digests | above):
        worst = "MD5" if "md5" in digests | above else "a digest that is not known here"
        why = f"{verdict.reason}, but it rests on {worst}, of which no document speaks"
        return doubted(verdict, why)
    is_old = kernel.build is not None and kernel.build <= _WINDOWS_7
    if is_old and (digests & STRONG or (way is not None and not way.chain.is_weak)):
        why = f"{verdict.reason}, but Windows 7 and before know SHA-2 only by an update"
        return doubted(verdict, why)
    return verdict


def doubted(verdict: Verdict, reason: str) -> Verdict:
    """Where something else may refuse what that would let in."""
    if Answer.YES not in (verdict.boot, verdict.demand):
        return verdict
    boot, demand = (
        Answer.UNKNOWN if each is Answer.YES else each for each in (verdict.boot, verdict.demand)
    )
    return Verdict(boot, demand, reason)


def _as_boot_start(verdict: Verdict, signature: Signature, kind: Kind) -> Verdict:
    """REQUIREMENTS: boot-start drivers need an embedded signature; Windows' own have catalogs."""
    if signature.origin is not Origin.CATALOG or kind is Kind.INBOX:
        return verdict
    if verdict.boot is not Answer.YES:
        return verdict
    why = f"{verdict.reason}; as a boot-start driver it should have a signature of its own"
    return Verdict(Answer.UNKNOWN, verdict.demand, why)
