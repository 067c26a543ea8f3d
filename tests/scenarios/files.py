"""Stub images: what the headers and the version resource of a driver file say."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from tests.builders import pe

_MICROSOFT = {
    "CompanyName": "Microsoft Corporation",
    "LegalCopyright": "\u00a9 Microsoft Corporation. All rights reserved.",
    "ProductName": "Microsoft\u00ae Windows\u00ae Operating System",
}
NATIVE, EFI_APPLICATION, BOOT_APPLICATION = 1, 10, 16
_SUBSYSTEM = 0x40 + 24 + 68  # same place in PE32 and PE32+
_SIZE_OF_IMAGE = 0x40 + 24 + 56


@lru_cache(maxsize=4096)
def inbox(name: str, company: str, version: str, machine: str, built: int, size: int = 0) -> bytes:
    """A driver that came with Windows; `built` in seconds since 1970."""
    strings = {
        **_MICROSOFT,
        "CompanyName": company or _MICROSOFT["CompanyName"],
        "FileDescription": f"{name.rsplit('.', 1)[0]} driver",
        "FileVersion": f"{version} (WinBuild.160101.0800)",
        "InternalName": name,
        "OriginalFilename": name,
        "ProductVersion": version,
    }
    when = datetime.fromtimestamp(built, UTC)
    return pe.driver(strings, machine=machine, built=when, padding=bytes(size))


def third_party(
    name: str, company: str, product: str, version: str, machine: str, built: datetime, size: int
) -> bytes:
    """`size`: bytes of code after the first instruction, not zeros, none of them instructions."""
    strings = {
        "CompanyName": company,
        "FileDescription": product,
        "FileVersion": version,
        "InternalName": name,
        "LegalCopyright": f"Copyright \u00a9 {company}",
        "OriginalFilename": name,
        "ProductName": product,
        "ProductVersion": version,
    }
    filler = (name.encode() * (size // len(name) + 1))[:size]
    return pe.driver(strings, machine=machine, built=built, padding=filler)


@lru_cache(maxsize=64)
def application(name: str, version: str, machine: str, built: int, subsystem: int) -> bytes:
    """A boot application: bootmgfw.efi, winload.efi."""
    image = bytearray(inbox(name, "", version, machine, built, 40_000))
    struct.pack_into("<H", image, _SUBSYSTEM, subsystem)
    return pe.with_checksum(_unsummed(image))


def _unsummed(image: bytearray) -> bytes:
    struct.pack_into("<I", image, 0x40 + 24 + 64, 0)
    return bytes(image)


def image_size(image: bytes) -> int:
    size: int = struct.unpack_from("<I", image, _SIZE_OF_IMAGE)[0]
    return size


def stamp(image: bytes) -> int:
    value: int = struct.unpack_from("<I", image, 0x48)[0]
    return value


def built_before(when: datetime, days: float) -> datetime:
    """A build date before an installation, at a second of its own."""
    return (when - timedelta(days=days)).replace(microsecond=0)
