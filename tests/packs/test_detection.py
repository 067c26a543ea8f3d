"""Does a pack apply? Each kind of condition, each filter, and the three answers."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit import packs
from recoverykit.model import DriverPackage, Evidence, Service, Source, StartType
from recoverykit.packs import Detection, examiner
from tests.builders import pe
from tests.packs import samples
from tests.packs.samples import VERIFY
from tests.repair import target

FILE = "ProgramData/Acme/bad1.bin"
CONTENT = b"\xaa\xaa\xaa\xaa\x01 content"
WHEN = datetime(2024, 7, 19, 4, 30, tzinfo=UTC)
VERSION = pe.driver({"CompanyName": "Acme", "FileVersion": "7.11.2.0"})


def detect(
    mount: Path, conditions: str, evidence: Sequence[Evidence] = (), **install: str
) -> Detection:
    text = "[[act]]\ndelete-value = 'x'\nkey = 'SOFTWARE\\Acme'\n"
    proof = VERIFY.replace('gone = "it"', "key = 'SOFTWARE\\Acme'\nvalue = 'x'\nabsent = true")
    pack = samples.pack(conditions, text, proof)
    return packs.detect(pack, samples.install(mount, **install), evidence)


def file(filters: str = "", pattern: str = r"%ProgramData%\Acme\bad*.bin") -> str:
    return f"[[detect]]\nname = 'it'\nfile = '{pattern}'\n{filters}\n"


@pytest.fixture
def disk(mount: Path) -> Path:
    samples.put(mount, FILE, CONTENT, WHEN)
    samples.put(mount, "ProgramData/Acme/acme.sys", VERSION, WHEN)
    return mount


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ("", True),
        (f"size = {len(CONTENT)}", True),
        (f"size = {len(CONTENT) + 1}", False),
        ('header = "AAAAAAAA01"', True),
        ('header = "AA AA AA AA 02"', False),
        (f'header = "{CONTENT.hex()}00"', False),
        (f'sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"', True),
        (f'sha256 = ["{"0" * 64}", "{hashlib.sha256(CONTENT).hexdigest().upper()}"]', True),
        (f'sha256 = "{"0" * 64}"', False),
        ("modified-from = 2024-07-19T04:30:00Z", True),
        ("modified-from = 2024-07-19T04:30:01Z", False),
        ("modified-before = 2024-07-19T04:30:00Z", False),
        ("modified-before = 2024-07-19T06:30:01+02:00", True),
        ('version-from = "1"', False),  # it has none
        (f'size = {len(CONTENT)}\nheader = "AA"\nmodified-before = 2024-07-20T00:00:00Z', True),
        (f'size = {len(CONTENT)}\nheader = "AB"', False),
    ],
)
def test_files(disk: Path, filters: str, holds: bool) -> None:
    found = detect(disk, file(filters))
    assert found.applies is holds, found
    assert found.of("it").paths == ((FILE,) if holds else ())
    assert [source.path for source in found.of("it").sources] == ([FILE] if holds else [])


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ('version-from = "7.11"', True),
        ('version-from = "7.11.2"', True),
        ('version-from = "7.11.2.1"', False),
        ('version-before = "7.11.2.0"', False),
        ('version-before = "7.11.2.1"', True),
        ('version-from = "7"\nversion-before = "8"', True),
        ('version-before = "7"', False),
    ],
)
def test_versions(disk: Path, filters: str, holds: bool) -> None:
    assert detect(disk, file(filters, r"%ProgramData%\Acme\acme.sys")).applies is holds


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("10.0.19041.1 (WinBuild.160101.0800)", (10, 0, 19041, 1)),
        ("7, 11, 0, 3", (7, 11, 0, 3)),
        (" 1 ", (1,)),
        ("1.2.3.4.5", (1, 2, 3, 4)),
        ("v1.2", None),
        ("", None),
        ("1.٣", None),
    ],
)
def test_versions_as_makers_write_them(text: str, version: tuple[int, ...] | None) -> None:
    assert examiner.numbers(text) == version


def test_more_than_the_pack_foresees_cannot_be_told(disk: Path) -> None:
    for number in range(4):
        samples.put(disk, f"ProgramData/Acme/bad{number}.bin", CONTENT, WHEN)
    assert detect(disk, file("most = 4")).applies is True
    found = detect(disk, file("most = 3"))
    assert found.applies is None
    assert "more than 3 files fit" in found.text
    assert found.of("it").paths == ()


def test_what_cannot_be_read_cannot_be_told(disk: Path) -> None:
    os.mkfifo(disk / "ProgramData/Acme/bad2.bin")
    assert detect(disk, file('header = "AA"')).applies is True  # a pipe is no file
    (disk / "ProgramData/Acme").rename(disk / "ProgramData/Real")
    (disk / "ProgramData/Acme").symlink_to("Real")
    found = detect(disk, file())
    assert found.applies is None
    assert "was not followed" in found.text


def test_hashing_has_an_end(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examiner, "MOST_HASHED", 10)
    assert detect(disk, file(f'sha256 = "{"0" * 64}"')).applies is None
    assert detect(disk, file(f'sha256 = "{"0" * 64}"\nsize = 1')).applies is False


# --- drivers, packages, values ------------------------------------------------------------


def acme(**changes: object) -> Service:
    return target.service(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "services", "holds"),
    [
        ("driver = 'ACME Filter.sys'", [acme()], True),
        ("driver = 'other.sys'", [acme()], False),
        ("driver = 'acme filter.sys'", [], False),
        ("driver = 'acme filter.sys'", [acme(start=StartType.DISABLED)], False),
        ("driver = 'acme filter.sys'\nstart = 'disabled'", [acme(start=StartType.DISABLED)], True),
        ("driver = 'acme filter.sys'\nstart = ['auto']", [acme()], False),
        ("service = 'ACME'", [acme()], True),
        ("service = 'acme filter'", [acme()], False),
        ("service = 'acme'\nversion-from = '1'", [acme()], False),  # its file is no executable
        ("service = 'acme'\nheader = '4D 5A 20'", [acme()], True),
        ("service = 'acme'", [acme(path=None)], True),
        ("service = 'acme'\nsize = 8000", [acme(path=None)], False),
    ],
)
def test_drivers(mount: Path, condition: str, services: list[Service], holds: bool) -> None:
    found = detect(mount, f"[[detect]]\nname = 'it'\n{condition}\n", services)
    assert found.applies is holds, found
    assert found.of("it").services == (tuple(services) if holds else ())


def test_without_a_registry_no_driver_can_be_told(mount: Path) -> None:
    from dataclasses import replace

    pack = samples.pack(
        "[[detect]]\nname = 'it'\nservice = 'acme'\n",
        samples.ACT,
        "[[verify]]\ndisabled = 'acme'\n",
    )
    install = replace(samples.install(mount), control_set=0)
    found = packs.detect(pack, install, ())
    assert found.applies is None
    assert "cannot be read" in found.text


def package(**changes: str) -> DriverPackage:
    known = {
        "published": "oem3.inf",
        "original": "Acme.inf",
        "provider": "Acme",
        "version": "2.5.0",
    }
    given = {**known, **changes}
    return DriverPackage(
        Source("Windows/INF/oem3.inf"),
        given["published"],
        given["original"],
        given["provider"],
        "",
        given["version"],
        "",
        (),
        (),
        "",
    )


@pytest.mark.parametrize(
    ("condition", "found", "holds"),
    [
        ("", package(), True),
        ("", package(original="other.inf"), False),
        ("provider = 'ACME'", package(), True),
        ("provider = 'Acme Ltd'", package(), False),
        ("version-before = '2.5.0.1'", package(), True),
        ("version-before = '2.5'", package(), False),
        ("version-from = '1'", package(version="unknown"), False),
    ],
)
def test_packages(mount: Path, condition: str, found: DriverPackage, holds: bool) -> None:
    text = f"[[detect]]\nname = 'it'\npackage = 'acme.inf'\n{condition}\n"
    assert detect(mount, text, [found]).applies is holds


@pytest.mark.parametrize(
    ("key", "value", "data", "holds"),
    [
        ("SOFTWARE\\acme\\AGENT", "mode", "", True),
        ("SOFTWARE\\Acme\\Agent", "Mode", "type = 'dword'\ndata = 1", True),
        ("SOFTWARE\\Acme\\Agent", "Mode", "type = 'dword'\ndata = 2", False),
        ("SOFTWARE\\Acme\\Agent", "Mode", "type = 'qword'\ndata = 1", False),
        ("SOFTWARE\\Acme\\Agent", "Name", "type = 'sz'\ndata = 'agent'", True),
        ("SOFTWARE\\Acme\\Agent", "None", "", False),
        ("SOFTWARE\\Nobody", "Mode", "", False),
        ("SYSTEM\\CurrentControlSet\\Services\\acme", "Start", "type = 'dword'\ndata = 0", True),
        ("SYSTEM\\Select", "Current", "type = 'dword'\ndata = 1", True),
    ],
)
def test_values(mount: Path, key: str, value: str, data: str, holds: bool) -> None:
    text = f"[[detect]]\nname = 'it'\nkey = '{key}'\nvalue = '{value}'\n{data}\n"
    assert detect(mount, text).applies is holds


def test_a_damaged_hive_cannot_be_told(mount: Path) -> None:
    path = mount / "Windows/System32/config/SOFTWARE"
    path.write_bytes(b"regf" + bytes(8000))
    text = "[[detect]]\nname = 'it'\nkey = 'SOFTWARE\\Acme'\nvalue = 'x'\n"
    assert detect(mount, text).applies is None


# --- together -----------------------------------------------------------------------------


def named(name: str, answer: bool | None) -> str:
    """A condition that comes to this answer on `disk`."""
    files = {True: "bad1.bin", False: "nowhere.bin", None: "link.bin"}
    folder = "Link" if answer is None else "Acme"
    return f"[[detect]]\nname = '{name}'\nfile = '%ProgramData%\\{folder}\\{files[answer]}'\n"


@pytest.mark.parametrize(
    ("when", "answers", "applies"),
    [
        ("", (True, True), True),
        ("", (True, False), False),
        ("", (True, None), None),
        ("", (None, False), False),  # whatever the other one may be
        ("any = ['a', 'b']", (False, True), True),
        ("any = ['a', 'b']", (None, True), True),
        ("any = ['a', 'b']", (False, None), None),
        ("any = ['a', 'b']", (False, False), False),
        ("all = ['a']\nnone = ['b']", (True, False), True),
        ("all = ['a']\nnone = ['b']", (True, True), False),
        ("all = ['a']\nnone = ['b']", (True, None), None),
        ("all = ['a']\nany = ['b']", (True, False), False),
    ],
)
def test_conditions_combined(
    disk: Path, when: str, answers: tuple[bool | None, ...], applies: bool | None
) -> None:
    (disk / "ProgramData/Link").symlink_to("Acme")
    conditions = "".join(named(name, answer) for name, answer in zip("ab", answers, strict=True))
    found = detect(disk, conditions + (f"[when]\n{when}\n" if when else ""))
    assert tuple(seen.holds for seen in found.seen) == answers
    assert found.applies is applies


@pytest.mark.parametrize(
    ("only", "install", "applies"),
    [
        ("build-from = '19041'", {}, True),
        ("build-from = '19045.4652'", {}, False),
        ("build-from = '19045.4651'\nbuild-before = '19045.4652'", {}, True),
        ("build-before = '19045'", {}, False),
        ("build-from = '10240'", {"build": ""}, None),
        ("architecture = ['x64']", {}, True),
        ("architecture = ['x86', 'arm64']", {}, False),
        ("architecture = 'x64'", {"architecture": ""}, None),
        ("product = 'windows 1? *'", {}, True),
        ("product = 'Windows Server*'", {}, False),
        ("product = 'Windows*'", {"product": ""}, None),
        ("product = 'Windows Server*'", {"build": ""}, False),
    ],
)
def test_only_some_windows(disk: Path, only: str, install: dict[str, str], applies: object) -> None:
    found = detect(disk, file() + f"[only]\n{only}\n", (), **install)
    assert found.applies is applies
    assert bool(found.seen) is (applies is True)


def test_a_dword_is_read_as_the_registry_has_it(mount: Path) -> None:
    target.set_value(mount, target.SERVICE, "Mask", 0x80000001)
    data = struct.unpack("<I", struct.pack("<I", 0x80000001))[0]
    key = "SYSTEM\\CurrentControlSet\\Services\\acme"
    text = f"[[detect]]\nname='it'\nkey='{key}'\nvalue='Mask'\ntype='dword'\ndata={data}\n"
    assert detect(mount, text).applies is True
