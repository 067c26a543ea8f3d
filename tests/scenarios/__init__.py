"""Labelled machines: what a broken (or healthy) Windows disk holds, and what is the matter.

See README.md. `SCENARIOS` are seeded generators; the same seed gives the same tree.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.scenarios.families import SCENARIOS
from tests.scenarios.tree import Scenario, Tree, Truth

__all__ = ["SCENARIOS", "Scenario", "Tree", "Truth", "generate"]


def generate(scenario: Scenario, seed: int, folder: Path) -> Tree:
    """Write the machine into `folder`, which must be empty or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    built = scenario.build(Random(f"{scenario.name}/{seed}"), folder)
    assert built.truth.kind is scenario.kind, scenario.name
    return Tree(
        scenario=scenario.name,
        seed=seed,
        root=built.root,
        boot_volumes=built.boot_volumes,
        volume=built.volume,
        ntfs=built.ntfs,
        image=built.image,
        truth=built.truth,
        volumes=built.volumes,
    )
