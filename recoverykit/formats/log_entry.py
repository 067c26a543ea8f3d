"""Entries of the newer kind of registry transaction log (`HvLE`, since Windows 8.1).

Layout: msuhanov/regf, "Windows registry file format specification", section "Log entries". An entry
is trusted only if both its Marvin32 hashes hold; entries count upwards without a gap from the
number in the log's own header, and what follows the last of them is left over from earlier rounds.
The first lies in the second sector, and a sector is what the header says (4096 bytes on 4Kn disks);
one at byte 512 is read on any disk, since nobody has published a log of the other kind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.formats.marvin32 import marvin32
from recoverykit.formats.regf import BASE_BLOCK_SIZE, PAGE, SECTOR, BaseBlock, seal

_ENTRY = struct.Struct("<4sIIIIIQQ")  # HvLE, size, flags, sequence, bins size, pages, two hashes


class UnusableLogError(Exception):
    """A sentence why a log cannot be applied. `regf_log.recover` turns it into its own answer."""


@dataclass(frozen=True, slots=True)
class Log:
    name: str
    data: bytes
    base: BaseBlock


@dataclass(frozen=True, slots=True)
class Entry:
    offset: int  # in the log
    size: int
    sequence: int
    flags: int
    bins_size: int
    pages: int


@dataclass(frozen=True, slots=True)
class Chain:
    """What one log offers: sound entries, each following the one before."""

    log: Log
    entries: tuple[Entry, ...]
    complaint: str  # why it ends, where that is odd

    @property
    def first(self) -> int:
        return self.log.base.primary_sequence

    @property
    def following(self) -> int:
        """The number of the entry that must come next, in this log or the other."""
        return (self.first + len(self.entries)) & 0xFFFF_FFFF


def entries(log: Log) -> Iterator[Entry]:
    """The entries as they lie in a log, unchecked but inside it."""
    offset, data = second_sector(log, b"HvLE"), log.data
    while offset + _ENTRY.size <= len(data):
        signature, size, flags, sequence, bins_size, pages, _, _ = _ENTRY.unpack_from(data, offset)
        if signature != b"HvLE" or size < _ENTRY.size or size % SECTOR or offset + size > len(data):
            return
        yield Entry(offset, size, sequence, flags, bins_size, pages)
        offset += size


def second_sector(log: Log, signature: bytes) -> int:
    """Where in the log the second sector, which begins with `signature`, lies."""
    wide = SECTOR * min(max(log.base.clustering, 1), PAGE // SECTOR)
    return wide if log.data.startswith(signature, wide) else SECTOR


def numbers(log: Log) -> Iterator[int]:
    """The sequence numbers that Windows gave to entries here, torn ones and old ones included."""
    for entry in entries(log):
        if _head_holds(log, entry):
            yield entry.sequence


def read_chain(log: Log) -> Chain:
    """The log's entries as far as they follow each other and their hashes hold."""
    found: list[Entry] = []
    for entry in entries(log):
        if entry.sequence != (log.base.primary_sequence + len(found)) & 0xFFFF_FFFF:
            break  # remnants of an earlier round: the ordinary end
        if not _sound(log, entry):
            complaint = f"entry {entry.sequence} is damaged, nothing after it can be applied"
            return Chain(log, tuple(found), complaint)
        found.append(entry)
    return Chain(log, tuple(found), "")


def _sound(log: Log, entry: Entry) -> bool:
    (hash_1,) = struct.unpack_from("<Q", log.data, entry.offset + 24)
    body = log.data[entry.offset + _ENTRY.size : entry.offset + entry.size]
    return (
        entry.bins_size >= PAGE
        and entry.bins_size % PAGE == 0
        and entry.pages * 8 <= len(body)
        and _head_holds(log, entry)
        and marvin32(body) == hash_1
    )


def _head_holds(log: Log, entry: Entry) -> bool:
    head = log.data[entry.offset : entry.offset + _ENTRY.size]
    return marvin32(head[:32]) == int.from_bytes(head[32:], "little")


def replay(image: bytearray, chain: Chain, room: int) -> None:
    """Write a chain's pages and header fields to `image`, which may grow to `room` bytes."""
    for entry in chain.entries:
        _write(image, chain.log, entry, room)
        seal(image, entry.sequence, entry.bins_size)


def _write(image: bytearray, log: Log, entry: Entry, room: int) -> None:
    end = BASE_BLOCK_SIZE + entry.bins_size
    if end > room:  # what grew lies in the logs, so it cannot be more than they hold
        raise UnusableLogError(
            f"{log.name}: entry {entry.sequence} claims {entry.bins_size} bytes of bins"
        )
    if end > len(image):
        image.extend(bytes(end - len(image)))
    references = entry.offset + _ENTRY.size
    source = references + 8 * entry.pages
    for offset, size in struct.iter_unpack("<II", log.data[references:source]):
        start = BASE_BLOCK_SIZE + offset
        if start + size > end or source + size > entry.offset + entry.size:
            raise UnusableLogError(
                f"{log.name}: entry {entry.sequence} has a page outside the hive"
            )
        image[start : start + size] = log.data[source : source + size]
        source += size
    flags = int.from_bytes(image[144:148], "little") & ~1 | entry.flags & 1
    struct.pack_into("<I", image, 144, flags)
