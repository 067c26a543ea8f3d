"""Repairs for the power to fail in, on real NTFS, and what recovering has to bring back."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from recoverykit.formats import ntfs_folder
from recoverykit.formats.ntfs_volume import NtfsVolume
from recoverykit.host import blocks
from recoverykit.model import (
    FileState,
    KeyChange,
    Plan,
    QuarantineFile,
    RegistryChange,
    RegistryData,
    RegistryKey,
    ValueChange,
)
from recoverykit.repair import hives, registry_plan, transaction, undo
from recoverykit.repair import mend as mending
from recoverykit.repair import plan as planning
from recoverykit.repair.state import file_state
from tests.builders import wof
from tests.formats.hives import content
from tests.repair import allocation, ntfs, target

SIZE = 32 << 20
VALUES, BYTES = 60, 9000  # of the plan that makes the hive many times as long
GOOD = b"MZ a good driver" * 700
LOST = "Windows/System32/drivers/lost.sys"
GOOD_DRIVER, TWIN = "Windows/System32/drivers/good.sys", "Windows/WinSxS/good.sys"
SUPPLY = {hashlib.sha256(GOOD).hexdigest(): GOOD}


class NotRecovered(Exception):  # noqa: N818 (an outcome, not an error of the test's)
    """What stands after a cut and a recovery is not what has to."""


def _nothing(_: Path) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    plan: Callable[[Path], Plan] = target.plan
    prepare: Callable[[Path], None] = _nothing
    finish: Callable[[Path], None] = _nothing  # after all files have their metadata
    since: Callable[[Path], None] | None = None  # what Windows does between repair and undo
    supply: Mapping[str, bytes] = field(default_factory=dict)

    def make(self, image: Path) -> None:
        ntfs.make(image, SIZE)
        with ntfs.mounted(image) as volume:
            self.prepare(volume.path)
            ntfs.dress(volume.path)
            self.finish(volume.path)

    def apply(self, mount: Path) -> None:
        transaction.apply(
            target.install(mount),
            self.plan(mount),
            now=target.NOW,
            report=b"{}",
            supply=self.supply,
        )

    def look(self, mount: Path) -> dict[str, object]:
        """All that has to be back: of a hive that Windows has written since, what it says."""
        state: dict[str, object] = dict(target.state(mount))
        if self.since is None:
            return state
        loaded, _ = hives.load(mount / target.SYSTEM)
        said = {key: sorted(values) for key, (_, values) in content(loaded).items()}
        logs = [name for name in state if name.startswith(f"{target.SYSTEM}.LOG")]
        kept = {name: what for name, what in state.items() if name not in logs}
        was = target.state(mount)[target.SYSTEM]
        return {**kept, target.SYSTEM: (repr(said), *was[1:])}


# --- plans --------------------------------------------------------------------------------


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
    assert made is not None
    return made


def replacing(mount: Path, path: str) -> Plan:
    (digest,) = SUPPLY
    new = FileState(path, digest, len(GOOD))
    return planning.replacing(target.install(mount), target.suspect(), path, new, "DriverStore")


def several(mount: Path) -> Plan:
    """Three files of one folder and one of another go with the service."""
    return _also(mount, *_others())


def linked(mount: Path) -> Plan:
    return _also(mount, GOOD_DRIVER)


def _also(mount: Path, *paths: str) -> Plan:
    made = target.plan(mount)
    more = [file_state(mount, path) for path in paths]
    actions = (*made.actions, *(QuarantineFile(s.path, s.sha256, s.size) for s in more))
    return replace(made, actions=actions, preconditions=(*made.preconditions, *more))


def _others() -> tuple[str, ...]:
    drivers = "Windows/System32/drivers"
    return (f"{drivers}/acme helper.dll", f"{drivers}/acme2.sys", "Windows/System32/acme.dll")


# --- what stands before -------------------------------------------------------------------


def _no_logs(mount: Path) -> None:
    for ending in (".LOG1", ".LOG2"):
        (mount / f"{target.SYSTEM}{ending}").unlink()


def _with_others(mount: Path) -> None:
    for number, path in enumerate(_others()):
        (mount / path).write_bytes(b"MZ" + bytes([number]) * 5000)


def _linked(mount: Path) -> None:
    """As Windows keeps its own drivers: one file, linked from the component store."""
    twin = mount / TWIN
    twin.parent.mkdir()
    os.link(mount / GOOD_DRIVER, twin)


def _packed(mount: Path) -> None:
    path = mount / target.DRIVER
    os.setxattr(path, "system.ntfs_reparse_data", wof.reparse("XPRESS4K"))


def _inner(mount: Path) -> None:
    """Other names come until the driver's own stands in an inner node of the folder's index, whose
    removal and return move other names about."""
    folder, rng = (mount / target.DRIVER).parent, random.Random(1)
    for number in range(400):
        (folder / f"acme filte{rng.choice('qs')} {rng.random()} {number}, long.sys").touch()
        if not _in_leaf(mount, folder):
            return
    raise AssertionError("the name always stands in a leaf")


def _in_leaf(mount: Path, folder: Path) -> bool:
    device = mount.with_name(mount.name.removesuffix(".mnt"))
    with blocks.reader(device) as (read, _):
        volume = NtfsVolume.open(read)
        names = ntfs_folder.places(volume, folder.stat().st_ino)
        return names[Path(target.DRIVER).name].leaf


def _windows_ran(mount: Path) -> None:
    target.set_value(mount, "ControlSet001\\Services\\good", "Start", 3)


SCENES = (
    Scene("numbers"),
    Scene("rich", target.rich_plan),
    Scene("rich, no logs", target.rich_plan, _no_logs),
    Scene("rich, dirty, grew", target.rich_plan, partial(target.soil, grow=True)),
    Scene("grows", grown_plan),
    Scene("grows, dirty", grown_plan, target.soil),
    Scene("by value", since=_windows_ran),
    Scene("by value, rich", target.rich_plan, since=_windows_ran),
    Scene("several files", several, _with_others),
    Scene("inner node", prepare=_inner),
    Scene("linked", linked, finish=_linked),
    Scene("packed", finish=_packed),
    Scene("replaced", partial(replacing, path=target.DRIVER), supply=SUPPLY),
    Scene(
        "replaced, linked",
        partial(replacing, path=GOOD_DRIVER),
        finish=_linked,
        supply=SUPPLY,
    ),
    Scene("put back", partial(replacing, path=LOST), supply=SUPPLY),
)


# --- recovering ---------------------------------------------------------------------------


def mend(image: Path) -> tuple[str, ...]:
    return mending.make_whole(image, lambda: _read_only(image))


@contextmanager
def _read_only(image: Path) -> Iterator[Path]:
    with ntfs.mounted(image, ",ro") as volume:
        yield volume.path


def take_back(mount: Path) -> tuple[str, ...]:
    """What the next run of the medium does, and the states it met with. Raises NotRecovered."""
    seen = transaction.history(mount)
    for one in seen:
        if one.state == "damaged":
            raise NotRecovered(f"damaged: {one.summary}")
        if one.state != "undone":
            undo.undo(mount, one.id)
    return tuple(one.state for one in seen) or ("nothing begun",)


def recover(image: Path, scene: Scene, expected: object) -> tuple[str, ...]:
    """Recover and look. Raises NotRecovered, and whatever the tool raises."""
    said = mend(image)
    with ntfs.mounted(image) as volume:
        states = take_back(volume.path)
    if wrong := allocation.problems(image):
        raise NotRecovered(f"allocation: {wrong[:3]}")
    with ntfs.mounted(image) as volume:
        dead = sorted(_dead_names(volume.path))
        if lost := [name for name in dead if not name.startswith("RecoveryKit/")]:
            raise NotRecovered(f"names of no file: {lost}")
        now = scene.look(volume.path)
        if now != expected:
            raise NotRecovered(f"not as it was: {differences(expected, now)}")
    with ntfs.mounted(image) as volume:
        scene.apply(volume.path)
    checked = subprocess.run(["ntfsfix", "-n", image], check=False, capture_output=True)
    if checked.returncode:
        raise NotRecovered(checked.stdout.decode())
    return (*said, *states, *(["a dead name in our folder"] if dead else []))


def differences(old: object, new: object) -> list[str]:
    """The names of which something differs: bytes, descriptor, attributes or short name."""
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _dead_names(mount: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(mount):
        for name in (*folders, *files):
            path = Path(folder, name)
            try:
                path.lstat()
            except OSError:
                yield path.relative_to(mount).as_posix()
