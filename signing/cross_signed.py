"""Drivers that Microsoft did not sign as WHQL or as part of Windows: which kernels load them?

Cross-signed ones above all. Sources, by the names used below:
- POLICY, FAQ: as in `kernel_policy`: the table by version, its three exceptions and the fourth.
- CHAPPELL: Geoff Chappell, "Back Doors for Cross-Signed Drivers" (geoffchappell.com, 2018): what
  the loader and CI of Windows 10 up to 1803 count as a WHQL signature (the purposes WHQL and
  Windows, so attested ones too), and what decides whether one is asked for, the first of these:
  testsigning (since 1607); policies with Required:WHQL; an upgrade that has not ended; WhqlSettings
  2 (since 1703); Secure Boot off, an upgraded Windows, a certificate from before July 2015. Boot
  drivers: all exempted by 1607; since 1703 by BootUpgradedSystem and UpgradedSystem alone.
- 2026: Microsoft, "Advancing Windows driver security: Removing trust for the cross-signed driver
  program" (Windows IT Pro Blog, 26 March 2026) and "The Windows Driver Policy" (support.microsoft
  .com): 24H2, 25H2, 26H1, Server 2025 and all later ones, first evaluated, then enforced by an App
  Control policy, which also names those that go on.

POLICY says nothing of a refusal by Windows 10 1507, FAQ denies it, CHAPPELL describes it: unknown.
No document speaks of what Microsoft signed without either purpose: it is never refused here, and
loads where a cross-signed driver does.
"""

from __future__ import annotations

from datetime import UTC, datetime

from signing.certificate import Certificate
from signing.kernel import Answer, Kernel, Verdict
from signing.signature import Signature

# "End-entity certificate issued prior to July 29th 2015" (POLICY).
CROSS_SIGNING_ENDED = datetime(2015, 7, 29, tzinfo=UTC)

WINDOWS_10, _1511, VERSION_1607, _1703 = 10240, 10586, 14393, 15063
_24H2 = 26100  # also Windows Server 2025


def cross_signed(
    signature: Signature, leaf: Certificate, kernel: Kernel, excepted: bool | None
) -> Verdict:
    """`excepted`: the policy that ends that trust names the file as one that goes on."""
    said = f"its maker '{leaf.name}' signed it under a cross-certified CA"
    return _while_trusted(_asked(said, signature, leaf, kernel), said, kernel, excepted)


def microsofts(
    signature: Signature, leaf: Certificate, kernel: Kernel, excepted: bool | None
) -> Verdict:
    """For what Microsoft signed neither as part of Windows nor after tests."""
    said = f"Microsoft signed it ('{leaf.name}')"
    if kernel.build is None:
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, f"{said}, neither as WHQL nor as Windows")
    found = _while_trusted(_asked(said, signature, leaf, kernel), said, kernel, excepted)
    if Answer.NO not in (found.boot, found.demand):
        return found
    why = f"{said}, neither as WHQL nor as Windows, and no document says whether that is enough"
    boot, demand = (
        Answer.UNKNOWN if each is Answer.NO else each for each in (found.boot, found.demand)
    )
    return Verdict(boot, demand, why)


def may_be_refused_by_policy(kernel: Kernel, excepted: bool | None) -> bool:
    """Whether the end of that trust may have come to that kernel, and to this file."""
    is_late = kernel.build is None or kernel.build >= _24H2
    return is_late and kernel.cross_signed_ended is not False and not excepted


# --- is a signature of Microsoft's asked for? -----------------------------------------------


def _asked(said: str, signature: Signature, leaf: Certificate, kernel: Kernel) -> Verdict:
    if kernel.build is None:
        why = f"{said}, which only some versions of Windows load"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if kernel.build < WINDOWS_10:
        return Verdict(Answer.YES, Answer.YES, said)
    if kernel.whql_required:
        why = f"{said}, and that Windows is set to ask for signatures of Microsoft's own (WHQL)"
        return Verdict(Answer.NO, Answer.NO, why)
    found = _by_exceptions(said, signature, leaf, kernel, kernel.build)
    if kernel.whql_required is None:
        why = "whether that Windows is set to ask for signatures of Microsoft's own is not known"
        return _doubted(found, f"{found.reason}; {why}")
    return found


