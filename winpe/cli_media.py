"""`build_media.py build`, `recipe` and `iso`: media made from a recipe, or from its short form."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from winpe import build as building
from winpe import cache, files, linux_media, lock, media_toml, packs, recipe, signers, summary
from winpe.errors import MediaUsageError
from winpe.media import Base, Carry, Media, Output, Unattended
from winpe.progress import Progress

recipe_app = typer.Typer(
    help="The recipe of a medium, media.toml (docs/recipe.md).", no_args_is_help=True
)

Recipe = Annotated[Path, typer.Argument(help="The recipe, media.toml.")]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder of `keys new`, or a PKCS #12 file. Default: a test key."),
]
Second = Annotated[Path | None, typer.Option("--second", help="A second key that signs too.")]
Mirror = Annotated[str, typer.Option(help="Debian mirror. Default: the one this host uses.")]
Security = Annotated[str, typer.Option(help="Mirror of Debian's security updates.")]
CacheFolder = Annotated[Path | None, typer.Option("--cache", help="Where downloads are kept.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Look for newer Debian packages.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass(frozen=True, slots=True)
class Host:
    """What is particular to this machine, and says nothing about the medium."""

    keys: Path | None
    second: Path | None
    mirror: str
    security_mirror: str
    cache: Path | None
    refresh: bool

    def signer(self) -> signers.Signers:
        if self.keys is None:
            return signers.default(self.second)
        return signers.load(self.keys, self.second)

    def options(
        self, media: Media, targets: Mapping[Output, Path], held: lock.Lock | None
    ) -> linux_media.Options:
        return linux_media.Options(
            media=media,
            targets=targets,
            signer=self.signer(),
            cache=(self.cache or cache.default()).absolute(),
            mirror=self.mirror,
            security_mirror=self.security_mirror,
            refresh=self.refresh,
            lock=held,
        )


def build(
    media_toml_file: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="The recipe, media.toml.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for what is made. Default: beside the recipe."),
    ] = None,
    key: Keys = None,
    second: Second = None,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Take the packages of today, and pin them anew.")
    ] = False,
    mirror: Mirror = "",
    security_mirror: Security = "",
    cache_folder: CacheFolder = None,
    as_json: Json = False,
) -> None:
    """Build what a recipe says. The first build pins its packages in media.lock beside it.

    With that lock and the same keys every later build makes the same bytes, wherever it runs.

    Example: build_media.py build media.toml -o out --keys ./keys
    """
    media = media_toml.load(media_toml_file)
    place = media_toml_file.with_suffix(".lock")
    held = None if update_lock else lock.load(place)
    target = (folder or media_toml_file.absolute().parent).absolute()
    host = Host(key, second, mirror, security_mirror, cache_folder, refresh=update_lock)
    _require_fitting(place, held, media)
    _warn(held)
    options = host.options(media, building.targets(media, target), held)
    built = _built(options, as_json=as_json)
    if held is None and built is not None:
        lock.save(place, built)
        typer.echo(f"The packages are pinned in {place}.", err=True)


def _require_fitting(place: Path, held: lock.Lock | None, media: Media) -> None:
    if held is not None and held.architecture != media.architecture:
        raise MediaUsageError(
            f"{place} was made for {held.architecture}, and the recipe says {media.architecture}",
            hint="--update-lock makes it anew",
        )


def _warn(held: lock.Lock | None) -> None:
    if held is not None and (other := lock.differences(held, lock.tool_versions())):
        typer.echo(
            f"warning: other programs than those of the lock write this image ({'; '.join(other)}):"
            " it may differ",
            err=True,
        )


def iso(
    output: Annotated[Path, typer.Option("-o", "--output", help="The ISO file to make.")],
    key: Keys = None,
    second: Second = None,
    architecture: Annotated[str, typer.Option("--arch", help="x64 or arm64.")] = "x64",
    unattended: Annotated[
        str, typer.Option(help="What starts by itself: repair or diagnose.")
    ] = "ask",
    end: Annotated[str, typer.Option(help="When the session is over: reboot or poweroff.")] = "",
    ntfs_log: Annotated[str, typer.Option(help="An unclean NTFS journal: replay or refuse.")] = "",
    kernel_args: Annotated[str, typer.Option(help="More arguments for the kernel.")] = "",
    pack: Annotated[
        list[Path] | None,
        typer.Option("--pack", help="A remediation pack to carry, signed; may be repeated."),
    ] = None,
    block_list: Annotated[
        list[Path] | None,
        typer.Option("--block-list", help="A list of bad drivers to carry; may be repeated."),
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="Compress harder (about 2 minutes).")
    ] = False,
    mirror: Mirror = "",
    security_mirror: Security = "",
    cache_folder: CacheFolder = None,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Build the bootable image: for CD and USB stick, BIOS and UEFI.

    A short form of `build`: what has no option here can be said in a recipe (`recipe new`).
    """
    building.check_words(
        {
            "--arch": (architecture, media_toml.ARCHITECTURES),
            "--unattended": (unattended, ("ask", "repair", "diagnose")),
            "--end": (end, ("", "reboot", "poweroff")),
            "--ntfs-log": (ntfs_log, ("", "replay", "refuse")),
        }
    )
    building.refuse_output(output)
    for path in pack or ():
        packs.check(path)
    media = Media(
        name=output.stem,
        architecture=architecture,
        release=release,
        kernel_arguments=tuple(kernel_args.split()),
        unattended=Unattended(unattended, end, ntfs_log),
        carry=Carry(packs=tuple(pack or ()), block_lists=tuple(block_list or ())),
    )
    host = Host(key, second, mirror, security_mirror, cache_folder, refresh)
    _built(host.options(media, {Output.ISO: output}, None), as_json=as_json)


def _built(options: linux_media.Options, *, as_json: bool) -> lock.Lock | None:
    """Make it, say so; the lock with which the same is made again, where the base has one."""
    began = time.monotonic()
    progress = Progress()
    try:
        built = building.build(options, progress)
        progress.done()
    finally:
        progress.close()
    seconds = time.monotonic() - began
    typer.echo(summary.as_json(built, seconds) if as_json else summary.as_text(built, seconds))
    return built.lock


@recipe_app.command("new")
def recipe_new(
    path: Annotated[Path, typer.Argument(help="The file to make.")] = Path("media.toml"),
) -> None:
    """Write a recipe in which every key stands with its default.

    Example: build_media.py recipe new media.toml
    """
    if path.exists():
        raise MediaUsageError(f"{path} is there already", hint="choose another name, or edit it")
    files.refuse_place(path)
    files.write(path, recipe.text("media.toml").encode())
    typer.echo(f"{path} was made. Edit it, then: build_media.py recipe check {path}")


@recipe_app.command("check")
def recipe_check(path: Recipe, as_json: Json = False) -> None:
    """Find every mistake of a recipe, with its line. Needs no key and no network.

    Example: build_media.py recipe check media.toml
    """
    media = media_toml.load(path)
    if as_json:
        values = asdict(media)
        for each in values["network"]["wifi"]:
            each["passphrase"] = bool(each["passphrase"])  # whether there is one
        document = {"schema": "recoverykit.recipe/1", **values}
        typer.echo(json.dumps(document, indent=2, default=str))
        return
    outputs = " and ".join(media.outputs)
    kind = "WinPE" if media.base is Base.WINPE else "Linux"
    typer.echo(
        f"{path}: no mistakes. It makes {media.name} as {outputs}: {kind}, {media.architecture}."
    )
