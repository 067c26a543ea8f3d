"""Transaction logs of a hive, written: one atomic change as Windows itself records it.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Format of transaction
log files" and "Log entries". The padding of an entry follows real logs, which end each of them at a
multiple of 4096 bytes. What comes out stands at the beginning of a log file; what lies behind it
there, remnants of earlier rounds, has older sequence numbers and is ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from recoverykit.formats.marvin32 import marvin32
from recoverykit.formats.regf import LOG_NEW, LOG_OLD, PAGE, SECTOR, stamped

_HEAD = struct.Struct("<4sIIIII")  # HvLE, size, flags, sequence, bins size, pages
_HASHES = 16
_FLAGS = 144  # of the base block, whose lowest bit an entry repeats

Pages = Sequence[tuple[int, bytes]]  # (offset from the first bin, bytes), both multiples of PAGE


def entry_log(head: bytes, sequence: int, bins_size: int, pages: Pages) -> bytes:
    """A log of the newer format with one entry, whose number is `sequence`.

    `head` is the first sector of the hive as it will be when the log is needed: its time stamp and
    identifiers are what Windows knows a log by.
    """
    references = b"".join(struct.pack("<II", offset, len(data)) for offset, data in pages)
    body = references + b"".join(data for _, data in pages)
    sector = _sector(head)
    size = _up(sector + _HEAD.size + _HASHES + len(body), PAGE) - sector
    body += bytes(size - _HEAD.size - _HASHES - len(body))
    flags = head[_FLAGS] & 1
    first = _HEAD.pack(b"HvLE", size, flags, sequence, bins_size, len(pages))
    first += struct.pack("<Q", marvin32(body))
    entry = first + struct.pack("<Q", marvin32(first)) + body
    return stamped(head, sequence, sequence, file_type=LOG_NEW).ljust(sector, b"\0") + entry


def bitmap_log(head: bytes, sequence: int, bins_size: int, pages: Pages) -> bytes:
    """A log of the older format: a bit for each 512 bytes of the bins, then those that are set."""
    sector = _sector(head)
    bitmap = bytearray(bins_size // SECTOR // 8)
    for offset, data in pages:
        for index in range(offset // PAGE, (offset + len(data)) // PAGE):
            bitmap[index] = 0xFF  # eight sectors are one page
    vector = b"DIRT" + bitmap
    vector += bytes(_up(len(vector), sector) - len(vector))
    base = stamped(head, sequence, sequence, file_type=LOG_OLD, bins_size=bins_size)
    return base.ljust(sector, b"\0") + vector + b"".join(data for _, data in pages)


def _sector(head: bytes) -> int:
    """Of the disk, as the hive's clustering factor has it: what follows begins at the second."""
    return SECTOR * min(max(int.from_bytes(head[44:48], "little"), 1), 8)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