def _by_exceptions(
    said: str, signature: Signature, leaf: Certificate, kernel: Kernel, build: int
) -> Verdict:
    """Windows 10 and later, where nothing but Secure Boot asks for it."""
    if _1511 <= build < VERSION_1607:
        return Verdict(Answer.YES, Answer.YES, said)
    if kernel.secured is False or kernel.upgraded:
        why = "Secure Boot is off" if kernel.secured is False else "this Windows was upgraded"
        return Verdict(Answer.YES, Answer.YES, f"{said}, and {why}")
    if build < _1511:
        if _was_signed_before(signature, leaf):
            return Verdict(Answer.YES, Answer.YES, f"{said} before July 2015")
        why = f"{said}: documents disagree whether Windows 10 1507 loads it with Secure Boot"
        return Verdict(Answer.UNKNOWN, Answer.UNKNOWN, why)
    if leaf.not_before < CROSS_SIGNING_ENDED:
        return Verdict(Answer.YES, Answer.YES, f"{said} with a certificate from before July 2015")
    return _late(f"{said} after July 2015", kernel, build)


def _late(said: str, kernel: Kernel, build: int) -> Verdict:
    """1607 lets boot-start drivers in, so that machines still start (FAQ); later ones do not."""
    is_refused = kernel.secured is True and kernel.upgraded is False
    demand = Answer.NO if is_refused else Answer.UNKNOWN
    if build < _1703:
        why = f"{said}, which Windows 10 1607 loads at the start of Windows only"
        if not is_refused:
            why = f"{said}: it loads only without Secure Boot or on an upgraded Windows"
        return Verdict(Answer.YES, demand, why)
    if kernel.boot_upgraded:
        why = f"{said}: that Windows loads it as a boot-start driver (BootUpgradedSystem)"
        return Verdict(Answer.YES, demand, why)
    if not is_refused:
        why = f"{said}: it loads only without Secure Boot or on an upgraded Windows"
        return Verdict(Answer.UNKNOWN, demand, why)
    why = f"{said}, which Windows 10 1703 and later do not load"
    return Verdict(Answer.UNKNOWN if kernel.boot_upgraded is None else Answer.NO, demand, why)


def _was_signed_before(signature: Signature, leaf: Certificate) -> bool:
    """1507 goes by the time of signing, and by the certificate's where there is none (CHAPPELL)."""
    if not signature.timestamps:
        return leaf.not_before < CROSS_SIGNING_ENDED
    stamp = signature.timestamp
    return stamp is not None and stamp.time is not None and stamp.time < CROSS_SIGNING_ENDED


# --- has that trust ended? ------------------------------------------------------------------


def _while_trusted(found: Verdict, said: str, kernel: Kernel, excepted: bool | None) -> Verdict:
    if kernel.build is None or not may_be_refused_by_policy(kernel, excepted):
        return found
    if not kernel.cross_signed_ended:
        return _doubted(
            found, f"{said}: from April 2026 on, updates of this Windows end that trust"
        )
    if excepted is None:
        why = f"{said}: that Windows trusts only those that its driver policy goes on to allow"
        return _doubted(found, f"{why}, and whether it allows this one is not known")
    why = f"{said}, and that Windows has ended the trust in those (Windows Driver Policy)"
    return Verdict(Answer.NO, Answer.NO, why)


def _doubted(found: Verdict, why: str) -> Verdict:
    if Answer.YES not in (found.boot, found.demand):
        return found
    boot, demand = (
        Answer.UNKNOWN if each is Answer.YES else each for each in (found.boot, found.demand)
    )
    return Verdict(boot, demand, why)
