"""docs/diagnosis.md says what the code does."""

from __future__ import annotations

import re

from recoverykit.diagnosis import document, rules, verdict
from recoverykit.model import Kind
from tests.conftest import REPOSITORY


def test_the_document_is_current() -> None:
    written = (REPOSITORY / "docs" / "diagnosis.md").read_text(encoding="utf-8")
    assert written == document.text(), "run: python -m recoverykit.diagnosis.document"


def test_every_rule_is_documented() -> None:
    text = document.text()
    written = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert sorted(written) == sorted(rule.id for rule in rules.RULES)
    for rule in rules.RULES:
        assert f"Weight: {rule.weight}." in text
    assert f"at least {verdict.CULPRIT_WEIGHT}" in " ".join(text.split())


def test_rule_ids() -> None:
    ids = [rule.id for rule in rules.RULES]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in ids)


def test_no_single_argument_suffices() -> None:
    """Even the heaviest rule against a file stays below the bar for acting."""
    weights = [rule.weight for rule in rules.RULES if rule.kind in (Kind.DRIVER, Kind.CONTENT)]
    assert max(weights) < verdict.CULPRIT_WEIGHT
