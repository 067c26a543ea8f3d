"""Block lists that a medium carries: none that its runtime could not read."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from recoverykit.code_integrity import lists
from signing import manifest
from winpe import block_lists
from winpe.errors import MediaUsageError

LINE = f"{sha256(b'bad').hexdigest()}  bad.sys\n"


def put(folder: Path, name: str, content: str = LINE) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_what_is_carried_is_what_the_runtime_reads(tmp_path: Path) -> None:
    found = block_lists.carried([put(tmp_path, "ours.sha256"), put(tmp_path, "more.txt")])
    block_lists.install(found, tmp_path / "payload")
    folder = tmp_path / "payload" / manifest.PAYLOAD_BLOCK_LISTS
    assert str(lists.CARRIED) == f"/{manifest.PAYLOAD_BLOCK_LISTS}"
    paths = [*lists.in_folder(folder)]
    assert [path.name for path in paths] == ["more.txt", "ours.sha256"]
    assert [lists.described(each) for each in lists.from_files(paths)] == [
        "more.txt",
        "ours.sha256",
    ]


def test_none_leaves_no_folder(tmp_path: Path) -> None:
    block_lists.install(block_lists.carried([]), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.sha256", "no hash\n", "line 1"),
        ("bad.xml", "<SiPolicy>", "bad.xml is no block list"),
        ("bad.cip", "", "bad.cip is no block list"),
        ("bad.exe", LINE, "cannot be told"),
    ],
)
def test_mistakes_are_found_at_the_desk(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(MediaUsageError, match=said):
        block_lists.carried([put(tmp_path, name, content)])


def test_names_that_clash_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twice = [put(tmp_path, "ours.sha256"), put(tmp_path / "other", "OURS.sha256")]
    with pytest.raises(MediaUsageError, match="two block lists"):
        block_lists.carried(twice)
    with pytest.raises(MediaUsageError, match="cannot be read"):
        block_lists.carried([tmp_path / "nowhere.sha256"])
