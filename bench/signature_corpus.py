"""Signed files to measure on: an installation of 400 signed executables, and 2,000 catalogs.

The executables come from packages of PyPI and npm, each pinned by version and SHA-256 (.NET and
Visual C++ run times, debuggers, drivers; x86, x64 and ARM64; 59 with a nested signature), and from
../shared/data/signed. No public collection of catalogs exists: they are made by tests.builders,
signed by a key of the tests, in sizes as CatRoot has them. Kept in the cache of `winpe.cache`; the
packages are licensed by their makers, so nothing of them is in this repository.
"""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.builders import authenticode
from tests.builders.catalogs import Details, Member, catalog, file_digest, file_members
from tests.conftest import REAL_DATA
from winpe import cache

FILES = 400
CATALOGS = 2000
_LARGEST = 3_000_000  # no driver has more than that


# registry, name, version, whose wheel, SHA-256 of the archive
_PINNED = """
pypi pydivert 2.1.0 x64 382db488e3c37c03ec9ec94e061a0b24334d78dbaeebb7d4e4d32ce4355d9da1
npm electron-winstaller 5.4.4 x64 d50041e57c74dc1cf35baa3d56c79f88ca4ed74617833b932620371d220bb2b7
npm node-pty 1.1.0 x64 c7517f19083ddcb05f276904680eb2b11a6b5ecab778b8e4e5685a6d645b3f60
pypi debugpy 1.8.22 x64 1e76339d5510bc17e9181dba9577508afcb21aad5728f1a55ef74d7d97d255f3
pypi hardwaremonitor 1.2.1 x64 e8bdd9ce52564b34a29f57647fc1f51a0eba724d76ce6e65ced67d3b3771d461
pypi leechcorepyc 2.23.3 x64 683b7aa6bd513c1c30071c9526288d2291a671db281038b6e0e2eb8072ade6b0
pypi memprocfs 5.19.0 x64 97d59cfd101751522bca3147a40c47e612a279b1692de116a361c78d34e6cd70
pypi pywebview 6.2.1 x64 9d07275f53894ab4d5e2e0e996227193e7187dec276d9b624dccbce029216b46
pypi mssql-python 1.16.0 x64 088077ea1ac6e1a02e2344d0c3a29bbad1c0dd5043046a3a0fd954631653cc86
pypi mssql-python 1.16.0 arm64 d2d8d22e32bb8fd5b4d0013adab067d62a98413aeb59019bcd1601d14a7f7771
pypi msvc-runtime 14.44.35112 x64 aba7fbe71897d25ed53fbb7f391e9f50289378a8a9ae218ba18530c663448391
pypi msvc-runtime 14.51.36231 arm64 348e6adaa9a9e3b41fcd6e7bf2990da266d8f5bc6a1aaed9dab201c2c0f2d748
pypi dotnetcore2 3.1.23 x64 e2528813677d7a080522336cb530442408d1e2aea76fa8657018fb532c03c252
pypi dotnetcore2 2.1.23 x64 b966967043757a342966d94e8ca5c61114638dfd04011d16a259b6e2d1dbedb3
"""
_PIP = {
    "x64": ("--platform", "win_amd64", "--python-version", "3.11"),
    "arm64": ("--platform", "win_arm64", "--python-version", "3.12"),
}


@dataclass(frozen=True, slots=True)
class Package:
    registry: str  # "pypi" "npm"
    name: str
    version: str
    machine: str
    sha256: str


PACKAGES = tuple(Package(*line.split()) for line in _PINNED.strip().splitlines())


def installation() -> list[Path]:
    """The 400 executables, the same ones in the same order on every machine with shared/data.

    Downloads what is not in the cache. Raises RuntimeError where that fails.
    """
    folder = cache.folder(cache.default(), "bench-signed", _key(), _gather)
    return sorted(folder.iterdir())


def catalogs() -> list[Path]:
    """2,000 catalogs of both versions, every second executable of the installation in them."""
    files = installation()
    name = cache.key(_key(), str(CATALOGS), "1")
    folder = cache.folder(cache.default(), "bench-catalogs", name, lambda at: _make(at, files))
    return sorted(folder.iterdir())


