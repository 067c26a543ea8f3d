"""Memory dumps of every form: as they were built, as other projects read them, page by page."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.formats import crashdump, crashdump_header, crashdump_pages
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.crashdump_pages import PAGE, Bitmap
from recoverykit.model import Module
from tests.builders import dump, dump_shape
from tests.builders.dump import Mod
from tests.conftest import REPOSITORY
from tests.formats.dumps import FACTS, FACTS_32, FORMS, KERNEL, UPTIME, WHEN, WRITTEN, parse

MANY = (
    *FACTS["modules"],
    *(
        Mod(f"drv{number:03}.sys", 0xFFFF_F807_6300_0000 + number * 0x2_0000, 0x1_8000, number + 1)
        for number in range(220)
    ),
)


def expected(mods: tuple[Mod, ...], *, paths: bool) -> list[Module]:
    folder = "\\SystemRoot\\System32\\drivers\\"
    found = []
    for mod in mods:
        path = mod.name if "\\" in mod.name else folder + mod.name
        name = mod.name.rsplit("\\", 1)[-1].lower()
        shown = path if paths or "\\" in mod.name else ""
        found.append(Module(name, mod.base, mod.size, mod.stamp, shown))
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_as_it_was_built(form: str) -> None:
    facts = FACTS_32 if form.startswith("32") else FACTS
    found = parse(FORMS[form]())
    assert (found.bugcheck, found.parameters) == (0xD1, facts["parameters"])
    assert (found.when, found.uptime, found.written) == (WHEN, UPTIME, WRITTEN)
    machine = "x86" if form.startswith("32") else "arm64" if "arm64" in form else "x64"
    assert found.machine == machine
    assert list(found.modules) == expected(facts["modules"], paths="triage" not in form)
    assert found.fault_address == facts["parameters"][3]
    assert found.fault == "acmeflt.sys"
    word = 4 if machine == "x86" else 8
    ranges = [(mod.base, mod.base + mod.size) for mod in facts["modules"]]
    inside = [
        (number * word, value)
        for number, value in enumerate(facts["stack"])
        if any(start <= value < end for start, end in ranges)
    ]
    top = (dump_shape.NARROW if machine == "x86" else dump_shape.WIDE).stack
    assert [(hit.slot - top, hit.value) for hit in found.stack] == inside
    assert found.stack[0].module.startswith("nt")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("triage", "triage"),
        ("full", "full"),
        ("bitmap", "bitmap"),
        ("kernel bitmap", "kernel"),
        ("automatic", "kernel"),
        ("kernel", "kernel"),
        ("32 full without PAE", "full"),
    ],
)
def test_names_of_forms(form: str, name: str) -> None:
    assert parse(FORMS[form]()).form == name


@pytest.mark.parametrize("form", FORMS)
def test_unloaded_drivers(form: str) -> None:
    """Small dumps cut names; others need the kernel's debugger data."""
    facts = FACTS_32 if form.startswith("32") else FACTS
    found = parse(FORMS[form]()).unloaded
    cut = 12 if "triage" in form else 100
    wanted = [(mod.name[:cut], mod.base, mod.size) for mod in facts["unloaded"]]
    readable = "triage" in form or form in ("bitmap", "kernel bitmap", "kernel", "32 kernel")
    assert [(mod.name, mod.base, mod.size) for mod in found] == (wanted if readable else [])


def test_scrambled_debugger_data_names_nothing() -> None:
    data = dump.build_memory("bitmap", debugger_data="encoded", **FACTS)
    assert parse(data).unloaded == ()
    assert len(parse(data).modules) == len(FACTS["modules"])


def test_the_ring_of_unloaded_drivers_is_read_from_its_oldest() -> None:
    gone = tuple(Mod(f"gone{number:02}.sys", 0x1000 + KERNEL, 0x1000) for number in range(50))
    facts = {**FACTS, "unloaded": gone}
    data = bytearray(dump.build_memory("bitmap", debugger_data="plain", **facts))
    assert [mod.name for mod in parse(bytes(data)).unloaded] == [mod.name for mod in gone]
    block = data.index(b"KDBG") - 0x10
    (last,) = struct.unpack_from("<Q", data, block + 0x228)
    at = block + last - struct.unpack_from("<Q", data, block)[0]  # both lie in one large page
    assert struct.unpack_from("<I", data, at) == (50,)
    struct.pack_into("<I", data, at, 53)  # three more were written over the oldest
    names = [mod.name for mod in parse(bytes(data)).unloaded]
    assert (names[0], names[-1], len(names)) == ("gone03.sys", "gone02.sys", 50)


def test_stamps_come_from_the_images_before_windows_10() -> None:
    data = dump.build_memory("bitmap", build=9600, **FACTS)
    assert [mod.stamp for mod in parse(data).modules] == [mod.stamp for mod in FACTS["modules"]]


def test_a_page_that_is_not_in_the_dump_ends_the_list_quietly() -> None:
    data = bytearray(dump.build_memory("bitmap", **{**FACTS, "modules": MANY}))
    entry = data.index(struct.pack("<Q", MANY[10].base)) - 0x30
    struct.pack_into("<Q", data, entry, 0xFFFF_F000_0000_1000)  # the next one is paged out
    found = parse(bytes(data))
    assert len(found.modules) == 11
    assert found.fault == "acmeflt.sys"


def test_a_list_that_runs_in_circles_ends() -> None:
    data = bytearray(dump.build_memory("bitmap", **FACTS))
    entry = data.index(struct.pack("<Q", FACTS["modules"][-1].base)) - 0x30
    first = data.index(struct.pack("<Q", FACTS["modules"][1].base)) - 0x30
    data[entry : entry + 8] = data[first + 8 : first + 16]  # back to the first one
    assert len(parse(bytes(data)).modules) == len(FACTS["modules"])


