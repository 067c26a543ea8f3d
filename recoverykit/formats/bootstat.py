"""Windows\\bootstat.dat, the boot status data that the loader and the kernel leave each other.

Layout: RTL_BSD_DATA of ReactOS (sdk/include/ndk/rtltypes.h, sdk/lib/rtl/bootdata.c) and phnt
(ntrtl.h), proven on the real files of ../shared/data/bootlogs/bootstat. The first number is the
structure's size and its version at once: Windows 8.1 ends after the checkpoint, Windows 10 1507
after the boot ids (0x40), later ones add errors, power button and more (0xB0, 0xC0, 0xC8; which
fields each release knows: RTL_BSD_ITEM_TYPE in ntdiff/headers). A field beyond the size is not
read. The checksum's rule is measured: the bytes of a structure longer than 0x40 sum up to nothing.
Not handled: power transitions, the power button, and the log at LOG_OFFSET, which is read by
`boot_manager_log`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError

STATUS_SIZE = 0x800  # what the file keeps for the structure
LOG_OFFSET = 0x800
_SMALLEST, _LARGEST = 0x0C, STATUS_SIZE
_PRODUCTS = (1, 2, 3)  # workstation, domain controller, server
_ATTEMPTS = 0x30  # u8 attempts, u8 checkpoint, u8 checksum
_BOOT_IDS = 0x34  # u32 last, u32 last that was shut down, u32 last reported abnormal
_ERROR = 0x40  # u32 boot id, u32 repeats, u32 others, u32 code, u32 others
_UNCHECKED = 0x40  # Windows 10 1507 has no checksum yet
_HEAD = struct.Struct("<II5B")
_ERROR_INFO = struct.Struct("<5I")


@dataclass(frozen=True, slots=True)
class Status:
    """The structure's facts that tell about boots; None where this version has no such field."""

    version: int
    succeeded: bool
    shut_down: bool
    attempts: int | None
    checkpoint: int | None
    boot_id: int | None
    error_boot: int | None
    error_code: int
    error_repeats: int


def parse(data: bytes) -> Status:
    """Read the head of the file (STATUS_SIZE bytes suffice). Raises FormatError."""
    if len(data) < _HEAD.size:
        raise FormatError("boot status data", 0, f"{len(data)} bytes are too few")
    version, product, *flags = _HEAD.unpack_from(data)
    if not _SMALLEST <= version <= min(_LARGEST, len(data)):
        raise FormatError("boot status data", 0, f"size {version:#x} is not possible")
    if product not in _PRODUCTS:
        raise FormatError("boot status data", 4, f"product type {product:#x} does not exist")
    _, _, succeeded, shut_down, _ = flags
    if succeeded > 1 or shut_down > 1:
        raise FormatError("boot status data", 0x0A, "flags are neither true nor false")
    _check_sum(data, version)
    attempts = checkpoint = boot_id = None
    if version >= _BOOT_IDS:
        attempts, checkpoint = data[_ATTEMPTS], data[_ATTEMPTS + 1]
    if version >= _ERROR:
        (boot_id,) = struct.unpack_from("<I", data, _BOOT_IDS)
    error_boot, code, repeats = _error(data, version)
    return Status(
        version=version,
        succeeded=bool(succeeded),
        shut_down=bool(shut_down),
        attempts=attempts,
        checkpoint=checkpoint,
        boot_id=boot_id,
        error_boot=error_boot,
        error_code=code,
        error_repeats=repeats,
    )


def _check_sum(data: bytes, version: int) -> None:
    """A checksum of 0 may be one that nobody keeps."""
    if version > _UNCHECKED and data[_ATTEMPTS + 2] and sum(data[:version]) % 256:
        raise FormatError("boot status data", _ATTEMPTS + 2, "its checksum does not fit")


def _error(data: bytes, version: int) -> tuple[int | None, int, int]:
    """(boot id, code, repeats) of the last error; no boot id where there was none."""
    if version < _ERROR + _ERROR_INFO.size:
        return None, 0, 0
    boot, repeats, _, code, _ = _ERROR_INFO.unpack_from(data, _ERROR)
    return (boot, code, repeats) if code else (None, 0, 0)
