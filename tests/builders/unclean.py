"""Leave an NTFS volume as a crash leaves it: $LogFile open, with a transaction to replay.

Layout as ntfs-3g's ntfsrecover.h has it (restart page, record page, log record). What is written:
two restart pages with a client in use, one record page filled up with nothing, and a tail page with
a checkpoint, an update of a resident value and the end of its transaction. `ntfs-3g.probe
--readwrite` answers 15 to such a volume (14 to version 2.0), and `ntfsrecover` can replay it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from recoverykit.formats import ntfs_volume
from recoverykit.formats.ntfs_volume import NtfsVolume

PAGE = 4096
HIDDEN = 0x02
_HEADER = 0x40  # of a record page, with its update sequence array
_TRANSACTION = 0x18
_SEQUENCE = 5  # how often the circular log has been around
_NOOP, _UPDATE_RESIDENT, _FORGET = 0, 7, 27
_STANDARD, _CHECKPOINT = 1, 2
_FIRST_ATTRIBUTE, _FILE_ATTRIBUTES = 0x38, 0x18 + 32  # $STANDARD_INFORMATION and within it


@dataclass(frozen=True, slots=True)
class _Update:
    """Eight bytes of one MFT record, before and after."""

    record: int  # MFT record number
    cluster: int
    before: bytes
    after: bytes


def make_log_unclean(
    image: Path, offset: int = 0, *, hides: str = "", version: tuple[int, int] = (1, 1)
) -> None:
    """Open the log of the volume at `offset`. Its transaction changes nothing when replayed, or
    hides the file `hides` of the root directory. Windows 8 and later crash with version (2, 0).
    """
    with image.open("r+b") as file:

        def read(at: int, length: int) -> bytes:
            file.seek(offset + at)
            return file.read(length)

        ntfs = NtfsVolume.open(read)
        log = ntfs_volume.stream(ntfs, ntfs_volume.LOG_FILE)
        assert log is not None
        (start, size), *_ = log.runs
        assert size == log.size
        pages = _pages(_update(ntfs, hides), log.size, version)
        for at in range(0, size, PAGE):
            file.seek(offset + start + at)
            file.write(pages.get(at // PAGE, b"\xff" * PAGE))


def _update(ntfs: NtfsVolume, hides: str) -> _Update:
    number = ntfs_volume.find_in_root(ntfs, hides) if hides else ntfs_volume.VOLUME
    assert number is not None, f"no {hides} in the root directory"
    (start, _), *_ = ntfs.mft.runs
    where = start + number * ntfs.boot.record_size
    at = _FIRST_ATTRIBUTE + _FILE_ATTRIBUTES
    before = ntfs.read(where + at, 8)
    after = bytes([before[0] | HIDDEN if hides else before[0]]) + before[1:]
    return _Update(number, where // ntfs.boot.cluster_size, before, after)


def _pages(update: _Update, log_size: int, version: tuple[int, int]) -> dict[int, bytes]:
    """Page number -> content. The log proper begins at page 4, in version 2.0 at page 34; the
    newest page is still in its first temporary place, page 2.
    """
    modern = version[0] > 1
    first = 34 if modern else 4
    home = first + 1  # the page the tail is a copy of
    bits = log_size.bit_length() - 3

    def lsn(at: int) -> int:
        return (_SEQUENCE << bits) | ((home * PAGE + at) >> 3)

    checkpoint = _record(lsn(_HEADER), _CHECKPOINT, 0, bytes(0x70))
    at = _HEADER + len(checkpoint)
    change = _record(lsn(at), _STANDARD, _TRANSACTION, _resident(update))
    end = at + len(change)
    done = _record(lsn(end), _STANDARD, _TRANSACTION, _client(_FORGET, _NOOP, 0))
    body = checkpoint + change + done
    last = lsn(end)
    restart = _restart(log_size, version, oldest=lsn(_HEADER), current=last)
    tail = _record_page(last if modern else home * PAGE, body, last)
    if modern:
        struct.pack_into("<I", tail, 0x3C, home * PAGE)
    before = _record_page(lsn(0) - 8, bytes(PAGE - 0x28 - _HEADER), lsn(0) - 8)
    return {0: restart, 1: restart, 2: _protected(tail, 0x28), first: _protected(before, 0x28)}


def _record(lsn: int, kind: int, transaction: int, data: bytes) -> bytes:
    return struct.pack("<QQQIHHIIH6x", lsn, 0, 0, len(data), 0, 0, kind, transaction, 0) + data


def _client(redo: int, undo: int, length: int, *where: int) -> bytes:
    """Operations and offsets; `where` is record and attribute offset, sector, VCN, LCN."""
    head = (redo, undo, 0x28, length, 0x28 + length, length, 0)
    if not where:
        return struct.pack("<7HH8x2Q", *head, 0, 0, 0)
    record_offset, attribute_offset, sector, vcn, lcn = where
    return struct.pack(
        "<7HHHHHHIIQ", *head, 1, record_offset, attribute_offset, sector, 2, vcn, 0, lcn
    )


def _resident(update: _Update) -> bytes:
    per_cluster = 4  # records of 1 KiB in clusters of 4 KiB, as mkntfs makes them
    vcn, sector = update.record // per_cluster, update.record % per_cluster * 2
    where = (_FIRST_ATTRIBUTE, _FILE_ATTRIBUTES, sector, vcn, update.cluster)
    operations = _client(_UPDATE_RESIDENT, _UPDATE_RESIDENT, 8, *where)
    return operations + update.after + update.before


def _record_page(copy: int, body: bytes, last_end: int) -> bytearray:
    """`copy` is the last LSN, or in a tail page of version 1.1 the offset it belongs at."""
    page = bytearray(PAGE)
    end = _HEADER + len(body)
    struct.pack_into("<4sHHQIHHH6xQ", page, 0, b"RCRD", 0x28, 9, copy, 1, 1, 1, end, last_end)
    page[_HEADER:end] = body
    return page


def _restart(log_size: int, version: tuple[int, int], *, oldest: int, current: int) -> bytes:
    page = bytearray(PAGE)
    major, minor = version
    struct.pack_into("<4sHHQIIHhh", page, 0, b"RSTR", 0x1E, 9, 0, PAGE, PAGE, 0x30, minor, major)
    bits = 67 - log_size.bit_length()
    area = (current, 1, 0xFFFF, 0, 0, bits, 0xE0, 0x40, log_size, 0x30, 0x30, 0x40, 1)
    struct.pack_into("<QHHHHIHHQIHHI", page, 0x30, *area)
    struct.pack_into("<QQHHH6xI", page, 0x70, oldest, current, 0xFFFF, 0xFFFF, 0, 8)
    page[0x90:0x98] = "NTFS".encode("utf-16-le")
    return _protected(page, 0x1E)


def _protected(page: bytearray, array: int) -> bytes:
    """Put the update sequence in: the last two bytes of each sector move into the array."""
    struct.pack_into("<H", page, array, 1)
    for i in range(1, len(page) // 512 + 1):
        end = i * 512
        page[array + 2 * i : array + 2 * i + 2] = page[end - 2 : end]
        page[end - 2 : end] = b"\x01\0"
    return bytes(page)
