"""All rules: what speaks against a driver, a content file, or a part of Windows itself.

Pure functions from facts to findings, each with an id, a weight, the kind of answer it speaks for
and an argument, the kind of reasoning it is. Documented in docs/diagnosis.md, which is generated
from this table.
"""

from __future__ import annotations

from collections.abc import Mapping

from recoverykit.diagnosis import content_rules, driver_rules, log_rules, state_rules
from recoverykit.diagnosis.facts import Facts
from recoverykit.diagnosis.rule import Argument, Rule
from recoverykit.model import Finding

RULES: tuple[Rule, ...] = (
    *driver_rules.RULES,
    *content_rules.RULES,
    *state_rules.RULES,
    *log_rules.RULES,
)
ARGUMENTS: Mapping[str, Argument] = {rule.id: rule.argument for rule in RULES}


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Everything that speaks against anything, rule by rule."""
    return tuple(finding for rule in RULES for finding in rule.check(rule, facts))
