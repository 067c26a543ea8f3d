"""The campaign: every firmware, medium, target bus and scene, on the built ISO, in QEMU.

    .venv/bin/python -m bench.media_matrix --iso recovery.iso [--only uefi-usb] [--jobs 2] [--real]

Prints one line a power-on: seconds from power-on to the menu, the report and the end, exit code
and the verdict from outside (hivex and ntfs-3g, none of our code). Exit code 1 if one failed. The
whole matrix takes about an hour and a half on two cores; logs stay in --work.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from tests.builders import windows
from tests.builders.disk import DiskImage
from tests.e2e import machine, proof, scenes
from tests.e2e.machine import Attached, Ran
from tests.independent.snapshot import sha256

FIRMWARE, MEDIA = ("bios", "uefi"), ("cd", "usb")
BUSES = ("sata", "nvme", "virtio", "usb")
SCENES = ("broken", "healthy", "two", "unclean", "filter")
REFUSED = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """One power-on of the matrix."""

    firmware: str
    on: str
    bus: str
    scene: str

    @property
    def name(self) -> str:
        return f"{self.firmware}-{self.on}-{self.bus}-{self.scene}"


@dataclass(frozen=True, slots=True)
class Bases:
    one: DiskImage
    two: DiskImage

    def of(self, scene: str) -> DiskImage:
        return self.two if scene == "two" else self.one


def main() -> int:
    options = _options()
    work = options.work or Path(mkdtemp(prefix="media-matrix-"))
    hives = None if options.real else windows.BUILT
    bases = Bases(scenes.base(work, hives=hives), scenes.base(work, volumes=2, hives=hives))
    cells = [cell for cell in _cells() if options.only in cell.name]
    print(f"{len(cells)} power-ons; logs in {work}")
    print(f"{'machine':32} {'menu':>6} {'report':>7} {'end':>6}  code  judged from outside")
    with ThreadPoolExecutor(options.jobs) as pool:
        verdicts = list(pool.map(lambda cell: _run(cell, options.iso, bases, work), cells))
    failed = verdicts.count(False)
    print(f"{len(cells) - failed} of {len(cells)} as they must be")
    return 1 if failed or not cells else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Boot the ISO on every kind of machine.")
    parser.add_argument("--iso", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of a machine's name, e.g. uefi-usb-nvme")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--real", action="store_true", help="a real 11 MB hive: slower by minutes")
    parser.add_argument("--work", type=Path, help="folder for images and logs")
    return parser.parse_args()


def _cells() -> Iterator[Cell]:
    for parts in itertools.product(FIRMWARE, MEDIA, BUSES, SCENES):
        yield Cell(*parts)


def _run(cell: Cell, iso: Path, bases: Bases, work: Path) -> bool:
    scene = scenes.stage(bases.of(cell.scene), cell.scene, work / f"{cell.name}.img")
    before = _hashes(scene)
    log = work / f"{cell.name}.log"
    disks = [Attached(scene.disk.path, cell.bus)]
    ran = machine.boot(iso, disks, log, firmware=cell.firmware, on=cell.on)
    judged = _judge(cell, scene, ran, before)
    times = [ran.seconds.get(mark, float("nan")) for mark in (machine.MARKS[0], "RK-REPORT")]
    times.append(ran.seconds.get("RK-END", float("nan")))
    shown = f"{times[0]:6.1f} {times[1]:7.1f} {times[2]:6.1f}"
    print(f"{cell.name:32} {shown}  {ran.exit_code!s:>4}  {judged or 'as it must be'}", flush=True)
    if not judged:
        scene.disk.path.unlink()
    return not judged


def _judge(cell: Cell, scene: scenes.Scene, ran: Ran, before: tuple[str, ...]) -> str:
    """What is wrong with the outcome; "" when nothing is."""
    if not ran.powered_off:
        return "did not end by itself"
    try:
        _prove(cell, scene, ran, before)
    except AssertionError as error:
        return str(error).splitlines()[0] or "an assertion failed"
    return ""


def _prove(cell: Cell, scene: scenes.Scene, ran: Ran, before: tuple[str, ...]) -> None:
    if cell.scene == "healthy":
        assert (ran.exit_code, _hashes(scene)) == (0, before), "a healthy disk was touched"
    elif cell.scene == "filter" or cell.bus == "usb":
        assert (ran.exit_code, _hashes(scene)) == (REFUSED, before), "not refused untouched"
    elif cell.scene == "two":
        assert ran.exit_code == 0, "not repaired"
        assert _hashes(scene)[1] == before[1], "the healthy installation was touched"
        proof.repaired(scene, number=1)
    else:
        assert ran.exit_code == 0, "not repaired"
        proof.repaired(scene)


def _hashes(scene: scenes.Scene) -> tuple[str, ...]:
    image = scene.disk
    return sha256(image.path), *(proof.volume_sha256(image, part) for part in image.windows)


if __name__ == "__main__":
    sys.exit(main())
