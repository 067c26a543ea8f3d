"""The campaign: the power goes after any single write of a repair, or of its undo.

    .venv/bin/python -m bench.power_cuts --all [--jobs 2] [--json]      every write; minutes
    .venv/bin/python -m bench.power_cuts --sample 300 --kinds cut,torn,lost,twice,kill

What ntfs-3g writes is recorded once for each scene (`tests.repair.recorded`). Then the volume is
built as it stood at a moment and recovered as the next run of the medium would: put right below the
file system (`repair.mend`), mounted, everything taken back. Then every file must be as it was, to
the byte, descriptor, attributes and short name; every name that is listed must lead to a file; and
the repair must succeed when it is made again.

    cut     the first n writes, for every n: what a killed ntfs-3g leaves
    torn    the same, and the first sectors of the next write
    lost    of the writes that no fsync followed yet any half: a disk that reorders
    twice   a cut, and a cut while that is recovered from
    kill    a real SIGKILL at a random moment: is the model true?

Needs root, FUSE, ntfs-3g and strace. Exit code 1 if a case failed.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from recoverykit.errors import RecoveryKitError
from recoverykit.repair import undo
from tests.repair import cut_scenes, ntfs, recorded
from tests.repair.cut_scenes import NotRecovered, Scene
from tests.repair.recorded import Recording, Write

KINDS = ("cut", "torn", "lost", "twice", "kill")
LOSSES = 2  # how often of every moment another half of the writes is lost


@dataclass(frozen=True, slots=True)
class Phase:
    """A repair or an undo, with every write it made."""

    scene: Scene
    recording: Recording
    expected: object
    seconds: float
    undoing: bool

    @property
    def name(self) -> str:
        return f"{self.scene.name}, {'undo' if self.undoing else 'apply'}"


@dataclass(frozen=True, slots=True)
class Case:
    phase: int
    kind: str
    number: int  # writes that were made
    more: int = 0  # sectors of the next one, or the seed of what was lost

    def writes(self, recording: Recording) -> list[Write]:
        if self.kind == "torn":
            return recording.torn(self.number, self.more)
        done = recording.cut(self.number)
        if self.kind != "lost":
            return done
        rng = random.Random(self.number * 1000 + self.more)
        kept = len(done) - recording.since_sync(self.number)
        return [*done[:kept], *(one for one in done[kept:] if rng.random() < 0.5)]


@dataclass(frozen=True, slots=True)
class Outcome:
    case: Case
    problem: str = ""
    found: tuple[str, ...] = ()


@dataclass(slots=True)
class Summary:
    phases: dict[str, dict[str, int]] = field(default_factory=dict)
    cases: Counter[str] = field(default_factory=Counter)
    recovered: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)  # what recovering met with
    failures: list[str] = field(default_factory=list)


def prepare(number: int, scene: Scene, folder: Path) -> list[Phase]:
    """Record a scene. Raises RuntimeError where its undo is not exact even without a cut."""
    image = folder / f"{number}.img"
    scene.make(image)
    with ntfs.mounted(image) as volume:
        before = scene.look(volume.path)
    begun = time.monotonic()
    with recorded.recording(image, folder / f"{number}.apply") as (volume, applied):
        scene.apply(volume.path)
    middle = time.monotonic()
    if scene.since is not None:
        with ntfs.mounted(image) as volume:
            scene.since(volume.path)
    again = time.monotonic()
    with recorded.recording(image, folder / f"{number}.undo") as (volume, taken_back):
        undo.undo(volume.path)
    ended = time.monotonic()
    with ntfs.mounted(image) as volume:
        after = scene.look(volume.path)
    undoing = Phase(scene, taken_back(), after, ended - again, undoing=True)
    if scene.since is not None:
        return [undoing]
    if after != before:
        raise RuntimeError(f"{scene.name}: {cut_scenes.differences(before, after)}")
    return [Phase(scene, applied(), before, middle - begun, undoing=False), undoing]


_PHASES: list[Phase] = []  # of this process and, forked, of its workers


def run(case: Case) -> Outcome:
    phase = _PHASES[case.phase]
    image = phase.recording.base.with_name(f"case-{os.getpid()}.img")
    try:
        if case.kind == "kill":
            _kill(phase, image, case.number)
        else:
            phase.recording.build(image, case.writes(phase.recording))
        if case.kind == "twice":
            _cut_again(image, case.number)
        found = cut_scenes.recover(image, phase.scene, phase.expected)
    except (NotRecovered, OSError, RecoveryKitError, RuntimeError) as exc:
        return Outcome(case, f"{type(exc).__name__}: {exc}")
    return Outcome(case, found=found)


def _kill(phase: Phase, image: Path, seed: int) -> None:
    shutil.copy(phase.recording.base, image)
    with ntfs.mounted(image) as volume:
        # Recording slows a run down about four times; some kills come after its end.
        delay = random.Random(seed).uniform(0, phase.seconds / 3)
        timer = threading.Timer(delay, volume.kill)
        timer.start()
        with contextlib.suppress(OSError, RecoveryKitError):
            if phase.undoing:
                undo.undo(volume.path)
            else:
                phase.scene.apply(volume.path)
        timer.join()


def _cut_again(image: Path, seed: int) -> None:
    """Recover under strace, and leave the image as it stood after some of those writes."""
    with ExitStack() as stack:
        volume, taken_back = stack.enter_context(
            recorded.recording(image, image.with_suffix(".again"), first=cut_scenes.mend)
        )
        cut_scenes.take_back(volume.path)
    again = taken_back()
    again.build(image, again.cut(random.Random(seed).randrange(again.cuts)))


def cases(kinds: Iterable[str], rng: random.Random, sample: int | None) -> list[Case]:
    made: list[Case] = []
    for kind in kinds:
        every = [case for index, phase in enumerate(_PHASES) for case in _of(kind, index, phase)]
        if sample is not None and sample < len(every):
            every = rng.sample(every, sample)
        made += every
    return made


def _of(kind: str, index: int, phase: Phase) -> list[Case]:
    recording = phase.recording
    moments = range(recording.cuts)
    if kind == "torn":
        tears = ((n, one) for n in moments[:-1] for one in range(recording.tears(n)))
        return [Case(index, kind, number, sectors + 1) for number, sectors in tears]
    if kind == "lost":
        numbers = [number for number in moments if recording.since_sync(number) > 1]
        return [Case(index, kind, number, seed) for number in numbers for seed in range(LOSSES)]
    return [Case(index, kind, number) for number in moments]


def main(
    sample: Annotated[int, typer.Option(help="How many cases of each kind.")] = 300,
    kinds: Annotated[str, typer.Option(help="Of " + ", ".join(KINDS))] = "cut,torn,lost",
    scene: Annotated[str, typer.Option(help="A pattern of names.")] = "*",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="Where failing images are built.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every case, no sample.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    summary = Summary()
    wanted = [one for one in cut_scenes.SCENES if fnmatch.fnmatch(one.name, scene)]
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        for number, one in enumerate(wanted):
            _PHASES.extend(prepare(number, one, Path(name)))
        for phase in _PHASES:
            syncs = sum(write.is_sync for write in phase.recording.writes)
            summary.phases[phase.name] = {"writes": phase.recording.cuts - 1, "fsyncs": syncs}
        every = cases(kinds.split(","), random.Random(seed), None if everything else sample)
        with ProcessPoolExecutor(jobs) as pool:
            for outcome in pool.map(run, every, chunksize=4):
                _note(summary, outcome, keep)
    typer.echo(json.dumps(_fields(summary), indent=2) if as_json else _told(summary))
    raise typer.Exit(1 if summary.failures else 0)


def _memory() -> Path | None:
    """Where thousands of images can be made without wearing a disk out."""
    shared = Path("/dev", "shm")
    return shared if shared.is_dir() else None


def _note(summary: Summary, outcome: Outcome, keep: Path | None) -> None:
    case, phase = outcome.case, _PHASES[outcome.case.phase]
    summary.cases[case.kind] += 1
    summary.found.update(outcome.found)
    if not outcome.problem:
        summary.recovered[case.kind] += 1
        return
    said = f"{phase.name}: {case.kind} {case.number}.{case.more}: {outcome.problem}"
    summary.failures.append(said)
    typer.echo(said, err=True)
    if keep is not None and case.kind != "kill":
        image = keep / f"{case.phase}-{case.kind}-{case.number}-{case.more}.img"
        phase.recording.build(image, case.writes(phase.recording))


def _fields(summary: Summary) -> dict[str, object]:
    return {name: getattr(summary, name) for name in Summary.__slots__}


def _told(summary: Summary) -> str:
    lines = [f"{name}: {seen['writes']} writes" for name, seen in summary.phases.items()]
    lines += [f"{kind}: {summary.recovered[kind]} of {n}" for kind, n in summary.cases.items()]
    lines += [f"  {count:5} {what}" for what, count in sorted(summary.found.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
