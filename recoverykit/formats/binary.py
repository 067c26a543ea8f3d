"""What every binary format here shares: buffers and Windows times.

A file is read through `bytes` or an `mmap`; both give `bytes` when sliced, so parsers slice freely
and copy only what they keep.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from mmap import mmap

Buffer = bytes | bytearray | memoryview | mmap
Image = bytes | mmap  # immutable for us, and a slice of it is bytes

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def as_image(data: Buffer) -> Image:
    """`data` without a copy where it can be kept as it is, else as bytes."""
    return data if isinstance(data, bytes | mmap) else bytes(data)


def from_filetime(ticks: int) -> datetime | None:
    """A FILETIME (100 ns since 1601) as UTC; None for 0 and for times beyond the year 9999."""
    if ticks == 0 or ticks // 10 > _LAST:
        return None
    return _EPOCH + timedelta(0, 0, ticks // 10)  # days, seconds, microseconds


def to_filetime(when: datetime) -> int:
    """An aware datetime as FILETIME. Raises ValueError for a naive one or one before 1601."""
    if when.tzinfo is None:
        raise ValueError("a FILETIME needs an aware datetime")
    if when < _EPOCH:
        raise ValueError("a FILETIME cannot be before 1601")
    return (when - _EPOCH) // timedelta(microseconds=1) * 10
