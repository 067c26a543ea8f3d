"""Device elements of boot stores: which disk, partition or file a boot application is on.

Layout (little-endian): the GUID of an options object or zeros, then one device record. A record is
kind, flags, its own size and 0 (u32 each), then what the kind needs; records nest, as a RAM disk is
a file on a partition. Sources: ReactOS boot/environ/include/bl.h (BL_DEVICE_DESCRIPTOR,
BL_LOCAL_DEVICE, BL_FILE_PATH_DESCRIPTOR), phnt ntbcd.h (BCD_ELEMENT_DEVICE), the readers and
writers DiscUtils.BootConfig, ntloader libnt/bcd.c and pybcd; all checked on real stores, except
`File` and `VirtualDisk`, which those two agree on and no sample here has.

Whatever does not come out as the same bytes again (legacy partitions, VMBus, serial, network, URI,
unknown flags) is kept whole as `Opaque`: nothing is lost and nothing is guessed.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from recoverykit.errors import FormatError

DISK, LEGACY_PARTITION, SERIAL, NETWORK, BOOT, PARTITION, VMBUS, LOCATE = 0, 2, 3, 4, 5, 6, 7, 8
_RAMDISK, _FILE, _VIRTUAL = 3, 5, 6  # what a DISK record is about
_GPT, _MBR = 0, 1  # the partition table of a PARTITION record
_EMBEDDED = 5  # a path descriptor that holds the parent device and a path on it

_RECORD = struct.Struct("<IIII")  # kind, flags, size, 0
_PATH = struct.Struct("<III")  # version 1, size of this descriptor, type
_LOCATE = struct.Struct("<III")  # by element or by path, element, offset of the parent record
_WHOLE = 72  # bytes of a boot or partition record
_MAX_DEPTH = 8
_NO_OPTIONS = bytes(16)


@dataclass(frozen=True, slots=True)
class Boot:
    """Where the boot manager itself was loaded from."""


@dataclass(frozen=True, slots=True)
class GptPartition:
    """A partition of a GPT disk. Both GUIDs in lower case without braces."""

    disk: str
    partition: str


@dataclass(frozen=True, slots=True)
class MbrPartition:
    """A partition of an MBR disk: the disk's signature and the partition's first byte."""

    signature: int
    offset: int  # bytes from the start of the disk


@dataclass(frozen=True, slots=True)
class Ramdisk:
    """A file that is loaded into memory and used as a disk there: boot.wim, winre.wim."""

    path: str  # from the parent's root, backslashes
    parent: Where
    flags: int = 1


@dataclass(frozen=True, slots=True)
class File:
    """A file on another device."""

    path: str
    parent: Where
    flags: int = 0


@dataclass(frozen=True, slots=True)
class VirtualDisk:
    """A VHD or VHDX, named by a File."""

    file: Where
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Locate:
    """The first device that has a file: the one at `path`, or at the path in another element."""

    path: str = ""  # "" when the path stands in `element` of the same object
    element: int = 0
    parent: Where | None = None  # look only here: the virtual disk of a VHD entry
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Opaque:
    """A record that is kept as it is, header included."""

    record: bytes

    @property
    def kind(self) -> int:
        """The first word of the record; `VMBUS`, `LEGACY_PARTITION` and so on."""
        return int.from_bytes(self.record[:4], "little")


Where = Boot | GptPartition | MbrPartition | Ramdisk | File | VirtualDisk | Locate | Opaque


@dataclass(frozen=True, slots=True)
class Device:
    """The value of a device element."""

    where: Where
    options: str = ""  # GUID of the object with the device's options, in braces; "" without one


def identity(where: Where) -> str:
    """The partition as `model.Volume.identity` spells it; "" for what is no partition."""
    if isinstance(where, GptPartition):
        return f"gpt:{where.partition}"
    if isinstance(where, MbrPartition):
        return f"mbr:{where.signature:08x}:{where.offset}"
    return ""


def partition(identity: str, disk: str) -> GptPartition | MbrPartition:
    """The opposite: from `Volume.identity` and `Disk.identity`. Raises ValueError for others."""
    scheme, _, rest = identity.partition(":")
    if scheme == "gpt":
        return GptPartition(str(uuid.UUID(disk)), str(uuid.UUID(rest)))
    signature, _, offset = rest.partition(":")
    if scheme != "mbr":
        raise ValueError(f"{identity!r} names no partition")
    return MbrPartition(int(signature, 16), int(offset))


def parts(where: Where) -> tuple[Where, ...]:
    """The record and all it stands on, outermost first."""
    inner: Where | None = None
    if isinstance(where, Ramdisk | File | Locate):
        inner = where.parent
    elif isinstance(where, VirtualDisk):
        inner = where.file
    return (where,) if inner is None else (where, *parts(inner))


# --- from bytes ---------------------------------------------------------------------------


def decode(data: bytes) -> Device:
    """Raises FormatError where there is not even a record; everything else is at least Opaque."""
    if len(data) < 16 + _RECORD.size:
        raise FormatError("BCD device", 0, f"{len(data)} bytes are too few")
    options = _braced(data[:16])
    whole = Device(Opaque(data[16:]), options)
    try:
        where, size = _record(data[16:], 0)
    except FormatError:
        return whole
    found = Device(where, options)
    return found if size == len(data) - 16 and encode(found) == data else whole


def _braced(data: bytes) -> str:
    return "" if data == _NO_OPTIONS else f"{{{uuid.UUID(bytes_le=data)}}}"


def _record(data: bytes, depth: int) -> tuple[Where, int]:
    """The record at the start of `data` and its size."""
    if len(data) < _RECORD.size or depth > _MAX_DEPTH:
        raise FormatError("BCD device", 0, "a nested record is cut off or too deep")
    kind, flags, size, _ = _RECORD.unpack_from(data)
    if not _RECORD.size <= size <= len(data):
        raise FormatError("BCD device", 8, f"a record of {size} bytes in {len(data)}")
    body = data[_RECORD.size : size]
    found: Where | None = None
    if kind == BOOT:
        found = Boot()
    elif kind == PARTITION and size == _WHOLE:
        found = _partition(body)
    elif kind == LOCATE:
        found = _locate(data[:size], flags, depth)
    elif kind == DISK:
        found = _local(body, flags, depth)
    if found is None or _encoded(found) != data[:size]:
        found = Opaque(data[:size])
    return found, size


def _partition(body: bytes) -> Where | None:
    local, scheme = struct.unpack_from("<II", body, 16)
    if local == 0 and scheme == _GPT:
        disk, own = uuid.UUID(bytes_le=body[24:40]), uuid.UUID(bytes_le=body[:16])
        return GptPartition(str(disk), str(own))
    if local == 0 and scheme == _MBR:
        (offset,) = struct.unpack_from("<Q", body)
        return MbrPartition(int.from_bytes(body[24:28], "little"), offset)
    return None


def _locate(record: bytes, flags: int, depth: int) -> Where | None:
    start = _RECORD.size + _LOCATE.size
    if len(record) < start:
        return None
    _, element, below = _LOCATE.unpack_from(record, _RECORD.size)
    if below > len(record):
        return None
    path = _text(record[start : below or len(record)])
    if path is None:
        return None
    parent = _record(record[below:], depth + 1)[0] if below else None
    return Locate(path, element, parent, flags)


def _local(body: bytes, flags: int, depth: int) -> Where | None:
    subtype = int.from_bytes(body[:4], "little")
    if subtype == _VIRTUAL:
        return VirtualDisk(_record(body[24:], depth + 1)[0], flags)
    if subtype not in (_RAMDISK, _FILE):
        return None
    rest = body[24 if subtype == _RAMDISK else 4 :]
    if len(rest) < _PATH.size:
        return None
    parent, size = _record(rest[_PATH.size :], depth + 1)
    path = _text(rest[_PATH.size + size :])
    if path is None:
        return None
    return Ramdisk(path, parent, flags) if subtype == _RAMDISK else File(path, parent, flags)


def _text(data: bytes) -> str | None:
    """UTF-16 up to its NUL, which must be the last thing there."""
    if len(data) % 2 or data[-2:] != b"\0\0":
        return None
    return data[:-2].decode("utf-16-le", "surrogatepass")


# --- to bytes -----------------------------------------------------------------------------


def encode(device: Device) -> bytes:
    """The element's bytes. Raises ValueError for a GUID or number that cannot be one."""
    options = uuid.UUID(device.options).bytes_le if device.options else _NO_OPTIONS
    return options + _encoded(device.where)


