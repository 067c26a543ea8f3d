"""setupapi.dev.log: sections, what they tell, real logs, hostile bytes."""

from __future__ import annotations

import random
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import setupapi
from recoverykit.model import DriverInstall
from tests.builders import setupapi as builder
from tests.builders.setupapi import Package, entry, section
from tests.conftest import read_real, real

MUTANTS = 150  # a campaign may raise this
WHEN = datetime(2024, 7, 19, 10, 11, 12, 345_000, tzinfo=UTC)
ACME = Package()


def parse(*sections: str) -> tuple[DriverInstall, ...]:
    return setupapi.parse(builder.build(sections), "Windows/INF/setupapi.dev.log", 300).installs


def test_an_import() -> None:
    (install,) = parse(builder.imported(ACME, WHEN))
    assert install.when == WHEN
    assert install.bias == 300
    assert install.title.startswith("SetupCopyOEMInf - C:\\Program Files\\")
    assert (install.inf, install.original) == ("oem7.inf", "acme.inf")
    assert install.files == ("acme.sys",)
    assert install.services == ()
    assert install.status == "SUCCESS"


def test_a_device_install() -> None:
    (install,) = parse(builder.installed(ACME, WHEN))
    assert (install.inf, install.original) == ("oem7.inf", "acme.inf")
    assert (install.services, install.files) == (("acme",), ("acme.sys",))


def test_a_servicing_section_has_no_single_package() -> None:
    packages = [Package("oem1.inf", f"inbox{n}.inf", f"inbox{n}") for n in range(3)]
    (install,) = parse(builder.serviced(packages, WHEN))
    assert (install.inf, install.original) == ("", "")
    assert install.files == ("inbox0.sys", "inbox1.sys", "inbox2.sys")


def test_lines_are_counted_from_one() -> None:
    log = builder.build([builder.boot(WHEN), builder.imported(ACME, WHEN)])
    (install,) = setupapi.parse(log).installs
    assert install.source.offset is not None
    line = log.decode().splitlines()[install.source.offset - 1]
    assert line.startswith(">>>  [SetupCopyOEMInf")


def test_a_section_the_machine_died_in() -> None:
    dying = section("Device Install (Hardware initiated) - USB\\VID_1", WHEN, status=None)
    (install,) = parse(dying)
    assert install.status == ""
    first, second = parse(dying, builder.imported(ACME, WHEN))
    assert (first.status, second.status) == ("", "SUCCESS")


def test_errors_and_failure() -> None:
    body = [
        entry("dvs", 1, "Device install failed for device.", "!!!"),
        entry("dvs", 1, "Error 32: Der Prozeß kann nicht zugreifen.", "!!!"),
        entry("ndv", 0, "Unable to find any matching devices.", "!"),
    ]
    (install,) = parse(section("Device Install - PCI\\VEN_1", WHEN, body, "FAILURE(0xe0000246)"))
    assert install.status == "FAILURE(0xe0000246)"
    assert install.errors == (
        "dvs: Device install failed for device.",
        "dvs: Error 32: Der Prozeß kann nicht zugreifen.",
    )


