"""Does a list deny this file? By hash, by name and version, by signer.

What Windows does, after Microsoft's documents on App Control (learn.microsoft.com):

- Deny rules come before all others; one is enough ("File rule precedence order").
- A hash rule names the Authenticode hash, that of the first page, or, for files that Authenticode
  does not know, the hash of the whole file ("More information about hashes").
- Minimum and maximum version: both ends are meant, and all between; of Deny a minimum alone means
  *up to* it (select-types-of-rules-to-create; for the first also a comment in the XML of
  microsoft-recommended-driver-block-rules). The second is read so too where a signer who is denied
  is narrowed by a file attribute: older lists of Microsoft have attributes with a minimum of
  65535.65535... and no maximum in that place, which would mean nothing otherwise. A maximum alone
  is compiled as from 0.0.0.0 to it, and taken so, although that document says the opposite of it.
- A signer who is denied is one with that certificate in the chain and that publisher (CN of the
  leaf); of several file attributes one must fit; exceptions are rules that allow.
- A policy in audit mode denies nothing. A supplemental policy can only allow more. A policy for
  programs counts with Enabled:UMCI. Path rules are for programs alone.

Honest about what it lacks: a rule that may or may not mean the file (no version to compare, an
unknown attribute, a root known to Windows alone) denies nothing and is `undecided`.
Whether a policy that lets only named files load names this one: `allow_list`. Deliberately not
judged: test signers, FilePath and package rules.

Recalled, not confirmed by Microsoft: names compare without case; a file that has no such name in
its version resource fits no rule by name; all EKUs of a signer rule must be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from signing import ci_match, ci_policy, ci_policy_xml, ci_rules, hash_list
from signing.ci_match import Identity, Link, Signer
from signing.ci_rules import FileRule, Group, Kind, Listed, Policy
from signing.hash_list import HashList

__all__ = [
    "Denied",
    "Identity",
    "Judgement",
    "Link",
    "Signer",
    "denied",
    "judge",
    "lets_others_load",
    "list_name",
    "read",
    "remarks",
]

ENDINGS = (".xml", ".p7b", ".cip", ".bin", ".sha256", ".txt")  # names of what `read` takes
MICROSOFT_DRIVERS = "{D2BDA982-CCF6-4344-AC5B-0B44427B6816}"
_MICROSOFT_NAME = "Microsoft Windows Driver Policy"
_LONGEST = 100
_HASHES = {
    "sha1": "its hash",
    "sha256": "its hash",
    "page-sha1": "the hash of its first page",
    "page-sha256": "the hash of its first page",
    "flat-sha1": "the hash of the whole file",
    "flat-sha256": "the hash of the whole file",
}


@dataclass(frozen=True, slots=True)
class Denied:
    """Which rule of which list means the file. `reason`: one clause for a technician."""

    list_name: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """`undecided`: rules that may mean the file; it takes facts that are not there to know."""

    denied: Denied | None
    undecided: tuple[Denied, ...] = ()


def read(data: bytes, name: str) -> Policy | HashList:
    """A list of any kind: a policy in binary or XML, or hashes in text. Raises MalformedError.

    `name`: what a list that does not name itself is called.
    """
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or start[:1] == b"<":
        return ci_policy_xml.parse(data)
    if (data[:1] == b"\x30" and data[1:2] >= b"\x80") or data[1:4] == b"\0\0\0":
        return ci_policy.parse(data)
    return hash_list.parse(data, name)


def denied(
    policy: Policy | HashList,
    identity: Identity,
    *,
    kernel_mode: bool = True,
    heed_audit: bool = True,
) -> Denied | None:
    """The first rule that denies the file, or None. See `judge`."""
    return judge(policy, identity, kernel_mode=kernel_mode, heed_audit=heed_audit).denied


def judge(
    policy: Policy | HashList,
    identity: Identity,
    *,
    kernel_mode: bool = True,
    heed_audit: bool = True,
) -> Judgement:
    """What a list says of a file. Raises nothing.

    `heed_audit`: False for lists of our own, whose rules are meant whatever mode they state:
    Microsoft publishes its list in audit mode.
    """
    if isinstance(policy, HashList):
        return _judge_hashes(policy, identity)
    if policy.supplemental or (policy.audit and heed_audit):
        return Judgement(None)
    index = _index(policy, kernel_mode)
    undecided = []
    for certain, found in index.findings(identity):
        if certain:
            return Judgement(found)
        undecided.append(found)
    return Judgement(None, tuple(dict.fromkeys(undecided)))


def remarks(
    policy: Policy, *, kernel_mode: bool = True, heed_audit: bool = True
) -> tuple[str, ...]:
    """What one must know of a policy beside its verdicts: one clause each."""
    found = []
    if policy.audit and heed_audit:
        found.append("it is in audit mode and denies nothing")
    elif ci_rules.AUDIT_ON_FAILURE in policy.options and kernel_mode:
        found.append("it goes into audit mode when it stops a driver that the boot needs")
    if ci_rules.LOCKDOWN in policy.options:
        found.append("it counts while Windows is in S mode alone")
    if policy.supplemental:
        found.append("it supplements another policy and can only allow more")
    elif not kernel_mode and ci_rules.UMCI not in policy.options:
        found.append("it is for drivers alone")
    elif not lets_others_load(policy, kernel_mode=kernel_mode):
        found.append("it lets only load what it names")
    odd = sum(bool(rule.unknown) for rule in policy.rules)
    odd += sum(bool(signer.unknown) for signer in policy.signers)
    if count := max(odd, len(policy.not_understood)):
        example = f": {_shown(policy.not_understood[0])}" if policy.not_understood else ""
        found.append(f"it has {count} rules or parts that are not understood{example}")
    return tuple(found)


def lets_others_load(policy: Policy, *, kernel_mode: bool = True) -> bool:
    """Files that no rule names load: "allow all", then deny, the shape of Microsoft's list."""
    groups = _groups(policy, kernel_mode)
    rules = (policy.rules[index] for group in groups for index in group.files)
    return any(
        rule.kind is Kind.ALLOW
        and rule.names == ((ci_rules.ORIGINAL_NAME, "*"),)
        and rule.minimum is None
        and rule.maximum is None
        and not rule.unknown
        for rule in rules
    )


