"""Recovery of a dirty hive from its transaction logs, in memory.

Layout and rules: msuhanov/regf, "Windows registry file format specification", sections "Format of
transaction log files", "Dirty state of a hive" and "Multiple transaction log files". Both formats:
a bitmap of dirty pages (`DIRT`, up to Windows 8) and a chain of hashed entries (`HvLE`, since 8.1).

We are stricter than Windows in three places, because what comes out is written to somebody's only
disk: a log that names another hive is refused; entries may begin later than the hive expects only
where both logs together prove a partial reconciliation (msuhanov, "Missing log entries for a dirty
primary file"); and the result must be a sound chain of bins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer, as_image
from recoverykit.formats.marvin32 import marvin32
from recoverykit.formats.regf import (
    BASE_BLOCK_SIZE,
    LOG_NEW,
    LOG_OLD,
    LOG_OLD_2000,
    PAGE,
    PRIMARY,
    SECTOR,
    BaseBlock,
    bins,
    seal,
)

_ENTRY = struct.Struct("<4sIIIIIQQ")  # HvLE, size, flags, sequence, bins size, pages, two hashes
_HALF = 0x8000_0000  # sequence numbers wrap: a difference of half the range or more is negative


@dataclass(frozen=True, slots=True)
class Recovery:
    """A hive image that can be read, and how it came to be."""

    data: Buffer  # the hive image; the primary itself where nothing had to be recovered
    recovered: bool  # pages of a log were applied
    dirty: bool  # the primary was dirty
    applied: tuple[str, ...]  # sentences: what was applied
    refused: tuple[str, ...]  # sentences: what was not, and why
    sequence: int  # the highest sequence number in hive and logs; a save must go beyond it


@dataclass(frozen=True, slots=True)
class _Log:
    name: str
    data: bytes
    base: BaseBlock


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int  # in the log
    size: int
    sequence: int
    flags: int
    bins_size: int
    pages: int


class _Refused(Exception):  # noqa: N818 - carries a sentence to the report, never leaves this module
    pass


def recover(primary: Buffer, logs: Sequence[tuple[str, Buffer]]) -> Recovery:
    """Make a dirty hive whole; a clean one is returned as it is, its logs ignored as Windows does.

    `logs` are (name, content) of .LOG1 and .LOG2, or of .LOG. Raises FormatError if the hive is
    dirty and no log can make it whole, or if it is no hive at all.
    """
    base = _primary_base(primary)
    valid, refused = _valid(logs)
    sequence = _highest(base, valid)
    if base is not None and base.clean:
        return Recovery(primary, False, False, (), (), sequence)  # noqa: FBT003 - fields in order
    fitting = []
    for log in valid:
        reason = _foreign(primary, base, log)
        if reason:
            refused.append(f"{log.name}: {reason}")
        else:
            fitting.append(log)
    trusted = base if base is not None and base.checksum_ok else None
    try:
        image, applied, notes = _apply(primary, trusted, fitting)
    except _Refused as refusal:
        reasons = [*refused, str(refusal)] if logs else ["there is none"]
        raise _unusable(base, reasons) from refusal
    return Recovery(bytes(image), True, True, tuple(applied), (*refused, *notes), sequence)  # noqa: FBT003 - fields in order


def _unusable(base: BaseBlock | None, reasons: Sequence[str]) -> FormatError:
    if base is None or not base.checksum_ok:
        state = "its header is damaged"
    else:
        state = f"sequence numbers {base.primary_sequence} and {base.secondary_sequence}"
    return FormatError(
        "hive",
        0,
        f"the hive is dirty ({state}) and has no usable log ({'; '.join(reasons)}): "
        "nothing in it can be trusted",
        hint="Windows wrote its last changes only to the .LOG files beside the hive: they are "
        "needed, from the same moment. Else restore the hive from a backup.",
    )


# --- which logs may be used ---------------------------------------------------------------


def _primary_base(primary: Buffer) -> BaseBlock | None:
    """The primary's header; None where a log may still replace it."""
    try:
        base = BaseBlock.parse(primary)
    except FormatError:
        if bytes(primary[BASE_BLOCK_SIZE : BASE_BLOCK_SIZE + 4]) != b"hbin":
            raise
        return None
    if base.checksum_ok and base.file_type != PRIMARY:
        raise FormatError("hive header", 28, "this is a transaction log, not a hive")
    return base


def _valid(logs: Sequence[tuple[str, Buffer]]) -> tuple[list[_Log], list[str]]:
    """The logs that are whole by themselves, and a sentence for each that is not."""
    valid, refused = [], []
    for name, content in logs:
        data = as_image(content)[:]
        if not data.strip(b"\0"):
            refused.append(f"{name}: empty")
            continue
        try:
            base = BaseBlock.parse(data)
        except FormatError as error:
            refused.append(f"{name}: {error.problem}")
            continue
        if not base.clean:
            refused.append(f"{name}: its header is damaged or was being written")
        elif base.file_type not in (LOG_OLD, LOG_OLD_2000, LOG_NEW):
            refused.append(f"{name}: not a transaction log")
        else:
            valid.append(_Log(name, data, base))
    return valid, refused