def test_a_page_in_transition_is_still_there() -> None:
    """Present bit off, transition bit on: on the standby list when Windows crashed."""
    shape = dump_shape.WIDE
    data = bytearray(dump.build_memory("bitmap", **FACTS))
    stack = struct.pack("<4Q", *FACTS["stack"][:4])
    start = data.index(stack)
    hits = 0
    for at in range(0x3000, len(data) - 8, 8):
        (entry,) = struct.unpack_from("<Q", data, at)
        if entry & 0x8000_0000_0000_0FFF == 0x8000_0000_0000_0063:
            changed = bytearray(data)
            struct.pack_into("<Q", changed, at, entry & ~0x8000_0000_0000_0001 | 0x800)
            assert parse(bytes(changed)).stack == parse(bytes(data)).stack
            struct.pack_into("<Q", changed, at, entry & ~0x8000_0000_0000_0001 | 0xC00)  # prototype
            hits += parse(bytes(changed)).stack == ()
    assert hits == 2  # the page of the stack, and that of the loader's entries
    assert start % PAGE == shape.stack % PAGE


# --- pages --------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=12_000), st.data())
def test_a_page_lies_behind_those_that_come_before_it(bits: bytes, data: st.DataObject) -> None:
    frames = len(bits) * 8
    pages = Bitmap(io.BytesIO(b"head" + bits), 4, frames, PAGE, 0)
    present = [n for n in range(frames) if bits[n >> 3] >> (n & 7) & 1]
    places = {frame: PAGE * (number + 1) for number, frame in enumerate(present)}
    asked = data.draw(st.lists(st.integers(-1, frames + 9), max_size=30))
    assert [pages.offset(frame) for frame in asked] == [places.get(frame) for frame in asked]


def test_runs_have_holes() -> None:
    data = dump.build_memory("full", **FACTS)
    stream = io.BytesIO(data)
    header = crashdump_header.read(stream)
    pages = crashdump_pages.find(stream, header)
    assert pages is not None
    assert pages.end == len(data)
    assert pages.offset(0) is None
    assert pages.offset(1) == 0x2000
    assert pages.offset(0x9D) == 0x2000 + 0x9C * PAGE
    assert pages.offset(0x9E) is None
    assert pages.offset(0x100) == 0x2000 + 0x9D * PAGE
    assert pages.offset(1 << 40) is None


# --- other projects -----------------------------------------------------------------------

READERS = {"kdmp_dump": "kdmp_parser", "volatility_dump": "volatility3"}


def told_by(reader: str, path: Path, words: int) -> dict[str, Any]:
    if find_spec(READERS[reader]) is None:
        pytest.skip(f"{READERS[reader]} is not installed")
    argv = [sys.executable, "-m", f"tests.independent.{reader}", str(path), str(words)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize(
    ("reader", "form"),
    [
        ("kdmp_dump", "full"),
        ("kdmp_dump", "bitmap"),
        ("kdmp_dump", "kernel bitmap"),
        ("volatility_dump", "full"),
        ("volatility_dump", "bitmap"),
        ("volatility_dump", "32 full"),
        ("volatility_dump", "32 full without PAE"),
        ("volatility_dump", "32 bitmap"),
    ],
)
def test_as_others_read_it(reader: str, form: str, tmp_path: Path) -> None:
    """What these cannot open: small and old kernel dumps (both), type 6 (volatility3)."""
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(FORMS[form]())
    facts = FACTS_32 if form.startswith("32") else FACTS
    told = told_by(reader, path, len(facts["stack"]))
    found = parse(path.read_bytes())
    assert (found.bugcheck, list(found.parameters)) == (told["bugcheck"], told["parameters"])
    assert found.build == told["build"]
    assert found.when is not None
    assert to_filetime(found.when) == told["time"]
    assert found.uptime is not None
    assert found.uptime.total_seconds() == told["uptime"] / 10_000_000
    listed = [[mod.name, mod.base, mod.size, mod.stamp] for mod in found.modules]
    assert listed == [[name.lower(), *rest] for name, *rest in told["modules"]]
    width = 4 if form.startswith("32") else 8
    words = {told["stack_at"] + n * width: value for n, value in enumerate(told["stack"])}
    assert all(words[hit.slot] == hit.value for hit in found.stack)
    assert len(found.stack) >= 2


# --- size ---------------------------------------------------------------------------------


class Counting(io.FileIO):
    """A file that knows how much of it was read."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size if size is not None else -1) or b""
        self.bytes_read += len(data)
        return data


def test_a_large_dump_costs_no_more_than_a_small_one(tmp_path: Path) -> None:
    """1 GB: header, bitmap, and the few pages that matter; 5 ms on a quiet machine."""
    path = tmp_path / "MEMORY.DMP"
    dump.write_memory(path, "bitmap", size=1 << 30, **{**FACTS, "modules": MANY})
    assert path.stat().st_size >= (1 << 30) - (1 << 20)
    times = []
    for _ in range(5):
        with Counting(path) as stream:
            began = time.process_time()
            found = crashdump.parse(stream, path.stat().st_size, path.name, WRITTEN)
            times.append(time.process_time() - began)
            assert stream.bytes_read < 1 << 20
    assert len(found.modules) == len(MANY)
    assert found.fault == "acmeflt.sys"
    assert len(found.stack) == 4
    assert min(times) < 0.02