def _encoded(where: Where) -> bytes:
    match where:
        case Opaque(record):
            return record
        case Boot():
            return _framed(BOOT, 0, bytes(_WHOLE - _RECORD.size))
        case GptPartition(disk, own):
            own_guid, disk_guid = uuid.UUID(own).bytes_le, uuid.UUID(disk).bytes_le
            return _framed(PARTITION, 0, struct.pack("<16sII16s16x", own_guid, 0, _GPT, disk_guid))
        case MbrPartition(signature, offset):
            return _framed(PARTITION, 0, _packed("<Q8xIII12x16x", offset, 0, _MBR, signature))
        case VirtualDisk(file, flags):
            return _framed(DISK, flags, struct.pack("<I20x", _VIRTUAL) + _encoded(file))
        case Ramdisk(path, parent, flags):
            return _framed(DISK, flags, struct.pack("<I20x", _RAMDISK) + _on(parent, path))
        case File(path, parent, flags):
            return _framed(DISK, flags, struct.pack("<I", _FILE) + _on(parent, path))
        case Locate(path, element, parent, flags):
            return _framed(LOCATE, flags, _search(path, element, parent))


def _framed(kind: int, flags: int, body: bytes) -> bytes:
    return _packed("<IIII", kind, flags, _RECORD.size + len(body), 0) + body


def _on(parent: Where, path: str) -> bytes:
    body = _encoded(parent) + _terminated(path)
    return _PATH.pack(1, _PATH.size + len(body), _EMBEDDED) + body


def _search(path: str, element: int, parent: Where | None) -> bytes:
    text = _terminated(path)
    below = _RECORD.size + _LOCATE.size + len(text) if parent is not None else 0
    inner = _encoded(parent) if parent is not None else b""
    return _packed("<III", 1 if path else 0, element, below) + text + inner


def _terminated(path: str) -> bytes:
    return path.encode("utf-16-le", "surrogatepass") + b"\0\0"


def _packed(layout: str, *numbers: int) -> bytes:
    try:
        return struct.pack(layout, *numbers)
    except struct.error as error:
        raise ValueError(f"a number does not fit into a BCD device: {error}") from error
