"""Every scene: applied, compared with its table, taken back, compared with what was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from recoverykit.errors import RecoveryKitError, TargetRefusedError
from recoverykit.model import Plan, Refusal, TransactionInfo
from recoverykit.repair import transaction, undo
from tests.builders import hive_check
from tests.builders.hive import Raw
from tests.conftest import mounts, need
from tests.golden import scene as golden
from tests.golden import tree, volume
from tests.golden.scene import Scene
from tests.golden.scenes import SCENES
from tests.golden.volume import Entry, Hivex, Look, Registry
from tests.independent.readers import HIVEX, available
from tests.repair.ntfs import DRIVER_SECURITY
from tests.repair.target import NOW

pytestmark = [
    mounts,
    need("mkntfs", "ntfs-3g", "ntfscat", "ntfsfix"),
    pytest.mark.skipif(not available(HIVEX), reason="not installed: python3-hivex"),
    pytest.mark.disk,
]


@pytest.fixture(scope="module")
def hivex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hivex]:
    reader = Hivex(tmp_path_factory.mktemp("hivex"))
    yield reader
    reader.close()


def test_there_are_enough_scenes() -> None:
    assert len({scene.id for scene in SCENES}) == len(SCENES) >= 30


@pytest.mark.parametrize("scene", [pytest.param(one, id=one.id) for one in SCENES])
def test_golden(scene: Scene, tmp_path: Path, hivex: Hivex) -> None:
    image = tmp_path / "disk.img"
    golden.build(scene, image)
    before = volume.look(image)

    plan = _apply(scene, image)
    after = volume.look(image)
    _require_files(scene, before, after)
    _require_registry(scene, hivex, before, after)
    _require_decisions(scene, plan)

    if not scene.refused:
        with volume.mounted(image, write=True) as root:
            assert undo.undo(root).state == "undone"
    assert volume.look(image) == before
    volume.require_sound(image)


COPIED = ("a plain boot-start driver", "a long name with a short one", "read-only, hidden, system")


@pytest.mark.parametrize(
    "scene", [pytest.param(one, id=one.id) for one in SCENES if one.id in COPIED]
)
def test_undo_from_the_copy(scene: Scene, tmp_path: Path) -> None:
    """Somebody emptied the quarantine: another file, but with everything of the old one."""
    image = tmp_path / "disk.img"
    golden.build(scene, image)
    before = volume.look(image)
    _apply(scene, image)
    with volume.mounted(image, write=True) as root:
        (quarantined,) = root.glob("RecoveryKit/*/quarantine/*")
        quarantined.unlink()
        assert undo.undo(root).state == "undone"
    assert volume.look(image) == before


def test_a_compressed_file_has_no_copy(tmp_path: Path) -> None:
    """What cannot be read was not copied: undo says so, and changes nothing."""
    (scene,) = (one for one in SCENES if one.id == "compressed by CompactOS")
    image = tmp_path / "disk.img"
    golden.build(scene, image)
    _apply(scene, image)
    with volume.mounted(image, write=True) as root:
        (quarantined,) = root.glob("RecoveryKit/*/quarantine/*")
        quarantined.unlink()
    before = volume.look(image)
    with (
        volume.mounted(image, write=True) as root,
        pytest.raises(TargetRefusedError, match="nor its copy"),
    ):
        undo.undo(root)
    assert volume.look(image) == before


def _apply(scene: Scene, image: Path) -> Plan | Refusal:
    with volume.mounted(image, write=True) as root:
        on = golden.install(image, root)
        plan = golden.plan(scene, on)
        if isinstance(plan, Refusal):
            assert scene.refused
            assert scene.refused in plan.reason
            return plan
        supply = scene.asked.supply
        if scene.refused:
            with pytest.raises(RecoveryKitError, match=scene.refused):
                transaction.apply(on, plan, now=NOW, supply=supply)
        else:
            assert isinstance(transaction.apply(on, plan, now=NOW, supply=supply), TransactionInfo)
        return plan


# --- files --------------------------------------------------------------------------------


def _require_files(scene: Scene, before: Look, after: Look) -> None:
    moved = {scene.path(name) for name in scene.moved}
    made = {scene.path(name) for name in scene.made}
    assert before.files.keys() - after.files.keys() == moved
    assert after.files.keys() - before.files.keys() == made
    changed = {
        name for name in before.files.keys() - moved if before.files[name] != after.files[name]
    }
    edited = _edited(scene)
    replaced = {scene.path(name) for name in scene.replaced}
    parted = {other for name in moved | replaced for other in before.files[name].same}
    assert changed == edited | replaced | parted
    for name in edited:
        _require_only(before.files[name], after.files[name], {"content", "size", "modified"})
    for name in replaced:
        _require_replaced(scene, before.files[name], after.files[name])
    for name in parted - moved - replaced:
        _require_only(before.files[name], after.files[name], {"same"})
    for name in made:
        assert after.files[name].content == hashlib.sha256(scene.asked.put).hexdigest()
        assert after.files[name].security == DRIVER_SECURITY


def _edited(scene: Scene) -> set[str]:
    """Numbers are written over where they stand; anything else goes through the hive's log."""
    if not scene.values and not scene.keys:
        return set()
    sizes = [{one and len(one.data) for one in states} for states in scene.values.values()]
    logged = scene.keys or any(one != {4} for one in sizes)
    return {scene.path(name) for name in (tree.SYSTEM, *((tree.LOG1,) if logged else ()))}


