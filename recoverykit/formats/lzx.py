"""LZX as WOF files use it: chunks of at most 32 KiB that stand for themselves.

Layout: [MS-PATCH] sections 2.1 to 2.7 for LZX; what is special in WIM images and WOF files from
the documentation of wimlib: the window is the chunk, a block may have the default size of 32 KiB,
and the targets of x86 calls (E8) are translated in every chunk with a file size of 12,000,000.
Bits come from 16-bit words, first bit highest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise

from recoverykit.errors import FormatError
from recoverykit.formats import huffman

LARGEST = 32768  # output of one chunk, and the window

_VERBATIM, _ALIGNED, _PLAIN = 1, 2, 3
_SLOTS = 30  # of distances, for a window of 32 KiB
_MAIN, _LENGTHS, _ALIGNED_CODE, _PRE = 256 + 8 * _SLOTS, 249, 8, 20
_SHORTEST_MATCH = 2
_EXTRA = tuple(0 if slot < 2 else slot // 2 - 1 for slot in range(_SLOTS))  # bits after a slot
_BASE = tuple(sum(1 << bits for bits in _EXTRA[:slot]) for slot in range(_SLOTS))
_DISTANCE_OFFSET = 2  # slots 0 to 2 name the three distances used last
_CALL = 0xE8
_CALL_FILE_SIZE = 12_000_000
_CALL_TAIL = 10  # calls that begin in the last bytes are left alone


@dataclass(slots=True)
class _State:
    """What the blocks of one chunk share."""

    data: bytes
    words: list[int]  # each 16-bit word with the next one below it
    at: int = 0  # in bits
    recent: tuple[int, int, int] = (1, 1, 1)
    main: list[int] = field(default_factory=lambda: [0] * _MAIN)
    lengths: list[int] = field(default_factory=lambda: [0] * _LENGTHS)
    out: bytearray = field(default_factory=bytearray)

    def take(self, count: int) -> int:
        """The next bits, at most 16."""
        try:
            window = self.words[self.at >> 4]
        except IndexError:
            raise _wrong(self.at, "ends too early") from None
        value = window >> 32 - count - (self.at & 15) & (1 << count) - 1
        self.at += count
        return value

    def symbol(self, code: huffman.Code) -> int:
        start = self.at
        entry = code.table[self.take(code.bits)]
        if not entry:
            raise _wrong(start, "a word without a symbol")
        self.at = start + (entry & huffman.LENGTH_MASK)
        return entry >> huffman.LENGTH_BITS


def decompress(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes (at most 32 KiB) out of a chunk. Raises FormatError."""
    if size > LARGEST or len(data) > 2 * LARGEST:
        raise FormatError("LZX chunk", 0, f"{len(data)} bytes for {size}")
    padded = data + bytes(4 + len(data) % 2)
    single = struct.unpack(f"<{len(padded) // 2}H", padded)
    state = _State(data, [high << 16 | low for high, low in pairwise(single)])
    while len(state.out) < size:
        _block(state, size)
    return _calls_restored(state.out)


