"""Partition tables as the kernel describes them, which partmgr keeps in the registry.

DRIVE_LAYOUT_INFORMATION_EX and PARTITION_INFORMATION_EX of Microsoft's ntdddisk.h, with C's
alignment on all architectures: 48 bytes, then 144 for each partition.
"""

from __future__ import annotations

import struct
import uuid

_DATA = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")  # PARTITION_BASIC_DATA_GUID


def gpt(*partitions: uuid.UUID) -> bytes:
    """A GPT disk with these partitions, one MiB each."""
    head = uuid.UUID(int=9).bytes_le + struct.pack("<qqI4x", 17408, 1 << 40, 128)
    layout = struct.pack("<II", 1, len(partitions)) + head
    for number, own in enumerate(partitions):
        about = _DATA.bytes_le + own.bytes_le + struct.pack("<Q72s", 0, "data".encode("utf-16-le"))
        layout += _entry(1, (number + 1) << 20, about)
    return layout


def mbr(signature: int, *partitions: tuple[int, int]) -> bytes:
    """An MBR disk with partitions of (type, offset); Windows keeps unused entries as type 0."""
    layout = struct.pack("<IIII32x", 0, len(partitions), signature, 0)
    for kind, offset in partitions:
        about = struct.pack("<BBBxI16s", kind, 0, 1, offset >> 9 & 0xFFFF_FFFF, b"")
        layout += _entry(0, offset, about)
    return layout


def _entry(style: int, offset: int, about: bytes) -> bytes:
    fixed = struct.pack("<I4xqqI4x", style, offset, 1 << 20, 0xFFFF_FFFF)
    return fixed + about.ljust(112, b"\0")
