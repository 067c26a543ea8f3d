"""Executables as signatures see them: layout, digests by the document's steps, pages, tables."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import image, indirect_data, signed_data
from signing.der import without_filling
from signing.errors import MalformedError
from signing.image import Image, Section
from tests.builders import pe, signed
from tests.conftest import REAL_DATA, read_real, real
from tests.signing import real_signers

MACHINES = ("x64", "x86", "arm64")
_HEADERS = 0x400  # of the stubs of builders.pe
_OPTIONAL = 0x40 + 24


def read(content: bytes) -> Image:
    return image.read(io.BytesIO(content))


def digest(content: bytes, algorithm: str = "sha256") -> bytes:
    stream = io.BytesIO(content)
    return image.digests(stream, image.read(stream), [algorithm])[algorithm]


# --- layout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_layout_of_a_stub(machine: str) -> None:
    content = pe.driver({"FileVersion": "1.2.3.4"}, machine=machine, exports=["A"])
    found = read(content)
    wide = machine != "x86"
    assert (found.machine, found.subsystem) == (machine, pe.NATIVE)
    assert found.checksum_at == _OPTIONAL + 64
    assert found.directory_at == _OPTIONAL + (144 if wide else 128)
    assert (found.headers_size, found.size) == (_HEADERS, len(content))
    assert [each.name for each in found.sections] == [".text", ".rsrc", ".edata"]
    assert found.sections[0] == Section(".text", _HEADERS, 0x200)
    assert found.sections[-1].start + found.sections[-1].size == len(content)
    assert (found.table_at, found.table_size, found.is_signed) == (0, 0, False)
    assert found.oddities == ()


@pytest.mark.parametrize("machine", MACHINES)
def test_layout_of_a_signed_stub(machine: str) -> None:
    whole = signed.stub(machine=machine)
    content = signed.with_table(whole, signed.entry(b"anything"))
    found = read(content)
    assert (found.table_at, found.table_size, found.is_signed) == (len(whole), 16, True)
    assert found.oddities == ()


@pytest.mark.parametrize(
    ("number", "name"),
    [(0x14C, "x86"), (0x8664, "x64"), (0xAA64, "arm64"), (0x1C4, "arm"), (0x200, "ia64")],
)
def test_machines(number: int, name: str) -> None:
    assert read(_patched(0x44, "<H", number)).machine == name


def test_a_machine_of_no_windows() -> None:
    assert read(_patched(0x44, "<H", 0x5064)).machine == "0x5064"  # RISC-V


def _patched(at: int, form: str, *values: int, content: bytes | None = None) -> bytes:
    made = bytearray(signed.stub() if content is None else content)
    struct.pack_into(form, made, at, *values)
    return bytes(made)


def _section(number: int) -> int:
    """Where a section's size and start in the file lie, of a 64-bit stub."""
    return _OPTIONAL + 240 + 40 * number + 16


REFUSED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"MZ is not enough",
    "cut in its headers": lambda: signed.stub()[:300],
    "cut in a section": lambda: signed.stub()[:-1],
    "another mark": lambda: b"ZM" + signed.stub()[2:],
    "its header far away": lambda: _patched(60, "<I", 0x20000),
    "its header behind the end": lambda: _patched(60, "<I", 0xFFF0),
    "no PE": lambda: _patched(0x40, "<I", 0),
    "a header of a ROM": lambda: _patched(_OPTIONAL, "<H", 0x107),
    "97 sections": lambda: _patched(0x46, "<H", 97),
    "a section table behind the headers": lambda: _patched(0x46, "<H", 60),
    "headers longer than the file": lambda: _patched(_OPTIONAL + 60, "<I", 1 << 20),
    "headers shorter than they are": lambda: _patched(_OPTIONAL + 60, "<I", 0x100),
    "a section in the headers": lambda: _patched(_section(0), "<II", 0x200, 0x200),
    "a section behind the end": lambda: _patched(_section(1), "<II", 0x200, 1 << 20),
    "a section across the end": lambda: _patched(_section(1), "<I", 1 << 20),
    "sections that overlap": lambda: _patched(_section(1), "<II", 0x200, _HEADERS + 0x100),
    "a section across all numbers": lambda: _patched(_section(1), "<II", 2**32 - 1, 2**32 - 1),
    "a table in a section": lambda: signed.with_table(signed.stub(), bytes(64), at=_HEADERS),
    "a table in the headers": lambda: signed.with_table(signed.stub(), bytes(64), at=0x80),
    "a table behind the end": lambda: signed.with_table(signed.stub(), bytes(64), at=1 << 20),
    "a table across the end": lambda: signed.with_table(signed.stub(), bytes(64), size=72),
    "a table larger than any": lambda: signed.with_table(
        signed.stub(), bytes(64), size=image.LARGEST_TABLE + 8
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_lies_about_its_extent_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        read(REFUSED[name]())


ODD: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "an overlay": (lambda: signed.stub() + b"setup data", []),
    "a gap": (lambda: _gap(), ["bytes before 0x800 belong to no section"]),
    "behind the table": (
        lambda: signed.with_table(signed.stub(), signed.entry(b"x" * 8)) + b"trailing",
        ["8 bytes lie behind its signature"],
    ),
    "no multiple of eight": (
        lambda: signed.with_table(signed.stub() + b"ev", signed.entry(b"x" * 8)),
        ["its signature does not begin at a multiple of 8 bytes"],
    ),
}


