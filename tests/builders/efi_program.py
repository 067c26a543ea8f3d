"""The smallest EFI programs: one says a sentence on the console and comes back with an error.

So a boot manager tries the next. Layout: Microsoft "PE Format"; UEFI 2.10, 4.3 (EFI_SYSTEM_TABLE:
ConOut at 64) and 12.4.3 (OutputString is its second function). Machine code of x64 is written out
below; in programs of other machines it means nothing, for what never runs it.
"""

from __future__ import annotations

import struct

MACHINES = {"x64": 0x8664, "x86": 0x014C, "arm64": 0xAA64}
_EFI_APPLICATION = 10
_FILE_ALIGN, _SECTION_ALIGN = 0x200, 0x1000
_CODE = bytes.fromhex(
    "4883ec28"  # sub rsp, 40: room for four arguments, and the stack at a multiple of 16
    "488b4a40"  # mov rcx, [rdx+64]: ConOut of the system table
    "488d1512000000"  # lea rdx, [rip+18]: the sentence behind the code
    "ff5108"  # call [rcx+8]: OutputString
    "48b80e00000000000080"  # mov rax, EFI_NOT_FOUND
    "4883c428"  # add rsp, 40
    "c3"  # ret
)


def program(sentence: str, machine: str = "x64", *, padding: int = 0) -> bytes:
    """A program; `padding` bytes of data more, so that programs differ in size."""
    text = _CODE + (sentence + "\r\n\0").encode("utf-16-le") + bytes(padding)
    text = text.ljust(-(-len(text) // _FILE_ALIGN) * _FILE_ALIGN, b"\0")
    wide = machine != "x86"
    size = _SECTION_ALIGN + -(-len(text) // _SECTION_ALIGN) * _SECTION_ALIGN
    optional = struct.pack(
        "<HBBIIIII", 0x20B if wide else 0x10B, 1, 0, len(text), 0, 0, _SECTION_ALIGN, _SECTION_ALIGN
    )
    optional += struct.pack("<Q", 0) if wide else struct.pack("<II", 0, 0)
    optional += struct.pack(
        "<IIHHHHHHIIIIHH",
        _SECTION_ALIGN,
        _FILE_ALIGN,
        *(0,) * 7,
        size,
        _FILE_ALIGN,
        0,
        _EFI_APPLICATION,
        0,
    )
    optional += bytes(32 if wide else 16) + struct.pack("<II", 0, 16) + bytes(16 * 8)
    coff = struct.pack("<HHIIIHH", MACHINES[machine], 1, 0, 0, 0, len(optional), 0x0022)
    section = struct.pack(
        "<8sIIIIIIHHI",
        b".text",
        len(text),
        _SECTION_ALIGN,
        len(text),
        _FILE_ALIGN,
        *(0,) * 4,
        0x6000_0020,
    )
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    return (dos + b"PE\0\0" + coff + optional + section).ljust(_FILE_ALIGN, b"\0") + text
