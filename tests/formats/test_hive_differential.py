"""Every key, time, name, type and byte of data of every sample, against independent readers.

hivex (C) and python-registry read all of them here; dissect.regf, which is slow, the small ones;
`python -m bench.hive_readers` lets all three read all. Every difference must be the wrong answer
that one of tests/independent/reader_faults.py predicts from the bytes.
"""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive import read as recover_and_read
from recoverykit.formats.regf_log import recover
from tests.builders.hive import Node, Raw, Tree, binary, build, dword, multi_sz, qword, sz
from tests.formats.agreement import (
    Agreement,
    agree,
    answers,
    beside_damage,
    lines,
    opens,
    proved,
    read,
)
from tests.formats.hives import Values, hive_bytes, logs_of, samples
from tests.independent.reader_faults import FAULTS
from tests.independent.readers import DISSECT, HIVEX, PYTHON_REGISTRY, Reader, available, reading

# Files that no careful reader opens, and why.
REFUSED = {
    "ezreg_NotAHive": "no regf signature",
    "yarp/TruncatedHive": "truncated: 12288 of 491520 bytes are there",
    "yarp/TruncatedDirtyHive": "truncated: 12288 of 491520 bytes are there",
}
# Logs without their hive, or beside a hive they are no use to, lie in test_recovery_samples.
# Hives with damage inside: what is sound is read, and each refusal is proved from the bytes.
DAMAGED = {
    "ezreg_SAMBadHBinHeader": 13,  # refusals; the bin at 0x2000 begins with "gbin"
    "regipy_corrupted_system_hive.xz": 176,  # foreign data over many of its bins
    "yarp/BadListHive": 1,  # key 2 points to the list of key 3
    "yarp/BadSubkeyHive": 1,
    "yarp/DeletedDataHiveTruncated": 1,  # a value list beyond the end
    "yarp/TruncatedNameHive": 1,  # a name longer than its cell
}
WHOLE = [name for name in samples() if name not in REFUSED and name not in DAMAGED]
PATIENCE = 1 << 20  # bytes of a hive that dissect.regf reads in a test


def readers_for(image: bytes) -> list[Reader]:
    wanted = [HIVEX, PYTHON_REGISTRY, *([DISSECT] if len(image) <= PATIENCE else [])]
    found = [reader for reader in wanted if available(reader)]
    if len(found) < 2:
        pytest.skip("fewer than two independent readers are installed")
    return [reader for reader in found if opens(reader.name, image)]


def compare(image: bytes, folder: Path) -> dict[str, Agreement]:
    path = folder / "hive"
    path.write_bytes(image)
    with reading(readers_for(image), path) as outputs:
        ours = list(lines(Hive(image)))
        return {
            reader.name: agree(reader.name, image, ours, output.lines())
            for reader, output in outputs.items()
        }


def by_hivex(image: bytes, folder: Path) -> tuple[dict[str, Any], set[str]]:
    """What hivex says of a hive: {path: (time, values)}, and the keys in which it failed."""
    if not available(HIVEX):
        pytest.skip("python3-hivex is not installed")
    return _said(HIVEX, image, folder)


def _said(reader: Reader, image: bytes, folder: Path) -> tuple[dict[str, Any], set[str]]:
    path = folder / "hive"
    path.write_bytes(image)
    with reading([reader], path) as outputs:
        rows, failed = answers(outputs[reader].lines())
    return {
        key: (when, tuple(tuple(value) for value in values)) for key, (when, values) in rows.items()
    }, failed


def by_python_registry(image: bytes) -> dict[str, tuple[int, Values]]:
    """The same from python-registry, its "(default)" undone."""
    with TemporaryDirectory() as folder:
        rows, _ = _said(PYTHON_REGISTRY, image, Path(folder))
    return {
        key: (when, tuple(("" if name == "(default)" else name, *rest) for name, *rest in values))
        for key, (when, values) in rows.items()
    }


def test_every_sample_has_its_place() -> None:
    assert (REFUSED.keys() | DAMAGED.keys()) <= set(samples())
    assert len(WHOLE) >= 33


@pytest.mark.parametrize("name", WHOLE)
def test_all_read_the_same(name: str, tmp_path: Path) -> None:
    """A dirty hive as its logs make it, or as it is where they cannot (test_recovery_samples)."""
    image = hive_bytes(name)
    with suppress(FormatError):
        image = bytes(recover(image, logs_of(name)).data)
    for reader, found in compare(image, tmp_path).items():
        assert found.unexplained == [], reader
        assert found.keys > 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_hive_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match=REFUSED[name]):
        Hive(hive_bytes(name))
    with pytest.raises(FormatError):
        recover_and_read(hive_bytes(name), logs_of(name))


def test_hivex_opens_nothing_of_a_hive_with_one_bad_part(tmp_path: Path) -> None:
    """What `opens` predicts is what it does."""
    if not available(HIVEX):
        pytest.skip("python3-hivex is not installed")
    refused = [name for name in samples() if not opens("hivex", hive_bytes(name))]
    assert refused == [
        "ezreg_NotAHive",
        "ezreg_SAMBadHBinHeader",
        "regipy_corrupted_system_hive.xz",
        "yarp/BadBaseBlockHive__BadBaseBlockHive",
    ]
    for name in refused:
        path = tmp_path / "hive"
        path.write_bytes(hive_bytes(name))
        with reading([HIVEX], path) as outputs:
            (line,) = outputs[HIVEX].lines()
        assert json.loads(line)["error"].startswith("open: "), name