def _foreign(primary: Buffer, base: BaseBlock | None, log: _Log) -> str:
    """Why this log cannot be one of this hive; "" if it can."""
    if base is not None and base.checksum_ok:
        written, root, manager, name = (
            base.last_written,
            base.root_cell,
            base.manager,
            base.file_name,
        )
    else:  # the first bin keeps a copy of the time; nothing else is left to compare
        copy = bytes(primary[BASE_BLOCK_SIZE + 20 : BASE_BLOCK_SIZE + 28])
        written, root, manager, name = int.from_bytes(copy, "little"), log.base.root_cell, b"", ""
    if log.base.last_written != written:
        return "its time stamp is not the hive's"
    if log.base.root_cell != root:
        return "it belongs to another hive (other root key)"
    if manager.strip(b"\0") and log.base.manager.strip(b"\0") and log.base.manager != manager:
        return "it belongs to another hive (other resource manager)"
    ours, theirs = (text.rpartition("\\")[2].casefold() for text in (name, log.base.file_name))
    if ours and theirs and ours != theirs:
        return f"it belongs to another hive ({log.base.file_name})"
    return ""


def _highest(base: BaseBlock | None, logs: Sequence[_Log]) -> int:
    """The highest sequence number anywhere: also in logs that are not ours, Windows reads those."""
    numbers = [0]
    if base is not None and base.checksum_ok:
        numbers += [base.primary_sequence, base.secondary_sequence]
    for log in logs:
        numbers.append(log.base.primary_sequence)
        if log.base.file_type == LOG_NEW:
            numbers += [entry.sequence for entry in _entries(log)]
    return max(numbers)


# --- applying them ------------------------------------------------------------------------


def _apply(
    primary: Buffer, base: BaseBlock | None, logs: Sequence[_Log]
) -> tuple[bytearray, list[str], list[str]]:
    """The whole hive, what was applied, what was not. `base` is None if it cannot be trusted."""
    new = [log for log in logs if log.base.file_type == LOG_NEW]
    old = [log for log in logs if log.base.file_type != LOG_NEW]
    if new:
        image, applied, notes = _apply_entries(primary, base, new)
        notes += [f"{log.name}: older than the other log's format" for log in old]
    elif old:
        image, applied, notes = _apply_bitmap(primary, base, old)
    else:
        raise _Refused("none belongs to it")
    size = int.from_bytes(image[40:44], "little")
    try:
        for _ in bins(image, size):
            pass
    except FormatError as error:
        raise _Refused(f"with them applied, it still is no sound hive: {error}") from error
    return image, applied, notes


def _start(primary: Buffer, base: BaseBlock | None, log: _Log) -> bytearray:
    """A copy of the primary to write on, its header replaced by the log's where it is damaged."""
    image = bytearray(primary)
    if base is None:
        image[:SECTOR] = log.data[:SECTOR]
    return image


def _after(number: int, reference: int) -> int:
    """How far `number` lies after `reference`, wrapping around; _HALF or more: before it."""
    return (number - reference) & 0xFFFF_FFFF


def _in_order(
    base: BaseBlock | None, logs: Sequence[_Log], notes: list[str]
) -> tuple[list[_Log], int]:
    """The logs to apply, oldest first, and the sequence number the hive waits for."""
    if base is None:
        # Nothing tells how old the hive's pages are: the latest log's header becomes the hive's.
        expected = min((log.base.primary_sequence for log in logs), key=lambda s: s)
    else:
        expected = base.secondary_sequence
    usable = []
    for log in logs:
        if _after(log.base.primary_sequence, expected) < _HALF:
            usable.append(log)
        else:
            notes.append(
                f"{log.name}: stale, it begins with {log.base.primary_sequence} and the hive "
                f"already holds everything before {expected}"
            )
    usable.sort(key=lambda log: _after(log.base.primary_sequence, expected))
    return usable, expected


def _apply_entries(
    primary: Buffer, base: BaseBlock | None, logs: Sequence[_Log]
) -> tuple[bytearray, list[str], list[str]]:
    applied: list[str] = []
    notes: list[str] = []
    usable, expected = _in_order(base, logs, notes)
    if not usable:
        raise _Refused("; ".join(notes))
    image = _start(primary, base, usable[-1])
    room = len(image) + sum(len(log.data) for log in usable)
    gap = base is not None and usable[0].base.primary_sequence != expected
    following, last = usable[0].base.primary_sequence, None
    for log in usable:
        if log.base.primary_sequence != following:
            notes.append(
                f"{log.name}: begins with entry {log.base.primary_sequence}, {following} must come "
                "next"
            )
            break
        first = following
        for entry, why in _chain(log, following):
            if why:
                notes.append(f"{log.name}: {why}")
                break
            _write_pages(image, log, entry, room)
            following, last = (entry.sequence + 1) & 0xFFFF_FFFF, entry
        if following != first:
            applied.append(f"{log.name}: entries {first} to {following - 1}")
    if last is None:
        raise _Refused("; ".join([*notes, "no entry could be applied"]))
    if gap and len(applied) < 2:
        raise _Refused(
            "; ".join(
                [*notes, f"entries {expected} to {usable[0].base.primary_sequence - 1} are missing"]
            )
        )
    seal(image, last.sequence, last.bins_size)
    return image, applied, notes