def _key() -> str:
    return cache.key(str(FILES), str(_LARGEST), *(one.sha256 for one in PACKAGES), *_own_names())


def _own_names() -> list[str]:
    return [str(path.relative_to(REAL_DATA)) for path in _own()]


def _own() -> list[Path]:
    folder = REAL_DATA / "signed"
    return sorted(path for path in folder.rglob("*") if path.suffix in (".sys", ".dll", ".exe"))


def _gather(folder: Path) -> None:
    seen: set[bytes] = set()
    for name, content in _executables():
        digest = hashlib.sha256(content).digest()
        if digest in seen or len(content) > _LARGEST or not _is_signed(content):
            continue
        (folder / f"{len(seen):03}_{name}").write_bytes(content)
        seen.add(digest)
        if len(seen) == FILES:
            return
    raise RuntimeError(f"only {len(seen)} signed executables, {FILES} are wanted")


def _executables() -> Iterator[tuple[str, bytes]]:
    for path in _own():
        yield path.name, path.read_bytes()
    for package in PACKAGES:
        with TemporaryDirectory(prefix="bench-signed-") as folder:
            yield from _members(_download(package, Path(folder)))


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in sorted(wheel.namelist()):
                yield Path(name).name, wheel.read(name)
        return
    with tarfile.open(archive) as packed:
        for member in sorted(packed.getmembers(), key=lambda one: one.name):
            if (stream := packed.extractfile(member)) is not None:
                yield Path(member.name).name, stream.read()


def _download(package: Package, folder: Path) -> Path:
    if package.registry == "npm":
        argv = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        argv = [*pip, *_PIP[package.machine], f"{package.name}=={package.version}"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    found = list(folder.iterdir())
    if done.returncode or len(found) != 1:
        raise RuntimeError(f"{argv[-1]} could not be downloaded: {done.stderr.strip()[-300:]}")
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != package.sha256:
        raise RuntimeError(f"{argv[-1]} is not what it was when this was measured first")
    return found[0]


def _is_signed(content: bytes) -> bool:
    if content[:2] != b"MZ" or len(content) < 0x400:
        return False
    (start,) = struct.unpack_from("<I", content, 60)
    if start + 0x100 > len(content) or content[start : start + 4] != b"PE\0\0":
        return False
    (magic,) = struct.unpack_from("<H", content, start + 24)
    at, size = struct.unpack_from("<II", content, start + 24 + (144 if magic == 0x20B else 128))
    return bool(at and size)


# --- catalogs -----------------------------------------------------------------------------


def _make(folder: Path, files: Sequence[Path]) -> None:
    """Most with 10 to 60 members, each hundredth with 1,000, as cumulative updates have them."""
    randomness = random.Random(20)
    listed = [_members_of(path) for path in files[::2]]
    for number in range(CATALOGS):
        version = 1 if number % 4 == 0 else 2
        count = 1000 if number % 100 == 99 else randomness.randint(10, 60)
        members = [one for _ in range(count) for one in _invented(randomness, version)]
        if number < len(listed):
            members += [one for one in listed[number] if version == 2 or len(one.digest) == 20]
        details = Details(
            "sha1" if version == 1 else "sha256", others=(authenticode.root().certificate,)
        )
        made = catalog(members, authenticode.publisher(), version, details)
        (folder / f"oem{number}.cat").write_bytes(made)


def _invented(randomness: random.Random, version: int) -> list[Member]:
    name = f"driver{randomness.randrange(1 << 32):08x}.sys"
    sha1, sha256 = randomness.randbytes(20), randomness.randbytes(32)
    if version == 1:
        return [Member(sha1, name, system="2:6.1")]
    return file_members(name, sha1, sha256, image=randomness.random() < 0.7)


def _members_of(path: Path) -> list[Member]:
    digests = [file_digest(path.read_bytes(), name) for name in ("sha1", "sha256")]
    return file_members(path.name, digests[0], digests[1])