# --- damaged hives ------------------------------------------------------------------------


@pytest.mark.parametrize("name", DAMAGED)
def test_each_refusal_in_a_damaged_hive_is_proved(name: str, tmp_path: Path) -> None:
    image = hive_bytes(name)
    ours = list(read(Hive(image)))
    refusals = [(mine.line, error) for mine in ours for error in mine.refused]
    assert len(refusals) == DAMAGED[name]
    for key, error in refusals:
        assert proved(image, key, error), error
    path = tmp_path / "hive"
    path.write_bytes(image)
    with reading(readers_for(image), path) as outputs:
        for reader, output in outputs.items():
            assert beside_damage(reader.name, image, ours, *answers(output.lines())) == []


def test_others_believe_a_list_that_belongs_to_another_key() -> None:
    """yarp/BadListHive: keys 2 and 3 point to one list, and the key in it names 3 as its parent."""
    image = hive_bytes("yarp/BadListHive")
    two, three = (Hive(image).find(name) for name in "23")
    assert two is not None
    assert three is not None
    lists = [struct.unpack_from("<I", image, key.offset + 32)[0] for key in (two, three)]
    assert lists[0] == lists[1]
    assert [key.name for key in three.subkeys()] == ["subkey"]
    with pytest.raises(FormatError, match="another parent"):
        list(two.subkeys())


# --- the excuses themselves ---------------------------------------------------------------

ODD: Tree = {
    "": sz("default"),
    "Ã¤": {"Ã¶": dword(1), "\x85": dword(2)},  # Latin-1 that is UTF-8 too
    "a\x85b": {"c\x81": dword(1)},  # Windows-1252 has another character, or none
    "half \ud801": {"half \ud801": dword(1), "lost": dword(2)},
    "short": {
        "text": sz(""),
        "strings": multi_sz(),
        "three": Raw(4, b"abc"),
        "long": Raw(4, b"abcdefgh"),
        "boolean": Raw(0xFFFF_0011, b"\xff"),
        "quad": Raw(11, b"abc"),
        "big": Raw(5, b"ab"),
        "property": Raw(0xFFFF_0012, b"ab"),
    },
    "large": {"b": binary(b"b" * 20000)},
}
BUILT = build(ODD, minor=4)
WITNESSES = {  # fault -> where else than in the built hive it can be seen
    "a_wrong_checksum_opens_nothing": "yarp/BadBaseBlockHive__BadBaseBlockHive",
    "one_bad_bin_opens_nothing": "ezreg_SAMBadHBinHeader",
    "no_data_is_an_error": "yarp/System_Delta",
}


@pytest.mark.parametrize("reader", [HIVEX, PYTHON_REGISTRY, DISSECT], ids=lambda r: r.name)
def test_no_excuse_is_idle(reader: Reader, tmp_path: Path) -> None:
    """Each fault strikes somewhere, and exactly as predicted."""
    if not available(reader):
        pytest.skip(f"{reader.name} is not installed")
    seen = set()
    for number, image in enumerate([BUILT, hive_bytes("yarp/System_Delta")]):
        path = tmp_path / f"hive{number}"
        path.write_bytes(image)
        with reading([reader], path) as outputs:
            found = agree(reader.name, image, list(lines(Hive(image))), outputs[reader].lines())
        assert found.unexplained == []
        seen |= set(found.faults)
    for fault in FAULTS[reader.name].hives:
        assert fault(hive_bytes(WITNESSES[fault.__name__]))
        seen.add(fault.__name__)
    faults = FAULTS[reader.name]
    assert seen == {
        fault.__name__ for each in fields(faults) for fault in getattr(faults, each.name)
    }


TREE: Tree = {
    "": sz("default"),
    "many": {f"k{number}": {"n": dword(number)} for number in range(1200)},
    "big": {"a": binary(b"a" * 40000), "b": binary(b"b" * 16345), "c": binary(b"c" * 16344)},
    "ключ": Node({"значение": sz("привет"), "m": multi_sz("a", "b")}, class_name="class"),
    "Ärger": {"q": qword(7), "none": binary(b""), "three": binary(b"abc")},
}


@pytest.mark.parametrize("minor", [3, 4, 5, 6])
def test_all_read_what_the_builder_builds(minor: int, tmp_path: Path) -> None:
    for reader, found in compare(build(TREE, minor=minor), tmp_path).items():
        assert found.unexplained == [], reader
        assert found.keys == 1205


def test_a_difference_that_nothing_predicts_is_reported() -> None:
    """Else all of the above would prove nothing."""
    image = build(TREE)
    ours = list(lines(Hive(image)))
    said = [line.text for line in ours]
    assert agree("hivex", image, ours, said).unexplained == []
    (big,) = [number for number, text in enumerate(said) if text.startswith('{"key": "big"')]
    line, before, after = said[big], said[:big], said[big + 1 :]
    for wrong in (
        [*before, line.replace("61616161", "61616162", 1), *after],
        [*before, line.replace('"mtime": 1', '"mtime": 2', 1), *after],
        [*before, line.replace("[[", '[["extra", 1, ""], [', 1), *after],
        [*before, *after],
        [*said, line],
    ):
        assert wrong != said
        assert agree("hivex", image, ours, wrong).unexplained != []
