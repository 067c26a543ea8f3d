"""Crash dumps: small ones, MEMORY.DMP, and one that still waits in the page file.

A crash is written into the page file (or a dedicated file) and becomes MEMORY.DMP in the next boot
that comes far enough: on a machine that does not start, the newest crash often lies only there. The
newest dumps are read, by the time of their files. LiveKernelReports hold no crashes and are left
out. Not found: dumps and page files on other volumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence import files, reading
from recoverykit.evidence.files import OpenFile
from recoverykit.formats import crashdump
from recoverykit.model import (
    Evidence,
    Gap,
    Setting,
    SettingName,
    Source,
    WindowsInstall,
)

MAX_DUMPS = 12

_PAGE_FILE = "pagefile.sys"
_SIGNATURE = 8
_MAX_ENTRIES = 100_000  # of one folder: the Windows folder has a few hundred


def collect(install: WindowsInstall, settings: Sequence[Setting] = ()) -> Iterator[Evidence]:
    """A CrashDump for each of the newest dumps, newest first; Gaps for what cannot be read.

    `settings` say where else dumps go; without them the usual places are looked at.
    """
    yield from _raw(install, settings)
    found: dict[str, datetime] = {}  # path on disk -> last written
    for name, is_folder in _places(install, settings):
        try:
            _look(install, name, found, is_folder=is_folder)
        except (OSError, RecoveryKitError) as exc:
            yield Gap(Source(name), f"Crash dumps here cannot be read: {why(exc)}.")
    newest = sorted(found, key=lambda path: (found[path], path), reverse=True)
    for path in newest[:MAX_DUMPS]:
        yield from _dump(install, path)
    if len(newest) > MAX_DUMPS:
        older = len(newest) - MAX_DUMPS
        oldest = newest[-1]
        yield Gap(Source(oldest), f"{older} older crash dumps were not read.")


def _places(install: WindowsInstall, settings: Sequence[Setting]) -> dict[tuple[str, bool], None]:
    """Files, and folders (True), that may hold dumps; as the registry has it, and the usual."""
    places: dict[tuple[str, bool], None] = {}
    for setting in settings:
        if setting.name in (SettingName.DUMP_FILE, SettingName.MINIDUMP_FOLDER) and setting.text:
            _, spelled = installs.driver_path(install, "", setting.text)
            if spelled:
                places[spelled, setting.name is SettingName.MINIDUMP_FOLDER] = None
    places[f"{install.folder}/MEMORY.DMP", False] = None
    places[f"{install.folder}/Minidump", True] = None
    return places


def _look(
    install: WindowsInstall, name: str, found: dict[str, datetime], *, is_folder: bool
) -> None:
    """Add the dumps at one place and their times. Raises OSError, TargetRefusedError."""
    folder, _, file = (f"{name}/" if is_folder else name).rpartition("/")
    spelled = installs.locate(install.mount, folder)
    if spelled is None:
        return
    for entry in islice(installs.on_disk(install.mount, spelled).iterdir(), _MAX_ENTRIES):
        wanted = entry.name.lower().endswith(".dmp") if is_folder else _same(entry.name, file)
        if wanted:
            found[f"{spelled}/{entry.name}"] = reading.modified(entry.lstat())


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _dump(install: WindowsInstall, path: str) -> Iterator[Evidence]:
    """One file. Where only a part of it can be used, that and a Gap."""
    try:
        with files.opened(install, path) as file:
            yield from _parsed(file, path, in_pagefile=False)
    except FormatError as exc:
        yield Gap(Source(path, exc.offset), f"This crash dump is not usable: {exc.problem}.")
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(path), f"This crash dump cannot be read: {why(exc)}.")


def _parsed(file: OpenFile, path: str, *, in_pagefile: bool) -> Iterator[Evidence]:
    """Raises FormatError where there is no header, OSError."""
    try:
        dump = crashdump.parse(file.stream, file.size, path, file.modified)
    except FormatError as exc:
        dump = crashdump.remains(file.stream, path, file.modified)
        reason = f"Only a part of this crash dump can be used: {exc.problem}."
        yield Gap(Source(path, exc.offset), reason)
    yield replace(dump, in_pagefile=in_pagefile)


# --- crashes that are no files yet --------------------------------------------------------


def _raw(install: WindowsInstall, settings: Sequence[Setting]) -> Iterator[Evidence]:
    """Dumps at the beginning of the files Windows writes them into."""
    for name in _raw_files(install, settings):
        try:
            spelled = installs.locate(install.mount, name)
            if spelled is None:
                continue
            with files.opened(install, spelled) as file:
                if crashdump.is_dump(file.stream.read(_SIGNATURE) or b""):
                    yield from _parsed(file, spelled, in_pagefile=True)
        except (OSError, RecoveryKitError) as exc:
            reason = f"Whether a crash dump waits in it cannot be told: {why(exc)}."
            yield Gap(Source(name), reason)


def _raw_files(install: WindowsInstall, settings: Sequence[Setting]) -> list[str]:
    names = [_PAGE_FILE]
    for setting in settings:
        if setting.name is SettingName.DEDICATED_DUMP and setting.text:
            _, spelled = installs.driver_path(install, "", setting.text)
            if spelled and spelled not in names:
                names.append(spelled)
    return names
