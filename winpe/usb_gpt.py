"""The image's own partition table, stretched to a larger stick, with one more partition.

Layout: UEFI Specification 2.10, chapter 5.3 (GPT) and 5.2.3 (protective MBR). The boot code, the
address behind it and the MBR's second entry (the active one that some BIOSes look for) stay as
xorriso wrote them; sgdisk would write that MBR anew. Only 512-byte sectors.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

from winpe.errors import ContentError
from winpe.usb_device import SECTOR

BASIC_DATA = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_SIGNATURE = b"EFI PART"
_MOST_ENTRIES = 1024
_PROTECTIVE = 446  # the first entry of the MBR
_NAME = 72  # bytes of UTF-16


@dataclass(frozen=True, slots=True)
class Table:
    """The two copies, ready to be written."""

    head: bytes  # the image's first bytes, with the stretched table in them
    tail: bytes  # for the end of the stick


def present(head: bytes) -> bool:
    """Whether a GPT for 512-byte sectors is there."""
    return head[SECTOR : SECTOR + len(_SIGNATURE)] == _SIGNATURE


def tail_size(head: bytes) -> int:
    """Bytes that the second copy takes at the end of the stick. Raises ContentError."""
    return _array_size(_header(head)) + SECTOR


def stretched(head: bytes, stick: int, start: int, size: int, name: str) -> Table:
    """`head` for a stick of that many bytes, with a partition of `size` bytes at `start`.

    Raises ContentError where the table is damaged or full.
    """
    fields = _header(head)
    entries = _added(_entries(head, fields), start, size, name)
    last = stick // SECTOR - 1
    array = _array_size(fields)
    primary, backup = list(fields), list(fields)
    for copy, lba, other, place in (
        (primary, 1, last, fields[10]),
        (backup, last, 1, last - array // SECTOR),
    ):
        copy[5], copy[6], copy[10] = lba, other, place
        copy[8] = last - array // SECTOR - 1  # the last sector that a partition may have
        copy[13] = zlib.crc32(entries)
    at = int(fields[10]) * SECTOR
    made = bytearray(head)
    made[SECTOR : SECTOR + _HEADER.size] = _sealed(primary)
    made[at : at + len(entries)] = entries
    struct.pack_into("<I", made, _PROTECTIVE + 12, min(last, 0xFFFF_FFFF))
    tail = entries.ljust(array, b"\0") + _sealed(backup).ljust(SECTOR, b"\0")
    return Table(bytes(made), tail)


def _header(head: bytes) -> tuple[int | bytes, ...]:
    fields = _HEADER.unpack_from(head, SECTOR)
    at, count, size = (int(each) for each in fields[10:13])
    plain = fields[0] == _SIGNATURE and fields[2] == _HEADER.size and size == _ENTRY.size
    if not plain or not 0 < count <= _MOST_ENTRIES or (at * SECTOR + count * size) > len(head):
        raise ContentError("the image's partition table is not one that recoverykit writes")
    if fields[3] != zlib.crc32(_without_checksum(fields)):
        raise ContentError("the image's partition table is damaged")
    return fields


def _without_checksum(fields: tuple[int | bytes, ...] | list[int | bytes]) -> bytes:
    return _HEADER.pack(*fields[:3], 0, *fields[4:])


def _sealed(fields: list[int | bytes]) -> bytes:
    return _HEADER.pack(*fields[:3], zlib.crc32(_without_checksum(fields)), *fields[4:])


def _array_size(fields: tuple[int | bytes, ...]) -> int:
    """Whole sectors of the entries."""
    return -(-int(fields[11]) * int(fields[12]) // SECTOR) * SECTOR


def _entries(head: bytes, fields: tuple[int | bytes, ...]) -> bytes:
    at = int(fields[10]) * SECTOR
    entries = head[at : at + int(fields[11]) * int(fields[12])]
    if zlib.crc32(entries) != fields[13]:
        raise ContentError("the image's partition table is damaged")
    return entries


def _added(entries: bytes, start: int, size: int, name: str) -> bytes:
    free = next(
        (at for at in range(0, len(entries), _ENTRY.size) if entries[at : at + 16] == bytes(16)),
        None,
    )
    if free is None:
        raise ContentError("the image's partition table is full")
    first = start // SECTOR
    last = first + size // SECTOR - 1
    title = name.encode("utf-16-le").ljust(_NAME, b"\0")
    one = _ENTRY.pack(BASIC_DATA.bytes_le, uuid.uuid4().bytes_le, first, last, 0, title)
    return entries[:free] + one + entries[free + _ENTRY.size :]
