"""INF files: encodings, syntax, what they install, real ones, hostile bytes."""

from __future__ import annotations

import random
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import inf
from tests.builders import inf as builder
from tests.builders.inf import Driver
from tests.conftest import REAL_DATA, real

MUTANTS = 300  # a campaign may raise this
HEAD = '[Version]\nSignature="$Windows NT$"\n'


def parse(text: str) -> inf.Inf:
    return inf.parse((HEAD + text).encode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_package_in_every_encoding(encoding: str) -> None:
    driver = Driver(provider="Ácme Søftware", content=("acme.dat",))
    told = inf.parse(builder.build(driver, encoding))
    assert told == inf.Inf(
        provider="Ácme Søftware",
        class_name="Net",
        class_guid=builder.NET,
        catalog="acme.cat",
        dated="2024-07-19",
        version="7.11.0.1",
        services=("acme",),
        files=("acme.sys", "acme.dat"),
    )


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_line_ends(end: str) -> None:
    text = builder.text(Driver()).replace("\r\n", end)
    assert inf.parse(text.encode()) == inf.parse(builder.build(Driver()))


@pytest.mark.parametrize(
    ("line", "services"),
    [
        ("AddService=acme,2,x", ("acme",)),
        ("addservice = acme , 0x2 , x", ("acme",)),
        ('AddService = "acme filter",,x', ("acme filter",)),
        ('AddService = "a""b",,x', ('a"b',)),
        ("AddService=ac\\\nme,2,x", ("acme",)),
        ("AddService=acme,2, \\ ; why\n x", ("acme",)),
        ("AddService=%key%,2,x\n[Strings]\nKEY=acme", ("acme",)),
        ('AddService=%KEY%,2,x\n[strings]\nkey="acme" ; it', ("acme",)),
        ("AddService=%unknown%,2,x", ("%unknown%",)),
        ("AddService=100%%,2,x", ("100%",)),
        ("AddService=acme,2,x\nAddService=ACME,,y\nAddService=b,,y", ("acme", "b")),
        ("AddService=,2", ()),
        (";AddService=acme,2,x", ()),
        ("DelService=acme", ()),
    ],
)
def test_services(line: str, services: tuple[str, ...]) -> None:
    assert parse(f"[Install.NTamd64.Services]\n{line}\n").services == services


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("DefaultInstall.Services", True),
        ("X.NT.SERVICES", True),
        ("X.NTx86.6.0.Services", True),
        ("X.NT", False),
        ("X.NT.Services.x", False),
    ],
)
def test_which_sections_add_services(section: str, found: bool) -> None:
    assert bool(parse(f"[{section}]\nAddService=acme,2,x\n").services) == found


def test_a_backslash_does_not_swallow_a_section() -> None:
    told = parse("[SourceDisksNames]\n1=%d%,,,\\x64\\\n[a.Services]\nAddService=acme,,x\n")
    assert told.services == ("acme",)


def test_sections_of_one_name_are_one() -> None:
    told = parse("[a.Services]\nAddService=one,,x\n[b]\n[A.services]\nAddService=two,,x\n")
    assert told.services == ("one", "two")


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("[x]\nCopyFiles=@acme.sys,@ACME.dat\n", ("acme.sys", "acme.dat")),
        (
            "[x]\nCopyFiles=L1, L2\n[L1]\na.sys,b.sy_\n[l2]\n%n%.sys\n[Strings]\nn=c\n",
            ("a.sys", "c.sys"),
        ),
        ("[SourceDisksFiles.amd64]\nacme.sys=1,sub\n", ("acme.sys",)),
        ("[x]\nServiceBinary=%12%\\sub\\Acme.sys\n", ("acme.sys",)),
        ("[x]\nCopyFiles=L1\n[L1]\nhkdrv.sys\n", ("hkdrv.sys",)),
        ("[x]\nCopyFiles=L1\n[L1]\nHKR,,a,,b\n", ()),
        ("[L1]\nunlisted.sys\n", ()),
    ],
)
def test_files(text: str, files: tuple[str, ...]) -> None:
    assert parse(text).files == files


