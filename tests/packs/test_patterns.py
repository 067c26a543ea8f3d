"""Paths of packs: what stays inside the volume, and what fits a name."""

from __future__ import annotations

import fnmatch
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import RecoveryKitError, TargetRefusedError, UsageError
from recoverykit.packs import patterns, search
from tests.packs import samples

ESCAPES = [
    "",
    ".",
    "..",
    r"..\Windows",
    r"%SystemRoot%\..\..\x",
    r"%SystemRoot%\System32\..\config\SAM",
    r"%SystemRoot%/../x",
    r"Windows\.\x",
    r"Windows\...\x",
    r"Windows\. .\x",
    r"Windows\.. \x",
    r"Windows\x.",
    "Windows\\x ",
    r"Windows\ x\y",
    r"C:\Windows\x",
    r"C:Windows\x",
    r"\Windows\x",
    r"/Windows/x",
    r"\\server\share\x",
    r"\\?\C:\Windows\x",
    r"\\.\PhysicalDrive0",
    r"\??\C:\Windows\x",
    r"\SystemRoot\System32\x",
    r"\Device\HarddiskVolume1\x",
    r"Windows\\x",
    "Windows\\x\\",
    "Windows//x",
    r"Windows\x:stream",
    r"Windows\x::$DATA",
    r"Windows:$I30:$INDEX_ALLOCATION\x",
    r"$MFT",
    r"$Extend\$UsnJrnl",
    r"Windows\NUL",
    r"Windows\nul.txt",
    r"Windows\con.sys",
    r"Windows\COM1",
    r"Windows\com¹.log",
    r"Windows\LPT9.x.y",
    r"Windows\CONOUT$",
    r"%TEMP%\x",
    r"%SystemRoot%",
    r"%SystemRoot%x\y",
    r"%SystemRoot",
    r"%%\x",
    r"Windows\%TEMP%\x",
    r"Windows\x|y",
    r"Windows\x<y",
    'Windows\\x"y',
    "Windows\\x\ny",
    "Windows\\x\0y",
    "Windows\\x\u202egnp.sys",
    "Windows\\" + "a" * 256,
    "\\".join("a" * 40),
    "a" * 500,
    # wildcards
    r"*",
    r"Windows\*",
    r"Windows\*.*",
    r"Windows\*.s?",
    r"Windows\??",
    r"*indows\x",
    r"?indows\System32\x.sys",
    r"Windows\*32\x.sys",
    r"Windows\Sys*\dri*\x.sys",
    r"%SystemDrive%\Win*\x.sys",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_every_way_out_is_refused_by_its_spelling(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        patterns.parse(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (r"%SystemRoot%\System32\drivers\x.sys", "WINNT/System32/drivers/x.sys"),
        (r"%windir%/Temp/x-*.tmp", "WINNT/Temp/x-*.tmp"),
        (r"%SystemDrive%\Acme\x.bin", "Acme/x.bin"),
        (r"%ProgramFiles%\Acme\x", "Program Files/Acme/x"),
        (r"%ProgramFiles(x86)%\Acme\x", "Program Files (x86)/Acme/x"),
        (r"%PROGRAMDATA%\Acme\x", "ProgramData/Acme/x"),
        (r"Windows\System32\x.y.z", "Windows/System32/x.y.z"),
        (r"Users\Public\..x\.y", "Users/Public/..x/.y"),
        (r"Windows\nullify.sys", "Windows/nullify.sys"),
        (r"Windows\DriverStore\acme.inf_*\acme.sys", "Windows/DriverStore/acme.inf_*/acme.sys"),
    ],
)
def test_what_stays_inside(text: str, path: str) -> None:
    assert "/".join(patterns.parse(text).path("WINNT")) == path


@given(st.text(max_size=60))
def test_no_text_leads_out(text: str) -> None:
    try:
        parts = patterns.parse(text).path("Windows")
    except UsageError:
        return
    for part in parts:
        assert part.strip(". ") != ""
        assert not set(part) & set('/\\:<>"|\0')
        assert part[-1] not in ". "


NAMES = st.text(alphabet="ab.-", max_size=12)


@given(NAMES, st.text(alphabet="ab.-*?", max_size=10))
def test_wildcards_are_those_everybody_knows(name: str, pattern: str) -> None:
    """An independent judge: fnmatch, which has no other wildcards in this alphabet."""
    expected = re.match(fnmatch.translate(pattern), name) is not None
    assert patterns.fits(name, pattern) is expected


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("C-00000291-0.SYS", "c-00000291*.sys", True),
        ("c-00000291.sys", "C-00000291*.SYS", True),
        ("c-00000292-0.sys", "C-00000291*.sys", False),
        ("Öl.bin", "öl.*", True),
        ("[a].bin", "[a].*", True),
        ("a.bin", "[a].*", False),
        ("abc", "a*b*c*", True),
        ("", "***", True),
    ],
)
def test_case_and_brackets(name: str, pattern: str, fits: bool) -> None:
    assert patterns.fits(name, pattern) is fits


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    assert not patterns.fits("a" * 255, "a*" * 127 + "b")
    assert time.monotonic() - began < 1


