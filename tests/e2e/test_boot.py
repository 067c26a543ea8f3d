"""The built medium boots beside a disk, does its work unattended, and the disk is judged after.

Every power-on is a scene of `BOOTS`; they run two at a time, each only when a test wants it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders.disk import DiskImage
from tests.conftest import mounts, need
from tests.e2e import machine, proof, scenes
from tests.e2e.command import recoverykit
from tests.e2e.machine import Attached, Ran
from tests.independent.snapshot import sha256

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.disk,
    pytest.mark.xdist_group("boots"),  # one worker: the boots are shared by its tests
    mounts,
    need("qemu-system-x86_64", "xorriso"),
]

SIGNATURE_REFUSED = 20


@dataclass(frozen=True, slots=True)
class Boot:
    """How one machine is built and what is chosen in the menu."""

    scene: str
    firmware: str = "bios"
    on: str = "cd"
    bus: str = "sata"
    key: str = "u"
    base: str = "small_windows"  # which fixture's disk it starts from
    tampered: bool = False
    medium: str = "medium"  # which fixture it boots from


BOOTS = {
    "bios-broken": Boot("broken", base="one_windows"),  # a real hive: minutes, so it goes first
    "uefi-two": Boot("two", firmware="uefi", bus="nvme", base="two_windows"),
    "bios-healthy": Boot("healthy", bus="virtio", base="one_windows"),
    "uefi-stick-diagnose": Boot("broken", firmware="uefi", on="usb", key="d"),
    "bios-unclean": Boot("unclean"),
    "bios-tampered": Boot("broken", tampered=True),
    "uefi-pack": Boot("channel files", firmware="uefi", medium="medium_with_pack"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A machine after it went off, its disk as it was before and where it is now."""

    ran: Ran
    scene: scenes.Scene
    before: tuple[str, ...]  # sha256 of the image, then of each Windows volume
    log: Path


@dataclass(frozen=True, slots=True)
class _Bench:
    media: dict[str, Path]
    bases: dict[str, DiskImage]
    folder: Path

    def run(self, name: str) -> Outcome:
        boot = BOOTS[name]
        scene = scenes.stage(self.bases[boot.base], boot.scene, self.folder / f"{name}.img")
        medium = self.media[boot.medium]
        if boot.tampered:
            medium = _tampered(medium, self.folder / f"{name}.iso")
        before = _hashes(scene)
        log = self.folder / f"{name}.log"
        disks = [Attached(scene.disk.path, boot.bus)]
        ran = machine.boot(medium, disks, log, firmware=boot.firmware, on=boot.on, key=boot.key)
        print(f"{name}: {ran.seconds}")
        return Outcome(ran, scene, before, log)


def _hashes(scene: scenes.Scene) -> tuple[str, ...]:
    image = scene.disk
    return sha256(image.path), *(proof.volume_sha256(image, part) for part in image.windows)


def _tampered(medium: Path, target: Path) -> Path:
    """One byte flipped in a file on the medium that booting does not need."""
    shutil.copyfile(medium, target)
    return scenes.flip_byte(target)


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Outcome]]]:
    """The boots of every selected test, two at a time."""
    folder = tmp_path_factory.mktemp("machines")
    wanted = _wanted(request.session.items)
    names = sorted({BOOTS[name].base for name in wanted})
    bases = {name: request.getfixturevalue(name) for name in names}
    media = {BOOTS[name].medium for name in wanted}
    bench = _Bench({name: request.getfixturevalue(name) for name in media}, bases, folder)
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(bench.run, name) for name in wanted}


def _wanted(items: list[pytest.Item]) -> list[str]:
    params = [item.callspec.params for item in items if hasattr(item, "callspec")]
    chosen = {param["outcome"] for param in params if param.get("outcome") in BOOTS}
    return [name for name in BOOTS if name in chosen]


@pytest.fixture
def outcome(request: pytest.FixtureRequest, outcomes: dict[str, Future[Outcome]]) -> Outcome:
    found = outcomes[request.param].result()
    print(found.log.read_text()[-6000:])
    assert found.ran.powered_off, f"{request.param} did not end by itself: see {found.log}"
    return found


@pytest.mark.parametrize("outcome", ["bios-broken"], indirect=True)
def test_bios_the_crashing_driver_is_quarantined_and_undo_brings_it_back(
    outcome: Outcome,
) -> None:
    assert outcome.ran.exit_code == 0
    proof.repaired(outcome.scene)

    done = recoverykit("undo", outcome.scene.disk.path, "--yes")

    assert done.exit_code == 0, done
    proof.undone(outcome.scene)


@pytest.mark.parametrize("outcome", ["uefi-two"], indirect=True)
def test_uefi_only_the_broken_installation_is_touched(outcome: Outcome) -> None:
    assert outcome.ran.exit_code == 0
    healthy = outcome.scene.disk.windows[0]
    assert proof.volume_sha256(outcome.scene.disk, healthy) == outcome.before[1]
    proof.repaired(outcome.scene, number=1)


@pytest.mark.parametrize("outcome", ["bios-healthy"], indirect=True)
def test_a_healthy_disk_is_not_written_to(outcome: Outcome) -> None:
    assert outcome.ran.exit_code == 0
    assert _hashes(outcome.scene) == outcome.before


@pytest.mark.parametrize("outcome", ["uefi-stick-diagnose"], indirect=True)
def test_diagnosis_names_the_driver_and_writes_nothing(outcome: Outcome) -> None:
    assert "acmeflt.sys" in outcome.ran.after("RK-REPORT")
    assert _hashes(outcome.scene) == outcome.before


@pytest.mark.parametrize("outcome", ["bios-unclean"], indirect=True)
def test_an_unclean_log_is_replayed_and_the_disk_repaired(outcome: Outcome) -> None:
    assert outcome.ran.exit_code == 0
    proof.repaired(outcome.scene)


@pytest.mark.parametrize("outcome", ["uefi-pack"], indirect=True)
def test_a_pack_on_the_medium_moves_the_file_it_names_and_no_other(outcome: Outcome) -> None:
    assert outcome.ran.exit_code == 0
    before = outcome.scene.files[0]
    after = scenes.files(outcome.scene.disk, outcome.scene.disk.windows[0])
    kept = {path for path in after if path.split("/")[0] != proof.FOLDER}
    assert before.keys() - kept == {scenes.FAULTY_CHANNEL}
    assert kept <= before.keys()
    assert (
        scenes.values(outcome.scene.disk, outcome.scene.disk.windows[0])
        == (outcome.scene.values[0])
    )

    done = recoverykit("undo", outcome.scene.disk.path, "--yes")
    assert done.exit_code == 0, done
    again = scenes.files(outcome.scene.disk, outcome.scene.disk.windows[0])
    assert again[scenes.FAULTY_CHANNEL] == before[scenes.FAULTY_CHANNEL]


@pytest.mark.parametrize("outcome", ["bios-tampered"], indirect=True)
def test_a_tampered_medium_is_refused_before_a_disk_is_opened(outcome: Outcome) -> None:
    assert outcome.ran.exit_code == SIGNATURE_REFUSED
    assert "RK-REPORT" not in outcome.ran.text
    assert _hashes(outcome.scene) == outcome.before