def list_name(policy: Policy) -> str:
    """What a technician calls it."""
    if policy.policy_id == MICROSOFT_DRIVERS or policy.name == _MICROSOFT_NAME:
        return "Microsoft's list of vulnerable drivers"
    return _shown(policy.name)


def _judge_hashes(hashes: HashList, identity: Identity) -> Judgement:
    for kind in ("sha256", "flat-sha256"):
        line = hashes.lines.get(identity.digests.get(kind, b""))
        if line is not None:
            name, rule = _shown(hashes.name), f"line {line}"
            return Judgement(Denied(name, rule, f"{name} names {_HASHES[kind]} ({rule})"))
    return Judgement(None)


# --- an index of a policy ---------------------------------------------------------------------


def _groups(policy: Policy, kernel_mode: bool) -> list[Group]:
    """The product signers of the scenarios that count, and of those they inherit."""
    wanted = ci_rules.KERNEL if kernel_mode else ci_rules.USER
    queue = [number for number, one in enumerate(policy.scenarios) if one.value == wanted]
    seen = set(queue)
    for number in queue:  # grows while it is read
        new = [parent for parent in policy.scenarios[number].inherited if parent not in seen]
        seen.update(new)
        queue.extend(new)
    return [policy.scenarios[number].product for number in queue]


@lru_cache(maxsize=64)
def _index(policy: Policy, kernel_mode: bool) -> _Index:
    return _Index(policy, kernel_mode)


