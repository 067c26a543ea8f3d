"""The same scenes where Windows has run since: undo goes value by value, and leaves its changes.

In a folder instead of a volume: what NTFS keeps about files is test_golden's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recoverykit.formats.hive import Hive
from recoverykit.model import Plan
from recoverykit.repair import transaction, undo
from tests.builders import registry
from tests.conftest import need
from tests.golden import scene as golden
from tests.golden import tree
from tests.golden.scene import Scene
from tests.golden.scenes import SCENES
from tests.golden.volume import Hivex
from tests.independent import registry as independent
from tests.independent.readers import HIVEX, available
from tests.repair.target import NOW

pytestmark = [
    need("hivexsh"),
    pytest.mark.skipif(not available(HIVEX), reason="not installed: python3-hivex"),
]
NOTE = ("ControlSet001\\Services\\good", "Since")
WITH_REGISTRY = [
    one
    for one in SCENES
    if one.values and not one.hive and not one.refused
    if not any(file and (file.packed or file.streams) for file in one.files.values())
]


@pytest.fixture(scope="module")
def hivex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hivex]:
    reader = Hivex(tmp_path_factory.mktemp("hivex"))
    yield reader
    reader.close()


@pytest.mark.parametrize("scene", [pytest.param(one, id=one.id) for one in WITH_REGISTRY])
def test_undo_leaves_what_windows_did(scene: Scene, tmp_path: Path, hivex: Hivex) -> None:
    root = tmp_path / "disk"
    golden.populate(scene, root)
    before = _files(root)
    on = golden.install(tmp_path, root)
    plan = golden.plan(scene, on)
    assert isinstance(plan, Plan)
    transaction.apply(on, plan, now=NOW, supply=scene.asked.supply)

    hive = root / scene.path(tree.SYSTEM)
    independent.edit(hive, [registry.change(NOTE[0], {NOTE[1]: 7})])
    undo.undo(root)

    assert _without_hives(scene, _files(root)) == _without_hives(scene, before)
    old, new = hivex.read(before[scene.path(tree.SYSTEM)]), hivex.read(hive.read_bytes())
    assert new.values == {**old.values, NOTE: (4, b"\7\0\0\0")}
    assert new.written.keys() == old.written.keys()
    assert _kept(hive.read_bytes()) == _kept(before[scene.path(tree.SYSTEM)])


def _files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "RecoveryKit" not in path.parts
    }


def _without_hives(scene: Scene, files: dict[str, bytes]) -> dict[str, bytes]:
    ours = {scene.path(name) for name in (tree.SYSTEM, tree.LOG1, tree.LOG2)}
    return {name: content for name, content in files.items() if name not in ours}


def _kept(image: bytes) -> dict[str, tuple[object, ...]]:
    """What hivex does not tell of a key: its descriptor and its class."""
    found: dict[str, tuple[object, ...]] = {}
    pending = [Hive(image).root]
    while pending:
        key = pending.pop()
        found[key.path] = (key.security, key.class_name)
        pending += key.subkeys()
    return found
