from __future__ import annotations

import random
import stat
import time
from pathlib import Path

import pytest

from tests.conftest import need
from winpe import initramfs, initramfs_reader
from winpe.errors import ImageRefusedError

pytestmark = need("zstd", "cpio")
CONTENT = {"init": b"#!/usr/bin/python3\n", "usr/lib/a.so": bytes(range(256)) * 3000, "empty": b""}


@pytest.fixture(scope="module")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    home = tmp_path_factory.mktemp("initrd")
    for name, content in CONTENT.items():
        path = home / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    initramfs.pack(home / "tree", home / "a.zst", 3)
    initramfs.pack(home / "tree", home / "b.zst", 19)
    initramfs.join([home / "a.zst", home / "b.zst"], home / "initrd")
    return Path(home / "initrd").read_bytes()


def test_what_was_packed_is_read(initrd: bytes) -> None:
    nodes, *packed = initramfs_reader.segments(initrd)
    assert "dev/console" in [item.name for item in nodes.items()]
    assert len(packed) == 2
    for segment in packed:
        files = {i.name: bytes(i.content) for i in segment.items() if stat.S_ISREG(i.mode)}
        assert files == CONTENT


def test_damage_is_one_sentence(initrd: bytes) -> None:
    chance, refused, end = random.Random(7), 0, time.monotonic() + 2
    while time.monotonic() < end:
        damaged = bytearray(initrd[: chance.randrange(1, len(initrd))])
        damaged[chance.randrange(len(damaged))] ^= chance.randrange(1, 256)
        try:
            for segment in initramfs_reader.segments(bytes(damaged)):
                list(segment.items())
        except ImageRefusedError:
            refused += 1
    assert refused


def test_cut_off(initrd: bytes) -> None:
    with pytest.raises(ImageRefusedError, match="cut off"):
        list(initramfs_reader.segments(initrd.rstrip(b"\0")[:-20]))
