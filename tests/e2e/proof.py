"""What a repair may change on a disk, judged from outside: everything else is an accusation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tests.builders.disk import DiskImage, Partition
from tests.e2e import scenes
from tests.independent import registry
from tests.independent.snapshot import Entry

DWORD = 4
BOOT, DISABLED = "00000000", "04000000"
FOLDER = "RecoveryKit"
CONFIG = "Windows/System32/config"


Change = tuple[registry.Value | None, registry.Value | None]


def repaired(
    scene: scenes.Scene,
    number: int = 0,
    driver: str = scenes.DRIVER,
    also: Mapping[str, Change] | None = None,
) -> str:
    """Exactly the planned change was made to one volume; returns the quarantined file's path.

    `also`: values of the registry beside Start, before and after.
    """
    partition = scene.disk.windows[number]
    after = scenes.files(scene.disk, partition)
    before = scene.files[number]
    quarantined = _quarantined(after, before[driver], Path(driver).name)
    _only_start_changed(scene, partition, number, also or {})
    _rest_unchanged(before, after, driver)
    return quarantined


def _quarantined(after: dict[str, Entry], file: Entry, name: str) -> str:
    found = [
        path
        for path in after
        if path.startswith(f"{FOLDER}/") and "/quarantine/" in path and path.endswith(name)
    ]
    assert len(found) == 1, f"{name} is not in the quarantine: {sorted(after)[:40]}"
    moved = after[found[0]]
    assert (moved.sha256, moved.security, moved.attributes) == (
        file.sha256,
        file.security,
        file.attributes,
    )
    return found[0]


def _only_start_changed(
    scene: scenes.Scene, partition: Partition, number: int, also: Mapping[str, Change]
) -> None:
    after = scenes.values(scene.disk, partition)
    changed = registry.changed_values(scene.values[number], after)
    name = f"ControlSet001\\Services\\{scenes.SERVICE}\\Start"
    assert changed == {name: ((DWORD, BOOT), (DWORD, DISABLED)), **also}


def _rest_unchanged(before: dict[str, Entry], after: dict[str, Entry], driver: str) -> None:
    assert driver not in after
    kept = {path: entry for path, entry in after.items() if path.split("/")[0] != FOLDER}
    hive = f"{CONFIG}/SYSTEM"
    expected = before.keys() - {driver}
    assert kept.keys() == expected, kept.keys() ^ expected
    # The folders whose entries changed have a new modification time, as in Windows; the hive
    # has new content. Everything else, byte for byte with its metadata.
    touched = {".", hive, CONFIG, str(Path(driver).parent), f"{hive}.LOG1", f"{hive}.LOG2"}
    differing = {path for path in kept if kept[path] != before[path]} - touched
    assert not differing, {path: (before[path], kept[path]) for path in sorted(differing)}
    for path in touched:
        assert _metadata(kept[path]) == _metadata(before[path]), path


def _metadata(entry: Entry) -> tuple[bytes, bytes, int, bytes]:
    """Creation time, security, attributes, DOS name: kept even where content changes."""
    return entry.modified[:8], entry.security, entry.attributes, entry.dos_name


def undone(scene: scenes.Scene, number: int = 0) -> None:
    """Every file is back: content, times, security, attributes, names, streams."""
    before = scene.files[number]
    after = scenes.files(scene.disk, scene.disk.windows[number])
    kept = {path: entry for path, entry in after.items() if path.split("/")[0] != FOLDER}
    assert kept.keys() == before.keys(), kept.keys() ^ before.keys()
    folders = {".", CONFIG, str(Path(scenes.DRIVER).parent)}
    differing = {path for path in kept if kept[path] != before[path]} - folders
    assert not differing, {path: (before[path], kept[path]) for path in sorted(differing)}
    for path in folders:
        assert _metadata(kept[path]) == _metadata(before[path]), path


def volume_sha256(image: DiskImage, partition: Partition) -> str:
    """Of a partition's bytes: an installation that was not touched has the same."""
    digest = hashlib.sha256()
    with image.path.open("rb") as file:
        file.seek(partition.offset)
        left = partition.size
        while left:
            block = file.read(min(1 << 20, left))
            assert block
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
