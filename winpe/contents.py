"""Everything that is on a medium, and where each part came from. Facts only; `sbom`, `provenance`
and `licences` put them into their formats.

A Debian package is on the medium when one of its files is: copied as it was, decompressed (kernel
modules), compiled (Python), or put into a boot image. Packages that were only unpacked to run a
tool of theirs on the build host, or for a dependency nobody needs here, are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from signing import manifest
from winpe import copyright_file, debian_files, payload, wheel_facts
from winpe.architecture import Architecture
from winpe.copyright_file import Licence
from winpe.debian_files import Brought
from winpe.system import System
from winpe.wheel_facts import WheelFacts

_RELEASES = {"bookworm": "12", "trixie": "13", "forky": "14"}
_BIOS_IMAGE = "boot/grub/i386-pc/eltorito.img"
_LARGEST_COPYRIGHT = 4 << 20
_KINDS = (  # files of the payload that the recipe brought, by where they lie
    (manifest.PAYLOAD_BLOCK_LISTS, "block list"),
    (manifest.PAYLOAD_REPLACEMENTS, "replacement driver"),
    (manifest.PAYLOAD_DRIVER_TRUST, "certificate for drivers"),
    (manifest.PAYLOAD_TRUST, "certificate"),
    (manifest.PAYLOAD_SETTINGS, "settings"),
    ("usr/share/recoverykit/packs", "remediation pack"),
)
_MADE_LATER = (manifest.PAYLOAD_MANIFEST, manifest.PAYLOAD_SIGNATURE)


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package of which something is on the medium."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    built_using: tuple[tuple[str, str], ...]  # sources of what was put into it
    sha256: str  # of the .deb
    licences: tuple[Licence, ...]
    copyright: str = field(repr=False)  # its copyright file; "" where it has none
    files: tuple[str, ...]  # on the medium; at least one

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Source packages that correspond to the binary, as (name, version)."""
        return ((self.source, self.source_version), *self.built_using)


@dataclass(frozen=True, slots=True)
class File:
    """A file that came from neither Debian nor a wheel."""

    path: str  # on the medium
    kind: str  # "remediation pack", "block list", "file of the recipe", "WIM of Windows", ...
    size: int
    sha256: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Own:
    """One of our packages."""

    name: str
    version: str
    sha256: str  # of the list of its sources' hashes


@dataclass(frozen=True, slots=True)
class Contents:
    """One medium."""

    image_id: str
    made: datetime  # in UTC, whole seconds
    base: str  # "linux" or "winpe"
    architecture: str
    suite: str = ""  # of Debian; "" for the WinPE flavour
    debian: tuple[DebianPackage, ...] = ()
    wheels: tuple[WheelFacts, ...] = ()
    own: tuple[Own, ...] = ()
    files: tuple[File, ...] = ()

    @property
    def release(self) -> str:
        """Debian's number of the suite."""
        return _RELEASES.get(self.suite, "")


def of_linux(
    system: System,
    place: Path,
    suite: str,
    *,
    uki: bool = False,
    files: Mapping[str, bytes | Path] | None = None,
) -> Contents:
    """Of a medium of the Linux base.

    `place` is the payload's folder, `files` what is beside the system on the image; `uki` says
    that a unified kernel image starts it instead of shim and GRUB. Raises MediaError, OSError.
    """
    base = system.base
    brought = debian_files.load(base.sysroot)
    beside = (
        of_file(name, "file of the recipe", content) for name, content in (files or {}).items()
    )
    digests = {package.name: package.digest.removeprefix("SHA256:") for package in base.packages}
    return Contents(
        image_id=system.image_id,
        made=system.made,
        base="linux",
        architecture=base.architecture.name,
        suite=suite,
        debian=tuple(_debian(system, brought, digests, uki=uki)),
        wheels=wheel_facts.load(base.tree.parent / "wheels.json"),
        own=own_packages(),
        files=tuple(sorted((*_of_payload(place), *beside), key=lambda each: each.path)),
    )


def of_file(path: str, kind: str, content: bytes | Path, version: str = "") -> File:
    """A file that is on the medium under that path. Raises OSError."""
    if isinstance(content, bytes):
        return File(path, kind, len(content), hashlib.sha256(content).hexdigest(), version)
    with content.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(path, kind, content.stat().st_size, digest, version)


