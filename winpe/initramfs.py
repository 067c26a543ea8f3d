"""Trees to initramfs segments: cpio "newc" archives, compressed with zstd.

Linux unpacks several archives one after the other (Documentation/driver-api/early-userspace/
buffer-format.rst). The base is one segment, compressed once and cached; the payload is a second,
small one, so a change to our Python code costs a second and not a minute.

A segment depends on names, modes and contents only: sorted, owned by root, one time stamp.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from winpe import tools

# Unpacked first: with these in place, /init can say that memory ran out on the rest.
_FIRST = (
    "init",
    "bin",
    "lib",
    "lib64",
    "sbin",
    "usr/bin/python",
    "usr/lib64",
    "usr/lib/x86_64",
    "usr/lib/aarch64",
    "usr/lib/ld-linux",
)
# Python is the first process and wants random bytes before it can mount anything, and the kernel
# may still have none to give to those who ask without a device (no RDRAND: virtual machines).
_NODES = (("dev/console", 5, 1, 0o600), ("dev/urandom", 1, 9, 0o644))
_FOLDER, _CHARACTER_DEVICE = 0o040000, 0o020000
_LAST = ("usr/lib/modules", "usr/share/recoverykit/unpacked")


def names(tree: Path) -> list[str]:
    """Every path of a tree, parents before children, in the order they are unpacked."""
    found = sorted(path.relative_to(tree).as_posix() for path in _walk(tree))
    return sorted(found, key=_rank)


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def _rank(name: str) -> int:
    if name.startswith(_FIRST) or "/" not in name or name in ("usr/bin", "usr/lib", "usr/sbin"):
        return 0
    return 2 if name.startswith(_LAST) else 1


def normalise(tree: Path, epoch: int) -> None:
    """Leave nothing of who made the tree and when: one time stamp, and modes without a umask."""
    for path in (tree, *_walk(tree)):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o111
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def pack(tree: Path, target: Path, level: int) -> None:
    """Write the tree as one compressed segment."""
    listing = "\0".join(names(tree)).encode() + b"\0"
    archive = ["cpio", "--null", "--create", "--format=newc", "--quiet", "--reproducible"]
    compress: list[str | Path] = ["zstd", "--quiet", "--force", f"-{level}", "-T0", "-o", target]
    tools.pipe([*archive, "--owner=0:0"], compress, cwd=tree, input_bytes=listing)


def nodes() -> bytes:
    """A segment with the devices that must be there before /dev is mounted.

    Written here, in the kernel's "newc" format, because only root may make real ones.
    """
    entries = [_record("dev", _FOLDER | 0o755)]
    entries += [
        _record(name, _CHARACTER_DEVICE | mode, major, minor) for name, major, minor, mode in _NODES
    ]
    archive = b"".join([*entries, _record("TRAILER!!!", 0)])
    return archive + bytes(-len(archive) % 512)


def _record(name: str, mode: int, major: int = 0, minor: int = 0) -> bytes:
    raw = name.encode() + b"\0"
    #        ino  mode  uid gid links mtime size dev  dev  rdev   rdev   name       check
    fields = (0, mode, 0, 0, 1, 0, 0, 0, 0, major, minor, len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + raw
    return head + bytes(-len(head) % 4)


def join(segments: list[Path], target: Path) -> None:
    """The device nodes, then the segments, each starting where the kernel expects it."""
    with target.open("wb") as out:
        out.write(nodes())
        for segment in segments:
            out.write(segment.read_bytes())
            out.write(b"\0" * (-out.tell() % 4))
