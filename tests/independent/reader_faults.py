"""What other readers of hives answer wrongly, each fault as a function of the bytes on disk.

A fault sees a name or a value as it is stored and returns the wrong answer that its reader must
give, or None where it does not strike. So a difference is excused only by predicting it exactly,
and a reader that is mended shows up as a failing test. Imports none of our code.

Layout: msuhanov/regf, sections "Key node", "Key value" and "Big data".
Seen in: hivex 1.3.23, python-registry 1.3.1, dissect.regf 3.14.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import xor

_SZ, _EXPAND_SZ, _DWORD, _BIG_ENDIAN, _MULTI_SZ, _QWORD = 1, 2, 4, 5, 7, 11
_INLINE = 0x8000_0000
_KNOWN = {0, 3, 6, 8, 9, 10, 16, *range(0x101, 0x120)}  # types python-registry reads well
_BIG = 16344


@dataclass(frozen=True, slots=True)
class StoredName:
    raw: bytes
    latin: bool  # flag "ASCII": one byte a character, Latin-1; else UTF-16


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A vk cell's fields."""

    image: bytes
    at: int  # file offset of the cell
    minor: int  # the hive's minor version
    name: StoredName
    size: int  # as stored, high bit included
    field: bytes  # the four bytes that are an offset, or the data itself
    kind: int

    @property
    def inline(self) -> bool:
        return bool(self.size & _INLINE)

    @property
    def where(self) -> int:
        """File offset of the data's cell."""
        return 4096 + int.from_bytes(self.field, "little")


@dataclass(frozen=True, slots=True)
class Wrong:
    """The answer to expect; None where the reader fails."""

    answer: str | int | None


HiveFault = Callable[[bytes], bool]
NameFault = Callable[[StoredName], Wrong | None]
ValueFault = Callable[[StoredValue], Wrong | None]


def stored_key_name(image: bytes, at: int) -> StoredName:
    """`at`: file offset of the nk cell."""
    (flags,) = struct.unpack_from("<H", image, at + 6)
    (length,) = struct.unpack_from("<H", image, at + 76)
    return StoredName(image[at + 80 : at + 80 + length], bool(flags & 0x20))


def stored_values(image: bytes, at: int) -> list[StoredValue]:
    """Of the key whose nk cell begins at file offset `at`, in the list's order."""
    (flags,) = struct.unpack_from("<H", image, at + 6)
    count, where = struct.unpack_from("<II", image, at + 40)
    if flags & 0x40 or not count:
        return []
    cells = struct.unpack_from(f"<{count}I", image, 4096 + where + 4)
    return [stored_value(image, 4096 + cell) for cell in cells]


def stored_value(image: bytes, at: int) -> StoredValue:
    length, size, field, kind, flags = struct.unpack_from("<HI4sIH", image, at + 6)
    name = StoredName(image[at + 24 : at + 24 + length], bool(flags & 1))
    return StoredValue(image, at, image[24], name, size, field, kind)


# --- whole hives --------------------------------------------------------------------------


def a_wrong_checksum_opens_nothing(image: bytes) -> bool:
    """hivex: not even where a log holds a sound header, as it does not look at logs."""
    words: tuple[int, ...] = struct.unpack_from("<127I", image)
    value = reduce(xor, words)
    stored = int.from_bytes(image[508:512], "little")
    return stored != {0: 1, 0xFFFF_FFFF: 0xFFFF_FFFE}.get(value, value)


def one_bad_bin_opens_nothing(image: bytes) -> bool:
    """hivex: everything in the other bins is lost with it."""
    start, end = 4096, 4096 + int.from_bytes(image[40:44], "little")
    while start < min(end, len(image)):
        signature, offset, size = struct.unpack_from("<4sII", image, start)
        if signature != b"hbin" or offset != start - 4096 or not size or size % 4096:
            return True
        start += size
    return False


# --- names --------------------------------------------------------------------------------


def half_a_pair_has_no_name(name: StoredName) -> Wrong | None:
    """hivex, python-registry: half of a surrogate pair, which Windows allows, makes them fail."""
    if name.latin:
        return None
    try:
        name.raw.decode("utf-16-le")
    except UnicodeDecodeError:
        return Wrong(None)
    return None


def half_a_pair_is_shown_as_bytes(name: StoredName) -> Wrong | None:
    """dissect: the same becomes the text of a Python bytes object."""
    return Wrong(repr(name.raw)) if half_a_pair_has_no_name(name) else None


def latin_is_taken_for_windows_1252(name: StoredName) -> Wrong | None:
    """python-registry: differs from Latin-1 for 0x80 to 0x9f, and fails for five of them."""
    if not name.latin or not any(0x80 <= byte < 0xA0 for byte in name.raw):
        return None
    try:
        return Wrong(name.raw.decode("cp1252"))
    except UnicodeDecodeError:
        return Wrong(None)


def latin_is_taken_for_utf_8(name: StoredName) -> Wrong | None:
    """dissect: Latin-1 that happens to be sound UTF-8 too."""
    if not name.latin or name.raw.isascii():
        return None
    try:
        return Wrong(name.raw.decode())
    except UnicodeDecodeError:
        return None


