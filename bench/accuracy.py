#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""How often is the diagnosis right? Ours and three baselines on the same labelled trees.

    python -m bench.accuracy [--seeds odd|even|A-B] [--only NAME|FAMILY] [--jobs 2]
                             [--json] [--wrong] [--keep DIR]

Trees come from tests/scenarios. Tune on even seeds, report odd ones. Per contestant, as fractions:
  top1, top3     of the trees with a culprit: it is the first (one of the first three) named
  kind           of the trees where no driver or content file is to blame: the right kind
  wrong_culprit  of all trees: somebody is called the culprit who is not
  healthy        of the healthy trees: called healthy
  kind_all       of all trees: the right kind (told besides; no bar hangs on it)
A baseline's first answer is its culprit; it knows no kinds, and calls healthy by saying nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recoverykit import installs, pipeline
from recoverykit.diagnosis import verdict
from recoverykit.evidence import collect
from recoverykit.model import Diagnosis, Kind, Verdict
from tests.scenarios import SCENARIOS, Scenario, Tree, generate
from tests.scenarios.baselines import CONTESTANTS

OURS = "recoverykit"
METRICS = ("top1", "top3", "kind", "wrong_culprit", "healthy", "kind_all")
_MEMORY = Path("/dev/shm")  # noqa: S108 - trees of thousands of small files, in folders of our own
_ROOM = _MEMORY if _MEMORY.is_dir() else None
_FILES = (Kind.DRIVER, Kind.CONTENT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one contestant said of one tree."""

    named: tuple[str, ...]  # the most suspect first
    culprits: tuple[str, ...]  # whom it would act against
    kind: Kind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    scenario: str
    family: str
    seed: int
    kind: Kind
    culprits: frozenset[str]
    allowed: frozenset[str]
    story: str
    answers: dict[str, Answer]

    def score(self, name: str) -> dict[str, bool]:
        """The metrics this tree counts for, and whether the contestant did it (or did it wrong)."""
        answer = self.answers[name]
        scores = {
            "wrong_culprit": bool(set(answer.culprits) - self.culprits - self.allowed),
            "kind_all": answer.kind is self.kind,
        }
        if self.culprits:
            scores["top1"] = bool(self.culprits & set(answer.named[:1]))
            scores["top3"] = bool(self.culprits & set(answer.named[:3]))
        if self.kind not in _FILES:
            scores["kind"] = answer.kind is self.kind
        if self.kind is Kind.HEALTHY:
            scores["healthy"] = answer.kind is Kind.HEALTHY
        return scores

    @property
    def faults(self) -> tuple[str, ...]:
        """What ours got wrong. A driver's right name under another kind is told, not counted."""
        scores = self.score(OURS)
        wrong = [name for name in ("top1", "top3", "kind", "healthy") if scores.get(name) is False]
        wrong += ["wrong_culprit"] if scores["wrong_culprit"] else []
        if self.kind in _FILES and self.answers[OURS].kind is not self.kind:
            wrong.append("(kind)")
        return tuple(wrong)


# --- one tree -----------------------------------------------------------------------------


def examine(tree: Tree) -> Answer:
    """Our answer."""
    if tree.image is not None:
        return _image(tree.image)
    found, gaps = installs.find(tree.volume, tree.root)
    if not found:
        closed = any(gap.closed for gap in gaps)
        return Answer((), (), Kind.LOCKED if closed else Kind.UNKNOWN, "no installation found")
    evidence = collect(found[0], boot_volumes=tree.boot_volumes, volumes=tree.volumes)
    if tree.ntfs is not None:
        evidence = (*evidence, tree.ntfs)
    return _answer(verdict.judge(found[0], evidence))


def _image(path: Path) -> Answer:
    report = pipeline.diagnose(path)
    judged = [one.diagnosis for one in report.installations if one.diagnosis is not None]
    if judged:
        return _answer(judged[0])
    closed = any(gap.closed for gap in report.gaps)
    text = "; ".join(gap.reason for gap in report.gaps)
    return Answer((), (), Kind.LOCKED if closed else Kind.UNKNOWN, text)


def _answer(diagnosis: Diagnosis) -> Answer:
    named = tuple(suspect.driver.lower() for suspect in diagnosis.suspects)
    culprits = tuple(
        suspect.driver.lower()
        for suspect in diagnosis.suspects
        if suspect.verdict is Verdict.CULPRIT
    )
    return Answer(named, culprits, diagnosis.kind, diagnosis.summary)


def judge(task: tuple[str, int], keep: Path | None = None) -> Result:
    """Generate one tree, ask everybody, throw it away."""
    name, seed = task
    scenario = next(one for one in SCENARIOS if one.name == name)
    parent = keep or Path(tempfile.mkdtemp(prefix="accuracy-", dir=_ROOM))
    folder = parent / f"{name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        tree = generate(scenario, seed, folder)
        answers = {OURS: examine(tree)}
        for contestant, ask in CONTESTANTS.items():
            given = () if tree.image is not None else ask(tree.root)
            kind = Kind.DRIVER if given else Kind.HEALTHY
            answers[contestant] = Answer(given, given[:1], kind)
    finally:
        if keep is None:
            shutil.rmtree(parent, ignore_errors=True)
    truth = tree.truth
    return Result(
        *(name, scenario.family, seed, truth.kind, truth.culprits, truth.allowed, truth.story),
        answers,
    )


# --- all of them --------------------------------------------------------------------------


def run(
    scenarios: Sequence[Scenario], seeds: Sequence[int], *, jobs: int = 2, keep: Path | None = None
) -> list[Result]:
    tasks = [(scenario.name, seed) for scenario in scenarios for seed in seeds]
    work = partial(judge, keep=keep)
    if jobs < 2:
        return [work(task) for task in tasks]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(work, tasks, chunksize=4))


