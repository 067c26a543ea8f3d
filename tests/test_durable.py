"""The seam: each operation does one thing, refuses to overwrite, and syncs before it returns."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recoverykit import durable
from recoverykit.host.ntfs_metadata import Metadata


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "stage").write_bytes(b"new")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        path.name: path.read_bytes() if path.is_file() else None
        for path in sorted(folder.iterdir())
    }


OLD, STAGE = ("old", b"old"), ("stage", b"new")
PATCHED = [("old", b"OLder"), STAGE]
Operation = Callable[[Path], object]


def _move(folder: Path) -> object:
    durable.move(folder / "old", folder / "moved")
    return None


OPERATIONS: list[tuple[str, Operation, dict[str, bytes | None]]] = [
    ("write", lambda f: durable.write(f / "x", b"new"), dict([OLD, STAGE, ("x", b"new")])),
    ("copy", lambda f: durable.copy(f / "old", f / "x"), dict([OLD, STAGE, ("x", b"old")])),
    ("append", lambda f: durable.append(f / "old", b"er"), dict([("old", b"older"), STAGE])),
    ("patch", lambda f: durable.patch(f / "old", [(1, b"Lder"), (0, b"O")]), dict(PATCHED)),
    ("shorten", lambda f: durable.shorten(f / "old", 1), dict([("old", b"o"), STAGE])),
    ("move", _move, {"moved": b"old", "stage": b"new"}),
    ("remove", lambda f: durable.remove(f / "old"), dict([STAGE])),
    ("make_folder", lambda f: durable.make_folder(f / "x", b"sd"), dict([OLD, STAGE, ("x", None)])),
    ("stamp", lambda f: durable.stamp(f / "old", Metadata(), times=True), dict([OLD, STAGE])),
]


@pytest.mark.parametrize(
    ("operation", "expected"), [pytest.param(run, seen, id=name) for name, run, seen in OPERATIONS]
)
def test_what_it_does_is_synced(
    folder: Path,
    operation: Operation,
    expected: dict[str, bytes | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced: list[str] = []
    after: list[dict[str, bytes | None]] = []

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        after.append(contents(folder))

    monkeypatch.setattr(os, "fsync", note)
    operation(folder)
    assert contents(folder) == expected
    assert after[-1] == expected  # nothing is done after the last sync
    if contents(folder).keys() != {"old", "stage"}:  # a name came or went: so the folder is synced
        assert str(folder) in synced
    else:
        assert str(folder / "old") in synced


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda f: durable.write(f / "old", b"x"), id="write"),
        pytest.param(lambda f: durable.copy(f / "stage", f / "old"), id="copy"),
        pytest.param(lambda f: durable.move(f / "stage", f / "old"), id="move"),
        pytest.param(lambda f: durable.make_folder(f / "old"), id="make_folder"),
    ],
)
def test_nothing_is_overwritten_by_accident(folder: Path, operation: Operation) -> None:
    before = contents(folder)
    with pytest.raises(FileExistsError):
        operation(folder)
    assert contents(folder) == before


def test_links_are_not_followed(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "old")
    (folder / "dangling").symlink_to(folder / "nowhere")
    with pytest.raises(OSError, match="symbolic links"):
        durable.append(folder / "link", b"x")
    with pytest.raises(OSError, match="symbolic links"):
        durable.patch(folder / "link", [(0, b"x")])
    with pytest.raises(OSError, match="symbolic links"):
        durable.shorten(folder / "link", 0)
    with pytest.raises(OSError, match="exists"):
        durable.write(folder / "dangling", b"x")
    assert (folder / "old").read_bytes() == b"old"
    assert not (folder / "nowhere").exists()


def test_a_copy_tells_what_it_wrote(folder: Path) -> None:
    big = os.urandom(3 << 20)
    (folder / "big").write_bytes(big)
    assert durable.copy(folder / "big", folder / "copy") == hashlib.sha256(big).hexdigest()
    assert (folder / "copy").read_bytes() == big


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to a file, in its order; writes are short, as a signal would have it."""
    done: list[str] = []
    write, cut, sync = os.pwrite, os.ftruncate, os.fsync

    def short(descriptor: int, content: bytes, at: int) -> int:
        done.append(f"{at}")
        return write(descriptor, content[:2], at)

    def sized(descriptor: int, size: int) -> None:
        done.append(f"size {size}")
        cut(descriptor, size)

    def synced(descriptor: int) -> None:
        done.append("sync")
        sync(descriptor)

    monkeypatch.setattr(os, "pwrite", short)
    monkeypatch.setattr(os, "ftruncate", sized)
    monkeypatch.setattr(os, "fsync", synced)
    return done


def test_a_patch_is_written_whole_before_it_is_synced(folder: Path, order: list[str]) -> None:
    (folder / "old").write_bytes(b"0123456789ab")
    durable.patch(folder / "old", [(4, b"abc"), (8, b"def")])
    assert (folder / "old").read_bytes() == b"0123abc7defb"
    assert order == ["4", "6", "8", "10", "sync"]


def test_what_grows_gets_its_size_first(folder: Path, order: list[str]) -> None:
    """ntfs-3g killed while it appends leaves an end that cannot be read; not so here."""
    durable.patch(folder / "old", [(1, b"L"), (8, b"def")])
    assert (folder / "old").read_bytes() == b"oLd\0\0\0\0\0def"
    assert order == ["size 11", "sync", "1", "8", "10", "sync"]
    del order[:]
    durable.append(folder / "stage", b"er")
    assert (folder / "stage").read_bytes() == b"newer"
    assert order == ["size 5", "sync", "3", "sync"]
    for make in (
        lambda: durable.write(folder / "x", b"three"),
        lambda: durable.copy(folder / "stage", folder / "y"),
    ):
        del order[:]
        make()
        assert order == ["size 5", "sync", "sync", "sync"]  # content, then the folder


def test_a_patch_makes_no_file_and_shorten_makes_none_longer(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(OSError, match="cannot be shortened to more than it is"):
        durable.shorten(folder / "old", 4)
    with pytest.raises(FileNotFoundError):
        durable.patch(folder / "new", [(0, b"x")])
    with pytest.raises(FileNotFoundError):
        durable.shorten(folder / "new", 0)
    assert contents(folder) == before


def test_stamp_keeps_the_time_where_it_is_asked_to(folder: Path) -> None:
    wanted = Metadata(modified=1_500_000_000_000_000_000)
    durable.stamp(folder / "old", wanted, times=False)
    assert (folder / "old").stat().st_mtime_ns != wanted.modified
    durable.stamp(folder / "old", wanted, times=True)
    assert (folder / "old").stat().st_mtime_ns == wanted.modified


def test_a_file_system_without_descriptors_says_so(folder: Path) -> None:
    assert durable.make_folder(folder / "x", b"descriptor") is False


def test_a_volume_is_written_to_in_place(folder: Path) -> None:
    (folder / "disk").write_bytes(bytes(8))
    durable.overwrite(folder / "disk", [(1, b"ab"), (6, b"c")])
    assert (folder / "disk").read_bytes() == b"\0ab\0\0\0c\0"
    with pytest.raises(FileNotFoundError):
        durable.overwrite(folder / "no disk", [(0, b"x")])
