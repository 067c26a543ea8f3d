"""The frame of Windows registry hive files ("regf"): base block and hive bins.

Layout: msuhanov/regf, "Windows registry file format specification", sections "Base block" and
"Hive bin". Little-endian throughout. Offsets in a hive count from the first bin (file offset 4096).
What lies in the bins (keys and values) is `hive`'s business, what lies in the logs `regf_log`'s.
Refused: anything without the signature, and bins that do not follow each other without a gap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import xor

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer

BASE_BLOCK_SIZE = 4096
SECTOR = 512
PAGE = 4096  # bins are multiples of it, and begin at multiples of it
NOWHERE = 0xFFFF_FFFF  # an offset that points to nothing
PRIMARY, LOG_OLD, LOG_OLD_2000, LOG_NEW = 0, 1, 2, 6  # file types
_CHECKSUMMED = 508  # XOR-32 covers the first 508 bytes

# signature, primary and secondary sequence, last written, major, minor, file type, file format,
# root cell, size of all bins, clustering, file name, RmId, (LogId), flags, checksum. Not declared
# with construct, whose import alone would take a tenth of the time the command line may need.
_BASE_BLOCK = struct.Struct("<4sIIQ7I64s16s16xI360xI")
_Bin = struct.Struct("<4sII")  # signature, offset from the first bin, size


@dataclass(frozen=True, slots=True)
class BaseBlock:
    """The header of a hive or of a log. Where the checksum is wrong, no field can be trusted."""

    primary_sequence: int
    secondary_sequence: int
    last_written: int  # FILETIME; Windows 8.1 and later leave it 0 or stale
    major: int
    minor: int
    file_type: int
    root_cell: int
    bins_size: int
    clustering: int  # sector size of the disk / 512
    file_name: str  # the tail of the path it was last loaded from
    manager: bytes  # GUID, stays the same for the life of a hive; zeros before Vista
    flags: int
    checksum_ok: bool
    clean: bool  # False: transaction logs must be replayed before values can be trusted

    @classmethod
    def parse(cls, data: Buffer) -> BaseBlock:
        """Raises FormatError where there are less than 512 bytes or no signature."""
        head = bytes(data[:SECTOR])
        if head[:4] != b"regf":
            raise FormatError("hive header", 0, "no regf signature")
        if len(head) < SECTOR:
            raise FormatError("hive header", 0, "shorter than 512 bytes")
        raw = _BASE_BLOCK.unpack(head)
        _, primary, secondary, written, major, minor, file_type, _, root_cell, bins_size = raw[:10]
        clustering, name, manager, flags, stored = raw[10:]
        intact = stored == checksum(head)
        return cls(
            primary_sequence=primary,
            secondary_sequence=secondary,
            last_written=written,
            major=major,
            minor=minor,
            file_type=file_type,
            root_cell=root_cell,
            bins_size=bins_size,
            clustering=clustering,
            file_name=name.decode("utf-16-le", "replace").split("\0")[0],
            manager=manager,
            flags=flags,
            checksum_ok=intact,
            clean=intact and primary == secondary,
        )


def checksum(data: Buffer) -> int:
    """XOR of the first 127 dwords; 0 and 0xFFFFFFFF are stored as 1 and 0xFFFFFFFE."""
    words: tuple[int, ...] = struct.unpack_from(f"<{_CHECKSUMMED // 4}I", data)
    value = reduce(xor, words)
    return {0: 1, 0xFFFF_FFFF: 0xFFFF_FFFE}.get(value, value)


def bins(image: Buffer, size: int) -> Iterator[tuple[int, int]]:
    """(file offset, size) of each bin. Raises FormatError where the chain of bins breaks."""
    position, end = BASE_BLOCK_SIZE, BASE_BLOCK_SIZE + size
    if end > len(image):
        raise FormatError("hive", len(image), f"truncated: {end} bytes expected")
    while position < end:
        length = bin_size(image, position, end)
        if length == 0:
            raise FormatError("hive bin", position, "damaged header")
        yield position, length
        position += length


def bin_size(image: Buffer, position: int, end: int) -> int:
    """The size of the bin at file offset `position`, or 0 where no sound bin begins."""
    if position + 32 > end:
        return 0
    signature, offset, size = _Bin.unpack_from(image, position)
    sound = (
        signature == b"hbin"
        and offset == position - BASE_BLOCK_SIZE
        and size >= PAGE
        and size % PAGE == 0
        and position + size <= end
    )
    return size if sound else 0


def stamped(
    head: Buffer,
    primary: int,
    secondary: int,
    *,
    file_type: int = PRIMARY,
    bins_size: int | None = None,
) -> bytes:
    """The first sector of a hive or a log, from that of another, with a valid checksum."""
    sector = bytearray(head[:SECTOR])
    struct.pack_into("<II", sector, 4, primary, secondary)
    struct.pack_into("<I", sector, 28, file_type)
    if bins_size is not None:
        struct.pack_into("<I", sector, 40, bins_size)
    struct.pack_into("<I", sector, _CHECKSUMMED, checksum(sector))
    return bytes(sector)


def seal(head: bytearray, sequence: int, bins_size: int) -> None:
    """Make `head` (at least 512 bytes) the header of a clean primary file, checksum included."""
    head[:SECTOR] = stamped(head, sequence, sequence, bins_size=bins_size)