def _require_replaced(scene: Scene, old: Entry, new: Entry) -> None:
    """Another file, which looks the same but for how its bytes are stored."""
    free = {"content", "size", "modified", "reparse", "streams", "same", "links"}
    _require_only(old._replace(attributes=old.attributes & ~tree.STORAGE), new, free)
    assert new.content == hashlib.sha256(scene.asked.put).hexdigest()
    assert (new.reparse, new.streams, new.same) == (b"", (), ())


def _require_only(old: Entry, new: Entry, free: set[str]) -> None:
    differ = {name for name, value in old._asdict().items() if value != getattr(new, name)}
    assert differ <= free


# --- registry -----------------------------------------------------------------------------


def _require_registry(scene: Scene, hivex: Hivex, before: Look, after: Look) -> None:
    assert before.hives.keys() == after.hives.keys()
    for name, hive in after.hives.items():
        if name != scene.path(tree.SYSTEM):
            assert hivex.read(hive) == hivex.read(before.hives[name])
            continue
        old = hivex.read(scene.whole())
        if not scene.refused:
            assert hive_check.problems(hive) == []
            _require_changes(scene, old, hivex.read(hive))


def _require_changes(scene: Scene, old: Registry, new: Registry) -> None:
    gone = {key for key in old.written if any(_is_in(key, root) for root in scene.keys)}
    assert new.written.keys() == old.written.keys() - gone
    differ = {
        f"{key}!{name}": (old.values.get((key, name)), new.values.get((key, name)))
        for key, name in old.values.keys() | new.values.keys()
        if key not in gone and old.values.get((key, name)) != new.values.get((key, name))
    }
    assert differ == _expected(scene)
    written = {key.rpartition("!")[0] for key in scene.values}
    written |= {key.rpartition("\\")[0] for key in scene.keys}
    assert {key for key in new.written if new.written[key] != old.written[key]} == written


def _expected(scene: Scene) -> Mapping[str, tuple[object, object]]:
    return {name: (_plain(was), _plain(becomes)) for name, (was, becomes) in scene.values.items()}


def _plain(state: Raw | None) -> tuple[int, bytes] | None:
    return (state.type, state.data) if state is not None else None


def _is_in(key: str, root: str) -> bool:
    return key == root or key.startswith(f"{root}\\")


# --- what is said -------------------------------------------------------------------------


def _require_decisions(scene: Scene, plan: Plan | Refusal) -> None:
    """Everything that changes is told, and so is what stays although it names the driver."""
    if isinstance(plan, Refusal):
        return
    told = {one.where for one in plan.decisions if one.changed}
    assert told >= {name.replace("!", "\\") for name in scene.values}
    assert told >= {*scene.keys, *map(scene.path, (*scene.moved, *scene.replaced, *scene.made))}
    stays = [(one.what, one.where) for one in plan.decisions if not one.changed]
    assert len(stays) == len(scene.stays)
    for (what, where), (said, at) in zip(sorted(scene.stays), sorted(stays), strict=True):
        assert what == said
        assert at.endswith(where)
