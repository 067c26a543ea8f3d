"""Event logs of measured boots, made from the TCG "PC Client Platform Firmware Profile"."""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Sequence

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
NO_ACTION, SEPARATOR, CRTM_VERSION, VARIABLE_CONFIG = 3, 4, 8, 0x8000_0001
_HASHES = {4: hashlib.sha1, 0xB: hashlib.sha256, 0xC: hashlib.sha384}

Measured = tuple[int, int, bytes]  # register, type, data


def variable(name: str, data: bytes, guid: uuid.UUID = GLOBAL) -> bytes:
    """UEFI_VARIABLE_DATA."""
    return (
        struct.pack("<16sQQ", guid.bytes_le, len(name), len(data)) + name.encode("utf-16-le") + data
    )


def secure_boot(state: bytes) -> Measured:
    return 7, VARIABLE_CONFIG, variable("SecureBoot", state)


FIRMWARE: tuple[Measured, ...] = ((0, CRTM_VERSION, "1.0\0".encode("utf-16-le")),)
REST: tuple[Measured, ...] = (
    (7, VARIABLE_CONFIG, variable("PK", bytes(40))),
    (7, SEPARATOR, bytes(4)),
    (4, 0x8000_0003, b"an image's path"),
)


def old(measured: Sequence[Measured]) -> bytes:
    """As with a TPM 1.2, or as Windows keeps it for one bank: TCG_PCR_EVENT throughout."""
    return b"".join(_old(*one) for one in measured)


def _old(register: int, kind: int, data: bytes) -> bytes:
    return struct.pack("<II20sI", register, kind, _HASHES[4](data).digest(), len(data)) + data


def agile(measured: Sequence[Measured], algorithms: Sequence[int] = (4, 0xB)) -> bytes:
    """With a TPM 2.0: an event of the old form that says so, then TCG_PCR_EVENT2."""
    spec = struct.pack("<16sIBBBBI", b"Spec ID Event03\0", 0, 0, 2, 0, 2, len(algorithms))
    spec += b"".join(struct.pack("<HH", one, _HASHES[one]().digest_size) for one in algorithms)
    spec += b"\0"  # no vendor's information
    head = struct.pack("<II20sI", 0, NO_ACTION, bytes(20), len(spec)) + spec
    return head + b"".join(_new(one, algorithms) for one in measured)


def _new(measured: Measured, algorithms: Sequence[int]) -> bytes:
    register, kind, data = measured
    digests = b"".join(struct.pack("<H", one) + _HASHES[one](data).digest() for one in algorithms)
    head = struct.pack("<III", register, kind, len(algorithms))
    return head + digests + struct.pack("<I", len(data)) + data