def _wrong(bits: int, problem: str) -> FormatError:
    return FormatError("LZX chunk", bits // 8, problem)


# --- blocks -------------------------------------------------------------------------------


def _block(state: _State, size: int) -> None:
    kind = state.take(3)
    length = LARGEST if state.take(1) else state.take(16)
    if not 0 < length <= size - len(state.out) and not (length == LARGEST and not state.out):
        raise _wrong(state.at, f"a block of {length} bytes")
    end = min(len(state.out) + length, size)
    if kind == _PLAIN:
        _plain(state, end)
        return
    if kind not in (_VERBATIM, _ALIGNED):
        raise _wrong(state.at, f"a block of kind {kind}")
    aligned = None
    if kind == _ALIGNED:
        aligned = huffman.code([state.take(3) for _ in range(_ALIGNED_CODE)], state.at // 8)
    _read_lengths(state, state.main, 0, 256)
    _read_lengths(state, state.main, 256, _MAIN)
    _read_lengths(state, state.lengths, 0, _LENGTHS)
    main, lengths = (huffman.code(part, state.at // 8) for part in (state.main, state.lengths))
    _decode(state, end, main, lengths, aligned)


def _plain(state: _State, end: int) -> None:
    """Bytes as they are, after three distances; they begin at the next word, never at this bit."""
    start = (state.at // 16 + 1) * 2
    take = end - len(state.out)
    if start + 12 + take > len(state.data):
        raise _wrong(state.at, "ends too early")
    state.recent = struct.unpack_from("<3I", state.data, start)
    state.out += state.data[start + 12 : start + 12 + take]
    state.at = (start + 12 + take + take % 2) * 8


def _read_lengths(state: _State, lengths: list[int], start: int, end: int) -> None:
    """Lengths of words, each as its difference from that of the block before, run by run."""
    pre = huffman.code([state.take(4) for _ in range(_PRE)], state.at // 8)
    while start < end:
        symbol = state.symbol(pre)
        if symbol < 17:
            lengths[start] = (lengths[start] - symbol) % 17
            start += 1
            continue
        if symbol == 17:
            run, value = 4 + state.take(4), 0
        elif symbol == 18:
            run, value = 20 + state.take(5), 0
        else:
            run = 4 + state.take(1)
            value = (lengths[start] - state.symbol(pre)) % 17
        run = min(run, end - start)
        lengths[start : start + run] = [value] * run
        start += run


def _decode(
    state: _State, end: int, main: huffman.Code, lengths: huffman.Code, aligned: huffman.Code | None
) -> None:
    """The loop every byte passes; literals are taken without a call."""
    table, shift, words, out = main.table, 32 - main.bits, state.words, state.out
    mask = (1 << main.bits) - 1
    at = state.at
    while len(out) < end:
        try:
            entry = table[words[at >> 4] >> shift - (at & 15) & mask]
        except IndexError:
            raise _wrong(at, "ends too early") from None
        if not entry:
            raise _wrong(at, "a word without a symbol")
        at += entry & huffman.LENGTH_MASK
        symbol = entry >> huffman.LENGTH_BITS
        if symbol < 256:
            out.append(symbol)
            continue
        state.at = at
        _match(state, end, symbol - 256, lengths, aligned)
        at = state.at
    state.at = at


def _match(
    state: _State, end: int, symbol: int, lengths: huffman.Code, aligned: huffman.Code | None
) -> None:
    length, slot = symbol & 7, symbol >> 3
    if length == 7:
        length += state.symbol(lengths)
    length = min(length + _SHORTEST_MATCH, end - len(state.out))
    distance = _distance(state, slot, aligned)
    out = state.out
    start = len(out) - distance
    if start < 0 or distance == 0:
        raise _wrong(state.at, "a match begins before the data")
    if distance >= length:
        out += out[start : start + length]
    else:  # it repeats itself
        out += (bytes(out[start:]) * (length // distance + 1))[:length]


def _distance(state: _State, slot: int, aligned: huffman.Code | None) -> int:
    first, second, third = state.recent
    if slot == 0:
        return first
    if slot == 1:
        state.recent = (second, first, third)
        return second
    if slot == 2:
        state.recent = (third, second, first)
        return third
    extra = _EXTRA[slot]
    if aligned is not None and extra >= 3:
        more = state.take(extra - 3) << 3
        more |= state.symbol(aligned)
    else:
        more = state.take(extra)
    distance = _BASE[slot] + more - _DISTANCE_OFFSET
    state.recent = (distance, first, second)
    return distance


# --- calls --------------------------------------------------------------------------------


def _calls_restored(out: bytearray) -> bytes:
    """Undo the translation of call targets: relative ones were made absolute to compress well."""
    end = len(out) - _CALL_TAIL
    at = out.find(_CALL, 0, max(end, 0))
    while at >= 0:
        (target,) = struct.unpack_from("<i", out, at + 1)
        if 0 <= target < _CALL_FILE_SIZE:
            struct.pack_into("<i", out, at + 1, target - at)
        elif -at <= target < 0:
            struct.pack_into("<i", out, at + 1, target + _CALL_FILE_SIZE)
        at = out.find(_CALL, at + 5, end)
    return bytes(out)
