"""What is known of a file's signatures, in the words that people and programs ask in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from signing.block_list import Denied
from signing.certificate import STRONG
from signing.kernel import Answer, Kind, Verdict
from signing.signature import Origin, Signature, Way

GOOD = (
    Kind.INBOX,
    Kind.WHQL,
    Kind.ATTESTATION,
    Kind.ELAM,
    Kind.MICROSOFT,
    Kind.CROSS_SIGNED,
    Kind.ORGANISATION,
)


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself, for rules that go by names (its version resource)."""

    names: Mapping[str, str] = field(default_factory=dict)
    version: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Voucher:
    """A signature with its class, the way up that makes it that, and what a kernel says to it."""

    signature: Signature
    kind: Kind
    way: Way | None
    verdict: Verdict  # for the sake of this signature alone

    @property
    def weakest(self) -> str:
        """The digest below SHA-256 that it rests on, or ""."""
        used = [self.signature.algorithm, self.signature.signer_algorithm]
        if self.way is not None:
            used += (each.digest for each in self.way.chain.issued)
        return min((each for each in used if each not in STRONG), default="")

    def why_no_replacement(self, *, boot: bool) -> str:
        """Why a file must not take another's place for the sake of this signature; or ""."""
        if self.kind not in GOOD or self.way is None:
            return self.verdict.reason
        if self.way.passing:
            return f"{self.way.passing[0].clause}, and no timestamp says that it was signed before"
        answer = self.verdict.boot if boot else self.verdict.demand
        if answer is Answer.YES:
            return ""
        if answer is Answer.NO or self.kind is not Kind.ORGANISATION:
            return self.verdict.reason
        # A person vouches for the signer, and knows what that kernel takes; SHA-1 proves nothing.
        return f"it rests on {self.weakest.upper()}" if self.weakest else ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known of a file's signatures."""

    machine: str  # "" for what is no executable
    digests: Mapping[str, bytes]  # of the file, as far as somebody asked
    vouchers: tuple[Voucher, ...]  # the one that counts first
    kind: Kind
    verdict: Verdict
    denied: Denied | None  # by a list that the kernel enforces
    advised: Denied | None  # by one of ours
    oddities: tuple[str, ...]  # clauses
    hidden: bool  # bytes that nobody signed lie inside its signature (CVE-2013-3900)
    problem: str  # why it, or its signature, cannot be read; one clause

    @property
    def best(self) -> Voucher | None:
        return self.vouchers[0] if self.vouchers else None

    def why_no_replacement(self, *, boot: bool) -> str:
        """Why it must not take another file's place, as a clause; "" where it may.

        `boot`: in the place of a boot-start driver. Stricter than a kernel: a certificate that ran
        out needs a timestamp, and nothing may be hidden in the file.
        """
        if listed := self.denied or self.advised:
            return listed.reason
        if self.hidden:
            return "bytes that nobody signed lie inside its signature"
        reasons = [each.why_no_replacement(boot=boot) for each in self.heard]
        return "" if "" in reasons else next(iter(reasons), self.verdict.reason)

    @property
    def heard(self) -> tuple[Voucher, ...]:
        """The vouchers that count: in a file that was changed since, those of catalogs alone."""
        return heard(self.vouchers)


def heard(vouchers: Sequence[Voucher]) -> tuple[Voucher, ...]:
    """Of those, the ones that count."""
    if not is_changed(vouchers):
        return tuple(vouchers)
    return tuple(
        each for each in vouchers if each.signature.origin is Origin.CATALOG and each.kind in GOOD
    )


def is_changed(vouchers: Sequence[Voucher]) -> bool:
    """Whether a signature in the file itself is not about the file as it is."""
    return any(
        each.kind is Kind.TAMPERED and each.signature.origin is not Origin.CATALOG
        for each in vouchers
    )
