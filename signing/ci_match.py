"""Does a rule of a Code Integrity policy mean this file? Yes, no, or not to be known (None).

The rules' meanings and their sources: `block_list`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from signing import ci_rules
from signing.ci_rules import FileRule, SignerRule

ORDER = {False: 0, None: 1, True: 2}


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate of a chain."""

    tbs: Mapping[str, bytes]  # digests of its TBSCertificate: "sha1", "sha256", ...
    name: str  # CN of its subject


@dataclass(frozen=True, slots=True)
class Signer:
    """Who made one signature of a file."""

    publisher: str  # CN of the leaf
    chain: tuple[Link, ...]  # leaf first
    purposes: frozenset[str]  # EKU OIDs of the leaf
    oem_id: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What of a file the rules can name."""

    digests: Mapping[str, bytes]  # "sha1" "sha256" (Authenticode), "page-..." (first), "flat-..."
    names: Mapping[str, str] = field(default_factory=dict)  # "OriginalFilename": "x.sys", ...
    version: ci_rules.Version | None = None  # of the fixed part of its version resource
    signers: tuple[Signer, ...] = ()  # of every signature, embedded and by catalog


def hashes(identity: Identity) -> dict[str, bytes]:
    """Those that a policy's rules mean: the whole file's where Authenticode knows no other."""
    kinds = identity.digests
    if "sha1" in kinds or "sha256" in kinds:
        return {kind: digest for kind, digest in kinds.items() if not kind.startswith("flat-")}
    return dict(kinds)


def both(one: bool | None, other: bool | None) -> bool | None:
    return min(one, other, key=ORDER.__getitem__)


def either(fits: Iterable[bool | None]) -> bool | None:
    return max(fits, key=ORDER.__getitem__, default=False)


def fits(
    rule: FileRule, identity: Identity, kernel_mode: bool, *, denying: bool = True
) -> bool | None:
    """All that the rule states is true of the file. A version alone makes no rule: the compiler
    knows none (MicrosoftDocs/WDAC-Toolkit, pull request 230)."""
    if rule.hash:
        fit: bool | None = rule.hash in hashes(identity).values()
    elif rule.path or rule.package:
        fit = False if kernel_mode else None  # they are for programs
    else:
        fit = bool(rule.names)
    if fit is False or not _names_fit(rule, identity):
        return False
    if not rule.hash:
        fit = both(fit, _version_fits(rule, identity.version, denying=denying))
    return both(fit, None) if rule.unknown or rule.app_ids else fit


def _names_fit(rule: FileRule, identity: Identity) -> bool:
    return all(
        wanted == "*" or identity.names.get(label, "").lower() == wanted.lower()
        for label, wanted in rule.names
    )


def _version_fits(
    rule: FileRule, version: ci_rules.Version | None, *, denying: bool
) -> bool | None:
    low, high = version_range(rule, denying=denying)
    if (low, high) == (ci_rules.LOWEST, ci_rules.ANY_VERSION):
        return True
    return None if version is None else low <= version <= high


def version_range(rule: FileRule, *, denying: bool) -> tuple[ci_rules.Version, ci_rules.Version]:
    """(lowest, highest) version that is meant."""
    low, high = rule.minimum, rule.maximum
    if low is not None and high is None and denying:
        return ci_rules.LOWEST, low
    return low or ci_rules.LOWEST, high or ci_rules.ANY_VERSION


def signer_fits(rule: SignerRule, signer: Signer) -> bool | None:
    """Publisher, issuer and purposes; that the certificate is in the chain the index knows."""
    issuer = signer.chain[min(1, len(signer.chain) - 1)].name if signer.chain else ""
    for wanted, found in (
        (rule.publisher, signer.publisher),
        (rule.issuer, issuer),
        (rule.oem_id, signer.oem_id),
    ):
        if wanted and wanted.lower() != found.lower():
            return False
    if not signer.purposes.issuperset(rule.ekus):
        return False
    is_known_root = rule.tbs or rule.well_known in ci_rules.WELL_KNOWN_ROOTS
    return True if is_known_root and not rule.unknown and not rule.signed_after else None
