"""Where a bug check's parameters keep the instruction that faulted, or the driver's name.

Source: the "Bug Check Code Reference" of Microsoft's debugger documentation, one page a code, and
windows-boot-facts.md section 9. A code that is not here names no instruction: only the stack
speaks (0x133, 0x124, 0x1A, 0xC2, 0xF7...). Where a page says an address "referenced memory" it is
an instruction; addresses of data, objects and page table entries are none and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a parameter is."""

    INSTRUCTION = "instruction"  # the address itself
    RECORD = "exception-record"  # points to an EXCEPTION_RECORD
    CONTEXT = "context"  # points to a CONTEXT
    TRAP = "trap-frame"  # points to a KTRAP_FRAME
    IRP = "irp"  # points to an IRP: the driver whose turn it is holds it up
    NAME = "name"  # points to the name of a driver


@dataclass(frozen=True, slots=True)
class Place:
    parameter: int  # 1 to 4
    kind: Kind


def _at(*numbers: int) -> tuple[Place, ...]:
    return tuple(Place(number, Kind.INSTRUCTION) for number in numbers)


_FILE_SYSTEM = (Place(2, Kind.RECORD), Place(3, Kind.CONTEXT))  # both may be absent

# Tried in order, until one gives an address.
PLACES: dict[int, tuple[Place, ...]] = {
    0x0A: _at(4),  # IRQL_NOT_LESS_OR_EQUAL
    0x1E: _at(2),  # KMODE_EXCEPTION_NOT_HANDLED
    0x23: _FILE_SYSTEM,  # FAT_FILE_SYSTEM
    0x24: _FILE_SYSTEM,  # NTFS_FILE_SYSTEM
    0x27: _FILE_SYSTEM,  # RDR_FILE_SYSTEM
    0x3B: (*_at(2), Place(3, Kind.CONTEXT)),  # SYSTEM_SERVICE_EXCEPTION
    0x50: _at(3),  # PAGE_FAULT_IN_NONPAGED_AREA
    0x7E: (*_at(2), Place(3, Kind.RECORD), Place(4, Kind.CONTEXT)),  # SYSTEM_THREAD_EXCEPTION...
    0x8E: (*_at(2), Place(3, Kind.TRAP)),  # KERNEL_MODE_EXCEPTION_NOT_HANDLED
    0x9F: (Place(4, Kind.IRP),),  # DRIVER_POWER_STATE_FAILURE, where parameter 1 is 3
    0xC5: _at(4),  # DRIVER_CORRUPTED_EXPOOL
    0xC9: _at(2),  # DRIVER_VERIFIER_IOMANAGER_VIOLATION, where parameter 1 is one of _VERIFIED
    0xCC: _at(3),  # PAGE_FAULT_IN_FREED_SPECIAL_POOL
    0xCD: _at(3),  # PAGE_FAULT_BEYOND_END_OF_ALLOCATION
    0xCE: _at(3),  # DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS
    0xCF: _at(3),  # TERMINAL_SERVER_DRIVER_MADE_INCORRECT_MEMORY_REFERENCE
    0xD0: _at(4),  # DRIVER_CORRUPTED_MMPOOL
    0xD1: _at(4),  # DRIVER_IRQL_NOT_LESS_OR_EQUAL
    0xD3: _at(4),  # DRIVER_PORTION_MUST_BE_NONPAGED
    0xD4: _at(4),  # SYSTEM_SCAN_AT_RAISED_IRQL_CAUGHT_IMPROPER_DRIVER_UNLOAD
    0xD5: _at(3),  # DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL
    0xD6: _at(3),  # DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION
    0xD8: (Place(1, Kind.NAME),),  # DRIVER_USED_EXCESSIVE_PTES
    0xEA: (Place(3, Kind.NAME),),  # THREAD_STUCK_IN_DEVICE_DRIVER
    0xFC: _at(1),  # ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY: where it went, not whence
    0x116: _at(2),  # VIDEO_TDR_FAILURE: a pointer into the display driver
    0x117: _at(2),  # VIDEO_TDR_TIMEOUT_DETECTED, likewise
    0x135: (Place(2, Kind.CONTEXT), *_at(3)),  # REGISTRY_FILTER_DRIVER_EXCEPTION: the callback
    0x139: (Place(3, Kind.RECORD), Place(2, Kind.TRAP)),  # KERNEL_SECURITY_CHECK_FAILURE
}
_POWER_FAILURE, _BLOCKED_IRP = 0x9F, 3
_VERIFIER = 0xC9
_VERIFIED, _FIRST_VERIFIED = (0x11, 0x12), 0x200  # routines of the driver, code of the driver


def base_code(bugcheck: int) -> int:
    """The code without the bit of a crash that a small dump records: 0x1000007E is 0x7E."""
    return bugcheck & 0x0FFF_FFFF if bugcheck >> 28 == 1 else bugcheck


def places(bugcheck: int, parameters: tuple[int, ...]) -> tuple[Place, ...]:
    """Where to look, in order; empty for a code whose parameters name no instruction."""
    code = base_code(bugcheck)
    reason = parameters[0] if parameters else 0
    if code == _POWER_FAILURE and reason != _BLOCKED_IRP:
        return ()
    if code == _VERIFIER and reason not in _VERIFIED and reason < _FIRST_VERIFIED:
        return ()
    return PLACES.get(code, ())
