"""Security version numbers: how old a boot manager of Windows may be.

Once dbx holds such a number, Windows' own boot managers compare it with theirs when they begin to
run, and stop if theirs is lower ("Secure boot version check failed"). Firmware knows nothing of
this and starts them, and so does a boot manager from before there were numbers: only dbx itself
(certificate or digest) keeps that one out. A resource "SECURITYVERSIONNUMBER", which a boot manager
of 2020 has with the value 1, is another number and nothing of dbx is compared with it.

Sources: Microsoft KB5025885 (self-check of the boot manager); the layout of SVN_DATA and the GUIDs
of applications from https://github.com/microsoft/secureboot_objects, PreSignedObjects/DBX
(HashesJsonSchema.json, dbx_info_msft_*.json; two of whose GUIDs were printed wrongly until pull
request 406, the values were not); the owner of the entries and the resource from
https://github.com/cjee21/Check-UEFISecureBootVariables (Get-SVNfromDBX, Get-BootMgrSecurityVersion)
and https://github.com/pbatard/rufus (hash.c, issue 2244).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from signing import resources
from signing.efi_variables import Database, Kind
from signing.errors import MalformedError
from signing.image import Image, Stream

# Who owns the entries of dbx that are numbers. They are told by their form, not by this.
OWNER = uuid.UUID("9d132b6c-59d5-4388-ab1c-185cfcb2eb92")
RESOURCE = "BOOTMGRSECURITYVERSIONNUMBER"

_DATA = struct.Struct("<B16sHH11s")  # in the place of a SHA-256
_VERSION = 1
_NUMBER = struct.Struct("<HH")


class Application(Enum):
    """Whom a number of dbx is for."""

    BOOT_MANAGER = uuid.UUID("9d132b61-59d5-4388-ab1c-185c3cb2eb92")  # bootmgfw.efi, bootmgr.efi
    CD_BOOT = uuid.UUID("e8f82e9d-e127-4158-a488-4c18abe2f284")  # cdboot.efi
    NETWORK_BOOT = uuid.UUID("c999cac2-7ffe-496f-8127-9e2a8a535976")  # wdsmgfw.efi


_APPLICATIONS = {each.value.bytes_le: each for each in Application}


@dataclass(frozen=True, slots=True, order=True)
class Svn:
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def minimums(database: Database) -> Mapping[Application, Svn]:
    """The numbers that a dbx holds, the highest of each application. Empty: it holds none."""
    return _minimums(entry.data for entry in database.hashes.get(Kind.SHA256.value, {}).values())


def _minimums(digests: Iterable[bytes]) -> dict[Application, Svn]:
    found: dict[Application, Svn] = {}
    for digest in digests:
        read = number(digest)
        if read is not None and read[1] > found.get(read[0], Svn(-1, -1)):
            found[read[0]] = read[1]
    return found


def number(digest: bytes) -> tuple[Application, Svn] | None:
    """What an entry in the place of a SHA-256 says; None for one that is a digest indeed."""
    if len(digest) != _DATA.size:
        return None
    version, guid, minor, major, rest = _DATA.unpack(digest)
    application = _APPLICATIONS.get(guid)
    if version != _VERSION or application is None or any(rest):
        return None
    return application, Svn(major, minor)


def entry(application: Application, svn: Svn) -> bytes:
    """The 32 bytes that stand for a number in dbx."""
    return _DATA.pack(_VERSION, application.value.bytes_le, svn.minor, svn.major, bytes(11))


def of_boot_manager(stream: Stream, image: Image) -> Svn | None:
    """The number that a boot manager has in itself; None for one that has none.

    Raises MalformedError for a damaged one, and OSError.
    """
    data = resources.find(stream, image, resources.RCDATA, RESOURCE, 64)
    if data is None:
        return None
    if len(data) < _NUMBER.size:
        raise MalformedError("security version number", 0, f"{len(data)} bytes are too few")
    minor, major = _NUMBER.unpack_from(data)
    return Svn(major, minor)
