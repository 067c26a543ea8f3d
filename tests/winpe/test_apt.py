from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from winpe import apt, cache
from winpe.errors import DownloadError
from winpe.mirrors import Mirrors
from winpe.progress import Progress

LISTING = """\
NOTE: something apt says
'http://m.example/pool/z/zstd_1.5%2b1-1_amd64.deb' zstd_1.5+1-1_amd64.deb 100 SHA256:aa
'http://m.example/pool/b/bash_1%3a5.2_amd64.deb' bash_1%3a5.2_amd64.deb 2000 SHA256:bb
"""


def test_listing_of_a_closure() -> None:
    found = [(item.name, item.version, item.size) for item in apt.parse_uris(LISTING)]
    assert found == [("bash", "1:5.2", 2000), ("zstd", "1.5+1-1", 100)]


def repository(root: Path) -> Path:
    """A Debian archive of one package, whose index nobody has signed."""
    for suite in ("bookworm", "bookworm-updates", "bookworm-security"):
        index = root / f"dists/{suite}/main/binary-amd64/Packages"
        index.parent.mkdir(parents=True)
        index.write_text("")
        release = f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nComponents: main\n"
        date = "Date: Sat, 01 Aug 2026 00:00:00 UTC\n"
        (root / f"dists/{suite}/Release").write_text(release + date)
    return root


def test_an_unsigned_archive_is_refused(tmp_path: Path) -> None:
    uri = f"file:{repository(tmp_path / 'archive')}"
    own = apt.open_apt(tmp_path / "cache", Mirrors(uri, uri), "bookworm")
    with pytest.raises(DownloadError) as caught:
        apt.closure(own, ["python3"], Progress(quiet=True), refresh=False)
    assert "not signed" in str(caught.value)
    assert "debian-archive-keyring" in caught.value.hint


def test_a_mirror_that_is_not_there_is_explained(tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/nothing"
    own = apt.open_apt(tmp_path / "cache", Mirrors(uri, uri), "bookworm")
    with pytest.raises(DownloadError, match="apt: ") as caught:
        apt.closure(own, ["python3"], Progress(quiet=True), refresh=False)
    assert caught.value.hint


def test_the_hosts_sources_trust_and_packages_are_left_out(tmp_path: Path) -> None:
    own = apt.open_apt(tmp_path, Mirrors("http://a/debian", "http://a/sec"), "bookworm")
    dump = subprocess.run(
        ["apt-config", "-c", str(own.home / "apt.conf"), "dump"],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout
    values = dict(line.rstrip(";").split(" ", 1) for line in dump.splitlines() if " " in line)
    for name in ("Dir::State::status", "Dir::Etc::sourceparts", "Dir::Etc::trustedparts"):
        assert values[name].startswith(f'"{own.home}')
    assert values["Acquire::AllowInsecureRepositories"] == '"false"'
    assert values["APT::Get::AllowUnauthenticated"] == '"false"'
    assert "APT::Update::Post-Invoke::" not in values


def _nothing(work: Path) -> None:
    """An empty folder is whole, too."""


def _whole(work: Path) -> None:
    (work / "whole").write_text("x")


def test_a_half_made_folder_is_never_seen(tmp_path: Path) -> None:
    def fails(work: Path) -> None:
        (work / "part").write_text("x")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.folder(tmp_path, "kind", "name", fails)
    assert list((tmp_path / "kind").iterdir()) == []

    made = cache.folder(tmp_path, "kind", "name", _whole)
    assert cache.folder(tmp_path, "kind", "name", fails) == made
    assert (made / "whole").is_file()


def test_old_folders_are_forgotten_but_not_the_newest(tmp_path: Path) -> None:
    for number in range(4):
        made = cache.folder(tmp_path, "kind", str(number), _nothing)
        os.utime(made, (number, number))
    cache.folder(tmp_path, "kind", "new", _nothing)
    assert {path.name for path in (tmp_path / "kind").iterdir()} == {"3", "new"}


def test_keys_do_not_run_into_each_other() -> None:
    assert cache.key("ab", "c") != cache.key("a", "bc")
