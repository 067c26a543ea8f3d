"""A machine's firmware, as a running Linux shows it: what it trusts, and whether it asks.

/sys/firmware/efi/efivars, Documentation/filesystems/efivarfs.rst; UEFI Specification 2.10, table
3.1 "Global Variables". What cannot be read is not known, and nothing is judged by it. A variable
that is not there is empty: firmware has it so. The level of SBAT alone is hidden from systems, and
only shim shows a copy: without that copy it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from signing import efi_variables, roots, sbat, svn
from signing.efi_variables import FILES, Database
from signing.errors import MalformedError
from signing.roots import Store
from signing.sbat import Level
from signing.svn import Application, Svn

EFIVARS = Path("/sys/firmware/efi/efivars")


@dataclass(frozen=True, slots=True)
class Firmware:
    """What a machine's firmware trusts. None: it was not read, and is not known."""

    db: Database | None
    dbx: Database | None
    sbat_level: Level | None = None  # sbat.NO_LEVEL: there is none
    minimum_svn: Svn | None = None  # None: the one that dbx holds, if any

    @property
    def least_svn(self) -> Svn | None:
        """The least number of a boot manager of Windows; None: dbx asks for none."""
        if self.minimum_svn is not None or self.dbx is None:
            return self.minimum_svn
        return svn.minimums(self.dbx).get(Application.BOOT_MANAGER)


def read(folder: Path = EFIVARS) -> Firmware:
    """That of the machine this runs on. Raises nothing: what cannot be read is None."""
    level = _value(folder, sbat.LEVEL_FILE)
    return Firmware(
        _database(_value(folder, FILES["db"])),
        _database(_value(folder, FILES["dbx"])),
        _level(level) if level else None,
    )


def usual(more: Iterable[bytes] = ()) -> Firmware:
    """What PCs trust as they are sold: Microsoft's CAs of 2011 and 2023. Nothing is revoked.

    `more`: certificates (DER) beside them. Single machines lack some of them; Secured-core PCs lack
    those for other makers' programs.
    """
    known = [*(each.der for each in roots.of_store(Store.FIRMWARE)), *more]
    return Firmware(efi_variables.certificate_lists(efi_variables.MICROSOFT, known), None)


def is_enforced(folder: Path = EFIVARS) -> bool | None:
    """Whether Secure Boot is on; None: not known, as on a machine without UEFI."""
    value = _value(folder, FILES["SecureBoot"])
    return value[0] == 1 if value else None


def _value(folder: Path, name: str) -> bytes | None:
    """b"" for a variable that is not there. None: not known."""
    try:
        with (folder / name).open("rb") as stream:
            data = stream.read(efi_variables.LARGEST + 5)
        return efi_variables.read_variable(data).data
    except FileNotFoundError:
        return b"" if _has_variables(folder) else None
    except (OSError, MalformedError):
        return None


def _has_variables(folder: Path) -> bool:
    """Whether the variables are shown here at all: the folder is there, and empty, where not."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _database(value: bytes | None) -> Database | None:
    try:
        return efi_variables.read_lists(value) if value is not None else None
    except MalformedError:
        return None


def _level(value: bytes) -> Level | None:
    try:
        return sbat.level(value)
    except MalformedError:
        return None
