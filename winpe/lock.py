"""media.lock: which packages a medium was made of, so that it can be made again, byte for byte.

JSON beside the recipe: the moment the image states, the date of Debian's index, every package with
its version and SHA-256, and the versions of the programs that write images. The wheels are pinned
by the project itself (data/payload.lock). A build with a lock takes exactly these packages.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from winpe import files, tools
from winpe.apt import Package
from winpe.errors import MediaError, MediaUsageError

SCHEMA = "recoverykit.lock/1"
LARGEST = 4 << 20
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_DIGEST = re.compile(r"SHA256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{1,99}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~%:-]{4,299}\.deb")
# What each of these writes is part of an image.
_TOOLS = (
    ("xorriso", ["xorriso", "-version"], r"xorriso version\s*:\s*(\S+)"),
    ("zstd", ["zstd", "--version"], r"v(\d[\d.]*)"),
    ("cpio", ["cpio", "--version"], r"\) (\d[\d.]*)"),
    ("mtools", ["mtools", "--version"], r"(\d[\d.]*)"),
    ("mkfs.vfat", ["mkfs.vfat", "--help"], r"mkfs\.fat (\d[\d.]*)"),
)


@dataclass(frozen=True, slots=True)
class Lock:
    made: datetime  # in UTC, whole seconds: what the image and its signature state
    epoch: int  # seconds since 1970: the date of the package index
    suite: str
    architecture: str
    packages: tuple[Package, ...]
    tools: dict[str, str] = field(default_factory=dict)  # program -> version


def load(path: Path) -> Lock | None:
    """The lock in that file; None where there is none. Raises MediaUsageError."""
    if not path.exists():
        return None
    try:
        return _lock(json.loads(files.read(path, LARGEST)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise MediaUsageError(
            f"{path} is no lock of a recipe ({exc})",
            hint="--update-lock makes it anew, with the packages of today",
        ) from exc


def save(path: Path, lock: Lock) -> None:
    """The file is there whole, or as it was. Raises OutputError."""
    document = {
        "schema": SCHEMA,
        "made": lock.made.strftime(_TIME),
        "epoch": lock.epoch,
        "suite": lock.suite,
        "architecture": lock.architecture,
        "tools": lock.tools,
        "packages": [asdict(each) for each in lock.packages],
    }
    files.write(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def _lock(document: dict[str, Any]) -> Lock:
    if document["schema"] != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    return Lock(
        made=datetime.strptime(document["made"], _TIME).replace(tzinfo=UTC),
        epoch=int(document["epoch"]),
        suite=str(document["suite"]),
        architecture=str(document["architecture"]),
        packages=tuple(_package(each) for each in document["packages"]),
        tools={str(name): str(version) for name, version in document["tools"].items()},
    )


def _package(values: dict[str, Any]) -> Package:
    found = Package(**values)
    sound = (
        _NAME.fullmatch(found.name)
        and _FILE.fullmatch(found.file)
        and _DIGEST.fullmatch(found.digest)
        and found.version.isprintable()
    )
    if not sound or type(values["size"]) is not int or found.size < 0:
        raise ValueError(f"{values} is no package with its SHA-256")
    return found


def tool_versions() -> dict[str, str]:
    """Of the programs that write images; one that is not installed is left out."""
    found = {}
    for name, argv, form in _TOOLS:
        try:
            said = tools.run(argv).decode(errors="replace")
        except MediaError:
            continue
        if version := re.search(form, said):
            found[name] = version[1]
    return found


def differences(lock: Lock, here: dict[str, str]) -> tuple[str, ...]:
    """Programs whose versions differ from those the lock was made with: images may differ too."""
    return tuple(
        f"{name} {here.get(name, 'is not installed')} (the lock: {version})"
        for name, version in sorted(lock.tools.items())
        if here.get(name) != version
    )