class _Index:
    """The rules of a policy that deny, by what they name: a file costs a few look-ups."""

    def __init__(self, policy: Policy, kernel_mode: bool) -> None:
        self.policy, self.kernel_mode = policy, kernel_mode
        self.name = list_name(policy)
        self.hashes: dict[bytes, int] = {}
        self.names: dict[tuple[str, str], list[int]] = {}
        self.others: list[int] = []
        self.tbs: dict[bytes, list[Listed]] = {}
        self.roots: list[Listed] = []  # whose certificates nobody here knows
        if not kernel_mode and ci_rules.UMCI not in policy.options:
            return
        for group in _groups(policy, kernel_mode):
            for number in group.files:
                self.add_rule(number)
            for listed in group.denied:
                rule = policy.signers[listed.signer]
                known = ci_rules.WELL_KNOWN_ROOTS.get(rule.well_known or 0, ())
                for digest in (rule.tbs,) if rule.tbs else known:
                    self.tbs.setdefault(digest, []).append(listed)
                if not rule.tbs and not known:
                    self.roots.append(listed)

    def add_rule(self, number: int) -> None:
        rule = self.policy.rules[number]
        if rule.kind is not Kind.DENY:
            return
        if rule.hash:
            if rule.hash not in self.hashes or not (rule.unknown or rule.app_ids):
                self.hashes[rule.hash] = number
        elif rule.names and rule.names[0][1] != "*":
            label, name = rule.names[0]
            self.names.setdefault((label, name.lower()), []).append(number)
        else:
            self.others.append(number)

    def findings(self, identity: Identity) -> Iterator[tuple[bool, Denied]]:
        """(it is certain, what denies it): hashes, then names, then signers."""
        for kind, digest in ci_match.hashes(identity).items():
            number = self.hashes.get(digest)
            if number is not None:
                yield from self.by_hash(number, kind)
        for number in (*self.named(identity), *self.others):
            rule = self.policy.rules[number]
            yield from self.finding(
                ci_match.fits(rule, identity, self.kernel_mode),
                _rule_label(rule, number),
                _described(rule),
            )
        for signer in identity.signers:
            for listed in self.candidates(signer):
                yield from self.by_signer(listed, signer, identity)

    def finding(self, fit: bool | None, rule: str, what: str) -> Iterator[tuple[bool, Denied]]:
        if fit is not False:
            verb = "denies" if fit else "may deny"
            yield bool(fit), Denied(self.name, rule, f"{self.name} {verb} {what} ({rule})")

    def by_hash(self, number: int, kind: str) -> Iterator[tuple[bool, Denied]]:
        rule = self.policy.rules[number]
        label = _rule_label(rule, number)
        certain = not (rule.unknown or rule.app_ids)
        what = _HASHES.get(kind, "its hash")
        yield certain, Denied(self.name, label, f"{self.name} names {what} ({label})")

    def named(self, identity: Identity) -> Iterator[int]:
        for label, name in identity.names.items():
            yield from self.names.get((label, name.lower()), ())

    def candidates(self, signer: Signer) -> Iterator[Listed]:
        for link in signer.chain:
            for digest in set(link.tbs.values()):
                yield from self.tbs.get(digest, ())
        yield from self.roots

    def by_signer(
        self, listed: Listed, signer: Signer, identity: Identity
    ) -> Iterator[tuple[bool, Denied]]:
        rules = self.policy.rules
        rule = self.policy.signers[listed.signer]
        fit = ci_match.signer_fits(rule, signer)
        what = f"files signed by {_shown(rule.publisher or signer.publisher)}"
        if fit is not False and rule.attributes:
            fits = [
                (ci_match.fits(rules[number], identity, self.kernel_mode), number)
                for number in rule.attributes
            ]
            best, number = max(fits, key=lambda one: ci_match.ORDER[one[0]])
            fit = ci_match.both(fit, best)
            what += f" among {_described(rules[number])}"
        excepted = ci_match.either(
            ci_match.fits(rules[number], identity, self.kernel_mode, denying=False)
            for number in listed.exceptions
        )
        fit = ci_match.both(fit, None if excepted is None else not excepted)
        label = f"rule {_shown(rule.id)}" if rule.id else f"signer {listed.signer + 1}"
        yield from self.finding(fit, label, what)


# --- words ------------------------------------------------------------------------------------


def _rule_label(rule: FileRule, number: int) -> str:
    return f"rule {_shown(rule.id)}" if rule.id else f"file rule {number + 1}"


def _described(rule: FileRule) -> str:
    """files called "x.sys" up to version 1.2.3.4"""
    named = [_shown(name) for _, name in rule.names if name != "*"]
    what = f'files called "{named[0]}"' if named else "files"
    low, high = ci_match.version_range(rule, denying=True)
    if high != ci_rules.ANY_VERSION:
        what += f" up to version {_dotted(high)}"
    return what + (f" from version {_dotted(low)}" if low != ci_rules.LOWEST else "")


def _dotted(version: ci_rules.Version) -> str:
    return ".".join(map(str, version))


def _shown(text: str) -> str:
    """Text of a list: it may hold escape sequences for a terminal, or a whole book."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST])
    return shown if len(text) <= _LONGEST else shown + "..."
