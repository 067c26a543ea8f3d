"""The restart pages of NTFS's $LogFile: was the journal closed, or cut off?

Layout: "NTFS Documentation" (Russon and Fledel), section "$LogFile", and ntfs-3g's logfile.h. The
two restart pages are written in turn; the intact one with the higher LSN counts. A log is clean
when no client is in use or the "volume is clean" flag is set; a log wiped with FF bytes (mkntfs, a
repair tool) is clean as well. Log records are not read: replaying them is ntfsrecover's work.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.extent import Read
from recoverykit.formats.ntfs_volume import unprotect

_PAGE = struct.Struct("<4sHHQIIHhh")  # restart page header
_AREA = struct.Struct("<QHHHHIHHQIHHI")
_NO_CLIENT = 0xFFFF
_VOLUME_IS_CLEAN = 2
_PAGE_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


@dataclass(frozen=True, slots=True)
class LogState:
    """What the current restart page says."""

    clean: bool
    version: str = ""  # "1.1" at rest; Windows 8 and later run with "2.0"; "" when wiped
    current_lsn: int = 0
    checked: bool = False  # chkdsk has been over it ("CHKD")


def parse(read: Read, size: int) -> LogState:
    """Judge a $LogFile of `size` bytes. Raises FormatError when no restart page is intact."""
    head = read(0, 4096)
    if head and not head.strip(b"\xff"):
        return LogState(clean=True)
    pages = [page for page in _pages(read, size) if page is not None]
    if not pages:
        raise FormatError("$LogFile", 0, "no intact restart page")
    return max(pages, key=lambda page: page.current_lsn)


def _pages(read: Read, size: int) -> list[LogState | None]:
    """The page at 0, and its twin one system page further, wherever that turns out to be."""
    first = _page(read, 0)
    if first is not None:
        return [first, _page(read, _system_page(read(0, 32)))]
    twins = (_page(read, at) for at in _PAGE_SIZES if at < size)
    return [next((twin for twin in twins if twin is not None), None)]


def _system_page(header: bytes) -> int:
    return int(_PAGE.unpack_from(header)[4])


def _page(read: Read, at: int) -> LogState | None:
    """One restart page; None where it is not intact (the other one then counts)."""
    header = read(at, 32)
    if len(header) < 32 or header[:4] not in (b"RSTR", b"CHKD"):
        return None
    magic, _, _, _, system_page, _, area_at, minor, major = _PAGE.unpack_from(header)
    if system_page not in _PAGE_SIZES:
        return None
    try:
        page = unprotect(read(at, system_page), magic, at)
    except FormatError:
        return None
    if area_at + _AREA.size > len(page):
        return None
    lsn, _, _, in_use, flags, *_ = _AREA.unpack_from(page, area_at)
    return LogState(
        clean=in_use == _NO_CLIENT or bool(flags & _VOLUME_IS_CLEAN),
        version=f"{major}.{minor}",
        current_lsn=lsn,
        checked=magic == b"CHKD",
    )
