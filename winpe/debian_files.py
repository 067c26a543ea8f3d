"""What each unpacked Debian package is and which files it brought.

The sysroot has no dpkg database: this is the part of one that is needed here, read from the
archives' control members (deb(5), deb-control(5), deb-md5sums(5)). md5sums names every regular
file but conffiles; links are not in it, so who asks for one asks for what it points to.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from winpe import tools
from winpe.errors import ContentError

RECORD = "var/lib/recoverykit-packages.json"  # in the sysroot
_LARGEST = 64 << 20  # bytes of control members of one package; the kernel's has 0.5 MB
_SOURCE = re.compile(r"(?P<name>\S+?)(?:\s+\((?:= ?)?(?P<version>[^)\s]+)\))?")
_BUILT_USING = re.compile(r"(?P<name>[a-z0-9][a-z0-9.+-]+) \(= (?P<version>[^)\s]+)\)")
_MERGED = ("bin/", "sbin/", "lib/", "lib64/")


@dataclass(frozen=True, slots=True)
class Brought:
    """One package."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    built_using: tuple[tuple[str, str], ...]  # sources of what was put in: (name, version)
    files: tuple[str, ...]  # regular files, below a merged /usr


def write(archives: Sequence[Path], sysroot: Path) -> None:
    """Record the packages of a sysroot in it. Raises MediaError."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(read_archive, archives))
    target = sysroot / RECORD
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([asdict(each) for each in found]))


def load(sysroot: Path) -> tuple[Brought, ...]:
    """The packages of a sysroot."""
    found = json.loads((sysroot / RECORD).read_text())
    return tuple(
        Brought(
            **{
                **each,
                "built_using": tuple((name, version) for name, version in each["built_using"]),
                "files": tuple(each["files"]),
            }
        )
        for each in found
    )


def owners(packages: Iterable[Brought]) -> dict[str, str]:
    """Path below the sysroot -> name of the package that brought it."""
    return {path: package.name for package in packages for path in package.files}


def read_archive(archive: Path) -> Brought:
    """Raises MediaError for what is no Debian package."""
    members = _control_members(archive)
    fields = _fields(members.get("control", b"").decode(errors="replace"))
    try:
        name, version, architecture = (
            fields[key] for key in ("package", "version", "architecture")
        )
    except KeyError as exc:
        raise ContentError(f"{archive.name} is no Debian package: it lacks {exc}") from exc
    source = _SOURCE.fullmatch(fields.get("source", "")) if "source" in fields else None
    return Brought(
        name=name,
        version=version,
        architecture=architecture,
        source=source["name"] if source else name,
        source_version=(source["version"] if source else None) or version,
        built_using=tuple(
            (found["name"], found["version"])
            for found in _BUILT_USING.finditer(fields.get("built-using", ""))
        ),
        files=tuple(sorted(_listed(members.get("md5sums", b"").decode(errors="replace")))),
    )


def _control_members(archive: Path) -> dict[str, bytes]:
    packed = tools.run(["dpkg-deb", "--ctrl-tarfile", archive])
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as members:
            for member in members:
                name = member.name.removeprefix("./")
                if name in ("control", "md5sums") and member.isfile() and member.size <= _LARGEST:
                    content = members.extractfile(member)
                    found[name] = content.read() if content else b""
    except tarfile.TarError as exc:
        raise ContentError(f"{archive.name} is no Debian package: {exc}") from exc
    return found


def _fields(stanza: str) -> dict[str, str]:
    """deb822, as far as one stanza of one-line and folded fields."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _listed(md5sums: str) -> Iterable[str]:
    for line in md5sums.splitlines():
        path = line[32:].lstrip().removeprefix("./")
        if path:
            yield f"usr/{path}" if path.startswith(_MERGED) else path
