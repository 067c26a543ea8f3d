"""The bench counts what its words say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import accuracy
from bench.accuracy import Answer, Result
from recoverykit.model import Kind
from tests.scenarios.baselines import CONTESTANTS


def _result(
    kind: Kind, culprits: set[str], ours: Answer, *, allowed: frozenset[str] = frozenset()
) -> Result:
    silent = Answer((), (), Kind.HEALTHY)
    answers = {accuracy.OURS: ours, **dict.fromkeys(CONTESTANTS, silent)}
    return Result("s", "f", 1, kind, frozenset(culprits), allowed, "why", answers)


RIGHT = _result(Kind.DRIVER, {"a.sys"}, Answer(("a.sys",), ("a.sys",), Kind.DRIVER))
THIRD = _result(Kind.DRIVER, {"a.sys"}, Answer(("b.sys", "c.sys", "a.sys"), (), Kind.UNKNOWN))
WRONG = _result(Kind.DRIVER, {"a.sys"}, Answer(("b.sys",), ("b.sys",), Kind.DRIVER))
DISK = _result(Kind.DISK, set(), Answer(("b.sys",), (), Kind.DISK))
ACCUSED = _result(Kind.HEALTHY, set(), Answer(("b.sys",), ("b.sys",), Kind.DRIVER))
ALLOWED = _result(
    Kind.STORAGE, set(), Answer(("c.sys",), ("c.sys",), Kind.STORAGE), allowed=frozenset(["c.sys"])
)


@pytest.mark.parametrize(
    ("result", "scores"),
    [
        (RIGHT, {"top1": True, "top3": True, "wrong_culprit": False, "kind_all": True}),
        (THIRD, {"top1": False, "top3": True, "wrong_culprit": False, "kind_all": False}),
        (WRONG, {"top1": False, "top3": False, "wrong_culprit": True, "kind_all": True}),
        (DISK, {"kind": True, "wrong_culprit": False, "kind_all": True}),
        (ACCUSED, {"kind": False, "healthy": False, "wrong_culprit": True, "kind_all": False}),
        (ALLOWED, {"kind": True, "wrong_culprit": False, "kind_all": True}),
    ],
)
def test_what_a_tree_counts_for(result: Result, scores: dict[str, bool]) -> None:
    assert result.score(accuracy.OURS) == scores


def test_fractions_are_of_the_trees_that_count() -> None:
    found = accuracy.metrics([RIGHT, THIRD, WRONG, DISK, ACCUSED], accuracy.OURS)
    assert found["top1"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["top3"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["kind"] == 0.5
    assert found["wrong_culprit"] == 0.4
    assert (found["healthy"], found["n_healthy"]) == (0.0, 1)


def test_what_is_wrong_is_listed_and_what_is_right_is_not() -> None:
    text = accuracy.wrong([RIGHT, WRONG])
    assert text.count("s seed 1") == 1
    assert "wrong_culprit" in text
    assert "b.sys [b.sys]" in text


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("odd", (1, 3, 5, 7, 9)), ("even", (0, 2, 4, 6, 8)), ("3-5", (3, 4, 5)), ("12", (12,))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert accuracy.seeds_of(text) == seeds


def test_json_of_a_real_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = accuracy.main(
        [
            "--json",
            "--only",
            "healthy-plain",
            "--seeds",
            "1",
            "--jobs",
            "1",
            "--keep",
            str(tmp_path),
        ]
    )
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["scenarios"] == document["trees"] == 1
    assert document["seeds"] == [1]
    for name in (accuracy.OURS, *CONTESTANTS):
        assert set(accuracy.METRICS) <= set(document[name])
    assert (tmp_path / "healthy-plain-1/windows/Windows/System32/config/SYSTEM").is_file()


def test_a_locked_image_is_judged_without_an_installation(tmp_path: Path) -> None:
    result = accuracy.judge(("locked-bitlocker", 1), tmp_path)
    assert result.answers[accuracy.OURS].kind is Kind.LOCKED
    assert not result.answers["newest-third-party"].named
