"""Kernel crash dumps written from scratch: triage, full, bitmap, kernel, header-only.

Layouts: the WDK's ntiodump.h; order and sizes of a triage dump's parts as in the real ones of
../shared/data/dumps (header, triage block, Mm, unloaded drivers, processor, process, thread, call
stack, debugger data, drivers, their names, data blocks, TRGD). The forms that hold memory are in
dump_memory.py. Not written: secondary data, the debugger's RDMP forms, five-level page tables.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Unpack

from tests.builders import dump_memory
from tests.builders.dump_shape import UPTIME, Crash, Facts, Mod, Shape, file_name, header

__all__ = ["Mod", "build_32bit", "build_header", "build_memory", "build_triage", "write_memory"]


def build_triage(**facts: Unpack[Facts]) -> bytes:
    """A small dump, as in Windows\\Minidump."""
    return _triage(Crash(**facts))


def build_memory(
    form: str = "bitmap",
    *,
    debugger_data: str = "absent",
    dump_type: int | None = None,
    **facts: Unpack[Facts],
) -> bytes:
    """MEMORY.DMP: `form` is "full", "bitmap", "kernel-bitmap" or "kernel" (the older summary).

    `debugger_data`: "plain", "encoded" (as in a running Windows 8 and later) or "absent".
    """
    image = dump_memory.lay(Crash(**facts), form, debugger_data=debugger_data, number=dump_type)
    return image.whole()


def write_memory(
    path: Path,
    form: str = "bitmap",
    *,
    size: int = 1 << 30,
    debugger_data: str = "absent",
    pae: bool = True,
    dump_type: int | None = None,
    **facts: Unpack[Facts],
) -> None:
    """The same as a sparse file of at least `size` bytes; its pages are spread over RAM."""
    image = dump_memory.lay(
        Crash(**facts), form, debugger_data=debugger_data, size=size, pae=pae, number=dump_type
    )
    image.write(path)


def build_32bit(
    form: str = "triage",
    *,
    pae: bool = True,
    debugger_data: str = "absent",
    **facts: Unpack[Facts],
) -> bytes:
    """A dump of 32-bit Windows: "triage", "full", "kernel" or "bitmap"."""
    narrow: Facts = {"build": 7601, **facts, "machine": "x86"}
    crash = Crash(**narrow)
    if form == "triage":
        return _triage(crash, pae=pae)
    return dump_memory.lay(crash, form, debugger_data=debugger_data, pae=pae).whole()


def build_header(
    *,
    bugcheck: int,
    parameters: Sequence[int],
    when: datetime,
    machine: str = "x64",
    build: int = 19045,
    uptime: timedelta = UPTIME,
) -> bytes:
    """A header and nothing else."""
    crash = Crash(bugcheck, parameters, when, (), (), machine=machine, build=build, uptime=uptime)
    return bytes(header(crash, 3, directory=0x1AD000, modules=crash.shape.list_head))


# --- triage -------------------------------------------------------------------------------


class _Parts:
    """A dump that grows part by part, each aligned to eight bytes."""

    def __init__(self, start: bytearray) -> None:
        self.data = start

    def add(self, part: bytes, align: int = 8) -> int:
        self.data += bytes(-len(self.data) % align)
        at = len(self.data)
        self.data += part
        return at


def _triage(crash: Crash, *, pae: bool = True) -> bytes:
    shape = crash.shape
    directory = 0x1AD000 if shape.wide else 0x185000
    modules = crash.inside_kernel(shape.list_head)
    parts = _Parts(header(crash, 4, directory=directory, modules=modules, pae=pae))
    block = parts.add(bytes(0x80 if shape.wide else 0x68))
    memory = parts.add(struct.pack("<II", 1, 0x50 if shape.wide else 0x30).ljust(0x50, b"\0"))
    unloaded = parts.add(_unloaded(shape, crash.unloaded))
    processor = parts.add(bytes(0xAF00 if shape.wide else 0x3748))
    process = parts.add(bytes(0xA40 if shape.wide else 0x2C0))
    thread = parts.add(bytes(0x898 if shape.wide else 0x2B8))
    words = shape.words(*crash.stack)
    stack = parts.add(words)
    debugger = parts.add(b"\0" * 0x10 + b"KDBG" + struct.pack("<I", 0x380))
    parts.data += bytes(0x380 - 0x18)
    names = _names(crash.modules)
    entry = 0x90 if shape.wide else 0x4C
    pool = len(parts.data) + -len(parts.data) % 8 + entry * len(crash.modules)
    pool += -pool % 8
    drivers = parts.add(_drivers(shape, crash.modules, pool))
    parts.add(names)
    broken = 0
    if crash.broken_driver:
        broken = parts.add(_string(crash.broken_driver))
    blocks, count = _data_blocks(parts, crash.with_records())
    end = parts.add(b"TRGD", align=4)
    fields = [0, end + 4, end, *((0x348, 0xF00) if shape.wide else (0x320, 0x7D0))]
    fields += [memory, unloaded, processor, process, thread, stack, len(words), drivers]
    fields += [len(crash.modules), pool, len(names), broken, 0xFFFFFFFF]
    struct.pack_into("<18I", parts.data, block, *fields)
    rest = (shape.stack, *((0, 0, 0) if shape.wide else (0,)))
    middle = shape.words(*rest) + struct.pack("<II", 0, 0)
    middle += struct.pack("<IIII", debugger, 0x380, blocks, count)
    parts.data[block + 0x48 : block + 0x48 + len(middle)] = middle
    return bytes(parts.data)


def _unloaded(shape: Shape, mods: Sequence[Mod]) -> bytes:
    """Names are cut after twelve characters, and Length says so."""
    out = struct.pack("<Q" if shape.wide else "<I", len(mods))
    for mod in mods:
        name = file_name(mod.name)[:12].encode("utf-16-le")
        out += struct.pack("<HH4xQ" if shape.wide else "<HHI", len(name), len(name), 0)
        out += name.ljust(24, b"\0") + shape.words(mod.base, mod.base + mod.size)
    return out


def _string(text: str) -> bytes:
    return struct.pack("<I", len(text)) + (text + "\0").encode("utf-16-le")


def _padded(text: str) -> bytes:
    data = _string(text)
    return data + bytes(-len(data) % 8)


def _names(mods: Sequence[Mod]) -> bytes:
    return b"".join(_padded(mod.name) for mod in mods)


def _drivers(shape: Shape, mods: Sequence[Mod], pool: int) -> bytes:
    out = b""
    for mod in mods:
        if shape.wide:
            entry = bytearray(struct.pack("<I4x", pool).ljust(0x90, b"\0"))
            struct.pack_into("<QQI", entry, 0x38, mod.base, 0, mod.size)
            struct.pack_into("<I4xI", entry, 0x80, mod.size + 0x1234 & 0xFFFFFFFF, mod.stamp)
        else:
            entry = bytearray(struct.pack("<I", pool).ljust(0x4C, b"\0"))
            struct.pack_into("<III", entry, 0x1C, mod.base, 0, mod.size)
            struct.pack_into("<II", entry, 0x44, mod.size + 0x1234 & 0xFFFFFFFF, mod.stamp)
        out += entry
        pool += len(_padded(mod.name))
    return out


def _data_blocks(parts: _Parts, memory: Mapping[int, bytes]) -> tuple[int, int]:
    """TRIAGE_DATA_BLOCK: address, offset, size; then what they describe."""
    at = parts.add(b"")
    offset = at + 16 * len(memory)
    for address, content in memory.items():
        parts.data += struct.pack("<QII", address, offset, len(content))
        offset += len(content)
    parts.data += b"".join(memory.values())
    return at, len(memory)
