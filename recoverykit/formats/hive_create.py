"""A hive made from nothing: the smallest one Windows would load, to be filled by the editor.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Base block" and "Hive
bin". One bin with a root key and its security descriptor. The GUIDs of the transaction manager stay
zero, as in hives the offline registry library makes: Windows fills them in when it loads the hive.
"""

from __future__ import annotations

import struct
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import hive_security
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive_heap import BIN_HEADER, Heap
from recoverykit.formats.hive_keys import ROOT_FLAGS, new_key, require_key_name, utf16
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE, PAGE, seal

# Full access for SYSTEM and for Administrators, who own it; keys made below inherit that:
# O:BAG:SYD:(A;CI;KA;;;SY)(A;CI;KA;;;BA)
DEFAULT_SECURITY = bytes.fromhex(
    "01000480480000005800000000000000140000000200340002000000"
    "000214003f000f00010100000000000512000000"
    "000218003f000f0001020000000000052000000020020000"
    "01020000000000052000000020020000"
    "010100000000000512000000"
)
FIRST_SEQUENCE = 1
_VERSIONS = range(3, 7)  # minor
_TITLE = 31  # characters of the file's name, the last ones; a NUL follows
# signature, sequence numbers, time, version, type, format, root, size of bins, clustering, name
_BaseBlock = struct.Struct("<4sIIQIIIIIII64s")


def create(
    name: str,
    *,
    root: str = "ROOT",
    when: datetime,
    minor: int = 5,
    security: bytes | None = None,
) -> bytes:
    """A clean hive file with nothing but a root key.

    `name` is the path or file name for its header, of which the tail is kept; a boot store has
    minor version 3 and the root "NewStoreRoot". Raises FormatError for a version, a root's name or
    a descriptor that cannot be.
    """
    if minor not in _VERSIONS:
        raise FormatError("hive header", 24, f"version 1.{minor} is not written")
    require_key_name(root)
    ticks = to_filetime(when)
    size = PAGE
    image = bytearray(BASE_BLOCK_SIZE + size)
    title = utf16(name)[-2 * _TITLE :].ljust(64, b"\0")
    fields = (FIRST_SEQUENCE, FIRST_SEQUENCE, ticks, 1, minor, 0, 1, BIN_HEADER, size, 1, title)
    _BaseBlock.pack_into(image, 0, b"regf", *fields)
    struct.pack_into("<4sII8xQ", image, BASE_BLOCK_SIZE, b"hbin", 0, size, ticks)
    struct.pack_into("<i", image, BASE_BLOCK_SIZE + BIN_HEADER, size - BIN_HEADER)
    heap = Heap(image)
    cell = new_key(
        heap,
        root,
        parent=NOWHERE,
        ticks=ticks,
        security=NOWHERE,
        class_name="",
        flags=ROOT_FLAGS,
    )
    descriptor = hive_security.first(heap, DEFAULT_SECURITY if security is None else security)
    hive_security.assign(heap, cell, descriptor)
    seal(image, FIRST_SEQUENCE, heap.end - BASE_BLOCK_SIZE)
    return heap.whole()