# --- on a disk ----------------------------------------------------------------------------


def find(mount: Path, text: str) -> list[str]:
    return search.find(samples.install(mount), patterns.parse(text))


def test_files_are_found_in_any_case(mount: Path) -> None:
    samples.july(mount)
    for text in (
        r"%SystemRoot%\system32\DRIVERS\crowdstrike\c-00000291*.SYS",
        r"%systemroot%\System32\drivers\Crowd*\C-00000291*.sys",
        r"windows\system32\drivers\crowdstrike\C-00000291-00000000-0000003?.sys",
    ):
        assert [path.rpartition("-")[2] for path in find(mount, text)] == [
            "00000032.sys",
            "00000033.sys",
        ]
    assert find(mount, r"%SystemRoot%\System32\nowhere\C-*.sys") == []
    assert find(mount, r"%SystemRoot%\System32\drivers\good.sys\good.sys") == []


def test_folders_and_links_are_not_found(mount: Path) -> None:
    folder = mount / "ProgramData/Acme"
    (folder / "bad1.bin").mkdir(parents=True)
    (folder / "bad2.bin").symlink_to(mount / "Windows/System32/config/SYSTEM")
    (folder / "bad3.bin").write_bytes(b"x")
    (mount / "ProgramData/Acmf").symlink_to("Acme")
    assert find(mount, r"%ProgramData%\Acme\bad*.bin") == ["ProgramData/Acme/bad3.bin"]
    assert find(mount, r"%ProgramData%\Acm?\bad*.bin") == ["ProgramData/Acme/bad3.bin"]


def test_a_link_on_the_way_is_not_followed(mount: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/bad.bin").write_bytes(b"x")
    (mount / "ProgramData").mkdir()
    (mount / "ProgramData/Acme").symlink_to(tmp_path / "outside")
    found = patterns.parse(r"%ProgramData%\Acme\bad*.bin")
    with pytest.raises(TargetRefusedError, match="link"):
        search.find(samples.install(mount), found)


def test_more_names_than_it_looks_at(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        samples.put(mount, f"ProgramData/Acme/bad{number}.bin", b"x")
    monkeypatch.setattr(search, "MOST_NAMES", 10)
    with pytest.raises(RecoveryKitError, match="more than 10 names"):
        find(mount, r"%ProgramData%\Acme\bad*.bin")
    monkeypatch.setattr(search, "MOST_NAMES", 100)
    monkeypatch.setattr(search, "MOST_FILES", 10)
    with pytest.raises(RecoveryKitError, match="more than 10 names fit"):
        find(mount, r"%ProgramData%\Acme\bad*.bin")
