"""Canonical Huffman codes as one flat table each: what both compressions of WOF files decode with.

Source: [MS-XCA] section 2.2.4 and the LZX specification in [MS-PATCH], which assign code words the
same way: shorter ones first, equal lengths in the order of the symbols. A code that is not complete
is taken, because encoders write one for a single symbol; meeting a word without a symbol is the
decoder's error to raise. Over-full codes are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recoverykit.errors import FormatError

LENGTH_BITS = 5
LENGTH_MASK = (1 << LENGTH_BITS) - 1
NOTHING = 0  # entry of a word that has no symbol: no real entry has length 0


@dataclass(frozen=True, slots=True)
class Code:
    """A decoding table: the next `bits` bits of the input select (symbol << 5 | length)."""

    bits: int
    table: list[int]


def code(lengths: Sequence[int], where: int = 0) -> Code:
    """The code with these word lengths, one a symbol, 0 for none. Raises FormatError."""
    bits = max(lengths, default=0)
    table: list[int] = []
    ranked = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    for length, symbol in ranked:
        table += [symbol << LENGTH_BITS | length] * (1 << bits - length)
    if len(table) > 1 << bits:
        raise FormatError("Huffman code", where, "more words than its lengths allow")
    table += [NOTHING] * ((1 << bits) - len(table))
    return Code(bits, table)
