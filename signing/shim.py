"""What a shim trusts besides the firmware, as it lies in its own file.

Source: https://github.com/rhboot/shim, cert.S (section ".vendor_cert": sizes and places of what it
trusts and of what it has revoked, each a certificate or EFI_SIGNATURE_LISTs) and sbat.c (which SBAT
level it puts in force). Not known from the file: the owner's own keys (MOK), a variable.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from signing import image, resources, sbat
from signing.efi_variables import Database, certificate_lists, read_lists
from signing.errors import MalformedError
from signing.image import Stream
from signing.sbat import NO_LEVEL, SHIM, Level

SECTION = ".vendor_cert"

_STRUCTURE = "shim's certificates"
_TABLE = struct.Struct("<IIII")
_LARGEST = 1 << 20
_SEQUENCE = 0x30  # what a certificate begins with, and no type of a list


@dataclass(frozen=True, slots=True)
class Shim:
    """Beside db and dbx, and the level that it puts in force where the machine's is older."""

    trusted: Database
    revoked: Database
    level: Level = NO_LEVEL


def read(stream: Stream) -> Shim | None:
    """None for an executable that is no shim. Raises MalformedError for a damaged one, OSError."""
    made = image.read(stream)
    section = resources.section(stream, made, SECTION, _LARGEST)
    if section is None:
        return None
    if len(section) < _TABLE.size:
        raise MalformedError(_STRUCTURE, 0, "they end too early")
    trusted_size, revoked_size, trusted_at, revoked_at = _TABLE.unpack_from(section)
    brought = resources.section(stream, made, sbat.LEVEL_SECTION, sbat.LARGEST)
    return Shim(
        _database(section, trusted_at, trusted_size),
        _database(section, revoked_at, revoked_size),
        sbat.levels(brought).automatic if brought is not None else NO_LEVEL,
    )


def _database(section: bytes, at: int, size: int) -> Database:
    data = section[at : at + size]
    if len(data) != size:
        raise MalformedError(_STRUCTURE, at, f"{size:,} bytes where the section ends")
    if data[:1] == bytes((_SEQUENCE,)):
        return certificate_lists(SHIM, (data,))
    return read_lists(data)
