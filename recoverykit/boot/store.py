"""Find the boot stores of a mounted volume and read them, with their logs. Reads only.

Where they lie: `EFI/Microsoft/Boot/BCD` and `EFI/Microsoft/Recovery/BCD` on the EFI system
partition, `Boot/BCD` on the active partition of a BIOS disk, and on Windows' own volume the
template that bcdboot makes new stores from. Every place is looked at on every volume: a store on
the wrong partition is a finding, too. A log lies beside each (`.LOG`, newer ones `.LOG1`, `.LOG2`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from recoverykit import installs
from recoverykit.errors import RecoveryKitError, TargetRefusedError
from recoverykit.formats import bcd, bcd_device
from recoverykit.formats.bcd import Store
from recoverykit.formats.bcd_device import Where
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import Recovery
from recoverykit.model import Volume

_TEMPLATE = "System32/config/BCD-Template"
MAX_STORE = 16 << 20  # bytes; real ones, and their logs, have less than one MiB


class Role(StrEnum):
    """What a store is for, by the place it lies in."""

    SYSTEM = "system"  # what the boot manager of this disk reads
    RECOVERY = "recovery"  # what starts the recovery environment on its own
    TEMPLATE = "template"  # what bcdboot makes new stores from; starts nothing
    FILE = "file"  # named by the caller


_PLACES = (
    ("EFI/Microsoft/Boot/BCD", Role.SYSTEM),
    ("Boot/BCD", Role.SYSTEM),
    ("EFI/Microsoft/Recovery/BCD", Role.RECOVERY),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A store's file on a volume; `store` is None where it cannot be read, `problem` says why."""

    path: str  # relative to the volume, as spelled on disk
    role: Role
    store: Store | None = None
    notes: tuple[str, ...] = ()  # what its logs said
    problem: str = ""  # one sentence
    exit_code: int = 0  # of the error behind `problem`


def find(mount: Path) -> tuple[Found, ...]:
    """Every store on a mounted volume, the ones that start something first."""
    return tuple(open_at(mount, path, role) for path, role in _candidates(mount))


def open_at(mount: Path, relative: str, role: Role = Role.FILE) -> Found:
    """One store, whatever state it is in."""
    try:
        store, _, recovery = read(mount, relative)
    except OSError as exc:
        reason = f"It cannot be read: {exc.strerror or exc}."
        return Found(relative, role, problem=reason, exit_code=RecoveryKitError.exit_code)
    except RecoveryKitError as exc:
        reason = f"{exc} ({exc.hint})" if exc.hint else str(exc)
        return Found(relative, role, problem=reason, exit_code=exc.exit_code)
    return Found(relative, role, store, (*recovery.applied, *recovery.refused))


def read(mount: Path, relative: str) -> tuple[Store, Hive, Recovery]:
    """One store and the hive it lies in, for whoever wants to change it.

    Raises FormatError when it is damaged, dirty without logs that help, or no store; OSError when
    it cannot be read; TargetRefusedError when its path leads through a link.
    """
    hive, recovery = installs.read_hive(mount, relative, limit=MAX_STORE)
    return bcd.parse(hive, relative), hive, recovery


def volume_of(where: Where, volumes: Iterable[Volume]) -> Volume | None:
    """The volume a device stands on in the end: a RAM disk's is the one its file is on.

    None for `boot`, for what has to be searched for, and for a partition that none of these is.
    """
    wanted = bcd_device.identity(bcd_device.parts(where)[-1])
    return next((own for own in volumes if wanted and own.identity == wanted), None)


def _candidates(mount: Path) -> Iterator[tuple[str, Role]]:
    templates = tuple((f"{folder}/{_TEMPLATE}", Role.TEMPLATE) for folder in _folders(mount))
    for wanted, role in (*_PLACES, *templates):
        found = _spelled(mount, wanted)
        if found is not None and (mount / found).is_file():
            yield found, role


def _spelled(mount: Path, wanted: str) -> str | None:
    """A path as spelled on disk; one behind a link is not a store Windows would use."""
    try:
        return installs.locate(mount, wanted)
    except (TargetRefusedError, OSError):
        return None


def _folders(mount: Path) -> list[str]:
    try:
        with os.scandir(mount) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
