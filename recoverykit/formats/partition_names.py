"""How a SYSTEM hive names partitions: values of MountedDevices, and tables that partmgr kept.

Sources: libyal winreg-kb, "Mounted devices" (signature and offset of an MBR partition; "DMIO:ID:"
and the GUID of a GPT one); Microsoft, DRIVE_LAYOUT_INFORMATION_EX and PARTITION_INFORMATION_EX of
ntdddisk.h, which `Device Parameters\\Partmgr\\PartitionTableCache` holds since Windows 10 (seen in
real hives; Microsoft does not say so). Results are spelled as `Volume.identity`. Not handled:
names of removable media and of CDs, which name a device and no partition.
"""

from __future__ import annotations

import struct

from recoverykit.errors import FormatError
from recoverykit.formats.extent import guid

_GPT_MARK = b"DMIO:ID:"
_HEAD, _ENTRY = 48, 144  # bytes; entries are aligned to eight
_MBR, _GPT = 0, 1
_TYPE_AT, _GPT_ID_AT = 32, 48  # in an entry
_UNUSED = bytes(16)


def mounted(data: bytes) -> str:
    """The partition that a value of MountedDevices means; "" where it means something else."""
    if len(data) == 12:
        signature, offset = struct.unpack("<IQ", data)
        return f"mbr:{signature:08x}:{offset}"
    if len(data) == 24 and data.startswith(_GPT_MARK):
        return f"gpt:{guid(data[8:])}"
    return ""


def kept(data: bytes) -> tuple[str, ...]:
    """The partitions of a kept partition table. Raises FormatError if it is none."""
    if len(data) < _HEAD:
        raise FormatError("kept partition table", 0, "too short")
    style, count, signature = struct.unpack_from("<III", data)
    if style not in (_MBR, _GPT) or _HEAD + count * _ENTRY > len(data):
        raise FormatError("kept partition table", 0, "no partition table")
    entries = (data[_HEAD + i * _ENTRY : _HEAD + (i + 1) * _ENTRY] for i in range(count))
    if style == _GPT:
        own = (entry[_GPT_ID_AT : _GPT_ID_AT + 16] for entry in entries)
        return tuple(f"gpt:{guid(one)}" for one in own if one != _UNUSED)
    used = (entry for entry in entries if entry[_TYPE_AT])
    starts = (struct.unpack_from("<Q", entry, 8)[0] for entry in used)
    return tuple(f"mbr:{signature:08x}:{start}" for start in starts)
