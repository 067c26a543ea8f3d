"""What the text files of Windows have in common: encodings, paths and moments."""

from __future__ import annotations

from datetime import UTC, datetime


def decoded(data: bytes) -> str:
    """A whole text: UTF-16 with or without a mark, UTF-8, or else the code page of the West.

    Not for a part of a text: one that is cut amid a letter would be taken for a code page.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def file_name(path: str) -> str:
    """The last part of a path of Windows, in lower case."""
    return path.replace("/", "\\").rsplit("\\", 1)[-1].lower()


def moment(
    year: int, month: int, day: int, hour: int, minute: int, second: int, micro: int = 0
) -> datetime | None:
    """A local time as logs tell it, stored as if UTC; None for one that no calendar has."""
    try:
        return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)
    except ValueError:
        return None
