"""A lock says again exactly what it was told, and nothing that is no lock is taken for one."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import need
from winpe import lock
from winpe.apt import Package
from winpe.errors import MediaUsageError
from winpe.lock import Lock

MADE = Lock(
    made=datetime(2026, 11, 24, 19, 0, 1, tzinfo=UTC),
    epoch=1_764_000_000,
    suite="bookworm",
    architecture="x64",
    packages=(
        Package(
            "kmod", "30+20221128-1", "kmod_30+20221128-1_amd64.deb", 95_000, "SHA256:" + "0" * 64
        ),
        Package(
            "libc6", "2:2.36-9+deb12u13", "libc6_2%3a2.36-9_amd64.deb", 1, "SHA256:" + "a" * 64
        ),
    ),
    tools={"xorriso": "1.5.4", "zstd": "1.5.4"},
)
MUTATIONS = 300


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock.save(tmp_path / "media.lock", MADE)
    assert lock.load(tmp_path / "media.lock") == MADE


def test_one_lock_is_one_file(tmp_path: Path) -> None:
    lock.save(tmp_path / "one", MADE)
    lock.save(tmp_path / "two", Lock(*(getattr(MADE, name) for name in MADE.__slots__)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_lock(tmp_path: Path) -> None:
    assert lock.load(tmp_path / "media.lock") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "recoverykit.lock/2"),
        ("made", "yesterday"),
        ("made", None),
        ("epoch", "x"),
        ("packages", 1),
        ("packages", [{}]),
        ("tools", []),
    ],
)
def test_what_is_no_lock(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "media.lock"
    lock.save(path, MADE)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(MediaUsageError, match="is no lock of a recipe") as refused:
        lock.load(path)
    assert "--update-lock" in refused.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../kmod"),
        ("file", "../../x.deb"),
        ("file", "-o.deb"),
        ("digest", ""),
        ("digest", "MD5Sum:" + "0" * 32),
        ("version", "1\n2"),
        ("size", "1"),
        ("size", -1),
    ],
)
def test_a_package_without_a_sound_name_and_hash(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "media.lock"
    lock.save(path, MADE)
    document = json.loads(path.read_text())
    document["packages"][1][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(MediaUsageError, match="is no package with its SHA-256"):
        lock.load(path)


def test_damage_is_told_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "media.lock"
    lock.save(path, MADE)
    content, chance, refused = path.read_bytes(), random.Random(5), 0
    for _ in range(MUTATIONS):
        changed = bytearray(content)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            lock.load(path)
        except MediaUsageError:
            refused += 1
    assert refused > MUTATIONS // 4


@need("xorriso", "zstd", "cpio", "mtools", "mkfs.vfat")
def test_the_versions_of_the_programs_that_write_images() -> None:
    here = lock.tool_versions()
    assert here.keys() == {"xorriso", "zstd", "cpio", "mtools", "mkfs.vfat"}
    assert all(version[0].isdigit() for version in here.values())


def test_another_version_of_a_program_is_told() -> None:
    assert lock.differences(MADE, {"xorriso": "1.5.4"}) == (
        "zstd is not installed (the lock: 1.5.4)",
    )
    assert lock.differences(MADE, {"xorriso": "1.5.6", "zstd": "1.5.4"}) == (
        "xorriso 1.5.6 (the lock: 1.5.4)",
    )
    assert lock.differences(MADE, dict(MADE.tools)) == ()
