"""`.reg` text to values: what regedit, `reg export`, other tools and people write.

Read: "Windows Registry Editor Version 5.00" and REGEDIT4, in UTF-16 and UTF-8 with or without a
byte order mark, else in the ANSI code page 1252; comments, bytes over several lines, deletions
(`[-key]`, `"name"=-`). What Windows accepts is known from Wine's tests of reg.exe, which are run on
Windows. Windows skips a line it does not understand and goes on; here the whole file is refused, at
that line: half of a change is worse than none. Of 5.00, bytes are kept as they are written (Windows
appends a missing terminator to hex(1), hex(2) and hex(7)); those of REGEDIT4 are ANSI and become
UTF-16 with a terminator.

Refused with FormatError: other headers, text that is longer than MOST_BYTES, NUL, and escapes other
than `\\\\` and `\\"`, of which nobody knows what was meant.
"""

from __future__ import annotations

import codecs
import re
from typing import NoReturn

from recoverykit.errors import FormatError
from recoverykit.formats.hive import REG_BINARY, REG_DWORD, REG_EXPAND_SZ, REG_MULTI_SZ, REG_SZ
from recoverykit.formats.reg_text import VERSION_5, RegKey, RegValue
from recoverykit.model import RegistryData

VERSION_4 = "REGEDIT4"
_LONGEST_HEADER = 100  # characters; its line shows how lines end
MOST_BYTES = 64 << 20
MOST_ENTRIES = 1 << 20  # keys and values

