"""What every partition table boils down to, and how table readers get their bytes.

A `Read` returns up to `length` bytes at `offset` of one disk and fewer at its end, so that tables
are read without the disk in memory. Pure: what is behind it (a device, an image) is the host's
business.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of a partition table, in bytes of the disk."""

    number: int  # as Linux and Windows count: GPT slot + 1, MBR 1-4, logical ones from 5
    offset: int
    size: int
    type: str  # GPT: type GUID, MBR: "0x07"; lower case
    identity: str  # "gpt:<partition guid>" or "mbr:<disk signature>:<offset>"
    name: str = ""  # GPT only


def guid(data: bytes) -> str:
    """Text form of a GUID in Microsoft's mixed-endian layout, lower case; `data` is 16 bytes."""
    return str(uuid.UUID(bytes_le=data))
