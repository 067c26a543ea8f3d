"""Partition tables as bytes, right or wrong in exactly the way a test wants."""

from __future__ import annotations

import random
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from recoverykit.formats.extent import Read
from recoverykit.formats.gpt import BASIC_DATA

DISK = "5a0c4b71-7a2b-4f3e-9c1d-0b5e6f708192"


@dataclass(frozen=True, slots=True)
class Entry:
    """One GPT entry; both sectors inclusive."""

    first: int
    last: int
    type: str = BASIC_DATA
    name: str = "Basic data partition"
    guid: str = ""  # "": derived from the sectors


def reader(data: bytes | bytearray) -> Read:
    def read(offset: int, length: int) -> bytes:
        return bytes(data[offset : offset + length]) if offset >= 0 and length > 0 else b""

    return read


def gpt(entries: Sequence[Entry], *, sectors: int = 4096, sector_size: int = 512) -> bytearray:
    """A disk with a protective MBR and both copies of a table of 128 entries."""
    disk = bytearray(sectors * sector_size)
    put_mbr(disk, [(0, 0xEE, 1, sectors - 1)], signature=0)
    array = b"".join(_entry(entry) for entry in entries).ljust(128 * 128, b"\0")
    long = -(-len(array) // sector_size)
    for own, other, table in ((1, sectors - 1, 2), (sectors - 1, 1, sectors - 1 - long)):
        header = _header(own, other, table, sectors, long, zlib.crc32(array))
        disk[own * sector_size : own * sector_size + len(header)] = header
        disk[table * sector_size : table * sector_size + len(array)] = array
    return disk


def _entry(entry: Entry) -> bytes:
    own = uuid.UUID(entry.guid) if entry.guid else uuid.uuid5(uuid.NAMESPACE_OID, repr(entry))
    return struct.pack(
        "<16s16sQQQ72s",
        uuid.UUID(entry.type).bytes_le,
        own.bytes_le,
        entry.first,
        entry.last,
        0,
        entry.name.encode("utf-16-le"),
    )


def _header(own: int, other: int, table: int, sectors: int, long: int, crc: int) -> bytes:
    usable = (2 + long, sectors - 2 - long)
    disk = uuid.UUID(DISK).bytes_le
    body = (own, other, *usable, disk, table, 128, 128, crc)
    blank = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, *body)
    return blank[:16] + struct.pack("<I", zlib.crc32(blank)) + blank[20:]


def put_mbr(
    disk: bytearray,
    entries: Sequence[tuple[int, int, int, int]],
    *,
    at: int = 0,
    signature: int = 0x4D2A6B11,
) -> None:
    """Write (status, type, start, sectors) entries and 55AA into the sector at byte `at`."""
    struct.pack_into("<I", disk, at + 440, signature)
    for i, (status, kind, start, sectors) in enumerate(entries):
        struct.pack_into("<B3xB3xII", disk, at + 446 + 16 * i, status, kind, start, sectors)
    disk[at + 510 : at + 512] = b"\x55\xaa"


def mutations(good: bytes, count: int, seed: int = 20240719) -> list[bytes]:
    """`count` damaged copies of `good`: bytes changed, some cut off."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 8)):
            bad[rng.randrange(len(bad))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        made.append(bytes(bad[: rng.randrange(len(bad))] if rng.random() < 0.2 else bad))
    return made
