"""Facts about Windows that rules and guards lean on, each from a data file with its provenance.

Files in `data/`: drivers that come with Windows, modules that are only containers, drivers that a
complete boot loads late, storage setup classes, stop codes. Nothing here is specific to a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from recoverykit.model import DriverFile


class Area(StrEnum):
    """Where a stop code says to look first."""

    DRIVER = "driver"
    DISK = "disk"
    STORAGE = "storage"
    HIVE = "hive"
    HARDWARE = "hardware"
    SYSTEM = "system"  # user mode or servicing


@dataclass(frozen=True, slots=True)
class StopCode:
    code: int
    name: str  # Microsoft's, "" when not in the table
    area: Area


def is_inbox(driver: str, file: DriverFile | None) -> bool:
    """Whether a driver comes with Windows, as far as its name and its file can tell.

    A file that names no company counts as inbox when it has further hard links: Windows links its
    own drivers into WinSxS. The links alone prove nothing where a company is named, because since
    Windows 10 third-party files are linked into the DriverStore as well, and a long name's 8.3
    alias is counted as a link too.
    """
    if _stem(driver) in inbox_drivers() or is_container(driver):
        return True
    if file is None:
        return False
    if file.company:
        return file.company.lower().startswith("microsoft")
    return file.links > 1 and "/filerepository/" not in file.source.path.lower()


def is_container(driver: str) -> bool:
    """Whether other drivers run inside this module, so that it is never to blame itself."""
    return _stem(driver) in _words("container-modules.txt")


def is_late(driver: str) -> bool:
    """Whether a boot that loaded this inbox driver was nearly complete."""
    return _stem(driver) in _words("late-drivers.txt")


def inbox_drivers() -> frozenset[str]:
    """Names without ".sys", lower case."""
    return _words("inbox-drivers.txt")


def storage_classes() -> frozenset[str]:
    """Setup class GUIDs, lower case with braces, of devices below the boot volume."""
    return _words("storage-classes.txt")


def stop_code(code: int) -> StopCode:
    """What is known about a bug check; codes outside the table are taken for a driver's."""
    return _stop_codes().get(code, StopCode(code, "", Area.DRIVER))


def _stem(driver: str) -> str:
    return driver.lower().removesuffix(".sys")


def _lines(name: str) -> list[str]:
    text = (files("recoverykit.diagnosis") / "data" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(line.split()[0] for line in _lines(name))


@cache
def _stop_codes() -> dict[int, StopCode]:
    rows = (line.split(",") for line in _lines("bugchecks.csv"))
    return {int(code, 16): StopCode(int(code, 16), name, Area(area)) for code, name, area in rows}
