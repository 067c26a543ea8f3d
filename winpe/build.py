"""From a recipe to its files: which base makes them, and where they go."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from winpe import linux_media
from winpe.errors import MediaUsageError, OutputError
from winpe.media import Media, Output
from winpe.progress import Progress

_ENDINGS = {Output.ISO: ".iso", Output.UKI: ".efi", Output.WIM: ".wim", Output.FOLDER: ""}


def targets(media: Media, folder: Path) -> dict[Output, Path]:
    """Where each output of a recipe goes. Raises OutputError where nothing can be put."""
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint="make it first")
    found = {kind: folder / f"{media.name}{_ENDINGS[kind]}" for kind in media.outputs}
    for path in found.values():
        refuse_output(path)
    return found


def build(options: linux_media.Options, progress: Progress) -> linux_media.Built:
    """Make every output. Raises MediaError; what stands under its name is whole."""
    return linux_media.build(options, progress)


def refuse_output(output: Path) -> None:
    """Raise OutputError unless a new file may be put there."""
    try:
        mode = output.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as exc:
        raise OutputError(f"{output}: {exc.strerror}") from exc
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, not a file"
        hint = "name a new file; build_media.py usb writes it to a stick afterwards"
        raise OutputError(f"{output} is {kind}", hint=hint)
    folder = output.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint="make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable", hint="choose another -o FILE")


def check_words(given: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Raise MediaUsageError for a word that an option does not have."""
    for option, (word, words) in given.items():
        if word not in words:
            choice = " or ".join(each for each in words if each and each != "ask")
            raise MediaUsageError(f"{option} {word}: it must be {choice}")
