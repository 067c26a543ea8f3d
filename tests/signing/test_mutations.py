"""Signed files changed at random are not good, but where nobody signed what was changed."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.signing import mutation_run, regions
from tests.signing.mutation_run import BUILT, SECONDS

COUNT = 500  # bench/signature_mutations.py goes on from there
NAMES = [each for each in mutation_run.names() if mutation_run.subject(each).size < 200_000]


@pytest.mark.parametrize("name", NAMES)
def test_the_map_has_every_byte_once(name: str) -> None:
    what = mutation_run.subject(name)
    mutation_run.check_regions(what)
    assert "structure" in {region.name for region in what.regions}


@pytest.mark.parametrize("name", NAMES)
def test_a_bit_of_every_region(name: str) -> None:
    """Each field of the headers, each section, each part of the signature."""
    what = mutation_run.subject(name)
    outcomes = [mutation_run.flip(name, region, 0) for region in what.regions]
    assert max(each.seconds for each in outcomes) < SECONDS
    assert not all(each.survived for each in outcomes)


def test_random_damage() -> None:
    outcomes = [
        mutation_run.run(NAMES[number % len(NAMES)], f"{number}") for number in range(COUNT)
    ]
    assert max(each.seconds for each in outcomes) < SECONDS
    assert 0 < sum(each.survived for each in outcomes) < COUNT / 8
    assert {each.kind for each in outcomes} == set(mutation_run.CHANGES)


def test_what_is_called_unsigned_is_so() -> None:
    """Or the list of excuses would be longer than it need be."""
    found = set[str]()
    for name in BUILT:
        for region in mutation_run.subject(name).regions:
            if region.name in regions.UNSIGNED and region.name not in found:
                flips = (mutation_run.flip(name, region, seed) for seed in range(24))
                found |= set(chain(*(each.regions for each in flips if each.survived)))
    assert set(regions.UNSIGNED) - found <= _BY_CHANCE


# A single bit seldom hits what is still of the same meaning.
_BY_CHANCE = {"signature algorithm", "entry length", "bag header"}
