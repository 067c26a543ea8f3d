"""The header of a Windows kernel crash dump, 64 and 32 bits.

Layout: DUMP_HEADER64 and DUMP_HEADER32 of the WDK's ntiodump.h; what Windows does not set says
"PAGE". Which of it real dumps set was measured on those of ../shared/data. The exception record of
the header is always a breakpoint in KeBugCheckEx when Windows wrote the dump: no evidence.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta

from recoverykit.errors import FormatError
from recoverykit.formats.binary import from_filetime
from recoverykit.formats.pe import MACHINES, Stream

STRUCTURE = "crash dump"
LARGEST = 0x2000  # bytes of the longer header

_MAGIC_WIDE, _MAGIC_NARROW = b"PAGEDU64", b"PAGEDUMP"
_UNSET = 0x4547_4150_4547_4150  # "PAGEPAGE"
_MAX_UPTIME = timedelta(days=36525)
_BREAKPOINT = 0x8000_0003
_FIXED = {True: struct.Struct("<II4QIII"), False: struct.Struct("<II4IIII")}
# CONTEXT: where the stack pointer and the instruction pointer are.
_REGISTERS = {0x8664: (0x98, 0xF8, "Q"), 0xAA64: (0x100, 0x108, "Q"), 0x014C: (0xC4, 0xB8, "I")}


@dataclass(frozen=True, slots=True)
class Header:
    wide: bool  # 64 bits
    size: int  # bytes; the body follows
    machine: str  # "x64", "x86", "arm64", or the number in hex
    build: int
    directory: int  # physical address of the page tables
    loaded_modules: int  # PsLoadedModuleList
    debugger_data: int  # KdDebuggerDataBlock
    bugcheck: int
    parameters: tuple[int, ...]  # four
    type: int  # 1 full, 2 summary, 3 header, 4 triage, 5 bitmap, 6 kernel bitmap, 7 automatic
    when: datetime | None
    uptime: timedelta | None
    runs: bytes  # PHYSICAL_MEMORY_DESCRIPTOR of a full dump
    stack: int  # stack pointer of the context; 0 when not known
    instruction: int  # instruction pointer of the context; 0 when not known
    exception: int  # address of an exception that is no breakpoint; 0 when there is none
    pae: bool  # 32 bits: page table entries have 64

    @property
    def word(self) -> int:
        """Bytes of a pointer."""
        return 8 if self.wide else 4


def read(stream: Stream) -> Header:
    """The header at the beginning. Raises FormatError where there is none, OSError."""
    stream.seek(0)
    data = stream.read(LARGEST) or b""
    wide = data[:8] == _MAGIC_WIDE
    if not wide and data[:8] != _MAGIC_NARROW:
        raise FormatError(STRUCTURE, 0, _what_else(data))
    size = LARGEST if wide else LARGEST // 2
    if len(data) < size:
        raise FormatError(STRUCTURE, len(data), f"its header of {size} bytes is cut off")
    return _wide(data) if wide else _narrow(data)


def is_dump(start: bytes) -> bool:
    """Whether a file that begins like this holds a kernel dump."""
    return start[:8] in (_MAGIC_WIDE, _MAGIC_NARROW)


def _what_else(data: bytes) -> str:
    if not data:
        return "is empty: it was never written"
    if not data.strip(b"\0"):
        return "begins with nothing but zeros: it was never written"
    if data[:4] == b"MDMP":
        return "is the dump of a program (MDMP), not of the kernel"
    if data[:4] == b"USER":
        return "is an old dump of a program (USERDUMP), not of the kernel"
    return "has no signature of a kernel dump"


def registers(machine: str, context: bytes) -> tuple[int, int]:
    """(stack pointer, instruction pointer) of a CONTEXT; zeros where they cannot be told."""
    number = next((number for number, name in MACHINES.items() if name == machine), 0)
    if number not in _REGISTERS:
        return 0, 0
    stack, instruction, code = _REGISTERS[number]
    layout = struct.Struct(f"<{code}")
    if len(context) < max(stack, instruction) + layout.size:
        return 0, 0
    return layout.unpack_from(context, stack)[0], layout.unpack_from(context, instruction)[0]


def _wide(data: bytes) -> Header:
    _, build, directory, _, modules, _, machine, _, code = _FIXED[True].unpack_from(data, 8)
    exception, _, _, address = struct.unpack_from("<IIQQ", data, 0xF00)
    (uptime,) = struct.unpack_from("<Q", data, 0x1030)
    name = MACHINES.get(machine, f"{machine:#x}")
    stack, instruction = registers(name, data[0x348:0xF00])
    return Header(
        wide=True,
        size=0x2000,
        machine=name,
        build=build,
        directory=directory,
        loaded_modules=modules,
        debugger_data=struct.unpack_from("<Q", data, 0x80)[0],
        bugcheck=code,
        parameters=struct.unpack_from("<4Q", data, 0x40),
        type=struct.unpack_from("<I", data, 0xF98)[0],
        when=from_filetime(struct.unpack_from("<Q", data, 0xFA8)[0]),
        uptime=_uptime(uptime),
        runs=data[0x88:0x344],
        stack=_set(stack),
        instruction=_set(instruction),
        exception=_exception(exception, address),
        pae=False,
    )


def _narrow(data: bytes) -> Header:
    _, build, directory, _, modules, _, machine, _, code = _FIXED[False].unpack_from(data, 8)
    exception, _, _, address = struct.unpack_from("<IIII", data, 0x7D0)
    uptime, when = struct.unpack_from("<QQ", data, 0xFB8)
    name = MACHINES.get(machine, f"{machine:#x}")
    stack, instruction = registers(name, data[0x320:0x7D0])
    return Header(
        wide=False,
        size=0x1000,
        machine=name,
        build=build,
        directory=directory,
        loaded_modules=modules,
        debugger_data=struct.unpack_from("<I", data, 0x60)[0],
        bugcheck=code,
        parameters=struct.unpack_from("<4I", data, 0x2C),
        type=struct.unpack_from("<I", data, 0xF88)[0],
        when=from_filetime(when),
        uptime=_uptime(uptime),
        runs=data[0x64:0x320],
        stack=_set(stack),
        instruction=_set(instruction),
        exception=_exception(exception, address),
        pae=data[0x5C] == 1,
    )


def _uptime(ticks: int) -> timedelta | None:
    if ticks in (0, _UNSET) or ticks // 10 > _MAX_UPTIME // timedelta(microseconds=1):
        return None
    return timedelta(microseconds=ticks // 10)


def _set(register: int) -> int:
    return 0 if register in (_UNSET, _UNSET & 0xFFFF_FFFF) else register


def _exception(code: int, address: int) -> int:
    real = code not in (0, _BREAKPOINT, _UNSET & 0xFFFF_FFFF)
    return _set(address) if real else 0
