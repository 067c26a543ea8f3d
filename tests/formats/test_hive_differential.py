"""Every key, time, name, type and byte of data against hivex (C) and python-registry.

Differences are allowed only where a test says whose fault they are and proves it from the bytes.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from Registry import Registry

from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import recover
from tests.builders.hive import Node, Tree, binary, build, dword, multi_sz, qword, sz
from tests.formats.hives import Values, content, hive_bytes, logs_of, walk

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-hivex is
DUMP = Path(__file__).parent.parent / "independent" / "hivex_dump.py"
TREE: Tree = {
    "": sz("default"),
    "many": {f"k{number}": {"n": dword(number)} for number in range(1200)},
    "big": {"a": binary(b"a" * 40000), "b": binary(b"b" * 16345), "c": binary(b"c" * 16344)},
    "ключ": Node({"значение": sz("привет"), "m": multi_sz("a", "b")}, class_name="class"),
    "Ärger": {"q": qword(7), "none": binary(b""), "three": binary(b"abc")},
}


@cache
def has_hivex() -> bool:
    try:
        probe = subprocess.run([SYSTEM_PYTHON, "-c", "import hivex"], capture_output=True)
    except FileNotFoundError:
        return False
    return probe.returncode == 0


def by_hivex(image: bytes, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What hivex reads: {path: (time, values)}, and the parents of keys that it cannot name."""
    if not has_hivex():
        pytest.skip("python3-hivex is not installed")
    path = folder / "hive"
    path.write_bytes(image)
    run = subprocess.run([SYSTEM_PYTHON, DUMP, path], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    keys = {
        row["key"]: (row["mtime"], tuple(tuple(value) for value in row["values"]))
        for row in rows
        if "error" not in row
    }
    return keys, [row["key"] for row in rows if "error" in row]


def by_python_registry(image: bytes) -> dict[str, tuple[int, Values]]:
    """The same from python-registry, raw data as it gives it."""
    found: dict[str, tuple[int, Values]] = {}
    pending: list[tuple[Any, str]] = [(Registry.Registry(io.BytesIO(image)).root(), "")]
    while pending:
        key, path = pending.pop()
        values = []
        for value in key.values():
            record = value._vkrecord  # its public value_type() does not know all types
            name = record.name() if record.has_name() else ""
            kind = record.unpack_dword(12)
            values.append((name, kind, bytes(value.raw_data()).hex()))
        found[path] = (key._nkrecord.unpack_qword(4), tuple(values))
        pending += [(k, f"{path}\\{k.name()}" if path else k.name()) for k in key.subkeys()]
    return found


@pytest.mark.parametrize(
    "name",
    [
        "dissect_SYSTEM.gz",  # Windows 10
        "plaso_win7x86_SYSTEM.xz",  # Windows 7
        "regipy_SYSTEM_WIN_10_1709.xz",  # dirty, but both can look at it as it is
        "plaso_win7_SOFTWARE.xz",  # 117,488 keys
        "regipy_BCD.xz",
        "bcd_win2go",
        "bcd_arm64_phone",
        "ezreg_SECURITYNoRoot",
        "yarp/BigDataHive",
        "yarp/HealedHive",
        "yarp/OldDirtyHive__RecoveredHive_Windows7",
        "yarp/WrongOrderHive",
    ],
)
def test_hivex_reads_the_same(name: str, tmp_path: Path) -> None:
    image = hive_bytes(name)
    theirs, unnamed = by_hivex(image, tmp_path)
    assert not unnamed
    assert content(Hive(image)) == theirs


def test_hivex_reads_the_same_of_a_recovered_hive(tmp_path: Path) -> None:
    name = "regipy_SYSTEM_B.xz"
    image = bytes(recover(hive_bytes(name), logs_of(name)).data)
    theirs, unnamed = by_hivex(image, tmp_path)
    assert not unnamed
    assert content(Hive(image)) == theirs


def test_hivex_cannot_give_tombstones(tmp_path: Path) -> None:
    """Layered hives of containers mark deleted values: no data, and an offset to nowhere."""
    image = hive_bytes("yarp/System_Delta")
    theirs, _ = by_hivex(image, tmp_path)
    ours = content(Hive(image))
    different = [path for path in ours if ours[path] != theirs.get(path)]
    assert len(different) == 3
    assert ours.keys() == theirs.keys()
    tombstones = 0
    for key in walk(Hive(image)):
        for value, their in zip(key.values(), theirs[key.path][1], strict=True):
            if their[2] is None:
                size, where, _, flags = struct.unpack_from("<IIIH", image, value.offset + 8)
                assert (size, where) == (0, 0xFFFF_FFFF)
                assert flags & 2  # "IsTombstone"
                assert value.data == b""
                tombstones += 1
            else:
                assert (value.name, value.type, value.data.hex()) == tuple(their)
    assert tombstones >= 3


def test_hivex_cannot_name_a_key_that_is_half_a_surrogate_pair(tmp_path: Path) -> None:
    image = hive_bytes("yarp/TruncatedPairHive")
    theirs, unnamed = by_hivex(image, tmp_path)
    assert unnamed == [""]  # one key below the root
    assert content(Hive(image)).keys() - theirs.keys() == {"\ud801"}
    assert b"\x01\xd8" in image  # its two bytes


def explained(image: bytes, name: str) -> Iterator[str]:
    """Compare with python-registry value by value; yields what is not its known fault."""
    theirs = by_python_registry(image)
    hive = Hive(image)
    seen = 0
    for key in walk(hive):
        seen += 1
        when, values = theirs[key.path]
        if when != key.last_written_ticks:
            yield f"{name} {key.path}: time"
        for value, (label, kind, data) in zip(key.values(), values, strict=True):
            if (label, kind) != (value.name, value.type):
                yield f"{name} {key.path}: {label}"
            if data == value.data.hex():
                continue
            # Fault: of data kept inside the value (high bit of the size) it returns all four bytes
            # of the field (text), nothing (REG_MULTI_SZ and types it does not know), or the bytes
            # of the type, which follows (16-bit device properties).
            size, field, kind_field = struct.unpack_from("<I4s4s", image, value.offset + 8)
            inline = size == 0x8000_0000 | len(value.data) and field.startswith(value.data)
            if not inline or data not in (field.hex(), "", kind_field.hex()):
                yield f"{name} {key.path}\\{label}: {data[:40]} is not {value.data.hex()[:40]}"
    if seen != len(theirs):
        yield f"{name}: {seen} keys, not {len(theirs)}"


@pytest.mark.parametrize(
    "name",
    [
        "dissect_SYSTEM.gz",
        "regipy_BCD.xz",
        "bcd_win2go",
        "bcd_asus/Boot_BCD",
        "yarp/BigDataHive",
        "yarp/HealedHive",
        "yarp/NewDirtyHive1__RecoveredHive_Windows10",
        "yarp/System_Delta",
        "yarp/WrongOrderHive",
    ],
)
def test_python_registry_reads_the_same_but_for_its_known_fault(name: str) -> None:
    assert list(explained(hive_bytes(name), name)) == []


@pytest.mark.parametrize("minor", [3, 4, 5, 6])
def test_all_read_what_the_builder_builds(minor: int, tmp_path: Path) -> None:
    image = build(TREE, minor=minor)
    theirs, unnamed = by_hivex(image, tmp_path)
    assert not unnamed
    assert content(Hive(image)) == theirs
    assert list(explained(image, "built")) == []
