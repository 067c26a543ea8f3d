"""The recovery system itself: kernel, initramfs, and what they were made of.

Every medium (ISO today; sticks, PXE and UKI later) carries the same two files. The slow part,
the *base*, is cached under a name made of everything that goes into it: package versions, the
tables of winpe/data, the wheels' hashes, this code. The quick part, the *payload* (our packages,
the trust anchors, remediation packs, the signed payload manifest), is made anew each time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from signing import cms, keys, manifest, tree
from winpe import (
    apt,
    cache,
    debian_files,
    initramfs,
    linux_base,
    mirrors,
    payload,
    recipe,
    wheel_facts,
)
from winpe.architecture import Architecture
from winpe.progress import Progress
from winpe.signers import Signers

SENTINEL = "usr/share/recoverykit/unpacked"  # /init refuses to go on without it
_LEVEL, _RELEASE_LEVEL = 12, 19  # zstd: 4 s and 100 s; the latter is 10 % smaller
_CODE = (
    "architecture",
    "linux_base",
    "modules",
    "payload",
    "initramfs",
    "system",
    "wheel_facts",
)  # what shapes the base
_CATEGORIES = (
    ("kernel modules", r"usr/lib/modules/"),
    ("Python packages", r"usr/lib/python3/"),
    ("Python", r"usr/(lib|bin)/python"),
    ("libraries", r"usr/lib(64)?/"),
    ("tools", r"usr/s?bin/"),
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where packages come from and are kept."""

    cache: Path
    mirrors: mirrors.Mirrors
    refresh: bool = False
    release: bool = False  # compress as well as possible
    locked: tuple[apt.Package, ...] = ()  # exactly these; () for the newest
    epoch: int | None = None  # seconds since 1970 that the lock states, for the files' times


@dataclass(frozen=True, slots=True)
class BaseSystem:
    """The cached part."""

    architecture: Architecture
    boot: recipe.BootFiles  # below the sysroot
    sysroot: Path  # the unpacked packages: boot loaders, and tools of their release
    tree: Path
    segment: Path
    name: str  # cache key: changes whenever anything in it does
    epoch: int  # seconds since 1970: the date of the package index
    kernel_version: str
    modules: int
    packages: tuple[apt.Package, ...]
    wheels: tuple[payload.Wheel, ...]
    python_version: str

    @property
    def kernel(self) -> Path:
        return self.sysroot / "boot" / f"vmlinuz-{self.kernel_version}"


@dataclass(frozen=True, slots=True)
class System:
    """Kernel and initramfs, ready to be put on a medium."""

    base: BaseSystem
    kernel: Path
    initrd: Path
    image_id: str
    made: datetime
    memory: int  # MB that a computer needs to start it
    unpacked: int  # bytes
    breakdown: tuple[tuple[str, int], ...]  # category, bytes unpacked


def prepare(sources: Sources, base: recipe.Base, progress: Progress) -> BaseSystem:
    """Sysroot, base tree and base segment, from the cache where they are there already."""
    own = apt.open_apt(sources.cache, sources.mirrors, base.suite, base.architecture)
    names = (*base.packages, base.kernel)
    packages = apt.closure(own, names, progress, refresh=sources.refresh, locked=sources.locked)
    versions = json.dumps([(item.name, item.version, item.digest) for item in packages])
    sysroot = cache.folder(
        sources.cache,
        f"sysroot-{base.architecture.name}",
        cache.key(versions, _code("linux_base"), _code("debian_files")),
        lambda work: _make_sysroot(own, packages, work, progress),
    )
    lock = payload.lock_name(base.architecture)
    tables = [recipe.text(name) for name in ("base.toml", "modules.toml", lock, "init")]
    epoch = own.index_date if sources.epoch is None else sources.epoch
    name = cache.key(sysroot.name, str(epoch), *tables, *(_code(part) for part in _CODE))
    home = cache.folder(
        sources.cache,
        f"base-{base.architecture.name}",
        name,
        lambda work: _make_base(sources, sysroot, base, work, epoch, progress),
    )
    level = _RELEASE_LEVEL if sources.release else _LEVEL
    segment = home / f"base-{level}.zst"
    if not segment.exists():
        progress.stage(f"Compressing the base (zstd -{level})")
        unfinished = segment.with_suffix(".part")
        initramfs.pack(home / "tree", unfinished, level)
        unfinished.replace(segment)
    facts = json.loads((home / "facts.json").read_text())
    python = f"python{base.python.version}"
    versions_of = {package.name: package.version for package in packages}
    return BaseSystem(
        architecture=base.architecture,
        boot=base.boot,
        sysroot=sysroot,
        tree=home / "tree",
        segment=segment,
        name=name,
        epoch=epoch,
        kernel_version=linux_base.kernel_version(sysroot),
        modules=facts["modules"],
        packages=tuple(packages),
        wheels=payload.locked(architecture=base.architecture),
        python_version=versions_of[python].partition("-")[0],
    )


def _code(module: str) -> bytes:
    return (Path(__file__).parent / f"{module}.py").read_bytes()


def _make_sysroot(
    own: apt.Apt, packages: list[apt.Package], work: Path, progress: Progress
) -> None:
    apt.download(own, packages, progress)
    progress.stage("Unpacking the packages")
    archives = [own.archives / package.file for package in packages]
    linux_base.unpack(archives, work)
    debian_files.write(archives, work)


