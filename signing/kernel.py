"""Will this kernel load this driver? The words: what is known of the kernel, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

WINDOWS_8 = 9200


@dataclass(frozen=True, slots=True)
class Kernel:
    """What of a Windows decides which drivers it loads. None: not known."""

    build: int | None = None  # 19045
    revision: int | None = None  # UBR: 4291
    architecture: str = ""  # "x86" "x64" "arm64"
    server: bool | None = None
    secure_boot: bool | None = None  # as Windows last saw it
    test_signing: bool | None = None  # its boot entry
    no_integrity_checks: bool | None = None  # its boot entry
    flight_signing: bool | None = None  # its boot entry
    hvci: bool | None = None  # memory integrity
    upgraded: bool | None = None  # from a Windows before 1607, whose cross-signed drivers go on
    boot_upgraded: bool | None = None  # the same, for boot-start drivers alone
    whql_required: bool | None = None  # signatures of Microsoft's own, even without Secure Boot
    cross_signed_ended: bool | None = None  # the driver policy of 2026 is enforced
    block_list: bool | None = None  # Microsoft's list of vulnerable drivers is enforced

    @property
    def secured(self) -> bool | None:
        """Secure Boot is on; a Windows before 8 knows none."""
        is_old = self.build is not None and self.build < WINDOWS_8
        return False if is_old else self.secure_boot


class Kind(StrEnum):
    """Who vouches for a file, in the words of Windows' driver signing."""

    INBOX = "inbox"  # part of Windows
    WHQL = "whql"  # passed Microsoft's hardware tests
    ATTESTATION = "attestation"  # signed by Microsoft on its maker's word
    ELAM = "elam"  # early-launch antimalware
    MICROSOFT = "microsoft"  # signed by Microsoft, as neither of these
    CROSS_SIGNED = "cross-signed"  # its maker, under a CA that Microsoft cross-certified
    FLIGHT_SIGNED = "flight-signed"  # previews of Windows
    TEST_SIGNED = "test-signed"  # under one of Microsoft's test roots
    ORGANISATION = "organisation"  # by somebody the caller trusts
    PUBLISHER = "publisher"  # under a public CA that no kernel knows
    SELF_SIGNED = "self-signed"
    UNTRUSTED = "untrusted"  # it holds, but nobody known here stands behind it
    REVOKED = "revoked"  # its signer is distrusted
    UNSIGNED = "unsigned"  # neither a signature of its own nor a catalog that lists it
    TAMPERED = "tampered"  # not what was signed
    UNREADABLE = "unreadable"  # its signature cannot be read


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Would it load as a boot-start driver, would it on demand; and why, as one clause."""

    boot: Answer
    demand: Answer
    reason: str


_BETTER = (Answer.NO, Answer.UNKNOWN, Answer.YES)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a file with several signatures, of which one is enough; the first of equals is named."""
    demand = max(verdicts, key=lambda each: (_BETTER.index(each.demand), _BETTER.index(each.boot)))
    boot = max(verdicts, key=lambda each: _BETTER.index(each.boot))
    if boot.boot is demand.boot:
        return demand
    return Verdict(boot.boot, demand.demand, f"{demand.reason}; {boot.reason}")
