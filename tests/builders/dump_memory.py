"""Physical memory of a crashed Windows, with page tables, and the dumps that hold it.

Page tables: Intel SDM volume 3, "Paging" (4-level, PAE, 32-bit), and "VMSAv8-64 translation table
format" of the Arm Architecture Reference Manual (4 KB granule). The kernel's data lies in a large
page, as in Windows. Dumps: full (runs of pages), bitmap (SDMP and FDMP: first page at 0x20, pages
present at 0x28, bits at 0x30, bitmap at 0x38) and the older kernel summary (SUMMARY_DUMP of
ntiodump.h). Loader entries, names, stack and images lie where the tables say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.dump_shape import (
    NUMBERS,
    Crash,
    Mod,
    Shape,
    file_name,
    header,
    loader_entry,
    page_of_image,
)

PAGE = 4096
_FIRST = 0x100  # page frames below hold firmware and the like
_STRIDE = 7919  # prime: neighbours in virtual memory are none in physical memory
_NX = 1 << 63


@dataclass(slots=True)
class Ram:
    """Pages of physical memory. `total` frames are used in order, or all over when it is given."""

    total: int = 0
    pages: dict[int, bytearray] = field(default_factory=dict)
    taken: int = 0

    def frame(self) -> int:
        while True:
            self.taken += 1
            number = _FIRST + (self.taken * _STRIDE % self.total if self.total else self.taken)
            if number not in self.pages:
                self.pages[number] = bytearray(PAGE)
                return number

    def large(self, count: int) -> int:
        """The first frame of a large page that nobody uses yet; its pages come when written."""
        top = max(self.pages, default=_FIRST) // count + 1
        return top * count

    def write(self, frame: int, offset: int, data: bytes) -> None:
        self.pages.setdefault(frame, bytearray(PAGE))[offset : offset + len(data)] = data


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of page tables looks: bits of the index per level, bytes of an entry."""

    levels: tuple[tuple[int, int], ...]  # (shift, entries)
    entry: int
    table: int  # bits of an entry that points to a table
    page: int
    block: int  # of a large page, on the level before the last


FORMATS = {
    "x64": Format(((39, 512), (30, 512), (21, 512), (12, 512)), 8, 0x63, 0x63 | _NX, 0xE3),
    "arm64": Format(((39, 512), (30, 512), (21, 512), (12, 512)), 8, 0x3, 0x703, 0x701),
    "pae": Format(((30, 4), (21, 512), (12, 512)), 8, 0x63, 0x63 | _NX, 0xE3),
    "x86": Format(((22, 1024), (12, 1024)), 4, 0x63, 0x63, 0xE3),
}


class Space:
    """Virtual memory over `ram`."""

    def __init__(self, ram: Ram, kind: str) -> None:
        self._ram, self._kind = ram, kind
        self._format = FORMATS[kind]
        self._root = ram.frame()
        self._large: dict[int, int] = {}

    @property
    def directory(self) -> int:
        return self._root * PAGE

    def write(self, address: int, data: bytes, *, large: bool = False) -> None:
        while data:
            room = PAGE - address % PAGE
            frame = self._frame(address, large=large)
            self._ram.write(frame, address % PAGE, data[:room])
            address, data = address + room, data[room:]

    def _frame(self, address: int, *, large: bool) -> int:
        shape = self._format
        table = self._root
        for depth, (shift, count) in enumerate(shape.levels):
            last = depth == len(shape.levels) - 1
            at = (address >> shift) % count * shape.entry
            old = int.from_bytes(self._ram.pages[table][at : at + shape.entry], "little")
            if large and depth == len(shape.levels) - 2:
                inside = (address & (1 << shift) - 1) // PAGE
                if not old:
                    first = self._ram.large(1 << shift - 12)
                    self._put(table, at, first * PAGE | shape.block)
                    self._large[table * PAGE + at] = first
                return self._large[table * PAGE + at] + inside
            if not old:
                frame = self._ram.frame()
                bits = shape.page if last else shape.table
                if self._kind == "pae" and depth == 0:
                    bits = 1  # entries of the pointer table have no other
                self._put(table, at, frame * PAGE | bits)
            else:
                frame = (old & 0x0000_FFFF_FFFF_F000) // PAGE
            if last:
                return frame
            table = frame
        raise AssertionError("no levels")

    def _put(self, table: int, at: int, value: int) -> None:
        self._ram.write(table, at, value.to_bytes(self._format.entry, "little"))


