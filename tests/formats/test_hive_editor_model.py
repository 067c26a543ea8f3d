"""Random edits against a plain dict model: content, structure, and three independent readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import problems
from tests.formats.agreement import agree, lines, opens
from tests.formats.hive_model import Model, facts
from tests.formats.hive_steps import steps
from tests.formats.hives import hive_bytes
from tests.independent.readers import READERS, Server, available

OLD, NEW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
_T = TypeVar("_T")


class Drawn:
    """Chooses what hypothesis says, so that it can shrink a sequence that fails."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def __call__(self, choices: Sequence[_T]) -> _T:
        return self._data.draw(st.sampled_from(choices))


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {
            reader.name: stack.enter_context(Server(reader))
            for reader in READERS
            if available(reader)
        }


def require_all_agree(image: bytes, folder: Path, servers: dict[str, Server]) -> None:
    path = folder / "hive"
    path.write_bytes(image)
    ours = list(lines(Hive(image)))
    for name, server in servers.items():
        assert opens(name, image)
        assert agree(name, image, ours, server.lines(path)).unexplained == [], name


def edited(data: st.DataObject, image: bytes, most: int, counted: Counter[str]) -> bytes:
    """The image after a sequence of edits, which the model agrees with."""
    model, editor = Model(image, NEW), Editor(image, NEW)
    count = data.draw(st.integers(1, most))
    for step in steps(Drawn(data), model.paths, count):
        done = step.done(model)
        assert step.done(editor) == done, step
        counted[step.verb] += done
    result = editor.finish(7)
    assert problems(result) == []
    assert facts(result) == model.facts()
    return result


SETTINGS = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize(("minor", "examples"), [(3, 30), (4, 10), (5, 50), (6, 10)])
def test_edits_do_what_the_model_does(
    minor: int, examples: int, tmp_path: Path, servers: dict[str, Server]
) -> None:
    counted: Counter[str] = Counter()

    @settings(SETTINGS, max_examples=examples)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        image = create("test", when=OLD, minor=minor)
        for _ in range(data.draw(st.integers(1, 3))):
            image = edited(data, image, 25, counted)
        require_all_agree(image, tmp_path, servers)

    check()
    assert len(counted) == 6  # verbs
    assert min(counted.values()) > 0


@pytest.mark.parametrize("name", ["yarp/BigDataHive", "bcd_win2go", "yarp/System_Delta"])
def test_edits_of_small_real_hives(name: str, tmp_path: Path, servers: dict[str, Server]) -> None:
    @settings(SETTINGS, max_examples=8)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        image = edited(data, hive_bytes(name), 40, Counter())
        require_all_agree(image, tmp_path, servers)

    check()