def _gap() -> bytes:
    """The second section 512 bytes later, and something before it."""
    content = pe.driver({"FileVersion": "1.2.3.4"})
    assert struct.unpack_from("<II", content, _section(1))[1] == 0x600
    moved = _patched(_section(1), "<II", len(content) - 0x600, 0x800, content=content)
    return moved[:0x600] + b"hidden".ljust(0x200, b"\0") + moved[0x600:]


@pytest.mark.parametrize("name", ODD)
def test_oddities_are_told(name: str) -> None:
    make, told = ODD[name]
    assert list(read(make()).oddities) == told


def test_few_directories() -> None:
    """One without an entry for the table is hashed whole, but for its checksum."""
    content = _patched(_OPTIONAL + 108, "<I", 4)
    found = read(content)
    assert (found.directory_at, found.is_signed) == (0, False)
    expected = content[: found.checksum_at] + content[found.checksum_at + 4 :]
    assert digest(content) == hashlib.sha256(expected).digest()


# --- digests --------------------------------------------------------------------------------


def by_the_document(content: bytes, algorithm: str) -> bytes:
    """Microsoft's "Calculating the PE Image Hash" (2008), step by step, as an independent reading.

    Its steps hash the headers, the sections in order of their place in the file, and what lies
    behind them, less the table at the end of the file.
    """
    total = hashlib.new(algorithm, usedforsecurity=False)
    (start,) = struct.unpack_from("<I", content, 60)
    count, optional = struct.unpack_from("<H12xH", content, start + 6)
    (magic,) = struct.unpack_from("<H", content, start + 24)
    entry = start + 24 + (144 if magic == 0x20B else 128)
    (headers,) = struct.unpack_from("<I", content, start + 24 + 60)
    total.update(content[: start + 88])  # 3: up to the checksum
    total.update(content[start + 92 : entry])  # 5: up to the entry of the table
    total.update(content[entry + 8 : headers])  # 7: the rest of the headers
    hashed = headers  # 8: SUM_OF_BYTES_HASHED
    places = [
        struct.unpack_from("<II", content, start + 24 + optional + 40 * number + 16)
        for number in range(count)
    ]
    for size, at in sorted(places, key=lambda each: each[1]):  # 9 to 13
        total.update(content[at : at + size])
        hashed += size
    table = struct.unpack_from("<II", content, entry)[1]
    if len(content) > hashed:  # 14: extra data
        total.update(content[hashed : len(content) - table])
    return total.digest()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_digests_of_stubs_by_the_document(machine: str, algorithm: str) -> None:
    plain = signed.stub(b"code", machine=machine)
    with_table = signed.with_table(plain, signed.entry(b"anything"))
    for content in (plain, plain + b"overlay!", with_table):
        assert digest(content, algorithm) == by_the_document(content, algorithm)
    assert digest(plain, algorithm) == digest(with_table, algorithm)


_IMAGES = [name for name in real_signers.names() if not name.endswith((".cat", ".p7b"))]


@pytest.mark.skipif(not _IMAGES, reason=f"no signed files under {REAL_DATA}")
def test_digests_of_real_files_by_the_document() -> None:
    assert len(_IMAGES) > 40
    for name in _IMAGES:
        content = (REAL_DATA / name).read_bytes()
        for algorithm in ("sha1", "sha256"):
            assert digest(content, algorithm) == by_the_document(content, algorithm), name


def test_several_digests_in_one_pass() -> None:
    stream = io.BytesIO(signed.stub())
    found = image.digests(stream, image.read(stream), ["sha1", "sha256", "md5"])
    assert list(found) == ["sha1", "sha256", "md5"]
    assert all(found[name] == by_the_document(stream.getvalue(), name) for name in found)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_byte_counts_but_those_of_two_fields_and_the_table(data: st.DataObject) -> None:
    plain = signed.stub(bytes(700))
    content = signed.with_table(plain, signed.entry(b"x" * 32))
    found = read(content)
    at = data.draw(st.integers(_HEADERS, len(content) - 1) | st.integers(0x200, _HEADERS - 1))
    changed = content[:at] + bytes((content[at] ^ 0x55,)) + content[at + 1 :]
    assert (digest(changed) == digest(content)) is (at >= len(plain))
    checksum = content[: found.checksum_at] + b"\xde\xad\xbe\xef" + content[found.checksum_at + 4 :]
    assert digest(checksum) == digest(content)


