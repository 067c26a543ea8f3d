"""Does a policy that lets only load what it names let this driver load?

What Windows does, after Microsoft's documents on App Control (learn.microsoft.com; the rules
themselves are those of `block_list` and `ci_match`):

- Deny rules come first ("File rule precedence order"); then one rule that allows is enough: by
  hash, by name and version, or a signer whose publisher, purposes and file attributes fit and of
  whose exceptions none does.
- Supplemental policies of this one can allow more where it has Enabled:Allow Supplemental Policies
  ("Use multiple App Control policies"); where it must be signed, they must be, too, which is not
  judged here, so that they decide nothing then.
- Signers of the groups for tests count with test signing; those are not judged either.

"No" and "yes" are said where nothing of the policy is left open: a root that Windows knows by
number and we do not, a part that is not understood, a minimum for hashes, or a file without names
in a policy that goes by them make it unknown (None). A policy without a scenario for drivers: what
Windows makes of those no document says, unknown too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from signing import block_list, ci_match, ci_rules
from signing.ci_match import Identity, Signer, both, either
from signing.ci_rules import FileRule, Group, Kind, Listed, Policy, Scenario

_SUPPLEMENTS = "Enabled:Allow Supplemental Policies"
_UNSIGNED = "Enabled:Unsigned System Integrity Policy"


def allows(policy: Policy, identity: Identity, supplements: Sequence[Policy] = ()) -> bool | None:
    """Whether that base policy lets a driver load; None: not to be known. Raises nothing.

    `supplements`: all that may supplement it; those of other policies are left out here.
    """
    judged = block_list.judge(policy, identity, heed_audit=False)
    if judged.denied:
        return False
    found = _index(policy).allows(identity)
    if found is not True and _SUPPLEMENTS in policy.options:
        mine = [each for each in supplements if each.base_id == policy.policy_id]
        more = either(_index(each).allows(identity) for each in mine)
        found = either((found, None if more and _UNSIGNED not in policy.options else more))
    return None if judged.undecided and found else found


@lru_cache(maxsize=64)
def _index(policy: Policy) -> _Index:
    return _Index(policy)


class _Index:
    """The rules of a policy that allow drivers, by what they name: a file costs a few look-ups."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.hashes: dict[bytes, FileRule] = {}
        self.others: list[FileRule] = []
        self.tbs: dict[bytes, list[Listed]] = {}
        self.unknown_roots: list[Listed] = []
        scenarios = _scenarios(policy)
        self.has_minimum = any(each.minimum_hash for each in scenarios)
        self.is_open = (
            not scenarios
            or self.has_minimum
            or bool(policy.not_understood)
            or any(_names_some(group) for each in scenarios for group in _of_tests(each))
        )
        for scenario in scenarios:
            self._add(scenario.product)

    def _add(self, group: Group) -> None:
        for number in group.files:
            rule = self.policy.rules[number]
            if rule.kind is Kind.ALLOW and rule.hash and not (rule.unknown or rule.app_ids):
                self.hashes[rule.hash] = rule
            elif rule.kind is Kind.ALLOW:
                self.others.append(rule)
        for listed in group.allowed:
            signer = self.policy.signers[listed.signer]
            known = ci_rules.WELL_KNOWN_ROOTS.get(signer.well_known or 0, ())
            for digest in (signer.tbs,) if signer.tbs else known:
                self.tbs.setdefault(digest, []).append(listed)
            if not signer.tbs and not known:
                self.unknown_roots.append(listed)

    def allows(self, identity: Identity) -> bool | None:
        found = either(self._findings(identity))
        return None if found is False and self.is_open else found

    def _findings(self, identity: Identity) -> Iterator[bool | None]:
        if any(digest in self.hashes for digest in ci_match.hashes(identity).values()):
            yield True
            return
        for rule in self.others:
            yield _file_fits(rule, identity, denying=False)
        for signer in identity.signers:
            for listed in self._candidates(signer):
                fit = self._signer_fits(listed, signer, identity)
                yield both(fit, None) if self.has_minimum else fit

    def _candidates(self, signer: Signer) -> Iterator[Listed]:
        for link in signer.chain:
            for digest in set(link.tbs.values()):
                yield from self.tbs.get(digest, ())
        yield from self.unknown_roots

    def _signer_fits(self, listed: Listed, signer: Signer, identity: Identity) -> bool | None:
        rules = self.policy.rules
        rule = self.policy.signers[listed.signer]
        fit = ci_match.signer_fits(rule, signer)
        if fit is not False and rule.attributes:
            attributes = (rules[number] for number in rule.attributes)
            fit = both(
                fit, either(_file_fits(each, identity, denying=False) for each in attributes)
            )
        excepted = either(
            _file_fits(rules[number], identity, denying=True) for number in listed.exceptions
        )
        return both(fit, None if excepted is None else not excepted)


def _file_fits(rule: FileRule, identity: Identity, *, denying: bool) -> bool | None:
    """As `ci_match.fits`; a file whose names could not be read may have any."""
    fit = ci_match.fits(rule, identity, kernel_mode=True, denying=denying)
    is_by_name = bool(rule.names) and not rule.hash
    return None if fit is False and is_by_name and not identity.names else fit


def _scenarios(policy: Policy) -> list[Scenario]:
    """Those for drivers, and those they inherit."""
    queue = [at for at, one in enumerate(policy.scenarios) if one.value == ci_rules.KERNEL]
    for number in queue:  # grows while it is read
        queue += [each for each in policy.scenarios[number].inherited if each not in queue]
    return [policy.scenarios[number] for number in queue]


def _of_tests(scenario: Scenario) -> tuple[Group, Group]:
    return scenario.test, scenario.test_signing


def _names_some(group: Group) -> bool:
    return bool(group.allowed or group.files)