def nameless_is_called_default(name: StoredName) -> Wrong | None:
    """python-registry: like a value that really has this name."""
    return None if name.raw else Wrong("(default)")


def nameless_is_called_Default(name: StoredName) -> Wrong | None:  # noqa: N802 - as dissect spells it
    """dissect: the same, spelled otherwise."""
    return None if name.raw else Wrong("(Default)")


# --- types and data -----------------------------------------------------------------------


def type_loses_its_upper_bits(value: StoredValue) -> Wrong | None:
    """python-registry: device properties are 0xffff0012, it says 0x12."""
    return Wrong(value.kind & 0xFFF) if value.kind > 0xFFF else None


def inline_text_keeps_padding(value: StoredValue) -> Wrong | None:
    """python-registry: text of two bytes inside the offset field gets all four."""
    text = value.kind & 0xFFF in (_SZ, _EXPAND_SZ)
    return Wrong(value.field.hex()) if text and value.inline else None


def inline_strings_vanish(value: StoredValue) -> Wrong | None:
    """python-registry: a REG_MULTI_SZ of up to four bytes is nothing."""
    return Wrong("") if value.kind & 0xFFF == _MULTI_SZ and value.inline else None


def dword_is_always_the_field(value: StoredValue) -> Wrong | None:
    """python-registry: even if shorter than four bytes, or longer and elsewhere."""
    return Wrong(value.field.hex()) if value.kind & 0xFFF == _DWORD else None


def quadword_has_always_eight_bytes(value: StoredValue) -> Wrong | None:
    """python-registry: REG_QWORD (and a device property's boolean): eight bytes after a cell's size
    that is not there when the data is inline; then they begin with the type."""
    if value.kind & 0xFFF != _QWORD:
        return None
    return Wrong(_cell_bytes(value, 8))


def big_endian_has_always_four_bytes(value: StoredValue) -> Wrong | None:
    """python-registry: the same for REG_DWORD_BIG_ENDIAN and 16-bit device properties."""
    if value.kind & 0xFFF != _BIG_ENDIAN:
        return None
    return Wrong(_cell_bytes(value, 4))


def unknown_short_data_keeps_padding(value: StoredValue) -> Wrong | None:
    """python-registry: of types it does not know, up to four bytes become all four."""
    kind = value.kind & 0xFFF
    known = kind in _KNOWN or kind in (_SZ, _EXPAND_SZ, _DWORD, _BIG_ENDIAN, _MULTI_SZ, _QWORD)
    return Wrong(value.field.hex()) if not known and (value.inline or value.size < 5) else None


def _cell_bytes(value: StoredValue, count: int) -> str:
    start = value.at + 12 if value.inline or value.size < 5 else value.where
    return value.image[start + 4 : start + 4 + count].hex()


def no_data_is_an_error(value: StoredValue) -> Wrong | None:
    """hivex, dissect: no bytes and an offset to nowhere, as tombstones of layered keys have it."""
    nowhere = not value.inline and value.where >= len(value.image)
    return Wrong(None) if nowhere and value.size == 0 else None


def big_data_of_1_4_is_its_index(value: StoredValue) -> Wrong | None:
    """dissect: hives of version 1.4 have big data too; it gives the record's own bytes."""
    cell = value.image[value.where : value.where + 6]
    if value.minor != 4 or value.inline or value.size <= _BIG or cell[4:] != b"db":
        return None
    length = min(-int.from_bytes(cell[:4], "little", signed=True) - 4, value.size)
    return Wrong(value.image[value.where + 4 : value.where + 4 + length].hex())


@dataclass(frozen=True, slots=True)
class Faults:
    """Of one reader. In each group the first that strikes decides."""

    hives: tuple[HiveFault, ...] = ()
    key_names: tuple[NameFault, ...] = ()
    value_names: tuple[NameFault, ...] = ()
    types: tuple[ValueFault, ...] = ()
    data: tuple[ValueFault, ...] = ()


FAULTS = {
    "hivex": Faults(
        hives=(a_wrong_checksum_opens_nothing, one_bad_bin_opens_nothing),
        key_names=(half_a_pair_has_no_name,),
        value_names=(half_a_pair_has_no_name,),
        data=(no_data_is_an_error,),
    ),
    "python-registry": Faults(
        key_names=(half_a_pair_has_no_name, latin_is_taken_for_windows_1252),
        value_names=(
            nameless_is_called_default,
            half_a_pair_has_no_name,
            latin_is_taken_for_windows_1252,
        ),
        types=(type_loses_its_upper_bits,),
        data=(
            inline_text_keeps_padding,
            inline_strings_vanish,
            dword_is_always_the_field,
            quadword_has_always_eight_bytes,
            big_endian_has_always_four_bytes,
            unknown_short_data_keeps_padding,
        ),
    ),
    "dissect.regf": Faults(
        key_names=(half_a_pair_is_shown_as_bytes, latin_is_taken_for_utf_8),
        value_names=(
            nameless_is_called_Default,
            half_a_pair_is_shown_as_bytes,
            latin_is_taken_for_utf_8,
        ),
        data=(no_data_is_an_error, big_data_of_1_4_is_its_index),
    ),
}