@pytest.mark.parametrize(
    ("text", "dated", "version"),
    [
        ("DriverVer=07/19/2024,1.2.3.4", "2024-07-19", "1.2.3.4"),
        ("DriverVer = 7-9-2024", "2024-07-09", ""),
        ("DriverVer=19/07/2024,1", "", "1"),
        ("DriverVer=", "", ""),
        ("", "", ""),
        ("DriverVer=01/02/2003,1\nDriverVer=04/05/2006,2", "2003-01-02", "1"),
    ],
)
def test_dates(text: str, dated: str, version: str) -> None:
    told = parse(text + "\n")
    assert (told.dated, told.version) == (dated, version)


def test_a_guid_that_is_none() -> None:
    assert parse("ClassGuid={not a guid}\n").class_guid == ""


@pytest.mark.parametrize("data", [b"", b"\0", b"The quick brown fox", b"[Strings]\na=b\n"])
def test_refuses_what_is_no_inf(data: bytes) -> None:
    with pytest.raises(FormatError, match="no \\[Version\\]"):
        inf.parse(data)


def test_refuses_what_is_too_large() -> None:
    with pytest.raises(FormatError, match="more than an INF has"):
        inf.parse(bytes(inf.MAX_BYTES + 1))
    with pytest.raises(FormatError, match="more than 200000 lines"):
        inf.parse(b"\n" * (inf.MAX_LINES + 1))


# --- real files ---------------------------------------------------------------------------

REAL = [str(path.relative_to(REAL_DATA)) for path in sorted(REAL_DATA.glob("signed/**/*.inf"))]


@pytest.mark.parametrize("sample", real(*REAL))
def test_real_files(sample: Path) -> None:
    """What a search for lines finds, tokens aside, is what we tell."""
    data = sample.read_bytes()
    text = data.decode("utf-16" if data[:2] == b"\xff\xfe" else "cp1252")
    told = inf.parse(data)
    assert told.provider
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told.dated)
    assert re.search(
        rf"DriverVer\s*=\s*[0-9/]+\s*,\s*{re.escape(told.version)}\s", text, re.IGNORECASE
    )
    assert told.class_guid in text.lower()
    named = re.findall(r"^\s*AddService\s*=\s*([^,%\s]+)\s*,", text, re.IGNORECASE | re.MULTILINE)
    assert {name.lower() for name in named} <= {name.lower() for name in told.services}
    binaries = re.findall(
        r"^\s*ServiceBinary\s*=\s*%1[23]%\\([^%\s]+)", text, re.IGNORECASE | re.MULTILINE
    )
    assert {name.lower() for name in binaries} <= set(told.files)


@pytest.mark.parametrize("sample", real("signed/brad457_npcap.inf"))
def test_names_made_of_strings(sample: Path) -> None:
    told = inf.parse(sample.read_bytes())
    assert told.services == ("npcap", "npcap_wifi")
    assert (told.catalog, told.files) == ("npcap.cat", ("npcap.sys",))


# --- hostile bytes ------------------------------------------------------------------------


def test_hostile_bytes_fail_in_one_way_only() -> None:
    good = builder.build(Driver(content=("acme.dat",)))
    rng = random.Random(20240719)
    words = (b"%", b'"', b"\\\r\n", b";", b"[", b"]", b"=", b",", b"\xff\xfe", b"[Version]\r\n")
    for _ in range(MUTANTS):
        bad = bytearray(good[: rng.randrange(len(good) + 1)])
        for _ in range(rng.randrange(1, 40)):
            at = rng.randrange(len(bad) + 1)
            bad[at : at + rng.randrange(3)] = rng.choice([rng.randbytes(2), rng.choice(words)])
        with suppress(FormatError):
            inf.parse(bytes(bad))


@given(st.lists(st.sampled_from(['"', ",", "%", ";", "a", " ", "\\", "\n", "="]), max_size=60))
def test_any_order_of_signs(signs: list[str]) -> None:
    told = parse("[x.Services]\nAddService=" + "".join(signs))
    assert len(told.services) <= 1 + signs.count("\n")


@pytest.mark.parametrize(
    "unit",
    [
        b"%",
        b'"',
        b"\\\n",
        b";",
        b"[a]\n",
        b"=,",
        b'",',
        b"CopyFiles=@a\n",
        b"CopyFiles=x,version\n",
    ],
)
def test_two_megabytes_of_anything_take_no_longer(unit: bytes) -> None:
    data = HEAD.encode() + unit * (2_000_000 // len(unit))
    begun = time.process_time()
    with suppress(FormatError):
        inf.parse(data)
    assert time.process_time() - begun < 3