class Shrinking(io.BytesIO):
    """A file that somebody cuts while it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(_HEADERS - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


def test_a_file_that_becomes_shorter() -> None:
    stream = Shrinking(signed.with_table(signed.stub(), signed.entry(b"x" * 8)))
    layout = image.read(stream)
    with pytest.raises(MalformedError, match="became shorter"):
        image.digests(stream, layout, ["sha256"])
    with pytest.raises(MalformedError, match="became shorter"):
        image.entries(stream, layout)


class Slow(io.BytesIO):
    """One that hands out a few bytes at a time, as a pipe or a network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 100) if size and size > 0 else 100)


def test_a_stream_that_hands_out_little() -> None:
    content = signed.good()
    slow, fast = Slow(content), io.BytesIO(content)
    layout = image.read(slow)
    assert layout == image.read(fast)
    assert image.digests(slow, layout, ["sha256"]) == image.digests(fast, layout, ["sha256"])
    assert image.entries(slow, layout) == image.entries(fast, layout)
    pages = image.page_hashes(slow, layout, "sha256")
    assert pages == image.page_hashes(fast, layout, "sha256")


# --- pages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
@pytest.mark.parametrize("size", [0, 3000, 4096, 9000])
def test_page_hashes_of_stubs(machine: str, algorithm: str, size: int) -> None:
    content = signed.stub(b"\xcc" * size, machine=machine)
    stream = io.BytesIO(content)
    found = image.page_hashes(stream, image.read(stream), algorithm)
    assert found == signed.page_table(content, algorithm)
    count = len(found) // (4 + hashlib.new(algorithm).digest_size)
    assert count == 1 + -(-max(size + 1, 512) // 4096) + 1 + 1  # headers, code, resources, the end


@pytest.mark.parametrize("sample", real("signed/ralphje_DXCore.dll", "signed/legacy_sha1/gdrv.sys"))
def test_page_hashes_of_real_files(sample: Path) -> None:
    content = read_real(sample)
    stream = io.BytesIO(content)
    layout = image.read(stream)
    (entry,) = image.entries(stream, layout)
    message = signed_data.read(without_filling(entry.content, "test")[0])
    (pages,) = indirect_data.read(message.content).pages
    assert image.page_hashes(stream, layout, pages.algorithm) == pages.table
    size = hashlib.new(pages.algorithm).digest_size
    first = image.first_page(stream, layout, pages.algorithm)
    assert pages.table[: 4 + size] == bytes(4) + first
    assert pages.table[-size:] == bytes(size)
    # The same with something changed on any page of code: one entry differs.
    for at in (layout.sections[0].start, layout.sections[0].start + 5000):
        changed = io.BytesIO(content[:at] + b"\x99" + content[at + 1 :])
        table = image.page_hashes(changed, layout, pages.algorithm)
        rows = range(0, len(table), 4 + size)
        differing = [
            row for row in rows if table[row : row + 4 + size] != pages.table[row:][: 4 + size]
        ]
        assert len(differing) == 1


# --- the table ------------------------------------------------------------------------------


def _entries(table: bytes) -> list[tuple[int, int, int, bytes]]:
    stream = io.BytesIO(signed.with_table(signed.stub(), table))
    found = image.entries(stream, image.read(stream))
    return [(each.at, each.revision, each.kind, each.content) for each in found]


def test_entries_of_a_table() -> None:
    one, two = signed.entry(b"A" * 8), signed.entry(b"B" * 24, kind=1, revision=0x100)
    assert _entries(one) == [(0, 0x200, 2, b"A" * 8)]
    assert _entries(one + two) == [(0, 0x200, 2, b"A" * 8), (16, 0x100, 1, b"B" * 24)]
    assert _entries(one + bytes(16)) == [(0, 0x200, 2, b"A" * 8)]  # filled up
    assert _entries(bytes(16)) == []


def test_filling_belongs_to_an_entry() -> None:
    """Nobody signed it, so who looks for hidden bytes has to see it."""
    short = struct.pack("<IHH", 8 + 5, 0x200, 2) + b"AAAAA" + b"..."
    assert _entries(short) == [(0, 0x200, 2, b"AAAAA...")]


BAD_TABLES = {
    "an entry of no size": struct.pack("<IHH", 0, 0x200, 2) + b"x" * 8,
    "of its header alone": struct.pack("<IHH", 8, 0x200, 2) + b"x" * 8,
    "larger than the table": struct.pack("<IHH", 24, 0x200, 2) + b"x" * 8,
    "of all numbers": struct.pack("<IHH", 2**32 - 1, 0x200, 2) + b"x" * 8,
    "half a header": signed.entry(b"x" * 8) + b"\x10\0\0\1",
    "seventeen": signed.entry(b"x" * 8) * 17,
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_tables_that_are_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="certificate table"):
        _entries(BAD_TABLES[name])
    assert len(_entries(signed.entry(b"x" * 8) * 16)) == 16
