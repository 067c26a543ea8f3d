"""An NTFS volume as ntfs-3g and hivex show it; none of our code looks.

Everything that a user or Windows could notice of a file, but the times of its last access and of
the last change of its record, which looking at it changes. Of a folder the time of its last
modification is left out as well: a file that goes and comes back changes it, on Windows too.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import stat
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.independent.readers import HIVEX

OURS, SYSTEMS = "RecoveryKit", "System Volume Information"
HIVES = ("SYSTEM", "SOFTWARE")
_LIBC = ctypes.CDLL(None, use_errno=True)
_EIGHT_THREE = re.compile(r"[a-z0-9-]{1,8}\.[a-z]{1,3}")
_SEVERAL_LINKS = b"(one that ntfs-3g cannot read)"
_ANSWERS = {errno.ENODATA: b"", errno.EPERM: b"", errno.EMLINK: _SEVERAL_LINKS}


class Entry(NamedTuple):
    content: str  # sha256; of a link what it says
    size: int
    created: bytes
    modified: bytes
    security: bytes
    attributes: int
    short: bytes
    reparse: bytes
    streams: tuple[tuple[str, str], ...]
    same: tuple[str, ...]  # the other names of the file
    links: int


@dataclass(frozen=True, slots=True)
class Look:
    files: Mapping[str, Entry]
    hives: Mapping[str, bytes]  # "Windows/System32/config/SYSTEM" -> its bytes


def make(image: Path, mib: int = 20) -> None:
    """An empty volume."""
    with image.open("wb") as stream:
        stream.truncate(mib << 20)
    subprocess.run(["mkntfs", "-F", "-Q", "-q", image], check=True, capture_output=True)


@contextmanager
def mounted(image: Path, *, write: bool = False, streams: str = "xattr") -> Iterator[Path]:
    """The volume's root. Streams are shown as extended attributes, or as `streams` says."""
    folder = image.with_name(f"{image.name}.mnt")
    folder.mkdir(exist_ok=True)
    options = f"norecover,streams_interface={streams}" + ("" if write else ",ro")
    subprocess.run(["ntfs-3g", "-o", options, image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def look(image: Path) -> Look:
    with mounted(image) as root:
        found = dict(_walk(root))
        hives = {
            name: (root / name).read_bytes()
            for name, entry in found.items()
            if name.rpartition("/")[2].upper() in HIVES and entry.size
        }
    for name, entry in found.items():
        if entry.reparse:
            found[name] = entry._replace(streams=_compressed(image, name))
    return Look(found, hives)


def _compressed(image: Path, name: str) -> tuple[tuple[str, str], ...]:
    """The stream of a file that CompactOS compressed, which Linux shows of no link."""
    command = ["ntfscat", "-n", "WofCompressedData", str(image), name]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stdout
    return (("WofCompressedData", hashlib.sha256(done.stdout).hexdigest()),)


def _walk(root: Path) -> Iterator[tuple[str, Entry]]:
    seen = {
        path.relative_to(root).as_posix(): path.lstat()
        for path in root.rglob("*")
        if path.relative_to(root).parts[0] not in (OURS, SYSTEMS)
    }
    names: dict[int, list[str]] = defaultdict(list)
    for name, status in sorted(seen.items()):
        names[status.st_ino].append(name)
    for name, status in seen.items():
        yield (
            name,
            _entry(root / name, status, [one for one in names[status.st_ino] if one != name]),
        )


def _entry(path: Path, status: os.stat_result, same: list[str]) -> Entry:
    folder = stat.S_ISDIR(status.st_mode)
    times = _get(path, "system.ntfs_times_be")
    return Entry(
        content=_content(path, status.st_mode),
        size=0 if folder else status.st_size,
        created=times[:8],
        modified=b"" if folder else times[8:16],
        security=_get(path, "system.ntfs_acl"),
        attributes=int.from_bytes(_get(path, "system.ntfs_attrib_be"), "big"),
        short=_short(path),
        reparse=_get(path, "system.ntfs_reparse_data"),
        streams=tuple(_streams(path)),
        same=tuple(same),
        links=0 if folder else status.st_nlink,
    )


def _short(path: Path) -> bytes:
    """Of several links ntfs-3g only tells that there is one. An 8.3 name is its own."""
    short = _get(path, "system.ntfs_dos_name")
    return b"" if short == _SEVERAL_LINKS and _EIGHT_THREE.fullmatch(path.name) else short


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return f"-> {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""


def _streams(path: Path) -> Iterator[tuple[str, str]]:
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name.startswith("user."):
            yield name, hashlib.sha256(_get(path, name)).hexdigest()


def _get(path: Path, name: str) -> bytes:
    """Through libc with a large buffer: ntfs-3g fails small-buffer probes of long descriptors."""
    buffer = ctypes.create_string_buffer(0x10000)
    size = _LIBC.lgetxattr(os.fsencode(path), name.encode(), buffer, len(buffer))
    if size >= 0:
        return buffer.raw[:size]
    code = ctypes.get_errno()
    assert code in _ANSWERS, f"{path}: {name}: {os.strerror(code)}"
    return _ANSWERS[code]


# --- hives --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registry:
    values: Mapping[tuple[str, str], tuple[int, bytes]]  # (key, name) -> (type, data)
    written: Mapping[str, int]  # key -> time of its last change


class Hivex:
    """One process that reads hive after hive."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "hive"
        self._process = subprocess.Popen(
            [*HIVEX.argv, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self, hive: bytes) -> Registry:
        self._path.write_bytes(hive)
        asked, said = self._process.stdin, self._process.stdout
        assert asked is not None
        assert said is not None
        asked.write(f"{self._path}\n")
        asked.flush()
        values: dict[tuple[str, str], tuple[int, bytes]] = {}
        written: dict[str, int] = {}
        while line := said.readline().strip():
            row = json.loads(line)
            assert "error" not in row, row
            written[row["key"]] = row["mtime"]
            for name, kind, data in row["values"]:
                values[row["key"], name] = kind, bytes.fromhex(data)
        return Registry(values, written)

    def close(self) -> None:
        self._process.communicate()


def require_sound(image: Path) -> None:
    """ntfsfix has nothing to repair."""
    done = subprocess.run(["ntfsfix", "-n", image], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout
