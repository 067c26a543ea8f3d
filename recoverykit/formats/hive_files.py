"""A hive together with its logs as they stand on a disk, and what tells two such states apart.

The record of a change (`pack`) holds, for each of the files, its size and sha256 before and after,
and the sectors that differ, before and after: from any mixture of the two, both can be made again.

    RKPATCH2, number of files
    for each: length of its name, the name (UTF-8), size and sha256 before, size and sha256 after
              (size 2^64-1: there was no such file), number of pieces
              for each piece: offset, length before, length after, bytes before, bytes after

Little-endian. Refused: what `pack` did not write.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from recoverykit.errors import FormatError
from recoverykit.formats.regf import BASE_BLOCK_SIZE, SECTOR

_MAGIC = b"RKPATCH2"
_COUNT = struct.Struct("<I")
_FILE = struct.Struct("<Q32sQ32sI")
_PIECE = struct.Struct("<QII")
_ABSENT = 0xFFFF_FFFF_FFFF_FFFF
_STRIDE = 1 << 16  # compared at once while nothing differs
_LIMIT = 1 << 30  # bytes: no hive is larger

Touched = Mapping[str, Sequence[tuple[int, int]]]  # by file: (offset, length) of what was written


@dataclass(frozen=True, slots=True)
class HiveFiles:
    """A hive's file and the logs that stand beside it, by their names on disk."""

    name: str  # "SYSTEM"
    hive: bytes
    logs: Mapping[str, bytes]  # "SYSTEM.LOG1": its content

    def content(self, name: str) -> bytes | None:
        """Of the hive or of a log; None where there is no such file."""
        return self.hive if name == self.name else self.logs.get(name)

    def having(self, name: str, content: bytes | None) -> HiveFiles:
        """The same with one file changed, made or (None) removed."""
        if name == self.name:
            if content is None:
                raise ValueError("a hive is never removed")
            return HiveFiles(self.name, content, self.logs)
        logs = {log: old for log, old in self.logs.items() if log != name}
        return HiveFiles(self.name, self.hive, logs if content is None else {**logs, name: content})


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring sectors that differ; of the base block, or of the bins, never of both."""

    offset: int
    before: bytes  # shorter than `after` where the file ended
    after: bytes


@dataclass(frozen=True, slots=True)
class Patched:
    """An image that differs from another one in these sectors, and has its length."""

    before: bytes = field(repr=False)
    pieces: tuple[Piece, ...]  # in order

    def whole(self) -> bytes:
        """The image itself."""
        view, done = memoryview(self.before), 0
        parts: list[bytes | memoryview] = []
        for piece in self.pieces:
            parts += (view[done : piece.offset], piece.after)
            done = piece.offset + len(piece.after)
        return b"".join((*parts, view[done:]))

    def at(self, offset: int, length: int) -> bytes:
        """Some bytes of the image."""
        found = bytearray(self.before[offset : offset + length])
        for piece in self.pieces:
            low = max(offset, piece.offset)
            high = min(offset + length, piece.offset + len(piece.after))
            if low < high:
                part = piece.after[low - piece.offset : high - piece.offset]
                found[low - offset : high - offset] = part
        return bytes(found)


@dataclass(frozen=True, slots=True)
class State:
    """One file at one moment."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What became of one file; None where it did not stand."""

    name: str
    before: State | None
    after: State | None
    pieces: tuple[Piece, ...]


def difference(before: bytes, after: bytes) -> tuple[Piece, ...]:
    """All sectors that differ between two contents of a file, which may have other lengths."""
    pieces = []
    for _, run in groupby(enumerate(_differing(before, after)), key=_run):
        sectors = [offset for _, offset in run]
        part = slice(sectors[0], sectors[-1] + SECTOR)
        pieces.append(Piece(sectors[0], before[part], after[part]))
    return tuple(pieces)


def overlaid(before: bytes, written: Mapping[int, bytes]) -> Patched:
    """`before` with bytes written at these file offsets, in this order, none beyond its end."""
    parts = list(_merged([(offset, len(data)) for offset, data in written.items()]))
    contents = [bytearray(before[start:end]) for start, end in parts]
    starts = [start for start, _ in parts]
    for offset, data in written.items():
        number = bisect_right(starts, offset) - 1
        at = offset - starts[number]
        contents[number][at : at + len(data)] = data
    pieces = [
        Piece(start + piece.offset, piece.before, piece.after)
        for (start, end), content in zip(parts, contents, strict=True)
        for piece in difference(before[start:end], bytes(content))
    ]
    return Patched(before, tuple(pieces))


def _run(numbered: tuple[int, int]) -> tuple[int, bool]:
    """The same for neighbours."""
    number, offset = numbered
    return offset - number * SECTOR, offset < BASE_BLOCK_SIZE


def _differing(before: bytes, after: bytes) -> Iterator[int]:
    longest = max(len(before), len(after))
    for start in range(0, longest, _STRIDE):
        end = min(start + _STRIDE, longest)
        # One of the two is compared where it lies, without a copy.
        if end <= len(before) and after.startswith(before[start:end], start):
            continue
        for offset in range(start, end, SECTOR):
            if before[offset : offset + SECTOR] != after[offset : offset + SECTOR]:
                yield offset


