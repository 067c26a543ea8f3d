"""Facts about Windows that rules and guards lean on, each from a data file with its provenance.

Files in `data/`: drivers that come with Windows, modules that are only containers, drivers that a
complete boot loads late, storage setup classes, stop codes. Nothing here is specific to a machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from recoverykit.model import DriverFile

_COPY = re.compile(r"^(?:dump|hiber)_")  # copies of storage drivers that write dumps
_DEFENDER = re.compile(r"mpksl[0-9a-f]{8}")  # Defender's, named anew with its signatures
_SMALL_DUMP = 0x1000_0000
# LIVE_SYSTEM_DUMP, and a display driver that was restarted: names that do not say so.
_SURVIVED = (0x117, 0x141, 0x142, 0x161)


class Area(StrEnum):
    """Where a stop code says to look first."""

    DRIVER = "driver"
    DISK = "disk"
    STORAGE = "storage"
    HIVE = "hive"
    HARDWARE = "hardware"
    SYSTEM = "system"  # user mode or servicing
    USER = "user"  # somebody asked for it: keyboard, power button, debugger


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
    stem = _stem(driver)
    if stem in inbox_drivers() or _COPY.sub("", stem) in inbox_drivers() or is_container(driver):
        return True
    if _DEFENDER.fullmatch(stem):
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


def file_name(path: str) -> str:
    """The last part of a path as logs have it, in lower case."""
    return path.replace("/", "\\").rsplit("\\", 1)[-1].lower()


def other_makers(maker: str) -> frozenset[str]:
    """Names under which a maker's products keep their data, where they are not its own."""
    return _makers().get(maker.casefold(), frozenset())


def base_code(code: int) -> int:
    """Without the bit that small dumps may add: 0x1000007E is 0x7E."""
    return code & ~_SMALL_DUMP


def stop_code(code: int) -> StopCode:
    """What is known about a bug check; codes outside the table are taken for a driver's.

    With bit 28 set a code means what it means without: the bit marks what a small dump holds.
    """
    known = _stop_codes().get(code)
    if known is None and code & _SMALL_DUMP:
        bare = _stop_codes().get(base_code(code))
        known = bare and StopCode(code, f"{bare.name}_M", bare.area)
    return known or StopCode(code, "", Area.DRIVER)


# NTSTATUS values of reads that failed, as stop codes carry them in their first two parameters:
# STATUS_IN_PAGE_ERROR, device data error, device not connected, CRC error, I/O device error, no
# such device, io timeout (windows-boot-facts.md, section 9: 0x7A; ntstatus.h).
_READ_ERRORS = frozenset(
    {0xC0000006, 0xC000009C, 0xC000009D, 0xC000003F, 0xC0000185, 0xC000000E, 0xC00000B5}
)
_WITH_STATUS = frozenset({0x1E, 0x3B, 0x7E, 0x8E, 0x7A, 0x77, 0xF4, 0xEF, 0xC000021A, 0x24, 0xED})


def area(code: int, parameters: Sequence[int]) -> Area:
    """Where a bug check says to look first, its parameters considered.

    An exception because a page could not be read from the disk is the disk's, whatever code ran.
    """
    statuses = {value & 0xFFFF_FFFF for value in parameters[:2]}
    if base_code(code) in _WITH_STATUS and statuses & _READ_ERRORS:
        return Area.DISK
    return stop_code(code).area


def stop_codes() -> tuple[StopCode, ...]:
    """The whole table, by number."""
    return tuple(_stop_codes().values())


def is_live_dump(code: int) -> bool:
    """Whether Windows went on running: the report of a hang it survived, no crash."""
    name = stop_code(code).name
    return "LIVEDUMP" in name or "LIVE_DUMP" in name or code in _SURVIVED


def _stem(driver: str) -> str:
    return driver.lower().removesuffix(".sys")


def data(name: str) -> str:
    """A data file of this folder, as text."""
    return (files("recoverykit.diagnosis") / "data" / name).read_text(encoding="utf-8")


def lines(name: str) -> list[str]:
    """The lines of such a file that are neither empty nor remarks."""
    return [line for line in data(name).splitlines() if line and not line.startswith("#")]


@cache
def _makers() -> dict[str, frozenset[str]]:
    rows = (line.split(":", 1) for line in lines("makers.txt"))
    return {name: frozenset(part.strip() for part in rest.split(",")) for name, rest in rows}


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(line.split()[0] for line in lines(name))


@cache
def _stop_codes() -> dict[int, StopCode]:
    rows = (line.split(",") for line in lines("bugchecks.csv"))
    return {int(code, 16): StopCode(int(code, 16), name, Area(area)) for code, name, area in rows}
