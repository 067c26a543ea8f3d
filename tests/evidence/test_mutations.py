"""A damaged artifact is evidence or a Gap; bench.evidence_mutations does this by the thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from recoverykit.diagnosis import verdict
from recoverykit.evidence import collect
from recoverykit.model import CrashDump, Gap
from tests.evidence import mutation_run

CASES = 120


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mutation_run.machine(tmp_path_factory.mktemp("machine"))


def test_every_collector_finds_something(root: Path) -> None:
    """What is damaged below is read when it is whole."""
    found = collect(mutation_run.install(root))
    types = {type(item).__name__ for item in found}
    assert types >= {
        *("Service", "DriverFile", "ContentFile", "DriverPackage", "DriverInstall", "BootEvent"),
        *("BootLogBlock", "Crash", "CrashDump", "WerReport", "DriverRefused", "StartupRepair"),
        *("BootStatus", "BootManagerEvent", "PendingServicing", "RenameFailed", "HiveState"),
    }
    assert sum(isinstance(item, CrashDump) for item in found) == 3
    assert [
        item for item in found if isinstance(item, Gap) and "Minidump" in item.source.path
    ] == []
    assert verdict.judge(mutation_run.install(root), found).suspects[0].driver == "acmeflt.sys"


def test_damage_never_raises(root: Path) -> None:
    outcomes = [mutation_run.run(root, seed) for seed in range(CASES)]
    assert len({outcome.name for outcome in outcomes}) > 15
    assert any(outcome.gaps for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    assert slowest.seconds < mutation_run.SECONDS, slowest


def test_a_case_can_be_repeated(root: Path) -> None:
    first, again = (mutation_run.run(root, 7) for _ in range(2))
    assert (first.name, first.kind, first.gaps) == (again.name, again.kind, again.gaps)
