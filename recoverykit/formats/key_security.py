"""The security descriptors that keys of a hive share, as they stand on disk.

Layout: msuhanov/regf, "Windows registry file format specification", section "Key security". The
cell is checked as all cells are; whether the ring closes and the count is right is the editor's
business (`hive_security`), what the descriptor says nobody's here. Refused with FormatError: a
cell without the signature, and a descriptor that does not fit in its cell.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.cells import Cells

_SK = struct.Struct("<i2s2xIIII")  # size, "sk", next, previous, keys, length of the descriptor


@dataclass(frozen=True, slots=True)
class Security:
    """One descriptor, with its place in the ring of all."""

    cell: int  # offset from the first bin, like the next two
    following: int
    previous: int
    references: int  # how many keys use it, says the hive
    descriptor: bytes  # self-relative SECURITY_DESCRIPTOR ([MS-DTYP] 2.4.6)


def security_at(cells: Cells, cell: int) -> Security:
    """Raises FormatError where there is none."""
    position, end = cells.locate(cell, _SK.size, "key security")
    _, signature, following, previous, references, length = _SK.unpack_from(cells.image, position)
    start = position + _SK.size
    if signature != b"sk" or start + length > end:
        problem = "no security here" if signature != b"sk" else "its descriptor does not fit"
        raise FormatError("key security", position, problem)
    cells.charge("key security", cell, length)
    return Security(cell, following, previous, references, cells.image[start : start + length])