def own_packages(
    source: Path | None = None, names: Iterable[str] = payload.PACKAGES
) -> tuple[Own, ...]:
    """Our packages, each with one hash of all its sources."""
    home = source or payload.source_folder()
    return tuple(Own(name, _version(home), _source_hash(home, name)) for name in names)


def _version(home: Path) -> str:
    text = (home / "recoverykit/__init__.py").read_text()
    return next(
        (line.split('"')[1] for line in text.splitlines() if line.startswith("__version__")), "0"
    )


def _source_hash(home: Path, name: str) -> str:
    digest = hashlib.sha256()
    for path in sorted((home / name).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            one = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{one}  {path.relative_to(home).as_posix()}\n".encode())
    return digest.hexdigest()


def _of_payload(place: Path) -> Iterator[File]:
    """What the recipe brought into the payload."""
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        kinds = (kind for start, kind in _KINDS if name.startswith(start))
        if path.is_file() and name not in _MADE_LATER and (kind := next(kinds, "")):
            yield of_file(name, kind, path)


def _debian(
    system: System, brought: tuple[Brought, ...], digests: Mapping[str, str], *, uki: bool
) -> Iterator[DebianPackage]:
    base = system.base
    owner = debian_files.owners(brought)
    held: dict[str, list[str]] = {}
    pairs = (*_in_tree(base.tree), *_boot_files(system, uki=uki))
    root = base.sysroot.resolve()
    for on_medium, in_sysroot in pairs:
        if name := _owner(root, in_sysroot, owner):
            held.setdefault(name, []).append(on_medium)
    for package in sorted(brought, key=lambda each: each.name):
        if package.name in held:
            text = _copyright(root, package.name)
            yield DebianPackage(
                name=package.name,
                version=package.version,
                architecture=package.architecture,
                source=package.source,
                source_version=package.source_version,
                built_using=package.built_using,
                sha256=digests[package.name],
                licences=copyright_file.licences(text),
                copyright=text,
                files=tuple(sorted(held[package.name])),
            )


def _in_tree(tree: Path) -> Iterator[tuple[str, str]]:
    """Every file of the running system, with what it was called in its package."""
    for path in tree.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(tree).as_posix()
        if name.startswith(payload.SITE):
            continue  # wheels
        if name.endswith(".pyc"):
            yield name, name.removesuffix("c")
        elif name.endswith(".ko"):
            yield name, f"{name}.xz"
        else:
            yield name, name


def _boot_files(system: System, *, uki: bool) -> Iterator[tuple[str, str]]:
    base, boot = system.base, system.base.boot
    yield "boot/vmlinuz", base.kernel.relative_to(base.sysroot).as_posix()
    if base.architecture.has_bios:
        yield _BIOS_IMAGE, f"{boot.grub_bios}/kernel.img"
        yield "master boot record", f"{boot.grub_bios}/boot_hybrid.img"
    if uki:
        yield f"EFI/BOOT/{base.architecture.boot_file}", boot.stub
        return
    yield from _loaders(base.architecture, boot.shim, boot.grub, boot.mok_manager)


def _loaders(
    architecture: Architecture, shim: str, grub: str, mok_manager: str
) -> Iterator[tuple[str, str]]:
    yield f"EFI/BOOT/{architecture.boot_file}", shim
    yield f"EFI/BOOT/{architecture.grub_file}", grub
    yield f"EFI/BOOT/{architecture.mok_manager_file}", mok_manager


def _owner(root: Path, name: str, owners: Mapping[str, str]) -> str:
    """The package that brought a file of the sysroot; "" for one that was made here."""
    if name in owners:
        return owners[name]
    real = (root / name).resolve()
    return owners.get(real.relative_to(root).as_posix(), "") if real.is_relative_to(root) else ""


def _copyright(root: Path, name: str) -> str:
    path = (root / "usr/share/doc" / name / "copyright").resolve()
    if not path.is_relative_to(root) or not path.is_file():
        return ""
    return path.read_bytes()[:_LARGEST_COPYRIGHT].decode(errors="replace")
