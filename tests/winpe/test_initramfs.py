from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from winpe import initramfs
from winpe.errors import ToolError


def tree(root: Path) -> Path:
    for name in ("usr/lib/modules/6.12/a.ko", "usr/share/x", "usr/lib/python3.11/os.pyc", "init"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/share/recoverykit").mkdir()
    (root / "usr/share/recoverykit/unpacked").write_text("last")
    initramfs.normalise(root, 1_700_000_000)
    return root


def listing(archive: bytes, *options: str) -> list[str]:
    done = subprocess.run(
        ["cpio", "--list", "--quiet", *options], input=archive, capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


def unpacked(segment: Path) -> bytes:
    return subprocess.run(["zstd", "-dc", str(segment)], capture_output=True, check=True).stdout


def test_parents_come_first_and_the_sentinel_last(tmp_path: Path) -> None:
    names = initramfs.names(tree(tmp_path))
    assert all(str(Path(name).parent) in (".", *names[:place]) for place, name in enumerate(names))
    assert names[-1] == "usr/share/recoverykit/unpacked"
    assert names.index("init") < names.index("usr/lib/modules")


def test_a_segment_depends_on_content_only(tmp_path: Path) -> None:
    segments = []
    for number, mask in ((1, 0o022), (2, 0o077)):
        before = os.umask(mask)
        root = tree(tmp_path / str(number))
        os.umask(before)
        initramfs.pack(root, tmp_path / f"{number}.zst", 3)
        segments.append((tmp_path / f"{number}.zst").read_bytes())
    assert segments[0] == segments[1]


def test_everything_belongs_to_root_with_one_time(tmp_path: Path) -> None:
    initramfs.pack(tree(tmp_path / "t"), tmp_path / "s", 3)
    rows = listing(unpacked(tmp_path / "s"), "--verbose", "--numeric-uid-gid")
    assert rows
    assert {tuple(row.split()[2:4]) for row in rows} == {("0", "0")}
    assert all("2023" in row for row in rows)


def test_device_nodes_as_the_cpio_tool_reads_them() -> None:
    rows = listing(initramfs.nodes(), "--verbose", "--numeric-uid-gid")
    fields = [row.replace(",", " ").split() for row in rows]
    assert [(row[0], row[-1]) for row in fields] == [
        ("drwxr-xr-x", "dev"),
        ("crw-------", "dev/console"),
        ("crw-r--r--", "dev/urandom"),
    ]
    assert [row[4:6] for row in fields[1:]] == [["5", "1"], ["1", "9"]]


def test_joined_segments_start_at_multiples_of_four(tmp_path: Path) -> None:
    for name, content in (("a", b"12345"), ("b", b"678")):
        (tmp_path / name).write_bytes(content)
    initramfs.join([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    nodes = initramfs.nodes()
    assert (tmp_path / "out").read_bytes() == nodes + b"12345\0\0\0" + b"678\0"
    assert len(nodes) % 4 == 0


def test_a_failing_tool_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    with pytest.raises(ToolError, match="zstd"):
        initramfs.pack(root, tmp_path / "no such folder" / "s", 3)


def test_links_get_the_time_themselves(tmp_path: Path) -> None:
    root = tree(tmp_path)
    state = (root / "bin").lstat()
    assert stat.S_ISLNK(state.st_mode)
    assert state.st_mtime == 1_700_000_000
