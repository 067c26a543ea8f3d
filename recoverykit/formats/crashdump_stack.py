"""Which drivers a crash points to: the faulting instruction, and addresses on the stack.

No unwinding: that takes symbols. A word of the stack that points into a module may be a return
address or a leftover of an earlier call; who is to blame is for diagnosis to weigh. KTRAP_FRAME,
IRP, IO_STACK_LOCATION, DEVICE_OBJECT and DRIVER_OBJECT are read at the places they have in every
Windows since Vista; the trap frame of arm64 is not read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recoverykit.formats import bugcheck_address, crashdump_modules
from recoverykit.formats.bugcheck_address import Kind, Place
from recoverykit.formats.crashdump_header import Header, registers
from recoverykit.formats.crashdump_memory import Memory
from recoverykit.formats.crashdump_modules import Map, pointer
from recoverykit.model import StackHit

MAX_HITS = 512

_CONTEXT = 0x4D0  # bytes of the largest CONTEXT that is looked at
_RECORD_ADDRESS = {8: 16, 4: 12}  # EXCEPTION_RECORD.ExceptionAddress, by bytes of a pointer
_TRAP = {"x64": 0x168, "x86": 0x68}  # KTRAP_FRAME.Rip, .Eip
# IRP.Tail.Overlay.CurrentStackLocation, IO_STACK_LOCATION.DeviceObject,
# DEVICE_OBJECT.DriverObject, DRIVER_OBJECT.DriverStart
_BLOCKED = {8: (0xB8, 0x28, 0x08, 0x18), 4: (0x60, 0x14, 0x08, 0x0C)}


def hits(header: Header, modules: Map, at: int, stack: bytes) -> Iterator[StackHit]:
    """Every word of the stack that points into a module, top first; at most MAX_HITS."""
    word = header.word
    count = len(stack) // word
    values = struct.unpack_from(f"<{count}{'Q' if word == 8 else 'I'}", stack)
    low, high, found = modules.low, modules.high, 0
    for number, value in enumerate(values):
        if low <= value < high:
            owner = modules.owner(value)
            if owner is not None:
                yield StackHit(at + number * word, value, owner.name)
                found += 1
                if found == MAX_HITS:
                    return


def fault_address(header: Header, memory: Memory) -> int:
    """The instruction that faulted, or one of the driver to blame; 0 when the crash names none."""
    for place in bugcheck_address.places(header.bugcheck, header.parameters):
        address = _address(place, header, memory)
        if address:
            return address
    return header.exception


def named_driver(header: Header, memory: Memory) -> str:
    """The driver a parameter names; "" when none does, or its name is not in the dump."""
    for place in bugcheck_address.places(header.bugcheck, header.parameters):
        pointer = header.parameters[place.parameter - 1]
        if place.kind is Kind.NAME and pointer:
            return crashdump_modules.driver_name(memory, header, pointer)
    return ""


def _address(place: Place, header: Header, memory: Memory) -> int:
    value = header.parameters[place.parameter - 1]
    if not value or place.kind is Kind.NAME:
        return 0
    if place.kind is Kind.INSTRUCTION:
        return value
    if place.kind is Kind.RECORD:
        return pointer(memory, value + _RECORD_ADDRESS[header.word], header.word)
    if place.kind is Kind.CONTEXT:
        return registers(header.machine, memory.read(value, _CONTEXT))[1]
    if place.kind is Kind.TRAP:
        offset = _TRAP.get(header.machine)
        return 0 if offset is None else pointer(memory, value + offset, header.word)
    for offset in _BLOCKED[header.word]:
        value = pointer(memory, value + offset, header.word) if value else 0
    return value
