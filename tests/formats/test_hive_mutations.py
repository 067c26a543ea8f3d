"""A slice of the campaign: FormatError or an answer, in bounded time and memory.

`python -m bench.hive_mutations` runs the same cases by the ten thousand.
"""

from __future__ import annotations

import random
import struct

import pytest

from recoverykit.formats.hive import read
from tests.builders.mutate import LOG_MUTATORS, MUTATORS, mutants, survey
from tests.formats.mutation_run import (
    TREE,
    bytes_allowed,
    edit_something,
    read_everything,
    run,
    seconds_allowed,
    subject,
)

READ = [
    ("built", 168),
    ("built HvLE", 96),
    ("built DIRT", 72),
    ("bcd_win2go", 48),
    ("bcd_asus/Boot_BCD", 48),
    ("yarp/BigDataHive", 240),
    ("yarp/HealedHive", 240),
    ("yarp/System_Delta", 36),
    ("yarp/NewDirtyHive1__NewDirtyHive", 72),
    ("yarp/OldDirtyHive__OldDirtyHive", 16),
]
MEASURED = 20  # every so many-th case, memory too


@pytest.mark.parametrize(("name", "count"), READ)
def test_damaged_hives_are_read_or_refused(name: str, count: int) -> None:
    what, opened = subject(name), 0
    for number in range(count):
        outcome = run(what, "suite", number, measure=number % MEASURED == 0)
        opened += outcome.opened
        if outcome.peak:
            assert outcome.peak < bytes_allowed(what.size), number
        else:
            assert outcome.seconds < seconds_allowed(what.size), number
    assert count // 4 < opened < count  # the mutations neither miss nor kill everything


@pytest.mark.parametrize(
    ("name", "count"), [("built", 60), ("yarp/System_Delta", 24), ("yarp/HealedHive", 60)]
)
def test_damaged_hives_are_edited_exactly_or_not_at_all(name: str, count: int) -> None:
    what = subject(name)
    outcomes = [run(what, "suite", number, exercise=edit_something) for number in range(count)]
    assert max(outcome.seconds for outcome in outcomes) < seconds_allowed(what.size)
    assert count // 4 < sum(outcome.opened for outcome in outcomes) < count


def test_the_undamaged_is_read() -> None:
    for name, _ in READ:
        what = subject(name)
        read_everything(what.image, what.logs)


def test_the_mutators_are_what_they_say() -> None:
    """The same for the same seed; each of them changes something; nothing else is touched."""
    what = subject("built")
    kept = bytes(what.image)
    first, again = (list(mutants(what.image, "seed", 36)) for _ in range(2))
    assert first == again
    assert first != list(mutants(what.image, "other", 36))
    assert all(mutant != what.image for mutant in first)
    assert what.image == kept
    for mutator in MUTATORS:
        data = bytearray(what.image)
        for number in range(5):
            mutator(data, what.known, random.Random(number))
        assert data != what.image, mutator.__name__
    logs = [bytearray(log) for _, log in subject("yarp/NewDirtyHive1__NewDirtyHive").logs]
    for change in LOG_MUTATORS:
        changed = [*map(bytearray, logs)]
        for number in range(5):
            change(changed, random.Random(number))
        assert changed != logs, change.__name__


def test_the_survey_finds_every_key_and_value() -> None:
    what = subject("built")
    keys = list(read(what.image)[0].walk())
    assert len(what.known.kinds[b"nk"]) == len(keys)
    assert sorted(what.known.kinds[b"nk"]) == sorted(4096 + key.cell for key in keys)
    assert len(what.known.kinds[b"vk"]) == sum(len(key.values) for key in keys)
    assert len(keys) > len(TREE)
    assert survey(what.image[:300]).bins == []


def test_a_hive_of_one_value_many_times_over_stays_small() -> None:
    """All keys share one value list, all values one large cell: the walk is charged for it."""
    what = subject("built")
    data = bytearray(what.image)
    vks = what.known.kinds[b"vk"]
    large = max(vks, key=lambda at: struct.unpack_from("<I", data, at + 8)[0] & 0x7FFF_FFFF)
    for at in vks:
        data[at + 8 : at + 16] = data[large + 8 : large + 16]
    hive = read(bytes(data))[0]
    total = sum(len(value) for key in hive.walk([]) for _, _, value in key.values)
    assert 17000 <= total <= len(data)