def _make_base(
    sources: Sources, sysroot: Path, base: recipe.Base, work: Path, epoch: int, progress: Progress
) -> None:
    wheels = cache.folder(
        sources.cache,
        f"wheels-{base.architecture.name}",
        cache.key(recipe.text(payload.lock_name(base.architecture)), base.python.version),
        lambda place: _fetch_wheels(place, base, progress),
    )
    progress.stage("Base system: programs and modules")
    system = work / "tree"
    system.mkdir()
    table = recipe.modules(base.architecture)
    count = linux_base.build(sysroot, system, base, table)
    site = system / payload.SITE
    archives = sorted(wheels.glob("*.whl"))
    extensions = payload.install_wheels(archives, site)
    wheel_facts.write(archives, work / "wheels.json")
    linux_base.copy_libraries(sysroot, system, extensions, architecture=base.architecture)
    progress.stage("Base system: compiling Python")
    folders = (f"usr/lib/python{base.python.version}", payload.SITE)
    linux_base.compile_python(
        sysroot, base.python.version, system, folders, architecture=base.architecture
    )
    _write_init(system)
    initramfs.normalise(system, epoch)
    (work / "facts.json").write_text(json.dumps({"modules": count}))


def _fetch_wheels(place: Path, base: recipe.Base, progress: Progress) -> None:
    progress.stage("Python wheels")
    payload.download(place, base.python.version, architecture=base.architecture)


def _write_init(system: Path) -> None:
    init = system / "init"
    memory = memory_needed(sum(size for _, size in breakdown(system)))
    init.write_text(recipe.text("init").replace("@MEMORY@", str(memory)))
    init.chmod(0o755)


def memory_needed(unpacked: int) -> int:
    """MB of RAM: Linux gives the unpacked files at most half, and they start out compressed."""
    return -(-(2 * unpacked + (96 << 20)) // (64 << 20)) * 64


def build(
    base: BaseSystem,
    signer: Signers,
    identity: str,
    work: Path,
    progress: Progress,
    *,
    add: Callable[[Path], None],
    made: datetime,
) -> System:
    """Add the payload. `identity` names what else tells this image from another (its menu).

    `add` puts what the recipe brings into the payload's folder; `made` is the moment, in UTC, that
    manifest and signature state.
    """
    progress.stage("Payload: our code, compiled and tried")
    place = work / "payload"
    place.mkdir()
    version = recipe.base().python.version
    payload.install_packages(payload.source_folder(), place / payload.SITE)
    linux_base.compile_python(
        base.sysroot, version, place, (payload.SITE,), architecture=base.architecture
    )
    payload.self_test(
        base.tree, place / payload.SITE, payload.PACKAGES, architecture=base.architecture
    )
    _write_trust(place, signer)
    add(place)
    (place / SENTINEL).write_text("the last file to be unpacked\n")
    image_id = _image_id(base, place, signer, identity)
    _sign_payload(base, place, signer, image_id, made)
    initramfs.normalise(place, base.epoch)
    segment, initrd = work / "payload.zst", work / "initrd.img"
    initramfs.pack(place, segment, _RELEASE_LEVEL)  # small: the best level costs a second
    initramfs.join([base.segment, segment], initrd)
    parts = _added(breakdown(base.tree), breakdown(place))
    unpacked = sum(size for _, size in parts)
    memory = memory_needed(unpacked)
    return System(base, base.kernel, initrd, image_id, made, memory, unpacked, parts)


def _write_trust(place: Path, signer: Signers) -> None:
    folder = place / manifest.PAYLOAD_TRUST
    folder.mkdir(parents=True)
    for certificate in signer.trusted:
        name = keys.fingerprint(certificate)[:16]
        (folder / f"{name}.crt").write_bytes(keys.certificate_pem(certificate))


def _image_id(base: BaseSystem, place: Path, signer: Signers, identity: str) -> str:
    content = tree.manifest_of(place, "unnamed", datetime.fromtimestamp(0, UTC))
    files = json.dumps([(entry.path, entry.sha256) for entry in content.entries])
    return cache.key(base.name, files, keys.fingerprint(signer.certificate), identity)[:16]


def _sign_payload(
    base: BaseSystem, place: Path, signer: Signers, image_id: str, made: datetime
) -> None:
    """The manifest of every file the running system starts with, inside that system."""
    parts = [tree.manifest_of(folder, image_id, made) for folder in (base.tree, place)]
    entries = sorted((entry for part in parts for entry in part.entries), key=lambda e: e.path)
    facts = {"kernel": base.kernel_version, "base": base.name}
    content = manifest.to_bytes(manifest.Manifest(image_id, made, tuple(entries), facts))
    (place / manifest.PAYLOAD_MANIFEST).write_bytes(content)
    signature = cms.sign_detached(content, *signer.all, signing_time=signer.signing_time(made))
    (place / manifest.PAYLOAD_SIGNATURE).write_bytes(signature)


def breakdown(folder: Path) -> tuple[tuple[str, int], ...]:
    """Unpacked bytes by category."""
    sizes = dict.fromkeys([name for name, _ in _CATEGORIES] + ["other"], 0)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            where = path.relative_to(folder).as_posix()
            kind = next((name for name, form in _CATEGORIES if re.match(form, where)), "other")
            sizes[kind] += path.stat().st_size
    return tuple(sizes.items())


def _added(
    one: tuple[tuple[str, int], ...], two: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, int], ...]:
    other = dict(two)
    return tuple((name, size + other.get(name, 0)) for name, size in one)
