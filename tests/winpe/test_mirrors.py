from __future__ import annotations

from pathlib import Path

import pytest

from winpe import mirrors
from winpe.errors import MirrorError

DEB822 = """\
Types: deb deb-src
# a comment between fields
URIs: http://one.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://one.example/debian-security/
Suites: trixie-security
Components: main contrib
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] http://two.example/debian bookworm main # x
deb-src http://source.example/debian bookworm main
deb http://two.example/debian-security bookworm-security main
"""
VENDOR = "deb [signed-by=/k.gpg] http://vendor.example/apt stable main\n"


def host(tmp_path: Path, **files: str) -> Path:
    """An /etc/apt with these files; "__" in a name stands for a dot."""
    (tmp_path / "sources.list.d").mkdir()
    for name, content in files.items():
        (tmp_path / name.replace("__", ".").replace("PARTS_", "sources.list.d/")).write_text(
            content
        )
    return tmp_path


def test_deb822(tmp_path: Path) -> None:
    found = mirrors.choose(etc_apt=host(tmp_path, PARTS_debian__sources=DEB822))
    assert found == mirrors.Mirrors(
        "http://one.example/debian", "http://one.example/debian-security"
    )


def test_one_line(tmp_path: Path) -> None:
    found = mirrors.choose(etc_apt=host(tmp_path, sources__list=ONE_LINE))
    assert found == mirrors.Mirrors(
        "http://two.example/debian", "http://two.example/debian-security"
    )


def test_a_vendor_that_uses_debians_suite_names_is_not_taken(tmp_path: Path) -> None:
    files = host(tmp_path, PARTS_a__list=VENDOR, PARTS_debian__sources=DEB822)
    assert mirrors.choose(etc_apt=files).main == "http://one.example/debian"


@pytest.mark.parametrize(
    "stanza",
    [
        pytest.param(
            "Types: deb-src\nURIs: http://x/debian\nSuites: sid\nComponents: main", id="src"
        ),
        pytest.param(
            "Enabled: no\nTypes: deb\nURIs: http://x/debian\nSuites: sid\nComponents: main",
            id="off",
        ),
        pytest.param(
            "Types: deb\nURIs: http://x/ubuntu\nSuites: noble\nComponents: main", id="ubuntu"
        ),
        pytest.param(
            "Types: deb\nURIs: http://x/debian\nSuites: sid\nComponents: contrib", id="main"
        ),
        pytest.param("no colon here\n  nor here\n", id="garbage"),
    ],
)
def test_sources_that_are_no_mirror(tmp_path: Path, stanza: str) -> None:
    with pytest.raises(MirrorError) as caught:
        mirrors.choose(etc_apt=host(tmp_path, PARTS_x__sources=stanza))
    assert "--mirror" in caught.value.hint


def test_continued_fields_and_several_addresses() -> None:
    text = "Types: deb\nURIs:\n http://a/debian\n http://b/debian\nSuites: sid\nComponents: main\n"
    assert [entry.uri for entry in mirrors.deb822(text)] == ["http://a/debian", "http://b/debian"]


def test_the_named_mirror_wins_and_brings_its_security_archive(tmp_path: Path) -> None:
    files = host(tmp_path, PARTS_debian__sources=DEB822)
    found = mirrors.choose("http://mine.example/debian/", etc_apt=files)
    assert found == mirrors.Mirrors(
        "http://mine.example/debian", "http://mine.example/debian-security"
    )


def test_a_mirror_without_security_archive_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MirrorError) as caught:
        mirrors.choose("http://mine.example/pool", etc_apt=tmp_path)
    assert "--security-mirror" in caught.value.hint
    assert (
        mirrors.choose("http://m/pool", "http://m/sec", etc_apt=tmp_path).security == "http://m/sec"
    )


def test_passwords_are_not_shown() -> None:
    assert (
        mirrors.shown("fetch http://user:secret@x.example/debian")
        == "fetch http://x.example/debian"
    )
