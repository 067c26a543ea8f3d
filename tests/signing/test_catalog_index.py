"""The index over many catalogs: what it finds, what it cannot read, and what it costs."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import catalog, catalog_index
from signing.catalog_index import Cache, CatalogIndex, File, build, folder
from signing.errors import TamperedError
from signing.verify import Catalogs
from tests.builders import catalogs
from tests.builders.catalogs import Member
from tests.conftest import REAL_DATA
from tests.signing.makers import Shape, certified

KEY = certified(Shape())


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def packed(*names: str) -> bytes:
    """A catalog of files with those contents."""
    return catalogs.catalog([Member(digest(name), f"{name}.sys") for name in names], KEY)


@dataclass(frozen=True)
class Memory:
    """A source that is no file."""

    name: str
    content: bytes

    def open(self) -> AbstractContextManager[io.BytesIO]:
        return io.BytesIO(self.content)


def index(*contents: bytes, cache: Cache | None = None) -> CatalogIndex:
    return build((Memory(f"{n}.cat", raw) for n, raw in enumerate(contents)), cache=cache)


def names(found: CatalogIndex, wanted: bytes) -> list[str]:
    return [ref.name for ref in found.find(wanted)]


# --- what it finds ------------------------------------------------------------------------


def test_a_file_and_the_catalogs_that_list_it() -> None:
    first, second = packed("a", "b"), packed("b", "c")
    found = index(first, second)
    assert names(found, digest("a")) == ["0.cat"]
    assert names(found, digest("b")) == ["0.cat", "1.cat"]
    assert names(found, digest("c")) == ["1.cat"]
    assert names(found, digest("d")) == []
    assert (found.members, found.gaps) == (4, ())
    (ref,) = found.find(digest("a"))
    assert ref.read() == first
    assert ref.digest == hashlib.sha256(first).digest()
    assert catalog.read(catalog.inside(ref.read())).find(digest("a")) is not None


def test_sha1_and_sha256_of_one_file() -> None:
    sha1 = hashlib.sha1(b"x").digest()  # noqa: S324
    found = index(catalogs.catalog(catalogs.file_members("x.sys", sha1, digest("x")), KEY))
    assert names(found, sha1) == names(found, digest("x")) == ["0.cat"]


@pytest.mark.parametrize("wanted", [b"", b"\0", digest("a")[:15], digest("a")[1:] + b"\0"])
def test_what_is_no_digest_of_a_listed_file(wanted: bytes) -> None:
    assert index(packed("a")).find(wanted) == ()


def test_no_catalogs_list_nothing() -> None:
    assert index().find(digest("a")) == ()


def test_the_same_content_twice_is_one_catalog() -> None:
    same = packed("a")
    found = index(same, packed("b"), same)
    assert names(found, digest("a")) == ["0.cat"]
    assert len(found.refs) == 2
    assert found.gaps == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=6))
def test_it_agrees_with_a_dictionary(contents: Sequence[Sequence[str]]) -> None:
    raw = [packed(*each) for each in contents]
    found = index(*raw)
    first = {hashlib.sha256(each).digest(): n for n, each in reversed(list(enumerate(raw)))}
    for name in "abcdefghi":
        expected = [
            f"{n}.cat"
            for n, each in enumerate(contents)
            if name in each and first[hashlib.sha256(raw[n]).digest()] == n
        ]
        assert names(found, digest(name)) == expected


def test_many_in_one_bucket_do_not_hide_each_other() -> None:
    listed = [f"{number}" for number in range(20_000)]  # about five a bucket
    found = index(packed(*listed), packed("x"))
    assert found.members == 20_001
    assert all(names(found, digest(name)) == ["0.cat"] for name in listed[::97])
    assert names(found, digest("x")) == ["1.cat"]


def test_the_order_is_that_of_the_sources() -> None:
    found = index(*(packed(f"only-{n}", *(["both"] if n in (1, 8) else [])) for n in range(9)))
    assert names(found, digest("both")) == ["1.cat", "8.cat"]


def test_a_file_listed_twice_is_kept_once() -> None:
    twice = [Member(digest("a"), "a.sys"), Member(digest("a"), "b.sys")]
    assert index(catalogs.catalog(twice, KEY)).members == 1


def test_bytes_across_two_entries_are_no_digest() -> None:
    plain = index(packed("a"))
    bucket = b"\0\0" + digest("b")[:16] + b"\0\0"
    odd = CatalogIndex(plain.refs, (), 1, (bucket,) * len(plain.buckets))
    assert odd.find(digest("b")) == ()


# --- what it cannot read ------------------------------------------------------------------


def test_what_is_no_catalog_becomes_a_gap() -> None:
    found = index(b"", packed("a"), b"MZ", packed("b")[:-1])
    assert names(found, digest("a")) == ["1.cat"]
    assert [name for name, _ in found.gaps] == ["0.cat", "2.cat", "3.cat"]
    assert all(reason for _, reason in found.gaps)


def test_a_damaged_catalog_adds_nothing() -> None:
    """One whose list is broken behind a good member."""
    raw = packed("a", "b")
    broken = bytearray(raw)
    broken[raw.find(b"\x04\x20" + max(digest("a"), digest("b")))] = 0x05
    found = index(bytes(broken))
    assert len(found.gaps) == 1
    assert found.members == 0
    assert found.find(digest("a")) == found.find(digest("b")) == ()


class Endless(io.RawIOBase):
    """A file that never ends."""

    def __init__(self) -> None:
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self.given += size
        return bytes(size)


@dataclass(frozen=True)
class EndlessSource:
    stream: Endless
    name: str = "endless.cat"

    def open(self) -> AbstractContextManager[Endless]:
        return self.stream


def test_no_more_is_read_than_a_catalog_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "LARGEST", 1 << 20)
    stream = Endless()
    found = build([EndlessSource(stream)])
    assert [name for name, _ in found.gaps] == ["endless.cat"]
    assert "too large" in found.gaps[0][1]
    assert stream.given <= (1 << 20) + 1


def test_the_largest_catalog_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = packed("a")
    monkeypatch.setattr(catalog, "LARGEST", len(raw))
    assert names(index(raw), digest("a")) == ["0.cat"]
    monkeypatch.setattr(catalog, "LARGEST", len(raw) - 1)
    assert len(index(raw).gaps) == 1


def test_there_is_an_end_to_catalogs_and_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_index, "MOST_MEMBERS", 3)
    found = index(packed("a", "b"), packed("c", "d"), packed("e"))
    assert [name for name, _ in found.gaps] == ["1.cat"]
    assert "more than 3" in found.gaps[0][1]
    assert names(found, digest("e")) == ["2.cat"]
    monkeypatch.setattr(catalog_index, "MOST_CATALOGS", 1)
    found = index(packed("a"), packed("b"), packed("c"))
    assert len(found.refs) == 1
    assert [name for name, _ in found.gaps] == ["1.cat"]


def test_when_a_file_is_surely_in_no_catalog() -> None:
    good, bad = Memory("a", packed("a")), Memory("b", b"")
    found: Catalogs = build([good], are_all=True)
    assert found.is_complete
    assert not build([good]).is_complete
    assert not build([good, bad], are_all=True).is_complete


def test_progress_is_told_after_each() -> None:
    seen: list[int] = []
    build([Memory("a", packed("a")), Memory("b", b"")], progress=seen.append)
    assert seen == [1, 2]


# --- the cache ----------------------------------------------------------------------------


def test_a_cache_spares_the_second_reading() -> None:
    raw = packed("a", "b")
    cache = Cache()
    assert names(index(raw, cache=cache), digest("a")) == ["0.cat"]
    assert cache.used == 32
    # What is kept is used: with another entry there, that one is found.
    cache.kept[hashlib.sha256(raw).digest()] = digest("z")[:16]
    again = index(raw, cache=cache)
    assert names(again, digest("z")) == ["0.cat"]
    assert names(again, digest("a")) == []


def test_a_cache_does_not_vouch_for_other_content() -> None:
    cache = Cache()
    index(packed("a"), cache=cache)
    changed = index(packed("b"), cache=cache)
    assert names(changed, digest("a")) == []
    assert names(changed, digest("b")) == ["0.cat"]


def test_a_full_cache_keeps_no_more() -> None:
    cache = Cache(most=32)
    index(packed("a", "b"), packed("c"), cache=cache)
    assert (cache.used, len(cache.kept)) == (32, 1)


# --- folders ------------------------------------------------------------------------------


def test_a_folder(tmp_path: Path) -> None:
    inner = tmp_path / "{F750E6C3-38EE-11D1-85E5-00C04FC295EE}"
    inner.mkdir()
    (inner / "B.CAT").write_bytes(packed("b"))
    (inner / "a.cat").write_bytes(packed("a"))
    (inner / "a.inf").write_bytes(b"not looked at")
    found = build(folder(tmp_path))
    assert [ref.name for ref in found.refs] == [f"{inner.name}/B.CAT", f"{inner.name}/a.cat"]
    assert names(found, digest("a")) == [f"{inner.name}/a.cat"]
    assert found.gaps == ()


def test_a_catalog_that_changed_or_went_away(tmp_path: Path) -> None:
    path = tmp_path / "a.cat"
    path.write_bytes(packed("a"))
    (ref,) = build(folder(tmp_path)).find(digest("a"))
    path.write_bytes(packed("b"))
    with pytest.raises(TamperedError, match="changed"):
        ref.read()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        ref.read()


def test_links_and_devices_are_gaps(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(packed("a"))
    (tmp_path / "link.cat").symlink_to(tmp_path / "real")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.cat")
    found = build(folder(tmp_path))
    assert [name for name, _ in found.gaps] == ["link.cat", "pipe.cat"]
    assert found.find(digest("a")) == ()


def test_folders_are_followed_so_deep(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(catalog_index.DEEPEST + 1):
        deep = deep / "x"
    deep.mkdir(parents=True)
    (deep / "deep.cat").write_bytes(packed("deep"))
    (deep.parent / "near.cat").write_bytes(packed("near"))
    found = build(folder(tmp_path))
    assert found.find(digest("near"))
    assert found.find(digest("deep")) == ()
    ((name, reason),) = found.gaps
    assert name.count("/") == catalog_index.DEEPEST
    assert "too deep" in reason


def test_a_folder_that_is_not_there_is_a_gap(tmp_path: Path) -> None:
    found = build(folder(tmp_path / "none"))
    assert len(found.gaps) == 1
    assert "No such file" in found.gaps[0][1]


def test_a_file_of_a_folder_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / "a.cat").write_bytes(packed("a"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(8):
        build(folder(tmp_path))
        build([File("x", tmp_path)])  # a folder, which is refused after it was opened
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- real ---------------------------------------------------------------------------------


@pytest.mark.skipif(not (REAL_DATA / "signed").is_dir(), reason=f"no signed under {REAL_DATA}")
def test_real_catalogs_all_find_their_members() -> None:
    signed = REAL_DATA / "signed"
    found = build(folder(signed))
    assert found.gaps == ()
    assert len(found.refs) >= 34
    for ref in found.refs:
        listed = catalog.read(catalog.inside(ref.read()))
        for member in listed.members():
            for each in member.digests.values():
                assert ref in found.find(each)
    dxcore = hashlib.sha256((signed / "ralphje_DXCore.dll").read_bytes()).digest()
    assert found.find(dxcore) == ()  # an executable counts by its Authenticode digest
