"""Media of the Linux base: one recovery system, and the images that it is asked for as.

Prepare what is cached, add what the recipe brings, write each image in the cache's folder, check it
as `verify` does, and only then give it its name: under that it is whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signing import keys
from winpe import (
    architecture,
    block_lists,
    cache,
    grub,
    iso,
    lock,
    mirrors,
    output,
    packs,
    recipe,
    settings,
    system,
    verify,
)
from winpe.errors import ContentError
from winpe.lock import Lock
from winpe.media import Media, Output
from winpe.progress import Progress
from winpe.signers import Signers

_CODE = ("linux_media", "iso", "signed_iso", "grub")  # what shapes an image around its system


@dataclass(frozen=True, slots=True)
class Options:
    """What is made, by whom, and from where."""

    media: Media
    targets: Mapping[Output, Path]  # where each output goes
    signer: Signers
    cache: Path = field(default_factory=cache.default)
    mirror: str = ""
    security_mirror: str = ""
    refresh: bool = False
    lock: Lock | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One file that was made."""

    output: Output
    path: Path
    size: int
    sha256: str
    parts: Mapping[str, int]  # bytes by what they are


@dataclass(frozen=True, slots=True)
class Built:
    """All of them, and what they have in common."""

    made: tuple[Made, ...]
    system: system.System
    signer: Signers
    lock: Lock  # with which the same is made again


def build(options: Options, progress: Progress | None = None) -> Built:
    """Make every output. Raises MediaError; then none of them was touched."""
    progress = progress or Progress(quiet=True)
    found = mirrors.choose(options.mirror, options.security_mirror)
    grub.command_line(menu(options, ""), "ask")  # a bad argument is refused before the work
    with cache.locked(options.cache), cache.disk_errors(options.cache):
        base = system.prepare(_sources(options, found), _base(options.media), progress)
        with tempfile.TemporaryDirectory(prefix="build-", dir=options.cache) as folder:
            return _Build(options, base, Path(folder), progress).all()


def _base(media: Media) -> recipe.Base:
    return recipe.base(architecture.by_name(media.architecture))


def _sources(options: Options, found: mirrors.Mirrors) -> system.Sources:
    held = options.lock
    return system.Sources(
        cache=options.cache,
        mirrors=found,
        refresh=options.refresh,
        release=options.media.release,
        locked=held.packages if held else (),
        epoch=held.epoch if held else None,
    )


def menu(options: Options, image_id: str) -> grub.Menu:
    """What the boot menu offers."""
    media = options.media
    return grub.Menu(
        image_id=image_id,
        default=media.unattended.mode,
        end=media.unattended.end,
        ntfs_log=media.unattended.ntfs_log,
        keyboard=media.locale.keyboard,
        kernel_arguments=media.kernel_arguments,
        development=keys.is_development(options.signer.certificate),
    )


@dataclass(frozen=True, slots=True)
class _Build:
    options: Options
    base: system.BaseSystem
    work: Path
    progress: Progress

    def all(self) -> Built:
        options, media = self.options, self.options.media
        carried = packs.carried(media.carry.packs, *options.signer.trusted)
        lists = block_lists.carried(media.carry.block_lists)

        def add(place: Path) -> None:
            packs.install(carried, place)
            block_lists.install(lists, place)
            settings.install(media, place)

        made = system.build(
            self.base,
            options.signer,
            identity(media),
            self.work,
            self.progress,
            add=add,
            made=options.lock.made if options.lock else moment(),
        )
        images = {kind: self._image(made) for kind in options.targets}
        for kind, (image, parts) in images.items():
            self._check_budget(kind, image, parts)
        finished = tuple(self._finish(kind, *image) for kind, image in images.items())
        return Built(finished, made, options.signer, self._lock(made))

    def _image(self, made: system.System) -> tuple[Path, dict[str, int]]:
        wanted = menu(self.options, made.image_id)
        self.progress.stage("Writing and signing the image")
        target = self.work / "image.iso"
        content = iso.Content(made, wanted, self._files())
        parts = iso.write(content, target, self.work, self.options.signer)
        self.progress.stage("Verifying what was written")
        verify.verify_image(target, [self.options.signer.certificate], self.progress)
        return target, parts

    def _files(self) -> dict[str, bytes | Path]:
        media = self.options.media
        return {f"files/{each.name}": each.source for each in media.carry.files}

    def _check_budget(self, kind: Output, image: Path, parts: Mapping[str, int]) -> None:
        size, budget = image.stat().st_size, self.options.media.size_budget
        if budget and size > budget:
            listed = ", ".join(f"{name} {count / 1e6:.1f} MB" for name, count in parts.items())
            raise ContentError(
                f"the {kind} has {size / 1e6:.1f} MB, more than the budget of "
                f"{budget / 1e6:.1f} MB ({listed})",
                hint='compression = "best", fewer files, or a larger size_budget in the recipe',
            )

    def _finish(self, kind: Output, image: Path, parts: Mapping[str, int]) -> Made:
        """Move an image to where it was asked for."""
        target = self.options.targets[kind].absolute()
        self.progress.stage(f"Saving {target.name}")
        with cache.disk_errors(target):
            digest = hashlib.sha256()
            total = image.stat().st_size
            with image.open("rb") as source, output.whole(target) as out:
                while block := source.read(1 << 20):
                    digest.update(block)
                    out.write(block)
                    self.progress(out.tell(), total)
        return Made(kind, self.options.targets[kind], total, digest.hexdigest(), parts)

    def _lock(self, made: system.System) -> Lock:
        base = self.base
        return self.options.lock or Lock(
            made=made.made,
            epoch=base.epoch,
            suite=_base(self.options.media).suite,
            architecture=base.architecture.name,
            packages=base.packages,
            tools=lock.tool_versions(),
        )


def identity(media: Media) -> str:
    """All that a recipe says: with the base, the payload and the signer it is the recipe id.

    What lies in the payload is in it by its content; extra files are by theirs. Names of files on
    the build host are not: the same recipe in another folder is the same medium.
    """
    values: dict[str, Any] = asdict(media)
    del values["carry"], values["windows"], values["outputs"], values["size_budget"], values["name"]
    values["files"] = [(each.name, _sha256(each.source)) for each in media.carry.files]
    here = Path(__file__).parent
    code = [cache.key((here / f"{name}.py").read_bytes()) for name in _CODE]
    return json.dumps([values, code], sort_keys=True, default=str)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def moment() -> datetime:
    """Now, or the moment that SOURCE_DATE_EPOCH names (reproducible-builds.org)."""
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stated:
        return datetime.now(UTC).replace(microsecond=0)
    if not stated.isdigit():
        raise ContentError(f"SOURCE_DATE_EPOCH={stated} is not a number of seconds")
    return datetime.fromtimestamp(int(stated), UTC)
