"""Which class a signature is of, and whether a kernel loads what it vouches for.

Sources, by the names used below:
- POLICY: Microsoft, "Driver Signing Policy" (windows-driver-docs, install/
  kernel-mode-code-signing-policy--windows-vista-and-later-): the table by version and Secure Boot,
  the three exceptions for cross-signed drivers, Windows Server and attestation.
- REQUIREMENTS: Microsoft, "Kernel-Mode Code Signing Requirements": embedded signatures of
  boot-start drivers; 32-bit Windows.
- BCDEDIT: Microsoft, "BCDEdit /set": testsigning, nointegritychecks and Secure Boot.
- SHA2: Microsoft, support articles 3033929 and 4474419: Windows 7 and SHA-2.
- PURPOSES: Microsoft, "App Control: certificate EKUs" and windows-boot-facts.md, section 13.
- 2026: Microsoft, end of trust in cross-signed drivers (windows-boot-facts.md, section 13).

The kernel looks at no clock: a certificate that ran out does not keep a driver from loading. Where
documents are silent or disagree the answer is "unknown", never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from signing.certificate import STRONG, Certificate
from signing.kernel import Answer, Kernel, Kind, Verdict
from signing.path import Flaw
from signing.roots import Store
from signing.signature import Origin, Signature, Way

# Purposes (EKU) of certificates under Microsoft's roots (PURPOSES).
_ELAM = "1.3.6.1.4.1.311.61.4.1"
_ATTESTATION = "1.3.6.1.4.1.311.10.3.5.1"
_WHQL = "1.3.6.1.4.1.311.10.3.5"
_WINDOWS = "1.3.6.1.4.1.311.10.3.6"

# "End-entity certificate issued prior to July 29th 2015" (POLICY).
CROSS_SIGNING_ENDED = datetime(2015, 7, 29, tzinfo=UTC)

_WINDOWS_7, _WINDOWS_8, _WINDOWS_10 = 7601, 9200, 10240
_VERSION_1607 = 14393
_VERSION_24H2 = 26100  # also Windows Server 2025: the first to give up cross-signed drivers (2026)

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
_MICROSOFTS = (Kind.INBOX, Kind.ELAM, Kind.WHQL, Kind.MICROSOFT)
_STRANGERS = (
    Kind.TEST_SIGNED,
    Kind.SELF_SIGNED,
    Kind.UNTRUSTED,
    Kind.ORGANISATION,
    Kind.PUBLISHER,
)
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
    free = _unenforced(kernel)
    if free is not None:
        return free
    if not catalogs_known:
        why = (
            "it has no signature of its own, and the catalogs of that Windows were not looked into"
        )
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    return Verdict(
        Answer.NO, Answer.NO, "it is not signed, and no catalog of that Windows lists it"
    )


def _tampered(signature: Signature, kernel: Kernel) -> Verdict:
    why = signature.problem or "it is not what was signed"
    free = _unenforced(kernel)
    if free is not None:
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, f"{why}; {free.reason}")
    return Verdict(Answer.NO, Answer.NO, why)


def would_load(signature: Signature, kind: Kind, way: Way | None, kernel: Kernel) -> Verdict:
    """Whether that kernel loads a file for the sake of this signature."""
    if kind is Kind.TAMPERED:
        return _tampered(signature, kernel)
    if kind is Kind.UNREADABLE:
        return Verdict(Answer.NO, Answer.NO, f"its signature says nothing: {signature.problem}")
    if kind is Kind.REVOKED:
        why = "its signer is distrusted, and whether that kernel knows it is not known"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    free = _unenforced(kernel)
    if free is not None:
        return free
    verdict = _by_kind(signature, kind, way, kernel)
    return _as_boot_start(_for_digest(verdict, signature, way, kernel), signature, kind)


def _unenforced(kernel: Kernel) -> Verdict | None:
    """Where a kernel asks for no signature, or only of boot-start drivers."""
    # BCDEDIT: not with Secure Boot, and ignored by Windows 7 and before.
    if (
        kernel.no_integrity_checks
        and kernel.secure_boot is False
        and (kernel.build or 0) >= _WINDOWS_8
    ):
        why = "that Windows is set to check no signatures (nointegritychecks)"
        return Verdict(Answer.YES, Answer.YES, why)
    if kernel.architecture == "x86" and _never_locked(kernel):
        why = "32-bit Windows without Secure Boot asks for signatures of boot-start drivers at most"
        return Verdict(Answer.UNKNOWN, Answer.YES, why)
    return None


def _never_locked(kernel: Kernel) -> bool:
    """No Secure Boot, or a Windows that knows none (POLICY, the table's first column)."""
    before = kernel.build is not None and kernel.build < _WINDOWS_8
    return kernel.secure_boot is False or before


def _by_kind(signature: Signature, kind: Kind, way: Way | None, kernel: Kernel) -> Verdict:
    signer = signature.signer.name if signature.signer else "somebody unnamed"
    if kind in _MICROSOFTS:
        words = {
            Kind.INBOX: "it is part of Windows",
            Kind.ELAM: "it is an early-launch driver that Microsoft signed",
            Kind.WHQL: "it passed Microsoft's hardware tests",
            Kind.MICROSOFT: f"Microsoft signed it ('{signer}')",
        }
        return Verdict(Answer.YES, Answer.YES, words[kind])
    if kind is Kind.ATTESTATION:
        return _attestation(kernel)
    if kind is Kind.CROSS_SIGNED and way is not None:
        return _cross_signed(way.chain.leaf, kernel)
    if kind is Kind.FLIGHT_SIGNED:
        return _flag(kernel.flight_signing, "it is signed for previews of Windows", "flightsigning")
    if kind in _STRANGERS:
        return _stranger(kind, kernel)
    return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, "what that kernel makes of it is not known")