def metrics(results: Sequence[Result], name: str) -> dict[str, float | int]:
    """Fractions, and under `n_...` of how many trees."""
    counts: defaultdict[str, list[bool]] = defaultdict(list)
    for result in results:
        for metric, value in result.score(name).items():
            counts[metric].append(value)
    found: dict[str, float | int] = {}
    for metric in METRICS:
        values = counts[metric]
        found[metric] = round(sum(values) / len(values), 4) if values else 0.0
        found[f"n_{metric}"] = len(values)
    return found


def as_json(results: Sequence[Result], scenarios: int, seeds: Sequence[int]) -> dict[str, object]:
    document: dict[str, object] = {
        "scenarios": scenarios,
        "families": len({result.family for result in results}),
        "seeds": list(seeds),
        "trees": len(results),
    }
    document.update({name: metrics(results, name) for name in (OURS, *CONTESTANTS)})
    return document


def seeds_of(text: str) -> tuple[int, ...]:
    """ "odd" and "even" are those of 0 to 9; "A-B" is a range, "A" one."""
    if text in ("odd", "even"):
        return tuple(range(text == "odd", 10, 2))
    first, _, last = text.partition("-")
    return tuple(range(int(first), int(last or first) + 1))


def _percent(value: float | int, count: float | int) -> str:
    return f"{100 * value:5.1f}%" if count else "     -"


def table(results: Sequence[Result]) -> str:
    """Everybody overall, then everybody family by family."""
    lines = [_line("", "contestant", METRICS)]
    families = sorted({result.family for result in results})
    for family in ("", *families):
        some = [result for result in results if family in ("", result.family)]
        for name in (OURS, *CONTESTANTS):
            found = metrics(some, name)
            cells = [_percent(found[metric], found[f"n_{metric}"]) for metric in METRICS]
            lines.append(_line(family or "all", name, cells))
        lines.append("")
    return "\n".join(lines)


def _line(family: str, name: str, cells: Sequence[str]) -> str:
    return f"{family:15} {name:19}" + "".join(f"{cell:>15}" for cell in cells)


def wrong(results: Sequence[Result]) -> str:
    """Every tree we were wrong about, with what we said."""
    lines = []
    for result in results:
        if not result.faults:
            continue
        answer = result.answers[OURS]
        wanted = ", ".join(sorted(result.culprits)) or "-"
        ours = f"{', '.join(answer.named[:3]) or '-'} [{', '.join(answer.culprits)}]"
        lines += [
            f"{result.scenario} seed {result.seed}: {', '.join(result.faults)}",
            f"    truth: {result.kind} {wanted}: {result.story}",
            f"    ours:  {answer.kind} {ours}: {answer.text}",
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Accuracy of the diagnosis on labelled trees.")
    parser.add_argument("--seeds", default="even", help="odd, even, A-B or A")
    parser.add_argument("--only", default="", help="a scenario's name, a family, or a part of one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="leave the trees in this folder")
    parser.add_argument("--wrong", action="store_true", help="list every tree judged wrong")
    options = parser.parse_args(arguments)
    chosen = [s for s in SCENARIOS if options.only in s.name or options.only in s.family]
    if not chosen:
        parser.error(f"no scenario is called {options.only}")
    seeds = seeds_of(options.seeds)
    results = run(chosen, seeds, jobs=options.jobs, keep=options.keep)
    if options.json:
        print(json.dumps(as_json(results, len(chosen), seeds), indent=2))
        return 0
    print(f"{len(chosen)} scenarios, seeds {options.seeds}, {len(results)} trees\n")
    print(table(results))
    if options.wrong:
        print(wrong(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
