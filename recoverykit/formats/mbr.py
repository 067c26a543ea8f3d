"""MBR partition tables with their chain of logical partitions, read-only.

Layout: UEFI Specification 2.10, section 5.2 ("LBA 0 Format"), and for the extended chain
(which no standard describes) what Windows and Linux agree on: each EBR holds one partition relative
to itself and one link relative to the extended partition. Bounded to 128 links, each sector
followed once. A boot sector of a volume also ends in 55AA: callers look for file systems first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.extent import Partition, Read
from recoverykit.formats.gpt import without_overlaps

LDM = "0x42"
PROTECTIVE = "0xee"
_EXTENDED = ("0x05", "0x0f", "0x85")
_TABLE = 446
_SIGNATURE = 440
_ENTRY = struct.Struct("<B3xB3xII")
_MAX_LOGICAL = 128


@dataclass(frozen=True, slots=True)
class Mbr:
    """A checked table: every partition lies inside the disk and over no other."""

    signature: str  # 8 hex digits
    partitions: tuple[Partition, ...]  # extended containers are left out
    protective: bool = False  # a GPT claims the disk
    notes: tuple[str, ...] = ()


def parse(read: Read, size: int, sector_size: int) -> Mbr:
    """The table in sector 0. Raises FormatError when there is none."""
    sector = read(0, 512)
    if len(sector) < 512 or sector[510:] != b"\x55\xaa":
        raise FormatError("MBR", 0, "no 55AA signature")
    entries = _table(sector)
    if any(status & 0x7F for status, *_ in entries):
        raise FormatError("MBR", _TABLE, "the boot indicators are not those of a partition table")
    signature = f"{struct.unpack_from('<I', sector, _SIGNATURE)[0]:08x}"
    found: list[Partition] = []
    notes: list[str] = []
    for number, (_, kind, start, sectors) in enumerate(entries, start=1):
        if kind == 0 or sectors == 0 or _name(kind) == PROTECTIVE:
            continue
        if _name(kind) in _EXTENDED:
            logical, problem = _logical(read, size, sector_size, signature, (start, sectors))
            found += logical
            notes += problem
        else:
            part = _partition(number, kind, start, sectors, sector_size, signature)
            _keep(part, size, found, notes)
    kept, overlapping = without_overlaps(found)
    protective = any(_name(kind) == PROTECTIVE for _, kind, *_ in entries)
    return Mbr(signature, kept, protective, (*notes, *overlapping))


def _table(sector: bytes) -> list[tuple[int, int, int, int]]:
    return [_ENTRY.unpack_from(sector, _TABLE + 16 * i) for i in range(4)]


def _name(kind: int) -> str:
    return f"0x{kind:02x}"


def _partition(
    number: int, kind: int, start: int, sectors: int, sector_size: int, signature: str
) -> Partition:
    offset = start * sector_size
    identity = f"mbr:{signature}:{offset}"
    return Partition(number, offset, sectors * sector_size, _name(kind), identity)


def _keep(part: Partition, size: int, found: list[Partition], notes: list[str]) -> None:
    if part.offset == 0 or part.offset + part.size > size:
        notes.append(f"Partition {part.number} lies outside the disk and was left out.")
    else:
        found.append(part)


def _logical(
    read: Read, size: int, sector_size: int, signature: str, extended: tuple[int, int]
) -> tuple[list[Partition], list[str]]:
    """Walk the chain of EBRs; links and partitions must stay inside the extended partition."""
    base, length = extended
    found: list[Partition] = []
    notes: list[str] = []
    seen: set[int] = set()
    here, number = base, 5
    while len(seen) < _MAX_LOGICAL:
        if here in seen or not base <= here < base + length:
            notes.append("The chain of logical partitions is damaged; the rest was left out.")
            break
        seen.add(here)
        sector = read(here * sector_size, 512)
        if len(sector) < 512 or sector[510:] != b"\x55\xaa":
            notes.append(f"The logical partition table at sector {here} is damaged.")
            break
        (_, kind, start, sectors), (_, link_kind, link, _), *_ = _table(sector)
        if kind and sectors:
            part = _partition(number, kind, here + start, sectors, sector_size, signature)
            end = min(size, (base + length) * sector_size)
            _keep(part, end, found, notes)
            number += 1
        if not link_kind or not link:
            break
        here = base + link
    return found, notes