def patches(before: HiveFiles, after: HiveFiles, touched: Touched) -> tuple[FilePatch, ...]:
    """The record of a change: every file, also those that stayed, since a hive needs its logs.

    `touched`: what was written on the way, which may be more than what differs in the end.
    """
    names = sorted({before.name, *before.logs, *after.logs})
    return tuple(
        _patch(name, before.content(name), after.content(name), touched.get(name, ()))
        for name in names
    )


def _patch(
    name: str, before: bytes | None, after: bytes | None, touched: Sequence[tuple[int, int]]
) -> FilePatch:
    pieces = tuple(
        Piece(start, (before or b"")[start:end], (after or b"")[start:end])
        for start, end in _merged(touched)
    )
    return FilePatch(name, _state(before), _state(after), pieces)


def _merged(touched: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Whole sectors, in order, none twice; the base block apart."""
    last = None
    for start, length in sorted(touched):
        begin, end = start // SECTOR * SECTOR, -(-(start + length) // SECTOR) * SECTOR
        if last is not None and begin <= last[1] and not last[0] < BASE_BLOCK_SIZE <= begin:
            last = (last[0], max(last[1], end))
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last


def _state(content: bytes | None) -> State | None:
    if content is None:
        return None
    return State(len(content), hashlib.sha256(content).digest())


def rewound(now: HiveFiles, record: Sequence[FilePatch], *, forward: bool) -> HiveFiles | None:
    """The files as they were before the change (or, `forward`, after it), made from a mixture.

    None where that cannot be: somebody else has written to one of them.
    """
    for patch in record:
        wanted = patch.after if forward else patch.before
        if wanted is None:
            now = now.having(patch.name, None)
            continue
        standing = now.content(patch.name) or b""
        if not patch.pieces and len(standing) != wanted.size:
            return None
        covered = max(
            (p.offset + max(len(p.before), len(p.after)) for p in patch.pieces), default=0
        )
        if wanted.size > max(len(standing), covered):
            return None
        content = bytearray(standing[: wanted.size])
        content.extend(bytes(wanted.size - len(content)))
        for piece in patch.pieces:
            data = piece.after if forward else piece.before
            content[piece.offset : piece.offset + len(data)] = data
        if _state(bytes(content)) != wanted:
            return None
        now = now.having(patch.name, bytes(content))
    return now


# --- on disk ------------------------------------------------------------------------------


def pack(record: Sequence[FilePatch]) -> bytes:
    """The bytes that `unpack` reads."""
    parts = [_MAGIC, _COUNT.pack(len(record))]
    for patch in record:
        name = patch.name.encode("utf-8", "surrogateescape")
        parts += [_COUNT.pack(len(name)), name]
        before, after = (
            (_ABSENT, bytes(32)) if state is None else (state.size, state.sha256)
            for state in (patch.before, patch.after)
        )
        parts.append(_FILE.pack(*before, *after, len(patch.pieces)))
        for piece in patch.pieces:
            parts.append(_PIECE.pack(piece.offset, len(piece.before), len(piece.after)))
            parts += [piece.before, piece.after]
    return b"".join(parts)


def unpack(record: bytes) -> tuple[FilePatch, ...]:
    """Raises FormatError for what `pack` did not write."""
    reader = _Reader(record)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise FormatError("record of a hive", 0, "it does not begin as one")
    (count,) = reader.unpack(_COUNT)
    patches = tuple(_read_patch(reader) for _ in range(count))
    if reader.position != len(record):
        raise FormatError("record of a hive", reader.position, "something follows its end")
    return patches


class _Reader:
    """Takes bytes one after the other, never more than there are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, length: int) -> bytes:
        if length > len(self.data) - self.position:
            raise FormatError("record of a hive", self.position, "truncated")
        start, self.position = self.position, self.position + length
        return self.data[start : self.position]

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.take(layout.size))


def _read_patch(reader: _Reader) -> FilePatch:
    at = reader.position
    (length,) = reader.unpack(_COUNT)
    name = reader.take(length).decode("utf-8", "surrogateescape")
    size_before, sha_before, size_after, sha_after, count = _FILE.unpack(reader.take(_FILE.size))
    pieces, end = [], 0
    for _ in range(count):
        offset, before, after = reader.unpack(_PIECE)
        if offset < end or max(before, after) == 0 or offset + max(before, after) > _LIMIT:
            raise FormatError("record of a hive", reader.position, "a piece that cannot be")
        pieces.append(Piece(offset, reader.take(before), reader.take(after)))
        end = offset + max(before, after)
    was, now = (
        None if size == _ABSENT else State(size, sha256)
        for size, sha256 in ((size_before, sha_before), (size_after, sha_after))
    )
    if not name or "/" in name or any(state and state.size > _LIMIT for state in (was, now)):
        raise FormatError("record of a hive", at, "a file that cannot be")
    return FilePatch(name, was, now, tuple(pieces))
