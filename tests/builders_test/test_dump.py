"""Built crash dumps beside real ones: the same parts in the same order, the same sizes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.builders import dump
from tests.builders.dump import Mod
from tests.conftest import real
from tests.formats.dumps import FACTS, FACTS_32, WHEN

FIELDS = (
    *("build", "size", "valid", "context", "exception", "mm", "unloaded", "processor", "process"),
    *("thread", "stack", "stack-size", "drivers", "count", "names", "names-size", "broken"),
    "options",
)
PARTS = ("mm", "unloaded", "processor", "process", "thread", "stack", "drivers", "names", "valid")


def triage(data: bytes) -> dict[str, int]:
    return dict(zip(FIELDS, struct.unpack_from("<18I", data, 0x2000), strict=True))


@pytest.mark.parametrize("path", real("dumps/rizin_triage_x64.dmp", "dumps/rizin_triage_arm64.dmp"))
def test_a_small_dump_has_the_parts_of_a_real_one_in_their_order(path: Path) -> None:
    theirs = path.read_bytes()
    machine = "arm64" if "arm64" in path.name else "x64"
    ours = dump.build_triage(machine=machine, **{**FACTS, "unloaded": FACTS["unloaded"] * 2})
    real_one, built = triage(theirs), triage(ours)
    assert sorted(PARTS, key=real_one.__getitem__) == list(PARTS)
    assert sorted(PARTS, key=built.__getitem__) == list(PARTS)
    for name in ("context", "exception", "mm", "unloaded", "broken", "options", "build"):
        assert (name, built[name]) == (name, real_one[name])
    for parts in (real_one, built):
        assert parts["size"] == parts["valid"] + 4
        assert parts["names"] == parts["drivers"] + 0x90 * parts["count"]
    assert ours[:8] == theirs[:8]
    assert ours[0x30:0x34] == theirs[0x30:0x34]  # machine type
    assert ours[0xF00:0xF08] == theirs[0xF00:0xF08]  # the breakpoint
    first = theirs[real_one["names"] :][:72]
    assert ours[built["names"] :][:72].lower() == first.lower()


def test_names_and_stamps_are_where_the_driver_list_says() -> None:
    data = dump.build_triage(**FACTS)
    parts = triage(data)
    assert parts["count"] == len(FACTS["modules"])
    for number, mod in enumerate(FACTS["modules"]):
        at = parts["drivers"] + number * 0x90
        (name, base, size, stamp) = struct.unpack_from("<I52xQ8xI60xI", data, at)
        (length,) = struct.unpack_from("<I", data, name)
        assert data[name + 4 : name + 4 + 2 * length].decode("utf-16-le") == mod.name
        assert (base, size, stamp) == (mod.base, mod.size, mod.stamp)


def test_a_sparse_dump_is_as_large_as_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    dump.write_memory(path, "full", size=64 << 20, **FACTS)
    status = path.stat()
    assert abs(status.st_size - (64 << 20)) < 2 << 20
    assert status.st_blocks * 512 < 8 << 20


def test_the_forms_say_what_they_are() -> None:
    assert dump.build_header(bugcheck=1, parameters=(), when=WHEN)[0xF98] == 3
    small = dump.build_32bit("triage", **FACTS_32)
    assert (small[:8], small[0xF88]) == (b"PAGEDUMP", 4)
    kernel = dump.build_memory("kernel", **FACTS)
    assert (kernel[0xF98], kernel[0x2000:0x2008]) == (2, b"SDMPDUMP")
    assert Mod("a.sys", 1, 2) == Mod("a.sys", 1, 2, 0)