def _attestation(kernel: Kernel) -> Verdict:
    said = "Microsoft signed it on its maker's word"
    if kernel.server:
        return Verdict(Answer.NO, Answer.NO, f"{said}, which Windows Server does not load")
    if kernel.build is None or kernel.server is None:
        why = f"{said}, which only Windows 10 and later load, and no Server"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if kernel.build < _WINDOWS_10:
        why = f"{said}, for Windows 10 and later"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    return Verdict(Answer.YES, Answer.YES, said)


def _cross_signed(leaf: Certificate, kernel: Kernel) -> Verdict:
    said = f"its maker '{leaf.name}' signed it under a cross-certified CA"
    if kernel.build is None:
        why = f"{said}, which only some versions of Windows load"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if kernel.build >= _VERSION_24H2:
        why = f"{said}: from April 2026 on, updates of this Windows end that by and by"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if kernel.build < _VERSION_1607:
        return Verdict(Answer.YES, Answer.YES, said)
    if leaf.not_before < CROSS_SIGNING_ENDED:
        return Verdict(Answer.YES, Answer.YES, f"{said} with a certificate from before July 2015")
    if kernel.secure_boot is False or kernel.upgraded:
        why = "Secure Boot is off" if kernel.secure_boot is False else "this Windows was upgraded"
        return Verdict(Answer.YES, Answer.YES, f"{said}, and {why}")
    if kernel.secure_boot and kernel.upgraded is False:
        why = f"{said} after July 2015, which Windows 10 1607 and later do not load"
        return Verdict(Answer.NO, Answer.NO, why)
    why = f"{said} after July 2015: it loads only without Secure Boot or on an upgraded Windows"
    return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)


def _stranger(kind: Kind, kernel: Kernel) -> Verdict:
    if kind is Kind.ORGANISATION and not (kernel.test_signing and kernel.secure_boot is False):
        # An organisation may have taught its kernels (App Control, custom kernel signers).
        why = f"{_STRANGER_WORDS[kind]}; whether that kernel does is not known"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    return _flag(kernel.test_signing, _STRANGER_WORDS[kind], "testsigning", kernel.secure_boot)


def _flag(on: bool | None, said: str, name: str, secure_boot: bool | None = False) -> Verdict:
    """For what only a setting of the boot entry lets in (BCDEDIT)."""
    if on is False or (on and secure_boot):
        how = "with Secure Boot that setting does nothing" if on else f"{name} is off"
        return Verdict(Answer.NO, Answer.NO, f"{said}, and {how}")
    if on is None or secure_boot is None:
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, f"{said}: it loads only with {name}")
    return Verdict(Answer.YES, Answer.YES, f"{said}, and {name} is on")


def _for_digest(verdict: Verdict, signature: Signature, way: Way | None, kernel: Kernel) -> Verdict:
    """Old kernels do not know SHA-2 by themselves; MD5 no document speaks of."""
    if verdict.demand is not Answer.YES:
        return verdict
    digests = {signature.algorithm, signature.signer_algorithm}
    if "md5" in digests:
        why = f"{verdict.reason}, but it rests on MD5, of which no document speaks"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    is_old = kernel.build is not None and kernel.build <= _WINDOWS_7
    if is_old and (digests & STRONG or (way is not None and not way.chain.is_weak)):
        why = f"{verdict.reason}, but Windows 7 and before know SHA-2 only by an update"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    return verdict


def _as_boot_start(verdict: Verdict, signature: Signature, kind: Kind) -> Verdict:
    """REQUIREMENTS: boot-start drivers need an embedded signature; Windows' own have catalogs."""
    if signature.origin is not Origin.CATALOG or kind is Kind.INBOX:
        return verdict
    if verdict.boot is not Answer.YES:
        return verdict
    why = f"{verdict.reason}; as a boot-start driver it should have a signature of its own"
    return Verdict(Answer.UNKNOWN, verdict.demand, why)
