"""Do the cells of a hive fill its bins without a gap? A walk over sizes alone, no content read.

Layout: msuhanov/regf, "Hive bin" and "Cell": a bin's cells follow each other from its header to its
end, each a multiple of eight bytes, in use where its size is negative. A page that was lost, zeroed
or overwritten breaks that chain nearly always; keys and values are for others to look at.
"""

from __future__ import annotations

import struct

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer
from recoverykit.formats.regf import BaseBlock, bins

_BIN_HEADER = 32
_SIZE = struct.Struct("<i")
_LEAST = 8


def check(image: Buffer) -> None:
    """Raises FormatError where the chain of bins or of cells breaks, naming the file offset.

    `image`: a hive made whole; its logs are not looked at.
    """
    size_at = _SIZE.unpack_from
    for start, length in bins(image, BaseBlock.parse(image).bins_size):
        at, end = start + _BIN_HEADER, start + length
        while at < end:
            size = abs(size_at(image, at)[0])
            if size < _LEAST or size % _LEAST or size > end - at:
                raise FormatError("hive cell", at, f"a size of {size} bytes breaks the chain")
            at += size
