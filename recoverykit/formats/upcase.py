"""Names in upper case as Windows compares, sorts and hashes them.

The kernel's table (RtlUpcaseUnicodeChar) maps one UTF-16 unit to one: never a pair of surrogates,
never one character to two. NTFS carries a copy of it on every volume, $UpCase; this is that of
Windows 7 (the table mkntfs writes), which later versions extend by letters Unicode got after 2008.
Python's own upper case knows more: letters that merely look alike in capitals (dotless i, long s,
micro sign, final sigma) are different names to Windows.
"""

from __future__ import annotations

import struct
from functools import lru_cache

# Lower-case letters that have a capital in today's Unicode and had none in that table.
_LATER = (
    (0x023F, 0x0240),
    (0x0252, 0x0252),
    (0x025C, 0x025C),
    (0x0261, 0x0261),
    (0x0265, 0x0266),
    (0x026A, 0x026A),
    (0x026C, 0x026C),
    (0x0282, 0x0282),
    (0x0287, 0x0287),
    (0x029D, 0x029E),
    (0x03F3, 0x03F3),
    (0x0525, 0x052F),
    (0x10D0, 0x10FF),
    (0x13F8, 0x13FD),
    (0x1D8E, 0x1D8E),
    (0x2C5F, 0x2C5F),
    (0x2CEC, 0x2CF3),
    (0x2D27, 0x2D2D),
    (0xA661, 0xA661),
    (0xA699, 0xA69B),
    (0xA791, 0xABBF),
)
_UNIT = struct.Struct("<H")


@lru_cache(maxsize=4096)
def _upper(char: str) -> str:
    if char > "\uffff" or any(first <= ord(char) <= last for first, last in _LATER):
        return char
    up = char.upper()
    if len(up) > 1:  # Greek with iota: two capitals to Unicode, but one title letter
        up = char.title()
    return up if up.lower() == char else char


def upcase(name: str) -> str:
    """A name as Windows compares it: two names are the same where this is."""
    if name.isascii():
        return name.upper()
    return "".join([_upper(char) for char in name])


def sort_key(name: str) -> bytes:
    """What subkey lists are sorted by: the upper-case UTF-16 units."""
    return upcase(name).encode("utf-16-be", "surrogatepass")


def name_hash(name: str) -> int:
    """The hash of a key's name that `lh` lists hold."""
    value = 0
    for (unit,) in _UNIT.iter_unpack(upcase(name).encode("utf-16-le", "surrogatepass")):
        value = (value * 37 + unit) & 0xFFFF_FFFF
    return value