_TEXTS = (REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Each can only fail where it has nothing left to try: time grows with the text, not faster. (No
# possessive repetitions: those of Python 3.11 leave wrong groups behind.)
_HEADER = re.compile(r"[ \t]*([^\r\n]*)(?:\r\n|[\r\n]|\Z)")
_NOTHING = re.compile(  # empty lines and comments, the last one perhaps without its end
    r"(?:[ \t]*(?:[;#][^\r\n]*)?[\r\n]+)*[ \t]*(?:[;#][^\r\n]*)?"
)
_END = re.compile(r"[ \t]*(?:;[^\r\n]*)?(?=[\r\n]|\Z)")
_LINE = re.compile(r"[^\r\n]*")
_NAME = re.compile(r'"([^"\\\r\n]*(?:\\["\\][^"\\\r\n]*)*)"')
_STRING = re.compile(r'"([^"\\]*(?:\\["\\][^"\\]*)*)"')
_ESCAPE = re.compile(r'\\(["\\])')
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_DWORD = re.compile(r"dword:([0-9a-f]{1,8})", re.IGNORECASE)
_HEX = re.compile(r"hex(?:\(([0-9a-f]{1,8})\))?:", re.IGNORECASE)
_BYTES = re.compile(r"((?:[ \t]*[0-9a-f]{1,2}[ \t]*,)*)[ \t]*([0-9a-f]{1,2})?[ \t]*", re.IGNORECASE)
_MORE = re.compile(  # the rest of a line that goes on, and lines that say nothing
    r"\\[ \t]*(?:;[^\r\n]*)?(?:\r\n|[\r\n]|\Z)"
    r"(?:[ \t]*(?:;[^\r\n]*)?(?:\r\n|[\r\n]))*[ \t]*"
)


def parse(raw: bytes) -> tuple[RegKey, ...]:
    """The keys of a `.reg` file, in its order. Raises FormatError, which names the line."""
    reader = _Reader(decode(raw))
    reader.header()
    return tuple(reader.keys())


def decode(raw: bytes) -> str:
    """The text of a file, lone surrogates kept. Raises FormatError."""
    if len(raw) > MOST_BYTES:
        raise FormatError(".reg text", MOST_BYTES, f"is longer than {MOST_BYTES >> 20} MiB")
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return _decoded(raw, len(mark), encoding)
    if raw[1:2] == b"\0":
        return _decoded(raw, 0, "utf-16-le")
    if not raw.lstrip(b" \t").startswith(VERSION_4.encode()):
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            pass  # no UTF-8, and no mark: Windows takes it for ANSI
    return _ansi(raw)


def _decoded(raw: bytes, start: int, encoding: str) -> str:
    try:
        return raw[start:].decode(encoding, "surrogatepass")
    except UnicodeDecodeError as exc:
        problem = f"is not {encoding.upper()}"
        raise FormatError(".reg text", start + exc.start, problem) from exc


def _ansi(raw: bytes) -> str:
    """Code page 1252 as Windows reads it: a byte it does not define stands for itself."""
    return raw.decode("cp1252", "ansi-itself")


def _itself(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("ansi-itself", _itself)


class _Reader:
    """A position in the text; each method takes what it is named after."""

    __slots__ = ("_ansi", "_at", "_counted", "_entries", "_lines", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._entries = 0
        self._counted, self._lines = 0, 1
        self._ansi = False
        if (nul := text.find("\0")) >= 0:
            self._fail("holds a NUL", nul)

    def header(self) -> None:
        match = self._take(_HEADER)
        line = match[1] if match else ""
        if line.rstrip() not in (VERSION_4, VERSION_5):
            hint = f'The first line of such a file is "{VERSION_5}" or "{VERSION_4}".'
            raise FormatError(".reg text, line 1", 0, "this is no registry file", hint=hint)
        self._ansi = line.startswith(VERSION_4)

    def keys(self) -> list[RegKey]:
        found: list[RegKey] = []
        self._take(_NOTHING)
        while self._at < len(self._text):
            if self._text[self._at] != "[":
                self._fail("a line that is no key, no value of a key, and no comment")
            path, deleted, line = self._key()
            values = []
            self._take(_NOTHING)
            while self._text[self._at : self._at + 1] in ('"', "@"):
                if deleted:
                    self._fail("a value of a key that is to be deleted")
                values.append(self._value())
                self._take(_NOTHING)
            found.append(RegKey(path, tuple(values), deleted, line))
        return found

    def _key(self) -> tuple[str, bool, int]:
        self._count()
        start, line = self._at, self._line(self._at)
        whole = self._take(_LINE)
        text = whole[0] if whole else ""
        close = text.rfind("]")
        if close < 0:
            self._fail("a key without its closing bracket", start)
        self._at = start + close + 1
        self._end()
        deleted = text.startswith("[-")
        path = text[2 if deleted else 1 : close].rstrip("\\")
        if not path or path[0] in " \t\\" or "\\\\" in path:
            self._fail("a key without a name", start)
        return path, deleted, line

    def _value(self) -> RegValue:
        self._count()
        name = ""
        if self._text[self._at] == "@":
            self._at += 1
        else:
            name = self._quoted(_NAME, "the name of a value")
        if self._take(_EQUALS) is None:
            self._fail("a value without an equals sign")
        data = self._data()
        self._end()
        return RegValue(name, data)

    def _data(self) -> RegistryData | None:
        if self._text.startswith("-", self._at):
            self._at += 1
            return None
        if self._text.startswith('"', self._at):
            text = self._quoted(_STRING, "a string")
            return RegistryData(REG_SZ, (text + "\0").encode("utf-16-le", "surrogatepass"))
        if (number := self._take(_DWORD)) is not None:
            return RegistryData(REG_DWORD, int(number[1], 16).to_bytes(4, "little"))
        kind = self._take(_HEX)
        if kind is None:
            self._fail("data of no known form")
        data_type = REG_BINARY if kind[1] is None else int(kind[1], 16)
        data = self._bytes()
        if self._ansi and data_type in _TEXTS:
            data = _widened(data)
        return RegistryData(data_type, data)

    def _quoted(self, pattern: re.Pattern[str], what: str) -> str:
        match = self._take(pattern)
        if match is None:
            self._fail(f"{what} is not closed, or a backslash in it is not written twice")
        return _ESCAPE.sub(r"\1", match[1])

    def _bytes(self) -> bytes:
        data = bytearray()
        first = True
        while (match := self._take(_BYTES)) is not None:
            data += _from_hex(match[1] + (match[2] or ""))
            ends_open = match[2] is None and (first or bool(match[1]))
            if not ends_open or self._take(_MORE) is None:
                break
            first = False
        return bytes(data)

    def _end(self) -> None:
        if self._take(_END) is None:
            self._fail("something follows where the line should end")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _count(self) -> None:
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            self._fail(f"more than {MOST_ENTRIES} keys and values")

    def _line(self, at: int) -> int:
        """The number of the line at a place not before the last one that was asked for."""
        end = "\n" if "\n" in self._text[:_LONGEST_HEADER] else "\r"
        self._lines += self._text.count(end, self._counted, at)
        self._counted = max(at, self._counted)
        return self._lines

    def _fail(self, problem: str, at: int | None = None) -> NoReturn:
        where = self._at if at is None else at
        raise FormatError(f".reg text, line {self._line(where)}", where, problem)


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(",", " "))
    except ValueError:  # a byte of one digit
        return bytes(int(part, 16) for part in text.split(",") if part.strip())


def _widened(data: bytes) -> bytes:
    """ANSI bytes as UTF-16, terminated as Windows does on import."""
    if data and data[-1] != 0:
        data += b"\0"
    return _ansi(data).encode("utf-16-le")
