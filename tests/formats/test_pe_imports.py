"""Imports and exports, against pefile and against hostile bytes."""

from __future__ import annotations

import io
import os
import random
import struct
import time
from pathlib import Path

import pefile
import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import pe, pe_imports
from recoverykit.formats.pe_imports import Import
from tests.builders import pe as build
from tests.conftest import REAL_DATA, real

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "500"))
NEEDS: dict[str, list[str | int]] = {
    "ntoskrnl.exe": ["KeInitializeEvent", "IoCreateDevice", 7],
    "HAL.dll": ["KeGetCurrentIrql"],
}
OFFERS = ("AcmeOpen", "AcmeClose", "?Decorated@@YAXXZ")
SAMPLES = sorted(
    str(path.relative_to(REAL_DATA))
    for path in (REAL_DATA / "signed").rglob("*")
    if path.suffix in (".sys", ".dll", ".efi", ".exe")
)


def read(data: bytes) -> tuple[tuple[Import, ...], frozenset[str]]:
    stream = io.BytesIO(data)
    image = pe.headers(stream)
    return pe_imports.imports(stream, image), pe_imports.exports(stream, image)


@pytest.mark.parametrize("machine", ["x64", "x86", "arm64"])
def test_tables(machine: str) -> None:
    needs, offers = read(build.driver(None, machine=machine, imports=NEEDS, exports=OFFERS))
    assert needs == (
        Import("ntoskrnl.exe", ("KeInitializeEvent", "IoCreateDevice", "#7")),
        Import("HAL.dll", ("KeGetCurrentIrql",)),
    )
    assert offers == frozenset(OFFERS)


def test_neither() -> None:
    assert read(build.driver(None)) == ((), frozenset())


def test_tables_larger_than_a_block() -> None:
    names = [f"AcmeFunctionNumber{number:05}" for number in range(5000)]
    needs, offers = read(build.driver(None, imports={"acme.sys": names}, exports=names))
    assert needs == (Import("acme.sys", tuple(names)),)
    assert offers == frozenset(names)


def test_without_a_lookup_table() -> None:
    """Old linkers leave it out: then the address table, not yet bound, serves."""
    data = bytearray(build.driver(None, imports=NEEDS))
    section = pe.headers(io.BytesIO(bytes(data))).sections[-1]
    struct.pack_into("<I", data, section.offset, 0)
    assert read(bytes(data))[0] == read(build.driver(None, imports=NEEDS))[0]


@pytest.mark.parametrize("sample", real(*SAMPLES))
def test_real_files_as_pefile_reads_them(sample: Path) -> None:
    image = pefile.PE(str(sample), fast_load=True)
    image.parse_data_directories([0, 1])
    with sample.open("rb", buffering=0) as stream:
        ours = pe.headers(stream)
        needs = pe_imports.imports(stream, ours)
        offers = pe_imports.exports(stream, ours)
    theirs = getattr(image, "DIRECTORY_ENTRY_IMPORT", [])
    assert [need.dll for need in needs] == [entry.dll.decode() for entry in theirs]
    for need, entry in zip(needs, theirs, strict=True):
        assert list(need.symbols) == [
            f"#{symbol.ordinal}" if symbol.import_by_ordinal else symbol.name.decode()
            for symbol in entry.imports
        ]
    exported = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
    assert offers == {
        symbol.name.decode() for symbol in (exported.symbols if exported else []) if symbol.name
    }


def test_only_the_tables_are_read() -> None:
    class Counting(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.total += len(data)
            return data

    stream = Counting(build.driver(None, padding=bytes(4 << 20), imports=NEEDS, exports=OFFERS))
    image = pe.headers(stream)
    assert len(pe_imports.imports(stream, image)) == 2
    assert len(pe_imports.exports(stream, image)) == 3
    assert stream.total < 64 << 10


# --- hostile ------------------------------------------------------------------------------


def broken(directory: int, layout: str, at: int, *values: int) -> bytes:
    """A stub with numbers of one of its tables overwritten."""
    data = bytearray(build.driver(None, imports=NEEDS, exports=OFFERS))
    image = pe.headers(io.BytesIO(bytes(data)))
    offset = pe.file_offset(image, image.directory(directory)[0])
    assert offset is not None
    struct.pack_into(layout, data, offset + at, *values)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(broken(pe.EXPORTS, "<I", 24, 0xFFFF_FFFF), "too many", id="names"),
        pytest.param(broken(pe.EXPORTS, "<I", 24, 9000), "cut off", id="names beyond the end"),
        pytest.param(broken(pe.EXPORTS, "<I", 32, 0x7000_0000), "not in the file", id="pointers"),
        pytest.param(broken(pe.IMPORTS, "<I", 0, 0x7000_0000), "not in the file", id="lookup"),
        pytest.param(broken(pe.IMPORTS, "<I", 12, 0x7000_0000), "not in the file", id="dll name"),
    ],
)
def test_refuses(data: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        read(data)


def test_a_file_cut_off_in_its_tables() -> None:
    good = build.driver(None, imports=NEEDS)
    with pytest.raises(FormatError, match="is cut off"):
        read(good[:-0x1E0])


def test_a_table_without_an_end() -> None:
    """Descriptors that fill their section: nobody counts them."""
    whole = build.driver(None, imports={"a": [1]}, padding=bytes(8 << 20))
    data = bytearray(whole)
    image = pe.headers(io.BytesIO(whole))
    text, idata = image.sections
    struct.pack_into("<I", data, image.checksum_at + 48 + 8, text.address)  # import directory
    first = whole[idata.offset : idata.offset + 20]
    data[text.offset : text.offset + text.stored] = (first * (text.stored // 20 + 1))[: text.stored]
    begun = time.process_time()
    with pytest.raises(FormatError, match="no end"):
        read(bytes(data))
    assert time.process_time() - begun < 0.5


def hostile(good: bytes, seed: int, rounds: int) -> int:
    rng = random.Random(seed)
    image = pe.headers(io.BytesIO(good))
    tables = [section for section in image.sections if section.name in (".idata", ".edata")]
    refused = 0
    for _ in range(rounds):
        bad = bytearray(good[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
        for _ in range(rng.randrange(1, 6)):
            start, end = 0, len(bad)
            if tables and rng.random() < 0.6:
                section = rng.choice(tables)
                start, end = section.offset, min(section.offset + 256, end)
            if start < end:
                bad[rng.randrange(start, end)] = rng.choice((0, 0xFF, 0x7F, rng.randrange(256)))
        try:
            read(bytes(bad))
        except FormatError:
            refused += 1
    return refused


def test_hostile_stub_fails_in_one_way_only() -> None:
    good = build.driver(None, imports=NEEDS, exports=OFFERS)
    begun = time.process_time()
    assert 0 < hostile(good, 20240719, MUTATIONS) < MUTATIONS
    assert time.process_time() - begun < MUTATIONS * 0.02


@pytest.mark.parametrize("sample", real("signed/saferwall_acpi.sys", "signed/ralphje_kdbazis.dll"))
def test_hostile_bytes_fail_in_one_way_only(sample: Path) -> None:
    begun = time.process_time()
    assert 0 < hostile(sample.read_bytes(), 20240720, MUTATIONS // 2) < MUTATIONS // 2
    assert time.process_time() - begun < MUTATIONS * 0.02
