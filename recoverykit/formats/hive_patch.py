"""The sectors in which a new hive differs from the file it is written over, and their record.

Written in place, as Windows flushes a hive: first the bins, then the base block, each 512-byte
sector old or new when the power goes (msuhanov/regf, "Dirty state of a hive"). Every mixture can be
started from, because the old base block stays valid until all the rest is there:

    it was clean    its checksum covers only itself, and what we change in the bins are single
                    numbers and time stamps: each is old or new, and each of them is sound
    it was dirty    it still says so: whoever reads the hive replays the same pages of the logs over
                    ours, and what lies outside those pages is again single numbers

Taken back in the opposite order, so that the same holds: a dirty base block first, while the bins
under it are whole. Not written in place: a hive whose base block is damaged (its log is known by a
time stamp in the bins, which we change), and one whose size changes.

The record (`pack`): a magic, then for each piece its offset, its length, its bytes before, and its
bytes after. Little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from recoverykit.errors import FormatError
from recoverykit.formats.regf import BASE_BLOCK_SIZE, SECTOR, BaseBlock

_MAGIC = b"RKPATCH1"
_RECORD = struct.Struct("<QI")
_STRIDE = 1 << 16  # compared at once while nothing differs

Writes = tuple[tuple[int, bytes], ...]  # (offset, bytes) in the order in which they are written


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring sectors that differ; of the base block, or of the bins, never of both."""

    offset: int
    before: bytes
    after: bytes


def fits(head: bytes, size: int, new_size: int) -> bool:
    """Whether a hive may be changed in place: `head` is the first sector of the file as it is."""
    try:
        return size == new_size and BaseBlock.parse(head).checksum_ok
    except FormatError:
        return False


def difference(before: bytes, after: bytes) -> tuple[Piece, ...]:
    """All that differs between two images of one size, by offset."""
    if len(before) != len(after):
        raise ValueError("only images of one size differ in sectors")
    pieces = []
    for _, run in groupby(enumerate(_differing(before, after)), key=_run):
        sectors = [offset for _, offset in run]
        part = slice(sectors[0], sectors[-1] + SECTOR)
        pieces.append(Piece(sectors[0], before[part], after[part]))
    return tuple(pieces)


def _run(numbered: tuple[int, int]) -> tuple[int, bool]:
    """The same for neighbours."""
    number, offset = numbered
    return offset - number * SECTOR, offset < BASE_BLOCK_SIZE


def _differing(before: bytes, after: bytes) -> Iterator[int]:
    for start in range(0, len(before), _STRIDE):
        if before[start : start + _STRIDE] == after[start : start + _STRIDE]:
            continue
        for offset in range(start, min(start + _STRIDE, len(before)), SECTOR):
            if before[offset : offset + SECTOR] != after[offset : offset + SECTOR]:
                yield offset


# --- the order ----------------------------------------------------------------------------


def forward(pieces: Sequence[Piece]) -> tuple[Writes, Writes]:
    """The new bytes: all of the first group must be durable before any of the second is written."""
    return (
        tuple((one.offset, one.after) for one in pieces if one.offset >= BASE_BLOCK_SIZE),
        tuple((one.offset, one.after) for one in pieces if one.offset < BASE_BLOCK_SIZE),
    )


def backward(pieces: Sequence[Piece]) -> tuple[Writes, Writes]:
    """The old bytes: the base block first."""
    return (
        tuple((one.offset, one.before) for one in pieces if one.offset < BASE_BLOCK_SIZE),
        tuple((one.offset, one.before) for one in pieces if one.offset >= BASE_BLOCK_SIZE),
    )


# --- what a file is -----------------------------------------------------------------------


def restores(content: bytes, pieces: Sequence[Piece], before: str) -> bool:
    """Whether a file is what writing these pieces leaves, whole or cut anywhere.

    Every byte of every piece is the old or the new one, which includes sectors that are torn
    themselves; and with the old ones everywhere the file has the sha256 `before`.
    """
    if not all(_mixed(_at(content, one), one) for one in pieces):
        return False
    restored = bytearray(content)
    for one in pieces:
        restored[one.offset : one.offset + len(one.before)] = one.before
    return hashlib.sha256(restored).hexdigest() == before


def _at(content: bytes, piece: Piece) -> bytes:
    return content[piece.offset : piece.offset + len(piece.before)]


def _mixed(found: bytes, piece: Piece) -> bool:
    if found in (piece.before, piece.after):
        return True
    if len(found) != len(piece.before):
        return False
    return all(
        byte in (old, new) for byte, old, new in zip(found, piece.before, piece.after, strict=True)
    )


# --- the record ---------------------------------------------------------------------------


def pack(pieces: Sequence[Piece]) -> bytes:
    """The record that `unpack` reads."""
    records = (_RECORD.pack(one.offset, len(one.before)) + one.before + one.after for one in pieces)
    return _MAGIC + b"".join(records)


def unpack(record: bytes) -> tuple[Piece, ...]:
    """Raises FormatError for what `pack` did not write."""
    if record[: len(_MAGIC)] != _MAGIC:
        raise FormatError("record of sectors", 0, "it does not begin as one")
    pieces: list[Piece] = []
    position, end = len(_MAGIC), 0
    while position < len(record):
        if position + _RECORD.size > len(record):
            raise FormatError("record of sectors", position, "truncated")
        offset, length = _RECORD.unpack_from(record, position)
        data = position + _RECORD.size
        if not length or offset < end or data + 2 * length > len(record):
            raise FormatError("record of sectors", position, "a piece that cannot be")
        pieces.append(
            Piece(offset, record[data : data + length], record[data + length : data + 2 * length])
        )
        position, end = data + 2 * length, offset + length
    return tuple(pieces)
