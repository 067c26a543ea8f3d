"""Sections and resources of executables: by hand, and binutils' opinion of real ones."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from signing import image, resources
from signing.errors import MalformedError
from tests.builders import efi
from tests.conftest import need, real
from tests.signing.test_sbat import GRUB, SHIM, installed

LONG = ".longer-than-eight"


def find(program: bytes, name: str, kind: int = resources.RCDATA, most: int = 64) -> bytes | None:
    stream = io.BytesIO(program)
    return resources.find(stream, image.read(stream), kind, name, most)


def section(program: bytes, name: str, most: int = 4096) -> bytes | None:
    stream = io.BytesIO(program)
    return resources.section(stream, image.read(stream), name, most)


@pytest.mark.parametrize("name", [".sbat", LONG, "eight.by"])
def test_a_section_is_found_by_its_name(name: str) -> None:
    program = efi.program({"other": b"x", name: b"content"})
    assert section(program, name) == b"content"
    assert section(program, name[:-1]) is None


def test_what_fills_a_section_up_is_left_out() -> None:
    assert section(efi.program({".a": bytes(513)}), ".a") == bytes(513)


def test_a_section_that_is_too_large_is_refused() -> None:
    with pytest.raises(MalformedError, match="4,097 bytes are too many"):
        section(efi.program({".a": bytes(4097)}), ".a")


@pytest.mark.parametrize("place", [b"\xff\xff\xff\x7f", b"\0\0\0\0"])
def test_names_that_lie_nowhere_are_nobodys(place: bytes) -> None:
    program = bytearray(efi.program({LONG: b"content"}))
    program[0x40 + 12 : 0x40 + 16] = place
    assert section(bytes(program), LONG) is None


def test_a_resource_is_found_by_type_and_name() -> None:
    program = efi.program(rcdata={"ONE": b"first", "TWO": b"second", "TWOS": b""})
    assert find(program, "ONE") == b"first"
    assert find(program, "TWO") == b"second"
    assert find(program, "TWOS") == b""
    assert find(program, "THREE") is None
    assert find(program, "ONE", kind=16) is None
    assert find(efi.program(), "ONE") is None


TREE = efi.resources({"ONE": b"first"}, 0x2000)


def with_tree(at: int, value: int, size: int = 4) -> bytes:
    program = efi.program(rcdata={"ONE": b"first"})
    start = program.index(TREE) + at
    return program[:start] + value.to_bytes(size, "little") + program[start + size :]


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (with_tree(12, 0xFFFF, 2), "65536 entries"),
        (with_tree(20, 0x18), "fewer than three levels"),
        (with_tree(44, 0x30), "fewer than three levels"),
        (with_tree(68, 0x8000_0010), "more than three levels"),
        (with_tree(20, 0xFFFF_FFFF), "the file ends"),
        (with_tree(40, 0xFFFF_FFFF), "the file ends"),
        (with_tree(72, 0xFFFF_0000), "nothing in the file lies at 0xffff0000"),
        (with_tree(76, 65), "a resource of 65 bytes"),
    ],
)
def test_damaged_trees_are_refused(program: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        find(program, "ONE")


def test_a_tree_that_leads_back_to_itself_ends() -> None:
    """Three steps are taken, whatever they say: the names are those of the types then."""
    assert find(with_tree(20, 0x8000_0000), "ONE") is None


def dumped(path: Path, name: str, folder: Path) -> bytes:
    made = folder / "section"
    subprocess.run(
        ["objcopy", "-O", "binary", "-j", name, str(path), str(made)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return made.read_bytes()


@need("objcopy")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param(SHIM, ".sbat", marks=installed(SHIM, "shim-signed")),
        pytest.param(SHIM, ".sbatlevel", marks=installed(SHIM, "shim-signed")),
        pytest.param(SHIM, ".vendor_cert", marks=installed(SHIM, "shim-signed")),
        pytest.param(GRUB, ".sbat", marks=installed(GRUB, "grub-efi-amd64-signed")),
    ],
)
def test_binutils_find_the_same(path: Path, name: str, tmp_path: Path) -> None:
    found = section(path.read_bytes(), name, 1 << 20)
    assert found is not None
    peer = dumped(path, name, tmp_path)
    assert peer.startswith(found)
    assert not any(peer[len(found) :])


@pytest.mark.parametrize("path", real("signed/winefi_bootmgfw.efi"))
def test_resources_of_a_real_boot_manager(path: Path) -> None:
    """pefile lists these two as well, with these sizes."""
    program = path.read_bytes()
    assert find(program, "SECURITYVERSIONNUMBER") == bytes.fromhex("01000000")
    messages = find(program, "BOOTMGR.XSL", kind=23, most=1 << 16)
    assert messages is not None
    assert (len(messages), b"xsl:stylesheet" in messages.replace(b"\0", b"")) == (50522, True)
    assert find(program, "BOOTMGR.XSL") is None