def test_text_in_a_code_page() -> None:
    text = section("Device Install - X", WHEN, [entry("flq", 0, "Zugriff für", "!!!")])
    (install,) = setupapi.parse((builder.HEAD + text).encode("cp1252")).installs
    assert install.errors == ("flq: Zugriff für",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_copies_in_other_encodings(encoding: str) -> None:
    text = builder.HEAD + builder.imported(ACME, WHEN)
    assert setupapi.parse(text.encode(encoding)).installs == parse_plain(text)


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends(end: str) -> None:
    text = builder.HEAD + builder.installed(ACME, WHEN)
    assert setupapi.parse(text.replace("\n", end).encode()).installs == parse_plain(text)


def parse_plain(text: str) -> tuple[DriverInstall, ...]:
    return setupapi.parse(text.encode()).installs


def test_the_frame_as_documented_for_vista() -> None:
    text = (
        ">>>  [Device Install - PCI\\VEN_104C&DEV_8019]\n"
        ">>>  2005/02/13 22:06:28.109: Section start\n"
        "     inf: AddService=acme,0x00000002,acme_Service  (oem7.inf line 40)\n"
        "     dvi: Add Service: Created service 'acme'.\n"
        "<<<  [2005/02/13 22:06:29.000: Section end]\n"
        "<<<  [Exit Status(0x00000000)]\n"
    )
    (install,) = setupapi.parse(text.encode()).installs
    assert install.when == datetime(2005, 2, 13, 22, 6, 28, 109_000, tzinfo=UTC)
    assert (install.services, install.inf) == (("acme",), "oem7.inf")
    assert install.status == "0x00000000"


@pytest.mark.parametrize(
    ("line", "services"),
    [
        (entry("inf", 3, "{Add Service: acme}"), ("acme",)),
        (entry("inf", 3, "{Add Service: exit(0x00000000)}"), ()),
        (entry("inf", 4, "Created new service 'Acme Filter'."), ("Acme Filter",)),
        (entry("inf", 4, "Updated service 'acme'."), ("acme",)),
        (entry("dvi", 4, "Add Service: Modified existing service 'acme'."), ("acme",)),
        (entry("inf", 0, "AddService=acme,0x00000002,acme_Inst  (oem3.inf line 8)"), ("acme",)),
        (entry("inf", 4, "Service Name  = acme"), ("acme",)),
        (entry("inf", 4, "Service Name  = <none>"), ()),
        (entry("inf", 0, "Duplicate service 'acme' in section [x].", "!"), ()),
    ],
)
def test_services(line: str, services: tuple[str, ...]) -> None:
    text = builder.HEAD + section("Device Install - X", WHEN, ["", line], status=None)
    (install,) = parse_plain(text)
    assert install.services == services


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("Image Path    = \\SystemRoot\\System32\\drivers\\ACME.SYS", ("acme.sys",)),
        ("Image Path    = acme.sys", ("acme.sys",)),
        ("Copying 'C:\\a\\my driver.sys' to 'C:\\b\\my driver.sys'.", ("my driver.sys",)),
        ("Hardlinking 'C:\\a\\a.sys' to 'C:\\b\\b.sys'.", ("a.sys", "b.sys")),
        ("Copying 'C:\\a\\a.system' to 'C:\\b\\b.sysx'.", ()),
    ],
)
def test_files(line: str, files: tuple[str, ...]) -> None:
    text = section("Device Install - X", WHEN, ["", entry("flq", 2, line)], status=None)
    (install,) = parse_plain(builder.HEAD + text)
    assert install.files == files


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        pytest.param(
            (
                "InfName      - C:\\Windows\\INF\\oem5.inf",
                "InfFile     - [c:\\windows\\inf\\oem9.inf]",
            ),
            ("oem9.inf", ""),
            id="the selected of two candidates (Windows 7)",
        ),
        pytest.param(
            ("Driver INF     - oem2.inf (C:\\W\\vmci.inf_amd64_5e38a278d114b813\\vmci.inf)",),
            ("oem2.inf", "vmci.inf"),
            id="published, with its folder",
        ),
        pytest.param(
            ("InfFile     - [c:\\filerepository\\nettun.inf_amd64_73be4b5cbfb3a9a0\\nettun.inf]",),
            ("nettun.inf", "nettun.inf"),
            id="a package of Windows itself",
        ),
        pytest.param(
            ("Registered driver package 'gp-58.inf_amd64_neutral_93da6967' with 'oem4.inf'.",),
            ("oem4.inf", "gp-58.inf"),
            id="a Windows 7 folder name",
        ),
        pytest.param(("nothing",), ("", ""), id="not told"),
    ],
)
def test_which_package(lines: tuple[str, ...], named: tuple[str, str]) -> None:
    body = [entry("dvi", 1, line) for line in lines]
    (install,) = parse(section("Device Install - PCI\\VEN_1", WHEN, body, status=None))
    assert (install.inf, install.original) == named


@pytest.mark.parametrize(
    "title",
    [
        "Enable Device Install",
        "Disable Device Install",
        "Sysprep Respecialize - {804b345a}",
        "Device Installation Restrictions Policy Check",
        "Delete Device - SWD\\MMDEVAPI\\{0.0.0.00000000}",
    ],
)
def test_sections_about_something_else(title: str) -> None:
    assert parse(section(title, WHEN, [entry("inf", 0, "Service Name  = acme")])) == ()


def test_sections_that_did_nothing_are_left_out() -> None:
    assert parse(section("Uninstall Driver Updates", WHEN)) == ()


def test_only_the_newest_are_kept() -> None:
    text = builder.imported(ACME, WHEN)
    log = setupapi.parse(builder.build([text] * (setupapi.MAX_INSTALLS + 5)))
    assert log.sections == setupapi.MAX_INSTALLS + 5
    assert len(log.installs) == setupapi.MAX_INSTALLS


def test_an_end_of_a_log_begins_with_its_first_whole_section() -> None:
    data = builder.build([builder.imported(ACME, WHEN), builder.installed(ACME, WHEN)])
    middle = data.index(b"Registered driver")
    (install,) = setupapi.parse(data[middle:]).installs
    assert install.services == ("acme",)


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"\r\n", builder.HEAD.encode()])
def test_nothing_logged_yet(data: bytes) -> None:
    assert setupapi.parse(data) == setupapi.Log(0, None, None, ())


