"""Security version numbers: entries of dbx, and what a boot manager has in itself."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import efi_variables, image, svn
from signing.errors import MalformedError, SigningError
from signing.svn import Application, Svn
from tests.builders import efi
from tests.builders.efi import SHA256, signature_list, svn_data
from tests.conftest import read_real, real

MUTATIONS = int(os.environ.get("EFI_MUTATIONS", "3000"))
BOOT_MANAGER = "9d132b61-59d5-4388-ab1c-185c3cb2eb92"
CD_BOOT = "e8f82e9d-e127-4158-a488-4c18abe2f284"
OWNER = uuid.UUID("9d132b6c-59d5-4388-ab1c-185cfcb2eb92")
VERSION_7 = struct.pack("<HH", 0, 7)


def of(program: bytes) -> Svn | None:
    stream = io.BytesIO(program)
    return svn.of_boot_manager(stream, image.read(stream))


# --- dbx ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", real("signed/dbx/dbx_info_msft_10_14_25.json"))
def test_the_numbers_that_microsoft_publishes(path: Path) -> None:
    """Value and version of each; the GUIDs of its text were wrong then (secureboot_objects 406)."""
    published = json.loads(read_real(path))["svns"]
    values = [bytes.fromhex(each["value"]) for each in published]
    found = svn.minimums(efi_variables.read(signature_list(SHA256, *values, owner=OWNER)))
    assert {Application(key): str(value) for key, value in found.items()} == {
        Application.BOOT_MANAGER: "7.0",
        Application.CD_BOOT: "3.0",
        Application.NETWORK_BOOT: "3.0",
    }
    assert [each["version"] for each in published] == [str(svn.number(v)[1]) for v in values]  # type: ignore[index]
    files = {
        each["filename"]: svn.number(value) for each, value in zip(published, values, strict=True)
    }
    assert files["bootmgfw.efi"] == (Application.BOOT_MANAGER, Svn(7, 0))


def test_the_number_of_september_2026() -> None:
    """As microsoft/secureboot_objects, pull request 469, gives it."""
    value = bytes.fromhex("01612B139DD5598843AB1C185C3CB2EB9200000B000000000000000000000000")
    assert svn.number(value) == (Application.BOOT_MANAGER, Svn(11, 0))


def test_the_highest_of_an_application_counts() -> None:
    numbers = ((7, 0), (8, 1), (8, 0), (2, 65535))
    entries = [svn_data(BOOT_MANAGER, *each) for each in numbers] + [svn_data(CD_BOOT, 3, 0)]
    for order in (entries, entries[::-1]):
        found = svn.minimums(efi_variables.read(signature_list(SHA256, *order)))
        assert found == {Application.BOOT_MANAGER: Svn(8, 1), Application.CD_BOOT: Svn(3, 0)}


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_what_is_made_is_read(major: int, minor: int) -> None:
    made = svn.entry(Application.BOOT_MANAGER, Svn(major, minor))
    assert made == svn_data(BOOT_MANAGER, major, minor)
    assert svn.number(made) == (Application.BOOT_MANAGER, Svn(major, minor))


@pytest.mark.parametrize(
    "digest",
    [
        bytes(32),
        b"\x02" + svn_data(BOOT_MANAGER, 7, 0)[1:],
        svn_data(BOOT_MANAGER, 7, 0)[:-1] + b"\x01",
        svn_data(BOOT_MANAGER, 7, 0)[:-1],
        svn_data("11111111-59d5-4388-ab1c-185c3cb2eb92", 7, 0),
        b"",
    ],
)
def test_a_digest_is_no_number(digest: bytes) -> None:
    assert svn.number(digest) is None


@pytest.mark.parametrize("path", real("signed/dbx/amd64_DBXUpdate.bin"))
def test_a_dbx_of_digests_has_no_numbers(path: Path) -> None:
    assert svn.minimums(efi_variables.read(read_real(path))) == {}


def test_versions_are_compared_as_numbers() -> None:
    assert Svn(3, 0) < Svn(7, 0) < Svn(7, 1) < Svn(10, 0)
    assert str(Svn(10, 2)) == "10.2"


# --- boot managers --------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["x64", "arm64", "x86"])
@pytest.mark.parametrize(("major", "minor"), [(2, 0), (7, 0), (11, 3), (65535, 65535)])
def test_the_number_of_a_boot_manager(machine: str, major: int, minor: int) -> None:
    named = {"AAA": b"other", svn.RESOURCE: struct.pack("<HH", minor, major), "ZZZ": b""}
    assert of(efi.program(rcdata=named, machine=machine)) == Svn(major, minor)


@pytest.mark.parametrize(
    "program",
    [
        efi.program(),
        efi.program(rcdata={"AAA": VERSION_7}),
        efi.program(rcdata={svn.RESOURCE.lower(): VERSION_7}),
        efi.program(rcdata={svn.RESOURCE + "S": VERSION_7}),
        efi.program(rcdata={}),
    ],
    ids=["no resources", "another", "in small letters", "a longer name", "none"],
)
def test_a_program_without_a_number(program: bytes) -> None:
    assert of(program) is None


@pytest.mark.parametrize("path", real("signed/winefi_bootmgfw.efi"))
def test_a_boot_manager_from_before_there_were_numbers(path: Path) -> None:
    """It has a number by another name, which dbx does not ask for."""
    program = read_real(path)
    assert of(program) is None
    assert svn.RESOURCE.encode("utf-16-le") not in program


@pytest.mark.parametrize("content", [b"", b"\x07", b"\x00\x00\x07", bytes(65)])
def test_a_damaged_number_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        of(efi.program(rcdata={svn.RESOURCE: content}))


def test_mutants_are_read_or_refused() -> None:
    rng = random.Random(608)
    source = efi.program(rcdata={svn.RESOURCE: VERSION_7, "B": b"x"})
    start = source.index(struct.pack("<12xHHI", 0, 1, 10))
    seen: set[type] = set()
    for _ in range(MUTATIONS):
        data = bytearray(source)
        for _ in range(rng.randrange(1, 4)):
            near = rng.random() < 0.8
            at = rng.randrange(start, start + 200) if near else rng.randrange(0x200)
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            seen.add(type(of(bytes(data))))
        except SigningError:
            seen.add(SigningError)
    assert seen == {Svn, type(None), SigningError}
