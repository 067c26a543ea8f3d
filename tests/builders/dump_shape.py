"""What 64-bit and 32-bit kernel dumps differ in: header, CONTEXT, records of drivers.

Layouts: DUMP_HEADER64/32, TRIAGE_DUMP64/32 and DUMP_UNLOADED_DRIVERS of the WDK's ntiodump.h,
KLDR_DATA_TABLE_ENTRY and CONTEXT of its winnt.h, as measured on the dumps of ../shared/data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Required, TypedDict

from tests.builders.winbytes import filetime

MACHINES = {"x64": 0x8664, "arm64": 0xAA64, "x86": 0x014C}
NUMBERS = {"full": 1, "kernel": 2, "header": 3, "triage": 4, "bitmap": 5, "kernel-bitmap": 6}
BREAKPOINT, ACCESS_VIOLATION = 0x80000003, 0xC0000005
UPTIME = timedelta(minutes=8, seconds=15)


@dataclass(frozen=True, slots=True)
class Mod:
    """A driver: file name or path, where it lies, SizeOfImage, TimeDateStamp."""

    name: str
    base: int
    size: int
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """Where one width keeps what."""

    wide: bool
    header: int  # bytes
    word: str  # struct code of a pointer
    stack: int  # where the crashing thread's stack pointer stands
    list_head: int  # PsLoadedModuleList, unless the kernel is among the modules
    pool: int  # where the loader's entries lie in memory
    debugger_data: int

    @property
    def width(self) -> int:
        return 8 if self.wide else 4

    def words(self, *values: int) -> bytes:
        mask = (1 << 8 * self.width) - 1
        return struct.pack(f"<{len(values)}{self.word}", *(value & mask for value in values))


WIDE = Shape(
    wide=True,
    header=0x2000,
    word="Q",
    stack=0xFFFF_A704_EEB6_BC88,
    list_head=0xFFFF_F807_5C83_8770,
    pool=0xFFFF_D20B_F904_E000,
    debugger_data=0xFFFF_F807_5C80_EB20,
)
NARROW = Shape(
    wide=False,
    header=0x1000,
    word="I",
    stack=0x8D9F_7A84,
    list_head=0x8297_4850,
    pool=0x8584_6000,
    debugger_data=0x8296_3C90,
)


@dataclass(frozen=True, slots=True)
class Crash:
    """What a dump tells, whatever its form."""

    bugcheck: int
    parameters: Sequence[int]
    when: datetime
    modules: Sequence[Mod]
    stack: Sequence[int]  # words of the crashing thread, top first
    unloaded: Sequence[Mod] = ()
    context_rip: int | None = None
    exception_address: int | None = None
    machine: str = "x64"
    build: int = 19045
    uptime: timedelta = UPTIME
    broken_driver: str = ""
    memory: Mapping[int, bytes] = field(default_factory=dict)  # more virtual memory

    @property
    def shape(self) -> Shape:
        return NARROW if self.machine == "x86" else WIDE

    @property
    def instruction(self) -> int:
        """Where the context stands: in KeBugCheckEx, unless the caller knows better."""
        if self.context_rip is not None:
            return self.context_rip
        return self.bugcheck_routine

    @property
    def bugcheck_routine(self) -> int:
        kernel = self.kernel
        return kernel.base + kernel.size // 3 if kernel else 0

    @property
    def kernel(self) -> Mod | None:
        for mod in self.modules:
            if file_name(mod.name).lower() in ("ntoskrnl.exe", "ntkrnlmp.exe", "ntkrnlpa.exe"):
                return mod
        return self.modules[0] if self.modules else None

    def inside_kernel(self, usual: int) -> int:
        """An address of the kernel's data: 16-byte aligned, in its last quarter."""
        kernel = self.kernel
        if kernel is None or kernel.size < 0x10_0000:
            return usual
        return kernel.base + (kernel.size * 3 // 4 & ~0xFFF) + (usual & 0xFF0)

    def with_records(self) -> dict[int, bytes]:
        """`memory`, and the exception record a parameter of the bug check points to."""
        found = dict(self.memory)
        at = self.parameters[2] if len(self.parameters) > 2 else 0
        if self.exception_address is not None and self.bugcheck in (0x139, 0x7E, 0x1000007E) and at:
            record = exception_record(self.shape, ACCESS_VIOLATION, self.exception_address)
            found.setdefault(at, record)
        return found


class Facts(TypedDict, total=False):
    """The fields of `Crash`, as the builders of dumps take them."""

    bugcheck: Required[int]
    parameters: Required[Sequence[int]]
    when: Required[datetime]
    modules: Required[Sequence[Mod]]
    stack: Required[Sequence[int]]
    unloaded: Sequence[Mod]
    context_rip: int | None
    exception_address: int | None
    machine: str
    build: int
    uptime: timedelta
    broken_driver: str
    memory: Mapping[int, bytes]


def file_name(path: str) -> str:
    return path.rsplit("\\", 1)[-1]


def exception_record(shape: Shape, code: int, address: int) -> bytes:
    if shape.wide:
        return struct.pack("<IIQQII", code, 1, 0, address, 0, 0).ljust(0x98, b"\0")
    return struct.pack("<IIIII", code, 1, 0, address, 0).ljust(0x50, b"\0")


def context(machine: str, instruction: int, stack: int) -> bytes:
    if machine == "x64":
        data = bytearray(0x4D0)
        struct.pack_into("<II6HI", data, 0x30, 0x10000F, 0x1F80, 0x10, 43, 43, 83, 43, 24, 0x286)
        struct.pack_into("<Q", data, 0x98, stack)
        struct.pack_into("<Q", data, 0xF8, instruction)
        struct.pack_into("<I", data, 0x118, 0x1F80)  # MxCsr once more, in FltSave
    elif machine == "arm64":
        data = bytearray(0x390)
        struct.pack_into("<II", data, 0, 0x400007, 0x80000144)
        struct.pack_into("<QQ", data, 0x100, stack, instruction)
    else:
        data = bytearray(0x2CC)
        struct.pack_into("<I", data, 0, 0x10017)
        struct.pack_into("<IIIIII", data, 0xB4, stack, instruction, 8, 0x246, stack, 16)
    return bytes(data)


def header(
    crash: Crash, number: int, *, directory: int, modules: int, runs: bytes = b"", pae: bool = True
) -> bytearray:
    """The first page (32 bits) or two pages of a dump; what Windows leaves alone says PAGE."""
    shape = crash.shape
    data = bytearray(b"PAGE" * (shape.header // 4))
    code, address = BREAKPOINT, crash.bugcheck_routine
    if crash.exception_address is not None and crash.bugcheck not in (0x139, 0x7E, 0x1000007E):
        code, address = ACCESS_VIOLATION, crash.exception_address  # as debuggers write them
    record = exception_record(shape, code, address)
    registers = context(crash.machine, crash.instruction, shape.stack)
    parameters = (*crash.parameters, 0, 0, 0, 0)[:4]
    ticks = crash.uptime // timedelta(microseconds=1) * 10
    debugger = crash.inside_kernel(shape.debugger_data)
    fixed = struct.pack("<II", 15, crash.build)
    fixed += shape.words(directory, 0xFFFF_9F80_0000_0000, modules, modules - 0xC640)
    fixed += struct.pack("<III", MACHINES[crash.machine], 4, crash.bugcheck)
    if shape.wide:
        data[0:8] = b"PAGEDU64"
        data[8:0x3C] = fixed
        struct.pack_into("<4Q", data, 0x40, *parameters)
        struct.pack_into("<Q", data, 0x80, debugger)
        data[0x88 : 0x88 + len(runs)] = runs
        data[0x348 : 0x348 + 3000] = registers.ljust(3000, b"\0")
        data[0xF00 : 0xF00 + len(record)] = record
        struct.pack_into("<I", data, 0xF98, number)
        struct.pack_into("<QQ", data, 0xFA0, 0x3C4D1, filetime(crash.when))
        struct.pack_into("<QIIIII", data, 0x1030, ticks, 0xDFF, 0, 1, 0x310, 0)
        return data
    data[0:8] = b"PAGEDUMP"
    data[8:0x2C] = fixed
    data[0x2C:0x3C] = shape.words(*parameters)
    struct.pack_into("<BBHI", data, 0x5C, pae, 0, 0, debugger)
    data[0x64 : 0x64 + len(runs)] = runs
    data[0x320 : 0x320 + 1200] = registers.ljust(1200, b"\0")
    data[0x7D0 : 0x7D0 + len(record)] = record
    struct.pack_into("<IIIII", data, 0xF88, number, 0xCFF, 0, 1, 0x110)
    struct.pack_into("<Q", data, 0xFA0, 0x10000)
    struct.pack_into("<QQ", data, 0xFB8, ticks, filetime(crash.when))
    return data


def loader_entry(shape: Shape, mod: Mod, links: tuple[int, int], names: tuple[int, int]) -> bytes:
    """KLDR_DATA_TABLE_ENTRY of Windows 10: `names` are where path and file name lie."""
    path, name = mod.name.encode("utf-16-le"), file_name(mod.name).encode("utf-16-le")
    pad = "4x" if shape.wide else ""
    return struct.pack(
        f"<2{shape.word}{shape.word}I{pad}3{shape.word}{shape.word}I{pad}"
        f"HH{pad}{shape.word}HH{pad}{shape.word}IHH{shape.word}II3{shape.word}II",
        *links,
        *(0, 0, 0, 0, mod.base, mod.base + 0x1000, mod.size),
        *(len(path), len(path) + 2, names[0]),
        *(len(name), len(name) + 2, names[1]),
        *(0x09104000, 1, 0, 0),
        *(mod.size + 0x1234 & 0xFFFF_FFFF, 0, 0, 0, 0),
        *(mod.size - 0x10 & 0xFFFF_FFFF, mod.stamp),
    )


def page_of_image(mod: Mod, machine: str) -> bytes:
    """The headers of a driver as they lie in memory."""
    wide = machine != "x86"
    head = struct.pack("<2s58xI", b"MZ", 0xE8).ljust(0xE8, b"\0")
    head += struct.pack("<4sHHIIIHH", b"PE", MACHINES[machine], 4, mod.stamp, 0, 0, 0xF0, 0x22)
    optional = bytearray(struct.pack("<H", 0x20B if wide else 0x10B).ljust(0xF0, b"\0"))
    struct.pack_into("<I", optional, 56, mod.size)
    return (head + optional).ljust(0x400, b"\0")