# --- what lies in memory ------------------------------------------------------------------


def _fill(crash: Crash, space: Space, debugger_data: str) -> int:
    """Everything a reader looks for; where PsLoadedModuleList is."""
    shape = crash.shape
    head = crash.inside_kernel(shape.list_head)
    _modules(crash, space, head)
    space.write(shape.stack, shape.words(*(crash.stack or (0,))))
    for address, data in crash.with_records().items():
        space.write(address, data)
    if debugger_data != "absent":
        _debugger(crash, space, head, encoded=debugger_data == "encoded")
    return head


def _modules(crash: Crash, space: Space, head: int) -> None:
    shape = crash.shape
    size = 0x120 if shape.wide else 0xA0
    text = shape.pool + 0x100 * (len(crash.modules) * size // 0x100 + 1)
    where = [shape.pool + number * size for number in range(len(crash.modules))]
    ring = [head, *where, head]
    for number, mod in enumerate(crash.modules, start=1):
        path = mod.name if "\\" in mod.name else f"\\SystemRoot\\System32\\drivers\\{mod.name}"
        full = Mod(path, mod.base, mod.size, mod.stamp)
        name = text + 2 * (len(path) - len(file_name(path)))
        links = (ring[number + 1], ring[number - 1])
        space.write(ring[number], loader_entry(shape, full, links, (text, name)))
        space.write(text, path.encode("utf-16-le"))
        text += 2 * len(path) + 2 + 14 & ~15
        if mod.base % PAGE == 0:
            image = page_of_image(mod, crash.machine)
            space.write(mod.base, image, large=mod == crash.kernel)
    ends = (ring[1], ring[-2])
    space.write(head, shape.words(*ends), large=crash.kernel is not None and _covers(crash, head))


def _covers(crash: Crash, address: int) -> bool:
    kernel = crash.kernel
    return kernel is not None and kernel.base <= address < kernel.base + kernel.size


def _debugger(crash: Crash, space: Space, head: int, *, encoded: bool) -> None:
    """KDDEBUGGER_DATA64 of wdbgexts.h, and the ring of unloaded drivers it leads to."""
    shape = crash.shape
    at = crash.inside_kernel(shape.debugger_data)
    variable, array = at + 0x800, shape.pool + 0x20_0000
    data = bytearray(0x380)
    struct.pack_into("<QQ4sI", data, 0, at, at, b"KDBG", 0x380)
    kernel = crash.kernel
    for offset, value in (
        (0x18, kernel.base if kernel else 0),
        (0x48, head),
        (0x220, variable),
        (0x228, variable + 8),
    ):
        struct.pack_into("<Q", data, offset, _extended(shape, value))
    if encoded:  # any reversible scramble: a reader without symbols cannot undo it
        data = bytearray(byte ^ (0x5A + number & 0xFF) for number, byte in enumerate(data))
    large = _covers(crash, at)
    space.write(at, bytes(data), large=large)
    space.write(variable, shape.words(array).ljust(8, b"\0"), large=large)
    space.write(variable + 8, struct.pack("<I", len(crash.unloaded)), large=large)
    ring, names = b"", array + 0x1000
    for mod in crash.unloaded:
        name = file_name(mod.name).encode("utf-16-le")
        space.write(names, name)
        pad = "4x" if shape.wide else ""
        ring += struct.pack(f"<HH{pad}{shape.word}", len(name), len(name), names)
        ring += shape.words(mod.base, mod.base + mod.size) + struct.pack("<Q", 0x1DC1A61D5B2E000)
        names += len(name) + 2
    space.write(array, ring.ljust(50 * (40 if shape.wide else 24), b"\0"))


def _extended(shape: Shape, value: int) -> int:
    return value if shape.wide or not value >> 31 else value | 0xFFFF_FFFF_0000_0000


# --- dumps --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Image:
    """A dump: its beginning, and the pages by file offset; zeros between them."""

    start: bytes
    size: int
    pages: dict[int, bytes]

    def whole(self) -> bytes:
        data = bytearray(self.size)
        data[: len(self.start)] = self.start
        for offset, page in self.pages.items():
            data[offset : offset + PAGE] = page
        return bytes(data)

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(self.size)
            file.write(self.start)
            for offset, page in sorted(self.pages.items()):
                file.seek(offset)
                file.write(page)


def lay(
    crash: Crash,
    form: str,
    *,
    debugger_data: str = "absent",
    size: int = 0,
    pae: bool = True,
    number: int | None = None,
) -> Image:
    """The dump of `crash`; with `size` it has pages enough for a file of that many bytes."""
    kind = crash.machine if crash.shape.wide else "pae" if pae else "x86"
    ram = Ram(4 * size // PAGE if form != "full" else size // PAGE)
    space = Space(ram, kind)
    head = _fill(crash, space, debugger_data)
    present = _present(ram, form, size)
    runs = _runs(crash.shape, present)
    start = header(
        crash,
        NUMBERS[form] if number is None else number,
        directory=space.directory,
        modules=head,
        runs=runs if form == "full" else b"",
        pae=pae,
    )
    if form == "kernel":
        start += _summary(crash.shape, present)
    elif form != "full":
        start += _bitmap(crash.shape, present, b"FDMP" if form == "bitmap" and size else b"SDMP")
    first = len(start)
    places = {
        frame: first + PAGE * place for frame, place in _places(present) if frame in ram.pages
    }
    pages = {places[frame]: bytes(page) for frame, page in ram.pages.items()}
    return Image(bytes(start), first + PAGE * sum(count for _, count in present), pages)


Runs = list[tuple[int, int]]  # first frame, how many


def _present(ram: Ram, form: str, size: int) -> Runs:
    """The frames the dump has, in runs; those of `ram` always."""
    needed = sorted(ram.pages)
    if form == "full":  # all of memory, with the usual hole below 1 MB
        last = max(needed[-1], size // PAGE)
        return [(1, 0x9D), (_FIRST, last - _FIRST + 1)]
    runs = _joined(needed)
    missing = size // PAGE - len(needed)
    if missing > 0:  # the pages nobody reads are spread too, eight in a row
        taken = set(needed)
        step = max(16, 8 * (4 * size // PAGE) // missing)
        base = _FIRST
        extra = []
        while missing > 0:
            extra += [frame for frame in range(base, base + 8) if frame not in taken]
            missing -= 8
            base += step
        runs = _joined(sorted([*needed, *extra]))
    return runs


def _joined(frames: list[int]) -> Runs:
    runs: Runs = []
    for frame in frames:
        if runs and sum(runs[-1]) == frame:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((frame, 1))
    return runs


def _places(runs: Runs) -> Iterator[tuple[int, int]]:
    place = 0
    for first, count in runs:
        for frame in range(first, first + count):
            yield frame, place
            place += 1


def _runs(shape: Shape, runs: Runs) -> bytes:
    total = sum(count for _, count in runs)
    out = struct.pack("<I4xQ" if shape.wide else "<II", len(runs), total)
    for run in runs:
        out += shape.words(*run)
    return out


def _bits(runs: Runs) -> tuple[int, bytes]:
    """How many bits, and the bitmap in whole 32-bit words."""
    last = sum(runs[-1])
    count = last + -last % 32
    bits = bytearray(count // 8)
    for first, length in runs:
        for frame in range(first, first + length):
            bits[frame >> 3] |= 1 << (frame & 7)
    return count, bytes(bits)


def _bitmap(shape: Shape, runs: Runs, signature: bytes) -> bytes:
    count, bits = _bits(runs)
    at = shape.header + 0x38 + len(bits)
    first = at + -at % PAGE
    total = sum(length for _, length in runs)
    head = signature + b"DUMP" + b"PAGE" * 6 + struct.pack("<QQQ", first, total, count)
    return (head + bits).ljust(first - shape.header, b"\0")


def _summary(shape: Shape, runs: Runs) -> bytes:
    count, bits = _bits(runs)
    total = sum(length for _, length in runs)
    fixed = 0x28 if shape.wide else 0x20
    at = shape.header + fixed + len(bits)
    first = at + -at % PAGE
    head = struct.pack("<4s4sIIII", b"SDMP", b"DUMP", 1, first, count, total)
    head += struct.pack("<I", count)
    head = head.ljust(fixed, b"\0")
    return (head + bits).ljust(first - shape.header, b"\0")
