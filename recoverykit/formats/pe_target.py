"""Which Windows an executable asks for.

Layout: Microsoft "PE Format", "Optional Header Windows-Specific Fields". Of the version fields the
subsystem's is the one that binds: a driver's linker puts the oldest Windows it is meant for there.
MajorOperatingSystemVersion says which kit it was built with: drivers for Windows 7 have 10.0 in it
(virtio-win's and Npcap's, for instance), so it is not read here.
"""

from __future__ import annotations

import struct

from recoverykit.formats.pe import Headers, Stream, read_at, unpack

_SUBSYSTEM_VERSION = struct.Struct("<HH")
_FROM_CHECKSUM = 48 - 64  # where it lies, counted from CheckSum; the same in PE32 and PE32+


def subsystem_version(stream: Stream, image: Headers) -> tuple[int, int]:
    """(6, 1) is Windows 7. Raises FormatError where the file is cut off, OSError."""
    at = image.checksum_at + _FROM_CHECKSUM
    raw = read_at(stream, at, _SUBSYSTEM_VERSION.size)
    major, minor = unpack(_SUBSYSTEM_VERSION, raw, 0, at)
    return int(major), int(minor)
