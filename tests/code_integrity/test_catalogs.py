"""The catalogs of one Windows: indexed once, and never taken for all where one is missing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recoverykit.code_integrity.catalogs import Shelf
from signing.errors import TamperedError
from tests.boot.bootable import CATALOGS, SYSTEM32, Bootable
from tests.builders import authenticode, catalogs
from tests.builders.catalogs import Member
from tests.conftest import read_real, real

FIRST, SECOND = hashlib.sha256(b"one").digest(), hashlib.sha256(b"two").digest()


def listing(*digests: bytes) -> bytes:
    return catalogs.catalog([Member(each) for each in digests], authenticode.publisher())


@pytest.fixture
def shelved(tree: Bootable) -> Bootable:
    """One whose catalogs can be read: two of them."""
    (tree.root / CATALOGS / "nt5.cat").unlink()
    tree.put(tree.root / CATALOGS / "one.cat", listing(FIRST))
    tree.put(tree.root / CATALOGS / "two.CAT", listing(SECOND, FIRST))
    return tree


def names(shelf: Shelf, digest: bytes) -> list[str]:
    return [each.name for each in shelf.find(digest)]


def reasons(shelf: Shelf) -> list[str]:
    assert all(each.reason.endswith(".") and each.source.path for each in shelf.gaps)
    return [f"{each.source.path}: {each.reason}" for each in shelf.gaps]


def test_catalogs_by_what_they_list(shelved: Bootable) -> None:
    shelf = Shelf(shelved.install)
    asked = [shelf.was_asked]
    assert sorted(names(shelf, FIRST)) == [f"{CATALOGS}/one.cat", f"{CATALOGS}/two.CAT"]
    assert names(shelf, SECOND) == [f"{CATALOGS}/two.CAT"]
    assert names(shelf, bytes(32)) == []
    assert [*asked, shelf.was_asked] == [False, True]
    assert (shelf.count, shelf.is_complete, shelf.gaps) == (2, True, [])
    (found,) = shelf.find(SECOND)
    assert found.read() == (shelved.root / CATALOGS / "two.CAT").read_bytes()


def test_they_are_read_once(shelved: Bootable) -> None:
    """Whoever asks later gets what lay there first, or is told that it changed."""
    told: list[int] = []
    shelf = Shelf(shelved.install, progress=told.append)
    assert told == []
    (found,) = shelf.find(SECOND)
    seen = list(told)
    assert seen[-1:] == [2]
    shelved.put(shelved.root / CATALOGS / "three.cat", listing(SECOND))
    shelved.put(shelved.root / CATALOGS / "two.CAT", listing(bytes(32)))
    assert names(shelf, SECOND) == [f"{CATALOGS}/two.CAT"]
    assert told == seen
    with pytest.raises(TamperedError, match="changed"):
        found.read()
    (shelved.root / CATALOGS / "two.CAT").unlink()
    with pytest.raises(OSError, match=r"No such file|missing|two\.CAT"):
        found.read()


def test_a_catalog_that_cannot_be_read(shelved: Bootable) -> None:
    shelved.put(shelved.root / CATALOGS / "bad.cat", b"0\x82" + bytes(200))
    shelf = Shelf(shelved.install)
    assert not shelf.is_complete
    assert len(names(shelf, FIRST)) == 2  # the others count all the same
    (told,) = reasons(shelf)
    assert told.startswith(f"{CATALOGS}/bad.cat: What it lists is not known: ")


def test_links_and_folders_are_no_catalogs(shelved: Bootable) -> None:
    (shelved.root / CATALOGS / "link.cat").symlink_to("one.cat")
    (shelved.root / CATALOGS / "folder.cat").mkdir()
    shelved.put(shelved.root / CATALOGS / "notes.txt", b"no catalog")
    shelf = Shelf(shelved.install)
    assert (shelf.count, shelf.is_complete) == (2, True)


def test_a_windows_without_catalogs_is_not_believed(shelved: Bootable) -> None:
    for name in ("one.cat", "two.CAT"):
        (shelved.root / CATALOGS / name).unlink()
    empty = Shelf(shelved.install)
    assert (empty.count, empty.is_complete, empty.gaps) == (0, False, [])
    (shelved.root / CATALOGS).rmdir()
    missing = Shelf(shelved.install)
    assert not missing.is_complete
    (told,) = reasons(missing)
    assert told.endswith("This folder is missing.")


def test_catalogs_of_programs_are_no_kernels(shelved: Bootable) -> None:
    other = f"{SYSTEM32}/CatRoot/{{127D0A1D-4EF2-11D1-8608-00C04FC295EE}}"
    shelved.put(shelved.root / other / "three.cat", listing(bytes(32)))
    assert names(Shelf(shelved.install), bytes(32)) == []


def test_folders_of_this_host(shelved: Bootable, tmp_path: Path) -> None:
    """They help to find, and say nothing of what a Windows has."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "own.cat").write_bytes(listing(bytes(32)))
    alone = Shelf(folders=(folder,))
    assert len(names(alone, bytes(32))) == 1
    assert not alone.is_complete
    both = Shelf(shelved.install, (folder,))
    assert (len(names(both, bytes(32))), both.count, both.is_complete) == (1, 3, True)
    assert Shelf().count == 0
    assert not Shelf().is_complete


def test_a_folder_of_this_host_that_is_missing(shelved: Bootable, tmp_path: Path) -> None:
    shelf = Shelf(shelved.install, (tmp_path / "nothing",))
    assert len(names(shelf, FIRST)) == 2
    assert not shelf.is_complete
    assert reasons(shelf)


_INF = "signed/whql_virtio_w11/viostor.inf"


@pytest.mark.parametrize("sample", real(_INF))
def test_a_real_catalog(sample: Path, shelved: Bootable) -> None:
    shelved.put(shelved.root / CATALOGS / "oem1.cat", sample.with_suffix(".cat").read_bytes())
    shelf = Shelf(shelved.install)
    assert names(shelf, hashlib.sha256(read_real(sample)).digest()) == [f"{CATALOGS}/oem1.cat"]
