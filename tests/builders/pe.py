"""Stub drivers: small PE images with a version resource, as far as a reader of headers can tell.

Layout: Microsoft "PE Format" (headers, section table, .rsrc tree) and "VS_VERSIONINFO". The code
section holds one `ret`; nothing here can run. The header checksum is right, because Windows
refuses a boot-start driver whose checksum is wrong and a reader may look at it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

MACHINES = {"x64": 0x8664, "x86": 0x014C, "arm64": 0xAA64}
NATIVE = 1  # IMAGE_SUBSYSTEM_NATIVE
_RET = {"x64": b"\xc3", "x86": b"\xc3", "arm64": b"\xc0\x03\x5f\xd6"}
_FILE_ALIGN, _SECTION_ALIGN = 0x200, 0x1000
_DIRECTORIES = {b".edata": 0, b".idata": 1, b".rsrc": 2}
_VERSION_TYPE = 16  # RT_VERSION
_BUILT = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)


def driver(
    strings: Mapping[str, str] | None = None,
    *,
    machine: str = "x64",
    built: datetime = _BUILT,
    padding: bytes = b"",
    imports: Mapping[str, Sequence[str | int]] | None = None,
    exports: Sequence[str] = (),
) -> bytes:
    """A native-subsystem image; `strings` becomes its version resource (None: it has none).

    `padding` follows the code, so that two stubs can differ in content and size. `imports` are
    names, or numbers, by module; `exports` all lead to the code.
    """
    code = _aligned(_RET[machine] + padding)
    sections = [(b".text", _SECTION_ALIGN, code, 0x6800_0020)]  # code, not paged, execute, read

    def add(name: bytes, make: Callable[[int], bytes]) -> None:
        address = sections[-1][1] + _round(len(sections[-1][2]), _SECTION_ALIGN)
        sections.append((name, address, _aligned(make(address)), 0x4000_0040))

    if strings is not None:
        add(b".rsrc", lambda address: _resources(version_info(strings), address))
    if imports:
        add(b".idata", lambda address: _imports(imports, address, wide=machine != "x86"))
    if exports:
        add(b".edata", lambda address: _exports(exports, address))
    image = _headers(machine, int(built.timestamp()), sections)
    return with_checksum(image + b"".join(content for _, _, content, _ in sections))


def _imports(imports: Mapping[str, Sequence[str | int]], rva: int, *, wide: bool) -> bytes:
    """Directory table, then for each module its lookup and address tables, hints and names."""
    width = 8 if wide else 4
    table = b""
    rest = b""
    start = rva + 20 * (len(imports) + 1)
    for dll, symbols in imports.items():
        at = start + len(rest)
        names = at + 2 * width * (len(symbols) + 1)
        texts = b""
        thunks = b""
        for symbol in symbols:
            if isinstance(symbol, int):
                value = symbol | 1 << 8 * width - 1
            else:
                value = names + len(texts)
                texts += _even(struct.pack("<H", 7) + symbol.encode() + b"\0")
            thunks += value.to_bytes(width, "little")
        thunks += bytes(width)
        own_name = names + len(texts)
        texts += _even(dll.encode() + b"\0")
        table += struct.pack("<IIIII", at, 0, 0, own_name, at + len(thunks))
        rest += thunks + thunks + texts
    return table + bytes(20) + rest


def _exports(names: Sequence[str], rva: int) -> bytes:
    """Directory, addresses, pointers to names in their order, ordinals, names."""
    ordered = sorted(names)
    count = len(ordered)
    addresses, pointers = rva + 40, rva + 40 + 4 * count
    ordinals = pointers + 4 * count
    texts = ordinals + 2 * count
    blob = b""
    where = []
    for name in ordered:
        where.append(texts + len(blob))
        blob += name.encode() + b"\0"
    directory = struct.pack(
        "<IIHHIIIIIII", 0, 0, 0, 0, texts, 1, count, count, addresses, pointers, ordinals
    )
    tables = struct.pack(f"<{count}I", *[_SECTION_ALIGN] * count)
    tables += struct.pack(f"<{count}I", *where) + struct.pack(f"<{count}H", *range(count))
    return directory + tables + blob


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def _headers(machine: str, built: int, sections: list[tuple[bytes, int, bytes, int]]) -> bytes:
    wide = machine != "x86"
    optional = _optional_header(sections, wide=wide)
    characteristics = 0x0022 if wide else 0x0102  # executable; large addresses, or 32-bit
    coff = struct.pack(
        "<HHIIIHH",
        MACHINES[machine],
        len(sections),
        built,
        0,
        0,
        len(optional),
        characteristics,
    )
    table, offset = b"", _FILE_ALIGN * 2
    for name, rva, content, flags in sections:
        table += struct.pack(
            "<8sIIIIIIHHI", name, len(content), rva, len(content), offset, 0, 0, 0, 0, flags
        )
        offset += len(content)
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    return (dos + b"PE\0\0" + coff + optional + table).ljust(_FILE_ALIGN * 2, b"\0")


def _optional_header(sections: list[tuple[bytes, int, bytes, int]], *, wide: bool) -> bytes:
    code = sections[0][2]
    last = sections[-1]
    size_of_image = last[1] + _round(len(last[2]), _SECTION_ALIGN)
    entry = base = _SECTION_ALIGN
    start = struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 14, 0, len(code), 0, 0, entry, base)
    start += struct.pack("<Q", 0x1_4000_0000) if wide else struct.pack("<II", 0, 0x1_0000)
    middle = struct.pack(
        "<IIHHHHHHIIIIHH",
        _SECTION_ALIGN,
        _FILE_ALIGN,
        *(10, 0, 10, 0, 10, 0),  # operating system, image and subsystem version
        0,
        size_of_image,
        _FILE_ALIGN * 2,
        0,  # checksum, filled in last
        NATIVE,
        0x4160 if wide else 0x4140,
    )
    stack_and_heap = struct.pack("<QQQQ" if wide else "<IIII", 0x40000, 0x1000, 0x100000, 0x1000)
    directories = [(0, 0)] * 16
    for name, address, content, _ in sections:
        if name in _DIRECTORIES:
            directories[_DIRECTORIES[name]] = (address, len(content))
    tail = struct.pack("<II", 0, 16) + b"".join(struct.pack("<II", *entry) for entry in directories)
    return start + middle + stack_and_heap + tail


def _resources(info: bytes, rva: int) -> bytes:
    """One leaf: type RT_VERSION, name 1, language US English."""
    tree = b""
    for depth, identity in enumerate((_VERSION_TYPE, 1, 0x0409)):
        below = (depth + 1) * 24
        pointer = below | 0x8000_0000 if depth < 2 else below
        tree += struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, identity, pointer)
    leaf = struct.pack("<IIII", rva + len(tree) + 16, len(info), 0, 0)
    return tree + leaf + info


def version_info(strings: Mapping[str, str]) -> bytes:
    """VS_VERSIONINFO with one US English Unicode string table."""
    entries = [_node(key, _wide(value), text=True) for key, value in strings.items()]
    table = _node("040904B0", b"", entries, text=True)
    translation = _node("Translation", struct.pack("<HH", 0x0409, 0x04B0))
    children = [
        _node("StringFileInfo", b"", [table], text=True),
        _node("VarFileInfo", b"", [translation], text=True),
    ]
    return _node("VS_VERSION_INFO", _fixed(strings.get("FileVersion", "")), children)


def _fixed(version: str) -> bytes:
    digits = [int(part) for part in version.split(" ")[0].split(".") if part.isdigit()]
    a, b, c, d = (*digits, 0, 0, 0, 0)[:4]
    numbers = (a << 16 | b, c << 16 | d)
    return struct.pack(
        "<13I", 0xFEEF04BD, 0x10000, *numbers, *numbers, 0x3F, 0, 0x40004, 3, 7, 0, 0
    )


def _node(
    key: str, value: bytes, children: list[bytes] | None = None, *, text: bool = False
) -> bytes:
    body = _pad4(b"\0" * 6 + _wide(key)) + value
    for child in children or []:
        body = _pad4(body) + child
    length = len(value) // 2 if text else len(value)
    return struct.pack("<HHH", len(body), length, int(text)) + body[6:]


def _wide(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def _pad4(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _round(size: int, step: int) -> int:
    return -(-size // step) * step


def _aligned(data: bytes) -> bytes:
    return data.ljust(_round(len(data), _FILE_ALIGN), b"\0")


def with_checksum(image: bytes) -> bytes:
    """The image with the checksum in its header that its other bytes ask for."""
    offset = 0x40 + 24 + 64  # CheckSum lies at the same place in PE32 and PE32+
    blank = image[:offset] + bytes(4) + image[offset + 4 :]
    words = struct.unpack(f"<{len(image) // 2}H", blank)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return image[:offset] + struct.pack("<I", total + len(image)) + image[offset + 4 :]
