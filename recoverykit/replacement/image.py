"""What a candidate's own bytes say: for which machine and Windows, whose, and whether it is whole.

`servicing` recognises what the component store keeps in place of whole files: deltas (PA30 and its
like, behind a checksum in the store's folders since Windows 10 1809) and files that servicing
compressed ("DCS" and its like, with a 1 behind). Neither is unpacked. Source: public descriptions
of both magics (Microsoft's "Delta Compression" page; sources of SxSExp and wcpex).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import pe, pe_check, pe_imports, pe_resources, pe_target
from recoverykit.formats.pe_imports import Import
from recoverykit.formats.pe_resources import Version

NATIVE = 1

_DELTAS = (b"PA19", b"PA30", b"PA31")
_PACKED = tuple(b"DC%c\x01" % letter for letter in b"DHMNSX")


@dataclass(frozen=True, slots=True)
class Image:
    """A driver file, read."""

    machine: str
    subsystem: int
    needs: tuple[int, int]  # the oldest Windows it is meant for: (6, 1)
    version: Version
    built: datetime | None
    damage: str  # one clause, "" when it is whole
    has_checksum: bool
    imports: tuple[Import, ...] | None  # None: the table is damaged


def read(content: bytes) -> Image:
    """Raises FormatError for what is no executable."""
    stream = io.BytesIO(content)
    headers = pe.headers(stream)
    return Image(
        machine=headers.machine,
        subsystem=headers.subsystem,
        needs=pe_target.subsystem_version(stream, headers),
        version=_version(stream, headers),
        built=headers.built,
        damage=pe_check.damage_of_whole(stream, headers, len(content)),
        has_checksum=headers.checksum != 0,
        imports=_imports(stream, headers),
    )


def servicing(content: bytes) -> str:
    """One clause where the bytes are what servicing keeps in place of a file, else ""."""
    if content[:4] in _DELTAS or content[4:8] in _DELTAS:
        return "it is a delta that Windows servicing keeps, not a whole file"
    if content[:4] in _PACKED:
        return "it is compressed by Windows servicing, which recoverykit cannot unpack"
    return ""


def numbers(version: str) -> tuple[int, ...]:
    """ "10.0.19041.1" as four numbers; () where it is no such version."""
    parts = version.split(".")
    if not 2 <= len(parts) <= 4 or not all(part.isascii() and part.isdecimal() for part in parts):
        return ()
    if any(len(part) > 9 for part in parts):
        return ()
    return (*(int(part) for part in parts), 0, 0)[:4]


def _version(stream: pe.Stream, headers: pe.Headers) -> Version:
    try:
        return pe_resources.version(stream, headers)
    except FormatError:
        return Version()


def _imports(stream: pe.Stream, headers: pe.Headers) -> tuple[Import, ...] | None:
    try:
        return pe_imports.imports(stream, headers)
    except FormatError:
        return None
