"""DER, read in place (X.690): a cursor that hands out slices and never builds a tree.

cryptography's declared ASN.1 is the way of `cms`, whose messages are ours. The signatures that
Windows lives with are older than their own rules: sets that nobody sorted, filling behind the end.
What was signed are then the bytes as they lie there, so slices are wanted, and thousands of them.

Strict all the same: definite lengths, numbers and identifiers in their shortest form, one-byte
tags, every length inside what holds it. Nothing here calls itself, so nesting costs nothing.
Indefinite lengths (BER) are refused: no signature at hand has them. Not asked for: sets in order,
and times with seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from signing.errors import MalformedError

BOOLEAN, INTEGER, BIT_STRING, OCTETS, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
ENUMERATED, UTF8, PRINTABLE, T61, IA5, UTC_TIME, TIME = 0x0A, 0x0C, 0x13, 0x14, 0x16, 0x17, 0x18
VISIBLE, UNIVERSAL, BMP = 0x1A, 0x1C, 0x1E
SEQUENCE, SET = 0x30, 0x31

_LONGEST_OID = 64
_LONGEST_INTEGER = 4096


def context(number: int, *, constructed: bool = True) -> int:
    """The tag [number]."""
    return (0xA0 if constructed else 0x80) | number


class Cursor:
    """A place in the contents of one value. All methods raise MalformedError, and nothing else."""

    __slots__ = ("at", "data", "end", "structure")

    def __init__(self, data: bytes, structure: str, at: int = 0, end: int | None = None) -> None:
        self.data, self.structure, self.at = data, structure, at
        self.end = len(data) if end is None else end

    def fail(self, problem: str) -> MalformedError:
        return MalformedError(self.structure, self.at, problem)

    def is_done(self) -> bool:
        return self.at >= self.end

    def finish(self) -> None:
        """Nothing may be left."""
        if self.at != self.end:
            raise self.fail(f"{self.end - self.at} bytes too many")

    def peek(self) -> int:
        """The next tag; -1 at the end."""
        return self.data[self.at] if self.at < self.end else -1

    def _header(self) -> tuple[int, int, int]:
        """(tag, start of the contents, end) of the next value; the cursor moves behind it."""
        at, data, end = self.at, self.data, self.end
        if at + 2 > end:
            raise self.fail("it ends too early")
        tag, length = data[at], data[at + 1]
        if tag & 0x1F == 0x1F:
            raise self.fail("a tag of more than one byte")
        start = at + 2
        if length >= 0x80:
            count = length & 0x7F
            start += count
            if not 0 < count <= 4 or start > end:
                raise self.fail("a length of a form that DER does not have")
            length = int.from_bytes(data[at + 2 : start], "big")
            if length < 0x80 or length >> 8 * (count - 1) == 0:
                raise self.fail("a length not in its shortest form")
        stop = start + length
        if stop > end:
            raise self.fail(f"a value of {length} bytes where {end - start} are left")
        self.at = stop
        return tag, start, stop

    def _expect(self, tag: int) -> tuple[int, int]:
        # Nearly all values are short, or have two bytes of length: `_header` without the call.
        at, data, end = self.at, self.data, self.end
        if at + 2 <= end and data[at] == tag:
            start, length = at + 2, data[at + 1]
            if length == 0x82 and at + 4 <= end and data[start]:
                length = data[start] << 8 | data[start + 1]
                start += 2
            elif length >= 0x80:
                start = end + 1  # it takes `_header` to say
            if start + length <= end:
                self.at = stop = start + length
                return start, stop
        if self.peek() != tag:
            raise self.fail(f"tag {tag:#04x} was expected, not {self.peek():#04x}")
        _, start, stop = self._header()
        return start, stop

    def enter(self, tag: int = SEQUENCE) -> Cursor:
        """Into the next value, which must have that tag; this cursor goes on behind it."""
        start, stop = self._expect(tag)
        return Cursor(self.data, self.structure, start, stop)

    def optional(self, tag: int) -> Cursor | None:
        return self.enter(tag) if self.peek() == tag else None

    def contents(self, tag: int) -> bytes:
        """The contents of the next value, without its header."""
        start, stop = self._expect(tag)
        return self.data[start:stop]

    def whole(self, tag: int = -1) -> bytes:
        """The next value with its header, as it lies there; of any tag where none is given."""
        start = self.at
        if tag >= 0:
            self._expect(tag)
        else:
            self._header()
        return self.data[start : self.at]

    def rest(self) -> bytes:
        """All that is left of these contents."""
        start, self.at = self.at, self.end
        return self.data[start : self.end]

    def skip(self) -> None:
        self._header()

    def oid(self) -> str:
        start, stop = self._expect(OID)
        if not 0 < stop - start <= _LONGEST_OID:
            raise self.fail("an object identifier of no possible size")
        text = dotted(self.data[start:stop])
        if not text:
            raise self.fail("an object identifier that is cut or padded")
        return text

    def integer(self, tag: int = INTEGER) -> int:
        start, stop = self._expect(tag)
        if not 0 < stop - start <= _LONGEST_INTEGER:
            raise self.fail("an integer of no possible size")
        if stop - start > 1 and self._is_padded(start):
            raise self.fail("an integer not in its shortest form")
        return int.from_bytes(self.data[start:stop], "big", signed=True)

    def _is_padded(self, start: int) -> bool:
        """Whether nine bits in a row say nothing (X.690, 8.3.2)."""
        first, second = self.data[start], self.data[start + 1]
        return (first == 0 and second < 0x80) or (first == 0xFF and second >= 0x80)

    def algorithm(self) -> tuple[str, bytes]:
        """(OID, parameters as they lie there) of an AlgorithmIdentifier."""
        inner = self.enter()
        return inner.oid(), inner.rest()

    def time(self) -> datetime:
        """UTCTime or GeneralizedTime in UTC (RFC 5280, 4.1.2.5; fractions as RFC 3161 allows)."""
        tag = self.peek()
        if tag not in (UTC_TIME, TIME):
            raise self.fail("a time was expected")
        found = _time(self.contents(tag), tag)
        if found is None:
            raise self.fail("it is no time")
        return found


@lru_cache(maxsize=512)
def dotted(contents: bytes) -> str:
    """ "1.2.840..." of an object identifier's contents; "" where they are cut or padded."""
    parts: list[int] = []
    value = 0
    for byte in contents:
        if byte == 0x80 and not value:  # one that has two spellings (X.690, 8.19.2)
            return ""
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            parts.append(value)
            value = 0
    if not parts or contents[-1] & 0x80:
        return ""
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - 40 * first, *parts[1:])))


def _time(text: bytes, tag: int) -> datetime | None:
    digits, dot, fraction = text.removesuffix(b"Z").partition(b".")
    if not text.endswith(b"Z") or not digits.isdigit() or len(digits) > 14:
        return None
    if dot and (tag == UTC_TIME or not fraction.isdigit() or len(fraction) > 9):
        return None
    if tag == UTC_TIME:
        if len(digits) == 10:  # without seconds: X.680 has it, old signers used it
            digits += b"00"
        if len(digits) != 12:
            return None
        digits = (b"19" if digits[:2] >= b"50" else b"20") + digits
    if len(digits) != 14:
        return None
    parts = (digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:])
    year, month, day, hour, minute, second = map(int, parts)
    try:
        found = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return found + timedelta(microseconds=int(fraction[:6].ljust(6, b"0"))) if dot else found


def without_filling(entry: bytes, structure: str) -> tuple[bytes, bytes]:
    """(the value at the start, what lies behind it)."""
    cursor = Cursor(entry, structure)
    return cursor.whole(SEQUENCE), cursor.rest()
