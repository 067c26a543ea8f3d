"""SBAT: what shim makes of it, and what real shims and GRUBs say."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from signing import image, resources, sbat
from signing.errors import MalformedError, SigningError
from signing.sbat import Component
from tests.builders import efi

MUTATIONS = int(os.environ.get("EFI_MUTATIONS", "3000"))
SHIM = Path("/usr/lib/shim/shimx64.efi.signed")
GRUB = Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
SECTION = (
    b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
    b"shim,4,UEFI shim,shim,1,https://github.com/rhboot/shim\n"
    b"shim.debian,1,Debian,shim,16.1,https://tracker.debian.org/pkg/shim\n"
)
LEVEL = b"sbat,1,2025051000\nshim,4\ngrub,5\ngrub.proxmox,2\n"


def installed(path: Path, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.is_file(), reason=f"no {path} (Debian package {package})")


def section_of(path: Path, name: str) -> bytes | None:
    with path.open("rb") as stream:
        return resources.section(stream, image.read(stream), name, sbat.LARGEST)


def line(name: str, generation: str) -> bytes:
    return f"{name},{generation},Vendor,package,1.0,https://example.com/\n".encode()


# --- sections -------------------------------------------------------------------------------


def test_components_are_read() -> None:
    found = sbat.components(SECTION)
    assert [(each.name, each.generation) for each in found] == [
        ("sbat", 1),
        ("shim", 4),
        ("shim.debian", 1),
    ]
    assert found[2] == Component(
        "shim.debian", 1, "Debian", "shim", "16.1", "https://tracker.debian.org/pkg/shim"
    )


@pytest.mark.parametrize(
    "section",
    [
        SECTION + bytes(500),
        b"\xef\xbb\xbf" + SECTION,
        SECTION.replace(b"\n", b"\r\n"),
        b"\n\n" + SECTION.replace(b"\n", b"\n\n"),
        SECTION.rstrip(b"\n"),
        SECTION.replace(b"SBAT.md", b"SBAT.md,more,columns"),
        SECTION + b"\0shim,9",
    ],
    ids=["filled up", "mark", "CRLF", "empty lines", "no last break", "columns", "behind a zero"],
)
def test_what_shim_overlooks_is_overlooked(section: bytes) -> None:
    plain = [(each.name, each.generation) for each in sbat.components(SECTION)]
    assert [(each.name, each.generation) for each in sbat.components(section)] == plain


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("7", 7),
        (" 7", 7),
        ("7x", 7),
        ("x", 0),
        ("+3", 3),
        ("65536", 0),  # shim keeps 16 bits
        ("65541", 5),
        ("-1", 65535),
        ("0x10", 0),
        ("9" * 30, int("9" * 30) & 0xFFFF),
    ],
)
def test_generations_are_read_as_shim_reads_them(text: str, generation: int) -> None:
    assert sbat.components(line("grub", text))[0].generation == generation


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (b"shim,4,UEFI shim,shim,1", "line 1 lacks a column"),
        (SECTION + b"grub,5,,grub,2.06,https://example.com", "line 4 lacks a column"),
        (b",1,a,b,c,d", "line 1 lacks a column"),
        (line("grub", "1") * 1025, "1025 lines"),
        (b"a" * (sbat.LARGEST + 1), "65,537 bytes"),
    ],
)
def test_sections_that_shim_could_not_read(section: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        sbat.components(section)


def test_an_empty_section_names_nothing() -> None:
    assert sbat.components(b"") == sbat.components(bytes(512)) == ()


def test_what_is_shown_holds_nothing_for_a_terminal() -> None:
    found = sbat.components(line("grub\x1b[2J\xff", "1"))
    assert found[0].name.isprintable()


# --- levels ---------------------------------------------------------------------------------


def test_a_level_has_a_date_and_minimums() -> None:
    found = sbat.level(LEVEL)
    assert found.date == "2025051000"
    assert found.minimum == {"sbat": 1, "shim": 4, "grub": 5, "grub.proxmox": 2}


def test_of_two_lines_the_first_counts() -> None:
    assert sbat.level(LEVEL + b"shim,9\n").minimum["shim"] == 4


@pytest.mark.parametrize(
    ("value", "problem"),
    [(b"", "names no component"), (bytes(8), "names no component"), (b"shim", "lacks a column")],
)
def test_levels_that_are_refused(value: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        sbat.level(value)


@pytest.mark.parametrize(
    ("component", "generation", "revoked"),
    [
        ("shim", 3, True),
        ("shim", 4, False),
        ("shim", 5, False),
        ("grub", 4, True),
        ("grub.proxmox", 1, True),
        ("grub.debian", 0, False),  # the level does not name it
        ("SHIM", 1, False),  # as shim compares: letter by letter
    ],
)
def test_what_a_level_revokes(component: str, generation: int, revoked: bool) -> None:
    named = sbat.components(SECTION.splitlines(keepends=True)[0] + line(component, str(generation)))
    found = sbat.revoked(named, sbat.level(LEVEL))
    assert (found is not None) == revoked
    if found:
        minimum = sbat.level(LEVEL).minimum[component]
        assert (found.component, found.generation, found.minimum) == (
            component,
            generation,
            minimum,
        )


def test_nothing_is_revoked_where_there_is_no_level() -> None:
    assert sbat.revoked(sbat.components(line("shim", "0")), sbat.NO_LEVEL) is None


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [
        (b"sbat,1,2021030218\n", b"sbat,1,2022052400\ngrub,2\n", 1),
        (b"sbat,1,2025051000\nshim,4\n", b"sbat,1,2025051000\nshim,9\n", 0),
        (b"sbat,1,2025051000\n", b"sbat,1\n", 0),
    ],
)
def test_the_later_of_two_levels(one: bytes, other: bytes, later: int) -> None:
    levels = (sbat.level(one), sbat.level(other))
    assert sbat.later(*levels) is levels[later]


def test_a_shim_brings_two_levels() -> None:
    found = sbat.levels(efi.sbat_levels("sbat,1,2023012900\nshim,2\n", LEVEL.decode()))
    assert found.automatic.minimum == {"sbat": 1, "shim": 2}
    assert found.latest.date == "2025051000"


@pytest.mark.parametrize(
    "section",
    [
        b"",
        efi.sbat_levels("sbat,1", "sbat,1")[:11],
        b"\1" + efi.sbat_levels("sbat,1", "sbat,1")[1:],
        bytes(4) + b"\x04\0\0\0\x08\0\0\0sbat,1",
        bytes(4) + b"\x08\0\0\0\xff\xff\xff\xffsbat,1",
        efi.sbat_levels("", "sbat,1"),
        efi.sbat_levels("sbat,1", "a" * sbat.LARGEST),
    ],
)
def test_levels_of_a_shim_that_are_refused(section: bytes) -> None:
    with pytest.raises(MalformedError):
        sbat.levels(section)


# --- real ones ------------------------------------------------------------------------------


@installed(SHIM, "shim-signed")
def test_a_real_shim() -> None:
    section, levels = section_of(SHIM, sbat.SECTION), section_of(SHIM, sbat.LEVEL_SECTION)
    assert section is not None
    assert levels is not None
    named = {each.name: each.generation for each in sbat.components(section)}
    assert named["shim"] >= 4
    assert named["shim.debian"] >= 1
    found = sbat.levels(levels)
    assert found.automatic.date <= found.latest.date
    assert sbat.revoked(sbat.components(section), found.latest) is None


@installed(GRUB, "grub-efi-amd64-signed")
def test_a_real_grub() -> None:
    section = section_of(GRUB, sbat.SECTION)
    assert section is not None
    named = sbat.components(section)
    assert {"sbat", "grub", "grub.debian"} <= {each.name for each in named}
    assert sbat.revoked(named, sbat.level(b"sbat,1,2099010100\ngrub,999\n")) is not None


# --- hostile --------------------------------------------------------------------------------


def test_mutants_are_read_or_refused() -> None:
    rng = random.Random(607)
    levels = efi.sbat_levels(LEVEL.decode(), LEVEL.decode())
    refused = 0
    for _ in range(MUTATIONS // 3):
        for source, read in (
            (SECTION, sbat.components),
            (LEVEL, sbat.level),
            (levels, sbat.levels),
        ):
            data = bytearray(source)
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] = rng.choice(b"\0,\n\r\xff9\x08")
            try:
                assert read(bytes(data)) is not None
            except SigningError:
                refused += 1
    assert refused


def test_the_largest_text_costs_little() -> None:
    started = time.process_time()
    for text in (b"\n" * sbat.LARGEST, b"," * sbat.LARGEST, b"a,1\n" * (sbat.LARGEST // 4)):
        try:
            sbat.level(text)
        except SigningError:
            continue
    assert time.process_time() - started < 10
