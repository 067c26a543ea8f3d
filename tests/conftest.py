"""Real files, and what this host can do."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("RECOVERYKIT_DATA", REPOSITORY.parent / "shared" / "data"))


def real(*names: str) -> list[object]:
    """Parameters for files too large or too encumbered to commit; skipped where absent."""
    return [
        pytest.param(
            REAL_DATA / name,
            id=name,
            marks=pytest.mark.skipif(
                not (REAL_DATA / name).is_file(), reason=f"no {name} under {REAL_DATA}"
            ),
        )
        for name in names
    ]


def read_real(path: Path) -> bytes:
    """The bytes of a real sample, decompressed where INDEX.md keeps it compressed."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return path.read_bytes()


def need(*tools: str) -> pytest.MarkDecorator:
    """Skip, naming the first tool that this host lacks."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def can_mount() -> bool:
    """Root, FUSE and loop devices: what mounting an NTFS image takes here."""
    return os.geteuid() == 0 and Path("/dev/fuse").exists() and Path("/dev/loop-control").exists()


mounts = pytest.mark.skipif(not can_mount(), reason="needs root, /dev/fuse and loop devices")