def test_refuses_what_is_no_such_log() -> None:
    with pytest.raises(FormatError, match="no section"):
        setupapi.parse(b"The quick brown fox")


def test_refuses_more_sections_than_any_log_has() -> None:
    with pytest.raises(FormatError, match="more than 100000 sections"):
        setupapi.parse(b"\n>>>  [" * (setupapi.MAX_SECTIONS + 1))


def test_refuses_the_format_of_windows_xp() -> None:
    text = b"[2001/11/27 22:13:36 180.12]\r\nMunged cmdline: setup -newsetup\r\n"
    with pytest.raises(FormatError, match="Windows XP"):
        setupapi.parse(text)


# --- real logs ----------------------------------------------------------------------------

# Sections as grep counts headers; those about drivers; services and files named in all of these.
REAL = {
    "bootlogs/setupapi_plaso.log": (194, 24, 33, 52),
    "bootlogs/setupapi_win10_rathbun.log.xz": (25, 19, 41, 50),
    "bootlogs/setupapi_win11_rathbun.log.xz": (26, 19, 40, 48),
}


@pytest.mark.parametrize("sample", real(*REAL))
def test_real_logs(sample: Path) -> None:
    data = read_real(sample)
    log = setupapi.parse(data, sample.name)
    sections, installs, services, files = REAL[f"bootlogs/{sample.name}"]
    assert log.sections == len(re.findall(rb"^>>>  \[", data, re.MULTILINE)) == sections
    assert len(log.installs) == installs
    assert len({name.lower() for item in log.installs for name in item.services}) == services
    assert len({name for item in log.installs for name in item.files}) == files
    assert all(item.when and item.status for item in log.installs)
    said = data.decode().splitlines()
    for item in log.installs:
        assert item.source.offset is not None
        assert item.title in said[item.source.offset - 1]


@pytest.mark.parametrize("sample", real("bootlogs/setupapi_win11_rathbun.log.xz"))
def test_a_real_machine_gets_its_vmware_tools(sample: Path) -> None:
    installs = setupapi.parse(read_real(sample)).installs
    published = {item.inf: item.original for item in installs if item.inf.startswith("oem")}
    assert published == {
        "oem0.inf": "prnms009.inf",
        "oem1.inf": "prnms001.inf",
        "oem2.inf": "vmci.inf",
        "oem3.inf": "efifw.inf",
        "oem4.inf": "vmxnet3.inf",
        "oem5.inf": "pvscsi.inf",
        "oem6.inf": "vmusbmouse.inf",
        "oem7.inf": "vmmouse.inf",
        "oem8.inf": "vm3d.inf",
    }


@pytest.mark.parametrize("sample", real("bootlogs/setupapi_win2000.log"))
def test_a_real_log_of_windows_2000(sample: Path) -> None:
    with pytest.raises(FormatError, match="Windows XP and older"):
        setupapi.parse(read_real(sample))


# --- hostile bytes ------------------------------------------------------------------------


def in_service(package: Package, when: datetime) -> str:
    return builder.serviced([package], when)


def test_hostile_bytes_fail_in_one_way_only() -> None:
    kinds = (builder.imported, builder.installed, in_service)
    good = builder.build(make(ACME, WHEN) for make in kinds)
    rng = random.Random(20240719)
    words = (b"\n>>>", b">>>  [", b"<<<", b"oem", b".inf", b".sys", b" service '", b"\n!!!", b"\n")
    for _ in range(MUTANTS):
        bad = bytearray(good[: rng.randrange(len(good) + 1)])
        for _ in range(rng.randrange(1, 40)):
            at = rng.randrange(len(bad) + 1)
            bad[at : at + rng.randrange(3)] = rng.choice([rng.randbytes(3), rng.choice(words)])
        with suppress(FormatError):
            setupapi.parse(bytes(bad))


@given(st.lists(st.sampled_from([">>>  [Device Install", "]", "\n", "<<<", "oem1.inf", "x"])))
def test_any_order_of_words(words: list[str]) -> None:
    with suppress(FormatError):
        log = setupapi.parse("".join(words).encode())
        assert log.sections == len(re.findall(r"^>>>  \[", "".join(words), re.MULTILINE))


@pytest.mark.parametrize(
    "unit",
    [b">>>", b"\n>>>  [Install", b"\n>>>\n<<<", b".sys", b"oem1.inf", b"oem1.inf\n", b" service '"],
)
def test_a_megabyte_of_anything_takes_no_longer(unit: bytes) -> None:
    data = b">>>  [Device Install]\n" + unit * (1_000_000 // len(unit))
    begun = time.process_time()
    with suppress(FormatError):
        setupapi.parse(data)
    assert time.process_time() - begun < 2