def _entries(log: _Log) -> Iterator[_Entry]:
    """The entries as they lie in a log, unchecked but inside it."""
    offset, data = SECTOR, log.data
    while offset + _ENTRY.size <= len(data):
        signature, size, flags, sequence, bins_size, pages, _, _ = _ENTRY.unpack_from(data, offset)
        if signature != b"HvLE" or size < _ENTRY.size or size % SECTOR or offset + size > len(data):
            return
        yield _Entry(offset, size, sequence, flags, bins_size, pages)
        offset += size


def _chain(log: _Log, first: int) -> Iterator[tuple[_Entry, str]]:
    """The entries from `first` on, as far as they follow each other; then why it ends, if oddly."""
    expected = first
    for entry in _entries(log):
        if entry.sequence != expected:
            return  # remnants of an earlier round: the ordinary end
        if not _sound(log, entry):
            yield entry, f"entry {entry.sequence} is damaged, nothing after it can be applied"
            return
        yield entry, ""
        expected = (expected + 1) & 0xFFFF_FFFF


def _sound(log: _Log, entry: _Entry) -> bool:
    head = log.data[entry.offset : entry.offset + _ENTRY.size]
    hash_1, hash_2 = struct.unpack_from("<QQ", head, 24)
    body = log.data[entry.offset + _ENTRY.size : entry.offset + entry.size]
    return (
        entry.bins_size % PAGE == 0
        and entry.pages * 8 <= len(body)
        and marvin32(head[:32]) == hash_2
        and marvin32(body) == hash_1
    )


def _write_pages(image: bytearray, log: _Log, entry: _Entry, room: int) -> None:
    end = BASE_BLOCK_SIZE + entry.bins_size
    if end > room:  # what grew lies in the logs, so it cannot be more than they hold
        raise _Refused(f"{log.name}: entry {entry.sequence} claims {entry.bins_size} bytes of bins")
    if end > len(image):
        image.extend(bytes(end - len(image)))
    references = entry.offset + _ENTRY.size
    source = references + 8 * entry.pages
    for offset, size in struct.iter_unpack("<II", log.data[references:source]):
        start = BASE_BLOCK_SIZE + offset
        if start + size > end or source + size > entry.offset + entry.size:
            raise _Refused(f"{log.name}: entry {entry.sequence} has a page outside the hive")
        image[start : start + size] = log.data[source : source + size]
        source += size
    flags = int.from_bytes(image[144:148], "little") & ~1 | entry.flags & 1
    struct.pack_into("<I", image, 144, flags)


def _apply_bitmap(
    primary: Buffer, base: BaseBlock | None, logs: Sequence[_Log]
) -> tuple[bytearray, list[str], list[str]]:
    """The old format: one log is a complete list of dirty pages; the newer one is cumulative."""
    log = max(logs, key=lambda each: each.base.primary_sequence)
    notes = [f"{other.name}: {log.name} is newer" for other in logs if other is not log]
    sector = SECTOR * min(max(log.base.clustering, 1), 8)
    length = log.base.bins_size // SECTOR // 8
    bitmap = log.data[sector + 4 : sector + 4 + length]
    if log.data[sector : sector + 4] != b"DIRT" or len(bitmap) != length:
        raise _Refused("; ".join([*notes, f"{log.name}: it holds no list of dirty pages"]))
    image = _start(primary, base, log)
    end = BASE_BLOCK_SIZE + log.base.bins_size
    if end > len(image) + len(log.data):
        raise _Refused(f"{log.name}: it claims {log.base.bins_size} bytes of bins")
    if end > len(image):
        image.extend(bytes(end - len(image)))
    source = sector + -(-(4 + length) // sector) * sector
    count = 0
    for index, bits in enumerate(bitmap):
        for bit in range(8):
            if not bits >> bit & 1:
                continue
            page = log.data[source : source + SECTOR]
            if len(page) != SECTOR:
                raise _Refused(f"{log.name}: truncated, dirty page {count} is not in it")
            start = BASE_BLOCK_SIZE + (index * 8 + bit) * SECTOR
            image[start : start + SECTOR] = page
            source += SECTOR
            count += 1
    if not count:
        raise _Refused(f"{log.name}: it lists no dirty page")
    seal(image, log.base.primary_sequence, log.base.bins_size)
    return image, [f"{log.name}: {count} pages of {SECTOR} bytes"], notes
