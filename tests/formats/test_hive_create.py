"""Hives made from nothing: the bytes Windows expects, and three readers that open them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import DEFAULT_SECURITY, create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import problems
from tests.formats.agreement import agree, lines
from tests.formats.hive_model import facts
from tests.formats.hives import hive_bytes
from tests.independent.readers import READERS, Reader, available
from tests.independent.readers import lines as lines_of

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("minor", [3, 4, 5, 6])
def test_a_new_hive_is_sound_and_empty(minor: int) -> None:
    image = create("SYSTEM", when=WHEN, minor=minor)
    base = Hive(image).base
    assert problems(image) == []
    assert facts(image) == {"": (to_filetime(WHEN), "", DEFAULT_SECURITY, ())}
    assert len(image) == 8192
    assert (base.clean, base.major, base.minor, base.primary_sequence) == (True, 1, minor, 1)
    assert Hive(image).root.name == "ROOT"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_others_read_a_new_hive(reader: Reader, tmp_path: Path) -> None:
    if not available(reader):
        pytest.skip(f"{reader.name} is not installed")
    image = create("BCD", root="NewStoreRoot", when=WHEN, minor=3)
    path = tmp_path / "hive"
    path.write_bytes(image)
    found = agree(reader.name, image, list(lines(Hive(image))), lines_of(reader, path))
    assert found.unexplained == []
    assert found.keys == 1


def test_the_frame_is_that_of_a_boot_store_windows_made() -> None:
    """All fields of header, first bin and root but names, times, GUIDs and what hangs below."""
    theirs = hive_bytes("bcd_windeploy_efi")
    ours = create("C:\\boot\\BCD", root="NewStoreRoot", when=WHEN, minor=3)
    for at in (20, 24, 28, 32, 36, 44, 144):  # versions, type, format, root, clustering, flags
        assert ours[at : at + 4] == theirs[at : at + 4], at
    assert ours[4096:4104] == theirs[4096:4104]
    root = 4096 + 32
    assert ours[root : root + 8] == theirs[root : root + 8]  # size, signature, flags
    assert ours[root + 36 : root + 40] == theirs[root + 36 : root + 40]  # volatile subkeys
    assert ours[root + 72 : root + 92] == theirs[root + 72 : root + 92]  # lengths, and the name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("SYSTEM", "SYSTEM"),
        (
            "\\??\\C:\\some\\long\\folder\\Boot\\EFI\\Microsoft\\Boot\\BCD",
            "der\\Boot\\EFI\\Microsoft\\Boot\\BCD",
        ),
        ("", ""),
        ("Ключ", "Ключ"),
    ],
)
def test_the_tail_of_its_path_is_in_the_header(name: str, shown: str) -> None:
    assert len(shown) <= 31
    assert Hive(create(name, when=WHEN)).base.file_name == shown


def test_time_is_in_the_header_and_in_the_first_bin() -> None:
    image = create("x", when=WHEN)
    assert struct.unpack_from("<Q", image, 12) == struct.unpack_from("<Q", image, 4096 + 20)
    assert Hive(image).base.last_written == to_filetime(WHEN)


def test_a_large_descriptor_gets_a_bin_of_its_own() -> None:
    descriptor = DEFAULT_SECURITY + bytes(9000)
    image = create("x", when=WHEN, security=descriptor)
    assert problems(image) == []
    assert facts(image)[""][2] == descriptor


def test_it_can_be_filled() -> None:
    editor = Editor(create("BCD", root="NewStoreRoot", when=WHEN, minor=3), WHEN)
    editor.create_key("Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\12000004")
    path = "Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\12000004"
    editor.set_value(path, "Element", 1, "Windows Boot Manager\0".encode("utf-16-le"))
    image = editor.finish(2)
    assert problems(image) == []
    key = Hive(image).find(path)
    assert key is not None
    value = key.value("Element")
    assert value is not None
    assert value.string == "Windows Boot Manager"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"minor": 2}, "version 1.2"),
        ({"minor": 7}, "version 1.7"),
        ({"root": ""}, "empty"),
        ({"root": "a\\b"}, "backslash"),
        ({"security": b"\1\0\0\0"}, "security descriptor"),
    ],
)
def test_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        create("x", when=WHEN, **wrong)
