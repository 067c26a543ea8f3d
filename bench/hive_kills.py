"""The campaign: ntfs-3g killed at random moments of a repair and of its undo.

    .venv/bin/python -m bench.hive_kills [--count 300] [--seed 1] [--json]

Each case makes a small NTFS volume, begins a repair or takes one back, and ends the file system's
process by SIGKILL somewhere in between. Mounted again, the hive and its logs must say what they
said before or after the repair; then everything is taken back, and every file must be as it was, to
the byte. Needs root, FUSE and ntfs-3g. Exit code 1 if a case failed.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from recoverykit.errors import RecoveryKitError
from recoverykit.formats import hive_edit
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    KeyChange,
    Plan,
    RegistryChange,
    RegistryData,
    RegistryKey,
    ValueChange,
)
from recoverykit.repair import hives, registry_plan, transaction, undo
from tests.repair import ntfs, target

VALUES, BYTES = 60, 9000  # of the plan that makes the hive many times as long


def grown_plan(mount: Path) -> Plan:
    """What the import of a large `.reg` file asks for: the hive outgrows its file."""
    top = "ControlSet001\\Services\\imported"
    changes: list[RegistryChange] = [
        KeyChange(top, None, RegistryKey()),
        *(
            ValueChange(top, f"value {number}", None, RegistryData(3, bytes([number]) * BYTES))
            for number in range(VALUES)
        ),
        ValueChange(
            target.SERVICE, "Start", RegistryData(4, target.BOOT), RegistryData(4, target.OFF)
        ),
    ]
    install = target.install(mount)
    made = registry_plan.make(install, {target.SYSTEM: tuple(changes)}, title="import", reason="")
    if made is None:
        raise RuntimeError("nothing to do")
    return made


def _no_logs(mount: Path) -> None:
    for ending in (".LOG1", ".LOG2"):
        (mount / f"{target.SYSTEM}{ending}").unlink()


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    plan: Callable[[Path], Plan]
    prepare: Callable[[Path], None] = lambda _: None


SCENES = (
    Scene("numbers", target.plan),
    Scene("rich", target.rich_plan),
    Scene("rich, no logs", target.rich_plan, _no_logs),
    Scene("rich, dirty, grew", target.rich_plan, partial(target.soil, grow=True)),
    Scene("grows", grown_plan),
    Scene("grows, dirty", grown_plan, target.soil),
)


@dataclass(slots=True)
class Prepared:
    """A volume ready for a scene, and what its hive says before and after."""

    scene: Scene
    image: Path
    before: target.State
    old: bytes
    new: bytes
    seconds: dict[bool, float]  # of apply, of undo


@dataclass(slots=True)
class Summary:
    cases: int = 0
    found: Counter[str] = field(default_factory=Counter)  # what stood after the kill
    failures: list[str] = field(default_factory=list)


def prepare(scene: Scene, folder: Path) -> Prepared:
    image = folder / f"{scene.name}.img"
    ntfs.make(image)
    with ntfs.mounted(image) as volume:
        scene.prepare(volume.path)
        ntfs.dress(volume.path)
    with ntfs.mounted(image) as volume:
        before, old = target.state(volume.path), whole(volume.path)
    trial = Path(shutil.copy(image, folder / "trial.img"))
    with ntfs.mounted(trial) as volume:
        begun = time.monotonic()
        apply(volume.path, scene)
        middle, new = time.monotonic(), whole(volume.path)
        again = time.monotonic()
        undo.undo(volume.path)
        seconds = {False: middle - begun, True: time.monotonic() - again}
    with ntfs.mounted(trial) as volume:
        if target.state(volume.path) != before:
            raise RuntimeError(f"{scene.name}: undo is not exact even without a kill")
    return Prepared(scene, image, before, old, new, seconds)


def whole(mount: Path) -> bytes:
    return bytes(hives.load(mount / target.SYSTEM)[1].data)


def apply(mount: Path, scene: Scene) -> None:
    transaction.apply(target.install(mount), scene.plan(mount), now=target.NOW, report=b"{}")


def case(prepared: Prepared, rng: random.Random, folder: Path, summary: Summary) -> None:
    image = Path(shutil.copy(prepared.image, folder / "disk.img"))
    undoing = rng.random() < 0.5
    delay = rng.uniform(0, prepared.seconds[undoing])
    with ntfs.mounted(image) as volume:
        if undoing:
            apply(volume.path, prepared.scene)
        timer = threading.Timer(delay, volume.kill)
        timer.start()
        with contextlib.suppress(OSError, RecoveryKitError):
            if undoing:
                undo.undo(volume.path)
            else:
                apply(volume.path, prepared.scene)
        timer.join()
    summary.found["mended by ntfsfix"] += mended(image)
    summary.found[f"{'undo' if undoing else 'apply'}: {stands(image, prepared)}"] += 1
    recover(image, prepared)


def mended(image: Path) -> bool:
    """Killed while it makes the $MFT longer, ntfs-3g leaves a $MFTMirr that it itself refuses."""
    seen = subprocess.run(["ntfsfix", "-n", image], check=False, capture_output=True, text=True)
    if "does not match" not in seen.stdout:
        return False
    subprocess.run(["ntfsfix", image], check=True, capture_output=True)
    return True


def stands(image: Path, prepared: Prepared) -> str:
    """What Windows would load now: "old", "new" or (numbers only) "between"."""
    with ntfs.mounted(image) as volume:
        now, old, new = (Hive(data) for data in (whole(volume.path), prepared.old, prepared.new))
    if not (changed := hive_edit.differences(old, now)):
        return "old"
    if not hive_edit.differences(new, now):
        return "new"
    planned = hive_edit.differences(old, new)
    if prepared.scene.plan is target.plan and all(change in planned for change in changed):
        return "between"
    raise AssertionError(f"a mixture: {[hive_edit.label(change) for change in changed]}")


def recover(image: Path, prepared: Prepared) -> None:
    with ntfs.mounted(image) as volume:
        for seen in transaction.history(volume.path):
            if seen.state != "undone":
                undo.undo(volume.path, seen.id)
    with ntfs.mounted(image) as volume:
        now = target.state(volume.path, without=".ntfs-3g-")
        if now != prepared.before:
            different = {name for name in now if now[name] != prepared.before.get(name)}
            raise AssertionError(
                f"not as it was: {different | prepared.before.keys() - now.keys()}"
            )
    checked = subprocess.run(["ntfsfix", "-n", image], check=False, capture_output=True)
    if checked.returncode:
        raise AssertionError(checked.stdout.decode())


def main(
    count: Annotated[int, typer.Option(help="How many kills.")] = 300,
    seed: Annotated[int, typer.Option(help="Repeats a campaign, as far as time can be.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="Where failing images are kept.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    rng, summary = random.Random(seed), Summary()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = [prepare(scene, folder) for scene in SCENES]
        for number in range(count):
            prepared = ready[number % len(ready)]
            summary.cases += 1
            try:
                case(prepared, rng, folder, summary)
            except (AssertionError, OSError, RecoveryKitError) as exc:
                said = f"{number} ({prepared.scene.name}): {type(exc).__name__}: {exc}"
                summary.failures.append(said)
                typer.echo(said, err=True)
                if keep is not None:
                    shutil.copy(folder / "disk.img", keep / f"{seed}-{number}.img")
    typer.echo(json.dumps(asdict(summary), indent=2) if as_json else _told(summary))
    raise typer.Exit(1 if summary.failures else 0)


def _told(summary: Summary) -> str:
    found = "".join(f"\n  {count:4} {what}" for what, count in sorted(summary.found.items()))
    return f"{summary.cases} kills, {len(summary.failures)} failures; found after them:{found}"


if __name__ == "__main__":
    typer.run(main)
