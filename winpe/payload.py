"""What runs on the recovery system: our two packages and the wheels they import.

The wheels are a closed list with one hash each, a list for each architecture (data/payload*.lock);
pip fetches them and checks the hashes. `recoverykit` and `signing` are copied, never imported: they
lie beside this package. Everything is compiled to .pyc and the sources stay behind.
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from winpe import recipe, tools
from winpe.architecture import X64, Architecture
from winpe.errors import ContentError, DownloadError, MissingToolError, ToolError

PACKAGES = ("recoverykit", "signing")
SITE = "usr/lib/python3/dist-packages"  # the folder Debian's Python looks into
_PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) --hash=sha256:(?P<hash>[0-9a-f]{64})")
_NOT_SHIPPED = ("tests", "test", "__pycache__")
_DROPPED_SUFFIXES = (".pyi", ".typed", ".c", ".h")
_SELF_TEST = """\
import importlib, pkgutil, sys
sys.path[:] = [path for path in sys.path if path.startswith(sys.prefix)] + sys.argv[1:3]
def attempt(name):
    try:
        return importlib.import_module(name)
    except Exception as exc:
        sys.exit(f"import {name}: {type(exc).__name__}: {exc}")
for name in sys.argv[3:]:
    for found in pkgutil.walk_packages(attempt(name).__path__, name + "."):
        if not found.name.endswith("__main__"):
            attempt(found.name)
"""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One line of the lock."""

    name: str
    version: str
    sha256: str


def lock_name(architecture: Architecture = X64) -> str:
    """The file of winpe/data that pins the wheels of an architecture."""
    return "payload.lock" if architecture == X64 else f"payload-{architecture.name}.lock"


def locked(source: str | None = None, architecture: Architecture = X64) -> tuple[Wheel, ...]:
    """The wheels of the lock. Raises ContentError for a line that pins nothing."""
    wheels = []
    name = lock_name(architecture)
    for line in (recipe.text(name) if source is None else source).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = _PINNED.fullmatch(line.strip())
        if found is None:
            raise ContentError(f"winpe/data/{name}: not name==version --hash=...: {line}")
        wheels.append(Wheel(found["name"], found["version"], found["hash"]))
    return tuple(wheels)


def download(
    folder: Path, python_version: str, lock: str | None = None, architecture: Architecture = X64
) -> None:
    """Fetch the locked wheels into a folder; pip refuses what does not have the locked hash."""
    requirements = folder / "payload.lock"
    requirements.write_text(recipe.text(lock_name(architecture)) if lock is None else lock)
    abis = (f"cp{python_version.replace('.', '')}", "abi3", "none")
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--quiet"]
    target = ["--python-version", python_version, "--implementation", "cp"]
    target += [word for abi in abis for word in ("--abi", abi)]
    target += [
        word for platform in architecture.wheel_platforms for word in ("--platform", platform)
    ]
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    try:
        tools.run([*pip, *options, *target, "-r", requirements, "-d", folder])
    except ToolError as exc:
        if "No module named pip" in str(exc):
            raise MissingToolError("pip") from exc
        hint = "is there a network? A hash that differs means that the file is not the pinned one"
        raise DownloadError(f"Python wheels: {exc}", hint=hint) from exc


def install_wheels(wheels: Iterable[Path], site: Path) -> list[Path]:
    """Unpack wheels into the site folder; returns their extension modules."""
    site.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if not member.is_dir() and shipped(member.filename):
                    archive.extract(member, site)
    return sorted(site.rglob("*.so"))


def shipped(name: str) -> bool:
    """Whether a file of a wheel goes onto the medium: code, data and licences do."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ContentError(f"a wheel holds a file outside of itself: {name}")
    if path.parts[0].endswith(".dist-info"):
        return path.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))
    if path.parts[0].endswith(".data"):
        return False
    return not set(path.parts) & set(_NOT_SHIPPED) and path.suffix not in _DROPPED_SUFFIXES


def source_folder() -> Path:
    """Where `recoverykit` and `signing` lie: beside this package."""
    return Path(__file__).resolve().parent.parent


def install_packages(source: Path, site: Path) -> None:
    """Copy our packages with their data files. Raises ContentError when one is absent."""
    for name in PACKAGES:
        if not (source / name / "__init__.py").is_file():
            raise ContentError(f"the package {name} is not in {source}")
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "py.typed", ".*")
        shutil.copytree(source / name, site / name, ignore=ignore)


def self_test(
    base_tree: Path, site: Path, names: Iterable[str], architecture: Architecture = X64
) -> None:
    """Import every module with the image's own Python, library and wheels, nothing else.

    Raises ContentError: a module that the image lacks must stop the build, not the rescue.
    """
    version = recipe.base().python.version
    python = tools.from_sysroot(base_tree, f"usr/bin/python{version}", architecture)
    env = {"PYTHONHOME": str(base_tree / "usr"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        tools.run([*python, "-s", "-S", "-c", _SELF_TEST, base_tree / SITE, site, *names], env=env)
    except ToolError as exc:
        raise ContentError(f"the payload does not start with what is on the medium: {exc}") from exc
